/* Messages that leave before the last one is answered, by BDAT and by DATA: each exactly once, in order, and known for
 * what it is when the connection ends in between.  RFC 2920, RFC 3030.
 */
#include "tests/unit/core/world.h"

#include "engine/ring/feed_private.h"

#define THINK 20000u

static struct world *chunking_mx(struct world_options *options, struct mx_host **mx)
{
    struct world_options o = world_defaults();
    if (!options)
        options = &o;
    options->core.smtp.chunking = true;
    options->core.smtp.chunk_ahead_bytes = 1u << 20;
    options->core.connections_per_destination = 1;
    struct world *w = world_simple(options, mx);
    (*mx)->chunking = true;
    (*mx)->think_us = THINK;
    return w;
}

static unsigned send_many(struct world *w, unsigned n)
{
    unsigned last = 0;
    for (unsigned i = 0; i < n; i++)
        last = world_send(w, "a@d1.test");
    return last;
}

static void all_chunked(const struct world *w, bool chunked)
{
    for (unsigned i = 0; i < w->mx.mails; i++)
        assert_int_equal(w->mx.mail[i].chunked, chunked);
}

/* ---- what it saves ---- */

static void ehlo_leaves_right_behind_finished(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    const struct mx_conn *c = mx_conn_of(&w->mx, mx, 0);
    assert_true(c->secured_us > 0);
    assert_int_equal(c->ehlo_us, c->secured_us);
    world_close(w);
}

/* EHLO, STARTTLS, EHLO, the message. */
static void a_fresh_message_takes_four_flights(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(world_stat(w, STAT_smtp_flights), 4);
    assert_int_equal(world_stat(w, STAT_smtp_messages_bdat), 1);
    world_close(w);
}

static void a_message_on_a_reused_connection_takes_one(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    for (unsigned i = 0; i < 10; i++) {
        world_send(w, "a@d1.test");
        world_settle(w, MINUTE);
    }
    world_delivered(w, 0, 9);
    all_chunked(w, true);
    assert_int_equal(world_stat(w, STAT_smtp_flights), 3 + 10);
    assert_int_equal(w->mx.resets, 0);
    world_close(w);
}

static void messages_ahead_take_less_than_one(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    unsigned last = send_many(w, 41);
    world_settle(w, MINUTE);
    world_delivered(w, 0, last);
    all_chunked(w, true);
    assert_int_equal(mx->accepted, 1);
    assert_true(world_stat(w, STAT_smtp_messages_ahead) >= 30);
    assert_true(world_stat(w, STAT_smtp_flights) <= 3 + 1 + 40 / 3);
    for (unsigned i = 0; i <= last; i++)
        assert_int_equal(world_serial(w, i), world_serial(w, 0));
    world_close(w);
}

/* What follows a message without waiting fills up its record: one seal, one run of packets. */
static void messages_ahead_share_records(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    unsigned last = send_many(w, 41);
    world_settle(w, MINUTE);
    world_delivered(w, 0, last);
    assert_true(world_stat(w, STAT_smtp_messages_ahead) >= 30);
    assert_in_range(mx->records, 1, 1 + 1 + 41 / 2 + 1); /* EHLO, the first message, two a record, QUIT */
    world_close(w);
}

static void by_data_a_message_takes_little_more_than_one(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    mx->chunking = false;
    unsigned last = send_many(w, 40);
    world_settle(w, MINUTE);
    world_delivered(w, 0, last);
    all_chunked(w, false);
    assert_true(world_stat(w, STAT_smtp_flights) <= 3 + 2 + 40);
    world_close(w);
}

static void large_and_small_messages_take_turns(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world_options o = world_defaults();
    struct world *w = chunking_mx(&o, &mx);
    w->config.smtp.chunk_ahead_bytes = 1u << 20;
    unsigned last = 0;
    for (unsigned i = 0; i < 12; i++)
        last =
            world_submit(w, &(struct letter){.to = "a@d1.test bad@d1.test", .bytes = i % 3 ? 400 : 200000});
    world_settle(w, MINUTE);
    for (unsigned i = 0; i <= last; i++) {
        assert_int_equal(world_result(w, i, 0)->verdict, HL_DELIVERED);
        assert_int_equal(world_result(w, i, 1)->verdict, HL_FAILED);
    }
    world_close(w);
}

/* ---- receivers that refuse ---- */

/* Nothing of one message may be taken under another's sender. */
static void refused_messages_leave_nothing_behind(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    for (unsigned i = 0; i < 12; i++)
        world_send(w, i % 2 ? "a@d1.test" : "bad@d1.test");
    world_settle(w, MINUTE);
    for (unsigned i = 1; i <= 12; i++)
        assert_int_equal(world_result(w, i, 0)->verdict, i % 2 ? HL_FAILED : HL_DELIVERED);
    assert_int_equal(mx->accepted, 1);
    assert_true(w->mx.resets > 0);
    world_close(w);
}

