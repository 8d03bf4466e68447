/* lockplan.c - all the locks that a transaction will ever need, known before it waits for the first (B1).
 *
 * | statement                              | bucket | type              | id | engines                                            |
 * |----------------------------------------|--------|-------------------|----|----------------------------------------------------|
 * | SELECT of named ids                    | IS     | IS                | S  | PostgreSQL and those of the attributes read        |
 * | SELECT of a predicate                  | IS     | S                 |    | the same                                           |
 * | a relation followed                    | IS     | S, of its target  |    | those read there                                   |
 * | UPDATE, DELETE of named ids            | IX     | IX                | X  | those read and written (DELETE: all of the record) |
 * | UPDATE, DELETE of a predicate          | IX     | X                 |    | the same                                           |
 * | INSERT                                 | IX     | IX                | X  | PostgreSQL and those of the attributes given       |
 * | a required relation set to known ids   | IS     | IS, of its target | S  | PostgreSQL                                         |
 * | … computed                             | IS     | S, of its target  |    | PostgreSQL                                         |
 * | DELETE of what others require          | IS     | S, of the others  |    | Neo4j                                              |
 * | CREATE, ALTER, DROP RECORD             | IX     | X                 |    | those of the record                                |
 * | CREATE, DROP BUCKET                    | X      |                   |    | PostgreSQL and those of its records                |
 *
 * UNIQUE values are locked as they become taken, so that the engine's own check never waits for a transaction that isn't decided. A value
 * that becomes free isn't known yet: so who frees (DELETE, UPDATE) takes S, and who takes one takes IX, on the attribute as a whole;
 * otherwise a value could be refused as taken although the transaction that freed it has been told committed. */
#include "coordinator/plan.h"

#include <assert.h>
#include <xxhash.h>

#include "coordinator/resource.h"

enum { LIST_MAX = 16, TYPE_AFTER_IDS = 100 };
_Static_assert((int)TYPE_AFTER_IDS == (int)Q_PLAN_POINT_IDS, "one bound");

typedef struct lockbuf {
    q_arena *arena;
    q_slice bucket;
    uint32_t engines;
    uint32_t count, cap;
    q_lock_want *wants;
    uint32_t table_cap;   /* a power of two; 0 as long as the list is short */
    uint32_t *table;      /* index + 1 */
    bool full;            /* out of memory */
} lockbuf;

static void table_put(lockbuf *l, uint32_t i)
{
    q_slice r = l->wants[i].resource;
    uint64_t h = XXH3_64bits(r.ptr, r.len);
    while (l->table[h & (l->table_cap - 1)])
        h++;
    l->table[h & (l->table_cap - 1)] = i + 1;
}

static void table_grow(lockbuf *l)
{
    l->table_cap = l->table_cap ? l->table_cap * 2 : LIST_MAX * 4;
    l->table = Q_NEW_ARRAY(l->arena, uint32_t, l->table_cap);
    if (!l->table) {
        l->full = true;
        return;
    }
    for (uint32_t i = 0; i < l->count; i++)
        table_put(l, i);
}

static q_lock_want *find(const lockbuf *l, q_slice r)
{
    if (!l->table_cap) {
        for (uint32_t i = 0; i < l->count; i++)
            if (q_slice_eq(l->wants[i].resource, r))
                return &l->wants[i];
        return NULL;
    }
    for (uint64_t h = XXH3_64bits(r.ptr, r.len);; h++) {
        uint32_t i = l->table[h & (l->table_cap - 1)];
        if (!i)
            return NULL;
        if (q_slice_eq(l->wants[i - 1].resource, r))
            return &l->wants[i - 1];
    }
}

