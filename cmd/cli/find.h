/* find.h - where the system is: an option, the environment, or the last `quanta dev` that was started here. */
#ifndef Q_CMD_FIND_H
#define Q_CMD_FIND_H

#include "base/error.h"
#include "cmd/config/config.h"

#include <limits.h>
#include <sys/stat.h>

typedef struct q_place {
    char address[256];      /* HOST:PORT, or several with commas (Kafka only) */
    bool dev;               /* found through ~/.quanta/dev, not told */
    char dir[PATH_MAX];     /* dev: its directory, else "" */
    /* dev: which writing of its ready file this came from; a restart writes a new one. */
    ino_t ready_ino;
    struct timespec ready_mtime;
} q_place;

/* -c FILE: which configuration is meant; else QUANTA_CONFIG, else none. Before all below; kept, not copied. */
void q_find_use_config(const char *path);
bool q_find_has_config(void); /* is one named? */
/* That configuration, read at the first call and kept. Q_FAIL: none is named, or it is wrong. */
Q_CHECK q_rc q_find_config(const q_config **out, q_err *err);
/* Its wal.dir. Q_END: no configuration is named. */
Q_CHECK q_rc q_find_wal_dir(char *out, size_t size, q_err *err);

/* Kafka: `given` (--bootstrap), else QUANTA_BOOTSTRAP, else the configuration, else the last quanta dev. false with err: nowhere. */
bool q_find_kafka(const char *given, q_place *out, q_err *err);
/* HTTP, for operators' questions: `given` (--http), else QUANTA_HTTP, else the configuration (and the ready file of its `quanta up`),
 * else the last quanta dev. */
bool q_find_http(const char *given, q_place *out, q_err *err);
/* The directory of the last quanta dev, whether it runs or not. */
bool q_find_dev_dir(char *out, size_t size, q_err *err);
/* Whether the quanta dev of `place` has written another ready file since: it was restarted, perhaps on another port. */
bool q_place_moved(const q_place *place);
/* Asks the operating system whether anyone listens there. Only a clear "no" is a no: the first address refuses at once. */
bool q_place_listens(const q_place *place);

#endif
