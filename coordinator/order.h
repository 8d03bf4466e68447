/* order.h - rows that wait for ORDER BY. Pure.
 *
 * With LIMIT only as many wait as can still be among the first: what is worse than the last of them is dropped before it is written.
 * NULLs are last unless said otherwise, also with DESC; ties keep the order in which rows were met, which is that of ids. */
#ifndef Q_COORDINATOR_ORDER_H
#define Q_COORDINATOR_ORDER_H

#include "coordinator/exec_run.h"

typedef struct q_order_run q_order_run;

/* NULL when out of memory. */
q_order_run *q_order_new(q_exec *x, const q_stmt *stmt, uint64_t offset, uint64_t limit);
/* The sort keys of what `ctx` stands on. Q_END: it can't be among the first; drop it. */
Q_CHECK q_rc q_order_key(q_order_run *o, q_ctx *ctx, q_err *err);
/* Lets it wait (copied), under the keys just made. RESULT_TOO_LARGE, LIMIT_MEMORY. */
Q_CHECK q_rc q_order_add(q_order_run *o, const q_value *payload, q_err *err);
void q_order_sort(q_order_run *o);
/* After the sort: one after the other; NULL at the end. */
const q_value *q_order_next(q_order_run *o);

/* The order of two values that may be of different types, as within documents; neither is NULL. */
int q_order_cmp(const q_value *a, const q_value *b);

Q_CHECK q_rc q_order_too_large(const q_exec *x, q_err *err);

#endif
