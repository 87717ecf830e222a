/* dpdk_check.c: missing interfaces, permissions and bindings, each with what to do. */
#include "drivers/dpdk_check.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUN_DEVICE "/dev/net/tun"

/* Asks the kernel about an interface; false when it does not know it. */
static bool interface_ioctl(unsigned long request, struct ifreq *ifr)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool done = ioctl(fd, request, ifr) == 0;
    close(fd);
    return done;
}

uint16_t dpdk_interface_mtu(unsigned if_index)
{
    struct ifreq ifr = {0};
    if (if_index == 0 || !if_indextoname(if_index, ifr.ifr_name) || !interface_ioctl(SIOCGIFMTU, &ifr))
        return 0;
    return ifr.ifr_mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)ifr.ifr_mtu;
}

/* Copies the value of "key=" out of "name,key=value,..."; false when there is none or it does not fit. */
static bool devargs_value(const char *devargs, const char *key, char *value, size_t cap)
{
    size_t key_len = strlen(key);
    for (const char *at = strchr(devargs, ','); at; at = strchr(at + 1, ',')) {
        if (strncmp(at + 1, key, key_len) != 0 || at[1 + key_len] != '=')
            continue;
        const char *from = at + 1 + key_len + 1;
        size_t len = strcspn(from, ",");
        if (len == 0 || len >= cap)
            return false;
        memcpy(value, from, len);
        value[len] = '\0';
        return true;
    }
    return false;
}

static bool check_interface(const char *devargs, struct error *err)
{
    struct ifreq ifr = {0};
    if (!devargs_value(devargs, "iface", ifr.ifr_name, sizeof(ifr.ifr_name)))
        return error_set(err, "port %s: names no interface: add iface=NAME (at most %zu characters)", devargs,
                         sizeof(ifr.ifr_name) - 1);
    if (!interface_ioctl(SIOCGIFFLAGS, &ifr))
        return error_set(
            err,
            "port %s: there is no interface %s in this network namespace: correct iface= (see: ip "
            "link) or start the engine in the right namespace (ip netns exec)",
            devargs, ifr.ifr_name);
    if (!(ifr.ifr_flags & IFF_UP))
        return error_set(err, "port %s: interface %s is down: ip link set %s up", devargs, ifr.ifr_name,
                         ifr.ifr_name);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, "port %s: opening a packet socket: %s; start as root or with CAP_NET_RAW",
                         devargs, strerror(errno));
    close(fd);
    return true;
}

static bool check_tun(const char *devargs, struct error *err)
{
    if (access(TUN_DEVICE, R_OK | W_OK) == 0)
        return true;
    return error_set(err, "port %s: %s: %s; load the module (modprobe tun) and start as root", devargs,
                     TUN_DEVICE, strerror(errno));
}

/* Drivers of the kernel that share their device with DPDK. */
static bool is_bifurcated(const char *kernel_driver)
{
    return strncmp(kernel_driver, "mlx", 3) == 0 || strcmp(kernel_driver, "mana") == 0;
}

static bool check_pci(const char *devargs, const char *address, struct error *err)
{
    char path[96], target[256];
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", address);
    if (access(path, F_OK) != 0)
        return error_set(err, "port %s: there is no PCI device %s: see dpdk-devbind.py --status-dev net",
                         devargs, address);
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    target[len < 0 ? 0 : len] = '\0';
    const char *slash = strrchr(target, '/');
    const char *driver = slash ? slash + 1 : "";
    if (strcmp(driver, "vfio-pci") == 0 || strstr(driver, "uio") || is_bifurcated(driver))
        return true;
    return error_set(err,
                     "port %s: the device is bound to %s, not to a driver that lets a process have it: "
                     "dpdk-devbind.py -b vfio-pci %s (the kernel loses it as an interface)",
                     devargs, *driver ? driver : "no driver", address);
}

bool dpdk_check_device(const char *devargs, struct error *err)
{
    char name[64], hex;
    unsigned domain, bus, device, function;
    size_t name_len = strcspn(devargs, ",");
    if (name_len == 0 || name_len >= sizeof(name))
        return error_set(err,
                         "port \"%s\": is no DPDK device: give a PCI address or a driver such as "
                         "net_af_packet0,iface=eth1",
                         devargs);
    memcpy(name, devargs, name_len);
    name[name_len] = '\0';
    if (strncmp(name, "net_af_", 7) == 0)
        return check_interface(devargs, err);
    if (strncmp(name, "net_tap", 7) == 0 || strncmp(name, "net_tun", 7) == 0)
        return check_tun(devargs, err);
    if (sscanf(name, "%x:%x:%x.%x%c", &domain, &bus, &device, &function, &hex) == 4)
        return check_pci(devargs, name, err);
    return true;
}
