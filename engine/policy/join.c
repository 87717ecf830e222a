/* join.c: the algebra of demands: conjunction, implication, identity.
 *
 * A connection is {version, trust set it was verified against, certificate}. A demand admits some connections;
 * policy_join admits those that both admit, policy_covers says that all that one admits the other admits, too.
 * Both may err to one side only: admit less, say no.
 */
#include "engine/policy/policy.h"

#include <stdio.h>
#include <string.h>

/* Whoever has a certificate that matches the reference name a has one that matches b. */
static bool name_implies(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    size_t a_len = strlen(a), b_len = strlen(b);
    return b[0] == '.' && a_len > b_len && memcmp(a + (a_len - b_len), b, b_len) == 0;
}

static bool name_implies_group(const char *name, const struct policy_demand *d, unsigned group)
{
    for (unsigned i = 0; i < d->names; i++)
        if (d->group[i] == group && name_implies(name, d->name[i]))
            return true;
    return false;
}

/* Every alternative of a's group is one of b's group or below one. */
static bool group_implies(const struct policy_demand *a, unsigned a_group, const struct policy_demand *b,
                          unsigned b_group)
{
    bool any = false;
    for (unsigned i = 0; i < a->names; i++) {
        if (a->group[i] != a_group)
            continue;
        any = true;
        if (!name_implies_group(a->name[i], b, b_group))
            return false;
    }
    return any;
}

/* Some group of have says at least what that group of want says. */
static bool group_is_implied(const struct policy_demand *have, const struct policy_demand *want,
                             unsigned group)
{
    for (unsigned g = 0; g < have->groups; g++)
        if (group_implies(have, g, want, group))
            return true;
    return false;
}

bool policy_covers(const struct policy_demand *have, const struct policy_demand *want)
{
    if (have->min_version < want->min_version)
        return false;
    if (!want->pkix)
        return true;
    if (!have->pkix || have->trust != want->trust)
        return false;
    for (unsigned group = 0; group < want->groups; group++)
        if (!group_is_implied(have, want, group))
            return false;
    return true;
}

/* ---- conjunction ---- */

static bool add_group(struct policy_demand *a, const struct policy_demand *b, unsigned group)
{
    for (unsigned i = 0; i < b->names; i++) {
        if (b->group[i] != group)
            continue;
        if (a->names == POLICY_NAMES_MAX)
            return false;
        memcpy(a->name[a->names], b->name[i], POLICY_NAME_MAX);
        a->group[a->names++] = a->groups;
    }
    a->groups++;
    return true;
}

static bool join_names(struct policy_demand *a, const struct policy_demand *b)
{
    for (unsigned group = 0; group < b->groups; group++)
        if (!group_is_implied(a, b, group) && !add_group(a, b, group))
            return false;
    return true;
}

static void take_pkix(struct policy_demand *a, const struct policy_demand *b)
{
    a->pkix = true;
    a->trust = b->trust;
    a->names = b->names;
    a->groups = b->groups;
    memcpy(a->group, b->group, sizeof(a->group));
    memcpy(a->name, b->name, sizeof(a->name));
}

static void join_source(struct policy_demand *a, const struct policy_demand *b)
{
    size_t used = strlen(a->source);
    if (strcmp(a->source, b->source) != 0)
        snprintf(a->source + used, sizeof(a->source) - used, "+%s", b->source);
}

/* Works on a copy: a stays as it was when the demands contradict each other. */
bool policy_join(struct policy_demand *a, const struct policy_demand *b)
{
    struct policy_demand joined = *a;
    if (b->pkix && !a->pkix)
        take_pkix(&joined, b);
    else if (b->pkix && (a->trust != b->trust || !join_names(&joined, b)))
        return false; /* one verification has one set of anchors */
    if (b->min_version > a->min_version)
        joined.min_version = b->min_version;
    if (b->level > a->level)
        joined.level = b->level;
    if (b->generation < a->generation)
        joined.generation = b->generation;
    join_source(&joined, b);
    *a = joined;
    return true;
}

/* ---- identity ---- */

/* FNV-1a: the number is an index into pools of this process, not a secret. */
static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

uint64_t policy_fingerprint(const struct policy_demand *d)
{
    uint64_t hash = 0xcbf29ce484222325u;
    uint8_t pkix = d->pkix;
    uintptr_t trust = (uintptr_t)d->trust;
    hash = mix(hash, &d->min_version, sizeof(d->min_version));
    hash = mix(hash, &pkix, sizeof(pkix));
    hash = mix(hash, &trust, sizeof(trust));
    hash = mix(hash, &d->names, sizeof(d->names));
    for (unsigned i = 0; i < d->names; i++) {
        hash = mix(hash, &d->group[i], sizeof(d->group[i]));
        hash = mix(hash, d->name[i], strlen(d->name[i]) + 1);
    }
    return hash;
}
