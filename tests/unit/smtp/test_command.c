/* RFC 5321 sections 4.1.1 and 4.1.2 (commands), 4.5.3.1 (lengths); RFC 1870, 3461, 6152, 6531 (parameters). */
#include "engine/smtp/command.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/smtp/dies.h"

struct tls_verified {
    int made_by_a_test;
};

static const struct tls_verified proof;
static uint8_t buffer[SMTP_COMMAND_MAX];
static struct bytes_out out;

static struct span text(const char *s)
{
    return (struct span){(const uint8_t *)s, strlen(s)};
}

static int empty_buffer(void **state)
{
    (void)state;
    out = bytes_out(buffer, sizeof(buffer));
    return 0;
}

static void holds(const char *want)
{
    assert_int_equal(bytes_written(&out), strlen(want));
    assert_memory_equal(buffer, want, strlen(want));
    out = bytes_out(buffer, sizeof(buffer));
}

static enum command_status put_mail(const char *sender, bool utf8, uint8_t body_type, uint32_t extensions)
{
    struct smtp_message message = {
        .sender = text(sender), .body_bytes = 12345, .smtputf8 = utf8, .body_type = body_type};
    return smtp_put_mail(&out, &proof, &message, &(struct smtp_offer){.extensions = extensions});
}

static enum command_status put_rcpt(const char *address, const char *dsn, bool utf8, uint32_t extensions)
{
    struct smtp_recipient to = {text(address), text(dsn), false};
    return smtp_put_rcpt(&out, &proof, &to, utf8, &(struct smtp_offer){.extensions = extensions});
}

static void test_commands_of_the_clear(void **state)
{
    (void)state;
    assert_int_equal(smtp_put_ehlo(&out, "client.example"), COMMAND_PUT);
    holds("EHLO client.example\r\n");
    assert_int_equal(smtp_put_starttls(&out), COMMAND_PUT);
    holds("STARTTLS\r\n");
    assert_int_equal(smtp_put_quit(&out), COMMAND_PUT);
    holds("QUIT\r\n");
}

static void test_mail(void **state)
{
    (void)state;
    assert_int_equal(put_mail("a@b", false, SMTP_BODY_7BIT, 0), COMMAND_PUT);
    holds("MAIL FROM:<a@b>\r\n");
    assert_int_equal(put_mail("", false, SMTP_BODY_8BITMIME, 0), COMMAND_PUT);
    holds("MAIL FROM:<>\r\n");
    assert_int_equal(put_mail("a@b", true, SMTP_BODY_8BITMIME, EXT_SIZE | EXT_8BITMIME | EXT_SMTPUTF8),
                     COMMAND_PUT);
    holds("MAIL FROM:<a@b> SIZE=12345 BODY=8BITMIME SMTPUTF8\r\n");
    assert_int_equal(put_mail("a@b", false, SMTP_BODY_7BIT, EXT_8BITMIME | EXT_SMTPUTF8), COMMAND_PUT);
    holds("MAIL FROM:<a@b>\r\n");
}

static void test_rcpt(void **state)
{
    (void)state;
    assert_int_equal(put_rcpt("a@b", " NOTIFY=NEVER", false, 0), COMMAND_PUT);
    holds("RCPT TO:<a@b>\r\n");
    assert_int_equal(put_rcpt("a@b", " NOTIFY=NEVER", false, EXT_DSN), COMMAND_PUT);
    holds("RCPT TO:<a@b> NOTIFY=NEVER\r\n");
    assert_int_equal(put_rcpt("a@b", "", false, EXT_DSN), COMMAND_PUT);
    holds("RCPT TO:<a@b>\r\n");
    assert_int_equal(put_rcpt("", "", false, EXT_DSN), COMMAND_BAD);
    holds("");
}

static void test_data_and_rset(void **state)
{
    (void)state;
    assert_int_equal(smtp_put_data(&out, &proof), COMMAND_PUT);
    holds("DATA\r\n");
    assert_int_equal(smtp_put_rset(&out, &proof), COMMAND_PUT);
    holds("RSET\r\n");
}

