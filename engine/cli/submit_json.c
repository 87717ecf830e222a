/* submit_json.c: results as lines of JSON.  Words are the log's, times are microseconds since the submission. */
#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/submit.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* JSON is UTF-8; a file's name or a reply need not be. */
static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *key, const char *text)
{
    size_t bytes = strlen(text);
    yyjson_mut_val *value = yyjson_mut_strncpy(doc, text, bytes);
    char *probe = yyjson_mut_val_write(value, 0, NULL);
    if (!probe) {
        char *ascii = strdup(text);
        for (char *c = ascii; c && *c; c++)
            if ((unsigned char)*c >= 0x80)
                *c = '?';
        value = ascii ? yyjson_mut_strncpy(doc, ascii, bytes) : yyjson_mut_null(doc);
        free(ascii);
    }
    free(probe);
    yyjson_mut_obj_add_val(doc, to, key, value);
}

static void add_hex(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *key, const uint8_t digest[32])
{
    char hex[65];
    for (unsigned i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    yyjson_mut_obj_add_strcpy(doc, to, key, hex);
}

static const char *version_name(uint16_t version)
{
    return version == 0x0304 ? "TLSv1.3" : version == 0x0303 ? "TLSv1.2" : "unknown";
}

static void add_tls(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct hl_tls *tls)
{
    if (!tls->present) {
        yyjson_mut_obj_add_null(doc, root, "tls");
        return;
    }
    yyjson_mut_val *to = yyjson_mut_obj_add_obj(doc, root, "tls");
    yyjson_mut_obj_add_str(doc, to, "level", hl_tls_level_name(tls->level));
    add_text(doc, to, "policy_source", tls->policy_source);
    yyjson_mut_obj_add_str(doc, to, "version", version_name(tls->version));
    add_text(doc, to, "cipher", tls->cipher);
    add_text(doc, to, "group", tls->group);
    add_text(doc, to, "signature", tls->signature);
    yyjson_mut_obj_add_bool(doc, to, "pkix", tls->pkix);
    add_text(doc, to, "matched_name", tls->matched_name);
    yyjson_mut_obj_add_bool(doc, to, "resumed", tls->resumed);
    yyjson_mut_obj_add_bool(doc, to, "remembered", tls->remembered);
    yyjson_mut_obj_add_bool(doc, to, "reused", tls->reused);
    yyjson_mut_obj_add_bool(doc, to, "exception", tls->exception);
    if (tls->digests) {
        add_hex(doc, to, "certificate_sha256", tls->certificate_sha256);
        add_hex(doc, to, "spki_sha256", tls->spki_sha256);
    }
}

static void add_mx(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct hl_result *r)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[INET6_ADDRSTRLEN];
    if (!r->mx_host[0] && !r->mx_addr_present) {
        yyjson_mut_obj_add_null(doc, root, "mx");
        return;
    }
    yyjson_mut_val *to = yyjson_mut_obj_add_obj(doc, root, "mx");
    add_text(doc, to, "host", r->mx_host);
    if (!r->mx_addr_present)
        return;
    if (memcmp(r->mx_addr, mapped, sizeof(mapped)) == 0)
        inet_ntop(AF_INET, r->mx_addr + 12, text, sizeof(text));
    else
        inet_ntop(AF_INET6, r->mx_addr, text, sizeof(text));
    yyjson_mut_obj_add_strcpy(doc, to, "address", text);
    yyjson_mut_obj_add_uint(doc, to, "port", r->mx_port);
}

static void add_time(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *key, uint64_t from_us,
                     uint64_t at_us)
{
    if (at_us >= from_us && from_us)
        yyjson_mut_obj_add_uint(doc, to, key, at_us - from_us);
}

static void add_times(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct hl_result *r)
{
    yyjson_mut_val *to = yyjson_mut_obj_add_obj(doc, root, "times_us");
    add_time(doc, to, "queued", r->submitted_us, r->queued_us);
    add_time(doc, to, "connected", r->submitted_us, r->connected_us);
    add_time(doc, to, "secured", r->submitted_us, r->secured_us);
    add_time(doc, to, "sent", r->submitted_us, r->sent_us);
    add_time(doc, to, "replied", r->submitted_us, r->replied_us);
}

static void add_letter(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct letter *letter,
                       uint32_t recipient)
{
    const struct envelope *e = &letter->envelope;
    yyjson_mut_obj_add_uint(doc, root, "job", letter->number);
    yyjson_mut_obj_add_uint(doc, root, "recipient", recipient);
    add_text(doc, root, "path", letter->path ? letter->path : "");
    if (e->tag)
        add_text(doc, root, "tag", e->tag);
    add_text(doc, root, "from", e->from ? e->from : "");
    add_text(doc, root, "to", recipient < e->to_count ? e->to[recipient].address : "");
}

static void add_enhanced(yyjson_mut_doc *doc, yyjson_mut_val *root, const uint8_t enhanced[3])
{
    char text[16];
    if (!enhanced[0])
        return;
    snprintf(text, sizeof(text), "%u.%u.%u", enhanced[0], enhanced[1], enhanced[2]);
    yyjson_mut_obj_add_strcpy(doc, root, "enhanced", text);
}

static void print(FILE *out, yyjson_mut_doc *doc)
{
    size_t bytes;
    char *line = yyjson_mut_write(doc, 0, &bytes);
    if (line) {
        fwrite(line, 1, bytes, out);
        putc('\n', out);
    }
    free(line);
    yyjson_mut_doc_free(doc);
}

void json_result(FILE *out, const struct letter *letter, uint32_t recipient, const struct hl_result *r)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    add_letter(doc, root, letter, recipient);
    yyjson_mut_obj_add_str(doc, root, "verdict", hl_verdict_name(r->verdict));
    yyjson_mut_obj_add_str(doc, root, "stage", hl_stage_name(r->stage));
    yyjson_mut_obj_add_str(doc, root, "fault", hl_fault_name(r->fault));
    yyjson_mut_obj_add_str(doc, root, "reason", hl_reason_name(r->reason));
    if (r->smtp_code)
        yyjson_mut_obj_add_uint(doc, root, "code", r->smtp_code);
    add_enhanced(doc, root, r->enhanced);
    add_text(doc, root, "text", r->text);
    add_mx(doc, root, r);
    add_tls(doc, root, &r->tls);
    add_times(doc, root, r);
    print(out, doc);
}

void json_summary(FILE *out, const struct report *report, double seconds)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *to = yyjson_mut_obj_add_obj(doc, root, "summary");
    yyjson_mut_obj_add_uint(doc, to, "messages", report->letters);
    yyjson_mut_obj_add_uint(doc, to, "delivered", report->verdicts[HL_DELIVERED]);
    yyjson_mut_obj_add_uint(doc, to, "deferred", report->verdicts[HL_DEFERRED]);
    yyjson_mut_obj_add_uint(doc, to, "failed", report->verdicts[HL_FAILED]);
    yyjson_mut_obj_add_uint(doc, to, "in_doubt", report->verdicts[HL_IN_DOUBT]);
    yyjson_mut_obj_add_uint(doc, to, "not_sent", report->verdicts[HL_NOT_SENT]);
    yyjson_mut_obj_add_uint(doc, to, "unsubmitted", report->unsubmitted);
    yyjson_mut_obj_add_uint(doc, to, "bytes", report->bytes);
    yyjson_mut_obj_add_real(doc, to, "seconds", seconds);
    print(out, doc);
}
