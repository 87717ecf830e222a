/* farm_faults.c: what the farm does wrong, on request. */
#include "bench/farm.h"
#include "engine/base/clock.h"

#include <stdlib.h>
#include <string.h>

#define GREYLIST_BITS (1u << 24)

bool farm_chance(struct farm *farm, uint32_t ppm)
{
    return rand_ppm(&farm->rand, ppm);
}

/* Collisions let a recipient pass at its first time, and do no other harm. */
static bool seen_before(struct farm *farm, const char *recipient, size_t len)
{
    struct message_digest digest;
    message_digest_init(&digest);
    message_digest_add(&digest, recipient, len);
    uint64_t bit = message_digest_value(&digest) % GREYLIST_BITS;
    uint64_t *word = &farm->greylist[bit / 64];
    bool seen = *word >> bit % 64 & 1;
    *word |= 1ull << bit % 64;
    return seen;
}

static const char *fault(void *ctx, enum farm_stage stage, const char *argument, size_t len)
{
    struct farm *farm = ctx;
    const struct farm_options *o = farm->options;
    const char *reply = NULL;
    for (uint32_t i = 0; i < o->faults && !reply; i++)
        if (o->fault[i].stage == stage && farm_chance(farm, o->fault[i].ppm))
            reply = o->fault[i].reply;
    if (!reply && stage == FARM_AT_RCPT && farm->greylist && !seen_before(farm, argument, len))
        reply = "451 4.7.1 Greylisted: come again";
    farm->counts.faults_given += reply != NULL;
    return reply;
}

static bool cut(void *ctx)
{
    struct farm *farm = ctx;
    bool chosen = farm_chance(farm, farm->options->cut_ppm);
    farm->counts.cut_asked += chosen;
    return chosen;
}

/* As long as a slow receiver takes over a message; other connections wait, as they do where the CPU is the bottleneck. */
static void work(uint32_t us)
{
    uint64_t until_us = clock_now_us() + us;
    while (us && clock_now_us() < until_us)
        continue;
}

static void message(void *ctx, const struct check_message *message, uint32_t recipients)
{
    struct farm *farm = ctx;
    farm->counts.messages++;
    farm->counts.recipients += recipients;
    work(farm->options->work_us);
    enum check_verdict verdict = check_end(&farm->check, message);
    if (verdict != CHECK_GOOD)
        farm_report_message(farm, message, verdict);
}

void farm_faults_open(struct farm *farm)
{
    const struct farm_options *o = farm->options;
    rand_seed(&farm->rand, o->seed);
    if (o->greylist)
        farm->greylist = calloc(GREYLIST_BITS / 64, sizeof(*farm->greylist));
    farm->rules = (struct farm_smtp_rules){farm, o->chunking, o->plain, fault, cut, message};
}
