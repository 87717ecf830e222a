/* mx.h: receivers for tests, at the far end of a simulated wire and in virtual time.
 *
 * Each host is an address, a port and a script; all of them share one net, the engine's own TCP, and OpenSSL as the TLS
 * server.  What was received is kept, un-stuffed, for comparison.
 */
#ifndef TESTS_UNIT_CORE_MX_H
#define TESTS_UNIT_CORE_MX_H

#include "engine/net/net.h"
#include "engine/tcp/tcb.h"

#include <openssl/ssl.h>

#define MX_HOSTS_MAX   14u
#define MX_CONNS_MAX   128u
#define MX_ADDRESS_MAX 64u
#define MX_RCPTS_MAX   16u

/* Where in a conversation a host causes trouble: when that has arrived, and instead of the answer to it. */
enum mx_point {
    MX_NOWHERE,
    MX_CONNECTED, /* no greeting */
    MX_EHLO,
    MX_STARTTLS,
    MX_HELLO, /* the first bytes of the handshake */
    MX_EHLO_TLS,
    MX_MAIL,
    MX_RCPT,
    MX_DATA, /* or BDAT */
    MX_BODY, /* the first line of a body */
    MX_DOT,  /* the message is kept all the same: it has arrived */
    MX_IDLE, /* right behind the reply to a message, which leaves with it */
    MX_QUIT,
    MX_POINTS
};

enum mx_deed {
    MX_CLOSE,  /* FIN */
    MX_RESET,  /* RST */
    MX_STALL,  /* silence, but TCP's */
    MX_NOTIFY, /* close_notify of TLS and no FIN */
    MX_NOISE,  /* bytes that are no TLS record */
    MX_FLOOD,  /* very many of them, and FIN */
};

struct mx_trouble {
    enum mx_point at;
    enum mx_deed deed;
    unsigned skip;  /* so often it goes well before */
    unsigned times; /* then so often not; 0: always */
};

struct mx_host {
    struct ip_addr address;
    uint16_t port;

    /* script; all zero: takes everything */
    SSL_CTX *tls;
    bool implicit_tls, no_starttls, no_pipelining;
    bool chunking;      /* offers it */
    bool knows_no_bdat; /* whatever it offers: a chunk is lines of commands */
    bool refuses;       /* RST for a SYN */
    bool silent;        /* nothing for a SYN */
    bool lingers;       /* after QUIT it waits for our FIN */
    bool holds;         /* and after that, too: it never closes */
    const char *greeting, *ehlo_tls, *mail, *rcpt, *data, *dot, *quit,
        *rset;                /* replies instead of the usual ones */
    unsigned connections_max; /* above that 421; 0: no limit */
    uint32_t idle_us;         /* closes connections that have idled for so long; 0: never */
    uint32_t think_us;        /* before every reply */
    struct mx_trouble trouble;

    /* what was seen */
    unsigned accepted, standing, standing_max; /* connections */
    unsigned turned_away, quits, resets, handshakes;
    unsigned records; /* of TLS, behind the handshakes */
};

struct mx_bytes {
    uint8_t *data;
    size_t len, cap;
};

struct mx_conn {
    struct mx *mx;
    struct mx_host *host; /* NULL: this place is free */
    unsigned serial;      /* of all connections that were accepted */
    uint32_t flow;
    struct flow_key key;
    struct tcb tcb;
    struct wheel_timer timer;
    bool dirty; /* wants a run */
    bool greeted, secured;
    bool deaf;                    /* takes no notice of what comes any more */
    bool closing, closed;         /* FIN once all is out; it has been asked for */
    bool counted;                 /* in host->standing */
    bool too_many;                /* more stood than the host takes when it came */
    uint64_t speak_us;            /* when what is in plain may leave */
    uint64_t idle_us;             /* DEADLINE_NEVER */
    uint64_t secured_us, ehlo_us; /* the client's Finished came, and EHLO over TLS */
    bool tls_due;                 /* TLS begins behind what is in plain */
    SSL *ssl;
    BIO *from_peer, *to_peer;
    struct mx_bytes line, plain, raw;

    /* the dialogue */
    bool in_body;
    size_t chunk_left;
    bool chunk_last;
    char sender[MX_ADDRESS_MAX];
    bool has_sender;
    unsigned rcpts;
    char rcpt[MX_RCPTS_MAX][MX_ADDRESS_MAX];
    struct mx_bytes body;
    unsigned messages;
};

/* A message whose end of data has arrived. */
struct mx_mail {
    struct mx_host *host;
    unsigned serial; /* of the connection */
    unsigned rcpts;
    char sender[MX_ADDRESS_MAX];
    char rcpt[MX_RCPTS_MAX][MX_ADDRESS_MAX];
    uint8_t *body;
    size_t body_len;
    uint16_t reply; /* code that was put out; 0: none */
    bool chunked;   /* by BDAT */
};

struct mx {
    uint64_t now_us;
    struct port *port;
    struct net_config config;
    struct net *net;
    struct wheel wheel;
    struct stats stats;
    struct tcp_config tcp;
    unsigned hosts, serial;
    struct mx_host host[MX_HOSTS_MAX];
    struct mx_conn conn[MX_CONNS_MAX];
    struct mx_mail *mail;
    unsigned mails, mails_cap;
    unsigned clear_mail; /* commands that carry mail and came without TLS: must stay 0 */
    uint64_t frames;     /* received */
    unsigned resets;     /* RSET */
    uint64_t deaf_us;    /* until then all that arrives is lost */
};

/* mx_open: port is the receivers' from now on. */
void mx_open(struct mx *mx, struct port *port, uint64_t now_us);
void mx_close(struct mx *mx);

/* mx_add makes a host; it stays where it is.  tls is borrowed.  Call mx_listen once all of them are there. */
struct mx_host *mx_add(struct mx *mx, const char *address, uint16_t port, SSL_CTX *tls);
void mx_listen(struct mx *mx);

/* mx_turn does all there is to do at that time; true if that was anything. */
bool mx_turn(struct mx *mx, uint64_t now_us);
uint64_t mx_next_us(const struct mx *mx);

unsigned mx_conns(const struct mx *mx); /* that stand, TIME-WAIT included */

/* mx_conn_of gives the nth connection that a host has standing, the oldest first; NULL when there is none. */
struct mx_conn *mx_conn_of(struct mx *mx, const struct mx_host *host, unsigned nth);

/* mx_do does a deed to a connection from outside of its script. */
void mx_do(struct mx_conn *c, enum mx_deed deed);

/* ---- between mx.c, mx_io.c and mx_smtp.c ---- */

void mx_count_out(struct mx_conn *c); /* it stands no more */
void mx_start_tls(struct mx_conn *c);
bool mx_receive(struct mx_conn *c); /* true if anything was there */
void mx_send(struct mx_conn *c);
void mx_bytes_free(struct mx_bytes *bytes);

void mx_say(struct mx_conn *c, const char *fmt, ...) printf_like(2, 3); /* one line */
bool mx_meets(struct mx_conn *c, enum mx_point point);                  /* trouble, and it has been made */
void mx_greet(struct mx_conn *c);
void mx_take_chunk(struct mx_conn *c, const uint8_t *data, size_t len); /* len <= chunk_left */
void mx_take_line(struct mx_conn *c, const char *line, size_t len);     /* with its CRLF */
void mx_bytes_add(struct mx_bytes *bytes, const void *data, size_t len);

#endif
