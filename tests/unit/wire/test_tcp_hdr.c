/* test_tcp_hdr.c: the TCP header and its options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/base/rand.h"
#include "engine/wire/wire.h"

/* A header with these option bytes, padded with zeros to a multiple of four, and data behind it. */
static size_t make(uint8_t out[128], const uint8_t *options, size_t len, size_t data_len)
{
    size_t header_len = TCP_HEADER_MIN + (len + 3) / 4 * 4;
    memset(out, 0, 128);
    out[12] = (uint8_t)(header_len / 4 << 4);
    out[13] = TCP_ACK;
    memcpy(out + 20, options, len);
    memset(out + header_len, 'x', data_len);
    return header_len + data_len;
}

#define PARSE(seg, ...)                                                          \
    ({                                                                           \
        static const uint8_t options[] = {__VA_ARGS__};                          \
        uint8_t bytes[128];                                                      \
        tcp_segment_parse(seg, bytes, make(bytes, options, sizeof(options), 3)); \
    })

static void assert_same(const struct tcp_segment *a, const struct tcp_segment *b)
{
    assert_int_equal(a->src_port, b->src_port);
    assert_int_equal(a->dst_port, b->dst_port);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->ack, b->ack);
    assert_int_equal(a->window, b->window);
    assert_int_equal(a->urgent, b->urgent);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->opt.has_mss, b->opt.has_mss);
    assert_int_equal(a->opt.mss, b->opt.mss);
    assert_int_equal(a->opt.has_wscale, b->opt.has_wscale);
    assert_int_equal(a->opt.wscale, b->opt.wscale);
    assert_int_equal(a->opt.sack_permitted, b->opt.sack_permitted);
    assert_int_equal(a->opt.has_timestamps, b->opt.has_timestamps);
    assert_int_equal(a->opt.ts_val, b->opt.ts_val);
    assert_int_equal(a->opt.ts_ecr, b->opt.ts_ecr);
    assert_int_equal(a->opt.sack_blocks, b->opt.sack_blocks);
    for (unsigned i = 0; i < a->opt.sack_blocks; i++) {
        assert_int_equal(a->opt.sack[i].start, b->opt.sack[i].start);
        assert_int_equal(a->opt.sack[i].end, b->opt.sack[i].end);
    }
}

static struct tcp_options random_options(struct rand_source *rand)
{
    struct tcp_options opt = {0};
    uint64_t bits = rand_u64(rand);
    if ((opt.has_mss = bits & 1))
        opt.mss = (uint16_t)rand_u64(rand);
    if ((opt.has_wscale = bits & 2))
        opt.wscale = (uint8_t)rand_u64(rand);
    opt.sack_permitted = bits & 4;
    if ((opt.has_timestamps = bits & 8)) {
        opt.ts_val = (uint32_t)rand_u64(rand);
        opt.ts_ecr = (uint32_t)rand_u64(rand);
    }
    opt.sack_blocks = (uint8_t)rand_below(rand, 5);
    for (unsigned i = 0; i < opt.sack_blocks; i++)
        opt.sack[i] = (struct tcp_sack_block){(uint32_t)rand_u64(rand), (uint32_t)rand_u64(rand)};
    return opt;
}

static void every_mixture_reads_as_it_was_written(void **state)
{
    (void)state;
    struct rand_source rand;
    rand_seed(&rand, 1);
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t out[TCP_HEADER_MAX + 4];
        struct tcp_segment back, seg = {
                                     .src_port = (uint16_t)rand_u64(&rand),
                                     .dst_port = (uint16_t)rand_u64(&rand),
                                     .seq = (uint32_t)rand_u64(&rand),
                                     .ack = (uint32_t)rand_u64(&rand),
                                     .window = (uint16_t)rand_u64(&rand),
                                     .urgent = (uint16_t)rand_u64(&rand),
                                     .flags = (uint8_t)rand_u64(&rand),
                                     .opt = random_options(&rand),
                                 };
        size_t len = tcp_header_bytes(&seg);
        assert_true(len >= TCP_HEADER_MIN && len <= TCP_HEADER_MAX && len % 4 == 0);
        memset(out, 0xee, sizeof(out));
        assert_int_equal(tcp_header_emit(out, &seg), len);
        assert_int_equal(out[len], 0xee);
        assert_true(tcp_segment_parse(&back, out, len));
        assert_true(back.opt.sack_blocks <= seg.opt.sack_blocks);
        seg.opt.sack_blocks = back.opt.sack_blocks; /* what there was no room for */
        assert_same(&back, &seg);
        assert_int_equal(back.len, 0);
        assert_null(back.payload);
    }
}

/* RFC 2018 section 3: four blocks fit alone, three beside time stamps. */
static void sack_blocks_take_what_room_there_is(void **state)
{
    (void)state;
    struct tcp_segment seg = {.opt.sack_blocks = 4}, back;
    uint8_t out[TCP_HEADER_MAX];
    assert_true(tcp_segment_parse(&back, out, tcp_header_emit(out, &seg)));
    assert_int_equal(back.opt.sack_blocks, 4);
    seg.opt.has_timestamps = true;
    assert_true(tcp_segment_parse(&back, out, tcp_header_emit(out, &seg)));
    assert_int_equal(back.opt.sack_blocks, 3);
    assert_int_equal(tcp_header_bytes(&seg), 60);
}

