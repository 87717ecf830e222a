/* body.h: a message body on its way out, in one pass: for DATA with dots stuffed (RFC 5321 section 4.5.2), for BDAT
 * (RFC 3030) as it is.
 *
 * The bytes are another trust domain's and may change at any moment, whatever was checked before.  What is sent
 * is the very copy that was judged.  So the output never holds a CR without its LF or an LF without its CR, nor a
 * line of a single dot: nothing in it can be taken for the end of data, by whatever rules a receiver ends its
 * lines (SMTP smuggling).  A body that breaks this is given up where it does.  BDAT could carry it, but only as
 * BINARYMIME (RFC 3030 section 3), which is not spoken here, and the next relay may well use DATA.
 */
#ifndef ENGINE_SMTP_BODY_H
#define ENGINE_SMTP_BODY_H

#include "engine/base/bytes.h"

struct smtp_body {
    const struct span *extent; /* borrowed */
    uint32_t extents;
    uint32_t at;     /* extent that is next, in [0, extents] */
    size_t offset;   /* next byte in it, in [0, its length] */
    bool line_start; /* the next byte begins a line */
    bool held_cr;    /* a CR has been read and waits for its LF */
    bool stuffs;     /* for DATA */
};

enum body_status {
    BODY_MORE, /* out is full */
    BODY_END,  /* all is out; for DATA smtp_body_end is next */
    BODY_BARE, /* met a CR or LF on its own; what is out is safe, no more may follow */
};

#define SMTP_BODY_ROOM_MIN 32 /* bytes of room that smtp_body_put needs to go on */
#define SMTP_BODY_END_MAX  5  /* CRLF . CRLF */

void smtp_body_open(struct smtp_body *body, const struct span *extent, uint32_t extents, bool stuffs);

/* smtp_body_put appends bytes to out until that is full or the body has ended. */
enum body_status smtp_body_put(struct smtp_body *body, struct bytes_out *out) must_check;

/* smtp_body_end appends the end of data, behind a CRLF where the body has none at its end; out has room. */
void smtp_body_end(const struct smtp_body *body, struct bytes_out *out);

/* smtp_body_is_7bit tells whether no byte has its high bit set; reads everything. */
bool smtp_body_is_7bit(const struct span *extent, uint32_t extents);

#endif
