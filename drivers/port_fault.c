/* port_fault.c: a port over a port that loses, doubles, damages, delays and disorders frames, by seed.
 *
 * Each direction has two lines of waiting frames, both in the order in which they leave: the ordinary one, and the one
 * of those that are held back for longer.  Whichever head is due first leaves first.
 */
#include "drivers/port.h"
#include "engine/base/rand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_FRAMES  8192u /* a power of two */
#define ETH_HEADER_BYTES 14u

struct waiting {
    struct pkt *pkt;
    uint64_t leave_us;
};

struct line {
    struct waiting *slot;
    uint32_t head, tail; /* free-running; tail - head in [0, LINE_MAX_FRAMES] */
};

struct direction {
    struct port_faults faults;
    struct port_fault_counts counts;
    struct rand_source rand;
    bool active;
    bool
        received; /* these are the frames from below: their receiver may write to them and link them into lists */
    uint64_t last_leave_us;
    uint64_t busy_until_ns; /* the bottleneck */
    struct line ordinary, held_back;
};

struct fault_port {
    struct port port;
    struct port *below;
    struct direction rx, tx;
    struct pkt *due[PORT_BURST]; /* on their way out, not taken by the port below yet */
    uint32_t due_count;          /* in [0, PORT_BURST] */
};

static struct fault_port *fault_of(const struct port *port)
{
    return container_of(port, struct fault_port, port);
}

/* ---- lines ---- */

static uint64_t line_next_us(const struct line *line)
{
    return line->head == line->tail ? DEADLINE_NEVER : line->slot[line->head % LINE_MAX_FRAMES].leave_us;
}

static struct pkt *line_pop(struct line *line)
{
    return line->slot[line->head++ % LINE_MAX_FRAMES].pkt;
}

static bool line_push(struct line *line, struct pkt *pkt, uint64_t leave_us)
{
    if (line->tail - line->head == LINE_MAX_FRAMES)
        return false;
    line->slot[line->tail++ % LINE_MAX_FRAMES] = (struct waiting){pkt, leave_us};
    return true;
}

static uint64_t direction_next_us(const struct direction *dir)
{
    return min_u64(line_next_us(&dir->ordinary), line_next_us(&dir->held_back));
}

static struct pkt *direction_pop(struct direction *dir, uint64_t now_us)
{
    uint64_t ordinary_us = line_next_us(&dir->ordinary), held_back_us = line_next_us(&dir->held_back);
    if (min_u64(ordinary_us, held_back_us) > now_us)
        return NULL;
    return line_pop(ordinary_us <= held_back_us ? &dir->ordinary : &dir->held_back);
}

/* ---- what is done to one frame ---- */

static void overflow(struct direction *dir, struct pkt *pkt)
{
    dir->counts.overflowed++;
    pkt_frame_free(pkt);
}

/* Waiting frames leave an eighth of the pool they come from to those that follow. */
static bool pool_is_short(struct pkt_pool *pool)
{
    return pool->ops->available(pool) <= pool->capacity / 8;
}

static struct pkt *copy_part(struct pkt_pool *pool, const struct pkt *from)
{
    struct pkt *p =
        pool_is_short(pool) ? NULL : pkt_alloc(pool, PKT_CONTROL); /* the check stands for the reserve */
    if (!p)
        return NULL;
    if (from->len > pkt_tailroom(p)) {
        pkt_free(p);
        return NULL;
    }
    memcpy(p->data, from->data, from->len);
    p->len = from->len;
    p->flags = from->flags;
    p->l2_len = from->l2_len;
    p->l3_len = from->l3_len;
    p->l4_len = from->l4_len;
    p->segment_bytes = from->segment_bytes;
    return p;
}

static struct pkt *copy_of(struct pkt_pool *pool, const struct pkt *frame)
{
    struct pkt *copy = NULL, **link = &copy;
    for (const struct pkt *from = frame; from; from = from->more) {
        *link = copy_part(pool, from);
        if (!*link) {
            pkt_frame_free(copy);
            return NULL;
        }
        link = &(*link)->more;
    }
    return copy;
}

/* When the last bit of a frame has left the bottleneck; DEADLINE_NEVER: the queue before it is full. */
static uint64_t squeeze(struct direction *dir, uint32_t frame_bytes, uint64_t now_us)
{
    const struct port_faults *f = &dir->faults;
    if (f->rate_kbit == 0)
        return now_us;
    uint64_t begins_ns = max_u64(dir->busy_until_ns, now_us * 1000);
    uint64_t queued_bytes = (begins_ns - now_us * 1000) * f->rate_kbit / 8000000u;
    if (queued_bytes + frame_bytes > f->queue_bytes)
        return DEADLINE_NEVER;
    dir->busy_until_ns = begins_ns + (uint64_t)frame_bytes * 8000000u / f->rate_kbit;
    return dir->busy_until_ns / 1000;
}

