/* resumptions.h: meetings with the usual server that may be resumed. */
#ifndef TESTS_UNIT_CRYPTO_RESUMPTIONS_H
#define TESTS_UNIT_CRYPTO_RESUMPTIONS_H

#include "tests/unit/crypto/one_talk.h"

#define HOUR     3600L
#define LIFETIME 1800L /* of tickets, and of chains that were verified */

extern struct tls_scope scope;
extern struct tls_demand demand; /* for HOST, in that scope */

/* A core with room for so many tickets; cmocka's set-up has 64, and 8 a destination. */
void resumptions_open(uint32_t tickets, uint32_t per_destination);
int resumptions_fresh(void **state);

/* A meeting that must succeed; true: it was resumed.  Both ends and the counters agree on that. */
bool resumes_with(const struct talk_server *server, const struct tls_demand *wanted);
bool resumes(void); /* with the usual server and demand */

/* Whether a ticket is shown to the usual server. */
bool offers(const struct tls_demand *wanted);

#endif
