/* bench/message.h: the form of the generator's messages, by which the farm knows that each arrived once and whole.
 *
 *     X-Hardline-Bench: RRRRRRRR SSSSSSSS NNNNNNNN DDDDDDDDDDDDDDDD\r\n      run, seq, size, digest
 *     ... size bytes: further header lines, an empty one, the body; the last two are \r\n ...
 *     -- RRRRRRRR SSSSSSSS\r\n                                             run and seq again
 *
 * Numbers are lower-case hexadecimal of fixed width.  The digest is of the size bytes alone: a generator makes it once for
 * a text that it sends many times; that a message ends as the one that it began as is what the last line tells.  Nothing
 * stands before the first line or behind the last.
 */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include "engine/base/base.h"

#define MESSAGE_HEAD_BYTES 63u
#define MESSAGE_TAIL_BYTES 22u

struct message_mark {
    uint32_t run;  /* of the generator: warm-up and measured phase are two */
    uint32_t seq;  /* from 0, without gaps */
    uint32_t size; /* bytes between the first line and the last */
    uint64_t digest;
};

/* message_head and message_tail write MESSAGE_HEAD_BYTES and MESSAGE_TAIL_BYTES, no NUL. */
void message_head(const struct message_mark *mark, char *out);
void message_tail(const struct message_mark *mark, char *out);

/* message_head_parse reads MESSAGE_HEAD_BYTES; false: it is no such line. */
bool message_head_parse(struct message_mark *mark, const char *in) must_check;

/* A 64-bit checksum against accidents, many bytes a cycle; no protection against somebody who wants a collision, of which
 * TLS takes care.  The same bytes give the same digest however they are cut.
 */
struct message_digest {
    uint64_t lane[4];
    uint64_t bytes;
    uint8_t part[32]; /* bytes % 32 of them wait for more */
};

void message_digest_init(struct message_digest *digest);
void message_digest_add(struct message_digest *digest, const void *data, size_t len);
uint64_t message_digest_value(const struct message_digest *digest);

#endif
