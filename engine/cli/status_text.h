/* status_text.h: an answer to "status" as text for people. */
#ifndef ENGINE_CLI_STATUS_TEXT_H
#define ENGINE_CLI_STATUS_TEXT_H

#include "engine/base/error.h"

#include <stdio.h>

struct yyjson_val;

/* status_text prints what root holds.  before: the answer before this one, seconds ago, for rates; NULL: none.
 * all: counters that are zero as well.
 */
void status_text(FILE *out, struct yyjson_val *root, struct yyjson_val *before, double seconds, bool all);

#endif
