#include "engine/control/config_lists.h"
#include "engine/control/config_schema.h"

#include "engine/base/base.h"
#include "engine/smtp/smtp.h"

/* A row: section table, key, field of struct config, then what is particular to it.  The field's type decides how many
 * bytes are stored. */
#define FIELD(member) .offset = offsetof(struct config, member), .bytes = sizeof(((struct config *)0)->member)
#define NUMBER(key, member, low, high, times, what)                                                  \
    .name = key, FIELD(member), .kind = CONFIG_KIND_NUMBER, .min = low, .max = high, .scale = times, \
    .unit = what
#define SWITCH(key, member)         .name = key, FIELD(member), .kind = CONFIG_KIND_BOOL
#define TEXT(key, member, default_) .name = key, FIELD(member), .kind = CONFIG_KIND_TEXT, .text = default_
#define CHOICE(key, member, names)  .name = key, FIELD(member), .kind = CONFIG_KIND_CHOICE, .choice = names
#define SPECIAL(key, reader, form)  .name = key, .kind = CONFIG_KIND_SPECIAL, .read = reader, .shape = form

#define MILLI  1000u
#define SECOND 1000000u
#define MEGA   (1024u * 1024u)

static const char *const idle_names[] = {"poll", "sleep", NULL};
static const char *const resumption_names[] = {"none", "tickets", NULL};
static const char *const rss_names[] = {"auto", "software", "off", NULL};
static const char *const offload_names[] = {"auto", "off", NULL};
static const char *const huge_names[] = {"auto", "require", "no", NULL};
static const char *const congestion_names[] = {"cubic", "reno", NULL};
static const char *const ecn_names[] = {"off", "accept", "on", NULL};
static const char *const mtu_probing_names[] = {"off", "black-hole", "always",
                                                NULL}; /* enum tcp_mtu_probing */
static const char *const level_names[] = {"error", "warning", "notice", "info", "debug", NULL};

static const struct config_key outside_keys[] = {
    {SPECIAL("tls", config_read_tls, "list of { match; level; ca-file; min-version; names }"), .live = true,
     .help = "what destinations must prove"},
    {SPECIAL("route", config_read_routes,
             "list of { domain; hops = list of { host; address; port; implicit-tls } }"),
     .live = true, .help = "where mail for a domain goes"},
    {SPECIAL("allow-networks", config_read_allow_networks, "array of networks"), .live = true,
     .help = "loopback, private and other special-purpose networks that may be connected to all the same"},
};

static const struct config_key port_keys[] = {
    {TEXT("device", port.device, ""), .required = true,
     .help = "name a DPDK device: \"net_af_packet0,iface=eth1\" or a PCI address"},
    {NUMBER("mtu", port.mtu, 0, 9600, 1, "bytes"), .number = 0, .help = "of an IP packet; 0: the device's"},
    {NUMBER("buffers", port.buffers, 0, 16777216, 1, "packets"), .number = 0,
     .help = "packet buffers of one core; 0: from the limits"},
    {NUMBER("control-buffers", port.control_buffers, 16, 65536, 1, "packets"), .number = 512,
     .help = "of these, kept for acknowledgements, closes and ARP"},
    {NUMBER("rx-descriptors", port.rx_descriptors, 32, 32768, 1, ""), .number = 1024,
     .help = "receive ring of a queue; adjusted to what the device takes"},
    {NUMBER("tx-descriptors", port.tx_descriptors, 32, 32768, 1, ""), .number = 1024,
     .help = "transmit ring of a queue; adjusted to what the device takes"},
    {TEXT("rx-faults", port.rx_faults_text, ""), .parse = config_parse_rx_faults,
     .help = "for tests: \"drop=1%,reorder=0.5%,delay=20ms,seed=7\" on what arrives"},
    {TEXT("tx-faults", port.tx_faults_text, ""), .parse = config_parse_tx_faults,
     .help = "for tests: the same on what leaves"},
    {CHOICE("rss", port.rss, rss_names), .number = CONFIG_RSS_AUTO,
     .help = "who brings a connection's answers to its core: the device where it can, or software"},
    {CHOICE("offload", port.offload, offload_names), .number = CONFIG_OFFLOAD_AUTO,
     .help = "leave to the device what it can do, as the next three say; or to the core, all of it"},
    {SWITCH("checksums", port.checksums), .number = true, .help = "of these: checksums, sent and received"},
    {SWITCH("tso", port.tso), .number = true,
     .help = "of these: cutting what is sent into segments; needs checksums"},
    {SWITCH("lro", port.lro), .number = true,
     .help = "of these: received segments put together; false: larger frames than the MTU are dropped"},
    {TEXT("pcap", port.pcap, ""), .help = "capture every frame into this file"},
};

