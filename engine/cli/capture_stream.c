#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/cli/capture_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 100 /* how soon a signal is noticed that came between look and wait */

static bool read_more(struct capture_stream *stream, const volatile int *stop, struct error *err)
{
    struct pollfd ready = {.fd = stream->fd, .events = POLLIN};
    memmove(stream->buffer, stream->buffer + stream->at, stream->used - stream->at);
    stream->used -= stream->at;
    stream->at = 0;
    if (stream->used == sizeof(stream->buffer))
        return error_set(err, "%s: the answer makes no sense: another program serves the socket",
                         stream->path);
    for (int got = 0; got <= 0; got = poll(&ready, 1, LOOK_MS))
        if (stop && *stop)
            return error_set(err, "interrupted");
    ssize_t got = read(stream->fd, stream->buffer + stream->used, sizeof(stream->buffer) - stream->used);
    if (got <= 0)
        return error_set(err, "%s: hardlined has ended the capture without a word, see its log",
                         stream->path);
    stream->used += (size_t)got;
    return true;
}

static enum capture_step understand(yyjson_val *root, size_t *bytes, struct capture_end *end,
                                    struct error *err)
{
    yyjson_val *refusal = yyjson_obj_get(root, "error"), *why = yyjson_obj_get(root, "end");
    if (yyjson_obj_get(root, "bytes") && !why) {
        *bytes = yyjson_get_uint(yyjson_obj_get(root, "bytes"));
        return CAPTURE_BYTES;
    }
    if (!yyjson_get_bool(yyjson_obj_get(root, "ok"))) {
        error_set(err, "%s", refusal ? yyjson_get_str(refusal) : "the answer is not the engine's");
        return CAPTURE_FAILED;
    }
    if (!why)
        return CAPTURE_BEGUN;
    snprintf(end->why, sizeof(end->why), "%s", yyjson_is_str(why) ? yyjson_get_str(why) : "");
    end->frames = yyjson_get_uint(yyjson_obj_get(root, "frames"));
    end->bytes = yyjson_get_uint(yyjson_obj_get(root, "bytes"));
    end->lost = yyjson_get_uint(yyjson_obj_get(root, "lost"));
    return CAPTURE_END;
}

enum capture_step capture_next(struct capture_stream *stream, const volatile int *stop, size_t *bytes,
                               struct capture_end *end, struct error *err)
{
    char *newline;
    while (!(newline = memchr(stream->buffer + stream->at, '\n', stream->used - stream->at)))
        if (!read_more(stream, stop, err))
            return *stop ? CAPTURE_INTERRUPTED : CAPTURE_FAILED;
    size_t len = (size_t)(newline - (stream->buffer + stream->at));
    yyjson_doc *doc = yyjson_read(stream->buffer + stream->at, len, 0);
    enum capture_step step = understand(yyjson_doc_get_root(doc), bytes, end, err);
    yyjson_doc_free(doc);
    stream->at += len + 1;
    return step;
}

size_t capture_bytes(struct capture_stream *stream, size_t left, const char **bytes, struct error *err)
{
    if (stream->at == stream->used && !read_more(stream, NULL, err))
        return 0;
    size_t n = min_size(left, stream->used - stream->at);
    *bytes = stream->buffer + stream->at;
    stream->at += n;
    return n;
}
