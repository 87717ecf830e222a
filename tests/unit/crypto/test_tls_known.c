/* Public keys that are known from certificates that were accepted before: which are, and that they let nothing pass. */
#include "crypto/known.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/crypto/one_talk.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <string.h>

static void open_with(const char *ca_file, uint32_t chains)
{
    talk_open_config(
        &talk, ca_file,
        &(struct tls_core_config){.sessions_max = 2, .proven_chains = chains, .proven_lifetime_s = 1800});
}

static int fresh(void **state)
{
    (void)state;
    usual = (struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle};
    open_with(ec.ca_file, 64);
    return 0;
}

/* A meeting that must succeed; how many of its certificates' keys were known. */
static uint64_t known_at(const struct talk_server *server, const struct tls_demand *demand)
{
    uint64_t before = talk.stats.v[STAT_tls_keys_known];
    talk_accepted(&talk, server, demand);
    return talk.stats.v[STAT_tls_keys_known] - before;
}

/* ---- the table ---- */

static size_t bytes_of(EVP_PKEY *key, uint8_t **spki)
{
    *spki = NULL;
    int len = i2d_PUBKEY(key, spki);
    assert_true(len > 0);
    return (size_t)len;
}

static struct known *table(uint32_t keys)
{
    struct error err;
    struct known *known = known_open(keys, &err);
    assert_non_null(known);
    return known;
}

static void every_byte_counts(void **state)
{
    (void)state;
    uint8_t *spki;
    EVP_PKEY *pkey = pki_key("P-256");
    struct batch_key *key = batch_key_make(NULL, pkey);
    struct known *known = table(16);
    size_t len = bytes_of(pkey, &spki);
    assert_null(known_find(known, (struct span){spki, len}));
    known_keep(known, (struct span){spki, len}, key);
    assert_ptr_equal(known_find(known, (struct span){spki, len}), key);
    for (size_t i = 0; i < len; i++) {
        spki[i] ^= 1;
        assert_null(known_find(known, (struct span){spki, len}));
        assert_null(known_find(known, (struct span){spki, i}));
        spki[i] ^= 1;
    }
    OPENSSL_free(spki);
    known_close(known);
    batch_key_drop(key);
    EVP_PKEY_free(pkey);
}

/* form: how the point is written; NULL: as usual. */
static bool is_kept(const char *type, const char *form, uint32_t room)
{
    uint8_t *spki;
    EVP_PKEY *pkey = pki_key(type);
    if (form)
        assert_int_equal(
            EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, form), 1);
    struct batch_key *key = batch_key_make(NULL, pkey);
    struct known *known = table(room);
    size_t len = bytes_of(pkey, &spki);
    assert_non_null(key);
    known_keep(known, (struct span){spki, len}, key);
    bool kept = known_find(known, (struct span){spki, len}) == key;
    OPENSSL_free(spki);
    known_close(known);
    batch_key_drop(key);
    EVP_PKEY_free(pkey);
    return kept;
}

static void what_is_kept(void **state)
{
    (void)state;
    static const char *const unusual[] = {OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_COMPRESSED,
                                          OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_HYBRID};
    assert_true(is_kept("P-256", NULL, 4) && is_kept("P-384", NULL, 4) && is_kept("rsa2048", NULL, 4));
    assert_true(is_kept("rsa4096", NULL, 1));
    for (unsigned i = 0; i < ARRAY_LEN(unusual); i++)
        assert_false(is_kept("P-256", unusual[i], 4) || is_kept("P-384", unusual[i], 4));
    assert_false(is_kept("ed25519", NULL, 4));
    assert_false(is_kept("rsa-long-exponent", NULL, 4));
    assert_false(is_kept("pss2048", NULL, 4));
    assert_false(is_kept("P-256", NULL, 0));
}

/* ---- handshakes ---- */

