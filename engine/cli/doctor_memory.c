/* Memory: huge pages, locking, swap. */
#include "engine/cli/doctor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct pages {
    struct doctor *doctor;
    unsigned long long free_mib, total_mib;
};

static void look_at_size(void *ctx, const char *name)
{
    struct pages *pages = ctx;
    unsigned long long kib = 0;
    if (sscanf(name, "hugepages-%llukB", &kib) != 1)
        return;
    long long total = doctor_number(0, "/sys/kernel/mm/hugepages/%s/nr_hugepages", name);
    long long available = doctor_number(0, "/sys/kernel/mm/hugepages/%s/free_hugepages", name);
    if (total > 0)
        doctor_say(pages->doctor, DOCTOR_OK, "huge pages", NULL, "%lld of %lld pages of %llu kB are free",
                   available, total, kib);
    pages->free_mib += (unsigned long long)available * kib / 1024;
    pages->total_mib += (unsigned long long)total * kib / 1024;
}

static bool mounted(const char *type)
{
    char line[512], found[64];
    bool is = false;
    FILE *mounts = fopen("/proc/mounts", "re");
    while (mounts && !is && fgets(line, sizeof(line), mounts))
        is = sscanf(line, "%*s %*s %63s", found) == 1 && strcmp(found, type) == 0;
    if (mounts)
        fclose(mounts);
    return is;
}

static void say_huge_pages(struct doctor *d)
{
    struct pages pages = {.doctor = d};
    doctor_entries("/sys/kernel/mm/hugepages", look_at_size, &pages);
    if (pages.total_mib == 0)
        doctor_say(
            d, DOCTOR_WARN, "huge pages",
            "ordinary pages are used, which costs speed: sysctl vm.nr_hugepages=512 (or hugepages= at boot); with "
            "memory.huge = \"require\" hardlined does not start",
            "none are reserved");
    else if (pages.free_mib < 256)
        doctor_say(d, DOCTOR_WARN, "huge pages",
                   "others hold them, or too few are reserved: sysctl vm.nr_hugepages=512",
                   "only %llu MiB are free", pages.free_mib);
    if (pages.total_mib && !mounted("hugetlbfs"))
        doctor_say(d, DOCTOR_WARN, "hugetlbfs", "mount -t hugetlbfs none /dev/hugepages", "not mounted");
}

static void say_locking(struct doctor *d)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    if (geteuid() == 0 || limit.rlim_max == RLIM_INFINITY)
        doctor_say(d, DOCTOR_OK, "memory locking", NULL, "%s", geteuid() == 0 ? "as root" : "no limit");
    else
        doctor_say(
            d, DOCTOR_WARN, "memory locking",
            "keys may reach the swap: start hardlined as root (it drops to run.user), or LimitMEMLOCK=infinity",
            "at most %llu kB", (unsigned long long)limit.rlim_max / 1024);
}

static unsigned long long meminfo_mib(const char *key)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoull(line + strlen(key), NULL, 10);
    if (file)
        fclose(file);
    return kib / 1024;
}

void doctor_memory(struct doctor *d)
{
    unsigned long long available = meminfo_mib("MemAvailable:"), swap = meminfo_mib("SwapTotal:");
    say_huge_pages(d);
    doctor_say(d, available >= 1024 ? DOCTOR_OK : DOCTOR_WARN, "memory",
               available >= 1024 ? NULL
                                 : "lower limits.connections, limits.jobs-in-flight and feed.arena-megabytes",
               "%llu MiB available", available);
    say_locking(d);
    if (swap)
        doctor_say(d, DOCTOR_OK, "swap", NULL, "%llu MiB; locked memory does not go there", swap);
}
