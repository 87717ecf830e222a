/* Handshakes whose public-key work is somebody else's: suspended connections, and what can happen to them meanwhile. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tests/unit/core/certificates.h"
#include "tests/unit/core/world.h"

#include <openssl/async.h>
#include <openssl/engine.h>
#include <openssl/rsa.h>

#define ENGINE_ID "pausing"

static unsigned pauses; /* of each operation */
static RSA_METHOD *method;

static int pausing_pub_dec(int len, const unsigned char *from, unsigned char *to, RSA *key, int padding)
{
    for (unsigned i = 0; ASYNC_get_current_job() && i < pauses; i++)
        ASYNC_pause_job();
    return RSA_meth_get_pub_dec(RSA_PKCS1_OpenSSL())(len, from, to, key, padding);
}

static int add_engine(void **state)
{
    (void)state;
    ENGINE *engine = ENGINE_new();
    method = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    assert_true(RSA_meth_set_pub_dec(method, pausing_pub_dec));
    assert_true(ENGINE_set_id(engine, ENGINE_ID) && ENGINE_set_name(engine, "pauses") &&
                ENGINE_set_RSA(engine, method) && ENGINE_add(engine));
    ENGINE_free(engine);
    certificates_keys("rsa2048");
    return 0;
}

static int remove_engine(void **state)
{
    (void)state;
    ENGINE *engine = ENGINE_by_id(ENGINE_ID);
    ENGINE_remove(engine);
    ENGINE_free(engine);
    RSA_meth_free(method);
    return 0;
}

static struct world *async_world(unsigned pauses_each, struct mx_host **mx)
{
    struct world_options o = world_defaults();
    o.core.tls = (struct tls_core_config){.engine = ENGINE_ID, .async = true};
    pauses = pauses_each;
    return world_simple(&o, mx);
}

static bool somebody_is_suspended(struct world *w, const void *unused)
{
    (void)unused;
    return !list_empty(&w->core[0]->suspended);
}

static void suspended_handshakes_go_on(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = async_world(5, &mx);
    mx->think_us = 10000;
    for (unsigned i = 0; i < 10; i++)
        world_send(w, "a@d1.test");
    world_until(w, somebody_is_suspended, NULL, SECOND);
    world_settle(w, MINUTE);
    world_delivered(w, 0, 9);
    assert_true(mx->accepted > 1);
    world_close(w);
}

/* Segments that arrive meanwhile wait in TCP, and are read once it goes on. */
static void what_arrives_meanwhile_waits(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = async_world(50, &mx);
    world_send(w, "a@d1.test");
    world_until(w, somebody_is_suspended, NULL, SECOND);
    struct mx_conn *c = mx_conn_of(&w->mx, mx, 0);
    struct tcp_segment probe = {.src_port = c->key.local_port,
                                .dst_port = c->key.remote_port,
                                .seq = c->tcb.snd_una - 1,
                                .ack = c->tcb.rcv_nxt,
                                .flags = TCP_ACK};
    for (unsigned i = 0; i < 20; i++) {
        assert_true(net_send_segment(w->mx.net, &c->key, c->flow, &probe, w->now_us));
        world_step(w);
    }
    assert_true(somebody_is_suspended(w, NULL));
    world_settle(w, MINUTE);
    world_delivered(w, 0, 0);
    world_close(w);
}

static void a_peer_resets_a_suspended_connection(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = async_world(100, &mx);
    for (unsigned i = 0; i < 3; i++) {
        world_send(w, "a@d1.test");
        world_until(w, somebody_is_suspended, NULL, SECOND);
        mx_do(mx_conn_of(&w->mx, mx, 0), MX_RESET);
        world_settle(w, SECOND);
        world_expect(w, i, HL_DEFERRED, HL_STAGE_TLS, HL_REASON_CONNECTION_RESET);
        assert_int_equal(w->core[0]->connections.in_use, 0);
    }
    world_send(w, "a@d1.test");
    world_settle(w, MINUTE);
    world_delivered(w, 3, 3);
    world_close(w);
}

static void stop_with_a_suspended_connection(void **state)
{
    (void)state;
    struct mx_host *mx;
    struct world *w = async_world(100, &mx);
    world_send(w, "a@d1.test");
    world_until(w, somebody_is_suspended, NULL, SECOND);
    world_stop(w);
    world_expect(w, 0, HL_DEFERRED, HL_STAGE_SUBMIT, HL_REASON_SHUTDOWN);
    assert_false(somebody_is_suspended(w, NULL));
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suspended_handshakes_go_on),
        cmocka_unit_test(what_arrives_meanwhile_waits),
        cmocka_unit_test(a_peer_resets_a_suspended_connection),
        cmocka_unit_test(stop_with_a_suspended_connection),
    };
    return cmocka_run_group_tests(tests, add_engine, remove_engine);
}
