/* Published answers, asked of every library that computes batches. */
#include "tests/unit/crypto/batch_kit.h"
#include "tests/unit/cmocka.h"

static struct span text(const char *s)
{
    return (struct span){(const uint8_t *)s, strlen(s)};
}

/* ---- key agreement ---- */

struct agreement {
    enum batch_group group;
    const char *secret, *peer, *shared;
};

static const struct agreement agreements[] = {
    /* RFC 7748 section 5.2; the second u-coordinate has its top bit set */
    {BATCH_X25519, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
     "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
     "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
    {BATCH_X25519, "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
     "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
     "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
    /* NIST CAVP, ECC CDH primitive */
    {BATCH_P256, "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534",
     "04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287"
     "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
     "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b"},
    {BATCH_P384,
     "3cc3122a68f0d95027ad38c067916ba0eb8c38894d22e1b15618b6818a661774ad463b205da88cf699ab4d43c9cf98a1",
     "04a7c76b970c3b5fe8b05d2838ae04ab47697b9eaf52e764592efda27fe7513272734466b400091adbf2d68c58e0c50066"
     "ac68f19f2e1cb879aed43a9969b91a0839c4c38a49749b661efedf243451915ed0905a32b060992b468c64766fc8437a",
     "5f9d29dc5e31a163060356213669c8ce132e22f57c9a04f40ba7fcead493b457e5621e766c40a2e3d4d6a04b25e533f1"},
};

static void make_point(struct kit *kit, enum batch_group group, struct batch_pair *own)
{
    struct batch_op op = {.result = BATCH_WAITS}, *one = &op;
    op.exchange.own = *own;
    batch_compute(kit->batch, (enum batch_kind)group, &one, 1);
    assert_int_equal(op.result, BATCH_GOOD);
    *own = op.exchange.own;
}

static void agree(struct kit *kit, const struct agreement *a)
{
    struct batch_pair own = {0};
    uint8_t peer[BATCH_POINT_BYTES], shared[BATCH_SECRET_BYTES], found[BATCH_SECRET_BYTES];
    size_t n = kit_hex(a->shared, shared);
    kit_hex(a->secret, own.secret);
    make_point(kit, a->group, &own);
    const struct span point = {peer, kit_hex(a->peer, peer)};
    assert_int_equal(kit_derive(kit, a->group, &own, point, found), BATCH_GOOD);
    assert_memory_equal(found, shared, n);
}

static void key_agreement(void **state)
{
    (void)state;
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        for (unsigned i = 0; i < ARRAY_LEN(agreements); i++)
            agree(&kit, &agreements[i]);
        kit_close(&kit);
    }
}

static void public_points(void **state)
{
    (void)state;
    static const struct {
        enum batch_group group;
        const char *secret, *point;
    } known[] = {
        /* RFC 7748 section 6.1, Bob */
        {BATCH_X25519, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
         "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"},
        /* RFC 6979 sections A.2.5 and A.2.6 */
        {BATCH_P256, "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
         "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
         "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"},
        {BATCH_P384,
         "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
         "04EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13"
         "8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720"},
    };
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
            struct batch_pair own = {0};
            uint8_t point[BATCH_POINT_BYTES];
            size_t n = kit_hex(known[i].point, point);
            kit_hex(known[i].secret, own.secret);
            make_point(&kit, known[i].group, &own);
            assert_memory_equal(own.point, point, n);
        }
        kit_close(&kit);
    }
}

/* ---- signatures ---- */

struct ecdsa {
    enum batch_group group;
    enum batch_hash hash;
    const char *point, *sig;
};

#define P256_POINT                                                       \
    "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6" \
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
#define P384_POINT                                                                                       \
    "04EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13" \
    "8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720"

/* RFC 6979 sections A.2.5 and A.2.6, message "sample", as DER. */
static const struct ecdsa ecdsas[] = {
    {BATCH_P256, BATCH_SHA256, P256_POINT,
     "3046022100EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
     "022100F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"},
    {BATCH_P256, BATCH_SHA384, P256_POINT,
     "304402200EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719"
     "02204861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954"},
    {BATCH_P384, BATCH_SHA384, P384_POINT,
     "306602310094EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46"
     "02310099EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8"},
};

static void ask_ecdsa(struct kit *kit, const struct ecdsa *e)
{
    uint8_t point[BATCH_POINT_BYTES], sig[BATCH_SIG_BYTES];
    kit_hex(e->point, point);
    const struct span der = {sig, kit_hex(e->sig, sig)};
    EVP_PKEY *pkey = kit_ec_public(e->group, point);
    struct batch_key *key = batch_key_make(NULL, pkey);
    assert_non_null(key);
    assert_int_equal(kit_verify(kit, key, BATCH_ECDSA, e->hash, text("sample"), der), BATCH_GOOD);
    assert_int_equal(kit_verify(kit, key, BATCH_ECDSA, e->hash, text("samplf"), der), BATCH_BAD);
    assert_int_equal(kit_verify(kit, key, BATCH_ECDSA, BATCH_SHA512, text("sample"), der), BATCH_BAD);
    assert_int_equal(kit_verify(kit, key, BATCH_RSA_PSS, e->hash, text("sample"), der), BATCH_BAD);
    batch_key_drop(key);
    EVP_PKEY_free(pkey);
}

static void ecdsa(void **state)
{
    (void)state;
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        for (unsigned i = 0; i < ARRAY_LEN(ecdsas); i++)
            ask_ecdsa(&kit, &ecdsas[i]);
        kit_close(&kit);
    }
}

