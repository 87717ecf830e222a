#include "engine/control/feed_server.h"

#include "engine/base/clock.h"
#include "engine/control/feed_socket.h"
#include "engine/control/unix_listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#define HAND_OVER_US (5 * 1000000u) /* for each step of a producer */

enum client_state {
    CLIENT_NONE = 0,
    CLIENT_GREETED, /* HELLO is to come */
    CLIENT_GRANTED, /* MAPPED is to come */
    CLIENT_ATTACHED,
    CLIENT_DETACHING, /* until feed_server_detached */
};

struct client {
    enum client_state state;
    int sock;          /* -1 when there is none */
    struct feed *feed; /* from CLIENT_GRANTED on */
    uint64_t deadline_us;
    bool producer_gone;
    struct feed_peer peer;
    struct feed_rights rights;
    char name[64];
};

struct feed_server {
    int listener, epoll; /* listener: -1 once stopped */
    char *path;
    struct feed_server_events events;
    struct feed_shape shape;
    uint32_t clients;
    struct client client[];
};

static void note(struct feed_server *server, int level, const struct client *client, const char *what)
{
    char text[768]; /* who it is, and an error whole */
    snprintf(text, sizeof(text), "feed of %s (uid %u, pid %u, %s): %s", client->rights.name, client->peer.uid,
             client->peer.pid, client->name, what);
    server->events.note(server->events.ctx, level, text);
}

static bool watch(struct feed_server *server, int fd, struct client *client)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void clear(struct client *client)
{
    if (client->sock >= 0)
        close(client->sock); /* leaves the epoll set with it */
    *client = (struct client){.sock = -1};
}

/* Ends a producer that has no attached feed. */
static void refuse(struct feed_server *server, struct client *client, enum ring_goodbye why, const char *text)
{
    note(server, LOG_NOTICE, client, text);
    if (!client->producer_gone)
        feed_socket_goodbye(client->sock, why, text);
    if (client->feed) /* not wiped: it holds no mail yet, and until it is sealed it can be cut off under us */
        feed_close(client->feed, false);
    clear(client);
}

/* Begins the end of an attached feed. */
static void let_go(struct feed_server *server, struct client *client, enum ring_goodbye why, const char *text)
{
    if (why == RING_BYE_PROTOCOL)
        note(server, LOG_WARNING, client, text);
    if (!client->producer_gone)
        feed_socket_goodbye(client->sock, why, text);
    client->state = CLIENT_DETACHING;
    client->deadline_us = DEADLINE_NEVER;
    server->events.detach(server->events.ctx, client->feed);
}

/* ---- the steps of the hand-over ---- */

static void on_hello(struct feed_server *server, struct client *client, const struct ring_message *m)
{
    struct error err;
    char text[256];
    int memfd;
    feed_socket_name(client->name, sizeof(client->name), m);
    if (m->what != RING_HELLO) {
        refuse(server, client, RING_BYE_PROTOCOL, "does not begin with a HELLO");
        return;
    }
    if (m->abi_major != RING_ABI_MAJOR) {
        snprintf(
            text, sizeof(text),
            "the producer speaks version %u.%u of the feed, this engine %u.%u: use libhardline-feed of the "
            "engine's release",
            m->abi_major, m->abi_minor, RING_ABI_MAJOR, RING_ABI_MINOR);
        refuse(server, client, RING_BYE_VERSION, text);
        return;
    }
    client->feed = feed_open(&server->shape, &client->rights, &memfd, &err);
    if (!client->feed) {
        refuse(server, client, RING_BYE_BUSY, err.text);
        return;
    }
    int fds[] = {memfd, feed_wake_engine_fd(client->feed), feed_wake_producer_fd(client->feed)};
    bool sent = feed_socket_grant(client->sock, server->shape.engine_epoch, fds, ARRAY_LEN(fds));
    close(memfd);
    client->state = CLIENT_GRANTED;
    if (!sent)
        refuse(server, client, RING_BYE_PROTOCOL, "cannot be given its memory");
}

static void on_mapped(struct feed_server *server, struct client *client, const struct ring_message *m)
{
    struct error err;
    if (m->what != RING_MAPPED || m->engine_epoch != server->shape.engine_epoch) {
        refuse(server, client, RING_BYE_PROTOCOL, "does not say that it has mapped its memory");
        return;
    }
    if (!feed_seal(client->feed, &err)) {
        refuse(server, client, RING_BYE_PROTOCOL, err.text);
        return;
    }
    if (!server->events.attach(server->events.ctx, client->feed)) {
        refuse(server, client, RING_BYE_BUSY, "the engine has no room for another feed now: try again later");
        return;
    }
    client->state = CLIENT_ATTACHED;
    client->deadline_us = DEADLINE_NEVER;
    feed_socket_ready(client->sock, server->shape.engine_epoch); /* a failure is an end of file to come */
}

