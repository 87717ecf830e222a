/* one_talk.h: for programs whose tests have one core and one server each: what they share. */
#ifndef TESTS_UNIT_CRYPTO_ONE_TALK_H
#define TESTS_UNIT_CRYPTO_ONE_TALK_H

#include "tests/unit/crypto/talk.h"

#define HOST  "mx.example.org"
#define ALIAS "mail.example.net"
#define SAN   "DNS:" HOST ",DNS:" ALIAS

extern struct pki_chain ec; /* P-256, for HOST and ALIAS */
extern struct talk talk;
extern struct talk_server
    usual; /* with that chain; what a test changes in it is for the next one as it was */
extern struct outcome why;

static inline uint64_t count(enum stat_id id)
{
    return talk.stats.v[id];
}

/* one_talk_open opens the test's core, with the usual server. */
void one_talk_open(const struct tls_core_config *config);

/* cmocka's: behind each test; and around all of them. */
int one_talk_close(void **state);
int one_talk_make_chain(void **state);
int one_talk_free_chain(void **state);

#endif
