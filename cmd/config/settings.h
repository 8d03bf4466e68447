/* settings.h - the table of settings: private to this folder. */
#ifndef Q_CMD_CONFIG_SETTINGS_H
#define Q_CMD_CONFIG_SETTINGS_H

#include "cmd/config/config.h"

typedef enum q_setting_type {
    Q_SET_TEXT = 1,
    Q_SET_PATH,    /* text; relative ones are taken from the file's directory */
    Q_SET_NUMBER,
    Q_SET_BYTES,   /* a number, also with KiB, MiB, GiB, TiB */
    Q_SET_BOOL,
    Q_SET_CHOICE,  /* text: one of `unit`, separated by spaces */
    Q_SET_LIST,    /* of texts; the default's are separated by spaces */
    Q_SET_MAP      /* name: text */
} q_setting_type;

enum { Q_SET_SECRET = 1, /* never printed */
       Q_SET_HIDE_PASSWORD = 2 /* a URI: printed without its password */ };

typedef struct q_setting {
    const char *path;      /* "engines.mongo.uri" */
    q_setting_type type;
    size_t offset;         /* in q_config: const char * | int64_t | const char *const * | const q_config_pair * */
    const char *initial;   /* its default as it would be written; NULL: none */
    int64_t min, max;      /* NUMBER, BYTES */
    const char *unit;      /* "ms", "bytes" …; CHOICE: the choices; "" */
    unsigned flags;
    const char *meaning;
} q_setting;

extern const q_setting q_settings[];
extern const size_t q_settings_count;

#endif
