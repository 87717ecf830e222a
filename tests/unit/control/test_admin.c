/* The admin socket: answers, bounds, slow and broken clients, a stale socket. */
#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/control/admin.h"
#include "engine/base/clock.h"
#include "engine/control/unix_listen.h"

#include "tests/unit/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
    struct control *control;
    struct admin *admin;
    char directory[64], path[80], calls[16];
    bool refuse_reload, refuse_begin;
    struct admin_request asked;
    unsigned parts; /* of a task's answer that are left */
    uint32_t cores;
};

static void fill_status(void *ctx, struct admin_status *status)
{
    struct world *w = ctx;
    assert_int_equal(status->cores, 0);
    status->version = "1.2.3";
    status->state = "running";
    status->port = "a \"port\"\n";
    status->uptime_us = 1500000;
    status->policy_generation = 4;
    status->cores = w->cores;
    for (uint32_t i = 0; i < w->cores; i++) {
        status->core[i].cpu = i + 10;
        status->core[i].stats.v[STAT_core_jobs] = 100 + i;
        status->core[i].destinations_limited = 5 + i;
        status->core[i].pools = 1;
        status->core[i].pool[0] = (struct admin_pool){"connections", 4096, 3, 17, 2};
    }
    status->feeds = 1;
    strcpy(status->feed[0].name, "mta");
    status->feed[0].uid = 8;
}

static bool reload(void *ctx, struct error *err)
{
    struct world *w = ctx;
    strcat(w->calls, "r");
    return !w->refuse_reload || error_set(err, "x.conf:3: no");
}

static void drain(void *ctx)
{
    strcat(((struct world *)ctx)->calls, "d");
}

static void stop(void *ctx)
{
    strcat(((struct world *)ctx)->calls, "s");
}

static bool begin(void *ctx, const struct admin_request *request, struct error *err)
{
    struct world *w = ctx;
    w->asked = *request;
    if (w->refuse_begin)
        return error_set(err, "a capture runs already");
    strcat(w->calls, "b");
    return true;
}

/* "part" as often as parts says, every other time nothing, then "end". */
static char *more(void *ctx, enum admin_command command, size_t *len, bool *over)
{
    struct world *w = ctx;
    static bool pause;
    assert_int_equal(command, w->asked.command);
    if ((pause = !pause) || w->parts == UINT32_MAX)
        return NULL;
    *over = w->parts-- == 0;
    char *text = strdup(*over ? "end\n" : "part\n");
    assert_non_null(text);
    *len = strlen(text);
    return text;
}

static void finish(void *ctx, enum admin_command command)
{
    (void)command;
    strcat(((struct world *)ctx)->calls, "f");
}

static int open_world(void **state)
{
    static struct world w;
    struct error err;
    struct control_events events = {.ctx = NULL};
    struct admin_source source = {&w, fill_status, reload, drain, stop, begin, more, finish};
    w = (struct world){.cores = 2};
    strcpy(w.directory, "/tmp/hl-admin-XXXXXX");
    if (!mkdtemp(w.directory) || !(w.control = control_open(&events, false, &err)))
        return -1;
    snprintf(w.path, sizeof(w.path), "%s/admin.sock", w.directory);
    w.admin = admin_open(w.control, w.path, 0640, (uint32_t)-1, "1.2.3", &source, &err);
    *state = &w;
    return w.admin ? 0 : -1;
}

static int close_world(void **state)
{
    struct world *w = *state;
    admin_close(w->admin);
    control_close(w->control);
    return rmdir(w->directory); /* fails if the socket is left */
}

