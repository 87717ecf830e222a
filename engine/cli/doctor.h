/* doctor.h: findings about this machine.  Each doctor_*.c looks at one part; doctor.c prints. */
#ifndef ENGINE_CLI_DOCTOR_H
#define ENGINE_CLI_DOCTOR_H

#include "engine/base/base.h"

#include <stdio.h>

#define DOCTOR_FINDINGS_MAX 96u

enum doctor_state {
    DOCTOR_OK,
    DOCTOR_WARN,    /* works, slower or less safe */
    DOCTOR_MISSING, /* hardlined will not start, or not as configured */
};

struct doctor_finding {
    enum doctor_state state;
    char what[32];
    char found[256];
    char remedy[256]; /* "" with DOCTOR_OK */
};

struct doctor {
    const char *config; /* file, or NULL */
    const char *socket; /* of a running engine */
    const char *root;   /* "", or where a machine's /sys and /dev are, for QAT */
    uint32_t findings;
    struct doctor_finding finding[DOCTOR_FINDINGS_MAX];
};

/* doctor_say adds a finding; remedy NULL where there is nothing to do. */
void doctor_say(struct doctor *doctor, enum doctor_state state, const char *what, const char *remedy,
                const char *fmt, ...) printf_like(5, 6);

void doctor_cpu(struct doctor *doctor);
void doctor_memory(struct doctor *doctor);
void doctor_devices(struct doctor *doctor);
void doctor_qat(struct doctor *doctor);
void doctor_crypto(struct doctor *doctor);
void doctor_engine(
    struct doctor *doctor); /* a running engine, or the configuration by hardlined --check and --probe */

/* ---- reading what the kernel tells, doctor_read.c ---- */

/* doctor_read gives the first line of a file without its end; false, and "", when there is none. */
bool doctor_read(char *out, size_t cap, const char *path_fmt, ...) printf_like(3, 4);

/* doctor_number gives the number in a file, or otherwise. */
long long doctor_number(long long otherwise, const char *path_fmt, ...) printf_like(2, 3);

/* doctor_entries calls each for the names in a folder, in their order; returns how many there are. */
int doctor_entries(const char *folder, void (*each)(void *ctx, const char *name), void *ctx);

/* The name that a link points to, its last part; "" when it is none. */
void doctor_link(char *out, size_t cap, const char *path_fmt, ...) printf_like(3, 4);

#endif
