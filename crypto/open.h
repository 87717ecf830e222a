/* open.h: the peer's records, opened by us (seal.h says why OpenSSL lets us).
 *
 * Application data goes to tls_read and never enters OpenSSL; alerts, tickets, key updates and TLS 1.2's Finished are given
 * to it in plain, in the form that a kernel gives them: a header with the inner type, then the text.
 */
#ifndef CRYPTO_OPEN_H
#define CRYPTO_OPEN_H

#include "crypto/record.h"

struct tls;

/* Handshake messages that OpenSSL gets in a row, without application data between them.  A key update is five bytes of the peer's, and to
 * us two derivations and, if it asks for it, a record; OpenSSL counts them not.  Nobody has a use for more.
 */
#define OPEN_MESSAGES_MAX 32u

/* What a session holds of what has come; nothing, mostly: then both pointers are NULL. */
struct opening {
    uint8_t header[RECORD_HEADER_BYTES];
    uint8_t header_len; /* in [0, RECORD_HEADER_BYTES] */
    uint8_t *body;      /* a record that has not come whole, and where it is opened */
    size_t body_len, body_have;
    uint8_t *
        text; /* an opened record, behind RECORD_HEADER_BYTES of room: [text_at, text_end) is still to be taken */
    size_t text_at, text_end, text_cap;
    uint8_t type;                /* of text */
    bool given;                  /* text is OpenSSL's to take */
    uint8_t message_header_have; /* of a handshake message: bytes of its header that have come, in [0, 4] */
    uint32_t message_size;       /* as far as its header tells */
    uint32_t message_left;       /* of its body, bytes still to come */
    bool message_dropped;        /* it is a ticket that nobody wants */
    uint8_t tickets_left;        /* that OpenSSL still gets */
    uint32_t messages;           /* that OpenSSL has got, or is to get, since application data came */
    int error;                   /* errno for OpenSSL: EBADMSG, EMSGSIZE or EINVAL; 0: none */
};

enum open_result {
    OPEN_MORE,   /* wants bytes */
    OPEN_RECORD, /* text holds one */
    OPEN_BROKEN, /* error says how; no record will follow */
};

/* open_next takes bytes off tls->in until it has a record.  Nothing may be left of the last one's text. */
enum open_result open_next(struct tls *tls);

bool open_has_text(const struct opening *o);

/* RFC 8446 section 5.1: a handshake message that spans records must not be interrupted. */
bool open_within_message(const struct opening *o);
size_t open_take(struct opening *o, uint8_t *out, size_t cap); /* frees what has been taken whole */

/* open_give puts the header of OpenSSL's form before the text, out of which it takes the tickets that are not wanted: to
 * OpenSSL each is a derivation and a copy of all that it holds of the session, and a server may send any number.
 * False: nothing is left of it.
 */
bool open_give(struct tls *tls);
void open_close(struct opening *o);

#endif
