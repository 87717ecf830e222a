/* bridge.c: a wire with faults: frames of one DPDK port leave by the other, each direction with its own faults.
 *
 *     bridge DEVARGS_A DEVARGS_B FAULTS_A_TO_B FAULTS_B_TO_A
 *
 * The same wire for every TCP that is compared over it.
 */
#include "bench/endpoint.h"

#include "engine/base/clock.h"

#include <stdio.h>

#define BUFFERS 32768u
#define IDLE_US 30u

static uint32_t carry(struct port *from, struct port *to, uint64_t now_us)
{
    struct pkt *pkt[PORT_BURST];
    uint32_t count = port_receive(from, pkt, PORT_BURST, now_us);
    uint32_t sent = 0;
    while (sent < count) {
        uint32_t took = port_transmit(to, pkt + sent, count - sent, now_us);
        if (took == 0)
            break;
        sent += took;
    }
    for (uint32_t i = sent; i < count; i++)
        pkt_free(pkt[i]);
    return count;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: bridge DEVARGS_A DEVARGS_B FAULTS_A_TO_B FAULTS_B_TO_A\n");
        return 2;
    }
    endpoint_start("bridge", 400);
    struct port *a = endpoint_port(argv[1], BUFFERS, argv[3], "");
    struct port *b = endpoint_port(argv[2], BUFFERS, argv[4], "");
    printf("ready\n");
    fflush(stdout);
    while (!atomic_load(&endpoint_stopping)) {
        uint64_t now_us = clock_now_us();
        if (carry(a, b, now_us) + carry(b, a, now_us) == 0)
            endpoint_nap(min_u64(port_next_deadline(a), port_next_deadline(b)), IDLE_US);
    }
    struct port_fault_counts ab = {0}, ba = {0}, none;
    if (*argv[3])
        port_fault_counts(a, &ab, &none);
    if (*argv[4])
        port_fault_counts(b, &ba, &none);
    printf("{\"a_to_b\": {\"frames\": %llu, \"dropped\": %llu, \"overflowed\": %llu}, "
           "\"b_to_a\": {\"frames\": %llu, \"dropped\": %llu, \"overflowed\": %llu}}\n",
           (unsigned long long)ab.frames, (unsigned long long)ab.dropped, (unsigned long long)ab.overflowed,
           (unsigned long long)ba.frames, (unsigned long long)ba.dropped, (unsigned long long)ba.overflowed);
    return 0;
}
