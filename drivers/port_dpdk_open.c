/* port_dpdk_open.c: probing a device, setting up its queue pairs and taking it down again. */
#include "drivers/port_dpdk.h"
#include "drivers/dpdk_check.h"
#include "drivers/dpdk_log.h"
#include "drivers/pool_dpdk.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RSS_TYPES            (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP)
#define RX_CSUM              (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)
#define TSO                  (RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_TCP_CKSUM)
#define TSO_PARTS_MAX        128u
#define FRAME_OVERHEAD_BYTES (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN)
#define DATA_BYTES_MIN       2048u /* drivers with pages of their own want no less */

static bool refused(const struct dpdk_device *dev, const char *what, int code, struct error *err)
{
    char why[256];
    return error_set(err, "port %s: %s: %s (%s)", dev->devargs, what, rte_strerror(-code),
                     dpdk_log_complaint(why, sizeof(why)));
}

/* ---- probing ---- */

static bool find_ethdev(struct dpdk_device *dev)
{
    struct rte_dev_iterator iterator;
    uint16_t id;
    bool found = false;
    RTE_ETH_FOREACH_MATCHING_DEV(id, dev->devargs, &iterator)
    {
        dev->id = id;
        found = true;
        rte_eth_iterator_cleanup(&iterator);
        break;
    }
    return found;
}

static bool take_possession(const struct dpdk_device *dev, struct error *err)
{
    struct rte_eth_dev_owner owner = {.name = "hardline"};
    if (rte_eth_dev_owner_new(&owner.id) == 0 && rte_eth_dev_owner_set(dev->id, &owner) == 0)
        return true;
    return error_set(err, "port %s: the device is in use already: give each port a device of its own",
                     dev->devargs);
}

static bool probe(struct dpdk_device *dev, struct error *err)
{
    if (!dpdk_check_device(dev->devargs, err))
        return false;
    dpdk_log_forget();
    int rc = rte_dev_probe(dev->devargs); /* succeeds for one that was probed before, too */
    if (rc < 0)
        return refused(
            dev, geteuid() == 0 ? "no driver took the device" : "no driver took the device, start as root",
            rc, err);
    if (!find_ethdev(dev))
        return error_set(err, "port %s: a driver took it, but it is no network device", dev->devargs);
    return take_possession(dev, err);
}

/* ---- configuration ---- */

/* The largest IP packet that the device takes. */
static uint16_t mtu_limit(const struct rte_eth_dev_info *info)
{
    uint32_t by_frame =
        info->max_rx_pktlen > FRAME_OVERHEAD_BYTES ? info->max_rx_pktlen - FRAME_OVERHEAD_BYTES : 0;
    return (uint16_t)(info->max_mtu == UINT16_MAX ? min_u32(by_frame, UINT16_MAX) : info->max_mtu);
}

static bool choose_mtu(struct dpdk_device *dev, uint16_t wish, struct error *err)
{
    uint16_t limit = mtu_limit(&dev->info);
    if (wish > limit)
        return error_set(err, "port %s: an MTU of %u is more than the device takes: set mtu to %u or less",
                         dev->devargs, wish, limit);
    if (wish == 0)
        wish = dpdk_interface_mtu(dev->info.if_index);
    if (wish == 0 && rte_eth_dev_get_mtu(dev->id, &wish) != 0)
        wish = RTE_ETHER_MTU;
    dev->mtu = wish < limit ? wish : limit;
    return true;
}

static bool check_queues(const struct dpdk_device *dev, struct error *err)
{
    uint16_t most =
        dev->info.max_rx_queues < dev->info.max_tx_queues ? dev->info.max_rx_queues : dev->info.max_tx_queues;
    if (dev->queues <= most)
        return true;
    return error_set(
        err,
        "port %s: %u cores need %u queue pairs, the device has %u: configure fewer cores, or more queues (for "
        "net_af_packet: qpairs=%u)",
        dev->devargs, dev->queues, dev->queues, most, dev->queues);
}

/* What is both wished for and there.  Large frames are taken where they are wished for: some ports have a peer that sends
 * them (net_vhost with tso=1) and do not tell.
 */
