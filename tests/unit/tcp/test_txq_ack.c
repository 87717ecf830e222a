/* test_txq_ack.c: what an ACK or a SACK takes, marks and tells. */
#include "tests/unit/tcp/txq_kit.h"

#include "engine/base/rand.h"
#include "tests/unit/cmocka.h"

static void ack_in_the_middle_trims(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 200);
    txq_kit_send_next(f, 1);
    txq_kit_send_next(f, 2);
    struct txq_report r = txq_kit_ack(f, f->una + 130);
    assert_int_equal(r.acked, 130);
    assert_int_equal(f->q.packets, 1);
    assert_int_equal(f->q.head->tcp.len, 70);
    assert_int_equal(r.first_us, 1);
    assert_int_equal(r.clean_us, 2);
}

static void retransmitted_packets_are_no_clean_sample(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 100);
    txq_kit_send_next(f, 1);
    txq_set_flags(&f->q, f->q.head, TXQ_LOST);
    assert_ptr_equal(txq_next_lost(&f->q), f->q.head);
    txq_sent(&f->q, f->q.head, 9);
    assert_null(txq_next_lost(&f->q));
    assert_int_equal(txq_pipe(&f->q), 100);
    struct txq_report r = txq_kit_ack(f, f->nxt);
    assert_int_equal(r.clean_us, 0);
    assert_true(r.retrans_acked);
}

static void a_retransmission_too_young_to_be_answered_is_not_the_newest(void **state)
{
    struct txq_kit *f = *state;
    for (uint64_t believed_us = 8; believed_us <= 9; believed_us++) {
        txq_kit_put(f, 100);
        txq_kit_send_next(f, 1);
        txq_set_flags(&f->q, f->q.head, TXQ_LOST);
        txq_sent(&f->q, f->q.head, 9);
        struct txq_report r = {.believed_us = believed_us};
        txq_ack(&f->q, f->nxt, &r);
        f->una = f->nxt;
        assert_int_equal(r.newest_us, believed_us == 9 ? 9 : 0);
    }
}

static void reordering_is_noticed(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 400);
    for (unsigned i = 0; i < 4; i++)
        txq_kit_send_next(f, 1);
    assert_false(txq_kit_sack(f, f->una + 200, f->una + 300).reordered);
    assert_true(txq_kit_sack(f, f->una + 100, f->una + 200).reordered);
    /* what was sent again may well arrive late */
    txq_set_flags(&f->q, f->q.head, TXQ_LOST);
    txq_sent(&f->q, f->q.head, 9);
    assert_false(txq_kit_ack(f, f->una + 100).reordered);
}

static void sack_marks_whole_packets_only(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 500);
    for (unsigned i = 0; i < 5; i++)
        txq_kit_send_next(f, i + 1);
    uint32_t s = f->una;
    assert_int_equal(txq_kit_sack(f, s + 150, s + 350).sacked, 100);
    assert_int_equal(txq_kit_sack(f, s + 150, s + 350).sacked, 0);
    assert_int_equal(f->q.sacked, 100);
    assert_int_equal(txq_pipe(&f->q), 400);
    struct txq_report r = txq_kit_ack(f, s + 300);
    assert_int_equal(r.acked, 300);
    assert_int_equal(r.acked_sacked, 100);
    assert_int_equal(f->q.sacked, 0);
}

static void sack_outside_what_was_sent_is_ignored(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 300);
    txq_kit_send_next(f, 1);
    txq_kit_send_next(f, 1);
    uint32_t s = f->una;
    assert_int_equal(txq_kit_sack(f, s, s + 300).sacked, 0);
    assert_int_equal(txq_kit_sack(f, s - 100, s + 100).sacked, 0);
    assert_int_equal(txq_kit_sack(f, s + 200, s + 100).sacked, 0);
    assert_int_equal(txq_kit_sack(f, s + 100, s + 0x80000000u).sacked, 0);
    assert_int_equal(f->q.sacked, 0);
}

static void dsack_is_noticed(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 200);
    txq_kit_send_next(f, 1);
    txq_kit_send_next(f, 1);
    uint32_t s = f->una;
    txq_kit_ack(f, s + 100);
    assert_true(txq_kit_sack(f, s, s + 100).dsack);
    assert_false(txq_kit_sack(f, s + 100, s + 200).dsack);
    struct txq_report r = {0};
    struct tcp_options inside = {.sack_blocks = 2, .sack = {{s + 120, s + 140}, {s + 100, s + 200}}};
    txq_sack(&f->q, &inside, f->una, f->nxt, f->una, &r);
    assert_true(r.dsack);
}

