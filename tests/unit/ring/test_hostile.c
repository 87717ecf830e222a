/* A producer that writes what it likes into its region breaks its own feed, or gets its own job refused. */
#include "engine/base/rand.h"
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/pair.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct pair pair;
static struct feed_job *memory;
static struct outcome why;

static int open_pair(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    memset(&pair, 0, sizeof(pair));
    pair.rights.body_bytes_max = 100000;
    pair_open(&pair, NULL);
    memory = pair_job_memory(&shape);
    return 0;
}

static int close_pair(void **state)
{
    (void)state;
    pair_close(&pair);
    free(memory);
    return 0;
}

static struct lane *lane(void)
{
    return &pair.producer->region.lane[0];
}

/* Puts a sound job on the lane and gives its record to be spoilt before the engine looks. */
static struct ring_job *place(void)
{
    struct hl_job job = pair_job(1);
    if (hl_submit(pair.producer, &job, &pair.error) != 0)
        fail_msg("%s", pair.error.text);
    struct lane *l = lane();
    uint64_t id = pair.producer->next_id;
    for (uint32_t slot = 0; slot < 8; slot++)
        if (l->job[slot].id >> RING_SLOT_BITS == id)
            return (struct ring_job *)(l->out.base + l->job[slot].at);
    fail_msg("the job is in no slot");
    return NULL;
}

static void show(uint64_t tail)
{
    atomic_store(&lane()->shared->submit_tail, tail);
}

static enum feed_take_result take(void)
{
    return feed_take(pair.engine, 0, memory, &why);
}

static void broken(const char *fault)
{
    assert_int_equal(take(), FEED_BROKEN);
    assert_true(feed_broken(pair.engine));
    if (!strstr(feed_fault(pair.engine), fault))
        fail_msg("\"%s\" does not say \"%s\"", feed_fault(pair.engine), fault);
    assert_int_equal(take(), FEED_BROKEN); /* for ever */
    feed_server_handle(pair.server, 0);
    assert_int_equal(pair.detaches, 1);
    struct hl_result r;
    int n;
    for (int i = 0; i < 2000 && (n = hl_reap(pair.producer, &r, 1, &pair.error)) == 0; i++)
        continue;
    if (n < 0) /* else: the verdict */
        assert_non_null(strstr(pair.error.text, fault));
}

static void refused(const char *text)
{
    assert_int_equal(take(), FEED_REFUSED);
    assert_false(feed_broken(pair.engine));
    assert_int_equal(why.verdict, VERDICT_FAILED);
    assert_int_equal(why.stage, STAGE_SUBMIT);
    assert_int_equal(why.fault, FAULT_PRODUCER);
    assert_int_equal(why.reason, REASON_BAD_JOB);
    if (!strstr(why.text, text))
        fail_msg("\"%s\" does not say \"%s\"", why.text, text);
    for (uint32_t r = 0; r < memory->recipients; r++)
        feed_report(memory, r, &why, NULL);
    feed_flush(pair.engine, 0);
    struct hl_result result;
    assert_int_equal(hl_reap(pair.producer, &result, 1, NULL), 1);
    assert_int_equal(result.verdict, HL_FAILED);
    assert_int_equal(take(), FEED_EMPTY);
}

static void submission_index_jumps(void **state)
{
    (void)state;
    show(lane()->out.bytes + 8);
    broken("submission index jumped from 0 to");
}

static void submission_index_goes_back(void **state)
{
    (void)state;
    place();
    assert_int_equal(take(), FEED_TAKEN);
    show(0);
    broken("submission index jumped");
}

static void submission_index_is_not_aligned(void **state)
{
    (void)state;
    place();
    show(lane()->out.position + 4);
    broken("submission index jumped");
}

