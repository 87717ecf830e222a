/* feed_socket.h: the feed's Unix socket and the messages on it, byte by byte.  Private to feed_server.c. */
#ifndef ENGINE_CONTROL_FEED_SOCKET_H
#define ENGINE_CONTROL_FEED_SOCKET_H

#include "engine/control/feed_server.h"
#include "engine/ring/layout.h"

bool feed_socket_peer(int sock, struct feed_peer *peer);

/* These send one message and never block; a producer that does not read gets none. */
bool feed_socket_grant(int sock, uint64_t epoch, const int *fds, size_t count);
bool feed_socket_ready(int sock, uint64_t epoch);
void feed_socket_goodbye(int sock, enum ring_goodbye why, const char *text);

/* feed_socket_name copies the program's name out of a HELLO, made printable. */
void feed_socket_name(char *out, size_t cap, const struct ring_message *hello);

#endif
