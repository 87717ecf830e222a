#include "tests/unit/tcp/txq_kit.h"

#include "tests/unit/cmocka.h"

static uint8_t byte_at(uint32_t seq)
{
    return (uint8_t)(seq * 13 + (seq >> 8));
}

void txq_kit_open(struct txq_kit *f, uint32_t packets)
{
    f->pool = pkt_heap_pool_open(packets, 4, PKT_HEADROOM + 128);
    assert_non_null(f->pool);
    txq_init(&f->q);
    f->una = f->nxt = f->end = 0xffffff80u;
}

void txq_kit_close(struct txq_kit *f)
{
    txq_clear(&f->q);
    pkt_heap_pool_close(f->pool);
}

int txq_kit_setup(void **state)
{
    static struct txq_kit f;
    txq_kit_open(&f, 32);
    *state = &f;
    return 0;
}

int txq_kit_teardown(void **state)
{
    txq_kit_close(*state);
    return 0;
}

static bool is_sacked(const struct pkt *p)
{
    return p->tcp.flags & TXQ_SACKED;
}

/* The walk that leaves out runs of SACKed packets meets all others. */
static void check_walk(struct txq_kit *f)
{
    struct pkt *walk = txq_skip_sacked(f->q.head);
    for (struct pkt *p = f->q.head; p; p = p->next)
        if (!is_sacked(p)) {
            assert_ptr_equal(walk, p);
            walk = txq_skip_sacked(walk->next);
        }
    assert_null(walk);
}

void txq_kit_check(struct txq_kit *f)
{
    txq_check(&f->q, f->una, f->nxt);
    check_walk(f);
    for (struct pkt *p = f->q.head; p; p = p->next)
        for (uint32_t i = 0; i < p->tcp.len; i++)
            assert_int_equal(p->tcp.payload[i], byte_at(p->tcp.seq + i));
}

uint32_t txq_kit_put(struct txq_kit *f, uint32_t len)
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
    txq_kit_check(f);
    return len - left;
}

void txq_kit_send_next(struct txq_kit *f, uint64_t now_us)
{
    struct pkt *p = f->q.unsent;
    txq_sent(&f->q, p, now_us);
    f->nxt = txq_end(p);
    txq_kit_check(f);
}

void txq_kit_send_first(struct txq_kit *f, uint32_t count, uint64_t now_us)
{
    uint32_t bytes = txq_sent_first(&f->q, count, now_us);
    f->nxt += bytes;
    txq_kit_check(f);
}

struct txq_report txq_kit_ack(struct txq_kit *f, uint32_t to)
{
    struct txq_report report = {0};
    txq_ack(&f->q, to, &report);
    f->una = to;
    txq_kit_check(f);
    return report;
}

struct txq_report txq_kit_sack(struct txq_kit *f, uint32_t start, uint32_t end)
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
    txq_kit_check(f);
    return report;
}
