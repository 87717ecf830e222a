/* Bytes through an open session: any cut, any sink, any end of it. */
#include "crypto/open.h"
#include "engine/base/rand.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/err.h>
#include <stdlib.h>

#define HOST "mx.example.org"
#define SAN  "DNS:" HOST

static struct pki_chain ec;
static struct talk talk;
static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void meet(int version)
{
    struct talk_server server = {.leaf = &ec.leaf, .middle = &ec.middle, .version = version};
    struct tls_demand demand = talk_pkix(HOST);
    talk.feed_chunk = talk.sink_chunk = talk.pipe_cap = TALK_PIPE_BYTES;
    talk_accepted(&talk, &server, &demand);
}

static void server_says(const char *text)
{
    assert_int_equal(SSL_write(talk.server, text, (int)strlen(text)), (int)strlen(text));
}

static void client_hears(const char *text)
{
    char out[256];
    size_t got = 0;
    for (unsigned i = 0; i < 5000; i++) {
        bool moved = talk_step(&talk);
        size_t n = tls_read(talk.tls, (uint8_t *)out + got, sizeof(out) - got);
        got += n;
        if (!moved && n == 0)
            break;
    }
    assert_int_equal(got, strlen(text));
    assert_memory_equal(out, text, got);
}

static void server_hears(const void *data, size_t len)
{
    uint8_t *in = malloc(len + 1);
    size_t got = 0;
    for (unsigned i = 0; i < 5000000 && got < len; i++) {
        bool moved = talk_step(&talk);
        int n = SSL_read(talk.server, in + got, (int)(len + 1 - got));
        if (n > 0)
            got += (size_t)n;
        if (!moved && n <= 0)
            break;
    }
    assert_int_equal(got, len);
    assert_memory_equal(in, data, len);
    free(in);
}

static void client_says(const char *text)
{
    assert_true(tls_write(talk.tls, (const uint8_t *)text, strlen(text)));
}

/* ---- cuts ---- */

static void one_byte_at_a_time(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
        struct talk_server server = {.leaf = &ec.leaf, .middle = &ec.middle, .version = versions[i]};
        struct tls_demand demand = talk_pkix(HOST);
        talk.feed_chunk = 1;
        talk_accepted(&talk, &server, &demand);
        server_says("220 hello\r\n");
        client_hears("220 hello\r\n");
        client_says("QUIT\r\n");
        server_hears("QUIT\r\n", 6);
    }
}

static void a_sink_that_takes_little(void **state)
{
    (void)state;
    static const size_t chunks[][2] = {{1, 1}, {1, 7}, {3, 100}, {1460, 1460}};
    for (unsigned i = 0; i < ARRAY_LEN(chunks); i++) {
        struct talk_server server = {.leaf = &ec.leaf, .middle = &ec.middle, .version = versions[i & 1]};
        struct tls_demand demand = talk_pkix(HOST);
        talk.feed_chunk = TALK_PIPE_BYTES;
        talk.sink_chunk = chunks[i][0];
        talk.pipe_cap = chunks[i][1];
        talk_accepted(&talk, &server, &demand);
        uint8_t data[3000];
        for (unsigned n = 0; n < sizeof(data); n++)
            data[n] = (uint8_t)n;
        assert_true(tls_write(talk.tls, data, sizeof(data)));
        assert_false(tls_output(talk.tls));
        assert_true(tls_write(talk.tls, data, 0));
        client_says("and then this");
        uint8_t both[3013];
        memcpy(both, data, sizeof(data));
        memcpy(both + sizeof(data), "and then this", 13);
        server_hears(both, sizeof(both));
        assert_true(tls_output(talk.tls));
    }
    talk.pipe_cap = talk.sink_chunk = TALK_PIPE_BYTES;
}

static void no_sink_at_all(void **state)
{
    (void)state;
    meet(TLS1_3_VERSION);
    tls_set_sink(talk.tls, NULL);
    client_says("waits");
    assert_false(tls_output(talk.tls));
    tls_set_sink(talk.tls, &talk.sink);
    assert_true(tls_output(talk.tls));
    server_hears("waits", 5);
}