/* Each resource once: a second want of it joins the first. */
static void want(lockbuf *l, q_lock_level level, q_lock_mode mode, uint32_t engines, q_slice resource)
{
    if (l->full || !resource.ptr) {
        l->full = true;
        return;
    }
    l->engines |= engines;
    q_lock_want *w = find(l, resource);
    if (w) {
        w->mode = q_locks_join(w->mode, mode);
        w->engines |= engines;
        return;
    }
    w = Q_PUSH(l->arena, l->wants, l->count, l->cap);
    if (!w) {
        l->full = true;
        return;
    }
    *w = (q_lock_want){ .level = level, .mode = mode, .engines = engines, .resource = resource };
    if (l->table_cap ? l->count * 2 > l->table_cap : l->count > LIST_MAX)
        table_grow(l);
    else if (l->table_cap)
        table_put(l, l->count - 1);
}

static void want_bucket(lockbuf *l, q_lock_mode mode, uint32_t engines)
{
    want(l, Q_LL_BUCKET, mode, engines, q_resource_bucket(l->arena, l->bucket));
}

static void want_type(lockbuf *l, q_slice record, q_lock_mode mode, uint32_t engines)
{
    want_bucket(l, mode == Q_LM_IS || mode == Q_LM_S ? Q_LM_IS : Q_LM_IX, engines);
    want(l, Q_LL_TYPE, mode, engines, q_resource_type(l->arena, l->bucket, record));
}

static void want_id(lockbuf *l, q_slice record, const q_value *id, q_lock_mode mode, uint32_t engines)
{
    want(l, Q_LL_ID, mode, engines, q_resource_id(l->arena, l->bucket, record, id));
}

static void want_unique(lockbuf *l, const q_record *rec, const q_attr *a, q_lock_mode mode)
{
    want(l, Q_LL_UNIQUE, mode, Q_EN_BIT(Q_EN_POSTGRES), q_resource_unique_attr(l->arena, l->bucket, rec->name, a->name));
}

/* ---- engines ----------------------------------------------------------------------------------------------------------- */

static uint32_t engines_of(const q_xtype *t, const q_attrset *attrs)
{
    uint32_t mask = 0;
    for (int e = 0; e < Q_EN_COUNT; e++)
        for (int w = 0; w < 4; w++)
            if (t->of_engine[e].w[w] & attrs->w[w])
                mask |= Q_EN_BIT(e);
    return mask;
}

static uint32_t engines_of_node(const q_xnode *n)
{
    return engines_of(n->type, &n->need) | (n->exists ? Q_EN_BIT(Q_EN_POSTGRES) : 0);
}

static uint32_t engines_of_assigns(const q_insert_row *row)
{
    uint32_t mask = Q_EN_BIT(Q_EN_POSTGRES);
    for (uint32_t i = 0; i < row->count; i++) {
        const q_expr *e = row->assigns[i].expr;
        if (e->kind != Q_X_LITERAL || e->value.type != Q_T_NULL)
            mask |= Q_EN_BIT(q_kind_engine(row->assigns[i].attr->kind));
    }
    return mask;
}

/* UPDATE: a NULL is written, too. */
static uint32_t engines_of_sets(const q_insert_row *set)
{
    uint32_t mask = Q_EN_BIT(Q_EN_POSTGRES);
    for (uint32_t i = 0; i < set->count; i++)
        mask |= Q_EN_BIT(q_kind_engine(set->assigns[i].attr->kind));
    return mask;
}

/* ---- statements -------------------------------------------------------------------------------------------------------- */

/* The records that WHERE chooses: for a read or, with `write` (mask of engines), for a write. */
static void lock_base(lockbuf *l, const q_xplan *plan, uint32_t write)
{
    const q_record *rec = plan->type->rec;
    uint32_t engines = engines_of_node(&plan->nodes[0]) | write;
    if (plan->access == Q_ACC_IDS && plan->id_count <= TYPE_AFTER_IDS) {
        want_type(l, rec->name, write ? Q_LM_IX : Q_LM_IS, engines);
        for (uint32_t i = 0; i < plan->id_count; i++)
            want_id(l, rec->name, &plan->ids[i], write ? Q_LM_X : Q_LM_S, engines);
    } else {
        want_type(l, rec->name, write ? Q_LM_X : Q_LM_S, engines);
    }
}

