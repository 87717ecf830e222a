/* alive.c: is the engine still there?  It holds the other end of the socket until its cores have let go of the feed: end
 * of file says that nothing of ours is being sent any more.
 */
#include "engine/ring/lib/lib.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

static void keep_goodbye(hl_feed *feed, const struct ring_message *m, ssize_t bytes)
{
    if (bytes < (ssize_t)sizeof(*m) || m->what != RING_GOODBYE)
        return;
    snprintf(feed->goodbye, sizeof(feed->goodbye), "%.*s", (int)strnlen(m->text, sizeof(m->text)), m->text);
}

bool engine_is_gone(hl_feed *feed)
{
    struct ring_message m;
    ssize_t n;
    if (feed->gone)
        return true;
    while ((n = recv(feed->region.sock, &m, sizeof(m), MSG_DONTWAIT)) > 0)
        keep_goodbye(feed, &m, n);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    feed->gone = ENGINE_DEAD;
    return true;
}

void engine_distrust(hl_feed *feed, const char *what)
{
    feed->gone = ENGINE_DISTRUSTED;
    snprintf(feed->goodbye, sizeof(feed->goodbye), "the engine wrote %s", what);
}

int fail_gone(const hl_feed *feed, struct hl_error *error)
{
    int code = feed->gone == ENGINE_DISTRUSTED ? EPROTO : EPIPE;
    return fail(error, code, "the engine at %s is gone%s%s%s; %u recipients wait: reattach, or give up",
                feed->socket_path, feed->goodbye[0] ? " (" : "", feed->goodbye, feed->goodbye[0] ? ")" : "",
                feed->recipients_in_flight);
}
