/* ehlo.h: what a receiver offers in its EHLO reply (RFC 5321 section 4.1.1.1).  Unknown keywords are no concern. */
#ifndef ENGINE_SMTP_EHLO_H
#define ENGINE_SMTP_EHLO_H

#include "engine/base/bytes.h"

enum smtp_extension {
    EXT_PIPELINING = 1 << 0,          /* RFC 2920 */
    EXT_8BITMIME = 1 << 1,            /* RFC 6152 */
    EXT_SIZE = 1 << 2,                /* RFC 1870 */
    EXT_ENHANCEDSTATUSCODES = 1 << 3, /* RFC 2034; codes are understood without it as well */
    EXT_STARTTLS = 1 << 4,            /* RFC 3207 */
    EXT_SMTPUTF8 = 1 << 5,            /* RFC 6531 */
    EXT_DSN = 1 << 6,                 /* RFC 3461 */
    EXT_CHUNKING = 1 << 7,            /* RFC 3030 */
    EXT_AUTH = 1 << 8,                /* RFC 4954; noted, not used yet */
};

struct smtp_offer {
    uint32_t extensions;     /* of enum smtp_extension */
    uint64_t size_max_bytes; /* from SIZE; 0: no limit told */
};

/* smtp_ehlo_line notes one keyword line, the text behind "250-". */
void smtp_ehlo_line(struct smtp_offer *offer, struct span text);

static inline bool smtp_offers(const struct smtp_offer *offer, enum smtp_extension extension)
{
    return offer->extensions & extension;
}

#endif
