#include "engine/control/admin.h"
#include "engine/control/admin_json.h"
#include "engine/control/log.h"
#include "engine/control/unix_listen.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TASK_US    5000u
#define TASK_PARTS 16u /* of one client's answer, before others have their turn */

/* A client reads or writes: while its answer waits, nothing is read from it. */
struct admin_client {
    struct admin *admin;
    struct control_fd watch; /* fd -1: free */
    struct control_timer slow;
    size_t request_len; /* in [0, ADMIN_REQUEST_MAX] */
    bool has_task;      /* its answer comes in time: of `task` */
    enum admin_command task;
    char *answer; /* NULL: none waits */
    size_t answer_len, answer_sent;
    char request[ADMIN_REQUEST_MAX];
};

struct admin {
    struct control *control;
    struct admin_source source;
    const char *version;
    struct control_fd listener;
    struct control_timer tasks; /* armed while a client has one */
    char path[108];
    struct admin_client client[ADMIN_CLIENTS_MAX];
    struct admin_status status; /* large; filled anew for each question */
};

static void client_end_task(struct admin_client *client)
{
    const struct admin_source *source = &client->admin->source;
    if (client->has_task)
        source->finish(source->ctx, client->task);
    client->has_task = false;
}

static void client_drop(struct admin_client *client)
{
    int fd = client->watch.fd;
    if (fd < 0)
        return;
    client_end_task(client);
    control_timer_cancel(client->admin->control, &client->slow);
    control_remove_fd(client->admin->control, &client->watch);
    close(fd);
    free(client->answer);
    client->answer = NULL;
    client->request_len = client->answer_len = client->answer_sent = 0;
}

static void client_slow(void *ctx, uint64_t now_us)
{
    struct admin_client *client = ctx;
    (void)now_us;
    log_debug("admin: client dropped: %s",
              client->answer ? "it does not take its answer" : "it asks nothing");
    client_drop(client);
}

static void client_patience(struct admin_client *client)
{
    control_timer_arm(client->admin->control, &client->slow, clock_now_us() + ADMIN_SLOW_US);
}

static char *status_answer(struct admin *admin, size_t *len)
{
    memset(&admin->status, 0, sizeof(admin->status));
    admin->source.status(admin->source.ctx, &admin->status);
    return admin_json_status(&admin->status, clock_now_us(), len);
}

/* NULL without a task: no memory. */
static char *answer_to(struct admin_client *client, const struct admin_request *request, size_t *len)
{
    struct admin *admin = client->admin;
    const struct admin_source *source = &admin->source;
    struct error err;
    switch (request->command) {
    case ADMIN_STATUS: return status_answer(admin, len);
    case ADMIN_RELOAD:
        if (!source->reload(source->ctx, &err))
            return admin_json_error(err.text, len);
        break;
    case ADMIN_DRAIN: source->drain(source->ctx); break;
    case ADMIN_STOP: source->stop(source->ctx); break;
    case ADMIN_PING: break;
    case ADMIN_CONNECTIONS:
    case ADMIN_CAPTURE:
        if (!source->begin(source->ctx, request, &err))
            return admin_json_error(err.text, len);
        client->has_task = true;
        client->task = request->command;
        control_timer_arm(admin->control, &admin->tasks, clock_now_us() + TASK_US);
        return NULL;
    }
    return admin_json_ok(admin->version, len);
}

