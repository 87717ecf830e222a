/* Plays conversations with the SMTP session: one *.dialogue file a case, its name is the case.
 *
 *     smtp_dialogue FOLDER [CASE...]
 *
 * Every case is played four times: replies given whole and byte by byte, output taken in large and in the
 * smallest buffers.  Time is virtual.  README.md in the folder explains the language.
 */
#include "tests/unit/smtp/dialogue.h"
#include "tests/lib/tap.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    void (*play)(struct player *p, const char *text);
} directives[] = {
    {"S:", do_say_line},        {"S!", do_say_raw},       {"C:", do_hear_line},
    {"C body", do_hear_body},   {"config", do_config},    {"tls", do_tls},
    {"opened", do_opened},      {"body", do_body},        {"bytes", do_body_bytes},
    {"message", do_message},    {"@", do_time},           {"lost", do_lost},
    {"quit", do_quit},          {"done", do_done},        {"session", do_session},
    {"ready", do_ready},        {"closed", do_closed},    {"deadline", do_deadline},
    {"state", do_state},        {"enough", do_enough},    {"C chunk", do_hear_chunk},
    {"C begun", do_hear_begun}, {"C rest", do_hear_rest}, {"returned", do_returned},
    {"flights", do_flights},    {"room", do_room},
};

static void play_line(struct player *p, const char *line)
{
    if (line[0] == '#' || line[0] == '\0')
        return;
    p->wanted = isdigit((unsigned char)line[0]) ? (unsigned)strtoul(line, (char **)&line, 10) : 0;
    line += p->wanted && *line == ' ';
    if (line[0] == 'R' && isdigit((unsigned char)line[1])) {
        do_recipient(p, line + 1);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(directives); i++)
        if (dialogue_word_is(&line, directives[i].word)) {
            directives[i].play(p, line);
            return;
        }
    dialogue_fail(p, "what is \"%s\"?", line);
}

/* ---- cases ---- */

static void play_file(struct player *p, FILE *in)
{
    char line[4096];
    while (fgets(line, sizeof(line), in)) {
        p->line++;
        line[strcspn(line, "\n")] = '\0';
        play_line(p, line);
    }
    p->line++;
    dialogue_quiet(p);
    for (unsigned i = 0; i < MESSAGES_MAX; i++)
        if (p->mail[i].number)
            dialogue_fail(p, "message %u is left without an end", p->mail[i].number);
}

static bool play(const char *path, bool byte_by_byte, bool smallest_output)
{
    struct player *p = calloc(1, sizeof(*p));
    FILE *in = fopen(path, "r");
    bool passed = false;
    p->file = strrchr(path, '/') + 1;
    p->byte_by_byte = byte_by_byte;
    p->smallest_output = smallest_output;
    p->now_us = 1000000;
    p->room = SIZE_MAX;
    p->config = (struct smtp_config){"client.example", 100, 0, &p->stats, 4, true, 1u << 20};
    p->said = malloc(BUFFER_MAX);
    p->heard = malloc(BUFFER_MAX);
    p->body = malloc(BUFFER_MAX);
    do_body(p, "Subject: test\\r\\n\\r\\nhello\\r\\n");
    if (!in) {
        snprintf(p->why, sizeof(p->why), "cannot read %s", path);
    } else if (setjmp(p->failed) == 0) {
        play_file(p, in);
        passed = true;
    }
    if (!passed)
        tap_note("%s", p->why);
    if (in)
        fclose(in);
    free(p->said);
    free(p->heard);
    free(p->body);
    for (unsigned i = 0; i < MESSAGES_MAX; i++)
        free(p->mail[i].body);
    free(p);
    return passed;
}

static void play_case(const char *folder, const char *file)
{
    char path[4096];
    bool passed = true;
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    for (int mode = 0; mode < 4; mode++)
        if (!play(path, mode & 1, mode & 2)) {
            tap_note("played %s, with %s output buffers", mode & 1 ? "byte by byte" : "whole",
                     mode & 2 ? "the smallest" : "large");
            passed = false;
        }
    tap_ok(passed, "%.*s", (int)strcspn(file, "."), file);
}

static int is_dialogue(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".dialogue") == 0;
}

int main(int argc, char **argv)
{
    struct dirent **entry;
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [CASE...]\n", argv[0]);
        return 2;
    }
    int n = scandir(argv[1], &entry, is_dialogue, alphasort);
    if (n < 50)
        tap_ok(false, "the dialogues are in %s", argv[1]);
    for (int i = 0; i < n; i++) {
        bool wanted = argc == 2;
        for (int a = 2; a < argc; a++)
            wanted |= strncmp(argv[a], entry[i]->d_name, strcspn(entry[i]->d_name, ".")) == 0;
        if (wanted)
            play_case(argv[1], entry[i]->d_name);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    return tap_done();
}
