/* ports.h: what the tests of ports share: cmocka, a simulated pair, numbered frames. */
#ifndef TESTS_UNIT_DRIVERS_PORTS_H
#define TESTS_UNIT_DRIVERS_PORTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "drivers/port.h"

#define FRAME_BYTES 100u

static inline void open_pair(struct port *pair[2], uint32_t buffers)
{
    struct error err;
    if (!port_sim_pair(pair, buffers, 1500, &err))
        fail_msg("%s", err.text);
}

/* A frame that looks like IPv4 and carries a number. */
static inline struct pkt *numbered(struct port *port, uint32_t number)
{
    struct pkt *p = pkt_alloc(port->tx_pool, PKT_CONTROL);
    assert_non_null(p);
    memset(p->data, 0, FRAME_BYTES);
    p->data[12] = 0x08;
    memcpy(p->data + 20, &number, sizeof(number));
    p->len = FRAME_BYTES;
    return p;
}

static inline uint32_t number_of(const struct pkt *p)
{
    uint32_t number;
    assert_int_equal(p->len, FRAME_BYTES);
    memcpy(&number, p->data + 20, sizeof(number));
    return number;
}

static inline void send_numbered(struct port *port, uint32_t number, uint64_t now_us)
{
    struct pkt *p = numbered(port, number);
    assert_int_equal(port_transmit(port, &p, 1, now_us), 1);
}

/* The number of the next frame, or -1 when there is none. */
static inline int64_t receive_numbered(struct port *port, uint64_t now_us)
{
    struct pkt *p;
    if (port_receive(port, &p, 1, now_us) == 0)
        return -1;
    uint32_t number = number_of(p);
    pkt_free(p);
    return number;
}

static inline uint32_t available(struct port *port)
{
    pkt_pool_refresh(port->rx_pool);
    return port->rx_pool->available;
}

#endif
