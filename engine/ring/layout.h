/* layout.h: the bytes that engine and producer share: the region, and what goes over the Unix socket before it.
 *
 * Both ends are built from this header.  All numbers are the machine's own (both ends run on it), all offsets
 * count from the start of the region.  README.md has the drawing and the rules of ownership.
 *
 * Versions: a change that an older reader does not notice (a field in a reserved place, a longer slot, which readers
 * step over by the strides in the header) counts up the minor; every other change the major.
 */
#ifndef ENGINE_RING_LAYOUT_H
#define ENGINE_RING_LAYOUT_H

#include "engine/base/base.h"

#include <stdatomic.h>

#define RING_ABI_MAJOR 1u
#define RING_ABI_MINOR 0u

#define RING_MAGIC       0x0001444545464c48u /* "HLFEED\1\0" in memory */
#define RING_EXTENTS_MAX 16u                 /* body extents of one job */
#define RING_LANES_MAX   64u
#define RING_ALIGN       128u  /* two lines: the CPU prefetches them in pairs */
#define RING_RECORD_MIN  4096u /* the least that a shape may grant one record: one recipient always fits */

/* Lengths on the envelope, RFC 5321 section 4.5.3.1 and RFC 3461 section 4. */
#define RING_LOCAL_MAX    64u  /* 4.5.3.1.1 */
#define RING_DOMAIN_MAX   253u /* 4.5.3.1.2 says 255 octets, of which DNS can hold 253 */
#define RING_ADDRESS_MAX  254u /* 4.5.3.1.3: 256 with the angle brackets */
#define RING_DSN_MAX      500u /* RFC 3461 section 4: what RCPT may grow by */
#define RING_NEXT_HOP_MAX 253u
#define RING_TAG_MAX      63u

/* ---- the region ---- */

struct ring_header {
    uint64_t magic;
    uint16_t abi_major, abi_minor;
    uint32_t header_bytes; /* of the part in front of the lanes */
    uint64_t region_bytes;
    uint64_t engine_epoch; /* differs after every start of the engine */
    uint64_t hash_seed;
    uint32_t lanes;
    uint32_t submit_slots;     /* of each lane, power of two */
    uint32_t complete_slots;   /* of each lane, power of two, at least recipients_max */
    uint32_t recipients_max;   /* of one record */
    uint32_t record_bytes_max; /* of one record */
    uint32_t slot_bytes;       /* stride of submission slots */
    uint32_t result_bytes;     /* stride of completion slots */
    uint32_t reserved;
    uint64_t lanes_offset, lane_bytes;         /* first lane, stride */
    uint64_t entries_at, slots_at, results_at; /* within a lane */
    uint64_t arena_offset, arena_bytes;
    uint64_t body_bytes_max;

    /* Set by a producer that goes to sleep, taken back by whoever wakes it. */
    _Alignas(RING_ALIGN) _Atomic uint32_t producer_sleeping;
};

static_assert(offsetof(struct ring_header, abi_major) == 8, "the version stays where every reader finds it");
static_assert(offsetof(struct ring_header, lanes) == 40, "layout");
static_assert(offsetof(struct ring_header, lanes_offset) == 72, "layout");
static_assert(offsetof(struct ring_header, arena_offset) == 112, "layout");
static_assert(offsetof(struct ring_header, producer_sleeping) == 256, "layout");
static_assert(sizeof(struct ring_header) <= 4096, "the header is one page");

/* A lane: this, then submit_slots entries (uint32_t, a slot's number), slots, and results.
 *
 * Entry n of the submission ring stands at n mod submit_slots.  A slot is in the ring at most once, so the ring is
 * never too small for the slots; the producer picks any slot that it owns, so that a job that takes ten minutes
 * does not hold up those behind it.
 */
struct ring_lane {
    _Alignas(RING_ALIGN) _Atomic uint32_t submit_tail;   /* producer */
    _Alignas(RING_ALIGN) _Atomic uint32_t submit_head;   /* engine: entries read */
    _Atomic uint32_t engine_sleeping;                    /* engine sets; whoever wakes it takes it back */
    _Alignas(RING_ALIGN) _Atomic uint32_t complete_tail; /* engine */
    _Alignas(RING_ALIGN) _Atomic uint32_t complete_head; /* producer: results read */
};

static_assert(sizeof(struct ring_lane) == 4 * RING_ALIGN, "each index has its own pair of lines");

/* A slot and the record that it points at belong to the engine from the entry that names it until the producer
 * has read the last of its results.
 */
struct ring_slot {
    uint64_t record_offset; /* 8-byte aligned, in the arena */
    uint32_t record_bytes;
    uint32_t reserved;
    uint64_t cookie;        /* the library's */
    _Atomic uint32_t stage; /* enum stage; the producer puts 0, the engine writes it from then on */
    uint32_t reserved_too[9];
};

static_assert(sizeof(struct ring_slot) == CACHE_LINE, "layout");
static_assert(offsetof(struct ring_slot, stage) == 24, "layout");

/* A record: this, extents * ring_extent, recipients * ring_recipient, then the strings without gaps or terminators:
 * domain, next_hop, tag, sender, and for each recipient address and dsn.  Ends where the last string ends.
 */
struct ring_record {
    uint64_t submitted_us; /* CLOCK_MONOTONIC */
    uint64_t deadline_us;  /* CLOCK_MONOTONIC; UINT64_MAX: none */
    uint64_t body_bytes;   /* sum of the extents */
    uint32_t flags;        /* RING_JOB_* */
    uint32_t source_pool;
    uint32_t recipients; /* in [1, recipients_max] */
    uint16_t extents;    /* in [1, RING_EXTENTS_MAX] */
    uint16_t sender_bytes;
    uint8_t domain_bytes, next_hop_bytes, tag_bytes;
    uint8_t tls_floor; /* HL_TLS_* */
    uint8_t priority;
    uint8_t reserved[11];
};