static void lock_paths(lockbuf *l, const q_xplan *plan)
{
    for (uint32_t i = 1; i < plan->node_count; i++) {
        const q_xnode *n = &plan->nodes[i];
        if (n->type)
            want_type(l, n->type->rec->name, Q_LM_S, engines_of_node(n));
        else /* not defined: a CREATE RECORD of it waits */
            want_type(l, n->hop->target, Q_LM_S, Q_EN_BIT(Q_EN_POSTGRES));
    }
}

static void lock_required(lockbuf *l, const q_assign *a)
{
    const q_expr *e = a->expr;
    if (a->attr->kind != Q_K_RELATION || !a->attr->required || a->how == Q_SET_REMOVE)
        return;
    if (e->kind != Q_X_LITERAL) {
        want_type(l, a->attr->target, Q_LM_S, Q_EN_BIT(Q_EN_POSTGRES));
        return;
    }
    if (e->value.type != Q_T_RELATION || e->value.rel.count == 0)
        return;
    want_type(l, a->attr->target, Q_LM_IS, Q_EN_BIT(Q_EN_POSTGRES));
    for (uint32_t i = 0; i < e->value.rel.count; i++)
        want_id(l, a->attr->target, &e->value.rel.items[i], Q_LM_S, Q_EN_BIT(Q_EN_POSTGRES));
}

/* `frees`: the record may have had another value until now. */
static q_rc lock_unique(lockbuf *l, const q_record *rec, const q_assign *a, bool frees, q_err *err)
{
    q_value v;
    if (!a->attr->unique || a->attr->index == 0)
        return Q_OK;
    if (frees && a->expr->kind != Q_X_LITERAL) {
        want_unique(l, rec, a->attr, Q_LM_X); /* the new value isn't known either */
        return Q_OK;
    }
    q_rc rc = q_plan_constant(l->arena, a, &v, err);
    if (rc != Q_OK)
        return rc;
    want_unique(l, rec, a->attr, frees ? Q_LM_SIX : Q_LM_IX);
    if (v.type != Q_T_NULL)
        want(l, Q_LL_UNIQUE, Q_LM_X, Q_EN_BIT(Q_EN_POSTGRES), q_resource_unique(l->arena, l->bucket, rec->name, a->attr->name, &v));
    return Q_OK;
}

static q_rc lock_insert(lockbuf *l, const q_xplan *plan, q_err *err)
{
    const q_stmt *s = plan->stmt;
    const q_record *rec = s->record;
    uint32_t locked = 0;
    for (uint32_t i = 0; i < s->row_count && !l->full; i++) {
        const q_insert_row *row = &s->rows[i];
        uint32_t engines = engines_of_assigns(row);
        q_value id;
        q_rc rc = q_plan_insert_id(l->arena, row, rec, &id, err);
        if (rc != Q_OK)
            return rc;
        if (engines & ~locked)
            want_type(l, rec->name, Q_LM_IX, engines);
        locked |= engines;
        want_id(l, rec->name, &id, Q_LM_X, engines);
        for (uint32_t j = 0; j < row->count; j++) {
            lock_required(l, &row->assigns[j]);
            rc = lock_unique(l, rec, &row->assigns[j], false, err);
            if (rc != Q_OK)
                return rc;
        }
    }
    return Q_OK;
}

