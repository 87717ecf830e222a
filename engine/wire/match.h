/* match.h: does a frame belong to what is said with one peer?  For captures: it looks, and checks nothing. */
#ifndef ENGINE_WIRE_MATCH_H
#define ENGINE_WIRE_MATCH_H

#include "engine/wire/wire.h"

struct wire_match {
    struct ip_addr peer;
    uint16_t port; /* the peer's; 0: any */
};

/* wire_match: TCP from or to the peer (and its port, where one is given), and ICMP errors from anybody that quote such a
 * segment.  Wrong checksums match: a capture is to show them; so do fragments behind the first, where no port is asked for.
 * len: of what is there of the frame, headers at least.  Bounded by IPV6_CHAIN_MAX extension headers.
 */
bool wire_match(const struct wire_match *match, const uint8_t *frame, size_t len) must_check;

#endif
