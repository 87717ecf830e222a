/* Both ends: what is submitted is what is taken, what is reported is what is reaped. */
#include "engine/ring/lib/lib.h"
#include "tests/unit/ring/one_pair.h"

#include "tests/unit/cmocka.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define assert_span(span, text)                               \
    do {                                                      \
        assert_int_equal((span).len, strlen(text));           \
        assert_memory_equal((span).data, text, strlen(text)); \
    } while (0)

static void every_field_arrives(void **state)
{
    (void)state;
    struct hl_recipient to[] = {
        {hl_str("bob@Example.ORG"), hl_str("NOTIFY=FAILURE,DELAY ORCPT=rfc822;bob@example.org")},
        {hl_str("\"odd one\\\"\"@example.org"), hl_none()},
    };
    to[1].address = hl_str("\"odd\"@example.org");
    struct hl_part parts[] = {hl_copy_of("Subject: x\r\n\r\n", 14), hl_copy_of("caf\xc3\xa9\r\n", 7)};
    struct hl_job job = hl_job_init();
    job.cookie = 0xfeedfacecafef00d;
    job.sender = hl_str("alice@example.com");
    job.recipients = to;
    job.recipients_count = 2;
    job.parts = parts;
    job.parts_count = 2;
    job.flags = HL_JOB_REQUIRETLS;
    job.source_pool = 7;
    job.deadline_us = 123456789;
    job.tls_floor = HL_TLS_SECURE;
    job.priority = 3;
    job.tag = hl_str("campaign 12");
    one_pair_submit(&job);

    struct feed_job *got = pair_take(&pair, 0);
    assert_string_equal(got->domain, "example.org");
    assert_string_equal(got->next_hop, "");
    assert_string_equal(got->tag, "campaign 12");
    assert_span(got->sender, "alice@example.com");
    assert_int_equal(got->recipients, 2);
    assert_span(got->recipient[0].address, "bob@Example.ORG");
    assert_span(got->recipient[0].dsn, " NOTIFY=FAILURE,DELAY ORCPT=rfc822;bob@example.org");
    assert_span(got->recipient[1].address, "\"odd\"@example.org");
    assert_int_equal(got->recipient[1].dsn.len, 0);
    assert_int_equal(got->recipient[1].index, 1);
    assert_int_equal(got->flags, FEED_REQUIRETLS | FEED_8BITMIME);
    assert_int_equal(got->source_pool, 7);
    assert_int_equal(got->deadline_us, 123456789);
    assert_int_equal(got->tls_floor, HL_TLS_SECURE);
    assert_int_equal(got->priority, 3);
    assert_int_equal(got->body_bytes, 21);
    assert_int_equal(got->extents, 2);
    assert_span(got->extent[0], "Subject: x\r\n\r\n");
    assert_span(got->extent[1], "caf\xc3\xa9\r\n");
    pair_deliver(got);
}

static void every_field_of_a_result_arrives(void **state)
{
    (void)state;
    uint8_t addr[16], cert[32], spki[32];
    char host[254], name[254], text[240];
    struct hl_job job = pair_job(9);
    one_pair_submit(&job);
    struct feed_job *got = pair_take(&pair, 0);

    memset(addr, 4, sizeof(addr));
    memset(cert, 5, sizeof(cert));
    memset(spki, 6, sizeof(spki));
    memset(host, 'h', 253);
    memset(name, 'n', 253);
    memset(text, 't', 239);
    host[253] = name[253] = text[239] = 0;
    struct feed_evidence evidence = {
        .tls = true,
        .resumed = true,
        .remembered = true,
        .reused = true,
        .exception = true,
        .pkix = true,
        .version = 0x0304,
        .level = 2,
        .cipher = "TLS_AES_256_GCM_SHA384",
        .group = "x25519",
        .signature = "ecdsa_secp256r1_sha256",
        .matched_name = name,
        .policy_source = "tls[2] .example.org",
        .cert_sha256 = cert,
        .spki_sha256 = spki,
    };
    struct feed_delivery delivery = {.mx_host = host,
                                     .mx_addr = addr,
                                     .mx_port = 2525,
                                     .queued_us = 1,
                                     .connected_us = 2,
                                     .secured_us = 3,
                                     .sent_us = 4,
                                     .replied_us = 5,
                                     .evidence = &evidence};
    struct outcome o;
    outcome_set(&o, VERDICT_FAILED, STAGE_RCPT, FAULT_REMOTE, REASON_REPLY, "%s", text);
    o.smtp_code = 550;
    o.enhanced[0] = 5;
    o.enhanced[1] = 1;
    o.enhanced[2] = 100;
    feed_report(got, 0, &o, &delivery);

    struct hl_result r;
    assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 0); /* not before the flush */
    feed_flush(pair.engine, 0);
    assert_int_equal(hl_reap(pair.producer, &r, 1, NULL), 1);
    assert_int_equal(r.cookie, 9);
    assert_int_equal(r.recipient, 0);
    assert_int_equal(r.last, 1);
    assert_int_equal(r.verdict, HL_FAILED);
    assert_int_equal(r.stage, HL_STAGE_RCPT);
    assert_int_equal(r.fault, HL_FAULT_REMOTE);
    assert_int_equal(r.reason, HL_REASON_REPLY);
    assert_int_equal(r.smtp_code, 550);
    assert_int_equal(r.enhanced[2], 100);
    assert_string_equal(r.text, text);
    assert_string_equal(r.mx_host, host);
    assert_true(r.mx_addr_present);
    assert_memory_equal(r.mx_addr, addr, 16);
    assert_int_equal(r.mx_port, 2525);
    assert_true(r.submitted_us > 5);
    assert_int_equal(r.queued_us, 1);
    assert_int_equal(r.connected_us, 2);
    assert_int_equal(r.secured_us, 3);
    assert_int_equal(r.sent_us, 4);
    assert_int_equal(r.replied_us, 5);
    assert_true(r.tls.present && r.tls.resumed && r.tls.remembered && r.tls.reused && r.tls.exception &&
                r.tls.pkix && r.tls.digests);
    assert_int_equal(r.tls.version, 0x0304);
    assert_int_equal(r.tls.level, 2);
    assert_string_equal(r.tls.cipher, "TLS_AES_256_GCM_SHA384");
    assert_string_equal(r.tls.group, "x25519");
    assert_string_equal(r.tls.signature, "ecdsa_secp256r1_sha256");
    assert_string_equal(r.tls.matched_name, name);
    assert_string_equal(r.tls.policy_source, "tls[2] .example.org");
    assert_memory_equal(r.tls.certificate_sha256, cert, 32);
    assert_memory_equal(r.tls.spki_sha256, spki, 32);
}