/* Takes over the frame. */
static void enqueue(struct direction *dir, struct pkt *pkt, uint64_t now_us)
{
    const struct port_faults *f = &dir->faults;
    uint64_t through_us = squeeze(dir, pkt_frame_bytes(pkt), now_us);
    if (through_us == DEADLINE_NEVER) {
        dir->counts.squeezed++;
        pkt_frame_free(pkt);
        return;
    }
    uint64_t jitter_us = f->jitter_us ? rand_below(&dir->rand, f->jitter_us + 1) : 0;
    dir->last_leave_us = max_u64(dir->last_leave_us, through_us + f->delay_us + jitter_us);
    bool reorder = rand_ppm(&dir->rand, f->reorder_ppm);
    struct line *line = reorder ? &dir->held_back : &dir->ordinary;
    uint64_t hold_us = reorder ? f->reorder_us : 0;
    if ((dir->received && pool_is_short(pkt->pool)) || !line_push(line, pkt, dir->last_leave_us + hold_us))
        overflow(dir, pkt);
    else
        dir->counts.reordered += reorder;
}

static bool is_ip(const struct pkt *pkt)
{
    if (pkt->len <= ETH_HEADER_BYTES)
        return false;
    unsigned type = (unsigned)pkt->data[12] << 8 | pkt->data[13];
    return type == 0x0800 || type == 0x86dd;
}

/* The byte at an offset of the frame, which has so many. */
static uint8_t *byte_of(struct pkt *frame, uint32_t offset)
{
    struct pkt *p = frame;
    for (; offset >= p->len; p = p->more)
        offset -= p->len;
    return p->data + offset;
}

/* What somebody else holds is damaged in a copy.  NULL: there was no buffer for one. */
static struct pkt *corrupt(struct fault_port *fp, struct direction *dir, struct pkt *pkt)
{
    if (pkt_shared(pkt)) {
        struct pkt *copy = copy_of(fp->port.tx_pool, pkt);
        if (!copy) {
            overflow(dir, pkt);
            return NULL;
        }
        pkt_frame_free(pkt);
        pkt = copy;
    }
    uint32_t bit = rand_below(&dir->rand, (pkt_frame_bytes(pkt) - ETH_HEADER_BYTES) * 8u);
    *byte_of(pkt, ETH_HEADER_BYTES + bit / 8) ^= (uint8_t)(1u << bit % 8);
    pkt->flags &= (uint16_t)~(PKT_RX_IP_CSUM_OK | PKT_RX_L4_CSUM_OK);
    dir->counts.corrupted++;
    return pkt;
}

static void duplicate(struct fault_port *fp, struct direction *dir, struct pkt *pkt, uint64_t now_us)
{
    struct pkt *twin = pkt;
    if (dir->received)
        twin = copy_of(fp->port.rx_pool, pkt);
    else
        pkt_frame_ref(pkt);
    if (!twin)
        return; /* a duplicate that never was */
    dir->counts.duplicated++;
    enqueue(dir, twin, now_us);
}

/* Takes over the frame. */
static void meet_faults(struct fault_port *fp, struct direction *dir, struct pkt *pkt, uint64_t now_us)
{
    const struct port_faults *f = &dir->faults;
    dir->counts.frames++;
    if (rand_ppm(&dir->rand, f->drop_ppm)) {
        dir->counts.dropped++;
        pkt_frame_free(pkt);
        return;
    }
    if (rand_ppm(&dir->rand, f->corrupt_ppm) && is_ip(pkt)) {
        pkt = corrupt(fp, dir, pkt);
        if (!pkt)
            return;
    }
    if (rand_ppm(&dir->rand, f->duplicate_ppm))
        duplicate(fp, dir, pkt, now_us);
    enqueue(dir, pkt, now_us);
}

/* ---- the port ---- */

/* Gives the port below what is due; what it does not take is first in line next time. */
static void pump(struct fault_port *fp, uint64_t now_us)
{
    do {
        struct pkt *pkt;
        while (fp->due_count < PORT_BURST && (pkt = direction_pop(&fp->tx, now_us)))
            fp->due[fp->due_count++] = pkt;
        if (fp->due_count == 0)
            return;
        uint32_t taken = port_transmit(fp->below, fp->due, fp->due_count, now_us);
        fp->due_count -= taken;
        for (uint32_t i = 0; i < fp->due_count; i++)
            fp->due[i] = fp->due[i + taken];
    } while (fp->due_count == 0);
}

