/* conn_io.h: what conn.c (a connection's life) and conn_io.c (its bytes) know of each other. */
#ifndef ENGINE_CONN_CONN_IO_H
#define ENGINE_CONN_CONN_IO_H

#include "engine/conn/conn.h"

/* Is it smtp's turn?  Not before TCP stands, not while TLS is being agreed on, not once it has ended. */
static inline bool conn_smtp_speaks(const struct conn *conn)
{
    return !conn->ended && (conn->phase == CONN_CLEAR || conn->phase == CONN_OPEN);
}

struct byte_sink conn_tcp_sink(struct conn *conn);

/* conn_tcp_output lets tcp send what it may; false: again soon. */
bool conn_tcp_output(struct conn *conn, uint64_t now_us);
void conn_start_smtp(struct conn *conn, uint64_t now_us);
void conn_start_tls(struct conn *conn, uint64_t now_us);

/* conn_fail: the network or a time-out has ended it; the message in hand gets its results. */
void conn_fail(struct conn *conn, enum reason reason, enum fault fault, const char *text, uint64_t now_us);
void conn_fail_for_tcp(struct conn *conn, uint64_t now_us);

/* conn_end tells the owner and starts the orderly close; harmless when that has happened. */
void conn_end(struct conn *conn, const struct outcome *why, uint64_t now_us);

#endif
