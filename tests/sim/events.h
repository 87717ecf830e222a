/* events.h: what happens when, in virtual time: a binary heap; equal times keep their order. */
#ifndef TESTS_SIM_EVENTS_H
#define TESTS_SIM_EVENTS_H

#include "engine/base/base.h"

enum event_kind {
    EVENT_ARRIVE, /* bytes of a segment reach a host */
    EVENT_TIMER,  /* a host's deadline may have come */
    EVENT_APP,    /* a host's application does something */
    EVENT_TXDONE, /* a host's port gives a packet back */
    EVENT_ICMP,   /* a router complains to a host */
};

struct event {
    uint64_t at_us;
    uint64_t order;
    enum event_kind kind;
    int host;
    void *data;        /* EVENT_ARRIVE: malloc'ed bytes; EVENT_TXDONE: struct pkt */
    uint32_t len;      /* of data */
    uint8_t ip_ecn;    /* enum ip_ecn; EVENT_ARRIVE */
    uint32_t seq, mtu; /* EVENT_ICMP */
};

struct events {
    struct event *heap;
    uint32_t count, capacity;
    uint64_t pushed;
};

void events_push(struct events *q, struct event event);

/* events_pop gives the earliest; false when there is none. */
bool events_pop(struct events *q, struct event *event);

void events_free(struct events *q);

#endif
