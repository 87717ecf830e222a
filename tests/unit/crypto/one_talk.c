#include "tests/unit/crypto/one_talk.h"

struct pki_chain ec;
struct talk talk;
struct talk_server usual;
struct outcome why;

void one_talk_open(const struct tls_core_config *config)
{
    usual = (struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle};
    talk_open_config(&talk, ec.ca_file, config);
}

int one_talk_close(void **state)
{
    (void)state;
    talk_close(&talk);
    return 0;
}

int one_talk_make_chain(void **state)
{
    (void)state;
    ec = pki_chain("P-256", SAN);
    return 0;
}

int one_talk_free_chain(void **state)
{
    (void)state;
    pki_chain_free(&ec);
    return 0;
}
