/* ask.h: one question to the admin socket of a running engine (engine/control/admin.h has the other end). */
#ifndef ENGINE_CLI_ASK_H
#define ENGINE_CLI_ASK_H

#include "engine/base/error.h"

struct ask {
    int fd;
    const char *path; /* borrowed */
};

/* ask_open connects.  Messages say what to do: the engine does not run, or we may not. */
bool ask_open(struct ask *ask, const char *path, struct error *err) must_check;
void ask_close(struct ask *ask);

/* ask_question sends a command and gives the answer, a line of JSON with "ok":true, malloc'ed; NULL with err set when
 * there is none in ten seconds or it is a refusal (err has the engine's words then).
 */
char *ask_question(struct ask *ask, const char *command, size_t *len, struct error *err) must_check;

/* ask_request: the same for a whole request, an object of JSON. */
char *ask_request(struct ask *ask, const char *request, size_t *len, struct error *err) must_check;

#endif
