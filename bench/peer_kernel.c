/* peer_kernel.c: a sender on kernel sockets, epoll and OpenSSL, to stand beside the engine in benchmarks: one thread, chain and
 * host name verified, MAIL, RCPT and DATA in one flight.  An honest one, with nothing that a good mailer would not do.
 *
 *     peer_kernel ADDRESS PORT CA HOST IN_FLIGHT CONNECTIONS MESSAGES_EACH BYTES [resume]
 *
 * MESSAGES_EACH 0: handshake, EHLO, QUIT.  Key exchange is X25519.  Prints one line with counts and CPU time, user and system.
 */
#include "engine/base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX  256
#define INPUT_BYTES 4096u
#define LINE_BYTES  78u
#define EHLO        "EHLO out.sender.test\r\n"
#define ENVELOPE    "MAIL FROM:<bench@sender.test>\r\nRCPT TO:<bench@farm.test>\r\nDATA\r\n"
#define WAIT_MS     30000

/* What a reply is the answer to. */
enum step { GREETING, EHLO_CLEAR, STARTTLS, HANDSHAKE, EHLO_TLS, MAIL, RCPT, DATA, BODY, QUIT };

enum state { GOES_ON, DONE, FAILED };

struct connection {
    int fd;
    enum step step;
    unsigned messages_left;
    SSL *ssl;        /* NULL before STARTTLS's answer */
    const char *out; /* what is being sent */
    size_t out_len, out_at, in_len;
    char in[INPUT_BYTES];
};

static struct {
    struct sockaddr_in to;
    const char *host;
    unsigned in_flight, connections, messages_each;
    bool resume;
    char *message;
    size_t message_len;
    SSL_CTX *tls;
    SSL_SESSION *session;
    int epoll;
    unsigned started, open;
    unsigned long messages, handshakes, resumed, failed;
} peer;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "peer_kernel: %s: %s\n", what, why);
    exit(1);
}

/* ---- bytes out and in ---- */

static void say(struct connection *c, const char *text, size_t len)
{
    c->out = text;
    c->out_len = len;
    c->out_at = 0;
}

