/* run.h - runs transactions of a text and prints what came of them: what exec and the shell share. */
#ifndef Q_CMD_RUN_H
#define Q_CMD_RUN_H

#include "cmd/cli/client.h"
#include "cmd/cli/format.h"
#include "cmd/cli/script.h"

typedef struct q_run {
    q_client *client;
    char bucket[Q_MAX_NAME_BYTES + 1]; /* "": none; a USE in a text stays for what follows it */
    const json_t *params;              /* or NULL */
    bool script_params;                /* of a script: each transaction gets those that it mentions */
    const char *request_id;            /* or NULL; for one transaction */
    const char *name;                  /* of the script, for errors; or NULL */
    q_format format;
    bool timing;
    bool defined;                      /* out: something that ran changed the catalog */
    int timeout_ms;                    /* 0: the client's */
} q_run;

/* Runs script[from, to) as one transaction. Returns the exit status (A4); a rollback counts as committed. */
int q_run_transaction(q_run *r, q_slice script, size_t from, size_t to);
/* All of a script, one transaction after the other; the first that doesn't commit ends it. */
int q_run_script(q_run *r, q_slice script);

/* A file, or standard input for "-". false with a message that names `command`. */
bool q_run_read(const char *command, const char *path, q_buf *out);

#endif
