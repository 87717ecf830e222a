/* punycode.h: a U-label to an A-label (RFC 3492, RFC 5890).  Maps nothing: U-labels come normalised. */
#ifndef ENGINE_RING_PUNYCODE_H
#define ENGINE_RING_PUNYCODE_H

#include "engine/base/bytes.h"

/* ring_punycode_label writes "xn--..." of a label in valid UTF-8; returns its bytes, 0 when it takes more than cap
 * (or than a label's 63).
 */
size_t ring_punycode_label(struct span label, char *out, size_t cap);

#endif
