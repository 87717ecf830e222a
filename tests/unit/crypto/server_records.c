#include "tests/unit/crypto/server_records.h"

#include "tests/unit/cmocka.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <string.h>

static struct sealing {
    uint8_t key[16], iv[12];
    uint64_t sequence;
} sealing;

static void expand(const uint8_t secret[32], const char *label, uint8_t *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    char digest[] = "SHA256", prefix[] = "tls13 ";
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, 32),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)label, strlen(label)),
        OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_KDF_derive(ctx, out, len, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* "SERVER_TRAFFIC_SECRET_0 <client random> <secret>" */
void server_records_key(const SSL *ssl, const char *line)
{
    uint8_t secret[32];
    (void)ssl;
    if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) != 0)
        return;
    const char *hex = strrchr(line, ' ') + 1;
    assert_int_equal(strlen(hex), 64);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(sscanf(hex + 2 * (size_t)i, "%2hhx", &secret[i]), 1);
    expand(secret, "key", sealing.key, sizeof(sealing.key));
    expand(secret, "iv", sealing.iv, sizeof(sealing.iv));
    sealing.sequence = 0;
}

void server_records_put(struct bytes_out *out, uint8_t type, const uint8_t *text, size_t len)
{
    uint8_t nonce[12], plain[16400];
    int n;
    memcpy(plain, text, len);
    plain[len] = type;
    memcpy(nonce, sealing.iv, sizeof(nonce));
    for (unsigned i = 0; i < 8; i++)
        nonce[11 - i] ^= (uint8_t)(sealing.sequence >> 8 * i);
    sealing.sequence++;
    const uint8_t *header = out->at;
    bytes_put(out, "\x17\x03\x03", 3);
    bytes_put_be16(out, (uint16_t)(len + 1 + 16));
    uint8_t *at = bytes_reserve(out, len + 1 + 16);
    assert_non_null(at);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, sealing.key, nonce), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &n, header, 5), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, at, &n, plain, (int)len + 1), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, at + n, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, at + len + 1), 1);
    EVP_CIPHER_CTX_free(ctx);
}
