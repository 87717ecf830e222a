/* TAP for test programs in C that are not cmocka's: fuzz targets, simulations.
 *
 *     int main(void) { tap_ok(1 + 1 == 2, "sum"); tap_skip("moon", "no rocket"); return tap_done(); }
 *
 * Not for production code; one thread.
 */
#ifndef HARDLINE_TESTS_TAP_H
#define HARDLINE_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned tap_case_count, tap_failed_count;

/* tap_note prints a remark, `# ...`: what a reader of a failure wants to know, such as a seed. */
__attribute__((format(printf, 1, 2), unused)) static void tap_note(const char *format, ...)
{
    va_list args;
    fputs("# ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* tap_ok reports one case and returns whether it passed. The name holds no `#`. */
__attribute__((format(printf, 2, 3), unused)) static bool tap_ok(bool passed, const char *name, ...)
{
    va_list args;
    tap_case_count++;
    tap_failed_count += !passed;
    printf("%s %u - ", passed ? "ok" : "not ok", tap_case_count);
    va_start(args, name);
    vprintf(name, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    return passed;
}

/* tap_skip reports one case that could not run here, and why. */
__attribute__((unused)) static void tap_skip(const char *name, const char *why)
{
    printf("ok %u - %s # SKIP %s\n", ++tap_case_count, name, why);
    fflush(stdout);
}

/* tap_done prints the plan; its value is main's. */
static int tap_done(void)
{
    printf("1..%u\n", tap_case_count);
    return tap_failed_count != 0;
}

#endif
