/* From a configuration to the policy table that cores read. */
#include "engine/control/config.h"

#include "crypto/tls.h"

#include <stdlib.h>
#include <string.h>

/* The trust set of a rule; one that is loaded already is shared. */
static struct tls_trust *trust_for(const struct config *config, const struct policy_table *table,
                                   const char *ca_file, struct error *err)
{
    struct tls_trust *trust = NULL;
    if (!*ca_file || strcmp(ca_file, config->crypto.ca_file) == 0)
        trust = table->trust;
    for (uint32_t i = 0; i < table->rules && !trust; i++)
        if (strcmp(config->tls_rule[i].ca_file, ca_file) == 0)
            trust = table->rule[i].trust;
    if (!trust)
        return tls_trust_load(ca_file, table->generation, err);
    tls_trust_ref(trust);
    return trust;
}

static bool add_rule(const struct config *config, struct policy_table *table, struct error *err)
{
    const struct config_tls_rule *from = &config->tls_rule[table->rules];
    struct policy_rule *rule = &table->rule[table->rules];
    memcpy(rule->pattern, from->pattern, sizeof(rule->pattern));
    memcpy(rule->match, from->name, sizeof(rule->match));
    rule->matches = from->names;
    rule->level = from->level;
    rule->min_version = from->min_version;
    snprintf(rule->id, sizeof(rule->id), "tls[%u] %.40s", table->rules, from->pattern);
    rule->trust = trust_for(config, table, from->ca_file, err);
    if (!rule->trust)
        return error_prefix(err, "%s", rule->id);
    table->rules++;
    return true;
}

static bool add_rules(const struct config *config, struct policy_table *table, struct error *err)
{
    const char *ca_file = config->crypto.ca_file;
    table->trust = tls_trust_load(*ca_file ? ca_file : NULL, table->generation, err);
    if (!table->trust)
        return error_prefix(err, "crypto.ca-file");
    while (table->rules < config->tls_rules)
        if (!add_rule(config, table, err))
            return false;
    return true;
}

/* A copy of count elements; a table without any has room for one, so that NULL means no memory. */
static void *copy_of(const void *from, uint32_t count, size_t bytes)
{
    void *copy = calloc((size_t)count + 1, bytes);
    if (copy && count)
        memcpy(copy, from, count * bytes);
    return copy;
}

bool config_policy(const struct config *config, uint64_t generation, struct policy_table **table,
                   struct error *err)
{
    struct policy_table *t = calloc(1, sizeof(*t));
    *table = NULL;
    if (!t)
        return error_set(err, "no memory for the policy table");
    t->generation = generation;
    t->rule = calloc((size_t)config->tls_rules + 1, sizeof(*t->rule));
    t->route = copy_of(config->route, config->routes, sizeof(*t->route));
    t->allowed_net = copy_of(config->allow_network, config->allow_networks, sizeof(*t->allowed_net));
    t->routes = config->routes;
    t->allowed_nets = config->allow_networks;
    if (!t->rule || !t->route || !t->allowed_net) {
        config_policy_free(t);
        return error_set(err, "no memory for %u rules and %u routes", config->tls_rules, config->routes);
    }
    if (!add_rules(config, t, err)) {
        config_policy_free(t);
        return false;
    }
    *table = t;
    return true;
}

void config_policy_free(struct policy_table *table)
{
    if (table->trust)
        tls_trust_free(table->trust);
    for (uint32_t i = 0; i < table->rules; i++)
        tls_trust_free(table->rule[i].trust);
    free(table->rule);
    free(table->route);
    free(table->allowed_net);
    free(table);
}
