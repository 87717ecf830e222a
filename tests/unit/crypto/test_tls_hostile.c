/* Servers that speak too old or too weak a TLS, break it, or play games; and somebody in between who changes bytes. */
#include "engine/base/rand.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/err.h>

#define HOST "mx.example.org"
#define SAN  "DNS:" HOST

static struct pki_chain ec, rsa;
static struct talk talk;
static struct outcome why;

static void says(const char *text)
{
    if (!strstr(why.text, text))
        print_message("# lacks \"%s\"\n", text);
    assert_non_null(strstr(why.text, text));
}

static struct talk_server server_of(const struct pki_chain *chain, int version)
{
    return (struct talk_server){
        .leaf = &chain->leaf, .middle = &chain->middle, .version = version, .security_level = -1};
}

/* Every case is refused whatever is demanded of the certificate. */
static void refused(const struct talk_server *server, enum reason reason)
{
    struct tls_demand pkix = talk_pkix(HOST), encrypt = talk_encrypt(HOST);
    talk_refused(&talk, server, &encrypt, reason, &why);
    talk_refused(&talk, server, &pkix, reason, &why);
}

/* ---- versions ---- */

static void tls_10_and_11_only(void **state)
{
    (void)state;
    static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (unsigned i = 0; i < ARRAY_LEN(old); i++) {
        struct talk_server server = server_of(&rsa, old[i]);
        refused(&server, REASON_TLS_VERSION);
        says("wanted TLS 1.2 or 1.3");
    }
}

static void tls_12_where_13_is_demanded(void **state)
{
    (void)state;
    struct talk_server server = server_of(&rsa, TLS1_2_VERSION);
    struct tls_demand demand = talk_pkix(HOST);
    demand.min_version = 0x0304;
    talk_refused(&talk, &server, &demand, REASON_TLS_VERSION, &why);
    says("wanted TLS 1.3");
}

/* A ServerHello of a server's own making: version, suite, extensions. */
static size_t make_hello(uint8_t out[256], uint16_t version, uint16_t suite, uint8_t compression, bool reneg)
{
    struct bytes_out o = bytes_out(out, 256);
    static const uint8_t random[32] = {1, 2, 3};
    size_t body = 2 + 32 + 1 + 2 + 1 + (reneg ? 2 + 5 : 0);
    bytes_put_u8(&o, 22);
    bytes_put_be16(&o, version);
    bytes_put_be16(&o, (uint16_t)(body + 4));
    bytes_put_u8(&o, 2);
    bytes_put_u8(&o, 0);
    bytes_put_be16(&o, (uint16_t)body);
    bytes_put_be16(&o, version);
    bytes_put(&o, random, sizeof(random));
    bytes_put_u8(&o, 0);
    bytes_put_be16(&o, suite);
    bytes_put_u8(&o, compression);
    if (reneg) {
        bytes_put_be16(&o, 5);
        bytes_put(&o, "\xff\x01\x00\x01\x00", 5);
    }
    assert_false(o.failed);
    return bytes_written(&o);
}

static void hello_refused(uint16_t version, uint16_t suite, uint8_t compression, bool reneg,
                          enum reason reason)
{
    uint8_t hello[256];
    struct tls_demand demand = talk_encrypt(HOST);
    size_t len = make_hello(hello, version, suite, compression, reneg);
    talk_meet(&talk, NULL, &demand);
    assert_int_equal(talk_feed(&talk, hello, len), TLS_FAILED);
    tls_failure(talk.tls, &why);
    print_message("# %s: %s\n", reason_name(why.reason), why.text);
    assert_int_equal(why.reason, reason);
}

