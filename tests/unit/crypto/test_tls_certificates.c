/* Certificates that must not pass, each with its own reason and a sentence that says what is wrong. */
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#define HOST "mx.example.org"
#define SAN  "DNS:" HOST

static struct pki_chain ec;
static struct talk talk;
static struct outcome why;

static void says(const char *text)
{
    if (!strstr(why.text, text))
        print_message("# lacks \"%s\"\n", text);
    assert_non_null(strstr(why.text, text));
}

/* A leaf under our intermediate that is refused in both versions, and in a session that demands only that. */
static void refused_server(const struct talk_server *server, const char *name, enum reason reason)
{
    struct tls_demand demand = talk_pkix(name);
    demand.sni = HOST;
    struct talk_server old = *server;
    old.version = TLS1_2_VERSION;
    talk_refused(&talk, &old, &demand, reason, &why);
    assert_false(SSL_is_init_finished(talk.server)); /* the server has not seen our Finished */
    talk_refused(&talk, server, &demand, reason, &why);
    assert_false(SSL_is_init_finished(talk.server));
    assert_int_equal(why.fault, FAULT_REMOTE);
    says(HOST);
}

static void refused_leaf(const struct pki_spec *spec, const char *name, enum reason reason)
{
    struct pki leaf = pki_make(&ec.middle, spec);
    refused_server(&(struct talk_server){.leaf = &leaf, .middle = &ec.middle, .security_level = -1}, name,
                   reason);
    pki_free(&leaf);
}

static void refused_middle(const struct pki_spec *spec, enum reason reason)
{
    struct pki middle = pki_make(&ec.root, spec);
    struct pki leaf = pki_make(&middle, &(struct pki_spec){.cn = HOST, .san = SAN});
    refused_server(&(struct talk_server){.leaf = &leaf, .middle = &middle, .security_level = -1}, HOST,
                   reason);
    pki_free(&leaf);
    pki_free(&middle);
}

/* ---- time ---- */

static void expired_leaf(void **state)
{
    (void)state;
    refused_leaf(&(struct pki_spec){.san = SAN, .from_s = -9 * PKI_DAY, .until_s = -60}, HOST,
                 REASON_CERTIFICATE_EXPIRED);
    says("expired on 20");
}

static void leaf_not_yet_valid(void **state)
{
    (void)state;
    refused_leaf(&(struct pki_spec){.san = SAN, .from_s = PKI_DAY, .until_s = 9 * PKI_DAY}, HOST,
                 REASON_CERTIFICATE_EXPIRED);
    says("not valid before 20");
}

static void expired_intermediate(void **state)
{
    (void)state;
    refused_middle(&(struct pki_spec){.cn = "Old CA", .ca = true, .from_s = -9 * PKI_DAY, .until_s = -60},
                   REASON_CERTIFICATE_EXPIRED);
    says("\"Old CA\"");
}

/* ---- names, RFC 9525 ---- */

static void wrong_name(void **state)
{
    (void)state;
    refused_leaf(&(struct pki_spec){.san = "DNS:mail.example.org,DNS:other.example"}, HOST,
                 REASON_CERTIFICATE_HOST_MISMATCH);
    says("is for mail.example.org, other.example, not for mx.example.org");
}

static void common_name_only(void **state)
{
    (void)state;
    refused_leaf(&(struct pki_spec){.cn = HOST}, HOST, REASON_CERTIFICATE_HOST_MISMATCH);
    says("no DNS name");
    refused_leaf(&(struct pki_spec){.cn = HOST, .san = "DNS:other.example"}, HOST,
                 REASON_CERTIFICATE_HOST_MISMATCH);
    refused_leaf(&(struct pki_spec){.cn = HOST, .san = "email:postmaster@mx.example.org"}, HOST,
                 REASON_CERTIFICATE_HOST_MISMATCH);
    refused_leaf(&(struct pki_spec){.cn = HOST, .san = "URI:https://mx.example.org/"}, HOST,
                 REASON_CERTIFICATE_HOST_MISMATCH);
}

