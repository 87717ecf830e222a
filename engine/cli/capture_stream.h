/* capture_stream.h: the answer to "capture" as it comes: lines that announce bytes of a pcap file, and one that ends it. */
#ifndef ENGINE_CLI_CAPTURE_STREAM_H
#define ENGINE_CLI_CAPTURE_STREAM_H

#include "engine/base/error.h"

struct capture_stream {
    int fd;           /* the admin socket */
    const char *path; /* its name, for messages */
    size_t used, at;  /* of buffer: filled, and read so far */
    char buffer[65536];
};

struct capture_end {
    char why[16]; /* "frames", "megabytes", "seconds", "stop" */
    uint64_t frames, bytes, lost;
};

enum capture_step { CAPTURE_BEGUN, CAPTURE_BYTES, CAPTURE_END, CAPTURE_INTERRUPTED, CAPTURE_FAILED };

/* capture_next reads the next line: that it has begun, how many bytes follow (*bytes), or the end.  A signal that has set *stop
 * interrupts it.  CAPTURE_FAILED: err has the engine's words, or says that it is gone.
 */
enum capture_step capture_next(struct capture_stream *stream, const volatile int *stop, size_t *bytes,
                               struct capture_end *end, struct error *err);

/* capture_bytes gives up to left of the bytes announced, borrowed until the next call; 0: err says why there are none. */
size_t capture_bytes(struct capture_stream *stream, size_t left, const char **bytes, struct error *err);

#endif
