/* batch_stock.c: ephemeral keys, made ahead of need: nothing that a peer says goes into one. */
#include "crypto/batch_inside.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

static const struct {
    size_t secret, point;
} size[BATCH_GROUPS] = {{32, 32}, {32, 65}, {48, 97}};

size_t batch_secret_bytes(enum batch_group group)
{
    return size[group].secret;
}

size_t batch_point_bytes(enum batch_group group)
{
    return size[group].point;
}

/* Numbers out of range are thrown away, SP 800-56A section 5.6.1.2.2: one in 2^32 for P-256; what the
 * comparison's time tells is about those alone.
 */
static bool in_range(enum batch_group group, const uint8_t *secret)
{
    static const uint8_t zero[BATCH_SECRET_BYTES];
    const struct curve *curve = batch_curve((enum batch_kind)group);
    return !curve || (number_below(secret, curve->order, curve->bytes) &&
                      CRYPTO_memcmp(secret, zero, curve->bytes) != 0);
}

unsigned batch_secrets_make(OSSL_LIB_CTX *libctx, enum batch_group group, struct batch_op *op, unsigned n)
{
    uint8_t secret[BATCH_LANES * BATCH_SECRET_BYTES];
    size_t bytes = size[group].secret;
    unsigned made = 0;
    if (RAND_priv_bytes_ex(libctx, secret, n * bytes, 0) != 1) {
        ERR_clear_error();
        return 0;
    }
    for (unsigned i = 0; i < n; i++)
        if (in_range(group, secret + i * bytes))
            memcpy(op[made++].exchange.own.secret, secret + i * bytes, bytes);
    explicit_bzero(secret, sizeof(secret));
    return made;
}

static void make(struct batch *b, enum batch_group group, unsigned n)
{
    struct batch_op *op[BATCH_LANES];
    struct batch_stock *stock = &b->stock[group];
    n = batch_secrets_make(b->libctx, group, b->making, n);
    for (unsigned i = 0; i < n; i++) {
        op[i] = &b->making[i];
        op[i]->result = BATCH_WAITS;
    }
    if (n > 0)
        batch_compute(b, (enum batch_kind)group, op, n);
    for (unsigned i = 0; i < n; i++)
        if (op[i]->result == BATCH_GOOD)
            stock->pair[stock->count++] = op[i]->exchange.own;
    explicit_bzero(b->making, sizeof(b->making));
}

/* Eight at a time where that is how they are cheap, else one: an idle core is not to be kept long. */
static unsigned portion(const struct batch *b, enum batch_group group)
{
    unsigned room = b->stock_max - b->stock[group].count;
    if (b->break_even[group] == BATCH_NEVER)
        return min_u32(room, 1);
    return room >= BATCH_LANES ? BATCH_LANES : 0;
}

void batch_stock_fill(struct batch *b)
{
    for (unsigned group = 0; group < BATCH_GROUPS; group++) {
        unsigned n = b->stock[group].asked ? portion(b, group) : 0;
        if (n > 0) {
            make(b, group, n);
            return;
        }
    }
}

bool batch_pair_take(struct batch *b, enum batch_group group, struct batch_pair *pair)
{
    struct batch_stock *stock = &b->stock[group];
    stock->asked = true;
    if (stock->count == 0) {
        stat_inc(b->stats, STAT_tls_batch_keys_late);
        make(b, group, max_u32(1, portion(b, group)));
    }
    if (stock->count == 0)
        return false;
    struct batch_pair *last = &stock->pair[--stock->count];
    *pair = *last;
    explicit_bzero(last, sizeof(*last));
    stat_inc(b->stats, STAT_tls_batch_keys);
    return true;
}

void batch_stock_wipe(struct batch *b)
{
    explicit_bzero(b->stock, sizeof(b->stock));
    explicit_bzero(b->making, sizeof(b->making));
}
