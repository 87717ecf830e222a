/* asym_dpdk_inside.h: what the set-up and the data path of a cryptodev share.  For drivers/ only. */
#ifndef DRIVERS_ASYM_DPDK_INSIDE_H
#define DRIVERS_ASYM_DPDK_INSIDE_H

#include "drivers/asym_dpdk.h"

#include <rte_cryptodev.h>

#define ASYM_BURST 32u

struct asym_cryptodev;

/* A crypto operation's private part: copies of all numbers, so that they lie in DPDK's memory, and stay there when
 * whoever asked has gone.
 */
struct asym_dpdk_op {
    struct asym_job *job;
    struct asym_job numbers;
    struct rte_crypto_asym_xform xform;
    struct rte_cryptodev_asym_session *session; /* NULL: the device takes the xform with each operation */
    uint8_t y[ASYM_CURVE_BYTES];                /* of a product: nobody asks for it */
};

/* One queue pair. */
struct asym_queue {
    struct asym_cryptodev *dev;
    uint16_t id;
    uint32_t out; /* operations that the device has */
    uint16_t waiting, done, done_at;
    struct rte_crypto_op *wait[ASYM_BURST]; /* for the next look at the device */
    struct rte_crypto_op *came[ASYM_BURST];
};

struct asym_cryptodev {
    uint8_t id;
    bool sessionless, ecdh;
    uint16_t queues, open;
    struct rte_mempool *ops, *sessions;
    char devargs[128];
    struct asym_queue queue[];
};

bool asym_dpdk_submit(void *self, struct asym_job *job) must_check;
struct asym_job *asym_dpdk_poll(void *self);

#endif