static const struct config_key net_keys[] = {
    {SPECIAL("addresses", config_read_addresses, "array of \"ADDRESS/PREFIX\""),
     .help = "our own source addresses, IPv4 and IPv6, each with its network"},
    {TEXT("gateway", net_gateway_text, ""), .parse = config_parse_gateway,
     .help = "next hop of the default route, IPv4"},
    {TEXT("gateway6", net_gateway6_text, ""), .parse = config_parse_gateway6,
     .help = "the same for IPv6; may be link-local (fe80::/10)"},
    {SPECIAL("routes", config_read_net_routes, "list of { to; gateway }"), .help = "other routes"},
    {TEXT("source-ports", net_ports_text, "1024-65535"), .parse = config_parse_ports,
     .help = "first and last port of our end, RFC 6056"},
    {NUMBER("neighbours", net.neighbours_max, 16, 65536, 1, ""), .number = 1024,
     .help = "ARP and ND entries of one core"},
    {NUMBER("dad-transmits", net.dad_transmits, 0, 10, 1, ""), .number = 1,
     .help = "questions, a second apart, whether an IPv6 address is free (RFC 4862); 0: believe that it is"},
};

static const struct config_key cores_keys[] = {
    {SPECIAL("cpus", config_read_cpus, "number, or array of CPU numbers"),
     .help = "CPUs to run on, a core each; a number N: the first N that we may use"},
    {CHOICE("idle", cores.idle, idle_names), .number = CONFIG_IDLE_POLL,
     .help = "what a core without work does"},
    {NUMBER("sleep-us", cores.sleep_us, 10, 100000, 1, "microseconds"), .number = 1000,
     .help = "longest sleep of an idle core"},
};

static const struct config_key memory_keys[] = {
    {CHOICE("huge", memory.huge, huge_names), .number = CONFIG_HUGE_AUTO, .help = "huge pages"},
    {NUMBER("megabytes", memory.megabytes, 0, 1048576, 1, "MiB"), .number = 0,
     .help = "DPDK's heap; 0: what the buffers need"},
    {SWITCH("lock", memory.lock), .number = true, .help = "lock all memory where permitted"},
};

static const struct config_key limits_keys[] = {
    {NUMBER("connections", limits.connections, 1, 1048576, 1, ""), .number = 4096,
     .help = "open at once, per core"},
    {NUMBER("connections-per-destination", limits.connections_per_destination, 1, 65536, 1, ""), .number = 20,
     .help = "open at once to one next hop, per core"},
    {NUMBER("destinations", limits.destinations, 1, 1048576, 1, ""), .number = 16384,
     .help = "known at once, per core"},
    {NUMBER("time-wait", limits.time_wait, 0, 1048576, 1, ""), .number = 16384,
     .help = "connections in TIME-WAIT at once, per core"},
    {NUMBER("messages-per-connection", limits.messages_per_connection, 0, 1000000, 1, ""), .number = 100,
     .help = "before it is closed; 0: no limit"},
    {NUMBER("idle-connection-s", limits.idle_connection_us, 0, 290, SECOND, "seconds"), .number = 5,
     .help = "an idle connection is kept for reuse"}, /* RFC 5321 4.5.3.2.7: servers wait 5 minutes */
    {NUMBER("jobs-in-flight", limits.jobs_in_flight, 1, 1048576, 1, ""), .number = 2048,
     .help = "taken from the feeds and not yet reported, per core"},
    {NUMBER("envelope-bytes", limits.envelope_bytes, 1024, 16777216, 1, "bytes"), .number = 32768,
     .help = "of one job: sender, recipients and their parameters"},
    {NUMBER("recipients", limits.recipients, 1, SMTP_RECIPIENTS_MAX, 1, ""), .number = 100,
     .help = "of one job"}, /* RFC 5321 4.5.3.1.8: a receiver takes at least 100 */
    {NUMBER("message-bytes", limits.message_bytes, 1024, 4ull << 30, 1, "bytes"), .number = 52428800,
     .help = "largest body"},
};

