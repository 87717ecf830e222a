/* Resumption: what is resumed, with whose proof, and that nothing is that a fresh handshake would refuse. */
#include "crypto/session.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/crypto/wall.h"
#include "tests/unit/cmocka.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define HOST     "mx.example.org"
#define ALIAS    "mail.example.net"
#define SAN      "DNS:" HOST ",DNS:" ALIAS
#define HOUR     3600L
#define LIFETIME 1800L

static struct pki_chain ec;
static struct talk talk;
static struct outcome why;
static struct talk_server usual;
static struct tls_scope scope;
static struct tls_demand demand;

static uint64_t count(enum stat_id id)
{
    return talk.stats.v[id];
}

static void open_with(uint32_t tickets, uint32_t per_destination)
{
    clock_shift_s = 0;
    talk_open_config(&talk, ec.ca_file,
                     &(struct tls_core_config){.sessions_max = 3,
                                               .proven_chains = 64,
                                               .proven_lifetime_s = LIFETIME,
                                               .tickets_max = tickets,
                                               .tickets_per_destination = per_destination,
                                               .ticket_lifetime_s = LIFETIME});
}

static int fresh(void **state)
{
    (void)state;
    usual = (struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle};
    scope = talk_scope();
    demand = talk_pkix(HOST);
    demand.scope = &scope;
    open_with(64, 8);
    return 0;
}

static int done(void **state)
{
    (void)state;
    talk_close(&talk);
    clock_shift_s = 0;
    return 0;
}

/* A meeting that must succeed; true: it was resumed.  Both ends and the counters agree on that. */
static bool resumes_with(const struct talk_server *server, const struct tls_demand *wanted)
{
    uint64_t resumed = count(STAT_tls_resumed);
    const struct tls_verified *v = talk_accepted(&talk, server, wanted);
    assert_int_equal(v->resumed, SSL_session_reused(talk.server));
    assert_int_equal(count(STAT_tls_resumed), resumed + v->resumed);
    assert_int_equal(v->pkix, wanted->pkix);
    return v->resumed;
}

static bool resumes(void)
{
    return resumes_with(&usual, &demand);
}

static bool offers(const struct tls_demand *wanted)
{
    uint64_t used = count(STAT_tls_tickets_used);
    talk_meet(&talk, &usual, wanted);
    talk_part(&talk);
    return count(STAT_tls_tickets_used) > used;
}

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
    open_with(0, 8);
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

/* ---- time ---- */

static void lifetime_is_kept(void **state)
{
    (void)state;
    assert_false(resumes());
    clock_shift_s = LIFETIME - 2;
    assert_true(resumes());
    clock_shift_s = LIFETIME + 2;
    assert_false(resumes());
    assert_true(count(STAT_tls_tickets_drop_old) > 0);
}

/* Each resumption brings a new ticket; none lives longer than the first would. */
static void resumptions_do_not_prolong(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        clock_shift_s = 0;
        usual.version = version;
        scope.port = (uint16_t)version;
        assert_false(resumes());
        for (clock_shift_s = 100; clock_shift_s < LIFETIME - 2; clock_shift_s += 100)
            assert_true(resumes());
        clock_shift_s = LIFETIME + 2;
        assert_false(resumes());
    }
}

static void servers_hint_is_kept(void **state)
{
    (void)state;
    talk_meet(&talk, &usual, &demand);
    SSL_CTX_set_timeout(talk.server_ctx, 60);
    SSL_SESSION_set_timeout(SSL_get0_session(talk.server), 60);
    assert_int_equal(talk_run(&talk), TLS_OPEN);
    assert_int_equal(count(STAT_tls_tickets_stored), 2);
    clock_shift_s = 58;
    assert_true(offers(&demand));
    assert_false(resumes());
}

static void chain_ends_at(long leaf_s, long middle_s)
{
    struct pki middle =
        pki_make(&ec.root, &(struct pki_spec){.cn = "CA", .ca = true, .from_s = -HOUR, .until_s = middle_s});
    struct pki leaf = pki_make(&middle, &(struct pki_spec){.san = SAN, .from_s = -HOUR, .until_s = leaf_s});
    struct talk_server server = {.leaf = &leaf, .middle = &middle};
    assert_false(resumes_with(&server, &demand));
    clock_shift_s = 57;
    assert_true(resumes_with(&server, &demand));
    clock_shift_s = 62;
    talk_refused(&talk, &server, &demand, REASON_CERTIFICATE_EXPIRED, &why);
    clock_shift_s = 0;
    pki_free(&leaf);
    pki_free(&middle);
}

static void leaf_expires(void **state)
{
    (void)state;
    chain_ends_at(60, HOUR);
}

