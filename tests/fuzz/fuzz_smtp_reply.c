/* Replies from bytes: the first says how the rest is cut; cut and whole must give the same, within all limits.
 * RFC 5321 section 4.2.
 */
#include "engine/smtp/ehlo.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/text.h"
#include "tests/fuzz/fuzz.h"

struct reading {
    struct smtp_reply reply;
    struct smtp_offer offer;
    enum reply_status status;
    unsigned replies;
    uint64_t sum; /* of all codes and texts, in their order */
};

static void check_text(const struct smtp_reply *reply)
{
    CHECK(reply->text_len < OUTCOME_TEXT_MAX && strlen(reply->text) == reply->text_len);
    for (size_t at = 0; at < reply->text_len;) {
        uint32_t c = 0;
        size_t n = smtp_utf8_take((const uint8_t *)reply->text + at, reply->text_len - at, &c);
        CHECK(n > 0 && c >= ' ' && (c < 0x7f || c >= 0xa0));
        at += n;
    }
}

static void check_reply(const struct smtp_reply *reply)
{
    CHECK(reply->code >= 200 && reply->code <= 599);
    CHECK(reply->lines >= 1 && reply->lines <= SMTP_REPLY_LINES_MAX);
    CHECK(reply->bytes <= SMTP_REPLY_BYTES_MAX && reply->line_len <= SMTP_LINE_MAX);
    CHECK(reply->enhanced[0] == 0 || reply->enhanced[0] == smtp_reply_class(reply));
    check_text(reply);
}

static void add(struct reading *r)
{
    check_reply(&r->reply);
    r->replies++;
    r->sum = r->sum * 31 + r->reply.code + r->reply.enhanced[1];
    for (size_t i = 0; i < r->reply.text_len; i++)
        r->sum = r->sum * 31 + (uint8_t)r->reply.text[i];
}

static void read_chunk(struct reading *r, const uint8_t *data, size_t size)
{
    struct bytes_in in = bytes_in(data, size);
    while (bytes_left(&in) && r->status != REPLY_BAD) {
        r->status = smtp_reply_input(&r->reply, &in);
        if (r->status == REPLY_LINE || r->status == REPLY_DONE)
            smtp_ehlo_line(&r->offer, r->reply.line_text);
        if (r->status == REPLY_BAD)
            CHECK(r->reply.bad);
        if (r->status == REPLY_DONE) {
            add(r);
            smtp_reply_clear(&r->reply);
        }
    }
}

static struct reading read_all(const uint8_t *data, size_t size, size_t chunk)
{
    struct reading r = {.status = REPLY_MORE};
    smtp_reply_clear(&r.reply);
    for (size_t at = 0; at < size; at += chunk)
        read_chunk(&r, data + at, min_size(chunk, size - at));
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct reading whole = read_all(data + 1, size - 1, size);
    struct reading cut = read_all(data + 1, size - 1, 1 + data[0] % 16);
    CHECK(whole.replies == cut.replies && whole.sum == cut.sum);
    CHECK((whole.status == REPLY_BAD) == (cut.status == REPLY_BAD));
    CHECK(whole.offer.extensions == cut.offer.extensions);
    CHECK(whole.offer.size_max_bytes == cut.offer.size_max_bytes);
    return 0;
}
