/* QAT: the devices, what their drivers have made of them, and what is missing before hardlined can use one. */
#include "engine/cli/doctor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PCI_DEVICES   "/sys/bus/pci/devices"
#define ADDRESS_BYTES 64

static const struct generation {
    unsigned physical, virtual; /* PCI device ids of Intel */
    const char *module;
} generations[] = {
    {0x0435, 0x0443, "qat_dh895xcc"}, {0x37c8, 0x37c9, "qat_c62x"},  {0x19e2, 0x19e3, "qat_c3xxx"},
    {0x6f54, 0x6f55, "qat_d15xx"},    {0x18a0, 0x18a1, "qat_c4xxx"}, {0x18ee, 0x18ef, "qat_200xx"},
    {0x4940, 0x4941, "qat_4xxx"},     {0x4942, 0x4943, "qat_4xxx"},  {0x4944, 0x4945, "qat_4xxx"},
    {0x4946, 0x4947, "qat_420xx"},    {0x4948, 0x4949, "qat_6xxx"},
};

struct functions {
    struct doctor *doctor;
    unsigned physical, virtual, usable;
    char problem[256], remedy[256]; /* of the first virtual function that has one */
};

/* What a physical function is, as /sys has it; "" and -1 where it does not say. */
struct physical {
    const char *address, *module;
    char driver[64], state[32], services[64];
    long long vfs, vfs_max, node;
};

static struct physical read_physical(const struct doctor *d, const char *address, const char *module)
{
    struct physical p = {.address = address, .module = module};
    doctor_link(p.driver, sizeof(p.driver), "%s" PCI_DEVICES "/%s/driver", d->root, address);
    doctor_read(p.state, sizeof(p.state), "%s" PCI_DEVICES "/%s/qat/state", d->root, address);
    doctor_read(p.services, sizeof(p.services), "%s" PCI_DEVICES "/%s/qat/cfg_services", d->root, address);
    p.vfs = doctor_number(-1, "%s" PCI_DEVICES "/%s/sriov_numvfs", d->root, address);
    p.vfs_max = doctor_number(-1, "%s" PCI_DEVICES "/%s/sriov_totalvfs", d->root, address);
    p.node = doctor_number(-1, "%s" PCI_DEVICES "/%s/numa_node", d->root, address);
    return p;
}

/* The first thing that is missing, in the order in which they are mended; false: nothing is. */
static bool remedy_physical(const struct physical *p, char *out, size_t cap)
{
    const char *a = p->address;
    if (!p->driver[0])
        snprintf(out, cap, "no driver has it: modprobe %s, with its firmware %s.bin in /lib/firmware",
                 p->module, p->module);
    else if (strcmp(p->driver, "vfio-pci") == 0)
        snprintf(out, cap,
                 "vfio-pci has the physical function: give it back to %s, its virtual functions are for us",
                 p->module);
    else if (p->services[0] && !strstr(p->services, "asym"))
        snprintf(out, cap,
                 "no public-key service: echo down > " PCI_DEVICES
                 "/%s/qat/state, echo 'asym;sym' > .../cfg_services, "
                 "echo up > .../state; to stay: ServicesEnabled=asym;sym in /etc/sysconfig/qat",
                 a);
    else if (p->state[0] && strcmp(p->state, "up") != 0)
        snprintf(out, cap,
                 "it is %s: echo up > " PCI_DEVICES "/%s/qat/state; the kernel's log tells why it fails",
                 p->state, a);
    else if (p->vfs_max == 0 || p->vfs_max == -1)
        snprintf(out, cap,
                 "it offers no virtual functions: switch on SR-IOV and VT-d in the firmware, boot with "
                 "intel_iommu=on");
    else if (p->vfs <= 0)
        snprintf(out, cap,
                 "no virtual functions: echo %lld > " PCI_DEVICES "/%s/sriov_numvfs, or systemctl enable "
                 "--now qat",
                 p->vfs_max, a);
    else
        return false;
    return true;
}

static void look_at_physical(struct functions *f, const char *address, const char *module)
{
    char remedy[256] = "";
    struct physical p = read_physical(f->doctor, address, module);
    bool missing = remedy_physical(&p, remedy, sizeof(remedy));
    f->physical++;
    doctor_say(f->doctor, missing ? DOCTOR_WARN : DOCTOR_OK, "qat device", remedy,
               "%s, driver %s, state %s, services %s, %lld of %lld virtual functions, NUMA node %lld",
               address, p.driver[0] ? p.driver : "none", p.state[0] ? p.state : "unknown",
               p.services[0] ? p.services : "unknown", p.vfs < 0 ? 0 : p.vfs, p.vfs_max < 0 ? 0 : p.vfs_max,
               p.node);
}

