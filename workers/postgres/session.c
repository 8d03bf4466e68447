/* Sessions, the epoch and what the engine remembers: schema "_quanta", whose name no bucket can have. */
#include "workers/postgres/internal.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const schema_sql =
    "BEGIN; SELECT pg_advisory_xact_lock(7823465);" /* several sessions open at once */
    "CREATE SCHEMA IF NOT EXISTS \"_quanta\";"
    "CREATE TABLE IF NOT EXISTS \"_quanta\".engine (one boolean PRIMARY KEY DEFAULT true CHECK (one), cluster numeric NOT NULL,"
    " epoch bigint NOT NULL, applied_high bigint NOT NULL, applied_below bigint NOT NULL);"
    "CREATE TABLE IF NOT EXISTS \"_quanta\".objects (bucket text, record text, created bigint NOT NULL, dropped bigint NOT NULL,"
    " ddl bigint NOT NULL, PRIMARY KEY (bucket, record));"
    "COMMIT";

static char *dup_or_null(const char *s) { return s ? strdup(s) : NULL; }

static q_rc connect_failed(PGconn *pg, q_err *err)
{
    const char *text = PQerrorMessage(pg);
    bool setting = strstr(text, "authentication failed") || strstr(text, "no password supplied") || strstr(text, "does not exist") ||
                   strstr(text, "invalid ") || strstr(text, "pg_hba.conf");
    q_err_set(err, setting ? Q_E_ENGINE_REFUSED : Q_E_ENGINE_DOWN, "postgres: %s", text);
    size_t n = strlen(err->message);
    if (n && err->message[n - 1] == '\n')
        err->message[n - 1] = '\0';
    if (setting)
        q_err_hint(err, "check engines.postgres.uri, user and password in quanta.yaml");
    return setting ? Q_FAIL : Q_RETRY;
}

static q_rc simple(PGconn *pg, const char *sql, q_err *err)
{
    PGresult *r = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(r);
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    q_rc rc = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? Q_OK : state && !strcmp(state, "42501") ? Q_FAIL : Q_RETRY;
    if (rc != Q_OK)
        q_err_set(err, rc == Q_FAIL ? Q_E_ENGINE_REFUSED : Q_E_ENGINE_DOWN, "postgres: %s", PQerrorMessage(pg));
    PQclear(r);
    return rc;
}

static q_rc connect_one(q_engine *e, pg_conn *c, q_err *err)
{
    char sql[200], name[64];
    snprintf(name, sizeof name, "quanta:%016llx:0:%.20s", (unsigned long long)e->cluster, e->worker);
    const char *keys[8] = { "dbname" }, *values[8] = { e->uri };
    int n = 1;
    if (e->user && *e->user) {
        keys[n] = "user";
        values[n++] = e->user;
    }
    if (e->password && *e->password) {
        keys[n] = "password";
        values[n++] = e->password;
    }
    keys[n] = "application_name";
    values[n++] = name;
    keys[n] = "connect_timeout";
    values[n++] = "5";
    c->epoch = 0;
    c->pg = PQconnectdbParams(keys, values, 1);
    if (!c->pg)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (PQstatus(c->pg) != CONNECTION_OK)
        return connect_failed(c->pg, err);
    snprintf(sql, sizeof sql,
             "SET TimeZone = 'UTC'; SET client_min_messages = error; SET lock_timeout = %u; SET extra_float_digits = 3; SET synchronous_commit = on",
             e->lock_timeout_ms);
    return simple(c->pg, sql, err);
}

static q_rc check_server(q_engine *e, q_err *err)
{
    PGresult *r = PQexec(e->conns[0].pg, "SHOW max_prepared_transactions");
    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        q_err_set(err, Q_E_ENGINE_DOWN, "postgres: %s", PQerrorMessage(e->conns[0].pg));
        PQclear(r);
        return Q_RETRY;
    }
    long most = strtol(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    if (most > 0)
        return Q_OK;
    q_err_set(err, Q_E_ENGINE_REFUSED, "postgres: max_prepared_transactions is 0: two-phase commit is switched off there");
    q_err_hint(err, "set max_prepared_transactions = 400 in postgresql.conf and restart PostgreSQL");
    return Q_FAIL;
}

