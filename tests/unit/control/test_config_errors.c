/* Every kind of mistake in a configuration, with the line and the message that it gets. */
#include "engine/control/config.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>
#include <unistd.h>

#define PORT "port={device=\"net_af_packet0,iface=lo\";};\n"
#define NET  "net={addresses=[\"192.0.2.10/24\"];gateway=\"192.0.2.1\";};\n"
#define SMTP "smtp={helo-name=\"out.example.com\";};\n"

struct mistake {
    const char *name, *text, *message;
    const char *set;  /* --set, or NULL */
    const char *also; /* the second message, or NULL: there is just one */
};

static const struct mistake mistakes[] = {
    {.name = "syntax",
     .text = PORT NET SMTP "limits = { connections = ; };\n",
     .message =
         "x.conf:4: syntax error: look there and at the end of the line before for a missing quote, bracket or semicolon"},
    {.name = "include_in_text",
     .text = "@include \"other.conf\"\n",
     .message =
         "x.conf:1: @include is not possible here: look there and at the end of the line before for a missing quote, bracket "
         "or semicolon"},
    {.name = "duplicate_key",
     .text = PORT NET SMTP "limits = { recipients = 1;\nrecipients = 2; };\n",
     .message =
         "x.conf:5: duplicate setting name: look there and at the end of the line before for a missing quote, bracket or "
         "semicolon"},
    {.name = "unknown_section",
     .text = PORT NET SMTP "bananas = 3;\n",
     .message =
         "x.conf:4: bananas: unknown key: known here are port, net, cores, memory, limits, tcp, smtp, crypto, feed, run, tls, "
         "route, allow-networks"},
    {.name = "misspelt_section",
     .text = PORT NET SMTP "limit = { };\n",
     .message = "x.conf:4: limit: unknown key: did you mean limits?"},
    {.name = "unknown_key",
     .text = PORT NET SMTP "cores = { bananas = 3; };\n",
     .message = "x.conf:4: cores.bananas: unknown key: known here are cpus, idle, sleep-us"},
    {.name = "misspelt_key",
     .text = PORT NET SMTP "limits = {\n  conections = 3;\n};\n",
     .message = "x.conf:5: limits.conections: unknown key: did you mean connections?"},
    {.name = "unknown_key_in_rule",
     .text = PORT NET SMTP "tls = ( { match = \"*\";\n leve = \"verify\"; } );\n",
     .message = "x.conf:5: tls[0].leve: unknown key: did you mean level?"},
    {.name = "section_is_number",
     .text = PORT NET SMTP "limits = 3;\n",
     .message = "x.conf:4: limits: must be a group { ... }, not a number"},
    {.name = "number_is_text",
     .text = PORT NET SMTP "limits = { recipients = \"many\"; };\n",
     .message = "x.conf:4: limits.recipients: must be a whole number, not a text in quotes"},
    {.name = "number_is_fraction",
     .text = PORT NET SMTP "limits = { idle-connection-s = 1.5; };\n",
     .message =
         "x.conf:4: limits.idle-connection-s: must be a whole number of seconds, not a number with a fraction"},
    {.name = "number_too_small",
     .text = PORT NET SMTP "limits = { connections = 0; };\n",
     .message = "x.conf:4: limits.connections: 0 is out of range: allowed are 1 to 1048576"},
    {.name = "number_negative",
     .text = PORT NET SMTP "limits = { connections = -5; };\n",
     .message = "x.conf:4: limits.connections: -5 is out of range: allowed are 1 to 1048576"},
    {.name = "number_too_large",
     .text = PORT NET SMTP "limits = { message-bytes = 99999999999999L; };\n",
     .message =
         "x.conf:4: limits.message-bytes: 99999999999999 is out of range: allowed are 1024 to 4294967296 bytes"},
    {.name = "bool_is_number",
     .text = PORT NET SMTP "tcp = { sack = 1; };\n",
     .message = "x.conf:4: tcp.sack: must be true or false, not a number"},
    {.name = "ecn_is_bool",
     .text = PORT NET SMTP "tcp = { ecn = true; };\n",
     .message = "x.conf:4: tcp.ecn: must be one of \"off\", \"accept\", \"on\", not true or false"},
    {.name = "choice_unknown",
     .text = PORT NET SMTP "cores = { idle = \"doze\"; };\n",
     .message = "x.conf:4: cores.idle: \"doze\" is not known: allowed are \"poll\", \"sleep\""},
    {.name = "choice_is_bool",
     .text = PORT NET SMTP "memory = { huge = true; };\n",
     .message = "x.conf:4: memory.huge: must be one of \"auto\", \"require\", \"no\", not true or false"},
    {.name = "text_is_list",
     .text = PORT NET SMTP "run = { user = (\"a\"); };\n",
     .message = "x.conf:4: run.user: must be a text in quotes, not a list ( ... )"},
    {.name = "text_with_line_break",
     .text = PORT NET SMTP "run = { user = \"a\\nb\"; };\n",
     .message = "x.conf:4: run.user: holds a line break: write it on one line"},
    {.name = "text_too_long",
     .text = PORT NET SMTP
     "run = { admin-socket = \"/2345678901234567890123456789012345678901234567890123456789012"
     "3456789012345678901234567890123456789012345678901234567890\"; };\n",
     .message = "x.conf:4: run.admin-socket: is 120 bytes long: at most 107 are possible"},
    {.name = "no_device",
     .text = NET SMTP,
     .message =
         "x.conf: port.device is missing: name a DPDK device: \"net_af_packet0,iface=eth1\" or a PCI address"},
    {.name = "device_empty",
     .text = NET SMTP "port = { device = \"\"; };\n",
     .message =
         "x.conf:3: port.device: is empty: name a DPDK device: \"net_af_packet0,iface=eth1\" or a PCI address"},
    {.name = "bad_faults",
     .text = NET SMTP "port = { device = \"x\"; rx-faults = \"loss=1%\"; };\n",
     .message =
         "x.conf:3: port.rx-faults: faults: \"loss=1%\": the keys are drop, duplicate, reorder, corrupt, hold, "
         "delay, jitter, rate, queue and seed"},
    {.name = "mtu_too_small",
     .text = NET SMTP "port = { device = \"x\"; mtu = 500; };\n",
     .message = "x.conf:3: port.mtu: 500 is too small: allowed are 0 and 576 to 9600"},

    {.name = "no_addresses",
     .text = PORT SMTP,
     .message = "x.conf: net.addresses: is missing: name our own addresses, like [\"192.0.2.1/24\"]"},
    {.name = "address_without_prefix",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1\"];};\n",
     .message =
         "x.conf:3: net.addresses[0]: \"192.0.2.1\" is no address with its network: write it like \"192.0.2.1/24\""},
    {.name = "address_is_name",
     .text = PORT SMTP "net={addresses=[\"host/24\"];};\n",
     .message =
         "x.conf:3: net.addresses[0]: \"host/24\" is no address with its network: write it like \"192.0.2.1/24\""},
    {.name = "address_prefix_too_long",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/33\"];};\n",
     .message =
         "x.conf:3: net.addresses[0]: \"192.0.2.1/33\" is no address with its network: write it like \"192.0.2.1/24\""},
    {.name = "address_twice",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\",\n\"192.0.2.1/24\"];};\n",
     .message = "x.conf:4: net.addresses[1]: \"192.0.2.1/24\" stands here twice: name each address once"},
    {.name = "address_is_network",
     .text = PORT SMTP "net={addresses=[\"192.0.2.0/24\"];};\n",
     .message =
         "x.conf:3: net.addresses: 192.0.2.0 is no address of a host in its network: it is the network's own, broadcast, "
         "loopback, link-local or multicast"},
    {.name = "address_is_broadcast",
     .text = PORT SMTP "net={addresses=[\"192.0.2.255/24\"];};\n",
     .message =
         "x.conf:3: net.addresses: 192.0.2.255 is no address of a host in its network: it is the network's own, broadcast, "
         "loopback, link-local or multicast"},
    {.name = "addresses_are_text",
     .text = PORT SMTP "net={addresses=\"192.0.2.1/24\";};\n",
     .message = "x.conf:3: net.addresses: must be a list of addresses, not a text in quotes"},
    {.name = "gateway_off_link",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];\ngateway=\"198.51.100.1\";};\n",
     .message =
         "x.conf:4: net.gateway: 198.51.100.1 is not on our link: no network of net.addresses holds it"},
    {.name = "gateway_is_us",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];\ngateway=\"192.0.2.1\";};\n",
     .message = "x.conf:4: net.gateway: 192.0.2.1 is our own address: name the router's"},
    {.name = "gateway_is_name",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];\ngateway=\"router\";};\n",
     .message = "x.conf:4: net.gateway: \"router\" is not an IPv4 address: write it like \"192.0.2.1\""},
    {.name = "gateway_of_the_other_family",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];\ngateway=\"fe80::1\";};\n",
     .message = "x.conf:4: net.gateway: \"fe80::1\" is not an IPv4 address: write it like \"192.0.2.1\""},
    {.name = "gateway6_is_v4",
     .text = PORT SMTP "net={addresses=[\"2001:db8::2/64\"];\ngateway6=\"192.0.2.1\";};\n",
     .message = "x.conf:4: net.gateway6: \"192.0.2.1\" is not an IPv6 address: write it like \"fe80::1\""},
    {.name = "gateway6_off_link",
     .text = PORT SMTP "net={addresses=[\"2001:db8::2/64\"];\ngateway6=\"2001:db8:1::1\";};\n",
     .message =
         "x.conf:4: net.gateway6: 2001:db8:1::1 is not on our link: no network of net.addresses holds it"},
    {.name = "gateway6_without_ipv6",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];\ngateway6=\"fe80::1\";};\n",
     .message = "x.conf:4: net.gateway6: fe80::1 is not on our link: no network of net.addresses holds it"},
    {.name = "address_of_any_router",
     .text = PORT SMTP "net={\naddresses=[\"2001:db8::/64\"];};\n",
     .message =
         "x.conf:4: net.addresses: 2001:db8:: is no address of a host in its network: it is the network's own, "
         "broadcast, loopback, link-local or multicast"},
    {.name = "address_link_local",
     .text = PORT SMTP "net={\naddresses=[\"fe80::7/64\"];};\n",
     .message =
         "x.conf:4: net.addresses: fe80::7 is no address of a host in its network: it is the network's own, "
         "broadcast, loopback, link-local or multicast"},
    {.name = "mtu_too_small_for_ipv6",
     .text = "port={device=\"net_af_packet0,iface=eth1\";\nmtu=1200;};\n" SMTP
             "net={addresses=[\"2001:db8::2/64\"];};\n",
     .message = "x.conf:2: port.mtu: 1200 is too small for IPv6, which takes 1280 at least (RFC 8200 5)"},
    {.name = "route_of_mixed_families",
     .text = PORT SMTP
     "net={addresses=[\"192.0.2.1/24\"];\nroutes=({to=\"2001:db8::/32\";gateway=\"192.0.2.2\";});};\n",
     .message = "x.conf:4: net.routes[0]: gateway: \"192.0.2.2\" is not of the family of \"2001:db8::/32\""},
    {.name = "route_host_bits",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];\nroutes=({to=\"198.51.100.1/24\";});};\n",
     .message =
         "x.conf:4: net.routes[0]: to: \"198.51.100.1/24\" is no network: write it like \"198.51.100.0/24\", host bits zero"},
    {.name = "route_without_to",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];\nroutes=({gateway=\"192.0.2.2\";});};\n",
     .message =
         "x.conf:4: net.routes[0]: to is missing: the network that is reached so: \"198.51.100.0/24\""},
    {.name = "route_gateway_off_link",
     .text = PORT SMTP
     "net={addresses=[\"192.0.2.1/24\"];\nroutes=({to=\"198.51.100.0/24\";gateway=\"203.0.113.1\";});};\n",
     .message =
         "x.conf:4: net.routes: gateway 203.0.113.1 is not on our link: no network of net.addresses holds it"},
    {.name = "ports_no_range",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];source-ports=\"2000\";};\n",
     .message = "x.conf:3: net.source-ports: \"2000\" is no range of ports: write it like \"1024-65535\""},
    {.name = "ports_privileged",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];source-ports=\"25-2000\";};\n",
     .message =
         "x.conf:3: net.source-ports: 25-2000 is no usable range: the first must be at least 1024 and not above the last"},
    {.name = "ports_too_few",
     .text = PORT SMTP "net={addresses=[\"192.0.2.1/24\"];source-ports=\"2000-2009\";};\n",
     .message =
         "x.conf:3: net.source-ports: has 10 ports for each of 1 cores and 1 addresses: too few for 20 connections to one "
         "destination; widen it or lower limits.connections-per-destination"},

    {.name = "cores_zero",
     .text = PORT NET SMTP "cores={cpus=0;};\n",
     .message = "x.conf:4: cores.cpus: 0 cores are not possible: allowed are 1 to 64"},
    {.name = "cores_none",
     .text = PORT NET SMTP "cores={cpus=[];};\n",
     .message = "x.conf:4: cores.cpus: 0 cores are not possible: allowed are 1 to 64"},
    {.name = "cpu_is_text",
     .text = PORT NET SMTP "cores={cpus=[\"0\"];};\n",
     .message = "x.conf:4: cores.cpus[0]: must be the number of a CPU, not a text in quotes"},
    {.name = "cpu_negative",
     .text = PORT NET SMTP "cores={cpus=[-1];};\n",
     .message = "x.conf:4: cores.cpus[0]: -1 is no CPU: allowed are 0 to 4095"},
    {.name = "cpu_shared_by_polling",
     .text = NET SMTP "port={device=\"x\";};\ncores={cpus=[0, 0];};\n",
     .message =
         "x.conf:4: cores.cpus: puts two polling cores on CPU 0, where they would starve each other: name different CPUs, or "
         "set cores.idle to \"sleep\""},
    {.name = "cores_without_queues",
     .text = PORT NET SMTP "cores={cpus=[0, 1];};\n",
     .message =
         "x.conf:1: port.device: gives 1 queue and cores.cpus names 2 cores: each core polls one queue of its own; add qpairs=2"},
    {.name = "queues_without_cores",
     .text = "port={device=\"net_af_packet0,iface=lo,qpairs=4\";};\n" NET SMTP,
     .message =
         "x.conf:1: port.device: gives 4 queues and cores.cpus names 1 core: each core polls one queue of its own; add qpairs=1"},
    {.name = "xdp_queues",
     .text = "port={device=\"net_af_xdp0,iface=lo\";};\n" NET SMTP "cores={cpus=[0, 1];};\n",
     .message =
         "x.conf:1: port.device: gives 1 queue and cores.cpus names 2 cores: each core polls one queue of its own; add "
         "queue_count=2"},

    {.name = "buffers_too_few",
     .text = "port={device=\"x\";\nbuffers=1000;};\n" NET SMTP,
     .message =
         "x.conf:2: port.buffers: 1000 are too few: 1024 + 1024 descriptors, 512 control buffers and 2 for each of 4096 "
         "connections take 10752; raise it or lower limits.connections"},
    {.name = "memory_too_small",
     .text = PORT NET SMTP "memory={megabytes=16;};\n",
     .message =
         "x.conf:4: memory.megabytes: 16 are too few: the packet buffers of 1 cores take 37; set at least 69, or 0"},
    {.name = "more_to_one_than_in_all",
     .text = PORT NET SMTP "limits={connections=10;};\n",
     .message =
         "x.conf: limits.connections-per-destination: 20 is more than limits.connections, which is 10"},
    {.name = "envelope_too_small",
     .text = PORT NET SMTP "limits={envelope-bytes=2048; recipients=1000;};\n",
     .message =
         "x.conf:4: limits.envelope-bytes: 2048 cannot hold 1000 recipients: raise it or lower limits.recipients"},
    {.name = "rto_upside_down",
     .text = PORT NET SMTP "tcp={rto-min-ms=5000; rto-max-ms=1000;};\n",
     .message = "x.conf:4: tcp.rto-min-ms: is above tcp.rto-max-ms: 5000 and 1000"},
    {.name = "rto_initial_outside",
     .text = PORT NET SMTP "tcp={rto-initial-ms=100;};\n",
     .message =
         "x.conf:4: tcp.rto-initial-ms: 100 is not between tcp.rto-min-ms and tcp.rto-max-ms: 200 and 60000"},
    {.name = "keepalive_without_patience",
     .text = PORT NET SMTP "tcp={keepalive-s=7200; keepalive-probes=1;};\n",
     .message = "x.conf:4: tcp.keepalive-probes: 1 is out of range: allowed are 2 to 100"},
    {.name = "send_buffer_small",
     .text = "port={device=\"x\"; mtu=9000;};\n" NET SMTP "tcp={send-buffer-bytes=4096;};\n",
     .message = "x.conf:4: tcp.send-buffer-bytes: 4096 is less than two segments of 8960 bytes"},
    {.name = "mss_clamp_below_what_every_host_takes",
     .text = PORT NET SMTP "tcp={mss-clamp=535;};\n",
     .message = "x.conf:4: tcp.mss-clamp: 535 is less than the 536 bytes that every host takes; 0: off"},
    {.name = "slots_no_power_of_two",
     .text = PORT NET SMTP "feed={lane-slots=1000;};\n",
     .message = "x.conf:4: feed.lane-slots: 1000 is no power of two: set 512 or 1024"},
    {.name = "completions_too_few",
     .text = PORT NET SMTP "feed={completion-slots=64;};\n",
     .message =
         "x.conf:4: feed.completion-slots: 64 cannot take the results of a job with limits.recipients = 100"},
    {.name = "arena_too_small",
     .text = PORT NET SMTP "feed={arena-megabytes=10;};\n",
     .message =
         "x.conf:4: feed.arena-megabytes: 10 cannot hold a message of limits.message-bytes = 52428800: raise it to 51"},
    {.name = "sockets_the_same",
     .text = PORT NET SMTP "feed={socket=\"/a\";};\nrun={admin-socket=\"/a\";};\n",
     .message = "x.conf:5: run.admin-socket: is the same as feed.socket: give them different paths"},
    {.name = "socket_relative",
     .text = PORT NET SMTP "feed={socket=\"feed.sock\";};\n",
     .message = "x.conf:4: feed.socket: \"feed.sock\" is no absolute path: begin it with a slash"},
    {.name = "mode_not_octal",
     .text = PORT NET SMTP "feed={mode=\"0690\";};\n",
     .message = "x.conf:4: feed.mode: \"0690\" is no mode: write it in octal, like \"0660\""},
    {.name = "user_unknown",
     .text = PORT NET SMTP "feed={users=({user=\"no-such-user\";});};\n",
     .message =
         "x.conf:4: feed.users[0]: user: there is no user \"no-such-user\" on this machine: create it or give a number"},
    {.name = "user_twice",
     .text = PORT NET SMTP "feed={users=({user=\"1000\";},\n{user=\"1000\";});};\n",
     .message = "x.conf:5: feed.users[1]: user: \"1000\" stands here twice: name each user once"},
    {.name = "user_may_too_much",
     .text = PORT NET SMTP "feed={users=({user=\"1000\"; message-bytes=99999999;});};\n",
     .message =
         "x.conf:4: feed.users: \"1000\" may submit messages of 99999999 bytes, more than limits.message-bytes"},
    {.name = "helo_bad",
     .text = PORT NET "smtp={helo-name=\"not a name\";};\n",
     .message =
         "x.conf:3: smtp.helo-name: \"not a name\" is no host name: letters, digits, hyphens and dots, or an address literal "
         "\"[192.0.2.1]\""},
    {.name = "log_nowhere",
     .text = PORT NET SMTP "run={log=\"stdout\";};\n",
     .message =
         "x.conf:4: run.log: \"stdout\" is no place for a log: allowed are \"stderr\", \"syslog\" or an absolute path"},
    {.name = "backend_unknown",
     .text = PORT NET SMTP "crypto={backend=\"qat\";};\n",
     .message = "x.conf:4: crypto.backend: \"qat\" computes nothing: allowed are \"auto\", \"crypto_mb\", "
                "\"libcrypto\", \"engine:\" with an OpenSSL engine's id, \"cryptodev:\" with a DPDK device"},
    {.name = "backend_without_name",
     .text = PORT NET SMTP "crypto={backend=\"engine:\";};\n",
     .message =
         "x.conf:4: crypto.backend: \"engine:\" computes nothing: allowed are \"auto\", \"crypto_mb\", "
         "\"libcrypto\", \"engine:\" with an OpenSSL engine's id, \"cryptodev:\" with a DPDK device"},
    {.name = "backend_and_engine",
     .text = PORT NET SMTP "crypto={engine=\"qatengine\";\nbackend=\"engine:qatengine\";};\n",
     .message =
         "x.conf:5: crypto.backend: an engine computes in batches or, as crypto.engine, inside sessions: leave "
         "one out"},
    {.name = "backend_require_auto",
     .text = PORT NET SMTP "crypto={backend-require=true;};\n",
     .message = "x.conf:4: crypto.backend-require: says nothing without a crypto.backend or crypto.engine"},
    {.name = "async_without_engine",
     .text = PORT NET SMTP "crypto={async=true;};\n",
     .message =
         "x.conf:4: crypto.async: needs an engine that works asynchronously: name it in crypto.engine"},

    {.name = "tls_is_group",
     .text = PORT NET SMTP "tls={match=\"*\";};\n",
     .message = "x.conf:4: tls: must be a list of rules { match; level; ... }, not a group { ... }"},
    {.name = "tls_element_is_text",
     .text = PORT NET SMTP "tls=(\"*\");\n",
     .message = "x.conf:4: tls[0]: must be a group { ... }, not a text in quotes"},
    {.name = "tls_level_none",
     .text = PORT NET SMTP "tls=({match=\"*\";level=\"none\";});\n",
     .message =
         "x.conf:4: tls[0].level: \"none\" is not known: allowed are \"encrypt\", \"verify\", \"secure\""},
    {.name = "tls_level_may",
     .text = PORT NET SMTP "tls=({match=\"*\";level=\"may\";});\n",
     .message =
         "x.conf:4: tls[0].level: \"may\" is not known: allowed are \"encrypt\", \"verify\", \"secure\""},
    {.name = "tls_version_1_1",
     .text = PORT NET SMTP "tls=({match=\"*\";min-version=\"1.1\";});\n",
     .message = "x.conf:4: tls[0].min-version: \"1.1\" is not known: allowed are \"1.2\", \"1.3\""},
    {.name = "tls_without_match",
     .text = PORT NET SMTP "tls=({level=\"verify\";});\n",
     .message =
         "x.conf:4: tls[0]: match is missing: \"example.org\", \".example.org\" for all below it, \"[192.0.2.1]\" or \"*\""},
    {.name = "tls_bad_pattern",
     .text = PORT NET SMTP "tls=({match=\"*.example.org\";});\n",
     .message =
         "x.conf:4: tls[0]: match: \"*.example.org\" is no pattern: write \"example.org\", \".example.org\", \"[192.0.2.1]\" or "
         "\"*\""},
    {.name = "tls_trailing_dot",
     .text = PORT NET SMTP "tls=({match=\"example.org.\";});\n",
     .message =
         "x.conf:4: tls[0]: match: \"example.org.\" is no pattern: write \"example.org\", \".example.org\", \"[192.0.2.1]\" or "
         "\"*\"; without the dot at the end"},
    {.name = "tls_twice",
     .text = PORT NET SMTP "tls=({match=\"example.org\";},\n{match=\"EXAMPLE.org\";});\n",
     .message = "x.conf:5: tls[1]: match: there is a rule for \"example.org\" already: join the two"},
    {.name = "tls_names_with_encrypt",
     .text = PORT NET SMTP "tls=({match=\"*\";level=\"encrypt\";names=[\"hostname\"];});\n",
     .message =
         "x.conf:4: tls[0]: level encrypt proves no name and no chain: use verify or secure, or leave out names"},
    {.name = "tls_ca_with_encrypt",
     .text = PORT NET SMTP "tls=({match=\"*\";level=\"encrypt\";ca-file=\"/x\";});\n",
     .message =
         "x.conf:4: tls[0]: level encrypt proves no name and no chain: use verify or secure, or leave out ca-file"},
    {.name = "tls_names_too_many",
     .text = PORT NET SMTP
     "tls=({match=\"*\";names=[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"];});\n",
     .message = "x.conf:4: tls[0].names: has 9 names: allowed are 1 to 8"},
    {.name = "tls_name_bad",
     .text = PORT NET SMTP "tls=({match=\"*\";names=[\"a b\"];});\n",
     .message =
         "x.conf:4: tls[0].names[0]: \"a b\" is no name: write \"hostname\", \"nexthop\", \"dot-nexthop\", \"mx.example.org\" or "
         "\".example.org\""},

    {.name = "route_without_hops",
     .text = PORT NET SMTP "route=({domain=\"*\";});\n",
     .message = "x.conf:4: route[0]: hops is missing: where to connect, tried in order"},
    {.name = "route_no_hops",
     .text = PORT NET SMTP "route=({domain=\"*\";hops=();});\n",
     .message = "x.conf:4: route[0].hops: has 0 next hops: allowed are 1 to 8"},
    {.name = "hop_without_address",
     .text = PORT NET SMTP "route=({domain=\"*\";hops=({host=\"mx.example.org\";});});\n",
     .message = "x.conf:4: route[0].hops[0]: address is missing: where to connect: \"192.0.2.1\""},
    {.name = "hop_address_is_name",
     .text = PORT NET SMTP "route=({domain=\"*\";hops=({address=\"mx.example.org\";});});\n",
     .message =
         "x.conf:4: route[0].hops[0]: address: \"mx.example.org\" is not an address: write it like \"192.0.2.1\""},
    {.name = "hop_port_zero",
     .text = PORT NET SMTP "route=({domain=\"*\";hops=({address=\"1.1.1.1\";port=0;});});\n",
     .message = "x.conf:4: route[0].hops[0].port: 0 is out of range: allowed are 1 to 65535"},
    {.name = "hop_private",
     .text =
         PORT NET SMTP "route=({domain=\"*\";hops=({address=\"1.1.1.1\";},\n{address=\"10.0.0.2\";});});\n",
     .message =
         "x.conf:5: route[0].hops[1]: 10.0.0.2 is a private or other special-purpose address (RFC 6890): add its network to "
         "allow-networks if mail shall go there"},
    {.name = "hop_is_us",
     .text = PORT NET SMTP "route=({domain=\"*\";hops=({address=\"192.0.2.10\";});});\n",
     .message = "x.conf:4: route[0].hops[0]: 192.0.2.10 is our own address: mail would come back to us"},
    {.name = "hop_unreachable",
     .text = PORT SMTP
     "net={addresses=[\"192.0.2.10/24\"];};\nroute=({domain=\"*\";hops=({address=\"1.1.1.1\";});});\n",
     .message =
         "x.conf:4: route[0].hops[0]: 1.1.1.1 cannot be reached: no network of net.addresses holds it, and there is no route to "
         "it; set net.gateway"},
    {.name = "route_twice",
     .text = PORT NET SMTP
     "route=({domain=\"*\";hops=({address=\"1.1.1.1\";});},{domain=\"*\";hops=({address=\"1.1.1.1\";});});\n",
     .message = "x.conf:4: route[1]: domain: there is a route for \"*\" already: add its hops there"},
    {.name = "network_host_bits",
     .text = PORT NET SMTP "allow-networks=[\"10.0.0.1/8\"];\n",
     .message =
         "x.conf:4: allow-networks[0]: \"10.0.0.1/8\" is no network: write it like \"10.0.0.0/8\", host bits zero"},

    {.name = "two_at_once",
     .text = PORT NET SMTP "limits={connections=0;\nrecipients=0;};\n",
     .message = "x.conf:4: limits.connections: 0 is out of range: allowed are 1 to 1048576",
     .also = "x.conf:5: limits.recipients: 0 is out of range: allowed are 1 to 1024"},
    {.name = "set_unknown",
     .text = PORT NET SMTP,
     .message = "--set limits.conections=3: limits.conections: unknown key: did you mean connections?",
     .set = "limits.conections=3"},
    {.name = "set_out_of_range",
     .text = PORT NET SMTP,
     .message = "--set limits.connections=0: limits.connections: 0 is out of range: allowed are 1 to 1048576",
     .set = "limits.connections=0"},
    {.name = "set_no_value",
     .text = PORT NET SMTP,
     .message = "--set limits.connections: is not section.key=value",
     .set = "limits.connections"},
    {.name = "set_garbage",
     .text = PORT NET SMTP,
     .message = "--set limits.connections=}{: syntax error: write section.key=value, lists as in the file",
     .set = "limits.connections=}{"},
    {.name = "set_contradicts",
     .text = PORT NET SMTP,
     .message = "--set feed.lane-slots=1000: feed.lane-slots: 1000 is no power of two: set 512 or 1024",
     .set = "feed.lane-slots=1000"},
};

