#include "engine/tcp/txq.h"

#include "engine/base/rand.h"
#include "tests/unit/cmocka.h"

#define MSS 100u

struct fixture {
    struct pkt_pool *pool;
    struct txq q;
    uint32_t una, nxt, end; /* sequence numbers: acknowledged, sent, written */
};

static uint8_t byte_at(uint32_t seq)
{
    return (uint8_t)(seq * 13 + (seq >> 8));
}

static int setup(void **state)
{
    static struct fixture f;
    f.pool = pkt_heap_pool_open(32, 4, PKT_HEADROOM + 128);
    txq_init(&f.q);
    f.una = f.nxt = f.end = 0xffffff80u;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    txq_clear(&f->q);
    pkt_heap_pool_close(f->pool);
    return 0;
}

static bool is_sacked(const struct pkt *p)
{
    return p->tcp.flags & TXQ_SACKED;
}

/* The walk that leaves out runs of SACKed packets meets all others. */
static void check_walk(struct fixture *f)
{
    struct pkt *walk = txq_skip_sacked(f->q.head);
    for (struct pkt *p = f->q.head; p; p = p->next)
        if (!is_sacked(p)) {
            assert_ptr_equal(walk, p);
            walk = txq_skip_sacked(walk->next);
        }
    assert_null(walk);
}

static void check(struct fixture *f)
{
    txq_check(&f->q, f->una, f->nxt);
    check_walk(f);
    for (struct pkt *p = f->q.head; p; p = p->next)
        for (uint32_t i = 0; i < p->tcp.len; i++)
            assert_int_equal(p->tcp.payload[i], byte_at(p->tcp.seq + i));
}

static uint32_t put(struct fixture *f, uint32_t len)
{
    uint32_t left = len;
    size_t room;
    pkt_pool_refresh(f->pool);
    for (uint8_t *at; left > 0 && (at = txq_reserve(&f->q, f->pool, MSS, &room));) {
        uint32_t n = min_u32((uint32_t)room, left);
        for (uint32_t i = 0; i < n; i++)
            at[i] = byte_at(f->end + i);
        txq_commit(&f->q, MSS, f->end, n);
        f->end += n;
        left -= n;
    }
    check(f);
    return len - left;
}

static void send_next(struct fixture *f, uint64_t now_us)
{
    struct pkt *p = f->q.unsent;
    txq_sent(&f->q, p, now_us);
    f->nxt = txq_end(p);
    check(f);
}

static void send_first(struct fixture *f, uint32_t count, uint64_t now_us)
{
    uint32_t bytes = txq_sent_first(&f->q, count, now_us);
    f->nxt += bytes;
    check(f);
}

static struct txq_report ack(struct fixture *f, uint32_t to)
{
    struct txq_report report = {0};
    txq_ack(&f->q, to, &report);
    f->una = to;
    check(f);
    return report;
}

static struct txq_report sack(struct fixture *f, uint32_t start, uint32_t end)
{
    struct txq_report report = {0};
    struct tcp_options opt = {.sack_blocks = 1, .sack = {{start, end}}};
    uint32_t expected = f->q.sacked;
    bool inside = seq_lt(start, end) && seq_ge(start, f->una) && seq_le(end, f->nxt);
    for (struct pkt *p = f->q.head; inside && p != f->q.unsent; p = p->next)
        if (!is_sacked(p) && seq_ge(p->tcp.seq, start) && seq_le(txq_end(p), end))
            expected += txq_seq_len(p);
    txq_sack(&f->q, &opt, f->una, f->nxt, f->una, &report);
    assert_int_equal(f->q.sacked, expected);
    check(f);
    return report;
}

static void chunks_are_full_segments(void **state)
{
    struct fixture *f = *state;
    put(f, 30);
    put(f, 100);
    put(f, 100);
    assert_int_equal(f->q.packets, 3);
    assert_int_equal(f->q.head->tcp.len, MSS);
    assert_int_equal(f->q.tail->tcp.len, 30);
    assert_int_equal(f->q.unsent_bytes, 230);
}

static void what_was_sent_is_not_appended_to(void **state)
{
    struct fixture *f = *state;
    put(f, 30);
    send_next(f, 1);
    put(f, 30);
    assert_int_equal(f->q.packets, 2);
    assert_int_equal(f->q.unsent->tcp.len, 30);
}

