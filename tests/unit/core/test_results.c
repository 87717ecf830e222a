/* test_results.c: what a result tells beside its verdict: evidence, times, counters, the log. */
#include "tests/unit/core/world.h"

#include "engine/ring/feed_private.h"

#include <stdio.h>

static void before_tls_there_is_no_evidence(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->no_starttls = true;
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    const struct hl_result *r = world_result(w, 0, 0);
    assert_false(r->tls.present || r->tls.pkix || r->tls.digests || r->tls.reused);
    assert_string_equal(r->tls.cipher, "");
    assert_string_equal(r->tls.matched_name, "");
    assert_int_equal(r->tls.level, HL_TLS_VERIFY); /* what was demanded is told all the same */
    assert_string_equal(r->tls.policy_source, "default");
    assert_string_equal(r->mx_host, "mx1.test");
    assert_true(r->queued_us > 0);
    assert_int_equal(r->sent_us, 0);
    assert_int_equal(r->replied_us, 0);
    world_close(w);
}

static void a_rule_and_a_floor_are_both_named(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_rule(w, "d1.test", POLICY_ENCRYPT);
    world_publish(w);
    world_submit(w, &(struct letter){.to = "a@d1.test", .floor = HL_TLS_VERIFY});
    world_settle(w, MINUTE);
    const struct hl_result *r = world_expect(w, 0, HL_DELIVERED, HL_STAGE_DOT, HL_REASON_NONE);
    assert_string_equal(r->tls.policy_source, "tls d1.test+job");
    assert_int_equal(r->tls.level, HL_TLS_VERIFY);
    assert_true(r->tls.pkix);
    world_close(w);
}

static void a_refusal_by_the_receiver_comes_with_evidence(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->think_us = 10000;
    world_send(w, "bad@d1.test");
    world_settle(w, MINUTE);
    const struct hl_result *r = world_expect(w, 0, HL_FAILED, HL_STAGE_RCPT, HL_REASON_REPLY);
    assert_true(r->tls.present && r->tls.pkix && r->tls.digests);
    assert_int_equal(r->smtp_code, 550);
    assert_int_equal(r->enhanced[0], 5);
    assert_true(r->connected_us >= r->queued_us && r->secured_us > r->connected_us);
    assert_int_equal(r->sent_us, 0);
    assert_true(r->replied_us > r->secured_us);
    world_close(w);
}

static void in_doubt_knows_when_it_was_sent(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    mx->trouble = (struct mx_trouble){.at = MX_DOT, .deed = MX_RESET};
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    const struct hl_result *r = world_expect(w, 0, HL_IN_DOUBT, HL_STAGE_DOT, HL_REASON_CONNECTION_RESET);
    assert_true(r->tls.present && r->sent_us > 0);
    assert_int_equal(r->replied_us, 0);
    world_close(w);
}

/* The digests are of the certificate that was shown. */
static void digests_are_those_of_the_certificate(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    uint8_t digest[32];
    unsigned len = sizeof(digest);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(X509_digest(SSL_CTX_get0_certificate(mx->tls), EVP_sha256(), digest, &len), 1);
    assert_memory_equal(world_result(w, 0, 0)->tls.certificate_sha256, digest, 32);
    world_close(w);
}

static uint32_t visible_stage(const struct world *w)
{
    const struct feed_lane *lane = &w->feed[0]->lane[0];
    const struct ring_job *first = (const struct ring_job *)lane->in.base;
    return (uint32_t)atomic_load(&lane->stages[feed_slot_of(first->id)]) & RING_SLOT_MASK;
}

/* By it the library judges when the engine dies. */
static void the_stage_is_there_for_the_producer_to_see(void **state)
{
    (void)state;
    static const struct {
        enum mx_point at;
        enum stage stage;
    } seen[] = {
        {MX_CONNECTED, STAGE_SUBMIT}, {MX_MAIL, STAGE_MAIL}, {MX_DATA, STAGE_MAIL}, {MX_DOT, STAGE_DOT}};
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
        struct mx_host *mx;
        struct world *w = world_simple(NULL, &mx);
        mx->trouble = (struct mx_trouble){.at = seen[i].at, .deed = MX_STALL};
        world_send(w, "a@d1.test");
        world_run(w, SECOND);
        assert_int_equal(visible_stage(w), seen[i].stage);
        world_stop(w);
        world_close(w);
    }
}

