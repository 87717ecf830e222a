#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS      10000
#define ANSWER_BYTES_MAX (64u << 20)

static bool explain(const char *path, int code, struct error *err)
{
    switch (code) {
    case ENOENT:
        return error_set(
            err,
            "there is no socket %s: hardlined does not run, or its run.admin-socket is another (--socket PATH)",
            path);
    case ECONNREFUSED: return error_set(err, "nobody answers on %s: hardlined has ended; start it", path);
    case EACCES:
        return error_set(err, "%s may not be used by this user: become root or join the socket's group",
                         path);
    case EPROTOTYPE:
        return error_set(err, "%s is not hardlined's admin socket: give run.admin-socket, not feed.socket",
                         path);
    default: return error_set(err, "%s cannot be connected to: %s", path, strerror(code));
    }
}

bool ask_open(struct ask *ask, const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *ask = (struct ask){.fd = -1, .path = path};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, "socket %.40s...: the path is longer than %zu bytes", path,
                         sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, path);
    ask->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ask->fd < 0)
        return error_set(err, "no socket: %s", strerror(errno));
    if (connect(ask->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    explain(path, errno, err);
    ask_close(ask);
    return false;
}

void ask_close(struct ask *ask)
{
    if (ask->fd >= 0)
        close(ask->fd);
    ask->fd = -1;
}

struct answer {
    char *text;
    size_t len, cap;
};

static bool read_more(const struct ask *ask, struct answer *answer, struct error *err)
{
    struct pollfd ready = {.fd = ask->fd, .events = POLLIN};
    if (answer->cap - answer->len < 4096) {
        size_t cap = answer->cap ? answer->cap * 2 : 65536;
        char *grown = cap <= ANSWER_BYTES_MAX ? realloc(answer->text, cap) : NULL;
        if (!grown)
            return error_set(err, "%s: the answer is too long", ask->path);
        answer->text = grown;
        answer->cap = cap;
    }
    if (poll(&ready, 1, PATIENCE_MS) <= 0)
        return error_set(err, "%s: no answer in %d seconds: hardlined is busy or stuck, see its log",
                         ask->path, PATIENCE_MS / 1000);
    ssize_t got = read(ask->fd, answer->text + answer->len, answer->cap - 1 - answer->len);
    if (got <= 0)
        return error_set(err, "%s: hardlined has closed the connection without an answer, see its log",
                         ask->path);
    answer->len += (size_t)got;
    answer->text[answer->len] = '\0';
    return true;
}

/* False, with the engine's own words, unless the answer says ok. */
static bool is_ok(const char *path, const struct answer *answer, struct error *err)
{
    yyjson_doc *doc = yyjson_read(answer->text, answer->len, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *refusal = yyjson_get_str(yyjson_obj_get(root, "error"));
    bool ok = yyjson_get_bool(yyjson_obj_get(root, "ok"));
    if (!ok)
        error_set(err, "%s", refusal ? refusal : "the answer is not JSON: another program serves the socket");
    if (!ok && !refusal)
        error_prefix(err, "%s", path);
    yyjson_doc_free(doc);
    return ok;
}

char *ask_request(struct ask *ask, const char *request, size_t *len, struct error *err)
{
    struct answer answer = {.text = NULL};
    struct iovec line[] = {{(void *)(uintptr_t)request, strlen(request)}, {(void *)(uintptr_t)"\n", 1}};
    const struct msghdr message = {.msg_iov = line, .msg_iovlen = ARRAY_LEN(line)};
    bool good = sendmsg(ask->fd, &message, MSG_NOSIGNAL) == (ssize_t)(strlen(request) + 1) ||
                error_set(err, "%s: hardlined has closed the connection", ask->path);
    while (good && (answer.len == 0 || answer.text[answer.len - 1] != '\n'))
        good = read_more(ask, &answer, err);
    if (good && is_ok(ask->path, &answer, err)) {
        *len = answer.len;
        return answer.text;
    }
    free(answer.text);
    return NULL;
}

char *ask_question(struct ask *ask, const char *command, size_t *len, struct error *err)
{
    char question[64];
    snprintf(question, sizeof(question), "{\"command\":\"%s\"}", command);
    return ask_request(ask, question, len, err);
}
