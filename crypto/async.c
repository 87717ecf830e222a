/* async.c: stacks for handshakes that run as OpenSSL ASYNC jobs.
 *
 * OpenSSL's own are 32 KiB of heap; what a server sends is parsed on them, so ours end in a page that faults.
 * OpenSSL makes them as they are needed and keeps each until the thread's jobs are closed: so these are closed, and opened
 * again, when for a while few have been needed.
 */
#include "crypto/session.h"

#include <openssl/async.h>
#include <openssl/err.h>
#include <pthread.h>
#include <sys/mman.h>

#define STACK_BYTES (64u << 10)
#define GUARD_BYTES (4u << 10) /* a page, at the low end: stacks grow down */
#define KEPT        16u        /* so few are not worth the trouble */
#define LOOK_US     10000000u  /* what was not needed for so long is given back */

/* OpenSSL's jobs are the thread's: cores that share one have them together, as many as the first asked for. */
static _Thread_local struct {
    unsigned users;
    uint32_t jobs_max;
    uint32_t stacks;    /* there are, in use or not */
    uint32_t suspended; /* jobs; in [0, stacks] */
    uint32_t most;      /* of these at once, since looked_us */
    uint64_t looked_us;
} mine;

static void *stack_alloc(size_t *bytes)
{
    uint8_t *map = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (mprotect(map, GUARD_BYTES, PROT_NONE) != 0) {
        munmap(map, GUARD_BYTES + STACK_BYTES);
        return NULL;
    }
    *bytes = STACK_BYTES;
    mine.stacks++;
    return map + GUARD_BYTES;
}

static void stack_free(void *stack)
{
    if (!stack)
        return;
    munmap((uint8_t *)stack - GUARD_BYTES, GUARD_BYTES + STACK_BYTES);
    mine.stacks--;
}

/* They are the process's; OpenSSL takes them until the first job of any core has run. */
bool tls_async_stacks(struct error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (!ASYNC_is_capable())
        return error_set(err, "OpenSSL has no asynchronous jobs on this platform; switch them off");
    ASYNC_stack_alloc_fn alloc;
    ASYNC_stack_free_fn release;
    pthread_mutex_lock(&lock);
    ASYNC_get_mem_functions(&alloc, &release);
    bool ok = alloc == stack_alloc || ASYNC_set_mem_functions(stack_alloc, stack_free);
    pthread_mutex_unlock(&lock);
    return ok ||
           error_set(err, "OpenSSL's asynchronous jobs are in use by this process already; switch ours off");
}

bool tls_async_open(uint32_t jobs_max, struct error *err)
{
    if (!tls_async_stacks(err))
        return false;
    if (mine.users++ > 0)
        return true;
    if (!ASYNC_init_thread(jobs_max, 0)) {
        mine.users--;
        return error_set(err, "OpenSSL's asynchronous jobs do not start: %s", tls_reason());
    }
    mine.jobs_max = jobs_max;
    return true;
}

void tls_async_close(void)
{
    if (--mine.users == 0)
        ASYNC_cleanup_thread();
}

void tls_async_count(bool before, bool now)
{
    mine.suspended += (uint32_t)now - (uint32_t)before;
    mine.most = max_u32(mine.most, mine.suspended);
}

uint32_t tls_async_stacks_now(void)
{
    return mine.stacks;
}

/* A suspended job is in no store, and would have none to come back to.  OpenSSL notes each opening, some hundred bytes until the
 * thread ends: not more often than LOOK_US, and only behind a rush.
 */
void tls_async_sweep(uint64_t now_us)
{
    bool few = mine.most < mine.stacks / 2 && mine.stacks > KEPT;
    if (now_us - mine.looked_us < LOOK_US || (few && mine.suspended > 0))
        return;
    mine.looked_us = now_us;
    mine.most = mine.suspended;
    if (!few)
        return;
    ASYNC_cleanup_thread();
    if (!ASYNC_init_thread(mine.jobs_max, 0))
        ERR_clear_error(); /* the next job asks again, without a bound */
}
