/* hardline capture: frames of one receiver, from a running engine into a file that this user may write. */
#include "engine/cli/ask.h"
#include "engine/cli/capture_stream.h"
#include "engine/cli/cli.h"
#include "engine/cli/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: hardline capture --peer ADDR[:PORT] --file FILE [OPTION]...\n"
    "\n"
    "Writes what a running hardlined exchanges with one receiver into a pcap file, both ways: TCP, and ICMP errors\n"
    "about it. Ends after so many frames, megabytes or seconds, or at an interrupt (^C). One capture at a time.\n"
    "\n"
    "  --peer ADDR[:PORT]  the receiver: 192.0.2.1, 192.0.2.1:25, 2001:db8::1, [2001:db8::1]:25\n"
    "  --file FILE         written anew; - is standard output: ... --file - | tcpdump -nr -\n"
    "  --count N           frames (10000)\n"
    "  --seconds N         (60)\n"
    "  --megabytes N       of file (256)\n"
    "  --socket PATH       run.admin-socket (" CLI_ADMIN_SOCKET ")\n"
    "\n"
    "The file shows what an observer of the line would see: greeting, EHLO and STARTTLS in the clear, then TLS records.\n"
    "With run.key-log on, it can be read with the key log: keep both as you would keep the mail. Where the port fills in\n"
    "checksums or cuts large frames (TSO), the file has the frames as they were before.\n"
    "\n"
    "Exit status: 0, 64 wrong usage, 69 the engine refuses or is gone, 73 the file cannot be made, 74 nor written.\n";

struct options {
    const char *socket, *file;
    struct peer peer;
    unsigned long count, seconds, megabytes; /* 0: the engine's own idea */
};

static volatile int stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waiting ends */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

/* ---- the file ---- */

static int open_file(const char *path)
{
    if (strcmp(path, "-") == 0)
        return STDOUT_FILENO;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fprintf(stderr, "hardline capture: %s: %s; choose a file that you may write\n", path,
                strerror(errno));
    return fd;
}

static bool write_all(int fd, const char *bytes, size_t len, struct error *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, bytes + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(err, "writing: %s; what is written so far can be read", strerror(errno));
        done += (size_t)n;
    }
    return true;
}

/* ---- the capture ---- */

static bool ask_for(const struct ask *ask, const struct options *o, struct error *err)
{
    char request[256];
    int len = snprintf(request, sizeof(request), "{\"command\":\"capture\",\"peer\":\"%s\"", o->peer.address);
    const struct {
        const char *key;
        unsigned long value;
    } number[] = {
        {"port", o->peer.port}, {"frames", o->count}, {"seconds", o->seconds}, {"megabytes", o->megabytes}};
    for (size_t i = 0; i < ARRAY_LEN(number); i++)
        if (number[i].value)
            len += snprintf(request + len, sizeof(request) - (size_t)len, ",\"%s\":%lu", number[i].key,
                            number[i].value);
    len += snprintf(request + len, sizeof(request) - (size_t)len, "}\n");
    return send(ask->fd, request, (size_t)len, MSG_NOSIGNAL) == len ||
           error_set(err, "%s: hardlined has closed the connection", ask->path);
}

static int copy_bytes(struct capture_stream *stream, size_t left, int fd, struct error *err)
{
    const char *bytes;
    for (size_t n; left > 0; left -= n) {
        if (!(n = capture_bytes(stream, left, &bytes, err)))
            return EX_UNAVAILABLE;
        if (!write_all(fd, bytes, n, err))
            return EX_IOERR;
    }
    return EX_OK;
}

static void tell_end(const struct options *o, const struct capture_end *end)
{
    fprintf(stderr, "%llu frames, %llu bytes; ended by %s\n", (unsigned long long)end->frames,
            (unsigned long long)end->bytes,
            strcmp(end->why, "frames") == 0      ? "--count"
            : strcmp(end->why, "seconds") == 0   ? "--seconds"
            : strcmp(end->why, "megabytes") == 0 ? "--megabytes"
                                                 : "the engine's end");
    if (end->lost)
        fprintf(
            stderr,
            "%llu more frames are missing: they came faster than they were written; ask for a single port, or write "
            "to a faster place than %s\n",
            (unsigned long long)end->lost, o->file);
}

