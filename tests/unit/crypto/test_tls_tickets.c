/* Resumption: what is resumed, with whose proof, and that nothing is that a fresh handshake would refuse. */
#include "crypto/session.h"
#include "tests/unit/crypto/resumptions.h"
#include "tests/unit/cmocka.h"

#include <string.h>

static void check_stream(void)
{
    char text[8] = {0};
    assert_true(tls_write(talk.tls, (const uint8_t *)"hello", 5));
    talk_run(&talk);
    assert_int_equal(SSL_read(talk.server, text, sizeof(text)), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(SSL_write(talk.server, "there", 5), 5);
    talk_run(&talk);
    assert_int_equal(tls_read(talk.tls, (uint8_t *)text, sizeof(text)), 5);
    assert_string_equal(text, "there");
}

/* ---- what is resumed ---- */

static void proof_is_the_first_ones(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        usual.version = version;
        scope.port = (uint16_t)version;
        assert_false(resumes());
        struct tls_verified first = *tls_verified(talk.tls);
        first.remembered = false; /* of the full handshake alone */
        for (unsigned i = 0; i < 5; i++) {
            assert_true(resumes());
            struct tls_verified again = *tls_verified(talk.tls);
            assert_true(again.resumed);
            assert_false(again.remembered);
            again.resumed = false;
            again.remembered = first.remembered;
            assert_memory_equal(&again, &first, sizeof(first));
            check_stream();
        }
        assert_string_equal(first.matched_name, HOST);
        assert_true(first.not_after_s > 0 && first.signature[0] && first.group[0]);
    }
    assert_int_equal(count(STAT_tls_chains_verified) + count(STAT_tls_chains_proven), 2);
}

static void encrypt_is_resumed_as_encrypt(void **state)
{
    (void)state;
    demand = talk_encrypt(HOST);
    demand.scope = &scope;
    assert_false(resumes());
    assert_true(resumes());
    assert_false(tls_verified(talk.tls)->pkix);
    assert_string_equal(tls_verified(talk.tls)->matched_name, "");
}

static void every_kind_of_key(void **state)
{
    (void)state;
    const char *keys[] = {"rsa2048", "P-384", "ed25519"};
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.san = SAN, .key = keys[i]});
        struct talk_server server = {.leaf = &leaf, .middle = &ec.middle};
        scope.port = (uint16_t)i;
        assert_false(resumes_with(&server, &demand));
        char signature[32];
        memcpy(signature, tls_verified(talk.tls)->signature, sizeof(signature));
        assert_true(resumes_with(&server, &demand));
        assert_string_equal(tls_verified(talk.tls)->signature, signature);
        pki_free(&leaf);
    }
}

static void every_suite_and_group(void **state)
{
    (void)state;
    const char *suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                            "TLS_CHACHA20_POLY1305_SHA256"};
    const char *groups[] = {"X25519", "P-256", "P-384", "X25519MLKEM768"};
    for (unsigned i = 0; i < ARRAY_LEN(suites); i++) {
        for (unsigned k = 0; k < ARRAY_LEN(groups); k++) {
            usual.suites_13 = suites[i];
            usual.groups = groups[k];
            scope.port = (uint16_t)(i * 16 + k);
            assert_false(resumes());
            assert_true(resumes());
            check_stream();
        }
    }
}

/* RFC 8446 section 4.2.11: any suite with the hash of the ticket's. */
static void suite_changes_with_the_same_hash(void **state)
{
    (void)state;
    usual.suites_13 = "TLS_AES_128_GCM_SHA256";
    assert_false(resumes());
    usual.suites_13 = "TLS_CHACHA20_POLY1305_SHA256";
    assert_true(resumes());
    assert_string_equal(tls_verified(talk.tls)->cipher, "TLS_CHACHA20_POLY1305_SHA256");
    check_stream();
    usual.suites_13 = "TLS_AES_256_GCM_SHA384";
    assert_false(resumes());
}

static void version_changes(void **state)
{
    (void)state;
    usual.version = TLS1_3_VERSION;
    assert_false(resumes());
    usual.version = TLS1_2_VERSION;
    assert_false(resumes());
    usual.version = TLS1_3_VERSION;
    assert_false(resumes()); /* the newest was TLS 1.2's */
    assert_true(resumes());
}

/* ---- once only ---- */

static void two_at_once_show_different_tickets(void **state)
{
    (void)state;
    usual.tickets = 1;
    assert_false(resumes());
    assert_int_equal(count(STAT_tls_tickets_stored), 1);
    talk_meet(&talk, &usual, &demand);
    struct tls_demand same = demand;
    same.trust = talk.trust;
    struct tls *second = tls_open(talk.core, &same);
    assert_int_equal(count(STAT_tls_tickets_used), 1);
    tls_free(second);
    assert_int_equal(talk_run(&talk), TLS_OPEN);
    assert_true(tls_verified(talk.tls)->resumed);
    assert_int_equal(count(STAT_tls_tickets_drop_failed), 0);
}

static void used_once_without_a_new_one(void **state)
{
    (void)state;
    assert_false(resumes());
    usual.tickets = -1;
    for (unsigned i = 0; i < 3; i++)
        assert_false(resumes()); /* a server that gives none takes none: the two are gone */
    assert_int_equal(count(STAT_tls_tickets_refused), 2);
}

static void a_refused_one_costs_a_full_handshake(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        usual.version = version;
        usual.ticket_key = 1;
        scope.port = (uint16_t)version;
        uint64_t refused = count(STAT_tls_tickets_refused);
        assert_false(resumes());
        usual.ticket_key = 2;
        assert_false(resumes());
        check_stream();
        assert_int_equal(count(STAT_tls_tickets_refused), refused + 1);
        assert_true(resumes()); /* with one of those that came after */
    }
}

