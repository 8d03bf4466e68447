/* internal.h - what the files of this folder share. Nothing of libpq leaves the folder. */
#ifndef Q_WORKERS_POSTGRES_INTERNAL_H
#define Q_WORKERS_POSTGRES_INTERNAL_H

#include "workers/engine.h"

#include <libpq-fe.h>

enum {
    PG_CONNECTIONS = 8,  /* of one session, opened when so many are needed: their prepares share PostgreSQL's own group commit */
    PG_WINDOW = 32,      /* units on their way on one connection */
    PG_PLANS = 256,      /* statements that one connection keeps parsed */
    PG_MAX_PARAMS = 420, /* of a statement: an id, three columns of ours, and Q_MAX_ATTRIBUTES twice */
};

#define PG_NO_PLAN UINT32_MAX

typedef struct pg_plans pg_plans;

typedef struct pg_conn {
    PGconn *pg;      /* NULL until it is needed; the first one always is */
    uint64_t epoch;  /* in its application_name; 0: none yet */
    pg_plans *plans; /* or NULL */
} pg_conn;

struct q_engine {
    pg_conn conns[PG_CONNECTIONS];
    char *uri, *user, *password, *worker;
    uint64_t cluster;
    uint32_t lock_timeout_ms, io_timeout_ms;
};

/* One statement with parameters in text format; NULL is NULL. All memory is the caller's until the run ends. */
typedef struct pg_stmt {
    const char *sql;
    int count;
    const char *const *params;
    uint64_t life; /* of what its text means, for statements that come again and again: they stay parsed; 0: parsed each time */
} pg_stmt;

/* What happens together: statements up to the first that fails. Each unit ends with a Sync of the pipeline. */
typedef struct pg_unit {
    uint32_t count;
    const pg_stmt *stmts;
    /* results */
    bool ok;
    uint32_t failed;   /* index of the statement that failed */
    char sqlstate[6];
    char constraint[64];
    q_slice text;      /* in the arena */
    bool *parses;      /* while it runs: a statement's parse is on the way, too */
} pg_unit;

/* Runs units, spread over the session's connections (`spread`) or in order on the first. Q_OK: each unit has its result. Otherwise a
 * connection broke: Q_IN_DOUBT, and nothing is known of the units without a result. */
Q_CHECK q_rc pg_run(q_engine *e, q_arena *arena, pg_unit *units, size_t n, bool spread, q_err *err);
/* The same for units that are transactions (they begin with BEGIN): one that fails leaves no trace on its connection. */
Q_CHECK q_rc pg_run_transactions(q_engine *e, q_arena *arena, pg_unit *units, size_t n, q_err *err);
/* Makes sure that so many connections are open, all in the first one's epoch. */
Q_CHECK q_rc pg_widen(q_engine *e, size_t n, q_err *err);

/* The place of a statement among those that the connection keeps; `fresh`: it must be parsed under that name first. PG_NO_PLAN: send its text. */
uint32_t pg_plan_find(pg_conn *c, const pg_stmt *stmt, bool *fresh);
void pg_plan_name(uint32_t plan, char name[16]);
void pg_plan_forget(pg_conn *c, const pg_stmt *stmt); /* its parse failed */
bool pg_plans_full(const pg_conn *c);
void pg_plans_clear(pg_conn *c); /* with DEALLOCATE ALL on the connection */
void pg_plans_free(pg_plans *p); /* accepts NULL */

/* One query whose rows matter, results in binary format. The caller clears *out. Q_END: the table isn't there. Q_RETRY when the connection broke or the server says
 * that it may pass; else Q_FAIL. */
Q_CHECK q_rc pg_query(q_engine *e, const pg_stmt *stmt, PGresult **out, q_err *err);

/* Puts the epoch into the connections' application_name, so that a fence ends exactly the older ones. */
Q_CHECK q_rc pg_set_epoch(q_engine *e, uint64_t epoch, q_err *err);
/* "quanta:<cluster>:<epoch>:<seq>", in the arena. */
const char *pg_gid(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t seq);
bool pg_gid_parse(const q_engine *e, const char *gid, uint64_t *epoch, uint64_t *seq);

/* Quoted "bucket"."record"; names have passed q_name_check, so that quoting is all. */
const char *pg_table(q_arena *arena, q_slice bucket, q_slice record);
const char *pg_number(q_arena *arena, uint64_t n);
const char *pg_cstr(q_arena *arena, q_slice s);
/* A value as a parameter's text: NULL for NULL. */
const char *pg_param(q_arena *arena, const q_value *v);
/* The cast that gives a parameter its type: "::bigint". */
const char *pg_cast(q_type t);
/* "text COLLATE \"C\"" … for a column. */
const char *pg_column_type(q_type t);
/* A binary cell as a value; strings are copied to the arena. */
Q_CHECK q_rc pg_value(q_arena *arena, const PGresult *r, int row, int col, q_value *out, q_err *err);

/* Was this DDL, or a newer one of the name, applied? */
Q_CHECK q_rc pg_ddl_known(q_engine *e, q_arena *arena, const q_ddl *ddl, uint64_t seq, bool *known, q_err *err);
/* DDL of an item, as statements of one unit, run alone. */
Q_CHECK q_rc pg_apply_ddl(q_engine *e, q_arena *arena, const q_ddl *ddl, uint64_t incarnation, uint64_t seq, q_err *err);

Q_CHECK q_rc pg_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err);
Q_CHECK q_rc pg_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err);
Q_CHECK q_rc pg_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err);
Q_CHECK q_rc pg_list_prepared(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err);

#endif