static void hellos_that_were_not_asked_for(void **state)
{
    (void)state;
    uint8_t hello[256];
    struct tls_demand demand = talk_encrypt(HOST);
    size_t len = make_hello(hello, 0x0303, 0xc02f, 0, true);
    talk_meet(&talk, NULL, &demand);
    assert_int_equal(talk_feed(&talk, hello, len), TLS_HANDSHAKE); /* the maker makes good ones, too */

    hello_refused(0x0302, 0xc02f, 0, true, REASON_TLS_VERSION);
    hello_refused(0x0301, 0xc02f, 0, true, REASON_TLS_VERSION);
    hello_refused(0x0300, 0xc02f, 0, true, REASON_TLS_VERSION);
    hello_refused(0x0303, 0x002f, 0, true, REASON_TLS_HANDSHAKE); /* TLS_RSA_WITH_AES_128_CBC_SHA */
    says("not offered");
    hello_refused(0x0303, 0x009c, 0, true, REASON_TLS_HANDSHAKE); /* TLS_RSA_WITH_AES_128_GCM_SHA256 */
    hello_refused(0x0303, 0xc027, 0, true, REASON_TLS_HANDSHAKE); /* ECDHE, but CBC */
    hello_refused(0x0303, 0x009e, 0, true, REASON_TLS_HANDSHAKE); /* DHE */
    hello_refused(0x0303, 0x0005, 0, true, REASON_TLS_HANDSHAKE); /* RC4 */
    hello_refused(0x0303, 0x0000, 0, true, REASON_TLS_HANDSHAKE); /* NULL */
    hello_refused(0x0303, 0xc02f, 1, true, REASON_TLS_HANDSHAKE); /* deflate */
    hello_refused(0x0303, 0xc02f, 0, false, REASON_TLS_HANDSHAKE);
    says("RFC 5746");
}

/* ---- what a TLS 1.2 server may have to offer ---- */

static void weak_suites_only(void **state)
{
    (void)state;
    static const char *const weak[] = {"ECDHE-RSA-AES128-SHA256", "AES128-GCM-SHA256", "AES256-SHA",
                                       "DHE-RSA-AES128-GCM-SHA256"};
    for (unsigned i = 0; i < ARRAY_LEN(weak); i++) {
        struct talk_server server = server_of(&rsa, TLS1_2_VERSION);
        server.suites_12 = weak[i];
        refused(&server, REASON_TLS_HANDSHAKE);
        says("want of a cipher suite");
    }
}

static void ccm_is_not_offered(void **state)
{
    (void)state;
    struct talk_server server = server_of(&ec, TLS1_3_VERSION);
    server.suites_13 = "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";
    refused(&server, REASON_TLS_HANDSHAKE);
}

static void groups_that_are_not_spoken(void **state)
{
    (void)state;
    static const char *const groups[] = {"P-521", "X448", "ffdhe2048"};
    for (unsigned i = 0; i < ARRAY_LEN(groups); i++) {
        struct talk_server server = server_of(&ec, TLS1_3_VERSION);
        server.groups = groups[i];
        refused(&server, REASON_TLS_HANDSHAKE);
    }
}

static void sha1_signatures_only(void **state)
{
    (void)state;
    struct talk_server server = server_of(&rsa, TLS1_2_VERSION);
    server.sigalgs = "RSA+SHA1";
    refused(&server, REASON_TLS_HANDSHAKE);
}

static void no_extended_master_secret(void **state)
{
    (void)state;
    struct talk_server server = server_of(&rsa, TLS1_2_VERSION);
    server.options = SSL_OP_NO_EXTENDED_MASTER_SECRET;
    refused(&server, REASON_TLS_HANDSHAKE);
    says("RFC 7627");
    assert_int_equal(why.fault, FAULT_REMOTE);
}

/* ---- somebody in between ---- */

/* RFC 8446 section 4.1.3: a server that could do better says so in its random. */
static void downgrade_is_noticed(void **state)
{
    (void)state;
    static const uint8_t versions[] = {0x00, 0x2b, 0x00, 0x05, 0x04, 0x03, 0x04, 0x03, 0x03};
    struct talk_server server = server_of(&rsa, 0);
    struct tls_demand demand = talk_pkix(HOST);
    talk_meet(&talk, &server, &demand);
    uint8_t *at = memmem(talk.pipe, talk.pipe_used, versions, sizeof(versions));
    assert_non_null(at);
    at[0] = at[1] = 0x4a; /* an extension that nobody knows */
    assert_int_equal(talk_run(&talk), TLS_FAILED);
    tls_failure(talk.tls, &why);
    print_message("# %s: %s\n", reason_name(why.reason), why.text);
    assert_int_equal(why.reason, REASON_TLS_VERSION);
    assert_int_equal(why.fault, FAULT_ATTACK);
}

/* The server's first flight; the session waits for it. */
static size_t first_flight(const struct talk_server *server, const struct tls_demand *demand, uint8_t *flight,
                           size_t cap)
{
    talk_meet(&talk, server, demand);
    BIO_write(talk.to_server, talk.pipe, (int)talk.pipe_used);
    talk.pipe_used = 0;
    SSL_do_handshake(talk.server);
    int n = BIO_read(talk.from_server, flight, (int)cap);
    assert_true(n > 0);
    ERR_clear_error();
    return (size_t)n;
}

