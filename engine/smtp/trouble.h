/* trouble.h: what now?  Every decision about a reply, a silence, a loss or a bad message, and nothing else:
 * who gets which outcome, and whether the session goes on, says goodbye or closes.
 */
#ifndef ENGINE_SMTP_TROUBLE_H
#define ENGINE_SMTP_TROUBLE_H

#include "engine/smtp/session.h"

/* Before a byte: false, and why, when the receiver cannot take the message or it cannot be sent. */
bool smtp_message_fits(const struct smtp_message *message, const struct smtp_offer *offer,
                       struct outcome *why) must_check;

/* The opening; each ends the session, with QUIT where the receiver still listens. */
void smtp_trouble_greeting(struct smtp_session *s, uint64_t now_us);
void smtp_trouble_no_starttls(struct smtp_session *s, uint64_t now_us);
void smtp_trouble_starttls_rejected(struct smtp_session *s, uint64_t now_us);
void smtp_trouble_injection(struct smtp_session *s);
void smtp_trouble_ehlo(struct smtp_session *s, uint64_t now_us);

/* A message; the session goes on. */
void smtp_trouble_bad_sender(struct smtp_session *s);
void smtp_trouble_bad_recipient(struct smtp_session *s, uint32_t index);
void smtp_trouble_mail(struct smtp_session *s);
void smtp_trouble_rcpt(struct smtp_session *s, uint32_t index);
void smtp_trouble_data(struct smtp_session *s);
void smtp_trouble_dot(struct smtp_session *s);
void smtp_trouble_free(struct smtp_session *s); /* the end of the message was answered with success */

/* The session is over. */
void smtp_trouble_rset(struct smtp_session *s);
void smtp_trouble_bad_body(struct smtp_session *s);    /* once the replies that are owed have come */
void smtp_trouble_closing(struct smtp_session *s);     /* 421 */
void smtp_trouble_not_smtp(struct smtp_session *s);    /* bytes that are no reply */
void smtp_trouble_unexpected(struct smtp_session *s);  /* a reply that makes no sense to its command */
void smtp_trouble_out_of_turn(struct smtp_session *s); /* a reply to nothing */
void smtp_trouble_timeout(struct smtp_session *s);
void smtp_trouble_lost(struct smtp_session *s, const struct outcome *why);

/* smtp_trouble_bdat_unknown ends the session, and returns the message, if the reply in hand says that BDAT is not known. */
bool smtp_trouble_bdat_unknown(struct smtp_session *s);

/* The cell of states in which no command waits for a reply. */
void smtp_on_nothing(struct smtp_session *s, uint64_t now_us);

#endif
