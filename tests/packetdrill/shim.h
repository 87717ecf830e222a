/* shim.h: packetdrill's view of the stack: socket calls and raw IP packets around the pure TCP, in virtual time.
 *
 * packetdrill loads the shared object, calls what packetdrill_interface_init gave it, and never waits: time moves
 * when it sleeps, when it waits for a packet, and by a microsecond whenever it asks what time it is.  Calls return
 * what the kernel's would, a negative errno for an error.  Two threads come in: packetdrill's own, and the one that
 * it leaves waiting in a blocking call; `lock` lets in one at a time.
 */
#ifndef TESTS_PACKETDRILL_SHIM_H
#define TESTS_PACKETDRILL_SHIM_H

#include "engine/base/pkt.h"
#include "engine/base/stat.h"
#include "engine/tcp/tcp.h"
#include "engine/wire/wire.h"

#include <pthread.h>

#define SOCKS_MAX      64u
#define PACKET_MAX     65535u
#define CLOCK_START_US 1000000000u

struct shim;
struct sock;

/* ---- one packet that has left ---- */

struct sent_packet {
    struct sent_packet *next;
    uint64_t when_us;
    size_t len;
    uint8_t data[];
};

/* ---- the call that waits ---- */

/* shim_try: the call's result, or -EAGAIN while it has to wait. */
typedef long (*shim_try)(struct shim *shim, void *arg);

enum waiting_state {
    WAITING_NOBODY,
    WAITING_FOR_EVENT,
    WAITING_FOR_RETURN, /* the result is there; the clock stands still until its thread has asked for the time */
};

struct waiting {
    enum waiting_state state;
    shim_try try;
    void *arg;
    uint64_t deadline_us; /* then the result is 0; DEADLINE_NEVER */
    long result;
    pthread_cond_t finished, returned;
};

struct shim {
    pthread_mutex_t lock;
    pthread_t main_thread;
    uint64_t now_us;
    struct waiting waiting;
    struct pkt_pool *send_pool, *recv_pool;
    struct stats stats;
    struct sent_packet *sent, *sent_last;
    struct sock *socks; /* SOCKS_MAX of them */
    uint16_t next_port;
    uint32_t next_isn;
    char knobs[256]; /* the folder that stands for /proc/sys/net/ipv4 */
};

/* The one there is; NULL before packetdrill asked for it. */
extern struct shim *the_shim;

/* shim_unsupported says what a script asked for that the stack does not have, in the words that packetdrill.py looks
 * for; returns -error.
 */
int shim_unsupported(int error, const char *format, ...) printf_like(2, 3);

/* ---- clock.c ---- */

/* clock_settle lets out what may leave, and finishes the call that waits if it can; after everything that happens. */
void clock_settle(struct shim *shim);

/* clock_advance goes to a time, by way of every deadline before it. */
void clock_advance(struct shim *shim, uint64_t to_us);

/* clock_next: when something is going to happen by itself; DEADLINE_NEVER. */
uint64_t clock_next(const struct shim *shim);

/* clock_wait returns what try gives, in virtual time: at once, or when it no longer says -EAGAIN. */
long clock_wait(struct shim *shim, shim_try try, void *arg, uint64_t deadline_us);

/* ---- wire.c: raw IP packets ---- */

void wire_receive(struct shim *shim, const void *packet, size_t len);

/* wire_emit is what struct tcp_emit calls; ctx is the socket. */
bool wire_emit(void *ctx, const struct tcp_segment *seg);

/* ---- knobs.c: what Linux's sysctls say ---- */

struct knobs {
    bool timestamps, sack, window_scaling, reno;
    uint8_t ecn; /* enum tcp_ecn */
    uint32_t send_buffer_bytes, recv_buffer_bytes, syn_retries;
};

struct knobs knobs_read(const char *folder);

#endif