static void lost_and_forgotten_sums(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 400);
    for (unsigned i = 0; i < 4; i++)
        txq_kit_send_next(f, 1);
    txq_kit_sack(f, f->una + 100, f->una + 200);
    txq_set_flags(&f->q, f->q.head, TXQ_LOST);
    assert_int_equal(txq_pipe(&f->q), 200);
    /* a SACK of what was taken for lost brings it back */
    txq_kit_sack(f, f->una, f->una + 100);
    assert_int_equal(f->q.lost, 0);
    assert_int_equal(f->q.sacked_packets, 2);
    txq_forget_sacks(&f->q);
    assert_int_equal(txq_pipe(&f->q), 400);
    txq_kit_check(f);
}

/* ---- one ACK of many packets ---- */

#define LONG_QUEUE 100u /* packets: more than are given back at a time */

/* Most of it leaves once; now and then something is SACKed, lost, or leaves again. */
static void live(struct txq_kit *f, struct rand_source *r)
{
    txq_kit_put(f, LONG_QUEUE * MSS);
    for (uint64_t now_us = 10; f->q.unsent && f->q.unsent->next; now_us += rand_below(r, 2)) {
        uint32_t sent = f->nxt - f->una, what = rand_below(r, 40);
        if (what > 1 || sent < 2 * MSS) {
            txq_kit_send_first(f, 2, now_us);
        } else if (what == 1) {
            uint32_t from = rand_below(r, sent / 2);
            txq_kit_sack(f, f->una + from, f->una + from + rand_below(r, sent / 4) + MSS);
        } else if (!(f->q.head->tcp.flags & TXQ_SACKED)) {
            txq_set_flags(&f->q, f->q.head, TXQ_LOST);
            txq_sent(&f->q, f->q.head, now_us);
        }
    }
}

static void assert_same_report(const struct txq_report *a, const struct txq_report *b)
{
    assert_int_equal(a->acked, b->acked);
    assert_int_equal(a->acked_bytes, b->acked_bytes);
    assert_int_equal(a->acked_sacked, b->acked_sacked);
    assert_int_equal(a->clean_us, b->clean_us);
    assert_int_equal(a->first_us, b->first_us);
    assert_int_equal(a->newest_us, b->newest_us);
    assert_int_equal(a->newest_order, b->newest_order);
    assert_int_equal(a->last_us, b->last_us);
    assert_int_equal(a->retrans_acked, b->retrans_acked);
    assert_int_equal(a->reordered, b->reordered);
}

/* Packets that left once are taken off together; what is told of them is what would be told of each. */
static void one_ack_tells_what_many_would(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 100; seed++) {
        struct txq_kit at_once, each;
        struct rand_source r, again;
        rand_seed(&r, seed);
        rand_seed(&again, seed);
        txq_kit_open(&at_once, LONG_QUEUE + 4);
        txq_kit_open(&each, LONG_QUEUE + 4);
        live(&at_once, &r);
        live(&each, &again);
        uint32_t to = at_once.una + rand_below(&r, at_once.q.out + 1);
        struct txq_report one = txq_kit_ack(&at_once, to), many = {0};
        while (each.q.head != each.q.unsent && seq_le(txq_end(each.q.head), to))
            txq_ack(&each.q, txq_end(each.q.head), &many);
        txq_ack(&each.q, to, &many);
        assert_same_report(&one, &many);
        assert_int_equal(at_once.q.fack, each.q.fack);
        assert_int_equal(at_once.q.packets, each.q.packets);
        txq_kit_close(&at_once);
        txq_kit_close(&each);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, txq_kit_setup, txq_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(ack_in_the_middle_trims),
        TEST(retransmitted_packets_are_no_clean_sample),
        TEST(a_retransmission_too_young_to_be_answered_is_not_the_newest),
        TEST(reordering_is_noticed),
        TEST(sack_marks_whole_packets_only),
        TEST(sack_outside_what_was_sent_is_ignored),
        TEST(dsack_is_noticed),
        TEST(lost_and_forgotten_sums),
        cmocka_unit_test(one_ack_tells_what_many_would),
    };
    return cmocka_run_group_tests_name("tcp/txq_ack", tests, NULL, NULL);
}
