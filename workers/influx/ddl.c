/* Definitions: a bucket is a database, a record's measurement comes into being with its first point, a drop removes them. What is remembered of
 * names outlives that. Also the removal of series. */
#include "workers/influx/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- removing series ---- */

void ix_delete_begin(ix_deletes *d, q_engine *e) { *d = (ix_deletes){ .e = e, .text = Q_BUF_INIT(IX_MAX_BODY) }; }

static q_rc send_deletes(ix_deletes *d, q_err *err)
{
    q_rc rc = Q_OK;
    if (d->text.failed)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "influx: a query that is too large");
    else if (d->count)
        rc = ix_do(d->e, d->db, q_buf_slice(&d->text), err);
    q_buf_clear(&d->text);
    d->count = 0;
    return rc;
}

q_rc ix_delete_add(ix_deletes *d, q_slice db, q_slice measurement, const char *a, q_slice x, const char *b, q_slice y, q_err *err)
{
    q_rc rc = Q_OK;
    if (d->count && (!q_slice_eq(d->db, db) || d->count == IX_DELETES_PER_REQUEST))
        rc = send_deletes(d, err);
    bool goes_on = d->count % IX_DELETES_PER_STATEMENT && q_slice_eq(q_slice_cstr(d->measurement), measurement);
    d->db = db;
    snprintf(d->measurement, sizeof d->measurement, "%.*s", Q_SLICE_FMT(measurement));
    if (goes_on)
        q_buf_add_cstr(&d->text, " OR ");
    else
        q_buf_printf(&d->text, "%sDELETE FROM \"%s\" WHERE ", d->count ? ";" : "", d->measurement);
    q_buf_printf(&d->text, "(\"%s\" = ", a);
    ix_put_literal(&d->text, x);
    if (b) {
        q_buf_printf(&d->text, " AND \"%s\" = ", b);
        ix_put_literal(&d->text, y);
    }
    q_buf_add_byte(&d->text, ')');
    d->count++;
    return rc;
}

q_rc ix_delete_end(ix_deletes *d, q_rc rc, q_err *err)
{
    if (rc == Q_OK)
        rc = send_deletes(d, err);
    q_buf_free(&d->text);
    return rc;
}

/* ---- measurements ---- */

q_rc ix_drop_measurement(q_engine *e, q_slice db, q_slice measurement, q_err *err)
{
    char text[2 * IX_NAME_BYTES];
    snprintf(text, sizeof text, "DROP MEASUREMENT \"%.*s\"", Q_SLICE_FMT(measurement));
    return ix_do(e, db, q_slice_cstr(text), err);
}

typedef struct visiting { ix_visit *visit; void *ctx; } visiting;

/* "bucket/record/incarnation" */
static q_rc take_measurement(void *ctx, const char *series, const json_t *v, q_err *err)
{
    visiting *t = ctx;
    q_slice name = ix_text(v, 0);
    const char *end = name.ptr + name.len, *a = name.len ? memchr(name.ptr, '/', name.len) : NULL, *b = a ? memchr(a + 1, '/', (size_t)(end - a - 1)) : NULL;
    (void)series;
    if (!b)
        return Q_OK;
    return t->visit(t->ctx, q_slice_of(name.ptr, (size_t)(a - name.ptr)), q_slice_of(a + 1, (size_t)(b - a - 1)), strtoull(b + 1, NULL, 10), err);
}

q_rc ix_each_record(q_engine *e, q_slice bucket, q_slice record, ix_visit *visit, void *ctx, q_err *err)
{
    char text[256];
    json_t *results = NULL;
    visiting t = { visit, ctx };
    snprintf(text, sizeof text, "SHOW MEASUREMENTS WITH MEASUREMENT =~ /^%.*s%s%.*s%s/", Q_SLICE_FMT(bucket), bucket.len ? "\\/" : "", Q_SLICE_FMT(record),
             record.len ? "\\/" : "");
    q_rc rc = ix_query(e, q_slice_cstr(text), &results, err);
    if (rc == Q_OK)
        rc = ix_rows(results, 0, take_measurement, &t, err);
    json_decref(results);
    return rc;
}

typedef struct dropping { q_engine *e; uint64_t seq; } dropping;

static q_rc drop_parts(void *ctx, q_slice bucket, q_slice record, uint64_t incarnation, q_err *err)
{
    dropping *d = ctx;
    char name[IX_NAME_BYTES];
    if (incarnation >= d->seq)
        return Q_OK;
    ix_parts_name(name, bucket, record, incarnation);
    return ix_drop_measurement(d->e, q_slice_cstr(d->e->own), q_slice_cstr(name), err);
}

/* ---- names ---- */

static void put_named(q_buf *out, q_slice bucket, q_slice record, const char *writer, const q_named *named)
{
    q_buf_printf(out, "names,bucket=%.*s,record=%.*s,w=%s created=%" PRId64 "i,dropped=%" PRId64 "i,ddl=%" PRId64 "i 0\n", Q_SLICE_FMT(bucket),
                 Q_SLICE_FMT(record.len ? record : Q_SLICE_LIT("-")), writer, (int64_t)named->created, (int64_t)named->dropped, (int64_t)named->ddl);
}