static void much_in_one_write(void **state)
{
    (void)state;
    size_t len = 3u << 20;
    uint8_t *data = malloc(len);
    struct rand_source r;
    rand_seed(&r, 9);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)rand_u64(&r);
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
        uint64_t before = talk.stats.v[STAT_tls_sealed_bytes];
        meet(versions[i]);
        talk.pipe_cap = 100000;
        assert_true(tls_write(talk.tls, data, len));
        assert_int_equal(talk.stats.v[STAT_tls_sealed_bytes] - before, len);
        server_hears(data, len);
    }
    free(data);
}

static void sealed_bytes_is_an_upper_bound(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 100, 16383, 16384, 16385, 100000};
    static uint8_t data[100000];
    for (unsigned v = 0; v < ARRAY_LEN(versions); v++) {
        meet(versions[v]);
        for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
            size_t before = talk.pipe_used;
            assert_true(tls_write(talk.tls, data, lens[i]));
            assert_int_equal(talk.pipe_used - before, tls_sealed_bytes(talk.tls, lens[i]));
        }
        assert_int_equal(tls_sealed_bytes(talk.tls, 0), 0);
        talk.pipe_used = 0;
    }
}

/* What has been decrypted waits inside: no more is taken until it has been read. */
static void input_waits_for_the_reader(void **state)
{
    (void)state;
    uint8_t wire[4096], out[4];
    size_t consumed, first;
    meet(TLS1_3_VERSION);
    talk_run(&talk);
    server_says("first");
    server_says("second");
    int n = BIO_read(talk.from_server, wire, sizeof(wire));
    assert_true(n > 0);
    assert_int_equal(tls_input(talk.tls, wire, (size_t)n, &first), TLS_OPEN);
    assert_in_range(first, 1, n - 1);
    assert_int_equal(tls_input(talk.tls, wire + first, (size_t)n - first, &consumed), TLS_OPEN);
    assert_int_equal(consumed, 0);
    assert_int_equal(tls_read(talk.tls, out, 4), 4);
    assert_memory_equal(out, "firs", 4);
    assert_int_equal(tls_read(talk.tls, out, 4), 1);
    assert_int_equal(tls_read(talk.tls, out, 4), 0);
    tls_input(talk.tls, wire + first, (size_t)n - first, &consumed);
    assert_int_equal(consumed, (size_t)n - first);
    assert_int_equal(tls_read(talk.tls, out, 4), 4);
    assert_int_equal(talk.stats.v[STAT_tls_opened_bytes] > 0, 1);
}

/* ---- after the handshake ---- */

struct heard {
    unsigned updates, asking;
};

static void count_updates(int ours, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    const uint8_t *message = data;
    struct heard *heard = arg;
    (void)version, (void)ssl;
    if (ours || type != SSL3_RT_HANDSHAKE || len < 5 || message[0] != SSL3_MT_KEY_UPDATE)
        return;
    heard->updates++;
    heard->asking += message[4];
}

static void expect_updates(unsigned updates, const struct heard *heard)
{
    client_says("NOOP\r\n");
    server_hears("NOOP\r\n", 6);
    assert_int_equal(heard->updates, updates);
    assert_int_equal(heard->asking, 0);
}

