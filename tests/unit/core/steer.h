/* steer.h: two queues of one device that cannot steer: all that arrives comes to the first. */
#ifndef TESTS_UNIT_CORE_STEER_H
#define TESTS_UNIT_CORE_STEER_H

#include "drivers/port.h"

/* steer_open takes over below; the queues may be closed in any order, their packets all belong to below's pool. */
void steer_open(struct port *below, struct port *queue[2]);

#endif
