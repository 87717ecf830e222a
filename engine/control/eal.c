/* eal.c: EAL's command line, its log, and its threads. */
#include "engine/control/eal.h"
#include "drivers/dpdk_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_version.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGEPAGES_DIR "/sys/kernel/mm/hugepages"
#define ARGS_MAX      16
#define CPU_LIST_MAX  1024
#define LOCK_TRIES    1000u
#define LOCK_WAIT_US  10000u

static struct {
    bool started;
    uint32_t memory_mb;
    bool huge;
    char pages_why[96];
    void (*log)(void *ctx, enum eal_log_level level, const char *line);
    void *log_ctx;
} eal;

/* ---- hugepages ---- */

static uint64_t page_count(const char *dir, const char *which)
{
    char path[320];
    snprintf(path, sizeof(path), HUGEPAGES_DIR "/%s/%s", dir, which);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    uint64_t n = 0;
    if (fscanf(f, "%" SCNu64, &n) != 1)
        n = 0;
    fclose(f);
    return n;
}

/* Mapping reserves the pages, so it fails where counters promise too much; nothing is touched. */
static bool can_be_had(uint64_t page_kb, uint64_t pages)
{
    size_t bytes = page_kb * 1024 * pages;
    int size_flag = __builtin_ctzll(page_kb * 1024) << MAP_HUGE_SHIFT;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | size_flag, -1, 0);
    if (at == MAP_FAILED)
        return false;
    // cppcheck-suppress nullPointerOutOfMemory ; mmap does not fail with NULL
    munmap(at, bytes);
    return true;
}

/* Free pages include those that others have reserved and not touched yet. */
static uint64_t free_kb(const char *dir, uint64_t page_kb)
{
    uint64_t free_pages = page_count(dir, "free_hugepages"), reserved = page_count(dir, "resv_hugepages");
    uint64_t pages = free_pages > reserved ? free_pages - reserved : 0;
    return pages > 0 && can_be_had(page_kb, pages) ? pages * page_kb : 0;
}

uint64_t eal_hugepages_free_mb(void)
{
    DIR *dir = opendir(HUGEPAGES_DIR);
    if (!dir)
        return 0;
    uint64_t kb = 0, page_kb;
    for (struct dirent *e; (e = readdir(dir));)
        if (sscanf(e->d_name, "hugepages-%" SCNu64 "kB", &page_kb) == 1)
            kb += free_kb(e->d_name, page_kb);
    closedir(dir);
    return kb / 1024;
}

static void choose_pages(const struct eal_config *config)
{
    uint64_t free_mb = eal_hugepages_free_mb();
    eal.huge = !config->no_huge && free_mb >= config->memory_mb;
    if (config->no_huge)
        snprintf(eal.pages_why, sizeof(eal.pages_why), "as configured");
    else
        snprintf(eal.pages_why, sizeof(eal.pages_why), "%" PRIu64 " MB of hugepages are free", free_mb);
}

/* Engines that start together must not all count on the same free pages: one at a time looks and takes.  Gives the lock, -1
 * when there is none to be had: then it is as it was without.
 */
