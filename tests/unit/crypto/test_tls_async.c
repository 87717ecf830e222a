/* Handshakes that are suspended while an engine computes: an engine of the test's own that pauses every RSA
 * operation.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/async.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define HOST      "mx.example.org"
#define SAN       "DNS:" HOST
#define ENGINE_ID "pausing"

static struct pki_chain rsa;
static unsigned pauses;     /* of each operation */
static unsigned operations; /* that have paused */

/* ---- the engine ---- */

static int pausing_pub_dec(int len, const unsigned char *from, unsigned char *to, RSA *key, int padding)
{
    if (ASYNC_get_current_job()) {
        operations++;
        for (unsigned i = 0; i < pauses; i++)
            ASYNC_pause_job();
    }
    return RSA_meth_get_pub_dec(RSA_PKCS1_OpenSSL())(len, from, to, key, padding);
}

static RSA_METHOD *method;

static void add_engine(void)
{
    ENGINE *engine = ENGINE_new();
    method = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    assert_true(RSA_meth_set_pub_dec(method, pausing_pub_dec));
    assert_true(ENGINE_set_id(engine, ENGINE_ID) && ENGINE_set_name(engine, "pauses") &&
                ENGINE_set_RSA(engine, method) && ENGINE_add(engine));
    ENGINE_free(engine);
}

static void remove_engine(void)
{
    ENGINE *engine = ENGINE_by_id(ENGINE_ID);
    ENGINE_remove(engine);
    ENGINE_free(engine);
    RSA_meth_free(method);
}

static void open_talk(struct talk *talk, const char *engine, uint32_t sessions)
{
    struct tls_core_config config = {.sessions_max = sessions, .engine = engine, .async = true};
    talk_without_batches = true; /* the engine is to have it all */
    pauses = 3;
    operations = 0;
    talk_open_config(talk, rsa.ca_file, &config);
}

static struct talk_server server_of(int version)
{
    return (struct talk_server){.leaf = &rsa.leaf, .middle = &rsa.middle, .version = version};
}

/* ---- suspended and resumed ---- */

/* The chain's two signatures and the handshake's: all of verification runs in the suspended job. */
static void a_handshake_pauses_and_goes_on(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    open_talk(&talk, ENGINE_ID, 2);
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
        struct talk_server server = server_of(versions[i]);
        talk.resumes = operations = 0;
        const struct tls_verified *v = talk_accepted(&talk, &server, &demand);
        assert_string_equal(v->matched_name, HOST);
        assert_int_equal(operations, 3);
        assert_true(talk.resumes >= operations * pauses);
        assert_true(tls_write(talk.tls, (const uint8_t *)"hello", 5));
    }
    talk_close(&talk);
}

/* talk.c asserts that nothing is consumed meanwhile; here input comes in pieces of every size. */
static void input_in_pieces_while_pending(void **state)
{
    (void)state;
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = server_of(0);
    open_talk(&talk, ENGINE_ID, 2);
    for (size_t chunk = 1; chunk < 2000; chunk = chunk * 3 + 1) {
        talk.feed_chunk = chunk;
        talk_accepted(&talk, &server, &demand);
    }
    talk_close(&talk);
}

static void a_refusal_comes_out_of_a_job(void **state)
{
    (void)state;
    struct talk talk;
    struct outcome why;
    struct tls_demand demand = talk_pkix("other.example");
    struct talk_server server = server_of(0);
    open_talk(&talk, ENGINE_ID, 2);
    talk_refused(&talk, &server, &demand, REASON_CERTIFICATE_HOST_MISMATCH, &why);
    assert_true(talk.resumes > 0);
    talk_close(&talk);
}

static void without_an_engine_nothing_pauses(void **state)
{
    (void)state;
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = server_of(0);
    open_talk(&talk, NULL, 2);
    talk_accepted(&talk, &server, &demand);
    assert_int_equal(talk.resumes, 0);
    talk_close(&talk);
}

/* ---- freed while pending ---- */

static void run_until_pending(struct talk *talk)
{
    while (tls_status(talk->tls) == TLS_HANDSHAKE)
        talk_step(talk);
    assert_int_equal(tls_status(talk->tls), TLS_WANT_WORK);
}

