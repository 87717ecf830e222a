/* admin_json.h: requests and answers of the admin socket as JSON.  Private to engine/control/admin*.c and tests. */
#ifndef ENGINE_CONTROL_ADMIN_JSON_H
#define ENGINE_CONTROL_ADMIN_JSON_H

#include "engine/control/admin.h"

/* admin_json_request reads one request; len bytes without the line's end. */
bool admin_json_request(const char *line, size_t len, struct admin_request *request,
                        struct error *err) must_check;

/* The answers: a line with its end, malloc'ed, NUL-terminated, its length in *len; NULL when there is no memory. */
char *admin_json_ok(const char *version, size_t *len);
char *admin_json_error(const char *text, size_t *len);
char *admin_json_status(const struct admin_status *status, uint64_t now_us, size_t *len);

#endif