static void meet_with_keys(const char *type, uint64_t known)
{
    struct pki_chain chain = pki_chain(type, SAN);
    struct talk_server server = {.leaf = &chain.leaf, .middle = &chain.middle};
    struct tls_demand demand = talk_pkix(HOST);
    talk_close(&talk);
    open_with(chain.ca_file, 64);
    for (int version = 0; version <= TLS1_2_VERSION; version += TLS1_2_VERSION) {
        server.version = version;
        assert_int_equal(known_at(&server, &demand), version == 0 ? 0 : known);
        struct tls_verified first = *tls_verified(talk.tls);
        assert_int_equal(known_at(&server, &demand), known);
        first.remembered = true;
        assert_memory_equal(tls_verified(talk.tls), &first, sizeof(first));
    }
    talk_part(&talk);
    pki_chain_free(&chain);
}

static void second_meeting_tells_the_same(void **state)
{
    (void)state;
    meet_with_keys("P-256", 2);
    meet_with_keys("P-384", 2);
    meet_with_keys("rsa2048", 2);
    meet_with_keys("rsa3072", 2);
    meet_with_keys("rsa4096", 2);
    meet_with_keys("ed25519", 0);
}

static void none_is_known_when_switched_off(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    talk_close(&talk);
    open_with(ec.ca_file, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(known_at(&usual, &demand), 0);
}

/* The intermediate's key is known from another chain; what is not proven is parsed anew. */
static void known_keys_in_a_chain_that_is_not_proven(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST), other = talk_pkix(ALIAS);
    assert_int_equal(known_at(&usual, &demand), 0);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t verified = talk.stats.v[STAT_tls_chains_verified];
        struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.cn = HOST, .san = SAN});
        assert_int_equal(known_at(&(struct talk_server){.leaf = &leaf, .middle = &ec.middle}, &demand), 1);
        assert_int_equal(talk.stats.v[STAT_tls_chains_verified], verified + 1);
        assert_false(tls_verified(talk.tls)->remembered);
        talk_part(&talk);
        pki_free(&leaf);
    }
    assert_int_equal(known_at(&usual, &other), 2);
    assert_false(tls_verified(talk.tls)->remembered);
    assert_string_equal(tls_verified(talk.tls)->matched_name, ALIAS);
}

static void refused_as_before(const struct talk_server *server, const struct tls_demand *demand)
{
    struct talk_server none = *server;
    struct outcome cold;
    talk_close(&talk);
    open_with(ec.ca_file, 0);
    talk_refused(&talk, &none, demand, REASON_CERTIFICATE_NOT_TRUSTED, &cold);
    talk_close(&talk);
    open_with(ec.ca_file, 64);
    talk_accepted(&talk, &usual, demand);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t known = talk.stats.v[STAT_tls_keys_known];
        talk_refused(&talk, server, demand, REASON_CERTIFICATE_NOT_TRUSTED, &why);
        assert_true(talk.stats.v[STAT_tls_keys_known] > known);
        assert_string_equal(why.text, cold.text);
    }
}

/* What one certificate becomes when a bit of it is another; NULL: it is none any more, or its key is another's. */
static X509 *changed(const struct pki *pki, size_t bit)
{
    uint8_t *der = NULL;
    int len = i2d_X509(pki->cert, &der);
    assert_true(len > 0);
    if (bit / 8 >= (size_t)len) {
        OPENSSL_free(der);
        return NULL;
    }
    der[bit / 8] ^= (uint8_t)(1u << bit % 8);
    const uint8_t *at = der;
    X509 *cert = d2i_X509(NULL, &at, len);
    OPENSSL_free(der);
    if (cert && X509_check_private_key(cert, pki->key) == 1)
        return cert;
    X509_free(cert);
    return NULL;
}

static void judged_alike(struct talk *cold, const struct talk_server *server, const struct tls_demand *demand)
{
    struct outcome its;
    talk_meet(&talk, server, demand);
    talk_meet(cold, server, demand);
    enum tls_status status = talk_run(&talk);
    assert_int_equal(status, talk_run(cold));
    if (status == TLS_OPEN) {
        assert_memory_equal(tls_verified(talk.tls), tls_verified(cold->tls), sizeof(struct tls_verified));
        return;
    }
    tls_failure(talk.tls, &why);
    tls_failure(cold->tls, &its);
    assert_int_equal(why.reason, its.reason);
    assert_string_equal(why.text, its.text);
}

