/* Memory that runs out at the n-th allocation, for every n of a handshake and of a write: a session fails, and neither the
 * process nor the verification does.
 */
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>

#define HOST "mx.example.org"

static bool counting;
static uint64_t allocations, fail_at; /* while counting; fails from that one on */

static bool runs_out(void)
{
    return counting && ++allocations >= fail_at;
}

static void *failing_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return runs_out() ? NULL : malloc(size);
}

static void *failing_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return runs_out() ? NULL : realloc(old, size);
}

static void plain_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

static struct pki_chain chain;
static struct talk talk;

static void server_speaks(void)
{
    if (talk.pipe_used)
        BIO_write(talk.to_server, talk.pipe, (int)talk.pipe_used);
    talk.pipe_used = 0;
    SSL_do_handshake(talk.server);
    ERR_clear_error();
}

/* No job to run in for want of memory is no failure: the session waits for one. */
static enum tls_status work_until_done(enum tls_status status)
{
    for (unsigned turn = 0; status == TLS_WANT_WORK; turn++) {
        counting = turn < 3;
        tls_core_idle(talk.core);
        status = tls_resume(talk.tls);
    }
    counting = false;
    return status;
}

/* Every call of ours, and no other, runs out of memory at the n-th allocation. */
static enum tls_status client_until_done(const struct tls_demand *demand)
{
    static uint8_t wire[65536];
    size_t consumed;
    enum tls_status status;
    allocations = 0;
    counting = true;
    talk.tls = tls_open(talk.core, demand);
    tls_set_sink(talk.tls, &talk.sink);
    status = work_until_done(tls_start(talk.tls));
    while (status == TLS_HANDSHAKE) {
        server_speaks();
        int n = BIO_read(talk.from_server, wire, sizeof(wire));
        if (n <= 0)
            break;
        for (size_t at = 0; at < (size_t)n && status == TLS_HANDSHAKE; at += consumed) {
            counting = true;
            status = work_until_done(tls_input(talk.tls, wire + at, (size_t)n - at, &consumed));
        }
    }
    return status;
}

static void check_end(enum tls_status status, bool may_open)
{
    struct outcome why;
    assert_true(status == TLS_OPEN || status == TLS_FAILED);
    assert_true((tls_verified(talk.tls) != NULL) == (status == TLS_OPEN));
    if (status == TLS_OPEN) {
        assert_true(may_open);
        assert_string_equal(tls_verified(talk.tls)->matched_name, HOST);
        return;
    }
    tls_failure(talk.tls, &why);
    assert_true(why.verdict == VERDICT_DEFERRED && why.text[0] != '\0');
}

static void run_out(int version, const char *name, bool may_open)
{
    struct talk_server server = {
        .leaf = &chain.leaf, .middle = &chain.middle, .version = version, .groups = "X25519"};
    struct tls_demand demand = talk_pkix(name);
    enum tls_status status = TLS_FAILED;
    uint64_t n = 1, failures = 0;
    demand.trust = talk.trust;
    for (bool reached = true; reached; n += n < 400 ? 1 : 7) {
        fail_at = UINT64_MAX;
        talk_meet(&talk, &server, &demand);
        tls_free(talk.tls);
        talk.pipe_used = 0;
        fail_at = n;
        status = client_until_done(&demand);
        check_end(status, may_open);
        failures += status == TLS_FAILED;
        reached = allocations >= fail_at;
    }
    print_message("# %s: %u of %u runs failed\n", name, (unsigned)failures, (unsigned)n);
    assert_true(failures > 100);
    assert_int_equal(status, may_open ? TLS_OPEN : TLS_FAILED);
}

static void in_a_handshake(void **state)
{
    (void)state;
    run_out(TLS1_3_VERSION, HOST, true);
    run_out(TLS1_2_VERSION, HOST, true);
}

/* What cannot be verified for want of memory is not verified. */
static void in_a_handshake_that_must_fail(void **state)
{
    (void)state;
    run_out(TLS1_3_VERSION, "other.example.org", false);
}

static void in_a_write(void **state)
{
    (void)state;
    static uint8_t data[40000];
    struct talk_server server = {.leaf = &chain.leaf, .middle = &chain.middle};
    struct tls_demand demand = talk_pkix(HOST);
    bool written = false;
    for (fail_at = 1; !written; fail_at++) {
        talk_accepted(&talk, &server, &demand);
        talk.pipe_cap = talk.pipe_used; /* a sink that takes nothing: all has to be kept */
        allocations = 0;
        counting = true;
        written = tls_write(talk.tls, data, sizeof(data));
        counting = false;
        assert_int_equal(tls_status(talk.tls), written ? TLS_OPEN : TLS_FAILED);
        talk.pipe_cap = TALK_PIPE_BYTES;
        assert_true(fail_at < 1000);
    }
    assert_true(fail_at > 2);
    assert_true(tls_output(talk.tls));
}

static int setup(void **state)
{
    (void)state;
    chain = pki_chain("P-256", "DNS:" HOST);
    talk_open(&talk, chain.ca_file);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talk_close(&talk);
    pki_chain_free(&chain);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_handshake),
        cmocka_unit_test(in_a_handshake_that_must_fail),
        cmocka_unit_test(in_a_write),
    };
    if (!CRYPTO_set_mem_functions(failing_malloc, failing_realloc, plain_free))
        return 1;
    return cmocka_run_group_tests(tests, setup, teardown);
}
