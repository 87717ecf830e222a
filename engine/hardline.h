/* hardline.h: the engine as a library: open with a configuration, start, run, stop.
 *
 * For a host process that loads libhardline.so; hardlined is a thin main over it.  Mail comes in through feeds: a
 * producer attaches to hl_engine_feed_socket() with hardline/feed.h, also from within the same process.
 *
 * One engine a process (DPDK's environment can be started once).  Texts are UTF-8, NUL-terminated.  Depends on libc alone.
 *
 * Threads: open, start, run, reload, feed_socket and close: one and the same thread, the engine's control thread.
 * stop: any thread, not from a signal handler.
 */
#ifndef HARDLINE_HARDLINE_H
#define HARDLINE_HARDLINE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HL_PUBLIC __attribute__((visibility("default")))
#else
#define HL_PUBLIC
#endif

#define HL_ENGINE_ERROR_MAX 512 /* bytes of a message, NUL included */

struct hl_engine;

enum hl_engine_result {
    HL_ENGINE_OK = 0,
    HL_ENGINE_CONFIG,  /* the configuration is wrong */
    HL_ENGINE_RIGHTS,  /* not permitted: start as root, or see the message */
    HL_ENGINE_MACHINE, /* something is missing: device, memory, user, file */
};

struct hl_engine_options {
    size_t size; /* sizeof(struct hl_engine_options) of the caller */
    const char *config_file;
    const char *const *set; /* "section.key=value", win over the file; borrowed until hl_engine_close */
    size_t sets;
    int own_process; /* 1: the process is the engine's: it takes signals, becomes run.user, filters system calls;
                                * 0: a host's: none of these */
};

HL_PUBLIC const char *hl_engine_version(void);

/* hl_engine_check reads a configuration as hl_engine_open would and looks at what it names on this machine.  Calls line,
 * text borrowed until it returns, for each problem; returns how many, 0 for none.
 */
HL_PUBLIC size_t hl_engine_check(const struct hl_engine_options *options,
                                 void (*line)(void *ctx, const char *text), void *ctx);

/* hl_engine_probe opens the configured device for a moment and calls line for each thing worth knowing, the reason
 * of a failure last.  Takes root, and DPDK's environment: no engine can be started in the same process afterwards.
 */
HL_PUBLIC enum hl_engine_result hl_engine_probe(const struct hl_engine_options *options,
                                                void (*line)(void *ctx, const char *text), void *ctx);

/* hl_engine_settings calls line for each line of the list of all keys: type, default, unit, range, meaning. */
HL_PUBLIC void hl_engine_settings(void (*line)(void *ctx, const char *text), void *ctx);

/* hl_engine_open reads and checks the configuration and takes nothing else.  On failure *engine is NULL and error, if not
 * NULL, has the first problem.
 */
HL_PUBLIC enum hl_engine_result hl_engine_open(const struct hl_engine_options *options,
                                               struct hl_engine **engine, char error[HL_ENGINE_ERROR_MAX]);

/* hl_engine_start takes memory, device and sockets, gives up what only that needed, and starts the cores.  May take
 * seconds.  On failure only hl_engine_close is left to do.
 */
HL_PUBLIC enum hl_engine_result hl_engine_start(struct hl_engine *engine, char error[HL_ENGINE_ERROR_MAX]);

/* The socket that producers attach to; NULL where the configuration has none.  Lives until hl_engine_close. */
HL_PUBLIC const char *hl_engine_feed_socket(const struct hl_engine *engine);

/* hl_engine_run does the control thread's work until the engine has stopped.  Returns 0, or 1 when jobs in flight were
 * given up.
 */
HL_PUBLIC int hl_engine_run(struct hl_engine *engine);

/* hl_engine_stop: now 0: takes no new jobs and stops when those in flight are done or run.drain-s is over; now 1: gives them
 * up, each with its result.  hl_engine_run returns afterwards.
 */
HL_PUBLIC void hl_engine_stop(struct hl_engine *engine, int now);

/* hl_engine_reload reads the file anew and takes over rules, routes, networks, users and the log level.  On failure
 * everything stays as it was.
 */
HL_PUBLIC enum hl_engine_result hl_engine_reload(struct hl_engine *engine, char error[HL_ENGINE_ERROR_MAX]);

/* hl_engine_close gives everything back; NULL is none.  After hl_engine_run has returned, or instead of it. */
HL_PUBLIC void hl_engine_close(struct hl_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
