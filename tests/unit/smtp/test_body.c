/* RFC 5321 sections 4.5.2 (transparency), 2.3.8 (CR and LF only together), 4.1.1.4 (end of data).
 *
 * Bodies of random bytes, cut into random extents, taken in random portions, go to a receiver that knows nothing
 * but the RFC; what it unpacks must be the body.  A second look at the bytes is as strict as any receiver could be.
 */
#include "engine/base/rand.h"
#include "engine/smtp/body.h"
#include "tests/unit/cmocka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BODY_MAX    400
#define EXTENTS_MAX 12

static struct rand_source rand_now;

/* ---- the receiver ---- */

struct receiver {
    uint8_t body[BODY_MAX + 2];
    size_t len;
    bool line_start, ended;
};

/* Unpacks line by line, RFC 5321 section 4.5.2; false if bytes follow the end of data. */
static bool receive(struct receiver *r, const uint8_t *bytes, size_t len)
{
    *r = (struct receiver){.line_start = true};
    for (size_t i = 0; i < len;) {
        if (r->ended)
            return false;
        if (r->line_start && bytes[i] == '.') {
            i++;
            r->ended = i + 1 < len && bytes[i] == '\r' && bytes[i + 1] == '\n';
            if (r->ended) {
                i += 2;
                continue;
            }
        }
        assert_true(i < len && r->len < sizeof(r->body));
        r->line_start = bytes[i] == '\n';
        r->body[r->len++] = bytes[i++];
    }
    return r->ended;
}

/* No CR and no LF but in CRLF: then every receiver sees the same lines, whatever it takes for a line's end. */
static bool has_only_crlf(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\r' && (i + 1 == len || bytes[i + 1] != '\n'))
            return false;
        if (bytes[i] == '\n' && (i == 0 || bytes[i - 1] != '\r'))
            return false;
    }
    return true;
}

/* ---- the sender ---- */

struct sent {
    uint8_t bytes[2 * BODY_MAX + 64];
    size_t len;
    enum body_status status;
};

/* Takes the body in portions of at most cap bytes; cap 0: random ones. */
static void send_extents(struct sent *sent, const struct span *extent, uint32_t extents, size_t cap)
{
    struct smtp_body body;
    smtp_body_open(&body, extent, extents, true);
    sent->len = 0;
    do {
        uint8_t portion[SMTP_BODY_ROOM_MIN + 200];
        size_t room = cap ? cap : SMTP_BODY_ROOM_MIN + rand_below(&rand_now, 200);
        struct bytes_out out = bytes_out(portion, room);
        sent->status = smtp_body_put(&body, &out);
        assert_false(out.failed);
        size_t n = bytes_written(&out);
        assert_true(sent->status != BODY_MORE || n > 0);
        assert_true(sent->len + n <= sizeof(sent->bytes));
        memcpy(sent->bytes + sent->len, portion, n);
        sent->len += n;
    } while (sent->status == BODY_MORE);
    if (sent->status == BODY_END) {
        struct bytes_out out = bytes_out(sent->bytes + sent->len, SMTP_BODY_END_MAX);
        smtp_body_end(&body, &out);
        sent->len += bytes_written(&out);
    }
}

static void send_text(struct sent *sent, const char *text)
{
    struct span extent = {(const uint8_t *)text, strlen(text)};
    send_extents(sent, &extent, 1, 0);
}

static void becomes(const char *body, const char *want)
{
    struct sent sent;
    send_text(&sent, body);
    assert_int_equal(sent.status, BODY_END);
    assert_int_equal(sent.len, strlen(want));
    assert_memory_equal(sent.bytes, want, sent.len);
}

static void test_stuffing(void **state)
{
    (void)state;
    becomes("", ".\r\n");
    becomes("a", "a\r\n.\r\n");
    becomes("a\r\n", "a\r\n.\r\n");
    becomes(".", "..\r\n.\r\n");
    becomes(".\r\n", "..\r\n.\r\n");
    becomes("\r\n.\r\n", "\r\n..\r\n.\r\n");
    becomes("..\r\n.a\r\na.\r\n", "...\r\n..a\r\na.\r\n.\r\n");
    becomes("0123456789abcd\r\n.\r\n", "0123456789abcd\r\n..\r\n.\r\n");
    becomes("0123456789abc\r\n.\r\n0123456789abcdef", "0123456789abc\r\n..\r\n0123456789abcdef\r\n.\r\n");
}