static void indices_wrap_around(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 1000; round++) {
        struct hl_result r[4];
        for (uint64_t i = 0; i < 3; i++) {
            struct hl_job job = pair_job(round * 3 + i);
            one_pair_submit(&job);
        }
        for (uint64_t i = 0; i < 3; i++)
            pair_deliver(pair_take(&pair, 0));
        assert_int_equal(hl_reap(pair.producer, r, 4, NULL), 3);
        for (uint64_t i = 0; i < 3; i++)
            assert_int_equal(r[i].cookie, round * 3 + i);
    }
    struct hl_limits limits;
    hl_feed_limits(pair.producer, &limits);
    assert_int_equal(limits.recipients_in_flight, 0);
    assert_int_equal(limits.arena_free, limits.arena_bytes);
}

/* An engine of a newer minor may have longer fixed parts of jobs and results: the library steps over what it does not know. */
static void a_newer_minor_is_read_by_its_lengths(void **state)
{
    (void)state;
    struct ring_header h = {
        .magic = RING_MAGIC,
        .abi_major = RING_ABI_MAJOR,
        .abi_minor = 7,
        .header_bytes = 1024,
        .region_bytes = 1 << 20,
        .lanes = 1,
        .submit_slots = 4,
        .recipients_max = 2,
        .record_bytes_max = 4096,
        .job_head_bytes = 64,
        .result_head_bytes = 120,
        .submit_bytes = 8192,
        .complete_bytes = 8192,
        .lanes_offset = 8192,
        .lane_bytes = 32768,
        .stages_at = 1024,
        .submit_at = 2048,
        .complete_at = 16384,
        .arena_offset = 65536,
        .arena_bytes = 65536,
        .body_bytes_max = 60000,
    };
    int memfd = memfd_create("newer", MFD_CLOEXEC);
    assert_int_equal(ftruncate(memfd, 1 << 20), 0);
    assert_int_equal(pwrite(memfd, &h, sizeof(h), 0), sizeof(h));
    hl_feed *feed = feed_new();
    assert_non_null(feed);
    assert_int_equal(region_adopt(&feed->region, memfd, &pair.error), 0);
    feed->region.sock = feed->region.wake_engine = feed->region.wake_producer = -1;
    close(memfd);

    uint8_t *lane = feed->region.base + h.lanes_offset;
    const uint8_t *job_at = lane + h.submit_at;
    uint8_t *result_at = lane + h.complete_at;
    for (uint32_t i = 0; i < 3; i++, result_at += 128) {
        struct hl_job job = pair_job(i);
        assert_int_equal(hl_submit(feed, &job, &pair.error), 0);
        const struct ring_job *j = (const struct ring_job *)job_at;
        const struct ring_extent *extent = (const struct ring_extent *)(job_at + 64);
        assert_int_equal(j->id & RING_SLOT_MASK, i);
        assert_in_range(extent->offset, 65536, 131072);
        assert_int_equal(extent->bytes, 25);
        job_at += j->bytes;
        *(struct ring_result *)result_at = (struct ring_result){
            .bytes = 128, .id = j->id, .verdict = VERDICT_DELIVERED, .smtp_code = 250, .text_bytes = 5};
        memcpy(result_at + 120, "hello", 5);
    }
    atomic_store(&((struct ring_lane *)lane)->complete_tail, 3 * 128);
    struct hl_result r[4];
    assert_int_equal(hl_reap(feed, r, 4, &pair.error), 3);
    assert_int_equal(r[2].cookie, 2);
    assert_int_equal(r[2].smtp_code, 250);
    assert_string_equal(r[2].text, "hello");
    assert_int_equal(hl_feed_detach(feed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_field_arrives, one_pair_open, one_pair_close),
        cmocka_unit_test_setup_teardown(every_field_of_a_result_arrives, one_pair_open, one_pair_close),
        cmocka_unit_test_setup_teardown(indices_wrap_around, one_pair_open, one_pair_close),
        cmocka_unit_test(a_newer_minor_is_read_by_its_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
