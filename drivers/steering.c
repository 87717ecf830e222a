#include "drivers/steering.h"

#include <rte_thash.h>
#include <string.h>

#define ETH_BYTES  14u
#define IPV6_BYTES 40u
#define TCP        6u

/* The key of Microsoft's verification suite, which most drivers have by default. */
static const uint8_t usual_key[PORT_RSS_KEY_BYTES] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const uint8_t addr[16])
{
    return memcmp(addr, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static uint32_t word(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

uint32_t steering_hash(const struct steering *steering, const struct port_flow *flow)
{
    uint32_t tuple[9], words = 0; /* source, destination, ports: of the arriving segment */
    unsigned skip = is_v4(flow->remote) ? 12 : 0;
    for (unsigned i = skip; i < 16; i += 4)
        tuple[words++] = word(flow->remote + i);
    for (unsigned i = skip; i < 16; i += 4)
        tuple[words++] = word(flow->local + i);
    tuple[words++] = (uint32_t)flow->remote_port << 16 | flow->local_port;
    return rte_softrss_be(tuple, words, (const uint8_t *)steering->key);
}

static uint32_t queue_of(const struct port_steering *port, const struct port_flow *flow)
{
    const struct steering *steering = container_of(port, struct steering, port);
    if (!(is_v4(flow->remote) ? steering->ipv4 : steering->ipv6))
        return PORT_NO_QUEUE;
    return steering->table[steering_hash(steering, flow) & (steering->table_size - 1u)];
}

void steering_init(struct steering *steering, const uint8_t *key, uint32_t key_bytes, uint32_t queues)
{
    uint32_t raw[STEERING_KEY_MAX / 4] = {0};
    memcpy(raw, key ? key : usual_key, key ? min_u32(key_bytes, STEERING_KEY_MAX) : sizeof(usual_key));
    rte_convert_rss_key(raw, steering->key, sizeof(raw));
    steering->port.queue = queue_of;
    steering->table_size = 128;
    steering->ipv4 = steering->ipv6 = true;
    for (uint32_t i = 0; i < steering->table_size; i++)
        steering->table[i] = (uint16_t)(i % queues);
}

/* ---- frames ---- */

static void take_v4(uint8_t out[16], const uint8_t *at)
{
    memcpy(out, mapped_prefix, sizeof(mapped_prefix));
    memcpy(out + sizeof(mapped_prefix), at, 4);
}

/* Fills the addresses (source, destination) and gives where TCP begins; 0: no whole TCP header of ours to judge. */
static size_t find_tcp(const uint8_t *frame, size_t len, uint8_t addresses[2][16])
{
    const uint8_t *ip = frame + ETH_BYTES;
    unsigned type = len >= ETH_BYTES + 20 ? (unsigned)frame[12] << 8 | frame[13] : 0;
    if (type == 0x0800) {
        bool fragment = ((unsigned)(ip[6] & 0x3f) << 8 | ip[7]) != 0;
        take_v4(addresses[0], ip + 12);
        take_v4(addresses[1], ip + 16);
        return ip[9] == TCP && !fragment ? ETH_BYTES + (ip[0] & 15u) * 4u : 0;
    }
    if (type == 0x86dd && len >= ETH_BYTES + IPV6_BYTES) {
        memcpy(addresses[0], ip + 8, 16);
        memcpy(addresses[1], ip + 24, 16);
        return ip[6] == TCP ? ETH_BYTES + IPV6_BYTES : 0;
    }
    return 0;
}

bool steering_of_frame(const uint8_t *frame, size_t len, uint8_t addresses[2][16], struct port_flow *flow)
{
    size_t at = find_tcp(frame, len, addresses);
    if (at == 0 || at + 4 > len)
        return false;
    *flow = (struct port_flow){
        .remote = addresses[0],
        .local = addresses[1],
        .remote_port = (uint16_t)(frame[at] << 8 | frame[at + 1]),
        .local_port = (uint16_t)(frame[at + 2] << 8 | frame[at + 3]),
    };
    return true;
}
