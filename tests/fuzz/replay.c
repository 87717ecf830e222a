/* Replays a corpus through a fuzz target, without a fuzz engine: a case a file.
 *
 *     fuzz_x_replay FOLDER
 *
 * With clang the same target is also built against libFuzzer, as fuzz_x (not by default); scripts/fuzz does that and looks for
 * more.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/lib/tap.h"

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1u << 20)

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static size_t read_file(const char *path, uint8_t *bytes)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return 0;
    size_t size = fread(bytes, 1, INPUT_MAX, in);
    fclose(in);
    return size;
}

/* In memory of exactly its size, so that the address sanitizer sees one byte too many. */
static bool replay(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    size_t size = read_file(path, bytes);
    uint8_t *exact = malloc(size + !size);
    if (!exact)
        return false;
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return true;
}

int main(int argc, char **argv)
{
    struct dirent **entry;
    int n = argc == 2 ? scandir(argv[1], &entry, is_input, alphasort) : -1;
    if (n <= 0) {
        tap_ok(false, "the corpus is in %s", argc == 2 ? argv[1] : "the folder that must be given");
        return tap_done();
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", argv[1], entry[i]->d_name);
        tap_note("%s", entry[i]->d_name); /* if the target aborts, this was the one */
        fflush(stdout);
        tap_ok(replay(path), "%s", entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return tap_done();
}
