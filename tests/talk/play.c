/* play.c: virtual time, the stack under test, and the lines of a script one by one. */
#include "tests/talk/play.h"

#include "tests/talk/verbs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#define START_US      1000000000u /* the stack's clock at script time 0 */
#define TS_AT_START   1000u       /* and its time stamp */
#define TOLERANCE_US  1000u
#define INCLUDE_DEPTH 3u

bool play_fault(struct play *p, const char *format, ...)
{
    va_list args;
    if (p->fault[0])
        return false;
    va_start(args, format);
    vsnprintf(p->fault, sizeof(p->fault), format, args);
    va_end(args);
    return false;
}

uint64_t play_clock_us(const struct play *p)
{
    return START_US + p->now_us;
}

uint8_t play_pattern(uint32_t offset, uint8_t salt)
{
    return (uint8_t)(offset * 131 + (offset >> 8) + salt);
}

/* ---- the stack's side ---- */

static void to_relative(const struct play *p, struct tcp_segment *seg)
{
    seg->seq -= p->isn;
    if (seg->flags & TCP_ACK)
        seg->ack -= p->peer_isn;
    for (unsigned i = 0; i < seg->opt.sack_blocks; i++) {
        seg->opt.sack[i].start -= p->peer_isn;
        seg->opt.sack[i].end -= p->peer_isn;
    }
}

static bool emit(void *ctx, const struct tcp_segment *seg)
{
    struct play *p = ctx;
    if (p->refuse > 0) {
        p->refuse--;
        return false;
    }
    struct tcp_segment copy = *seg;
    to_relative(p, &copy);
    for (uint32_t i = 0; i < seg->len; i++)
        if (seg->payload[i] != play_pattern(copy.seq - 1 + i, 1))
            play_fault(p, "a segment with the wrong byte for sequence number %u", copy.seq + i);
    if (p->sent_count == PLAY_QUEUE)
        return play_fault(p, "more than %u segments that no line expects", PLAY_QUEUE);
    p->sent[p->sent_count++] = (struct play_sent){.seg = copy, .at_us = p->now_us};
    return true;
}

void play_settle(struct play *p)
{
    if (!p->open)
        return;
    pkt_pool_refresh(p->tx);
    pkt_pool_refresh(p->rx);
    tcb_check(&p->tcb);
    for (unsigned i = 0; i < 4; i++) /* a refused segment is tried again at once */
        if (tcp_output(&p->tcb, play_clock_us(p), &(struct tcp_emit){.ctx = p, .emit = emit}))
            break;
    tcb_check(&p->tcb);
    p->events |= tcp_events(&p->tcb);
}

static void advance(struct play *p, uint64_t to_us)
{
    for (unsigned turns = 0; p->open && turns < 100000; turns++) {
        uint64_t next = tcp_next_deadline(&p->tcb);
        if (next == DEADLINE_NEVER || next > START_US + to_us)
            break;
        p->now_us = max_u64(next - START_US, p->now_us);
        tcp_timers(&p->tcb, play_clock_us(p));
        play_settle(p);
    }
    p->now_us = to_us;
}

bool play_open_pools(struct play *p)
{
    if (p->tx)
        return true;
    p->tx = pkt_heap_pool_open(p->pool_packets, 2, 2048);
    p->rx = pkt_heap_pool_open(512, 0, 4096);
    return p->tx && p->rx ? true : play_fault(p, "out of memory");
}

struct tcp_open play_open_arguments(struct play *p)
{
    return (struct tcp_open){
        .config = &p->config,
        .pool = p->tx,
        .stats = &p->stats,
        .local_port = 25000,
        .remote_port = 25,
        .isn = p->isn,
        .ts_offset = TS_AT_START - START_US / 1000,
        .mss = p->open_mss,
        .path_mss = p->path_mss,
        .ip_header_bytes = p->ip_header_bytes,
    };
}

/* ---- `<`: the peer sends ---- */

static void inject(struct play *p, const struct tcp_segment *seg)
{
    if (p->open) {
        tcp_input(&p->tcb, seg, play_clock_us(p));
    } else if (p->listening) {
        struct tcp_open open = play_open_arguments(p);
        tcp_open_passive(&p->tcb, &open, seg, play_clock_us(p));
        p->open = true;
    } else {
        play_fault(p, "nobody is there to get it: `connect` or `listen` first");
    }
    play_settle(p);
}