static const struct config_key tcp_keys[] = {
    {NUMBER("send-buffer-bytes", tcp.send_buffer_bytes, 4096, 1u << 30, 1, "bytes"), .set_before = true,
     .help = "most bytes of a connection written and not yet acknowledged"},
    {NUMBER("receive-buffer-bytes", tcp.recv_buffer_bytes, 2048, 1u << 30, 1, "bytes"), .set_before = true,
     .help = "most bytes of a connection received and not yet read"},
    {NUMBER("receive-packets", tcp.recv_packets, 4, 65535, 1, "packets"), .set_before = true,
     .help = "most packets of a connection waiting to be read"},
    {NUMBER("initial-window-segments", tcp.initial_cwnd, 1, 100, 1, "segments"), .set_before = true,
     .help = "RFC 6928"},
    {CHOICE("congestion-control", tcp_congestion, congestion_names), .number = CONFIG_CC_CUBIC,
     .help = "RFC 9438 or RFC 5681"},
    {NUMBER("rto-initial-ms", tcp.rto_initial_us, 10, 60000, MILLI, "milliseconds"), .set_before = true,
     .help = "retransmission time-out before the first measurement, RFC 6298"},
    {NUMBER("rto-min-ms", tcp.rto_min_us, 1, 60000, MILLI, "milliseconds"), .set_before = true,
     .help = "shortest retransmission time-out"},
    {NUMBER("rto-max-ms", tcp.rto_max_us, 1000, 600000, MILLI, "milliseconds"), .set_before = true,
     .help = "longest retransmission time-out"},
    {NUMBER("delayed-ack-ms", tcp.delayed_ack_us, 0, 500, MILLI, "milliseconds"), .set_before = true,
     .help = "RFC 9293 3.8.6.3"},
    {NUMBER("syn-retries", tcp.syn_retries, 0, 20, 1, ""), .set_before = true,
     .help = "SYNs after the first"},
    {NUMBER("connect-timeout-s", tcp.connect_timeout_us, 1, 600, SECOND, "seconds"), .set_before = true,
     .help = "for the whole TCP handshake"},
    {NUMBER("user-timeout-s", tcp.user_timeout_us, 1, 3600, SECOND, "seconds"), .set_before = true,
     .help = "bytes unacknowledged for so long end the connection, RFC 9293 3.8.3"},
    {NUMBER("fin-wait-2-s", tcp.fin_wait_2_us, 1, 600, SECOND, "seconds"), .set_before = true,
     .help = "we have closed and the peer has not"},
    {NUMBER("time-wait-s", tcp.time_wait_us, 0, 240, SECOND, "seconds"), .set_before = true, .help = "2 MSL"},
    {NUMBER("keepalive-s", tcp.keepalive_us, 0, 86400, SECOND, "seconds"), .set_before = true,
     .help = "a peer silent for so long on an idle connection is asked, RFC 9293 3.8.4; 0: never"},
    {NUMBER("keepalive-interval-s", tcp.keepalive_interval_us, 1, 600, SECOND, "seconds"), .set_before = true,
     .help = "and again"},
    {NUMBER("keepalive-probes", tcp.keepalive_probes, 2, 100, 1, ""), .set_before = true,
     .help = "unanswered, before the connection is given up"},
    {CHOICE("mtu-probing", tcp.mtu_probing, mtu_probing_names), .number = TCP_MTU_PROBING_BLACK_HOLE,
     .help =
         "find the path's MTU where no ICMP tells it, RFC 4821: from the largest segment down, or from 1220 bytes up"},
    {NUMBER("mss-clamp", tcp.mss_clamp, 0, 65495, 1, "bytes"), .set_before = true,
     .help = "no larger segments, sent or asked for; 0: what the MTU allows"},
    {SWITCH("timestamps", tcp.timestamps), .set_before = true, .help = "offer RFC 7323 time stamps"},
    {SWITCH("window-scaling", tcp.window_scaling), .set_before = true,
     .help = "offer RFC 7323 window scaling"},
    {SWITCH("sack", tcp.sack), .set_before = true, .help = "offer RFC 2018 selective acknowledgements"},
    {CHOICE("ecn", tcp.ecn, ecn_names), .set_before = true,
     .help =
         "explicit congestion notification, RFC 3168: where the peer asks, or asked for by our SYNs, too"},
    {SWITCH("pacing", tcp.pacing), .set_before = true, .help = "spread data over the round trip"},
};

