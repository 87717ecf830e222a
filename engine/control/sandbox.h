/* sandbox.h: which system calls are left, by seccomp.
 *
 * Two filters.  The process's lets through all but what mail delivery never needs: running programs, tracing and loading
 * kernel modules kill the process; mounts, namespaces, keys and the like fail with EPERM.  A control thread's lets
 * through only a list; other calls fail with EPERM.  Refusals are logged by the kernel where it is set up to.
 */
#ifndef ENGINE_CONTROL_SANDBOX_H
#define ENGINE_CONTROL_SANDBOX_H

#include "engine/base/error.h"

/* sandbox_process filters all threads that there are and will be, and carries PR_SET_NO_NEW_PRIVS, which must be
 * set in this thread, to all of them.  After privilege_drop.
 */
bool sandbox_process(struct error *err) must_check;

/* sandbox_control filters the calling thread and those it creates from now on (creating threads is not in the
 * list: start them before).
 */
bool sandbox_control(struct error *err) must_check;

#endif
