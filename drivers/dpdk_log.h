/* dpdk_log.h: what DPDK says goes line by line to the program's log, and the last complaint into error messages. */
#ifndef DRIVERS_DPDK_LOG_H
#define DRIVERS_DPDK_LOG_H

#include "engine/base/base.h"

enum dpdk_log_level { DPDK_LOG_ERROR, DPDK_LOG_WARNING, DPDK_LOG_INFO };

/* A line without its newline, borrowed until return.  Called from any thread that DPDK logs in. */
typedef void dpdk_log_sink(void *ctx, enum dpdk_log_level level, const char *line);

/* dpdk_log_open takes over DPDK's log, before rte_eal_init; sink may be NULL: nothing is passed on. */
void dpdk_log_open(dpdk_log_sink *sink, void *ctx);
void dpdk_log_close(void);

/* dpdk_log_forget forgets the complaint kept so far; dpdk_log_complaint copies the first error since then, else the first
 * warning, else "no reason given", and returns buf.
 */
void dpdk_log_forget(void);
const char *dpdk_log_complaint(char *buf, size_t cap);

#endif
