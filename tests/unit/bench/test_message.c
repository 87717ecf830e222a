/* test_message.c: the form of the generator's messages, and their digest. */
#include "tests/unit/cmocka.h"

#include "bench/message.h"

#define TEXT_BYTES 300u

static void fill(uint8_t *text)
{
    for (unsigned i = 0; i < TEXT_BYTES; i++)
        text[i] = (uint8_t)(i * 2654435761u >> 13);
}

static uint64_t digest_of(const uint8_t *text, size_t len, size_t cut)
{
    struct message_digest digest;
    message_digest_init(&digest);
    for (size_t at = 0; at < len; at += cut)
        message_digest_add(&digest, text + at, min_size(cut, len - at));
    return message_digest_value(&digest);
}

static void reads_the_head_it_wrote(void **state)
{
    (void)state;
    const struct message_mark mark = {0xdeadbeef, 7, 123456, 0x0123456789abcdef};
    struct message_mark read;
    char head[MESSAGE_HEAD_BYTES], tail[MESSAGE_TAIL_BYTES];
    message_head(&mark, head);
    message_tail(&mark, tail);
    assert_memory_equal(head, "X-Hardline-Bench: deadbeef 00000007 0001e240 0123456789abcdef\r\n",
                        sizeof(head));
    assert_memory_equal(tail, "-- deadbeef 00000007\r\n", sizeof(tail));
    assert_true(message_head_parse(&read, head));
    assert_int_equal(read.run, mark.run);
    assert_int_equal(read.seq, mark.seq);
    assert_int_equal(read.size, mark.size);
    assert_int_equal(read.digest, mark.digest);
}

static void refuses_every_other_head(void **state)
{
    (void)state;
    const struct message_mark mark = {1, 2, 3, 4};
    struct message_mark read;
    char head[MESSAGE_HEAD_BYTES];
    message_head(&mark, head);
    for (unsigned i = 0; i < sizeof(head); i++) {
        char was = head[i];
        head[i] = 'X' == was ? 'Y' : 'X';
        assert_false(message_head_parse(&read, head));
        head[i] = was;
    }
    assert_true(message_head_parse(&read, head));
}

static void digest_does_not_see_the_cuts(void **state)
{
    (void)state;
    uint8_t text[TEXT_BYTES];
    fill(text);
    for (size_t len = 0; len < TEXT_BYTES; len += 13)
        for (size_t cut = 1; cut < 70; cut++)
            assert_int_equal(digest_of(text, len, cut), digest_of(text, len, TEXT_BYTES));
}

static void digest_sees_each_bit_and_the_length(void **state)
{
    (void)state;
    uint8_t text[TEXT_BYTES] = {0};
    uint64_t whole = digest_of(text, TEXT_BYTES, TEXT_BYTES);
    for (unsigned bit = 0; bit < TEXT_BYTES * 8; bit++) {
        text[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(digest_of(text, TEXT_BYTES, TEXT_BYTES), whole);
        text[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (unsigned len = 0; len < TEXT_BYTES; len++)
        assert_int_not_equal(digest_of(text, len, TEXT_BYTES), whole);
}

static void digest_sees_an_exchange(void **state)
{
    (void)state;
    uint8_t text[TEXT_BYTES], other[TEXT_BYTES];
    fill(text);
    for (unsigned at = 32; at + 32 < TEXT_BYTES; at += 8) { /* of words, in the same lane or in another */
        memcpy(other, text, sizeof(other));
        memcpy(other, text + at, 8);
        memcpy(other + at, text, 8);
        assert_int_not_equal(digest_of(other, TEXT_BYTES, TEXT_BYTES),
                             digest_of(text, TEXT_BYTES, TEXT_BYTES));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_head_it_wrote),      cmocka_unit_test(refuses_every_other_head),
        cmocka_unit_test(digest_does_not_see_the_cuts), cmocka_unit_test(digest_sees_each_bit_and_the_length),
        cmocka_unit_test(digest_sees_an_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
