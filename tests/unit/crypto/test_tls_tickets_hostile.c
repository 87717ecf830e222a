/* Servers that play games with tickets: answers to them that nobody may give, and NewSessionTicket messages of every kind. */
#include "engine/base/rand.h"
#include "tests/unit/crypto/one_talk.h"
#include "tests/unit/crypto/server_records.h"
#include "tests/unit/cmocka.h"

#include <stdlib.h>
#include <string.h>

#define WEEK  604800u
#define LARGE (70u << 10)

static struct tls_scope scope;
static struct tls_demand demand;

/* RFC 8446 section 4.6.1. */
struct ticket_message {
    uint32_t lifetime_s;
    uint8_t nonce_len;
    uint16_t ticket_len;
    uint16_t extensions_len;
};

static const struct ticket_message good = {.lifetime_s = 7200, .nonce_len = 8, .ticket_len = 200};

static void put_message(struct bytes_out *out, const struct ticket_message *m)
{
    size_t len = 4 + 4 + 1 + m->nonce_len + 2 + m->ticket_len + 2 + (size_t)m->extensions_len;
    bytes_put_be32(out, 4u << 24 | (uint32_t)len);
    bytes_put_be32(out, m->lifetime_s);
    bytes_put_be32(out, 0x01020304);
    bytes_put_u8(out, m->nonce_len);
    memset(bytes_reserve(out, m->nonce_len), 0x55, m->nonce_len);
    bytes_put_be16(out, m->ticket_len);
    memset(bytes_reserve(out, m->ticket_len), 0xaa, m->ticket_len);
    bytes_put_be16(out, m->extensions_len);
    memset(bytes_reserve(out, m->extensions_len), 0, m->extensions_len);
    assert_false(out->failed);
}

/* Messages into records of so many bytes. */
static enum tls_status give(const uint8_t *messages, size_t len, size_t piece)
{
    static uint8_t wire[1u << 20];
    struct bytes_out out = bytes_out(wire, sizeof(wire));
    for (size_t at = 0, n; at < len; at += n) {
        n = min_size(piece, len - at);
        server_records_put(&out, 22, messages + at, n);
    }
    assert_false(out.failed);
    return talk_feed(&talk, wire, bytes_written(&out));
}

static enum tls_status give_one(const struct ticket_message *m)
{
    uint8_t message[LARGE];
    struct bytes_out out = bytes_out(message, sizeof(message));
    put_message(&out, m);
    return give(message, bytes_written(&out), 16384);
}

/* A good handshake with a server that sends no ticket of its own; the test speaks for it from here. */
static void meet(void)
{
    talk_accepted(&talk, &usual, &demand);
    assert_int_equal(count(STAT_tls_tickets_stored), 0);
}

static bool offers(void)
{
    uint64_t used = count(STAT_tls_tickets_used);
    talk_meet(&talk, &usual, &demand);
    return count(STAT_tls_tickets_used) > used;
}

static void data_still_comes(void)
{
    static uint8_t wire[256];
    char text[8] = {0};
    struct bytes_out out = bytes_out(wire, sizeof(wire));
    server_records_put(&out, 23, (const uint8_t *)"still", 5);
    assert_int_equal(talk_feed(&talk, wire, bytes_written(&out)), TLS_OPEN);
    assert_int_equal(tls_read(talk.tls, (uint8_t *)text, sizeof(text)), 5);
    assert_string_equal(text, "still");
}

/* ---- tickets ---- */

static void the_maker_makes_good_ones(void **state)
{
    (void)state;
    meet();
    assert_int_equal(give_one(&good), TLS_OPEN);
    assert_int_equal(count(STAT_tls_tickets_stored), 1);
    data_still_comes();
    assert_true(offers());
    assert_int_equal(talk_run(&talk), TLS_OPEN); /* the server knows nothing of it */
    assert_false(tls_verified(talk.tls)->resumed);
    assert_int_equal(count(STAT_tls_tickets_refused), 1);
}

static void lifetimes(void **state)
{
    (void)state;
    static const uint32_t kept[] = {1, WEEK, WEEK + 1, 0x7fffffff, 0x80000000, 0xffffffff};
    struct ticket_message m = good;
    m.lifetime_s = 0;
    meet();
    assert_int_equal(give_one(&m), TLS_OPEN);
    assert_int_equal(count(STAT_tls_tickets_stored), 0);
    assert_int_equal(count(STAT_tls_tickets_drop_unfit), 1);
    data_still_comes();
    assert_false(offers());
    for (unsigned i = 0; i < ARRAY_LEN(kept); i++) {
        scope.port = (uint16_t)i;
        talk_accepted(&talk, &usual, &demand);
        m.lifetime_s = kept[i];
        assert_int_equal(give_one(&m), TLS_OPEN);
        assert_int_equal(count(STAT_tls_tickets_stored), i + 1);
    }
}

