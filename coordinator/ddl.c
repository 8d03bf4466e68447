/* ddl.c - CREATE, ALTER and DROP as writes to the engines. */
#include <assert.h>

#include "coordinator/exec_run.h"

static const char *kind_name(q_ddl_kind k)
{
    switch (k) {
    case Q_DDL_CREATE_BUCKET: return "create_bucket";
    case Q_DDL_DROP_BUCKET: return "drop_bucket";
    case Q_DDL_CREATE_RECORD: return "create_record";
    case Q_DDL_ALTER_RECORD: return "alter_record";
    case Q_DDL_CREATE_ROLE: return "create_role";
    case Q_DDL_DROP_ROLE: return "drop_role";
    case Q_DDL_GRANT: return "grant";
    case Q_DDL_REVOKE: return "revoke";
    case Q_DDL_CREATE_KEY: return "create_key";
    case Q_DDL_ALTER_KEY: return "alter_key";
    case Q_DDL_DROP_KEY: return "drop_key";
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
    if (q_ddl_is_access(x->plans[0].stmt->ddl.kind))
        return Q_OK; /* the catalog's alone */
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
