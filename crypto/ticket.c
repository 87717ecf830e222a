/* ticket.c: the table of tickets: by question, and by age. */
#include "crypto/ticket.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SWEEP      8u /* looked at in one call: bounded work */
#define BUCKETS_LG 20u
#define SALT_BYTES 16u

struct ticket_place {
    struct list bucket;
    struct list tickets; /* struct ticket.of_place, newest first; never empty */
    uint32_t count;
    uint8_t key[TICKET_KEY_BYTES];
};

struct tickets {
    struct tickets_config config;
    struct stats *stats;
    struct pool places;
    struct list *bucket;
    uint32_t bucket_mask;
    struct list by_age; /* struct ticket.by_age, oldest first */
    uint32_t count;
    uint64_t generation; /* the newest that was asked for */
    EVP_MD *sha256;
    EVP_MD_CTX *hash;
    uint8_t salt[SALT_BYTES]; /* names are chosen by strangers: none shall choose its bucket */
};

/* ---- memory ---- */

static bool take_memory(struct tickets *tickets, struct error *err)
{
    uint32_t buckets = 1;
    while (buckets < tickets->config.tickets_max && buckets < 1u << BUCKETS_LG)
        buckets *= 2;
    tickets->bucket_mask = buckets - 1;
    tickets->bucket = calloc(buckets, sizeof(*tickets->bucket));
    tickets->sha256 = EVP_MD_fetch(tickets->config.libctx, "SHA2-256", NULL);
    tickets->hash = EVP_MD_CTX_new();
    if (!tickets->bucket || !tickets->sha256 || !tickets->hash ||
        RAND_bytes_ex(tickets->config.libctx, tickets->salt, sizeof(tickets->salt), 0) != 1)
        return error_set(err, "no memory for %u tickets", tickets->config.tickets_max);
    for (uint32_t i = 0; i < buckets; i++)
        list_init(&tickets->bucket[i]);
    return pool_open(&tickets->places, "tickets' destinations", sizeof(struct ticket_place),
                     tickets->config.tickets_max, err);
}

struct tickets *tickets_open(const struct tickets_config *config, struct stats *stats, struct error *err)
{
    struct tickets *tickets = calloc(1, sizeof(*tickets));
    if (!tickets) {
        error_set(err, "no memory for tickets");
        return NULL;
    }
    tickets->config = *config;
    tickets->config.lifetime_s = (uint32_t)min_u64(config->lifetime_s, TICKET_LIFETIME_MAX_S);
    tickets->stats = stats;
    list_init(&tickets->by_age);
    if (config->tickets_max && !take_memory(tickets, err)) {
        tickets_close(tickets);
        return NULL;
    }
    return tickets;
}

uint32_t tickets_lifetime_s(const struct tickets *tickets)
{
    return tickets->config.lifetime_s;
}

struct ticket *ticket_make(size_t data_len)
{
    struct ticket *ticket = OPENSSL_zalloc(sizeof(*ticket) + data_len);
    if (!ticket)
        return NULL;
    list_init(&ticket->of_place);
    list_init(&ticket->by_age);
    ticket->data_len = (uint32_t)data_len;
    return ticket;
}

void ticket_free(struct ticket *ticket)
{
    if (ticket)
        OPENSSL_clear_free(ticket, sizeof(*ticket) + ticket->data_len);
}

/* ---- the question: every part with its length before it, so that no two have the same bytes ---- */

static bool hash_bytes(struct tickets *tickets, const void *data, size_t len)
{
    uint64_t prefix = len;
    return EVP_DigestUpdate(tickets->hash, &prefix, sizeof(prefix)) == 1 &&
           EVP_DigestUpdate(tickets->hash, data, len) == 1;
}

static bool hash_text(struct tickets *tickets, const char *text)
{
    return hash_bytes(tickets, text, strlen(text));
}

