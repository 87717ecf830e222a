#include "engine/cli/peer.h"

#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long number = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    if (number == 0 || number > UINT16_MAX || *end)
        return false;
    *port = (uint16_t)number;
    return true;
}

/* Cuts the port, and brackets, off; false when what is left over makes no sense. */
static bool split(char *text, char **address, uint16_t *port)
{
    char *colon = strchr(text, ':');
    *address = text;
    if (*text == '[') {
        char *close = strchr(text, ']');
        if (!close)
            return false;
        *address = text + 1;
        *close = '\0';
        return !close[1] || (close[1] == ':' && parse_port(close + 2, port));
    }
    if (!colon || strchr(colon + 1, ':')) /* an IPv6 address has two at least */
        return true;
    *colon = '\0';
    return parse_port(colon + 1, port);
}

bool peer_parse(const char *text, struct peer *peer, struct error *err)
{
    char copy[IP_ADDR_TEXT_MAX + 16], *address;
    struct ip_addr addr;
    *peer = (struct peer){.port = 0};
    if (strlen(text) < sizeof(copy) && split(strcpy(copy, text), &address, &peer->port) &&
        ip_parse(address, &addr) && !ip_is_nobody(&addr)) {
        ip_format(&addr, peer->address);
        return true;
    }
    return error_set(err,
                     "\"%.60s\" is no receiver's address: write 192.0.2.1, 192.0.2.1:25, 2001:db8::1 or "
                     "[2001:db8::1]:25; of a host name, the address",
                     text);
}
