#include "tests/talk/script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    char letter;
    uint8_t flag;
} flag_letters[] = {
    {'S', TCP_SYN}, {'F', TCP_FIN}, {'R', TCP_RST}, {'P', TCP_PSH},
    {'U', TCP_URG}, {'E', TCP_ECE}, {'W', TCP_CWR}, {'.', TCP_ACK},
};

char *words_next(struct words *w)
{
    while (*w->at == ' ')
        w->at++;
    char *word = w->at;
    while (*w->at && *w->at != ' ')
        w->at++;
    if (*w->at)
        *w->at++ = 0;
    return word;
}

static void fail(struct said *s, const char *what, const char *text)
{
    if (!s->malformed)
        snprintf(s->why, sizeof(s->why), "%s: \"%s\"", what, text);
    s->malformed = true;
}

static const char *const ecn_names[] = {
    [IP_ECN_NONE] = "noecn", [IP_ECN_ECT1] = "ect1", [IP_ECN_ECT0] = "ect0", [IP_ECN_CE] = "ce"};

/* [ect0] */
static bool parse_ecn(struct said *s, const char *word)
{
    for (uint8_t i = 0; i < ARRAY_LEN(ecn_names); i++) {
        size_t len = strlen(ecn_names[i]);
        if (word[0] == '[' && strncmp(word + 1, ecn_names[i], len) == 0 && strcmp(word + 1 + len, "]") == 0) {
            s->seg.ip_ecn = i;
            return true;
        }
    }
    return false;
}

/* Numbers may be negative: before the ISN. */
static uint32_t number(struct said *s, const char *text, char **end)
{
    char *stop;
    long long v = strtoll(text, &stop, 10);
    if (stop == text)
        fail(s, "not a number", text);
    if (end)
        *end = stop;
    else if (*stop)
        fail(s, "not a number", text);
    return (uint32_t)v;
}

static void parse_flags(struct said *s, const char *word)
{
    if (strcmp(word, "-") == 0)
        return;
    for (const char *c = word; *c; c++) {
        unsigned i = 0;
        while (i < ARRAY_LEN(flag_letters) && flag_letters[i].letter != *c)
            i++;
        if (i == ARRAY_LEN(flag_letters)) {
            fail(s, "not a flag", c);
            return;
        }
        s->seg.flags |= flag_letters[i].flag;
    }
}

/* start:end(len) */
static void parse_range(struct said *s, const char *word)
{
    char *at;
    s->seg.seq = number(s, word, &at);
    if (*at != ':') {
        fail(s, "not start:end(length)", word);
        return;
    }
    uint32_t end = number(s, at + 1, &at);
    if (*at != '(') {
        fail(s, "not start:end(length)", word);
        return;
    }
    s->seg.len = number(s, at + 1, &at);
    if (strcmp(at, ")") != 0 || s->seg.seq + s->seg.len != end)
        fail(s, "not start:end(length)", word);
}

static void parse_sack(struct said *s, struct words *w)
{
    struct tcp_options *o = &s->seg.opt;
    for (char *word; *(word = words_next(w));) {
        char *at;
        if (o->sack_blocks == TCP_SACK_BLOCKS_MAX) {
            fail(s, "too many SACK blocks", word);
            return;
        }
        struct tcp_sack_block *b = &o->sack[o->sack_blocks++];
        b->start = number(s, word, &at);
        if (*at != ':')
            fail(s, "not start:end", word);
        else
            b->end = number(s, at + 1, NULL);
    }
}

