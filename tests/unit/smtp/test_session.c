/* Before TLS nothing but EHLO, STARTTLS and QUIT leaves, whatever the other side says (RFC 3207 section 6); and the
 * entries keep their contracts.
 */
#include "engine/base/rand.h"
#include "engine/smtp/session.h"
#include "tests/unit/cmocka.h"
#include "tests/unit/smtp/dies.h"

struct tls_verified {
    int made_by_a_test;
};

static struct stats stats;
static const struct tls_verified proof;
static const struct smtp_config config = {"client.example", 100, 0, &stats, 1, true, 1u << 20};
static unsigned events;

static void on_recipient(void *ctx, const struct smtp_message *m, uint32_t index,
                         const struct outcome *outcome)
{
    (void)ctx, (void)m, (void)index, (void)outcome;
    events++;
}

static void on_stage(void *ctx, const struct smtp_message *m, enum stage stage)
{
    (void)ctx, (void)m, (void)stage;
    events++;
}

static void on_done(void *ctx, const struct smtp_message *m)
{
    (void)ctx, (void)m;
    events++;
}

static void on_returned(void *ctx, const struct smtp_message *m, enum smtp_return why)
{
    (void)ctx, (void)m, (void)why;
    events++;
}

static const struct smtp_events sink = {NULL, on_recipient, on_stage, on_done, on_returned};

/* ---- the clear ---- */

struct clear {
    struct smtp_session session;
    struct rand_source rand;
    uint64_t now_us;
    char heard[4096]; /* everything that the client has sent */
    size_t heard_len;
};

static void pull(struct clear *c)
{
    uint8_t out[SMTP_OUTPUT_MIN];
    for (size_t n; (n = smtp_output(&c->session, out, sizeof(out), c->now_us));) {
        assert_true(c->heard_len + n < sizeof(c->heard));
        memcpy(c->heard + c->heard_len, out, n);
        c->heard_len += n;
    }
}

static size_t random_words(struct rand_source *rand, char *bytes, size_t cap)
{
    static const char *const words[] = {
        "220 mx\r\n",
        "220-mx\r\n",
        "250 ok\r\n",
        "250-mx\r\n",
        "250 STARTTLS\r\n",
        "250-PIPELINING\r\n",
        "354 go\r\n",
        "421 no\r\n",
        "454 no\r\n",
        "550 no\r\n",
        "250 STARTTLS",
        "\r\n",
        "\n",
        "220 ",
        "2",
        "\0",
        "235 2.7.0 authenticated\r\n",
        "250-mx\r\n250 STARTTLS\r\n",
        "220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n250 ok\r\n354 go\r\n",
    };
    size_t len = 0;
    for (unsigned n = rand_below(rand, 6); n; n--) {
        const char *word = words[rand_below(rand, ARRAY_LEN(words))];
        size_t word_len = word[0] ? strlen(word) : 1;
        if (len + word_len > cap)
            break;
        memcpy(bytes + len, word, word_len);
        len += word_len;
    }
    for (unsigned n = rand_below(rand, 3); n && len; n--)
        if (rand_below(rand, 8) == 0)
            bytes[rand_below(rand, (uint32_t)len)] = (char)rand_u64(rand);
    return len;
}

static void random_step(struct clear *c)
{
    char bytes[256];
    struct outcome why;
    switch (rand_below(&c->rand, 20)) {
    case 0:
        c->now_us += rand_below(&c->rand, 400) * 1000000ull;
        smtp_timers(&c->session, c->now_us);
        break;
    case 1:
        if (rand_below(&c->rand, 4) == 0)
            smtp_quit(&c->session, c->now_us);
        break;
    case 2:
        outcome_set(&why, VERDICT_NONE, STAGE_NONE, FAULT_NETWORK, REASON_CONNECTION_LOST, "lost");
        if (rand_below(&c->rand, 4) == 0)
            smtp_lost(&c->session, &why, c->now_us);
        break;
    default:
        smtp_input(&c->session, (uint8_t *)bytes, random_words(&c->rand, bytes, sizeof(bytes)), c->now_us);
        break;
    }
    if (rand_below(&c->rand, 4))
        pull(c);
}

static bool takes(const char **text, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(*text, word, n) != 0)
        return false;
    *text += n;
    return true;
}

/* [EHLO [STARTTLS]] [QUIT], each at most once and in that order: all that can have been said. */
static void check_heard(struct clear *c, uint64_t seed)
{
    const char *text = c->heard;
    c->heard[c->heard_len] = '\0';
    if (takes(&text, "EHLO client.example\r\n"))
        takes(&text, "STARTTLS\r\n");
    takes(&text, "QUIT\r\n");
    if (text != c->heard + c->heard_len)
        fail_msg("seed %lu: in the clear the client said: %s", seed, c->heard);
    assert_false(smtp_ready(&c->session));
    assert_int_equal(events, 0);
}