/* Every single byte, at every place of an address. */
static void test_address_bytes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 4; at++) {
            uint8_t address[] = "ab@c";
            address[at] = (uint8_t)c;
            struct smtp_recipient to = {{address, 4}, {NULL, 0}, false};
            struct smtp_message message = {.sender = {address, 4}};
            bool sound = c > ' ' && c < 0x7f && c != '<' && c != '>';
            enum command_status want = sound ? COMMAND_PUT : COMMAND_BAD;
            for (int utf8 = 0; utf8 < 2; utf8++) { /* a byte above ASCII is no UTF-8 on its own */
                message.smtputf8 = utf8;
                assert_int_equal(smtp_put_rcpt(&out, &proof, &to, utf8, &(struct smtp_offer){0}), want);
                out = bytes_out(buffer, sizeof(buffer));
                assert_int_equal(smtp_put_mail(&out, &proof, &message, &(struct smtp_offer){0}), want);
                out = bytes_out(buffer, sizeof(buffer));
            }
        }
}

static void test_utf8_addresses(void **state)
{
    (void)state;
    assert_int_equal(put_rcpt("j\xc3\xb6rg@b", "", true, 0), COMMAND_PUT);
    assert_int_equal(put_rcpt("j\xc3\xb6rg@b", "", false, 0), COMMAND_BAD);
    assert_int_equal(put_rcpt("j\xc3rg@b", "", true, 0), COMMAND_BAD);
    assert_int_equal(put_rcpt("j\xc0\xbcrg@b", "", true, 0), COMMAND_BAD); /* '<', overlong */
    assert_int_equal(put_rcpt("j\xc2\x8arg@b", "", true, 0), COMMAND_BAD); /* C1 */
}

static void test_parameter_bytes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        uint8_t dsn[] = " NOTIFY=x";
        dsn[8] = (uint8_t)c;
        struct smtp_recipient to = {text("a@b"), {dsn, 9}, false};
        bool sound = c >= ' ' && c < 0x7f;
        assert_int_equal(smtp_put_rcpt(&out, &proof, &to, true, &(struct smtp_offer){EXT_DSN, 0}),
                         sound ? COMMAND_PUT : COMMAND_BAD);
        out = bytes_out(buffer, sizeof(buffer));
    }
    assert_int_equal(put_rcpt("a@b", "NOTIFY=NEVER", false, EXT_DSN), COMMAND_BAD); /* glued to the path */
}

static void test_lengths(void **state)
{
    (void)state;
    char address[SMTP_ADDRESS_MAX + 2], dsn[SMTP_LINE_MAX + 2];
    memset(address, 'a', sizeof(address));
    memset(dsn, ' ', sizeof(dsn));
    address[SMTP_ADDRESS_MAX] = dsn[SMTP_LINE_MAX] = '\0';
    assert_int_equal(put_rcpt(address, dsn, false, EXT_DSN), COMMAND_PUT); /* the longest there is fits */
    empty_buffer(NULL);
    assert_int_equal(put_mail(address, true, SMTP_BODY_8BITMIME, UINT32_MAX), COMMAND_PUT);
    empty_buffer(NULL);
    address[SMTP_ADDRESS_MAX] = 'a';
    address[SMTP_ADDRESS_MAX + 1] = '\0';
    assert_int_equal(put_rcpt(address, "", false, 0), COMMAND_BAD);
    assert_int_equal(put_mail(address, false, SMTP_BODY_7BIT, 0), COMMAND_BAD);
    dsn[SMTP_LINE_MAX] = ' ';
    dsn[SMTP_LINE_MAX + 1] = '\0';
    assert_int_equal(put_rcpt("a@b", dsn, false, EXT_DSN), COMMAND_BAD);
    holds("");
}

