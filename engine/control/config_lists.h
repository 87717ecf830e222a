/* config_lists.h: readers of the keys that are more than one value, and parsers of texts.  Private to config*.c. */
#ifndef ENGINE_CONTROL_CONFIG_LISTS_H
#define ENGINE_CONTROL_CONFIG_LISTS_H

#include "engine/control/config_reader.h"

/* Readers: base is struct config. */
typedef void config_list_reader(struct config_reader *reader, const config_setting_t *setting, void *base);

config_list_reader config_read_tls, config_read_routes, config_read_allow_networks; /* config_rules.c */
config_list_reader config_read_addresses, config_read_net_routes, config_read_cpus, config_read_feed_users;

/* Parsers: base is struct config; the text itself is stored by the caller. */
typedef bool config_text_parser(void *base, const char *text, struct error *why);

config_text_parser config_parse_rx_faults, config_parse_tx_faults, config_parse_gateway,
    config_parse_gateway6, config_parse_ports, config_parse_helo, config_parse_socket, config_parse_feed_mode,
    config_parse_admin_mode, config_parse_log, config_parse_backend;

/* config_list gives the number of elements of an array or list, or -1 and a complaint. */
int config_list_length(struct config_reader *reader, const config_setting_t *setting, const char *of_what);

/* config_text_element gives the text of an element, NULL and a complaint when it is something else. */
const char *config_text_element(struct config_reader *reader, const config_setting_t *element);

/* config_host_name: a host name in lower or upper case letters, digits, hyphens and dots (RFC 1123 2.1). */
bool config_host_name(const char *text);

#endif
