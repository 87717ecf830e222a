/* Chains that were verified before: what is found again, and that nothing is found that a fresh look would refuse. */
#include "tests/unit/crypto/one_talk.h"
#include "tests/unit/crypto/wall.h"
#include "tests/unit/cmocka.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <sys/time.h>

#define HOUR     3600L
#define LIFETIME 1800L

static void open_with(uint32_t chains)
{
    clock_shift_s = 0;
    one_talk_open(
        &(struct tls_core_config){.sessions_max = 2, .proven_chains = chains, .proven_lifetime_s = LIFETIME});
}

static int fresh(void **state)
{
    (void)state;
    open_with(64);
    return 0;
}

static int done(void **state)
{
    clock_shift_s = 0;
    return one_talk_close(state);
}

/* A meeting that must succeed; true: OpenSSL was asked about the chain. */
static bool verified_anew(const struct talk_server *server, const struct tls_demand *demand)
{
    uint64_t asked = count(STAT_tls_chains_verified), found = count(STAT_tls_chains_proven);
    talk_accepted(&talk, server, demand);
    assert_int_equal(count(STAT_tls_chains_verified) + count(STAT_tls_chains_proven), asked + found + 1);
    bool anew = count(STAT_tls_chains_verified) > asked;
    assert_int_equal(tls_verified(talk.tls)->remembered, !anew);
    return anew;
}

static void warm(const char *name)
{
    struct tls_demand demand = talk_pkix(name);
    verified_anew(&usual, &demand);
    assert_false(verified_anew(&usual, &demand));
}

/* ---- what is found ---- */

static void second_meeting_tells_the_same(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(ALIAS);
    for (int version = 0; version <= TLS1_2_VERSION; version += TLS1_2_VERSION) {
        usual.version = version;
        bool anew = verified_anew(&usual, &demand);
        assert_int_equal(anew, version == 0); /* a chain is a chain, in both versions */
        struct tls_verified first = *tls_verified(talk.tls);
        assert_false(verified_anew(&usual, &demand));
        first.remembered = true;
        const struct tls_verified *second = tls_verified(talk.tls);
        assert_memory_equal(second, &first, sizeof(first));
        assert_string_equal(second->matched_name, ALIAS);
        assert_true(second->pkix && second->not_after_s > 0);
        assert_int_equal(SSL_get_verify_result(talk.server), X509_V_OK);
    }
}

static void none_is_kept_when_switched_off(void **state)
{
    (void)state;
    talk_close(&talk);
    open_with(0);
    struct tls_demand demand = talk_pkix(HOST);
    for (unsigned i = 0; i < 3; i++)
        assert_true(verified_anew(&usual, &demand));
}

/* ---- another demand ---- */

static void another_name_is_another_question(void **state)
{
    (void)state;
    warm(HOST);
    struct tls_demand demand = talk_pkix("other.example");
    demand.sni = HOST;
    talk_refused(&talk, &usual, &demand, REASON_CERTIFICATE_HOST_MISMATCH, &why);
    talk_refused(&talk, &usual, &demand, REASON_CERTIFICATE_HOST_MISMATCH, &why); /* refusals are not kept */
    demand = talk_pkix(ALIAS);
    assert_true(verified_anew(&usual, &demand));
}

/* The same names as alternatives and as a conjunction; names that run together to the same bytes. */
static void groups_are_part_of_the_question(void **state)
{
    (void)state;
    struct tls_demand either = talk_pkix(HOST);
    either.names = 2;
    either.name[1] = "other.example";
    assert_true(verified_anew(&usual, &either));
    assert_false(verified_anew(&usual, &either));
    struct tls_demand both = either;
    both.group[1] = 1;
    talk_refused(&talk, &usual, &both, REASON_CERTIFICATE_HOST_MISMATCH, &why);
    struct tls_demand joined = either;
    joined.name[0] = HOST "o";
    joined.name[1] = "ther.example";
    talk_refused(&talk, &usual, &joined, REASON_CERTIFICATE_HOST_MISMATCH, &why);
}

static void encrypt_neither_asks_nor_answers(void **state)
{
    (void)state;
    struct tls_demand encrypt = talk_encrypt(HOST), pkix = talk_pkix(HOST);
    talk_accepted(&talk, &usual, &encrypt);
    assert_int_equal(count(STAT_tls_chains_verified), 0);
    assert_true(verified_anew(&usual, &pkix));
    talk_accepted(&talk, &usual, &encrypt);
    assert_false(tls_verified(talk.tls)->pkix);
    assert_int_equal(count(STAT_tls_chains_proven), 0);
}

/* ---- another policy ---- */

static bool found_for(struct tls_scope scope)
{
    struct tls_demand demand = talk_pkix(HOST);
    demand.scope = &scope;
    return !verified_anew(&usual, &demand);
}

