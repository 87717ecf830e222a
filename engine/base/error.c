#include "engine/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool error_set(struct error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return false;
}

bool error_prefix(struct error *err, const char *fmt, ...)
{
    char prefix[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof(prefix) - 2, fmt, args);
    va_end(args);
    strcat(prefix, ": ");

    size_t shift = strlen(prefix);
    memmove(err->text + shift, err->text, sizeof(err->text) - shift);
    memcpy(err->text, prefix, shift);
    err->text[sizeof(err->text) - 1] = '\0';
    return false;
}