static void parse_option(struct said *s, char *text)
{
    struct tcp_options *o = &s->seg.opt;
    struct words w = {text};
    char *name = words_next(&w);
    if (strcmp(name, "mss") == 0) {
        o->has_mss = true;
        o->mss = (uint16_t)number(s, words_next(&w), NULL);
    } else if (strcmp(name, "wscale") == 0) {
        o->has_wscale = true;
        o->wscale = (uint8_t)number(s, words_next(&w), NULL);
    } else if (strcmp(name, "sackOK") == 0) {
        o->sack_permitted = true;
    } else if (strcmp(name, "TS") == 0) {
        o->has_timestamps = true;
        words_next(&w); /* val */
        o->ts_val = number(s, words_next(&w), NULL);
        words_next(&w); /* ecr */
        o->ts_ecr = number(s, words_next(&w), NULL);
    } else if (strcmp(name, "sack") == 0) {
        parse_sack(s, &w);
    } else if (strcmp(name, "nop") != 0 && strcmp(name, "eol") != 0) {
        fail(s, "not an option", name);
    }
}

static void parse_options(struct said *s, char *text)
{
    char *end = strchr(text, '>');
    if (!end) {
        fail(s, "options without an end", text);
        return;
    }
    *end = 0;
    if (strcmp(text, "...") == 0) {
        s->any_options = true;
        return;
    }
    for (char *part = strtok(text, ","); part; part = strtok(NULL, ","))
        parse_option(s, part);
}

struct said said_parse(struct words *w)
{
    struct said s = {0};
    const char *first = words_next(w);
    parse_flags(&s, parse_ecn(&s, first) ? words_next(w) : first);
    parse_range(&s, words_next(w));
    for (;;) {
        while (*w->at == ' ')
            w->at++;
        if (*w->at == '<') {
            parse_options(&s, w->at + 1);
            return s;
        }
        char *word = words_next(w);
        if (strcmp(word, "ack") == 0) {
            s.has_ack = true;
            s.seg.ack = number(&s, words_next(w), NULL);
        } else if (strcmp(word, "win") == 0) {
            s.has_win = true;
            s.seg.window = (uint16_t)number(&s, words_next(w), NULL);
        } else if (strcmp(word, "urg") == 0) {
            s.seg.urgent = (uint16_t)number(&s, words_next(w), NULL);
        } else {
            if (*word)
                fail(&s, "not part of a segment", word);
            return s;
        }
    }
}

static void add(char *out, size_t cap, const char *format, ...) printf_like(3, 4);

static void add(char *out, size_t cap, const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + used, cap - used, format, args);
    va_end(args);
}

static void format_options(const struct tcp_options *o, char *out, size_t cap)
{
    const char *part = " <";
    if (o->has_mss)
        add(out, cap, "%smss %u", part, o->mss), part = ",";
    if (o->sack_permitted)
        add(out, cap, "%ssackOK", part), part = ",";
    if (o->has_timestamps)
        add(out, cap, "%sTS val %u ecr %u", part, o->ts_val, o->ts_ecr), part = ",";
    if (o->has_wscale)
        add(out, cap, "%swscale %u", part, o->wscale), part = ",";
    if (o->sack_blocks)
        add(out, cap, "%ssack", part), part = ",";
    for (unsigned i = 0; i < o->sack_blocks; i++)
        add(out, cap, " %d:%d", (int)o->sack[i].start, (int)o->sack[i].end);
    if (*part == ',')
        add(out, cap, ">");
}

void said_format(const struct tcp_segment *seg, char *out, size_t cap)
{
    out[0] = 0;
    if (seg->ip_ecn)
        add(out, cap, "[%s] ", ecn_names[seg->ip_ecn]);
    for (unsigned i = 0; i < ARRAY_LEN(flag_letters); i++)
        if (seg->flags & flag_letters[i].flag)
            add(out, cap, "%c", flag_letters[i].letter);
    add(out, cap, "%s %d:%d(%u)", seg->flags ? "" : "-", (int)seg->seq, (int)(seg->seq + seg->len), seg->len);
    if (seg->flags & TCP_ACK)
        add(out, cap, " ack %d", (int)seg->ack);
    add(out, cap, " win %u", seg->window);
    format_options(&seg->opt, out, cap);
}
