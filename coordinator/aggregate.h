/* aggregate.h - groups of rows and what they come to: count, sum, avg, min, max (A2). Pure.
 *
 * NULLs are left out; of nothing, count is 0 and the others are NULL. Sums of ints and durations are exact until the end, so that the
 * order of rows decides nothing; a sum over ints and floats is a float, over ints and decimals a decimal. avg of ints is a float. */
#ifndef Q_COORDINATOR_AGGREGATE_H
#define Q_COORDINATOR_AGGREGATE_H

#include "coordinator/exec_run.h"

typedef struct q_group q_group;
typedef struct q_groups q_groups;

/* NULL when out of memory. */
q_groups *q_groups_new(q_exec *x, const q_xplan *plan);
/* Adds the row that ctx stands on to its group. */
Q_CHECK q_rc q_groups_add(q_groups *g, q_ctx *ctx, q_err *err);
/* All rows are in: without GROUP BY there is exactly one group. VALUE_OUT_OF_RANGE. */
Q_CHECK q_rc q_groups_finish(q_groups *g, q_err *err);
/* In the order in which they were met. */
const q_group *q_groups_first(const q_groups *g);
const q_group *q_group_next(const q_group *group);
/* The group's value of an aggregate or of a path outside one; false when the plan has no such leaf. */
bool q_group_leaf(const q_group *group, const q_xplan *plan, const q_expr *e, q_value *out);

#endif