/* A core that knows the keys and one that knows none, of certificates whose keys are as they were and something else is not. */
static void changed_certificates_are_judged_alike(void **state)
{
    (void)state;
    struct talk cold;
    const struct tls_demand demand[] = {talk_pkix(HOST), talk_encrypt(HOST)};
    const struct pki *const chain[] = {&ec.leaf, &ec.middle};
    unsigned met = 0;
    talk_open_config(&cold, ec.ca_file, &(struct tls_core_config){.sessions_max = 2});
    talk_accepted(&talk, &usual, &demand[0]);
    for (unsigned i = 0; i < ARRAY_LEN(chain); i++)
        for (size_t bit = 0; bit < 8 * 1000; bit += 9) {
            struct pki other = {.cert = changed(chain[i], bit), .key = chain[i]->key};
            struct talk_server server = {.leaf = i == 0 ? &other : &ec.leaf,
                                         .middle = i == 1 ? &other : &ec.middle,
                                         .security_level = -1};
            if (!other.cert)
                continue;
            judged_alike(&cold, &server, &demand[met++ % ARRAY_LEN(demand)]);
            talk_part(&talk);
            talk_part(&cold);
            X509_free(other.cert);
        }
    talk_close(&cold);
    assert_in_range(met, 200, 1000);
}

/* The leaf's key and names, but signed by somebody else. */
static void known_key_in_a_forged_certificate(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    struct pki forged = {.cert = X509_dup(ec.leaf.cert), .key = ec.leaf.key};
    EVP_PKEY *stranger = pki_key("P-256");
    assert_true(X509_sign(forged.cert, stranger, EVP_sha256()) > 0);
    refused_as_before(&(struct talk_server){.leaf = &forged, .middle = &ec.middle}, &demand);
    talk_part(&talk);
    X509_free(forged.cert);
    EVP_PKEY_free(stranger);
}

/* The intermediate's key in an intermediate that nobody trusted has signed, and one that is none. */
static void known_key_in_a_forged_intermediate(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    struct pki forged = {.cert = X509_dup(ec.middle.cert), .key = ec.middle.key};
    EVP_PKEY *stranger = pki_key("P-256");
    assert_true(X509_sign(forged.cert, stranger, EVP_sha256()) > 0);
    refused_as_before(&(struct talk_server){.leaf = &ec.leaf, .middle = &forged}, &demand);
    talk_part(&talk);
    X509_free(forged.cert);
    EVP_PKEY_free(stranger);
}

static void known_key_in_an_expired_certificate(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    struct pki old = {.cert = X509_dup(ec.leaf.cert), .key = ec.leaf.key};
    talk_accepted(&talk, &usual, &demand);
    X509_gmtime_adj(X509_getm_notBefore(old.cert), -9 * PKI_DAY);
    X509_gmtime_adj(X509_getm_notAfter(old.cert), -60);
    assert_true(X509_sign(old.cert, ec.middle.key, EVP_sha256()) > 0);
    talk_refused(&talk, &(struct talk_server){.leaf = &old, .middle = &ec.middle}, &demand,
                 REASON_CERTIFICATE_EXPIRED, &why);
    talk_part(&talk);
    X509_free(old.cert);
}

/* A leaf that has the known key of an authority, and the other way round. */
static void known_key_at_another_place(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    talk_accepted(&talk, &usual, &demand);
    struct pki leaf = {.cert = X509_dup(ec.leaf.cert), .key = ec.middle.key};
    assert_true(X509_set_pubkey(leaf.cert, ec.middle.key) == 1 &&
                X509_sign(leaf.cert, ec.middle.key, EVP_sha256()) > 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(known_at(&(struct talk_server){.leaf = &leaf, .middle = &ec.middle}, &demand), 2);
    assert_true(tls_verified(talk.tls)->remembered);
    talk_part(&talk);
    X509_free(leaf.cert);
}

static void encrypt_knows_the_leaf_alone(void **state)
{
    (void)state;
    struct tls_demand encrypt = talk_encrypt(HOST), pkix = talk_pkix(HOST);
    assert_int_equal(known_at(&usual, &encrypt), 0);
    struct tls_verified first = *tls_verified(talk.tls);
    assert_int_equal(known_at(&usual, &encrypt), 1);
    assert_memory_equal(tls_verified(talk.tls), &first, sizeof(first));
    assert_int_equal(known_at(&usual, &pkix), 1);
    assert_false(tls_verified(talk.tls)->remembered);
    assert_int_equal(known_at(&usual, &encrypt), 2);
    assert_memory_equal(tls_verified(talk.tls), &first, sizeof(first));
}

/* A key too weak is not known the second time either. */
static void weak_key_stays_refused(void **state)
{
    (void)state;
    struct tls_demand encrypt = talk_encrypt(HOST);
    struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.san = SAN, .key = "rsa1024"});
    struct talk_server server = {.leaf = &leaf, .middle = &ec.middle, .security_level = -1};
    for (unsigned i = 0; i < 2; i++) {
        talk_refused(&talk, &server, &encrypt, REASON_CERTIFICATE_WEAK, &why);
        assert_int_equal(talk.stats.v[STAT_tls_keys_known], 0);
    }
    talk_part(&talk);
    pki_free(&leaf);
}

