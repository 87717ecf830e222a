#include "engine/control/unix_listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool set_address(struct sockaddr_un *address, const char *path, struct error *err)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    size_t len = strnlen(path, sizeof(address->sun_path));
    memcpy(address->sun_path, path, min_size(len, sizeof(address->sun_path) - 1));
    if (len == sizeof(address->sun_path))
        return error_set(err, "socket %.80s...: the path is longer than %zu bytes", address->sun_path,
                         sizeof(address->sun_path) - 1);
    return true;
}

static bool make_directory(const char *path, struct error *err)
{
    char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return true;
    memcpy(directory, path, (size_t)(slash - path));
    directory[slash - path] = '\0';
    if (mkdir(directory, 0755) == 0 || errno == EEXIST)
        return true;
    return error_set(err, "socket %s: directory %s cannot be made: %s", path, directory, strerror(errno));
}

static bool somebody_answers(const struct sockaddr_un *address, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answers =
        fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return answers;
}

static bool remove_stale(const struct sockaddr_un *address, int type, struct error *err)
{
    struct stat status;
    if (lstat(address->sun_path, &status) != 0)
        return true;
    if (!S_ISSOCK(status.st_mode))
        return error_set(err, "%s is there and is no socket: remove it or name another path",
                         address->sun_path);
    if (somebody_answers(address, type))
        return error_set(err, "socket %s is served by another process: stop it or name another path",
                         address->sun_path);
    if (unlink(address->sun_path) != 0)
        return error_set(err, "stale socket %s cannot be removed: %s", address->sun_path, strerror(errno));
    return true;
}

/* Between bind and listen: nobody can connect yet. */
static bool set_rights(const char *path, uint32_t mode, uint32_t uid, uint32_t gid, struct error *err)
{
    if (chmod(path, mode) != 0)
        return error_set(err, "socket %s cannot be given mode %04o: %s", path, mode, strerror(errno));
    if ((uid != (uint32_t)-1 || gid != (uint32_t)-1) && lchown(path, uid, gid) != 0)
        return error_set(err, "socket %s cannot be given to user %d, group %d: %s", path, (int)uid, (int)gid,
                         strerror(errno));
    return true;
}

static bool bind_and_listen(int fd, const struct sockaddr_un *address, uint32_t mode, uint32_t uid,
                            uint32_t gid, struct error *err)
{
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        return error_set(err, "socket %s cannot be made: %s", address->sun_path, strerror(errno));
    if (!set_rights(address->sun_path, mode, uid, gid, err))
        return false;
    if (listen(fd, 64) != 0)
        return error_set(err, "socket %s cannot be listened on: %s", address->sun_path, strerror(errno));
    return true;
}

int unix_listen(const char *path, int type, uint32_t mode, uint32_t uid, uint32_t gid, struct error *err)
{
    struct sockaddr_un address;
    if (!set_address(&address, path, err) || !make_directory(path, err) || !remove_stale(&address, type, err))
        return -1;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_set(err, "socket %s cannot be made: %s", path, strerror(errno));
        return -1;
    }
    if (bind_and_listen(fd, &address, mode, uid, gid, err))
        return fd;
    close(fd);
    return -1;
}
