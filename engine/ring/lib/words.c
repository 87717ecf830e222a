/* words.c: the names of numbers, the same as in the engine's log; tests/unit/ring holds the two together. */
#include "engine/ring/lib/lib.h"

static const char *const verdicts[] = {"none", "delivered", "deferred", "failed", "in doubt", "not sent"};

static const char *const stages[] = {
    "none", "submit", "policy", "route", "connect", "greeting", "starttls",
    "tls",  "ehlo",   "mail",   "rcpt",  "data",    "dot",      "quit",
};

static const char *const faults[] = {"none", "producer", "local", "network", "remote", "attack"};

static const char *const reasons[] = {
    "none",
    "starttls-not-supported",
    "starttls-rejected",
    "starttls-injection",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "certificate-self-signed",
    "certificate-weak",
    "tls-version",
    "tls-handshake",
    "connection-refused",
    "connection-reset",
    "connection-timeout",
    "connection-lost",
    "no-route",
    "policy",
    "reply",
    "protocol",
    "timeout",
    "bad-job",
    "too-large",
    "unsupported",
    "shutdown",
    "limit",
};

static const char *const levels[] = {"default", "encrypt", "verify", "secure"};

static const char *name_of(const char *const *names, size_t count, int number)
{
    return number >= 0 && (size_t)number < count ? names[number] : "unknown";
}

const char *hl_verdict_name(int verdict)
{
    return name_of(verdicts, ARRAY_LEN(verdicts), verdict);
}

const char *hl_stage_name(int stage)
{
    return name_of(stages, ARRAY_LEN(stages), stage);
}

const char *hl_fault_name(int fault)
{
    return name_of(faults, ARRAY_LEN(faults), fault);
}

const char *hl_reason_name(int reason)
{
    return name_of(reasons, ARRAY_LEN(reasons), reason);
}

const char *hl_tls_level_name(int level)
{
    return name_of(levels, ARRAY_LEN(levels), level);
}
