/* asym_engine.c: an OpenSSL engine as a device: each job an asynchronous one of OpenSSL's, on a stack of its own.
 *
 * The engine suspends a job and calls our callback when its answer is there, from whatever thread; only then is
 * the job resumed, by this core, and nothing is waited for in between.  OpenSSL cannot start a job inside
 * another, and who submits may be in one: jobs are started when the device is polled.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* 3.5 has engines until 2030 */
#include "crypto/batch_inside.h"
#include "crypto/engine.h"
#include "crypto/session.h"

#include <openssl/async.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/engine.h>
#include <openssl/rsa.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLOSE_WAIT_MS 100u

/* A job's place. */
struct place {
    struct asym_engine *of;
    struct asym_job *job; /* NULL: free */
    ASYNC_JOB *async;
    ASYNC_WAIT_CTX *wait;
    struct place *next_free;
    struct place *next_woken;
    atomic_bool woken; /* it stands in of->woken */
};

struct asym_engine {
    struct tls_engine_use use;
    bool here; /* this thread has told the engine which instance is its */
    uint32_t core, places, working;
    EC_GROUP *p256, *p384;
    BIGNUM *e;
    struct list waiting, done;
    struct place *free;
    _Atomic(struct place *) woken; /* newest first; engines' threads push */
    struct asym_engine *next_lost;
    struct place place[];
};

/* Those whose jobs never ended: found here by nobody but tools that look for leaks. */
static struct asym_engine *all_lost;
static pthread_mutex_t lost_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- what runs as a job ---- */

static EC_GROUP *group_of(const struct asym_engine *e, enum asym_kind kind)
{
    return kind == ASYM_P256_MULTIPLY || kind == ASYM_P256_VERIFY ? e->p256 : e->p384;
}

/* Refuses what is not on the curve. */
static EC_POINT *point_of(const EC_GROUP *group, const uint8_t *xy, size_t bytes)
{
    uint8_t encoded[1 + 2 * ASYM_CURVE_BYTES] = {4};
    EC_POINT *point = EC_POINT_new(group);
    memcpy(encoded + 1, xy, 2 * bytes);
    if (point && EC_POINT_oct2point(group, point, encoded, 1 + 2 * bytes, NULL) == 1)
        return point;
    EC_POINT_free(point);
    return NULL;
}

static enum asym_result multiply(struct asym_engine *e, struct asym_job *job)
{
    const size_t bytes = asym_bytes(job->kind);
    EC_GROUP *group = group_of(e, job->kind);
    EC_POINT *peer = point_of(group, job->multiply.point, bytes);
    EC_KEY *key = EC_KEY_new_method(e->use.engine);
    BIGNUM *secret = BN_secure_new();
    bool ok = peer && key && secret && BN_bin2bn(job->multiply.secret, (int)bytes, secret) &&
              EC_KEY_set_group(key, group) == 1 && EC_KEY_set_private_key(key, secret) == 1 &&
              ECDH_compute_key(job->multiply.shared, bytes, peer, key, NULL) == (int)bytes;
    BN_clear_free(secret);
    EC_KEY_free(key);
    EC_POINT_free(peer);
    return ok ? ASYM_DONE : ASYM_FAILED;
}

static ECDSA_SIG *signature_of(const struct asym_verify *verify, size_t bytes)
{
    BIGNUM *r = BN_bin2bn(verify->r, (int)bytes, NULL), *s = BN_bin2bn(verify->s, (int)bytes, NULL);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    if (r && s && sig && ECDSA_SIG_set0(sig, r, s) == 1)
        return sig;
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return NULL;
}

static enum asym_result verify(struct asym_engine *e, struct asym_job *job)
{
    const size_t bytes = asym_bytes(job->kind);
    EC_GROUP *group = group_of(e, job->kind);
    EC_POINT *point = point_of(group, job->verify.point, bytes);
    EC_KEY *key = EC_KEY_new_method(e->use.engine);
    ECDSA_SIG *sig = signature_of(&job->verify, bytes);
    bool ready =
        point && key && sig && EC_KEY_set_group(key, group) == 1 && EC_KEY_set_public_key(key, point) == 1;
    int good = ready ? ECDSA_do_verify(job->verify.digest, (int)bytes, sig, key) : -1;
    ECDSA_SIG_free(sig);
    EC_KEY_free(key);
    EC_POINT_free(point);
    return good == 1 ? ASYM_DONE : good == 0 ? ASYM_REFUSED : ASYM_FAILED;
}