static enum command_status put_any(int which)
{
    switch (which) {
    case 0: return smtp_put_ehlo(&out, "client.example");
    case 1: return smtp_put_starttls(&out);
    case 2: return smtp_put_quit(&out);
    case 3: return put_mail("a@b", true, SMTP_BODY_8BITMIME, UINT32_MAX);
    case 4: return put_rcpt("a@b", " NOTIFY=NEVER", false, EXT_DSN);
    case 5: return smtp_put_data(&out, &proof);
    default: return smtp_put_rset(&out, &proof);
    }
}

/* Whole or not at all: with less room than it needs a command leaves no trace. */
static void test_no_room_changes_nothing(void **state)
{
    (void)state;
    for (int which = 0; which < 7; which++) {
        empty_buffer(NULL);
        assert_int_equal(put_any(which), COMMAND_PUT);
        size_t need = bytes_written(&out);
        for (size_t cap = 0; cap < need; cap++) {
            out = bytes_out(buffer, cap);
            assert_int_equal(put_any(which), COMMAND_NO_ROOM);
            assert_int_equal(bytes_written(&out), 0);
            assert_false(out.failed);
        }
        out = bytes_out(buffer, need);
        assert_int_equal(put_any(which), COMMAND_PUT);
    }
}

static void test_bad_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(smtp_put_quit(&out), COMMAND_PUT);
    assert_int_equal(put_rcpt("a\r\n@b", "", false, 0), COMMAND_BAD);
    assert_int_equal(put_mail("a\r\n@b", false, 0, 0), COMMAND_BAD);
    assert_false(out.failed);
    holds("QUIT\r\n");
}

static void test_helo_names(void **state)
{
    char name[SMTP_HOSTNAME_MAX + 1];
    (void)state;
    assert_true(smtp_helo_name_is_sound("client.example"));
    assert_true(smtp_helo_name_is_sound("[192.0.2.1]"));
    assert_false(smtp_helo_name_is_sound(""));
    assert_false(smtp_helo_name_is_sound("a b"));
    assert_false(smtp_helo_name_is_sound("a\r\nb"));
    assert_false(smtp_helo_name_is_sound("b\xc3\xbc"
                                         "cher.example")); /* A-labels only */
    memset(name, 'a', sizeof(name));
    name[SMTP_HOSTNAME_MAX] = '\0';
    assert_false(smtp_helo_name_is_sound(name));
    name[SMTP_HOSTNAME_MAX - 1] = '\0';
    assert_true(smtp_helo_name_is_sound(name));
}

static void mail_without_proof(void *which)
{
    struct smtp_message message = {.sender = text("a@b")};
    struct smtp_recipient to = {text("a@b"), {NULL, 0}, false};
    struct smtp_offer offer = {0};
    switch (*(int *)which) {
    case 0: (void)!smtp_put_mail(&out, NULL, &message, &offer); break;
    case 1: (void)!smtp_put_rcpt(&out, NULL, &to, false, &offer); break;
    case 2: (void)!smtp_put_data(&out, NULL); break;
    case 3: (void)!smtp_put_rset(&out, NULL); break;
    default: break;
    }
}

static void test_no_mail_command_without_proof(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++)
        assert_true(dies(mail_without_proof, &which));
    int nothing = 4;
    assert_false(dies(mail_without_proof, &nothing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_commands_of_the_clear, empty_buffer),
        cmocka_unit_test_setup(test_mail, empty_buffer),
        cmocka_unit_test_setup(test_rcpt, empty_buffer),
        cmocka_unit_test_setup(test_data_and_rset, empty_buffer),
        cmocka_unit_test_setup(test_address_bytes, empty_buffer),
        cmocka_unit_test_setup(test_utf8_addresses, empty_buffer),
        cmocka_unit_test_setup(test_parameter_bytes, empty_buffer),
        cmocka_unit_test_setup(test_lengths, empty_buffer),
        cmocka_unit_test_setup(test_no_room_changes_nothing, empty_buffer),
        cmocka_unit_test_setup(test_bad_changes_nothing, empty_buffer),
        cmocka_unit_test_setup(test_helo_names, empty_buffer),
        cmocka_unit_test_setup(test_no_mail_command_without_proof, empty_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