static void sizes(void **state)
{
    (void)state;
    static const uint16_t too_large[] = {2049, 16000, 40000, 65535};
    struct ticket_message m = good;
    meet();
    for (unsigned i = 0; i < ARRAY_LEN(too_large); i++) {
        m.ticket_len = too_large[i];
        enum tls_status status = give_one(&m);
        print_message("# a ticket of %u bytes: status %d\n", too_large[i], (int)status);
        assert_int_equal(count(STAT_tls_tickets_stored), 0);
        if (status != TLS_OPEN) /* OpenSSL bounds the message: the peer is told so */
            talk_accepted(&talk, &usual, &demand);
    }
    m.ticket_len = 2048;
    talk_accepted(&talk, &usual, &demand);
    assert_int_equal(give_one(&m), TLS_OPEN);
    assert_int_equal(count(STAT_tls_tickets_stored), 1);
    assert_true(offers());
}

/* RFC 8446 section 4.6.1: ticket<1..2^16-1>. */
static void an_empty_one(void **state)
{
    (void)state;
    struct ticket_message m = good;
    m.ticket_len = 0;
    meet();
    give_one(&m);
    assert_int_equal(count(STAT_tls_tickets_stored), 0);
    assert_false(offers());
}

static void nonces(void **state)
{
    (void)state;
    static const uint8_t lengths[] = {0, 1, 8, 255, 8, 8};
    struct ticket_message m = good;
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        scope.port = (uint16_t)(i / 4);
        talk_accepted(&talk, &usual, &demand);
        m.nonce_len = lengths[i];
        assert_int_equal(give_one(&m), TLS_OPEN);
        assert_int_equal(give_one(&m), TLS_OPEN); /* the same nonce again: the same PSK under another name */
        data_still_comes();
    }
    assert_true(count(STAT_tls_tickets_stored) > 0);
}

static void lengths_that_lie(void **state)
{
    (void)state;
    for (unsigned at = 0; at < 20; at++) {
        uint8_t message[1024];
        struct bytes_out out = bytes_out(message, sizeof(message));
        put_message(&out, &good);
        message[at] ^= 0x41;
        talk_accepted(&talk, &usual, &demand);
        enum tls_status status = give(message, bytes_written(&out), 16384);
        if (status == TLS_FAILED) {
            tls_failure(talk.tls, &why);
            assert_int_equal(why.reason, REASON_TLS_HANDSHAKE);
        }
        scope.port++;
    }
}

/* ---- very many ---- */

static void thousands(void **state)
{
    (void)state;
    enum { MESSAGES = 3000 };
    static uint8_t messages[1u << 20];
    struct ticket_message m = good;
    m.ticket_len = 32;
    for (unsigned piece = 1; piece <= 16384; piece = piece == 1    ? 7
                                                     : piece == 7  ? 61
                                                     : piece == 61 ? 16384
                                                                   : 16385) {
        struct bytes_out out = bytes_out(messages, sizeof(messages));
        for (unsigned i = 0; i < (piece < 61 ? 60 : MESSAGES); i++)
            put_message(&out, &m);
        uint64_t stored = count(STAT_tls_tickets_stored), unwanted = count(STAT_tls_tickets_drop_unwanted);
        scope.port = (uint16_t)piece;
        talk_accepted(&talk, &usual, &demand);
        assert_int_equal(give(messages, bytes_written(&out), piece), TLS_OPEN);
        assert_int_equal(count(STAT_tls_tickets_stored), stored + 4);
        assert_int_equal(count(STAT_tls_tickets_drop_unwanted), unwanted + (piece < 61 ? 60 : MESSAGES) - 4);
        data_still_comes();
    }
}

