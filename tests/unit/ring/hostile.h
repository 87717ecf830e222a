/* hostile.h: a producer that writes what it likes: what its tests have in common. */
#ifndef TESTS_UNIT_RING_HOSTILE_H
#define TESTS_UNIT_RING_HOSTILE_H

#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/pair.h"

/* Of the test that runs: both ends, memory of one job, what the engine said last. */
extern struct pair hostile_pair;
extern struct feed_job *hostile_memory;
extern struct outcome hostile_why;

int hostile_open(void **state);
int hostile_close(void **state);

struct lane *hostile_lane(void);

/* hostile_place puts a sound job on the lane and gives its record to be spoilt before the engine looks. */
struct ring_job *hostile_place(void);
void hostile_show(uint64_t tail); /* publishes up to there */
enum feed_take_result hostile_take(void);

/* The next job breaks the feed for that reason, or is refused with these words, and its producer hears of it. */
void hostile_broken(const char *fault);
void hostile_refused(const char *text);

#endif
