/* unix_listen.h: a listening Unix socket at a path, with owner and mode, in place of one that nobody serves any more. */
#ifndef ENGINE_CONTROL_UNIX_LISTEN_H
#define ENGINE_CONTROL_UNIX_LISTEN_H

#include "engine/base/error.h"

/* unix_listen gives a non-blocking descriptor of type (SOCK_STREAM, SOCK_SEQPACKET), or -1.  The directory is made
 * (mode 0755) if its parent is there.  A path on which somebody answers, or which is no socket, is left alone and is
 * an error.  uid, gid: (uint32_t)-1 for ours.  The socket has its mode before anybody can connect.
 */
int unix_listen(const char *path, int type, uint32_t mode, uint32_t uid, uint32_t gid,
                struct error *err) must_check;

#endif
