/* keylog.c: the NSS key log, for reading captures; only where the configuration asks for it. */
#include "crypto/session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYLOG_LINE_MAX 512

/* One write a line: the file is shared by the cores, O_APPEND keeps their lines whole. */
static void log_line(const SSL *ssl, const char *line)
{
    const struct tls *tls = SSL_get_app_data(ssl);
    char text[KEYLOG_LINE_MAX];
    size_t len = strlen(line);
    if (len + 1 > sizeof(text))
        return;
    memcpy(text, line, len);
    text[len] = '\n';
    ssize_t written = write(tls->core->keylog_fd, text, len + 1);
    (void)written; /* a full disk costs the log, not the mail */
    explicit_bzero(text, len);
}

/* Secrets go into a plain file of our own that nobody else can read, wherever a link may point. */
static bool is_private_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1 &&
           fchmod(fd, S_IRUSR | S_IWUSR) == 0;
}

bool tls_keylog_open(struct tls_core *core, const char *path, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0)
        return error_set(err, "TLS key log %s cannot be opened: %s", path, strerror(errno));
    if (!is_private_file(fd)) {
        close(fd);
        return error_set(err, "TLS key log %s is not a plain file of our own; remove it", path);
    }
    core->keylog_fd = fd;
    SSL_CTX_set_keylog_callback(core->ctx, log_line);
    return true;
}

void tls_keylog_close(struct tls_core *core)
{
    if (core->keylog_fd >= 0)
        close(core->keylog_fd);
    core->keylog_fd = -1;
}
