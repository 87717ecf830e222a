/* policy.c: from the operator's rules and a job's floor to what a connection must prove. */
#include "engine/policy/policy.h"

#include <stddef.h>
#include <string.h>

static const char *const level_names[] = {
    [POLICY_DEFAULT] = "default",
    [POLICY_ENCRYPT] = "encrypt",
    [POLICY_VERIFY] = "verify",
    [POLICY_SECURE] = "secure",
};

const char *policy_level_name(enum policy_level level)
{
    return (size_t)level < ARRAY_LEN(level_names) ? level_names[level] : "unknown";
}

bool policy_level_parse(const char *text, enum policy_level *level)
{
    for (unsigned i = POLICY_ENCRYPT; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum policy_level)i;
            return true;
        }
    }
    return false;
}

/* ---- patterns ---- */

#define RANK_EXACT (POLICY_NAME_MAX + 1)
#define RANK_ANY   1

/* How closely a pattern fits: 0 not at all; the more the closer. */
static size_t pattern_rank(const char *pattern, const char *domain, size_t domain_len)
{
    size_t len = strlen(pattern);
    if (len == domain_len && memcmp(pattern, domain, len) == 0)
        return RANK_EXACT;
    if (len == 1 && pattern[0] == '*')
        return RANK_ANY;
    bool below = len > 1 && pattern[0] == '.' && len < domain_len &&
                 memcmp(pattern, domain + (domain_len - len), len) == 0;
    return below ? len : 0;
}

const struct policy_rule *policy_find_rule(const struct policy_table *table, const char *domain)
{
    const struct policy_rule *best = NULL;
    size_t best_rank = 0, domain_len = strlen(domain);
    for (uint32_t i = 0; i < table->rules && best_rank < RANK_EXACT; i++) {
        size_t rank = pattern_rank(table->rule[i].pattern, domain, domain_len);
        if (rank > best_rank) {
            best = &table->rule[i];
            best_rank = rank;
        }
    }
    return best;
}

const struct policy_route *policy_find_route(const struct policy_table *table, const char *domain)
{
    const struct policy_route *best = NULL;
    size_t best_rank = 0, domain_len = strlen(domain);
    for (uint32_t i = 0; i < table->routes && best_rank < RANK_EXACT; i++) {
        size_t rank = pattern_rank(table->route[i].pattern, domain, domain_len);
        if (rank > best_rank) {
            best = &table->route[i];
            best_rank = rank;
        }
    }
    return best;
}

/* ---- addresses ---- */

static bool net_holds(const struct policy_net *net, const uint8_t addr[16])
{
    unsigned bytes = net->prefix_bits / 8u, bits = net->prefix_bits % 8u;
    if (bytes > 16 || (bytes == 16 && bits) || memcmp(net->addr, addr, bytes) != 0)
        return false;
    return bits == 0 || ((net->addr[bytes] ^ addr[bytes]) >> (8 - bits)) == 0;
}

bool policy_address_allowed(const struct policy_table *table, const uint8_t addr[16], bool is_special)
{
    bool allowed = !is_special;
    for (uint32_t i = 0; i < table->allowed_nets && !allowed; i++)
        allowed = net_holds(&table->allowed_net[i], addr);
    return allowed;
}

/* ---- reference names ---- */

static const char *const secure_match[] = {"nexthop", "dot-nexthop"};
static const char *const verify_match[] = {"hostname"};

static bool add_name(struct policy_demand *demand, const char *dot, const char *name, size_t len)
{
    size_t dot_len = strlen(dot);
    if (demand->names == POLICY_NAMES_MAX || dot_len + len >= POLICY_NAME_MAX)
        return false;
    char *out = demand->name[demand->names];
    memcpy(out, dot, dot_len);
    memcpy(out + dot_len, name, len);
    out[dot_len + len] = '\0';
    demand->group[demand->names++] = 0;
    return true;
}

/* "[192.0.2.1]" and "[IPv6:2001:db8::1]", RFC 5321 section 4.1.3, stand for the address between the brackets. */
static bool add_nexthop(struct policy_demand *demand, const char *domain)
{
    size_t len = strlen(domain);
    if (domain[0] != '[')
        return add_name(demand, "", domain, len);
    if (len < 3 || domain[len - 1] != ']')
        return false;
    size_t skip = strncasecmp(domain + 1, "IPv6:", 5) == 0 ? 6 : 1;
    return skip < len - 1 && add_name(demand, "", domain + skip, len - 1 - skip);
}