/* RFC 8032 section 7.1, tests 1 and 2. */
static void ed25519(void **state)
{
    (void)state;
    static const struct {
        const char *point, *message, *sig;
    } known[] = {
        {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
         "24655141438e7a100b"},
        {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "r",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
         "eeb00d291612bb0c00"},
    };
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
            uint8_t point[32], sig[64];
            size_t n = kit_hex(known[i].sig, sig);
            kit_hex(known[i].point, point);
            EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, point, sizeof(point));
            struct batch_key *key = batch_key_make(NULL, pkey);
            assert_non_null(key);
            const struct span message = text(known[i].message);
            assert_int_equal(kit_verify(&kit, key, BATCH_ED25519, 0, message, (struct span){sig, n}),
                             BATCH_GOOD);
            assert_int_equal(kit_verify(&kit, key, BATCH_ED25519, 0, text("s"), (struct span){sig, n}),
                             BATCH_BAD);
            assert_int_equal(kit_verify(&kit, key, BATCH_ED25519, 0, message, (struct span){sig, n - 1}),
                             BATCH_BAD);
            assert_int_equal(kit_verify(&kit, key, BATCH_ECDSA, 0, message, (struct span){sig, n}),
                             BATCH_BAD);
            batch_key_drop(key);
            EVP_PKEY_free(pkey);
        }
        kit_close(&kit);
    }
}

/* Signed by libcrypto: every size, padding and hash; other paddings and hashes are refused. */
static void ask_rsa(struct kit *kit, unsigned bits, enum batch_scheme scheme, enum batch_hash hash)
{
    uint8_t sig[1024];
    EVP_PKEY *pkey = kit_rsa(bits);
    const struct span signed_by = {sig, kit_sign(pkey, scheme, hash, text("sample"), sig)};
    struct batch_key *key = batch_key_make(NULL, pkey);
    assert_int_equal(kit_verify(kit, key, scheme, hash, text("sample"), signed_by), BATCH_GOOD);
    assert_int_equal(kit_verify(kit, key, scheme, hash, text("samplf"), signed_by), BATCH_BAD);
    enum batch_scheme other = scheme == BATCH_RSA_PSS ? BATCH_RSA_PKCS1 : BATCH_RSA_PSS;
    assert_int_equal(kit_verify(kit, key, other, hash, text("sample"), signed_by), BATCH_BAD);
    assert_int_equal(kit_verify(kit, key, scheme, (hash + 1) % BATCH_HASHES, text("sample"), signed_by),
                     BATCH_BAD);
    assert_int_equal(kit_verify(kit, key, BATCH_ECDSA, hash, text("sample"), signed_by), BATCH_BAD);
    batch_key_drop(key);
}

static void rsa(void **state)
{
    (void)state;
    struct kit kit;
    for (unsigned library = 0; library < KIT_LIBRARIES; library++) {
        if (!kit_open(&kit, library))
            continue;
        for (unsigned bits = 2048; bits <= 4096; bits += 1024)
            for (enum batch_hash hash = 0; hash < BATCH_HASHES; hash++) {
                ask_rsa(&kit, bits, BATCH_RSA_PKCS1, hash);
                ask_rsa(&kit, bits, BATCH_RSA_PSS, hash);
            }
        kit_close(&kit);
    }
}

/* Keys that no lane takes are libcrypto's. */
static void other_keys(void **state)
{
    (void)state;
    struct kit kit;
    uint8_t sig[1024];
    EVP_PKEY *odd = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2056);
    EVP_PKEY *pss = EVP_PKEY_Q_keygen(NULL, NULL, "RSA-PSS"),
             *x25519 = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    struct batch_key *odd_key = batch_key_make(NULL, odd), *pss_key = batch_key_make(NULL, pss);
    assert_null(batch_key_make(NULL, x25519));
    assert_int_equal(batch_key_kind(odd_key), BATCH_OTHER_VERIFY);
    assert_int_equal(batch_key_kind(pss_key), BATCH_OTHER_VERIFY);
    assert_true(kit_open(&kit, KIT_LIBCRYPTO));
    struct span by = {sig, kit_sign(odd, BATCH_RSA_PKCS1, BATCH_SHA256, text("sample"), sig)};
    assert_int_equal(kit_verify(&kit, odd_key, BATCH_RSA_PKCS1, BATCH_SHA256, text("sample"), by),
                     BATCH_GOOD);
    assert_int_equal(kit_verify(&kit, odd_key, BATCH_RSA_PSS, BATCH_SHA256, text("sample"), by), BATCH_BAD);
    by.len = kit_sign(pss, BATCH_RSA_PSS, BATCH_SHA384, text("sample"), sig);
    assert_int_equal(kit_verify(&kit, pss_key, BATCH_RSA_PSS, BATCH_SHA384, text("sample"), by), BATCH_GOOD);
    assert_int_equal(kit_verify(&kit, pss_key, BATCH_RSA_PKCS1, BATCH_SHA384, text("sample"), by), BATCH_BAD);
    kit_close(&kit);
    batch_key_drop(odd_key);
    batch_key_drop(pss_key);
    EVP_PKEY_free(odd);
    EVP_PKEY_free(pss);
    EVP_PKEY_free(x25519);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_agreement), cmocka_unit_test(public_points), cmocka_unit_test(ecdsa),
        cmocka_unit_test(ed25519),       cmocka_unit_test(rsa),           cmocka_unit_test(other_keys),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kit_free_keys();
    return failed;
}
