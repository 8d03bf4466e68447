/* exec_run.h - the inside of a q_exec: one run of one transaction, and what its parts call of each other. Pure.
 *
 * Reading order: exec.c (the sequence of statements) → source.c (which records a statement means, page by page) → fetch.c (what is sent
 * to the engines and comes back) → select.c, aggregate.c, dml.c (what is made of them) → writes.c (what is sent in the end). */
#ifndef Q_COORDINATOR_EXEC_RUN_H
#define Q_COORDINATOR_EXEC_RUN_H

#include "coordinator/eval.h"
#include "coordinator/plan.h"
#include "coordinator/result.h"

enum {
    Q_EXEC_WORK = 20000000,          /* expression nodes evaluated between two rounds of reads, at some 20 ns each */
    Q_EXEC_MAX_ENGINE_BYTES = 6 << 20, /* of one engine's encoded writes: they share a message with others */
    Q_EXEC_MAX_WRITE_BYTES = 20 << 20, /* writes and events together: they share a log record with the reply */
};

typedef enum q_step_rc {
    Q_STEP_FAIL = 0, /* err is set */
    Q_STEP_READS,    /* reads were queued: go on when they are answered */
    Q_STEP_ROWS,     /* a page of rows is there */
    Q_STEP_END
} q_step_rc;

/* ---- fetch.c: reads under way ---- */

typedef struct q_xread {
    bool answered;
    bool too_large;           /* the answer would have been: it is asked again in halves */
    q_xtype *type;
    const q_attr **attrs;     /* of read.attrs, in order */
    q_xrow **rows;            /* IDS: of read.ids, in order */
    struct q_xscan *scan;     /* SCAN: whose page it is */
    struct q_xrefer *refer;   /* REFERRERS */
} q_xread;

/* One engine's answers to a statement's predicate, page by page. */
typedef struct q_xscan {
    q_engine_id engine;
    bool used, more;          /* more: another page can be asked for */
    bool has_after;
    q_value after;            /* the last id; in the transaction's arena, replaced by each page */
    q_buf after_bytes;        /* its text: the arena's, of Q_MAX_ID_BYTES */
    uint32_t count, cap;
    q_xrow **rows;            /* of the last page, by ascending id */
} q_xscan;

/* Who refers to records that are to be deleted. */
typedef struct q_xrefer {
    struct q_xrefer *next;
    const q_record *rec;      /* the referrers' */
    const q_attr *attr;
    q_xtype *target;
    uint32_t count;
    const q_row *rows;        /* id and values[0], the relation */
} q_xrefer;

/* ---- source.c: the records that a statement means ---- */

typedef enum q_source_phase { Q_SRC_START = 0, Q_SRC_SCANNED, Q_SRC_LOAD, Q_SRC_LOADED, Q_SRC_CONSUMED, Q_SRC_DONE } q_source_phase;

typedef struct q_source {
    const q_xplan *plan;
    q_source_phase phase;
    bool keep;                /* rows of the result stay (UPDATE, DELETE): they move to the lasting store */
    uint32_t page_rows;       /* a scan's page */
    q_xscan scans[Q_EN_COUNT];
    int driver;               /* whose scan goes on page by page; -1: not chosen yet */
    uint32_t level;
    q_xrow **overlaid;        /* the type's touched rows by ascending id: a scan doesn't know of them */
    uint32_t overlaid_count, overlaid_at;
    bool last_page;
    uint64_t conj_done;       /* evaluated on every row of this page (a bit each) */
    uint32_t count, cap;
    q_xrow **rows;            /* the page: those that match so far, by ascending id */
    struct { q_xrow **rows; uint32_t count, cap; uint32_t stamp; } *at; /* per node: records met there on this page */
} q_source;

/* ---- the run ---- */

typedef struct q_ctx {        /* expressions over a record; see bind.c */
    q_env env;
    q_exec *x;
    const q_xplan *plan;
    q_xrow *base;             /* NULL: none (INSERT) */
    q_xrow **bound;           /* per node: where the combination stands; NULL: nothing is bound there */
    uint32_t *place;          /* per node: its place in the parent's relation */
    const q_xmany *many;      /* the expression that is bound */
    const struct q_group *group; /* aggregated: whose values aggregates and leaves have */
    const q_value *subs;      /* ASSERT: values of its subqueries */
    struct q_ctx *judge;      /* for conditions of permissions at nodes; NULL: the plan has none */
} q_ctx;

/* Why an item is there: for the error when an engine refuses it. */
typedef struct q_item_origin {
    q_xrow *row;
    const q_attr *required;   /* a CHECK of this relation's target */
    const q_value *target;
    uint32_t statement;
} q_item_origin;

