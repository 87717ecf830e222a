#include "engine/ring/names.h"

#include "engine/ring/punycode.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const char too_long[] = "is too long (RFC 5321 section 4.5.3.1)";

static bool is_plain(uint8_t c) /* printable and no space; 8-bit bytes are judged apart */
{
    return c > ' ' && c != 0x7f;
}

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(uint8_t c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool is_8bit(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] >= 0x80)
            return true;
    return false;
}

bool ring_utf8_valid(struct span text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < text.len;) {
        uint8_t c = text.data[i++];
        unsigned more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 4;
        if (more == 4 || more > text.len - i)
            return false;
        uint32_t point = more ? c & (0x3fu >> more) : c;
        for (unsigned k = 0; k < more; k++, i++) {
            if (text.data[i] >> 6 != 2)
                return false;
            point = point << 6 | (text.data[i] & 0x3f);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return false;
    }
    return true;
}

/* What no part of an envelope may hold: it would end a command, a path or an argument. */
static const char *check_bytes(struct span text, bool utf8)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == 0)
            return "has a NUL in it";
        if (text.data[i] == '\r' || text.data[i] == '\n')
            return "has a CR or LF in it";
        if (!is_plain(text.data[i]))
            return "has a space or a control character in it";
        if (text.data[i] == '<' || text.data[i] == '>')
            return "has an angle bracket in it: give the address alone";
    }
    if (is_8bit(text) && !utf8)
        return "is not ASCII: that takes SMTPUTF8";
    if (is_8bit(text) && !ring_utf8_valid(text))
        return "is not valid UTF-8";
    return NULL;
}

static bool same_word(const char *text, const char *word, size_t len) /* whatever the caller's locale */
{
    for (size_t i = 0; i < len; i++)
        if (lower((uint8_t)text[i]) != lower((uint8_t)word[i]))
            return false;
    return true;
}

static bool copy_text(struct span text, char *out, size_t cap)
{
    if (text.len >= cap)
        return false;
    memcpy(out, text.data, text.len);
    out[text.len] = 0;
    return true;
}

/* RFC 5321 section 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
static const char *check_literal(struct span text, struct ring_name *name)
{
    char inner[64];
    uint8_t address[16];
    if (text.len < 4 || text.data[text.len - 1] != ']' ||
        !copy_text((struct span){text.data + 1, text.len - 2}, inner, sizeof(inner)))
        return "is no address literal";
    bool v6 = same_word(inner, "IPv6:", 5);
    if (inet_pton(v6 ? AF_INET6 : AF_INET, v6 ? inner + 5 : inner, address) != 1)
        return "is no address literal: [192.0.2.1] or [IPv6:2001:db8::1]";
    if (v6)
        inet_ntop(AF_INET6, address, inner, sizeof(inner)); /* one spelling */
    name->bytes = (uint8_t)snprintf(name->text, sizeof(name->text), v6 ? "[ipv6:%s]" : "[%s]", inner);
    return NULL;
}

static bool append_label(struct span label, struct ring_name *name)
{
    if (label.len == 0 || label.len > 4 * 63)
        return false;
    size_t room = RING_DOMAIN_MAX - name->bytes;
    char *at = name->text + name->bytes;
    for (size_t i = 0; i < label.len; i++)
        if (label.data[i] < 0x80 && !is_alnum(label.data[i]) && label.data[i] != '-' && label.data[i] != '_')
            return false;

    size_t bytes = label.len;
    if (is_8bit(label)) { /* a U-label; RFC 5890 has it normalised and in lower case already */
        bytes = ring_punycode_label(label, at, room);
    } else if (bytes <= room) {
        for (size_t i = 0; i < bytes; i++)
            at[i] = lower(label.data[i]);
    }
    if (bytes == 0 || bytes > 63 || bytes > room)
        return false;
    name->bytes = (uint8_t)(name->bytes + bytes);
    return true;
}

const char *ring_check_domain(struct span text, bool utf8, struct ring_name *domain)
{
    static const char bad[] =
        "has a domain that is none: letters, digits and hyphens in labels of at most 63, with dots between";
    const char *wrong = check_bytes(text, utf8);
    if (wrong)
        return wrong;
    if (text.len == 0)
        return "has an empty domain";
    if (text.data[0] == '[')
        return check_literal(text, domain);

    domain->bytes = 0;
    for (size_t start = 0; start <= text.len;) {
        const uint8_t *dot = memchr(text.data + start, '.', text.len - start);
        size_t end = dot ? (size_t)(dot - text.data) : text.len;
        if (!append_label((struct span){text.data + start, end - start}, domain))
            return text.len > RING_DOMAIN_MAX ? too_long : bad;
        start = end + 1;
        if (dot) {
            if (domain->bytes >= RING_DOMAIN_MAX)
                return too_long;
            domain->text[domain->bytes++] = '.';
        }
    }
    domain->text[domain->bytes] = 0;
    return NULL;
}

