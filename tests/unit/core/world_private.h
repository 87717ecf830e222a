/* world_private.h: what the files of a world know of each other. */
#ifndef TESTS_UNIT_CORE_WORLD_PRIVATE_H
#define TESTS_UNIT_CORE_WORLD_PRIVATE_H

#include "tests/unit/core/world.h"

void world_release_table(struct policy_table *table);
void mail_reap(struct world *w);

/* mail_check: one result a recipient; what was delivered is there once and byte for byte, what was not is not. */
void mail_check(struct world *w);

#endif
