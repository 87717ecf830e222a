/* test_port_pcap.c: what the capture's file holds, byte by byte. */
#include "ports.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static char path[] = "/tmp/test_port_pcap.XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    strcpy(path + sizeof(path) - 7, "XXXXXX");
    return 0;
}

static struct port *decorated(struct port *below)
{
    struct error err;
    struct port *port = port_pcap_open(below, path, &err);
    if (!port)
        fail_msg("%s", err.text);
    return port;
}

static size_t read_file(uint8_t *data, size_t cap)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t len = fread(data, 1, cap, f);
    fclose(f);
    return len;
}

static uint32_t u32_at(const uint8_t *data)
{
    uint32_t v;
    memcpy(&v, data, sizeof(v));
    return v;
}

static void both_directions_are_written_in_order(void **state)
{
    (void)state;
    struct port *pair[2];
    uint8_t data[4096];
    open_pair(pair, 64);
    struct port *port = decorated(pair[0]);
    send_numbered(port, 1, 1000000);
    send_numbered(pair[1], 2, 0);
    assert_int_equal(receive_numbered(port, 1000250), 2);
    assert_int_equal(receive_numbered(pair[1], 0), 1);
    assert_int_equal(available(pair[0]), 64);
    port_close(port);
    port_close(pair[1]);

    size_t len = read_file(data, sizeof(data));
    assert_int_equal(len, 24 + 2 * (16 + FRAME_BYTES));
    assert_int_equal(u32_at(data), 0xa1b2c3d4);
    assert_int_equal(u32_at(data + 4), 4u << 16 | 2);
    assert_int_equal(u32_at(data + 20), 1); /* Ethernet */
    const uint8_t *first = data + 24, *second = first + 16 + FRAME_BYTES;
    uint64_t t1 = u32_at(first) * 1000000ull + u32_at(first + 4);
    uint64_t t2 = u32_at(second) * 1000000ull + u32_at(second + 4);
    assert_true(t2 - t1 == 250);
    assert_true(u32_at(first + 4) < 1000000);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *record = i ? second : first;
        assert_int_equal(u32_at(record + 8), FRAME_BYTES);
        assert_int_equal(u32_at(record + 12), FRAME_BYTES);
        assert_int_equal(u32_at(record + 16 + 20), i + 1);
    }
}

static void it_is_on_disk_after_a_second(void **state)
{
    (void)state;
    struct port *pair[2];
    uint8_t data[4096];
    open_pair(pair, 64);
    struct port *port = decorated(pair[0]);
    port_receive(port, NULL, 0, 5000000);
    send_numbered(port, 1, 5000001);
    assert_int_equal(read_file(data, sizeof(data)), 24);
    port_receive(port, NULL, 0, 6100000);
    assert_int_equal(read_file(data, sizeof(data)), 24 + 16 + FRAME_BYTES);
    port_close(port);
    port_close(pair[1]);
}

/* A port below that takes one frame a call. */
static const struct port_ops *real_ops;

static uint32_t transmit_one(struct port *port, struct pkt **pkt, uint32_t count, uint64_t now_us)
{
    return real_ops->transmit(port, pkt, min_u32(count, 1), now_us);
}

static void only_what_was_sent_is_written(void **state)
{
    (void)state;
    struct port *pair[2];
    uint8_t data[4096];
    open_pair(pair, 64);
    struct port_ops ops = *pair[0]->ops;
    real_ops = pair[0]->ops;
    ops.transmit = transmit_one;
    pair[0]->ops = &ops;
    struct port *port = decorated(pair[0]);
    struct pkt *burst[2] = {numbered(port, 1), numbered(port, 2)};
    assert_int_equal(port_transmit(port, burst, 2, 1), 1);
    assert_false(pkt_shared(burst[1]));
    pkt_free(burst[1]);
    port_close(port);
    port_close(pair[1]);
    assert_int_equal(read_file(data, sizeof(data)), 24 + 16 + FRAME_BYTES);
}

static void a_place_that_cannot_be_written_is_refused(void **state)
{
    (void)state;
    struct port *pair[2];
    struct error err;
    open_pair(pair, 64);
    assert_null(port_pcap_open(pair[0], "/dev/full", &err));
    assert_non_null(strstr(err.text, "/dev/full"));
    assert_null(port_pcap_open(pair[0], "/no/such/place", &err));
    assert_non_null(strstr(err.text, "No such file"));
    port_close(pair[0]);
    port_close(pair[1]);
}

/* The limit on a file's size plays the full disk. */
static void a_write_error_stops_the_capture_not_the_port(void **state)
{
    (void)state;
    struct port *pair[2];
    struct rlimit limit, before;
    open_pair(pair, 64);
    struct port *port = decorated(pair[0]);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 600;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (uint32_t i = 0; i < 20; i++) {
        send_numbered(port, i, i * 300000);
        assert_int_equal(receive_numbered(pair[1], 0), i);
    }
    setrlimit(RLIMIT_FSIZE, &before);
    for (uint32_t i = 0; i < 20; i++)
        send_numbered(port, i, 10000000 + i * 300000);
    port_close(port);
    port_close(pair[1]);
    uint8_t data[4096];
    assert_true(read_file(data, sizeof(data)) <= 600); /* and it did not go on later */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_directions_are_written_in_order, make_path, remove_path),
        cmocka_unit_test_setup_teardown(it_is_on_disk_after_a_second, make_path, remove_path),
        cmocka_unit_test_setup_teardown(only_what_was_sent_is_written, make_path, remove_path),
        cmocka_unit_test(a_place_that_cannot_be_written_is_refused),
        cmocka_unit_test_setup_teardown(a_write_error_stops_the_capture_not_the_port, make_path, remove_path),
    };
    return cmocka_run_group_tests_name("port_pcap", tests, NULL, NULL);
}