static uint32_t choose_offloads(const struct rte_eth_dev_info *info, uint32_t wished)
{
    uint32_t offloads = wished & PORT_OFFLOAD_LRO;
    if (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
        offloads |= wished & PORT_OFFLOAD_TX_IP_CSUM;
    if (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM)
        offloads |= wished & PORT_OFFLOAD_TX_TCP_CSUM;
    if (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_CKSUM)
        offloads |= wished & PORT_OFFLOAD_RX_CSUM;
    if ((info->tx_offload_capa & TSO) == TSO && wished & PORT_OFFLOAD_TX_TCP_CSUM)
        offloads |= wished & PORT_OFFLOAD_TSO;
    return offloads;
}

static uint64_t tx_offloads(const struct dpdk_device *dev)
{
    uint64_t offloads = 0;
    if (dev->offloads & PORT_OFFLOAD_TX_IP_CSUM)
        offloads |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
    if (dev->offloads & PORT_OFFLOAD_TX_TCP_CSUM)
        offloads |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    if (dev->offloads & PORT_OFFLOAD_TSO)
        offloads |= TSO;
    return offloads;
}

static uint64_t rx_offloads(const struct dpdk_device *dev)
{
    uint64_t capa = dev->info.rx_offload_capa, offloads = 0;
    if (dev->offloads & PORT_OFFLOAD_RX_CSUM)
        offloads |= RX_CSUM;
    if (dev->offloads & PORT_OFFLOAD_LRO && capa & RTE_ETH_RX_OFFLOAD_TCP_LRO)
        offloads |= RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER;
    return offloads & capa;
}

static struct rte_eth_conf make_conf(struct dpdk_device *dev)
{
    struct rte_eth_conf conf = {.rxmode.mtu = dev->mtu};
    conf.rxmode.offloads = rx_offloads(dev);
    if (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO)
        conf.rxmode.max_lro_pkt_size = dev->info.max_lro_pkt_size;
    conf.txmode.offloads = tx_offloads(dev);
    dev->rss = dev->queues > 1 ? dev->info.flow_type_rss_offloads & RSS_TYPES : 0;
    if (dev->rss) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = dev->rss;
        if (dev->info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH)
            conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
    }
    return conf;
}

static bool configure(struct dpdk_device *dev, const struct port_dpdk_config *config, struct error *err)
{
    struct rte_eth_conf conf = make_conf(dev);
    int rc = rte_eth_dev_configure(dev->id, dev->queues, dev->queues, &conf);
    if (rc != 0)
        return refused(dev, "the device refuses its configuration", rc, err);
    if (config->mtu != 0) {
        rc = rte_eth_dev_set_mtu(dev->id, dev->mtu);
        if (rc != 0 && rc != -ENOTSUP)
            return refused(dev, "the device refuses the MTU", rc, err);
    }
    dev->rx_descriptors = (uint16_t)min_u32(config->rx_descriptors, UINT16_MAX);
    dev->tx_descriptors = (uint16_t)min_u32(config->tx_descriptors, UINT16_MAX);
    rc = rte_eth_dev_adjust_nb_rx_tx_desc(dev->id, &dev->rx_descriptors, &dev->tx_descriptors);
    if (rc != 0)
        return refused(dev, "the device refuses its descriptor counts", rc, err);
    return true;
}

/* ---- queues ---- */

/* Receive buffers that a driver takes for itself beside its descriptors.  net_af_xdp fills a ring of 2,048 whatever it was
 * told, and copies what is sent into as many more of the same pool.
 */
static uint32_t buffers_of_driver(const struct dpdk_device *dev)
{
    return strcmp(dev->info.driver_name, "net_af_xdp") == 0 ? 2 * 2048 : 0;
}

static bool open_pools(struct dpdk_port *dp, const struct port_dpdk_config *config, struct error *err)
{
    const struct dpdk_device *dev = dp->device;
    uint16_t data_bytes =
        (uint16_t)max_u32(DATA_BYTES_MIN, min_u32(dev->mtu + FRAME_OVERHEAD_BYTES + 4u, 65280));
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof(name), "hl_tx_%u_%u", dev->id, dp->port.queue);
    uint32_t tx_buffers = config->buffers - config->buffers / 4 + dev->tx_descriptors;
    dp->port.tx_pool = pool_dpdk_open(name, tx_buffers, config->tx_reserve, data_bytes, dev->socket_id, err);
    if (!dp->port.tx_pool)
        return error_prefix(err, "port %s", dev->devargs);
    snprintf(name, sizeof(name), "hl_rx_%u_%u", dev->id, dp->port.queue);
    uint32_t rx_buffers = config->buffers / 4 + dev->rx_descriptors + 2 * PORT_BURST + buffers_of_driver(dev);
    dp->port.rx_pool = pool_dpdk_open(name, rx_buffers, 0, data_bytes, dev->socket_id, err);
    return dp->port.rx_pool || error_prefix(err, "port %s", dev->devargs);
}

