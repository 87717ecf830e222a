/* hardline submit: messages to the engine, results to whoever asked. */
#include "engine/cli/cli.h"
#include "engine/cli/submit.h"

#include <errno.h>
#include <sysexits.h>

static int attach_failed(const struct hl_error *error)
{
    fprintf(stderr, "hardline submit: %s\n", error->text);
    switch (error->code) {
    case EACCES:
    case EPERM: return EX_NOPERM;
    case EPROTONOSUPPORT:
    case EPROTO: return EX_PROTOCOL;
    case EINVAL:
    case ENAMETOOLONG: return EX_USAGE;
    default: return EX_TEMPFAIL; /* nobody there now, or no room */
    }
}

int cli_submit(int argc, char **argv)
{
    struct submit_options options;
    struct hl_attach attach = hl_attach_init();
    struct hl_error error;
    struct error err;
    hl_feed *feed;
    int status;
    if (!options_read(&options, argc, argv, &status))
        return status;
    struct source *source = source_open(&options, &err);
    if (!source) {
        fprintf(stderr, "hardline submit: %s\n", err.text);
        envelope_clear(&options.envelope);
        return EX_NOINPUT;
    }
    attach.socket_path = options.socket_path;
    attach.name = "hardline submit";
    if (hl_feed_attach(&feed, &attach, &error) == 0)
        status = run_submit(&options, feed, source);
    else
        status = attach_failed(&error);
    source_close(source);
    envelope_clear(&options.envelope);
    return status;
}