static void pg_close(q_engine *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < PG_CONNECTIONS; i++) {
        PQfinish(e->conns[i].pg);
        pg_plans_free(e->conns[i].plans);
    }
    free(e->uri);
    free(e->user);
    free(e->password);
    free(e->worker);
    free(e);
}

static q_rc pg_open(const q_engine_config *config, q_engine **out, q_err *err)
{
    q_engine *e = calloc(1, sizeof *e);
    if (!e)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    e->uri = dup_or_null(config->uri);
    e->user = dup_or_null(config->user);
    e->password = dup_or_null(config->password);
    e->worker = strdup(config->worker ? config->worker : "worker");
    e->cluster = config->cluster;
    e->lock_timeout_ms = config->lock_timeout_ms ? config->lock_timeout_ms : 1000;
    e->io_timeout_ms = config->io_timeout_ms ? config->io_timeout_ms : 10000;
    q_rc rc = config->id != Q_EN_POSTGRES ? q_err_set(err, Q_E_INTERNAL, "PostgreSQL serves scalars only")
              : !e->uri || !e->worker     ? q_err_set(err, Q_E_ENGINE_REFUSED, "engines.postgres.uri is missing")
                                          : Q_OK;
    if (rc == Q_OK)
        rc = connect_one(e, &e->conns[0], err);
    if (rc == Q_OK)
        rc = check_server(e, err);
    if (rc == Q_OK)
        rc = simple(e->conns[0].pg, schema_sql, err);
    if (rc != Q_OK) {
        pg_close(e);
        return rc;
    }
    *out = e;
    return Q_OK;
}

static q_rc set_epoch(q_engine *e, pg_conn *c, uint64_t epoch, q_err *err)
{
    char sql[200];
    if (c->epoch == epoch)
        return Q_OK;
    char *name = PQescapeLiteral(c->pg, e->worker, strnlen(e->worker, 20));
    if (!name)
        return q_err_set(err, Q_E_ENGINE_DOWN, "postgres: %s", PQerrorMessage(c->pg));
    snprintf(sql, sizeof sql, "SET application_name = 'quanta:%016llx:%llu:%.*s", (unsigned long long)e->cluster, (unsigned long long)epoch,
             (int)strlen(name) - 1, name + 1);
    PQfreemem(name);
    if (simple(c->pg, sql, err) != Q_OK)
        return Q_IN_DOUBT; /* the session must be opened again */
    c->epoch = epoch;
    return Q_OK;
}

q_rc pg_set_epoch(q_engine *e, uint64_t epoch, q_err *err)
{
    q_rc rc = Q_OK;
    for (size_t i = 0; rc == Q_OK && i < PG_CONNECTIONS && e->conns[i].pg; i++)
        rc = set_epoch(e, &e->conns[i], epoch, err);
    return rc;
}

q_rc pg_widen(q_engine *e, size_t n, q_err *err)
{
    for (size_t i = 1; i < n && i < PG_CONNECTIONS; i++) {
        pg_conn *c = &e->conns[i];
        if (c->pg)
            continue;
        q_rc rc = connect_one(e, c, err);
        if (rc == Q_OK)
            rc = set_epoch(e, c, e->conns[0].epoch, err);
        if (rc != Q_OK) { /* nothing was sent yet; what is open stays */
            PQfinish(c->pg);
            *c = (pg_conn){ 0 };
            return rc == Q_FAIL ? Q_RETRY : rc;
        }
    }
    return Q_OK;
}

/* ---- fence ---- */

static uint64_t cell(const PGresult *r, int col) { return strtoull(PQgetvalue(r, 0, col), NULL, 10); }

