/* The algebra of demands against a model: random demands, random connections.
 *
 * A connection of the model is what a handshake can prove: a version, the trust sets that its chain leads to, and the
 * names of its certificate. admits() is written from RFC 9525 and strict TLS, not from join.c.
 */
#include "engine/policy/policy.h"
#include "engine/base/rand.h"

#include "tests/unit/cmocka.h"

#include <stdio.h>

#define ROUNDS 60000

struct connection {
    uint16_t version;
    uint32_t trusted; /* bit i: the chain leads to trust set i */
    unsigned names;
    const char *name[3]; /* of the certificate; "*." in front: any one label */
};

static struct tls_trust *trust_set(unsigned i)
{
    return (struct tls_trust *)(uintptr_t)(0x1000 * (i + 1));
}

static unsigned trust_index(const struct tls_trust *trust)
{
    return (unsigned)((uintptr_t)trust / 0x1000 - 1);
}

/* ---- the model ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t text_len = strlen(text), end_len = strlen(end);
    return text_len > end_len && strcmp(text + (text_len - end_len), end) == 0;
}

static bool certificate_name_matches(const char *presented, const char *reference)
{
    if (reference[0] == '.')
        return ends_with(presented, reference);
    if (strncmp(presented, "*.", 2) == 0) {
        const char *dot = strchr(reference, '.');
        return dot && dot != reference && strcmp(dot, presented + 1) == 0;
    }
    return strcmp(presented, reference) == 0;
}

static bool group_admits(const struct policy_demand *d, unsigned group, const struct connection *c)
{
    for (unsigned i = 0; i < d->names; i++)
        for (unsigned n = 0; d->group[i] == group && n < c->names; n++)
            if (certificate_name_matches(c->name[n], d->name[i]))
                return true;
    return false;
}

static bool admits(const struct policy_demand *d, const struct connection *c)
{
    if (c->version < d->min_version)
        return false;
    if (d->pkix && !(c->trusted & 1u << trust_index(d->trust)))
        return false;
    for (unsigned group = 0; d->pkix && group < d->groups; group++)
        if (!group_admits(d, group, c))
            return false;
    return true;
}

/* ---- random demands and connections ---- */

static const char *const references[] = {"a.x", "b.x", "x", ".x", "c.a.x", ".a.x", "y", ".y", "a.y"};
static const char *const presented[] = {"a.x", "b.x", "x", "*.x", "c.a.x", "*.a.x", "y", "*.y", "a.y"};

static struct policy_demand random_demand(struct rand_source *r)
{
    struct policy_demand d = {.min_version = rand_below(r, 4) ? 0x0303 : 0x0304,
                              .generation = rand_below(r, 3)};
    snprintf(d.source, sizeof(d.source), "s%u", rand_below(r, 3));
    if (rand_below(r, 4) == 0)
        return d;
    d.pkix = true;
    d.trust = trust_set(rand_below(r, 8) == 0);
    d.groups = (uint8_t)(1 + rand_below(r, 2));
    for (unsigned group = 0; group < d.groups; group++) {
        for (unsigned names = 1 + rand_below(r, 3); names; names--) {
            d.group[d.names] = (uint8_t)group;
            snprintf(d.name[d.names++], POLICY_NAME_MAX, "%s",
                     references[rand_below(r, ARRAY_LEN(references))]);
        }
    }
    return d;
}

static struct connection random_connection(struct rand_source *r)
{
    struct connection c = {.version = rand_below(r, 2) ? 0x0303 : 0x0304, .trusted = rand_below(r, 4)};
    for (c.names = 0; c.names < 3 && rand_below(r, 4); c.names++)
        c.name[c.names] = presented[rand_below(r, ARRAY_LEN(presented))];
    return c;
}

/* ---- properties ---- */

static void check_shape(const struct policy_demand *d)
{
    uint32_t seen = 0;
    assert_true(d->names <= POLICY_NAMES_MAX && d->groups <= d->names);
    for (unsigned i = 0; i < d->names; i++) {
        assert_true(d->group[i] < d->groups);
        seen |= 1u << d->group[i];
    }
    assert_int_equal(seen, (1u << d->groups) - 1);
    assert_true(!d->pkix || (d->trust && d->groups));
}

