/* DDL: a bucket is a schema, a record a table, an attribute a column. Runs when it is committed (a prepare only votes), alone, idempotent:
 * "_quanta".objects remembers per name what was created and dropped, so that an older one that comes late changes nothing (B9). */
#include "workers/postgres/internal.h"

typedef struct script { q_arena *arena; pg_stmt stmts[3 * Q_MAX_ATTRIBUTES + 8]; uint32_t count; bool failed; } script;

static void add(script *s, const char *sql, int n, const char *const *params)
{
    if (!sql || s->count == sizeof s->stmts / sizeof s->stmts[0])
        s->failed = true;
    else
        s->stmts[s->count++] = (pg_stmt){ sql, n, params, 0 };
}

static void add_columns(script *s, const char *table, const q_ddl *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const q_attr *a = &d->attrs[i];
        if (a->kind != Q_K_SCALAR || q_slice_eq(a->name, Q_SLICE_LIT("id")))
            continue;
        add(s, q_arena_printf(s->arena, "ALTER TABLE %s ADD COLUMN IF NOT EXISTS \"%.*s\" %s", table, Q_SLICE_FMT(a->name), pg_column_type(a->datatype)).ptr, 0, NULL);
        if (a->unique)
            /* A tombstone's columns are NULL, which is never a duplicate. Deferred: two rows of one transaction may swap values. */
            add(s, q_arena_printf(s->arena, "ALTER TABLE %s ADD CONSTRAINT \"_q_unique_%.*s\" UNIQUE (\"%.*s\") DEFERRABLE INITIALLY DEFERRED",
                                  table, Q_SLICE_FMT(a->name), Q_SLICE_FMT(a->name)).ptr, 0, NULL);
    }
}

static q_type id_type(const q_ddl *d)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (q_slice_eq(d->attrs[i].name, Q_SLICE_LIT("id")))
            return d->attrs[i].datatype;
    return Q_T_STRING;
}

static void create_record(script *s, const q_ddl *d)
{
    const char *table = pg_table(s->arena, d->bucket, d->record);
    add(s, q_arena_printf(s->arena, "CREATE SCHEMA IF NOT EXISTS \"%.*s\"", Q_SLICE_FMT(d->bucket)).ptr, 0, NULL);
    add(s, q_arena_printf(s->arena, "DROP TABLE IF EXISTS %s", table).ptr, 0, NULL); /* of an older life */
    add(s, q_arena_printf(s->arena,
                          "CREATE TABLE %s (id %s PRIMARY KEY, _q_seq bigint NOT NULL, _q_birth bigint NOT NULL, _q_dead boolean NOT NULL DEFAULT false)",
                          table, pg_column_type(id_type(d))).ptr, 0, NULL);
    add_columns(s, table, d);
}

/* What is remembered of the name: rows of `column` rise, never fall. */
static void remember(script *s, const q_ddl *d, bool bucket, const char *created, const char *dropped, const char *seq)
{
    const char **params = Q_NEW_ARRAY(s->arena, const char *, 5);
    if (!params) {
        s->failed = true;
        return;
    }
    params[0] = pg_cstr(s->arena, d->bucket);
    params[1] = bucket ? "" : pg_cstr(s->arena, d->record);
    params[2] = created;
    params[3] = dropped;
    params[4] = seq;
    add(s, "INSERT INTO \"_quanta\".objects AS o VALUES ($1, $2, $3::bigint, $4::bigint, $5::bigint) ON CONFLICT (bucket, record) DO UPDATE SET"
           " created = greatest(o.created, excluded.created), dropped = greatest(o.dropped, excluded.dropped), ddl = greatest(o.ddl, excluded.ddl)",
        5, params);
}

q_rc pg_ddl_known(q_engine *e, q_arena *arena, const q_ddl *d, uint64_t seq_number, bool *done, q_err *err)
{
    PGresult *r = NULL;
    bool bucket = d->kind == Q_DDL_CREATE_BUCKET || d->kind == Q_DDL_DROP_BUCKET;
    const char *seq = pg_number(arena, seq_number);
    const char *params[] = { pg_cstr(arena, d->bucket), bucket ? "" : pg_cstr(arena, d->record), seq };
    pg_stmt stmt = { "SELECT 1 FROM \"_quanta\".objects WHERE bucket = $1 AND record = $2 AND ddl >= $3::bigint", 3, params, 0 };
    q_rc rc = pg_query(e, &stmt, &r, err);
    *done = rc == Q_OK && PQntuples(r) > 0;
    PQclear(r);
    return rc;
}

q_rc pg_apply_ddl(q_engine *e, q_arena *arena, const q_ddl *d, uint64_t incarnation, uint64_t seq, q_err *err)
{
    bool done = false;
    const char *number = pg_number(arena, seq), *zero = "0";
    script *s = Q_NEW(arena, script);
    if (!s || !number)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    s->arena = arena;
    q_rc rc = pg_ddl_known(e, arena, d, seq, &done, err);
    if (rc != Q_OK || done)
        return rc;
    add(s, "ROLLBACK", 0, NULL);
    add(s, "BEGIN", 0, NULL);
    switch (d->kind) {
    case Q_DDL_CREATE_BUCKET:
        add(s, q_arena_printf(arena, "CREATE SCHEMA IF NOT EXISTS \"%.*s\"", Q_SLICE_FMT(d->bucket)).ptr, 0, NULL);
        remember(s, d, true, number, zero, number);
        break;
    case Q_DDL_DROP_BUCKET: {
        const char **params = Q_NEW_ARRAY(arena, const char *, 2);
        if (!params)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        params[0] = pg_cstr(arena, d->bucket);
        params[1] = number;
        add(s, q_arena_printf(arena, "DROP SCHEMA IF EXISTS \"%.*s\" CASCADE", Q_SLICE_FMT(d->bucket)).ptr, 0, NULL);
        add(s, "UPDATE \"_quanta\".objects SET dropped = greatest(dropped, $2::bigint), ddl = greatest(ddl, $2::bigint) WHERE bucket = $1", 2, params);
        remember(s, d, true, zero, number, number);
        break;
    }
    case Q_DDL_CREATE_RECORD:
        create_record(s, d);
        remember(s, d, false, number, zero, number);
        break;
    case Q_DDL_ALTER_RECORD:
        add_columns(s, pg_table(arena, d->bucket, d->record), d);
        remember(s, d, false, pg_number(arena, incarnation), zero, number);
        break;
    case Q_DDL_DROP_RECORD:
        add(s, q_arena_printf(arena, "DROP TABLE IF EXISTS %s", pg_table(arena, d->bucket, d->record)).ptr, 0, NULL);
        remember(s, d, false, zero, number, number);
        break;
    default: break; /* of roles, grants and keys: no engine hears of them */
    }
    add(s, "COMMIT", 0, NULL);
    if (s->failed)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    pg_unit unit = { .count = s->count, .stmts = s->stmts };
    rc = pg_run(e, arena, &unit, 1, false, err);
    if (rc == Q_OK && !unit.ok) {
        q_err_set(err, Q_E_ENGINE_DOWN, "postgres: %.*s", Q_SLICE_FMT(unit.text));
        rc = Q_RETRY;
    }
    return rc;
}
