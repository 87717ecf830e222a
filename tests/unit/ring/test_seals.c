/* The memory of a feed: what the seals keep a producer from, what a bad page breaks, which shapes there are. */
#include "tests/unit/ring/bare.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the seals ---- */

static void mapped_with(int memfd, int sock, const char *refusal)
{
    struct ring_message mapped = bare_message(RING_MAPPED);
    bare_say(sock, &mapped, sizeof(mapped));
    if (refusal) {
        bare_hears_goodbye(sock, RING_BYE_PROTOCOL, refusal);
        assert_null(pair.engine);
    } else {
        assert_int_equal(bare_hear(sock, NULL).what, RING_READY);
        assert_non_null(pair.engine);
        close(sock);
    }
    close(memfd);
}

static void memory_cut_off_before_the_seals_is_noticed(void **state)
{
    (void)state;
    int sock, memfd = bare_granted(&sock);
    assert_int_equal(ftruncate(memfd, 4096), 0);
    mapped_with(memfd, sock, "changed the size");
}

static void memory_sealed_by_the_producer_is_refused(void **state)
{
    (void)state;
    int sock, memfd = bare_granted(&sock);
    assert_int_equal(fcntl(memfd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    mapped_with(memfd, sock, "sealing");
}

static void holes_punched_before_the_seals_are_filled(void **state)
{
    (void)state;
    int sock, memfd = bare_granted(&sock);
    assert_int_equal(fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536), 0);
    mapped_with(memfd, sock, NULL);
    struct outcome why;
    struct feed_shape shape = pair_shape();
    struct feed_job *job = pair_job_memory(&shape);
    assert_int_equal(feed_take(pair.engine, 0, job, &why), FEED_EMPTY);
    free(job);
}

static void the_seals_hold(void **state)
{
    (void)state;
    int sock, memfd = bare_granted(&sock);
    struct stat st;
    assert_int_equal(fstat(memfd, &st), 0);
    uint8_t *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    mapped_with(dup(memfd), sock, NULL);

    assert_int_equal(ftruncate(memfd, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(memfd, st.st_size * 2), -1);
    assert_int_equal(fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(madvise(map, 65536, MADV_REMOVE), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0), MAP_FAILED);
    assert_int_equal(pwrite(memfd, "x", 1, 0), -1);
    map[8192] = 1; /* the map from before is still writable */
    munmap(map, (size_t)st.st_size);
    close(memfd);
}

/* ---- SIGBUS ---- */

static void a_sigbus_breaks_one_feed_and_nothing_else(void **state)
{
    (void)state;
    struct error err;
    assert_true(feed_sigbus_install(&err));
    struct feed_shape shape = pair_shape();
    struct feed_rights rights = {.name = "victim"};
    int fd, fd_other;
    struct feed *feed = feed_open(&shape, &rights, &fd, &err),
                *other = feed_open(&shape, &rights, &fd_other, &err);
    assert_non_null(feed);
    assert_int_equal(ftruncate(fd, 0), 0); /* not sealed: what a bad page would be */
    struct feed_job *job = pair_job_memory(&shape);
    struct outcome why;
    assert_int_equal(feed_take(feed, 0, job, &why), FEED_BROKEN); /* reads zeros, and goes on */
    assert_true(feed_broken(feed));
    assert_non_null(strstr(feed_fault(feed), "SIGBUS"));
    assert_int_equal(feed_take(feed, 0, job, &why), FEED_BROKEN);
    assert_false(feed_broken(other));
    assert_int_equal(feed_take(other, 0, job, &why), FEED_EMPTY);
    free(job);
    feed_close(feed, true);
    feed_close(other, true);
    close(fd);
    close(fd_other);
}

/* ---- shapes ---- */

static void shapes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct feed_rights rights = {.name = "x"};
    struct error err;
    int fd;
    static const struct {
        size_t offset;
        uint32_t value;
        const char *text;
    } row[] = {
        {offsetof(struct feed_shape, lanes), 0, "0 lanes"},
        {offsetof(struct feed_shape, lanes), 65, "65 lanes"},
        {offsetof(struct feed_shape, submit_slots), 100, "powers of two"},
        {offsetof(struct feed_shape, complete_slots), 0, "powers of two"},
        {offsetof(struct feed_shape, recipients_max), 9, "9 recipients"},
        {offsetof(struct feed_shape, recipients_max), 0, "0 recipients"},
        {offsetof(struct feed_shape, envelope_bytes_max), 4095, "4095 bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct feed_shape shape = pair_shape();
        memcpy((char *)&shape + row[i].offset, &row[i].value, sizeof(row[i].value));
        assert_null(feed_open(&shape, &rights, &fd, &err));
        assert_int_equal(fd, -1);
        if (!strstr(err.text, row[i].text))
            fail_msg("\"%s\" does not say \"%s\"", err.text, row[i].text);
    }
    struct feed_shape shape = pair_shape();
    shape.arena_bytes = 1ull << 39;
    shape.arena_bytes <<= 2;
    assert_null(feed_open(&shape, &rights, &fd, &err));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, one_pair_serve, one_pair_close)
    const struct CMUnitTest tests[] = {
        T(memory_cut_off_before_the_seals_is_noticed),
        T(memory_sealed_by_the_producer_is_refused),
        T(holes_punched_before_the_seals_are_filled),
        T(the_seals_hold),
        cmocka_unit_test(a_sigbus_breaks_one_feed_and_nothing_else),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
