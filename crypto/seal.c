/* seal.c: the writing half of the record layer. */
#include "crypto/session.h"

bool seal_worn(const struct tls *tls)
{
    return tls->write_key.records >= tls->core->seal_records_max;
}

/* The header, with TLS 1.2's explicit nonce behind it; returns its length. */
static size_t make_header(const struct record_key *key, uint8_t type, size_t len,
                          const uint8_t nonce[RECORD_NONCE_BYTES],
                          uint8_t header[RECORD_HEADER_BYTES + RECORD_EXPLICIT_NONCE_BYTES])
{
    size_t explicit = key->implicit_nonce ? 0 : RECORD_EXPLICIT_NONCE_BYTES;
    header[0] = key->version_13 ? SSL3_RT_APPLICATION_DATA : type;
    record_put_be16(header + 1, TLS1_2_VERSION);
    record_put_be16(header + 3, explicit + len + (key->version_13 ? 1 : 0) + RECORD_TAG_BYTES);
    memcpy(header + RECORD_HEADER_BYTES, nonce + (RECORD_NONCE_BYTES - RECORD_EXPLICIT_NONCE_BYTES),
           explicit);
    return RECORD_HEADER_BYTES + explicit;
}

#define PIECES 16u /* packets of 1,448 bytes that the largest record may touch, and some */

/* Where a record goes: the chunk that is being written, and those behind it.  They are asked for and committed together. */
struct place {
    struct tls *tls;
    uint8_t *at;
    size_t room; /* from at on, in this chunk */
    size_t used; /* not committed yet */
    size_t left; /* bytes of the record from at on */
    const struct byte_piece *next, *end;
    struct byte_piece piece[PIECES];
};

static void commit(struct place *to)
{
    if (to->used)
        tls_put_commit(to->tls, to->used);
    to->used = 0;
}

static bool next_chunk(struct place *to)
{
    if (to->next == to->end) {
        commit(to);
        to->next = to->piece;
        to->end = to->piece + tls_put_pieces(to->tls, to->left, to->piece, PIECES);
        if (to->next == to->end)
            return false;
    }
    to->at = to->next->at;
    to->room = to->next->room;
    to->next++;
    return true;
}

/* How many of len bytes may be written at to->at; 0: the session's bound is reached. */
static size_t some_room(struct place *to, size_t len)
{
    if (to->room == 0 && !next_chunk(to))
        return 0;
    return min_size(to->room, len);
}

static void advance(struct place *to, size_t n)
{
    to->at += n;
    to->room -= n;
    to->used += n;
    to->left -= n;
}

static bool put(struct place *to, const uint8_t *in, size_t len)
{
    for (size_t n; len > 0; in += n, len -= n) {
        n = some_room(to, len);
        if (n == 0)
            return false;
        memcpy(to->at, in, n);
        advance(to, n);
    }
    return true;
}

static bool encrypt(struct place *to, struct record_cipher *c, const uint8_t *in, size_t len)
{
    for (size_t n; len > 0; in += n, len -= n) {
        n = some_room(to, len);
        if (n == 0)
            return false;
        record_cipher_seal(c, to->at, in, n);
        advance(to, n);
    }
    return true;
}

static bool encrypt_parts(struct place *to, struct record_cipher *c, struct span *part, unsigned parts,
                          size_t len)
{
    for (unsigned i = 0; i < parts && len > 0; i++) {
        size_t n = min_size(part[i].len, len);
        if (!encrypt(to, c, part[i].data, n))
            return false;
        part[i].data += n;
        part[i].len -= n;
        len -= n;
    }
    assert(len == 0);
    return true;
}

static bool begin(struct place *to, struct record_cipher *c, uint8_t type, size_t len)
{
    uint8_t nonce[RECORD_NONCE_BYTES], header[RECORD_HEADER_BYTES + RECORD_EXPLICIT_NONCE_BYTES];
    uint8_t aad[RECORD_AAD_MAX];
    record_nonce(c->key, NULL, nonce);
    size_t header_len = make_header(c->key, type, len, nonce, header);
    size_t aad_len = record_aad(c->key, type, len, header, aad);
    record_cipher_begin(c, nonce, aad, aad_len);
    c->key->sequence++; /* whatever becomes of the record: a nonce is never used twice */
    c->key->records++;
    to->left = header_len + len + (c->key->version_13 ? 1 : 0) + RECORD_TAG_BYTES;
    return put(to, header, header_len);
}

static bool finish(struct place *to, struct record_cipher *c)
{
    uint8_t tag[RECORD_TAG_BYTES];
    record_cipher_tag(c, tag);
    return put(to, tag, sizeof(tag));
}

bool seal_record(struct tls *tls, uint8_t type, struct span *part, unsigned parts, size_t len)
{
    struct record_cipher c = {.mb = tls->core->mb, .key = &tls->write_key};
    assert(len <= RECORD_PLAIN_MAX);
    struct place to;
    to.tls = tls;
    to.room = to.used = 0;
    to.next = to.end = NULL;
    bool ok = begin(&to, &c, type, len) && encrypt_parts(&to, &c, part, parts, len);
    if (ok && c.key->version_13)
        ok = encrypt(&to, &c, &type, 1);
    ok = ok && finish(&to, &c);
    assert(!ok || to.left == 0);
    commit(&to);
    explicit_bzero(&c.state, sizeof(c.state));
    return ok;
}