static bool line_in(struct play *p, struct words *w)
{
    struct said s = said_parse(w);
    if (s.malformed)
        return play_fault(p, "%s", s.why);
    if (!play_open_pools(p))
        return false;
    struct pkt *pkt = pkt_alloc(p->rx, PKT_CONTROL);
    if (!pkt)
        return play_fault(p, "the receive pool is empty");
    uint32_t first = s.seg.seq + !!(s.seg.flags & TCP_SYN) - 1; /* stream offset */
    for (uint32_t i = 0; i < s.seg.len; i++)
        pkt->data[i] = play_pattern(first + i, 2);
    pkt->len = (uint16_t)s.seg.len;
    s.seg.payload = s.seg.len ? pkt->data : NULL;
    s.seg.pkt = pkt;
    s.seg.seq += p->peer_isn;
    s.seg.ack += s.seg.flags & TCP_ACK ? p->isn : 0;
    for (unsigned i = 0; i < s.seg.opt.sack_blocks; i++) {
        s.seg.opt.sack[i].start += p->isn;
        s.seg.opt.sack[i].end += p->isn;
    }
    inject(p, &s.seg);
    pkt_free(pkt);
    return !p->fault[0];
}

/* ---- `>`: the stack must have sent ---- */

static bool same_options(const struct tcp_options *a, const struct tcp_options *b)
{
    if (a->has_mss != b->has_mss || a->has_wscale != b->has_wscale ||
        a->sack_permitted != b->sack_permitted || a->has_timestamps != b->has_timestamps ||
        a->sack_blocks != b->sack_blocks)
        return false;
    if (a->has_mss && a->mss != b->mss)
        return false;
    if (a->has_wscale && a->wscale != b->wscale)
        return false;
    if (a->has_timestamps && (a->ts_val != b->ts_val || a->ts_ecr != b->ts_ecr))
        return false;
    for (unsigned i = 0; i < a->sack_blocks; i++)
        if (a->sack[i].start != b->sack[i].start || a->sack[i].end != b->sack[i].end)
            return false;
    return true;
}

static bool same(const struct said *s, const struct tcp_segment *got)
{
    return s->seg.ip_ecn == got->ip_ecn && s->seg.flags == got->flags && s->seg.seq == got->seq &&
           s->seg.len == got->len && (!s->has_ack || s->seg.ack == got->ack) &&
           (!s->has_win || s->seg.window == got->window) &&
           (s->any_options || same_options(&s->seg.opt, &got->opt));
}

static bool line_out(struct play *p, struct words *w)
{
    char got[256];
    struct said s = said_parse(w);
    if (s.malformed)
        return play_fault(p, "%s", s.why);
    if (p->sent_count == 0)
        return play_fault(p, "got      nothing");
    struct play_sent sent = p->sent[0];
    memmove(&p->sent[0], &p->sent[1], --p->sent_count * sizeof(p->sent[0]));
    said_format(&sent.seg, got, sizeof(got));
    if (!same(&s, &sent.seg))
        return play_fault(p, "got      > %s", got);
    uint64_t late = p->now_us > sent.at_us ? p->now_us - sent.at_us : sent.at_us - p->now_us;
    if (late > TOLERANCE_US)
        return play_fault(p, "got      > %s, at %.6f and not at %.6f", got, (double)sent.at_us / 1e6,
                          (double)p->now_us / 1e6);
    return true;
}

static bool nothing_left(struct play *p)
{
    char got[256];
    if (p->sent_count == 0)
        return true;
    said_format(&p->sent[0].seg, got, sizeof(got));
    return play_fault(p, "got      > %s, at %.6f, before this line", got, (double)p->sent[0].at_us / 1e6);
}

bool play_number(struct play *p, const char *text, uint64_t *value)
{
    char *end;
    *value = strtoull(text, &end, 10);
    return *text && !*end ? true : play_fault(p, "not a number: \"%s\"", text);
}

/* ---- lines ---- */

static bool play_lines(struct play *p, const char *path, unsigned depth);

