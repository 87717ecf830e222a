/* asym_dpdk.h: a DPDK cryptodev as a device for public-key arithmetic (engine/base/asym.h): a queue pair a core.
 *
 * The device may be one that DPDK makes ("crypto_openssl") or a PCI function ("0000:6b:00.1", a QAT VF bound to
 * vfio-pci); EAL has been started (engine/control/eal.h) and was told of it.
 */
#ifndef DRIVERS_ASYM_DPDK_H
#define DRIVERS_ASYM_DPDK_H

#include "engine/base/asym.h"
#include "engine/base/error.h"

struct asym_dpdk_config {
    const char *devargs; /* name or PCI address, with arguments */
    uint16_t queues;     /* pairs: one a core */
    uint32_t jobs;       /* in flight, of each queue */
    int socket_id;       /* -1: any */
};

/* asym_dpdk_open configures and starts the device and gives config->queues devices; each is one core's, and with
 * the close of the last the cryptodev is stopped and removed.  kinds are those that its capabilities name.
 *   errors  not there, not asymmetric, nothing that is asked of it, too few queues, no memory
 *   thread  any that EAL knows; blocks
 */
bool asym_dpdk_open(const struct asym_dpdk_config *config, struct asym_device device[],
                    struct error *err) must_check;

#endif