/* As many as find room, of which none is reaped. */
static void fill_with_results(void)
{
    struct lane *l = lane();
    for (unsigned i = 0; i < 1000; i++) {
        place();
        enum feed_take_result took = take();
        if (took == FEED_EMPTY)
            return;
        assert_int_equal(took, FEED_TAKEN);
        uint32_t slot = (uint32_t)memory->id & RING_SLOT_MASK;
        pair_deliver(memory);
        l->job[slot].message->left = 0; /* the producer thinks that it had the result */
        job_settle(pair.producer, 0, slot);
    }
    fail_msg("the results always find room");
}

static void completion_index_runs_ahead(void **state)
{
    (void)state;
    fill_with_results();
    atomic_store(&lane()->shared->complete_head, atomic_load(&lane()->shared->complete_tail) + 8);
    broken("completion index jumped");
}

static void completion_index_goes_back(void **state)
{
    (void)state;
    fill_with_results();
    uint64_t tail = atomic_load(&lane()->shared->complete_tail);
    atomic_store(&lane()->shared->complete_head, tail);
    assert_int_equal(take(), FEED_TAKEN);
    pair_deliver(memory);
    fill_with_results();
    atomic_store(&lane()->shared->complete_head, tail - 8);
    broken("completion index jumped");
}

/* The flags of a descriptor that both ends have are the producer's to change: the engine must not wait in a wake-up for all that. */
static void a_wake_up_cannot_hold_the_core(void **state)
{
    (void)state;
    struct hl_result r;
    const uint64_t most = UINT64_MAX - 1;
    int fd = pair.producer->region.wake_producer;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
    ssize_t n = write(fd, &most, sizeof(most));
    (void)n; /* one that cannot be filled is as well */
    alarm(20);
    for (unsigned i = 0; i < 1000; i++) {
        place();
        atomic_store(&pair.producer->region.shared->producer_sleeping, 1);
        assert_int_equal(take(), FEED_TAKEN);
        pair_deliver(memory);
        assert_int_equal(hl_reap(pair.producer, &r, 1, &pair.error), 1);
    }
    alarm(0);
    assert_false(feed_broken(pair.engine));
}

static void slot_number_outside(void **state)
{
    (void)state;
    struct ring_job *job = place();
    job->id = (job->id & ~(uint64_t)RING_SLOT_MASK) | 8;
    broken("submitted slot 8, which is not its own");
}

static void slot_submitted_twice(void **state)
{
    (void)state;
    struct ring_job *first = place();
    assert_int_equal(take(), FEED_TAKEN);
    struct ring_job *second = place();
    second->id = first->id;
    broken("which is not its own");
}

static void spoil_bytes(uint32_t bytes)
{
    place()->bytes = bytes;
    broken("outside of its stream");
}

static void record_is_longer_than_what_is_published(void **state)
{
    (void)state;
    spoil_bytes((uint32_t)lane()->out.position + 512);
}

static void record_across_the_end(void **state)
{
    (void)state;
    struct lane *l = lane();
    while (stream_rest(&l->out) > 256) {
        place();
        pair_deliver(pair_take(&pair, 0));
        struct hl_result r;
        assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
    }
    struct ring_job *job = place();
    uint32_t rest = (uint32_t)(l->out.bytes - (size_t)((uint8_t *)job - l->out.base));
    job->bytes = rest + 8;
    show(l->out.position + 512);
    broken("outside of its stream");
}

static void record_is_not_aligned(void **state)
{
    (void)state;
    struct ring_job *job = place();
    job->bytes -= 4;
    broken("outside of its stream");
}

static void record_is_shorter_than_its_head(void **state)
{
    (void)state;
    spoil_bytes(sizeof(struct ring_job) - 8);
}

static void record_of_no_bytes(void **state)
{
    (void)state;
    spoil_bytes(0);
}

static void record_is_longer_than_allowed(void **state)
{
    (void)state;
    place();
    struct ring_job *job = place();
    assert_int_equal(take(), FEED_TAKEN);
    job->bytes = 4104;
    show(lane()->out.position + 8192);
    broken("outside of its stream");
}

