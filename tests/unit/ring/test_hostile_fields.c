/* A record that stands where it should, with a field that should not be so: its job is refused, the feed stays. */
#include "tests/unit/ring/hostile.h"

#include "tests/unit/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA (hostile_pair.producer->region.head.arena_offset)
#define END   (hostile_pair.producer->region.head.arena_offset + hostile_pair.producer->region.head.arena_bytes)

/* Each row spoils one field of a sound record. */
static void spoil_none(struct ring_job *r)
{
    r->reserved[0] = 1; /* a newer minor may use it */
}

static void spoil_recipients(struct ring_job *r)
{
    r->recipients = 4; /* and has one */
}

static void spoil_flags(struct ring_job *r)
{
    r->flags = 1u << 15;
}

static void spoil_exception(struct ring_job *r)
{
    r->flags |= FEED_EXCEPTION;
}

static void spoil_floor(struct ring_job *r)
{
    r->tls_floor = 200;
}

static void spoil_sender_length(struct ring_job *r)
{
    r->sender_bytes = UINT8_MAX;
}

static void spoil_sender_shorter(struct ring_job *r)
{
    r->sender_bytes = (uint8_t)(r->sender_bytes - 8);
}

static char *strings_of(struct ring_job *r)
{
    return (char *)r + sizeof(*r) + sizeof(struct ring_extent) + sizeof(struct ring_recipient);
}

static void spoil_next_hop(struct ring_job *r)
{
    r->next_hop_bytes = 4;
    strings_of(r)[1] = '<';
    r->sender_bytes = (uint8_t)(r->sender_bytes - 4);
}

static void spoil_tag(struct ring_job *r)
{
    r->tag_bytes = 200;
}

static void spoil_extents(struct ring_job *r)
{
    r->extents = 17;
}

static void spoil_no_extents(struct ring_job *r)
{
    r->extents = 0;
}

static struct ring_extent *extent_of(struct ring_job *r)
{
    return (struct ring_extent *)(r + 1);
}

static void spoil_extent_offset(struct ring_job *r)
{
    extent_of(r)->offset = 0;
}

static void spoil_extent_end(struct ring_job *r)
{
    extent_of(r)->offset = END - 5;
}

static void spoil_extent_wrap(struct ring_job *r)
{
    extent_of(r)->offset = UINT64_MAX - 3;
}

static void spoil_extent_bytes(struct ring_job *r)
{
    extent_of(r)->bytes = UINT64_MAX;
}

static void spoil_extent_empty(struct ring_job *r)
{
    extent_of(r)->bytes = 0;
}

static void spoil_too_long(struct ring_job *r)
{
    extent_of(r)->offset = ARENA;
    extent_of(r)->bytes = 100001;
}

static void spoil_sender_cr(struct ring_job *r)
{
    strings_of(r)[2] = '\r';
}

static void spoil_sender_nul(struct ring_job *r)
{
    strings_of(r)[2] = 0;
}

static void spoil_recipient_bracket(struct ring_job *r)
{
    strings_of(r)[17] = '<';
}

static void spoil_recipient_lf(struct ring_job *r)
{
    strings_of(r)[17] = '\n';
}

static void spoil_dsn(struct ring_job *r) /* the address's last bytes become its DSN parameters */
{
    struct ring_recipient *p = (struct ring_recipient *)(extent_of(r) + 1);
    p->address_bytes = (uint16_t)(p->address_bytes - 4);
    p->dsn_bytes = 4;
}

