/* line.h - a line from a person, with editing, history and completion, on libedit. The main thread only; one at a time. */
#ifndef Q_CMD_LINE_H
#define Q_CMD_LINE_H

#include "base/slice.h"
#include "cmd/cli/complete.h"

#include <signal.h>

typedef struct q_line q_line;

typedef enum q_line_got {
    Q_LINE_TEXT = 1,
    Q_LINE_CLEARED, /* Ctrl-C */
    Q_LINE_END      /* Ctrl-D on an empty line, or the terminal is gone */
} q_line_got;

/* Fills `out` for the Tab key; `before` and `after` are the line on both sides of the cursor. */
typedef void (*q_line_completer)(void *ctx, q_slice before, q_slice after, q_candidates *out);

/* `history_path`: NULL: none is kept. It is made with mode 0600, its directory with 0700. `interrupts`: counted up by the caller's SIGINT
 * handler, installed without SA_RESTART. NULL when libedit can't work here. */
q_line *q_line_open(const char *history_path, const volatile sig_atomic_t *interrupts, q_line_completer completer, void *ctx);
void q_line_close(q_line *l); /* accepts NULL */

/* TEXT: *line is the line without its end, valid until the next call. */
q_line_got q_line_read(q_line *l, const char *prompt, q_slice *line);
/* Into the history and its file, which other shells may be writing too: whole, appended. Several lines are one entry. */
void q_line_remember(q_line *l, q_slice entry);

#endif