/* The server that gave the ticket has another certificate now: it is asked for, and judged. */
static void refused_and_of_another_certificate(void **state)
{
    (void)state;
    assert_false(resumes());
    struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.san = "DNS:other.example"});
    talk_refused(&talk, &(struct talk_server){.leaf = &leaf, .middle = &ec.middle, .ticket_key = 9}, &demand,
                 REASON_CERTIFICATE_HOST_MISMATCH, &why);
    pki_free(&leaf);
}

static void a_failed_handshake_ends_them_all(void **state)
{
    (void)state;
    assert_false(resumes());
    talk_meet(&talk, &usual, &demand);
    assert_int_equal(count(STAT_tls_tickets_used), 1);
    assert_int_equal(talk_feed(&talk, "\x15\x03\x03\x00\x02\x02\x33", 7), TLS_FAILED); /* decrypt_error */
    assert_int_equal(count(STAT_tls_tickets_drop_failed), 1);
    assert_false(offers(&demand));
    assert_false(resumes());
}

static void none_when_switched_off(void **state)
{
    (void)state;
    talk_close(&talk);
    resumptions_open(0, 8);
    for (unsigned i = 0; i < 2; i++)
        assert_false(resumes());
    assert_int_equal(count(STAT_tls_tickets_stored), 0);
    assert_int_equal(count(STAT_tls_tickets_drop_unwanted), 4);
    usual.version = TLS1_2_VERSION;
    for (unsigned i = 0; i < 2; i++)
        assert_false(resumes());
}

static void none_without_a_scope(void **state)
{
    (void)state;
    assert_false(resumes());
    demand.scope = NULL;
    assert_false(resumes());
    demand.scope = &scope;
    assert_true(resumes());
}

/* ---- another question ---- */

static void each_part_of_the_question_counts(void **state)
{
    (void)state;
    assert_false(resumes());
    assert_true(resumes());
    const struct tls_scope other[] = {
        {.addr = {[15] = 2}, .port = 25, .level = 2, .policy = "tls[0] *", .generation = 7},
        {.addr = {[15] = 1}, .port = 587, .level = 2, .policy = "tls[0] *", .generation = 7},
        {.addr = {[15] = 1}, .port = 25, .level = 3, .policy = "tls[0] *", .generation = 7},
        {.addr = {[15] = 1}, .port = 25, .level = 2, .policy = "tls[1] *", .generation = 7},
        {.addr = {[15] = 1}, .port = 25, .level = 2, .policy = "tls[0] *", .generation = 6},
    };
    for (unsigned i = 0; i < ARRAY_LEN(other); i++) {
        struct tls_demand changed = demand;
        changed.scope = &other[i];
        assert_false(offers(&changed));
    }
    struct tls_demand changed = demand;
    changed.min_version = 0x0304;
    assert_false(offers(&changed));
    changed = demand;
    changed.sni = ALIAS;
    assert_false(offers(&changed));
    changed = demand;
    changed.name[0] = ALIAS;
    assert_false(offers(&changed));
    changed = demand;
    changed.names = 2;
    changed.name[1] = ALIAS;
    assert_false(offers(&changed));
    struct tls_demand both = changed;
    both.group[1] = 1;
    assert_false(resumes_with(&usual, &changed));
    assert_false(offers(&both));
    assert_true(offers(&changed));
    assert_true(offers(&demand));
}

/* What was not verified opens nothing that asks for it, whoever gave the ticket. */
static void encrypt_never_becomes_pkix(void **state)
{
    (void)state;
    struct pki stranger = pki_make(NULL, &(struct pki_spec){.san = SAN});
    struct talk_server untrusted = {.leaf = &stranger};
    struct tls_demand encrypt = talk_encrypt(HOST);
    encrypt.scope = &scope;
    assert_false(resumes_with(&untrusted, &encrypt));
    assert_true(resumes_with(&untrusted, &encrypt));
    talk_refused(&talk, &untrusted, &demand, REASON_CERTIFICATE_SELF_SIGNED, &why);
    assert_false(resumes());
    assert_true(resumes());
    assert_true(tls_verified(talk.tls)->pkix);
    pki_free(&stranger);
}

static void reload_of_trust(void **state)
{
    (void)state;
    struct error err;
    assert_false(resumes());
    demand.trust = tls_trust_load(ec.ca_file, 1, &err); /* the same file and number */
    assert_non_null(demand.trust);
    assert_false(resumes());
    assert_true(resumes());
    talk_part(&talk);
    tls_trust_free(demand.trust);
}

static void reload_of_policy(void **state)
{
    (void)state;
    assert_false(resumes());
    scope.generation++;
    assert_false(resumes());
    tls_core_sweep(talk.core);
    assert_int_equal(count(STAT_tls_tickets_drop_policy), 2);
    assert_true(resumes());
    scope.generation--; /* a job that was judged before */
    assert_false(resumes());
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, resumptions_fresh, one_talk_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(proof_is_the_first_ones),
        EACH(encrypt_is_resumed_as_encrypt),
        EACH(every_kind_of_key),
        EACH(every_suite_and_group),
        EACH(suite_changes_with_the_same_hash),
        EACH(version_changes),
        EACH(two_at_once_show_different_tickets),
        EACH(used_once_without_a_new_one),
        EACH(a_refused_one_costs_a_full_handshake),
        EACH(refused_and_of_another_certificate),
        EACH(a_failed_handshake_ends_them_all),
        EACH(none_when_switched_off),
        EACH(none_without_a_scope),
        EACH(each_part_of_the_question_counts),
        EACH(encrypt_never_becomes_pkix),
        EACH(reload_of_trust),
        EACH(reload_of_policy),
    };
    return cmocka_run_group_tests(tests, one_talk_make_chain, one_talk_free_chain);
}
