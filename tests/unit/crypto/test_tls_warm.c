/* One core that remembers chains and has tickets, beside one that knows nothing: whatever happens in whatever order, and wherever
 * the clock is set to, the first accepts and refuses what the second does, and for the same reason.
 */
#include "engine/base/rand.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/crypto/wall.h"
#include "tests/unit/cmocka.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define HOST  "mx.example.org"
#define ALIAS "mail.example.net"
#define SAN   "DNS:" HOST ",DNS:" ALIAS
#define DAY   86400L

/* Validity in days, so that no run takes long enough to meet an end by itself; the clock moves in days, too. */
static const struct {
    const char *san, *key;
    long from_day, until_day, middle_from_day, middle_until_day;
    bool stranger, without_middle;
} kinds[] = {
    {.san = SAN, .from_day = -30, .until_day = 30, .middle_from_day = -30, .middle_until_day = 30},
    {.san = SAN, .from_day = -30, .until_day = 2, .middle_from_day = -30, .middle_until_day = 30},
    {.san = SAN, .from_day = -30, .until_day = 30, .middle_from_day = -30, .middle_until_day = 3},
    {.san = SAN, .from_day = -1, .until_day = 30, .middle_from_day = -30, .middle_until_day = 30},
    {.san = SAN, .from_day = -30, .until_day = 30, .middle_from_day = -2, .middle_until_day = 4},
    {.san = "DNS:" HOST,
     .from_day = -30,
     .until_day = 30,
     .middle_from_day = -30,
     .middle_until_day = 30,
     .key = "rsa2048"},
    {.san = "DNS:*.example.org",
     .from_day = -3,
     .until_day = 5,
     .middle_from_day = -30,
     .middle_until_day = 30},
    {.san = SAN, .from_day = -30, .until_day = 30, .stranger = true},
    {.san = SAN,
     .from_day = -30,
     .until_day = 30,
     .middle_from_day = -30,
     .middle_until_day = 30,
     .without_middle = true},
};
#define KINDS ARRAY_LEN(kinds)

static struct pki_chain ca;
static struct pki middle[KINDS], leaf[KINDS];
static struct talk warm, cold;
static struct tls_trust *other_trust;
static struct rand_source r;

static void make_kind(unsigned i)
{
    if (!kinds[i].stranger)
        middle[i] = pki_make(&ca.root, &(struct pki_spec){.cn = "CA",
                                                          .ca = true,
                                                          .from_s = kinds[i].middle_from_day * DAY,
                                                          .until_s = kinds[i].middle_until_day * DAY});
    leaf[i] = pki_make(kinds[i].stranger ? NULL : &middle[i],
                       &(struct pki_spec){.san = kinds[i].san,
                                          .key = kinds[i].key,
                                          .from_s = kinds[i].from_day * DAY,
                                          .until_s = kinds[i].until_day * DAY});
}

/* ---- a meeting ---- */

struct meeting {
    struct talk_server server;
    struct tls_demand demand;
    struct tls_scope scope;
};

static void choose(struct meeting *m)
{
    unsigned kind = rand_below(&r, KINDS), version = rand_below(&r, 2);
    m->server = (struct talk_server){
        .leaf = &leaf[kind],
        .middle = kinds[kind].stranger || kinds[kind].without_middle ? NULL : &middle[kind],
        .version = version ? TLS1_3_VERSION : TLS1_2_VERSION,
        .ticket_key = (uint8_t)kind};
    m->scope = talk_scope();
    m->scope.port = (uint16_t)kind; /* an address a server: others cannot read its tickets either */
    switch (rand_below(&r, 8)) {
    case 0: m->demand = talk_encrypt(HOST); break;
    case 1: m->demand = talk_pkix(ALIAS); break;
    case 2: m->demand = talk_pkix("elsewhere.example"); break;
    default: m->demand = talk_pkix(HOST);
    }
    if (rand_below(&r, 8) == 0)
        m->demand.min_version = 0x0304;
    if (m->demand.pkix && rand_below(&r, 8) == 0)
        m->demand.trust = other_trust;
    m->demand.scope = &m->scope;
}

