/* ring_wake.c: how long a sleeper sleeps on once it is called, and how long a bare one would between the same two CPUs.
 *
 * Ours and the bare ones by turns, a slice of the time each, so that what else the machine does meets them alike.  A bare turn: both
 * threads sleep by turns as ours do, in poll(2) on an eventfd there and on an epoll set with a socket pair back, or in futex(2).
 */
#include "bench/ring_cases.h"
#include "bench/ring_figures.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ASLEEP_US 300 /* after which the other end is asleep */
#define TELL_US   200
#define SLICE_NS  50000000u

struct bare {
    const struct ring_threads *threads;
    bool by_futex;
    int there, back[2], epoll;          /* eventfd, socket pair, its set */
    _Atomic uint32_t word[2];           /* there, back: counted up by who rings */
    _Atomic uint64_t woken_ns, rung_ns; /* there: when it woke; back: when it was rung */
    atomic_bool stop;
    struct samples *out, *in;
};

static void ring_word(_Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void sleep_on_word(_Atomic uint32_t *word, uint32_t seen)
{
    while (atomic_load(word) == seen)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void ring_there(struct bare *b)
{
    const uint64_t one = 1;
    if (b->by_futex)
        ring_word(&b->word[0]);
    else if (write(b->there, &one, sizeof(one)) != sizeof(one))
        die("eventfd", strerror(errno));
}

static void sleep_there(struct bare *b, uint32_t turn)
{
    uint64_t rings;
    struct pollfd p = {.fd = b->there, .events = POLLIN};
    if (b->by_futex) {
        sleep_on_word(&b->word[0], turn);
        return;
    }
    poll(&p, 1, -1);
    ssize_t n = read(p.fd, &rings, sizeof(rings));
    (void)n;
}

static void ring_back(struct bare *b)
{
    const uint64_t one = 1;
    if (b->by_futex)
        ring_word(&b->word[1]);
    else if (send(b->back[1], &one, sizeof(one), MSG_NOSIGNAL) != sizeof(one))
        die("socket pair", strerror(errno));
}

static void sleep_back(struct bare *b, uint32_t turn)
{
    struct pollfd p = {.fd = b->epoll, .events = POLLIN};
    if (b->by_futex)
        sleep_on_word(&b->word[1], turn);
    else
        poll(&p, 1, -1);
}

static void *answer(void *arg)
{
    struct bare *b = arg;
    settle_on(b->threads->cpu[1], b->threads->realtime);
    for (uint32_t turn = 0;; turn++) {
        sleep_there(b, turn);
        atomic_store(&b->woken_ns, figures_now_ns());
        if (atomic_load(&b->stop))
            return NULL;
        usleep(TELL_US);
        atomic_store(&b->rung_ns, figures_now_ns());
        ring_back(b);
    }
}

/* Who was awake before anything was told has not been woken by it: a wait may end early. */
static void add_span(struct samples *s, uint64_t from_ns, uint64_t to_ns)
{
    if (to_ns >= from_ns)
        samples_add(s, to_ns - from_ns);
}

static void bare_turn(struct bare *b, uint32_t turn)
{
    uint64_t ring;
    usleep(ASLEEP_US);
    uint64_t begin = figures_now_ns();
    ring_there(b);
    sleep_back(b, turn);
    uint64_t woken = figures_now_ns();
    add_span(b->out, begin, atomic_load(&b->woken_ns));
    add_span(b->in, atomic_load(&b->rung_ns), woken);
    ssize_t n = b->by_futex ? 0 : read(b->back[0], &ring, sizeof(ring));
    (void)n;
}

static void open_bells(struct bare *b)
{
    struct epoll_event event = {.events = EPOLLIN};
    b->there = eventfd(0, EFD_CLOEXEC);
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (b->there < 0 || b->epoll < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b->back) != 0 ||
        epoll_ctl(b->epoll, EPOLL_CTL_ADD, b->back[0], &event) != 0)
        die("wake-ups", strerror(errno));
}

static void close_bells(struct bare *b)
{
    close(b->there);
    close(b->epoll);
    close(b->back[0]);
    close(b->back[1]);
}

/* The caller is the producer's thread, and sits on its CPU. */
static void bare_slice(const struct ring_run *run, bool by_futex, struct samples *out, struct samples *in)
{
    struct bare b = {.threads = &run->threads, .by_futex = by_futex, .out = out, .in = in};
    pthread_t thread;
    open_bells(&b);
    if (pthread_create(&thread, NULL, answer, &b) != 0)
        die("wake-ups", "no thread");
    uint64_t end = figures_now_ns() + SLICE_NS;
    for (uint32_t turn = 0; figures_now_ns() < end; turn++)
        bare_turn(&b, turn);
    atomic_store(&b.stop, true);
    ring_there(&b);
    pthread_join(thread, NULL);
    close_bells(&b);
}

static void our_slice(const struct ring_run *run, const struct ring_messages *messages, struct samples *out,
                      struct samples *in)
{
    uint64_t end = figures_now_ns() + SLICE_NS;
    engine_be_sleepy(true);
    for (uint64_t number = 0; figures_now_ns() < end; number++) {
        const struct hl_job *job = messages_make(messages, 1, number);
        usleep(ASLEEP_US);
        uint64_t begin = figures_now_ns();
        producer_submit(run->feed, job, 1);
        hl_wait(run->feed, 1000, NULL);
        uint64_t woken = figures_now_ns();
        while (producer_reap(run->feed) == 0)
            continue;
        add_span(out, begin, engine_taken_ns());
        add_span(in, engine_told_ns(), woken);
    }
    engine_be_sleepy(false);
}

void measure_wake_ups(const struct ring_run *run)
{
    static const char *const names[] = {"wake_engine",         "wake_producer",     "limit_wake_engine",
                                        "limit_wake_producer", "limit_futex_there", "limit_futex_back"};
    struct samples s[ARRAY_LEN(names)];
    struct ring_messages messages = messages_open(run->feed, false, 100);
    for (size_t i = 0; i < ARRAY_LEN(s); i++)
        s[i] = samples_new();
    uint64_t end = figures_now_ns() + (uint64_t)(run->seconds * run->repeat * 1e9);
    while (figures_now_ns() < end) {
        our_slice(run, &messages, &s[0], &s[1]);
        engine_pause(true);
        bare_slice(run, false, &s[2], &s[3]);
        bare_slice(run, true, &s[4], &s[5]);
        engine_pause(false);
    }
    messages_close(&messages);
    for (size_t i = 0; i < ARRAY_LEN(s); i++) {
        figures_percentiles(names[i], &s[i]);
        samples_free(&s[i]);
    }
}
