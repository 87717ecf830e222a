/* tcp_hdr.c: the TCP header and its options (RFC 9293 section 3.1, RFC 7323, RFC 2018). */
#include "engine/wire/wire.h"

enum {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,
    OPT_WSCALE = 3,
    OPT_SACK_PERMITTED = 4,
    OPT_SACK = 5,
    OPT_TIMESTAMPS = 8,
};

enum {
    LEN_MSS = 4,
    LEN_WSCALE = 3,
    LEN_SACK_PERMITTED = 2,
    LEN_SACK_HEADER = 2,
    LEN_SACK_BLOCK = 8,
    LEN_TIMESTAMPS = 10,
};

/* More blocks than fit in an option are not possible; more than we keep are left out. */
static void parse_sack(struct tcp_options *opt, struct bytes_in *body)
{
    size_t blocks = bytes_left(body) / LEN_SACK_BLOCK;
    if (blocks == 0 || bytes_left(body) % LEN_SACK_BLOCK != 0)
        return;
    opt->sack_blocks = (uint8_t)min_size(blocks, TCP_SACK_BLOCKS_MAX);
    for (unsigned i = 0; i < opt->sack_blocks; i++) {
        opt->sack[i].start = bytes_be32(body);
        opt->sack[i].end = bytes_be32(body);
    }
}

/* An option of a kind that we know but of another length than its RFC gives is skipped like an unknown one. */
static void parse_option(struct tcp_options *opt, uint8_t kind, struct bytes_in body)
{
    size_t len = 2 + bytes_left(&body);
    if (kind == OPT_MSS && len == LEN_MSS) {
        opt->has_mss = true;
        opt->mss = bytes_be16(&body);
    } else if (kind == OPT_WSCALE && len == LEN_WSCALE) {
        opt->has_wscale = true;
        opt->wscale = bytes_u8(&body);
    } else if (kind == OPT_SACK_PERMITTED && len == LEN_SACK_PERMITTED) {
        opt->sack_permitted = true;
    } else if (kind == OPT_TIMESTAMPS && len == LEN_TIMESTAMPS) {
        opt->has_timestamps = true;
        opt->ts_val = bytes_be32(&body);
        opt->ts_ecr = bytes_be32(&body);
    } else if (kind == OPT_SACK) {
        parse_sack(opt, &body);
    }
}

/* Every turn takes at least one byte from `in`, so the loop ends. */
static bool parse_options(struct tcp_options *opt, const uint8_t *data, size_t len)
{
    struct bytes_in in = bytes_in(data, len);
    while (bytes_left(&in) > 0) {
        uint8_t kind = bytes_u8(&in);
        if (kind == OPT_END)
            return true;
        if (kind == OPT_NOP)
            continue;
        /* RFC 9293 section 3.1: the length counts kind and length, so less than 2 is an illegal length (MUST-7). */
        uint8_t option_len = bytes_u8(&in);
        if (option_len < 2)
            return false;
        size_t body_len = option_len - 2u;
        const uint8_t *body = bytes_take(&in, body_len);
        if (!body)
            return false;
        parse_option(opt, kind, bytes_in(body, body_len));
    }
    return true;
}

bool tcp_segment_parse(struct tcp_segment *seg, uint8_t *tcp, size_t len)
{
    struct bytes_in in = bytes_in(tcp, len);
    *seg = (struct tcp_segment){.src_port = bytes_be16(&in)};
    seg->dst_port = bytes_be16(&in);
    seg->seq = bytes_be32(&in);
    seg->ack = bytes_be32(&in);
    size_t header_len = (size_t)(bytes_u8(&in) >> 4) * 4;
    seg->flags = bytes_u8(&in);
    seg->window = bytes_be16(&in);
    bytes_be16(&in); /* checksum: over more than we see here */
    seg->urgent = bytes_be16(&in);
    if (in.failed || header_len < TCP_HEADER_MIN || header_len > len)
        return false;
    if (!parse_options(&seg->opt, tcp + TCP_HEADER_MIN, header_len - TCP_HEADER_MIN))
        return false;
    seg->len = (uint32_t)(len - header_len);
    seg->payload = seg->len ? tcp + header_len : NULL;
    return true;
}