static bool do_include(struct play *p, struct words *w, unsigned depth)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.inc", p->folder, words_next(w));
    return depth < INCLUDE_DEPTH ? play_lines(p, path, depth + 1) : play_fault(p, "includes too deep");
}

static bool do_word(struct play *p, char *word, struct words *w, unsigned depth)
{
    static const struct {
        const char *name;
        bool (*run)(struct play *p, struct words *w);
        bool needs_open;
    } verbs[] = {
        {"<", line_in, false},          {">", line_out, false},
        {"config", verb_config, false}, {"connect", verb_connect, false},
        {"listen", verb_listen, false}, {"write", verb_write, true},
        {"read", verb_read, true},      {"close", verb_close, true},
        {"abort", verb_abort, true},    {"icmp", verb_icmp, true},
        {"refuse", verb_refuse, false}, {"expect", verb_expect, true},
    };
    if (strcmp(word, ">") != 0 && !nothing_left(p))
        return false;
    if (strcmp(word, "include") == 0)
        return do_include(p, w, depth);
    for (unsigned i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(word, verbs[i].name) == 0)
            return verbs[i].needs_open && !p->open ? play_fault(p, "there is no connection yet")
                                                   : verbs[i].run(p, w);
    return play_fault(p, "not a word of scripts: \"%s\"", word);
}

/* `+.1 rest`, `2 rest` or `rest`: when, then what. */
static bool play_line(struct play *p, char *line, unsigned depth)
{
    struct words w = {line};
    char *word = words_next(&w);
    bool relative = *word == '+';
    if (relative || (*word >= '0' && *word <= '9')) {
        char *end;
        double s = strtod(word + relative, &end);
        uint64_t at = (relative ? p->now_us : 0) + (uint64_t)(s * 1e6 + 0.5);
        if (*end || at < p->now_us)
            return play_fault(p, "not a time, or one that has passed: \"%s\"", word);
        advance(p, at);
        word = words_next(&w);
    }
    return *word ? do_word(p, word, &w, depth) : nothing_left(p);
}

static char *trim(char *line)
{
    char *comment = strstr(line, "//");
    if (comment)
        *comment = 0;
    for (char *c = line; *c; c++)
        if (*c == '\t' || *c == '\n' || *c == '\r')
            *c = ' ';
    while (*line == ' ')
        line++;
    return line;
}

static void name_line(struct play *p, const char *path, unsigned number, const char *text)
{
    char why[512];
    const char *name = strrchr(path, '/');
    if (strstr(p->fault, "expected"))
        return;
    snprintf(why, sizeof(why), "%.500s", p->fault);
    snprintf(p->fault, sizeof(p->fault), "%s:%u:\n#     expected %s#     %s", name ? name + 1 : path, number,
             text, why);
}

static bool play_lines(struct play *p, const char *path, unsigned depth)
{
    char line[512], text[512];
    FILE *in = fopen(path, "r");
    if (!in)
        return play_fault(p, "cannot open %s", path);
    for (unsigned number = 1; !p->fault[0] && fgets(line, sizeof(line), in); number++) {
        memcpy(text, line, sizeof(text));
        char *rest = trim(line);
        if (*rest)
            play_line(p, rest, depth);
        if (p->fault[0])
            name_line(p, path, number, text);
    }
    fclose(in);
    return !p->fault[0];
}

static void close_pools(struct play *p)
{
    if (!p->tx)
        return;
    if (p->tx->ops->available(p->tx) != p->tx->capacity || p->rx->ops->available(p->rx) != p->rx->capacity) {
        play_fault(p, "at the end: packets are missing from a pool");
        return;
    }
    pkt_heap_pool_close(p->tx);
    pkt_heap_pool_close(p->rx);
}

bool play_file(struct play *p, const char *path, const char *folder)
{
    *p = (struct play){.folder = folder, .config = tcp_config_default(), .isn = 10000, .peer_isn = 70000};
    p->config.timestamps = false; /* scripts are easier to read without; a `config` line turns them on */
    p->config.pacing = false;     /* likewise */
    p->pool_packets = 1024;
    if (play_lines(p, path, 0) && !nothing_left(p))
        name_line(p, path, 0, "the end\n");
    if (p->open)
        tcp_release(&p->tcb);
    close_pools(p);
    return !p->fault[0];
}
