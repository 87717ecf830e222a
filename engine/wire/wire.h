/* wire.h: Ethernet, ARP, ND, IPv4, IPv6, ICMP and TCP headers: parse and emit.  No state, no policy.
 *
 * A parse_x takes exactly the bytes that are there and either fills the struct and returns true, or returns
 * false and promises nothing.  Lengths and offsets that a parse gives out lie inside its input.
 */
#ifndef ENGINE_WIRE_WIRE_H
#define ENGINE_WIRE_WIRE_H

#include "engine/base/bytes.h"
#include "engine/base/pkt.h"
#include "engine/wire/addr.h"

/* ---- TCP (RFC 9293 section 3.1) ---- */

enum tcp_flags {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
};

/* The two low bits of IPv4's TOS or IPv6's traffic class (RFC 3168 section 5). */
enum ip_ecn {
    IP_ECN_NONE = 0,
    IP_ECN_ECT1 = 1,
    IP_ECN_ECT0 = 2,
    IP_ECN_CE = 3,
};

#define TCP_HEADER_MIN      20u
#define TCP_HEADER_MAX      60u
#define TCP_SACK_BLOCKS_MAX 4u

struct tcp_sack_block {
    uint32_t start, end; /* [start, end) in sequence space */
};

struct tcp_options {
    bool has_mss, has_wscale, sack_permitted, has_timestamps;
    uint16_t mss;   /* bytes */
    uint8_t wscale; /* shift, as received; RFC 7323 section 2.3 caps it at 14 when used */
    uint32_t ts_val, ts_ecr;
    uint8_t sack_blocks; /* in [0, TCP_SACK_BLOCKS_MAX] */
    struct tcp_sack_block sack[TCP_SACK_BLOCKS_MAX];
};

/* One segment, received or to be sent. */
struct tcp_segment {
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint16_t window; /* as on the wire, unscaled */
    uint16_t urgent;
    uint8_t flags;  /* enum tcp_flags */
    uint8_t ip_ecn; /* enum ip_ecn */
    struct tcp_options opt;
    uint32_t len;     /* stream bytes, SYN and FIN not counted */
    uint8_t *payload; /* the stream bytes, inside pkt; NULL when len is 0 */
    struct pkt *pkt;  /* in: the packet that holds them, borrowed; take a reference to keep it.
                          out: the packet to send, NULL for a segment without data */
    bool again;       /* out: it was sent before */
};

/* tcp_segment_parse reads header and options; len is what IP says the TCP header and data have together.
 * Unknown options are skipped; a truncated or zero-length one makes the segment malformed.
 */
bool tcp_segment_parse(struct tcp_segment *seg, uint8_t *tcp, size_t len) must_check;

/* tcp_header_bytes: what tcp_header_emit will write: 20 to 60, a multiple of 4.  SACK blocks that the 40 bytes of
 * options have no room for are left out, the last ones first.
 */
size_t tcp_header_bytes(const struct tcp_segment *seg);

/* tcp_header_emit writes header and options with checksum 0; returns the bytes written. */
size_t tcp_header_emit(uint8_t *out, const struct tcp_segment *seg);

/* ---- checksums (RFC 1071) ---- */

/* checksum_add adds bytes to a running one's-complement sum (start with 0); every call but the last must
 * have an even length.
 */
uint32_t checksum_add(uint32_t sum, const void *data, size_t len);
uint16_t checksum_finish(uint32_t sum); /* folded and complemented, in network order as stored */
uint16_t checksum_fold(
    uint32_t sum); /* folded only: what a port that fills TCP checksums wants in their place */

/* The pseudo header (RFC 9293 3.1, RFC 8200 8.1) of what IP carries; len is all of that, header and data. */
uint32_t checksum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol,
                         uint32_t len);
uint32_t checksum_tcp_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint32_t tcp_len);

/* ---- Ethernet ---- */

#define ETH_HEADER_BYTES 14u
#define ETH_TYPE_IPV4    0x0800u
#define ETH_TYPE_ARP     0x0806u
#define ETH_TYPE_IPV6    0x86ddu

