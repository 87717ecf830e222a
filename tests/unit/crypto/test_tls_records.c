/* Records that we seal and open ourselves, the other end being OpenSSL: every suite, every cut, worn keys, odd records. */
#include "engine/base/rand.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <stdlib.h>

#define HOST      "mx.example.org"
#define DATA_MAX  70000u
#define PARTS_MAX 8u

#define RECORD_BYTES 16384u
#define PACKET_BYTES 1448u
#define NONCE_BYTES  8u /* of a record of TLS 1.2, but not with ChaCha20-Poly1305 */

static struct pki_chain ec;
static struct talk talk;
static struct rand_source randomness;
static uint8_t data[DATA_MAX], heard[DATA_MAX];

static const struct suite {
    int version;
    const char *name;
} suites[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},        {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},  {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"}, {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

static void open_with(uint64_t records_max)
{
    talk_open_config(&talk, ec.ca_file,
                     &(struct tls_core_config){.sessions_max = 2, .seal_records_max = records_max});
}

static void meet(const struct suite *suite)
{
    bool old = suite->version == TLS1_2_VERSION;
    struct talk_server server = {.leaf = &ec.leaf,
                                 .middle = &ec.middle,
                                 .version = suite->version,
                                 .suites_12 = old ? suite->name : NULL,
                                 .suites_13 = old ? NULL : suite->name};
    struct tls_demand demand = talk_pkix(HOST);
    talk_accepted(&talk, &server, &demand);
    assert_string_equal(SSL_get_cipher_name(talk.server), suite->name);
}

static size_t hear(void)
{
    size_t got = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        bool moved = talk_step(&talk);
        int n = SSL_read(talk.server, heard + got, (int)(sizeof(heard) - got));
        got += n > 0 ? (size_t)n : 0;
        if (!moved && n <= 0)
            break;
    }
    return got;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(rand_u64(&randomness) % n);
}

/* Cuts len bytes at random places; some parts are empty. */
static unsigned cut(struct span *part, size_t len)
{
    unsigned parts = 1 + below(PARTS_MAX);
    size_t at = 0;
    for (unsigned i = 0; i < parts; i++) {
        size_t n = i + 1 == parts ? len - at : below((uint32_t)(len - at) + 1);
        part[i] = (struct span){.data = data + at, .len = n};
        at += n;
    }
    return parts;
}

static void any_length_any_cut(void **state)
{
    (void)state;
    static const size_t edges[] = {1, 15, 16, 17, 16383, 16384, 16385, 32768, 65536};
    open_with(0);
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
        meet(&suites[i]);
        for (unsigned round = 0; round < 60; round++) {
            struct span part[PARTS_MAX];
            size_t len = round < ARRAY_LEN(edges) ? edges[round] : 1 + below(round < 40 ? 3000 : 60000);
            talk.sink_chunk = 1 + below(round % 3 == 0 ? 40 : 2000);
            talk.sink.pieces = round % 2 ? talk_sink_pieces : NULL;
            assert_true(tls_write_parts(talk.tls, part, cut(part, len)));
            assert_int_equal(hear(), len);
            assert_memory_equal(heard, data, len);
        }
        talk.sink_chunk = TALK_PIPE_BYTES;
        talk.sink.pieces = NULL;
    }
    talk_close(&talk);
}

/* Reads what has come of a message of the server's. */
static size_t client_hears(void)
{
    size_t got = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        bool moved = talk_step(&talk);
        size_t n = tls_read(talk.tls, heard + got, 1 + below(5000));
        got += n;
        if (!moved && n == 0)
            break;
    }
    return got;
}

static void any_length_any_cut_back(void **state)
{
    (void)state;
    static const size_t edges[] = {1, 15, 16, 17, 16383, 16384, 16385, 32768, 65536};
    open_with(0);
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
        meet(&suites[i]);
        for (unsigned round = 0; round < 60; round++) {
            size_t len = round < ARRAY_LEN(edges) ? edges[round] : 1 + below(round < 40 ? 3000 : 60000);
            talk.feed_chunk = 1 + below(round % 3 == 0 ? 40 : 2000);
            assert_int_equal(SSL_write(talk.server, data, (int)len), (int)len);
            assert_int_equal(client_hears(), len);
            assert_memory_equal(heard, data, len);
        }
        talk.feed_chunk = TALK_PIPE_BYTES;
    }
    talk_close(&talk);
}