static void an_unused_reservation_leaves_no_trace(void **state)
{
    struct fixture *f = *state;
    size_t room;
    uint8_t *first = txq_reserve(&f->q, f->pool, MSS, &room);
    assert_int_equal(room, MSS);
    assert_ptr_equal(txq_reserve(&f->q, f->pool, MSS, &room), first);
    assert_int_equal(f->q.packets, 0);
    check(f);
}

static uint32_t packets_left(const struct fixture *f)
{
    return f->pool->ops->available(f->pool);
}

static void what_is_expected_is_taken_at_once(void **state)
{
    struct fixture *f = *state;
    put(f, 70);
    txq_expect(&f->q, f->pool, MSS, 530); /* 30 of it behind what is there */
    assert_int_equal(packets_left(f), 32 - 1 - 5);
    txq_expect(&f->q, f->pool, MSS, 530); /* they are there */
    assert_int_equal(packets_left(f), 32 - 1 - 5);
    assert_int_equal(put(f, 530), 530);
    assert_int_equal(packets_left(f), 32 - 1 - 5);
    assert_int_equal(f->q.packets, 6);
    txq_expect(&f->q, f->pool, MSS, 1000000); /* more than there is: one at a time, as before */
    assert_int_equal(packets_left(f), 32 - 1 - 5);
    txq_expect(&f->q, f->pool, MSS, 3 * MSS); /* nobody writes these: they go with the queue */
    assert_int_equal(packets_left(f), 32 - 1 - 5 - 3);
    check(f);
}

static void an_empty_pool_refuses_and_keeps_its_reserve(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, 100 * MSS), 28 * MSS);
    assert_int_equal(f->pool->ops->available(f->pool), 4);
}

static void a_packet_is_as_small_as_its_buffer(void **state)
{
    struct fixture *f = *state;
    size_t room;
    assert_non_null(txq_reserve(&f->q, f->pool, 5000, &room));
    assert_int_equal(room, 128);
}

static void split_keeps_bytes_flags_and_sums(void **state)
{
    struct fixture *f = *state;
    put(f, 100);
    txq_append_fin(&f->q, f->end);
    send_next(f, 5);
    txq_set_flags(&f->q, f->q.head, (uint8_t)(f->q.head->tcp.flags | TXQ_LOST));
    assert_true(txq_split(&f->q, f->q.head, f->pool, 40));
    check(f);
    assert_int_equal(f->q.head->tcp.flags, TXQ_LOST);
    assert_int_equal(f->q.tail->tcp.flags, TXQ_LOST | TXQ_FIN);
    assert_int_equal(f->q.tail->tcp.sent_us, 5);
    assert_int_equal(f->q.lost_waiting, 101);
}

static void split_of_the_first_unsent_one(void **state)
{
    struct fixture *f = *state;
    put(f, 100);
    assert_true(txq_split(&f->q, f->q.unsent, f->pool, 1));
    send_next(f, 1);
    assert_int_equal(f->nxt, f->una + 1);
    assert_int_equal(f->q.unsent->tcp.len, 99);
}

static void split_without_a_packet_changes_nothing(void **state)
{
    struct fixture *f = *state;
    put(f, 28 * MSS);
    struct pkt *held[4];
    for (unsigned i = 0; i < 4; i++)
        held[i] = pkt_alloc(f->pool, PKT_CONTROL);
    assert_false(txq_split(&f->q, f->q.head, f->pool, 40));
    assert_int_equal(f->q.head->tcp.len, MSS);
    check(f);
    for (unsigned i = 0; i < 4; i++)
        pkt_free(held[i]);
}

static void lose(struct fixture *f, struct pkt *p)
{
    txq_set_flags(&f->q, p, TXQ_LOST);
}

static void fill_draws_from_what_follows(void **state)
{
    struct fixture *f = *state;
    put(f, 300);
    txq_fill(&f->q, f->q.head, 120);
    check(f);
    assert_int_equal(f->q.head->tcp.len, 120);
    assert_int_equal(f->q.head->next->tcp.len, 80);
    txq_fill(&f->q, f->q.head->next, 100); /* its front is gone: the rest moves to where there is room */
    check(f);
    assert_int_equal(f->q.head->next->tcp.len, 100);
    assert_int_equal(f->q.tail->tcp.len, 80);
    assert_int_equal(f->q.packets, 3);
}