/* TLS 1.2 shows its flight in the clear: any bit of it may be turned. */
static void no_bit_may_be_turned(void **state)
{
    (void)state;
    struct talk_server servers[] = {server_of(&rsa, TLS1_2_VERSION), server_of(&ec, TLS1_3_VERSION)};
    struct tls_demand demand = talk_pkix(HOST);
    uint8_t flight[8192];
    struct rand_source r;
    rand_seed(&r, 7);
    servers[0].groups = servers[1].groups = "X25519";
    for (unsigned i = 0; i < 300; i++) {
        size_t len = first_flight(&servers[i & 1], &demand, flight, sizeof(flight));
        flight[rand_below(&r, (uint32_t)len)] ^= (uint8_t)(1u << rand_below(&r, 8));
        talk_feed(&talk, flight, len);
        assert_true(tls_status(talk.tls) == TLS_FAILED || tls_status(talk.tls) == TLS_HANDSHAKE);
        talk_run(&talk);
        assert_true(tls_verified(talk.tls) == NULL);
    }
}

static void a_signature_of_somebody_else(void **state)
{
    (void)state;
    struct talk_server server = server_of(&rsa, TLS1_2_VERSION);
    struct tls_demand demand = talk_pkix(HOST);
    uint8_t flight[8192];
    size_t len = first_flight(&server, &demand, flight, sizeof(flight));
    flight[len - 9 - 1] ^= 1; /* behind it there is only the 9-byte ServerHelloDone */
    assert_int_equal(talk_feed(&talk, flight, len), TLS_FAILED);
    tls_failure(talk.tls, &why);
    print_message("# %s: %s\n", reason_name(why.reason), why.text);
    says("key of its certificate");
    assert_int_equal(why.fault, FAULT_ATTACK);
}

/* ---- broken off ---- */

static void a_handshake_cut_anywhere_never_opens(void **state)
{
    (void)state;
    struct talk_server server = server_of(&ec, TLS1_3_VERSION);
    struct tls_demand demand = talk_pkix(HOST);
    uint8_t flight[8192];
    server.groups = "X25519";
    size_t len = first_flight(&server, &demand, flight, sizeof(flight));
    for (size_t cut = 0; cut < len; cut += 13) {
        first_flight(&server, &demand, flight, sizeof(flight));
        assert_int_equal(talk_feed(&talk, flight, cut), TLS_HANDSHAKE);
        assert_null(tls_verified(talk.tls));
    }
}

static void garbage(void **state)
{
    (void)state;
    struct tls_demand demand = talk_encrypt(HOST);
    uint8_t bytes[600];
    struct rand_source r;
    rand_seed(&r, 8);
    for (unsigned i = 0; i < 500; i++) {
        for (unsigned n = 0; n < sizeof(bytes); n++)
            bytes[n] = (uint8_t)rand_u64(&r);
        if (i & 1)
            memcpy(bytes, "\x16\x03\x03\x02\x00\x02\x00\x01\xfc\x03\x03", 11);
        talk_meet(&talk, NULL, &demand);
        talk_feed(&talk, bytes, sizeof(bytes));
        assert_true(tls_status(talk.tls) == TLS_FAILED || tls_status(talk.tls) == TLS_HANDSHAKE);
    }
    static const char plain[] = "554 5.7.0 go away\r\n";
    talk_meet(&talk, NULL, &demand);
    assert_int_equal(talk_feed(&talk, plain, sizeof(plain) - 1), TLS_FAILED);
    tls_failure(talk.tls, &why);
    print_message("# %s\n", why.text);
    says("not TLS");
}

static enum tls_status feed_hex(const char *bytes, size_t len, unsigned times)
{
    struct tls_demand demand = talk_encrypt(HOST);
    talk_meet(&talk, NULL, &demand);
    enum tls_status status = TLS_HANDSHAKE;
    for (unsigned i = 0; i < times && status == TLS_HANDSHAKE; i++)
        status = talk_feed(&talk, bytes, len);
    if (status == TLS_FAILED)
        tls_failure(talk.tls, &why);
    print_message("# %s\n", why.text);
    return status;
}