static int dial(const struct world *w)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    strcpy(address.sun_path, w->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Lets the loop run until it has nothing to do. */
static void settle(const struct world *w)
{
    for (int i = 0; i < 20; i++)
        control_turn(w->control, 1);
}

/* All that comes until nothing more does; "" at the end of the connection, too. */
static const char *hear(const struct world *w, int fd)
{
    static char text[1 << 20];
    size_t used = 0;
    for (int i = 0; i < 50; i++) {
        control_turn(w->control, 1);
        ssize_t got = recv(fd, text + used, sizeof(text) - 1 - used, 0);
        if (got == 0)
            break;
        used += got > 0 ? (size_t)got : 0;
        if (used && text[used - 1] == '\n' && got < 0)
            break;
    }
    text[used] = '\0';
    return text;
}

static bool is_closed(const struct world *w, int fd)
{
    char byte;
    settle(w);
    ssize_t got = recv(fd, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void ping_is_answered(void **state)
{
    struct world *w = *state;
    int fd = dial(w);
    say(fd, "{\"command\":\"ping\"}\n");
    assert_string_equal(hear(w, fd), "{\"ok\":true,\"version\":\"1.2.3\"}\n");
    close(fd);
}

static void status_has_everything(void **state)
{
    struct world *w = *state;
    int fd = dial(w);
    say(fd, "{\"command\":\"status\"}\n");
    const char *text = hear(w, fd);
    yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
    assert_non_null(doc);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_true(yyjson_get_bool(yyjson_obj_get(root, "ok")));
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "port")), "a \"port\"\n");
    assert_true(yyjson_get_real(yyjson_obj_get(root, "uptime_s")) == 1.5);
    assert_int_equal(yyjson_get_uint(yyjson_ptr_get(root, "/policy/generation")), 4);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "cores")), 2);
    assert_int_equal(yyjson_get_uint(yyjson_ptr_get(root, "/cores/1/cpu")), 11);
    assert_int_equal(yyjson_get_uint(yyjson_ptr_get(root, "/cores/1/counters/core_jobs")), 101);
    assert_int_equal(yyjson_get_uint(yyjson_ptr_get(root, "/cores/1/destinations_limited")), 6);
    assert_int_equal(yyjson_get_uint(yyjson_ptr_get(root, "/cores/0/pools/0/in_use_max")), 17);
    assert_int_equal(yyjson_get_uint(yyjson_ptr_get(root, "/total/core_jobs")), 201);
    assert_int_equal(yyjson_obj_size(yyjson_obj_get(root, "total")), STAT_COUNT);
    assert_string_equal(yyjson_get_str(yyjson_ptr_get(root, "/feeds/0/name")), "mta");
    yyjson_doc_free(doc);
    close(fd);
}

static void commands_reach_the_source(void **state)
{
    struct world *w = *state;
    int fd = dial(w);
    say(fd, "{\"command\":\"reload\"}\n{\"command\":\"drain\"}\n{\"command\":\"stop\"}\n");
    hear(w, fd);
    assert_string_equal(w->calls, "rds");
    w->refuse_reload = true;
    say(fd, "{\"command\":\"reload\"}\n");
    assert_string_equal(hear(w, fd), "{\"ok\":false,\"error\":\"x.conf:3: no\"}\n");
    close(fd);
}

static void nonsense_is_told(void **state)
{
    struct world *w = *state;
    static const char *const talk[][2] = {
        {"hello\n",
         "{\"ok\":false,\"error\":\"the request is no JSON: write {\\\"command\\\":\\\"status\\\"}\"}\n"},
        {"[1]\n",
         "{\"ok\":false,\"error\":\"the request is no object: write {\\\"command\\\":\\\"status\\\"}\"}\n"},
        {"{\"command\":\"dance\"}\n",
         "{\"ok\":false,\"error\":\"unknown command \\\"dance\\\": known are ping, status, reload, drain, stop, connections, capture\"}\n"},
        {"{\"command\":3}\n",
         "{\"ok\":false,\"error\":\"no command: known are ping, status, reload, drain, stop, connections, capture\"}\n"},
        {"{}\n",
         "{\"ok\":false,\"error\":\"no command: known are ping, status, reload, drain, stop, connections, capture\"}\n"},
    };
    int fd = dial(w);
    for (size_t i = 0; i < ARRAY_LEN(talk); i++) {
        say(fd, talk[i][0]);
        assert_string_equal(hear(w, fd), talk[i][1]);
    }
    close(fd);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct world *w = *state;
    int fd = dial(w);
    for (const char *p = "{\"command\":\"ping\"}\n"; *p; p++) {
        assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
        control_turn(w->control, 1);
    }
    assert_string_equal(hear(w, fd), "{\"ok\":true,\"version\":\"1.2.3\"}\n");
    close(fd);
}