static bool tls_wants_more(const struct connection *c, int result)
{
    int error = SSL_get_error(c->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* How many bytes left; 0: none now; -1: it is broken. */
static long send_part(struct connection *c)
{
    const char *from = c->out + c->out_at;
    size_t len = c->out_len - c->out_at, done = 0;
    if (c->ssl) {
        int result = SSL_write_ex(c->ssl, from, len, &done);
        return result == 1 ? (long)done : tls_wants_more(c, result) ? 0 : -1;
    }
    ssize_t sent = send(c->fd, from, len, MSG_NOSIGNAL);
    return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
}

static bool flush(struct connection *c)
{
    while (c->out_at < c->out_len) {
        long part = send_part(c);
        if (part <= 0)
            return part == 0;
        c->out_at += (size_t)part;
    }
    return true;
}

static long receive_part(struct connection *c)
{
    size_t room = sizeof(c->in) - c->in_len, done = 0;
    if (c->ssl) {
        int result = SSL_read_ex(c->ssl, c->in + c->in_len, room, &done);
        return result == 1 ? (long)done : tls_wants_more(c, result) ? 0 : -1;
    }
    ssize_t got = recv(c->fd, c->in + c->in_len, room, 0);
    return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
}

/* ---- the dialogue ---- */

/* A copy for each connection: OpenSSL marks a session as used up when the connection that has it gets a new one. */
static bool offer_session(SSL *ssl)
{
    SSL_SESSION *own = SSL_SESSION_dup(peer.session);
    bool set = own && SSL_set_session(ssl, own) == 1;
    SSL_SESSION_free(own);
    return set;
}

static enum state start_tls(struct connection *c)
{
    c->ssl = SSL_new(peer.tls);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_set1_host(c->ssl, peer.host) != 1 ||
        SSL_set_tlsext_host_name(c->ssl, peer.host) != 1)
        return FAILED;
    if (peer.session && !offer_session(c->ssl))
        return FAILED;
    SSL_set_connect_state(c->ssl);
    c->step = HANDSHAKE;
    return GOES_ON;
}

static void next_message(struct connection *c)
{
    if (c->messages_left > 0) {
        c->messages_left--;
        c->step = MAIL;
        say(c, ENVELOPE, sizeof(ENVELOPE) - 1);
    } else {
        c->step = QUIT;
        say(c, "QUIT\r\n", 6);
    }
}

/* A whole reply with that code has come. */
static enum state on_reply(struct connection *c, int code)
{
    static const int wanted[] = {
        [GREETING] = 220, [EHLO_CLEAR] = 250, [STARTTLS] = 220, [EHLO_TLS] = 250, [MAIL] = 250,
        [RCPT] = 250,     [DATA] = 354,       [BODY] = 250,     [QUIT] = 221};
    if (code != wanted[c->step])
        return FAILED;
    switch (c->step) {
    case GREETING:
        c->step = EHLO_CLEAR;
        say(c, EHLO, sizeof(EHLO) - 1);
        break;
    case EHLO_CLEAR:
        c->step = STARTTLS;
        say(c, "STARTTLS\r\n", 10);
        break;
    case STARTTLS: return start_tls(c);
    case MAIL: c->step = RCPT; break;
    case RCPT: c->step = DATA; break;
    case DATA:
        c->step = BODY;
        say(c, peer.message, peer.message_len);
        break;
    case BODY: peer.messages++; /* fall through */
    case EHLO_TLS: next_message(c); break;
    default: return DONE;
    }
    return GOES_ON;
}

/* Every whole line that has come. */
static enum state read_lines(struct connection *c)
{
    char *at = c->in, *end;
    enum state state = GOES_ON;
    while (state == GOES_ON && c->step != HANDSHAKE &&
           (end = memchr(at, '\n', c->in_len - (size_t)(at - c->in))) != NULL) {
        if (end - at >= 4 && at[3] != '-')
            state = on_reply(c, atoi(at));
        at = end + 1;
    }
    c->in_len -= (size_t)(at - c->in);
    memmove(c->in, at, c->in_len);
    if (c->step == HANDSHAKE && c->in_len > 0)
        return FAILED; /* RFC 3207 section 6: nothing may stand behind the 220 */
    return c->in_len < sizeof(c->in) ? state : FAILED;
}

static enum state shake_hands(struct connection *c)
{
    int result = SSL_do_handshake(c->ssl);
    if (result != 1)
        return tls_wants_more(c, result) ? GOES_ON : FAILED;
    peer.handshakes++;
    peer.resumed += (unsigned long)SSL_session_reused(c->ssl);
    c->step = EHLO_TLS;
    say(c, EHLO, sizeof(EHLO) - 1);
    return GOES_ON;
}

static enum state serve(struct connection *c)
{
    for (;;) {
        if (c->step == HANDSHAKE) {
            enum state state = shake_hands(c);
            if (state != GOES_ON || c->step == HANDSHAKE)
                return state;
        }
        if (!flush(c))
            return FAILED;
        long part = receive_part(c);
        if (part <= 0)
            return part == 0 ? GOES_ON : FAILED;
        c->in_len += (size_t)part;
        enum state state = read_lines(c);
        if (state != GOES_ON)
            return state;
    }
}

/* ---- connections ---- */

static void open_one(void)
{
    int on = 1;
    struct connection *c = calloc(1, sizeof(*c));
    if (!c || (c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0)
        die("connection", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (const struct sockaddr *)&peer.to, sizeof(peer.to)) != 0 && errno != EINPROGRESS)
        die("connect", strerror(errno));
    c->messages_left = peer.messages_each;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(peer.epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll",
            strerror(errno)); /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): epoll has c, to give it back */
    peer.started++;
    peer.open++;
}

