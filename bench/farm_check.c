#include "bench/farm_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_begin(struct check_message *message)
{
    message->bytes = 0;
    message->marked = false;
}

/* ---- as it arrives ---- */

static size_t add_head(struct check_message *m, const char *data, size_t len)
{
    size_t n = min_size(len, MESSAGE_HEAD_BYTES - m->bytes);
    memcpy(m->edge + m->bytes, data, n);
    if (m->bytes + n == MESSAGE_HEAD_BYTES) {
        m->marked = message_head_parse(&m->mark, m->edge);
        message_digest_init(&m->digest);
    }
    return n;
}

static size_t add_text(struct check_message *m, const char *data, size_t len)
{
    size_t n = (size_t)min_u64(len, MESSAGE_HEAD_BYTES + (uint64_t)m->mark.size - m->bytes);
    message_digest_add(&m->digest, data, n);
    return n;
}

static size_t add_tail(struct check_message *m, const char *data, size_t len)
{
    uint64_t at = m->bytes - MESSAGE_HEAD_BYTES - m->mark.size;
    if (at >= MESSAGE_TAIL_BYTES)
        return len;
    size_t n = min_size(len, (size_t)(MESSAGE_TAIL_BYTES - at));
    memcpy(m->edge + at, data, n);
    return n;
}

static size_t add_some(struct check_message *m, const char *data, size_t len)
{
    if (m->bytes < MESSAGE_HEAD_BYTES)
        return add_head(m, data, len);
    if (!m->marked)
        return len;
    if (m->bytes < MESSAGE_HEAD_BYTES + (uint64_t)m->mark.size)
        return add_text(m, data, len);
    return add_tail(m, data, len);
}

void check_add(struct check_message *message, const void *data, size_t len)
{
    const char *at = data;
    while (len) {
        size_t n = add_some(message, at, len);
        message->bytes += n;
        at += n;
        len -= n;
    }
}

/* ---- at its end ---- */

static bool is_whole(const struct check_message *m)
{
    char tail[MESSAGE_TAIL_BYTES];
    message_tail(&m->mark, tail);
    return m->bytes == MESSAGE_HEAD_BYTES + (uint64_t)m->mark.size + MESSAGE_TAIL_BYTES &&
           message_digest_value(&m->digest) == m->mark.digest && memcmp(tail, m->edge, sizeof(tail)) == 0;
}

static struct check_run *find_run(struct check *check, uint32_t number)
{
    for (uint32_t i = check->runs; i-- > 0;)
        if (check->run[i].run == number)
            return &check->run[i];
    if (check->runs == CHECK_RUNS_MAX)
        return NULL;
    check->run[check->runs] = (struct check_run){.run = number};
    return &check->run[check->runs++];
}

static bool make_room(struct check_run *run, uint32_t seq)
{
    uint32_t word = seq / 64;
    if (word < run->words)
        return true;
    uint32_t words = run->words ? run->words : 64;
    while (words <= word)
        words *= 2;
    uint64_t *seen = realloc(run->seen, words * sizeof(*seen));
    if (!seen)
        return false;
    memset(seen + run->words, 0, (words - run->words) * sizeof(*seen));
    run->seen = seen;
    run->words = words;
    return true;
}

static enum check_verdict remember(struct check_run *run, uint32_t seq)
{
    uint64_t bit = 1ull << seq % 64, *word = &run->seen[seq / 64];
    if (*word & bit) {
        run->duplicates++;
        return CHECK_DUPLICATE;
    }
    *word |= bit;
    run->received++;
    run->highest = seq > run->highest ? seq : run->highest;
    return CHECK_GOOD;
}

static enum check_verdict judge(struct check *check, const struct check_message *m)
{
    if (!m->marked)
        return CHECK_UNMARKED;
    if (!is_whole(m))
        return CHECK_DAMAGED;
    struct check_run *run = m->mark.seq < CHECK_SEQ_MAX ? find_run(check, m->mark.run) : NULL;
    if (!run || !make_room(run, m->mark.seq))
        return CHECK_STRANGE;
    return remember(run, m->mark.seq);
}

enum check_verdict check_end(struct check *check, const struct check_message *message)
{
    enum check_verdict verdict = judge(check, message);
    check->verdict[verdict]++;
    check->bytes += message->bytes;
    return verdict;
}

uint64_t check_missing(const struct check_run *run)
{
    return run->received ? (uint64_t)run->highest + 1 - run->received : 0;
}

void check_describe(const struct check_message *m, enum check_verdict verdict, char *out, size_t cap)
{
    static const char *const words[] = {
        [CHECK_GOOD] = "is good",
        [CHECK_DUPLICATE] = "has come before",
        [CHECK_DAMAGED] = "is damaged",
        [CHECK_UNMARKED] = "does not begin with X-Hardline-Bench",
        [CHECK_STRANGE] = "has a number that no run has",
    };
    if (!m->marked)
        snprintf(out, cap, "a message of %llu bytes %s", (unsigned long long)m->bytes, words[verdict]);
    else
        snprintf(out, cap,
                 "message %u of run %08x %s: %llu bytes instead of %llu, digest %016llx, marked %016llx",
                 m->mark.seq, m->mark.run, words[verdict], (unsigned long long)m->bytes,
                 (unsigned long long)m->mark.size + MESSAGE_HEAD_BYTES + MESSAGE_TAIL_BYTES,
                 (unsigned long long)message_digest_value(&m->digest), (unsigned long long)m->mark.digest);
}

void check_close(struct check *check)
{
    for (uint32_t i = 0; i < check->runs; i++)
        free(check->run[i].seen);
    memset(check, 0, sizeof(*check));
}
