/* parts_port.c: what the port takes for a packet, with no stack above it: the engine's end of a memif pair alone is timed. */
#include "bench/parts.h"

#include "bench/endpoint.h"
#include "bench/histogram.h"
#include "engine/base/lap.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BURST     32u
#define ROUNDS    20000u
#define WAIT_MS   5000u
#define OUT_BYTES 1514u
#define IN_BYTES  66u

/* As many frames as have come; they are read as far as a header. */
static uint32_t take(struct port *port, struct histogram *timed)
{
    struct pkt *pkt[BURST];
    uint64_t from = lap_now();
    uint32_t count = port_receive(port, pkt, BURST, 0);
    for (uint32_t i = 0; i < count; i++)
        pkt_free(pkt[i]);
    if (timed && count == BURST)
        histogram_add(timed, lap_now() - from);
    return count;
}

static uint32_t fill(struct port *port, struct pkt **pkt, uint16_t bytes)
{
    static const uint8_t eth[14] = {0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x88, 0xb5};
    uint32_t count = 0;
    pkt_pool_refresh(port->tx_pool);
    while (count < BURST && (pkt[count] = pkt_alloc(port->tx_pool, PKT_CONTROL)) != NULL) {
        memset(pkt[count]->data, 0x55, bytes);
        memcpy(pkt[count]->data, eth, sizeof(eth));
        pkt[count++]->len = bytes;
    }
    return count;
}

static void send_burst(struct port *port, uint16_t bytes, struct histogram *timed)
{
    struct pkt *pkt[BURST];
    uint32_t count = fill(port, pkt, bytes);
    uint64_t from = lap_now();
    uint32_t sent = port_transmit(port, pkt, count, 0);
    if (timed && sent == BURST)
        histogram_add(timed, lap_now() - from);
    for (uint32_t i = sent; i < count; i++)
        pkt_free(pkt[i]);
}

/* The other end's buffers reach it as it looks for frames: both ends turn until one has passed each way. */
static bool connected(struct port *own, struct port *other)
{
    for (unsigned ms = 0; ms < WAIT_MS; ms++) {
        send_burst(own, OUT_BYTES, NULL);
        send_burst(other, IN_BYTES, NULL);
        uint32_t there = take(other, NULL), here = take(own, NULL);
        if (there && here)
            return true;
        usleep(1000);
    }
    return false;
}

/* The rate of lap_now's counter. */
static double cycles_per_s(void)
{
    struct timespec a, b, nap = {.tv_nsec = 50000000};
    clock_gettime(CLOCK_MONOTONIC, &a);
    uint64_t from = lap_now();
    nanosleep(&nap, NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(lap_now() - from) /
           ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
}

static bool measure(struct port *own, struct port *other, struct parts_port *found, struct error *err)
{
    static struct histogram out,
        in; /* cycles of a burst: the median knows nothing of what else the machine does */
    if (!connected(own, other))
        return error_set(err, "the two ends of a memif pair do not hear each other");
    for (unsigned i = 0; i < ROUNDS; i++) {
        send_burst(own, OUT_BYTES, &out);
        take(other, NULL);
        send_burst(other, IN_BYTES, NULL);
        take(own, &in);
    }
    if (!out.total || !in.total)
        return error_set(err, "no packet passed");
    double hz = cycles_per_s();
    found->transmit_s = (double)histogram_at(&out, 0.5) / hz / BURST;
    found->receive_s = (double)histogram_at(&in, 0.5) / hz / BURST;
    return true;
}

/* A thread of DPDK's takes leave of the other end and does not bear that it is removed, or EAL stopped, meanwhile. */
static void leave(struct port *port)
{
    port_close(port);
    usleep(300000);
}

bool parts_port_measure(struct parts_port *found, const char *socket, bool zero_copy, struct error *err)
{
    char server[192], client[192];
    snprintf(server, sizeof(server), "net_memif0,role=server,socket=%s,socket-abstract=no", socket);
    snprintf(client, sizeof(client), "net_memif1,role=client,socket=%s,socket-abstract=no%s", socket,
             zero_copy ? ",zero-copy=yes" : "");
    struct port *other = endpoint_port(server, 8192, "", ""), *own = endpoint_port(client, 8192, "", "");
    bool ok = measure(own, other, found, err);
    leave(own);
    leave(other);
    return ok;
}
