/* Statements travel in libpq's pipeline mode (https://www.postgresql.org/docs/15/libpq-pipeline-mode.html), several connections at once,
 * non-blocking: the server's commits of different connections share its own syncs. */
#include "workers/postgres/internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct lane { /* one connection's share of the units: first, first+step, … */
    pg_conn *conn;
    PGconn *pg;
    size_t next_send, next_recv;
    uint32_t stmt;    /* whose result comes next, of unit next_recv */
    bool flushing;
} lane;

static q_rc broken(PGconn *pg, q_err *err)
{
    q_err_set(err, Q_E_ENGINE_DOWN, "postgres: %s", PQerrorMessage(pg));
    return Q_IN_DOUBT;
}

static void keep_error(pg_unit *u, q_arena *arena, uint32_t stmt, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE), *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *constraint = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);
    u->ok = false;
    u->failed = stmt;
    snprintf(u->sqlstate, sizeof u->sqlstate, "%s", state ? state : "XX000");
    snprintf(u->constraint, sizeof u->constraint, "%s", constraint ? constraint : "");
    u->text = q_arena_copy(arena, q_slice_cstr(text ? text : ""));
}

static bool send_stmt(lane *l, pg_unit *u, uint32_t i)
{
    const pg_stmt *s = &u->stmts[i];
    char name[16];
    bool fresh;
    uint32_t plan = pg_plan_find(l->conn, s, &fresh);
    if (plan == PG_NO_PLAN)
        return PQsendQueryParams(l->pg, s->sql, s->count, NULL, s->params, NULL, NULL, 0);
    pg_plan_name(plan, name);
    u->parses[i] = fresh;
    return (!fresh || PQsendPrepare(l->pg, name, s->sql, 0, NULL)) && PQsendQueryPrepared(l->pg, name, s->count, s->params, NULL, NULL, 0);
}

static bool send_unit(lane *l, pg_unit *u)
{
    for (uint32_t i = 0; i < u->count; i++)
        if (!send_stmt(l, u, i))
            return false;
    return PQpipelineSync(l->pg) == 1;
}

/* One result of a unit's statement, or of its parse, which comes before it. */
static void take_result(lane *l, q_arena *arena, pg_unit *u, const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!good && status != PGRES_PIPELINE_ABORTED && u->ok)
        keep_error(u, arena, l->stmt, r);
    if (!u->parses[l->stmt]) {
        l->stmt++;
        return;
    }
    u->parses[l->stmt] = false;
    if (!good)
        pg_plan_forget(l->conn, &u->stmts[l->stmt]);
}

/* Takes the results that are there. */
static q_rc receive(lane *l, q_arena *arena, pg_unit *units, size_t step, q_err *err)
{
    while (l->next_recv < l->next_send && !PQisBusy(l->pg)) {
        PGresult *r = PQgetResult(l->pg);
        if (!r) { /* the end of one statement's results */
            if (PQstatus(l->pg) == CONNECTION_BAD)
                return broken(l->pg, err);
            continue;
        }
        if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
            l->next_recv += step;
            l->stmt = 0;
        } else if (l->stmt < units[l->next_recv].count) {
            take_result(l, arena, &units[l->next_recv], r);
        }
        PQclear(r);
    }
    return Q_OK;
}

static q_rc wait_for(q_engine *e, lane *lanes, size_t n, size_t total, q_err *err)
{
    struct pollfd fds[PG_CONNECTIONS];
    nfds_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (lanes[i].next_recv < total)
            fds[count++] = (struct pollfd){ .fd = PQsocket(lanes[i].pg), .events = (short)(POLLIN | (lanes[i].flushing ? POLLOUT : 0)) };
    int ready = poll(fds, count, (int)e->io_timeout_ms);
    if (ready != 0)
        return Q_OK;
    q_err_set(err, Q_E_ENGINE_DOWN, "postgres: no answer within %u ms", e->io_timeout_ms);
    return Q_IN_DOUBT;
}

static q_rc run(q_engine *e, q_arena *arena, pg_unit *units, size_t total, lane *lanes, size_t n, q_err *err)
{
    for (size_t open = n; open;) {
        open = 0;
        for (size_t i = 0; i < n; i++) {
            lane *l = &lanes[i];
            while (l->next_send < total && (l->next_send - l->next_recv) / n < PG_WINDOW) {
                if (!send_unit(l, &units[l->next_send]))
                    return broken(l->pg, err);
                l->next_send += n;
            }
            int flushed = PQflush(l->pg);
            if (flushed < 0)
                return broken(l->pg, err);
            l->flushing = flushed == 1;
            if (!PQconsumeInput(l->pg))
                return broken(l->pg, err);
            q_rc rc = receive(l, arena, units, n, err);
            if (rc != Q_OK)
                return rc;
            open += l->next_recv < total;
        }
        if (open) {
            bool idle = true; /* wait only when no lane can go on by itself */
            for (size_t i = 0; i < n; i++)
                if (lanes[i].next_send < total && (lanes[i].next_send - lanes[i].next_recv) / n < PG_WINDOW)
                    idle = false;
            q_rc rc = idle ? wait_for(e, lanes, n, total, err) : Q_OK;
            if (rc != Q_OK)
                return rc;
        }
    }
    return Q_OK;
}

