/* bench/trickle.h: what the files of `hardline-bench trickle` share: options, and the client's side of one dialogue. */
#ifndef BENCH_TRICKLE_H
#define BENCH_TRICKLE_H

#include "bench/histogram.h"
#include "bench/stack.h"

#define TRICKLE_SIZE_MIN 200u
#define TRICKLE_SIZE_MAX 30000u /* with its commands it fits into a send buffer */

struct trickle_options {
    const char *device, *address; /* "10.1.255.1/16": ours */
    struct ip_addr to;            /* the first of `to_count` addresses of the farm */
    uint32_t to_count;
    uint16_t port;
    uint32_t connections, rate, size;
    uint32_t idle_s, seconds, open_s;
    uint32_t buffers, memory_mb;
    int cpu; /* -1: any */
};

/* trickle_options_read: -1: go on; else the exit status, and everything has been said. */
int trickle_options_read(struct trickle_options *options, int argc, char **argv);

/* ---- one dialogue ---- */

enum talk_state { TALK_GREETING, TALK_EHLO, TALK_IDLE, TALK_MESSAGE, TALK_OVER };

struct talk {
    struct stream *stream;
    uint64_t sent_us;      /* when the message left that is not answered yet */
    uint8_t state;         /* enum talk_state */
    uint8_t wanted;        /* replies to come; in [0, 3] */
    uint8_t column;        /* of the line that comes in; in [0, 4] */
    char digit, separator; /* its first and fourth octets */
};

/* talk_input reads what has come and says EHLO where it is its turn.  false: a reply was no good one (not 2xx). */
bool talk_input(struct talk *talk) must_check;

/* The messages are all of one text (bench/message.h); talk_text_open makes it. */
bool talk_text_open(uint32_t message_bytes, uint32_t run, struct error *err) must_check;
void talk_text_close(void);

/* talk_send puts message number seq into an idle dialogue's stream, commands and BDAT in one flight (RFC 3030 section 2);
 * false: there was no room for all of it, and the stream is useless.
 */
bool talk_send(struct talk *talk, uint32_t seq, uint64_t now_us) must_check;

#endif