static enum asym_result rsa_public(struct asym_engine *e, struct asym_job *job)
{
    const size_t bytes = asym_bytes(job->kind);
    RSA *key = RSA_new_method(e->use.engine);
    BIGNUM *modulus = BN_bin2bn(job->rsa.modulus, (int)bytes, NULL), *exponent = BN_dup(e->e);
    bool set = key && modulus && exponent && RSA_set0_key(key, modulus, exponent, NULL) == 1;
    if (!set) {
        BN_free(modulus);
        BN_free(exponent);
    }
    bool ok =
        set && RSA_public_decrypt((int)bytes, job->rsa.in, job->rsa.out, key, RSA_NO_PADDING) == (int)bytes;
    RSA_free(key);
    return ok ? ASYM_DONE : ASYM_FAILED;
}

static int compute(void *args)
{
    const struct place *place = *(struct place **)args;
    struct asym_job *job = place->job;
    switch (job->kind) {
    case ASYM_P256_MULTIPLY:
    case ASYM_P384_MULTIPLY: job->result = multiply(place->of, job); break;
    case ASYM_P256_VERIFY:
    case ASYM_P384_VERIFY: job->result = verify(place->of, job); break;
    default: job->result = rsa_public(place->of, job); break;
    }
    return 1;
}

/* ---- starting, waking, resuming ---- */

static int wake(void *arg)
{
    struct place *place = arg;
    struct asym_engine *e = place->of;
    if (atomic_exchange(&place->woken, true))
        return 1;
    place->next_woken = atomic_load(&e->woken);
    while (!atomic_compare_exchange_weak(&e->woken, &place->next_woken, place)) {}
    return 1;
}

static void end(struct place *place)
{
    struct asym_engine *e = place->of;
    if (place->job->result == ASYM_WORKING)
        place->job->result = ASYM_FAILED;
    list_push_tail(&e->done, &place->job->link);
    place->job = NULL;
    place->async = NULL;
    place->next_free = e->free;
    e->free = place;
    e->working--;
    ERR_clear_error();
}

/* False: OpenSSL has no stack for one more job now. */
static bool go_on(struct place *place)
{
    int returned;
    const bool suspended = place->async;
    switch (ASYNC_start_job(&place->async, place->wait, &returned, compute, (void *)&place,
                            sizeof(struct place *))) {
    case ASYNC_PAUSE: tls_async_count(suspended, true); return true;
    case ASYNC_NO_JOBS: return false;
    default:
        tls_async_count(suspended, false);
        end(place);
        return true;
    }
}

static void start_waiting(struct asym_engine *e)
{
    while (e->free && !list_empty(&e->waiting)) {
        struct place *place = e->free;
        struct list *first = list_pop(&e->waiting);
        e->free = place->next_free;
        place->job = list_entry(first, struct asym_job, link);
        e->working++;
        if (go_on(place))
            continue;
        place->job = NULL;
        place->next_free = e->free;
        e->free = place;
        e->working--;
        list_push_head(&e->waiting, first);
        ERR_clear_error();
        return;
    }
}

static void poll_engine(struct asym_engine *e)
{
    int status = 0;
    if (e->use.polled && e->working > 0 && ENGINE_ctrl_cmd(e->use.engine, "POLL", 0, &status, NULL, 0) != 1)
        ERR_clear_error();
}

static void resume_woken(struct asym_engine *e)
{
    struct place *place = atomic_exchange(&e->woken, NULL);
    while (place) {
        struct place *next = place->next_woken;
        atomic_store(&place->woken, false);
        if (place->job)
            go_on(place);
        place = next;
    }
}

static void settle_here(struct asym_engine *e)
{
    if (e->use.instances > 0 && tls_engine_has_command(e->use.engine, "SET_INSTANCE_FOR_THREAD"))
        ENGINE_ctrl_cmd(e->use.engine, "SET_INSTANCE_FOR_THREAD",
                        (long)(e->core % (uint32_t)e->use.instances), NULL, NULL, 0);
    ERR_clear_error();
    e->here = true;
}