static void test_nul_and_high_bytes_pass(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 0xff, 0x8d, 0x8a, 0xae, 0, '\r', '\n', 0};
    struct span extent = {bytes, sizeof(bytes)};
    struct sent sent;
    send_extents(&sent, &extent, 1, 0);
    assert_int_equal(sent.status, BODY_END);
    assert_memory_equal(sent.bytes, bytes, sizeof(bytes));
}

/* A bare CR or LF at every place of a body long enough to see blocks, tails and extents' ends. */
static void test_bare_cr_and_lf_at_every_place(void **state)
{
    static const char plain[] =
        "The quick brown fox\r\njumps over the lazy dog.\r\n.And again, and again\r\n";
    (void)state;
    for (size_t at = 0; at < sizeof(plain) - 1; at++)
        for (int lf = 0; lf < 2; lf++)
            for (size_t cut = 0; cut < sizeof(plain) - 1; cut += 7) {
                char bytes[sizeof(plain)];
                memcpy(bytes, plain, sizeof(plain));
                bytes[at] = lf ? '\n' : '\r';
                struct span extent[2] = {{(uint8_t *)bytes, cut},
                                         {(uint8_t *)bytes + cut, sizeof(plain) - 1 - cut}};
                struct sent sent;
                send_extents(&sent, extent, 2, 0);
                assert_int_equal(sent.status == BODY_END, has_only_crlf((uint8_t *)bytes, sizeof(plain) - 1));
                assert_true(has_only_crlf(sent.bytes, sent.len));
            }
}

static void test_cr_at_the_end_is_bare(void **state)
{
    struct sent sent;
    (void)state;
    send_text(&sent, "abc\r");
    assert_int_equal(sent.status, BODY_BARE);
    assert_int_equal(sent.len, 3);
}

/* What a bare byte stops is everything from it on: not even the CR has left. */
static void test_nothing_leaves_behind_a_bare_byte(void **state)
{
    struct sent sent;
    (void)state;
    send_text(&sent, "abc\r\n\r.\r\nMAIL FROM:<x@y>\r\n");
    assert_int_equal(sent.status, BODY_BARE);
    assert_int_equal(sent.len, 5);
    assert_memory_equal(sent.bytes, "abc\r\n", 5);
    send_text(&sent, "abc\r\n\n.\nMAIL FROM:<x@y>\r\n");
    assert_int_equal(sent.status, BODY_BARE);
    assert_int_equal(sent.len, 5);
}

static size_t random_body(uint8_t *body, bool with_bare)
{
    static const char *const pieces[] = {
        "\r\n", "\r\n.", ".", "..", "\r\n.\r\n", "a", "\x00\xff", "0123456789abcdef", "\r", "\n"};
    size_t len = 0, want = rand_below(&rand_now, BODY_MAX - 32);
    while (len < want) {
        const char *piece = pieces[rand_below(&rand_now, with_bare ? 10 : 8)];
        size_t n = piece[0] ? strlen(piece) : 2;
        memcpy(body + len, piece, n);
        len += n;
    }
    return len;
}

static uint32_t random_extents(struct span *extent, const uint8_t *body, size_t len)
{
    uint32_t extents = 0;
    for (size_t at = 0; at < len || extents == 0;) {
        size_t n = extents + 1 == EXTENTS_MAX ? len - at : rand_below(&rand_now, (uint32_t)(len - at) + 1);
        extent[extents++] = (struct span){n ? body + at : NULL, n}; /* empty ones point nowhere */
        at += n;
    }
    return extents;
}

static void one_random_body(uint64_t seed, bool with_bare)
{
    uint8_t body[BODY_MAX];
    struct span extent[EXTENTS_MAX];
    struct receiver receiver;
    struct sent sent;

    rand_seed(&rand_now, seed);
    size_t len = random_body(body, with_bare);
    uint32_t extents = random_extents(extent, body, len);
    send_extents(&sent, extent, extents, rand_below(&rand_now, 4) ? 0 : SMTP_BODY_ROOM_MIN);
    bool sound = has_only_crlf(body, len);
    if ((sent.status == BODY_END) != sound || !has_only_crlf(sent.bytes, sent.len))
        fail_msg("seed %lu: sound %d, status %d", seed, sound, sent.status);
    bool ended = receive(&receiver, sent.bytes, sent.len);
    if (!sound) {
        if (receiver.ended)
            fail_msg("seed %lu: an unsound body shows an end of data", seed);
        return;
    }
    if (len && (len < 2 || memcmp(body + len - 2, "\r\n", 2) != 0)) {
        memcpy(body + len, "\r\n", 2);
        len += 2;
    }
    if (!ended || receiver.len != len || memcmp(receiver.body, body, len) != 0)
        fail_msg("seed %lu: the receiver has another body", seed);
}

