/* hardline doctor: what this machine has for delivering fast, what is missing, and what to do. */
#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/cli.h"
#include "engine/cli/doctor.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: hardline doctor [OPTION]...\n"
    "\n"
    "Looks at CPU, memory, devices, libraries and a running engine or a configuration; says what is\n"
    "missing and what to do. Changes nothing; with -c, as root and while no engine runs, it opens the\n"
    "configured device for a moment.\n"
    "\n"
    "  -c, --config FILE  check this configuration and try its device\n"
    "  --json             a JSON object with all findings\n"
    "  --socket PATH      run.admin-socket (" CLI_ADMIN_SOCKET ")\n"
    "  --qat-root PATH    look for QAT in PATH/sys and PATH/dev: what was copied from another machine\n"
    "\n"
    "Exit status: 0 nothing is missing (warnings there may be), 1 something is, 64 wrong usage.\n";

static const char *const state_names[] = {"ok", "warn", "missing"};

void doctor_say(struct doctor *doctor, enum doctor_state state, const char *what, const char *remedy,
                const char *fmt, ...)
{
    if (doctor->findings == DOCTOR_FINDINGS_MAX)
        return;
    struct doctor_finding *finding = &doctor->finding[doctor->findings++];
    finding->state = state;
    snprintf(finding->what, sizeof(finding->what), "%s", what);
    snprintf(finding->remedy, sizeof(finding->remedy), "%s", remedy ? remedy : "");
    va_list args;
    va_start(args, fmt);
    vsnprintf(finding->found, sizeof(finding->found), fmt, args);
    va_end(args);
}

static uint32_t count_of(const struct doctor *doctor, enum doctor_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < doctor->findings; i++)
        count += doctor->finding[i].state == state;
    return count;
}

static void print_text(const struct doctor *doctor)
{
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    for (uint32_t i = 0; i < doctor->findings; i++) {
        const struct doctor_finding *f = &doctor->finding[i];
        printf("%s%-8s%s%-16s %s\n", colour ? colours[f->state] : "", state_names[f->state],
               colour ? "\033[0m" : "", f->what, f->found);
        if (f->remedy[0])
            printf("%24s -> %s\n", "", f->remedy);
    }
    printf("\n%u ok, %u warnings, %u missing\n", count_of(doctor, DOCTOR_OK), count_of(doctor, DOCTOR_WARN),
           count_of(doctor, DOCTOR_MISSING));
}

static bool print_json(const struct doctor *doctor)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    for (enum doctor_state state = DOCTOR_OK; state <= DOCTOR_MISSING; state++)
        yyjson_mut_obj_add_uint(doc, root, state_names[state], count_of(doctor, state));
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "findings");
    for (uint32_t i = 0; i < doctor->findings; i++) {
        const struct doctor_finding *f = &doctor->finding[i];
        yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_str(doc, object, "state", state_names[f->state]);
        yyjson_mut_obj_add_str(doc, object, "what", f->what);
        yyjson_mut_obj_add_str(doc, object, "found", f->found);
        yyjson_mut_obj_add_str(doc, object, "remedy", f->remedy);
    }
    /* Names from /sys and words of other programs need not be UTF-8. */
    char *text = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY | YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL);
    yyjson_mut_doc_free(doc);
    if (text)
        puts(text);
    free(text);
    return text != NULL;
}

static int examine(struct doctor *doctor, bool json)
{
    doctor_cpu(doctor);
    doctor_memory(doctor);
    doctor_devices(doctor);
    doctor_qat(doctor);
    doctor_crypto(doctor);
    doctor_engine(doctor);
    if (!json)
        print_text(doctor);
    else if (!print_json(doctor))
        return EX_OSERR;
    return count_of(doctor, DOCTOR_MISSING) != 0;
}

int cli_doctor(int argc, char **argv)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
        {"socket", required_argument, NULL, 's'}, {"qat-root", required_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    static struct doctor doctor; /* large */
    bool json = false;
    doctor.socket = CLI_ADMIN_SOCKET;
    doctor.root = "";
    for (int which; (which = getopt_long(argc, argv, "c:h", longs, NULL)) != -1;) {
        switch (which) {
        case 'c': doctor.config = optarg; break;
        case 'j': json = true; break;
        case 'q': doctor.root = optarg; break;
        case 's': doctor.socket = optarg; break;
        case 'h': fputs(usage, stdout); return EX_OK;
        default: return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "hardline doctor: what is \"%s\"? see --help\n", argv[optind]);
        return EX_USAGE;
    }
    return examine(&doctor, json);
}