static q_rc lock_update(lockbuf *l, const q_xplan *plan, q_err *err)
{
    const q_insert_row *set = &plan->stmt->rows[0];
    lock_base(l, plan, engines_of_sets(set));
    lock_paths(l, plan);
    for (uint32_t i = 0; i < set->count; i++) {
        lock_required(l, &set->assigns[i]);
        q_rc rc = lock_unique(l, plan->type->rec, &set->assigns[i], true, err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

static void lock_delete(lockbuf *l, const q_planner *p, const q_xplan *plan)
{
    const q_record *rec = plan->type->rec;
    lock_base(l, plan, rec->engines | Q_EN_BIT(Q_EN_POSTGRES));
    lock_paths(l, plan);
    for (uint32_t i = 1; i < rec->count; i++)
        if (rec->attrs[i].unique)
            want_unique(l, rec, &rec->attrs[i], Q_LM_S);
    for (uint32_t i = 0; plan->deletes_targets && i < p->bucket->count; i++)
        for (uint32_t j = 0; j < p->bucket->records[i]->count; j++) {
            const q_record *other = p->bucket->records[i];
            const q_attr *a = &other->attrs[j];
            if (a->kind == Q_K_RELATION && a->required && q_slice_eq(a->target, rec->name))
                want_type(l, other->name, Q_LM_S, Q_EN_BIT(Q_EN_NEO4J));
        }
}

static uint32_t engines_of_bucket(const q_bucket *b)
{
    uint32_t mask = Q_EN_BIT(Q_EN_POSTGRES);
    for (uint32_t i = 0; b && i < b->count; i++)
        mask |= b->records[i]->engines;
    return mask;
}

static void lock_ddl(lockbuf *l, const q_planner *p, const q_ddl *ddl)
{
    if (q_ddl_is_access(ddl->kind)) { /* everything that began under the old grants has ended; no engine is asked */
        want_bucket(l, Q_LM_X, Q_EN_BIT(Q_EN_POSTGRES));
        return;
    }
    if (ddl->kind == Q_DDL_CREATE_BUCKET || ddl->kind == Q_DDL_DROP_BUCKET) {
        want_bucket(l, Q_LM_X, engines_of_bucket(p->bucket));
        return;
    }
    const q_record *rec = p->bucket ? q_bucket_record(p->bucket, ddl->record) : NULL;
    uint32_t engines = Q_EN_BIT(Q_EN_POSTGRES) | (rec ? rec->engines : 0);
    for (uint32_t i = 0; i < ddl->count; i++)
        engines |= Q_EN_BIT(q_kind_engine(ddl->attrs[i].kind));
    want_type(l, ddl->record, Q_LM_X, engines);
    for (uint32_t i = 0; i < ddl->count; i++) /* a DROP of what is required now waits */
        if (ddl->attrs[i].kind == Q_K_RELATION && ddl->attrs[i].required && !q_slice_eq(ddl->attrs[i].target, ddl->record))
            want_type(l, ddl->attrs[i].target, Q_LM_S, Q_EN_BIT(Q_EN_POSTGRES));
}

static q_rc lock_plan(lockbuf *l, const q_planner *p, const q_xplan *plan, q_err *err)
{
    switch (plan->stmt->kind) {
    case Q_S_INSERT:
        return lock_insert(l, plan, err);
    case Q_S_UPDATE:
        return lock_update(l, plan, err);
    case Q_S_DELETE:
        lock_delete(l, p, plan);
        return Q_OK;
    case Q_S_SELECT:
        lock_base(l, plan, 0);
        lock_paths(l, plan);
        return Q_OK;
    case Q_S_ASSERT:
        for (uint32_t i = 0; i < plan->sub_count; i++) {
            lock_base(l, &plan->subs[i], 0);
            lock_paths(l, &plan->subs[i]);
        }
        return Q_OK;
    case Q_S_DDL:
        lock_ddl(l, p, &plan->stmt->ddl);
        return Q_OK;
    default:
        return Q_OK;
    }
}

q_rc q_plan_locks(q_planner *p, q_slice bucket, const q_xplan *plans, uint32_t count, q_lockset *out, q_err *err)
{
    lockbuf l = { .arena = p->arena, .bucket = bucket };
    for (uint32_t i = 0; i < count; i++) {
        q_rc rc = lock_plan(&l, p, &plans[i], err);
        if (rc != Q_OK) {
            err->statement = plans[i].stmt->number;
            return rc;
        }
        if (l.full)
            return q_exec_no_memory(err);
    }
    if (l.count > Q_LOCKS_MAX_PER_TXN)
        return q_err_set(err, Q_E_WRITE_TOO_LARGE, "The transaction needs %u locks; %d are allowed.", l.count, Q_LOCKS_MAX_PER_TXN);
    p->engines |= l.engines;
    *out = (q_lockset){ .count = l.count, .wants = l.wants };
    return Q_OK;
}
