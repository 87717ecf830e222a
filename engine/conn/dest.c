#include "engine/conn/dest.h"

#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    return h;
}

/* Eight bytes a round; the length keeps what ends in zeros apart. */
static uint64_t mix_bytes(uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t word;
    h = mix(h + len);
    for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = mix(h ^ word);
    }
    word = 0;
    memcpy(&word, p, len);
    return mix(h ^ word);
}

static uint64_t hash_hop(const struct dest_table *table, const struct policy_hop *hop)
{
    uint64_t h = table->seed ^ hop->port ^ (uint64_t)hop->implicit_tls << 16;
    h = mix_bytes(h, hop->addr, sizeof(hop->addr));
    return mix_bytes(h, hop->host, strlen(hop->host));
}

static bool same_hop(const struct policy_hop *a, const struct policy_hop *b)
{
    return a->port == b->port && a->implicit_tls == b->implicit_tls &&
           memcmp(a->addr, b->addr, sizeof(a->addr)) == 0 && strcmp(a->host, b->host) == 0;
}

bool dest_table_open(struct dest_table *table, uint32_t destinations_max, uint32_t connections_limit,
                     uint64_t seed, struct error *err)
{
    *table = (struct dest_table){.limit = connections_limit, .seed = seed, .buckets = 64};
    list_init(&table->due);
    list_init(&table->hungry);
    while (table->buckets < destinations_max)
        table->buckets *= 2;
    if (!pool_open(&table->pool, "destinations", sizeof(struct dest), destinations_max, err))
        return false;
    table->bucket = calloc(table->buckets, sizeof(*table->bucket));
    if (!table->bucket) {
        pool_close(&table->pool);
        return error_set(err, "no memory for %u destinations; lower limits.destinations", destinations_max);
    }
    for (uint32_t i = 0; i < table->buckets; i++)
        list_init(&table->bucket[i]);
    return true;
}

void dest_table_close(struct dest_table *table)
{
    pool_close(&table->pool);
    free(table->bucket);
    table->bucket = NULL;
}

static struct dest *make(struct dest_table *table, const struct policy_hop *hop, uint64_t hash)
{
    struct dest *dest = pool_get(&table->pool);
    if (!dest)
        return NULL;
    *dest = (struct dest){.hop = *hop, .hash = hash, .limit = table->limit};
    dest->no_chunking = table->no_chunking[hash % DEST_NO_CHUNKING_MAX] == hash;
    list_init(&dest->chain);
    list_init(&dest->due);
    list_init(&dest->waiting);
    list_init(&dest->idle);
    list_init(&dest->ahead);
    list_push_head(&table->bucket[hash & (table->buckets - 1)], &dest->chain);
    return dest;
}

struct dest *dest_get(struct dest_table *table, const struct policy_hop *hop)
{
    uint64_t hash = hash_hop(table, hop);
    list_for_each(it, &table->bucket[hash & (table->buckets - 1)]) {
        struct dest *dest = list_entry(it, struct dest, chain);
        if (dest->hash == hash && same_hop(&dest->hop, hop))
            return dest;
    }
    return make(table, hop, hash);
}

static void unstarve(struct dest_table *table, struct dest *dest)
{
    if (!dest->hungry)
        return;
    list_remove(&dest->due);
    dest->hungry = false;
    table->hungry_count--;
}

void dest_mark(struct dest_table *table, struct dest *dest)
{
    unstarve(table, dest);
    if (list_empty(&dest->due))
        list_push_tail(&table->due, &dest->due);
}

void dest_starve(struct dest_table *table, struct dest *dest)
{
    if (!list_empty(&dest->due)) /* hungry already, or due to be looked at again */
        return;
    list_push_tail(&table->hungry, &dest->due);
    dest->hungry = true;
    table->hungry_count++;
}

struct dest *dest_feed(struct dest_table *table)
{
    struct list *first = list_head(&table->hungry);
    if (!first)
        return NULL;
    struct dest *dest = list_entry(first, struct dest, due);
    unstarve(table, dest);
    return dest;
}

void dest_release(struct dest_table *table, struct dest *dest)
{
    if (dest->waiting_count || dest->connections)
        return;
    unstarve(table, dest);
    table->limited -= dest->limit < table->limit;
    list_remove(&dest->chain);
    list_remove(&dest->due);
    pool_put(&table->pool, dest);
}

void dest_no_chunking(struct dest_table *table, struct dest *dest)
{
    dest->no_chunking = true;
    table->no_chunking[dest->hash % DEST_NO_CHUNKING_MAX] = dest->hash;
}

bool dest_lacks_connection(const struct dest *dest)
{
    return dest->waiting_count > dest->connecting && (dest->proven || dest->connecting == 0);
}

bool dest_wants_connection(const struct dest *dest)
{
    return dest_lacks_connection(dest) && dest->connections < dest->limit;
}

/* ---- how many the receiver takes ---- */

static void set_limit(struct dest_table *table, struct dest *dest, uint32_t limit)
{
    table->limited -= dest->limit < table->limit;
    dest->limit = limit;
    table->limited += dest->limit < table->limit;
}

static void be_patient(struct dest *dest, uint64_t patience_us, uint64_t now_us)
{
    dest->patience_us = (uint32_t)min_u64(max_u64(patience_us, DEST_PATIENCE_MIN_US), DEST_PATIENCE_MAX_US);
    dest->raise_us = now_us + dest->patience_us;
    dest->on_trial = false;
}

static void lower_limit(struct dest_table *table, struct dest *dest, uint64_t now_us)
{
    set_limit(table, dest, max_u32(dest->ready + dest->connecting, 1));
    be_patient(dest, dest->on_trial ? 2 * (uint64_t)dest->patience_us : dest->patience_us, now_us);
}

bool dest_raise(struct dest_table *table, struct dest *dest, uint64_t now_us)
{
    if (dest->limit >= table->limit || dest->on_trial || now_us < dest->raise_us ||
        dest->connections < dest->limit || !dest_lacks_connection(dest))
        return false;
    set_limit(table, dest, dest->limit + 1);
    dest->on_trial = true;
    return true;
}

/* ---- a connection's life ---- */

void dest_on_connecting(struct dest *dest)
{
    dest->connections++;
    dest->connecting++;
}

void dest_on_ready(struct dest *dest, uint64_t now_us)
{
    assert(dest->connecting > 0);
    dest->connecting--;
    dest->ready++;
    dest->proven = true;
    if (dest->on_trial && dest->connections >= dest->limit)
        be_patient(dest, 0, now_us);
}

bool dest_on_ended(struct dest_table *table, struct dest *dest, bool was_ready, bool refused, uint64_t now_us)
{
    if (was_ready) {
        assert(dest->ready > 0);
        dest->ready--;
        return false;
    }
    assert(dest->connecting > 0);
    dest->connecting--;
    if (!refused)
        return false;
    dest->proven = dest->ready > 0;
    if (dest->connections == 1) /* alone it was not one too many */
        return false;
    lower_limit(table, dest, now_us);
    return true;
}

void dest_on_gone(struct dest *dest)
{
    assert(dest->connections > 0);
    dest->connections--;
}
