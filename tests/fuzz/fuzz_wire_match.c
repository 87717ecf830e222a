/* Bytes as a frame that a capture looks at: it reads nothing outside, and a peer's match without a port is the wider one. */
#include "engine/wire/match.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_match match = {.port = 25};
    uint8_t *frame = malloc(size ? size : 1); /* of its own, so that sanitizers see the end */
    if (!frame || !ip_parse("192.0.2.1", &match.peer))
        abort();
    if (size)
        memcpy(frame, data, size);
    bool narrow = wire_match(&match, frame, size);
    match.port = 0;
    if (narrow && !wire_match(&match, frame, size))
        abort();
    if (size >= 54) /* where IPv6's source is */
        memcpy(match.peer.b, frame + 22, 16);
    if (wire_match(&match, frame, size) && size < 34)
        abort();
    free(frame);
    return 0;
}