static void freed_while_pending(void **state)
{
    (void)state;
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = server_of(0);
    open_talk(&talk, ENGINE_ID, 1);
    pauses = 20;
    talk_meet(&talk, &server, &demand);
    run_until_pending(&talk);
    talk_part(&talk);
    demand.trust = talk.trust;
    assert_null(tls_open(talk.core, &demand)); /* the job still has the only place */
    assert_int_equal(talk.stats.v[STAT_core_pool_full], 1);
    unsigned tries = 0;
    do
        talk.tls = tls_open(talk.core, &demand);
    while (!talk.tls && ++tries < 1000);
    assert_non_null(talk.tls); /* with every try the job went on, until its end */
    assert_in_range(tries, 10, 100);
    talk_close(&talk);
}

static void core_closed_while_pending(void **state)
{
    (void)state;
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = server_of(0);
    open_talk(&talk, ENGINE_ID, 4);
    for (unsigned i = 0; i < 4; i++) {
        talk_meet(&talk, &server, &demand);
        run_until_pending(&talk);
    }
    talk_close(&talk);
}

static void many_at_once(void **state)
{
    (void)state;
    enum { COUNT = 16 };
    static struct talk talks[COUNT];
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = server_of(0);
    struct tls_core *core;
    open_talk(&talks[0], ENGINE_ID, COUNT);
    core = talks[0].core;
    talk_several(talks, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        talks[i].work_waits = false;
    for (unsigned i = 0; i < COUNT; i++)
        talk_meet(&talks[i], &server, &demand);
    unsigned open = 0;
    for (unsigned turn = 0; turn < 10000 && open < COUNT; turn++) {
        open = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            talk_step(&talks[i]);
            open += tls_status(talks[i].tls) == TLS_OPEN;
        }
    }
    assert_int_equal(open, COUNT);
    assert_ptr_equal(talks[0].core, core);
    talk_several_close(talks, COUNT);
}

/* ---- engines that are there or not ---- */

static void an_engine_that_is_not_there(void **state)
{
    (void)state;
    struct stats stats = {0};
    struct error err = {0};
    struct tls_core_config config = {
        .sessions_max = 1, .engine = "no-such-engine", .backend_require = true, .stats = &stats};
    assert_null(tls_core_open(&config, &err));
    print_message("# %s\n", err.text);
    assert_non_null(strstr(err.text, "\"no-such-engine\" is not there"));
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    struct talk_server server = server_of(0);
    open_talk(&talk, "no-such-engine", 2);
    assert_non_null(strstr(tls_core_complaint(talk.core), "\"no-such-engine\" is not there"));
    assert_null(tls_core_complaint(talk.core)); /* once */
    talk_accepted(&talk, &server, &demand);
    assert_int_equal(operations, 0);
    talk_close(&talk);
}

static void one_engine_a_process(void **state)
{
    (void)state;
    struct stats stats = {0};
    struct error err = {0};
    struct tls_core_config config = {
        .sessions_max = 1, .engine = ENGINE_ID, .backend_require = true, .stats = &stats};
    struct tls_core *first = tls_core_open(&config, &err), *second = tls_core_open(&config, &err);
    assert_non_null(first);
    assert_non_null(second);
    config.engine = "dynamic";
    assert_null(tls_core_open(&config, &err));
    print_message("# %s\n", err.text);
    assert_non_null(strstr(err.text, "in use"));
    tls_core_close(first);
    tls_core_close(second);
    assert_null(ENGINE_get_default_RSA()); /* given back by the last */
}

static int setup(void **state)
{
    (void)state;
    rsa = pki_chain("rsa2048", SAN);
    add_engine();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_engine();
    pki_chain_free(&rsa);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_that_is_not_there), /* first: an engine stays loaded */
        cmocka_unit_test(a_handshake_pauses_and_goes_on),
        cmocka_unit_test(input_in_pieces_while_pending),
        cmocka_unit_test(a_refusal_comes_out_of_a_job),
        cmocka_unit_test(without_an_engine_nothing_pauses),
        cmocka_unit_test(freed_while_pending),
        cmocka_unit_test(core_closed_while_pending),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(one_engine_a_process),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
