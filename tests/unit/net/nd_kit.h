/* nd_kit.h: a net with an IPv6 address among neighbours of the test's own. */
#ifndef TESTS_UNIT_NET_ND_KIT_H
#define TESTS_UNIT_NET_ND_KIT_H

#include "tests/unit/net/world.h"

#define FLOW   42u
#define OURS   "2001:db8::1"
#define OURS_G "ff02::1:ff00:1" /* its solicited-node group */
#define PEER   "2001:db8::9"

static const struct mac_addr other_mac = {{0x02, 0, 0, 0, 0xbb, 0xbb}};

/* nd_send has a segment to be sent there, of one flow. */
void nd_send(struct world *w, const char *remote);

/* An advertisement that was asked for and overrides; what stands in it is the test's to change. */
struct nd nd_advert(const char *target, const struct mac_addr *mac);
void nd_give(struct world *w, const char *src, const char *dst, const struct nd *nd);

/* nd_answer gives an advertisement to the link-local address that asked. */
void nd_answer(struct world *w, const char *target, const struct mac_addr *mac);

/* Asserts that nothing more has been sent. */
void nd_silence(struct world *w);
void nd_assert_addr(const struct ip_addr *a, const char *text);

#endif
