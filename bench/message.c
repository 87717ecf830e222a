#include "bench/message.h"

#include <stdio.h>
#include <string.h>

static const char head_name[] = "X-Hardline-Bench: ";

void message_head(const struct message_mark *mark, char *out)
{
    char line[MESSAGE_HEAD_BYTES + 1];
    snprintf(line, sizeof(line), "%s%08x %08x %08x %016llx\r\n", head_name, mark->run, mark->seq, mark->size,
             (unsigned long long)mark->digest);
    memcpy(out, line, MESSAGE_HEAD_BYTES);
}

void message_tail(const struct message_mark *mark, char *out)
{
    char line[MESSAGE_TAIL_BYTES + 1];
    snprintf(line, sizeof(line), "-- %08x %08x\r\n", mark->run, mark->seq);
    memcpy(out, line, MESSAGE_TAIL_BYTES);
}

/* ---- reading ---- */

static bool read_hex(const char **at, unsigned digits, char end, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < digits; i++) {
        char c = *(*at)++;
        if (c >= '0' && c <= '9')
            *value = *value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            *value = *value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    return *(*at)++ == end;
}

bool message_head_parse(struct message_mark *mark, const char *in)
{
    uint64_t run, seq, size;
    const char *at = in + sizeof(head_name) - 1;
    if (memcmp(in, head_name, sizeof(head_name) - 1) != 0 || !read_hex(&at, 8, ' ', &run) ||
        !read_hex(&at, 8, ' ', &seq) || !read_hex(&at, 8, ' ', &size) ||
        !read_hex(&at, 16, '\r', &mark->digest) || *at != '\n')
        return false;
    mark->run = (uint32_t)run;
    mark->seq = (uint32_t)seq;
    mark->size = (uint32_t)size;
    return true;
}

/* ---- the digest ---- */

/* Four words at a time, a lane each.  A step is a bijection of the lane for every word and of the word for every lane, so
 * that a single wrong word always shows in the end.
 */
#define MULTIPLIER 0x9e3779b97f4a7c15u

static inline uint64_t step(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * MULTIPLIER;
    return lane << 29 | lane >> 35;
}

static void add_block(struct message_digest *digest, const uint8_t *block)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, block + 8 * i, sizeof(word));
        digest->lane[i] = step(digest->lane[i], word);
    }
}

void message_digest_init(struct message_digest *digest)
{
    memset(digest, 0, sizeof(*digest));
    for (unsigned i = 0; i < 4; i++)
        digest->lane[i] = i + 1;
}

void message_digest_add(struct message_digest *digest, const void *data, size_t len)
{
    const uint8_t *at = data;
    size_t held = digest->bytes % sizeof(digest->part);
    digest->bytes += len;
    if (held) {
        size_t n = min_size(len, sizeof(digest->part) - held);
        memcpy(digest->part + held, at, n);
        at += n;
        len -= n;
        if (held + n < sizeof(digest->part))
            return;
        add_block(digest, digest->part);
    }
    for (; len >= sizeof(digest->part); at += sizeof(digest->part), len -= sizeof(digest->part))
        add_block(digest, at);
    memcpy(digest->part, at, len);
}

uint64_t message_digest_value(const struct message_digest *digest)
{
    struct message_digest end = *digest;
    size_t held = end.bytes % sizeof(end.part);
    memset(end.part + held, 0, sizeof(end.part) - held);
    if (held)
        add_block(&end, end.part);
    uint64_t value = end.bytes;
    for (unsigned i = 0; i < 4; i++)
        value = step(value, end.lane[i]);
    return value ^ value >> 32;
}