static const struct config_key smtp_keys[] = {
    {TEXT("helo-name", smtp.helo_name, ""), .parse = config_parse_helo,
     .help = "our name in EHLO; the machine's if not given"},
    {NUMBER("timeout-percent", smtp.timeout_percent, 1, 1000, 1, "per cent"), .number = 100,
     .help = "of the time-outs of RFC 5321 4.5.3.2"},
    {SWITCH("chunking", smtp.chunking), .number = true,
     .help = "BDAT instead of DATA where it is offered, RFC 3030"},
    {NUMBER("messages-ahead", smtp.messages_ahead, 1, SMTP_AHEAD_MAX, 1, ""), .number = 4,
     .help = "on one connection, begun before the first is answered; 1: none waits behind another"},
    {NUMBER("chunk-ahead-bytes", smtp.chunk_ahead_bytes, 0, UINT32_MAX, 1, "bytes"), .number = 1048576,
     .help = "a larger message waits for the replies to RCPT"},
};

static const struct config_key crypto_keys[] = {
    {TEXT("engine", crypto.engine, ""), .help = "OpenSSL engine for public-key work; none: what is found"},
    {SWITCH("pq-share", crypto.pq_share), .number = false,
     .help = "send the X25519MLKEM768 key share unasked: old servers stumble over the long ClientHello"},
    {TEXT("backend", crypto.backend, "auto"), .parse = config_parse_backend,
     .help = "who computes public-key operations in batches: \"auto\" (crypto_mb where the CPU is for it), "
             "\"crypto_mb\", \"libcrypto\", \"engine:qatengine\", \"cryptodev:0000:6b:00.1\""},
    {SWITCH("backend-require", crypto.backend_require), .number = false,
     .help = "refuse to start without that backend, instead of a warning"},
    {SWITCH("async", crypto.async), .number = false, .help = "suspend handshakes while the engine works"},
    {SWITCH("batches", crypto.batches), .number = true,
     .help = "compute the public-key work of a core's handshakes side by side where the CPU can"},
    {NUMBER("batch-wait-us", crypto.batch_wait_us, 1, 100000, 1, "microseconds"), .number = 200,
     .help =
         "an operation waits for company at the most so long; not at all where the core has nothing to do"},
    {NUMBER("proven-chains", crypto.proven_chains, 0, 1048576, 1, ""), .number = 4096,
     .help = "verified certificate chains that a core remembers; 0: each handshake verifies its own"},
    {NUMBER("proven-lifetime-s", crypto.proven_lifetime_us, 1, 604800, SECOND, "seconds"), .number = 3600,
     .help = "for so long at the most, and never beyond a certificate's end"},
    {CHOICE("resumption", crypto.resumption, resumption_names), .number = CONFIG_RESUMPTION_TICKETS,
     .help = "of TLS sessions: where destination, policy and trust are as they were; or none"},
    {NUMBER("tickets", crypto.tickets, 1, 1048576, 1, ""), .number = 4096,
     .help = "that a core keeps; each resumes one session"},
    {NUMBER("tickets-per-destination", crypto.tickets_per_destination, 1, 65536, 1, ""), .number = 64,
     .help = "of these; as many connections can be resumed at once"},
    {NUMBER("ticket-lifetime-s", crypto.ticket_lifetime_us, 1, 604800, SECOND, "seconds"), .number = 3600,
     .help = "from the full handshake on, and never beyond a certificate's end"},
    {TEXT("ca-file", crypto.ca_file, ""), .live = true,
     .help = "trust anchors (PEM) where a tls rule names none; none: the system's"},
};