/* The layout that everybody sends, so that fast paths of others take it. */
static void options_lie_as_usual(void **state)
{
    (void)state;
    struct tcp_segment syn = {
        .flags = TCP_SYN,
        .opt = {.has_mss = true,
                .mss = 1460,
                .has_wscale = true,
                .wscale = 7,
                .sack_permitted = true,
                .has_timestamps = true,
                .ts_val = 0x01020304},
    };
    static const uint8_t wanted[] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7};
    uint8_t out[TCP_HEADER_MAX];
    assert_int_equal(tcp_header_emit(out, &syn), 40);
    assert_memory_equal(out + 20, wanted, sizeof(wanted));
    struct tcp_segment ack = {.flags = TCP_ACK, .opt = {.has_timestamps = true, .ts_ecr = 0x05060708}};
    static const uint8_t ack_wanted[] = {1, 1, 8, 10, 0, 0, 0, 0, 5, 6, 7, 8};
    assert_int_equal(tcp_header_emit(out, &ack), 32);
    assert_memory_equal(out + 20, ack_wanted, sizeof(ack_wanted));
    syn.opt.has_timestamps = false;
    static const uint8_t without_wanted[] = {2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7};
    assert_int_equal(tcp_header_emit(out, &syn), 32);
    assert_memory_equal(out + 20, without_wanted, sizeof(without_wanted));
}

static void data_lies_behind_the_header(void **state)
{
    (void)state;
    struct tcp_segment seg;
    uint8_t bytes[128];
    static const uint8_t mss[] = {2, 4, 5, 0xb4};
    size_t len = make(bytes, mss, sizeof(mss), 10);
    assert_true(tcp_segment_parse(&seg, bytes, len));
    assert_int_equal(seg.len, 10);
    assert_ptr_equal(seg.payload, bytes + 24);
}

static void short_headers_are_malformed(void **state)
{
    (void)state;
    struct tcp_segment seg;
    uint8_t bytes[128];
    for (size_t len = 0; len < 20; len++) {
        make(bytes, bytes, 0, 0);
        assert_false(tcp_segment_parse(&seg, bytes, len));
    }
    make(bytes, bytes, 0, 40);
    bytes[12] = 4 << 4; /* a header of 16 bytes */
    assert_false(tcp_segment_parse(&seg, bytes, 60));
    bytes[12] = 15 << 4; /* longer than the segment */
    assert_false(tcp_segment_parse(&seg, bytes, 59));
}

static void the_end_ends_and_padding_pads(void **state)
{
    (void)state;
    struct tcp_segment seg;
    assert_true(PARSE(&seg, 1, 1, 1, 0));
    assert_int_equal(seg.len, 3);
    assert_true(PARSE(&seg, 0, 2, 4, 5)); /* behind the end lies nothing that counts */
    assert_false(seg.opt.has_mss);
}

static void unknown_options_are_skipped(void **state)
{
    (void)state;
    struct tcp_segment seg;
    assert_true(PARSE(&seg, 254, 6, 1, 2, 3, 4, 19, 2, 2, 4, 5, 0xb4));
    assert_true(seg.opt.has_mss);
    assert_int_equal(seg.opt.mss, 1460);
}

static void known_options_of_wrong_length_are_skipped(void **state)
{
    (void)state;
    struct tcp_segment seg;
    assert_true(PARSE(&seg, 2, 3, 5, 3, 4, 1, 2, 8, 6, 0, 0, 0, 0, 4, 3, 0, 1, 1, 1, 1));
    assert_false(seg.opt.has_mss || seg.opt.has_wscale || seg.opt.has_timestamps || seg.opt.sack_permitted);
    assert_true(PARSE(&seg, 5, 9, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1)); /* SACK of a block and a bit less */
    assert_int_equal(seg.opt.sack_blocks, 0);
    assert_true(PARSE(&seg, 5, 2, 1, 1));
    assert_int_equal(seg.opt.sack_blocks, 0);
}

/* RFC 9293 section 3.1, MUST-7: illegal lengths are survived; a length of 0 must not keep us for ever. */
static void truncated_and_empty_options_are_malformed(void **state)
{
    (void)state;
    struct tcp_segment seg;
    assert_false(PARSE(&seg, 2, 0, 0, 0));
    assert_false(PARSE(&seg, 2, 1, 0, 0));
    assert_false(PARSE(&seg, 99, 0, 0, 0));
    assert_false(PARSE(&seg, 2, 5, 5, 0xb4));
    assert_false(PARSE(&seg, 1, 1, 1, 2));
    assert_false(PARSE(&seg, 8, 10, 0, 0, 0, 0, 0, 0));
    assert_false(PARSE(&seg, 99, 255, 0, 0));
}

static void the_last_of_two_counts(void **state)
{
    (void)state;
    struct tcp_segment seg;
    assert_true(PARSE(&seg, 2, 4, 1, 0, 2, 4, 2, 0));
    assert_int_equal(seg.opt.mss, 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mixture_reads_as_it_was_written),
        cmocka_unit_test(sack_blocks_take_what_room_there_is),
        cmocka_unit_test(options_lie_as_usual),
        cmocka_unit_test(data_lies_behind_the_header),
        cmocka_unit_test(short_headers_are_malformed),
        cmocka_unit_test(the_end_ends_and_padding_pads),
        cmocka_unit_test(unknown_options_are_skipped),
        cmocka_unit_test(known_options_of_wrong_length_are_skipped),
        cmocka_unit_test(truncated_and_empty_options_are_malformed),
        cmocka_unit_test(the_last_of_two_counts),
    };
    return cmocka_run_group_tests_name("tcp_hdr", tests, NULL, NULL);
}
