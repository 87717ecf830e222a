/* Devices: the IOMMU, network cards with their queues and offloads. */
#include "engine/cli/doctor.h"

#include <net/if.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void ignore(void *ctx, const char *name)
{
    (void)ctx, (void)name;
}

static void say_iommu(struct doctor *d)
{
    int groups = doctor_entries("/sys/kernel/iommu_groups", ignore, NULL);
    bool vfio = access("/dev/vfio/vfio", F_OK) == 0;
    doctor_say(d, groups ? DOCTOR_OK : DOCTOR_WARN, "iommu",
               groups
                   ? NULL
                   : "only PCI devices bound to vfio-pci need it: switch it on in the firmware and boot with "
                     "intel_iommu=on or amd_iommu=on",
               "%d groups", groups);
    doctor_say(d, vfio ? DOCTOR_OK : DOCTOR_WARN, "vfio",
               vfio ? NULL : "only PCI devices taken from the kernel need it: modprobe vfio-pci", "%s",
               vfio ? "/dev/vfio/vfio is there" : "not loaded");
}

static unsigned ethtool_value(int fd, const char *interface, unsigned command)
{
    struct ethtool_value value = {.cmd = command};
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    request.ifr_data = (void *)&value;
    return ioctl(fd, SIOCETHTOOL, &request) == 0 ? value.data : 0;
}

static void offloads_of(const char *interface, char *out, size_t cap)
{
    static const struct {
        unsigned command;
        const char *name;
    } known[] = {{ETHTOOL_GRXCSUM, " rx-checksum"},
                 {ETHTOOL_GTXCSUM, " tx-checksum"},
                 {ETHTOOL_GTSO, " tso"},
                 {ETHTOOL_GGSO, " gso"},
                 {ETHTOOL_GGRO, " gro"}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(known); i++)
        if (ethtool_value(fd, interface, known[i].command) && used + strlen(known[i].name) < cap)
            used += (size_t)snprintf(out + used, cap - used, "%s", known[i].name);
    if (fd >= 0)
        close(fd);
}

struct queues {
    unsigned rx, tx;
};

static void count_queue(void *ctx, const char *name)
{
    struct queues *queues = ctx;
    queues->rx += strncmp(name, "rx-", 3) == 0;
    queues->tx += strncmp(name, "tx-", 3) == 0;
}

static void look_at_interface(void *ctx, const char *name)
{
    struct doctor *d = ctx;
    char path[300], driver[64], state[32], offloads[96];
    struct queues queues = {0, 0};
    if (strcmp(name, "lo") == 0)
        return;
    snprintf(path, sizeof(path), "/sys/class/net/%s/queues", name);
    doctor_entries(path, count_queue, &queues);
    doctor_link(driver, sizeof(driver), "/sys/class/net/%s/device/driver", name);
    doctor_read(state, sizeof(state), "/sys/class/net/%s/operstate", name);
    offloads_of(name, offloads, sizeof(offloads));
    doctor_say(d, DOCTOR_OK, "interface", NULL,
               "%.16s: driver %s, %s, %u rx and %u tx queues, mtu %lld, offloads%s", name,
               driver[0] ? driver : "none (virtual)", state, queues.rx, queues.tx,
               doctor_number(0, "/sys/class/net/%s/mtu", name), offloads[0] ? offloads : " none");
}

/* Network cards that the kernel has given up to DPDK show no interface. */
static void look_at_network_card(struct doctor *d, const char *address)
{
    char driver[64];
    doctor_link(driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver", address);
    bool taken =
        strcmp(driver, "vfio-pci") == 0 || strncmp(driver, "uio_", 4) == 0 || strcmp(driver, "igb_uio") == 0;
    doctor_say(d, DOCTOR_OK, "network card", NULL, "%s, driver %s, NUMA node %lld%s", address,
               driver[0] ? driver : "none", doctor_number(-1, "/sys/bus/pci/devices/%s/numa_node", address),
               taken ? "; port.device = this address"
                     : "; for DPDK alone: dpdk-devbind.py -b vfio-pci, or name its interface");
}

static void look_at_pci(void *ctx, const char *address)
{
    unsigned class = (unsigned)doctor_number(0, "/sys/bus/pci/devices/%s/class", address);
    if (class >> 8 == 0x0200) /* Ethernet */
        look_at_network_card(ctx, address);
}

void doctor_devices(struct doctor *d)
{
    say_iommu(d);
    doctor_entries("/sys/class/net", look_at_interface, d);
    doctor_entries("/sys/bus/pci/devices", look_at_pci, d);
}
