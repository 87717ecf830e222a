/* What a delivered recipient's result proves: verified now, remembered, resumed, or over a connection that stood. */
#include "tests/unit/core/world.h"

static struct world *open_world(uint32_t messages_each, uint32_t chains, uint32_t tickets,
                                struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.core.smtp.messages_max = messages_each;
    o.core.tls = (struct tls_core_config){.proven_chains = chains,
                                          .proven_lifetime_s = 3600,
                                          .tickets_max = tickets,
                                          .tickets_per_destination = 2,
                                          .ticket_lifetime_s = 3600};
    return world_simple(&o, mx);
}

static const struct hl_tls *deliver(struct world *w)
{
    unsigned number = world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, number, number);
    return &world_result(w, number, 0)->tls;
}

static void says(const struct hl_tls *tls, bool resumed, bool remembered, bool reused)
{
    assert_true(tls->present);
    assert_int_equal(tls->resumed, resumed);
    assert_int_equal(tls->remembered, remembered);
    assert_int_equal(tls->reused, reused);
}

/* However it came to be known, it is told in full. */
static void proves_the_same(const struct hl_tls *a, const struct hl_tls *b)
{
    assert_int_equal(a->pkix, b->pkix);
    assert_int_equal(a->level, b->level);
    assert_int_equal(a->version, b->version);
    assert_string_equal(a->cipher, b->cipher);
    assert_string_equal(a->group, b->group);
    assert_string_equal(a->policy_source, b->policy_source);
    assert_string_equal(a->matched_name, b->matched_name);
    assert_memory_equal(a->certificate_sha256, b->certificate_sha256, 32);
    assert_memory_equal(a->spki_sha256, b->spki_sha256, 32);
}

static void verified_once_is_verified(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = open_world(1, 0, 0, &mx);
    for (unsigned i = 0; i < 2; i++) {
        const struct hl_tls *tls = deliver(w);
        says(tls, false, false, false);
        assert_int_equal(tls->version, 0x0304);
        assert_int_equal(tls->level, HL_TLS_VERIFY);
        assert_string_equal(tls->cipher, "TLS_AES_128_GCM_SHA256");
        assert_string_equal(tls->matched_name, "mx1.test");
        assert_string_not_equal(tls->group, "");
        assert_string_equal(tls->signature, "ecdsa_secp256r1_sha256");
        assert_true(tls->pkix && tls->digests);
    }
    world_close(w);
}

static void a_remembered_chain(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = open_world(1, 16, 0, &mx);
    const struct hl_tls *first = deliver(w), *second = deliver(w);
    says(first, false, false, false);
    says(second, false, true, false);
    proves_the_same(first, second);
    assert_string_equal(first->signature, second->signature); /* it signs each handshake */
    world_close(w);
}

static void a_resumed_session(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = open_world(1, 16, 16, &mx);
    const struct hl_tls *first = deliver(w), *second = deliver(w), *third = deliver(w);
    says(first, false, false, false);
    says(second, true, false, false);
    says(third, true, false, false);
    proves_the_same(first, second);
    proves_the_same(first, third);
    assert_string_equal(first->signature, second->signature); /* of the handshake that is resumed */
    world_close(w);
}

static void a_connection_that_stood(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = open_world(10, 16, 16, &mx);
    const struct hl_tls *first = deliver(w), *second = deliver(w);
    says(first, false, false, false);
    says(second, false, false, true);
    proves_the_same(first, second);
    assert_int_equal(mx->accepted, 1);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verified_once_is_verified),
        cmocka_unit_test(a_remembered_chain),
        cmocka_unit_test(a_resumed_session),
        cmocka_unit_test(a_connection_that_stood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
