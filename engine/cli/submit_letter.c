/* submit_letter.c: a message and its envelope in memory. */
#include "engine/cli/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_BYTES (64u << 10)

bool envelope_add_to(struct envelope *e, const char *address, size_t bytes, const char *dsn)
{
    struct addressee *to = realloc(e->to, (e->to_count + 1) * sizeof(*to));
    if (!to)
        return false;
    e->to = to;
    struct addressee *a = &to[e->to_count];
    a->address = strndup(address, bytes);
    a->dsn = dsn ? strdup(dsn) : NULL;
    if (!a->address || (dsn && !a->dsn)) {
        free(a->address);
        return false;
    }
    e->to_count++;
    return true;
}

void envelope_clear(struct envelope *e)
{
    for (size_t i = 0; i < e->to_count; i++) {
        free(e->to[i].address);
        free(e->to[i].dsn);
    }
    free(e->to);
    free(e->from);
    free(e->next_hop);
    free(e->tag);
    *e = (struct envelope){0};
}

void letter_free(struct letter *letter)
{
    list_remove(&letter->link);
    envelope_clear(&letter->envelope);
    free(letter->path);
    free(letter->data);
    free(letter->again);
    free(letter);
}

static enum letter_fault unreadable(const struct letter *letter, struct error *err)
{
    error_set(err, "%s: %s", letter->path, strerror(errno));
    return LETTER_UNREADABLE;
}

static enum letter_fault too_long(const struct letter *letter, uint64_t limit, struct error *err)
{
    error_set(err, "%s is longer than the %llu bytes that the engine takes", letter->path,
              (unsigned long long)limit);
    return LETTER_TOO_LONG;
}

/* Reads to the end; the size that a file claims is only a first guess. */
static enum letter_fault read_all(int fd, struct letter *letter, size_t guess, uint64_t limit,
                                  struct error *err)
{
    for (size_t cap = guess + 1; letter->bytes <= limit; cap *= 2) {
        char *data = realloc(letter->data, cap);
        if (!data)
            return unreadable(letter, err);
        letter->data = data;
        while (letter->bytes < cap) {
            ssize_t n = read(fd, data + letter->bytes, cap - letter->bytes);
            if (n < 0 && errno != EINTR)
                return unreadable(letter, err);
            if (n == 0)
                return letter->bytes <= limit ? LETTER_GOOD : too_long(letter, limit, err);
            letter->bytes += n > 0 ? (size_t)n : 0;
        }
    }
    return too_long(letter, limit, err);
}

static enum letter_fault read_file(struct letter *letter, uint64_t limit, struct error *err)
{
    struct stat st;
    enum letter_fault loaded;
    int fd = open(letter->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        loaded = unreadable(letter, err);
    else if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > limit)
        loaded = too_long(letter, limit, err);
    else
        loaded = read_all(fd, letter, S_ISREG(st.st_mode) ? (size_t)st.st_size : FIRST_BYTES, limit, err);
    if (fd >= 0)
        close(fd);
    return loaded;
}

enum letter_fault letter_load(struct letter *letter, uint64_t limit, struct error *err)
{
    if (letter->data)
        return LETTER_GOOD;
    letter->bytes = 0;
    bool is_stdin = strcmp(letter->path, "-") == 0;
    enum letter_fault loaded =
        is_stdin ? read_all(STDIN_FILENO, letter, FIRST_BYTES, limit, err) : read_file(letter, limit, err);
    if (loaded != LETTER_GOOD) {
        free(letter->data);
        letter->data = NULL;
    }
    return loaded;
}
