/* parts.c: bench_parts: the least that the parts of a benchmark's case cost here, as one line of JSON. */
#include "bench/parts.h"

#include "bench/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double parts_time(parts_step *step, void *ctx)
{
    double best = 0;
    for (unsigned r = 0; r < PARTS_REPEAT; r++) {
        double from = cpu_s(), until = from + PARTS_REPEAT_NS / 1e9, now = from;
        unsigned calls = 0;
        while (now < until) {
            if (!step(ctx))
                return 0;
            calls++;
            now = cpu_s();
        }
        double each = (now - from) / calls;
        best = best > 0 && best < each ? best : each;
    }
    return best;
}

static void print(const struct parts_crypto *crypto, const struct parts_port *port)
{
    printf(
        "{\"x25519_s\": %.10g, \"verify_rsa_s\": %.10g, \"verify_p256_s\": %.10g, \"key_schedule_s\": %.10g, "
        "\"gcm_1400_s_per_byte\": %.10g, \"gcm_16k_s_per_byte\": %.10g, \"public_keys\": \"%s\", \"gcm\": \"%s\", "
        "\"port_transmit_s\": %.10g, \"port_receive_s\": %.10g, \"port\": \"net_memif\"}\n",
        crypto->x25519_s, crypto->verify_rsa_s, crypto->verify_p256_s, crypto->key_schedule_s,
        crypto->gcm_small_s, crypto->gcm_large_s, crypto->public_keys, crypto->gcm, port->transmit_s,
        port->receive_s);
}

/* --zero-copy: packets pass the port as the engine's do in scripts/bench, which takes huge pages. */
int main(int argc, char **argv)
{
    bool zero_copy = argc > 1 && strcmp(argv[1], "--zero-copy") == 0;
    struct error err;
    struct parts_crypto crypto;
    struct parts_port port;
    char socket[64];
    snprintf(socket, sizeof(socket), "/tmp/hardline-limits-%d.sock", getpid());
    endpoint_start_on("bench_parts", 160, zero_copy);
    if (!parts_crypto_measure(&crypto, &err))
        endpoint_fail("cryptography", err.text);
    parts_crypto_batched(&crypto);
    parts_crypto_ipsec(&crypto);
    if (!parts_port_measure(&port, socket, zero_copy, &err))
        endpoint_fail("port", err.text);
    unlink(socket);
    print(&crypto, &port);
    return 0;
}
