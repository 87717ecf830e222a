/* A client's bytes to the MX farm: the first byte says how the rest is cut and what the farm offers; cut and whole must give
 * the same replies and the same messages, within all limits.  RFC 5321, RFC 3030, RFC 2920.
 */
#include "bench/farm_smtp.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

struct talk {
    struct farm_smtp smtp;
    struct message_digest said, taken; /* all replies; all messages */
    uint64_t messages, recipients;
};

static const char *no_fault(void *ctx, enum farm_stage stage, const char *argument, size_t len)
{
    (void)ctx, (void)stage;
    for (size_t i = 0; i < len; i++)
        CHECK(argument[i] != '>' && argument[i] != '\n');
    return NULL;
}

static bool no_cut(void *ctx)
{
    (void)ctx;
    return false;
}

static void on_message(void *ctx, const struct check_message *message, uint32_t recipients)
{
    struct talk *t = ctx;
    struct check check = {0};
    CHECK(recipients > 0);
    t->messages++;
    t->recipients += recipients;
    message_digest_add(&t->taken, &message->bytes, sizeof(message->bytes));
    message_digest_add(&t->taken, &message->marked, sizeof(message->marked));
    enum check_verdict verdict = check_end(&check, message);
    message_digest_add(&t->taken, &verdict, sizeof(verdict));
    check_close(&check);
}

static void hear(struct talk *t)
{
    CHECK(t->smtp.out_len <= FARM_SMTP_OUT_BYTES);
    CHECK(t->smtp.out_len == 0 || t->smtp.out[t->smtp.out_len - 1] == '\n'); /* no reply was cut off */
    message_digest_add(&t->said, t->smtp.out, t->smtp.out_len);
    farm_smtp_sent(&t->smtp, t->smtp.out_len);
}

/* As a connection does it; STARTTLS succeeds at once. */
static size_t step(struct talk *t, const char *in, size_t len)
{
    if (t->smtp.state == FARM_SMTP_STARTTLS)
        farm_smtp_secured(&t->smtp);
    size_t n = farm_smtp_input(&t->smtp, in, len);
    CHECK(n <= len);
    hear(t);
    return n;
}

static void give(struct talk *t, const char *in, size_t len, size_t piece)
{
    size_t done = 0, offered = 0;
    while (offered < len) {
        offered = min_size(len, offered + piece);
        for (size_t n; done < offered && (n = step(t, in + done, offered - done)) > 0;)
            done += n;
    }
    CHECK(len - done < FARM_SMTP_LINE_MAX || t->smtp.state >= FARM_SMTP_STARTTLS);
}

static struct talk run(const uint8_t *data, size_t size, unsigned offers, size_t piece)
{
    static const char host[] = "mx1.farm.test";
    struct talk t = {0};
    struct farm_smtp_rules rules = {&t, offers & 1, offers & 2, no_fault, no_cut, on_message};
    message_digest_init(&t.said);
    message_digest_init(&t.taken);
    farm_smtp_open(&t.smtp, &rules, host, offers & 4);
    hear(&t);
    give(&t, (const char *)data, size, piece);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    unsigned how = data[0];
    struct talk whole = run(data + 1, size - 1, how & 7, size);
    struct talk cut = run(data + 1, size - 1, how & 7, 1 + (how >> 3));
    CHECK(message_digest_value(&whole.said) == message_digest_value(&cut.said));
    CHECK(message_digest_value(&whole.taken) == message_digest_value(&cut.taken));
    CHECK(whole.messages == cut.messages && whole.recipients == cut.recipients);
    CHECK(whole.smtp.state == cut.smtp.state);
    return 0;
}