static void run(void **state)
{
    const struct mistake *mistake = *state;
    static struct config config;
    struct config_report report;
    struct config_source source = {.path = "x.conf",
                                   .text = mistake->text,
                                   .override = &mistake->set,
                                   .overrides = mistake->set != NULL};
    assert_false(config_load_from(&source, &config, &report));
    if (mistake->message)
        assert_string_equal(report.problem[0].text, mistake->message);
    if (mistake->also)
        assert_string_equal(report.problem[1].text, mistake->also);
    assert_int_equal(report.count, mistake->also ? 2 : 1);
}

/* Twenty are told, the rest is counted. */
static void many_at_once(void **state)
{
    char text[4096] = PORT NET SMTP;
    static struct config config;
    struct config_report report;
    struct config_source source = {.path = "x.conf", .text = text};
    (void)state;
    for (int i = 0; i < 30; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "zzzzzz%d = 1;\n", i);
    assert_false(config_load_from(&source, &config, &report));
    assert_int_equal(report.count, CONFIG_PROBLEMS_MAX);
    assert_int_equal(report.more, 10);
}

static void no_file(void **state)
{
    static struct config config;
    struct error err;
    (void)state;
    assert_false(config_load("/no/such/file", &config, &err));
    assert_string_equal(err.text, "/no/such/file: cannot be opened: No such file or directory");
    assert_false(config_load("/", &config, &err));
    assert_string_equal(err.text, "/: cannot be read: Is a directory");
    assert_false(config_load("/dev/zero", &config, &err));
    assert_string_equal(err.text, "/dev/zero: is larger than 16 MiB: this is no configuration");
}

static void nul_byte(void **state)
{
    static const char text[] = PORT NET SMTP "\0limits = { connections = 0; };\n";
    char path[] = "/tmp/hl-conf-XXXXXX";
    static struct config config;
    struct error err;
    (void)state;
    int fd = mkstemp(path);
    assert_true(write(fd, text, sizeof(text) - 1) == sizeof(text) - 1);
    assert_false(config_load(path, &config, &err));
    assert_non_null(strstr(err.text, ": holds a NUL byte: this is no configuration"));
    close(fd);
    unlink(path);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LEN(mistakes) + 3];
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++)
        tests[i] = (struct CMUnitTest){mistakes[i].name, run, NULL, NULL, (void *)(uintptr_t)&mistakes[i]};
    tests[ARRAY_LEN(mistakes)] = (struct CMUnitTest)cmocka_unit_test(many_at_once);
    tests[ARRAY_LEN(mistakes) + 1] = (struct CMUnitTest)cmocka_unit_test(no_file);
    tests[ARRAY_LEN(mistakes) + 2] = (struct CMUnitTest)cmocka_unit_test(nul_byte);
    return _cmocka_run_group_tests("config_errors", tests, ARRAY_LEN(tests), NULL, NULL);
}