struct ring_extent {
    uint64_t offset; /* in the arena */
    uint64_t bytes;
};

struct ring_recipient {
    uint16_t address_bytes;
    uint16_t dsn_bytes;
};

static_assert(sizeof(struct ring_record) == 56, "layout");
static_assert(sizeof(struct ring_extent) == 16 && sizeof(struct ring_recipient) == 4, "layout");

enum { /* of ring_record.flags; the same numbers as HL_JOB_* and FEED_* */
       RING_JOB_SMTPUTF8 = 1 << 0,
       RING_JOB_REQUIRETLS = 1 << 1,
       RING_JOB_TLS_OPTIONAL = 1 << 2,
       RING_JOB_EXCEPTION = 1 << 3,
       RING_JOB_8BITMIME = 1 << 4,
       RING_JOB_KNOWN = (1 << 5) - 1,
};

#define RING_TLS_FLOOR_MAX 3u /* HL_TLS_* in [0, RING_TLS_FLOOR_MAX] */

/* The result of one recipient.  Strings follow at `bytes_follow` in this order, without terminators, each as long as
 * its length says; the digests first, if there are any.  Only what is used is written.
 */
struct ring_result {
    uint64_t cookie;    /* the slot's */
    uint32_t slot;      /* its number */
    uint32_t recipient; /* position in the record */
    uint8_t verdict, stage, fault, reason;
    uint16_t smtp_code;
    uint8_t enhanced[3];
    uint8_t tls_level; /* demanded */
    uint16_t tls_version;
    uint16_t mx_port;
    uint64_t queued_us, connected_us, secured_us, sent_us, replied_us;
    uint8_t mx_addr[16];
    uint16_t flags; /* RING_RESULT_* */
    uint8_t text_bytes, mx_host_bytes, matched_name_bytes, policy_source_bytes;
    uint8_t cipher_bytes, group_bytes, signature_bytes,
        digests; /* digests: of 32 bytes, certificate then SPKI */
    uint8_t reserved[30];
};

static_assert(sizeof(struct ring_result) == 128, "what a plain success needs is two lines");

enum {
    RING_RESULT_MX_ADDR = 1 << 0,
    RING_RESULT_TLS = 1 << 1,
    RING_RESULT_RESUMED = 1 << 2,
    RING_RESULT_REUSED = 1 << 3,
    RING_RESULT_EXCEPTION = 1 << 4,
    RING_RESULT_PKIX = 1 << 5,
    RING_RESULT_REMEMBERED = 1 << 6,
};

#define RING_TEXT_MAX          239u
#define RING_HOST_MAX          253u /* mx_host, matched_name */
#define RING_POLICY_SOURCE_MAX 63u
#define RING_CIPHER_MAX        46u /* the longest that TLS 1.2 and 1.3 have here */
#define RING_GROUP_MAX         19u
#define RING_SIGNATURE_MAX     23u
#define RING_DIGEST_BYTES      32u

/* Seventeen lines: the longest of everything fits, and the odd number spreads results over the cache's sets. */
#define RING_RESULT_BYTES                                                                     \
    (sizeof(struct ring_result) + 2 * RING_DIGEST_BYTES + RING_TEXT_MAX + 2 * RING_HOST_MAX + \
     RING_POLICY_SOURCE_MAX + RING_CIPHER_MAX + RING_GROUP_MAX + RING_SIGNATURE_MAX)
static_assert(RING_RESULT_BYTES == 17 * CACHE_LINE, "layout");

/* ---- the hand-over: messages on the Unix socket (SOCK_SEQPACKET), each one datagram ----
 *
 *     producer                                engine
 *        | ------------ HELLO -----------------> |   who are you (SO_PEERCRED), which version
 *        | <----------- GRANT + 3 fds ---------- |   memfd, wake_engine, wake_producer; or GOODBYE
 *        |  maps                                 |
 *        | ------------ MAPPED ----------------> |   seals, touches every page
 *        | <----------- READY ------------------ |
 *        |               ...                     |
 *        | <----------- GOODBYE ---------------- |   why the engine lets go; then end of file
 *
 * End of file from either side detaches.  The head of HELLO and GOODBYE is the same in every version for ever.
 */
enum ring_hand_over {
    RING_HELLO = 1,
    RING_GRANT,
    RING_MAPPED,
    RING_READY,
    RING_GOODBYE,
};

enum ring_goodbye {                       /* why */
                    RING_BYE_VERSION = 1, /* another ABI major */
                    RING_BYE_DENIED,      /* this user may not */
                    RING_BYE_BUSY,        /* no room for another feed now */
                    RING_BYE_PROTOCOL,    /* the producer broke a rule */
                    RING_BYE_SHUTDOWN,    /* the engine stops */
};

struct ring_message {
    uint64_t magic;
    uint16_t abi_major, abi_minor;
    uint16_t what;         /* enum ring_hand_over */
    uint16_t why;          /* enum ring_goodbye, 0 otherwise */
    uint64_t engine_epoch; /* GRANT; repeated in MAPPED */
    char text[488];        /* HELLO: the program's name; GOODBYE: a sentence.  NUL-terminated */
};

static_assert(sizeof(struct ring_message) == 512, "layout");

#endif