/* Whoever shows the known certificate without having its key. */
static EVP_PKEY *with_foreign_secret(const EVP_PKEY *shown, const EVP_PKEY *other)
{
    BIGNUM *n = NULL, *e = NULL, *d = NULL;
    EVP_PKEY *thief = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(shown, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    assert_int_equal(EVP_PKEY_get_bn_param(shown, OSSL_PKEY_PARAM_RSA_E, &e), 1);
    assert_int_equal(EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_RSA_D, &d), 1);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_D, d);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &thief, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    BN_clear_free(d);
    return thief;
}

static void known_key_without_its_secret(void **state)
{
    (void)state;
    const struct tls_demand demand[] = {talk_pkix(HOST), talk_encrypt(HOST)};
    struct pki_chain rsa = pki_chain("rsa2048", SAN);
    EVP_PKEY *other = pki_key("rsa2048");
    struct pki thief = {.cert = rsa.leaf.cert, .key = with_foreign_secret(rsa.leaf.key, other)};
    talk_close(&talk);
    open_with(rsa.ca_file, 64);
    for (unsigned i = 0; i < ARRAY_LEN(demand); i++) {
        talk_accepted(&talk, &(struct talk_server){.leaf = &rsa.leaf, .middle = &rsa.middle}, &demand[i]);
        for (int version = 0; version <= TLS1_2_VERSION; version += TLS1_2_VERSION)
            talk_refused(&talk,
                         &(struct talk_server){.leaf = &thief, .middle = &rsa.middle, .version = version},
                         &demand[i], REASON_TLS_HANDSHAKE, &why);
    }
    talk_part(&talk);
    EVP_PKEY_free(thief.key);
    EVP_PKEY_free(other);
    pki_chain_free(&rsa);
}

/* Far more keys than places. */
static void more_keys_than_places(void **state)
{
    (void)state;
    enum { KEYS = 30 };
    struct pki leaf[KEYS];
    struct tls_demand demand = talk_pkix(HOST);
    uint64_t known = 0;
    talk_close(&talk);
    open_with(ec.ca_file, 4);
    for (unsigned turn = 0; turn < 2; turn++)
        for (unsigned i = 0; i < KEYS; i++) {
            if (turn == 0)
                leaf[i] = pki_make(&ec.middle, &(struct pki_spec){.san = SAN});
            known += known_at(&(struct talk_server){.leaf = &leaf[i], .middle = &ec.middle}, &demand);
        }
    talk_part(&talk);
    for (unsigned i = 0; i < KEYS; i++)
        pki_free(&leaf[i]);
    assert_in_range(known, 1, 2 * KEYS);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, fresh, one_talk_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(what_is_kept),
        EACH(second_meeting_tells_the_same),
        EACH(none_is_known_when_switched_off),
        EACH(known_keys_in_a_chain_that_is_not_proven),
        EACH(changed_certificates_are_judged_alike),
        EACH(known_key_in_a_forged_certificate),
        EACH(known_key_in_a_forged_intermediate),
        EACH(known_key_in_an_expired_certificate),
        EACH(known_key_at_another_place),
        EACH(encrypt_knows_the_leaf_alone),
        EACH(weak_key_stays_refused),
        EACH(known_key_without_its_secret),
        EACH(more_keys_than_places),
    };
    return cmocka_run_group_tests(tests, one_talk_make_chain, one_talk_free_chain);
}
