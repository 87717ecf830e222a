/* batch_probe.c: is there a QAT device that could be used?  What /sys says, before any library is loaded for it. */
#include "crypto/batch_inside.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INTEL        0x8086ul
#define CO_PROCESSOR 0x0b4000ul /* the PCI class that QAT's functions, physical and virtual, have */

struct looked {
    const char *root, *address;
};

/* The first line, or "". */
static void read_line(const struct looked *at, const char *name, char *out, int cap)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/%s", at->root, at->address, name);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(out, cap, file))
        out[0] = '\0';
    if (file)
        fclose(file);
    out[strcspn(out, "\n")] = '\0';
}

static unsigned long number(const struct looked *at, const char *name)
{
    char text[32];
    read_line(at, name, text, sizeof(text));
    return strtoul(text, NULL, 16);
}

static bool driver_is(const struct looked *at, const char *name)
{
    char path[PATH_MAX], target[PATH_MAX];
    snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/driver", at->root, at->address);
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    if (len < 0)
        return false;
    target[len] = '\0';
    const char *last = strrchr(target, '/');
    return strcmp(last ? last + 1 : target, name) == 0;
}

/* A physical function says that it is up and has the service; of a virtual one, in a guest, there is no more to see than that
 * its driver hands it out.
 */
static bool is_up(const struct looked *at)
{
    char state[32], services[64];
    if (number(at, "vendor") != INTEL || number(at, "class") != CO_PROCESSOR)
        return false;
    read_line(at, "qat/state", state, sizeof(state));
    read_line(at, "qat/cfg_services", services, sizeof(services));
    if (!state[0])
        return driver_is(at, "vfio-pci");
    return strcmp(state, "up") == 0 && (!services[0] || strstr(services, "asym"));
}

bool batch_probe_qat(const char *sysfs)
{
    char path[PATH_MAX];
    bool found = false;
    snprintf(path, sizeof(path), "%s/bus/pci/devices", sysfs);
    DIR *dir = opendir(path);
    for (struct dirent *it; dir && !found && (it = readdir(dir));)
        if (it->d_name[0] != '.')
            found = is_up(&(struct looked){sysfs, it->d_name});
    if (dir)
        closedir(dir);
    return found;
}
