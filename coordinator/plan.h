/* plan.h - what each statement will touch, known before it runs: record types, attributes, relation paths, ids, predicates. Pure.
 *
 * Inside of a q_exec. A plan is immutable once made, and lives in the transaction's arena. */
#ifndef Q_COORDINATOR_PLAN_H
#define Q_COORDINATOR_PLAN_H

#include "coordinator/exec.h"
#include "coordinator/overlay.h"

enum {
    Q_PLAN_POINT_IDS = 100,   /* a statement that names no more ids locks them; one that names more locks their type */
    Q_PLAN_MAX_NODES = 8192,  /* relations followed by one statement */
};

/* A place in a statement's trie of relation paths: node 0 is the statement's record, a child follows one relation of its parent. */
typedef struct q_xnode {
    uint32_t parent, depth;
    const q_attr *hop;   /* of the parent's record; NULL at node 0 */
    q_xtype *type;       /* NULL: a record that isn't defined yet: nothing is found there */
    q_attrset need;      /* attributes to read here, hops included */
    bool exists;         /* something of it is read: PostgreSQL says whether it exists */
    bool many;           /* a relation of cardinality many is on the way here */
    const q_expr *condition; /* of permissions: a record here that doesn't satisfy it isn't there; NULL: all are */
} q_xnode;

typedef struct q_xhop { const q_expr *expr; uint32_t node; } q_xhop; /* a PATH behind relations, and where it ends */

/* An expression that has one value for each combination of ends. */
typedef struct q_xmany {
    const q_expr *expr;
    uint32_t var_count, end_count;
    const uint32_t *vars;  /* the nodes to go through, parents first: those whose hop is of cardinality many */
    const uint32_t *ends;  /* nodes behind them that are read: a combination where one is missing doesn't count */
} q_xmany;

typedef struct q_xconj {   /* WHERE is their conjunction */
    const q_expr *expr;
    uint32_t depth;        /* of the deepest node it reads */
    q_attrset need;        /* at node 0 */
    bool guard;            /* of permissions: decided before the user's own; what fails in it hides the row */
} q_xconj;

typedef enum q_access { Q_ACC_NONE = 0, Q_ACC_IDS, Q_ACC_SCAN } q_access;

typedef struct q_xplan {
    const q_stmt *stmt;
    q_xtype *type;                /* NULL for SHOW, ASSERT, DDL */
    q_access access;
    uint32_t id_count;            /* ACC_IDS: ascending, each once */
    const q_value *ids;
    bool ids_only;                /* WHERE says nothing else */
    bool blind;                   /* may be written without a read */
    bool has_conditions;          /* some node has one */
    bool deletes_targets;         /* DELETE of a type that others require */
    uint32_t node_count, node_cap;
    q_xnode *nodes;
    uint32_t depth;               /* of the deepest node */
    uint32_t hop_count, hop_cap;
    q_xhop *hops;
    uint32_t many_count, many_cap;
    q_xmany *many;
    uint32_t conj_count, conj_cap;
    q_xconj *conjs;
    uint32_t pred_count[Q_EN_COUNT];
    const q_pred *preds[Q_EN_COUNT];
    uint32_t agg_count, agg_cap;  /* aggregated: the aggregates … */
    const q_expr **aggs;
    uint32_t leaf_count, leaf_cap;/* … and the paths outside them, which hold for a whole group */
    const q_expr **leaves;
    uint32_t sub_count;           /* ASSERT */
    struct q_xplan *subs;
} q_xplan;

typedef struct q_planner {
    q_arena *arena;
    const q_catalog *catalog;
    const q_bucket *bucket;       /* NULL when it isn't there */
    q_xtype *types;               /* all that the transaction touches */
    uint32_t engines;             /* read or written, an upper bound */
} q_planner;

/* Plans one numbered statement. QQL_UNSUPPORTED, QQL_LIMIT, LIMIT_MEMORY. */
Q_CHECK q_rc q_plan_stmt(q_planner *p, const q_stmt *stmt, q_xplan *out, q_err *err);
/* The type's entry, made when it is new. NULL when out of memory. */
q_xtype *q_plan_type(q_planner *p, const q_record *rec);
/* Conjuncts that engines may use to send less: fills preds. False when out of memory. */
bool q_plan_pushdown(q_arena *arena, q_xplan *plan);

/* The id of an INSERT's row; checked. */
Q_CHECK q_rc q_plan_insert_id(q_arena *arena, const q_insert_row *row, const q_record *rec, q_value *out, q_err *err);
/* A constant's value, as the attribute's type. */
Q_CHECK q_rc q_plan_constant(q_arena *arena, const q_assign *assign, q_value *out, q_err *err);

/* All the locks of all the plans (B1). WRITE_TOO_LARGE when they are too many. Adds to planner->engines. */
Q_CHECK q_rc q_plan_locks(q_planner *p, q_slice bucket, const q_xplan *plans, uint32_t count, q_lockset *want, q_err *err);

/* Room for one more item in a list that lives in the arena. NULL when out of memory. */
void *q_plan_push(q_arena *arena, void *items, uint32_t *count, uint32_t *cap, size_t size);
#define Q_PUSH(arena, list, count, cap) \
    q_plan_push((arena), (void *)&(list), &(count), &(cap), sizeof *(list))

q_rc q_exec_no_memory(q_err *err);

#endif
