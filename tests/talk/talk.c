/* talk.c: plays conversations: talk FOLDER, or talk FILE.talk...; a case a file.  README.md has the format. */
#include "tests/talk/play.h"

#include "tests/lib/tap.h"

#include <dirent.h>
#include <stdlib.h>

static bool is_script(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".talk") == 0;
}

static int only_scripts(const struct dirent *entry)
{
    return is_script(entry->d_name);
}

static void play_one(const char *folder, const char *name)
{
    static struct play play;
    char path[1024], title[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    snprintf(title, sizeof(title), "%.*s", (int)(strlen(name) - 5), name);
    bool passed = play_file(&play, path, folder);
    if (!passed)
        tap_note("%s", play.fault);
    tap_ok(passed, "%s", title);
}

static bool play_folder(const char *folder)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, only_scripts, alphasort);
    for (int i = 0; i < n; i++) {
        play_one(folder, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return n > 0;
}

static void play_path(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    play_one(slash ? path : ".", slash ? slash + 1 : path);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: talk FOLDER | FILE.talk...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        if (is_script(argv[i])) {
            play_path(argv[i]);
        } else if (!play_folder(argv[i])) {
            fprintf(stderr, "talk: no conversations in %s\n", argv[i]);
            return 2;
        }
    }
    return tap_done();
}
