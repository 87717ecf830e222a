/* world_mail.h: what world.c needs of the ledger of messages. */
#ifndef TESTS_UNIT_CORE_WORLD_MAIL_H
#define TESTS_UNIT_CORE_WORLD_MAIL_H

#include "tests/unit/core/world.h"

void mail_reap(struct world *w);

/* mail_check: one result a recipient; what was delivered is there once and byte for byte, what was not is not. */
void mail_check(struct world *w);

#endif
