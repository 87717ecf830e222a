#include "engine/ring/names.h"

#include "engine/ring/plain.h"
#include "engine/ring/punycode.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* What a byte may be, in one look. */
enum {
    C_BAD = 1 << 0,  /* no part of an envelope may hold it: it would end a command, a path or an argument */
    C_8BIT = 1 << 1, /* takes SMTPUTF8 */
    C_SPECIAL = 1 << 2, /* RFC 5322 section 3.2.3: in a local part only when quoted */
    C_NAME = 1 << 3,    /* in a domain's label */
    C_OTHER = 1 << 4,   /* in a local part; dots, too: stray ones are seen in real addresses */
};

static const uint8_t class_of[256] = {
    [0 ... ' '] = C_BAD,      [0x7f] = C_BAD,           ['<'] = C_BAD,           ['>'] = C_BAD,
    [0x80 ... 0xff] = C_8BIT, ['('] = C_SPECIAL,        [')'] = C_SPECIAL,       ['['] = C_SPECIAL,
    [']'] = C_SPECIAL,        [':'] = C_SPECIAL,        [';'] = C_SPECIAL,       ['@'] = C_SPECIAL,
    ['\\'] = C_SPECIAL,       [','] = C_SPECIAL,        ['"'] = C_SPECIAL,       ['0' ... '9'] = C_NAME,
    ['A' ... 'Z'] = C_NAME,   ['a' ... 'z'] = C_NAME,   ['-'] = C_NAME,          ['_'] = C_NAME,
    ['!'] = C_OTHER,          ['#' ... '\''] = C_OTHER, ['*' ... '+'] = C_OTHER, ['.' ... '/'] = C_OTHER,
    ['='] = C_OTHER,          ['?'] = C_OTHER,          ['^'] = C_OTHER,         ['`'] = C_OTHER,
    ['{' ... '~'] = C_OTHER,
};

static uint8_t classes_in(struct span text)
{
    uint8_t all = 0;
    for (size_t i = 0; i < text.len; i++)
        all |= class_of[text.data[i]];
    return all;
}

static char lower(uint8_t c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
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

static const char *name_bad_byte(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == 0)
            return "has a NUL in it";
        if (text.data[i] == '\r' || text.data[i] == '\n')
            return "has a CR or LF in it";
        if (text.data[i] == '<' || text.data[i] == '>')
            return "has an angle bracket in it: give the address alone";
        if (class_of[text.data[i]] & C_BAD)
            break;
    }
    return "has a space or a control character in it";
}