static void every_field_is_checked(void **state)
{
    (void)state;
    static const struct {
        void (*spoil)(struct ring_job *r);
        const char *text;
    } row[] = {
        {spoil_flags, "flag"},
        {spoil_exception, "exception, which this feed may not"},
        {spoil_floor, "TLS floor"},
        {spoil_sender_length, "not as long as its parts"},
        {spoil_sender_shorter, "not as long as its parts"},
        {spoil_next_hop, "next hop"},
        {spoil_tag, "not as long as its parts"},
        {spoil_extents, "no extents or too many"},
        {spoil_no_extents, "no extents or too many"},
        {spoil_extent_offset, "outside of the arena"},
        {spoil_extent_end, "outside of the arena"},
        {spoil_extent_wrap, "outside of the arena"},
        {spoil_extent_bytes, "outside of the arena"},
        {spoil_extent_empty, "the body is empty"},
        {spoil_too_long, "longer than this feed may send"},
        {spoil_sender_cr, "the sender's address has a CR or LF"},
        {spoil_sender_nul, "the sender's address has a NUL"},
        {spoil_recipient_bracket, "a recipient's address has an angle bracket"},
        {spoil_recipient_lf, "a recipient's address has a CR or LF"},
        {spoil_dsn, "a recipient's"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        row[i].spoil(hostile_place());
        hostile_refused(row[i].text);
    }
    spoil_recipients(hostile_place()); /* more results than the library waits for: its own affair */
    assert_int_equal(hostile_take(), FEED_REFUSED);
    assert_int_equal(hostile_memory->recipients, 4);
    assert_non_null(strstr(hostile_why.text, "not as long as its parts"));
}

static void unknown_reserved_bytes_are_left_to_newer_minors(void **state)
{
    (void)state;
    spoil_none(hostile_place());
    assert_int_equal(hostile_take(), FEED_TAKEN);
}

/* Whatever is written over the record once it was taken, the engine's copy stays. */
static void changes_after_the_take_do_not_matter(void **state)
{
    (void)state;
    struct ring_job *record = hostile_place();
    uint32_t bytes = record->bytes;
    assert_int_equal(hostile_take(), FEED_TAKEN);
    memset(record, 0xff, bytes);
    assert_string_equal(hostile_memory->domain, "example.org");
    assert_int_equal(hostile_memory->recipients, 1);
    assert_memory_equal(hostile_memory->sender.data, "alice@example.com", 17);
    assert_memory_equal(hostile_memory->recipient[0].address.data, "bob@example.org", 15);
    pair_deliver(hostile_memory);
    struct hl_result r;
    assert_int_equal(hl_reap(hostile_pair.producer, &r, 1, NULL), 1);
    assert_int_equal(r.verdict, HL_DELIVERED);
}

static void another_lane_than_the_destination_s(void **state)
{
    (void)state;
    struct feed_shape shape = pair_shape();
    pair_close(&hostile_pair);
    shape.lanes = 2;
    pair_open(&hostile_pair, &shape);
    struct hl_job job = pair_job(1);
    assert_int_equal(hl_submit(hostile_pair.producer, &job, NULL), 0);
    uint32_t right = hostile_pair.producer->region.lane[0].out.position ? 0 : 1;
    struct lane *from = &hostile_pair.producer->region.lane[right],
                *to = &hostile_pair.producer->region.lane[!right];
    memcpy(to->out.base, from->out.base, from->out.position);
    atomic_store(&to->shared->submit_tail, from->out.position);
    assert_int_equal(feed_take(hostile_pair.engine, !right, hostile_memory, &hostile_why), FEED_REFUSED);
    assert_non_null(strstr(hostile_why.text, "another lane"));
    assert_int_equal(feed_take(hostile_pair.engine, right, hostile_memory, &hostile_why), FEED_TAKEN);
}

/* Without a next hop a job may not borrow another destination's policy: the second recipient's domain is changed. */
static void another_domain_among_the_recipients(void **state)
{
    (void)state;
    struct hl_recipient to[] = {{hl_str("a@example.org"), hl_none()}, {hl_str("b@example.org"), hl_none()}};
    struct hl_job job = pair_job(1);
    job.recipients = to;
    job.recipients_count = 2;
    assert_int_equal(hl_submit(hostile_pair.producer, &job, NULL), 0);
    uint8_t *record = hostile_lane()->out.base,
            *second = memmem(record, hostile_lane()->out.position, "b@example.org", 13);
    assert_non_null(second);
    memcpy(second + 2, "exanple", 7);
    assert_int_equal(hostile_take(), FEED_REFUSED);
    assert_non_null(strstr(hostile_why.text, "a recipient's domain is not the job's"));
    assert_int_equal(hostile_memory->recipients, 2);
}

/* The first recipient's domain is not looked at again in the second, whose length is another one all the same. */
static void a_second_address_longer_than_any(void **state)
{
    (void)state;
    char domain[251];
    uint8_t *at = hostile_lane()->out.base;
    struct ring_job head = {.bytes = 632, .recipients = 2, .id = 1u << RING_SLOT_BITS, .extents = 1};
    const struct ring_extent extent = {ARENA, 10};
    const struct ring_recipient length[] = {{2 + 250, 0}, {64 + 1 + 250, 0}};
    for (unsigned i = 0; i < 250; i++)
        domain[i] = i % 62 == 61 ? '.' : 'a';
    domain[250] = 0;
    memcpy(at, &head, sizeof(head));
    memcpy(at + 40, &extent, sizeof(extent));
    memcpy(at + 56, length, sizeof(length));
    snprintf((char *)at + 64, 632 - 64, "a@%s%064d@%s", domain, 0, domain);
    hostile_show(632);
    assert_int_equal(hostile_take(), FEED_REFUSED);
    assert_non_null(strstr(hostile_why.text, "a recipient's address is longer than 254 bytes"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, hostile_open, hostile_close)
    const struct CMUnitTest tests[] = {
        T(every_field_is_checked),
        T(unknown_reserved_bytes_are_left_to_newer_minors),
        T(changes_after_the_take_do_not_matter),
        T(another_lane_than_the_destination_s),
        T(another_domain_among_the_recipients),
        T(a_second_address_longer_than_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
