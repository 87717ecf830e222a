/* X25519MLKEM768 beside engines: none is ever the default for EVP_PKEY methods, with which OpenSSL 3.5 makes no such key share. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/ec.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define HOST  "mx.example.org"
#define GROUP "X25519MLKEM768"

/* qatengine never frees the digests that it makes while it is loaded. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:EVP_MD_meth_new\n";
}

static struct pki_chain chain;

/* ---- an engine that has methods for keys of every kind, and fails at all of them ---- */

static const int kinds[] = {EVP_PKEY_EC, EVP_PKEY_X25519, EVP_PKEY_RSA};
static EVP_PKEY_METHOD *methods[ARRAY_LEN(kinds)];

static int fails(EVP_PKEY_CTX *ctx, EVP_PKEY *pkey)
{
    (void)ctx, (void)pkey;
    return 0;
}

static int give_method(ENGINE *engine, EVP_PKEY_METHOD **method, const int **list, int kind)
{
    (void)engine;
    if (!method) {
        *list = kinds;
        return (int)ARRAY_LEN(kinds);
    }
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i] == kind)
            *method = methods[i];
    return 1;
}

static void add_engine(void)
{
    ENGINE *engine = ENGINE_new();
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        methods[i] = EVP_PKEY_meth_new(kinds[i], 0);
        EVP_PKEY_meth_set_keygen(methods[i], NULL, fails);
    }
    assert_true(ENGINE_set_id(engine, "methods") && ENGINE_set_name(engine, "fails at keys") &&
                ENGINE_set_RSA(engine, RSA_PKCS1_OpenSSL()) && ENGINE_set_EC(engine, EC_KEY_OpenSSL()) &&
                ENGINE_set_pkey_meths(engine, give_method) && ENGINE_add(engine));
    ENGINE_free(engine);
}

static void remove_engine(void)
{
    ENGINE *engine = ENGINE_by_id("methods");
    ENGINE_remove(engine);
    ENGINE_free(engine); /* its methods are freed with it */
}

static void skip_without(const char *engine)
{
    ENGINE *it = ENGINE_by_id(engine);
    ERR_clear_error();
    ENGINE_free(it);
    if (it)
        return;
    print_message("# %s is not installed\n", engine);
    skip();
}

/* ---- handshakes ---- */

static void has_no_default_methods(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
        assert_null(ENGINE_get_pkey_meth_engine(kinds[i]));
}

static void shakes_hands(struct tls_core_config config)
{
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    const struct talk_server server = {.leaf = &chain.leaf, .middle = &chain.middle, .groups = GROUP};
    config.sessions_max = 2;
    talk_without_batches = config.engine; /* the engine is to have it all */
    talk_open_config(&talk, chain.ca_file, &config);
    has_no_default_methods();
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(talk_accepted(&talk, &server, &demand)->group, GROUP);
        assert_true(tls_write(talk.tls, (const uint8_t *)"hello", 5));
    }
    talk_close(&talk);
}

/* Asked for by HelloRetryRequest, and sent at once. */
static void both_ways(const char *engine, const char *backend)
{
    for (unsigned share = 0; share < 2; share++) {
        if (engine)
            shakes_hands((struct tls_core_config){.engine = engine, .async = true, .pq_share = share});
        else
            shakes_hands((struct tls_core_config){.batches = backend,
                                                  .backend = backend,
                                                  .backend_require = backend,
                                                  .batch_open = backend ? NULL : talk_in_lanes,
                                                  .pq_share = share});
    }
}

static void without_an_engine(void **state)
{
    (void)state;
    both_ways(NULL, NULL);
}

static void beside_the_default_engine(void **state)
{
    (void)state;
    both_ways("methods", NULL);
}

static void beside_qatengine(void **state)
{
    (void)state;
    skip_without("qatengine");
    both_ways("qatengine", NULL);
}

static void beside_a_batch_by_libcrypto(void **state)
{
    (void)state;
    both_ways(NULL, "libcrypto");
}

static void beside_a_batch_in_an_engine(void **state)
{
    (void)state;
    both_ways(NULL, "engine:methods");
}

static int setup(void **state)
{
    (void)state;
    chain = pki_chain("rsa2048", "DNS:" HOST);
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ENGINE_ALL_BUILTIN, NULL);
    add_engine();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_engine();
    pki_chain_free(&chain);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_an_engine),
        cmocka_unit_test(beside_the_default_engine),
        cmocka_unit_test(beside_a_batch_by_libcrypto),
        cmocka_unit_test(beside_a_batch_in_an_engine),
        cmocka_unit_test(beside_qatengine),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
