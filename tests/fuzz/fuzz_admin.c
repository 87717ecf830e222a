/* Bytes as a request to the admin socket. */
#include "engine/control/admin_json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum admin_command command = (enum admin_command)99;
    struct error err = {""};
    if (size > ADMIN_REQUEST_MAX)
        return 0;
    if (admin_json_request((const char *)data, size, &command, &err) ? command > ADMIN_STOP : !err.text[0])
        abort();
    return 0;
}