/* RFC 8446 section 4.6.3: before our next data; once, if it was silent between. */
static void who_asks_for_a_key_update_gets_one(void **state)
{
    (void)state;
    struct heard heard = {0};
    meet(TLS1_3_VERSION);
    SSL_set_msg_callback(talk.server, count_updates);
    SSL_set_msg_callback_arg(talk.server, &heard);
    expect_updates(0, &heard);
    for (unsigned i = 1; i < 5; i++) {
        assert_int_equal(SSL_key_update(talk.server, SSL_KEY_UPDATE_REQUESTED), 1);
        server_says("250 ok\r\n");
        client_hears("250 ok\r\n");
        assert_int_equal(heard.updates, i - 1); /* not before there is something to say */
        expect_updates(i, &heard);
        expect_updates(i, &heard);
        assert_int_equal(SSL_key_update(talk.server, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        server_says("250 ok\r\n");
        client_hears("250 ok\r\n");
        expect_updates(i, &heard);
    }
}

static void key_updates(void **state)
{
    (void)state;
    meet(TLS1_3_VERSION);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(
            SSL_key_update(talk.server, i & 1 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        server_says("250 ok\r\n");
        client_hears("250 ok\r\n");
        client_says("NOOP\r\n");
        server_hears("NOOP\r\n", 6);
    }
    assert_int_equal(tls_status(talk.tls), TLS_OPEN);
}

static void renew_in_a_row(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        assert_int_equal(
            SSL_key_update(talk.server, i & 1 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(talk.server), 1);
    }
}

static void key_updates_in_a_row(void **state)
{
    (void)state;
    struct outcome why;
    uint8_t none;
    meet(TLS1_3_VERSION);
    for (unsigned i = 0; i < 3; i++) { /* data is what makes an end of it */
        server_says("250 ok\r\n");
        renew_in_a_row(OPEN_MESSAGES_MAX);
        server_says("250 ok\r\n");
        client_hears("250 ok\r\n250 ok\r\n");
        client_says("NOOP\r\n");
        server_hears("NOOP\r\n", 6);
    }
    renew_in_a_row(OPEN_MESSAGES_MAX + 1);
    server_says("250 ok\r\n");
    talk_run(&talk);
    assert_int_equal(tls_status(talk.tls), TLS_FAILED);
    tls_failure(talk.tls, &why);
    assert_int_equal(why.fault, FAULT_REMOTE);
    assert_non_null(strstr(why.text, "key updates"));
    assert_int_equal(tls_read(talk.tls, &none, 1), 0);
    assert_true(SSL_read(talk.server, &none, 1) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE);
    ERR_clear_error();
}

static void tickets_are_taken_and_not_used(void **state)
{
    (void)state;
    meet(TLS1_3_VERSION);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(SSL_new_session_ticket(talk.server), 1);
    server_says("220\r\n");
    client_hears("220\r\n");
    meet(TLS1_3_VERSION);
    assert_false(SSL_session_reused(talk.server));
    meet(TLS1_2_VERSION);
    meet(TLS1_2_VERSION);
    assert_false(SSL_session_reused(talk.server));
}

static void renegotiation_is_declined(void **state)
{
    (void)state;
    uint8_t sink[16];
    meet(TLS1_2_VERSION);
    SSL_renegotiate(talk.server);
    SSL_do_handshake(talk.server); /* sends HelloRequest */
    talk_run(&talk);
    assert_int_equal(tls_status(talk.tls), TLS_OPEN);
    assert_true(SSL_read(talk.server, sink, sizeof(sink)) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
}

/* TLS 1.3 clients are open before such a server has decided: the session fails behind TLS_OPEN. */
static void a_client_certificate_is_demanded(void **state)
{
    (void)state;
    struct talk_server server = {.leaf = &ec.leaf, .middle = &ec.middle, .version = TLS1_3_VERSION};
    struct tls_demand demand = talk_pkix(HOST);
    struct outcome why;
    talk_meet(&talk, &server, &demand);
    SSL_set_verify(talk.server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    assert_int_equal(talk_run(&talk), TLS_FAILED);
    tls_failure(talk.tls, &why);
    assert_non_null(strstr(why.text, "client certificate"));
    assert_null(tls_verified(talk.tls));
}

static void a_turned_bit_fails_the_session(void **state)
{
    (void)state;
    uint8_t wire[256];
    size_t consumed;
    struct outcome why;
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
        meet(versions[i]);
        talk_run(&talk);
        uint64_t failed = talk.stats.v[STAT_tls_handshakes_failed];
        server_says("250 accepted\r\n");
        int n = BIO_read(talk.from_server, wire, sizeof(wire));
        wire[n - 3] ^= 4;
        assert_int_equal(tls_input(talk.tls, wire, (size_t)n, &consumed), TLS_FAILED);
        assert_null(tls_verified(talk.tls));
        assert_false(tls_write(talk.tls, wire, 1));
        tls_failure(talk.tls, &why);
        assert_non_null(strstr(why.text, "damaged or forged"));
        assert_int_equal(talk.stats.v[STAT_tls_handshakes_failed], failed); /* the handshake was fine */
    }
}

/* ---- ends ---- */

static void the_peer_closes_first(void **state)
{
    (void)state;
    size_t consumed;
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
        meet(versions[i]);
        server_says("221 bye\r\n");
        SSL_shutdown(talk.server);
        client_hears("221 bye\r\n");
        assert_int_equal(tls_status(talk.tls), TLS_PEER_CLOSED);
        assert_non_null(tls_verified(talk.tls));
        /* RFC 8446 section 6.1: we may still write, and what comes behind the closure is ignored */
        client_says("last words");
        server_hears("last words", 10);
        assert_int_equal(tls_input(talk.tls, (const uint8_t *)"junk", 4, &consumed), TLS_PEER_CLOSED);
        assert_int_equal(consumed, 4);
        tls_close_notify(talk.tls);
        talk_run(&talk);
        SSL_read(talk.server, (uint8_t[1]){0}, 1);
        assert_true(SSL_get_shutdown(talk.server) & SSL_RECEIVED_SHUTDOWN);
    }
}

static void we_close_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
        meet(versions[i]);
        tls_close_notify(talk.tls);
        tls_close_notify(talk.tls);
        assert_false(tls_write(talk.tls, (const uint8_t *)"x", 1));
        assert_int_equal(tls_status(talk.tls), TLS_OPEN); /* writing after it is our mistake, not a failure */
        talk_run(&talk);
        assert_int_equal(SSL_read(talk.server, (uint8_t[1]){0}, 1), 0);
        assert_true(SSL_get_shutdown(talk.server) & SSL_RECEIVED_SHUTDOWN);
        server_says("221 bye\r\n");
        SSL_shutdown(talk.server);
        client_hears("221 bye\r\n");
        assert_int_equal(tls_status(talk.tls), TLS_PEER_CLOSED);
    }
}

static void nothing_is_written_before_it_is_open(void **state)
{
    (void)state;
    struct talk_server server = {.leaf = &ec.leaf, .middle = &ec.middle};
    struct tls_demand demand = talk_pkix(HOST);
    uint8_t out[8];
    talk_meet(&talk, &server, &demand);
    while (tls_status(talk.tls) == TLS_HANDSHAKE) {
        assert_false(tls_write(talk.tls, (const uint8_t *)"MAIL", 4));
        assert_int_equal(tls_read(talk.tls, out, sizeof(out)), 0);
        tls_close_notify(talk.tls);
        assert_true(talk_step(&talk));
    }
    assert_int_equal(tls_status(talk.tls), TLS_OPEN);
    client_says("EHLO\r\n");
    server_hears("EHLO\r\n", 6);
}

static int setup(void **state)
{
    (void)state;
    ec = pki_chain("P-256", SAN);
    talk_open(&talk, ec.ca_file);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talk_close(&talk);
    pki_chain_free(&ec);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_byte_at_a_time),
        cmocka_unit_test(a_sink_that_takes_little),
        cmocka_unit_test(no_sink_at_all),
        cmocka_unit_test(much_in_one_write),
        cmocka_unit_test(sealed_bytes_is_an_upper_bound),
        cmocka_unit_test(input_waits_for_the_reader),
        cmocka_unit_test(who_asks_for_a_key_update_gets_one),
        cmocka_unit_test(key_updates),
        cmocka_unit_test(key_updates_in_a_row),
        cmocka_unit_test(tickets_are_taken_and_not_used),
        cmocka_unit_test(renegotiation_is_declined),
        cmocka_unit_test(a_client_certificate_is_demanded),
        cmocka_unit_test(a_turned_bit_fails_the_session),
        cmocka_unit_test(the_peer_closes_first),
        cmocka_unit_test(we_close_first),
        cmocka_unit_test(nothing_is_written_before_it_is_open),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