struct eth_header {
    struct mac_addr dst, src;
    uint16_t type;
};

bool eth_parse(struct eth_header *eth, const uint8_t *frame, size_t len) must_check;
void eth_emit(uint8_t out[static ETH_HEADER_BYTES], const struct eth_header *eth);

/* ---- ARP (RFC 826), Ethernet and IPv4 only ---- */

#define ARP_BYTES 28u
enum arp_op { ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp {
    uint16_t op; /* enum arp_op */
    struct mac_addr sender_mac, target_mac;
    struct ip_addr sender_ip, target_ip;
};

bool arp_parse(struct arp *arp, const uint8_t *data, size_t len) must_check;
void arp_emit(uint8_t out[static ARP_BYTES], const struct arp *arp);

/* ---- IP ---- */

#define IPV4_HEADER_MIN   20u
#define IPV6_HEADER_BYTES 40u
#define IPV6_MTU_MIN      1280u /* RFC 8200 section 5 */
#define IPV6_CHAIN_MAX    8u    /* extension headers, and options of each, that are looked at */
#define IP_PROTO_ICMP     1u
#define IP_PROTO_TCP      6u
#define IP_PROTO_ICMP6    58u

struct ip_header {
    struct ip_addr src, dst;
    uint8_t protocol; /* of the payload */
    uint8_t ttl;
    uint8_t ecn;          /* enum ip_ecn */
    bool dont_fragment;   /* IPv4 */
    bool fragment;        /* any fragment, first ones included */
    uint16_t id;          /* IPv4 */
    uint32_t flow_label;  /* IPv6; 20 bits */
    uint16_t header_len;  /* bytes, options and extension headers included */
    uint16_t payload_len; /* bytes; header_len + payload_len <= what was given */
};

enum ip_parse_result { IP_OK, IP_MALFORMED, IP_BAD_CHECKSUM };

/* ip_header_parse reads an IPv4 or IPv6 header (by its version field).  verify_checksum: false when the port did.
 * IPv6: extension headers are skipped, IPV6_CHAIN_MAX at the most; a fragment header ends the search.  An IPv4-mapped
 * address in an IPv6 header is malformed: in struct ip_addr it would be an IPv4 one.
 */
enum ip_parse_result ip_header_parse(struct ip_header *ip, const uint8_t *packet, size_t len,
                                     bool verify_checksum) must_check;

/* ip_header_parse_part: the same where the packet has len bytes, of which the first `here` are at hand: the header must be
 * among them.
 */
enum ip_parse_result ip_header_parse_part(struct ip_header *ip, const uint8_t *packet, size_t here,
                                          size_t len, bool verify_checksum) must_check;

/* ip_header_parse_quoted reads the start of a packet that an ICMP error quotes: the quote may be cut short behind its
 * header, payload_len is what is there, and the checksum is not looked at (routers change the header under way).
 */
bool ip_header_parse_quoted(struct ip_header *ip, const uint8_t *packet, size_t len) must_check;

/* ipv4_emit writes a 20-byte header, checksum included unless without_checksum. */
void ipv4_emit(uint8_t out[static IPV4_HEADER_MIN], const struct ip_header *ip, bool without_checksum);

/* ipv6_emit writes the fixed header and nothing behind it. */
void ipv6_emit(uint8_t out[static IPV6_HEADER_BYTES], const struct ip_header *ip);

/* ---- ICMP (RFC 792, RFC 1191), ICMPv6 (RFC 4443) ---- */

enum icmp_kind {
    ICMP_OTHER,
    ICMP_ECHO_REQUEST,
    ICMP_UNREACHABLE,
    ICMP_FRAG_NEEDED, /* ICMPv6: packet too big */
    ICMP_TIME_EXCEEDED,
    ICMP_NEIGHBOUR, /* ICMPv6: neighbour solicitation or advertisement, for nd_parse */
    ICMP_LISTENER,  /* ICMPv6: who listens to groups? for mld_parse_query */
};

struct icmp {
    enum icmp_kind kind;
    uint8_t type, code;
    bool
        hard; /* ICMP_UNREACHABLE: nobody speaks that protocol or listens on that port (RFC 5461 section 3) */
    uint16_t mtu; /* ICMP_FRAG_NEEDED: next-hop MTU, 0 when an old IPv4 router gives none */
    /* the packet that it complains about, for the error kinds */
    struct ip_header inner;
    bool inner_tcp; /* the four fields below are there */
    uint16_t inner_src_port, inner_dst_port;
    uint32_t inner_seq;
};

/* icmp_parse checks the ICMPv4 checksum and reads the quoted packet as far as it is there. */
bool icmp_parse(struct icmp *icmp, const uint8_t *data, size_t len) must_check;

/* icmp_echo_reply_in_place turns an echo request of len bytes into its reply, checksum included. */
void icmp_echo_reply_in_place(uint8_t *data, size_t len);

/* icmp6_parse: the same for ICMPv6; its checksum covers the addresses of ip, the header that it came behind. */
bool icmp6_parse(struct icmp *icmp, const struct ip_header *ip, const uint8_t *data, size_t len) must_check;
void icmp6_echo_reply_in_place(const struct ip_header *request, uint8_t *data, size_t len);

/* icmp6_set_checksum fills in the checksum of a message of len bytes that src sends to dst. */
void icmp6_set_checksum(uint8_t *data, size_t len, const struct ip_addr *src, const struct ip_addr *dst);

/* ---- neighbour discovery (RFC 4861) over Ethernet: solicitations and advertisements ---- */

#define ND_BYTES     32u /* with the one option that is ours */
#define ND_HOP_LIMIT 255u

enum nd_type { ND_SOLICIT = 135, ND_ADVERTISE = 136 };

struct nd {
    uint8_t type;   /* enum nd_type */
    bool solicited; /* ND_ADVERTISE: it answers a question */
    bool override;  /* ND_ADVERTISE: what it says replaces what was known */
    bool has_mac;   /* a link-layer address is there: the source's (SOLICIT), the target's (ADVERTISE) */
    struct mac_addr mac;
    struct ip_addr target;
};

/* nd_parse makes all the checks of RFC 4861 sections 7.1.1 and 7.1.2, hop limit and checksum included. */
bool nd_parse(struct nd *nd, const struct ip_header *ip, const uint8_t *data, size_t len) must_check;

/* nd_emit writes the message with its checksum; returns its bytes: ND_BYTES with a link-layer address, else 24. */
size_t nd_emit(uint8_t out[static ND_BYTES], const struct nd *nd, const struct ip_addr *src,
               const struct ip_addr *dst);

/* ---- multicast listener discovery (RFC 3810) ---- */

#define MLD_GROUPS_MAX      17u
#define MLD_REPORT_BYTES    (16u + 20u * MLD_GROUPS_MAX) /* with the hop-by-hop header before it */
#define MLD_HOP_LIMIT       1u
#define IP_PROTO_HOP_BY_HOP 0u

enum mld_record { MLD_IS_EXCLUDE = 2, MLD_TO_EXCLUDE = 4 }; /* we listen; we begin to listen */

/* mld_parse_query makes the checks of RFC 3810 section 6.2; *delay_us: an answer may take so long. */
bool mld_parse_query(const struct ip_header *ip, const uint8_t *data, size_t len,
                     uint64_t *delay_us) must_check;

/* mld_emit writes a hop-by-hop header with the router alert (RFC 2711) and behind it the report that src listens to count
 * groups, to mld_routers(); returns the bytes.  The IP header before it names protocol IP_PROTO_HOP_BY_HOP.
 */
size_t mld_emit(uint8_t out[static MLD_REPORT_BYTES], enum mld_record record, const struct ip_addr *src,
                const struct ip_addr *groups, unsigned count);
const struct ip_addr *mld_routers(void); /* ff02::16 */

#endif
