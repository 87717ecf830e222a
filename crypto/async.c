/* async.c: stacks for handshakes that run as OpenSSL ASYNC jobs.
 *
 * OpenSSL's own are 32 KiB of heap; what a server sends is parsed on them, so ours end in a page that faults.
 */
#include "crypto/session.h"

#include <openssl/async.h>
#include <openssl/err.h>
#include <pthread.h>
#include <sys/mman.h>

#define STACK_BYTES (64u << 10)
#define GUARD_BYTES (4u << 10) /* a page, at the low end: stacks grow down */

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
    return map + GUARD_BYTES;
}

static void stack_free(void *stack)
{
    if (stack)
        munmap((uint8_t *)stack - GUARD_BYTES, GUARD_BYTES + STACK_BYTES);
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

/* OpenSSL's jobs are the thread's: cores that share one have them together, as many as the first asked for. */
static _Thread_local unsigned users;

bool tls_async_open(uint32_t jobs_max, struct error *err)
{
    if (!tls_async_stacks(err))
        return false;
    if (users++ > 0)
        return true;
    if (!ASYNC_init_thread(jobs_max, 0)) {
        users--;
        return error_set(err, "OpenSSL's asynchronous jobs do not start: %s", tls_reason());
    }
    return true;
}

void tls_async_close(void)
{
    if (--users == 0)
        ASYNC_cleanup_thread();
}
