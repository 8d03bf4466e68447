/* ddl.c - CREATE, ALTER and DROP as writes to the engines; SHOW, which reads the catalog only. */
#include <assert.h>

#include "coordinator/exec_run.h"

static q_step_rc no_memory(q_err *err)
{
    (void)q_exec_no_memory(err);
    return Q_STEP_FAIL;
}

static const char *kind_name(q_ddl_kind k)
{
    switch (k) {
    case Q_DDL_CREATE_BUCKET: return "create_bucket";
    case Q_DDL_DROP_BUCKET: return "drop_bucket";
    case Q_DDL_CREATE_RECORD: return "create_record";
    case Q_DDL_ALTER_RECORD: return "alter_record";
    case Q_DDL_DROP_RECORD: break;
    }
    return "drop_record";
}

static bool of_bucket(const q_ddl *d) { return d->kind == Q_DDL_CREATE_BUCKET || d->kind == Q_DDL_DROP_BUCKET; }

/* count: 1, or 0 when IF [NOT] EXISTS leaves nothing to do. */
q_step_rc q_ddl_step(q_exec *x, q_err *err)
{
    const q_ddl *d = &x->plans[x->at].stmt->ddl;
    q_result *r = &x->results[x->at];
    q_rc rc = q_catalog_check(x->planner.catalog, d, err);
    if (rc != Q_OK && rc != Q_END)
        return Q_STEP_FAIL;
    r->kind = kind_name(d->kind);
    r->counted = true;
    r->count = rc == Q_OK;
    return Q_STEP_END;
}

/* Who must know: PostgreSQL, where everything exists, and every engine that holds or will hold a part of it. */
static uint32_t engines_of(const q_bucket *b, const q_record *rec, const q_ddl *d)
{
    uint32_t mask = Q_EN_BIT(Q_EN_POSTGRES);
    for (uint32_t i = 0; of_bucket(d) && b && i < b->count; i++)
        mask |= b->records[i]->engines;
    if (!of_bucket(d) && rec)
        mask |= rec->engines;
    for (uint32_t i = 0; i < d->count; i++)
        mask |= Q_EN_BIT(q_kind_engine(d->attrs[i].kind));
    return mask;
}

q_rc q_ddl_build(q_exec *x, q_exec_outcome *out, q_err *err)
{
    q_ddl complete, *d = &complete;
    q_rc rc = q_ddl_complete(x->arena, x->planner.catalog, &x->plans[0].stmt->ddl, &complete, err);
    if (rc != Q_OK)
        return rc == Q_END ? Q_OK : rc;
    const q_bucket *b = q_catalog_bucket(x->planner.catalog, d->bucket);
    const q_record *rec = b && !of_bucket(d) ? q_bucket_record(b, d->record) : NULL;
    if (x->results[0].count == 0)
        return Q_OK;
    q_item item = { .op = Q_I_DDL, .record = of_bucket(d) ? Q_SLICE_NONE : d->record, .ddl = *d };
    item.incarnation = of_bucket(d) ? (b ? b->incarnation : x->seq) : rec ? rec->incarnation : x->seq;
    q_writes w = { b ? b->incarnation : x->seq, d->bucket, 1, &item };
    q_buf bytes = Q_BUF_INIT(Q_EXEC_MAX_ENGINE_BYTES); /* small and rare: one copy more is nothing */
    q_writes_encode(&w, &bytes);
    q_slice s = bytes.failed ? Q_SLICE_NONE : q_arena_copy(x->lasting_arena, q_buf_slice(&bytes));
    q_buf_free(&bytes);
    if (!s.ptr)
        return q_exec_no_memory(err);
    out->participants = engines_of(b, rec, d);
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (out->participants & Q_EN_BIT(e))
            out->writes[e] = s;
    return Q_OK;
}

/* ---- SHOW ---------------------------------------------------------------------------------------------------------------- */

typedef struct shown { const char *name, *type; } shown;