/* Between those that are not wanted, and in the middle of one: what OpenSSL has to see it still sees. */
static void messages_between_them(void **state)
{
    (void)state;
    static const uint8_t key_update[] = {24, 0, 0, 1, 0};
    uint8_t messages[8192];
    for (unsigned piece = 1; piece < 600; piece += 13) {
        struct bytes_out out = bytes_out(messages, sizeof(messages));
        for (unsigned i = 0; i < 8; i++)
            put_message(&out, &good);
        bytes_put(&out, key_update, 3); /* must be a record's last, RFC 8446 section 5.1: this one lies */
        bytes_put(&out, "\x05", 1);
        bytes_put(&out, "abcde", 5);
        talk_accepted(&talk, &usual, &demand);
        assert_int_equal(give(messages, bytes_written(&out), piece), TLS_FAILED);
        scope.port++;
    }
}

static void data_in_the_middle_of_an_unwanted_one(void **state)
{
    (void)state;
    uint8_t message[4096];
    static uint8_t wire[8192];
    struct bytes_out out = bytes_out(message, sizeof(message)), on_wire = bytes_out(wire, sizeof(wire));
    meet();
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(give_one(&good), TLS_OPEN);
    put_message(&out, &good);
    server_records_put(&on_wire, 22, message, 50);
    server_records_put(&on_wire, 23, (const uint8_t *)"data", 4);
    assert_int_equal(talk_feed(&talk, wire, bytes_written(&on_wire)), TLS_FAILED);
}

/* A handshake that waits for the rest of a ticket that never comes holds nothing up, and ends at any byte. */
static void cut_short(void **state)
{
    (void)state;
    uint8_t message[512];
    struct bytes_out out = bytes_out(message, sizeof(message));
    put_message(&out, &good);
    for (size_t len = 1; len < bytes_written(&out); len += 9) {
        talk_accepted(&talk, &usual, &demand);
        assert_int_equal(give(message, len, 16384), TLS_OPEN);
        assert_int_equal(count(STAT_tls_tickets_stored), 0);
    }
}

/* ---- answers to a ticket ---- */

/* A ServerHello of TLS 1.3 with what is given of extensions, RFC 8446 section 4.1.3. */
static size_t make_hello(uint8_t out[512], uint16_t suite, const uint8_t *session, size_t session_len,
                         const void *extensions, size_t extensions_len)
{
    struct bytes_out o = bytes_out(out, 512);
    static const uint8_t random[32] = {1, 2, 3};
    size_t body = 2 + 32 + 1 + session_len + 2 + 1 + 2 + 6 + extensions_len;
    bytes_put(&o, "\x16\x03\x03", 3);
    bytes_put_be16(&o, (uint16_t)(body + 4));
    bytes_put_be16(&o, 0x0200);
    bytes_put_be16(&o, (uint16_t)body);
    bytes_put_be16(&o, 0x0303);
    bytes_put(&o, random, sizeof(random));
    bytes_put_u8(&o, (uint8_t)session_len);
    bytes_put(&o, session, session_len);
    bytes_put_be16(&o, suite);
    bytes_put_u8(&o, 0);
    bytes_put_be16(&o, (uint16_t)(6 + extensions_len));
    bytes_put(&o, "\x00\x2b\x00\x02\x03\x04", 6); /* supported_versions */
    bytes_put(&o, extensions, extensions_len);
    assert_false(o.failed);
    return bytes_written(&o);
}

#define PSK(n)  0x00, 0x29, 0x00, 0x02, 0x00, n
#define SHARE   0x00, 0x33, 0x00, 0x24, 0x00, 0x1d, 0x00, 0x20
#define POINT16 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9

/* The ClientHello's legacy_session_id, which a server has to repeat. */
static size_t session_of_hello(uint8_t out[32])
{
    size_t len = talk.pipe[5 + 4 + 2 + 32];
    assert_true(talk.pipe_used > 100 && len <= 32);
    memcpy(out, talk.pipe + 5 + 4 + 2 + 32 + 1, len);
    return len;
}

static enum tls_status answer(bool with_ticket, uint16_t suite, const void *extensions, size_t len)
{
    uint8_t hello[512], session[32];
    if (with_ticket) {
        talk_accepted(&talk, &usual, &demand);
        assert_int_equal(give_one(&good), TLS_OPEN);
    }
    uint64_t used = count(STAT_tls_tickets_used);
    talk_meet(&talk, NULL, &demand);
    assert_int_equal(count(STAT_tls_tickets_used) - used, with_ticket);
    size_t session_len = session_of_hello(session);
    enum tls_status status =
        talk_feed(&talk, hello, make_hello(hello, suite, session, session_len, extensions, len));
    if (status == TLS_FAILED) {
        tls_failure(talk.tls, &why);
        print_message("# %s\n", why.text);
        assert_int_equal(why.reason, REASON_TLS_HANDSHAKE);
    }
    scope.port++;
    return status;
}

