/* Reading what the kernel tells in /sys and /proc. */
#include "engine/cli/doctor.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 512

static void read_line(char *out, size_t cap, const char *path)
{
    FILE *file = fopen(path, "re");
    out[0] = '\0';
    if (file && !fgets(out, (int)cap, file))
        out[0] = '\0';
    if (file)
        fclose(file);
    out[strcspn(out, "\n")] = '\0';
}

bool doctor_read(char *out, size_t cap, const char *path_fmt, ...)
{
    char path[PATH_BYTES];
    va_list args;
    va_start(args, path_fmt);
    vsnprintf(path, sizeof(path), path_fmt, args);
    va_end(args);
    read_line(out, cap, path);
    return out[0] != '\0';
}

long long doctor_number(long long otherwise, const char *path_fmt, ...)
{
    char path[PATH_BYTES], line[64], *end;
    va_list args;
    va_start(args, path_fmt);
    vsnprintf(path, sizeof(path), path_fmt, args);
    va_end(args);
    read_line(line, sizeof(line), path);
    long long number = strtoll(line, &end, 0);
    return end == line ? otherwise : number;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int doctor_entries(const char *folder, void (*each)(void *ctx, const char *name), void *ctx)
{
    struct dirent **entry;
    int count = scandir(folder, &entry, visible, alphasort);
    if (count < 0)
        return 0;
    for (int i = 0; i < count; i++) {
        each(ctx, entry[i]->d_name);
        free(entry[i]);
    }
    free((void *)entry);
    return count;
}

void doctor_link(char *out, size_t cap, const char *path_fmt, ...)
{
    char path[PATH_BYTES], target[PATH_BYTES];
    va_list args;
    va_start(args, path_fmt);
    vsnprintf(path, sizeof(path), path_fmt, args);
    va_end(args);
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    target[len > 0 ? len : 0] = '\0';
    const char *slash = strrchr(target, '/');
    snprintf(out, cap, "%s", slash ? slash + 1 : target);
}
