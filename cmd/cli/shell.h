/* shell.h - what the files of the interactive shell share: its state, and its backslash commands. */
#ifndef Q_CMD_SHELL_H
#define Q_CMD_SHELL_H

#include "base/buf.h"
#include "cmd/cli/line.h"
#include "cmd/cli/run.h"

typedef struct q_shell {
    q_run run;          /* its client, bucket, timing; its format is set for each run from the two below */
    q_format format;
    bool expanded;      /* \x: tables a line per attribute */
    q_names *names;
    q_line *line;
    q_buf text;         /* of the transaction being typed: whole lines */
    bool leave;
} q_shell;

/* "\d", "\?" …; NULL-terminated, static. */
const char *const *q_shell_commands(void);
/* One backslash command, from its backslash on. */
void q_shell_command(q_shell *s, q_slice line);
/* Runs a text in the shell's session and prints; what it defines is known to completion afterwards. false: it didn't commit. */
bool q_shell_run(q_shell *s, const char *name, q_slice text, size_t from, size_t to);

#endif
