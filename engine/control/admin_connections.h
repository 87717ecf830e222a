/* admin_connections.h: the answer to "connections" as JSON. */
#ifndef ENGINE_CONTROL_ADMIN_CONNECTIONS_H
#define ENGINE_CONTROL_ADMIN_CONNECTIONS_H

#include "engine/core/core.h"

/* admin_json_connections: at most max entries of the cores' listings, in the cores' order; a NULL among these is passed over.
 * A line with its end, malloc'ed, its length in *len; NULL when there is no memory.
 */
char *admin_json_connections(struct core_listing *const *listing, uint32_t cores, uint32_t max, size_t *len);

#endif
