/* error.h: a fault told to a person: the thing, what was wrong with it, what to do.
 *
 * The one must-check family of start-up and control code: a function that can fail returns bool and takes
 * a struct error last.  The data path has no use for it; it counts (stat.h) and reports outcomes (outcome.h).
 */
#ifndef ENGINE_BASE_ERROR_H
#define ENGINE_BASE_ERROR_H

#include "engine/base/base.h"

#define ERROR_TEXT_MAX 512

struct error {
    char text[ERROR_TEXT_MAX]; /* NUL-terminated, one line, no trailing period */
};

/* error_set writes the message and returns false, so that a caller can `return error_set(err, ...)`. */
bool error_set(struct error *err, const char *fmt, ...) printf_like(2, 3);

/* error_prefix puts "prefix: " before a message that a callee wrote; returns false. */
bool error_prefix(struct error *err, const char *fmt, ...) printf_like(2, 3);

#endif
