/* Cursors, lists, names, messages: the small words. */
#include "engine/base/bytes.h"
#include "engine/base/error.h"
#include "engine/base/list.h"
#include "engine/base/outcome.h"
#include "engine/base/rand.h"
#include "engine/base/stat.h"
#include "tests/unit/cmocka.h"

static void reading_past_the_end_sticks(void **state)
{
    (void)state;
    const uint8_t three[] = {1, 2, 3};
    struct bytes_in in = bytes_in(three, sizeof(three));
    assert_int_equal(bytes_be16(&in), 0x0102);
    assert_int_equal(bytes_be16(&in), 0);
    assert_true(in.failed);
    assert_int_equal(bytes_left(&in), 1); /* a short read moves nothing */
    assert_int_equal(bytes_u8(&in), 0);   /* and what follows a failure gives nothing */
}

static void writing_past_the_end_sticks(void **state)
{
    (void)state;
    uint8_t room[5] = {0};
    struct bytes_out out = bytes_out(room, 4);
    bytes_put_be16(&out, 0xabcd);
    bytes_put_be32(&out, 1);
    assert_true(out.failed);
    bytes_put_u8(&out, 7);
    assert_int_equal(bytes_written(&out), 2);
    assert_int_equal(room[2], 0);
}

static void lists_keep_their_order(void **state)
{
    (void)state;
    struct list head, item[3];
    list_init(&head);
    for (unsigned i = 0; i < 3; i++)
        list_push_tail(&head, &item[i]);
    list_remove(&item[1]);
    list_remove(&item[1]);
    assert_ptr_equal(list_pop(&head), &item[0]);
    list_push_head(&head, &item[1]);
    assert_ptr_equal(list_pop(&head), &item[1]);
    assert_ptr_equal(list_pop(&head), &item[2]);
    assert_null(list_pop(&head));
}

static void every_reason_and_counter_has_a_name(void **state)
{
    (void)state;
    for (int r = 0; r < REASON_COUNT; r++)
        assert_string_not_equal(reason_name((enum reason)r), "unknown");
    for (int i = 0; i < STAT_COUNT; i++) {
        assert_string_not_equal(stat_name((enum stat_id)i), "unknown");
        assert_true(strlen(stat_text((enum stat_id)i)) > 0);
    }
    assert_string_equal(stage_name((enum stage)99), "unknown");
    assert_string_equal(verdict_name(VERDICT_IN_DOUBT), "in doubt");
}

static void outcome_text_is_cut_and_printable(void **state)
{
    (void)state;
    struct outcome o;
    char longer[OUTCOME_TEXT_MAX * 2];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    longer[0] = '\r';
    longer[1] = '\n';
    outcome_set(&o, VERDICT_FAILED, STAGE_RCPT, FAULT_REMOTE, REASON_REPLY, "%s", longer);
    assert_int_equal(strlen(o.text), OUTCOME_TEXT_MAX - 1);
    assert_memory_equal(o.text, "??x", 3);
}

static void error_prefix_keeps_what_the_callee_said(void **state)
{
    (void)state;
    struct error err;
    assert_false(error_set(&err, "no such file"));
    assert_false(error_prefix(&err, "reading %s", "a.conf"));
    assert_string_equal(err.text, "reading a.conf: no such file");
    for (unsigned i = 0; i < 100; i++)
        error_prefix(&err, "and again %u", i);
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
}

static void chance_is_about_what_was_asked(void **state)
{
    (void)state;
    struct rand_source r;
    rand_seed(&r, 42);
    unsigned hits = 0;
    for (unsigned i = 0; i < 1000000; i++)
        hits += rand_ppm(&r, 10000);
    assert_in_range(hits, 9500, 10500);
    assert_false(rand_ppm(&r, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_past_the_end_sticks),
        cmocka_unit_test(writing_past_the_end_sticks),
        cmocka_unit_test(lists_keep_their_order),
        cmocka_unit_test(every_reason_and_counter_has_a_name),
        cmocka_unit_test(outcome_text_is_cut_and_printable),
        cmocka_unit_test(error_prefix_keeps_what_the_callee_said),
        cmocka_unit_test(chance_is_about_what_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
