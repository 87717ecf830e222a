/* link.c: Ethernet II and ARP (RFC 894, RFC 826). */
#include "engine/wire/wire.h"

#define ARP_HARDWARE_ETHERNET 1u

static struct mac_addr take_mac(struct bytes_in *in)
{
    struct mac_addr mac = {{0}};
    const uint8_t *p = bytes_take(in, sizeof(mac.b));
    if (p)
        memcpy(mac.b, p, sizeof(mac.b));
    return mac;
}

static struct ip_addr take_v4(struct bytes_in *in)
{
    const uint8_t *p = bytes_take(in, 4);
    return p ? ip_from_v4(p) : (struct ip_addr){{0}};
}

bool eth_parse(struct eth_header *eth, const uint8_t *frame, size_t len)
{
    struct bytes_in in = bytes_in(frame, len);
    eth->dst = take_mac(&in);
    eth->src = take_mac(&in);
    eth->type = bytes_be16(&in);
    return !in.failed;
}

void eth_emit(uint8_t out[static ETH_HEADER_BYTES], const struct eth_header *eth)
{
    struct bytes_out o = bytes_out(out, ETH_HEADER_BYTES);
    bytes_put(&o, eth->dst.b, sizeof(eth->dst.b));
    bytes_put(&o, eth->src.b, sizeof(eth->src.b));
    bytes_put_be16(&o, eth->type);
}

bool arp_parse(struct arp *arp, const uint8_t *data, size_t len)
{
    struct bytes_in in = bytes_in(data, len);
    bool ethernet_ipv4 = bytes_be16(&in) == ARP_HARDWARE_ETHERNET;
    ethernet_ipv4 &= bytes_be16(&in) == ETH_TYPE_IPV4;
    ethernet_ipv4 &= bytes_u8(&in) == 6;
    ethernet_ipv4 &= bytes_u8(&in) == 4;
    arp->op = bytes_be16(&in);
    arp->sender_mac = take_mac(&in);
    arp->sender_ip = take_v4(&in);
    arp->target_mac = take_mac(&in);
    arp->target_ip = take_v4(&in);
    return !in.failed && ethernet_ipv4 && (arp->op == ARP_REQUEST || arp->op == ARP_REPLY);
}

void arp_emit(uint8_t out[static ARP_BYTES], const struct arp *arp)
{
    struct bytes_out o = bytes_out(out, ARP_BYTES);
    bytes_put_be16(&o, ARP_HARDWARE_ETHERNET);
    bytes_put_be16(&o, ETH_TYPE_IPV4);
    bytes_put_u8(&o, 6);
    bytes_put_u8(&o, 4);
    bytes_put_be16(&o, arp->op);
    bytes_put(&o, arp->sender_mac.b, 6);
    bytes_put(&o, arp->sender_ip.b + 12, 4);
    bytes_put(&o, arp->target_mac.b, 6);
    bytes_put(&o, arp->target_ip.b + 12, 4);
}
