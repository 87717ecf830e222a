/* port_pcap.c: a port over a port that writes down what passes: classic pcap, as tcpdump and Wireshark read it. */
#include "drivers/pcap_format.h"
#include "drivers/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FLUSH_US     1000000u
#define BUFFER_BYTES (256u * 1024u)
#define SNAP_BYTES   262144u /* frames of several segments come to 64 kB and their header */

struct pcap_port {
    struct port port;
    struct port *below;
    FILE *file; /* NULL after a write error */
    char *path;
    uint64_t wall_offset_us; /* from the engine's time to the wall clock's */
    uint64_t flushed_us;
};

static struct pcap_port *pcap_of(struct port *port)
{
    return container_of(port, struct pcap_port, port);
}

static uint64_t read_clock_us(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static void give_up(struct pcap_port *pp, int code)
{
    fprintf(stderr, "capture %s: writing: %s; the capture ends here, the port goes on\n", pp->path,
            strerror(code));
    fclose(pp->file);
    pp->file = NULL;
}

static bool write_parts(struct pcap_port *pp, const struct pkt *frame)
{
    for (const struct pkt *p = frame; p; p = p->more)
        if (fwrite(p->data, 1, p->len, pp->file) != p->len)
            return false;
    return true;
}

static void write_frame(struct pcap_port *pp, const struct pkt *frame, uint64_t now_us)
{
    uint32_t bytes = pkt_frame_bytes(frame);
    const struct pcap_frame_header header = pcap_frame_header(now_us + pp->wall_offset_us, bytes, bytes);
    if (fwrite(&header, sizeof(header), 1, pp->file) != 1 || !write_parts(pp, frame))
        give_up(pp, errno);
}

static void write_frames(struct pcap_port *pp, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    for (uint32_t i = 0; i < count && pp->file; i++)
        write_frame(pp, pkt[i], now_us);
}

/* Also from receive, which the loop calls when nothing passes. */
static void flush_at_times(struct pcap_port *pp, uint64_t now_us)
{
    if (!pp->file || now_us - pp->flushed_us < FLUSH_US)
        return;
    pp->flushed_us = now_us;
    if (fflush(pp->file) != 0)
        give_up(pp, errno);
}

static uint32_t pcap_receive(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    struct pcap_port *pp = pcap_of(port);
    port->dropped = pp->below->dropped;
    uint32_t n = port_receive(pp->below, pkt, max, now_us);
    write_frames(pp, pkt, n, now_us);
    flush_at_times(pp, now_us);
    return n;
}

/* Only what the port below has taken is written down; by then it may have freed it, but for our reference. */
static uint32_t pcap_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    struct pcap_port *pp = pcap_of(port);
    struct pkt *kept[PORT_BURST];
    count = min_u32(count, PORT_BURST);
    for (uint32_t i = 0; i < count; i++) {
        kept[i] = pkt[i];
        pkt_frame_ref(pkt[i]);
    }
    uint32_t taken = port_transmit(pp->below, pkt, count, now_us);
    assert(taken <= count);
    write_frames(pp, kept, taken, now_us);
    for (uint32_t i = 0; i < count; i++)
        pkt_frame_free(kept[i]);
    flush_at_times(pp, now_us);
    return taken;
}

static uint64_t pcap_next_deadline(struct port *port)
{
    return port_next_deadline(pcap_of(port)->below);
}

static void free_pcap_port(struct pcap_port *pp)
{
    if (pp->file && fclose(pp->file) != 0)
        fprintf(stderr, "capture %s: writing: %s; its end is missing\n", pp->path, strerror(errno));
    free(pp->path);
    free(pp);
}

static void pcap_close(struct port *port)
{
    struct pcap_port *pp = pcap_of(port);
    struct port *below = pp->below;
    free_pcap_port(pp);
    port_close(below);
}

static const struct port_ops pcap_ops = {
    .receive = pcap_receive,
    .transmit = pcap_transmit,
    .next_deadline = pcap_next_deadline,
    .close = pcap_close,
};

static bool write_file_header(FILE *file)
{
    const struct pcap_file_header header = pcap_file_header();
    return fwrite(&header, sizeof(header), 1, file) == 1 && fflush(file) == 0;
}

struct port *port_pcap_open(struct port *below, const char *path, struct error *err)
{
    struct pcap_port *pp = calloc(1, sizeof(*pp));
    if (!pp || !(pp->path = strdup(path))) {
        free(pp);
        error_set(err, "capture %s: no memory", path);
        return NULL;
    }
    pp->file = fopen(path, "we");
    if (!pp->file || setvbuf(pp->file, NULL, _IOFBF, BUFFER_BYTES) != 0 || !write_file_header(pp->file)) {
        error_set(err, "capture %s: %s; choose a place that can be written", path, strerror(errno));
        free_pcap_port(pp);
        return NULL;
    }
    pp->wall_offset_us = read_clock_us(CLOCK_REALTIME) - read_clock_us(CLOCK_MONOTONIC);
    pp->below = below;
    pp->port = *below;
    pp->port.ops = &pcap_ops;
    return &pp->port;
}
