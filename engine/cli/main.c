/* hardline: the operator's and the producer's tool.  A command a file; this one finds it. */
#include "engine/cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int show_help(int argc, char **argv);
static int show_version(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"submit", cli_submit, "hand messages over to the engine and say what became of them"},
    {"status", cli_status, "show what a running engine does"},
    {"capture", cli_capture, "write the frames of one receiver into a file, for tcpdump or Wireshark"},
    {"reload", cli_order, "make a running engine read its rules anew"},
    {"drain", cli_order, "make a running engine finish what is in flight and end"},
    {"stop", cli_order, "make a running engine end now"},
    {"ping", cli_order, "ask whether an engine runs"},
    {"doctor", cli_doctor, "look at this machine: what is missing and what to do"},
    {"version", show_version, "print the version"},
    {"help", show_help, "print this, or a command's help: hardline help submit"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_usage(FILE *out)
{
    fputs("usage: hardline COMMAND [ARGUMENT]...\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
    fputs("\nEach has --help.\n", out);
}

static int run(const struct command *command, int argc, char **argv)
{
    static char name[32]; /* argv outlives this call */
    snprintf(name, sizeof(name), "hardline %s", command->name);
    argv[0] = name;
    return command->run(argc, argv);
}

static int unknown(const char *name)
{
    fprintf(stderr, "hardline: there is no command \"%s\": known are", name);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stderr, "%s %s", i ? "," : "", commands[i].name);
    fputc('\n', stderr);
    return EX_USAGE;
}

static int show_version(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        puts("usage: hardline version\n\nPrints the version of this program.");
    else if (argc > 1)
        return fprintf(stderr, "hardline version: takes no arguments, not \"%s\"\n", argv[1]), EX_USAGE;
    else
        puts("hardline " HARDLINE_VERSION);
    return EX_OK;
}

static int show_help(int argc, char **argv)
{
    char help[] = "--help";
    const struct command *command = argc > 1 ? find(argv[1]) : NULL;
    if (command && command->run != show_help)
        return run(command, 2, (char *[]){argv[1], help, NULL});
    if (argc > 1 && !command && argv[1][0] != '-')
        return unknown(argv[1]);
    print_usage(stdout);
    return EX_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EX_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return show_help(1, argv);
    if (strcmp(argv[1], "--version") == 0)
        return show_version(1, argv);
    const struct command *command = find(argv[1]);
    return command ? run(command, argc - 1, argv + 1) : unknown(argv[1]);
}