/* Adding a demand never admits what was refused before, and refuses nothing that both admit. */
static void a_join_admits_what_both_admit(void **state)
{
    (void)state;
    struct rand_source r;
    unsigned joined_count = 0, admitted = 0;
    rand_seed(&r, 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct policy_demand a = random_demand(&r), b = random_demand(&r), joined = a;
        if (!policy_join(&joined, &b)) {
            assert_memory_equal(&joined, &a, sizeof(a));
            continue;
        }
        joined_count++;
        check_shape(&joined);
        for (unsigned n = 0; n < 20; n++) {
            struct connection c = random_connection(&r);
            assert_int_equal(admits(&joined, &c), admits(&a, &c) && admits(&b, &c));
            admitted += admits(&joined, &c);
        }
    }
    print_message("# %u joined, %u admitted\n", joined_count, admitted);
    assert_true(joined_count > ROUNDS / 2 && admitted > ROUNDS);
}

static void a_join_of_three_keeps_all(void **state)
{
    (void)state;
    struct rand_source r;
    rand_seed(&r, 2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct policy_demand a = random_demand(&r), b = random_demand(&r), c = random_demand(&r), joined = a;
        if (!policy_join(&joined, &b) || !policy_join(&joined, &c))
            continue;
        struct connection n = random_connection(&r);
        assert_int_equal(admits(&joined, &n), admits(&a, &n) && admits(&b, &n) && admits(&c, &n));
        assert_true(policy_covers(&joined, &a) && policy_covers(&joined, &b) && policy_covers(&joined, &c));
    }
}

/* What was proven under one demand is used for another only if every such connection satisfies that, too. */
static void covering_is_sound(void **state)
{
    (void)state;
    struct rand_source r;
    unsigned covered = 0, checked = 0;
    rand_seed(&r, 3);
    for (unsigned i = 0; i < ROUNDS * 5; i++) {
        struct policy_demand have = random_demand(&r), want = random_demand(&r);
        assert_true(policy_covers(&have, &have));
        if (!policy_covers(&have, &want))
            continue;
        covered++;
        for (unsigned n = 0; n < 20; n++) {
            struct connection c = random_connection(&r);
            if (!admits(&have, &c))
                continue;
            checked++;
            assert_true(admits(&want, &c));
        }
    }
    print_message("# %u covered, %u connections checked\n", covered, checked);
    assert_true(covered > ROUNDS / 4 && checked > ROUNDS / 4);
}

static struct policy_demand named(uint16_t version, unsigned trust, const char *name)
{
    struct policy_demand d = {
        .min_version = version, .pkix = true, .trust = trust_set(trust), .names = 1, .groups = 1};
    snprintf(d.name[0], POLICY_NAME_MAX, "%s", name);
    return d;
}

static void covering_case_by_case(void **state)
{
    (void)state;
    struct policy_demand encrypt = {.min_version = 0x0303}, encrypt_13 = {.min_version = 0x0304};
    struct policy_demand mx = named(0x0303, 0, "mx.example.org"), other = named(0x0303, 0, "mx.example.net");
    struct policy_demand below = named(0x0303, 0, ".example.org"),
                         other_trust = named(0x0303, 1, "mx.example.org");
    assert_true(policy_covers(&mx, &encrypt));
    assert_false(policy_covers(&encrypt, &mx));
    assert_false(policy_covers(&encrypt, &encrypt_13));
    assert_true(policy_covers(&encrypt_13, &encrypt));
    assert_false(policy_covers(&mx, &other));
    assert_true(policy_covers(&mx, &below));
    assert_false(policy_covers(&below, &mx));
    assert_false(policy_covers(&mx, &other_trust));
    /* names of levels prove nothing */
    mx.level = POLICY_SECURE;
    other.level = POLICY_ENCRYPT;
    assert_false(policy_covers(&mx, &other));
    /* "example.org" is not below itself, nor is "badexample.org" below example.org */
    struct policy_demand apex = named(0x0303, 0, "example.org"), bad = named(0x0303, 0, "badexample.org");
    assert_false(policy_covers(&apex, &below));
    assert_false(policy_covers(&bad, &below));
}

