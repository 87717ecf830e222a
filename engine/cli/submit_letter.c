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

static bool too_long(const char *path, uint64_t limit, struct error *err)
{
    return error_set(err, "%s is longer than the %llu bytes that the engine takes", path,
                     (unsigned long long)limit);
}

/* Reads to the end; the size that a file claims is only a first guess. */
static bool read_all(int fd, struct letter *letter, size_t guess, uint64_t limit, struct error *err)
{
    size_t cap = guess + 1;
    for (;;) {
        char *data = realloc(letter->data, cap);
        if (!data)
            return error_set(err, "%s: out of memory", letter->path);
        letter->data = data;
        while (letter->bytes < cap) {
            ssize_t n = read(fd, data + letter->bytes, cap - letter->bytes);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return error_set(err, "%s: %s", letter->path, strerror(errno));
            if (n == 0)
                return true;
            letter->bytes += (size_t)n;
        }
        if (letter->bytes > limit)
            return too_long(letter->path, limit, err);
        cap *= 2;
    }
}

static bool open_letter(const struct letter *letter, int *fd, size_t *guess, uint64_t limit,
                        struct error *err)
{
    struct stat st;
    *fd = open(letter->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*fd < 0)
        return error_set(err, "%s: %s", letter->path, strerror(errno));
    if (fstat(*fd, &st) == 0 && S_ISDIR(st.st_mode))
        return error_set(err, "%s is a directory: a message was expected", letter->path);
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > limit)
        return too_long(letter->path, limit, err);
    if (S_ISREG(st.st_mode))
        *guess = (size_t)st.st_size;
    else if (fcntl(*fd, F_SETFL, 0) < 0)
        return error_set(err, "%s: %s", letter->path, strerror(errno));
    return true;
}

bool letter_load(struct letter *letter, uint64_t limit, struct error *err)
{
    int fd = STDIN_FILENO;
    size_t guess = FIRST_BYTES;
    if (letter->data)
        return true;
    letter->bytes = 0;
    bool is_stdin = strcmp(letter->path, "-") == 0;
    bool read =
        (is_stdin || open_letter(letter, &fd, &guess, limit, err)) && read_all(fd, letter, guess, limit, err);
    if (!is_stdin && fd >= 0)
        close(fd);
    if (!read) {
        free(letter->data);
        letter->data = NULL;
    }
    return read;
}