static bool hash_scope(struct tickets *tickets, const struct tls_scope *scope)
{
    const uint64_t numbers[] = {scope->generation, scope->port, scope->level};
    return hash_bytes(tickets, numbers, sizeof(numbers)) &&
           hash_bytes(tickets, scope->addr, sizeof(scope->addr)) && hash_text(tickets, scope->policy);
}

static bool hash_demand(struct tickets *tickets, const struct tls *tls, const char *sni)
{
    const uint64_t numbers[] = {tls->min_version, tls->pkix, tls->trust ? tls_trust_id(tls->trust) : 0,
                                sni != NULL};
    bool ok = hash_bytes(tickets, numbers, sizeof(numbers)) && hash_text(tickets, sni ? sni : "") &&
              hash_bytes(tickets, tls->group, tls->names);
    for (unsigned i = 0; ok && i < tls->names; i++)
        ok = hash_text(tickets, tls->name[i]);
    return ok;
}

bool ticket_key(struct tickets *tickets, const struct tls *tls, const struct tls_scope *scope,
                const char *sni, uint8_t key[TICKET_KEY_BYTES])
{
    unsigned len;
    if (!tickets->bucket || !scope)
        return false;
    if (scope->generation > tickets->generation)
        tickets->generation = scope->generation;
    return EVP_DigestInit_ex2(tickets->hash, tickets->sha256, NULL) == 1 &&
           hash_bytes(tickets, tickets->salt, sizeof(tickets->salt)) && hash_scope(tickets, scope) &&
           hash_demand(tickets, tls, sni) && EVP_DigestFinal_ex(tickets->hash, key, &len) == 1 &&
           len == TICKET_KEY_BYTES;
}

/* ---- places ---- */

static struct list *bucket_of(const struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES])
{
    uint32_t index;
    memcpy(&index, key, sizeof(index));
    return &tickets->bucket[index & tickets->bucket_mask];
}

static struct ticket_place *find_place(const struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES])
{
    struct list *bucket = bucket_of(tickets, key);
    list_for_each(it, bucket) {
        struct ticket_place *place = list_entry(it, struct ticket_place, bucket);
        if (memcmp(place->key, key, TICKET_KEY_BYTES) == 0)
            return place;
    }
    return NULL;
}

static struct ticket_place *make_place(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES])
{
    struct ticket_place *place = pool_get(&tickets->places);
    if (!place)
        return NULL;
    memcpy(place->key, key, TICKET_KEY_BYTES);
    place->count = 0;
    list_init(&place->tickets);
    list_push_head(bucket_of(tickets, key), &place->bucket);
    return place;
}

/* Out of the table; the caller has it.  A place that holds no ticket is gone. */
static void take_out(struct tickets *tickets, struct ticket *ticket)
{
    struct ticket_place *place = ticket->place;
    list_remove(&ticket->of_place);
    list_remove(&ticket->by_age);
    ticket->place = NULL;
    tickets->count--;
    if (--place->count == 0) {
        list_remove(&place->bucket);
        pool_put(&tickets->places, place);
    }
}

static void drop(struct tickets *tickets, struct ticket *ticket, enum stat_id why)
{
    take_out(tickets, ticket);
    ticket_free(ticket);
    stat_inc(tickets->stats, why);
}

void tickets_close(struct tickets *tickets)
{
    if (!tickets)
        return;
    for (struct list *it; (it = list_head(&tickets->by_age));) {
        struct ticket *ticket = list_entry(it, struct ticket, by_age);
        take_out(tickets, ticket);
        ticket_free(ticket);
    }
    if (tickets->places.memory)
        pool_close(&tickets->places);
    free(tickets->bucket);
    EVP_MD_free(tickets->sha256);
    EVP_MD_CTX_free(tickets->hash);
    free(tickets);
}

/* ---- time ---- */

struct ticket_clock ticket_now(void)
{
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    return (struct ticket_clock){.wall_s = (uint64_t)time(NULL), .up_s = (uint64_t)up.tv_sec};
}

