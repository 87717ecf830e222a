/* What stands around a session: trust sets, the bounded number of sessions, impossible demands, the key log, limits. */
#include "crypto/session.h"
#include "tests/unit/crypto/talk.h"
#include "tests/unit/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST "mx.example.org"
#define SAN  "DNS:" HOST

static struct pki_chain ec;

/* ---- trust ---- */

static void write_file(char path[64], const char *text)
{
    snprintf(path, 64, "/tmp/hardline-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void trust_is_refused(const char *path, const char *says)
{
    struct error err = {0};
    assert_null(tls_trust_load(path, 1, &err));
    print_message("# %s\n", err.text);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, says));
}

static void trust_files(void **state)
{
    (void)state;
    struct error err = {0};
    char path[64], two[64];
    struct tls_trust *trust = tls_trust_load(ec.ca_file, 42, &err);
    assert_non_null(trust);
    assert_string_equal(tls_trust_name(trust), ec.ca_file);
    assert_int_equal(tls_trust_count(trust), 1);
    assert_int_equal(tls_trust_version(trust), 42);
    tls_trust_ref(trust);
    tls_trust_free(trust);
    assert_int_equal(tls_trust_count(trust), 1);
    tls_trust_free(trust);
    tls_trust_free(NULL);

    pki_write(two, (const struct pki *const[]){&ec.root, &ec.middle}, 2);
    trust = tls_trust_load(two, 1, &err);
    assert_int_equal(tls_trust_count(trust), 2);
    tls_trust_free(trust);
    unlink(two);

    trust_is_refused("/nonexistent/ca.pem", "cannot be read");
    trust_is_refused("/tmp", "");
    write_file(path, "");
    trust_is_refused(path, "no certificate");
    unlink(path);
    write_file(path, "just text\n");
    trust_is_refused(path, "no certificate");
    unlink(path);
    write_file(path, "-----BEGIN CERTIFICATE-----\nTm90IGEgY2VydA==\n-----END CERTIFICATE-----\n");
    trust_is_refused(path, "certificate 1 is damaged");
    unlink(path);
}

/* Half a bundle is not trusted as if it were the whole. */
static void a_damaged_second_certificate(void **state)
{
    (void)state;
    char path[64];
    pki_write(path, (const struct pki *const[]){&ec.root, &ec.middle}, 2);
    assert_int_equal(truncate(path, 900), 0);
    trust_is_refused(path, "certificate 2 is damaged");
    unlink(path);
}

static void the_system_store(void **state)
{
    (void)state;
    struct error err = {0};
    struct tls_trust *trust = tls_trust_load(NULL, 1, &err);
    if (!trust) {
        print_message("# %s\n", err.text);
        skip();
    }
    assert_string_equal(tls_trust_name(trust), "system");
    assert_true(tls_trust_count(trust) > 20);
    tls_trust_free(trust);
}

/* Dropping the last of the table's references must not take the anchors from under a session. */
static void a_session_keeps_its_trust(void **state)
{
    (void)state;
    struct talk talk;
    struct tls_demand demand = talk_pkix(HOST);
    talk_open(&talk, ec.ca_file);
    talk_meet(&talk, &(struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle}, &demand);
    tls_trust_free(talk.trust);
    talk.trust = NULL;
    assert_int_equal(talk_run(&talk), TLS_OPEN);
    assert_string_equal(tls_verified(talk.tls)->trust_name, ec.ca_file);
    talk_close(&talk);
}

static void *ref_and_free(void *arg)
{
    for (unsigned i = 0; i < 20000; i++) {
        tls_trust_ref(arg);
        tls_trust_free(arg);
    }
    return NULL;
}

static void references_from_two_threads(void **state)
{
    (void)state;
    struct error err;
    pthread_t thread;
    struct tls_trust *trust = tls_trust_load(ec.ca_file, 1, &err);
    assert_int_equal(pthread_create(&thread, NULL, ref_and_free, trust), 0);
    ref_and_free(trust);
    pthread_join(thread, NULL);
    assert_int_equal(tls_trust_count(trust), 1);
    tls_trust_free(trust);
}