static enum reason run(struct talk *talk, const struct meeting *m)
{
    struct outcome why = {0};
    talk_meet(talk, &m->server, &m->demand);
    if (talk_run(talk) == TLS_OPEN)
        return REASON_NONE;
    tls_failure(talk->tls, &why);
    return why.reason;
}

static void compare_proofs(void)
{
    const struct tls_verified *a = tls_verified(warm.tls), *b = tls_verified(cold.tls);
    assert_false(b->resumed);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->pkix, b->pkix);
    assert_int_equal(a->not_after_s, b->not_after_s);
    assert_string_equal(a->matched_name, b->matched_name);
    assert_string_equal(a->signature, b->signature);
    assert_string_equal(a->group, b->group);
    assert_string_equal(a->cipher, b->cipher);
    assert_string_equal(a->trust_name, b->trust_name);
    assert_memory_equal(a->cert_sha256, b->cert_sha256, TLS_DIGEST_BYTES);
    assert_memory_equal(a->spki_sha256, b->spki_sha256, TLS_DIGEST_BYTES);
}

static void open_both(uint64_t seed)
{
    print_message("# seed %llu\n", (unsigned long long)seed);
    rand_seed(&r, seed);
    clock_shift_s = 0;
    talk_open_config(&warm, ca.ca_file,
                     &(struct tls_core_config){.sessions_max = 2,
                                               .proven_chains = 64,
                                               .proven_lifetime_s = 604800,
                                               .tickets_max = 64,
                                               .tickets_per_destination = 4,
                                               .ticket_lifetime_s = 604800});
    talk_open_config(&cold, ca.ca_file, &(struct tls_core_config){.sessions_max = 2});
}

static void never_more_than_a_fresh_look(void **state)
{
    enum { ROUNDS = 600 };
    struct meeting m;
    unsigned accepted = 0, refused = 0;
    (void)state;
    const char *wanted = getenv("HARDLINE_SEED");
    open_both(wanted ? strtoull(wanted, NULL, 0) : (uint64_t)getpid());
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (rand_below(&r, 6) == 0)
            clock_shift_s = ((long)rand_below(&r, 11) - 4) * DAY + (long)rand_below(&r, 3600);
        if (i == 0 || rand_below(&r, 2)) /* else the same again */
            choose(&m);
        enum reason cold_says = run(&cold, &m), warm_says = run(&warm, &m);
        assert_int_equal(warm_says, cold_says);
        if (warm_says == REASON_NONE)
            compare_proofs();
        accepted += warm_says == REASON_NONE;
        refused += warm_says != REASON_NONE;
    }
    const uint64_t *v = warm.stats.v;
    print_message("# %u accepted, %u refused; %llu resumed, %llu chains remembered, %llu verified\n",
                  accepted, refused, (unsigned long long)v[STAT_tls_resumed],
                  (unsigned long long)v[STAT_tls_chains_proven],
                  (unsigned long long)v[STAT_tls_chains_verified]);
    assert_true(v[STAT_tls_resumed] > 20 && v[STAT_tls_chains_proven] > 20 && refused > 50 && accepted > 50);
    talk_close(&warm);
    talk_close(&cold);
}

static int setup(void **state)
{
    char path[64];
    struct error err;
    (void)state;
    ca = pki_chain("P-256", SAN);
    for (unsigned i = 0; i < KINDS; i++)
        make_kind(i);
    struct pki stranger = pki_make(NULL, &(struct pki_spec){.cn = "Another Root", .ca = true});
    pki_write(path, &(const struct pki *const){&stranger}, 1);
    other_trust = tls_trust_load(path, 2, &err);
    remove(path);
    pki_free(&stranger);
    return other_trust == NULL;
}

static int teardown(void **state)
{
    (void)state;
    clock_shift_s = 0;
    for (unsigned i = 0; i < KINDS; i++) {
        pki_free(&leaf[i]);
        if (middle[i].cert)
            pki_free(&middle[i]);
    }
    tls_trust_free(other_trust);
    pki_chain_free(&ca);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(never_more_than_a_fresh_look)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
