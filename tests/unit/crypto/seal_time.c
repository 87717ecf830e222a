/* What sealing costs: nanoseconds of this thread's CPU for a message of so many bytes into packets of 1,448.
 *
 *     seal_time [BATCHES]      no test: it prints figures; crypto/README.md holds those of one machine
 */
#include "tests/unit/crypto/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#undef NDEBUG
#include <assert.h>

#define HOST         "mx.example.org"
#define BATCH        32u
#define PACKET       1448u
#define PACKETS      128u
#define MESSAGES_MAX 100000u

static uint32_t cost_ns[MESSAGES_MAX];
static uint8_t packet[PACKETS][2048]; /* as a pool's buffers lie */
static size_t at;

static uint8_t *reserve(void *ctx, size_t *room)
{
    (void)ctx;
    *room = PACKET - at % PACKET;
    return packet[at / PACKET % PACKETS] + at % PACKET;
}

static void commit(void *ctx, size_t len)
{
    (void)ctx;
    at += len;
}

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void measure(struct talk *talk, size_t bytes, unsigned messages)
{
    static uint8_t body[100000];
    for (unsigned i = 0; i < messages; i++) {
        uint64_t start = cpu_ns();
        for (unsigned j = 0; j < BATCH; j++) /* reading the clock costs as much as a small message */
            assert(tls_write(talk->tls, body, bytes));
        cost_ns[i] = (uint32_t)((cpu_ns() - start) / BATCH);
    }
    qsort(cost_ns, messages, sizeof(cost_ns[0]), compare);
    double ns = cost_ns[messages / 2];
    printf("  %6zu bytes %8.0f ns, %5.2f GB/s\n", bytes, ns, (double)bytes / ns);
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 500;
    n = n == 0 ? 1 : min_u32(n, MESSAGES_MAX);
    const struct byte_sink sink = {.reserve = reserve, .commit = commit};
    struct pki_chain ec = pki_chain("P-256", "DNS:" HOST);
    static const char *const suite[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                        "TLS_CHACHA20_POLY1305_SHA256"};
    for (unsigned i = 0; i < ARRAY_LEN(suite); i++) {
        struct talk talk;
        struct tls_demand demand = talk_pkix(HOST);
        talk_open(&talk, ec.ca_file);
        talk_accepted(&talk,
                      &(struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle, .suites_13 = suite[i]},
                      &demand);
        tls_set_sink(talk.tls, &sink);
        printf("%s, medians of %u batches\n", suite[i], n);
        static const size_t bytes[] = {100, 1400, 10000, 100000};
        for (unsigned j = 0; j < ARRAY_LEN(bytes); j++)
            measure(&talk, bytes[j], n);
        talk_close(&talk);
    }
    pki_chain_free(&ec);
    return 0;
}
