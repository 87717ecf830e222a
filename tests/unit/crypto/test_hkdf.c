/* The key schedule: RFC 8448's numbers, and whatever OpenSSL's own TLS13-KDF and HMAC say to the same question. */
#include "crypto/hkdf.h"
#include "crypto/provider.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

static struct span text(const char *s)
{
    return (struct span){(const uint8_t *)s, strlen(s)};
}

/* ---- RFC 8448 section 3 ---- */

static const uint8_t early_secret[] = {0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b, 0x09, 0xe6, 0xcd,
                                       0x98, 0x93, 0x68, 0x0c, 0xe2, 0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f,
                                       0x26, 0x60, 0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a};
static const uint8_t shared_secret[] = {0x8b, 0xd4, 0x05, 0x4f, 0xb5, 0x5b, 0x9d, 0x63, 0xfd, 0xfb, 0xac,
                                        0xf9, 0xf0, 0x4b, 0x9f, 0x0d, 0x35, 0xe6, 0xd6, 0x3f, 0x53, 0x75,
                                        0x63, 0xef, 0xd4, 0x62, 0x72, 0x90, 0x0f, 0x89, 0x49, 0x2d};
static const uint8_t handshake_secret[] = {0x1d, 0xc8, 0x26, 0xe9, 0x36, 0x06, 0xaa, 0x6f, 0xdc, 0x0a, 0xad,
                                           0xc1, 0x2f, 0x74, 0x1b, 0x01, 0x04, 0x6a, 0xa6, 0xb9, 0x9f, 0x69,
                                           0x1e, 0xd2, 0x21, 0xa9, 0xf0, 0xca, 0x04, 0x3f, 0xbe, 0xac};
static const uint8_t server_secret[] = {0xb6, 0x7b, 0x7d, 0x69, 0x0c, 0xc1, 0x6c, 0x4e, 0x75, 0xe5, 0x42,
                                        0x13, 0xcb, 0x2d, 0x37, 0xb4, 0xe9, 0xc9, 0x12, 0xbc, 0xde, 0xd9,
                                        0x10, 0x5d, 0x42, 0xbe, 0xfd, 0x59, 0xd3, 0x91, 0xad, 0x38};
static const uint8_t server_key[] = {0x3f, 0xce, 0x51, 0x60, 0x09, 0xc2, 0x17, 0x27,
                                     0xd0, 0xf2, 0xe4, 0xe8, 0x6e, 0xe4, 0x03, 0xbc};

static void rfc8448_simple_handshake(void **state)
{
    (void)state;
    uint8_t out[32];
    const struct span nothing = {0}, prefix = text("tls13 ");
    assert_true(hkdf_next_secret(HKDF_SHA256, nothing, prefix, text("derived"), nothing, out));
    assert_memory_equal(out, early_secret, sizeof(out));
    assert_true(hkdf_next_secret(HKDF_SHA256, (struct span){early_secret, 32}, prefix, text("derived"),
                                 (struct span){shared_secret, 32}, out));
    assert_memory_equal(out, handshake_secret, sizeof(out));
    assert_true(hkdf_expand_label(HKDF_SHA256, (struct span){server_secret, 32}, prefix, text("key"), nothing,
                                  out, sizeof(server_key)));
    assert_memory_equal(out, server_key, sizeof(server_key));
}

static void impossible_lengths_are_refused(void **state)
{
    (void)state;
    static uint8_t long_bytes[256], out[255 * 48 + 1];
    const struct span nothing = {0}, too_long = {long_bytes, 256}, most = {long_bytes, 255};
    assert_false(hkdf_expand_label(HKDF_SHA384, nothing, text("x"), most, nothing, out, 48));
    assert_true(hkdf_expand_label(HKDF_SHA384, nothing, nothing, most, most, out, 48));
    assert_false(hkdf_expand_label(HKDF_SHA384, nothing, nothing, most, too_long, out, 48));
    assert_false(hkdf_expand_label(HKDF_SHA384, nothing, nothing, most, nothing, out, sizeof(out)));
    assert_true(hkdf_expand_label(HKDF_SHA384, nothing, nothing, most, nothing, out, sizeof(out) - 1));
}

/* Keys shorter and longer than a block of either hash, and messages of several parts. */
static void hmac_of_any_key(void **state)
{
    (void)state;
    uint8_t key[200], message[300], ours[HKDF_HASH_MAX], theirs[HKDF_HASH_MAX];
    size_t len;
    assert_int_equal(RAND_bytes(key, sizeof(key)), 1);
    assert_int_equal(RAND_bytes(message, sizeof(message)), 1);
    for (size_t i = 0; i <= sizeof(key); i++)
        for (unsigned hash = HKDF_SHA256; hash <= HKDF_SHA384; hash++) {
            const struct span part[] = {{message, i}, {message + i, 0}, {message + i, sizeof(message) - i}};
            hkdf_hmac(hash, (struct span){key, i}, part, ARRAY_LEN(part), ours);
            assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, hash == HKDF_SHA256 ? "SHA2-256" : "SHA2-384", NULL,
                                      key, i, message, sizeof(message), theirs, sizeof(theirs), &len));
            assert_int_equal(len, hkdf_hash_bytes(hash));
            assert_memory_equal(ours, theirs, len);
        }
}