static void level_is_part_of_the_question(void **state)
{
    (void)state;
    struct tls_scope other = talk_scope();
    assert_false(found_for(other));
    assert_true(found_for(other));
    other.level++;
    assert_false(found_for(other));
    assert_true(found_for(other));
    assert_true(found_for(talk_scope()));
}

static void policy_is_part_of_the_question(void **state)
{
    (void)state;
    struct tls_scope other = talk_scope();
    assert_false(found_for(other));
    other.policy = "tls[1] *";
    assert_false(found_for(other));
    assert_true(found_for(talk_scope()));
    struct tls_demand nobodys = talk_pkix(HOST);
    assert_true(verified_anew(&usual, &nobodys));
}

static void generation_is_part_of_the_question(void **state)
{
    (void)state;
    struct tls_scope other = talk_scope();
    assert_false(found_for(other));
    other.generation++;
    assert_false(found_for(other));
    other.generation--;
    assert_true(found_for(other));
}

static void destinations_share_what_their_policy_has_proven(void **state)
{
    (void)state;
    struct tls_scope other = talk_scope();
    assert_false(found_for(other));
    other.addr[15]++;
    other.port++;
    assert_true(found_for(other));
}

static void policy_with_too_long_a_name(void **state)
{
    (void)state;
    char name[TLS_POLICY_MAX + 1] = {0};
    struct tls_scope scope = talk_scope();
    struct tls_demand demand = talk_pkix(HOST);
    scope.policy = name;
    demand.scope = &scope;
    memset(name, 'p', TLS_POLICY_MAX - 1);
    assert_true(verified_anew(&usual, &demand));
    name[TLS_POLICY_MAX - 1] = 'p';
    talk_refused(&talk, &usual, &demand, REASON_POLICY, &why);
}

/* ---- another chain ---- */

static void each_certificate_counts(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    warm(HOST);
    struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.cn = HOST, .san = SAN});
    assert_true(verified_anew(&(struct talk_server){.leaf = &leaf, .middle = &ec.middle}, &demand));
    assert_true(verified_anew(
        &(struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle, .extra = &ec.root}, &demand));
    talk_refused(&talk, &(struct talk_server){.leaf = &ec.leaf}, &demand, REASON_CERTIFICATE_NOT_TRUSTED,
                 &why);
    pki_free(&leaf);
}

static void expired_leaf_beside_a_proven_one(void **state)
{
    (void)state;
    warm(HOST);
    struct tls_demand demand = talk_pkix(HOST);
    struct pki leaf =
        pki_make(&ec.middle, &(struct pki_spec){.san = SAN, .from_s = -9 * PKI_DAY, .until_s = -60});
    talk_refused(&talk, &(struct talk_server){.leaf = &leaf, .middle = &ec.middle}, &demand,
                 REASON_CERTIFICATE_EXPIRED, &why);
    pki_free(&leaf);
}

/* Whoever has the proven certificate but not its key: every handshake's signature is looked at. */
static void proven_certificate_without_its_key(void **state)
{
    (void)state;
    warm(HOST);
    uint8_t point[256];
    size_t point_len;
    BIGNUM *foreign = NULL;
    EVP_PKEY *other = pki_key("P-256"), *forged = NULL;
    assert_int_equal(EVP_PKEY_get_octet_string_param(ec.leaf.key, OSSL_PKEY_PARAM_PUB_KEY, point,
                                                     sizeof(point), &point_len),
                     1);
    assert_int_equal(EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_PRIV_KEY, &foreign), 1);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, point_len);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, foreign);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &forged, EVP_PKEY_KEYPAIR, params), 1);

    struct pki thief = {.cert = ec.leaf.cert, .key = forged};
    struct tls_demand demand = talk_pkix(HOST);
    for (int version = 0; version <= TLS1_2_VERSION; version += TLS1_2_VERSION) {
        talk_refused(&talk, &(struct talk_server){.leaf = &thief, .middle = &ec.middle, .version = version},
                     &demand, REASON_TLS_HANDSHAKE, &why);
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_clear_free(foreign);
    EVP_PKEY_free(forged);
    EVP_PKEY_free(other);
}

/* ---- another trust ---- */

static void reload_proves_anew(void **state)
{
    (void)state;
    struct error err;
    warm(HOST);
    struct tls_demand demand = talk_pkix(HOST);
    demand.trust = tls_trust_load(ec.ca_file, 1, &err); /* the same file and number */
    assert_non_null(demand.trust);
    assert_true(verified_anew(&usual, &demand));
    assert_false(verified_anew(&usual, &demand));
    talk_part(&talk);
    tls_trust_free(demand.trust);
}