/* RFC 8446 section 5.4. */
static void padding_is_taken_off(void **state)
{
    (void)state;
    open_with(0);
    for (unsigned i = 0; i < 3; i++) {
        meet(&suites[i]);
        assert_int_equal(SSL_set_block_padding(talk.server, 512), 1);
        for (unsigned round = 0; round < 20; round++) {
            size_t len = 1 + below(2000);
            assert_int_equal(SSL_write(talk.server, data, (int)len), (int)len);
            assert_int_equal(client_hears(), len);
            assert_memory_equal(heard, data, len);
        }
    }
    talk_close(&talk);
}

/* A record that is longer than any may be, too short for its tag, or of no version of TLS: the session ends at its header. */
static void headers_that_cannot_be(void **state)
{
    (void)state;
    static const uint8_t header[][5] = {
        {23, 3, 3, 0x41, 0x01}, {23, 3, 3, 0xff, 0xff}, {23, 9, 9, 0, 40}, {23, 3, 3, 0, 3}, {23, 3, 3, 0, 0},
    };
    open_with(0);
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++)
        for (unsigned j = 0; j < ARRAY_LEN(header); j++) {
            meet(&suites[i]);
            talk_run(&talk);
            assert_int_equal(talk_feed(&talk, header[j], sizeof(header[j])), TLS_FAILED);
        }
    talk_close(&talk);
}

/* Whatever a record is made of: packets are asked for and handed over once each. */
static void a_chunk_is_handed_over_once(void **state)
{
    (void)state;
    open_with(0);
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
        meet(&suites[i]);
        for (size_t len = 1; len <= RECORD_BYTES; len += 97) {
            struct span part[] = {{.data = data, .len = len / 3},
                                  {.data = data + len / 3, .len = len - len / 3}};
            size_t sealed = tls_sealed_bytes(talk.tls, len), before = talk.pipe_used;
            talk.sink_chunk = PACKET_BYTES;
            talk.commits = 0;
            assert_true(tls_write_parts(talk.tls, part, ARRAY_LEN(part)));
            assert_in_range(talk.pipe_used - before, sealed - NONCE_BYTES, sealed);
            assert_int_equal(talk.commits, (talk.pipe_used - before + PACKET_BYTES - 1) / PACKET_BYTES);
            talk.sink_chunk = TALK_PIPE_BYTES;
            assert_int_equal(hear(), len);
            assert_memory_equal(heard, data, len);
        }
    }
    talk_close(&talk);
}

/* A sink that gives several packets at a time is told once of all that a record fills. */
static void pieces_are_handed_over_together(void **state)
{
    (void)state;
    open_with(0);
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
        meet(&suites[i]);
        talk.sink_chunk = PACKET_BYTES;
        talk.sink.pieces = talk_sink_pieces;
        talk.commits = 0;
        assert_true(tls_write(talk.tls, data, RECORD_BYTES));
        assert_int_equal(talk.commits, 1);
        talk.sink_chunk = TALK_PIPE_BYTES;
        talk.sink.pieces = NULL;
        assert_int_equal(hear(), RECORD_BYTES);
        assert_memory_equal(heard, data, RECORD_BYTES);
    }
    talk_close(&talk);
}

/* Nothing comes in the clear once there are keys, an alert neither. */
static void plain_alert_after_the_keys(void **state)
{
    (void)state;
    static const uint8_t close_notify[] = {21, 3, 3, 0, 2, 1, 0};
    open_with(0);
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
        meet(&suites[i]);
        talk_run(&talk);
        assert_int_equal(talk_feed(&talk, close_notify, sizeof(close_notify)), TLS_FAILED);
    }
    talk_close(&talk);
}

