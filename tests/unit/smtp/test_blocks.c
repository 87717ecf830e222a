/* RFC 5321 sections 2.3.8 (CR and LF only together) and 4.5.2 (dots that begin a line), 64 bytes at a time: each way to
 * do it, as far as this processor has it, beside a loop over single bytes.
 */
#include "engine/base/rand.h"
#include "engine/smtp/blocks.h"
#include "tests/unit/cmocka.h"

#include <string.h>

#define LEN_MAX 300u
#define GUARD   64u

typedef size_t way(uint8_t *to, const uint8_t *from, size_t len, bool line_start, bool dots);

struct named_way {
    const char *name;
    way *copy;
    size_t unit; /* a rest smaller than that it leaves */
};

static size_t ways(struct named_way out[4])
{
    size_t n = 0;
    out[n++] = (struct named_way){"plain", blocks_copy_plain, 64};
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        out[n++] = (struct named_way){"avx2", blocks_copy_avx2, 64};
    if (__builtin_cpu_supports("avx512bw"))
        out[n++] = (struct named_way){"avx512", blocks_copy_avx512, 1};
#endif
    out[n++] = (struct named_way){"chosen", blocks_copy, 64};
    return n;
}

/* The number of bytes in front of the first that must not be there; a CR that nothing follows is not wrong yet. */
static size_t first_wrong(const uint8_t *bytes, size_t len, bool line_start, bool dots)
{
    bool cr = false;
    for (size_t i = 0; i < len; i++) {
        if ((bytes[i] == '\n') != cr || (dots && line_start && bytes[i] == '.'))
            return i;
        cr = bytes[i] == '\r';
        line_start = bytes[i] == '\n';
    }
    return len;
}

/* What may be given: what is right, without a CR at its end. */
static size_t most(const uint8_t *bytes, size_t len, bool line_start, bool dots)
{
    size_t n = first_wrong(bytes, len, line_start, dots);
    return n && bytes[n - 1] == '\r' ? n - 1 : n;
}

static void check(const struct named_way *tried, const uint8_t *from, size_t len, bool line_start, bool dots)
{
    uint8_t to[LEN_MAX + GUARD];
    memset(to, 0xa5, sizeof(to));
    size_t n = tried->copy(to, from, len, line_start, dots);
    size_t limit = most(from, len, line_start, dots);
    size_t least = most(from, len / tried->unit * tried->unit, line_start, dots);
    if (n < least || n > limit || memcmp(to, from, n) != 0)
        fail_msg("%s: %zu of %zu bytes, where %zu can be given", tried->name, n, len, limit);
    for (size_t i = len; i < sizeof(to); i++)
        assert_int_equal(to[i], 0xa5);
}

static void check_all(const uint8_t *from, size_t len)
{
    struct named_way all[4];
    size_t count = ways(all);
    for (size_t i = 0; i < count; i++)
        for (unsigned flags = 0; flags < 4; flags++)
            check(&all[i], from, len, flags & 1, flags & 2);
}

/* Lines of twenty, which lie differently in each block. */
static void lines(uint8_t *out)
{
    static const char line[] = "0123456789abcdefgh\r\n";
    for (size_t i = 0; i < LEN_MAX; i++)
        out[i] = (uint8_t)line[i % (sizeof(line) - 1)];
}

static void every_length(void **state)
{
    uint8_t bytes[LEN_MAX];
    (void)state;
    lines(bytes);
    for (size_t len = 0; len <= LEN_MAX; len++)
        check_all(bytes, len);
}

static void each_byte_at_every_place(void **state)
{
    static const uint8_t other[] = {'\r', '\n', '.', 0, 0x8d, 0x8a, 0xae, 0x0c, 0x0b, 0xff};
    uint8_t bytes[LEN_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(other); i++)
        for (size_t at = 0; at < LEN_MAX; at++) {
            lines(bytes);
            bytes[at] = other[i];
            check_all(bytes, LEN_MAX);
        }
}

static void two_bytes_at_every_place(void **state)
{
    static const char pair[][2] = {{'\r', '\n'}, {'\n', '\r'}, {'\r', '\r'},
                                   {'\n', '\n'}, {'\n', '.'},  {'.', '\r'}};
    uint8_t bytes[LEN_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(pair) / sizeof(pair[0]); i++)
        for (size_t at = 0; at + 1 < LEN_MAX; at++) {
            memset(bytes, 'x', sizeof(bytes));
            memcpy(bytes + at, pair[i], 2);
            check_all(bytes, LEN_MAX);
        }
}

static void random_bytes(void **state)
{
    static const char alphabet[] = {'\r', '\n', '.', 'a', 'b', 'c', '\xff', '\0'};
    uint8_t bytes[LEN_MAX];
    struct rand_source rand;
    (void)state;
    for (uint64_t seed = 1; seed <= 30000; seed++) {
        rand_seed(&rand, seed);
        size_t len = rand_below(&rand, LEN_MAX + 1);
        for (size_t i = 0; i < len;) {
            if (i + 1 < len && rand_below(&rand, 4) == 0) {
                memcpy(bytes + i, "\r\n", 2);
                i += 2;
            } else {
                uint32_t rare = rand_below(&rand, 60) ? 3 : 0;
                bytes[i++] = (uint8_t)alphabet[rare + rand_below(&rand, 8 - rare)];
            }
        }
        check_all(bytes, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length),
        cmocka_unit_test(each_byte_at_every_place),
        cmocka_unit_test(two_bytes_at_every_place),
        cmocka_unit_test(random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
