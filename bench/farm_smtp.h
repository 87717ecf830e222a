/* bench/farm_smtp.h: the farm's side of the dialogue (RFC 5321): bytes in, replies out, no I/O and no clock.
 *
 * Commands may come pipelined (RFC 2920) and in any cut.  Bodies come by DATA or BDAT (RFC 3030), go to the check as they
 * come, and are not kept.
 */
#ifndef BENCH_FARM_SMTP_H
#define BENCH_FARM_SMTP_H

#include "bench/farm_check.h"

#define FARM_SMTP_OUT_BYTES  768u
#define FARM_SMTP_ROOM_BYTES 384u /* free in out before a command is read: the longest reply fits */
#define FARM_SMTP_LINE_MAX \
    2048u /* of a command, CRLF included; RFC 5321 section 4.5.3.1.4 asks for 512 and what extensions add */
#define FARM_SMTP_SIZE_MAX (256u << 20) /* bytes of a message */

enum farm_stage { FARM_AT_GREETING, FARM_AT_EHLO, FARM_AT_MAIL, FARM_AT_RCPT, FARM_AT_MESSAGE, FARM_STAGES };

/* What is the same for all sessions of a farm. */
struct farm_smtp_rules {
    void *ctx;
    bool chunking; /* offer it */
    bool plain;    /* no STARTTLS: mail is taken in the clear, for tests of the farm itself */
    /* Asked before each good answer: a reply to give instead ("451 4.3.0 later"), NULL for none.  The text is one
     * that lives on.  argument: the path of RCPT, else empty.
     */
    const char *(*fault)(void *ctx, enum farm_stage stage, const char *argument, size_t len);
    /* Whether the connection shall be cut here. */
    bool (*cut)(void *ctx);
    /* A message is here, whole, and will be answered with 250. */
    void (*message)(void *ctx, const struct check_message *message, uint32_t recipients);
};

enum farm_smtp_state {
    FARM_SMTP_COMMAND,
    FARM_SMTP_DATA,
    FARM_SMTP_CHUNK,
    FARM_SMTP_STARTTLS, /* 220 is in out; nothing is read any more: farm_smtp_secured */
    FARM_SMTP_QUIT,     /* the last reply is in out; nothing is read any more */
    FARM_SMTP_CUT,      /* on request: end the connection without a word */
};

/* Where in a line of DATA we are: RFC 5321 section 4.5.2. */
enum farm_eol { EOL_INSIDE, EOL_CR, EOL_START, EOL_DOT, EOL_DOT_CR };

struct farm_smtp {
    const struct farm_smtp_rules *rules;
    const char *host; /* our name, borrowed for life */
    uint8_t state;    /* enum farm_smtp_state */
    uint8_t eol;      /* enum farm_eol */
    bool secured, greeted, mail, chunked;
    bool chunk_last, chunk_refused;
    bool skipping; /* the rest of a line that was too long */
    uint16_t out_len;
    uint32_t recipients;
    uint64_t chunk_left;
    struct check_message message;
    char out[FARM_SMTP_OUT_BYTES];
};

/* farm_smtp_open greets.  secured: TLS stands already (RFC 8314 section 3.3). */
void farm_smtp_open(struct farm_smtp *smtp, const struct farm_smtp_rules *rules, const char *host,
                    bool secured);

/* farm_smtp_secured: TLS stands; whatever was said before is forgotten (RFC 3207 section 4.2). */
void farm_smtp_secured(struct farm_smtp *smtp);

/* farm_smtp_input takes bytes and returns how many: all but an unfinished line, what no reply has room for, and what comes
 * behind the end (the states say of what).  What is left is to be given again, with more behind it or with out emptied.
 */
size_t farm_smtp_input(struct farm_smtp *smtp, const char *in, size_t len);

/* farm_smtp_sent: the first len bytes of out have left. */
void farm_smtp_sent(struct farm_smtp *smtp, size_t len);

/* farm_smtp_idle: nothing has come for too long, RFC 5321 section 4.5.3.2.7; 421 is in out, and the state is FARM_SMTP_QUIT. */
void farm_smtp_idle(struct farm_smtp *smtp);

/* farm_smtp_in_message: a message has begun and not ended. */
bool farm_smtp_in_message(const struct farm_smtp *smtp);

#endif
