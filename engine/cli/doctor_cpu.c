/* CPU: instructions that the fast paths use, the clock, and what disturbs a polling core. */
#include "engine/cli/doctor.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

struct feature {
    const char *name;
    unsigned leaf, subleaf;
    enum { EBX, ECX, EDX } reg;
    unsigned bit;
};

static const struct feature features[] = {
    {"AES-NI", 1, 0, ECX, 25},       {"PCLMULQDQ", 1, 0, ECX, 1},
    {"AVX2", 7, 0, EBX, 5},          {"AVX-512F", 7, 0, EBX, 16},
    {"AVX-512 IFMA", 7, 0, EBX, 21}, {"VAES", 7, 0, ECX, 9},
    {"VPCLMULQDQ", 7, 0, ECX, 10},   {"invariant TSC", 0x80000007, 0, EDX, 8},
};

static bool has(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        const struct feature *f = &features[i];
        unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
        if (strcmp(f->name, name) != 0)
            continue;
        if (!__get_cpuid_count(f->leaf, f->subleaf, &eax, &ebx, &ecx, &edx))
            return false;
        return (f->reg == EBX ? ebx : f->reg == ECX ? ecx : edx) >> f->bit & 1;
    }
    return false;
}

static void say_instructions(struct doctor *d)
{
    bool aes = has("AES-NI") && has("PCLMULQDQ"), ifma = has("AVX-512F") && has("AVX-512 IFMA");
    bool vaes = has("VAES") && has("VPCLMULQDQ");
    doctor_say(
        d, aes ? DOCTOR_OK : DOCTOR_WARN, "cpu aes-ni",
        aes ? NULL
            : "AES-GCM falls back to slow code: use a CPU (or a virtual CPU model) with AES-NI and PCLMULQDQ",
        "AES-NI and PCLMULQDQ: %s", aes ? "yes" : "no");
    doctor_say(d, vaes ? DOCTOR_OK : DOCTOR_WARN, "cpu vaes",
               vaes ? NULL
                    : "bulk encryption runs at about half the speed; Ice Lake, Zen 3 and newer have it",
               "VAES and "
               "VPCLMULQDQ: %s",
               vaes ? "yes" : "no");
    doctor_say(
        d, ifma ? DOCTOR_OK : DOCTOR_WARN, "cpu avx512-ifma",
        ifma ? NULL
             : "handshakes cannot be computed eight at a time (crypto_mb); Ice Lake, Zen 4 and newer have it",
        "AVX-512 IFMA: %s", ifma ? "yes" : "no");
}

static void say_tsc(struct doctor *d)
{
    bool tsc = has("invariant TSC");
    doctor_say(d, tsc ? DOCTOR_OK : DOCTOR_WARN, "cpu tsc",
               tsc ? NULL : "reading the clock may need a system call; virtual machines: pass invtsc through",
               "invariant TSC: %s", tsc ? "yes" : "no");
}
#else
static void say_instructions(struct doctor *d)
{
    doctor_say(d, DOCTOR_WARN, "cpu", "the accelerated paths are x86-64's; OpenSSL's own code is used",
               "not x86-64");
}

static void say_tsc(struct doctor *d)
{
    (void)d;
}
#endif

static void say_clock(struct doctor *d)
{
    char source[64];
    if (!doctor_read(source, sizeof(source),
                     "/sys/devices/system/clocksource/clocksource0/current_clocksource"))
        return;
    bool fast = strcmp(source, "tsc") == 0 || strcmp(source, "kvm-clock") == 0 || strstr(source, "hyperv") ||
                strcmp(source, "arch_sys_counter") == 0;
    doctor_say(
        d, fast ? DOCTOR_OK : DOCTOR_WARN, "clock source",
        fast ? NULL
             : "each turn of a core reads the clock by a slow path: boot with clocksource=tsc tsc=reliable",
        "%s", source);
}

static void say_governor(struct doctor *d)
{
    char governor[64];
    if (!doctor_read(governor, sizeof(governor), "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
        return; /* virtual machines have none */
    bool good = strcmp(governor, "performance") == 0;
    doctor_say(d, good ? DOCTOR_OK : DOCTOR_WARN, "cpu governor",
               good ? NULL : "frequencies change under load: cpupower frequency-set -g performance", "%s",
               governor);
}

static void say_count(struct doctor *d)
{
    cpu_set_t set;
    char isolated[128];
    int allowed = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    doctor_read(isolated, sizeof(isolated), "/sys/devices/system/cpu/isolated");
    doctor_say(d, allowed > 2 ? DOCTOR_OK : DOCTOR_WARN, "cpus",
               allowed > 2 ? NULL : "polling cores would starve everything else: set cores.idle = \"sleep\"",
               "%d may be used of %ld online", allowed, sysconf(_SC_NPROCESSORS_ONLN));
    doctor_say(d, isolated[0] || allowed <= 2 ? DOCTOR_OK : DOCTOR_WARN, "cpu isolation",
               isolated[0] || allowed <= 2
                   ? NULL
                   : "for steady latency boot with isolcpus= and nohz_full= for the CPUs in "
                     "cores.cpus",
               "isolated: %s", isolated[0] ? isolated : "none");
}

void doctor_cpu(struct doctor *d)
{
    say_instructions(d);
    say_tsc(d);
    say_clock(d);
    say_count(d);
    say_governor(d);
}
