/* test_look.c: what the control thread may see of a core: a list of connections, copies of frames. */
#include "tests/unit/core/world.h"

#include <stdlib.h>

static struct core_listing *ask(struct world *w, const char *peer, uint16_t port, uint32_t max)
{
    struct core_listing *listing = calloc(1, sizeof(*listing) + max * sizeof(struct core_connection));
    assert_non_null(listing);
    assert_true(!peer || ip_parse(peer, &listing->peer));
    listing->port = port;
    listing->max = max;
    assert_true(core_tell(w->core[0], CORE_LIST, listing));
    world_run(w, 10000);
    assert_true(atomic_load(&listing->answered));
    return listing;
}

static void connections_are_listed(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    struct core_listing *none = ask(w, NULL, 0, 4);
    assert_int_equal(none->matching, 0);
    world_send(w, "a@d1.test");
    world_send(w, "b@d1.test");
    world_settle(w, MINUTE);
    world_run(w, 100000);
    struct core_listing *all = ask(w, NULL, 0, 4);
    assert_true(all->count >= 1 && all->count == all->matching);
    const struct core_connection *c = &all->connection[0];
    assert_string_equal(c->phase, "open");
    assert_int_equal(c->tcp.state, TCP_ESTABLISHED);
    assert_true(c->tcp.srtt_us > 0 && c->tcp.cwnd_bytes > 0 && c->tcp.bytes_acked > 0);
    assert_true(c->tls_version == 0x0303 || c->tls_version == 0x0304);
    uint32_t messages = 0;
    for (uint32_t i = 0; i < all->count; i++)
        messages += all->connection[i].messages;
    assert_int_equal(messages, 2);
    assert_int_equal(c->in_hand, 0);
    assert_true(c->age_us > 0);
    char peer[IP_ADDR_TEXT_MAX];
    struct core_listing *mine = ask(w, ip_format(&c->key.remote, peer), c->key.remote_port, 4);
    assert_int_equal(mine->matching, all->matching);
    struct core_listing *port = ask(w, peer, (uint16_t)(c->key.remote_port + 1), 4);
    struct core_listing *other = ask(w, "203.0.113.77", 0, 4);
    assert_int_equal(port->matching + other->matching, 0);
    struct core_listing *counted = ask(w, NULL, 0, 0);
    assert_int_equal(counted->count, 0);
    assert_int_equal(counted->matching, all->matching);
    free(none), free(all), free(mine), free(port), free(other), free(counted);
    world_close(w);
}

static struct tap *make_tap(struct world *w, const struct core_connection *c)
{
    size_t bytes = (sizeof(struct tap) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct tap *tap = aligned_alloc(CACHE_LINE, bytes);
    const struct wire_match match = {.peer = c->key.remote};
    struct error err;
    assert_true(tap && tap_open(tap, &match, &err));
    assert_true(core_tell(w->core[0], CORE_TAP, tap));
    world_run(w, 10000);
    assert_true(atomic_load(&tap->begun));
    return tap;
}

static void a_tap_is_the_cores_until_it_is_released(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = world_simple(NULL, &mx);
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    struct core_listing *all = ask(w, NULL, 0, 4);
    assert_true(all->count >= 1);
    struct tap *tap = make_tap(w, &all->connection[0]);
    assert_null(tap_first(tap));
    world_send(w, "b@d1.test");
    world_settle(w, MINUTE);
    assert_non_null(tap_first(tap));
    assert_false(atomic_load(&tap->released));
    atomic_store(&tap->ended, true);
    world_run(w, 10000);
    assert_true(atomic_load(&tap->released));
    while (tap_first(tap))
        tap_drop(tap);
    world_send(w, "c@d1.test");
    world_settle(w, MINUTE);
    assert_null(tap_first(tap));
    tap_close(tap);
    free(tap);
    struct tap *second = make_tap(w, &all->connection[0]); /* one that is not ended when the engine stops */
    world_stop(w);
    assert_false(atomic_load(&second->released));
    world_close(w);
    assert_true(atomic_load(&second->released));
    tap_close(second);
    free(second);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_listed),
        cmocka_unit_test(a_tap_is_the_cores_until_it_is_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
