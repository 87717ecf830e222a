/* Bytes as a request to the admin socket. */
#include "engine/control/admin_json.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct admin_request request;
    struct error err = {""};
    if (size > ADMIN_REQUEST_MAX)
        return 0;
    bool good = admin_json_request((const char *)data, size, &request, &err);
    if (good ? request.command > ADMIN_CAPTURE : !err.text[0])
        abort();
    if (good && request.command == ADMIN_CAPTURE &&
        (ip_is_nobody(&request.peer) || !request.frames || request.frames > ADMIN_FRAMES_MAX ||
         !request.seconds || request.seconds > ADMIN_SECONDS_MAX || !request.megabytes ||
         request.megabytes > ADMIN_MEGABYTES_MAX))
        abort();
    if (good && request.command == ADMIN_CONNECTIONS && (!request.max || request.max > ADMIN_CONNECTIONS_MAX))
        abort();
    return 0;
}
