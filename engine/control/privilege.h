/* privilege.h: giving up what start-up needed, and keeping secrets in memory.
 *
 * Order of start-up, in the thread that becomes the control thread:
 *   1. privilege_harden        before any secret is in memory
 *   2. control_open            so that later threads inherit the signal mask
 *   3. EAL, ports, pools, sockets, log, pid file: what takes root.  EAL starts threads of its own here.
 *   4. privilege_lock_memory   while it is permitted
 *   5. privilege_drop          user, groups, capabilities, no new privileges; sandbox_process (sandbox.h) carries the
 *                              last to the threads that exist already
 *   6. the core threads        inherit all of it
 *   7. sandbox_control         this thread's own, strictest filter
 * libhardline in a host process does 1 to 7 only as far as its configuration says so (run.user, memory.lock,
 * run.seccomp).
 */
#ifndef ENGINE_CONTROL_PRIVILEGE_H
#define ENGINE_CONTROL_PRIVILEGE_H

#include "engine/base/error.h"

/* privilege_harden: no core dumps (RLIMIT_CORE 0), not traceable by others of the same user (PR_SET_DUMPABLE 0). */
bool privilege_harden(struct error *err) must_check;

/* privilege_lock_memory keeps pages out of swap once they have been touched; also those mapped later.  False where it is
 * not permitted: err says why and what to do; the caller warns and goes on.
 */
bool privilege_lock_memory(struct error *err) must_check;

/* privilege_exclude keeps a mapping out of core dumps that somebody else enables, and out of children. */
void privilege_exclude(void *memory, size_t bytes);

/* privilege_drop makes every thread of the process run as user (name or number) and group ("": the user's), with the
 * user's supplementary groups, without capabilities, and this thread without the way to new ones.  user "": stays, but
 * without new privileges.  Checks all threads afterwards; on failure the process must end.
 */
bool privilege_drop(const char *user, const char *group, struct error *err) must_check;

/* privilege_find looks up what privilege_drop would become; user "": who we are. */
bool privilege_find(const char *user, const char *group, uint32_t *uid, uint32_t *gid,
                    struct error *err) must_check;

#endif
