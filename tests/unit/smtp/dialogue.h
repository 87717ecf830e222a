/* dialogue.h: a dialogue under way, shared by the files that play it.  README.md in dialogues explains the language. */
#ifndef TESTS_UNIT_SMTP_DIALOGUE_H
#define TESTS_UNIT_SMTP_DIALOGUE_H

#include "engine/smtp/session.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_verified {
    int made_by_a_test;
};

#define RECIPIENTS_MAX 8
#define MESSAGES_MAX   8 /* in hand at once */
#define EVENTS_MAX     32
#define BUFFER_MAX     (4u << 20)

/* Messages are counted from 1 on in the order in which they were begun. */
struct event {
    unsigned message;
    enum { EVENT_RECIPIENT, EVENT_DONE, EVENT_RETURNED } kind;
    enum smtp_return why;
    uint32_t index;
    struct outcome outcome;
};

struct mail {
    unsigned number;  /* 0: not in hand */
    enum stage stage; /* last one told */
    uint8_t *body;
    size_t body_len;
    struct smtp_message message;
    struct smtp_recipient recipient[RECIPIENTS_MAX];
    struct span extent[16];
    char address[RECIPIENTS_MAX][2048], sender[2048], dsn[2048];
};

struct player {
    const char *file;
    unsigned line;
    bool byte_by_byte, smallest_output;
    jmp_buf failed;
    char why[1024];

    struct smtp_session session;
    struct stats stats;
    struct tls_verified proof;
    uint64_t now_us;
    bool opened, implicit_tls;
    struct smtp_config config;

    uint8_t *said; /* server bytes not given yet */
    size_t said_len;
    uint8_t *heard; /* client bytes not expected yet: [heard_at, heard_len) */
    size_t heard_at, heard_len;

    struct event event[EVENTS_MAX];
    unsigned event_at, events;

    uint8_t *body; /* of the messages that follow */
    size_t body_len;
    struct mail mail[MESSAGES_MAX];
    unsigned begun, heard_mail; /* messages: begun, MAIL heard */
    unsigned wanted;            /* the message that a line is about; 0: any */
    size_t heard_chunk;         /* bytes of a chunk that came in pieces */
    size_t room;                /* for output, for the time being */
};

/* The line is at fault: says why, and ends the case. */
__attribute__((noreturn, format(printf, 2, 3))) void dialogue_fail(struct player *p, const char *format, ...);

/* player.c: between the script and the session. */

/* dialogue_mail: where a message is, or was; dialogue_in_hand: is it still the session's? */
struct mail *dialogue_mail(struct player *p, unsigned number);
bool dialogue_in_hand(struct player *p, unsigned number);

/* Takes what the client says, as far as there is room. */
void dialogue_listen(struct player *p);

/* dialogue_flush gives the client what the server has said since; dialogue_quiet does, and fails if anything of the
 * client's, or an event, has not been expected.
 */
void dialogue_flush(struct player *p);
void dialogue_quiet(struct player *p);

/* words.c: dialogue_unescape returns the number of bytes; dialogue_word_is steps over the word if it comes next. */
size_t dialogue_unescape(struct player *p, const char *text, uint8_t *out, size_t cap);
bool dialogue_word_is(const char **text, const char *word);
const char *dialogue_word(const char **text, char *word, size_t cap);

/* say_hear.c: what passes between client and server. */
void do_say_line(struct player *p, const char *text);
void do_say_raw(struct player *p, const char *text);
void do_hear_line(struct player *p, const char *text);
void do_hear_body(struct player *p, const char *text);
void do_hear_chunk(struct player *p, const char *text);
void do_hear_begun(struct player *p, const char *text);
void do_hear_rest(struct player *p, const char *text);

/* given.c: what the caller and the world do. */
void do_config(struct player *p, const char *text);
void do_tls(struct player *p, const char *text);
void do_opened(struct player *p, const char *text);
void do_body(struct player *p, const char *text);
void do_body_bytes(struct player *p, const char *text);
void do_message(struct player *p, const char *text);
void do_time(struct player *p, const char *text);
void do_lost(struct player *p, const char *text);
void do_quit(struct player *p, const char *text);

/* told.c: what the session says of itself, and of messages. */
void do_recipient(struct player *p, const char *text);
void do_done(struct player *p, const char *text);
void do_returned(struct player *p, const char *text);
void do_flights(struct player *p, const char *text);
void do_room(struct player *p, const char *text);
void do_session(struct player *p, const char *text);
void do_ready(struct player *p, const char *text);
void do_closed(struct player *p, const char *text);
void do_deadline(struct player *p, const char *text);
void do_state(struct player *p, const char *text);
void do_enough(struct player *p, const char *text);

#endif
