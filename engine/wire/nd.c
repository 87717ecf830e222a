/* nd.c: neighbour solicitations and advertisements (RFC 4861). */
#include "engine/wire/wire.h"

enum {
    OPTION_SOURCE_MAC = 1,
    OPTION_TARGET_MAC = 2,
};
#define OPTION_MAC_BYTES 8u /* RFC 2464 section 6: one unit of eight bytes */

#define FLAG_SOLICITED 0x40000000u
#define FLAG_OVERRIDE  0x20000000u

/* Every turn takes at least eight bytes, so the loop ends.  RFC 4861 section 4.6: an option of length zero makes the
 * packet invalid; options that are not known are ignored.
 */
static bool parse_options(struct nd *nd, struct bytes_in *in)
{
    uint8_t wanted = nd->type == ND_SOLICIT ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC;
    while (bytes_left(in) > 0) {
        uint8_t kind = bytes_u8(in);
        size_t len = bytes_u8(in) * 8u;
        const uint8_t *body = len ? bytes_take(in, len - 2) : NULL;
        if (!body)
            return false;
        if (kind == wanted && len == OPTION_MAC_BYTES) {
            nd->has_mac = true;
            memcpy(nd->mac.b, body, sizeof(nd->mac.b));
        }
    }
    return true;
}

/* RFC 4861 section 7.1.1: a question of somebody who has no address yet. */
static bool anonymous_solicitation_is_valid(const struct nd *nd, const struct ip_header *ip)
{
    struct ip_addr group = ip_solicited_node(&nd->target);
    return ip_equal(&ip->dst, &group) && !nd->has_mac;
}

bool nd_parse(struct nd *nd, const struct ip_header *ip, const uint8_t *data, size_t len)
{
    struct icmp icmp;
    if (ip->ttl != ND_HOP_LIMIT || !icmp6_parse(&icmp, ip, data, len) || icmp.kind != ICMP_NEIGHBOUR ||
        icmp.code != 0)
        return false;
    struct bytes_in in = bytes_in(data + 4, len - 4);
    uint32_t flags = bytes_be32(&in);
    const uint8_t *target = bytes_take(&in, sizeof(nd->target.b));
    *nd = (struct nd){.type = icmp.type};
    if (!target)
        return false;
    memcpy(nd->target.b, target, sizeof(nd->target.b));
    if (ip_is_multicast(&nd->target) || ip_is_v4(&nd->target) || !parse_options(nd, &in))
        return false;
    bool anonymous = ip_is_unspecified(&ip->src);
    if (nd->type == ND_SOLICIT)
        return !anonymous || anonymous_solicitation_is_valid(nd, ip);
    nd->solicited = flags & FLAG_SOLICITED;
    nd->override = flags & FLAG_OVERRIDE;
    return !anonymous && !(nd->solicited && ip_is_multicast(&ip->dst)); /* section 7.1.2 */
}

size_t nd_emit(uint8_t out[static ND_BYTES], const struct nd *nd, const struct ip_addr *src,
               const struct ip_addr *dst)
{
    struct bytes_out o = bytes_out(out, ND_BYTES);
    bytes_put_u8(&o, nd->type);
    bytes_put_u8(&o, 0);
    bytes_put_be16(&o, 0); /* checksum */
    bytes_put_be32(&o, (nd->solicited ? FLAG_SOLICITED : 0) | (nd->override ? FLAG_OVERRIDE : 0));
    bytes_put(&o, nd->target.b, sizeof(nd->target.b));
    if (nd->has_mac) {
        bytes_put_u8(&o, nd->type == ND_SOLICIT ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC);
        bytes_put_u8(&o, 1);
        bytes_put(&o, nd->mac.b, sizeof(nd->mac.b));
    }
    icmp6_set_checksum(out, bytes_written(&o), src, dst);
    return bytes_written(&o);
}
