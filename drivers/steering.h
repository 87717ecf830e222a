/* steering.h: the Toeplitz hash of receive side scaling, over the key and table that a device has or that we choose. */
#ifndef DRIVERS_STEERING_H
#define DRIVERS_STEERING_H

#include "drivers/port.h"

#define STEERING_KEY_MAX   64u /* bytes; 40 cover IPv6 with ports */
#define STEERING_TABLE_MAX 2048u

struct steering {
    struct port_steering port;
    uint32_t key[STEERING_KEY_MAX / 4]; /* as rte_softrss_be wants it */
    uint16_t table_size;                /* a power of two */
    bool ipv4, ipv6;                    /* what is hashed with ports */
    uint16_t table[STEERING_TABLE_MAX]; /* queue */
};

/* steering_init takes a key of at least PORT_RSS_KEY_BYTES and spreads the table evenly; key NULL: the usual one. */
void steering_init(struct steering *steering, const uint8_t *key, uint32_t key_bytes, uint32_t queues);

/* steering_hash: the hash alone, for tests against published vectors. */
uint32_t steering_hash(const struct steering *steering, const struct port_flow *flow);

/* steering_self_test holds our hash against the vectors that Microsoft published for IPv4 and IPv6 with ports.  False: no
 * flow's queue can be foretold by this program.
 */
bool steering_self_test(struct error *err) must_check;

/* steering_check asks whether what steering foretells follows from the key (key_bytes of it) and the table: by a second
 * implementation of the hash, for source ports that are chosen for each of the queues, IPv4 and IPv6.  False: err says what of
 * the device's answers does not fit, to follow "the device's RSS: ".
 */
bool steering_check(const struct steering *steering, const uint8_t *key, uint32_t key_bytes, uint32_t queues,
                    struct error *err) must_check;

/* steering_of_frame reads the flow of an Ethernet frame with TCP; false for all else, fragments included. */
bool steering_of_frame(const uint8_t *frame, size_t len, uint8_t addresses[2][16], struct port_flow *flow);

#endif
