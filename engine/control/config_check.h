/* config_check.h: what only the whole configuration can tell.  Private to config*.c. */
#ifndef ENGINE_CONTROL_CONFIG_CHECK_H
#define ENGINE_CONTROL_CONFIG_CHECK_H

#include "engine/control/config_reader.h"

/* config_complete fills what follows from other settings: routes, CPUs, MSS, buffers, our name. */
void config_complete(struct config_reader *reader);

/* config_check complains of settings that contradict each other; after config_complete. */
void config_check(struct config_reader *reader);

#endif
