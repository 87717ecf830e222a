/* Records of every suite in the packets of connections that lose some: sealed once, sent again as they were, under keys that
 * wear out.
 */
#include "tests/unit/core/world.h"

#include <stdlib.h>

#define LETTER_BYTES  200000u
#define DROP_PPM      30000u
#define STREAM_BYTES  (4u << 20)
#define ETHERNET      14u
#define RECORDS_A_KEY 5u

static const struct suite {
    int version;
    const char *name, *standard;
} suites[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
};

/* ---- what the core has put out, by the place in its stream ---- */

static struct stream {
    bool begun;
    uint32_t first; /* sequence number of the first byte */
    uint8_t *byte;
    bool *seen;
    uint64_t again; /* bytes that were sent more than once */
} stream;

static uint32_t be(const uint8_t *p, unsigned bytes)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static void take_bytes(uint32_t at, const uint8_t *data, size_t len)
{
    assert_true(at + len <= STREAM_BYTES);
    for (size_t i = 0; i < len; i++) {
        if (stream.seen[at + i])
            assert_int_equal(stream.byte[at + i], data[i]); /* the same ciphertext */
        stream.again += stream.seen[at + i];
        stream.seen[at + i] = true;
        stream.byte[at + i] = data[i];
    }
}

static void take_frame(const struct tap_frame *frame)
{
    const uint8_t *ip = frame->bytes + ETHERNET, *tcp = ip + 4u * (ip[0] & 15u);
    if (be(frame->bytes + 12, 2) != 0x0800 || ip[9] != 6 || be(tcp + 2, 2) != 25)
        return; /* not IPv4, not TCP, not to the receiver */
    const uint8_t *data = tcp + 4u * (tcp[12] >> 4), *end = ip + be(ip + 2, 2);
    if (tcp[13] & 2) { /* SYN */
        stream.begun = true;
        stream.first = be(tcp + 4, 4) + 1;
    } else if (data < end) {
        assert_true(stream.begun);
        take_bytes(be(tcp + 4, 4) - stream.first, data, (size_t)(end - data));
    }
}

static bool settled(struct world *w, const void *arg)
{
    struct tap *tap = (struct tap *)(uintptr_t)arg;
    for (const struct tap_frame *frame; tap && (frame = tap_first(tap)); tap_drop(tap))
        take_frame(frame);
    return world_settled(w, NULL);
}

static struct tap *attach(struct world *w, const struct mx_host *mx)
{
    size_t bytes = (sizeof(struct tap) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct tap *tap = aligned_alloc(CACHE_LINE, bytes);
    const struct wire_match match = {.peer = mx->address, .port = mx->port};
    struct error err;
    assert_true(tap && tap_open(tap, &match, &err));
    assert_true(core_tell(w->core[0], CORE_TAP, tap));
    world_run(w, 10000);
    assert_true(atomic_load(&tap->begun));
    stream = (struct stream){.byte = malloc(STREAM_BYTES), .seen = calloc(STREAM_BYTES, sizeof(bool))};
    return tap;
}

static void detach(struct world *w, struct tap *tap)
{
    assert_int_equal(atomic_load(&tap->lost), 0);
    atomic_store(&tap->ended, true);
    world_run(w, SECOND);
    assert_true(atomic_load(&tap->released));
    tap_close(tap);
    free(tap);
    free(stream.byte);
    free(stream.seen);
}

/* ---- a receiver that speaks one suite ---- */

static struct world *open_world(const struct suite *suite, bool chunking, uint64_t records_max,
                                struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.to_mx = (struct port_faults){.seed = 7, .drop_ppm = DROP_PPM, .delay_us = 2000};
    o.from_mx = (struct port_faults){.seed = 8, .drop_ppm = DROP_PPM, .delay_us = 2000};
    o.core.connections_per_destination = 1; /* one stream */
    o.core.tls.seal_records_max = records_max;
    o.core.smtp.chunking = chunking;
    struct world *w = world_simple(&o, mx);
    SSL_CTX *ctx = (*mx)->tls;
    (*mx)->chunking = chunking;
    assert_true(SSL_CTX_set_min_proto_version(ctx, suite->version) &&
                SSL_CTX_set_max_proto_version(ctx, suite->version) &&
                (suite->version == TLS1_2_VERSION ? SSL_CTX_set_cipher_list(ctx, suite->name)
                                                  : SSL_CTX_set_ciphersuites(ctx, suite->name)));
    return w;
}

static void every_suite_in_packets_that_are_lost(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_LEN(suites); i++) {
        const struct suite *suite = &suites[i / 2];
        struct mx_host *mx;
        struct world *w = open_world(suite, i & 1, 0, &mx);
        struct tap *tap = attach(w, mx);
        world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = LETTER_BYTES});
        world_until(w, settled, tap, 10 * MINUTE);
        world_delivered(w, 0, 0);
        const struct hl_tls *tls = &world_result(w, 0, 0)->tls;
        assert_int_equal(tls->version, suite->version);
        assert_string_equal(tls->cipher, suite->standard);
        print_message("# %s, %s: %u bytes sent again\n", suite->standard, i & 1 ? "BDAT" : "DATA",
                      (unsigned)stream.again);
        assert_true(stream.again > 1000);
        assert_true(world_stat(w, STAT_tcp_retransmits) > 0);
        detach(w, tap);
        world_close(w);
    }
}

/* RFC 8446 section 5.5: the key is renewed in the middle of a message, and what is sent again is still under the old one. */
static void worn_keys_are_renewed_under_way(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct mx_host *mx;
        struct world *w = open_world(&suites[i], true, RECORDS_A_KEY, &mx);
        struct tap *tap = attach(w, mx);
        for (unsigned k = 0; k < 3; k++)
            world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = LETTER_BYTES});
        world_until(w, settled, tap, 10 * MINUTE);
        world_delivered(w, 0, 2);
        assert_true(stream.again > 1000);
        detach(w, tap);
        world_close(w);
    }
}

/* TLS 1.2 has no such thing: the message is deferred by our own doing, and no record is sealed beyond. */
static void a_worn_key_of_tls_12_ends_the_connection(void **state)
{
    (void)state;
    for (unsigned i = 3; i < ARRAY_LEN(suites); i++) {
        struct mx_host *mx;
        struct world *w = open_world(&suites[i], false, RECORDS_A_KEY, &mx);
        world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = LETTER_BYTES});
        world_settle(w, 10 * MINUTE);
        const struct hl_result *r = world_result(w, 0, 0);
        assert_int_equal(r->verdict, HL_DEFERRED);
        assert_int_equal(r->reason, HL_REASON_LIMIT);
        assert_int_equal(world_copies(w, 0, 0), 0);
        world_close(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite_in_packets_that_are_lost),
        cmocka_unit_test(worn_keys_are_renewed_under_way),
        cmocka_unit_test(a_worn_key_of_tls_12_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
