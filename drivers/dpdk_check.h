/* dpdk_check.h: what makes a device fail, told before a driver fails with less to say.  For drivers/ only. */
#ifndef DRIVERS_DPDK_CHECK_H
#define DRIVERS_DPDK_CHECK_H

#include "engine/base/error.h"

/* dpdk_check_device looks at the interface, file or PCI device that devargs name: there, up, allowed, bound. */
bool dpdk_check_device(const char *devargs, struct error *err) must_check;

/* dpdk_interface_mtu: the MTU of a kernel interface by index, 0 when it cannot be told. */
uint16_t dpdk_interface_mtu(unsigned if_index);

#endif
