/* ticket.h: what servers gave us to come back with, each kept for exactly the question that its certificate answered.
 *
 * A ticket is found only under the same destination, policy, names, version and trust set (ticket_key), and taken out when it
 * is found: no two connections ever show the same one (RFC 8446 section C.4).  With it comes what the full handshake
 * at the root of it has proven; a ticket that came over a resumed connection inherits that proof and its age, so that no chain
 * of resumptions outlives one lifetime.  Of OpenSSL's session everything is kept but the peer's certificates.
 *
 * Two clocks: the wall's, by which certificates end, and the one since boot, by which lifetimes do; a wall clock set back since
 * is seen by their difference.  One core's, one thread's.  Bounded in number and bytes; wiped when dropped.
 */
#ifndef CRYPTO_TICKET_H
#define CRYPTO_TICKET_H

#include "crypto/session.h"

#define TICKET_BYTES_MAX      2048u   /* of the server's ticket; a longer one is not kept */
#define TICKET_LIFETIME_MAX_S 604800u /* RFC 8446 section 4.6.1 */
#define TICKETS_PER_SESSION   4u      /* looked at on one connection */

struct ticket {
    struct list of_place; /* newest first */
    struct list by_age;   /* all of the core's, oldest first */
    struct ticket_place *place;
    struct ticket_clock proved; /* when the full handshake was */
    struct ticket_clock stored;
    uint64_t lifetime_s; /* from stored on; in [1, TICKET_LIFETIME_MAX_S] */
    uint64_t not_after_s;
    uint64_t generation;
    uint16_t version;
    uint16_t name_len, group_len, signature_len; /* of texts in data, without NUL, in that order */
    uint32_t session_len;                        /* behind them */
    uint32_t data_len;
    uint8_t cert_sha256[TLS_DIGEST_BYTES];
    uint8_t spki_sha256[TLS_DIGEST_BYTES];
    uint8_t data[];
};

struct tickets_config {
    OSSL_LIB_CTX *libctx; /* whose hash names destinations */
    uint32_t tickets_max; /* 0: nothing is ever kept or found */
    uint32_t per_destination_max;
    uint32_t lifetime_s;
};

struct tickets *tickets_open(const struct tickets_config *config, struct stats *stats,
                             struct error *err) must_check;
void tickets_close(struct tickets *tickets);
uint32_t tickets_lifetime_s(const struct tickets *tickets);

struct ticket_clock ticket_now(void);

/* The longer of what two clocks say has gone by; TICKET_AGE_UNKNOWN when the wall's was set back meanwhile. */
#define TICKET_AGE_UNKNOWN UINT64_MAX
uint64_t ticket_age_s(struct ticket_clock since, struct ticket_clock now);

/* ticket_key names the question of a session; false: nothing is kept for it. */
bool ticket_key(struct tickets *tickets, const struct tls *tls, const struct tls_scope *scope,
                const char *sni, uint8_t key[TICKET_KEY_BYTES]) must_check;

/* ticket_take gives the newest that is still good, and gives it away: ticket_free it.  NULL: there is none. */
struct ticket *ticket_take(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES]);

/* ticket_is_good: not too old, no certificate of the chain at its end, no clock set back since. */
bool ticket_is_good(const struct ticket *ticket, struct ticket_clock now);

/* How many more the destination has room for. */
uint32_t ticket_room(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES]);

/* ticket_keep takes a filled ticket over; where there is no room the oldest goes, of the destination or of all. */
void ticket_keep(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES], struct ticket *ticket);

/* ticket_make gives an empty one with room for so much data; NULL: no memory. */
struct ticket *ticket_make(size_t data_len) must_check;
void ticket_free(struct ticket *ticket);

/* tickets_forget drops all of a destination. */
void tickets_forget(struct tickets *tickets, const uint8_t key[TICKET_KEY_BYTES]);

/* tickets_sweep drops some of those that are of no use any more, if there are any. */
void tickets_sweep(struct tickets *tickets);

#endif