static void wildcards_that_match_nothing(void **state)
{
    (void)state;
    static const char *const presented[][2] = {
        {"DNS:*.example.org", "example.org"},      /* not the domain itself */
        {"DNS:*.example.org", "a.mx.example.org"}, /* one label only */
        {"DNS:m*.example.org", "mx.example.org"},  /* the complete label only */
        {"DNS:*x.example.org", "mx.example.org"},
        {"DNS:mx.*.org", "mx.example.org"}, /* left-most only */
        {"DNS:*.*.org", "mx.example.org"},
        {"DNS:*", "mx"},
        {"DNS:*.org", "example.org"}, /* not all of a top-level domain */
        {"DNS:mx.example.org.evil.example", "mx.example.org"},
        {"DNS:example.org", ".example.org"}, /* below, not at */
        {"DNS:badexample.org", ".example.org"},
        {"DNS:192.0.2.7", "192.0.2.7"}, /* an address is no DNS name */
        {"IP:192.0.2.8", "192.0.2.7"},
        {"IP:2001:db8::8", "192.0.2.7"},
        {"DNS:*.0.2.7", "192.0.2.7"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(presented); i++)
        refused_leaf(&(struct pki_spec){.san = presented[i][0]}, presented[i][1],
                     REASON_CERTIFICATE_HOST_MISMATCH);
}

static void one_group_without_a_match(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    demand.names = 2;
    demand.name[1] = "other.example";
    demand.group[1] = 1;
    talk_refused(&talk, &(struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle}, &demand,
                 REASON_CERTIFICATE_HOST_MISMATCH, &why);
    says("mx.example.org, and other.example");
    demand.group[1] = 0;
    talk_accepted(&talk, &(struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle}, &demand);
}

/* A NUL in a name once made "mx.example.org\0.evil.example" look like mx.example.org. */
static void foreign_text_is_made_printable(void **state)
{
    (void)state;
    struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.san = "DNS:mx.example.orgZ.evil.example"});
    uint8_t *der = NULL;
    int len = i2d_X509(leaf.cert, &der);
    uint8_t *z = memmem(der, (size_t)len, "orgZ", 4);
    assert_non_null(z);
    z[3] = 0;
    const uint8_t *at = der;
    X509_free(leaf.cert);
    leaf.cert = d2i_X509(NULL, &at, len);
    OPENSSL_free(der);
    assert_true(X509_sign(leaf.cert, ec.middle.key, EVP_sha256()) > 0);
    refused_server(&(struct talk_server){.leaf = &leaf, .middle = &ec.middle}, HOST,
                   REASON_CERTIFICATE_HOST_MISMATCH);
    says("mx.example.org?.evil.example");
    pki_free(&leaf);

    refused_leaf(&(struct pki_spec){.san = "DNS:a\x1b[31mred\x07.example"}, HOST,
                 REASON_CERTIFICATE_HOST_MISMATCH);
    says("a?[31mred?.example");
}

static void many_names_are_counted(void **state)
{
    (void)state;
    char san[4096] = "DNS:n0.example.org", one[32];
    for (unsigned i = 1; i < 90; i++) {
        snprintf(one, sizeof(one), ",DNS:n%u.example.org", i);
        strcat(san, one);
    }
    refused_leaf(&(struct pki_spec){.san = san}, HOST, REASON_CERTIFICATE_HOST_MISMATCH);
    says("n0.example.org, n1.example.org");
    says(" more, not for mx.example.org");
}

/* ---- trust ---- */

static void unknown_ca(void **state)
{
    (void)state;
    struct pki root = pki_make(NULL, &(struct pki_spec){.cn = "Foreign Root", .ca = true});
    struct pki middle = pki_make(&root, &(struct pki_spec){.cn = "Foreign CA", .ca = true});
    struct pki leaf = pki_make(&middle, &(struct pki_spec){.san = SAN});
    struct talk_server server = {.leaf = &leaf, .middle = &middle};
    refused_server(&server, HOST, REASON_CERTIFICATE_NOT_TRUSTED);
    says("\"Foreign Root\"");
    says(ec.ca_file);
    server.extra = &root; /* sent along, it is as unknown as before */
    refused_server(&server, HOST, REASON_CERTIFICATE_NOT_TRUSTED);
    says("\"Foreign Root\"");
    pki_free(&root);
    pki_free(&middle);
    pki_free(&leaf);
}

static void self_signed(void **state)
{
    (void)state;
    struct pki own = pki_make(NULL, &(struct pki_spec){.cn = HOST, .san = SAN});
    refused_server(&(struct talk_server){.leaf = &own}, HOST, REASON_CERTIFICATE_SELF_SIGNED);
    says("is self-signed");
    pki_free(&own);
}

static void missing_intermediate(void **state)
{
    (void)state;
    refused_server(&(struct talk_server){.leaf = &ec.leaf}, HOST, REASON_CERTIFICATE_NOT_TRUSTED);
    says("\"Test Intermediate\"");
}

