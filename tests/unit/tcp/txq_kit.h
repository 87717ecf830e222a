/* txq_kit.h: a send queue and its three cursors, checked after every step: all sums, and every byte at its place. */
#ifndef TESTS_UNIT_TCP_TXQ_KIT_H
#define TESTS_UNIT_TCP_TXQ_KIT_H

#include "engine/tcp/txq.h"

#define MSS 100u

struct txq_kit {
    struct pkt_pool *pool;
    struct txq q;
    uint32_t una, nxt,
        end; /* sequence numbers: acknowledged, sent, written; they start shortly before they wrap */
};

/* txq_kit_open takes a pool of so many packets, four of them for control; txq_kit_close gives all back. */
void txq_kit_open(struct txq_kit *f, uint32_t packets);
void txq_kit_close(struct txq_kit *f);

/* The same as cmocka's fixture, with 32 packets. */
int txq_kit_setup(void **state);
int txq_kit_teardown(void **state);

void txq_kit_check(struct txq_kit *f);

/* txq_kit_put writes len bytes and returns how many the pool had room for. */
uint32_t txq_kit_put(struct txq_kit *f, uint32_t len);
void txq_kit_send_next(struct txq_kit *f, uint64_t now_us);
void txq_kit_send_first(struct txq_kit *f, uint32_t count, uint64_t now_us);

/* What the queue tells of an ACK to `to`, and of one SACK block; of the latter the bytes are counted here again. */
struct txq_report txq_kit_ack(struct txq_kit *f, uint32_t to);
struct txq_report txq_kit_sack(struct txq_kit *f, uint32_t start, uint32_t end);

#endif