static void on_end(struct feed_server *server, struct client *client)
{
    client->producer_gone = true;
    epoll_ctl(server->epoll, EPOLL_CTL_DEL, client->sock, NULL);
    if (client->state == CLIENT_ATTACHED)
        let_go(server, client, RING_BYE_SHUTDOWN, "detached by the producer");
    else if (client->state != CLIENT_DETACHING)
        refuse(server, client, RING_BYE_PROTOCOL, "hung up in the hand-over");
}

static void on_client(struct feed_server *server, struct client *client, uint64_t now_us)
{
    struct ring_message m;
    ssize_t n = recv(client->sock, &m, sizeof(m), MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        on_end(server, client);
        return;
    }
    client->deadline_us = now_us + HAND_OVER_US;
    bool whole = n == (ssize_t)sizeof(m) && m.magic == RING_MAGIC;
    switch (client->state) {
    case CLIENT_GREETED:
        if (whole)
            on_hello(server, client, &m);
        else
            refuse(server, client, RING_BYE_PROTOCOL, "speaks something else than the feed's protocol");
        break;
    case CLIENT_GRANTED:
        if (whole)
            on_mapped(server, client, &m);
        else
            refuse(server, client, RING_BYE_PROTOCOL, "broke off the hand-over");
        break;
    case CLIENT_ATTACHED: let_go(server, client, RING_BYE_PROTOCOL, "spoke on its socket out of turn"); break;
    case CLIENT_DETACHING:
    case CLIENT_NONE: break;
    }
}

/* ---- newcomers ---- */

static struct client *free_client(struct feed_server *server)
{
    for (uint32_t i = 0; i < server->clients; i++)
        if (server->client[i].state == CLIENT_NONE)
            return &server->client[i];
    return NULL;
}

static bool has_feed(const struct feed_server *server, uint32_t uid)
{
    for (uint32_t i = 0; i < server->clients; i++)
        if (server->client[i].state != CLIENT_NONE && server->client[i].peer.uid == uid)
            return true;
    return false;
}

static uint32_t kept_places(const struct feed_server *server)
{
    uint32_t kept = 0, uid;
    for (uint32_t i = 0; server->events.user && server->events.user(server->events.ctx, i, &uid); i++)
        kept += !has_feed(server, uid);
    return kept;
}

static uint32_t free_places(const struct feed_server *server)
{
    uint32_t places = 0;
    for (uint32_t i = 0; i < server->clients; i++)
        places += server->client[i].state == CLIENT_NONE;
    return places;
}

/* Who has a feed gets another only where a place is left for each user who has none. */
static bool leaves_places(const struct feed_server *server, uint32_t uid)
{
    return !has_feed(server, uid) || free_places(server) > kept_places(server);
}

static void greet(struct feed_server *server, int sock, uint64_t now_us)
{
    struct client *client = free_client(server), stranger = {.sock = sock, .name = "not known yet"};
    if (!feed_socket_peer(sock, &stranger.peer)) {
        close(sock);
        return;
    }
    stranger.peer.name = stranger.name;
    snprintf(stranger.rights.name, sizeof(stranger.rights.name), "uid %u", stranger.peer.uid);
    if (!server->events.allow(server->events.ctx, &stranger.peer, &stranger.rights)) {
        char text[160];
        snprintf(text, sizeof(text), "user %u may not feed this engine: name it under feed.users",
                 stranger.peer.uid);
        refuse(server, &stranger, RING_BYE_DENIED, text);
        return;
    }
    stranger.rights.uid = stranger.peer.uid;
    stranger.rights.pid = stranger.peer.pid;
    if (client && !leaves_places(server, stranger.peer.uid)) {
        refuse(server, &stranger, RING_BYE_BUSY,
               "the places that are left of feed.feeds are kept for users of feed.users who have no feed");
        return;
    }
    if (!client || !watch(server, sock, client)) {
        refuse(server, &stranger, RING_BYE_BUSY, "the engine has as many feeds as feed.feeds allows");
        return;
    }
    *client = stranger;
    client->peer.name = client->name;
    client->state = CLIENT_GREETED;
    client->deadline_us = now_us + HAND_OVER_US;
}

