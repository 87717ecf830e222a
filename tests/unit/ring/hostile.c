#include "tests/unit/ring/hostile.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>

struct pair hostile_pair;
struct feed_job *hostile_memory;
struct outcome hostile_why;

int hostile_open(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    memset(&hostile_pair, 0, sizeof(hostile_pair));
    hostile_pair.rights.body_bytes_max = 100000;
    pair_open(&hostile_pair, NULL);
    hostile_memory = pair_job_memory(&shape);
    return 0;
}

int hostile_close(void **state)
{
    (void)state;
    pair_close(&hostile_pair);
    free(hostile_memory);
    return 0;
}

struct lane *hostile_lane(void)
{
    return &hostile_pair.producer->region.lane[0];
}

/* Puts a sound job on the lane and gives its record to be spoilt before the engine looks. */
struct ring_job *hostile_place(void)
{
    struct hl_job job = pair_job(1);
    if (hl_submit(hostile_pair.producer, &job, &hostile_pair.error) != 0)
        fail_msg("%s", hostile_pair.error.text);
    struct lane *l = hostile_lane();
    uint64_t id = hostile_pair.producer->next_id;
    for (uint32_t slot = 0; slot < 8; slot++)
        if (l->job[slot].id >> RING_SLOT_BITS == id)
            return (struct ring_job *)(l->out.base + l->job[slot].at);
    fail_msg("the job is in no slot");
    return NULL;
}

void hostile_show(uint64_t tail)
{
    atomic_store(&hostile_lane()->shared->submit_tail, tail);
}

enum feed_take_result hostile_take(void)
{
    return feed_take(hostile_pair.engine, 0, hostile_memory, &hostile_why);
}

void hostile_broken(const char *fault)
{
    assert_int_equal(hostile_take(), FEED_BROKEN);
    assert_true(feed_broken(hostile_pair.engine));
    if (!strstr(feed_fault(hostile_pair.engine), fault))
        fail_msg("\"%s\" does not say \"%s\"", feed_fault(hostile_pair.engine), fault);
    assert_int_equal(hostile_take(), FEED_BROKEN); /* for ever */
    feed_server_handle(hostile_pair.server, 0);
    assert_int_equal(hostile_pair.detaches, 1);
    struct hl_result r;
    int n;
    for (int i = 0; i < 2000 && (n = hl_reap(hostile_pair.producer, &r, 1, &hostile_pair.error)) == 0; i++)
        continue;
    if (n < 0) /* else: the verdict */
        assert_non_null(strstr(hostile_pair.error.text, fault));
}

void hostile_refused(const char *text)
{
    assert_int_equal(hostile_take(), FEED_REFUSED);
    assert_false(feed_broken(hostile_pair.engine));
    assert_int_equal(hostile_why.verdict, VERDICT_FAILED);
    assert_int_equal(hostile_why.stage, STAGE_SUBMIT);
    assert_int_equal(hostile_why.fault, FAULT_PRODUCER);
    assert_int_equal(hostile_why.reason, REASON_BAD_JOB);
    if (!strstr(hostile_why.text, text))
        fail_msg("\"%s\" does not say \"%s\"", hostile_why.text, text);
    for (uint32_t r = 0; r < hostile_memory->recipients; r++)
        feed_report(hostile_memory, r, &hostile_why, NULL);
    feed_flush(hostile_pair.engine, 0);
    struct hl_result result;
    assert_int_equal(hl_reap(hostile_pair.producer, &result, 1, NULL), 1);
    assert_int_equal(result.verdict, HL_FAILED);
    assert_int_equal(hostile_take(), FEED_EMPTY);
}