static void a_receiver_that_does_not_know_bdat(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    mx->knows_no_bdat = true;
    unsigned n = world_submit(w, &(struct letter){.to = "a@d1.test bad@d1.test", .bytes = 3000});
    unsigned last = send_many(w, 5);
    world_settle(w, MINUTE);
    assert_int_equal(world_result(w, n, 0)->verdict, HL_DELIVERED);
    assert_int_equal(world_result(w, n, 1)->verdict, HL_FAILED);
    world_delivered(w, n + 1, last);
    all_chunked(w, false);
    assert_int_equal(world_stat(w, STAT_smtp_bdat_unknown), 1);
    world_close(w);
}

static void it_is_remembered_when_the_destination_is_forgotten(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    mx->knows_no_bdat = true;
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_run(w, MINUTE);
    assert_int_equal(w->core[0]->dests.pool.in_use, 0);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 0, 1);
    assert_int_equal(world_stat(w, STAT_smtp_bdat_unknown), 1);
    world_close(w);
}

/* ---- receivers that close ---- */

static void a_close_leaves_all_that_had_left_in_doubt(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    mx->trouble = (struct mx_trouble){.at = MX_DOT, .deed = MX_RESET, .times = 1};
    unsigned last = send_many(w, 6);
    world_settle(w, MINUTE);
    for (unsigned i = 1; i <= 4; i++) /* messages_ahead */
        world_expect(w, i, HL_IN_DOUBT, HL_STAGE_DOT, HL_REASON_CONNECTION_RESET);
    world_delivered(w, 5, last);
    world_close(w);
}

/* RFC 5321 section 3.8: those behind have not been taken, and go by another connection. */
static void after_421_those_behind_go_elsewhere(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    mx->mail = "421 4.7.0 enough for today";
    unsigned last = send_many(w, 4);
    world_run(w, THINK / 2);
    world_run(w, THINK);
    mx->mail = NULL;
    world_settle(w, MINUTE);
    world_expect(w, 1, HL_DEFERRED, HL_STAGE_MAIL, HL_REASON_REPLY);
    world_delivered(w, 2, last);
    assert_int_equal(mx->accepted, 2);
    world_close(w);
}

/* It closes behind its nth message without a word: what that does to those behind is done once, not again and again. */
static void a_receiver_of_three_messages_a_connection(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    unsigned doubt = 0;
    mx->trouble = (struct mx_trouble){.at = MX_IDLE, .deed = MX_CLOSE, .skip = 2};
    unsigned last = send_many(w, 30);
    world_settle(w, MINUTE);
    for (unsigned i = 0; i <= last; i++) {
        uint8_t verdict = (uint8_t)world_result(w, i, 0)->verdict;
        assert_true(verdict == HL_DELIVERED || verdict == HL_IN_DOUBT);
        doubt += verdict == HL_IN_DOUBT;
    }
    assert_true(doubt <= 3);
    world_close(w);
}

static void the_limit_of_messages_holds_ahead(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world_options o = world_defaults();
    o.core.smtp.messages_max = 5;
    struct world *w = chunking_mx(&o, &mx);
    unsigned last = send_many(w, 20);
    world_settle(w, MINUTE);
    world_delivered(w, 0, last);
    assert_int_equal(mx->accepted, 4);
    world_run(w, MINUTE);
    assert_int_equal(mx->quits, 4);
    world_close(w);
}

/* What the library would read if the engine died now. */
static unsigned jobs_at_dot(struct world *w)
{
    unsigned n = 0;
    list_for_each(it, &w->core[0]->all_jobs) {
        const struct feed_job *job = &list_entry(it, struct job, all)->feed_job;
        n += atomic_load(&job->feed->lane[job->lane].stages[feed_slot_of(job->id)]) ==
             ring_stage_word(job->id, STAGE_DOT);
    }
    return n;
}

static void each_message_ahead_would_be_in_doubt(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = chunking_mx(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    mx->think_us = SECOND;
    unsigned last = send_many(w, 6);
    world_run(w, SECOND / 2);
    assert_int_equal(jobs_at_dot(w), 4);
    world_settle(w, MINUTE);
    world_delivered(w, 1, last);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ehlo_leaves_right_behind_finished),
        cmocka_unit_test(a_fresh_message_takes_four_flights),
        cmocka_unit_test(a_message_on_a_reused_connection_takes_one),
        cmocka_unit_test(messages_ahead_take_less_than_one),
        cmocka_unit_test(messages_ahead_share_records),
        cmocka_unit_test(by_data_a_message_takes_little_more_than_one),
        cmocka_unit_test(large_and_small_messages_take_turns),
        cmocka_unit_test(refused_messages_leave_nothing_behind),
        cmocka_unit_test(a_receiver_that_does_not_know_bdat),
        cmocka_unit_test(it_is_remembered_when_the_destination_is_forgotten),
        cmocka_unit_test(a_close_leaves_all_that_had_left_in_doubt),
        cmocka_unit_test(after_421_those_behind_go_elsewhere),
        cmocka_unit_test(a_receiver_of_three_messages_a_connection),
        cmocka_unit_test(the_limit_of_messages_holds_ahead),
        cmocka_unit_test(each_message_ahead_would_be_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
