/* Line ends: what is bare is found, where it is cut into parts or not, and normalising leaves nothing bare. */
#include "engine/base/rand.h"
#include "engine/ring/lib/lib.h"

#include "tests/unit/cmocka.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A copy is judged as what stays where it is, and ends where it ends. */
static void copy_says_the_same(const uint8_t *text, size_t bytes, const char *wrong,
                               const struct lines *lines)
{
    struct lines l = {0};
    uint8_t copy[256];
    assert_true(bytes < sizeof(copy));
    copy[bytes] = 0x5a;
    assert_ptr_equal(lines_copy(&l, text, bytes, copy), wrong);
    assert_int_equal(l.bytes, lines->bytes);
    assert_int_equal(copy[bytes], 0x5a);
    if (!wrong) {
        assert_memory_equal(copy, text, bytes);
        assert_true(l.cr == lines->cr && l.has_8bit == lines->has_8bit);
    }
}

static const char *check(const char *text, size_t bytes, struct lines *lines)
{
    *lines = (struct lines){0};
    const char *wrong = lines_check(lines, (const uint8_t *)text, bytes);
    copy_says_the_same((const uint8_t *)text, bytes, wrong, lines);
    return wrong ? wrong : lines->cr ? "CR" : NULL;
}

#define assert_bare(text, what, at, row)                                               \
    do {                                                                               \
        struct lines l_;                                                               \
        assert_string_equal(check(text, sizeof(text) - 1, &l_), what);                 \
        assert_int_equal(l_.bytes, at);                                                \
        assert_int_equal(lines_count((const uint8_t *)(text), (size_t)l_.bytes), row); \
    } while (0)

static void bare_ones_are_found_where_they_are(void **state)
{
    (void)state;
    struct lines l;
    assert_null(check("a\r\nb\r\n\r\n", 9, &l));
    assert_null(check("no line end", 11, &l));
    assert_null(check("", 0, &l));
    assert_bare("a\nb\r\n", "LF", 1, 0);
    assert_bare("\n", "LF", 0, 0);
    assert_bare("a\r\nb\n", "LF", 4, 1);
    assert_bare("a\rb\r\n", "CR", 1, 0);
    assert_bare("a\r\n.\r\r\n", "CR", 4, 1);
    assert_bare("a\r\n\r\n\nx\r\n", "LF", 5, 2);
    assert_string_equal(check("a\r\n\r", 4, &l), "CR");
    assert_string_equal(check("a\r\n.\n", 5, &l), "LF");
}

/* The same at every place of a block of 64 bytes, and across two. */
static void every_position_of_a_block_counts(void **state)
{
    (void)state;
    char text[200];
    for (size_t bytes = 1; bytes <= sizeof(text); bytes++)
        for (size_t at = 0; at < bytes; at++) {
            struct lines l;
            memset(text, 'a', sizeof(text));
            text[at] = '\n';
            assert_string_equal(check(text, bytes, &l), "LF");
            assert_int_equal(l.bytes, at);
            text[at] = '\r';
            assert_string_equal(check(text, bytes, &l), "CR");
            if (at + 1 < bytes) {
                assert_int_equal(l.bytes, at);
                text[at + 1] = '\n';
                assert_null(check(text, bytes, &l));
                assert_int_equal(l.bytes, bytes);
            }
        }
}

/* In front of the page and behind it there is nothing to read. */
static uint8_t *lone_page(size_t page)
{
    uint8_t *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_READ | PROT_WRITE), 0);
    return map + page;
}

static void nothing_is_read_beside_the_text(void **state)
{
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *data = lone_page(page);
    for (size_t bytes = 0; bytes <= 200; bytes++) {
        uint8_t *const place[] = {data, data + page - bytes};
        for (size_t i = 0; i < ARRAY_LEN(place); i++) {
            struct lines l;
            memset(data, '\n', page); /* wrong, if it is looked at */
            memset(place[i], 'a', bytes);
            assert_null(check((const char *)place[i], bytes, &l));
            assert_int_equal(l.bytes, bytes);
        }
    }
    assert_int_equal(munmap(data - page, 3 * page), 0);
}

