/* certificates.h: one authority for all receivers of a test program, and what it has issued; made when first asked for. */
#ifndef TESTS_UNIT_CORE_CERTIFICATES_H
#define TESTS_UNIT_CORE_CERTIFICATES_H

#include "crypto/tls.h"

#include <openssl/ssl.h>

/* Of all certificates, "P-256" unless told otherwise; before the first of them is made. */
void certificates_keys(const char *type);

/* A server with a certificate in that name; shared by all that ask for it. */
SSL_CTX *certificates_for(const char *name);

/* The authority as a trust set, shared; and once more, the caller's to free. */
struct tls_trust *certificates_trust(void);
struct tls_trust *certificates_other_trust(void);

#endif
