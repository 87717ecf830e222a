#include "engine/base/outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const verdict_names[] = {
    [VERDICT_NONE] = "none",     [VERDICT_DELIVERED] = "delivered", [VERDICT_DEFERRED] = "deferred",
    [VERDICT_FAILED] = "failed", [VERDICT_IN_DOUBT] = "in doubt",
};

static const char *const stage_names[] = {
    [STAGE_NONE] = "none",         [STAGE_SUBMIT] = "submit",   [STAGE_POLICY] = "policy",
    [STAGE_ROUTE] = "route",       [STAGE_CONNECT] = "connect", [STAGE_GREETING] = "greeting",
    [STAGE_STARTTLS] = "starttls", [STAGE_TLS] = "tls",         [STAGE_EHLO] = "ehlo",
    [STAGE_MAIL] = "mail",         [STAGE_RCPT] = "rcpt",       [STAGE_DATA] = "data",
    [STAGE_DOT] = "dot",           [STAGE_QUIT] = "quit",
};

static const char *const fault_names[] = {
    [FAULT_NONE] = "none",       [FAULT_PRODUCER] = "producer", [FAULT_LOCAL] = "local",
    [FAULT_NETWORK] = "network", [FAULT_REMOTE] = "remote",     [FAULT_ATTACK] = "attack",
};

static const char *const reason_names[] = {
    [REASON_NONE] = "none",
    [REASON_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
    [REASON_STARTTLS_REJECTED] = "starttls-rejected",
    [REASON_STARTTLS_INJECTION] = "starttls-injection",
    [REASON_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
    [REASON_CERTIFICATE_EXPIRED] = "certificate-expired",
    [REASON_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
    [REASON_CERTIFICATE_SELF_SIGNED] = "certificate-self-signed",
    [REASON_CERTIFICATE_WEAK] = "certificate-weak",
    [REASON_TLS_VERSION] = "tls-version",
    [REASON_TLS_HANDSHAKE] = "tls-handshake",
    [REASON_CONNECTION_REFUSED] = "connection-refused",
    [REASON_CONNECTION_RESET] = "connection-reset",
    [REASON_CONNECTION_TIMEOUT] = "connection-timeout",
    [REASON_CONNECTION_LOST] = "connection-lost",
    [REASON_NO_ROUTE] = "no-route",
    [REASON_POLICY] = "policy",
    [REASON_REPLY] = "reply",
    [REASON_PROTOCOL] = "protocol",
    [REASON_TIMEOUT] = "timeout",
    [REASON_BAD_JOB] = "bad-job",
    [REASON_TOO_LARGE] = "too-large",
    [REASON_UNSUPPORTED] = "unsupported",
    [REASON_SHUTDOWN] = "shutdown",
    [REASON_LIMIT] = "limit",
};

static_assert(ARRAY_LEN(reason_names) == REASON_COUNT, "a name for every reason");

#define NAME_OF(table, index) ((size_t)(index) < ARRAY_LEN(table) ? (table)[index] : "unknown")

const char *verdict_name(enum verdict v)
{
    return NAME_OF(verdict_names, v);
}

const char *stage_name(enum stage s)
{
    return NAME_OF(stage_names, s);
}

const char *fault_name(enum fault f)
{
    return NAME_OF(fault_names, f);
}

const char *reason_name(enum reason r)
{
    return NAME_OF(reason_names, r);
}

static void set_head(struct outcome *o, enum verdict v, enum stage s, enum fault f, enum reason r)
{
    o->verdict = (uint8_t)v;
    o->stage = (uint8_t)s;
    o->fault = (uint8_t)f;
    o->reason = (uint8_t)r;
    o->smtp_code = 0;
    memset(o->enhanced, 0, sizeof(o->enhanced));
}

void outcome_set_text(struct outcome *o, enum verdict v, enum stage s, enum fault f, enum reason r,
                      const char *text, size_t len)
{
    set_head(o, v, s, f, r);
    size_t n = min_size(len, sizeof(o->text) - 1);
    memcpy(o->text, text, n);
    o->text[n] = '\0';
}

void outcome_set(struct outcome *o, enum verdict v, enum stage s, enum fault f, enum reason r,
                 const char *fmt, ...)
{
    set_head(o, v, s, f, r);

    va_list args;
    va_start(args, fmt);
    vsnprintf(o->text, sizeof(o->text), fmt, args);
    va_end(args);
    for (char *c = o->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}
