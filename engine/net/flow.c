/* flow.c: open addressing with linear probing; entries stay where they are, only their slots move. */
#include "engine/net/flow.h"

#include <stdlib.h>

#define FLOW_SLOT_EMPTY UINT32_MAX

static uint32_t hash_of(const struct flow_table *table, const struct flow_key *key)
{
    uint64_t words[5];
    memcpy(words, key->local.b, 16);
    memcpy(words + 2, key->remote.b, 16);
    words[4] = (uint64_t)key->local_port << 16 | key->remote_port;
    return (uint32_t)hash_words(&table->key, words, ARRAY_LEN(words));
}

static bool key_equal(const struct flow_key *a, const struct flow_key *b)
{
    return a->local_port == b->local_port && a->remote_port == b->remote_port &&
           ip_equal(&a->remote, &b->remote) && ip_equal(&a->local, &b->local);
}

bool flow_table_open(struct flow_table *table, uint32_t max, const struct hash_key *key, struct error *err)
{
    uint64_t slots = 16;
    while (slots < 2ull * max)
        slots *= 2;
    *table = (struct flow_table){.key = *key, .mask = (uint32_t)(slots - 1), .max = max};
    table->slot = malloc(slots * sizeof(*table->slot));
    table->entry = malloc(((size_t)max + 1) * sizeof(*table->entry));
    if (max == 0 || max > UINT32_MAX / 4 || !table->slot || !table->entry) {
        flow_table_close(table);
        return error_set(err, "no memory for a table of %u connections: configure fewer", max);
    }
    memset(table->slot, 0xff, slots * sizeof(*table->slot)); /* FLOW_SLOT_EMPTY */
    memset(table->entry, 0, ((size_t)max + 1) * sizeof(*table->entry));
    for (uint32_t i = 0; i < max; i++)
        table->entry[i].flow = i + 1;
    return true;
}

void flow_table_close(struct flow_table *table)
{
    free(table->slot);
    free(table->entry);
    table->slot = NULL;
    table->entry = NULL;
}

/* The slot that holds the key, or the empty one where it would go. */
static uint32_t find_slot(struct flow_table *table, const struct flow_key *key, uint32_t hash)
{
    table->looks++;
    for (uint32_t i = hash & table->mask;; i = (i + 1) & table->mask) {
        const struct flow_slot *s = &table->slot[i];
        table->steps++;
        if (s->entry == FLOW_SLOT_EMPTY)
            return i;
        if (s->hash == hash && key_equal(&table->entry[s->entry].key, key))
            return i;
    }
}

static struct flow_entry *find_entry(struct flow_table *table, const struct flow_key *key)
{
    uint32_t entry = table->slot[find_slot(table, key, hash_of(table, key))].entry;
    return entry == FLOW_SLOT_EMPTY ? NULL : &table->entry[entry];
}

uint32_t flow_find(struct flow_table *table, const struct flow_key *key)
{
    const struct flow_entry *e = find_entry(table, key);
    return e ? e->flow : NET_NO_FLOW;
}

bool flow_add(struct flow_table *table, const struct flow_key *key, uint32_t flow)
{
    if (table->used == table->max)
        return false;
    uint32_t hash = hash_of(table, key);
    struct flow_slot *s = &table->slot[find_slot(table, key, hash)];
    assert(s->entry == FLOW_SLOT_EMPTY);
    *s = (struct flow_slot){.hash = hash, .entry = table->free};
    struct flow_entry *e = &table->entry[table->free];
    table->free = e->flow;
    table->used++;
    e->key = *key;
    e->flow = flow;
    return true;
}

/* Whether a slot whose home is `home` may move from `at` back to `gap`: the gap lies on its way from home to at. */
static bool may_move(uint32_t home, uint32_t gap, uint32_t at, uint32_t mask)
{
    return ((at - home) & mask) >= ((at - gap) & mask);
}

/* Knuth, The Art of Computer Programming 6.4, algorithm R: close the gap with slots that were pushed past it. */
static void close_gap(struct flow_table *table, uint32_t gap)
{
    for (uint32_t i = (gap + 1) & table->mask; table->slot[i].entry != FLOW_SLOT_EMPTY;
         i = (i + 1) & table->mask) {
        table->steps++;
        if (!may_move(table->slot[i].hash & table->mask, gap, i, table->mask))
            continue;
        table->slot[gap] = table->slot[i];
        gap = i;
    }
    table->slot[gap].entry = FLOW_SLOT_EMPTY;
}

bool flow_remove(struct flow_table *table, const struct flow_key *key)
{
    uint32_t i = find_slot(table, key, hash_of(table, key));
    uint32_t entry = table->slot[i].entry;
    if (entry == FLOW_SLOT_EMPTY)
        return false;
    close_gap(table, i);
    table->entry[entry].flow = table->free;
    table->free = entry;
    table->used--;
    return true;
}

bool flow_renumber(struct flow_table *table, const struct flow_key *key, uint32_t flow)
{
    struct flow_entry *e = find_entry(table, key);
    if (e)
        e->flow = flow;
    return e != NULL;
}
