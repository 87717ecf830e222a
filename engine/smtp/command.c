#include "engine/smtp/command.h"
#include "engine/smtp/text.h"

/* A command is built on a copy of the cursor, which takes the place of the original when it is whole. */
static enum command_status finish(struct bytes_out *out, const struct bytes_out *built)
{
    if (built->failed)
        return COMMAND_NO_ROOM;
    *out = *built;
    return COMMAND_PUT;
}

static void put_number(struct bytes_out *out, uint64_t number)
{
    char digits[20], *end = digits + sizeof(digits), *at = end;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    bytes_put(out, at, (size_t)(end - at));
}

static enum command_status put_plain(struct bytes_out *out, const char *line)
{
    struct bytes_out built = *out;
    bytes_put_str(&built, line);
    return finish(out, &built);
}

bool smtp_helo_name_is_sound(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= SMTP_HOSTNAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return true;
}

enum command_status smtp_put_ehlo(struct bytes_out *out, const char *helo_name)
{
    assert(smtp_helo_name_is_sound(helo_name));
    struct bytes_out built = *out;
    bytes_put_str(&built, "EHLO ");
    bytes_put_str(&built, helo_name);
    bytes_put_str(&built, "\r\n");
    return finish(out, &built);
}

enum command_status smtp_put_starttls(struct bytes_out *out)
{
    return put_plain(out, "STARTTLS\r\n");
}

enum command_status smtp_put_quit(struct bytes_out *out)
{
    return put_plain(out, "QUIT\r\n");
}

/* Nothing that ends a path, a parameter or a line.  RFC 5321 would let spaces and brackets stand in quotes;
 * what they are good for is confusing receivers.  Above ASCII: RFC 6531 section 3.3, well-formed UTF-8.
 */
static bool is_sound_address(const uint8_t *address, size_t len, bool utf8)
{
    while (len) {
        uint32_t c = 0;
        if (likely(*address > ' ' && *address < 0x7f && *address != '<' && *address != '>')) {
            address++;
            len--;
            continue;
        }
        size_t taken = smtp_utf8_take(address, len, &c);
        if (taken == 0 || c < 0xa0 || !utf8)
            return false;
        address += taken;
        len -= taken;
    }
    return true;
}

/* RFC 5321 section 4.1.2: esmtp-param, in printable ASCII behind a space. */
static bool is_sound_parameters(const uint8_t *text, size_t len)
{
    if (len && text[0] != ' ')
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

/* Copies foreign bytes and gives the copy; what is judged is what will be sent.  NULL without room. */
static const uint8_t *put_foreign(struct bytes_out *out, struct span foreign)
{
    const uint8_t *copy = out->at;
    bytes_put(out, foreign.data, foreign.len);
    __asm__ volatile("" ::: "memory"); /* no second look at the original in place of the copy */
    return out->failed ? NULL : copy;
}

static bool put_address(struct bytes_out *out, struct span address, bool utf8)
{
    if (address.len > SMTP_ADDRESS_MAX)
        return false;
    const uint8_t *copy = put_foreign(out, address);
    return !copy || is_sound_address(copy, address.len, utf8);
}

static bool put_parameters(struct bytes_out *out, struct span parameters)
{
    if (parameters.len > SMTP_LINE_MAX) /* RFC 3461 section 4: the line may grow by 500 */
        return false;
    const uint8_t *copy = put_foreign(out, parameters);
    return !copy || is_sound_parameters(copy, parameters.len);
}

enum command_status smtp_put_mail(struct bytes_out *out, const struct tls_verified *proof,
                                  const struct smtp_message *message, const struct smtp_offer *offer)
{
    assert(proof);
    struct bytes_out built = *out;
    bytes_put_str(&built, "MAIL FROM:<");
    if (!put_address(&built, message->sender, message->smtputf8))
        return COMMAND_BAD;
    bytes_put_str(&built, ">");
    if (smtp_offers(offer, EXT_SIZE)) { /* RFC 1870 section 5 */
        bytes_put_str(&built, " SIZE=");
        put_number(&built, message->body_bytes);
    }
    if (message->body_type == SMTP_BODY_8BITMIME && smtp_offers(offer, EXT_8BITMIME))
        bytes_put_str(&built, " BODY=8BITMIME"); /* RFC 6152 section 3 */
    if (message->smtputf8)
        bytes_put_str(&built, " SMTPUTF8"); /* RFC 6531 section 3.4 */
    bytes_put_str(&built, "\r\n");
    return finish(out, &built);
}

enum command_status smtp_put_rcpt(struct bytes_out *out, const struct tls_verified *proof,
                                  const struct smtp_recipient *recipient, bool smtputf8,
                                  const struct smtp_offer *offer)
{
    assert(proof);
    struct bytes_out built = *out;
    bytes_put_str(&built, "RCPT TO:<");
    if (recipient->address.len == 0 || !put_address(&built, recipient->address, smtputf8))
        return COMMAND_BAD;
    bytes_put_str(&built, ">");
    if (smtp_offers(offer, EXT_DSN) && !put_parameters(&built, recipient->dsn))
        return COMMAND_BAD;
    bytes_put_str(&built, "\r\n");
    return finish(out, &built);
}

enum command_status smtp_put_data(struct bytes_out *out, const struct tls_verified *proof)
{
    assert(proof);
    return put_plain(out, "DATA\r\n");
}

enum command_status smtp_put_bdat_last(struct bytes_out *out, const struct tls_verified *proof,
                                       uint64_t chunk_bytes)
{
    assert(proof);
    struct bytes_out built = *out;
    bytes_put_str(&built, "BDAT ");
    put_number(&built, chunk_bytes);
    bytes_put_str(&built, " LAST\r\n");
    return finish(out, &built);
}

enum command_status smtp_put_rset(struct bytes_out *out, const struct tls_verified *proof)
{
    assert(proof);
    return put_plain(out, "RSET\r\n");
}
