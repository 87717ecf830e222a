#include "bench/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static int complain(const char *program, const struct error *err)
{
    fprintf(stderr, "%s: %s\n", program, err->text);
    return EX_USAGE;
}

int options_read(const struct options_form *form, void *into, int argc, char **argv)
{
    struct error err;
    optind = 1;
    for (int option, at; at = 0, (option = getopt_long(argc, argv, "h", form->known, &at)) != -1;) {
        if (option == '?') { /* getopt has named it */
            fprintf(stderr, "%s: see %s --help\n", argv[0], argv[0]);
            return EX_USAGE;
        }
        if (option == OPTIONS_HELP) {
            fputs(form->help, stdout);
            return 0;
        }
        if (!form->set(into, option, optarg, &err)) {
            (void)error_prefix(&err, "--%s", form->known[at].name);
            return complain(argv[0], &err);
        }
    }
    if (optind < argc) {
        (void)error_set(&err, "\"%.80s\" is not an option: see --help", argv[optind]);
        return complain(argv[0], &err);
    }
    return form->complete(into, &err) ? -1 : complain(argv[0], &err);
}

bool options_number(const char *text, uint32_t least, uint32_t most, uint32_t *value, struct error *err)
{
    char *end;
    unsigned long long wide = strtoull(text, &end, 10);
    if (end == text || *end || *text == '-' || wide < least || wide > most)
        return error_set(err, "\"%.80s\" is not a number from %u to %u", text, least, most);
    *value = (uint32_t)wide;
    return true;
}