/* ---- sessions ---- */

static void sessions_are_bounded(void **state)
{
    (void)state;
    struct talk talk;
    struct tls *taken[4];
    struct tls_demand demand = talk_encrypt(HOST);
    talk_open(&talk, NULL);
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(taken[i] = tls_open(talk.core, &demand));
    assert_null(tls_open(talk.core, &demand));
    assert_int_equal(talk.stats.v[STAT_core_pool_full], 1);
    tls_free(taken[2]);
    assert_non_null(taken[2] = tls_open(talk.core, &demand));
    for (unsigned i = 0; i < 4; i++)
        tls_free(taken[i]);
    tls_free(NULL);
    talk_close(&talk);
}

static void impossible(struct talk *talk, const struct tls_demand *demand)
{
    struct outcome why;
    struct tls *tls = tls_open(talk->core, demand);
    assert_non_null(tls);
    assert_int_equal(tls_status(tls), TLS_FAILED);
    assert_int_equal(tls_start(tls), TLS_FAILED);
    assert_null(tls_verified(tls));
    tls_failure(tls, &why);
    assert_int_equal(why.fault, FAULT_LOCAL);
    assert_int_equal(why.verdict, VERDICT_DEFERRED);
    assert_true(tls_output(tls));
    tls_free(tls);
}

static void impossible_demands_fail_at_once(void **state)
{
    (void)state;
    struct talk talk;
    struct tls_demand good = talk_pkix(HOST), bad;
    char label[300];
    memset(label, 'a', sizeof(label) - 1);
    label[sizeof(label) - 1] = '\0';
    talk_open(&talk, ec.ca_file);
    good.trust = talk.trust;
    bad = good, bad.trust = NULL;
    impossible(&talk, &bad);
    bad = good, bad.names = 0;
    impossible(&talk, &bad);
    bad = good, bad.min_version = 0x0302;
    impossible(&talk, &bad);
    bad = good, bad.min_version = 0x0305;
    impossible(&talk, &bad);
    bad = good, bad.min_version = 0;
    impossible(&talk, &bad);
    bad = good, bad.names = TLS_NAMES_MAX + 1;
    impossible(&talk, &bad);
    bad = good, bad.name[0] = "";
    impossible(&talk, &bad);
    bad = good, bad.name[0] = label;
    impossible(&talk, &bad);
    bad = good, bad.group[0] = TLS_NAMES_MAX;
    impossible(&talk, &bad);
    bad = good, bad.sni = label;
    impossible(&talk, &bad);
    talk_close(&talk);
}

/* A peer that elicits output and takes none of it must not fill our memory. */
static void output_that_waits_is_bounded(void **state)
{
    (void)state;
    struct talk talk;
    struct tls_demand demand = talk_encrypt(HOST);
    static uint8_t data[1000];
    talk_open(&talk, NULL);
    struct tls *tls = tls_open(talk.core, &demand);
    BIO *bio = SSL_get_wbio(tls->ssl);
    size_t total = 0;
    while (total < 2 * TLS_PROTOCOL_OUTPUT_MAX && BIO_write(bio, data, sizeof(data)) == sizeof(data))
        total += sizeof(data);
    assert_in_range(total, TLS_PROTOCOL_OUTPUT_MAX - sizeof(data), TLS_PROTOCOL_OUTPUT_MAX);
    assert_false(BIO_should_retry(bio)); /* the session fails instead of waiting for ever */
    tls_set_sink(tls, &talk.sink);
    assert_true(tls_output(tls));
    assert_int_equal(talk.pipe_used, total);
    assert_int_equal(BIO_write(bio, data, sizeof(data)), sizeof(data));
    tls_free(tls);
    talk_close(&talk);
}

/* ---- the key log ---- */