static void alerts(void **state)
{
    (void)state;
    assert_int_equal(feed_hex("\x15\x03\x03\x00\x02\x02\x28", 7, 1), TLS_FAILED); /* handshake_failure */
    says("want of a cipher suite");
    assert_int_equal(feed_hex("\x15\x03\x03\x00\x02\x02\x46", 7, 1), TLS_FAILED); /* protocol_version */
    assert_int_equal(why.reason, REASON_TLS_VERSION);
    assert_int_equal(feed_hex("\x15\x03\x03\x00\x02\x02\x50", 7, 1), TLS_FAILED); /* internal_error */
    says("internal error");
    assert_int_equal(feed_hex("\x15\x03\x03\x00\x02\x01\x00", 7, 1),
                     TLS_FAILED); /* close_notify in a handshake */
    says("ended the session");
}

static void storms_end(void **state)
{
    (void)state;
    assert_int_equal(feed_hex("\x15\x03\x03\x00\x02\x01\x70", 7, 100), TLS_FAILED); /* warnings */
    assert_int_equal(feed_hex("\x16\x03\x03\x00\x00", 5, 100), TLS_FAILED);         /* empty records */
    assert_int_equal(feed_hex("\x14\x03\x03\x00\x01\x01", 6, 100), TLS_FAILED);     /* change_cipher_spec */
}

static void records_that_are_too_large(void **state)
{
    (void)state;
    assert_int_equal(feed_hex("\x16\x03\x03\x48\x01", 5, 1), TLS_FAILED);
    assert_int_equal(feed_hex("\x16\x03\x03\xff\xff", 5, 1), TLS_FAILED);
    /* a ServerHello that says it is 16 MB long */
    assert_int_equal(feed_hex("\x16\x03\x03\x00\x04\x02\xff\xff\xff", 9, 1), TLS_FAILED);
}

static void a_failed_session_stays_failed(void **state)
{
    (void)state;
    struct outcome again;
    size_t consumed;
    uint8_t out[10];
    assert_int_equal(feed_hex("junk junk junk", 14, 1), TLS_FAILED);
    assert_int_equal(tls_input(talk.tls, (const uint8_t *)"more", 4, &consumed), TLS_FAILED);
    assert_int_equal(consumed, 4);
    assert_int_equal(tls_start(talk.tls), TLS_FAILED);
    assert_int_equal(tls_resume(talk.tls), TLS_FAILED);
    assert_int_equal(tls_read(talk.tls, out, sizeof(out)), 0);
    assert_false(tls_write(talk.tls, out, sizeof(out)));
    tls_close_notify(talk.tls);
    tls_failure(talk.tls, &again);
    assert_string_equal(again.text, why.text);
}

/* The server hears why, RFC 8446 section 6.2: an alert waits even though the call failed. */
static void an_alert_is_sent(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix("other.example");
    struct talk_server server = server_of(&ec, TLS1_2_VERSION);
    talk_meet(&talk, &server, &demand);
    while (tls_status(talk.tls) == TLS_HANDSHAKE)
        assert_true(talk_step(&talk));
    tls_output(talk.tls);
    BIO_write(talk.to_server, talk.pipe, (int)talk.pipe_used);
    talk.pipe_used = 0;
    SSL_do_handshake(talk.server);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_AD_REASON_OFFSET + SSL_AD_BAD_CERTIFICATE);
    ERR_clear_error();
}

static int setup(void **state)
{
    (void)state;
    ec = pki_chain("P-256", SAN);
    rsa = pki_chain("rsa2048", SAN);

    remove(rsa.ca_file);
    pki_write(rsa.ca_file, (const struct pki *const[]){&rsa.root, &ec.root}, 2);
    talk_open(&talk, rsa.ca_file);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talk_close(&talk);
    pki_chain_free(&ec);
    pki_chain_free(&rsa);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_10_and_11_only),
        cmocka_unit_test(tls_12_where_13_is_demanded),
        cmocka_unit_test(hellos_that_were_not_asked_for),
        cmocka_unit_test(weak_suites_only),
        cmocka_unit_test(ccm_is_not_offered),
        cmocka_unit_test(groups_that_are_not_spoken),
        cmocka_unit_test(sha1_signatures_only),
        cmocka_unit_test(no_extended_master_secret),
        cmocka_unit_test(downgrade_is_noticed),
        cmocka_unit_test(no_bit_may_be_turned),
        cmocka_unit_test(a_signature_of_somebody_else),
        cmocka_unit_test(a_handshake_cut_anywhere_never_opens),
        cmocka_unit_test(garbage),
        cmocka_unit_test(alerts),
        cmocka_unit_test(storms_end),
        cmocka_unit_test(records_that_are_too_large),
        cmocka_unit_test(a_failed_session_stays_failed),
        cmocka_unit_test(an_alert_is_sent),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
