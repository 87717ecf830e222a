/* eal.h: starting DPDK's environment (EAL) for this process: memory, buses, log.
 *
 * The engine's threads are its own: EAL pins none of them.  Each thread that touches ports or packet pools registers
 * itself, so that the pools can keep a stock of free buffers for it.
 */
#ifndef ENGINE_CONTROL_EAL_H
#define ENGINE_CONTROL_EAL_H

#include "engine/base/error.h"

enum eal_log_level { EAL_LOG_ERROR, EAL_LOG_WARNING, EAL_LOG_INFO };

struct eal_config {
    const char *app;           /* the program's name, for EAL's messages */
    uint32_t memory_mb;        /* for packets and rings, all of it taken at start */
    bool no_huge;              /* ordinary pages even where hugepages can be had */
    const char *device;        /* of the ports; a PCI device is looked at, and no other; may be NULL */
    const char *crypto_device; /* as device, for public-key operations; may be NULL */
    bool telemetry;            /* DPDK's own telemetry socket */
    /* What EAL and the drivers say, a line a call, borrowed until return; from any thread.  NULL: not passed on. */
    void (*log)(void *ctx, enum eal_log_level level, const char *line);
    void *log_ctx;
};

/* eal_start starts EAL, once a process; the calling thread becomes its main thread and keeps the CPUs it may run on.
 * Where memory_mb of hugepages cannot be had it takes ordinary pages; eal_describe tells.
 *   errors  not root and no access to what is configured, too little memory: with what to do
 *   thread  the one that later calls eal_stop; blocks
 */
bool eal_start(const struct eal_config *config, struct error *err) must_check;

/* eal_stop releases what EAL took; every port is closed and every registered thread has ended.  EAL cannot be started
 * again in the same process.
 */
void eal_stop(void);

/* eal_thread_register makes the calling thread known to EAL; eal_thread_unregister undoes it before the thread ends. */
bool eal_thread_register(struct error *err) must_check;
void eal_thread_unregister(void);

/* Free hugepages of this machine in MB, all sizes together; 0 when there are none.  Needs no EAL. */
uint64_t eal_hugepages_free_mb(void);

/* eal_describe: a line for doctor and the log: version, memory, kind of pages and why. */
void eal_describe(char *out, size_t cap);

#endif
