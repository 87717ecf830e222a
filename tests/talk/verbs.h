/* verbs.h: the words of a script; each takes the rest of its line and returns false after a fault. */
#ifndef TESTS_TALK_VERBS_H
#define TESTS_TALK_VERBS_H

#include "tests/talk/play.h"
#include "tests/talk/script.h"

bool verb_connect(struct play *p, struct words *w);
bool verb_listen(struct play *p, struct words *w);
bool verb_write(struct play *p, struct words *w);
bool verb_read(struct play *p, struct words *w);
bool verb_close(struct play *p, struct words *w);
bool verb_abort(struct play *p, struct words *w);
bool verb_icmp(struct play *p, struct words *w);
bool verb_refuse(struct play *p, struct words *w);
bool verb_config(struct play *p, struct words *w);
bool verb_expect(struct play *p, struct words *w);

#endif
