/* submit_headers.c: an envelope from a message's header, as sendmail -t takes it. */
#include "engine/cli/submit.h"

#include "engine/base/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One header field, its folded lines included: [start, end) of the message, the value from `value` on. */
struct field {
    size_t start, value, end;
};

static size_t line_end(const char *data, size_t bytes, size_t at)
{
    const char *lf = memchr(data + at, '\n', bytes - at);
    return lf ? (size_t)(lf - data) + 1 : bytes;
}

/* Gives the field that begins at `at`; false at the empty line, or at what is no field. */
static bool next_field(const char *data, size_t bytes, size_t at, struct field *f)
{
    const char *colon = memchr(data + at, ':', bytes - at);
    size_t end = line_end(data, bytes, at);
    if (!colon || (size_t)(colon - data) >= end || (size_t)(colon - data) == at)
        return false;
    while (end < bytes && (data[end] == ' ' || data[end] == '\t'))
        end = line_end(data, bytes, end);
    *f = (struct field){at, (size_t)(colon - data) + 1, end};
    return true;
}

static bool is_named(const char *data, const struct field *f, const char *name)
{
    size_t bytes = f->value - 1 - f->start;
    while (bytes > 0 && (data[f->start + bytes - 1] == ' ' || data[f->start + bytes - 1] == '\t'))
        bytes--; /* RFC 5322 section 4.5: space before the colon is obsolete, not unknown */
    return bytes == strlen(name) && strncasecmp(data + f->start, name, bytes) == 0;
}

/* ---- address lists, RFC 5322 section 3.4, read for their addr-specs ---- */

struct scan {
    const char *at, *end;
    char word[600]; /* the address under construction */
    size_t bytes;
    bool in_angle, had_angle, overflow;
};

static void put(struct scan *s, char c)
{
    if (s->bytes < sizeof(s->word))
        s->word[s->bytes++] = c;
    else
        s->overflow = true;
}

/* Comments nest, RFC 5322 section 3.2.2. */
static void skip_comment(struct scan *s)
{
    for (unsigned depth = 1; s->at < s->end && depth > 0; s->at++) {
        if (*s->at == '\\' && s->at + 1 < s->end)
            s->at++;
        else if (*s->at == '(')
            depth++;
        else if (*s->at == ')')
            depth--;
    }
}

/* A quoted string is kept if it may be a local part, and is skipped in a display name by what follows. */
static void take_quoted(struct scan *s)
{
    put(s, '"');
    while (s->at < s->end && *s->at != '"') {
        if (*s->at == '\\' && s->at + 1 < s->end)
            put(s, *s->at++);
        put(s, *s->at++);
    }
    s->at += s->at < s->end;
    put(s, '"');
}

static bool flush(struct scan *s, struct envelope *e, struct error *err)
{
    bool has = s->bytes > 0;
    s->had_angle = s->in_angle = false;
    if (s->overflow)
        return error_set(err, "the header has an address of more than %zu bytes", sizeof(s->word));
    if (has && !memchr(s->word, '@', s->bytes))
        return error_set(err, "the header has the address \"%.*s\" without a domain", (int)s->bytes, s->word);
    if (has && !envelope_add_to(e, s->word, s->bytes, NULL))
        return error_set(err, "out of memory");
    s->bytes = 0;
    return true;
}

/* What stood in front of an angle bracket was a display name, what stands behind one is nothing. */
static bool take_char(struct scan *s, struct envelope *e, struct error *err)
{
    char c = *s->at++;
    if (c == '(') {
        skip_comment(s);
    } else if (c == '"') {
        take_quoted(s);
    } else if (c == '<') {
        s->bytes = 0;
        s->in_angle = true;
    } else if (c == '>') {
        s->in_angle = false;
        s->had_angle = true;
    } else if ((c == ',' || c == ';') && !s->in_angle) {
        return flush(s, e, err);
    } else if (c == ':' && !s->in_angle && !memchr(s->word, '[', s->bytes)) {
        s->bytes = 0; /* a group's name */
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && !s->had_angle) {
        put(s, c);
    }
    return true;
}

static bool take_addresses(const char *data, const struct field *f, struct envelope *e, struct error *err)
{
    struct scan s = {.at = data + f->value, .end = data + f->end};
    while (s.at < s.end)
        if (!take_char(&s, e, err))
            return false;
    return flush(&s, e, err);
}

static bool take_sender(const char *data, const struct field *f, char **from, struct error *err)
{
    struct envelope found = {0};
    bool good = take_addresses(data, f, &found, err);
    if (good && found.to_count > 0 && !*from) {
        *from = found.to[0].address;
        found.to[0].address = NULL;
    }
    envelope_clear(&found);
    return good;
}

static bool take_field(const char *data, const struct field *f, struct envelope *e, char **sender,
                       char **author, struct error *err)
{
    if (is_named(data, f, "To") || is_named(data, f, "Cc") || is_named(data, f, "Bcc"))
        return take_addresses(data, f, e, err);
    if (is_named(data, f, "Sender"))
        return take_sender(data, f, sender, err);
    return !is_named(data, f, "From") || take_sender(data, f, author, err);
}

static bool read_fields(struct letter *letter, char **sender, char **author, struct error *err)
{
    struct field f;
    for (size_t at = 0; at < letter->bytes && next_field(letter->data, letter->bytes, at, &f); at = f.end)
        if (!take_field(letter->data, &f, &letter->envelope, sender, author, err))
            return error_prefix(err, "%s", letter->path);
    return true;
}

static void remove_bcc(struct letter *letter)
{
    struct field f;
    size_t at = 0;
    while (at < letter->bytes && next_field(letter->data, letter->bytes, at, &f)) {
        if (is_named(letter->data, &f, "Bcc")) {
            memmove(letter->data + f.start, letter->data + f.end, letter->bytes - f.end);
            letter->bytes -= f.end - f.start;
            at = f.start;
        } else {
            at = f.end;
        }
    }
}

bool headers_envelope(struct letter *letter, struct error *err)
{
    char *sender = NULL, *author = NULL;
    bool good = read_fields(letter, &sender, &author, err);
    if (!letter->envelope.from) {
        letter->envelope.from = sender ? sender : author;
        *(sender ? &sender : &author) = NULL;
    }
    free(sender);
    free(author);
    if (!good)
        return false;
    if (!letter->envelope.from)
        return error_set(err, "%s: its header has neither Sender nor From: give --from", letter->path);
    if (letter->envelope.to_count == 0)
        return error_set(err, "%s: its header names no recipient in To, Cc or Bcc", letter->path);
    remove_bcc(letter);
    return true;
}