static struct asym_job *poll(void *self)
{
    struct asym_engine *e = self;
    if (list_empty(&e->done) && !ASYNC_get_current_job() && (e->working > 0 || !list_empty(&e->waiting))) {
        if (!e->here)
            settle_here(e);
        start_waiting(e);
        poll_engine(e);
        resume_woken(e);
    }
    struct list *it = list_pop(&e->done);
    return it ? list_entry(it, struct asym_job, link) : NULL;
}

static bool submit(void *self, struct asym_job *job)
{
    struct asym_engine *e = self;
    list_push_tail(&e->waiting, &job->link);
    return true;
}

/* ---- open, close ---- */

static void free_all(struct asym_engine *e)
{
    for (uint32_t i = 0; i < e->places; i++)
        ASYNC_WAIT_CTX_free(e->place[i].wait);
    EC_GROUP_free(e->p256);
    EC_GROUP_free(e->p384);
    BN_free(e->e);
    free(e);
}

static void wait_for_working(struct asym_engine *e)
{
    const struct timespec ms = {.tv_nsec = 1000000};
    list_init(&e->waiting); /* these it never had */
    for (unsigned i = 0; i < CLOSE_WAIT_MS && e->working > 0; i++) {
        while (poll(e)) {}
        if (e->working > 0)
            nanosleep(&ms, NULL);
    }
}

static bool close_engine(void *self)
{
    struct asym_engine *e = self;
    wait_for_working(e);
    tls_engine_leave(&e->use);
    if (e->working == 0) {
        free_all(e);
        return true;
    }
    pthread_mutex_lock(&lost_lock);
    e->next_lost = all_lost;
    all_lost = e;
    pthread_mutex_unlock(&lost_lock);
    return false;
}

static bool open_places(struct asym_engine *e)
{
    for (uint32_t i = 0; i < e->places; i++) {
        struct place *place = &e->place[i];
        place->of = e;
        place->wait = ASYNC_WAIT_CTX_new();
        if (!place->wait || ASYNC_WAIT_CTX_set_callback(place->wait, wake, place) != 1)
            return false;
        place->next_free = e->free;
        e->free = place;
    }
    return true;
}

static bool open_parts(struct asym_engine *e)
{
    e->p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    e->p384 = EC_GROUP_new_by_curve_name(NID_secp384r1);
    e->e = BN_new();
    return e->p256 && e->p384 && e->e && BN_set_word(e->e, RSA_F4) == 1 && open_places(e);
}

static uint32_t kinds_of(ENGINE *engine)
{
    uint32_t kinds = 0;
    if (ENGINE_get_EC(engine))
        kinds |= 1u << ASYM_P256_MULTIPLY | 1u << ASYM_P384_MULTIPLY | 1u << ASYM_P256_VERIFY |
                 1u << ASYM_P384_VERIFY;
    if (ENGINE_get_RSA(engine))
        kinds |= 1u << ASYM_RSA2048_PUBLIC | 1u << ASYM_RSA3072_PUBLIC | 1u << ASYM_RSA4096_PUBLIC;
    return kinds;
}

static bool open_engine(struct asym_engine *e, const char *id, bool hardware, struct error *err)
{
    if (!tls_async_stacks(err) || !tls_engine_use(id, &e->use, err))
        return false;
    bool has = !hardware || e->use.instances > 0;
    if (has && open_parts(e))
        return true;
    tls_engine_leave(&e->use);
    return has ? error_set(err, "OpenSSL engine \"%s\": no memory for its operations", id)
               : error_set(err, "OpenSSL engine \"%s\" has no device", id);
}

bool asym_engine_open(const char *id, uint32_t core, uint32_t jobs, bool hardware, struct asym_device *device,
                      struct error *err)
{
    struct asym_engine *e = calloc(1, sizeof(*e) + jobs * sizeof(e->place[0]));
    if (!e)
        return error_set(err, "OpenSSL engine \"%s\": no memory for its operations", id);
    e->core = core;
    e->places = jobs;
    list_init(&e->waiting);
    list_init(&e->done);
    if (!open_engine(e, id, hardware, err)) {
        free_all(e);
        return false;
    }
    *device = (struct asym_device){
        .kinds = kinds_of(e->use.engine), .submit = submit, .poll = poll, .close = close_engine, .self = e};
    snprintf(device->name, sizeof(device->name), "engine %s", id);
    return true;
}