static struct tls_core *open_with_keylog(const char *path, struct stats *stats, struct error *err)
{
    return tls_core_open(&(struct tls_core_config){.sessions_max = 1, .keylog_path = path, .stats = stats},
                         err);
}

static void a_key_log_is_private(void **state)
{
    (void)state;
    struct talk talk;
    struct stat st;
    char path[64], text[4096];
    struct tls_demand demand = talk_pkix(HOST);
    snprintf(path, sizeof(path), "/tmp/hardline-test-keylog-%d", (int)getpid());
    mode_t mask = umask(0);
    talk_open_config(&talk, ec.ca_file, &(struct tls_core_config){.sessions_max = 1, .keylog_path = path});
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    talk_accepted(&talk, &(struct talk_server){.leaf = &ec.leaf, .middle = &ec.middle}, &demand);
    talk_close(&talk);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "CLIENT_TRAFFIC_SECRET_0 "));
    assert_int_equal(text[n - 1], '\n');
    unlink(path);
}

static void a_key_log_follows_no_link(void **state)
{
    (void)state;
    struct stats stats = {0};
    struct error err = {0};
    char target[64], link_path[80];
    write_file(target, "precious");
    snprintf(link_path, sizeof(link_path), "%s.link", target);
    assert_int_equal(symlink(target, link_path), 0);
    assert_null(open_with_keylog(link_path, &stats, &err));
    print_message("# %s\n", err.text);
    assert_non_null(strstr(err.text, link_path));
    unlink(link_path);
    assert_int_equal(link(target, link_path), 0);
    assert_null(open_with_keylog(link_path, &stats, &err));
    assert_non_null(strstr(err.text, "plain file"));
    unlink(link_path);
    unlink(target);
    assert_int_equal(mkfifo(target, 0600), 0);
    assert_null(open_with_keylog(target, &stats, &err));
    unlink(target);
    assert_null(open_with_keylog("/nonexistent/keys", &stats, &err));
}

static int setup(void **state)
{
    (void)state;
    ec = pki_chain("P-256", SAN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_chain_free(&ec);
    return 0;
}

/* ---- prepared ahead ---- */

static void sessions_are_prepared_when_idle(void **state)
{
    (void)state;
    struct talk talk;
    struct talk_server server = {.leaf = &ec.leaf, .middle = &ec.middle};
    struct tls_demand demand = talk_pkix(HOST);
    talk_open(&talk, ec.ca_file);
    demand.trust = talk.trust;
    for (unsigned i = 0; i < 2 * READY_MAX; i++)
        tls_core_idle(talk.core);
    assert_int_equal(talk.core->ready_count, READY_MAX);
    for (unsigned i = 1; i <= READY_MAX + 1; i++) {
        struct tls *tls = tls_open(talk.core, &demand);
        assert_int_equal(tls_status(tls), TLS_HANDSHAKE);
        tls_free(tls);
        assert_int_equal(talk.core->ready_count, READY_MAX - min_u32(i, READY_MAX));
        assert_int_equal(talk.stats.v[STAT_tls_prepared], min_u32(i, READY_MAX));
    }
    tls_core_idle(talk.core);
    talk_accepted(&talk, &server, &demand);
    assert_int_equal(talk.stats.v[STAT_tls_prepared], READY_MAX + 1);
    talk_part(&talk);
    tls_core_idle(talk.core); /* one is left for the end */
    talk_close(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trust_files),
        cmocka_unit_test(a_damaged_second_certificate),
        cmocka_unit_test(the_system_store),
        cmocka_unit_test(a_session_keeps_its_trust),
        cmocka_unit_test(references_from_two_threads),
        cmocka_unit_test(sessions_are_bounded),
        cmocka_unit_test(sessions_are_prepared_when_idle),
        cmocka_unit_test(impossible_demands_fail_at_once),
        cmocka_unit_test(output_that_waits_is_bounded),
        cmocka_unit_test(a_key_log_is_private),
        cmocka_unit_test(a_key_log_follows_no_link),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
