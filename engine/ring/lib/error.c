#include "engine/ring/lib/lib.h"

#include <stdarg.h>
#include <stdio.h>

int fail(struct hl_error *error, int code, const char *fmt, ...)
{
    if (error) {
        va_list args;
        error->code = code;
        va_start(args, fmt);
        vsnprintf(error->text, sizeof(error->text), fmt, args);
        va_end(args);
    }
    return -code;
}
