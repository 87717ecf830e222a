/* told.c: outcomes, and the state of the session. */
#include "tests/unit/smtp/dialogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* VERDICT CODE ENHANCED STAGE FAULT REASON [: text], "-" for none */
static void expect_outcome(struct player *p, const struct outcome *o, const char *text)
{
    char got[128], code[8] = "-", enhanced[16] = "-";
    if (o->smtp_code)
        snprintf(code, sizeof(code), "%u", o->smtp_code);
    if (o->enhanced[0])
        snprintf(enhanced, sizeof(enhanced), "%u.%u.%u", o->enhanced[0], o->enhanced[1], o->enhanced[2]);
    const char *verdict = o->verdict == VERDICT_IN_DOUBT ? "in-doubt" : verdict_name(o->verdict);
    snprintf(got, sizeof(got), "%s %s %s %s %s %s", verdict, code, enhanced, stage_name(o->stage),
             fault_name(o->fault), reason_name(o->reason));
    const char *colon = strstr(text, " : ");
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    if (strlen(got) != n || strncmp(got, text, n) != 0)
        dialogue_fail(p, "expected %.*s, got %s : %s", (int)n, text, got, o->text);
    char want[OUTCOME_TEXT_MAX] = "";
    if (colon)
        want[dialogue_unescape(p, colon + 3, (uint8_t *)want, sizeof(want) - 1)] = '\0';
    if (colon && !strstr(o->text, want))
        dialogue_fail(p, "the text is not \"%s\" but \"%s\"", want, o->text);
}

static struct event *next_event(struct player *p)
{
    dialogue_flush(p);
    if (p->event_at == p->events)
        dialogue_fail(p, "nothing has been decided");
    struct event *event = &p->event[p->event_at++];
    unsigned number = p->wanted ? p->wanted : event->message;
    if (event->message != number)
        dialogue_fail(p, "this came for message %u", event->message);
    return event;
}

void do_recipient(struct player *p, const char *text)
{
    struct event *e = next_event(p);
    unsigned long index = strtoul(text, (char **)&text, 10);
    if (e->kind != EVENT_RECIPIENT || e->index != index)
        dialogue_fail(p, "not this recipient's turn");
    expect_outcome(p, &e->outcome, text + 1);
}

void do_done(struct player *p, const char *text)
{
    (void)text;
    if (next_event(p)->kind != EVENT_DONE)
        dialogue_fail(p, "the message is not done");
}

void do_returned(struct player *p, const char *text)
{
    const struct event *e = next_event(p);
    if (e->kind != EVENT_RETURNED || (e->why == SMTP_RETURN_NO_BDAT) != (strcmp(text, "no-bdat") == 0))
        dialogue_fail(p, "the message is not returned, or for another reason");
}

/* How many there have been since the session was opened. */
void do_flights(struct player *p, const char *text)
{
    dialogue_quiet(p);
    if (p->stats.v[STAT_smtp_flights] != strtoul(text, NULL, 10))
        dialogue_fail(p, "there were %lu flights", p->stats.v[STAT_smtp_flights]);
}

/* Room for so many bytes is found in the output; what leaves later is heard later. */
void do_room(struct player *p, const char *text)
{
    dialogue_quiet(p);
    p->room = strcmp(text, "free") == 0 ? SIZE_MAX : strtoul(text, NULL, 10);
    dialogue_listen(p);
}

void do_session(struct player *p, const char *text)
{
    struct outcome o;
    dialogue_quiet(p);
    smtp_outcome(&p->session, &o);
    expect_outcome(p, &o, strcmp(text, "sound") == 0 ? "none - - none none none" : text);
}

void do_ready(struct player *p, const char *text)
{
    dialogue_quiet(p);
    if (smtp_ready(&p->session) != (strcmp(text, "no") != 0))
        dialogue_fail(p, "the session is %s", smtp_state_text(&p->session));
    bool idle = smtp_ready(&p->session) && !smtp_reply_is_owed(&p->session);
    if (idle && smtp_next_deadline(&p->session) != DEADLINE_NEVER)
        dialogue_fail(p, "an idle session has a deadline");
}

void do_closed(struct player *p, const char *text)
{
    (void)text;
    dialogue_quiet(p);
    if (smtp_want(&p->session) != SMTP_WANT_CLOSE || smtp_next_deadline(&p->session) != DEADLINE_NEVER)
        dialogue_fail(p, "not closed: %s", smtp_state_text(&p->session));
}

void do_deadline(struct player *p, const char *text)
{
    dialogue_quiet(p);
    bool never = strcmp(text, "never") == 0;
    uint64_t want = never ? DEADLINE_NEVER : p->now_us + (uint64_t)(strtod(text, NULL) * 1e6);
    if (smtp_next_deadline(&p->session) != want)
        dialogue_fail(p, "the deadline is %g s from now",
                      (double)(smtp_next_deadline(&p->session) - p->now_us) / 1e6);
}

void do_state(struct player *p, const char *text)
{
    dialogue_flush(p);
    if (strcmp(smtp_state_text(&p->session), text) != 0)
        dialogue_fail(p, "the session is %s", smtp_state_text(&p->session));
}

/* What follows is another case's: the connection ends here, and each recipient must still get its outcome. */
void do_enough(struct player *p, const char *text)
{
    (void)text;
    dialogue_quiet(p);
    unsigned expected = 0, returned = 0;
    for (uint32_t serial = p->session.reply_at.serial; serial < p->session.begun; serial++) {
        const struct smtp_transaction *t = smtp_transaction(&p->session, serial);
        expected += t->message ? t->undecided + 1 : 0;
    }
    if (!expected)
        dialogue_fail(p, "no message is in hand");
    do_lost(p, "connection-lost");
    for (unsigned i = p->event_at; i < p->events; i++)
        returned += p->event[i].kind == EVENT_RETURNED;
    if (!returned && p->events - p->event_at != expected)
        dialogue_fail(p, "%u events were due, %u events came", expected, p->events - p->event_at);
    p->event_at = p->events;
}
