/* bare.h: a producer made of bare messages, at the server of one_pair.h. */
#ifndef TESTS_UNIT_RING_BARE_H
#define TESTS_UNIT_RING_BARE_H

#include "tests/unit/ring/one_pair.h"

int bare_dial(void); /* a socket */
struct ring_message bare_message(enum ring_hand_over what);
void bare_say(int sock, const void *bytes, size_t count);

/* bare_hear gives what the server answers, and the first descriptor with it, or -1; fd NULL: it is closed. */
struct ring_message bare_hear(int sock, int *fd);

/* Asserts that the answer is a goodbye that says this, and the end; closes the socket. */
void bare_hears_goodbye(int sock, enum ring_goodbye why, const char *text);

/* The memory that a HELLO is granted; the caller closes it. */
int bare_granted(int *sock);

#endif