static void close_one(struct connection *c, enum state state)
{
    peer.failed += state == FAILED;
    if (state == FAILED)
        ERR_print_errors_fp(stderr);
    if (c->ssl)
        SSL_set_shutdown(c->ssl,
                         SSL_SENT_SHUTDOWN); /* or OpenSSL takes the session, too, for one that broke */
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
    peer.open--;
}

/* Nothing can be resumed before the first session is known: until then one at a time. */
static unsigned may_be_open(void)
{
    return peer.resume && !peer.session ? 1 : peer.in_flight;
}

static void run(void)
{
    struct epoll_event event[EVENTS_MAX];
    while (peer.started < peer.connections || peer.open > 0) {
        while (peer.started < peer.connections && peer.open < may_be_open())
            open_one();
        int count = epoll_wait(peer.epoll, event, EVENTS_MAX, WAIT_MS);
        if (count == 0)
            die("the receiver", "nothing came from it for half a minute");
        for (int i = 0; i < count; i++) {
            struct connection *c = event[i].data.ptr;
            enum state state = serve(c);
            if (state != GOES_ON)
                close_one(c, state);
        }
    }
}

/* ---- start ---- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(peer.session);
    peer.session = SSL_SESSION_dup(session);
    return 0; /* the session itself stays the connection's */
}

static void open_tls(const char *ca)
{
    peer.tls = SSL_CTX_new(TLS_client_method());
    if (!peer.tls || SSL_CTX_set_min_proto_version(peer.tls, TLS1_2_VERSION) != 1 ||
        SSL_CTX_load_verify_locations(peer.tls, ca, NULL) != 1 ||
        SSL_CTX_set1_groups_list(peer.tls, "X25519") != 1)
        die(ca, "TLS could not be set up with it");
    SSL_CTX_set_verify(peer.tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(peer.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(peer.tls, peer.resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
                                                         : SSL_SESS_CACHE_OFF);
    if (peer.resume)
        SSL_CTX_sess_set_new_cb(peer.tls, keep_session);
}

/* The message with the dot that ends it. */
static void make_message(size_t bytes)
{
    static const char head[] = "From: bench@sender.test\r\nTo: bench@farm.test\r\nSubject: benchmark\r\n\r\n";
    size_t len = sizeof(head) - 1;
    peer.message = malloc(len + bytes + LINE_BYTES + 8);
    if (!peer.message)
        die("message", "no memory");
    memcpy(peer.message, head, len);
    while (len < bytes) {
        size_t line = min_size(bytes - len, LINE_BYTES - 2);
        memset(peer.message + len, 'x', line);
        memcpy(peer.message + len + line, "\r\n", 2);
        len += line + 2;
    }
    memcpy(peer.message + len, ".\r\n", 3);
    peer.message_len = len + 3;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_arguments(int argc, char **argv)
{
    if (argc < 9 || argc > 10 || (argc == 10 && strcmp(argv[9], "resume") != 0)) {
        fprintf(
            stderr,
            "usage: peer_kernel ADDRESS PORT CA HOST IN_FLIGHT CONNECTIONS MESSAGES_EACH BYTES [resume]\n");
        exit(2);
    }
    peer.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &peer.to.sin_addr) != 1)
        die(argv[1], "is not an IPv4 address");
    peer.host = argv[4];
    peer.in_flight = (unsigned)atoi(argv[5]);
    peer.connections = (unsigned)atoi(argv[6]);
    peer.messages_each = (unsigned)atoi(argv[7]);
    peer.resume = argc == 10;
}

int main(int argc, char **argv)
{
    read_arguments(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    open_tls(argv[3]);
    make_message((size_t)atol(argv[8]));
    peer.epoll = epoll_create1(EPOLL_CLOEXEC);
    double from = wall_s();
    run();
    double wall = wall_s() - from;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("peer_kernel: %lu messages %lu handshakes %lu failed in %.3fs wall, cpu %.3fs, %lu resumed\n",
           peer.messages, peer.handshakes, peer.failed, wall, seconds(used.ru_utime) + seconds(used.ru_stime),
           peer.resumed);
    return peer.failed != 0;
}