/* Copies until the end; the file is made when the engine has agreed. */
static int copy(const struct options *o, struct capture_stream *stream, struct error *err)
{
    struct capture_end end = {.frames = 0};
    int fd = -1, result = EX_OK;
    for (size_t bytes = 0; result == EX_OK;) {
        switch (capture_next(stream, &stop_asked, &bytes, &end, err)) {
        case CAPTURE_BEGUN:
            if ((fd = open_file(o->file)) < 0)
                return EX_CANTCREAT;
            fprintf(stderr, "capturing %s\n", o->peer.address);
            break;
        case CAPTURE_BYTES: result = copy_bytes(stream, bytes, fd, err); break;
        case CAPTURE_END: tell_end(o, &end); return close(fd) == 0 ? EX_OK : EX_IOERR;
        case CAPTURE_INTERRUPTED:
            fprintf(stderr, "interrupted; all frames up to now are in the file\n");
            return fd < 0 || close(fd) == 0 ? EX_OK : EX_IOERR;
        case CAPTURE_FAILED: result = EX_UNAVAILABLE; break;
        }
    }
    if (fd >= 0)
        close(fd);
    fprintf(stderr, "hardline capture: %s%s%s\n", result == EX_IOERR ? o->file : "",
            result == EX_IOERR ? ": " : "", err->text);
    return result;
}

static int run(const struct options *o)
{
    static struct capture_stream stream;
    struct ask ask;
    struct error err;
    watch_signals();
    if (!ask_open(&ask, o->socket, &err) || !ask_for(&ask, o, &err)) {
        fprintf(stderr, "hardline capture: %s\n", err.text);
        ask_close(&ask);
        return EX_UNAVAILABLE;
    }
    stream.fd = ask.fd;
    stream.path = o->socket;
    int result = copy(o, &stream, &err);
    ask_close(&ask);
    return result;
}

/* ---- options ---- */

static bool read_number(const char *name, const char *text, unsigned long most, unsigned long *number)
{
    char *end;
    *number = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    if (*number >= 1 && *number <= most && !*end)
        return true;
    fprintf(stderr, "hardline capture: %s %s: allowed are whole numbers from 1 to %lu\n", name, text, most);
    return false;
}

static bool read_option(int which, struct options *o)
{
    struct error err;
    switch (which) {
    case 'p':
        if (peer_parse(optarg, &o->peer, &err))
            return true;
        fprintf(stderr, "hardline capture: --peer %s\n", err.text);
        return false;
    case 'f': o->file = optarg; return true;
    case 's': o->socket = optarg; return true;
    case 'n': return read_number("--count", optarg, 10000000, &o->count);
    case 't': return read_number("--seconds", optarg, 3600, &o->seconds);
    case 'm': return read_number("--megabytes", optarg, 4096, &o->megabytes);
    default: return false;
    }
}

static bool is_complete(const struct options *o)
{
    const char *missing = !o->peer.address[0] ? "--peer ADDR[:PORT], whose frames are wanted"
                          : !o->file          ? "--file FILE, where they are written (- is standard output)"
                                              : NULL;
    if (missing)
        return fprintf(stderr, "hardline capture: give %s; see --help\n", missing), false;
    if (strcmp(o->file, "-") == 0 && isatty(STDOUT_FILENO))
        return fprintf(stderr, "hardline capture: standard output is a terminal: pipe it, as in --file - | "
                               "tcpdump -nr -\n"),
               false;
    return true;
}

int cli_capture(int argc, char **argv)
{
    static const struct option longs[] = {{"peer", required_argument, NULL, 'p'},
                                          {"file", required_argument, NULL, 'f'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"megabytes", required_argument, NULL, 'm'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {.socket = CLI_ADMIN_SOCKET};
    for (int which; (which = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        if (which == 'h')
            return fputs(usage, stdout), EX_OK;
        if (!read_option(which, &options))
            return EX_USAGE;
    }
    if (optind < argc) {
        fprintf(stderr, "hardline capture: what is \"%s\"? see --help\n", argv[optind]);
        return EX_USAGE;
    }
    return is_complete(&options) ? run(&options) : EX_USAGE;
}
