/* steering_check.c: is what we foretell of a flow's queue true?  Asked at start, of our hash and of a device's answers. */
#include "drivers/steering.h"

#include <string.h>

#define TRIES_PER_QUEUE 4096u
#define SAMPLE_PORT     1024u

struct sample {
    uint8_t remote[16], local[16];
    uint16_t remote_port, local_port;
    uint32_t hash;
};

#define V4(a, b, c, d) {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}

/* Microsoft, "Verifying the RSS Hash Calculation": the columns "with TCP". */
static const struct sample published[] = {
    {V4(66, 9, 149, 187), V4(161, 142, 100, 80), 2794, 1766, 0x51ccc178},
    {V4(199, 92, 111, 2), V4(65, 69, 140, 83), 14230, 4739, 0xc626b0ea},
    {V4(24, 19, 198, 95), V4(12, 22, 207, 184), 12898, 38024, 0x5c2b394a},
    {V4(38, 27, 205, 30), V4(209, 142, 163, 6), 48228, 2217, 0xafc7327f},
    {V4(153, 39, 163, 191), V4(202, 188, 127, 2), 44251, 1303, 0x10e828a2},
    {{0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7},
     {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1},
     2794,
     1766,
     0x40207d3d},
    {{0x3f, 0xfe, 0x05, 0x01, 0x00, 0x08, 0, 0, 0x02, 0x60, 0x97, 0xff, 0xfe, 0x40, 0xef, 0xab},
     {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
     14230,
     4739,
     0xdde51bbf},
    {{0x3f, 0xfe, 0x19, 0x00, 0x45, 0x45, 0x00, 0x03, 0x02, 0x00, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf},
     {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf},
     44251,
     38024,
     0x02d1feef},
};

static struct port_flow flow_of(const struct sample *sample)
{
    return (struct port_flow){.local = sample->local,
                              .remote = sample->remote,
                              .local_port = sample->local_port,
                              .remote_port = sample->remote_port};
}

bool steering_self_test(struct error *err)
{
    struct steering steering;
    steering_init(&steering, NULL, 0, 2);
    for (size_t i = 0; i < ARRAY_LEN(published); i++) {
        const struct port_flow flow = flow_of(&published[i]);
        uint32_t hash = steering_hash(&steering, &flow);
        if (hash != published[i].hash)
            return error_set(err,
                             "the RSS hash of published vector %zu is %08x here and ought to be %08x: this "
                             "build or its DPDK is broken, install it anew",
                             i + 1, hash, published[i].hash);
    }
    return true;
}

/* ---- the hash once more, straight from its definition ---- */

/* 32 bits of the key from bit number at on. */
static uint32_t key_window(const uint8_t *key, unsigned at)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < 5; i++)
        bits = bits << 8 | key[at / 8 + i];
    return (uint32_t)(bits >> (8 - at % 8));
}

static uint32_t add_bytes(uint32_t hash, const uint8_t *key, unsigned *bit, const uint8_t *bytes,
                          unsigned count)
{
    for (unsigned i = 0; i < count * 8; i++, (*bit)++)
        if (bytes[i / 8] & 0x80u >> i % 8)
            hash ^= key_window(key, *bit);
    return hash;
}

/* Source, destination and ports of the arriving segment; an IPv4 address is the last four of its sixteen bytes. */
static uint32_t toeplitz(const uint8_t key[PORT_RSS_KEY_BYTES], const struct port_flow *flow, bool v4)
{
    unsigned bit = 0, skip = v4 ? 12 : 0;
    const uint8_t ports[4] = {(uint8_t)(flow->remote_port >> 8), (uint8_t)flow->remote_port,
                              (uint8_t)(flow->local_port >> 8), (uint8_t)flow->local_port};
    uint32_t hash = add_bytes(0, key, &bit, flow->remote + skip, 16 - skip);
    hash = add_bytes(hash, key, &bit, flow->local + skip, 16 - skip);
    return add_bytes(hash, key, &bit, ports, sizeof(ports));
}

/* ---- a device's key and table ---- */

static bool check_table(const struct steering *steering, uint32_t queues, struct error *err)
{
    bool seen[STEERING_TABLE_MAX] = {false};
    for (uint32_t i = 0; i < steering->table_size; i++) {
        if (steering->table[i] >= queues)
            return error_set(err, "its table names queue %u in entry %u, and there are %u",
                             steering->table[i], i, queues);
        seen[steering->table[i]] = true;
    }
    for (uint32_t q = 0; q < queues && q < STEERING_TABLE_MAX; q++)
        if (!seen[q])
            return error_set(err, "its table leads no flow to queue %u", q);
    return true;
}

static bool check_key(const uint8_t *key, uint32_t key_bytes, struct error *err)
{
    static const uint8_t none[PORT_RSS_KEY_BYTES];
    if (key_bytes < PORT_RSS_KEY_BYTES)
        return error_set(err, "its key has %u bytes, and flows of IPv6 take %u", key_bytes,
                         PORT_RSS_KEY_BYTES);
    return memcmp(key, none, sizeof(none)) != 0 || error_set(err, "its key is all zero");
}

/* A port is chosen for each queue as for a connection; the table has to name the queue by the hash of the definition. */
static bool check_flow(const struct steering *steering, const uint8_t *key, const struct sample *sample,
                       bool v4, uint32_t queue, struct error *err)
{
    struct port_flow flow = flow_of(sample);
    for (uint32_t n = 0; n < TRIES_PER_QUEUE; n++) {
        flow.local_port = (uint16_t)(SAMPLE_PORT + n);
        if (steering->port.queue(&steering->port, &flow) != queue)
            continue;
        uint32_t named = steering->table[toeplitz(key, &flow, v4) & (steering->table_size - 1u)];
        return named == queue ||
               error_set(
                   err,
                   "a flow from port %u was foretold for queue %u, and by its key and table it arrives at queue %u",
                   flow.local_port, queue, named);
    }
    return error_set(err, "none of %u source ports leads to queue %u", TRIES_PER_QUEUE, queue);
}

bool steering_check(const struct steering *steering, const uint8_t *key, uint32_t key_bytes, uint32_t queues,
                    struct error *err)
{
    if (!check_key(key, key_bytes, err) || !check_table(steering, queues, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(published); i++) {
        bool v4 = published[i].remote[10] == 0xff && published[i].remote[11] == 0xff;
        for (uint32_t q = 0; (v4 ? steering->ipv4 : steering->ipv6) && q < queues; q++)
            if (!check_flow(steering, key, &published[i], v4, q, err))
                return false;
    }
    return true;
}
