#include "tests/unit/crypto/exchanges.h"

#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/cmocka.h"

struct batch_op *exchanges_put_peer(struct batch *b, unsigned spoil, uint64_t now_us)
{
    struct batch_pair own;
    assert_true(batch_pair_take(b, BATCH_P256, &own));
    struct batch_pair peer = own;
    peer.point[64] ^= (uint8_t)spoil;
    return batch_derive(b, BATCH_P256, &own, (struct span){peer.point, 65}, NULL, now_us);
}

struct batch_op *exchanges_put(struct batch *b, uint64_t now_us)
{
    return exchanges_put_peer(b, 0, now_us);
}

unsigned exchanges_take(struct batch *b)
{
    unsigned n = 0;
    for (struct batch_op *op; (op = batch_ready(b)); n++) {
        uint8_t shared[BATCH_SECRET_BYTES];
        assert_int_equal(op->result, BATCH_GOOD);
        assert_true(
            kit_evp_derive(BATCH_P256, &op->exchange.own, (struct span){op->exchange.peer, 65}, shared));
        assert_memory_equal(op->exchange.shared, shared, 32);
        batch_done(b, op);
    }
    return n;
}