static void an_endless_request_is_dropped(void **state)
{
    struct world *w = *state;
    char text[ADMIN_REQUEST_MAX];
    int fd = dial(w);
    memset(text, 'x', sizeof(text));
    assert_int_equal(send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
    settle(w);
    assert_int_equal(recv(fd, text, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    assert_true(is_closed(w, fd));
    close(fd);
}

static void too_many_clients_are_turned_away(void **state)
{
    struct world *w = *state;
    int fd[ADMIN_CLIENTS_MAX + 1];
    for (unsigned i = 0; i <= ADMIN_CLIENTS_MAX; i++)
        fd[i] = dial(w);
    assert_true(is_closed(w, fd[ADMIN_CLIENTS_MAX]));
    say(fd[0], "{\"command\":\"ping\"}\n");
    assert_string_equal(hear(w, fd[0]), "{\"ok\":true,\"version\":\"1.2.3\"}\n");
    close(fd[0]);
    settle(w);
    fd[0] = dial(w);
    say(fd[0], "{\"command\":\"ping\"}\n");
    assert_string_equal(hear(w, fd[0]), "{\"ok\":true,\"version\":\"1.2.3\"}\n");
    for (unsigned i = 0; i <= ADMIN_CLIENTS_MAX; i++)
        close(fd[i]);
}

/* Asks again and again and takes no answer: the answers stop, the others are served, and nothing grows. */
static void a_client_that_takes_no_answer_is_not_read(void **state)
{
    struct world *w = *state;
    int slow = dial(w), other = dial(w);
    unsigned asked = 0;
    w->cores = 32;
    for (; asked < 100000; asked++) {
        if (send(slow, "{\"command\":\"status\"}\n", 21, MSG_NOSIGNAL) != 21)
            break;
        control_turn(w->control, 0);
    }
    assert_true(asked < 100000);
    say(other, "{\"command\":\"ping\"}\n");
    assert_string_equal(hear(w, other), "{\"ok\":true,\"version\":\"1.2.3\"}\n");
    close(slow);
    settle(w);
    close(other);
}

static void a_client_that_hangs_up_is_forgotten(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 3 * ADMIN_CLIENTS_MAX; i++) {
        int fd = dial(w);
        if (i % 2)
            say(fd, "{\"command\":\"status\"}\n");
        close(fd);
        settle(w);
    }
    int fd = dial(w);
    say(fd, "{\"command\":\"ping\"}\n");
    assert_string_equal(hear(w, fd), "{\"ok\":true,\"version\":\"1.2.3\"}\n");
    close(fd);
}

static void the_socket_has_its_mode(void **state)
{
    struct world *w = *state;
    struct stat status;
    assert_int_equal(stat(w->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
}

static void a_served_socket_is_not_taken(void **state)
{
    struct world *w = *state;
    struct error err;
    assert_int_equal(unix_listen(w->path, SOCK_STREAM, 0600, (uint32_t)-1, (uint32_t)-1, &err), -1);
    assert_non_null(strstr(err.text, "is served by another process: stop it or name another path"));
}

static void a_stale_socket_is_replaced(void **state)
{
    struct world *w = *state;
    struct error err;
    char path[100];
    snprintf(path, sizeof(path), "%s/new/x.sock", w->directory);
    int fd = unix_listen(path, SOCK_SEQPACKET, 0600, (uint32_t)-1, (uint32_t)-1, &err);
    assert_true(fd >= 0);
    close(fd); /* as a killed process leaves it */
    fd = unix_listen(path, SOCK_SEQPACKET, 0600, (uint32_t)-1, (uint32_t)-1, &err);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static void a_file_is_not_removed(void **state)
{
    struct world *w = *state;
    struct error err;
    char path[100];
    snprintf(path, sizeof(path), "%s/file", w->directory);
    fclose(fopen(path, "w"));
    assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, (uint32_t)-1, (uint32_t)-1, &err), -1);
    assert_non_null(strstr(err.text, "is there and is no socket"));
    assert_int_equal(unlink(path), 0);
}

/* ---- answers that come in time ---- */

static const char *hear_task(const struct world *w, int fd)
{
    static char text[4096];
    size_t used = 0;
    for (int i = 0; i < 400 && !(used >= 4 && memcmp(text + used - 2, "}\n", 2) == 0); i++) {
        control_turn(w->control, 5);
        ssize_t got = recv(fd, text + used, sizeof(text) - 1 - used, 0);
        used += got > 0 ? (size_t)got : 0;
    }
    text[used] = '\0';
    return text;
}

static void a_capture_comes_in_parts(void **state)
{
    struct world *w = *state;
    int fd = dial(w);
    w->parts = 3;
    say(fd,
        "{\"command\":\"capture\",\"peer\":\"2001:db8::1\",\"port\":25,\"frames\":7}\n{\"command\":\"ping\"}\n");
    /* what was asked meanwhile is answered afterwards */
    assert_string_equal(hear_task(w, fd), "part\npart\npart\nend\n{\"ok\":true,\"version\":\"1.2.3\"}\n");
    assert_string_equal(w->calls, "bf");
    assert_int_equal(w->asked.port, 25);
    assert_int_equal(w->asked.frames, 7);
    assert_int_equal(w->asked.seconds, ADMIN_SECONDS_USUAL);
    close(fd);
}

static void a_client_that_leaves_ends_its_task(void **state)
{
    struct world *w = *state;
    int fd = dial(w);
    w->parts = UINT32_MAX;
    say(fd, "{\"command\":\"capture\",\"peer\":\"192.0.2.1\"}\n");
    settle(w);
    assert_string_equal(w->calls, "b");
    close(fd);
    settle(w);
    assert_string_equal(w->calls, "bf");
}

static void what_cannot_begin_is_told(void **state)
{
    struct world *w = *state;
    int fd = dial(w);
    w->refuse_begin = true;
    say(fd, "{\"command\":\"capture\",\"peer\":\"192.0.2.1\"}\n");
    assert_string_equal(hear(w, fd), "{\"ok\":false,\"error\":\"a capture runs already\"}\n");
    say(fd, "{\"command\":\"capture\"}\n");
    assert_non_null(strstr(hear(w, fd), "peer: a capture takes the address"));
    say(fd, "{\"command\":\"capture\",\"peer\":\"0.0.0.0\"}\n");
    assert_non_null(strstr(hear(w, fd), "is no IPv4 or IPv6 address of a host"));
    say(fd, "{\"command\":\"capture\",\"peer\":\"192.0.2.1\",\"frames\":0}\n");
    assert_non_null(strstr(hear(w, fd), "frames: allowed are whole numbers from 1 to 10000000"));
    say(fd, "{\"command\":\"connections\",\"max\":10001}\n");
    assert_non_null(strstr(hear(w, fd), "max: allowed are whole numbers from 1 to 10000"));
    assert_string_equal(w->calls, "");
    close(fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(a_capture_comes_in_parts),
        CASE(a_client_that_leaves_ends_its_task),
        CASE(what_cannot_begin_is_told),
        CASE(ping_is_answered),
        CASE(status_has_everything),
        CASE(commands_reach_the_source),
        CASE(nonsense_is_told),
        CASE(a_request_may_come_byte_by_byte),
        CASE(an_endless_request_is_dropped),
        CASE(too_many_clients_are_turned_away),
        CASE(a_client_that_takes_no_answer_is_not_read),
        CASE(a_client_that_hangs_up_is_forgotten),
        CASE(the_socket_has_its_mode),
        CASE(a_served_socket_is_not_taken),
        CASE(a_stale_socket_is_replaced),
        CASE(a_file_is_not_removed),
    };
    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
