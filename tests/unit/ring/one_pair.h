/* one_pair.h: a pair for the tests of a program that take one each. */
#ifndef TESTS_UNIT_RING_ONE_PAIR_H
#define TESTS_UNIT_RING_ONE_PAIR_H

#include "tests/unit/ring/pair.h"

/* All zero between two tests: what the next one is to have is written into it before it is opened. */
extern struct pair pair;

/* cmocka's fixture: attached, with the usual shape. */
int one_pair_open(void **state);
int one_pair_serve(void **state); /* the server alone */
int one_pair_close(void **state);

/* one_pair_submit asserts that it is taken. */
void one_pair_submit(const struct hl_job *job);

#endif
