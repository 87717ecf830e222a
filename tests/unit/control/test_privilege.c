/* Giving up privileges and system calls: in children, since there is no way back. */
#include "engine/control/privilege.h"
#include "engine/control/sandbox.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534u

/* Runs check in a child; what it returns is the exit status: 0, or the line of the first thing that is not so. */
static int in_child(int (*check)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(check());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void expect_good(int (*check)(void))
{
    int status = in_child(check);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("child: %s %d", WIFEXITED(status) ? "failed at line" : "killed by signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static void needs_root(void)
{
    if (geteuid() != 0) {
        print_message("# only root can give privileges up\n");
        skip();
    }
}

/* Lines of source are below 255 here: an exit status can hold one. */
#define EXPECT(what)         \
    do {                     \
        if (!(what))         \
            return __LINE__; \
    } while (0)

static void *wait_for_the_end(void *arg)
{
    for (;;)
        pause(); /* glibc interrupts it to change the thread's ids */
    return arg;
}

/* A field of a thread's status, the number after it in the given base; -1 if it is not there. */
static long long status_field(const char *task, const char *name, int base)
{
    char path[300], line[256];
    long long value = -1;
    snprintf(path, sizeof(path), "/proc/self/task/%s/status", task);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            value = (long long)strtoull(line + strlen(name) + 1, NULL, base);
    if (file)
        fclose(file);
    return value;
}

static int drop_covers_all_threads(void)
{
    struct error err;
    pthread_t thread;
    char self[16], other[16];
    EXPECT(pthread_create(&thread, NULL, wait_for_the_end, NULL) == 0); /* as EAL does before the drop */
    snprintf(self, sizeof(self), "%d", getpid());
    snprintf(other, sizeof(other), "%d", getpid() + 1);
    for (int i = 2; status_field(other, "Uid", 10) < 0 && i < 100; i++)
        snprintf(other, sizeof(other), "%d", getpid() + i);
    EXPECT(status_field(other, "Uid", 10) == 0);
    EXPECT(privilege_harden(&err) && privilege_drop("65534", "", &err) && sandbox_process(&err));
    const char *tasks[] = {self, other};
    for (int i = 0; i < 2; i++) {
        EXPECT(status_field(tasks[i], "Uid", 10) == NOBODY);
        EXPECT(status_field(tasks[i], "Gid", 10) == NOBODY);
        EXPECT(status_field(tasks[i], "CapEff", 16) == 0);
        EXPECT(status_field(tasks[i], "CapPrm", 16) == 0);
        EXPECT(status_field(tasks[i], "CapInh", 16) == 0);
        EXPECT(status_field(tasks[i], "NoNewPrivs", 10) == 1);
        EXPECT(status_field(tasks[i], "Seccomp", 10) == 2);
    }
    EXPECT(status_field(self, "CapBnd", 16) == 0);
    EXPECT(setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0);
    EXPECT(open("/etc/shadow", O_RDONLY) < 0 && errno == EACCES);
    gid_t groups[8];
    int count = getgroups(8, groups);
    for (int i = 0; i < count; i++)
        EXPECT(groups[i] == NOBODY);
    EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    struct rlimit core;
    EXPECT(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
    return 0;
}

static void dropped_privileges_are_gone_in_every_thread(void **state)
{
    (void)state;
    needs_root();
    expect_good(drop_covers_all_threads);
}

static int drop_by_name(void)
{
    struct error err;
    EXPECT(privilege_drop("nobody", "nogroup", &err));
    EXPECT(getuid() == NOBODY && getgid() == NOBODY);
    return 0;
}

static void users_have_names(void **state)
{
    (void)state;
    needs_root();
    expect_good(drop_by_name);
}

static int stay(void)
{
    struct error err;
    uid_t before = getuid();
    EXPECT(privilege_drop("", "", &err));
    EXPECT(getuid() == before);
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    return 0;
}

static void no_user_means_stay(void **state)
{
    (void)state;
    expect_good(stay);
}

static int refuse_to_become(void)
{
    struct error err;
    EXPECT(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    EXPECT(!privilege_drop("1", "", &err));
    EXPECT(strcmp(err.text, "only root can become user \"1\": start as root, or set run.user = \"\"") == 0);
    EXPECT(privilege_drop("65534", "", &err)); /* who we are already */
    return 0;
}

static void only_root_can_become_another(void **state)
{
    (void)state;
    needs_root();
    expect_good(refuse_to_become);
}

static void mistakes_are_told(void **state)
{
    struct error err;
    uint32_t uid, gid;
    (void)state;
    assert_false(privilege_find("no-such-user", "", &uid, &gid, &err));
    assert_string_equal(
        err.text,
        "there is no user \"no-such-user\": create it (useradd --system no-such-user) or name another");
    assert_false(privilege_find("0", "no-such-group", &uid, &gid, &err));
    assert_string_equal(
        err.text, "there is no group \"no-such-group\": create it (groupadd --system no-such-group) or name "
                  "another");
    assert_true(privilege_find("4000000000", "", &uid, &gid, &err));
    assert_true(uid == 4000000000u && gid == 4000000000u);
    assert_true(privilege_find("", "", &uid, &gid, &err));
    assert_true(uid == geteuid() && gid == getegid());
    if (geteuid() == 0) {
        assert_false(privilege_drop("root", "", &err));
        assert_non_null(strstr(err.text, "is root: name a user without privileges"));
    }
}

/* What control threads do all day. */
static int ordinary_work(void)
{
    char byte;
    int pair[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    EXPECT(write(pair[0], "x", 1) == 1);
    struct pollfd ready = {.fd = pair[1], .events = POLLIN};
    EXPECT(poll(&ready, 1, 1000) == 1 && read(pair[1], &byte, 1) == 1);
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    EXPECT(fd >= 0 && read(fd, &byte, 1) == 1 && close(fd) == 0);
    int memory = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT(memory >= 0 && ftruncate(memory, 1 << 20) == 0);
    void *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    EXPECT(map != MAP_FAILED);
    memset(map, 1, 1 << 20);
    EXPECT(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0 && munmap(map, 1 << 20) == 0);
    EXPECT(getpwnam("root") != NULL);
    void *block = malloc(64 << 20);
    EXPECT(block != NULL);
    free(block);
    return 0;
}

static int control_refuses(void)
{
    struct error err;
    EXPECT(sandbox_control(&err));
    EXPECT(chroot("/") != 0 && errno == EPERM);
    EXPECT(setuid(getuid()) != 0 && errno == EPERM);
    EXPECT(ordinary_work() == 0);
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, wait_for_the_end, NULL) == EPERM);
    EXPECT(ordinary_work() == 0);
    return 0;
}

static void control_thread_works_on_after_a_refusal(void **state)
{
    (void)state;
    expect_good(control_refuses);
}

static int run_a_program(void)
{
    char *const argv[] = {(char *)(uintptr_t)"true", NULL};
    struct error err;
    EXPECT(sandbox_control(&err));
    EXPECT(ordinary_work() == 0);
    execv("/bin/true", argv);
    return __LINE__;
}

static void control_thread_that_runs_a_program_is_killed(void **state)
{
    (void)state;
    int status = in_child(run_a_program);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int run_a_program_anywhere(void)
{
    char *const argv[] = {(char *)(uintptr_t)"true", NULL};
    struct error err;
    pthread_t thread;
    EXPECT(privilege_drop("", "", &err) && sandbox_process(&err));
    EXPECT(pthread_create(&thread, NULL, wait_for_the_end, NULL) == 0); /* cores may still be made */
    execv("/bin/true", argv);
    return __LINE__;
}

static void process_that_runs_a_program_is_killed(void **state)
{
    (void)state;
    int status = in_child(run_a_program_anywhere);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int lock(void)
{
    struct error err;
    EXPECT(privilege_lock_memory(&err));
    EXPECT(privilege_drop("65534", "", &err));
    void *map = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(map != MAP_FAILED); /* still possible without CAP_IPC_LOCK */
    memset(map, 1, 1 << 20);
    privilege_exclude(map, 64 << 20);
    EXPECT(status_field("self", "VmLck", 10) != 0);
    return 0;
}

static void memory_is_locked(void **state)
{
    struct error err;
    (void)state;
    needs_root();
    pid_t child = fork();
    if (child == 0)
        _exit(privilege_lock_memory(&err) ? 0 : 1);
    int status;
    waitpid(child, &status, 0);
    if (status != 0) {
        print_message("# locking memory is not permitted here\n");
        skip();
    }
    expect_good(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropped_privileges_are_gone_in_every_thread),
        cmocka_unit_test(users_have_names),
        cmocka_unit_test(no_user_means_stay),
        cmocka_unit_test(only_root_can_become_another),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(control_thread_works_on_after_a_refusal),
        cmocka_unit_test(control_thread_that_runs_a_program_is_killed),
        cmocka_unit_test(process_that_runs_a_program_is_killed),
        cmocka_unit_test(memory_is_locked),
    };
    return cmocka_run_group_tests_name("privilege", tests, NULL, NULL);
}