static void intermediate_expires(void **state)
{
    (void)state;
    chain_ends_at(HOUR, 60);
}

/* The certificate ends between our first flight and the server's answer. */
static void chain_expires_in_the_handshake(void **state)
{
    (void)state;
    struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.san = SAN, .from_s = -HOUR, .until_s = 60});
    struct talk_server server = {.leaf = &leaf, .middle = &ec.middle};
    assert_false(resumes_with(&server, &demand));
    talk_meet(&talk, &server, &demand);
    assert_int_equal(count(STAT_tls_tickets_used), 1);
    clock_shift_s = 62;
    assert_int_equal(talk_run(&talk), TLS_FAILED);
    pki_free(&leaf);
}

static void clock_set_back(void **state)
{
    (void)state;
    struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.san = SAN, .from_s = -60, .until_s = HOUR});
    struct talk_server server = {.leaf = &leaf, .middle = &ec.middle};
    assert_false(resumes_with(&server, &demand));
    clock_shift_s = -30;
    assert_false(resumes_with(&server, &demand));
    assert_int_equal(count(STAT_tls_tickets_drop_clock), 2);
    clock_shift_s = -120;
    talk_refused(&talk, &server, &demand, REASON_CERTIFICATE_EXPIRED, &why); /* not yet valid */
    pki_free(&leaf);
}

static void clock_set_back_in_the_handshake(void **state)
{
    (void)state;
    assert_false(resumes());
    talk_meet(&talk, &usual, &demand);
    clock_shift_s = -30;
    assert_int_equal(talk_run(&talk), TLS_FAILED);
}

/* ---- bounds ---- */

static uint64_t in_table(void)
{
    return count(STAT_tls_tickets_stored) - count(STAT_tls_tickets_used) - count(STAT_tls_tickets_drop_room);
}

static void no_more_than_the_destination_may_have(void **state)
{
    (void)state;
    talk_close(&talk);
    open_with(64, 3);
    for (unsigned i = 0; i < 4; i++) {
        usual.ticket_key = (uint8_t)i; /* so that each is refused, and two new ones come */
        assert_false(resumes());
        assert_true(in_table() <= 3);
    }
    assert_true(count(STAT_tls_tickets_drop_unwanted) > 0);
}

static void no_more_than_the_table_has(void **state)
{
    (void)state;
    talk_close(&talk);
    open_with(5, 4);
    for (unsigned i = 0; i < 6; i++) {
        scope.port = (uint16_t)i;
        assert_false(resumes());
        assert_true(in_table() <= 5);
    }
    assert_true(count(STAT_tls_tickets_drop_room) >= 7);
    assert_true(resumes()); /* the newest are there */
    scope.port = 0;
    assert_false(resumes());
}

/* As many sessions are prepared before as after: they are not a ticket's. */
static void fill_ready(void)
{
    while (talk.core->ready_count < READY_MAX)
        tls_core_idle(talk.core);
}

/* A ticket holds no certificate: sessions of OpenSSL would, three each here. */
static void bytes_of_a_ticket(void **state)
{
    (void)state;
    enum { MEETINGS = 60, EACH_TIME = 4 };
    talk_close(&talk);
    open_with(MEETINGS * EACH_TIME, MEETINGS * EACH_TIME);
    usual.tickets = EACH_TIME;
    scope.port = 1;
    assert_false(resumes()); /* what is made once is made */
    talk_part(&talk);
    fill_ready();
    size_t before = mallinfo2().uordblks;
    for (unsigned i = 1; i < MEETINGS; i++) {
        usual.ticket_key = (uint8_t)i; /* refused, and new ones: three more each time */
        assert_false(resumes());
    }
    talk_part(&talk);
    fill_ready();
    uint64_t tickets = count(STAT_tls_tickets_stored) - count(STAT_tls_tickets_used) - EACH_TIME;
    size_t bytes = (mallinfo2().uordblks - before) / tickets;
    print_message("# %zu bytes a ticket, %llu tickets\n", bytes, (unsigned long long)tickets);
    assert_in_range(tickets, MEETINGS * 2, MEETINGS * 4);
    assert_true(bytes < 1024);
}

static int setup(void **state)
{
    (void)state;
    ec = pki_chain("P-256", SAN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_chain_free(&ec);
    return 0;
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, fresh, done)

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
        EACH(lifetime_is_kept),
        EACH(resumptions_do_not_prolong),
        EACH(servers_hint_is_kept),
        EACH(leaf_expires),
        EACH(intermediate_expires),
        EACH(chain_expires_in_the_handshake),
        EACH(clock_set_back),
        EACH(clock_set_back_in_the_handshake),
        EACH(no_more_than_the_destination_may_have),
        EACH(no_more_than_the_table_has),
        EACH(bytes_of_a_ticket),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