/* False when there is no room.  A word that means nothing for this hop adds no name. */
static bool add_match(struct policy_demand *demand, const char *match, const char *domain,
                      const char *mx_host)
{
    if (strcmp(match, "hostname") == 0)
        return !mx_host[0] || add_name(demand, "", mx_host, strlen(mx_host));
    if (strcmp(match, "nexthop") == 0)
        return add_nexthop(demand, domain);
    if (strcmp(match, "dot-nexthop") == 0)
        return domain[0] == '[' || add_name(demand, ".", domain, strlen(domain));
    return match[0] && add_name(demand, "", match, strlen(match));
}

/* ---- one source ---- */

static bool unclear(struct outcome *why, const char *source, const char *domain, const char *what)
{
    outcome_set(why, VERDICT_DEFERRED, STAGE_POLICY, FAULT_LOCAL, REASON_POLICY,
                "the TLS demand of %s for %s %s", source, domain, what);
    why->enhanced[0] = 4; /* RFC 3463 X.7.0, other security status */
    why->enhanced[1] = 7;
    return false;
}

static void open_demand(struct policy_demand *demand, const struct policy_table *table, const char *source)
{
    memset(demand, 0, offsetof(struct policy_demand, name)); /* of the names those that are there count */
    demand->level = 0;
    demand->generation = table->generation;
    size_t len = strnlen(source, sizeof(demand->source) - 1);
    memcpy(demand->source, source, len);
    demand->source[len] = '\0';
}

static bool add_matches(struct policy_demand *demand, const struct policy_rule *rule, const char *domain,
                        const char *mx_host)
{
    bool secure = demand->level == POLICY_SECURE, ok = true;
    const char *const *match = secure ? secure_match : verify_match;
    unsigned count = secure ? ARRAY_LEN(secure_match) : ARRAY_LEN(verify_match);
    if (rule && rule->matches) {
        for (unsigned i = 0; i < rule->matches && i < POLICY_MATCH_MAX; i++)
            ok = ok && add_match(demand, rule->match[i], domain, mx_host);
        return ok;
    }
    for (unsigned i = 0; i < count; i++)
        ok = ok && add_match(demand, match[i], domain, mx_host);
    return ok;
}

/* Fills in level, trust and names.  rule: for its match list; NULL: the level's own names. */
static bool demand_level(struct policy_demand *demand, enum policy_level level, struct tls_trust *trust,
                         const struct policy_rule *rule, const char *domain, const char *mx_host,
                         struct outcome *why)
{
    demand->level = (uint8_t)level;
    if (level == POLICY_ENCRYPT)
        return true;
    if (level != POLICY_VERIFY && level != POLICY_SECURE)
        return unclear(why, demand->source, domain, "has a level that is not known");
    if (!trust)
        return unclear(why, demand->source, domain, "names no trusted CAs");
    demand->pkix = true;
    demand->trust = trust;
    if (!add_matches(demand, rule, domain, mx_host))
        return unclear(why, demand->source, domain, "lists a name that cannot be one");
    if (demand->names == 0)
        return unclear(why, demand->source, domain,
                       "leaves no name to be verified: the next hop is an address");
    demand->groups = 1;
    return true;
}

static bool demand_of_rule(const struct policy_table *table, const struct policy_rule *rule,
                           const char *domain, const char *mx_host, struct policy_demand *demand,
                           struct outcome *why)
{
    enum policy_level level =
        rule && rule->level != POLICY_DEFAULT ? (enum policy_level)rule->level : POLICY_VERIFY;
    open_demand(demand, table, rule ? rule->id : "default");
    demand->min_version = rule ? rule->min_version : POLICY_TLS_MIN;
    if (demand->min_version < POLICY_TLS_MIN || demand->min_version > POLICY_TLS_MAX)
        return unclear(why, demand->source, domain, "wants a TLS version that is not spoken here");
    return demand_level(demand, level, rule ? rule->trust : table->trust, rule, domain, mx_host, why);
}

/* ---- all sources ---- */

bool policy_decide(const struct policy_table *table, const char *domain, const char *mx_host,
                   enum policy_level floor, struct policy_demand *demand, struct outcome *why)
{
    const struct policy_rule *rule = policy_find_rule(table, domain);
    struct policy_demand job;
    if (!demand_of_rule(table, rule, domain, mx_host, demand, why))
        return false;
    if (floor == POLICY_DEFAULT)
        return true;
    open_demand(&job, table, "job");
    job.min_version = POLICY_TLS_MIN;
    if (!demand_level(&job, floor, rule ? rule->trust : table->trust, NULL, domain, mx_host, why))
        return false;
    if (!policy_join(demand, &job))
        return unclear(why, demand->source, domain, "contradicts that of the job");
    return true;
}