static q_rc text_query(q_engine *e, const char *sql, int n, const char *const *params, PGresult **out, q_err *err)
{
    PGconn *pg = e->conns[0].pg;
    *out = PQexecParams(pg, sql, n, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(*out);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return Q_OK;
    q_err_set(err, Q_E_ENGINE_DOWN, "postgres: %s", PQerrorMessage(pg));
    PQclear(*out);
    *out = NULL;
    return Q_RETRY;
}

static q_rc pg_fence(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err)
{
    char cluster[24], number[24], pattern[40];
    PGresult *r = NULL;
    *state = (q_engine_state){ 0 };
    snprintf(cluster, sizeof cluster, "%llu", (unsigned long long)e->cluster);
    snprintf(number, sizeof number, "%llu", (unsigned long long)epoch);
    snprintf(pattern, sizeof pattern, "quanta:%016llx:%%", (unsigned long long)e->cluster);
    const char *params[] = { cluster, number, pattern };

    q_rc rc = text_query(e, "INSERT INTO \"_quanta\".engine VALUES (true, $1::numeric, 0, 0, 0) ON CONFLICT DO NOTHING", 1, params, &r, err);
    bool fresh = rc == Q_OK && !strcmp(PQcmdTuples(r), "1");
    PQclear(r);
    if (rc == Q_OK)
        rc = text_query(e, "SELECT cluster, epoch, applied_high, applied_below FROM \"_quanta\".engine", 0, NULL, &r, err);
    if (rc != Q_OK)
        return rc;
    *state = (q_engine_state){ .cluster = cell(r, 0), .epoch = cell(r, 1), .applied_high = cell(r, 2), .applied_below = cell(r, 3) };
    PQclear(r);
    if (state->cluster != e->cluster) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "postgres: this database belongs to another QuantaDB system (cluster %llu)",
                  (unsigned long long)state->cluster);
        q_err_hint(err, "point engines.postgres.uri at a database of its own");
        return Q_FAIL;
    }
    if (fresh)
        state->cluster = 0;
    /* Waits for nobody: no transaction of ours holds this row while it prepares. */
    rc = text_query(e, "UPDATE \"_quanta\".engine SET epoch = $2::bigint WHERE epoch <= $2::bigint AND $1::text IS NOT NULL", 2, params, &r, err);
    if (rc != Q_OK)
        return rc;
    bool taken = !strcmp(PQcmdTuples(r), "1");
    PQclear(r);
    if (!taken)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "postgres remembers a higher epoch than %llu: a newer coordinator is at work",
                         (unsigned long long)epoch);
    rc = pg_set_epoch(e, epoch, err);
    if (rc != Q_OK)
        return rc;
    /* A backend that checked an older epoch may still be about to PREPARE: it is ended, and waited for. */
    const char *end_params[] = { pattern, number };
    rc = text_query(e,
                    "SELECT bool_and(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name LIKE $1::text"
                    " AND split_part(application_name, ':', 3) ~ '^[0-9]+$' AND split_part(application_name, ':', 3)::bigint BETWEEN 1 AND"
                    " $2::bigint - 1 AND pid <> pg_backend_pid()",
                    2, end_params, &r, err);
    if (rc != Q_OK)
        return rc;
    bool ended = PQgetisnull(r, 0, 0) || PQgetvalue(r, 0, 0)[0] == 't';
    PQclear(r);
    if (ended)
        return Q_OK;
    q_err_set(err, Q_E_ENGINE_DOWN, "postgres: a backend of an older epoch doesn't end");
    return Q_RETRY;
}

/* ---- prepared transactions ---- */

const char *pg_gid(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t seq)
{
    return q_arena_printf(arena, "quanta:%016llx:%llu:%llu", (unsigned long long)e->cluster, (unsigned long long)epoch,
                          (unsigned long long)seq).ptr;
}

bool pg_gid_parse(const q_engine *e, const char *gid, uint64_t *epoch, uint64_t *seq)
{
    unsigned long long cluster, ep, s;
    int end = 0;
    if (sscanf(gid, "quanta:%16llx:%llu:%llu%n", &cluster, &ep, &s, &end) != 3 || gid[end] != '\0' || cluster != e->cluster)
        return false;
    *epoch = ep;
    *seq = s;
    return true;
}

