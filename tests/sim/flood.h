/* flood.h: hostile frames of a stranger who knows addresses and ports of a flow, and none of its numbers. */
#ifndef TESTS_SIM_FLOOD_H
#define TESTS_SIM_FLOOD_H

#include "drivers/port.h"
#include "engine/base/rand.h"
#include "engine/net/net.h"

enum flood { FLOOD_NONE, FLOOD_SYN, FLOOD_RST, FLOOD_ACK, FLOOD_ICMP, FLOOD_COUNT };

extern const char *const flood_names[FLOOD_COUNT];

struct flooder {
    struct port *from; /* frames leave here */
    struct mac_addr to;
    enum flood kind;
    struct rand_source rand;
    uint64_t sent;
};

/* flood_send sends one frame against the end of a flow that key describes from its own side.  A SYN comes from anywhere; of
 * the others every second one is for the flow, with numbers by chance, and the rest from anywhere.
 */
void flood_send(struct flooder *flooder, const struct flow_key *victim, uint64_t now_us);

#endif
