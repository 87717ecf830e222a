/* names.h: what an envelope may hold, judged the same way at both ends: the library, for a clear message to the
 * caller, and the engine, because it believes nobody.
 *
 * No state, no allocation; any thread.
 */
#ifndef ENGINE_RING_NAMES_H
#define ENGINE_RING_NAMES_H

#include "engine/base/bytes.h"
#include "engine/ring/layout.h"

/* A destination in the one spelling that is compared and hashed: lower-case A-labels, or "[192.0.2.1]",
 * "[ipv6:2001:db8::1]".
 */
struct ring_name {
    char text[RING_DOMAIN_MAX + 3]; /* NUL-terminated */
    uint8_t bytes;                  /* without the NUL */
};

/* All of these return NULL when the text may pass, otherwise what is wrong with it, to stand behind its name: "has a
 * space, a control character or an angle bracket in it".  domain and port are then undefined.
 */
const char *ring_check_domain(struct span text, bool utf8, struct ring_name *domain);
const char *ring_check_local(struct span text, bool utf8); /* what stands in front of the @ */
const char *ring_check_address(struct span text, bool utf8, struct ring_name *domain);
const char *ring_check_next_hop(struct span text, struct ring_name *host, uint16_t *port);
const char *ring_check_dsn(struct span text); /* "NOTIFY=... ORCPT=...", in any order */
const char *ring_check_tag(struct span text);

/* An address that may pass, to be compared with the next one: bulk mail has one sender for many messages.  All 0: none. */
struct ring_known {
    uint8_t bytes;
    bool utf8;
    uint8_t text[RING_ADDRESS_MAX];
};

/* ring_check_known is ring_check_address for who does not need the domain; one that may pass becomes the known one. */
const char *ring_check_unknown(struct ring_known *known, struct span text, bool utf8);

static inline const char *ring_check_known(struct ring_known *known, struct span text, bool utf8)
{
    bool same = text.len && text.len == known->bytes && utf8 == known->utf8 &&
                bytes_same(text.data, known->text, text.len);
    return likely(same) ? NULL : ring_check_unknown(known, text, utf8);
}

/* ring_lane_of picks the lane of a destination. */
uint32_t ring_lane_of(const struct ring_name *domain, uint64_t seed, uint32_t lanes);

/* ring_utf8_valid: RFC 3629, no surrogates, nothing over-long. */
bool ring_utf8_valid(struct span text);

#endif
