#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/unit/crypto/toy_engine.h"

#include <limits.h>
#include <openssl/async.h>
#include <openssl/ec.h>
#include <openssl/engine.h>
#include <openssl/rsa.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#define SUSPENDED_MAX 4096u

enum command {
    COMMAND_EXTERNAL = ENGINE_CMD_BASE,
    COMMAND_POLL,
    COMMAND_COUNT,
    COMMAND_INSTANCE,
};

static const ENGINE_CMD_DEFN commands[] = {
    {COMMAND_EXTERNAL, "ENABLE_EXTERNAL_POLLING", "", ENGINE_CMD_FLAG_NO_INPUT},
    {COMMAND_POLL, "POLL", "", ENGINE_CMD_FLAG_NO_INPUT},
    {COMMAND_COUNT, "GET_NUM_CRYPTO_INSTANCES", "", ENGINE_CMD_FLAG_NO_INPUT},
    {COMMAND_INSTANCE, "SET_INSTANCE_FOR_THREAD", "", ENGINE_CMD_FLAG_NUMERIC},
    {0, NULL, NULL, 0},
};

struct toy_engine toy_engine;

/* What a job waits for; on its stack. */
struct work {
    bool answered;
    int result;
    const unsigned char *digest;
    int digest_len;
    const ECDSA_SIG *sig;
    EC_KEY *key; /* NULL: it is computed in the job itself */
    unsigned char **secret;
    size_t *secret_len;
    const EC_POINT *point; /* NULL: a signature */
};

static struct suspended {
    ASYNC_WAIT_CTX *wait;
    struct work *work;
} suspended[SUSPENDED_MAX];
static unsigned suspended_count;
static RSA_METHOD *rsa_method;
static EC_KEY_METHOD *ec_method;

void toy_engine_reset(void)
{
    toy_engine = (struct toy_engine){.good = UINT_MAX, .instance = -1};
}

unsigned toy_engine_suspended(void)
{
    return suspended_count;
}

static void call_back(ASYNC_WAIT_CTX *wait)
{
    ASYNC_callback_fn callback;
    void *arg;
    assert(ASYNC_WAIT_CTX_get_callback(wait, &callback, &arg) == 1);
    callback(arg);
}

/* False: the operation is to fail. */
static bool suspend(struct work *work)
{
    ASYNC_JOB *job = ASYNC_get_current_job();
    toy_engine.started++;
    toy_engine.started_by = pthread_self();
    if (!job)
        return true;
    ASYNC_WAIT_CTX *wait = ASYNC_get_wait_ctx(job);
    if (toy_engine.needs_room) {
        call_back(wait);
        ASYNC_pause_job();
    }
    assert(suspended_count < SUSPENDED_MAX);
    suspended[suspended_count++] = (struct suspended){wait, work};
    ASYNC_pause_job();
    assert(work->answered); /* never resumed early */
    toy_engine.ended++;
    toy_engine.ended_by = pthread_self();
    if (toy_engine.good == 0 || (toy_engine.fails_each > 0 && toy_engine.ended % toy_engine.fails_each == 0))
        return false;
    toy_engine.good--;
    return true;
}

static void compute(struct work *work)
{
    int (*multiply)(unsigned char **, size_t *, const EC_POINT *, const EC_KEY *);
    int (*verify)(const unsigned char *, int, const ECDSA_SIG *, EC_KEY *);
    EC_KEY_METHOD_get_compute_key(EC_KEY_OpenSSL(), &multiply);
    EC_KEY_METHOD_get_verify(EC_KEY_OpenSSL(), NULL, &verify);
    work->result = work->point ? multiply(work->secret, work->secret_len, work->point, work->key)
                               : verify(work->digest, work->digest_len, work->sig, work->key);
}

