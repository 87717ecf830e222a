#include "tests/unit/crypto/resumptions.h"

#include "tests/unit/cmocka.h"

struct tls_scope scope;
struct tls_demand demand;

void resumptions_open(uint32_t tickets, uint32_t per_destination)
{
    one_talk_open(&(struct tls_core_config){.sessions_max = 3,
                                            .proven_chains = 64,
                                            .proven_lifetime_s = LIFETIME,
                                            .tickets_max = tickets,
                                            .tickets_per_destination = per_destination,
                                            .ticket_lifetime_s = LIFETIME});
}

int resumptions_fresh(void **state)
{
    (void)state;
    scope = talk_scope();
    demand = talk_pkix(HOST);
    demand.scope = &scope;
    resumptions_open(64, 8);
    return 0;
}

bool resumes_with(const struct talk_server *server, const struct tls_demand *wanted)
{
    uint64_t resumed = count(STAT_tls_resumed);
    const struct tls_verified *v = talk_accepted(&talk, server, wanted);
    assert_int_equal(v->resumed, SSL_session_reused(talk.server));
    assert_int_equal(count(STAT_tls_resumed), resumed + v->resumed);
    assert_int_equal(v->pkix, wanted->pkix);
    return v->resumed;
}

bool resumes(void)
{
    return resumes_with(&usual, &demand);
}

bool offers(const struct tls_demand *wanted)
{
    uint64_t used = count(STAT_tls_tickets_used);
    talk_meet(&talk, &usual, wanted);
    talk_part(&talk);
    return count(STAT_tls_tickets_used) > used;
}
