/* bench/endpoint.h: what the small programs of this folder have in common: EAL, one DPDK port, the end by signal. */
#ifndef BENCH_ENDPOINT_H
#define BENCH_ENDPOINT_H

#include "bench/stack.h"

#include <stdatomic.h>

extern atomic_bool endpoint_stopping; /* SIGTERM or SIGINT came */

/* endpoint_start starts EAL with memory_mb of ordinary pages (huge ones are for the engine) and handles the signals; exits
 * with a message on failure.
 */
void endpoint_start(const char *program, uint32_t memory_mb);

/* endpoint_start_on does the same, with huge pages where it is told so and there are enough. */
void endpoint_start_on(const char *program, uint32_t memory_mb, bool huge);

/* endpoint_pin keeps this thread on a CPU; -1: any; exits with a message on failure. */
void endpoint_pin(int cpu);

/* endpoint_port opens a device with one queue pair, faults around it ("" for none); exits with a message on failure. */
struct port *endpoint_port(const char *devargs, uint32_t buffers, const char *rx_faults,
                           const char *tx_faults);

/* endpoint_missed: what that device has not taken: port_dpdk_missed. */
uint64_t endpoint_missed(void);

/* endpoint_address reads "ADDRESS/PREFIX" into a network configuration with an on-link route; exits on failure. */
void endpoint_address(struct net_config *net, const char *text);

/* endpoint_nap sleeps until the deadline, idle_us at the most. */
void endpoint_nap(uint64_t deadline_us, uint32_t idle_us);

void endpoint_fail(const char *what, const char *why) __attribute__((noreturn));

#endif