static void parts_do_not_matter(void **state)
{
    (void)state;
    static const char *const text[] = {"a\r\nb\r\n\r\nc", "a\rb",     "\r\n",    "\r", "a\n",
                                       "\r\r\n",          "a\r\n\nb", "x\r\ny\r"};
    for (size_t t = 0; t < ARRAY_LEN(text); t++) {
        struct lines whole;
        size_t n = strlen(text[t]);
        const char *wrong = check(text[t], n, &whole);
        for (size_t cut = 0; cut <= n; cut++) {
            struct lines l = {0};
            const uint8_t *p = (const uint8_t *)text[t];
            const char *got = lines_check(&l, p, cut);
            if (!got)
                got = lines_check(&l, p + cut, n - cut);
            if (!got && l.cr)
                got = "CR";
            assert_int_equal(!!got, !!wrong);
            if (got)
                assert_string_equal(got, wrong);
        }
    }
}

static size_t normalise(const uint8_t *text, size_t n, size_t cut, uint8_t *out)
{
    struct lines count = {0}, write = {0};
    size_t first = lines_normalise(&count, text, cut, NULL);
    size_t second = lines_normalise(&count, text + cut, n - cut, NULL);
    assert_int_equal(lines_normalise(&write, text, cut, out), first);
    assert_int_equal(lines_normalise(&write, text + cut, n - cut, out + first), second);
    size_t bytes = first + second;
    if (lines_end(&write))
        out[bytes++] = '\n';
    return bytes;
}

static void normalised_text_is_known(void **state)
{
    (void)state;
    static const char *const row[][2] = {
        {"a\nb\n", "a\r\nb\r\n"},
        {"a\r\nb\r\n", "a\r\nb\r\n"},
        {"a\rb", "a\r\nb"},
        {"\n\n", "\r\n\r\n"},
        {"\r\r\n", "\r\n\r\n"},
        {"a\n\rb", "a\r\n\r\nb"},
        {"a\r", "a\r\n"},
        {"", ""},
        {"a", "a"},
        {"\r\n\n\r", "\r\n\r\n\r\n"},
        {"a\n.\nb", "a\r\n.\r\nb"},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        size_t n = strlen(row[i][0]);
        for (size_t cut = 0; cut <= n; cut++) {
            uint8_t out[64];
            size_t got = normalise((const uint8_t *)row[i][0], n, cut, out);
            assert_int_equal(got, strlen(row[i][1]));
            assert_memory_equal(out, row[i][1], got);
        }
    }
}

static void random_text_has_nothing_bare_afterwards(void **state)
{
    (void)state;
    struct rand_source r;
    rand_seed(&r, 7);
    for (unsigned i = 0; i < 20000; i++) {
        static const char letters[] = "ab\r\n\r\n";
        uint8_t text[40], out[80];
        size_t n = rand_below(&r, sizeof(text) + 1);
        for (size_t k = 0; k < n; k++)
            text[k] = (uint8_t)letters[rand_below(&r, sizeof(letters) - 1)];
        size_t bytes = normalise(text, n, rand_below(&r, (uint32_t)n + 1), out);
        struct lines l;
        assert_null(check((const char *)out, bytes, &l));
    }
}

static void eight_bit_bytes_are_seen(void **state)
{
    (void)state;
    uint8_t text[300];
    for (size_t at = 0; at < sizeof(text); at++) {
        struct lines l = {0};
        memset(text, 'a', sizeof(text));
        lines_check(&l, text, sizeof(text));
        assert_false(l.has_8bit);
        text[at] = 0x80;
        lines_check(&l, text, sizeof(text));
        assert_true(l.has_8bit);
    }
}

/* A text without any CR must not be searched for one again at every line. */
static void normalising_is_linear(void **state)
{
    (void)state;
    size_t n = 32u << 20;
    uint8_t *text = malloc(n);
    assert_non_null(text);
    memset(text, '\n', n);
    struct lines l = {0};
    assert_int_equal(lines_normalise(&l, text, n, NULL), 2 * n);
    memset(text, '\r', n);
    l = (struct lines){0};
    assert_int_equal(lines_normalise(&l, text, n, NULL) + lines_end(&l), 2 * n);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bare_ones_are_found_where_they_are),
        cmocka_unit_test(nothing_is_read_beside_the_text),
        cmocka_unit_test(parts_do_not_matter),
        cmocka_unit_test(every_position_of_a_block_counts),
        cmocka_unit_test(normalised_text_is_known),
        cmocka_unit_test(random_text_has_nothing_bare_afterwards),
        cmocka_unit_test(eight_bit_bytes_are_seen),
        cmocka_unit_test(normalising_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