/* Whole seconds of two clocks that do not tick together: one of difference is none. */
uint64_t ticket_age_s(struct ticket_clock since, struct ticket_clock now)
{
    uint64_t up_s = now.up_s - min_u64(now.up_s, since.up_s);
    uint64_t wall_s = now.wall_s - min_u64(now.wall_s, since.wall_s);
    return now.wall_s + 1 < since.wall_s + up_s ? TICKET_AGE_UNKNOWN : max_u64(up_s, wall_s);
}

static bool is_over(const struct ticket *ticket, struct ticket_clock now)
{
    return ticket_age_s(ticket->stored, now) >= ticket->lifetime_s ||
           (ticket->not_after_s && now.wall_s >= ticket->not_after_s);
}

bool ticket_is_good(const struct ticket *ticket, struct ticket_clock now)
{
    return !is_over(ticket, now);
}

/* False: it has been dropped. */
static bool look_at(struct tickets *tickets, struct ticket *ticket, struct ticket_clock now)
{
    if (ticket_age_s(ticket->stored, now) == TICKET_AGE_UNKNOWN)
        drop(tickets, ticket, STAT_tls_tickets_drop_clock);
    else if (is_over(ticket, now))
        drop(tickets, ticket, STAT_tls_tickets_drop_old);
    else if (ticket->generation < tickets->generation)
        drop(tickets, ticket, STAT_tls_tickets_drop_policy);
    else
        return true;
    return false;
}

void tickets_sweep(struct tickets *tickets)
{
    if (list_empty(&tickets->by_age))
        return;
    struct ticket_clock now = ticket_now();
    for (unsigned i = 0; i < SWEEP && !list_empty(&tickets->by_age); i++) {
        if (look_at(tickets, list_entry(list_head(&tickets->by_age), struct ticket, by_age), now))
            return;
    }
}

/* ---- in and out ---- */

struct ticket *ticket_take(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES])
{
    struct ticket_clock now = ticket_now();
    struct ticket_place *place = find_place(tickets, key);
    for (uint32_t left = place ? place->count : 0; left > 0; left--) {
        struct ticket *ticket = list_entry(list_head(&place->tickets), struct ticket, of_place);
        if (!look_at(tickets, ticket, now))
            continue; /* with the last one the place is gone, and left is 0 */
        take_out(tickets, ticket);
        return ticket;
    }
    return NULL;
}

uint32_t ticket_room(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES])
{
    const struct ticket_place *place = find_place(tickets, key);
    uint32_t count = place ? place->count : 0;
    return tickets->config.per_destination_max -
           (uint32_t)min_u64(count, tickets->config.per_destination_max);
}

static void make_room(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES])
{
    struct ticket_place *place = find_place(tickets, key);
    if (place && place->count >= tickets->config.per_destination_max)
        drop(tickets, list_entry(place->tickets.prev, struct ticket, of_place), STAT_tls_tickets_drop_room);
    if (tickets->count >= tickets->config.tickets_max)
        drop(tickets, list_entry(list_head(&tickets->by_age), struct ticket, by_age),
             STAT_tls_tickets_drop_room);
}

void ticket_keep(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES], struct ticket *ticket)
{
    make_room(tickets, key);
    struct ticket_place *place = find_place(tickets, key);
    if (!place)
        place = make_place(tickets, key);
    assert(place); /* as many places as tickets, and there is room for one */
    ticket->place = place;
    place->count++;
    tickets->count++;
    list_push_head(&place->tickets, &ticket->of_place);
    list_push_tail(&tickets->by_age, &ticket->by_age);
    stat_inc(tickets->stats, STAT_tls_tickets_stored);
}

void tickets_forget(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES])
{
    const struct ticket_place *place = find_place(tickets, key);
    for (uint32_t left = place ? place->count : 0; left > 0; left--)
        drop(tickets, list_entry(place->tickets.next, struct ticket, of_place), STAT_tls_tickets_drop_failed);
}