/* ---- the same question to OpenSSL and to our provider ---- */

struct question {
    const char *hash;
    int mode;
    size_t key_len, salt_len, label_len, data_len, out_len;
    uint8_t key[64], salt[64], label[64], data[64];
};

static bool answer(OSSL_LIB_CTX *libctx, const char *query, struct question *q, uint8_t *out)
{
    OSSL_PARAM params[8], *p = params;
    *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &q->mode);
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)q->hash, 0);
    if (q->key_len)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, q->key, q->key_len);
    if (q->salt_len)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, q->salt, q->salt_len);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (char *)"tls13 ", 6);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, q->label, q->label_len);
    if (q->data_len)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA, q->data, q->data_len);
    *p = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, "TLS13-KDF", query);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    assert_non_null(ctx);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)),
                        query ? TLS_PROVIDER_NAME : "default");
    bool ok = EVP_KDF_derive(ctx, out, q->out_len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

static void any_question(struct question *q)
{
    uint8_t r[8];
    assert_int_equal(RAND_bytes(r, sizeof(r)), 1);
    assert_int_equal(RAND_bytes(q->key, sizeof(q->key)), 1);
    assert_int_equal(RAND_bytes(q->salt, sizeof(q->salt)), 1);
    assert_int_equal(RAND_bytes(q->label, sizeof(q->label)), 1);
    assert_int_equal(RAND_bytes(q->data, sizeof(q->data)), 1);
    size_t hash_bytes = r[0] % 2 ? 32 : 48;
    q->hash = r[0] % 2 ? "SHA2-256" : "SHA2-384";
    bool expand = r[1] % 2;
    q->mode = expand ? EVP_KDF_HKDF_MODE_EXPAND_ONLY : EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    q->key_len = expand ? hash_bytes : r[2] % 3 ? r[3] % 64u + 1 : 0;
    q->salt_len = expand || r[4] % 3 == 0 ? 0 : hash_bytes;
    q->label_len = expand ? r[5] % 60 + 1 : 7;
    q->data_len = expand && r[6] % 2 ? hash_bytes : 0;
    q->out_len = expand ? r[7] % 200u + 1 : hash_bytes;
}

static void derives_what_openssl_derives(void **state)
{
    (void)state;
    struct talk talk;
    talk_open(&talk, NULL);
    for (unsigned i = 0; i < 2000; i++) {
        struct question q;
        uint8_t ours[256] = {0}, theirs[256] = {0};
        any_question(&q);
        assert_true(answer(talk.core->libctx, TLS_PROVIDER_QUERY, &q, ours));
        assert_true(answer(NULL, NULL, &q, theirs));
        assert_memory_equal(ours, theirs, sizeof(ours));
    }
    talk_close(&talk);
}

static void refuses_what_it_does_not_understand(void **state)
{
    (void)state;
    struct talk talk;
    struct question q;
    uint8_t out[256];
    talk_open(&talk, NULL);
    do
        any_question(&q);
    while (q.mode != EVP_KDF_HKDF_MODE_EXPAND_ONLY);
    struct question other = q;
    assert_true(answer(talk.core->libctx, TLS_PROVIDER_QUERY, &other, out));
    other.hash = "SHA2-512";
    assert_false(answer(talk.core->libctx, TLS_PROVIDER_QUERY, &other, out));
    other = q;
    other.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
    assert_false(answer(talk.core->libctx, TLS_PROVIDER_QUERY, &other, out));
    other = q;
    other.key_len--;
    assert_false(answer(talk.core->libctx, TLS_PROVIDER_QUERY, &other, out));
    talk_close(&talk);
}

static void authenticates_as_openssl_does(void **state)
{
    (void)state;
    struct talk talk;
    uint8_t key[128], data[48], ours[48], theirs[48];
    size_t ours_len, theirs_len;
    talk_open(&talk, NULL);
    for (size_t len = 1; len <= 48; len++) {
        const char *hash = len % 2 ? "SHA2-256" : "SHA2-384";
        size_t key_len = len % 2 ? 32 : 48;
        assert_int_equal(RAND_bytes(key, sizeof(key)), 1);
        assert_int_equal(RAND_bytes(data, sizeof(data)), 1);
        assert_non_null(EVP_Q_mac(talk.core->libctx, "HMAC", TLS_PROVIDER_QUERY, hash, NULL, key, key_len,
                                  data, len, ours, sizeof(ours), &ours_len));
        assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, hash, NULL, key, key_len, data, len, theirs,
                                  sizeof(theirs), &theirs_len));
        assert_int_equal(ours_len, theirs_len);
        assert_memory_equal(ours, theirs, ours_len);
    }
    talk_close(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc8448_simple_handshake),
        cmocka_unit_test(impossible_lengths_are_refused),
        cmocka_unit_test(hmac_of_any_key),
        cmocka_unit_test(derives_what_openssl_derives),
        cmocka_unit_test(refuses_what_it_does_not_understand),
        cmocka_unit_test(authenticates_as_openssl_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
