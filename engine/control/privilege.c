#include "engine/control/privilege.h"

#include <cap-ng.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define GROUPS_MAX 256

bool privilege_harden(struct error *err)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return error_set(err, "core dumps cannot be switched off: %s", strerror(errno));
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return error_set(err, "the process cannot be made undumpable: %s", strerror(errno));
    return true;
}

bool privilege_lock_memory(struct error *err)
{
    /* Without a raised limit locked memory outlives CAP_IPC_LOCK badly: later maps and stacks would fail to grow. */
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_MEMLOCK, &all) == 0 && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
        return true;
    return error_set(
        err,
        "memory cannot be locked (%s), so keys may reach the swap: allow it (ulimit -l unlimited, LimitMEMLOCK=infinity, "
        "CAP_SYS_RESOURCE) or set memory.lock = false",
        strerror(errno));
}

void privilege_exclude(void *memory, size_t bytes)
{
    madvise(memory, bytes, MADV_DONTDUMP);
    madvise(memory, bytes, MADV_DONTFORK);
}

static bool is_number(const char *text, uint32_t *number)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *number = (uint32_t)value;
    return isdigit((unsigned char)*text) && !*end && value < UINT32_MAX;
}

static bool find_group(const char *group, uint32_t *gid, struct error *err)
{
    struct group entry, *found = NULL;
    char memory[16384];
    if (is_number(group, gid))
        return true;
    if (getgrnam_r(group, &entry, memory, sizeof(memory), &found) != 0 || !found)
        return error_set(err, "there is no group \"%s\": create it (groupadd --system %s) or name another",
                         group, group);
    *gid = entry.gr_gid;
    return true;
}

bool privilege_find(const char *user, const char *group, uint32_t *uid, uint32_t *gid, struct error *err)
{
    struct passwd entry, *found = NULL;
    char memory[16384];
    if (!*user) {
        *uid = geteuid();
        *gid = getegid();
        return !*group || find_group(group, gid, err);
    }
    bool number = is_number(user, uid);
    int failed = number ? getpwuid_r(*uid, &entry, memory, sizeof(memory), &found)
                        : getpwnam_r(user, &entry, memory, sizeof(memory), &found);
    if (failed || !found) {
        if (!number)
            return error_set(err, "there is no user \"%s\": create it (useradd --system %s) or name another",
                             user, user);
        *gid = *uid; /* a number without a name, as containers have them */
    } else {
        *uid = entry.pw_uid;
        *gid = entry.pw_gid;
    }
    return !*group || find_group(group, gid, err);
}

static bool set_groups(uint32_t uid, uint32_t gid, struct error *err)
{
    gid_t list[GROUPS_MAX] = {gid};
    int count = GROUPS_MAX;
    struct passwd entry, *found = NULL;
    char memory[16384];
    if (getpwuid_r(uid, &entry, memory, sizeof(memory), &found) != 0 || !found)
        count = 1;
    else if (getgrouplist(entry.pw_name, gid, list, &count) < 0)
        return error_set(err, "user \"%s\" is in more than %d groups", entry.pw_name, GROUPS_MAX);
    if (setgroups((size_t)count, list) != 0)
        return error_set(err, "groups cannot be set: %s", strerror(errno));
    return true;
}

/* The thread's bounding set, while there is still the right to change it. */
static bool drop_bounds(struct error *err)
{
    capng_clear(CAPNG_SELECT_BOUNDS);
    if (capng_apply(CAPNG_SELECT_BOUNDS) != 0)
        return error_set(err, "the capability bounding set cannot be emptied: %s", strerror(errno));
    return true;
}

static bool drop_capabilities(struct error *err)
{
    capng_clear(CAPNG_SELECT_CAPS);
    if (capng_apply(CAPNG_SELECT_CAPS) != 0 || capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
        return error_set(err, "capabilities cannot be dropped: %s", strerror(errno));
    return true;
}

/* A line "CapEff:\t0000000000000000" of a thread's status with anything in it. */
static bool status_is_clean(FILE *status, uint32_t uid, char *offending, size_t cap)
{
    char line[256];
    unsigned long long bits;
    unsigned ids[4];
    while (fgets(line, sizeof(line), status)) {
        bool caps = sscanf(line, "CapEff: %llx", &bits) == 1 || sscanf(line, "CapPrm: %llx", &bits) == 1;
        bool user = sscanf(line, "Uid: %u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) == 4;
        if ((caps && bits != 0) ||
            (user && (ids[0] != uid || ids[1] != uid || ids[2] != uid || ids[3] != uid))) {
            snprintf(offending, cap, "%.*s", (int)strcspn(line, "\n"), line);
            return false;
        }
    }
    return true;
}

/* glibc changes the ids of all threads; what the kernel made of it is looked at rather than believed. */
static bool check_threads(uint32_t uid, struct error *err)
{
    DIR *tasks = opendir("/proc/self/task");
    bool clean = true;
    if (!tasks)
        return error_set(err,
                         "/proc/self/task cannot be read to check that privileges are gone (%s): mount /proc",
                         strerror(errno));
    for (struct dirent *task; clean && (task = readdir(tasks));) {
        char path[300], offending[128];
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
        FILE *status = fopen(path, "re");
        if (!status)
            continue; /* a thread that has ended */
        clean = status_is_clean(status, uid, offending, sizeof(offending));
        fclose(status);
        if (!clean)
            error_set(err, "thread %s keeps privileges (%s)", task->d_name, offending);
    }
    closedir(tasks);
    return clean;
}

static bool change_user(uint32_t uid, uint32_t gid, struct error *err)
{
    if (!drop_bounds(err) || !set_groups(uid, gid, err))
        return false;
    if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return error_set(err, "user %u, group %u cannot be taken on: %s", uid, gid, strerror(errno));
    if (!drop_capabilities(err) || !check_threads(uid, err))
        return false;
    if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
        return error_set(err, "root could be had back after becoming user %u", uid);
    return true;
}

bool privilege_drop(const char *user, const char *group, struct error *err)
{
    uint32_t uid = 0, gid = 0;
    if (*user && !privilege_find(user, group, &uid, &gid, err))
        return false;
    if (*user && geteuid() != 0 && geteuid() != uid)
        return error_set(err, "only root can become user \"%s\": start as root, or set run.user = \"\"",
                         user);
    if (*user && uid == 0)
        return error_set(
            err, "run.user \"%s\" is root: name a user without privileges, or \"\" to stay who we are", user);
    if (*user && geteuid() == 0 && !change_user(uid, gid, err))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return error_set(err, "new privileges cannot be renounced: %s", strerror(errno));
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) /* the change of user has set it anew */
        return error_set(err, "the process cannot be made undumpable: %s", strerror(errno));
    return true;
}
