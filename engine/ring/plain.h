/* plain.h: nearly every name of an envelope is short and of letters, digits, dots and hyphens: judged in one look, sixteen
 * bytes at a time.
 *
 * Each says true where names.c would say that the text may pass, and fills *domain as names.c would; false says nothing:
 * names.c looks at it byte by byte.  No state, no allocation; any thread.
 */
#ifndef ENGINE_RING_PLAIN_H
#define ENGINE_RING_PLAIN_H

#include "engine/ring/names.h"

bool plain_domain(struct span text, struct ring_name *domain);
bool plain_local(struct span text); /* "first.last+tag" */
bool plain_address(struct span text, struct ring_name *domain);

#endif
