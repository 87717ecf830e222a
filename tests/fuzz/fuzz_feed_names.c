/* Addresses, domains, next hops, DSN parameters and tags: what passes can stand in a command, and stays what it is. */
#include "engine/ring/names.h"
#include "engine/ring/punycode.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check(bool good)
{
    if (!good)
        abort();
}

static bool ends_a_command(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] == 0x7f)
            return true;
    return false;
}

/* The one spelling of a destination is ASCII, and its own spelling. */
static void check_name(const struct ring_name *name)
{
    struct ring_name again;
    struct span text = {(const uint8_t *)name->text, name->bytes};
    check(name->bytes > 0 && name->bytes <= RING_DOMAIN_MAX && strlen(name->text) == name->bytes);
    check(!ring_check_domain(text, false, &again));
    check(again.bytes == name->bytes && memcmp(again.text, name->text, name->bytes) == 0);
    check(ring_lane_of(name, 7, 5) < 5);
}

static void judge(struct span text, bool utf8)
{
    struct ring_name name;
    uint16_t port;
    if (!ring_check_address(text, utf8, &name)) {
        check(!ends_a_command(text) && !memchr(text.data, '<', text.len) &&
              !memchr(text.data, ' ', text.len));
        check(utf8 ? ring_utf8_valid(text) : text.len <= RING_ADDRESS_MAX);
        check_name(&name);
    }
    if (!ring_check_domain(text, utf8, &name))
        check_name(&name);
    if (!ring_check_next_hop(text, &name, &port)) {
        check(port > 0 && !ends_a_command(text));
        check_name(&name);
    }
    if (!ring_check_dsn(text))
        check(!ends_a_command(text) && text.len <= RING_DSN_MAX);
    if (!ring_check_tag(text))
        check(!ends_a_command(text) && text.len <= RING_TAG_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char label[64];
    struct span text = {data, size};
    judge(text, false);
    judge(text, true);
    if (ring_utf8_valid(text))
        check(ring_punycode_label(text, label, sizeof(label)) <= 63);
    return 0;
}
