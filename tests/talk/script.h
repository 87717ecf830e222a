/* script.h: the text of a segment, as in packetdrill, read and written. */
#ifndef TESTS_TALK_SCRIPT_H
#define TESTS_TALK_SCRIPT_H

#include "engine/wire/wire.h"

/* A segment as a script says it: sequence numbers count from the ISN of who sends them. */
struct said {
    struct tcp_segment seg; /* payload and pkt are not used */
    bool has_ack, has_win;  /* a number was given */
    bool any_options;       /* <...> */
    bool malformed;         /* text was not understood; why says what */
    char why[128];
};

/* A cursor over the words of a line. */
struct words {
    char *at;
};

/* words_next gives the next word, "" at the end; words are parted by blanks. */
char *words_next(struct words *w);

/* said_parse reads `S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>`. */
struct said said_parse(struct words *w);

/* said_format writes a segment the same way; out has cap bytes. */
void said_format(const struct tcp_segment *seg, char *out, size_t cap);

#endif
