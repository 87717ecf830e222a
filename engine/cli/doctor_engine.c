/* hardlined itself: a running one's own words, else what hardlined --check and --probe say of a configuration. */
#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/ask.h"
#include "engine/cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *text_of(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text && *text ? text : "-";
}

/* True when one runs. */
static bool say_running(struct doctor *d)
{
    struct ask ask;
    struct error err;
    size_t len;
    char *answer = NULL;
    if (access(d->socket, F_OK) != 0)
        return false;
    if (ask_open(&ask, d->socket, &err))
        answer = ask_question(&ask, "status", &len, &err);
    ask_close(&ask);
    if (!answer) {
        doctor_say(d, DOCTOR_WARN, "hardlined", "start it, or name its run.admin-socket with --socket",
                   "%.200s", err.text);
        return false;
    }
    yyjson_doc *doc = yyjson_read(answer, len, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    doctor_say(d, DOCTOR_OK, "hardlined", NULL, "version %s, %s, with %s", text_of(root, "version"),
               text_of(root, "state"), text_of(root, "config"));
    doctor_say(d, DOCTOR_OK, "port", NULL, "%s", text_of(root, "port"));
    doctor_say(d, DOCTOR_OK, "dpdk", NULL, "%s", text_of(root, "eal"));
    doctor_say(d, DOCTOR_OK, "public keys", NULL, "%s", text_of(root, "accelerator"));
    yyjson_doc_free(doc);
    free(answer);
    return true;
}

/* The daemon beside this program: installed, or in the build's folder; else by PATH. */
static void find_daemon(char *path, size_t cap)
{
    static const char *const beside[] = {"hardlined", "../sbin/hardlined", "../hardlined"};
    char self[400];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < ARRAY_LEN(beside); i++) {
        snprintf(path, cap, "%.*s/%s", (int)(slash - self), self, beside[i]);
        if (access(path, X_OK) == 0)
            return;
    }
    snprintf(path, cap, "hardlined");
}

/* Runs hardlined with one mode; its lines come out of *out.  0: not started. */
static pid_t start_daemon(struct doctor *d, const char *mode, FILE **out)
{
    char path[512];
    int pipe_fd[2];
    find_daemon(path, sizeof(path));
    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return 0;
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_fd[1], STDOUT_FILENO);
        dup2(pipe_fd[1], STDERR_FILENO);
        alarm(60); /* a device that hangs */
        execlp(path, "hardlined", "-c", d->config, mode, (char *)NULL);
        fprintf(stderr, "%s cannot be run: %s\n", path, strerror(errno));
        _exit(127);
    }
    close(pipe_fd[1]);
    *out = child > 0 ? fdopen(pipe_fd[0], "r") : NULL;
    return child > 0 && *out ? child : 0;
}

/* Each line of a failed run is a finding; of a good one, too, as what is so. */
static bool say_run(struct doctor *d, const char *mode, const char *what, const char *remedy)
{
    char lines[16][256];
    unsigned count = 0;
    int status = -1;
    FILE *out = NULL;
    pid_t child = start_daemon(d, mode, &out);
    while (out && count < ARRAY_LEN(lines) && fgets(lines[count], sizeof(lines[0]), out)) {
        lines[count][strcspn(lines[count], "\n")] = '\0';
        count += lines[count][0] != '\0';
    }
    if (out)
        fclose(out);
    bool good =
        child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    for (unsigned i = 0; i < count; i++)
        doctor_say(d, good ? DOCTOR_OK : DOCTOR_MISSING, what, good ? NULL : remedy, "%s", lines[i]);
    if (!good && count == 0)
        doctor_say(d, DOCTOR_MISSING, what, "run it by hand to see why",
                   "hardlined -c %s %s fails without a word", d->config, mode);
    return good;
}

void doctor_engine(struct doctor *d)
{
    bool running = say_running(d);
    if (!d->config) {
        if (!running)
            doctor_say(d, DOCTOR_OK, "hardlined", NULL, "none runs at %s; -c FILE looks at a configuration",
                       d->socket);
        return;
    }
    bool good =
        say_run(d, "--check", "configuration", "mend the file; hardlined --settings explains the keys");
    if (good && !running && geteuid() == 0)
        say_run(d, "--probe", "device",
                "see port.device; `hardline doctor` lists interfaces and network cards");
    else if (good && !running)
        doctor_say(d, DOCTOR_WARN, "device", "run hardline doctor as root to try the device", "not tried");
}
