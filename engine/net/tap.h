/* tap.h: copies of one peer's frames for `hardline capture`, from a core that must not wait to a thread that asked.
 *
 * A core without a tap pays one branch a received frame and one a burst sent.  With one it looks at every frame's headers
 * (wire/match.h) and copies those that match into a ring; without room there the frame is counted as lost, not waited with.
 *
 * Threads: tap_open, tap_first, tap_drop and tap_close are the reader's; net_tap and what net does are the core's.
 */
#ifndef ENGINE_NET_TAP_H
#define ENGINE_NET_TAP_H

#include "engine/base/pkt.h"
#include "engine/base/records.h"
#include "engine/wire/match.h"

#define TAP_RING_BYTES (1u << 20)
#define TAP_SNAP_BYTES 65535u /* of a frame; what TSO sends fits */

struct tap {
    struct wire_match match;
    struct records ring;
    _Atomic uint64_t lost; /* frames for which there was no room */
    _Atomic bool begun;    /* the core shows its frames */
    _Atomic bool ended;    /* the reader wants no more */
    _Atomic bool released; /* the core does not know it any more */
    uint32_t sent_seen;    /* the core's: up to where of its queue to the port it has looked */
};

struct tap_frame {
    uint64_t time_us;          /* the core's: monotonic */
    uint32_t captured, length; /* bytes that are here, bytes of the frame */
    uint8_t bytes[];
};

bool tap_open(struct tap *tap, const struct wire_match *match, struct error *err) must_check;
void tap_close(struct tap *tap);

/* tap_first gives the oldest frame, NULL when there is none; it stays until tap_drop. */
const struct tap_frame *tap_first(struct tap *tap);
void tap_drop(struct tap *tap);

/* tap_take copies the frame if it matches. */
void tap_take(struct tap *tap, const struct pkt *frame, uint64_t now_us);

struct net;

/* net_tap shows this core's frames to the tap from now on, both ways, each once; NULL: no more. */
void net_tap(struct net *net, struct tap *tap);

#endif