/* An end that is skipped though nothing says that there is more. */
static void an_end_that_is_not_published(void **state)
{
    (void)state;
    place();
    struct ring_job *job = place();
    assert_int_equal(take(), FEED_TAKEN);
    job->bytes = RING_SKIP;
    broken("ends behind its index");
}

static void a_stream_of_ends(void **state)
{
    (void)state;
    place()->bytes = RING_SKIP;
    show(lane()->out.bytes);
    broken("ends behind its index");
}

#define ARENA (pair.producer->region.head.arena_offset)
#define END   (pair.producer->region.head.arena_offset + pair.producer->region.head.arena_bytes)

static void no_recipients(void **state)
{
    (void)state;
    place()->recipients = 0;
    broken("0 recipients");
}

static void too_many_recipients(void **state)
{
    (void)state;
    place()->recipients = 5;
    broken("5 recipients");
}

/* Each row spoils one field of a sound record. */
static void spoil_none(struct ring_job *r)
{
    r->reserved[0] = 1; /* a newer minor may use it */
}

static void spoil_recipients(struct ring_job *r)
{
    r->recipients = 4; /* and has one */
}

static void spoil_flags(struct ring_job *r)
{
    r->flags = 1u << 15;
}

static void spoil_exception(struct ring_job *r)
{
    r->flags |= FEED_EXCEPTION;
}

static void spoil_floor(struct ring_job *r)
{
    r->tls_floor = 200;
}

static void spoil_sender_length(struct ring_job *r)
{
    r->sender_bytes = UINT8_MAX;
}

static void spoil_sender_shorter(struct ring_job *r)
{
    r->sender_bytes = (uint8_t)(r->sender_bytes - 8);
}

static char *strings_of(struct ring_job *r)
{
    return (char *)r + sizeof(*r) + sizeof(struct ring_extent) + sizeof(struct ring_recipient);
}

static void spoil_next_hop(struct ring_job *r)
{
    r->next_hop_bytes = 4;
    strings_of(r)[1] = '<';
    r->sender_bytes = (uint8_t)(r->sender_bytes - 4);
}

static void spoil_tag(struct ring_job *r)
{
    r->tag_bytes = 200;
}

static void spoil_extents(struct ring_job *r)
{
    r->extents = 17;
}

static void spoil_no_extents(struct ring_job *r)
{
    r->extents = 0;
}

static struct ring_extent *extent_of(struct ring_job *r)
{
    return (struct ring_extent *)(r + 1);
}

static void spoil_extent_offset(struct ring_job *r)
{
    extent_of(r)->offset = 0;
}

static void spoil_extent_end(struct ring_job *r)
{
    extent_of(r)->offset = END - 5;
}

static void spoil_extent_wrap(struct ring_job *r)
{
    extent_of(r)->offset = UINT64_MAX - 3;
}

static void spoil_extent_bytes(struct ring_job *r)
{
    extent_of(r)->bytes = UINT64_MAX;
}

static void spoil_extent_empty(struct ring_job *r)
{
    extent_of(r)->bytes = 0;
}

static void spoil_too_long(struct ring_job *r)
{
    extent_of(r)->offset = ARENA;
    extent_of(r)->bytes = 100001;
}

static void spoil_sender_cr(struct ring_job *r)
{
    strings_of(r)[2] = '\r';
}

static void spoil_sender_nul(struct ring_job *r)
{
    strings_of(r)[2] = 0;
}

static void spoil_recipient_bracket(struct ring_job *r)
{
    strings_of(r)[17] = '<';
}

static void spoil_recipient_lf(struct ring_job *r)
{
    strings_of(r)[17] = '\n';
}