static void on_listener(struct feed_server *server, uint64_t now_us)
{
    for (unsigned i = 0; i < 16; i++) { /* the rest at the next call */
        // cppcheck-suppress nullPointer ; accept(2): a NULL address is not filled in
        int sock = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (sock < 0)
            return;
        greet(server, sock, now_us);
    }
}

/* ---- the control thread's entry points ---- */

static uint64_t check_clients(struct feed_server *server, uint64_t now_us)
{
    uint64_t next = DEADLINE_NEVER;
    for (uint32_t i = 0; i < server->clients; i++) {
        struct client *c = &server->client[i];
        if (c->state == CLIENT_ATTACHED && feed_broken(c->feed))
            let_go(server, c, RING_BYE_PROTOCOL, feed_fault(c->feed));
        else if ((c->state == CLIENT_GREETED || c->state == CLIENT_GRANTED) && c->deadline_us <= now_us)
            refuse(server, c, RING_BYE_PROTOCOL, "was too slow in the hand-over");
        else if (c->state != CLIENT_NONE)
            next = min_u64(next, c->deadline_us);
    }
    return next;
}

uint64_t feed_server_handle(struct feed_server *server, uint64_t now_us)
{
    struct epoll_event event[64];
    int n = epoll_wait(server->epoll, event, ARRAY_LEN(event), 0);
    for (int i = 0; i < n; i++) {
        struct client *client = event[i].data.ptr;
        if (!client)
            on_listener(server, now_us);
        else if (client->state != CLIENT_NONE)
            on_client(server, client, now_us);
    }
    return check_clients(server, now_us);
}

void feed_server_detached(struct feed_server *server, struct feed *feed)
{
    for (uint32_t i = 0; i < server->clients; i++) {
        struct client *c = &server->client[i];
        if (c->feed != feed || c->state != CLIENT_DETACHING)
            continue;
        feed_close(feed, c->producer_gone);
        clear(c);
    }
}

static void stop_listening(struct feed_server *server)
{
    if (server->listener < 0)
        return;
    close(server->listener);
    unlink(server->path);
    server->listener = -1;
}

void feed_server_stop(struct feed_server *server)
{
    stop_listening(server);
    for (uint32_t i = 0; i < server->clients; i++) {
        struct client *c = &server->client[i];
        if (c->state == CLIENT_ATTACHED)
            let_go(server, c, RING_BYE_SHUTDOWN, "detached: the engine stops");
        else if (c->state == CLIENT_GREETED || c->state == CLIENT_GRANTED)
            refuse(server, c, RING_BYE_SHUTDOWN, "refused: the engine stops");
    }
}

uint32_t feed_server_feeds(const struct feed_server *server)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < server->clients; i++)
        count += server->client[i].state >= CLIENT_ATTACHED;
    return count;
}

int feed_server_fd(const struct feed_server *server)
{
    return server->epoll;
}

static bool start(struct feed_server *server, const struct feed_server_options *options, struct error *err)
{
    server->path = strdup(options->path);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!server->path || server->epoll < 0)
        return error_set(err, "feed: %s", strerror(errno));
    server->listener =
        unix_listen(options->path, SOCK_SEQPACKET, options->mode, (uint32_t)-1, options->gid, err);
    if (server->listener < 0)
        return error_prefix(err, "feed");
    return watch(server, server->listener, NULL) || error_set(err, "feed: epoll: %s", strerror(errno));
}

struct feed_server *feed_server_open(const struct feed_server_options *options,
                                     const struct feed_server_events *events, struct error *err)
{
    struct feed_server *server = calloc(1, sizeof(*server) + options->feeds_max * sizeof(server->client[0]));
    if (!server) {
        error_set(err, "feed: out of memory for %u feeds", options->feeds_max);
        return NULL;
    }
    server->events = *events;
    server->shape = options->shape;
    server->clients = options->feeds_max;
    server->listener = server->epoll = -1;
    for (uint32_t i = 0; i < server->clients; i++)
        server->client[i].sock = -1;
    if (start(server, options, err))
        return server;
    feed_server_close(server);
    return NULL;
}

void feed_server_close(struct feed_server *server)
{
    stop_listening(server);
    for (uint32_t i = 0; i < server->clients; i++) {
        if (server->client[i].feed)
            feed_close(server->client[i].feed, server->client[i].producer_gone);
        clear(&server->client[i]);
    }
    if (server->epoll >= 0)
        close(server->epoll);
    free(server->path);
    free(server);
}