static const struct config_key feed_keys[] = {
    {TEXT("socket", feed.socket, "/run/hardline/feed.sock"), .parse = config_parse_socket,
     .help = "where producers attach; \"\": nowhere"},
    {TEXT("mode", feed.mode_text, "0660"), .parse = config_parse_feed_mode, .help = "of the socket, octal"},
    {TEXT("group", feed.group, ""), .help = "of the socket; none: run.group"},
    {SPECIAL("users", config_read_feed_users,
             "list of { user; name; allow-exceptions; jobs-in-flight; message-bytes }"),
     .live = true, .help = "who may attach beside root and run.user"},
    {NUMBER("feeds", feed.feeds, 1, 256, 1, ""), .number = 16, .help = "attached at once"},
    {NUMBER("lane-slots", feed.lane_slots, 16, 65536, 1, "slots"), .number = 1024,
     .help = "submission ring of each core's lane; a power of two"},
    {NUMBER("completion-slots", feed.completion_slots, 16, 1048576, 1, "slots"), .number = 4096,
     .help = "completion ring of each core's lane; a power of two"},
    {NUMBER("arena-megabytes", feed.arena_megabytes, 1, 1048576, 1, "MiB"), .number = 256,
     .help = "message memory of one feed"},
};

static const struct config_key run_keys[] = {
    {TEXT("user", run.user, "hardline"), .help = "to become after start-up; \"\": stay"},
    {TEXT("group", run.group, ""), .help = "none: the user's"},
    {TEXT("admin-socket", run.admin_socket, "/run/hardline/admin.sock"), .parse = config_parse_socket,
     .help = "for `hardline status`; \"\": none"},
    {TEXT("admin-mode", run.admin_mode_text, "0660"), .parse = config_parse_admin_mode,
     .help = "of the socket, octal"},
    {TEXT("pid-file", run.pid_file, ""), .help = "none: not written"},
    {TEXT("log", run.log, "stderr"), .parse = config_parse_log, .help = "\"stderr\", \"syslog\" or a file"},
    {CHOICE("log-level", run.log_level, level_names), .number = 3, .live = true,
     .help = "least important lines kept"},
    {TEXT("key-log", run.key_log, ""),
     .help = "write TLS keys there, for debugging: whoever reads the file can read the mail"},
    {NUMBER("drain-s", run.drain_us, 0, 86400, SECOND, "seconds"), .number = 60,
     .help = "a stop waits for mail in flight"},
    {SWITCH("seccomp", run.seccomp), .number = true, .help = "filter system calls; off only to debug"},
};

#define SECTION(name_, table) {.name = name_, .key = table, .keys = ARRAY_LEN(table)}

const struct config_section config_sections[] = {
    SECTION("", outside_keys),    SECTION("port", port_keys),     SECTION("net", net_keys),
    SECTION("cores", cores_keys), SECTION("memory", memory_keys), SECTION("limits", limits_keys),
    SECTION("tcp", tcp_keys),     SECTION("smtp", smtp_keys),     SECTION("crypto", crypto_keys),
    SECTION("feed", feed_keys),   SECTION("run", run_keys),
};

const size_t config_sections_count = ARRAY_LEN(config_sections);
