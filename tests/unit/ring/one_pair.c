#include "tests/unit/ring/one_pair.h"

#include "tests/unit/cmocka.h"

struct pair pair;

int one_pair_open(void **state)
{
    (void)state;
    pair_open(&pair, NULL);
    return 0;
}

int one_pair_serve(void **state)
{
    struct feed_shape shape = pair_shape();
    (void)state;
    pair_serve(&pair, &shape);
    return 0;
}

int one_pair_close(void **state)
{
    (void)state;
    pair_close(&pair);
    return 0;
}

void one_pair_submit(const struct hl_job *job)
{
    if (hl_submit(pair.producer, job, &pair.error) != 0)
        fail_msg("%s", pair.error.text);
}