static int lock_hugepages(void)
{
    int fd = open(HUGEPAGES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned tries = 0; fd >= 0 && tries < LOCK_TRIES; tries++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        usleep(LOCK_WAIT_US);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static void unlock_hugepages(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* ---- EAL's command line ---- */

struct args {
    char text[ARGS_MAX][CPU_LIST_MAX];
    char *argv[ARGS_MAX + 1];
    int argc;
};

static void add(struct args *args, const char *fmt, ...) printf_like(2, 3);

static void add(struct args *args, const char *fmt, ...)
{
    assert(args->argc < ARGS_MAX);
    char *to = args->text[args->argc];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(to, CPU_LIST_MAX, fmt, ap);
    va_end(ap);
    args->argv[args->argc++] = to;
}

/* "0,1,5": EAL takes the affinity of its main thread from this, so it gets the one that the thread has. */
static void cpu_list(const cpu_set_t *cpus, char *out, size_t cap)
{
    size_t used = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && used + 8 < cap; cpu++)
        if (CPU_ISSET(cpu, cpus))
            used += (size_t)snprintf(out + used, cap - used, "%s%d", used ? "," : "", cpu);
}

/* "0000:01:00.0" or "01:00.0", with or without arguments. */
static bool is_on_pci(const char *device)
{
    unsigned domain, bus, slot, function;
    return device && (sscanf(device, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4 ||
                      sscanf(device, "%x:%x.%x", &bus, &slot, &function) == 3);
}

static void make_args(struct args *args, const struct eal_config *config, const cpu_set_t *cpus)
{
    char list[CPU_LIST_MAX - 16] = "";
    cpu_list(cpus, list, sizeof(list));
    args->argc = 0;
    add(args, "%s", config->app);
    add(args, "--lcores=0@(%s)", list);
    /* No files, no second process: nothing to clean up after a crash.  EAL takes --in-memory with hugepages only. */
    add(args, eal.huge ? "--in-memory" : "--no-shconf");
    add(args, "--log-level=*:warning");
    add(args, "--log-level=lib.eal:error"); /* it warns of every size of hugepages that is not there */
    add(args, "-m");
    add(args, "%u", config->memory_mb);
    /* virtio-user hands every file of memory to its peer, and there is room for eight. */
    add(args, eal.huge ? "--single-file-segments" : "--no-huge");
    if (is_on_pci(config->device))
        add(args, "--allow=%s", config->device); /* else EAL takes every NIC that it has a driver for */
    if (is_on_pci(config->crypto_device))
        add(args, "--allow=%s", config->crypto_device);
    if (!is_on_pci(config->device) && !is_on_pci(config->crypto_device))
        add(args, "--no-pci");
    if (!config->telemetry)
        add(args, "--no-telemetry");
    args->argv[args->argc] = NULL;
}

/* ---- log ---- */

static void pass_on(void *ctx, enum dpdk_log_level level, const char *line)
{
    (void)ctx;
    static const enum eal_log_level levels[] = {
        [DPDK_LOG_ERROR] = EAL_LOG_ERROR,
        [DPDK_LOG_WARNING] = EAL_LOG_WARNING,
        [DPDK_LOG_INFO] = EAL_LOG_INFO,
    };
    if (eal.log)
        eal.log(eal.log_ctx, levels[level], line);
}

/* ---- start and stop ---- */

static bool start_failed(const struct eal_config *config, int code, struct error *err)
{
    char why[256];
    dpdk_log_complaint(why, sizeof(why));
    dpdk_log_close();
    if (eal.huge)
        return error_set(
            err,
            "DPDK does not start with %u MB of hugepages: %s (%s); reserve more (sysctl vm.nr_hugepages), lower "
            "the packet buffers, or do without hugepages",
            config->memory_mb, rte_strerror(code), why);
    return error_set(err, "DPDK does not start with %u MB of memory: %s (%s)", config->memory_mb,
                     rte_strerror(code), why);
}

static bool start(const struct eal_config *config, struct error *err)
{
    choose_pages(config);
    eal.memory_mb = config->memory_mb;
    eal.log = config->log;
    eal.log_ctx = config->log_ctx;

    cpu_set_t cpus;
    pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    struct args *args = malloc(sizeof(*args));
    if (!args)
        return error_set(err, "DPDK does not start: no memory");
    make_args(args, config, &cpus);
    dpdk_log_open(pass_on, NULL);
    dpdk_log_forget();
    int rc = rte_eal_init(args->argc, args->argv);
    int code = rte_errno;
    pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    free(args);
    if (rc < 0)
        return start_failed(config, code, err);
    eal.started = true;
    return true;
}

bool eal_start(const struct eal_config *config, struct error *err)
{
    if (eal.started)
        return error_set(err, "DPDK runs already in this process: it can be started once only");
    int lock = config->no_huge ? -1 : lock_hugepages();
    bool started = start(config, err);
    unlock_hugepages(lock);
    return started;
}

void eal_stop(void)
{
    if (!eal.started)
        return;
    rte_eal_cleanup();
    dpdk_log_close();
}

bool eal_thread_register(struct error *err)
{
    cpu_set_t cpus;
    pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    int rc = rte_thread_register();
    pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    if (rc == 0)
        return true;
    return error_set(err,
                     "DPDK takes no more threads: %s; it is built for %u at the most: configure fewer cores",
                     rte_strerror(rte_errno), RTE_MAX_LCORE);
}

void eal_thread_unregister(void)
{
    rte_thread_unregister();
}

void eal_describe(char *out, size_t cap)
{
    snprintf(out, cap, "%s, %u MB in %s (%s)", rte_version(), eal.memory_mb,
             eal.huge ? "hugepages" : "ordinary pages", eal.pages_why);
}