struct q_exec {
    q_arena *arena;
    q_arena *lasting_arena;   /* the outcome's */
    bool no_events;
    const q_script *script;
    q_planner planner;
    q_xplan *plans;
    uint32_t plan_count;
    bool can_be_blind, has_writes;
    q_pagemem lasting, page;
    /* This run. */
    uint64_t seq;
    int64_t time_us;
    bool blind;
    bool started, prefetched, failed, out_of_memory;
    uint64_t work_left;
    uint32_t rows_kept;       /* lasting rows and rows of results that wait for their order */
    uint32_t at;              /* plans[at] is running */
    void *statement;          /* its state, by kind; NULL: not begun */
    q_ctx *ctx;               /* its expressions' */
    uint32_t stamps;
    q_result *results;        /* one a plan */
    /* Reads. */
    uint64_t next_read_id, round_read_id; /* the round's first */
    uint32_t round;
    uint32_t read_count, read_cap, out_cap, pending;
    q_exec_read *out;         /* parallel to reads */
    q_xread *reads;
    q_xrefer *refers;
    bool refers_asked;
    bool must_see;            /* a blind run met a question that only a read answers: begin again, reading */
    /* In the end. */
    q_item_origin *origins[Q_EN_COUNT];
    uint32_t origin_count[Q_EN_COUNT];
    uint32_t max_parts;
    q_json *json;
};

/* fetch.c. Each returns false when out of memory. */
/* Notes that `row` needs its `attrs` (and, with `exists`, PostgreSQL's part) in the round that is being gathered. */
bool q_fetch_want(q_exec *x, q_xrow *row);
/* What rows of this type need in this round: say it first, for all nodes of the type. */
void q_fetch_need(q_exec *x, q_xtype *t, const q_attrset *attrs, bool exists);
/* Starts a round, and ends it: queues one read for each engine and record type, or several. */
void q_fetch_begin(q_exec *x);
bool q_fetch_end(q_exec *x);
bool q_fetch_scan(q_exec *x, q_source *s, q_xscan *scan, uint32_t limit);
/* Answers were too large: asks for them again in halves. False when there was none, or (x->out_of_memory) no room. */
bool q_fetch_split(q_exec *x);
bool q_fetch_referrers(q_exec *x, q_xrefer *r, const q_value *ids, uint32_t count, uint32_t limit);
/* Is the row known as far as this needs? */
bool q_fetch_known(const q_xrow *row, const q_attrset *attrs, bool exists);

/* source.c */
q_source *q_source_new(q_exec *x, const q_xplan *plan, bool keep);
q_step_rc q_source_next(q_exec *x, q_source *s, q_err *err);
/* Known ids of statements that will read them, all in one round. */
q_step_rc q_source_prefetch(q_exec *x, q_err *err);

/* bind.c */
q_ctx *q_ctx_new(q_exec *x, const q_xplan *plan, bool strict);
static inline void q_ctx_base(q_ctx *c, q_xrow *row) { c->base = row; }
/* Does a written row satisfy the statement's condition of permissions? Q_FAIL: FORBIDDEN. */
Q_CHECK q_rc q_ctx_after(q_ctx *c, q_xrow *row, q_pos pos, q_err *err);
/* Has the expression one value for each combination of ends? */
const q_xmany *q_ctx_many(const q_ctx *c, const q_expr *e);
/* Goes through them; the callback of q_env, also for columns and aggregates. Set env.bound while evaluating. */
bool q_ctx_bind(q_env *env, const q_expr *e, bool first);

/* select.c, dml.c, ddl.c: run the statement at x->at; ROWS never comes back from these */
q_step_rc q_select_step(q_exec *x, q_err *err);
q_step_rc q_assert_step(q_exec *x, q_err *err);
q_step_rc q_insert_step(q_exec *x, q_err *err);
q_step_rc q_update_step(q_exec *x, q_err *err);
q_step_rc q_delete_step(q_exec *x, q_err *err);
q_step_rc q_ddl_step(q_exec *x, q_err *err);
q_step_rc q_show_step(q_exec *x, q_err *err);

/* writes.c: what the transaction must still know before it may write (REFERRERS), then what it writes and tells. */
q_step_rc q_writes_check(q_exec *x, q_err *err);
Q_CHECK q_rc q_writes_build(q_exec *x, q_exec_outcome *out, q_err *err);
Q_CHECK q_rc q_ddl_build(q_exec *x, q_exec_outcome *out, q_err *err);

/* Counts a row that will stay in memory until the end. */
Q_CHECK q_rc q_exec_keep(q_exec *x, uint32_t rows, bool write, q_err *err);
/* "order_123" */
q_slice q_exec_id_text(q_arena *arena, const q_value *id);

#endif
