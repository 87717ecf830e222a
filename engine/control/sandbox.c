#include "engine/control/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_LEAK_CHECK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_LEAK_CHECK 1
#endif
#endif

/* Never done by the engine; done by those who have taken it over. */
static const int killed[] = {
#ifndef WITH_LEAK_CHECK /* LeakSanitizer traces its own process */
    SCMP_SYS(ptrace),
#endif
    SCMP_SYS(execve),           SCMP_SYS(execveat),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(init_module),      SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
};

/* Refused, since drivers that are closed may still try one. */
static const int refused[] = {
    SCMP_SYS(bpf),           SCMP_SYS(mount),           SCMP_SYS(umount2),       SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),        SCMP_SYS(setns),           SCMP_SYS(unshare),       SCMP_SYS(keyctl),
    SCMP_SYS(add_key),       SCMP_SYS(request_key),     SCMP_SYS(reboot),        SCMP_SYS(swapon),
    SCMP_SYS(swapoff),       SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),   SCMP_SYS(open_by_handle_at),
    SCMP_SYS(acct),          SCMP_SYS(settimeofday),    SCMP_SYS(clock_settime), SCMP_SYS(adjtimex),
    SCMP_SYS(clock_adjtime), SCMP_SYS(sethostname),     SCMP_SYS(setdomainname), SCMP_SYS(quotactl),
    SCMP_SYS(personality),   SCMP_SYS(io_uring_setup),  SCMP_SYS(mount_setattr), SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),     SCMP_SYS(fsopen),          SCMP_SYS(pidfd_getfd),   SCMP_SYS(kcmp),
};

/* What control threads do: files, sockets, waiting, memory, and their own end. */
static const int control_calls[] = {
    /* descriptors */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(close),
    SCMP_SYS(lseek),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(pipe2),
    SCMP_SYS(fcntl),
    SCMP_SYS(ioctl),
    SCMP_SYS(fstat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(fstatfs),
    SCMP_SYS(statfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(flock),
    SCMP_SYS(close_range),
    /* files: configuration, trust anchors, log, pid file, cache */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(getdents64),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(umask),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(memfd_create),
    /* sockets */
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(shutdown),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    /* waiting and time */
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(eventfd2),
    SCMP_SYS(signalfd4),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(futex),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(membarrier),
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(mincore),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(munlock),
    SCMP_SYS(get_mempolicy),
    SCMP_SYS(mbind),
    /* the process itself */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getresuid),
    SCMP_SYS(getresgid),
    SCMP_SYS(getgroups),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(times),
    SCMP_SYS(prctl),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(seccomp),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
#ifdef WITH_LEAK_CHECK /* LeakSanitizer at the end of the process */
    SCMP_SYS(clone),
    SCMP_SYS(ptrace),
    SCMP_SYS(wait4),
    SCMP_SYS(kill),
#endif
};

static bool failed(scmp_filter_ctx filter, int code, const char *what, struct error *err)
{
    seccomp_release(filter);
    return error_set(
        err,
        "system calls cannot be filtered (%s: %s): set run.seccomp = false where the kernel has no seccomp",
        what, strerror(-code));
}

/* A call that this architecture does not have is no hole: nobody can make it. */
static int add_calls(scmp_filter_ctx filter, uint32_t action, const int *call, size_t calls)
{
    for (size_t i = 0; i < calls; i++) {
        int code = seccomp_rule_add(filter, action, call[i], 0);
        if (code != 0 && code != -EDOM && code != -EINVAL)
            return code;
    }
    return 0;
}

static int add_killed(scmp_filter_ctx filter)
{
    return add_calls(filter, SCMP_ACT_KILL_PROCESS, killed, ARRAY_LEN(killed));
}

bool sandbox_process(struct error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return error_set(err, "no memory for a system call filter");
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1); /* older kernels cannot */
    int code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (code == 0)
        code = add_killed(filter);
    if (code == 0)
        code = add_calls(filter, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_LEN(refused));
    if (code == 0)
        code = seccomp_load(filter);
    if (code != 0)
        return failed(filter, code, "process", err);
    seccomp_release(filter);
    return true;
}

/* Signals to ourselves only: abort(), pthread_kill(). */
static int add_own_signals(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
}

bool sandbox_control(struct error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return error_set(err, "no memory for a system call filter");
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    int code = add_killed(filter);
    if (code == 0)
        code = add_calls(filter, SCMP_ACT_ALLOW, control_calls, ARRAY_LEN(control_calls));
    if (code == 0)
        code = add_own_signals(filter);
    if (code == 0)
        code = seccomp_load(filter);
    if (code != 0)
        return failed(filter, code, "control thread", err);
    seccomp_release(filter);
    return true;
}
