/* server_records.h: records of a server in an open session of TLS 1.3 with AES-128-GCM, made by the test. */
#ifndef TESTS_UNIT_CRYPTO_SERVER_RECORDS_H
#define TESTS_UNIT_CRYPTO_SERVER_RECORDS_H

#include "engine/base/bytes.h"

#include <openssl/ssl.h>

/* For talk_server.keylog: the key that the server will write with; the numbers of records begin anew. */
void server_records_key(const SSL *ssl, const char *line);

/* The next record, of that inner type; asserts that out has room for it. */
void server_records_put(struct bytes_out *out, uint8_t type, const uint8_t *text, size_t len);

#endif