static const shown BUCKETS[] = { { "bucket", "string" }, { "records", "int" }, { NULL, NULL } };
static const shown RECORDS[] = { { "record", "string" }, { "version", "int" }, { "attributes", "int" }, { NULL, NULL } };
static const shown RECORD[] = { { "attribute", "string" }, { "type", "string" }, { "datatype", "string" }, { "target", "string" },
                                { "cardinality", "string" }, { "unit", "string" }, { "required", "bool" }, { "unique", "bool" },
                                { NULL, NULL } };

static q_slice shown_columns(q_exec *x, const shown *columns)
{
    yajl_gen g = q_json_begin(x->json);
    yajl_gen_array_open(g);
    for (const shown *c = columns; c->name; c++) {
        yajl_gen_map_open(g);
        q_json_key(g, "name");
        q_json_key(g, c->name);
        q_json_key(g, "type");
        q_json_key(g, c->type);
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
    return q_json_take(x->json);
}

static void str_or_null(yajl_gen g, q_slice s)
{
    if (s.len)
        q_json_str(g, s);
    else
        yajl_gen_null(g);
}

static void attr_row(yajl_gen g, const q_attr *a)
{
    q_json_str(g, a->name);
    q_json_key(g, q_kind_name(a->kind));
    str_or_null(g, a->kind == Q_K_SCALAR || a->kind == Q_K_METRIC ? q_slice_cstr(q_type_name(a->datatype)) : Q_SLICE_NONE);
    str_or_null(g, a->target);
    str_or_null(g, a->kind == Q_K_RELATION ? q_slice_cstr(a->many ? "many" : "one") : Q_SLICE_NONE);
    str_or_null(g, a->unit);
    yajl_gen_bool(g, a->required);
    yajl_gen_bool(g, a->unique);
}

static void record_row(yajl_gen g, const q_record *r)
{
    q_json_str(g, r->name);
    yajl_gen_integer(g, r->version);
    yajl_gen_integer(g, r->count);
}

static void bucket_row(yajl_gen g, const q_bucket *b)
{
    q_json_str(g, b->name);
    yajl_gen_integer(g, b->count);
}

typedef enum show_kind { SHOW_BUCKETS, SHOW_RECORDS, SHOW_RECORD } show_kind;

static bool show_row(q_exec *x, q_result *r, show_kind kind, const q_record *rec, size_t i)
{
    yajl_gen g = q_json_begin(x->json);
    yajl_gen_array_open(g);
    if (kind == SHOW_BUCKETS)
        bucket_row(g, q_catalog_at(x->planner.catalog, i));
    else if (kind == SHOW_RECORDS)
        record_row(g, x->planner.bucket->records[i]);
    else
        attr_row(g, &rec->attrs[i]);
    yajl_gen_array_close(g);
    return q_result_row(x->arena, r, q_json_end(x->json));
}

q_step_rc q_show_step(q_exec *x, q_err *err)
{
    static const shown *const columns[] = { BUCKETS, RECORDS, RECORD };
    const q_stmt *s = x->plans[x->at].stmt;
    q_result *r = &x->results[x->at];
    const q_bucket *b = x->planner.bucket;
    show_kind kind = q_slice_eq(s->show, Q_SLICE_LIT("buckets")) ? SHOW_BUCKETS
                     : q_slice_eq(s->show, Q_SLICE_LIT("records")) ? SHOW_RECORDS : SHOW_RECORD;
    const q_record *rec = kind == SHOW_RECORD ? (s->record ? s->record : b ? q_bucket_record(b, s->record_name) : NULL) : NULL;
    if (kind == SHOW_RECORD && !rec) {
        q_err_set(err, Q_E_UNKNOWN_RECORD, "There is no record %.*s.", Q_SLICE_FMT(s->record_name));
        return Q_STEP_FAIL;
    }
    size_t count = kind == SHOW_BUCKETS ? q_catalog_count(x->planner.catalog) : kind == SHOW_RECORDS ? (b ? b->count : 0) : rec->count;
    r->kind = "show";
    r->columns = shown_columns(x, columns[kind]);
    if (!r->columns.ptr)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        if (!show_row(x, r, kind, rec, i))
            return no_memory(err);
    return Q_STEP_END;
}
