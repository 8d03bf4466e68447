/* process.h - what the long-running programs have in common: options, signals, the ready line, exit statuses. */
#ifndef Q_CMD_PROCESS_H
#define Q_CMD_PROCESS_H

#include "cmd/config/config.h"

enum {
    Q_PROCESS_OK = 0,
    Q_PROCESS_USAGE = 2,       /* wrong options, configuration or settings of an engine: starting again doesn't help */
    Q_PROCESS_UNREACHABLE = 3, /* what it needs can't be reached, or is taken: starting again may help */
    Q_PROCESS_FATAL = 70,      /* it had to end without telling any outcome */
};

typedef struct q_process {
    const char *program;   /* "quanta-coordinator" */
    const char *usage;     /* of --help, printed before what all have */
    const char *engine, *name; /* --engine, --name; NULL when not given or not allowed */
    bool takes_engine;     /* in: --engine and --name are options of this program */
    bool takes_new_topic, new_topic; /* in: --new-topic is one; out: it was given */
    const char *ready_file;/* --ready-file */
    int64_t http_port;     /* --http-port; -1: as configured */
    q_config *config;
} q_process;

/* Reads the options and the configuration, blocks the signals that end the process (before any thread), starts the log. Returns -1 to go
 * on, otherwise the exit status: --help and the like, or a mistake, which is told on stderr. */
int q_process_begin(q_process *p, int argc, char **argv);
/* One line, `ready …`, to stdout and to --ready-file. */
Q_CHECK q_rc q_process_ready(const q_process *p, const char *line, q_err *err);
/* Waits for SIGTERM or SIGINT, or for `timeout_ms` (-1: for ever). true: it is to end. */
bool q_process_wait(int timeout_ms);
/* From any thread: as if SIGTERM had come, and what q_process_status returns. */
void q_process_end(int status);
int q_process_status(void);
/* Prints the error with its hint; returns the status it stands for. */
int q_process_failed(const q_process *p, q_rc rc, const q_err *err);
void q_process_free(q_process *p);

#endif