static void fill_takes_packets_whole(void **state)
{
    struct fixture *f = *state;
    put(f, 100);
    assert_true(txq_split(&f->q, f->q.head, f->pool, 10));
    assert_true(txq_split(&f->q, f->q.head->next, f->pool, 20));
    txq_append_fin(&f->q, f->end);
    txq_fill(&f->q, f->q.head, 100);
    check(f);
    assert_int_equal(f->q.packets, 1);
    assert_ptr_equal(f->q.head, f->q.tail);
    assert_true(f->q.head->tcp.flags & TXQ_FIN);
}

static void fill_mixes_only_what_waits_alike(void **state)
{
    struct fixture *f = *state;
    put(f, 400);
    for (unsigned i = 0; i < 3; i++)
        send_next(f, 1);
    struct pkt *first = f->q.head, *second = first->next;
    txq_fill(&f->q, first, 120); /* in flight */
    assert_int_equal(first->tcp.len, 100);
    lose(f, first);
    txq_fill(&f->q, first, 120); /* the next one is in flight */
    assert_int_equal(first->tcp.len, 100);
    lose(f, second);
    txq_sent(&f->q, second, 2);
    txq_fill(&f->q, first, 120); /* and now again */
    assert_int_equal(first->tcp.len, 100);
    lose(f, second);
    lose(f, second->next);
    txq_fill(&f->q, first, 120);
    check(f);
    assert_int_equal(first->tcp.len, 120);
    assert_int_equal(first->tcp.sends, 2);       /* Karn: some of it was sent twice */
    txq_fill(&f->q, f->q.head->next->next, 120); /* behind it comes what was never sent */
    assert_int_equal(f->q.head->next->next->tcp.len, 100);
    check(f);
}

static void fill_leaves_packets_of_others_alone(void **state)
{
    struct fixture *f = *state;
    put(f, 200);
    struct pkt *p = f->q.head;
    pkt_ref(p);
    txq_fill(&f->q, p, 120);
    assert_int_equal(p->tcp.len, 100);
    pkt_free(p);
    txq_fill(&f->q, p, 120);
    assert_int_equal(p->tcp.len, 120);
    check(f);
}

static void several_leave_as_one_by_one(void **state)
{
    struct fixture *f = *state;
    put(f, 4 * MSS);
    send_next(f, 5);
    send_first(f, 2, 7);
    struct pkt *p = f->q.head->next;
    assert_int_equal(f->q.out, 3 * MSS);
    assert_int_equal(f->q.unsent_bytes, MSS);
    assert_ptr_equal(f->q.unsent, p->next->next);
    for (unsigned i = 0; i < 2; i++, p = p->next) {
        assert_int_equal(p->tcp.sends, 1);
        assert_int_equal(p->tcp.sent_us, 7);
        assert_int_equal(p->tcp.order, 2 + i);
    }
}

static void fin_rides_on_unsent_data_or_goes_alone(void **state)
{
    struct fixture *f = *state;
    put(f, 10);
    send_next(f, 1);
    txq_append_fin(&f->q, f->end);
    assert_ptr_equal(f->q.tail, &f->q.ctl);
    send_next(f, 1);
    assert_int_equal(f->q.out, 11);
    assert_int_equal(ack(f, f->nxt).acked_bytes, 10);
    assert_null(f->q.head);
}

static void ack_in_the_middle_trims(void **state)
{
    struct fixture *f = *state;
    put(f, 200);
    send_next(f, 1);
    send_next(f, 2);
    struct txq_report r = ack(f, f->una + 130);
    assert_int_equal(r.acked, 130);
    assert_int_equal(f->q.packets, 1);
    assert_int_equal(f->q.head->tcp.len, 70);
    assert_int_equal(r.first_us, 1);
    assert_int_equal(r.clean_us, 2);
}

static void retransmitted_packets_are_no_clean_sample(void **state)
{
    struct fixture *f = *state;
    put(f, 100);
    send_next(f, 1);
    txq_set_flags(&f->q, f->q.head, TXQ_LOST);
    assert_ptr_equal(txq_next_lost(&f->q), f->q.head);
    txq_sent(&f->q, f->q.head, 9);
    assert_null(txq_next_lost(&f->q));
    assert_int_equal(txq_pipe(&f->q), 100);
    struct txq_report r = ack(f, f->nxt);
    assert_int_equal(r.clean_us, 0);
    assert_true(r.retrans_acked);
}