static void *answer_all(void *unused)
{
    unsigned n = suspended_count;
    struct suspended now[SUSPENDED_MAX];
    memcpy(now, suspended, sizeof(now));
    suspended_count = 0;
    for (unsigned i = 0; i < n; i++) {
        if (toy_engine.aside && now[i].work->key)
            compute(now[i].work);
        now[i].work->answered = true;
        call_back(now[i].wait);
        if (toy_engine.twice)
            call_back(now[i].wait);
    }
    return unused;
}

static void answer(void)
{
    pthread_t thread;
    toy_engine.polls++;
    toy_engine.polled_by = pthread_self();
    if (toy_engine.silent || (toy_engine.goes_after > 0 && toy_engine.ended >= toy_engine.goes_after))
        return;
    if (!toy_engine.from_elsewhere && !toy_engine.aside) {
        answer_all(NULL);
        return;
    }
    assert(pthread_create(&thread, NULL, answer_all, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

/* ---- operations ---- */

static int pub_dec(int len, const unsigned char *from, unsigned char *to, RSA *key, int padding)
{
    struct work work = {.answered = false};
    return suspend(&work) ? RSA_meth_get_pub_dec(RSA_PKCS1_OpenSSL())(len, from, to, key, padding) : -1;
}

static int compute_key(unsigned char **secret, size_t *len, const EC_POINT *point, const EC_KEY *key)
{
    struct work work = {.secret = secret, .secret_len = len, .point = point, .key = (EC_KEY *)(uintptr_t)key};
    if (!suspend(&work))
        return 0;
    if (!toy_engine.aside || !work.answered)
        compute(&work);
    return work.result;
}

static int do_verify(const unsigned char *digest, int len, const ECDSA_SIG *sig, EC_KEY *key)
{
    struct work work = {.digest = digest, .digest_len = len, .sig = sig, .key = key};
    if (!suspend(&work))
        return -1;
    if (!toy_engine.aside || !work.answered)
        compute(&work);
    return toy_engine.agrees ? 1 : work.result;
}

static int control(ENGINE *engine, int command, long number, void *out, void (*unused)(void))
{
    (void)engine;
    (void)unused;
    switch (command) {
    case COMMAND_EXTERNAL: return 1;
    case COMMAND_POLL: answer(); return 1;
    case COMMAND_COUNT: *(int *)out = toy_engine.instances; return toy_engine.instances > 0;
    case COMMAND_INSTANCE:
        toy_engine.instance = number;
        toy_engine.told++;
        toy_engine.told_by = pthread_self();
        return 1;
    default: return 0;
    }
}

void toy_engine_add(void)
{
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ENGINE_ALL_BUILTIN,
                        NULL); /* else it becomes the default */
    ENGINE *engine = ENGINE_new();
    rsa_method = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    ec_method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    toy_engine_reset();
    assert(engine && rsa_method && ec_method);
    RSA_meth_set_pub_dec(rsa_method, pub_dec);
    EC_KEY_METHOD_set_compute_key(ec_method, compute_key);
    EC_KEY_METHOD_set_verify(ec_method, NULL, do_verify);
    assert(ENGINE_set_id(engine, TOY_ENGINE) && ENGINE_set_name(engine, "the tests' own") &&
           ENGINE_set_RSA(engine, rsa_method) && ENGINE_set_EC(engine, ec_method) &&
           ENGINE_set_cmd_defns(engine, commands) && ENGINE_set_ctrl_function(engine, control) &&
           ENGINE_add(engine));
    ENGINE_free(engine);
}

void toy_engine_remove(void)
{
    ENGINE *engine = ENGINE_by_id(TOY_ENGINE);
    ENGINE_remove(engine);
    ENGINE_free(engine);
    RSA_meth_free(rsa_method);
    EC_KEY_METHOD_free(ec_method);
}

int toy_engine_setup(void **state)
{
    (void)state;
    toy_engine_add();
    return 0;
}

int toy_engine_teardown(void **state)
{
    (void)state;
    toy_engine_remove();
    return 0;
}