/* A chain whose intermediate has the right name and another key. */
static void forged_issuer(void **state)
{
    (void)state;
    struct pki forged = pki_make(NULL, &(struct pki_spec){.cn = "Test Root", .ca = true});
    struct pki leaf = pki_make(&forged, &(struct pki_spec){.cn = HOST, .san = SAN});
    refused_server(&(struct talk_server){.leaf = &leaf}, HOST, REASON_CERTIFICATE_NOT_TRUSTED);
    says("another key");
    pki_free(&leaf);
    pki_free(&forged);
}

static void issuer_that_is_no_ca(void **state)
{
    (void)state;
    refused_middle(&(struct pki_spec){.cn = "Not A CA"}, REASON_CERTIFICATE_NOT_TRUSTED);
}

static void certificate_for_another_purpose(void **state)
{
    (void)state;
    refused_leaf(&(struct pki_spec){.cn = HOST, .san = SAN, .usage = "clientAuth"}, HOST,
                 REASON_CERTIFICATE_NOT_TRUSTED);
    says("purpose");
}

static void name_constraints_bind(void **state)
{
    (void)state;
    struct pki_spec bound = {.cn = "Bound CA", .ca = true, .constraints = "permitted;DNS:example.net"};
    refused_middle(&bound, REASON_CERTIFICATE_NOT_TRUSTED);
    says("permitted");
}

static void chain_that_is_too_long(void **state)
{
    (void)state;
    struct pki ca[12];
    ca[0] = pki_make(&ec.root, &(struct pki_spec){.cn = "ca0", .ca = true});
    for (unsigned i = 1; i < ARRAY_LEN(ca); i++) {
        char cn[16];
        snprintf(cn, sizeof(cn), "ca%u", i);
        ca[i] = pki_make(&ca[i - 1], &(struct pki_spec){.cn = cn, .ca = true});
    }
    struct pki leaf = pki_make(&ca[11], &(struct pki_spec){.cn = HOST, .san = SAN});
    struct tls_demand demand = talk_pkix(HOST);
    talk_meet(&talk, &(struct talk_server){.leaf = &leaf}, &demand);
    for (unsigned i = ARRAY_LEN(ca); i-- > 0;)
        SSL_add1_chain_cert(talk.server, ca[i].cert);
    assert_int_equal(talk_run(&talk), TLS_FAILED);
    tls_failure(talk.tls, &why);
    assert_int_equal(why.reason, REASON_CERTIFICATE_NOT_TRUSTED);
    for (unsigned i = 0; i < ARRAY_LEN(ca); i++)
        pki_free(&ca[i]);
    pki_free(&leaf);
}

static void certificates_without_end(void **state)
{
    (void)state;
    struct tls_demand demand = talk_pkix(HOST);
    talk_meet(&talk, &(struct talk_server){.leaf = &ec.leaf}, &demand);
    for (unsigned i = 0; i < 200; i++)
        SSL_add1_chain_cert(talk.server, ec.middle.cert);
    assert_int_equal(talk_run(&talk), TLS_FAILED);
    tls_failure(talk.tls, &why);
    says("too long");
}

/* ---- strength ---- */

static void weak_keys(void **state)
{
    (void)state;
    static const char *const weak[] = {"rsa1024", "pss1024", "P-224", "secp256k1"};
    for (unsigned i = 0; i < ARRAY_LEN(weak); i++) {
        struct pki leaf = pki_make(&ec.middle, &(struct pki_spec){.cn = HOST, .san = SAN, .key = weak[i]});
        struct talk_server server = {.leaf = &leaf, .middle = &ec.middle, .security_level = -1};
        struct tls_demand pkix = talk_pkix(HOST), encrypt = talk_encrypt(HOST);
        server.version = TLS1_2_VERSION;
        server.groups = strncmp(weak[i], "P-", 2) == 0 || weak[i][0] == 's' ? "P-256:P-224:secp256k1" : NULL;
        talk_meet(&talk, &server, &pkix);
        assert_int_equal(talk_run(&talk), TLS_FAILED);
        talk_meet(&talk, &server, &encrypt);
        assert_int_equal(talk_run(&talk), TLS_FAILED);
        tls_failure(talk.tls, &why);
        print_message("# %s %s\n", weak[i], why.text);
        pki_free(&leaf);
    }
}

static void rsa_1024(void **state)
{
    (void)state;
    refused_leaf(&(struct pki_spec){.cn = HOST, .san = SAN, .key = "rsa1024"}, HOST, REASON_CERTIFICATE_WEAK);
    says("1024 bits");
    refused_middle(&(struct pki_spec){.cn = "Small CA", .ca = true, .key = "rsa1024"},
                   REASON_CERTIFICATE_WEAK);
    says("Small CA");
}