static const char *check_bytes(struct span text, uint8_t classes, bool utf8)
{
    if (likely(!(classes & (C_BAD | C_8BIT))))
        return NULL;
    if (classes & C_BAD)
        return name_bad_byte(text);
    if (!utf8)
        return "is not ASCII: that takes SMTPUTF8";
    return ring_utf8_valid(text) ? NULL : "is not valid UTF-8";
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

/* A U-label becomes an A-label; RFC 5890 has it normalised and in lower case already. */
static bool append_u_label(struct span label, struct ring_name *name)
{
    for (size_t i = 0; i < label.len; i++)
        if (!(class_of[label.data[i]] & (C_NAME | C_8BIT)))
            return false;
    size_t bytes = ring_punycode_label(label, name->text + name->bytes, RING_DOMAIN_MAX - name->bytes);
    name->bytes = (uint8_t)(name->bytes + bytes);
    return bytes > 0;
}

static bool append_label(struct span label, struct ring_name *name)
{
    uint8_t all = classes_in(label);
    if (label.len == 0 || label.len > 4 * 63)
        return false;
    if (all & C_8BIT)
        return append_u_label(label, name);
    if (all != C_NAME || label.len > 63 || label.len > RING_DOMAIN_MAX - name->bytes)
        return false;
    for (size_t i = 0; i < label.len; i++)
        name->text[name->bytes++] = lower(label.data[i]);
    return true;
}

static const char *check_name(struct span text, struct ring_name *domain)
{
    static const char bad[] =
        "has a domain that is none: letters, digits and hyphens in labels of at most 63, with dots between";
    static const char too_long[] = "has a domain that is too long (RFC 5321 section 4.5.3.1.2)";
    domain->bytes = 0;
    for (size_t start = 0, end; start <= text.len; start = end + 1) {
        for (end = start; end < text.len && text.data[end] != '.';)
            end++;
        if (!append_label((struct span){text.data + start, end - start}, domain))
            return text.len > RING_DOMAIN_MAX ? too_long : bad;
        if (end == text.len)
            break;
        if (domain->bytes >= RING_DOMAIN_MAX)
            return too_long;
        domain->text[domain->bytes++] = '.';
    }
    domain->text[domain->bytes] = 0;
    return NULL;
}

static const char *check_destination(struct span text, struct ring_name *domain)
{
    if (text.len == 0)
        return "has an empty domain";
    if (text.data[0] == '[')
        return check_literal(text, domain);
    return check_name(text, domain);
}

const char *ring_check_domain(struct span text, bool utf8, struct ring_name *domain)
{
    if (likely(plain_domain(text, domain)))
        return NULL;
    const char *wrong = check_bytes(text, classes_in(text), utf8);
    return wrong ? wrong : check_destination(text, domain);
}

static const char *check_quoted(struct span local)
{
    for (size_t i = 1; i < local.len; i++) {
        if (local.data[i] == '"')
            return i == local.len - 1 ? NULL : "has a quotation mark in its quoted local part";
        if (local.data[i] == '\\')
            i++;
    }
    return "has a local part whose quotation does not end";
}

/* RFC 5321 section 4.1.2: a quoted string, or atoms. */
static const char *check_local(struct span local, uint8_t classes)
{
    if (local.len == 0)
        return "has nothing in front of the @";
    if (local.len > RING_LOCAL_MAX)
        return "has a local part of more than 64 bytes (RFC 5321 section 4.5.3.1.1)";
    if (local.data[0] == '"')
        return check_quoted(local);
    return classes & C_SPECIAL ? "has a special character in front of the @ that is not quoted" : NULL;
}

const char *ring_check_local(struct span text, bool utf8)
{
    if (likely(plain_local(text)))
        return NULL;
    uint8_t classes = classes_in(text);
    const char *wrong = check_bytes(text, classes, utf8);
    return wrong ? wrong : check_local(text, classes);
}

static const char *check_address(struct span text, bool utf8, struct ring_name *domain)
{
    const uint8_t *at = text.len ? memrchr(text.data, '@', text.len) : NULL;
    struct span local = {text.data, at ? (size_t)(at - text.data) : text.len};
    struct span host = {local.data + local.len, text.len - local.len};
    uint8_t classes = classes_in(local);
    const char *wrong = check_bytes(text, classes | classes_in(host), utf8);
    if (wrong)
        return wrong;
    if (text.len > RING_ADDRESS_MAX)
        return "is longer than 254 bytes (RFC 5321 section 4.5.3.1.3)";
    if (!at)
        return text.len ? "has no @ in it" : "is empty";
    wrong = check_local(local, classes);
    return wrong ? wrong : check_destination((struct span){host.data + 1, host.len - 1}, domain);
}

const char *ring_check_address(struct span text, bool utf8, struct ring_name *domain)
{
    return likely(plain_address(text, domain)) ? NULL : check_address(text, utf8, domain);
}

noinline const char *ring_check_unknown(struct ring_known *known, struct span text, bool utf8)
{
    struct ring_name ignored;
    const char *wrong = ring_check_address(text, utf8, &ignored);
    if (wrong)
        return wrong;
    known->bytes = (uint8_t)text.len;
    known->utf8 = utf8;
    bytes_copy(known->text, text.data, text.len);
    return NULL;
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
        if (!(class_of[type.data[i]] & C_NAME))
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

/* Eight bytes a multiplication, then splitmix64's finish: lanes, not secrets. */
uint32_t ring_lane_of(const struct ring_name *domain, uint64_t seed, uint32_t lanes)
{
    if (lanes == 1)
        return 0;
    uint64_t h = seed ^ domain->bytes, word;
    size_t i = 0;
    for (; i + sizeof(word) <= domain->bytes; i += sizeof(word)) {
        memcpy(&word, domain->text + i, sizeof(word));
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    static_assert(RING_DOMAIN_MAX / sizeof(word) * sizeof(word) + sizeof(word) <= sizeof(domain->text),
                  "room");
    memcpy(&word, domain->text + i, sizeof(word));
    word &= (1ull << 8 * (domain->bytes - i)) - 1;
    h = (h ^ word) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(((h >> 32) * lanes) >> 32);
}
