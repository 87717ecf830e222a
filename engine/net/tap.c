#include "engine/net/tap.h"

#include <string.h>

bool tap_open(struct tap *tap, const struct wire_match *match, struct error *err)
{
    memset(tap, 0, sizeof(*tap));
    tap->match = *match;
    return records_open(&tap->ring, TAP_RING_BYTES, err) || error_prefix(err, "capture");
}

void tap_close(struct tap *tap)
{
    records_close(&tap->ring);
}

const struct tap_frame *tap_first(struct tap *tap)
{
    uint32_t len;
    return (const struct tap_frame *)records_first(&tap->ring, &len);
}

void tap_drop(struct tap *tap)
{
    records_drop(&tap->ring);
}

static void copy_parts(uint8_t *to, uint32_t room, const struct pkt *frame)
{
    for (const struct pkt *p = frame; p && room > 0; p = p->more) {
        uint32_t n = min_u32(p->len, room);
        memcpy(to, p->data, n);
        to += n;
        room -= n;
    }
}

/* The first part of a frame holds its headers. */
void tap_take(struct tap *tap, const struct pkt *frame, uint64_t now_us)
{
    if (!wire_match(&tap->match, frame->data, frame->len))
        return;
    uint32_t length = pkt_frame_bytes(frame), captured = min_u32(length, TAP_SNAP_BYTES);
    uint8_t *room = records_reserve(&tap->ring, (uint32_t)sizeof(struct tap_frame) + captured);
    if (!room) {
        atomic_fetch_add_explicit(&tap->lost, 1, memory_order_relaxed);
        return;
    }
    const struct tap_frame head = {.time_us = now_us, .captured = captured, .length = length};
    memcpy(room, &head, sizeof(head));
    copy_parts(room + sizeof(head), captured, frame);
    records_commit(&tap->ring);
}
