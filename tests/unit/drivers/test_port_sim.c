/* test_port_sim.c: the in-memory pair. */
#include "ports.h"

static void frames_arrive_in_order_as_copies(void **state)
{
    (void)state;
    struct port *pair[2];
    open_pair(pair, 64);
    struct pkt *burst[3] = {numbered(pair[0], 1), numbered(pair[0], 2), numbered(pair[0], 3)};
    pkt_ref(burst[0]); /* as TCP does */
    assert_int_equal(port_transmit(pair[0], burst, 3, 0), 3);
    burst[0]->data[20] = 99;
    pkt_free(burst[0]);
    assert_int_equal(receive_numbered(pair[0], 0), -1);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(receive_numbered(pair[1], 0), i);
    assert_int_equal(receive_numbered(pair[1], 0), -1);
    assert_int_equal(available(pair[0]), 64);
    assert_int_equal(available(pair[1]), 64);
    port_close(pair[0]);
    port_close(pair[1]);
}

static void a_receiver_without_buffers_loses_and_counts(void **state)
{
    (void)state;
    struct port *pair[2];
    open_pair(pair, 8);
    for (uint32_t i = 0; i < 11; i++)
        send_numbered(pair[0], i, 0);
    assert_int_equal(pair[1]->dropped, 3);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(receive_numbered(pair[1], 0), i);
    assert_int_equal(receive_numbered(pair[1], 0), -1);
    port_close(pair[1]);
    port_close(pair[0]);
}

static void a_receiver_that_does_not_look_loses_and_counts(void **state)
{
    (void)state;
    struct port *pair[2];
    open_pair(pair, 2000);
    for (uint32_t i = 0; i < 1100; i++)
        send_numbered(pair[0], i, 0);
    assert_int_equal(pair[1]->dropped, 1100 - 1024);
    port_close(pair[0]); /* in either order, with frames under way */
    port_close(pair[1]);
}

static void sending_to_a_closed_end_loses(void **state)
{
    (void)state;
    struct port *pair[2];
    open_pair(pair, 8);
    port_close(pair[1]);
    send_numbered(pair[0], 1, 0);
    assert_int_equal(available(pair[0]), 8);
    port_close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_arrive_in_order_as_copies),
        cmocka_unit_test(a_receiver_without_buffers_loses_and_counts),
        cmocka_unit_test(a_receiver_that_does_not_look_loses_and_counts),
        cmocka_unit_test(sending_to_a_closed_end_loses),
    };
    return cmocka_run_group_tests_name("port_sim", tests, NULL, NULL);
}
