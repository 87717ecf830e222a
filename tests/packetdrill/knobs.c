/* knobs.c: scripts set Linux's sysctls; those that the stack has a setting for are read from where they wrote them. */
#include "tests/packetdrill/shim.h"

#include <stdio.h>
#include <stdlib.h>

static void read_text(const char *folder, const char *name, char *text, int size)
{
    char path[512];
    text[0] = '\0';
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    if (!fgets(text, size, file))
        text[0] = '\0';
    fclose(file);
}

/* The n-th number of a file, from 0. */
static uint32_t read_number(const char *folder, const char *name, unsigned n, uint32_t otherwise)
{
    char text[128];
    read_text(folder, name, text, sizeof(text));
    char *at = text, *end = text;
    unsigned long value = otherwise;
    for (unsigned i = 0; i <= n; i++, at = end) {
        value = strtoul(at, &end, 10);
        if (end == at)
            return otherwise;
    }
    return (uint32_t)value;
}

/* Linux counts otherwise: 0 off, 1 on, 2 where the peer asks. */
static uint8_t ecn_of(uint32_t tcp_ecn)
{
    static const uint8_t ours[] = {TCP_ECN_OFF, TCP_ECN_ON, TCP_ECN_ACCEPT};
    return tcp_ecn < ARRAY_LEN(ours) ? ours[tcp_ecn] : TCP_ECN_ACCEPT;
}

struct knobs knobs_read(const char *folder)
{
    char cc[32];
    read_text(folder, "tcp_congestion_control", cc, sizeof(cc));
    return (struct knobs){
        .timestamps = read_number(folder, "tcp_timestamps", 0, 1),
        .sack = read_number(folder, "tcp_sack", 0, 1),
        .window_scaling = read_number(folder, "tcp_window_scaling", 0, 1),
        .ecn = ecn_of(read_number(folder, "tcp_ecn", 0, 2)),
        .reno = strcmp(cc, "reno\n") == 0,
        .send_buffer_bytes = read_number(folder, "tcp_wmem", 1, 256u << 10),
        .recv_buffer_bytes = read_number(folder, "tcp_rmem", 2, 15u << 20),
        .syn_retries = read_number(folder, "tcp_syn_retries", 0, 5),
    };
}
