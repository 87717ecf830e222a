/* config_schema.h: what keys there are.  Private to engine/control/config*.c. */
#ifndef ENGINE_CONTROL_CONFIG_SCHEMA_H
#define ENGINE_CONTROL_CONFIG_SCHEMA_H

#include "engine/control/config.h"

#include <libconfig.h>

struct config_reader;

enum config_kind {
    CONFIG_KIND_NUMBER, /* unsigned integer of `bytes` bytes: value * scale */
    CONFIG_KIND_BOOL,
    CONFIG_KIND_TEXT,    /* char array of `bytes` bytes */
    CONFIG_KIND_CHOICE,  /* uint8_t: index into choice[] */
    CONFIG_KIND_SPECIAL, /* arrays, lists: read() does it */
};

struct config_key {
    const char *name;
    const char *help; /* a phrase */
    const char *unit; /* of what stands in the file; "" */
    size_t offset;    /* from the base of its struct */
    uint32_t bytes;
    uint8_t kind;
    bool required;
    bool live;                /* a reload takes it over */
    bool set_before;          /* its default is not here: the layer that it belongs to has it */
    uint64_t min, max, scale; /* numbers */
    uint64_t number;          /* default of numbers, bools and choices */
    const char *text;         /* default of texts */
    const char *const *choice;
    /* Texts: checks the text and fills what is derived from it. */
    bool (*parse)(void *base, const char *text, struct error *why);
    void (*read)(struct config_reader *reader, const config_setting_t *setting, void *base);
    const char *shape; /* of specials, for people: "list of { to; gateway }" */
};

struct config_section {
    const char *name; /* "": keys outside every section */
    const struct config_key *key;
    size_t keys;
};

/* The whole file; base is struct config. */
extern const struct config_section config_sections[];
extern const size_t config_sections_count;

const struct config_key *config_find_key(const char *section, const char *key);

/* config_defaults sets every key of a table to its default. */
void config_defaults(const struct config_key *key, size_t keys, void *base);

/* config_key_text writes a key's present value as it would stand in the file; specials: "...". */
void config_key_text(const struct config_key *key, const void *base, char *out, size_t cap);

#endif