/* A dropped bucket takes its records' names along: what is remembered of them rises too. A row per writer: each as it is, but raised. */
typedef struct raising { q_buf lines; q_slice bucket; const char *writer; uint64_t seq; } raising;

static q_rc raise_name(void *ctx, const char *series, const json_t *v, q_err *err)
{
    raising *r = ctx;
    q_named named = { .created = ix_number(v, 1), .dropped = r->seq, .ddl = r->seq };
    q_slice record = ix_text(v, 4);
    (void)series, (void)err;
    if (!q_slice_eq(record, Q_SLICE_LIT("-")) && ix_number(v, 3) < r->seq)
        put_named(&r->lines, r->bucket, record, r->writer, &named);
    return Q_OK;
}

/* `bucket_named` goes in the same write. */
static q_rc remember(q_engine *e, uint64_t epoch, const q_ddl *d, const q_named *after, uint64_t seq, q_err *err)
{
    char writer[IX_WRITER_BYTES], text[256];
    json_t *results = NULL;
    q_rc rc = Q_OK;
    ix_writer(e, epoch, writer);
    raising r = { Q_BUF_INIT(IX_MAX_BODY), d->bucket, writer, seq };
    bool bucket = d->kind == Q_DDL_CREATE_BUCKET || d->kind == Q_DDL_DROP_BUCKET;
    if (d->kind == Q_DDL_DROP_BUCKET) {
        snprintf(text, sizeof text, "SELECT \"created\", \"dropped\", \"ddl\", \"record\" FROM \"names\" WHERE \"bucket\" = '%.*s'", Q_SLICE_FMT(d->bucket));
        rc = ix_query(e, q_slice_cstr(text), &results, err);
        if (rc == Q_OK)
            rc = ix_rows(results, 0, raise_name, &r, err);
        json_decref(results);
    }
    put_named(&r.lines, d->bucket, bucket ? Q_SLICE_NONE : d->record, writer, after);
    if (rc == Q_OK)
        rc = r.lines.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory") : ix_write(e, q_slice_cstr(e->own), q_buf_slice(&r.lines), err);
    q_buf_free(&r.lines);
    return rc;
}

/* ---- DDL ---- */

static q_rc drop_record(q_engine *e, const q_ddl *d, uint64_t seq, q_err *err)
{
    dropping old = { e, seq };
    q_rc rc = ix_drop_measurement(e, d->bucket, d->record, err);
    return rc == Q_OK ? ix_each_record(e, d->bucket, d->record, drop_parts, &old, err) : rc;
}

typedef struct looking { uint64_t incarnation; bool found; } looking;

static q_rc see_parts(void *ctx, q_slice bucket, q_slice record, uint64_t incarnation, q_err *err)
{
    looking *l = ctx;
    (void)bucket, (void)record, (void)err;
    l->found = l->found || incarnation == l->incarnation;
    return Q_OK;
}

/* Points that a late writer left of an earlier record of this name go, as their fields may be of other types; unless this record's own are
 * there already, because redo came before its CREATE. */
static q_rc clear_for(q_engine *e, const q_ddl *d, const q_named *known, uint64_t seq, q_err *err)
{
    looking own = { seq, false };
    if (!known->created && !known->dropped)
        return Q_OK;
    q_rc rc = ix_each_record(e, d->bucket, d->record, see_parts, &own, err);
    return rc == Q_OK && !own.found ? drop_record(e, d, seq, err) : rc;
}

q_rc ix_apply_ddl(q_engine *e, q_arena *arena, uint64_t epoch, ix_ref *ref, q_err *err)
{
    const q_ddl *d = &ref->item->ddl;
    bool bucket = d->kind == Q_DDL_CREATE_BUCKET || d->kind == Q_DDL_DROP_BUCKET;
    ix_loaded known;
    q_rc rc = ix_load(e, arena, epoch, ref, 1, &known, err);
    if (rc != Q_OK)
        return rc;
    const q_named *named = bucket ? &ref->of_bucket->named : &ref->of_record->named;
    if (!q_rule_apply_ddl(named, ref->seq) || (!bucket && q_rule_stale_incarnation(&ref->of_bucket->named, ref->bucket_incarnation)) ||
        (d->kind == Q_DDL_ALTER_RECORD && q_rule_stale_incarnation(named, ref->item->incarnation)))
        return Q_OK;
    /* What is removed goes first: until the name says so, the same DDL runs again. */
    dropping old = { e, ref->seq };
    switch (d->kind) {
    case Q_DDL_CREATE_BUCKET: rc = ix_create_database(e, d->bucket, err); break;
    case Q_DDL_DROP_BUCKET:
        rc = ix_drop_database(e, d->bucket, err);
        if (rc == Q_OK)
            rc = ix_each_record(e, d->bucket, Q_SLICE_NONE, drop_parts, &old, err);
        break;
    case Q_DDL_CREATE_RECORD: rc = clear_for(e, d, named, ref->seq, err); break;
    case Q_DDL_DROP_RECORD: rc = drop_record(e, d, ref->seq, err); break;
    default: break; /* of roles, grants and keys: no engine hears of them */
    case Q_DDL_ALTER_RECORD: break;
    }
    q_named after = q_rule_named_after(named, d->kind, ref->item->incarnation, ref->seq);
    return rc == Q_OK ? remember(e, epoch, d, &after, ref->seq, err) : rc;
}