static uint32_t fault_transmit(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    struct fault_port *fp = fault_of(port);
    if (!fp->tx.active)
        return port_transmit(fp->below, pkt, count, now_us);
    for (uint32_t i = 0; i < count; i++)
        meet_faults(fp, &fp->tx, pkt[i], now_us);
    pump(fp, now_us);
    return count;
}

static void pull(struct fault_port *fp, uint64_t now_us)
{
    struct pkt *pkt[PORT_BURST];
    uint32_t n = port_receive(fp->below, pkt, PORT_BURST, now_us);
    for (uint32_t i = 0; i < n; i++)
        meet_faults(fp, &fp->rx, pkt[i], now_us);
}

static uint32_t fault_receive(struct port *port, struct pkt **pkt, uint32_t max, uint64_t now_us)
{
    struct fault_port *fp = fault_of(port);
    port->dropped = fp->below->dropped + fp->rx.counts.overflowed + fp->tx.counts.overflowed;
    if (fp->tx.active)
        pump(fp, now_us);
    if (!fp->rx.active)
        return port_receive(fp->below, pkt, max, now_us);
    pull(fp, now_us);
    uint32_t n = 0;
    while (n < max && (pkt[n] = direction_pop(&fp->rx, now_us)))
        n++;
    return n;
}

static uint64_t fault_next_deadline(struct port *port)
{
    struct fault_port *fp = fault_of(port);
    uint64_t own_us = min_u64(direction_next_us(&fp->rx), fp->due_count ? 0 : direction_next_us(&fp->tx));
    return min_u64(own_us, port_next_deadline(fp->below));
}

static void close_direction(struct direction *dir)
{
    struct pkt *pkt;
    while (dir->ordinary.slot && dir->held_back.slot && (pkt = direction_pop(dir, DEADLINE_NEVER - 1)))
        pkt_frame_free(pkt);
    free(dir->ordinary.slot);
    free(dir->held_back.slot);
}

static void free_fault_port(struct fault_port *fp)
{
    for (uint32_t i = 0; i < fp->due_count; i++)
        pkt_frame_free(fp->due[i]);
    close_direction(&fp->rx);
    close_direction(&fp->tx);
    free(fp);
}

static void fault_close(struct port *port)
{
    struct fault_port *fp = fault_of(port);
    struct port *below = fp->below;
    free_fault_port(fp);
    port_close(below);
}

static const struct port_ops fault_ops = {
    .receive = fault_receive,
    .transmit = fault_transmit,
    .next_deadline = fault_next_deadline,
    .close = fault_close,
};

static bool open_direction(struct direction *dir, const struct port_faults *faults, bool received)
{
    const struct port_faults *f = faults;
    dir->faults = *faults;
    dir->received = received;
    dir->active = f->drop_ppm || f->duplicate_ppm || f->reorder_ppm || f->corrupt_ppm || f->delay_us ||
                  f->jitter_us || f->rate_kbit;
    if (dir->faults.reorder_us == 0)
        dir->faults.reorder_us = PORT_FAULT_REORDER_US;
    if (dir->faults.queue_bytes == 0)
        dir->faults.queue_bytes = PORT_FAULT_QUEUE_BYTES;
    rand_seed(&dir->rand, faults->seed);
    dir->ordinary.slot = calloc(LINE_MAX_FRAMES, sizeof(struct waiting));
    dir->held_back.slot = calloc(LINE_MAX_FRAMES, sizeof(struct waiting));
    return dir->ordinary.slot && dir->held_back.slot;
}

struct port *port_fault_open(struct port *below, const struct port_faults *rx, const struct port_faults *tx,
                             struct error *err)
{
    struct fault_port *fp = calloc(1, sizeof(*fp));
    if (!fp || !open_direction(&fp->rx, rx, true) || !open_direction(&fp->tx, tx, false)) {
        if (fp)
            free_fault_port(fp);
        error_set(err, "port %s: no memory for faults", below->name);
        return NULL;
    }
    fp->below = below;
    fp->port = *below;
    fp->port.ops = &fault_ops;
    if (tx->corrupt_ppm) /* or the port would put a right checksum on a damaged packet */
        fp->port.offloads &=
            ~(uint32_t)(PORT_OFFLOAD_TX_IP_CSUM | PORT_OFFLOAD_TX_TCP_CSUM | PORT_OFFLOAD_TSO);
    if (tx->rate_kbit) /* a bottleneck takes one packet after the other, not 64 kB at once */
        fp->port.offloads &= ~(uint32_t)PORT_OFFLOAD_TSO;
    return &fp->port;
}

void port_fault_counts(const struct port *port, struct port_fault_counts *rx, struct port_fault_counts *tx)
{
    assert(port->ops == &fault_ops);
    *rx = fault_of(port)->rx.counts;
    *tx = fault_of(port)->tx.counts;
}
