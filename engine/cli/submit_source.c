/* submit_source.c: letters in order: files, directories' files, standard input, or the lines of a job list. */
#include "engine/cli/submit.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct source {
    const struct submit_options *options;
    char **path; /* owned */
    size_t paths, next;
    FILE *jobs; /* NULL: paths */
    char *line;
    size_t line_cap;
    uint64_t line_number, total;
    uint64_t number; /* of the next letter */
};

static bool add_path(struct source *s, const char *path, struct error *err)
{
    if ((s->paths & (s->paths - 1)) == 0) { /* full at powers of two */
        char **more = (char **)realloc((void *)s->path, (s->paths ? 2 * s->paths : 1) * sizeof(*more));
        if (!more)
            return error_set(err, "out of memory for %zu file names", s->paths);
        s->path = more;
    }
    char *copy = strdup(path);
    if (!copy)
        return error_set(err, "out of memory for %zu file names", s->paths);
    s->path[s->paths++] = copy;
    return true;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool add_entry(struct source *s, const char *folder, const char *name, struct error *err)
{
    struct stat st;
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return error_set(err, "out of memory");
    bool good = stat(path, &st) != 0 || !S_ISREG(st.st_mode) || add_path(s, path, err);
    free(path);
    return good;
}

static bool add_folder(struct source *s, const char *folder, struct error *err)
{
    struct dirent **entry;
    size_t before = s->paths;
    int n = scandir(folder, &entry, is_visible, alphasort);
    if (n < 0)
        return error_set(err, "%s: %s", folder, strerror(errno));
    bool good = true;
    for (int i = 0; i < n; i++) {
        good = good && add_entry(s, folder, entry[i]->d_name, err);
        free(entry[i]);
    }
    free((void *)entry);
    return good && (s->paths > before || error_set(err, "%s has no files in it", folder));
}

static bool add_argument(struct source *s, const char *path, struct error *err)
{
    struct stat st;
    if (strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return add_folder(s, path, err);
    return add_path(s, path, err);
}

static bool open_paths(struct source *s, struct error *err)
{
    for (int i = 0; i < s->options->paths_count; i++)
        if (!add_argument(s, s->options->paths[i], err))
            return false;
    if (s->paths == 0 && !add_path(s, "-", err))
        return false;
    s->total = s->paths;
    return true;
}

/* A list that can be read twice is counted first. */
static void count_jobs(struct source *s)
{
    struct stat st;
    if (fstat(fileno(s->jobs), &st) < 0 || !S_ISREG(st.st_mode))
        return;
    while (getline(&s->line, &s->line_cap, s->jobs) > 0)
        s->total += s->line[strspn(s->line, " \t\r\n")] != 0;
    rewind(s->jobs);
}

static bool open_jobs(struct source *s, struct error *err)
{
    const char *path = s->options->jobs_path;
    s->jobs = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!s->jobs)
        return error_set(err, "%s: %s", path, strerror(errno));
    count_jobs(s);
    return true;
}

struct source *source_open(const struct submit_options *options, struct error *err)
{
    struct source *s = calloc(1, sizeof(*s));
    if (!s) {
        error_set(err, "out of memory");
        return NULL;
    }
    s->options = options;
    if (options->jobs_path ? open_jobs(s, err) : open_paths(s, err))
        return s;
    source_close(s);
    return NULL;
}

void source_close(struct source *s)
{
    for (size_t i = 0; i < s->paths; i++)
        free(s->path[i]);
    free((void *)s->path);
    free(s->line);
    if (s->jobs && s->jobs != stdin)
        fclose(s->jobs);
    free(s);
}

uint64_t source_total(const struct source *s)
{
    return s->total;
}

uint64_t source_left(const struct source *s)
{
    return s->total > s->number ? s->total - s->number : 0;
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

/* The options' envelope is where every letter's begins. */
static bool copy_envelope(struct envelope *to, const struct envelope *from)
{
    *to = *from;
    to->to = NULL;
    to->to_count = 0;
    bool good = copy_text(&to->from, from->from);
    good = copy_text(&to->next_hop, from->next_hop) && good;
    good = copy_text(&to->tag, from->tag) && good;
    for (size_t i = 0; i < from->to_count && good; i++)
        good = envelope_add_to(to, from->to[i].address, strlen(from->to[i].address), from->to[i].dsn);
    return good;
}

static struct letter *new_letter(struct source *s, struct error *err)
{
    struct letter *letter = calloc(1, sizeof(*letter));
    if (!letter) {
        error_set(err, "out of memory");
        return NULL;
    }
    list_init(&letter->link);
    letter->number = s->number++;
    if (!copy_envelope(&letter->envelope, &s->options->envelope))
        error_set(err, "out of memory");
    return letter;
}

static struct letter *next_job(struct source *s, struct error *err)
{
    ssize_t n;
    struct error why;
    do {
        n = getline(&s->line, &s->line_cap, s->jobs);
        s->line_number++;
    } while (n > 0 && s->line[strspn(s->line, " \t\r\n")] == 0);
    if (n <= 0)
        return NULL;
    struct letter *letter = new_letter(s, err);
    if (letter && !jobs_parse(s->line, (size_t)n, letter, &why))
        error_set(err, "%s: line %llu: %s", s->options->jobs_path, (unsigned long long)s->line_number,
                  why.text);
    return letter;
}

static struct letter *next_path(struct source *s, struct error *err)
{
    if (s->next == s->paths)
        return NULL;
    struct letter *letter = new_letter(s, err);
    if (letter && !copy_text(&letter->path, s->path[s->next]))
        error_set(err, "out of memory");
    s->next++;
    return letter;
}

struct letter *source_next(struct source *s, struct error *err)
{
    err->text[0] = 0;
    return s->jobs ? next_job(s, err) : next_path(s, err);
}