/* Sends what waits; false when the client is gone. */
static bool client_send(struct admin_client *client)
{
    while (client->answer_sent < client->answer_len) {
        ssize_t sent = send(client->watch.fd, client->answer + client->answer_sent,
                            client->answer_len - client->answer_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        client->answer_sent += (size_t)sent;
    }
    free(client->answer);
    client->answer = NULL;
    return true;
}

/* Takes the first line of what was read as a request; false when there is none yet. */
static bool client_request(struct admin_client *client)
{
    struct admin_request request;
    struct error err;
    char *end = memchr(client->request, '\n', client->request_len);
    if (!end)
        return false;
    size_t len = (size_t)(end - client->request), line = len + 1;
    if (admin_json_request(client->request, len, &request, &err))
        client->answer = answer_to(client, &request, &client->answer_len);
    else
        client->answer = admin_json_error(err.text, &client->answer_len);
    client->answer_sent = 0;
    client->request_len -= line;
    memmove(client->request, end + 1, client->request_len);
    client_patience(client);
    return true;
}

/* Answers lines until an answer has to wait; false when the client is to be dropped. */
static bool client_work(struct admin_client *client)
{
    while (!client->answer && !client->has_task && client_request(client))
        if (!client->has_task && (!client->answer || !client_send(client)))
            return false;
    if (client->has_task && !client->answer)
        control_timer_cancel(client->admin->control, &client->slow); /* it waits for us */
    if (client->request_len == ADMIN_REQUEST_MAX && !client->answer) {
        log_debug("admin: client dropped: a request of more than %u bytes", ADMIN_REQUEST_MAX);
        return false;
    }
    control_watch_fd(client->admin->control, &client->watch, client->answer ? EPOLLOUT : EPOLLIN);
    return true;
}

static bool client_read(struct admin_client *client)
{
    ssize_t got = recv(client->watch.fd, client->request + client->request_len,
                       ADMIN_REQUEST_MAX - client->request_len, MSG_DONTWAIT);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN;
    client->request_len += (size_t)got;
    return got > 0;
}

static void client_ready(void *ctx, uint32_t events)
{
    struct admin_client *client = ctx;
    bool good = client->answer ? client_send(client) : (events & EPOLLIN) && client_read(client);
    if (!good || !client_work(client))
        client_drop(client);
}

/* ---- answers that come in time ---- */

/* The next bytes of a task's answer; false when the client is to be dropped. */
static bool client_task(struct admin_client *client)
{
    const struct admin_source *source = &client->admin->source;
    for (unsigned n = 0; n < TASK_PARTS && client->has_task && !client->answer; n++) {
        bool over = false;
        client->answer = source->more(source->ctx, client->task, &client->answer_len, &over);
        client->answer_sent = 0;
        if (over)
            client_end_task(client);
        if (!client->answer && !over) /* it waits for us */
            control_timer_cancel(client->admin->control, &client->slow);
        if (!client->answer)
            return !over;
        client_patience(client);
        if (!client_send(client))
            return false;
    }
    return client_work(client);
}

static void tasks_go_on(void *ctx, uint64_t now_us)
{
    struct admin *admin = ctx;
    bool any = false;
    for (uint32_t i = 0; i < ADMIN_CLIENTS_MAX; i++) {
        struct admin_client *client = &admin->client[i];
        if (client->watch.fd >= 0 && client->has_task && !client->answer && !client_task(client))
            client_drop(client);
        any |= client->has_task;
    }
    if (any)
        control_timer_arm(admin->control, &admin->tasks, now_us + TASK_US);
}

static struct admin_client *free_client(struct admin *admin)
{
    for (uint32_t i = 0; i < ADMIN_CLIENTS_MAX; i++)
        if (admin->client[i].watch.fd < 0)
            return &admin->client[i];
    return NULL;
}

static void listener_ready(void *ctx, uint32_t events)
{
    struct admin *admin = ctx;
    struct error err;
    (void)events;
    // cppcheck-suppress nullPointer ; accept(2): a NULL address is not filled in
    int fd = accept4(admin->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct admin_client *client = free_client(admin);
    if (!client || !control_add_fd(admin->control, &client->watch, fd, EPOLLIN, client_ready, client, &err)) {
        log_warning("admin: a client was turned away: %u are connected", ADMIN_CLIENTS_MAX);
        close(fd);
        return;
    }
    client_patience(client);
}

struct admin *admin_open(struct control *control, const char *path, uint32_t mode, uint32_t gid,
                         const char *version, const struct admin_source *source, struct error *err)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    if (!admin) {
        error_set(err, "no memory for the admin socket");
        return NULL;
    }
    admin->control = control;
    admin->source = *source;
    admin->version = version;
    control_timer_init(&admin->tasks, tasks_go_on, admin);
    for (uint32_t i = 0; i < ADMIN_CLIENTS_MAX; i++) {
        admin->client[i].admin = admin;
        admin->client[i].watch.fd = -1;
        control_timer_init(&admin->client[i].slow, client_slow, &admin->client[i]);
    }
    int fd = unix_listen(path, SOCK_STREAM, mode, (uint32_t)-1, gid, err);
    strncpy(admin->path, path, sizeof(admin->path) - 1);
    if (fd >= 0 && control_add_fd(control, &admin->listener, fd, EPOLLIN, listener_ready, admin, err))
        return admin;
    if (fd >= 0)
        close(fd);
    free(admin);
    return NULL;
}

void admin_close(struct admin *admin)
{
    if (!admin)
        return;
    for (uint32_t i = 0; i < ADMIN_CLIENTS_MAX; i++)
        client_drop(&admin->client[i]);
    control_timer_cancel(admin->control, &admin->tasks);
    int fd = admin->listener.fd;
    control_remove_fd(admin->control, &admin->listener);
    close(fd);
    unlink(admin->path);
    free(admin);
}
