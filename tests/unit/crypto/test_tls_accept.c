/* Servers that are in order: every suite, key type and group that is spoken, and the evidence of it. */
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/evp.h>
#include <time.h>

#define HOST "mx.example.org"
#define SAN  "DNS:" HOST

static struct pki_chain ec, rsa;

static struct talk_server server_of(const struct pki_chain *chain, int version)
{
    return (struct talk_server){.leaf = &chain->leaf, .middle = &chain->middle, .version = version};
}

/* ---- suites, keys, groups ---- */

struct suite {
    int version;
    const struct pki_chain *chain;
    const char *server; /* as the server's configuration names it */
    const char *iana;
};

static const struct suite suites[] = {
    {TLS1_2_VERSION, &ec, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
    {TLS1_2_VERSION, &ec, "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
    {TLS1_2_VERSION, &ec, "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
    {TLS1_2_VERSION, &rsa, "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
    {TLS1_2_VERSION, &rsa, "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
    {TLS1_2_VERSION, &rsa, "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
    {TLS1_3_VERSION, &ec, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
    {TLS1_3_VERSION, &rsa, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, &ec, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
};

static void every_suite(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
        const struct suite *s = &suites[i];
        struct talk talk;
        struct talk_server server = server_of(s->chain, s->version);
        struct tls_demand demand = talk_pkix(HOST);
        *(s->version == TLS1_2_VERSION ? &server.suites_12 : &server.suites_13) = s->server;
        talk_open(&talk, s->chain->ca_file);
        const struct tls_verified *v = talk_accepted(&talk, &server, &demand);
        assert_int_equal(v->version, s->version);
        assert_string_equal(v->cipher, s->iana);
        talk_close(&talk);
    }
}

static void chain_of(const char *key, int version, const char *signature)
{
    struct talk talk;
    struct pki_chain chain = pki_chain(key, SAN);
    struct talk_server server = server_of(&chain, version);
    struct tls_demand demand = talk_pkix(HOST);
    talk_open(&talk, chain.ca_file);
    const struct tls_verified *v = talk_accepted(&talk, &server, &demand);
    assert_int_equal(v->version, version);
    assert_string_equal(v->signature, signature);
    talk_close(&talk);
    pki_chain_free(&chain);
}

static void every_key_type(void **state)
{
    (void)state;
    chain_of("P-256", TLS1_3_VERSION, "ecdsa_secp256r1_sha256");
    chain_of("P-384", TLS1_3_VERSION, "ecdsa_secp384r1_sha384");
    chain_of("ed25519", TLS1_3_VERSION, "ed25519");
    chain_of("rsa2048", TLS1_3_VERSION, "rsa_pss_rsae_sha256");
    chain_of("rsa3072", TLS1_3_VERSION, "rsa_pss_rsae_sha256");
    chain_of("rsa4096", TLS1_3_VERSION, "rsa_pss_rsae_sha256");
    chain_of("pss2048", TLS1_3_VERSION, "rsa_pss_pss_sha256");
    chain_of("P-256", TLS1_2_VERSION, "ecdsa_secp256r1_sha256");
    chain_of("P-384", TLS1_2_VERSION, "ecdsa_secp256r1_sha256"); /* there a hash, not a curve */
    chain_of("ed25519", TLS1_2_VERSION, "ed25519");
    chain_of("rsa2048", TLS1_2_VERSION, "rsa_pss_rsae_sha256");
    chain_of("rsa3072", TLS1_2_VERSION, "rsa_pss_rsae_sha256");
    chain_of("rsa4096", TLS1_2_VERSION, "rsa_pss_rsae_sha256");
}

static void group_of(int version, const char *group, const char *evidence)
{
    struct talk talk;
    struct talk_server server = server_of(&ec, version);
    struct tls_demand demand = talk_pkix(HOST);
    server.groups = group;
    talk_open(&talk, ec.ca_file);
    const struct tls_verified *v = talk_accepted(&talk, &server, &demand);
    assert_string_equal(v->group, evidence);
    talk_close(&talk);
}

static void every_group(void **state)
{
    (void)state;
    group_of(TLS1_3_VERSION, "X25519", "x25519");
    group_of(TLS1_3_VERSION, "P-256", "secp256r1");
    group_of(TLS1_3_VERSION, "P-384", "secp384r1");
    group_of(TLS1_3_VERSION, "X25519MLKEM768", "X25519MLKEM768");
    group_of(TLS1_2_VERSION, "X25519", "x25519");
    group_of(TLS1_2_VERSION, "P-256", "secp256r1");
    group_of(TLS1_2_VERSION, "P-384", "secp384r1");
}

/* openssl#27557: a ClientHello of more than one segment is an offer that has to be made on purpose. */
static size_t hello_bytes(bool pq_share)
{
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    talk_open_config(&talk, ec.ca_file, &(struct tls_core_config){.sessions_max = 1, .pq_share = pq_share});
    talk_meet(&talk, NULL, &demand);
    size_t bytes = talk.pipe_used;
    talk_close(&talk);
    return bytes;
}

static void the_first_flight_is_short_unless_told(void **state)
{
    (void)state;
    assert_in_range(hello_bytes(false), 200, 500);
    assert_in_range(hello_bytes(true), 1400, 1800);
}

static void min_version_13(void **state)
{
    (void)state;
    struct talk talk;
    struct talk_server server = server_of(&ec, 0);
    struct tls_demand demand = talk_pkix(HOST);
    demand.min_version = 0x0304;
    talk_open(&talk, ec.ca_file);
    assert_int_equal(talk_accepted(&talk, &server, &demand)->version, 0x0304);
    talk_close(&talk);
}

static void sni_is_sent(void **state)
{
    (void)state;
    struct talk talk;
    struct talk_server server = server_of(&ec, 0);
    struct tls_demand demand = talk_pkix(HOST);
    demand.sni = "other.example.org";
    talk_open(&talk, ec.ca_file);
    talk_accepted(&talk, &server, &demand);
    assert_string_equal(SSL_get_servername(talk.server, TLSEXT_NAMETYPE_host_name), "other.example.org");
    demand.sni = NULL;
    talk_accepted(&talk, &server, &demand);
    assert_null(SSL_get_servername(talk.server, TLSEXT_NAMETYPE_host_name));
    talk_close(&talk);
}

/* ---- names ---- */

static void accepts_name(const char *san, const char *reference, const char *matched)
{
    struct talk talk;
    struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.cn = "leaf", .san = san});
    struct talk_server server = {.leaf = &leaf, .middle = &ec.middle};
    struct tls_demand demand = talk_pkix(reference);
    demand.sni = HOST;
    talk_open(&talk, ec.ca_file);
    assert_string_equal(talk_accepted(&talk, &server, &demand)->matched_name, matched);
    talk_close(&talk);
    pki_free(&leaf);
}

static void names_that_match(void **state)
{
    (void)state;
    accepts_name("DNS:mx.example.org", "mx.example.org", "mx.example.org");
    accepts_name("DNS:a.example,DNS:mx.example.org", "mx.example.org", "mx.example.org");
    accepts_name("DNS:MX.Example.ORG", "mx.example.org", "MX.Example.ORG");
    accepts_name("DNS:*.example.org", "mx.example.org", "*.example.org");
    accepts_name("DNS:mx.example.org", ".example.org", "mx.example.org");
    accepts_name("DNS:a.b.c.example.org", ".example.org", "a.b.c.example.org");
    accepts_name("DNS:*.example.org", ".example.org", "*.example.org");
    accepts_name("DNS:xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example");
    accepts_name("DNS:*.mx.example", "xn--bcher-kva.mx.example", "*.mx.example");
    accepts_name("IP:192.0.2.7", "192.0.2.7", "192.0.2.7");
    accepts_name("IP:2001:db8::7", "2001:db8:0::7", "2001:db8:0::7");
}

static void any_alternative_of_every_group(void **state)
{
    (void)state;
    struct talk talk;
    struct pki leaf =
        pki_make(&ec.middle, &(struct pki_spec){.san = "DNS:mx.example.net,DNS:mail.example.org"});
    struct talk_server server = {.leaf = &leaf, .middle = &ec.middle};
    struct tls_demand demand = talk_pkix("example.org");
    demand.names = 4;
    demand.name[1] = ".example.org";
    demand.name[2] = "nobody.example";
    demand.name[3] = "mx.example.net";
    demand.group[2] = demand.group[3] = 9;
    talk_open(&talk, ec.ca_file);
    assert_string_equal(talk_accepted(&talk, &server, &demand)->matched_name, "mail.example.org");
    talk_close(&talk);
    pki_free(&leaf);
}

/* ---- evidence ---- */

static void evidence_is_that_of_the_leaf(void **state)
{
    (void)state;
    struct talk talk;
    struct talk_server server = server_of(&ec, 0);
    struct tls_demand demand = talk_pkix(HOST);
    uint8_t cert[32], key[32], *spki = NULL;
    talk_open(&talk, ec.ca_file);
    const struct tls_verified *v = talk_accepted(&talk, &server, &demand);
    X509_digest(ec.leaf.cert, EVP_sha256(), cert, NULL);
    int len = i2d_PUBKEY(ec.leaf.key, &spki);
    assert_true(len > 0);
    EVP_Digest(spki, (size_t)len, key, NULL, EVP_sha256(), NULL);
    OPENSSL_free(spki);
    assert_memory_equal(v->cert_sha256, cert, sizeof(cert));
    assert_memory_equal(v->spki_sha256, key, sizeof(key));
    assert_true(v->pkix);
    assert_false(v->resumed);
    assert_string_equal(v->trust_name, ec.ca_file);
    assert_int_equal(talk.stats.v[STAT_tls_handshakes], 1);
    assert_int_equal(talk.stats.v[STAT_tls_handshakes_failed], 0);
    talk_close(&talk);
}

static void the_chain_ends_with_its_earliest(void **state)
{
    (void)state;
    struct talk talk;
    struct pki_spec soon = {.cn = "soon", .ca = true, .from_s = -PKI_DAY, .until_s = 5 * PKI_DAY};
    struct pki middle = pki_make(&ec.root, &soon);
    struct pki leaf = pki_make(&middle, &(struct pki_spec){.san = SAN});
    struct talk_server server = {.leaf = &leaf, .middle = &middle};
    struct tls_demand demand = talk_pkix(HOST);
    talk_open(&talk, ec.ca_file);
    uint64_t end = talk_accepted(&talk, &server, &demand)->not_after_s;
    uint64_t expected = (uint64_t)time(NULL) + 5 * PKI_DAY;
    assert_in_range(end, expected - 60, expected + 1);
    talk_close(&talk);
    pki_free(&leaf);
    pki_free(&middle);
}

/* ---- less usual, but in order ---- */

static void a_self_signed_certificate_that_is_trusted(void **state)
{
    (void)state;
    struct talk talk;
    struct pki own = pki_make(NULL, &(struct pki_spec){.cn = HOST, .san = SAN});
    struct tls_demand demand = talk_pkix(HOST);
    char path[64];
    pki_write(path, (const struct pki *const[]){&own}, 1);
    talk_open(&talk, path);
    talk_accepted(&talk, &(struct talk_server){.leaf = &own}, &demand);
    talk_close(&talk);
    remove(path);
    pki_free(&own);
}

static void the_root_and_an_unneeded_certificate_are_sent(void **state)
{
    (void)state;
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = {.leaf = &ec.leaf, .middle = &rsa.middle, .extra = &ec.middle};
    talk_open(&talk, ec.ca_file);
    talk_accepted(&talk, &server, &demand);
    server.middle = &ec.middle;
    server.extra = &ec.root;
    talk_accepted(&talk, &server, &demand);
    talk_close(&talk);
}

/* The level "encrypt" asks nothing of the certificate but a key that can sign the handshake. */
static void encrypt_takes_any_certificate(void **state)
{
    (void)state;
    static const struct pki_spec specs[] = {
        {.cn = "self-signed", .san = "DNS:elsewhere.example"},
        {.cn = "expired", .san = SAN, .from_s = -9 * PKI_DAY, .until_s = -PKI_DAY},
        {.cn = HOST, .digest = "SHA1"},
    };
    struct talk talk;
    struct tls_demand demand = talk_encrypt(HOST);
    talk_open(&talk, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(specs); i++) {
        struct pki own = pki_make(NULL, &specs[i]);
        struct talk_server server = {.leaf = &own, .security_level = -1};
        const struct tls_verified *v = talk_accepted(&talk, &server, &demand);
        assert_false(v->pkix);
        assert_string_equal(v->matched_name, "");
        assert_string_equal(v->trust_name, "");
        assert_int_equal(v->not_after_s, 0);
        pki_free(&own);
    }
    talk_close(&talk);
}

static int make_chains(void **state)
{
    (void)state;
    ec = pki_chain("P-256", SAN);
    rsa = pki_chain("rsa2048", SAN);
    return 0;
}

static int free_chains(void **state)
{
    (void)state;
    pki_chain_free(&ec);
    pki_chain_free(&rsa);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite),
        cmocka_unit_test(every_key_type),
        cmocka_unit_test(every_group),
        cmocka_unit_test(the_first_flight_is_short_unless_told),
        cmocka_unit_test(min_version_13),
        cmocka_unit_test(sni_is_sent),
        cmocka_unit_test(names_that_match),
        cmocka_unit_test(any_alternative_of_every_group),
        cmocka_unit_test(evidence_is_that_of_the_leaf),
        cmocka_unit_test(the_chain_ends_with_its_earliest),
        cmocka_unit_test(a_self_signed_certificate_that_is_trusted),
        cmocka_unit_test(the_root_and_an_unneeded_certificate_are_sent),
        cmocka_unit_test(encrypt_takes_any_certificate),
    };
    return cmocka_run_group_tests(tests, make_chains, free_chains);
}
