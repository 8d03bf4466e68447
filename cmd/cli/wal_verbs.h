/* wal_verbs.h - the verbs of quanta wal that do more than look: each in its wal_*.c, with options of its own. */
#ifndef Q_CMD_WAL_VERBS_H
#define Q_CMD_WAL_VERBS_H

#include "cmd/cli/cli.h"

#include <limits.h>
#include <stdbool.h>

/* argv[0] is the verb. False: it is none of these. */
bool q_wal_verb(int argc, char **argv, int *status);
int q_wal_replay(int argc, char **argv);
int q_wal_export(int argc, char **argv);
int q_wal_compact(int argc, char **argv);
int q_wal_backup(int argc, char **argv);
int q_wal_restore(int argc, char **argv);

/* The verbs of quanta txn that ask about one transaction or end it: show, resolve. argv[0] is the verb. */
bool q_txn_verb(int argc, char **argv, int *status);

/* `dir`: what --dir said (`given`), which may be a log's directory or that of a quanta dev around it; else that of the last quanta dev.
 * Becomes the log's. Q_EXIT_COMMITTED, or the exit status after a message. */
int q_wal_find(char dir[PATH_MAX], bool given);
/* The log in `dir` with its segments, read only. */
struct q_log;
Q_CHECK q_rc q_wal_open_whole(const char *dir, struct q_log **out, q_err *err);
/* Prints an error with its hint; Q_EXIT_REFUSED. */
int q_wal_failure(const char *command, const q_err *err);

#endif
