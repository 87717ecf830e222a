/* What a message costs a core, in countable steps, for callgrind (bench/message_instructions.py runs it): many of them
 * over a few connections, each closed after a hundred; what receives them is not in core_turn.
 *
 *     message_cost MESSAGES [BYTES]      no test: it counts nothing itself
 */
#include "tests/unit/core/world.h"

#include <stdlib.h>

#define CONNECTIONS 8u
#define AT_ONCE     200u

int main(int argc, char **argv)
{
    unsigned messages = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    struct letter letter = {.to = "a@d1.test", .bytes = argc > 2 ? (size_t)atoi(argv[2]) : 10000};
    struct world_options o = world_defaults();
    struct mx_host *mx;
    o.core.connections_per_destination = CONNECTIONS;
    o.core.smtp.messages_max = 100;
    o.core.smtp.chunking = true;
    o.core.smtp.chunk_ahead_bytes = 1u << 20;
    struct world *w = world_simple(&o, &mx);
    mx->chunking = true;
    for (unsigned sent = 0; sent < messages; sent += AT_ONCE) {
        for (unsigned i = 0; i < AT_ONCE && sent + i < messages; i++)
            world_submit(w, &letter);
        world_settle(w, MINUTE);
    }
    world_delivered(w, 0, messages - 1);
    world_close(w);
}