/* The sink ends in the middle of a record; the rest waits and goes out in order. */
static void the_sink_ends_anywhere(void **state)
{
    (void)state;
    open_with(0);
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
        meet(&suites[i]);
        for (unsigned room = 0; room < 80; room++) {
            talk.pipe_cap = talk.pipe_used + room;
            assert_true(tls_write(talk.tls, data, 40));
            assert_true(tls_write(talk.tls, data + 40, 7));
            talk.pipe_cap = TALK_PIPE_BYTES;
            assert_int_equal(hear(), 47);
            assert_memory_equal(heard, data, 47);
        }
    }
    talk_close(&talk);
}

/* RFC 8446 section 5.5: OpenSSL says KeyUpdate by itself when the limit is reached, and what follows is under new keys. */
static void worn_keys_are_renewed(void **state)
{
    (void)state;
    open_with(5);
    for (unsigned i = 0; i < 3; i++) {
        meet(&suites[i]);
        for (unsigned round = 0; round < 40; round++) {
            size_t len = 1 + below(40000);
            assert_true(tls_write(talk.tls, data, len));
            assert_int_equal(hear(), len);
            assert_memory_equal(heard, data, len);
        }
        assert_int_equal(SSL_get_key_update_type(talk.server), SSL_KEY_UPDATE_NONE);
    }
    talk_close(&talk);
}

/* What the peer renews for itself, and what it asks us to renew, in the middle of our own. */
static void key_updates_of_both(void **state)
{
    (void)state;
    open_with(7);
    meet(&suites[1]);
    for (unsigned round = 0; round < 30; round++) {
        uint8_t out[8];
        assert_int_equal(
            SSL_key_update(talk.server, round & 1 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
            1);
        assert_int_equal(SSL_write(talk.server, "220 x\r\n", 7), 7);
        talk_run(&talk);
        assert_int_equal(tls_read(talk.tls, out, sizeof(out)), 7);
        assert_true(tls_write(talk.tls, data, 1000));
        assert_int_equal(hear(), 1000);
        assert_memory_equal(heard, data, 1000);
    }
    talk_close(&talk);
}

/* TLS 1.2 cannot renew: the session ends, with a reason that is ours and not the receiver's. */
static void worn_key_of_tls_12(void **state)
{
    (void)state;
    struct outcome why;
    open_with(5); /* the Finished is the first */
    meet(&suites[3]);
    for (unsigned i = 0; i < 4; i++)
        assert_true(tls_write(talk.tls, data, 100));
    assert_int_equal(hear(), 400);
    assert_false(tls_write(talk.tls, data, 100));
    assert_int_equal(tls_status(talk.tls), TLS_FAILED);
    tls_failure(talk.tls, &why);
    assert_int_equal(why.fault, FAULT_LOCAL);
    assert_int_equal(why.reason, REASON_LIMIT);
    assert_int_equal(hear(), 0);
    talk_close(&talk);
}

static void nothing_is_sealed_before_there_are_keys(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    struct span part = {.data = data, .len = 10};
    open_with(0);
    talk_meet(&talk, &(struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle}, &demand);
    assert_false(tls_write_parts(talk.tls, &part, 1));
    assert_int_equal(talk_run(&talk), TLS_OPEN);
    assert_true(tls_write_parts(talk.tls, &part, 1));
    assert_int_equal(part.len, 0);
    assert_int_equal(hear(), 10);
    talk_close(&talk);
}

static int setup(void **state)
{
    (void)state;
    ec = pki_chain("P-256", "DNS:" HOST);
    rand_seed(&randomness, 3);
    for (size_t i = 0; i < DATA_MAX; i++)
        data[i] = (uint8_t)rand_u64(&randomness);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_chain_free(&ec);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_length_any_cut),
        cmocka_unit_test(any_length_any_cut_back),
        cmocka_unit_test(padding_is_taken_off),
        cmocka_unit_test(headers_that_cannot_be),
        cmocka_unit_test(plain_alert_after_the_keys),
        cmocka_unit_test(the_sink_ends_anywhere),
        cmocka_unit_test(a_chunk_is_handed_over_once),
        cmocka_unit_test(pieces_are_handed_over_together),
        cmocka_unit_test(worn_keys_are_renewed),
        cmocka_unit_test(key_updates_of_both),
        cmocka_unit_test(worn_key_of_tls_12),
        cmocka_unit_test(nothing_is_sealed_before_there_are_keys),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