/* A connection that keeps too many statements forgets them all. */
static bool make_room(pg_conn *c)
{
    if (!pg_plans_full(c))
        return true;
    PGresult *r = PQexec(c->pg, "DEALLOCATE ALL");
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    PQclear(r);
    if (ok)
        pg_plans_clear(c);
    return ok;
}

q_rc pg_run(q_engine *e, q_arena *arena, pg_unit *units, size_t total, bool spread, q_err *err)
{
    size_t n = !spread || total < 2 ? 1 : total < PG_CONNECTIONS ? total : PG_CONNECTIONS;
    lane lanes[PG_CONNECTIONS];
    for (size_t i = 0; i < total; i++) {
        units[i].ok = true;
        units[i].sqlstate[0] = units[i].constraint[0] = '\0';
        units[i].parses = Q_NEW_ARRAY(arena, bool, units[i].count);
        if (!units[i].parses) {
            q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
            return Q_RETRY;
        }
    }
    if (!total)
        return Q_OK;
    q_rc widened = pg_widen(e, n, err);
    if (widened != Q_OK)
        return widened;
    for (size_t i = 0; i < n; i++) {
        pg_conn *c = &e->conns[i];
        lanes[i] = (lane){ .conn = c, .pg = c->pg, .next_send = i, .next_recv = i };
        if (PQstatus(c->pg) != CONNECTION_OK || !make_room(c) || PQsetnonblocking(c->pg, 1) != 0 || !PQenterPipelineMode(c->pg))
            return broken(c->pg, err);
    }
    q_rc rc = run(e, arena, units, total, lanes, n, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        if (!PQexitPipelineMode(lanes[i].pg) || PQsetnonblocking(lanes[i].pg, 0) != 0)
            rc = broken(lanes[i].pg, err);
    return rc; /* after a failure the session is closed: no need to leave the pipeline */
}

/* Ends the failed transactions that connections may be inside of. */
static q_rc leave_failed(q_engine *e, q_err *err)
{
    for (size_t i = 0; i < PG_CONNECTIONS && e->conns[i].pg; i++) {
        PGconn *pg = e->conns[i].pg;
        if (PQtransactionStatus(pg) == PQTRANS_IDLE)
            continue;
        PGresult *r = PQexec(pg, "ROLLBACK");
        bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
        if (!ok)
            return broken(pg, err);
    }
    return Q_OK;
}

/* It came behind one that failed: its connection was still inside that transaction, or a statement's parse was skipped there. */
static bool overtaken(const pg_unit *u) { return !u->ok && (!strcmp(u->sqlstate, "25P02") || !strcmp(u->sqlstate, "26000")); }

q_rc pg_run_transactions(q_engine *e, q_arena *arena, pg_unit *units, size_t n, q_err *err)
{
    q_rc rc = pg_run(e, arena, units, n, true, err);
    for (;;) {
        size_t failed = 0, count = 0;
        for (size_t i = 0; rc == Q_OK && i < n; i++) {
            failed += !units[i].ok;
            count += overtaken(&units[i]);
        }
        if (rc == Q_OK && failed)
            rc = leave_failed(e, err);
        if (rc != Q_OK || !count)
            return rc;
        /* Each round settles at least the first unit of each connection. */
        pg_unit *again = Q_NEW_ARRAY(arena, pg_unit, count);
        if (!again) {
            q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
            return Q_RETRY;
        }
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
            if (overtaken(&units[i]))
                again[k++] = units[i];
        rc = pg_run(e, arena, again, count, true, err);
        k = 0;
        for (size_t i = 0; rc == Q_OK && i < n; i++)
            if (overtaken(&units[i]))
                units[i] = again[k++];
    }
}

q_rc pg_query(q_engine *e, const pg_stmt *stmt, PGresult **out, q_err *err)
{
    PGconn *pg = e->conns[0].pg;
    PGresult *r = PQexecParams(pg, stmt->sql, stmt->count, NULL, stmt->params, NULL, NULL, 1);
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        *out = r;
        return Q_OK;
    }
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    /* Connection, resources, the operator: they may pass. A missing table while its DDL is on the way, too. */
    bool passes = !state || !strncmp(state, "08", 2) || !strncmp(state, "53", 2) || !strncmp(state, "57", 2) || !strncmp(state, "40", 2) ||
                  !strncmp(state, "55", 2);
    if (state && (!strcmp(state, "42P01") || !strcmp(state, "3F000"))) { /* no such table: nothing is stored */
        PQclear(r);
        *out = NULL;
        return Q_END;
    }
    q_err_set(err, passes ? Q_E_ENGINE_DOWN : Q_E_ENGINE_REFUSED, "postgres: %s", PQerrorMessage(pg));
    PQclear(r);
    *out = NULL;
    return PQstatus(pg) == CONNECTION_BAD ? Q_IN_DOUBT : passes ? Q_RETRY : Q_FAIL;
}