static void test_random_bytes_in_the_clear(void **state)
{
    unsigned reached[S_COUNT] = {0};
    (void)state;
    events = 0;
    for (uint64_t seed = 1; seed <= 60000; seed++) {
        struct clear c;
        c.now_us = 1;
        c.heard_len = 0;
        rand_seed(&c.rand, seed);
        smtp_open(&c.session, &config, &sink, seed % 8 != 0, c.now_us);
        for (int step = 0; step < 24; step++) {
            random_step(&c);
            reached[c.session.reply_at.state]++;
        }
        pull(&c);
        check_heard(&c, seed);
    }
    for (enum smtp_state s = S_GREETING_CLEAR; s <= S_HANDSHAKE; s++) /* the dice did get about */
        assert_true(reached[s] > 100);
    assert_true(reached[S_QUIT] > 100 && reached[S_CLOSED] > 100);
    for (enum smtp_state s = S_GREETING_TLS; s <= S_DOT; s++)
        assert_int_equal(reached[s], 0);
}

/* ---- contracts ---- */

static struct smtp_session session;

static void give(const char *reply)
{
    uint8_t out[SMTP_OUTPUT_MIN];
    smtp_input(&session, (const uint8_t *)reply, strlen(reply), 0);
    while (smtp_output(&session, out, sizeof(out), 0))
        ;
}

static void open_clear(void)
{
    smtp_open(&session, &config, &sink, true, 0);
    give("220 mx\r\n");
}

static void test_session_fits_the_pool(void **state)
{
    (void)state;
    assert_int_equal(smtp_session_bytes(), sizeof(struct smtp_session));
    assert_true(smtp_session_bytes() <= 4096);
}

static void begin_in_the_clear(void *unused)
{
    struct smtp_recipient to = {{(const uint8_t *)"a@b", 3}, {NULL, 0}, false};
    struct smtp_message message = {.recipient = &to, .recipients = 1};
    (void)unused;
    open_clear();
    smtp_begin(&session, &message, 0);
}

static void secure_without_proof(void *unused)
{
    (void)unused;
    open_clear();
    give("250-mx\r\n250 STARTTLS\r\n");
    give("220 go\r\n");
    smtp_secured(&session, NULL, 0);
}

static void secure_before_starttls(void *unused)
{
    (void)unused;
    open_clear();
    smtp_secured(&session, &proof, 0);
}

/* Someone inside who moves the cursors past TLS gets no further than the next output. */
static void forge_a_state(void *forged)
{
    uint8_t out[SMTP_OUTPUT_MIN];
    open_clear();
    smtp_meet_at(&session, *(enum smtp_state *)forged, 0);
    smtp_output(&session, out, sizeof(out), 0);
}

static void output_of_too_small_a_buffer(void *unused)
{
    uint8_t out[SMTP_OUTPUT_MIN - 1];
    (void)unused;
    open_clear();
    smtp_output(&session, out, sizeof(out), 0);
}

static void nothing(void *unused)
{
    (void)unused;
    open_clear();
}

static void test_our_own_mistakes_are_asserts(void **state)
{
    (void)state;
    assert_false(dies(nothing, NULL));
    assert_true(dies(begin_in_the_clear, NULL));
    assert_true(dies(secure_without_proof, NULL));
    assert_true(dies(secure_before_starttls, NULL));
    assert_true(dies(output_of_too_small_a_buffer, NULL));
    for (enum smtp_state forged = S_GREETING_TLS; forged <= S_DOT; forged++)
        assert_true(dies(forge_a_state, &forged));
}

static void test_offer_of_the_clear_is_forgotten(void **state)
{
    (void)state;
    open_clear();
    give("250-mx\r\n250-PIPELINING\r\n250-SIZE 99\r\n250 STARTTLS\r\n");
    assert_int_equal(session.offer.size_max_bytes, 99);
    give("220 go\r\n");
    smtp_secured(&session, &proof, 0);
    assert_int_equal(session.offer.extensions, 0);
    assert_int_equal(session.offer.size_max_bytes, 0);
}

static void test_half_a_line_of_the_clear_is_no_start_of_one_over_tls(void **state)
{
    (void)state;
    open_clear();
    give("250-mx\r\n250 STARTTLS\r\n");
    give("220 go\r\n");
    assert_int_equal(smtp_want(&session), SMTP_WANT_STARTTLS);
    assert_int_equal(session.reply.bytes, 0);
}

static void test_every_state_has_a_name(void **state)
{
    (void)state;
    open_clear();
    for (enum smtp_state s = 0; s < S_COUNT; s++) {
        session.reply_at.state = (uint8_t)s;
        assert_true(strlen(smtp_state_text(&session)) > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_bytes_in_the_clear),
        cmocka_unit_test(test_session_fits_the_pool),
        cmocka_unit_test(test_our_own_mistakes_are_asserts),
        cmocka_unit_test(test_offer_of_the_clear_is_forgotten),
        cmocka_unit_test(test_half_a_line_of_the_clear_is_no_start_of_one_over_tls),
        cmocka_unit_test(test_every_state_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