static void a_retransmission_too_young_to_be_answered_is_not_the_newest(void **state)
{
    struct fixture *f = *state;
    for (uint64_t believed_us = 8; believed_us <= 9; believed_us++) {
        put(f, 100);
        send_next(f, 1);
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
    struct fixture *f = *state;
    put(f, 400);
    for (unsigned i = 0; i < 4; i++)
        send_next(f, 1);
    assert_false(sack(f, f->una + 200, f->una + 300).reordered);
    assert_true(sack(f, f->una + 100, f->una + 200).reordered);
    /* what was sent again may well arrive late */
    txq_set_flags(&f->q, f->q.head, TXQ_LOST);
    txq_sent(&f->q, f->q.head, 9);
    assert_false(ack(f, f->una + 100).reordered);
}

static void sack_marks_whole_packets_only(void **state)
{
    struct fixture *f = *state;
    put(f, 500);
    for (unsigned i = 0; i < 5; i++)
        send_next(f, i + 1);
    uint32_t s = f->una;
    assert_int_equal(sack(f, s + 150, s + 350).sacked, 100);
    assert_int_equal(sack(f, s + 150, s + 350).sacked, 0);
    assert_int_equal(f->q.sacked, 100);
    assert_int_equal(txq_pipe(&f->q), 400);
    struct txq_report r = ack(f, s + 300);
    assert_int_equal(r.acked, 300);
    assert_int_equal(r.acked_sacked, 100);
    assert_int_equal(f->q.sacked, 0);
}

static void sack_outside_what_was_sent_is_ignored(void **state)
{
    struct fixture *f = *state;
    put(f, 300);
    send_next(f, 1);
    send_next(f, 1);
    uint32_t s = f->una;
    assert_int_equal(sack(f, s, s + 300).sacked, 0);
    assert_int_equal(sack(f, s - 100, s + 100).sacked, 0);
    assert_int_equal(sack(f, s + 200, s + 100).sacked, 0);
    assert_int_equal(sack(f, s + 100, s + 0x80000000u).sacked, 0);
    assert_int_equal(f->q.sacked, 0);
}

static void dsack_is_noticed(void **state)
{
    struct fixture *f = *state;
    put(f, 200);
    send_next(f, 1);
    send_next(f, 1);
    uint32_t s = f->una;
    ack(f, s + 100);
    assert_true(sack(f, s, s + 100).dsack);
    assert_false(sack(f, s + 100, s + 200).dsack);
    struct txq_report r = {0};
    struct tcp_options inside = {.sack_blocks = 2, .sack = {{s + 120, s + 140}, {s + 100, s + 200}}};
    txq_sack(&f->q, &inside, f->una, f->nxt, f->una, &r);
    assert_true(r.dsack);
}

static void lost_and_forgotten_sums(void **state)
{
    struct fixture *f = *state;
    put(f, 400);
    for (unsigned i = 0; i < 4; i++)
        send_next(f, 1);
    sack(f, f->una + 100, f->una + 200);
    txq_set_flags(&f->q, f->q.head, TXQ_LOST);
    assert_int_equal(txq_pipe(&f->q), 200);
    /* a SACK of what was taken for lost brings it back */
    sack(f, f->una, f->una + 100);
    assert_int_equal(f->q.lost, 0);
    assert_int_equal(f->q.sacked_packets, 2);
    txq_forget_sacks(&f->q);
    assert_int_equal(txq_pipe(&f->q), 400);
    check(f);
}

/* Everything at random; txq_check recomputes all sums after each step. */
static void random_operations_keep_the_sums(void **state)
{
    struct fixture *f = *state;
    struct rand_source r;
    rand_seed(&r, 42);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t sent = f->nxt - f->una;
        switch (rand_below(&r, 8)) {
        case 7:
            if (rand_below(&r, 20) == 0)
                txq_forget_sacks(&f->q);
            break;
        case 0: put(f, 1 + rand_below(&r, 250)); break;
        case 1:
            if (f->q.unsent && f->q.unsent->next && rand_below(&r, 2) == 0)
                send_first(f, 2, i + 1);
            else if (f->q.unsent)
                send_next(f, i + 1);
            break;
        case 2: ack(f, f->una + rand_below(&r, sent + 1)); break;
        case 3:
            if (sent > 1) {
                uint32_t from = rand_below(&r, sent);
                sack(f, f->una + from, f->una + from + 1 + rand_below(&r, sent - from));
            }
            break;
        case 4:
            if (f->q.head && f->q.head != f->q.unsent && !(f->q.head->tcp.flags & TXQ_SACKED))
                txq_set_flags(&f->q, f->q.head, TXQ_LOST);
            break;
        case 5:
            if (f->q.head)
                txq_fill(&f->q, f->q.head, 1 + rand_below(&r, 128));
            break;
        default:
            if (txq_next_lost(&f->q))
                txq_sent(&f->q, txq_next_lost(&f->q), i + 1);
            else if (f->q.head && f->q.head->tcp.len > 1)
                (void)!txq_split(&f->q, f->q.head, f->pool, 1 + rand_below(&r, f->q.head->tcp.len - 1u));
        }
        check(f);
    }
}