q_rc pg_list_prepared(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err)
{
    char pattern[40];
    snprintf(pattern, sizeof pattern, "quanta:%016llx:%%", (unsigned long long)e->cluster);
    const char *params[] = { pattern };
    PGresult *r = NULL;
    q_rc rc = text_query(e, "SELECT gid FROM pg_prepared_xacts WHERE gid LIKE $1::text AND database = current_database()", 1, params, &r, err);
    if (rc != Q_OK)
        return rc;
    size_t count = (size_t)PQntuples(r);
    *n = 0;
    *epochs = Q_NEW_ARRAY(arena, uint64_t, count);
    *seqs = Q_NEW_ARRAY(arena, uint64_t, count);
    if (!*epochs || !*seqs) {
        PQclear(r);
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count; i++)
        if (pg_gid_parse(e, PQgetvalue(r, (int)i, 0), &(*epochs)[*n], &(*seqs)[*n]))
            ++*n;
    PQclear(r);
    return Q_OK;
}

static q_rc pg_rollback(q_engine *e, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err)
{
    uint64_t *epochs, *prepared;
    size_t count = 0, units = 0;
    q_arena *arena = q_arena_new(0);
    if (!arena)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_rc rc = pg_set_epoch(e, epoch, err);
    if (rc == Q_OK)
        rc = pg_list_prepared(e, arena, &epochs, &prepared, &count, err);
    pg_unit *unit = Q_NEW_ARRAY(arena, pg_unit, count + 1);
    pg_stmt *stmt = Q_NEW_ARRAY(arena, pg_stmt, count + 1);
    if (rc == Q_OK && (!unit || !stmt))
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; rc == Q_OK && i < count; i++)
        for (size_t k = 0; k < n; k++)
            if (prepared[i] == seqs[k]) {
                stmt[units].sql = q_arena_printf(arena, "ROLLBACK PREPARED '%s'", pg_gid(e, arena, epochs[i], prepared[i])).ptr;
                unit[units] = (pg_unit){ .count = 1, .stmts = &stmt[units] };
                units++;
                break;
            }
    if (rc == Q_OK)
        rc = pg_run(e, arena, unit, units, true, err);
    for (size_t i = 0; rc == Q_OK && i < units; i++)
        if (!unit[i].ok && strcmp(unit[i].sqlstate, "42704") != 0) { /* not there any more: fine */
            q_err_set(err, Q_E_ENGINE_DOWN, "postgres: ROLLBACK PREPARED: %.*s", Q_SLICE_FMT(unit[i].text));
            rc = Q_RETRY;
        }
    q_arena_free(arena);
    return rc;
}

/* ---- purge ---- */

static q_rc check_epoch(q_engine *e, uint64_t epoch, q_err *err)
{
    PGresult *r = NULL;
    q_rc rc = text_query(e, "SELECT epoch FROM \"_quanta\".engine", 0, NULL, &r, err);
    if (rc == Q_OK && PQntuples(r) == 1 && cell(r, 0) > epoch)
        rc = q_err_set(err, Q_E_ENGINE_REFUSED, "postgres remembers a higher epoch than %llu", (unsigned long long)epoch);
    PQclear(r);
    return rc;
}

static q_rc pg_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err)
{
    PGresult *r = NULL;
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)upto);
    const char *params[] = { number };
    q_rc rc = pg_set_epoch(e, epoch, err);
    if (rc == Q_OK)
        rc = check_epoch(e, epoch, err);
    if (rc == Q_OK)
        rc = text_query(e, "SELECT bucket, record FROM \"_quanta\".objects WHERE record <> '' AND created > dropped", 0, NULL, &r, err);
    q_arena *arena = q_arena_new(0);
    for (int i = 0; rc == Q_OK && i < PQntuples(r); i++) {
        PGresult *gone = NULL;
        const char *table = pg_table(arena, q_slice_cstr(PQgetvalue(r, i, 0)), q_slice_cstr(PQgetvalue(r, i, 1)));
        rc = table ? text_query(e, q_arena_printf(arena, "DELETE FROM %s WHERE _q_dead AND _q_seq <= $1::bigint", table).ptr, 1, params, &gone, err)
                   : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        PQclear(gone);
    }
    q_arena_free(arena);
    PQclear(r);
    return rc;
}

const q_engine_ops q_engine_postgres = {
    .name = "postgres",
    .durable_prepare = true,
    .open = pg_open,
    .close = pg_close,
    .fence = pg_fence,
    .prepare = pg_prepare,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .list_prepared = pg_list_prepared,
    .read = pg_read,
    .purge = pg_purge,
};