static void test_random_bodies_arrive(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60000; seed++)
        one_random_body(seed, false);
}

static void test_random_unsound_bodies_have_no_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60000; seed++)
        one_random_body(seed, true);
}

static void test_end_of_the_smallest_room(void **state)
{
    uint8_t bytes[SMTP_BODY_ROOM_MIN];
    struct span extent = {(const uint8_t *)"abc", 3};
    struct smtp_body body;
    struct bytes_out out = bytes_out(bytes, SMTP_BODY_ROOM_MIN - 1);
    (void)state;
    smtp_body_open(&body, &extent, 1, true);
    assert_int_equal(smtp_body_put(&body, &out), BODY_MORE);
    assert_int_equal(bytes_written(&out), 0);
    out = bytes_out(bytes, SMTP_BODY_ROOM_MIN);
    assert_int_equal(smtp_body_put(&body, &out), BODY_END);
    assert_int_equal(smtp_body_put(&body, &out), BODY_END); /* asked again, it says the same */
    assert_int_equal(bytes_written(&out), 3);
}

static void test_7bit(void **state)
{
    uint8_t bytes[100];
    (void)state;
    memset(bytes, 0x7f, sizeof(bytes));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct span extent[3] = {{NULL, 0}, {bytes, len / 2}, {bytes + len / 2, len - len / 2}};
        assert_true(smtp_body_is_7bit(extent, 3));
        for (size_t at = 0; at < len; at++) {
            bytes[at] = 0x80;
            assert_false(smtp_body_is_7bit(extent, 3));
            bytes[at] = 0x7f;
        }
    }
    assert_true(smtp_body_is_7bit(NULL, 0));
}

/* ---- a body that changes while it is sent ---- */

#define SHARED_BYTES 4096

static uint8_t shared[SHARED_BYTES];
static atomic_bool enough;

__attribute__((no_sanitize("thread"))) static void *change(void *seed)
{
    static const char alphabet[] = "\r\n.a";
    struct rand_source rand;
    rand_seed(&rand, *(uint64_t *)seed);
    while (!atomic_load_explicit(&enough, memory_order_relaxed))
        ((volatile uint8_t *)shared)[rand_below(&rand, SHARED_BYTES)] =
            (uint8_t)alphabet[rand_below(&rand, 4)];
    return NULL;
}

/* The producer writes into its arena all the time; what leaves is sound all the same. */
static void test_body_that_changes_under_the_sender(void **state)
{
    static uint8_t bytes[2 * SHARED_BYTES + 64];
    pthread_t thread;
    uint64_t seed = 7;
    unsigned broken_off = 0, sent = 0;
    (void)state;
    atomic_store(&enough, false);
    assert_int_equal(pthread_create(&thread, NULL, change, &seed), 0);
    for (int round = 0; round < 3000; round++) {
        struct span extent = {shared, SHARED_BYTES};
        struct smtp_body body;
        struct bytes_out out = bytes_out(bytes, sizeof(bytes));
        for (size_t i = 0; i < SHARED_BYTES; i += 16)
            memcpy(shared + i, "0123456789abcd\r\n", 16);
        smtp_body_open(&body, &extent, 1, true);
        enum body_status status = smtp_body_put(&body, &out);
        broken_off += status == BODY_BARE;
        sent += status == BODY_END;
        assert_true(has_only_crlf(bytes, bytes_written(&out)));
        for (size_t i = 0; i + 4 < bytes_written(&out); i++)
            assert_memory_not_equal(bytes + i, "\r\n.\r\n", 5);
    }
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
    assert_int_equal(broken_off + sent, 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stuffing),
        cmocka_unit_test(test_nul_and_high_bytes_pass),
        cmocka_unit_test(test_bare_cr_and_lf_at_every_place),
        cmocka_unit_test(test_cr_at_the_end_is_bare),
        cmocka_unit_test(test_nothing_leaves_behind_a_bare_byte),
        cmocka_unit_test(test_random_bodies_arrive),
        cmocka_unit_test(test_random_unsound_bodies_have_no_end),
        cmocka_unit_test(test_end_of_the_smallest_room),
        cmocka_unit_test(test_7bit),
        cmocka_unit_test(test_body_that_changes_under_the_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
