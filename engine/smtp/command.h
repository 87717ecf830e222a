/* command.h: encodes the client's commands (RFC 5321 section 4.1.1), each one whole or not at all.
 *
 * Those that carry mail demand the proof of a verified handshake.  In the clear there are the first three.
 * Addresses and parameters belong to another trust domain: they are copied, and the copy is checked, so an
 * envelope cannot end its command and begin another.
 */
#ifndef ENGINE_SMTP_COMMAND_H
#define ENGINE_SMTP_COMMAND_H

#include "engine/smtp/ehlo.h"
#include "engine/smtp/smtp.h"

enum command_status {
    COMMAND_PUT,
    COMMAND_NO_ROOM, /* out is unchanged; an empty buffer of SMTP_COMMAND_MAX bytes will do */
    COMMAND_BAD,     /* out is unchanged; what the producer gave cannot stand in a command */
};

enum command_status smtp_put_ehlo(struct bytes_out *out, const char *helo_name) must_check;
enum command_status smtp_put_starttls(struct bytes_out *out) must_check;
enum command_status smtp_put_quit(struct bytes_out *out) must_check;

enum command_status smtp_put_mail(struct bytes_out *out, const struct tls_verified *proof,
                                  const struct smtp_message *message,
                                  const struct smtp_offer *offer) must_check;
enum command_status smtp_put_rcpt(struct bytes_out *out, const struct tls_verified *proof,
                                  const struct smtp_recipient *recipient, bool smtputf8,
                                  const struct smtp_offer *offer) must_check;
enum command_status smtp_put_data(struct bytes_out *out, const struct tls_verified *proof) must_check;
enum command_status smtp_put_bdat_last(struct bytes_out *out, const struct tls_verified *proof,
                                       uint64_t chunk_bytes) must_check; /* RFC 3030 section 2 */
enum command_status smtp_put_rset(struct bytes_out *out, const struct tls_verified *proof) must_check;

/* smtp_helo_name_is_sound: a name or address literal that EHLO may carry; for configuration checks. */
bool smtp_helo_name_is_sound(const char *name);

#endif
