/* test_txq.c: what is written, split, filled up and sent; test_txq_ack.c has what comes back. */
#include "tests/unit/tcp/txq_kit.h"

#include "engine/base/rand.h"
#include "tests/unit/cmocka.h"

static void chunks_are_full_segments(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 30);
    txq_kit_put(f, 100);
    txq_kit_put(f, 100);
    assert_int_equal(f->q.packets, 3);
    assert_int_equal(f->q.head->tcp.len, MSS);
    assert_int_equal(f->q.tail->tcp.len, 30);
    assert_int_equal(f->q.unsent_bytes, 230);
}

static void what_was_sent_is_not_appended_to(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 30);
    txq_kit_send_next(f, 1);
    txq_kit_put(f, 30);
    assert_int_equal(f->q.packets, 2);
    assert_int_equal(f->q.unsent->tcp.len, 30);
}

static void an_unused_reservation_leaves_no_trace(void **state)
{
    struct txq_kit *f = *state;
    size_t room;
    uint8_t *first = txq_reserve(&f->q, f->pool, MSS, &room);
    assert_int_equal(room, MSS);
    assert_ptr_equal(txq_reserve(&f->q, f->pool, MSS, &room), first);
    assert_int_equal(f->q.packets, 0);
    txq_kit_check(f);
}

static uint32_t packets_left(const struct txq_kit *f)
{
    return f->pool->ops->available(f->pool);
}

static size_t room_of(const struct byte_piece *piece, uint32_t pieces)
{
    size_t room = 0;
    for (uint32_t i = 0; i < pieces; i++)
        room += piece[i].room;
    return room;
}

static void pieces_are_taken_at_once(void **state)
{
    struct txq_kit *f = *state;
    struct byte_piece piece[8];
    txq_kit_put(f, 70);
    assert_int_equal(txq_pieces(&f->q, f->pool, MSS, 530, piece, 8), 6); /* 30 of it behind what is there */
    assert_int_equal(packets_left(f), 32 - 1 - 5);
    assert_int_equal(piece[0].room, 30);
    assert_int_equal(room_of(piece, 6), 530);
    assert_ptr_equal(piece[0].at, f->q.tail->tcp.payload + 70);
    assert_int_equal(txq_pieces(&f->q, f->pool, MSS, 530, piece, 8), 6); /* they are there */
    assert_int_equal(packets_left(f), 32 - 1 - 5);
    assert_int_equal(txq_pieces(&f->q, f->pool, MSS, 530, piece, 3), 3);
    assert_int_equal(room_of(piece, 3), 30 + 2 * MSS);
    txq_kit_check(f);
}

static void pieces_are_committed_as_far_as_they_are_written(void **state)
{
    struct txq_kit *f = *state;
    struct byte_piece piece[8];
    txq_kit_put(f, 70);
    assert_int_equal(txq_pieces(&f->q, f->pool, MSS, 530, piece, 8), 6);
    txq_commit(&f->q, MSS, f->q.tail->tcp.seq + 70, 10); /* not even the first one */
    assert_int_equal(f->q.packets, 1);
    txq_commit(&f->q, MSS, f->q.tail->tcp.seq + 80, 20 + 2 * MSS + 1);
    assert_int_equal(f->q.packets, 4);
    assert_int_equal(f->q.tail->tcp.len, 1);
    assert_ptr_equal(f->q.tail->tcp.payload, piece[3].at);
    assert_ptr_equal(f->q.spare->buf + PKT_HEADROOM,
                     piece[4].at); /* nobody writes it: it goes with the queue */
    txq_check(&f->q, f->q.head->tcp.seq, f->q.head->tcp.seq);
}

static void a_pool_that_is_short_gives_fewer_pieces(void **state)
{
    struct txq_kit *f = *state;
    struct byte_piece piece[8];
    assert_int_equal(txq_kit_put(f, 26 * MSS), 26 * MSS); /* and 4 for control packets */
    assert_int_equal(txq_pieces(&f->q, f->pool, MSS, 3 * MSS, piece, 8), 1);
    assert_int_equal(room_of(piece, 1), MSS);
    assert_int_equal(txq_kit_put(f, 100 * MSS), 2 * MSS);
    assert_int_equal(txq_pieces(&f->q, f->pool, MSS, 3 * MSS, piece, 8), 0);
}

static void an_empty_pool_refuses_and_keeps_its_reserve(void **state)
{
    struct txq_kit *f = *state;
    assert_int_equal(txq_kit_put(f, 100 * MSS), 28 * MSS);
    assert_int_equal(f->pool->ops->available(f->pool), 4);
}

static void a_packet_is_as_small_as_its_buffer(void **state)
{
    struct txq_kit *f = *state;
    size_t room;
    assert_non_null(txq_reserve(&f->q, f->pool, 5000, &room));
    assert_int_equal(room, 128);
}

static void split_keeps_bytes_flags_and_sums(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 100);
    txq_append_fin(&f->q, f->end);
    txq_kit_send_next(f, 5);
    txq_set_flags(&f->q, f->q.head, (uint8_t)(f->q.head->tcp.flags | TXQ_LOST));
    assert_true(txq_split(&f->q, f->q.head, f->pool, 40));
    txq_kit_check(f);
    assert_int_equal(f->q.head->tcp.flags, TXQ_LOST);
    assert_int_equal(f->q.tail->tcp.flags, TXQ_LOST | TXQ_FIN);
    assert_int_equal(f->q.tail->tcp.sent_us, 5);
    assert_int_equal(f->q.lost_waiting, 101);
}