/* ---- one ACK of many packets ---- */

#define LONG_QUEUE 100u /* packets: more than are given back at a time */

static void open_long(struct fixture *f)
{
    f->pool = pkt_heap_pool_open(LONG_QUEUE + 4, 4, PKT_HEADROOM + 128);
    assert_non_null(f->pool);
    txq_init(&f->q);
    f->una = f->nxt = f->end = 0xffffff80u;
}

/* Most of it leaves once; now and then something is SACKed, lost, or leaves again. */
static void live(struct fixture *f, struct rand_source *r)
{
    put(f, LONG_QUEUE * MSS);
    for (uint64_t now_us = 10; f->q.unsent && f->q.unsent->next; now_us += rand_below(r, 2)) {
        uint32_t sent = f->nxt - f->una, what = rand_below(r, 40);
        if (what > 1 || sent < 2 * MSS) {
            send_first(f, 2, now_us);
        } else if (what == 1) {
            uint32_t from = rand_below(r, sent / 2);
            sack(f, f->una + from, f->una + from + rand_below(r, sent / 4) + MSS);
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
        struct fixture at_once, each;
        struct rand_source r, again;
        rand_seed(&r, seed);
        rand_seed(&again, seed);
        open_long(&at_once);
        open_long(&each);
        live(&at_once, &r);
        live(&each, &again);
        uint32_t to = at_once.una + rand_below(&r, at_once.q.out + 1);
        struct txq_report one = ack(&at_once, to), many = {0};
        while (each.q.head != each.q.unsent && seq_le(txq_end(each.q.head), to))
            txq_ack(&each.q, txq_end(each.q.head), &many);
        txq_ack(&each.q, to, &many);
        assert_same_report(&one, &many);
        assert_int_equal(at_once.q.fack, each.q.fack);
        assert_int_equal(at_once.q.packets, each.q.packets);
        txq_clear(&at_once.q);
        txq_clear(&each.q);
        pkt_heap_pool_close(at_once.pool);
        pkt_heap_pool_close(each.pool);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(chunks_are_full_segments),
        TEST(what_was_sent_is_not_appended_to),
        TEST(an_unused_reservation_leaves_no_trace),
        TEST(what_is_expected_is_taken_at_once),
        TEST(an_empty_pool_refuses_and_keeps_its_reserve),
        TEST(a_packet_is_as_small_as_its_buffer),
        TEST(split_keeps_bytes_flags_and_sums),
        TEST(split_of_the_first_unsent_one),
        TEST(split_without_a_packet_changes_nothing),
        TEST(fill_draws_from_what_follows),
        TEST(fill_takes_packets_whole),
        TEST(fill_mixes_only_what_waits_alike),
        TEST(fill_leaves_packets_of_others_alone),
        TEST(several_leave_as_one_by_one),
        TEST(fin_rides_on_unsent_data_or_goes_alone),
        TEST(ack_in_the_middle_trims),
        cmocka_unit_test(one_ack_tells_what_many_would),
        TEST(retransmitted_packets_are_no_clean_sample),
        TEST(a_retransmission_too_young_to_be_answered_is_not_the_newest),
        TEST(reordering_is_noticed),
        TEST(sack_marks_whole_packets_only),
        TEST(sack_outside_what_was_sent_is_ignored),
        TEST(dsack_is_noticed),
        TEST(lost_and_forgotten_sums),
        TEST(random_operations_keep_the_sums),
    };
    return cmocka_run_group_tests_name("tcp/txq", tests, NULL, NULL);
}