static void data_is_a_stage_before_its_end(void **state)
{
    (void)state;
    struct world_options o = world_defaults();
    o.to_mx.delay_us = 10000;
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    world_submit(w, &(struct letter){.to = "a@d1.test", .bytes = 2000000});
    world_until(w, world_body_is_on_its_way, NULL, MINUTE);
    assert_int_equal(visible_stage(w), STAGE_DATA);
    world_close(w);
}

struct logged {
    unsigned lines, delivered;
    char recipient[64], destination[64], mx_host[64], feed[64];
    uint64_t cookie;
    uint8_t mx_addr[16];
};

static void log_result(void *ctx, const struct core_log_entry *entry, const struct outcome *outcome)
{
    struct logged *l = ctx;
    l->lines++;
    l->delivered += outcome->verdict == VERDICT_DELIVERED;
    snprintf(l->recipient, sizeof(l->recipient), "%.*s", (int)entry->recipient.len,
             (const char *)entry->recipient.data);
    snprintf(l->destination, sizeof(l->destination), "%s", entry->destination);
    snprintf(l->mx_host, sizeof(l->mx_host), "%s", entry->mx_host);
    snprintf(l->feed, sizeof(l->feed), "%s", entry->feed);
    if (entry->mx_addr)
        memcpy(l->mx_addr, entry->mx_addr, 16);
}

static void counters_and_log_agree(void **state)
{
    (void)state;
    struct logged logged = {0};
    struct world_options o = world_defaults();
    o.core.log = (struct core_log){.ctx = &logged, .result = log_result};
    struct mx_host *mx;
    struct world *w = world_simple(&o, &mx);
    world_send(w, "bad@d1.test a@d1.test");
    world_settle(w, MINUTE);
    world_send(w, "b@elsewhere.test");
    world_settle(w, MINUTE);
    assert_int_equal(logged.lines, 3);
    assert_string_equal(logged.recipient, "b@elsewhere.test");
    assert_string_equal(logged.destination, "elsewhere.test");
    assert_string_equal(logged.mx_host, "");
    mx->trouble = (struct mx_trouble){.at = MX_DOT, .deed = MX_CLOSE};
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    assert_int_equal(logged.lines, 4);
    assert_string_equal(logged.mx_host, "mx1.test");
    assert_string_equal(logged.feed, "test");
    assert_memory_equal(logged.mx_addr, mx->address.b, 16);
    assert_int_equal(logged.delivered, 1);
    assert_int_equal(world_stat(w, STAT_core_jobs), 3);
    assert_int_equal(world_stat(w, STAT_core_delivered), 1);
    assert_int_equal(world_stat(w, STAT_core_failed), 1);
    assert_int_equal(world_stat(w, STAT_core_deferred), 1);
    assert_int_equal(world_stat(w, STAT_core_in_doubt), 1);
    world_close(w);
}

static void numbers_are_published(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_run(w, SECOND);
    const struct core_public *pub = core_public(w->core[0]);
    assert_true(w->now_us - atomic_load(&pub->published_us) < SECOND);
    assert_int_equal(pub->connections, 1);
    assert_int_equal(pub->connections_max_seen, 1);
    assert_int_equal(pub->jobs, 0);
    assert_true(pub->jobs_max_seen >= 1);
    assert_int_equal(pub->destinations, 1);
    assert_int_equal(pub->stats.v[STAT_core_delivered], 1);
    assert_int_equal(pub->tx_capacity, 4096);
    assert_int_equal(pub->tx_available, 4096);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_tls_there_is_no_evidence),
        cmocka_unit_test(a_rule_and_a_floor_are_both_named),
        cmocka_unit_test(a_refusal_by_the_receiver_comes_with_evidence),
        cmocka_unit_test(in_doubt_knows_when_it_was_sent),
        cmocka_unit_test(digests_are_those_of_the_certificate),
        cmocka_unit_test(the_stage_is_there_for_the_producer_to_see),
        cmocka_unit_test(data_is_a_stage_before_its_end),
        cmocka_unit_test(counters_and_log_agree),
        cmocka_unit_test(numbers_are_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