static void split_of_the_first_unsent_one(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 100);
    assert_true(txq_split(&f->q, f->q.unsent, f->pool, 1));
    txq_kit_send_next(f, 1);
    assert_int_equal(f->nxt, f->una + 1);
    assert_int_equal(f->q.unsent->tcp.len, 99);
}

static void split_without_a_packet_changes_nothing(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 28 * MSS);
    struct pkt *held[4];
    for (unsigned i = 0; i < 4; i++)
        held[i] = pkt_alloc(f->pool, PKT_CONTROL);
    assert_false(txq_split(&f->q, f->q.head, f->pool, 40));
    assert_int_equal(f->q.head->tcp.len, MSS);
    txq_kit_check(f);
    for (unsigned i = 0; i < 4; i++)
        pkt_free(held[i]);
}

static void lose(struct txq_kit *f, struct pkt *p)
{
    txq_set_flags(&f->q, p, TXQ_LOST);
}

static void fill_draws_from_what_follows(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 300);
    txq_fill(&f->q, f->q.head, 120);
    txq_kit_check(f);
    assert_int_equal(f->q.head->tcp.len, 120);
    assert_int_equal(f->q.head->next->tcp.len, 80);
    txq_fill(&f->q, f->q.head->next, 100); /* its front is gone: the rest moves to where there is room */
    txq_kit_check(f);
    assert_int_equal(f->q.head->next->tcp.len, 100);
    assert_int_equal(f->q.tail->tcp.len, 80);
    assert_int_equal(f->q.packets, 3);
}

static void fill_takes_packets_whole(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 100);
    assert_true(txq_split(&f->q, f->q.head, f->pool, 10));
    assert_true(txq_split(&f->q, f->q.head->next, f->pool, 20));
    txq_append_fin(&f->q, f->end);
    txq_fill(&f->q, f->q.head, 100);
    txq_kit_check(f);
    assert_int_equal(f->q.packets, 1);
    assert_ptr_equal(f->q.head, f->q.tail);
    assert_true(f->q.head->tcp.flags & TXQ_FIN);
}

static void fill_mixes_only_what_waits_alike(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 400);
    for (unsigned i = 0; i < 3; i++)
        txq_kit_send_next(f, 1);
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
    txq_kit_check(f);
    assert_int_equal(first->tcp.len, 120);
    assert_int_equal(first->tcp.sends, 2);       /* Karn: some of it was sent twice */
    txq_fill(&f->q, f->q.head->next->next, 120); /* behind it comes what was never sent */
    assert_int_equal(f->q.head->next->next->tcp.len, 100);
    txq_kit_check(f);
}

static void fill_leaves_packets_of_others_alone(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 200);
    struct pkt *p = f->q.head;
    pkt_ref(p);
    txq_fill(&f->q, p, 120);
    assert_int_equal(p->tcp.len, 100);
    pkt_free(p);
    txq_fill(&f->q, p, 120);
    assert_int_equal(p->tcp.len, 120);
    txq_kit_check(f);
}

static void several_leave_as_one_by_one(void **state)
{
    struct txq_kit *f = *state;
    txq_kit_put(f, 4 * MSS);
    txq_kit_send_next(f, 5);
    txq_kit_send_first(f, 2, 7);
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
    struct txq_kit *f = *state;
    txq_kit_put(f, 10);
    txq_kit_send_next(f, 1);
    txq_append_fin(&f->q, f->end);
    assert_ptr_equal(f->q.tail, &f->q.ctl);
    txq_kit_send_next(f, 1);
    assert_int_equal(f->q.out, 11);
    assert_int_equal(txq_kit_ack(f, f->nxt).acked_bytes, 10);
    assert_null(f->q.head);
}

/* Everything at random; txq_check recomputes all sums after each step. */
static void random_operations_keep_the_sums(void **state)
{
    struct txq_kit *f = *state;
    struct rand_source r;
    rand_seed(&r, 42);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t sent = f->nxt - f->una;
        switch (rand_below(&r, 8)) {
        case 7:
            if (rand_below(&r, 20) == 0)
                txq_forget_sacks(&f->q);
            break;
        case 0: txq_kit_put(f, 1 + rand_below(&r, 250)); break;
        case 1:
            if (f->q.unsent && f->q.unsent->next && rand_below(&r, 2) == 0)
                txq_kit_send_first(f, 2, i + 1);
            else if (f->q.unsent)
                txq_kit_send_next(f, i + 1);
            break;
        case 2: txq_kit_ack(f, f->una + rand_below(&r, sent + 1)); break;
        case 3:
            if (sent > 1) {
                uint32_t from = rand_below(&r, sent);
                txq_kit_sack(f, f->una + from, f->una + from + 1 + rand_below(&r, sent - from));
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
        txq_kit_check(f);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, txq_kit_setup, txq_kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(chunks_are_full_segments),
        TEST(what_was_sent_is_not_appended_to),
        TEST(an_unused_reservation_leaves_no_trace),
        TEST(pieces_are_taken_at_once),
        TEST(pieces_are_committed_as_far_as_they_are_written),
        TEST(a_pool_that_is_short_gives_fewer_pieces),
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
        TEST(random_operations_keep_the_sums),
    };
    return cmocka_run_group_tests_name("tcp/txq", tests, NULL, NULL);
}
