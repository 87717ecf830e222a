/* batch_device.h: operations of a batch that a device computes meanwhile: an OpenSSL engine, a DPDK cryptodev.
 *
 * Each goes to the device at once and alone; in flight the device has a copy.  What it does not take, gets
 * wrong or does not answer in time goes on to libcrypto, so that an operation's owner never waits for a device
 * that has gone, and a device may answer when nobody asks any more.
 */
#ifndef CRYPTO_BATCH_DEVICE_H
#define CRYPTO_BATCH_DEVICE_H

#include "crypto/batch.h"
#include "engine/base/asym.h"
#include "engine/base/pool.h"

#include <openssl/ec.h>

#define DEVICE_STRIKES 8u                    /* so many failures and none good between: the device rests */
#define DEVICE_REST_US (10u * 1000u * 1000u) /* then it is tried again */

struct batch_device {
    struct asym_device asym; /* submit NULL: there is none */
    struct pool flights;
    struct list flying; /* flights whose operation still waits, oldest first */
    uint32_t out;       /* operations among these */
    uint32_t strikes;
    uint64_t lost_us, now_us, rest_until_us;
    EC_GROUP *p256, *p384; /* to look at peers' points */
    EC_POINT *p256_point, *p384_point;
};

/* batch_device_open takes over the device, which is closed with the batch.
 *   flights  operations that can be in there together, those included that were given up
 */
bool batch_device_open(struct batch *batch, const struct asym_device *asym, uint32_t flights,
                       uint64_t lost_us, struct error *err) must_check;
void batch_device_close(struct batch *batch); /* behind it there is none */

/* batch_device_put: false when the operation is not for the device, or not now. */
bool batch_device_put(struct batch *batch, struct batch_op *op, uint64_t now_us) must_check;

/* batch_device_poll moves what has come back to the ready list; _overdue also what did not in time. */
void batch_device_poll(struct batch *batch);
void batch_device_overdue(struct batch *batch, uint64_t now_us);
uint64_t batch_device_deadline(const struct batch *batch);

/* batch_device_drop: all that is in flight is wiped and taken back, as by batch_done. */
void batch_device_drop(struct batch *batch);

/* batch_device_forgo: the operation's owner cannot wait for the device; libcrypto computes it, and it is ready. */
void batch_device_forgo(struct batch *batch, struct batch_op *op);

/* batch_device_has: the device may be given operations of the kind. */
bool batch_device_has(const struct batch *batch, enum batch_kind kind) must_check;

/* batch_device_spare: it is given no more operations of the kind. */
void batch_device_spare(struct batch *batch, enum batch_kind kind);

/* batch_device_forget: the operation's owner has gone. */
void batch_device_forget(struct batch *batch, struct batch_op *op);

#endif
