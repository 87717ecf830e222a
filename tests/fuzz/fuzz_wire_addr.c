/* fuzz_wire_addr.c: addresses and prefixes as text: what is read prints, and reads back the same. */
#include "engine/wire/addr.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void fuzz_addr(const char *text)
{
    struct ip_addr addr, back;
    char out[IP_ADDR_TEXT_MAX];
    if (!ip_parse(text, &addr))
        return;
    CHECK(ip_parse(ip_format(&addr, out), &back));
    CHECK(ip_equal(&addr, &back));
    (void)ip_is_special(&addr);
}

static void fuzz_net(const char *text)
{
    struct ip_net net;
    if (!ip_net_parse(text, &net))
        return;
    CHECK(net.prefix_bits <= 128);
    CHECK(ip_net_contains(&net, &net.addr));
    struct ip_addr outside = net.addr;
    if (net.prefix_bits == 0)
        return;
    outside.b[(net.prefix_bits - 1) / 8] ^= (uint8_t)(0x80u >> (net.prefix_bits - 1) % 8);
    CHECK(!ip_net_contains(&net, &outside));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    CHECK(text);
    memcpy(text, data, size);
    text[size] = '\0';
    fuzz_addr(text);
    fuzz_net(text);
    free(text);
    return 0;
}