#define ANSWER(with, suite, ...) \
    answer(with, suite, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void answers(void **state)
{
    (void)state;
    enum { SHA256_SUITE = 0x1301, SHA384_SUITE = 0x1302 };
    assert_int_equal(ANSWER(true, SHA256_SUITE, SHARE, POINT16, POINT16, PSK(0)),
                     TLS_HANDSHAKE);                                                      /* a good one */
    assert_int_equal(ANSWER(true, SHA256_SUITE, SHARE, POINT16, POINT16), TLS_HANDSHAKE); /* refused */
    assert_int_equal(ANSWER(false, SHA256_SUITE, SHARE, POINT16, POINT16, PSK(0)),
                     TLS_FAILED); /* none was offered */
    assert_int_equal(ANSWER(true, SHA256_SUITE, SHARE, POINT16, POINT16, PSK(1)), TLS_FAILED); /* one was */
    assert_int_equal(ANSWER(true, SHA256_SUITE, SHARE, POINT16, POINT16, PSK(0xff)), TLS_FAILED);
    assert_int_equal(ANSWER(true, SHA384_SUITE, SHARE, POINT16, POINT16, PSK(0)),
                     TLS_FAILED); /* another hash */
    assert_int_equal(ANSWER(true, SHA256_SUITE, PSK(0)),
                     TLS_FAILED); /* without (EC)DHE, which was not offered */
    assert_int_equal(ANSWER(true, SHA256_SUITE, SHARE, POINT16, POINT16, PSK(0), PSK(0)), TLS_FAILED);
    assert_int_equal(count(STAT_tls_resumed), 0);
}

/* What the answer to a ticket says is changed on its way: never resumed by mistake. */
static void changed_on_its_way(void **state)
{
    (void)state;
    struct rand_source r;
    rand_seed(&r, 42);
    usual.tickets = 0;
    usual.keylog = NULL;
    for (unsigned i = 0; i < 200; i++) {
        scope.port = (uint16_t)(i / 4);
        talk_accepted(&talk, &usual, &demand);
        if (!offers())
            continue;
        SSL_do_handshake(talk.server);
        talk_step(&talk);
        int n = BIO_read(talk.from_server, talk.held, (int)TALK_PIPE_BYTES);
        if (n <= 0)
            continue;
        talk.held_len = (size_t)n;
        talk.held[rand_below(&r, (uint32_t)n)] ^= (uint8_t)(1u << rand_below(&r, 8));
        assert_int_not_equal(talk_run(&talk), TLS_OPEN);
    }
    assert_true(count(STAT_tls_tickets_drop_failed) > 0);
}

/* ---- TLS 1.2 ---- */

/* RFC 7627 section 5.3: what was made with it must not be resumed without it. */
static void without_extended_master_secret(void **state)
{
    (void)state;
    usual.version = TLS1_2_VERSION;
    usual.tickets = 0;
    talk_accepted(&talk, &usual, &demand);
    usual.options = SSL_OP_NO_EXTENDED_MASTER_SECRET;
    talk_meet(&talk, &usual, &demand);
    assert_int_equal(count(STAT_tls_tickets_used), 1);
    assert_int_equal(talk_run(&talk), TLS_FAILED);
    assert_int_equal(count(STAT_tls_resumed), 0);
}

static int fresh(void **state)
{
    (void)state;
    scope = talk_scope();
    demand = talk_pkix(HOST);
    demand.scope = &scope;
    one_talk_open(&(struct tls_core_config){.sessions_max = 2,
                                            .proven_chains = 64,
                                            .proven_lifetime_s = 3600,
                                            .tickets_max = 256,
                                            .tickets_per_destination = 16,
                                            .ticket_lifetime_s = WEEK});
    usual.suites_13 = "TLS_AES_128_GCM_SHA256";
    usual.tickets = -1;
    usual.keylog = server_records_key;
    return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, fresh, one_talk_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(the_maker_makes_good_ones),
        EACH(lifetimes),
        EACH(sizes),
        EACH(an_empty_one),
        EACH(nonces),
        EACH(lengths_that_lie),
        EACH(thousands),
        EACH(messages_between_them),
        EACH(data_in_the_middle_of_an_unwanted_one),
        EACH(cut_short),
        EACH(answers),
        EACH(changed_on_its_way),
        EACH(without_extended_master_secret),
    };
    return cmocka_run_group_tests(tests, one_talk_make_chain, one_talk_free_chain);
}
