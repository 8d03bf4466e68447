/* account.h - what answered requests took: histograms, and the log of slow queries. Fed by the coordinator's core (q_core_config.account).
 *
 * q_accounts_add is called on the core's thread and doesn't block but for a line of the log; at most Q_ACCOUNTS_SLOW_A_SECOND of them are
 * written in a second, the rest is counted. Reading is for any thread. */
#ifndef Q_CMD_ACCOUNT_H
#define Q_CMD_ACCOUNT_H

#include "base/metrics.h"
#include "coordinator/core.h"

enum { Q_ACCOUNTS_SLOW_A_SECOND = 20, Q_ACCOUNTS_SHAPE_BYTES = 1000, Q_ACCOUNTS_OUTCOMES = 4 };

typedef enum q_account_phase { Q_AP_PARSE = 0, Q_AP_LOCK, Q_AP_PERSIST, Q_AP_COUNT } q_account_phase;

typedef struct q_accounts {
    int64_t slow_ms;          /* requests that took so long are logged; 0: all, -1: none */
    q_histogram seconds[Q_ACCOUNTS_OUTCOMES], phases[Q_AP_COUNT];
    _Atomic uint64_t slow, unlogged;
    int64_t window_us;        /* the core's own: the second that is counted … */
    unsigned in_window;       /* … and the lines in it */
} q_accounts;

void q_accounts_add(q_accounts *a, const q_account *account, int64_t mono_us);
/* quanta_request_seconds, quanta_slow_requests_total, and the head of quanta_phase_seconds with this process's own phases: further samples of it follow. */
void q_accounts_metrics(const q_accounts *a, q_buf *out);
/* The statement without its values: texts and numbers become `?`, comments go, at most Q_ACCOUNTS_SHAPE_BYTES. What a value was is never logged. */
void q_account_shape(q_slice text, q_buf *out);

#endif