static bool problem_of_virtual(struct functions *f, const char *address)
{
    char driver[64], group[32], path[512];
    doctor_link(driver, sizeof(driver), "%s" PCI_DEVICES "/%s/driver", f->doctor->root, address);
    doctor_link(group, sizeof(group), "%s" PCI_DEVICES "/%s/iommu_group", f->doctor->root, address);
    snprintf(path, sizeof(path), "%s/dev/vfio/%s", f->doctor->root, group);
    if (f->problem[0] && (strcmp(driver, "vfio-pci") != 0 || !group[0] || access(path, R_OK | W_OK) != 0))
        return true;
    if (strcmp(driver, "vfio-pci") != 0) {
        snprintf(f->problem, sizeof(f->problem), "%s has driver %s", address, driver[0] ? driver : "none");
        snprintf(f->remedy, sizeof(f->remedy), "modprobe vfio-pci; dpdk-devbind.py -b vfio-pci %s", address);
    } else if (!group[0]) {
        snprintf(f->problem, sizeof(f->problem), "%s is in no IOMMU group", address);
        snprintf(f->remedy, sizeof(f->remedy), "switch on VT-d in the firmware, boot with intel_iommu=on");
    } else if (access(path, R_OK | W_OK) != 0) {
        snprintf(f->problem, sizeof(f->problem), "/dev/vfio/%s of %s cannot be opened", group, address);
        snprintf(
            f->remedy, sizeof(f->remedy),
            "as this user: for qatengine run.user must be in the group of that file (usermod -aG qat hardline)");
    } else {
        return false;
    }
    return true;
}

static void look(void *ctx, const char *address)
{
    struct functions *f = ctx;
    const char *root = f->doctor->root;
    unsigned device = (unsigned)doctor_number(0, "%s" PCI_DEVICES "/%s/device", root, address);
    if (doctor_number(0, "%s" PCI_DEVICES "/%s/vendor", root, address) != 0x8086)
        return;
    for (size_t i = 0; i < ARRAY_LEN(generations); i++) {
        if (device == generations[i].physical)
            look_at_physical(f, address, generations[i].module);
        if (device != generations[i].virtual)
            continue;
        f->virtual ++;
        f->usable += !problem_of_virtual(f, address);
    }
}

/* Intel's own driver package has a control device and a memory driver instead of VFIO. */
static void look_at_control_device(struct doctor *d)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/dev/qat_adf_ctl", d->root);
    if (access(path, F_OK) != 0)
        return;
    snprintf(path, sizeof(path), "%s/dev/usdm_drv", d->root);
    bool memory = access(path, F_OK) == 0;
    doctor_say(d, memory ? DOCTOR_OK : DOCTOR_WARN, "qat access",
               memory ? NULL : "modprobe usdm_drv: the driver of Intel's package pins memory with it",
               "/dev/qat_adf_ctl is there, /dev/usdm_drv %s", memory ? "too" : "is not");
}

void doctor_qat(struct doctor *d)
{
    char folder[512];
    struct functions f = {.doctor = d};
    snprintf(folder, sizeof(folder), "%s" PCI_DEVICES, d->root);
    doctor_entries(folder, look, &f);
    if (f.physical + f.virtual == 0) {
        doctor_say(d, DOCTOR_OK, "qat device", NULL, "none: public-key work is done by the CPU");
        return;
    }
    if (f.virtual > 0)
        doctor_say(d, f.usable ? DOCTOR_OK : DOCTOR_WARN, "qat functions", f.usable ? NULL : f.remedy,
                   "%u of %u virtual functions can be opened%s%s", f.usable, f.virtual,
                   f.problem[0] ? ": " : "", f.problem);
    look_at_control_device(d);
    if (f.usable > 0)
        doctor_say(
            d, DOCTOR_OK, "qat use", NULL,
            "crypto.backend = \"auto\" tries it by qatengine; \"engine:qatengine\", or \"cryptodev:\" and the address "
            "of a virtual function, take it for all that it has");
}