/* What the options before SACK take, each padded to four bytes with NOPs in front. */
static size_t options_bytes_without_sack(const struct tcp_options *opt)
{
    size_t n = 0;
    if (opt->has_mss)
        n += 4;
    if (opt->sack_permitted && !opt->has_timestamps)
        n += 4;
    if (opt->has_timestamps)
        n += 12;
    if (opt->has_wscale)
        n += 4;
    return n;
}

/* RFC 2018 section 3: as many blocks as the 40 bytes of options leave room for. */
static unsigned sack_blocks_that_fit(const struct tcp_options *opt)
{
    size_t room = TCP_HEADER_MAX - TCP_HEADER_MIN - options_bytes_without_sack(opt);
    if (opt->sack_blocks == 0 || room < 4 + LEN_SACK_BLOCK)
        return 0;
    return min_u32(opt->sack_blocks, (uint32_t)((room - 4) / LEN_SACK_BLOCK));
}

size_t tcp_header_bytes(const struct tcp_segment *seg)
{
    unsigned blocks = sack_blocks_that_fit(&seg->opt);
    return TCP_HEADER_MIN + options_bytes_without_sack(&seg->opt) +
           (blocks ? 4 + blocks * LEN_SACK_BLOCK : 0);
}

static void put_kind(struct bytes_out *out, uint8_t kind, unsigned len)
{
    bytes_put_u8(out, kind);
    bytes_put_u8(out, (uint8_t)len);
}

static void put_padding(struct bytes_out *out, unsigned nops)
{
    while (nops--)
        bytes_put_u8(out, OPT_NOP);
}

static void emit_sack(struct bytes_out *out, const struct tcp_options *opt)
{
    unsigned blocks = sack_blocks_that_fit(opt);
    if (blocks == 0)
        return;
    put_padding(out, 2);
    put_kind(out, OPT_SACK, LEN_SACK_HEADER + blocks * LEN_SACK_BLOCK);
    for (unsigned i = 0; i < blocks; i++) {
        bytes_put_be32(out, opt->sack[i].start);
        bytes_put_be32(out, opt->sack[i].end);
    }
}

static void emit_options(struct bytes_out *out, const struct tcp_options *opt)
{
    if (opt->has_mss) {
        put_kind(out, OPT_MSS, LEN_MSS);
        bytes_put_be16(out, opt->mss);
    }
    if (opt->sack_permitted != opt->has_timestamps)
        put_padding(out, 2);
    if (opt->sack_permitted)
        put_kind(out, OPT_SACK_PERMITTED, LEN_SACK_PERMITTED);
    if (opt->has_timestamps) {
        put_kind(out, OPT_TIMESTAMPS, LEN_TIMESTAMPS);
        bytes_put_be32(out, opt->ts_val);
        bytes_put_be32(out, opt->ts_ecr);
    }
    if (opt->has_wscale) {
        put_padding(out, 1);
        put_kind(out, OPT_WSCALE, LEN_WSCALE);
        bytes_put_u8(out, opt->wscale);
    }
    emit_sack(out, opt);
}

size_t tcp_header_emit(uint8_t *out, const struct tcp_segment *seg)
{
    size_t header_len = tcp_header_bytes(seg);
    struct bytes_out o = bytes_out(out, header_len);
    bytes_put_be16(&o, seg->src_port);
    bytes_put_be16(&o, seg->dst_port);
    bytes_put_be32(&o, seg->seq);
    bytes_put_be32(&o, seg->ack);
    bytes_put_u8(&o, (uint8_t)(header_len / 4 << 4));
    bytes_put_u8(&o, seg->flags);
    bytes_put_be16(&o, seg->window);
    bytes_put_be16(&o, 0);
    bytes_put_be16(&o, seg->urgent);
    emit_options(&o, &seg->opt);
    assert(!o.failed && bytes_written(&o) == header_len);
    return header_len;
}
