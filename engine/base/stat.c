#include "engine/base/stat.h"

static const char *const names[] = {
#define X(name, text) #name,
    STAT_LIST(X)
#undef X
};

static const char *const texts[] = {
#define X(name, text) text,
    STAT_LIST(X)
#undef X
};

const char *stat_name(enum stat_id which)
{
    return which < STAT_COUNT ? names[which] : "unknown";
}

const char *stat_text(enum stat_id which)
{
    return which < STAT_COUNT ? texts[which] : "unknown";
}