static void spoil_dsn(struct ring_job *r) /* the address's last bytes become its DSN parameters */
{
    struct ring_recipient *p = (struct ring_recipient *)(extent_of(r) + 1);
    p->address_bytes = (uint16_t)(p->address_bytes - 4);
    p->dsn_bytes = 4;
}

static void every_field_is_checked(void **state)
{
    (void)state;
    static const struct {
        void (*spoil)(struct ring_job *r);
        const char *text;
    } row[] = {
        {spoil_flags, "flag"},
        {spoil_exception, "exception, which this feed may not"},
        {spoil_floor, "TLS floor"},
        {spoil_sender_length, "not as long as its parts"},
        {spoil_sender_shorter, "not as long as its parts"},
        {spoil_next_hop, "next hop"},
        {spoil_tag, "not as long as its parts"},
        {spoil_extents, "no extents or too many"},
        {spoil_no_extents, "no extents or too many"},
        {spoil_extent_offset, "outside of the arena"},
        {spoil_extent_end, "outside of the arena"},
        {spoil_extent_wrap, "outside of the arena"},
        {spoil_extent_bytes, "outside of the arena"},
        {spoil_extent_empty, "the body is empty"},
        {spoil_too_long, "longer than this feed may send"},
        {spoil_sender_cr, "the sender's address has a CR or LF"},
        {spoil_sender_nul, "the sender's address has a NUL"},
        {spoil_recipient_bracket, "a recipient's address has an angle bracket"},
        {spoil_recipient_lf, "a recipient's address has a CR or LF"},
        {spoil_dsn, "a recipient's"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        row[i].spoil(place());
        refused(row[i].text);
    }
    spoil_recipients(place()); /* more results than the library waits for: its own affair */
    assert_int_equal(take(), FEED_REFUSED);
    assert_int_equal(memory->recipients, 4);
    assert_non_null(strstr(why.text, "not as long as its parts"));
}

static void unknown_reserved_bytes_are_left_to_newer_minors(void **state)
{
    (void)state;
    spoil_none(place());
    assert_int_equal(take(), FEED_TAKEN);
}

/* Whatever is written over the record once it was taken, the engine's copy stays. */
static void changes_after_the_take_do_not_matter(void **state)
{
    (void)state;
    struct ring_job *record = place();
    uint32_t bytes = record->bytes;
    assert_int_equal(take(), FEED_TAKEN);
    memset(record, 0xff, bytes);
    assert_string_equal(memory->domain, "example.org");
    assert_int_equal(memory->recipients, 1);
    assert_memory_equal(memory->sender.data, "alice@example.com", 17);
    assert_memory_equal(memory->recipient[0].address.data, "bob@example.org", 15);
    pair_deliver(memory);
    struct hl_result r;
    assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
    assert_int_equal(r.verdict, HL_DELIVERED);
}

static void another_lane_than_the_destination_s(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    pair_close(&pair);
    shape.lanes = 2;
    pair_open(&pair, &shape);
    struct hl_job job = pair_job(1);
    assert_int_equal(hl_submit(pair.producer, &job, NULL), 0);
    uint32_t right = pair.producer->region.lane[0].out.position ? 0 : 1;
    struct lane *from = &pair.producer->region.lane[right], *to = &pair.producer->region.lane[!right];
    memcpy(to->out.base, from->out.base, from->out.position);
    atomic_store(&to->shared->submit_tail, from->out.position);
    assert_int_equal(feed_take(pair.engine, !right, memory, &why), FEED_REFUSED);
    assert_non_null(strstr(why.text, "another lane"));
    assert_int_equal(feed_take(pair.engine, right, memory, &why), FEED_TAKEN);
}

/* Without a next hop a job may not borrow another destination's policy: the second recipient's domain is changed. */
static void another_domain_among_the_recipients(void **state)
{
    (void)state;
    struct hl_recipient to[] = {{hl_str("a@example.org"), hl_none()}, {hl_str("b@example.org"), hl_none()}};
    struct hl_job job = pair_job(1);
    job.recipients = to;
    job.recipients_count = 2;
    assert_int_equal(hl_submit(pair.producer, &job, NULL), 0);
    uint8_t *record = lane()->out.base, *second = memmem(record, lane()->out.position, "b@example.org", 13);
    assert_non_null(second);
    memcpy(second + 2, "exanple", 7);
    assert_int_equal(take(), FEED_REFUSED);
    assert_non_null(strstr(why.text, "a recipient's domain is not the job's"));
    assert_int_equal(memory->recipients, 2);
}

/* The first recipient's domain is not looked at again in the second, whose length is another one all the same. */
static void a_second_address_longer_than_any(void **state)
{
    (void)state;
    char domain[251];
    uint8_t *at = lane()->out.base;
    struct ring_job head = {.bytes = 632, .recipients = 2, .id = 1u << RING_SLOT_BITS, .extents = 1};
    const struct ring_extent extent = {ARENA, 10};
    const struct ring_recipient length[] = {{2 + 250, 0}, {64 + 1 + 250, 0}};
    for (unsigned i = 0; i < 250; i++)
        domain[i] = i % 62 == 61 ? '.' : 'a';
    domain[250] = 0;
    memcpy(at, &head, sizeof(head));
    memcpy(at + 40, &extent, sizeof(extent));
    memcpy(at + 56, length, sizeof(length));
    snprintf((char *)at + 64, 632 - 64, "a@%s%064d@%s", domain, 0, domain);
    show(632);
    assert_int_equal(take(), FEED_REFUSED);
    assert_non_null(strstr(why.text, "a recipient's address is longer than 254 bytes"));
}

/* Random bytes over a sound record: taken, refused or broken, and never anything outside (the sanitizers watch). */
static void random_records(void **state)
{
    (void)state;
    struct rand_source r;
    unsigned count[4] = {0};
    rand_seed(&r, 5);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t *record = (uint8_t *)place();
        uint32_t bytes = ((struct ring_job *)record)->bytes;
        for (unsigned k = rand_below(&r, 4); k > 0; k--)
            record[rand_below(&r, bytes)] = (uint8_t)rand_u64(&r);
        enum feed_take_result took = take();
        count[took]++;
        if (took == FEED_BROKEN) {
            pair_close(&pair);
            pair.rights.body_bytes_max = 100000;
            pair_open(&pair, NULL);
            continue;
        }
        assert_int_not_equal(took, FEED_EMPTY);
        struct hl_result results[4];
        pair_deliver(memory);
        hl_reap(pair.producer, results, 4, NULL);
        if (pair.producer->gone) { /* a job whose recipients the producer itself forged */
            pair_close(&pair);
            pair.rights.body_bytes_max = 100000;
            pair_open(&pair, NULL);
        }
    }
    assert_true(count[FEED_TAKEN] > 100 && count[FEED_REFUSED] > 100 && count[FEED_BROKEN] > 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        T(submission_index_jumps),
        T(submission_index_goes_back),
        T(submission_index_is_not_aligned),
        T(completion_index_goes_back),
        T(completion_index_runs_ahead),
        T(a_wake_up_cannot_hold_the_core),
        T(slot_number_outside),
        T(slot_submitted_twice),
        T(record_is_longer_than_what_is_published),
        T(record_across_the_end),
        T(record_of_no_bytes),
        T(an_end_that_is_not_published),
        T(a_stream_of_ends),
        T(record_is_not_aligned),
        T(record_is_shorter_than_its_head),
        T(record_is_longer_than_allowed),
        T(no_recipients),
        T(too_many_recipients),
        T(every_field_is_checked),
        T(unknown_reserved_bytes_are_left_to_newer_minors),
        T(changes_after_the_take_do_not_matter),
        T(another_lane_than_the_destination_s),
        T(another_domain_among_the_recipients),
        T(a_second_address_longer_than_any),
        T(random_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
