/* What plain.h says in one look beside a look at each byte. */
#include "engine/base/rand.h"
#include "engine/ring/plain.h"

#include "tests/unit/cmocka.h"

#include <sys/mman.h>
#include <unistd.h>

static uint8_t *page_end; /* behind it there is nothing to read */

static int open_page(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    page_end = map + page;
    return 0;
}

static bool is_name(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

static bool sound_domain(const uint8_t *text, size_t bytes)
{
    for (size_t i = 0, label = 0; i < bytes; i++) {
        if (!is_name(text[i]) && (text[i] != '.' || label == 0))
            return false;
        label = text[i] == '.' ? 0 : label + 1;
    }
    return bytes > 0 && text[bytes - 1] != '.';
}

static bool sound_local(const uint8_t *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!is_name(text[i]) && text[i] != '.' && text[i] != '+' && text[i] != '=')
            return false;
    return bytes > 0;
}

static void same_name(const struct ring_name *name, const uint8_t *text, size_t bytes)
{
    assert_int_equal(name->bytes, bytes);
    assert_int_equal(name->text[bytes], 0);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(name->text[i], text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
}

static void compare(struct span text)
{
    struct ring_name name;
    bool domain = text.len < 64 && sound_domain(text.data, text.len);
    assert_int_equal(plain_domain(text, &name), domain);
    if (domain)
        same_name(&name, text.data, text.len);
    assert_int_equal(plain_local(text), text.len <= 64 && sound_local(text.data, text.len));

    const uint8_t *at = text.len ? memchr(text.data, '@', text.len) : NULL;
    size_t local = at ? (size_t)(at - text.data) : 0, host = at ? text.len - local - 1 : 0;
    bool address = at && text.len <= 64 && sound_local(text.data, local) && sound_domain(at + 1, host);
    assert_int_equal(plain_address(text, &name), address);
    if (address)
        same_name(&name, at + 1, host);
}

static struct span at_page_end(size_t bytes)
{
    return (struct span){page_end - bytes, bytes};
}

static void every_byte_in_every_place(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= 66; bytes++)
        for (size_t place = 0; place < bytes; place++)
            for (unsigned c = 0; c < 256; c++) {
                struct span text = at_page_end(bytes);
                uint8_t *data = (uint8_t *)text.data;
                memset(data, 'a', bytes);
                data[bytes / 2] = '@';
                data[place] = (uint8_t)c;
                compare(text);
            }
}

static void texts_of_what_names_are_made_of(void **state)
{
    (void)state;
    static const char some[] = "aZ09-_.@+=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct rand_source source;
    rand_seed(&source, 7);
    for (unsigned i = 0; i < 200000; i++) {
        struct span text = at_page_end(rand_below(&source, 70));
        for (size_t k = 0; k < text.len; k++)
            ((uint8_t *)text.data)[k] = (uint8_t)some[rand_below(&source, sizeof(some) - 1)];
        compare(text);
    }
}

static void nothing_is_no_name(void **state)
{
    (void)state;
    compare(at_page_end(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_in_every_place),
        cmocka_unit_test(texts_of_what_names_are_made_of),
        cmocka_unit_test(nothing_is_no_name),
    };
    return cmocka_run_group_tests_name("ring_plain", tests, open_page, NULL);
}
