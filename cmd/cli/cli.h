/* cli.h - what the subcommands of bin/quanta share: exit statuses, finding the system, options. */
#ifndef Q_CMD_CLI_H
#define Q_CMD_CLI_H

#include "base/error.h"

enum {                   /* A4 */
    Q_EXIT_COMMITTED = 0,
    Q_EXIT_REFUSED = 1,  /* aborted or rejected */
    Q_EXIT_USAGE = 2,
    Q_EXIT_UNREACHABLE = 3,
};

/* argv[0] is the subcommand's name. What they return is the exit status. */
int q_cmd_dev(int argc, char **argv);
int q_cmd_up(int argc, char **argv);
int q_cmd_exec(int argc, char **argv);
int q_cmd_shell(int argc, char **argv);
int q_cmd_ingest(int argc, char **argv);
int q_cmd_bucket(int argc, char **argv);
int q_cmd_schema(int argc, char **argv);
int q_cmd_status(int argc, char **argv);
int q_cmd_wal(int argc, char **argv);
int q_cmd_txn(int argc, char **argv);
int q_cmd_key(int argc, char **argv);

/* Prints why the system gave no outcome; returns Q_EXIT_UNREACHABLE. */
int q_cli_print_failure(const q_err *err);

#endif
