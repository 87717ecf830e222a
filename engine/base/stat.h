/* stat.h: every counter of a core, in one list.
 *
 * Naming: <layer>_<what>[_<unit>], lower case, the layer first; `_bytes`, `_us` where it is not a count of
 * events; `_drop_<reason>` for what was thrown away.  A counter only ever grows.  A core counts in its own
 * struct stats and publishes a copy in housekeeping; nobody else writes it.
 */
#ifndef ENGINE_BASE_STAT_H
#define ENGINE_BASE_STAT_H

#include "engine/base/base.h"

#define STAT_LIST(X)                                                                    \
    /* ports and frames */                                                              \
    X(port_rx_packets, "frames received")                                               \
    X(port_rx_bytes, "bytes received")                                                  \
    X(port_tx_packets, "frames sent")                                                   \
    X(port_tx_bytes, "bytes sent")                                                      \
    X(port_tx_drop_full, "frames the port did not take")                                \
    X(net_drop_short, "frames cut short or with inconsistent lengths")                  \
    X(net_drop_ethertype, "frames of a protocol that is not spoken here")               \
    X(net_drop_not_ours, "packets for another address")                                 \
    X(net_drop_ip_header, "malformed IP headers, IPv6 extension headers included")      \
    X(net_drop_ip_source, "packets from an address that none can come from")            \
    X(net_drop_ip_checksum, "wrong IP header checksums")                                \
    X(net_drop_fragment, "IP fragments")                                                \
    X(net_drop_protocol, "IP protocols that are not spoken here")                       \
    X(net_drop_arp, "malformed or implausible ARP")                                     \
    X(net_drop_nd, "malformed or implausible IPv6 neighbour discovery")                 \
    X(net_drop_mld, "implausible questions of IPv6 multicast listener discovery")       \
    X(net_drop_icmp, "malformed ICMP, wrong checksums included")                        \
    X(net_drop_icmp_kind, "ICMP of a kind that is not spoken here, or to a group")      \
    X(net_drop_icmp_flow, "ICMP errors about nothing that a flow of ours has sent")     \
    X(net_drop_tcp_header, "malformed TCP headers")                                     \
    X(net_drop_tcp_options, "malformed TCP options")                                    \
    X(net_ports_recycled, "source ports taken over from TIME-WAIT, RFC 6191")           \
    X(net_drop_tcp_checksum, "wrong TCP checksums")                                     \
    X(net_drop_no_flow, "segments of no connection")                                    \
    X(net_drop_no_neighbour, "packets whose next hop did not answer ARP or ND")         \
    X(net_drop_reply, "RST and echo replies not sent: too many in a second")            \
    X(net_drop_source, "packets from an IPv6 address of ours not known to be unique")   \
    X(net_drop_no_buffer, "packets not sent for want of a buffer")                      \
    X(net_drop_no_route, "packets without a route")                                     \
    X(net_handoff_out, "frames handed to the core that owns the flow")                  \
    X(net_handoff_in, "frames taken over from another core")                            \
    X(net_drop_handoff_full, "frames whose owner's hand-off queue was full")            \
    X(net_arp_requests, "ARP requests sent")                                            \
    X(net_arp_conflicts, "ARP packets of others that claim an address of ours")         \
    X(net_nd_solicits, "neighbour solicitations sent")                                  \
    X(net_nd_conflicts, "ND packets of others that claim an IPv6 address of ours")      \
    X(net_mld_reports, "reports sent of the IPv6 groups that we listen to, RFC 3810")   \
    X(net_tso_frames, "frames of several segments, for the port to cut")                \
    X(net_tso_segments, "segments that left in them")                                   \
    X(net_lro_frames, "TCP frames that the port had put together")                      \
    X(net_icmp_echo_replies, "pings answered")                                          \
    X(net_resets_sent, "RST sent for segments of no connection")                        \
    /* TCP */                                                                           \
    X(tcp_opened, "connections opened actively")                                        \
    X(tcp_accepted, "connections opened passively")                                     \
    X(tcp_cookies_sent, "SYN-ACKs with a SYN cookie, RFC 4987: the backlog was full")   \
    X(tcp_cookies_accepted, "connections opened by a SYN cookie that came back")        \
    X(tcp_drop_cookie, "ACKs to a listener that hold no good SYN cookie")               \
    X(tcp_drop_listener_full, "SYNs and good cookies with no room for a connection")    \
    X(tcp_established, "connections that became established")                           \
    X(tcp_closed, "connections closed in order")                                        \
    X(tcp_reset_by_peer, "connections reset by the peer")                               \
    X(tcp_aborted, "connections that we reset")                                         \
    X(tcp_timed_out, "connections given up: user time-out or too many retransmissions") \
    X(tcp_segments_in, "segments received")                                             \
    X(tcp_segments_out, "segments sent")                                                \
    X(tcp_bytes_in, "stream bytes received in order")                                   \
    X(tcp_bytes_acked, "stream bytes acknowledged by the peer")                         \
    X(tcp_retransmits, "segments sent again")                                           \
    X(tcp_retransmits_fast, "of these, by fast retransmit or loss recovery")            \
    X(tcp_retransmits_rto, "of these, after a time-out")                                \
    X(tcp_rto_fired, "retransmission time-outs")                                        \
    X(tcp_tail_probes, "tail loss probes sent, RFC 8985")                               \
    X(tcp_undone, "reductions of the window taken back: nothing had been lost")         \
    X(tcp_ecn_agreed, "of the established ones, with ECN, RFC 3168")                    \
    X(tcp_ecn_marked_in, "segments received that had met congestion")                   \
    X(tcp_ecn_reductions, "reductions of the window because the peer had")              \
    X(tcp_ecn_given_up, "connections whose path may drop what is marked for ECN")       \
    X(tcp_black_holes, "black holes: full segments vanished, smaller ones are sent")    \
    X(tcp_mtu_probes, "larger segments tried, RFC 4821")                                \
    X(tcp_mtu_probes_lost, "of these, lost")                                            \
    X(tcp_mtu_raised, "of these, passed: the segments' size was raised")                \
    X(tcp_persist_probes, "zero-window probes")                                         \
    X(tcp_keepalives, "silent peers asked whether they are there, RFC 9293 3.8.4")      \
    X(tcp_dup_acks_in, "duplicate ACKs received")                                       \
    X(tcp_out_of_order_in, "segments received out of order")                            \
    X(tcp_duplicates_in, "segments received that held nothing new")                     \
    X(tcp_challenge_acks, "challenge ACKs sent, RFC 5961")                              \
    X(tcp_drop_window, "segments outside the window")                                   \
    X(tcp_drop_paws, "segments with old time stamps")                                   \
    X(tcp_drop_ack, "segments with an unacceptable ACK")                                \
    X(tcp_drop_flags, "segments whose flags a handshake has no use for")                \
    X(tcp_drop_rst, "RST with another number than the next one, RFC 5961")              \
    X(tcp_drop_syn, "SYN within a connection, RFC 5961")                                \
    X(tcp_drop_no_buffer, "out-of-order segments not kept for want of a buffer")        \
    X(tcp_drop_icmp, "ICMP errors that quote nothing in flight, RFC 5927")              \
    X(tcp_unreachable, "connects that ended with a hard ICMP error")                    \
    /* TLS */                                                                           \
    X(tls_handshakes, "handshakes completed and verified")                              \
    X(tls_handshakes_failed, "handshakes that failed, verification included")           \
    X(tls_prepared, "sessions that had been prepared ahead of need")                    \
    X(tls_chains_verified, "certificate chains verified")                               \
    X(tls_chains_proven, "certificate chains that had been verified before")            \
    X(tls_keys_known, "public keys of certificates that had been accepted before")      \
    X(tls_resumed, "of the completed ones, resumed")                                    \
    X(tls_tickets_stored, "tickets kept to resume sessions with")                       \
    X(tls_tickets_used, "tickets shown to their server")                                \
    X(tls_tickets_refused, "of these, not taken: a full handshake followed")            \
    X(tls_tickets_drop_room, "tickets dropped for newer ones")                          \
    X(tls_tickets_drop_old, "tickets dropped at their or a certificate's end")          \
    X(tls_tickets_drop_clock, "tickets dropped because the clock was set back")         \
    X(tls_tickets_drop_policy, "tickets dropped because policy or trust was reloaded")  \
    X(tls_tickets_drop_failed, "tickets dropped because a handshake with one failed")   \
    X(tls_tickets_drop_unfit, "tickets not kept: too large, or of no lifetime")         \
    X(tls_tickets_drop_unwanted, "tickets not looked at: no more were wanted")          \
    X(tls_sealed_bytes, "plain bytes encrypted")                                        \
    X(tls_opened_bytes, "plain bytes decrypted")                                        \
    X(tls_batch_lanes, "public-key operations computed side by side")                   \
    X(tls_batch_calls, "calls for these, of up to eight each")                          \
    X(tls_batch_single, "public-key operations computed one at a time")                 \
    X(tls_batch_run_full, "batches run because eight of a kind waited")                 \
    X(tls_batch_run_all_wait, "batches run because every handshake waited")             \
    X(tls_batch_run_idle, "batches run because the core had nothing to do")             \
    X(tls_batch_run_old, "batches run because the oldest had waited too long")          \
    X(tls_batch_redone, "operations that libcrypto did again")                          \
    X(tls_batch_device, "operations given to a device or an engine")                    \
    X(tls_batch_lost, "operations that it did not answer in time")                      \
    X(tls_batch_late, "answers when nobody waited any more")                            \
    X(tls_batch_pool_full, "operations not taken: too many in the batch")               \
    X(tls_batch_keys, "ephemeral keys taken from the stock")                            \
    X(tls_batch_keys_late, "times that the stock was empty")                            \
    /* SMTP and jobs */                                                                 \
    X(smtp_messages, "messages whose end of data was answered with success")            \
    X(smtp_messages_bdat, "of these, sent by BDAT")                                     \
    X(smtp_messages_ahead, "messages begun before the last one was answered")           \
    X(smtp_flights, "times that commands left and nothing before them was unanswered")  \
    X(smtp_bdat_unknown, "receivers that offered CHUNKING and refused BDAT")            \
    X(smtp_replies, "replies received")                                                 \
    X(smtp_replies_bad, "replies that are not SMTP")                                    \
    X(conn_opened, "connections started for jobs")                                      \
    X(conn_reused, "jobs sent on a connection that was open already")                   \
    X(conn_port_full, "times that a connection's segments had to wait for the port")    \
    X(conn_refused_policy, "idle connections that did not satisfy a job's demand")      \
    X(conn_limit_lowered, "connections turned away beside others: the limit lowered")   \
    X(conn_limit_raised, "limits raised by one after a pause")                          \
    X(core_jobs, "jobs taken from the feed")                                            \
    X(core_jobs_bad, "jobs refused at intake")                                          \
    X(core_delivered, "recipients delivered")                                           \
    X(core_deferred, "recipients deferred")                                             \
    X(core_failed, "recipients failed")                                                 \
    X(core_in_doubt, "recipients in doubt")                                             \
    X(core_pool_full, "times a pool was full and work had to wait")                     \
    X(core_turns, "turns of the loop")                                                  \
    X(core_turns_busy, "turns that found work")                                         \
    X(core_sleeps, "times an idle core slept")                                          \
    X(core_sleeps_ns, "CPU time that sleeps took by themselves, in nanoseconds")        \
    X(core_phase_changes, "changes from one phase to another in busy turns")            \
    /* cycles of the time stamp counter: every moment of a core is in one of these */   \
    X(core_cycles_receive, "cycles of busy turns: taking frames from the port")         \
    X(core_cycles_tcp, "cycles of busy turns: IP, TCP and timers")                      \
    X(core_cycles_tls, "cycles of busy turns: handshakes and records")                  \
    X(core_cycles_smtp, "cycles of busy turns: commands, replies, bodies")              \
    X(core_cycles_intake, "cycles of busy turns: taking and placing jobs")              \
    X(core_cycles_transmit, "cycles of busy turns: giving frames to the port")          \
    X(core_cycles_report, "cycles of busy turns: handing back results")                 \
    X(core_cycles_keep, "cycles of busy turns: housekeeping")                           \
    X(core_cycles_empty, "cycles of turns that found no work")                          \
    X(core_cycles_slept, "cycles that went by in sleeps")

enum stat_id {
#define X(name, text) STAT_##name,
    STAT_LIST(X)
#undef X
        STAT_COUNT
};

struct stats {
    uint64_t v[STAT_COUNT];
};

static inline void stat_add(struct stats *s, enum stat_id which, uint64_t n)
{
    s->v[which] += n;
}

static inline void stat_inc(struct stats *s, enum stat_id which)
{
    s->v[which]++;
}

const char *stat_name(enum stat_id which); /* "tcp_retransmits" */
const char *stat_text(enum stat_id which); /* "segments sent again" */

#endif
