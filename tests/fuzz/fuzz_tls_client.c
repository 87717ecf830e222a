/* Whatever a server may send to a client session.
 *
 * Input: a byte of choices, then the server's bytes. The client's randomness is a counter, so that the same input
 * always does the same.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/tls.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t counter;

static int counted_bytes(unsigned char *out, int len)
{
    for (int i = 0; i < len; i++)
        out[i] = (unsigned char)((counter++ * 0x9e3779b97f4a7c15u) >> 56);
    return 1;
}

static const RAND_METHOD counted = {.bytes = counted_bytes, .pseudorand = counted_bytes};

static struct tls_core *core(void)
{
    static struct tls_core *made;
    static struct stats stats;
    struct error err;
    if (!made) {
        RAND_set_rand_method(&counted);
        made = tls_core_open(&(struct tls_core_config){.sessions_max = 1, .stats = &stats}, &err);
    }
    if (!made)
        abort();
    return made;
}

static void require(bool held)
{
    if (!held)
        abort();
}

static void check(struct tls *tls)
{
    enum tls_status status = tls_status(tls);
    struct outcome why;
    require((tls_verified(tls) != NULL) == (status == TLS_OPEN || status == TLS_PEER_CLOSED));
    if (status == TLS_FAILED) {
        tls_failure(tls, &why);
        require(why.reason != REASON_NONE && why.verdict == VERDICT_DEFERRED && strlen(why.text) > 0);
    }
}

static void feed(struct tls *tls, const uint8_t *in, size_t len)
{
    uint8_t plain[64];
    size_t consumed;
    while (len) {
        enum tls_status status = tls_input(tls, in, len, &consumed);
        require(consumed <= len && status != TLS_WANT_WORK);
        require(consumed == len || tls_read(tls, plain, sizeof(plain)) > 0);
        in += consumed;
        len -= consumed;
        check(tls);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t chunks[] = {1, 5, 100, SIZE_MAX};
    struct tls_demand demand = {.sni = "mx.example.org", .min_version = 0x0303};
    if (size == 0)
        return 0;
    counter = 0;
    demand.min_version = data[0] & 4 ? 0x0304 : 0x0303;
    struct tls *tls = tls_open(core(), &demand);
    require(tls && tls_start(tls) == TLS_HANDSHAKE);
    for (size_t at = 1, n; at < size; at += n) {
        n = min_size(chunks[data[0] & 3], size - at);
        feed(tls, data + at, n);
    }
    tls_close_notify(tls);
    check(tls);
    tls_free(tls);
    return 0;
}
