/* connections_text.h: an answer to "connections" as a table for people. */
#ifndef ENGINE_CLI_CONNECTIONS_TEXT_H
#define ENGINE_CLI_CONNECTIONS_TEXT_H

#include <stdio.h>

struct yyjson_val;

void connections_text(FILE *out, struct yyjson_val *root);

#endif
