/* Resumption: when tickets end, by the clock and for want of room. */
#include "crypto/session.h"
#include "tests/unit/crypto/resumptions.h"
#include "tests/unit/crypto/wall.h"
#include "tests/unit/cmocka.h"

#include <malloc.h>

static int fresh(void **state)
{
    clock_shift_s = 0;
    return resumptions_fresh(state);
}

static int done(void **state)
{
    clock_shift_s = 0;
    return one_talk_close(state);
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
    resumptions_open(64, 3);
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
    resumptions_open(5, 4);
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
    resumptions_open(MEETINGS * EACH_TIME, MEETINGS * EACH_TIME);
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

#define EACH(f) cmocka_unit_test_setup_teardown(f, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    return cmocka_run_group_tests(tests, one_talk_make_chain, one_talk_free_chain);
}
