/* peer.h: a receiver as operators write it: ADDRESS or ADDRESS:PORT, IPv6 with a port in brackets. */
#ifndef ENGINE_CLI_PEER_H
#define ENGINE_CLI_PEER_H

#include "engine/base/error.h"
#include "engine/wire/addr.h"

struct peer {
    char address[IP_ADDR_TEXT_MAX]; /* in the usual form; "" where none was given */
    uint16_t port;                  /* 0: any */
};

bool peer_parse(const char *text, struct peer *peer, struct error *err) must_check;

#endif