/* RFC 5321 section 4.1.2: a quoted string, or atoms; stray dots between atoms are seen in real addresses. */
static const char *check_local(struct span local)
{
    static const char specials[] = "()[]:;@\\,\"";
    if (local.len == 0)
        return "has nothing in front of the @";
    if (local.len > RING_LOCAL_MAX)
        return "has a local part of more than 64 bytes (RFC 5321 section 4.5.3.1.1)";
    if (local.data[0] != '"') {
        for (size_t i = 0; i < local.len; i++)
            if (memchr(specials, local.data[i], sizeof(specials) - 1))
                return "has a special character in front of the @ that is not quoted";
        return NULL;
    }
    for (size_t i = 1; i < local.len; i++) {
        if (local.data[i] == '"')
            return i == local.len - 1 ? NULL : "has a quotation mark in its quoted local part";
        if (local.data[i] == '\\')
            i++;
    }
    return "has a local part whose quotation does not end";
}

const char *ring_check_address(struct span text, bool utf8, struct ring_name *domain)
{
    if (text.len == 0)
        return "is empty";
    const char *wrong = check_bytes(text, utf8);
    if (wrong)
        return wrong;
    if (text.len > RING_ADDRESS_MAX)
        return "is longer than 254 bytes (RFC 5321 section 4.5.3.1.3)";
    const uint8_t *at = memrchr(text.data, '@', text.len);
    if (!at)
        return "has no @ in it";
    size_t local = (size_t)(at - text.data);
    wrong = check_local((struct span){text.data, local});
    return wrong ? wrong : ring_check_domain((struct span){at + 1, text.len - local - 1}, utf8, domain);
}

static bool parse_port(struct span text, uint16_t *port)
{
    uint32_t value = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (text.data[i] - '0');
    }
    *port = (uint16_t)value;
    return value >= 1 && value <= 65535;
}

const char *ring_check_next_hop(struct span text, struct ring_name *host, uint16_t *port)
{
    struct span name = text;
    *port = 25;
    if (text.len > RING_NEXT_HOP_MAX)
        return "is too long";
    const uint8_t *bracket = text.len && text.data[0] == '[' ? memchr(text.data, ']', text.len) : NULL;
    const uint8_t *search = bracket ? bracket : text.data;
    const uint8_t *colon = text.len ? memchr(search, ':', text.len - (size_t)(search - text.data)) : NULL;
    if (colon) {
        name.len = (size_t)(colon - text.data);
        if (!parse_port((struct span){colon + 1, text.len - name.len - 1}, port))
            return "has a port that is none: 1 to 65535";
    }
    if (bracket && bracket + 1 != name.data + name.len)
        return "has something between the ] and the port";
    return ring_check_domain(name, false, host);
}

static bool word_is(struct span text, const char *word)
{
    return text.len == strlen(word) && same_word((const char *)text.data, word, text.len);
}

static struct span next_word(struct span *rest, char end)
{
    const uint8_t *at = memchr(rest->data, end, rest->len);
    struct span word = {rest->data, at ? (size_t)(at - rest->data) : rest->len};
    size_t used = word.len + (at != NULL);
    rest->data += used;
    rest->len -= used;
    return word;
}

/* RFC 3461 section 4.1 */
static bool notify_valid(struct span value)
{
    if (word_is(value, "NEVER"))
        return true;
    if (value.len == 0 || value.data[value.len - 1] == ',')
        return false;
    while (value.len) {
        struct span word = next_word(&value, ',');
        if (!word_is(word, "SUCCESS") && !word_is(word, "FAILURE") && !word_is(word, "DELAY"))
            return false;
    }
    return true;
}

/* RFC 3461 section 4.2: addr-type ";" xtext */
static bool orcpt_valid(struct span value)
{
    struct span type = next_word(&value, ';');
    if (type.len == 0 || value.len == 0)
        return false;
    for (size_t i = 0; i < type.len; i++)
        if (!is_alnum(type.data[i]) && type.data[i] != '-')
            return false;
    return !memchr(value.data, '=', value.len);
}

const char *ring_check_dsn(struct span text)
{
    bool notify = false, orcpt = false;
    if (text.len > RING_DSN_MAX)
        return "are too long (RFC 3461 section 4)";
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return "have a character in them that is not printable ASCII";
    while (text.len) {
        struct span value = next_word(&text, ' ');
        struct span key = next_word(&value, '=');
        if (word_is(key, "NOTIFY") && !notify && notify_valid(value))
            notify = true;
        else if (word_is(key, "ORCPT") && !orcpt && orcpt_valid(value))
            orcpt = true;
        else
            return "are not NOTIFY=... and ORCPT=type;address as in RFC 3461";
    }
    return NULL;
}

const char *ring_check_tag(struct span text)
{
    if (text.len > RING_TAG_MAX)
        return "is longer than 63 bytes";
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return "has a character in it that is not printable ASCII";
    return NULL;
}

/* FNV-1a from a seeded start, then splitmix64's finish, as FNV leaves the high bits poor. */
uint32_t ring_lane_of(const struct ring_name *domain, uint64_t seed, uint32_t lanes)
{
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (uint8_t i = 0; i < domain->bytes; i++)
        h = (h ^ (uint8_t)domain->text[i]) * 0x100000001b3u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(((h >> 32) * lanes) >> 32);
}