/* Either makes each handshake cost us milliseconds. */
static void rsa_that_is_slow_on_purpose(void **state)
{
    (void)state;
    refused_leaf(&(struct pki_spec){.cn = HOST, .san = SAN, .key = "rsa-long-exponent"}, HOST,
                 REASON_CERTIFICATE_WEAK);
    struct pki own = pki_make(NULL, &(struct pki_spec){.cn = HOST, .key = "rsa-long-exponent"});
    struct tls_demand demand = talk_encrypt(HOST);
    talk_refused(&talk, &(struct talk_server){.leaf = &own}, &demand, REASON_CERTIFICATE_WEAK, &why);
    pki_free(&own);
}

/* Under "encrypt" there is no chain to judge, and still the key must be worth the signature. */
static void encrypt_wants_a_key_of_strength(void **state)
{
    (void)state;
    struct pki own = pki_make(NULL, &(struct pki_spec){.cn = HOST, .key = "rsa1024"});
    struct tls_demand demand = talk_encrypt(HOST);
    talk_refused(&talk, &(struct talk_server){.leaf = &own, .security_level = -1}, &demand,
                 REASON_CERTIFICATE_WEAK, &why);
    pki_free(&own);
}

static void curves_not_listed_in_the_chain(void **state)
{
    (void)state;
    refused_middle(&(struct pki_spec){.cn = "P-521 CA", .ca = true, .key = "P-521"}, REASON_CERTIFICATE_WEAK);
    refused_middle(&(struct pki_spec){.cn = "P-224 CA", .ca = true, .key = "P-224"}, REASON_CERTIFICATE_WEAK);
}

static void old_digests(void **state)
{
    (void)state;
    refused_leaf(&(struct pki_spec){.cn = HOST, .san = SAN, .digest = "SHA1"}, HOST, REASON_CERTIFICATE_WEAK);
    says("signature");
    refused_leaf(&(struct pki_spec){.cn = HOST, .san = SAN, .digest = "SHA224"}, HOST,
                 REASON_CERTIFICATE_WEAK);
    refused_middle(&(struct pki_spec){.cn = "SHA-1 CA", .ca = true, .digest = "SHA1"},
                   REASON_CERTIFICATE_WEAK);
}

/* What an anchor signed itself with proves nothing: old roots have SHA-1 there. */
static void digest_of_the_anchor_does_not_matter(void **state)
{
    (void)state;
    struct pki root = pki_make(NULL, &(struct pki_spec){.cn = "Old Root", .ca = true, .digest = "SHA1"});
    struct pki leaf = pki_make(&root, &(struct pki_spec){.cn = HOST, .san = SAN});
    struct tls_demand demand = talk_pkix(HOST);
    struct error err;
    char path[64];
    pki_write(path, (const struct pki *const[]){&root}, 1);
    demand.trust = tls_trust_load(path, 2, &err);
    assert_non_null(demand.trust);
    talk_accepted(&talk, &(struct talk_server){.leaf = &leaf}, &demand);
    talk_part(&talk);
    tls_trust_free(demand.trust);
    remove(path);
    pki_free(&leaf);
    pki_free(&root);
}

static int setup(void **state)
{
    (void)state;
    ec = pki_chain("P-256", SAN);
    talk_open(&talk, ec.ca_file);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talk_close(&talk);
    pki_chain_free(&ec);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expired_leaf),
        cmocka_unit_test(leaf_not_yet_valid),
        cmocka_unit_test(expired_intermediate),
        cmocka_unit_test(wrong_name),
        cmocka_unit_test(common_name_only),
        cmocka_unit_test(wildcards_that_match_nothing),
        cmocka_unit_test(one_group_without_a_match),
        cmocka_unit_test(foreign_text_is_made_printable),
        cmocka_unit_test(many_names_are_counted),
        cmocka_unit_test(unknown_ca),
        cmocka_unit_test(self_signed),
        cmocka_unit_test(missing_intermediate),
        cmocka_unit_test(forged_issuer),
        cmocka_unit_test(issuer_that_is_no_ca),
        cmocka_unit_test(certificate_for_another_purpose),
        cmocka_unit_test(name_constraints_bind),
        cmocka_unit_test(chain_that_is_too_long),
        cmocka_unit_test(certificates_without_end),
        cmocka_unit_test(rsa_1024),
        cmocka_unit_test(rsa_that_is_slow_on_purpose),
        cmocka_unit_test(weak_keys),
        cmocka_unit_test(encrypt_wants_a_key_of_strength),
        cmocka_unit_test(curves_not_listed_in_the_chain),
        cmocka_unit_test(old_digests),
        cmocka_unit_test(digest_of_the_anchor_does_not_matter),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
