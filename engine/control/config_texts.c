/* Parsers of texts that mean more than themselves. */
#include "engine/control/config_lists.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

bool config_parse_rx_faults(void *base, const char *text, struct error *why)
{
    struct config *config = base;
    memset(&config->port.rx_faults, 0, sizeof(config->port.rx_faults));
    return !*text || port_fault_parse(text, &config->port.rx_faults, why);
}

bool config_parse_tx_faults(void *base, const char *text, struct error *why)
{
    struct config *config = base;
    memset(&config->port.tx_faults, 0, sizeof(config->port.tx_faults));
    return !*text || port_fault_parse(text, &config->port.tx_faults, why);
}

bool config_parse_gateway(void *base, const char *text, struct error *why)
{
    struct config *config = base;
    if (*text && (!ip_parse(text, &config->net_gateway) || !ip_is_v4(&config->net_gateway)))
        return error_set(why, "\"%.60s\" is not an IPv4 address: write it like \"192.0.2.1\"", text);
    return true;
}

bool config_parse_gateway6(void *base, const char *text, struct error *why)
{
    struct config *config = base;
    if (*text && (!ip_parse(text, &config->net_gateway6) || ip_is_v4(&config->net_gateway6)))
        return error_set(why, "\"%.60s\" is not an IPv6 address: write it like \"fe80::1\"", text);
    return true;
}

/* One port number; false when there is none or it is none. */
static bool parse_port(const char *text, const char **end, uint16_t *port)
{
    unsigned long value = 0;
    const char *p = text;
    for (; isdigit((unsigned char)*p) && p - text < 5; p++)
        value = value * 10 + (unsigned long)(*p - '0');
    *end = p;
    *port = (uint16_t)value;
    return p != text && value > 0 && value <= UINT16_MAX;
}

bool config_parse_ports(void *base, const char *text, struct error *why)
{
    struct config *config = base;
    const char *p;
    uint16_t first, last;
    if (!parse_port(text, &p, &first) || *p != '-' || !parse_port(p + 1, &p, &last) || *p)
        return error_set(why, "\"%.60s\" is no range of ports: write it like \"1024-65535\"", text);
    if (first < 1024 || first > last)
        return error_set(why,
                         "%u-%u is no usable range: the first must be at least 1024 and not above the last",
                         first, last);
    config->net.port_first = first;
    config->net.port_last = last;
    return true;
}

static bool host_label(const char *label, size_t len)
{
    if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)label[i]) && label[i] != '-')
            return false;
    return true;
}

bool config_host_name(const char *text)
{
    if (strlen(text) > 253)
        return false;
    for (;;) {
        size_t len = strcspn(text, ".");
        if (!host_label(text, len))
            return false;
        if (!text[len])
            return true;
        text += len + 1;
    }
}

bool config_parse_helo(void *base, const char *text, struct error *why)
{
    (void)base;
    struct ip_addr addr;
    size_t len = strlen(text);
    if (!*text || config_host_name(text))
        return true;
    char inner[IP_ADDR_TEXT_MAX] = "";
    if (text[0] == '[' && text[len - 1] == ']' &&
        len - 2 < sizeof(inner)) /* RFC 5321 4.1.3 address literal */
        memcpy(inner, text + 1, len - 2);
    if (ip_parse(strncmp(inner, "IPv6:", 5) == 0 ? inner + 5 : inner, &addr))
        return true;
    return error_set(
        why,
        "\"%.60s\" is no host name: letters, digits, hyphens and dots, or an address literal \"[192.0.2.1]\"",
        text);
}

bool config_parse_socket(void *base, const char *text, struct error *why)
{
    (void)base;
    if (*text && *text != '/')
        return error_set(why, "\"%.60s\" is no absolute path: begin it with a slash", text);
    return true;
}

static bool parse_mode(const char *text, uint32_t *mode, struct error *why)
{
    char *end;
    unsigned long value = strtoul(text, &end, 8);
    if (!isdigit((unsigned char)*text) || *end || value > 0777)
        return error_set(why, "\"%.60s\" is no mode: write it in octal, like \"0660\"", text);
    *mode = (uint32_t)value;
    return true;
}

bool config_parse_feed_mode(void *base, const char *text, struct error *why)
{
    return parse_mode(text, &((struct config *)base)->feed.mode, why);
}

bool config_parse_admin_mode(void *base, const char *text, struct error *why)
{
    return parse_mode(text, &((struct config *)base)->run.admin_mode, why);
}

bool config_parse_log(void *base, const char *text, struct error *why)
{
    (void)base;
    if (strcmp(text, "stderr") != 0 && strcmp(text, "syslog") != 0 && *text != '/')
        return error_set(
            why, "\"%.60s\" is no place for a log: allowed are \"stderr\", \"syslog\" or an absolute path",
            text);
    return true;
}

/* What is named behind the colon is looked for at start, not here: another machine may check the file. */
bool config_parse_backend(void *base, const char *text, struct error *why)
{
    static const char *const plain[] = {"auto", "crypto_mb", "libcrypto"};
    static const char *const named[] = {"engine:", "cryptodev:"};
    (void)base;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (strcmp(text, plain[i]) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        size_t len = strlen(named[i]);
        if (strncmp(text, named[i], len) == 0 && text[len])
            return true;
    }
    return error_set(why,
                     "\"%.60s\" computes nothing: allowed are \"auto\", \"crypto_mb\", \"libcrypto\", "
                     "\"engine:\" with an OpenSSL engine's id, \"cryptodev:\" with a DPDK device",
                     text);
}