static void different_anchors_contradict(void **state)
{
    (void)state;
    struct policy_demand a = named(0x0303, 0, "a.x"), b = named(0x0303, 1, "a.x"), before = a;
    assert_false(policy_join(&a, &b));
    assert_memory_equal(&a, &before, sizeof(a));
}

static void too_many_names_defer(void **state)
{
    (void)state;
    struct policy_demand a = named(0x0303, 0, "n0.x"), before;
    char name[16];
    for (unsigned i = 1; i < POLICY_NAMES_MAX; i++) {
        snprintf(name, sizeof(name), "n%u.x", i);
        struct policy_demand more = named(0x0303, 0, name);
        assert_true(policy_join(&a, &more));
    }
    assert_int_equal(a.groups, POLICY_NAMES_MAX);
    struct policy_demand one_more = named(0x0303, 0, "other.x"), again = named(0x0303, 0, "n3.x");
    before = a;
    assert_false(policy_join(&a, &one_more));
    assert_memory_equal(&a, &before, sizeof(a));
    assert_true(policy_join(&a, &again));
    assert_int_equal(a.names, POLICY_NAMES_MAX);
}

static void evidence_is_joined(void **state)
{
    (void)state;
    struct policy_demand a = named(0x0303, 0, "a.x"), b = {.min_version = 0x0304, .level = POLICY_ENCRYPT};
    a.level = POLICY_VERIFY;
    a.generation = 9;
    b.generation = 8;
    snprintf(a.source, sizeof(a.source), "tls[1] x");
    snprintf(b.source, sizeof(b.source), "job");
    assert_true(policy_join(&a, &b));
    assert_string_equal(a.source, "tls[1] x+job");
    assert_int_equal(a.generation, 8);
    assert_int_equal(a.level, POLICY_VERIFY);
    assert_int_equal(a.min_version, 0x0304);
}

static void equal_demands_have_equal_numbers(void **state)
{
    (void)state;
    struct rand_source r;
    rand_seed(&r, 4);
    for (unsigned i = 0; i < 1000; i++) {
        struct policy_demand a = random_demand(&r), b;
        memset(&b, 0x5a, sizeof(b)); /* what is not used is not looked at, nor is what is for evidence only */
        b.min_version = a.min_version;
        b.pkix = a.pkix;
        b.trust = a.trust;
        b.names = a.names;
        b.groups = a.groups;
        for (unsigned n = 0; n < a.names; n++) {
            b.group[n] = a.group[n];
            snprintf(b.name[n], POLICY_NAME_MAX, "%s", a.name[n]);
        }
        assert_true(policy_fingerprint(&a) == policy_fingerprint(&b));
    }
}

static void different_demands_differ(void **state)
{
    (void)state;
    struct policy_demand a = named(0x0303, 0, "a.x"), b = a;
    uint64_t number = policy_fingerprint(&a);
    b.min_version = 0x0304;
    assert_true(policy_fingerprint(&b) != number);
    b = named(0x0303, 1, "a.x");
    assert_true(policy_fingerprint(&b) != number);
    b = named(0x0303, 0, "b.x");
    assert_true(policy_fingerprint(&b) != number);
    b = named(0x0303, 0, "c.x");
    assert_true(policy_join(&a, &b)); /* both */
    b = a;
    b.group[1] = 0; /* either */
    b.groups = 1;
    assert_true(policy_fingerprint(&a) != policy_fingerprint(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_join_admits_what_both_admit),
        cmocka_unit_test(a_join_of_three_keeps_all),
        cmocka_unit_test(covering_is_sound),
        cmocka_unit_test(covering_case_by_case),
        cmocka_unit_test(different_anchors_contradict),
        cmocka_unit_test(too_many_names_defer),
        cmocka_unit_test(evidence_is_joined),
        cmocka_unit_test(equal_demands_have_equal_numbers),
        cmocka_unit_test(different_demands_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