static bool open_queue(struct dpdk_port *dp, const struct port_dpdk_config *config, struct error *err)
{
    const struct dpdk_device *dev = dp->device;
    uint16_t queue = dp->port.queue;
    unsigned socket_id = (unsigned)dev->socket_id;
    if (!open_pools(dp, config, err))
        return false;
    struct rte_eth_rxconf rx = dev->info.default_rxconf;
    rx.offloads = dev->info.rx_queue_offload_capa & rx_offloads(dev);
    int rc = rte_eth_rx_queue_setup(dev->id, queue, dev->rx_descriptors, socket_id, &rx,
                                    pool_dpdk_mempool(dp->port.rx_pool));
    if (rc != 0)
        return refused(dev, "the device refuses a receive queue", rc, err);
    /* Not the default's offloads: MBUF_FAST_FREE among them would free packets that TCP still holds. */
    struct rte_eth_txconf tx = dev->info.default_txconf;
    tx.offloads = 0;
    rc = rte_eth_tx_queue_setup(dev->id, queue, dev->tx_descriptors, socket_id, &tx);
    return rc == 0 || refused(dev, "the device refuses a transmit queue", rc, err);
}

/* A frame must never fill the ring: one that finds no room waits for the others to leave. */
static uint16_t tso_parts(const struct dpdk_device *dev)
{
    uint32_t most = min_u32(TSO_PARTS_MAX, dev->tx_descriptors / 4u);
    if (dev->info.tx_desc_lim.nb_seg_max > 0)
        most = min_u32(most, dev->info.tx_desc_lim.nb_seg_max);
    return (uint16_t)most;
}

static void init_port(struct dpdk_port *dp, struct dpdk_device *dev, uint16_t queue)
{
    *dp = (struct dpdk_port){
        .port = {.ops = &port_dpdk_ops,
                 .mtu = dev->mtu,
                 .queue = queue,
                 .queues = dev->queues,
                 .offloads = dev->offloads,
                 .tso_parts = tso_parts(dev)},
        .device = dev,
    };
    int name_len = (int)strcspn(dev->devargs, ",");
    snprintf(dp->port.name, sizeof(dp->port.name), "%.*s queue %u", name_len, dev->devargs, queue);
    struct rte_ether_addr mac;
    if (rte_eth_macaddr_get(dev->id, &mac) == 0)
        memcpy(dp->port.mac, mac.addr_bytes, sizeof(dp->port.mac));
}

/* ---- opening and closing ---- */

static struct dpdk_device *new_device(const struct port_dpdk_config *config, struct error *err)
{
    size_t bytes = sizeof(struct dpdk_device) + config->queues * sizeof(struct dpdk_port);
    struct dpdk_device *dev = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!dev || strlen(config->devargs) >= sizeof(dev->devargs)) {
        free(dev);
        error_set(err, "port %.64s: %s", config->devargs, dev ? "is too long a name" : "no memory");
        return NULL;
    }
    memset(dev, 0, bytes);
    dev->queues = config->queues;
    strcpy(dev->devargs, config->devargs);
    return dev;
}

static void free_device(struct dpdk_device *dev)
{
    for (uint16_t q = 0; q < dev->queues; q++) {
        if (dev->port[q].port.tx_pool)
            pool_dpdk_close(dev->port[q].port.tx_pool);
        if (dev->port[q].port.rx_pool)
            pool_dpdk_close(dev->port[q].port.rx_pool);
    }
    free(dev);
}

/* From here on the device is ours to remove. */
static void remove_device(struct dpdk_device *dev)
{
    struct rte_device *device = dev->info.device;
    rte_eth_dev_stop(dev->id);
    rte_eth_dev_close(dev->id);
    if (device)
        rte_dev_remove(device);
    free_device(dev);
}

static bool set_up(struct dpdk_device *dev, const struct port_dpdk_config *config, struct error *err)
{
    int rc = rte_eth_dev_info_get(dev->id, &dev->info);
    if (rc != 0)
        return refused(dev, "the device does not tell what it can do", rc, err);
    dev->socket_id = config->socket_id >= 0 ? config->socket_id : rte_eth_dev_socket_id(dev->id);
    dev->offloads = choose_offloads(&dev->info, config->offloads);
    if (!check_queues(dev, err) || !choose_mtu(dev, config->mtu, err) || !configure(dev, config, err))
        return false;
    for (uint16_t q = 0; q < dev->queues; q++) {
        init_port(&dev->port[q], dev, q);
        if (!open_queue(&dev->port[q], config, err))
            return false;
    }
    rc = rte_eth_dev_start(dev->id);
    if (rc != 0)
        return refused(dev, "the device does not start", rc, err);
    /* IPv6 neighbours ask in groups.  A device that does not know this filters none, as far as we know. */
    rte_eth_allmulticast_enable(dev->id);
    return true;
}

