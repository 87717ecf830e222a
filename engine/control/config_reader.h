/* config_reader.h: from libconfig's tree to structs, by the tables of config_schema.h.  Private. */
#ifndef ENGINE_CONTROL_CONFIG_READER_H
#define ENGINE_CONTROL_CONFIG_READER_H

#include "engine/control/config_schema.h"

struct config_reader {
    struct config *config;
    struct config_report *report;
    const char *origin;   /* the file's name; files that it includes name themselves */
    const char *override; /* "section.key=value" when that is what is being read, else NULL */
    const config_t *tree; /* of the file */
    const struct config_source *source;
};

/* config_complain adds "FILE:LINE: key: ..." to the report. */
void config_complain(struct config_reader *reader, const config_setting_t *at, const char *fmt, ...)
    printf_like(3, 4);

/* config_complain_key does so for a key by its path ("limits.connections", "route.[2].hops.[0]"), wherever its value
 * has come from: the file, --set, or the default.
 */
void config_complain_key(struct config_reader *reader, const char *path, const char *fmt, ...)
    printf_like(3, 4);

/* config_report_add adds a finished line; beyond CONFIG_PROBLEMS_MAX it only counts. */
void config_report_add(struct config_report *report, const char *fmt, ...) printf_like(2, 3);

/* config_read_group reads the members of a group into base, on top of what is there; complains of unknown ones. */
void config_read_group(struct config_reader *reader, const config_setting_t *group,
                       const struct config_key *key, size_t keys, void *base);

/* config_read_element reads one element of a list: defaults first, and required keys must be there. */
void config_read_element(struct config_reader *reader, const config_setting_t *group,
                         const struct config_key *key, size_t keys, void *base);

/* config_read_root reads the whole file: the keys outside sections, and each section. */
void config_read_root(struct config_reader *reader, const config_setting_t *root);

/* config_check_required complains of required texts that no source has given. */
void config_check_required(struct config_reader *reader);

/* The type that a person sees: "a number", "a text in quotes", "a group { ... }". */
const char *config_type_text(const config_setting_t *setting);

#endif
