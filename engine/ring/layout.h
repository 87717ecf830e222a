/* layout.h: the bytes that engine and producer share: the region, and what goes over the Unix socket before it.
 *
 * Both ends are built from this header.  All numbers are the machine's own (both ends run on it), all offsets
 * count from the start of the region.  README.md has the drawing and the rules of ownership.
 *
 * Versions: a change that an older reader does not notice (a field in a reserved place, a longer fixed part of a job or a
 * result, whose length the header says) counts up the minor; every other change the major.
 */
#ifndef ENGINE_RING_LAYOUT_H
#define ENGINE_RING_LAYOUT_H

#include "engine/base/base.h"

#include <stdatomic.h>

#define RING_ABI_MAJOR 2u
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
    uint32_t submit_slots;     /* unfinished jobs of each lane */
    uint32_t recipients_max;   /* of one job */
    uint32_t record_bytes_max; /* of one job on the stream */
    uint32_t job_head_bytes;   /* of the fixed part of a job, multiple of 8 */
    uint32_t result_head_bytes;
    uint32_t submit_bytes;                      /* of the job stream of each lane */
    uint32_t complete_bytes;                    /* of its result stream */
    uint64_t lanes_offset, lane_bytes;          /* first lane, stride */
    uint64_t stages_at, submit_at, complete_at; /* within a lane */
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

/* A lane: this, then a stage for each slot (uint64_t), the stream of jobs and the stream of results.
 *
 * Tails and heads are positions: bytes written and read since the beginning.  What stands in them lies in one piece, begins at a
 * multiple of 8 and says its own length in its first word; RING_SKIP there: go on at the stream's first byte.
 */
struct ring_lane {
    _Alignas(RING_ALIGN) _Atomic uint64_t submit_tail;     /* producer */
    _Alignas(RING_ALIGN) _Atomic uint64_t submit_head;     /* engine: jobs taken */
    _Alignas(RING_ALIGN) _Atomic uint64_t complete_tail;   /* engine */
    _Alignas(RING_ALIGN) _Atomic uint64_t complete_head;   /* producer: results read */
    _Alignas(RING_ALIGN) _Atomic uint32_t engine_sleeping; /* engine sets; whoever wakes it takes it back */
};

static_assert(sizeof(struct ring_lane) == 5 * RING_ALIGN, "each word has its own pair of lines");

#define RING_SKIP UINT32_MAX /* no length is: they are multiples of 8 */

/* A job's id: its slot in the low bits, a number that the library counts up above them.  The slot says where the engine writes
 * the job's stage; it is the engine's from the job on the stream until the producer has read the last of its results.
 */
#define RING_SLOT_BITS 20u
#define RING_SLOT_MASK ((1u << RING_SLOT_BITS) - 1u)

/* A stage's word: the id with enum stage in the place of the slot.  Of another id: nobody has looked at the job. */
static inline uint64_t ring_stage_word(uint64_t id, uint32_t stage)
{
    return (id & ~(uint64_t)RING_SLOT_MASK) | stage;
}

/* A job: this, extents * ring_extent, recipients * ring_recipient, then the strings without gaps or terminators: next_hop, tag,
 * sender, and for each recipient address and dsn.  Ends where the last string ends, rounded up to 8.  Its destination is
 * the next hop, or the first recipient's domain, which is then all of its recipients'.
 */
struct ring_job {
    uint32_t bytes;      /* of all of it, multiple of 8 */
    uint32_t recipients; /* in [1, recipients_max] */
    uint64_t id;
    uint64_t deadline_us; /* CLOCK_MONOTONIC; UINT64_MAX: none */
    uint32_t source_pool;
    uint16_t flags;  /* RING_JOB_* */
    uint8_t extents; /* in [1, RING_EXTENTS_MAX] */
    uint8_t sender_bytes, next_hop_bytes, tag_bytes;
    uint8_t tls_floor; /* HL_TLS_* */
    uint8_t priority;
    uint8_t reserved[4];
};

struct ring_extent {
    uint64_t offset; /* in the arena */
    uint64_t bytes;
};

struct ring_recipient {
    uint16_t address_bytes;
    uint16_t dsn_bytes;
};

static_assert(sizeof(struct ring_job) == 40, "layout");
static_assert(sizeof(struct ring_extent) == 16 && sizeof(struct ring_recipient) == 4, "layout");

enum { /* of ring_job.flags; the same numbers as HL_JOB_* and FEED_* */
       RING_JOB_SMTPUTF8 = 1 << 0,
       RING_JOB_REQUIRETLS = 1 << 1,
       RING_JOB_TLS_OPTIONAL = 1 << 2,
       RING_JOB_EXCEPTION = 1 << 3,
       RING_JOB_8BITMIME = 1 << 4,
       RING_JOB_KNOWN = (1 << 5) - 1,
};

#define RING_TLS_FLOOR_MAX 3u /* HL_TLS_* in [0, RING_TLS_FLOOR_MAX] */

/* The result of one recipient: this, then what there is of, in this order and without terminators, each string as long as its
 * length says: MX address (16 bytes), two digests, text, MX host, matched name, policy source, cipher, group, signature.
 */
struct ring_result {
    uint32_t bytes;     /* of all of it, multiple of 8 */
    uint32_t recipient; /* position in the job */
    uint64_t id;        /* the job's */
    uint64_t queued_us, connected_us, secured_us, sent_us, replied_us;
    uint8_t verdict, stage, fault, reason;
    uint16_t smtp_code;
    uint16_t flags; /* RING_RESULT_* */
    uint8_t enhanced[3];
    uint8_t tls_level; /* demanded */
    uint16_t tls_version;
    uint16_t mx_port;
    uint8_t text_bytes, mx_host_bytes, matched_name_bytes, policy_source_bytes;
    uint8_t cipher_bytes, group_bytes, signature_bytes, reserved;
};

static_assert(sizeof(struct ring_result) == 80, "layout");

#define RING_HEAD_MAX 1024u /* of the fixed part that a newer minor may have */

enum {
    RING_RESULT_MX_ADDR = 1 << 0,
    RING_RESULT_TLS = 1 << 1,
    RING_RESULT_RESUMED = 1 << 2,
    RING_RESULT_REUSED = 1 << 3,
    RING_RESULT_EXCEPTION = 1 << 4,
    RING_RESULT_PKIX = 1 << 5,
    RING_RESULT_REMEMBERED = 1 << 6,
    RING_RESULT_DIGESTS = 1 << 7, /* of certificate and SPKI */
};

#define RING_ADDR_BYTES        16u
#define RING_TEXT_MAX          239u
#define RING_HOST_MAX          253u /* mx_host, matched_name */
#define RING_POLICY_SOURCE_MAX 63u
#define RING_CIPHER_MAX        46u /* the longest that TLS 1.2 and 1.3 have here */
#define RING_GROUP_MAX         19u
#define RING_SIGNATURE_MAX     23u
#define RING_DIGEST_BYTES      32u

/* The longest of everything. */
#define RING_RESULT_MAX                                                                                    \
    ((sizeof(struct ring_result) + RING_ADDR_BYTES + 2 * RING_DIGEST_BYTES + RING_TEXT_MAX +               \
      2 * RING_HOST_MAX + RING_POLICY_SOURCE_MAX + RING_CIPHER_MAX + RING_GROUP_MAX + RING_SIGNATURE_MAX + \
      7) /                                                                                                 \
     8 * 8)
static_assert(RING_RESULT_MAX == 1056, "layout");

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