/* What the device will do with arriving flows, from its own key and table: not what it was asked for. */
static bool read_steering(struct dpdk_device *dev, struct error *err)
{
    uint8_t key[STEERING_KEY_MAX] = {0};
    struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = sizeof(key)};
    struct rte_eth_rss_reta_entry64 reta[STEERING_TABLE_MAX / RTE_ETH_RETA_GROUP_SIZE];
    uint16_t size = dev->info.reta_size;
    if (!is_power_of_two(size) || size > STEERING_TABLE_MAX || dev->info.hash_key_size > sizeof(key))
        return error_set(err, "a table of %u entries and a key of %u bytes are of no known kind", size,
                         dev->info.hash_key_size);
    if (dev->info.hash_key_size)
        conf.rss_key_len = dev->info.hash_key_size;
    memset(reta, 0, sizeof(reta));
    for (unsigned g = 0; g < (size + RTE_ETH_RETA_GROUP_SIZE - 1u) / RTE_ETH_RETA_GROUP_SIZE; g++)
        reta[g].mask = UINT64_MAX;
    if (rte_eth_dev_rss_hash_conf_get(dev->id, &conf) != 0 ||
        rte_eth_dev_rss_reta_query(dev->id, reta, size) != 0)
        return error_set(err, "the driver does not tell its key and table");
    steering_init(&dev->steering, key, conf.rss_key_len, dev->queues);
    dev->steering.table_size = size;
    for (unsigned i = 0; i < size; i++)
        dev->steering.table[i] = reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
    dev->steering.ipv4 = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0;
    dev->steering.ipv6 = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV6_TCP) != 0;
    return steering_check(&dev->steering, key, conf.rss_key_len, dev->queues, err);
}

bool port_dpdk_open(const struct port_dpdk_config *config, struct port **ports, struct error *err)
{
    assert(config->queues > 0);
    if (!steering_self_test(err))
        return false;
    struct dpdk_device *dev = new_device(config, err);
    if (!dev)
        return false;
    if (!probe(dev, err)) {
        free_device(dev);
        return false;
    }
    dpdk_log_forget();
    if (!set_up(dev, config, err)) {
        remove_device(dev);
        return false;
    }
    dev->steers = dev->rss && read_steering(dev, &dev->steer_fault);
    for (uint16_t q = 0; q < dev->queues; q++) {
        ports[q] = &dev->port[q].port;
        ports[q]->steering = dev->steers ? &dev->steering.port : NULL;
    }
    dev->open = dev->queues;
    return true;
}

void port_dpdk_release(struct dpdk_port *dp)
{
    assert(dp->device->open > 0);
    if (--dp->device->open == 0)
        remove_device(dp->device);
}

/* ---- for people ---- */

const char *port_dpdk_steering(const struct port *port)
{
    const struct dpdk_device *dev = port_dpdk_of(port)->device;
    return dev->rss && !dev->steers ? dev->steer_fault.text : NULL;
}

static const char *link_text(const struct dpdk_device *dev, char *buf, size_t cap)
{
    struct rte_eth_link link;
    if (rte_eth_link_get_nowait(dev->id, &link) != 0)
        snprintf(buf, cap, "link unknown");
    else if (link.link_status == RTE_ETH_LINK_DOWN)
        snprintf(buf, cap, "link down");
    else if (link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN || link.link_speed == RTE_ETH_SPEED_NUM_NONE)
        snprintf(buf, cap, "link up");
    else
        snprintf(buf, cap, "link up at %u Mbit/s", link.link_speed);
    return buf;
}

static const char *who(const struct port *port, uint32_t offload)
{
    return port->offloads & offload ? "by the port" : "by the core";
}

uint64_t port_dpdk_missed(const struct port *port)
{
    struct rte_eth_stats stats = {0};
    if (rte_eth_stats_get(port_dpdk_of(port)->device->id, &stats) != 0)
        return 0; /* the device keeps no count */
    return stats.imissed + stats.rx_nombuf;
}

void port_dpdk_describe(const struct port *port, char *out, size_t cap)
{
    const struct dpdk_device *dev = port_dpdk_of(port)->device;
    char link[64];
    snprintf(
        out, cap,
        "%s: driver %s, %u queue pair%s (%u and %u descriptors), MTU %u, checksums sent %s, received %s, "
        "segments cut %s, large frames %s, %s, %s",
        dev->devargs, dev->info.driver_name, dev->queues, dev->queues == 1 ? "" : "s", dev->rx_descriptors,
        dev->tx_descriptors, dev->mtu, who(port, PORT_OFFLOAD_TX_TCP_CSUM), who(port, PORT_OFFLOAD_RX_CSUM),
        who(port, PORT_OFFLOAD_TSO), port->offloads & PORT_OFFLOAD_LRO ? "taken" : "dropped",
        dev->steers ? "RSS"
        : dev->rss  ? "RSS that cannot be foretold"
                    : "no RSS",
        link_text(dev, link, sizeof(link)));
}