static void anchor_that_was_taken_out(void **state)
{
    (void)state;
    struct error err;
    char path[64];
    warm(HOST);
    struct pki stranger = pki_make(NULL, &(struct pki_spec){.cn = "Another Root", .ca = true});
    pki_write(path, &(const struct pki *const){&stranger}, 1);
    struct tls_demand demand = talk_pkix(HOST);
    demand.trust = tls_trust_load(path, 2, &err);
    assert_non_null(demand.trust);
    talk_refused(&talk, &usual, &demand, REASON_CERTIFICATE_NOT_TRUSTED, &why);
    talk_part(&talk);
    tls_trust_free(demand.trust);
    remove(path);
    pki_free(&stranger);
}

/* ---- time ---- */

static void chain_ends_at(long leaf_s, long middle_s)
{
    struct tls_demand demand = talk_pkix(HOST);
    struct pki middle =
        pki_make(&ec.root, &(struct pki_spec){.cn = "CA", .ca = true, .from_s = -HOUR, .until_s = middle_s});
    struct pki leaf = pki_make(&middle, &(struct pki_spec){.san = SAN, .from_s = -HOUR, .until_s = leaf_s});
    struct talk_server server = {.leaf = &leaf, .middle = &middle};
    assert_true(verified_anew(&server, &demand));
    assert_false(verified_anew(&server, &demand));
    clock_shift_s = 58;
    assert_false(verified_anew(&server, &demand));
    clock_shift_s = 62;
    talk_refused(&talk, &server, &demand, REASON_CERTIFICATE_EXPIRED, &why);
    clock_shift_s = 0;
    pki_free(&leaf);
    pki_free(&middle);
}

static void leaf_expires_while_proven(void **state)
{
    (void)state;
    chain_ends_at(60, HOUR);
}

static void intermediate_expires_while_proven(void **state)
{
    (void)state;
    chain_ends_at(HOUR, 60);
}

static void lifetime_is_kept(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    warm(HOST);
    clock_shift_s = LIFETIME - 2;
    assert_false(verified_anew(&usual, &demand)); /* being found does not prolong it */
    clock_shift_s = LIFETIME + 2;
    assert_true(verified_anew(&usual, &demand));
    assert_false(verified_anew(&usual, &demand));
}

static void clock_set_back(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.san = SAN, .from_s = -60, .until_s = HOUR});
    struct talk_server server = {.leaf = &leaf, .middle = &ec.middle};
    assert_true(verified_anew(&server, &demand));
    clock_shift_s = -30;
    assert_true(verified_anew(&server, &demand));
    clock_shift_s = -120;
    talk_refused(&talk, &server, &demand, REASON_CERTIFICATE_EXPIRED, &why); /* not yet valid */
    pki_free(&leaf);
}

/* ---- a full table ---- */

/* Far more chains than places: each is found or verified, none is taken for another. */
static void more_chains_than_places(void **state)
{
    (void)state;
    enum { CHAINS = 40 };
    struct pki leaf[CHAINS];
    char name[CHAINS][32], san[64];
    unsigned found = 0;
    talk_close(&talk);
    open_with(8);
    for (unsigned i = 0; i < CHAINS; i++) {
        snprintf(name[i], sizeof(name[i]), "mx%u.example.org", i);
        snprintf(san, sizeof(san), "DNS:mx%u.example.org", i);
        leaf[i] = pki_make(&ec.middle, &(struct pki_spec){.san = san});
        struct tls_demand demand = talk_pkix(name[i]);
        assert_true(verified_anew(&(struct talk_server){.leaf = &leaf[i], .middle = &ec.middle}, &demand));
    }
    for (unsigned i = CHAINS; i-- > 0;) {
        struct tls_demand demand = talk_pkix(name[i]);
        found += !verified_anew(&(struct talk_server){.leaf = &leaf[i], .middle = &ec.middle}, &demand);
        assert_string_equal(tls_verified(talk.tls)->matched_name, name[i]);
        pki_free(&leaf[i]);
    }
    print_message("# %u of %u chains found in 8 places\n", found, CHAINS);
    assert_in_range(found, 1, 8);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(second_meeting_tells_the_same),
        EACH(none_is_kept_when_switched_off),
        EACH(another_name_is_another_question),
        EACH(groups_are_part_of_the_question),
        EACH(encrypt_neither_asks_nor_answers),
        EACH(level_is_part_of_the_question),
        EACH(policy_is_part_of_the_question),
        EACH(generation_is_part_of_the_question),
        EACH(destinations_share_what_their_policy_has_proven),
        EACH(policy_with_too_long_a_name),
        EACH(each_certificate_counts),
        EACH(expired_leaf_beside_a_proven_one),
        EACH(proven_certificate_without_its_key),
        EACH(reload_proves_anew),
        EACH(anchor_that_was_taken_out),
        EACH(leaf_expires_while_proven),
        EACH(intermediate_expires_while_proven),
        EACH(lifetime_is_kept),
        EACH(clock_set_back),
        EACH(more_chains_than_places),
    };
    return cmocka_run_group_tests(tests, one_talk_make_chain, one_talk_free_chain);
}
