#include "coordinator/plan.h"

#include <assert.h>
#include <stdlib.h>

#include "coordinator/eval.h"

q_rc q_exec_no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "The transaction needs more memory than one may have."); }

/* `list` is the address of a pointer of any type: read and written as bytes. Returns the new item, zeroed. */
void *q_plan_push(q_arena *arena, void *list, uint32_t *count, uint32_t *cap, size_t size)
{
    char *items;
    memcpy(&items, list, sizeof items);
    if (*count == *cap) {
        uint32_t grown = *cap ? *cap * 2 : 4;
        char *more = q_arena_alloc(arena, grown * size);
        if (!more)
            return NULL;
        if (*count)
            memcpy(more, items, *count * size);
        items = more;
        *cap = grown;
        memcpy(list, &items, sizeof items);
    }
    void *item = items + (size_t)(*count)++ * size;
    memset(item, 0, size);
    return item;
}

q_xtype *q_plan_type(q_planner *p, const q_record *rec)
{
    for (q_xtype *t = p->types; t; t = t->next)
        if (t->rec == rec)
            return t;
    q_xtype *t = Q_NEW(p->arena, q_xtype);
    if (!t)
        return NULL;
    t->rec = rec;
    for (uint32_t i = 0; i < rec->count; i++) {
        q_attrset_add(&t->of_engine[q_kind_engine(rec->attrs[i].kind)], i);
        t->has_metrics = t->has_metrics || rec->attrs[i].kind == Q_K_METRIC;
    }
    q_xtype **end = &p->types; /* in order of their first mention */
    while (*end)
        end = &(*end)->next;
    *end = t;
    return t;
}

/* ---- relation paths ---------------------------------------------------------------------------------------------------- */

static void need(q_xnode *n, const q_attr *a)
{
    if (a->index == 0)
        return; /* the id is known wherever the record is */
    if (a == &q_attr_seq) { /* the greatest of all parts' */
        for (uint32_t i = 1; i < n->type->rec->count; i++)
            need(n, &n->type->rec->attrs[i]);
        return;
    }
    q_attrset_add(&n->need, a->index);
    q_attrset_add(&n->type->used, a->index);
}

/* What a condition of permissions reads: the record's own attributes. */
static void need_all(q_xnode *n, const q_expr *e)
{
    if (!e)
        return;
    if (e->kind == Q_X_PATH && e->path.attr)
        need(n, e->path.attr);
    need_all(n, e->a);
    need_all(n, e->b);
    for (uint32_t i = 0; i < e->arg_count; i++)
        need_all(n, e->args[i]);
}

static void put_condition(q_xplan *plan, q_xnode *n)
{
    const q_stmt *s = plan->stmt;
    for (uint32_t i = 0; n->type && i < s->via_count; i++)
        if (s->via[i].record == n->type->rec) {
            n->condition = s->via[i].condition;
            n->exists = plan->has_conditions = true;
            need_all(n, n->condition);
        }
}

/* The child of `parent` behind `hop`, made when it is new. UINT32_MAX when out of memory or there are too many. */
static uint32_t child_node(q_planner *p, q_xplan *plan, uint32_t parent, const q_attr *hop, const q_record *to)
{
    for (uint32_t i = 1; i < plan->node_count; i++)
        if (plan->nodes[i].parent == parent && plan->nodes[i].hop == hop)
            return i;
    if (plan->node_count >= Q_PLAN_MAX_NODES)
        return UINT32_MAX;
    q_xtype *type = to ? q_plan_type(p, to) : NULL;
    q_xnode *n = to && !type ? NULL : Q_PUSH(p->arena, plan->nodes, plan->node_count, plan->node_cap);
    if (!n)
        return UINT32_MAX;
    q_xnode *up = &plan->nodes[parent];
    *n = (q_xnode){ .parent = parent, .depth = up->depth + 1, .hop = hop, .type = type, .many = up->many || hop->many };
    if (up->type)
        need(up, hop);
    if (n->depth > plan->depth)
        plan->depth = n->depth;
    put_condition(plan, n);
    return plan->node_count - 1;
}

static q_rc no_node(const q_xplan *plan, q_err *err)
{
    if (plan->node_count >= Q_PLAN_MAX_NODES)
        return q_err_set(err, Q_E_QQL_LIMIT, "A statement may follow %d relations.", Q_PLAN_MAX_NODES);
    return q_exec_no_memory(err);
}

/* Where a PATH ends; its attribute is noted as needed there. */
static q_rc path_node(q_planner *p, q_xplan *plan, const q_expr *e, uint32_t *node, q_err *err)
{
    const q_path *path = &e->path;
    uint32_t n = 0;
    for (uint32_t i = 0; i < path->hop_count; i++) {
        n = child_node(p, plan, n, path->hops[i], path->hop_types[i]);
        if (n == UINT32_MAX)
            return no_node(plan, err);
    }
    q_xnode *end = &plan->nodes[n];
    end->exists = true;
    if (end->type && path->attr)
        need(end, path->attr);
    *node = n;
    if (path->hop_count == 0)
        return Q_OK;
    q_xhop *hop = Q_PUSH(p->arena, plan->hops, plan->hop_count, plan->hop_cap);
    if (!hop)
        return q_exec_no_memory(err);
    *hop = (q_xhop){ e, n };
    return Q_OK;
}

/* ---- expressions ------------------------------------------------------------------------------------------------------- */

/* What a walk over one expression gathers. */
typedef struct walk {
    q_planner *p;
    q_xplan *plan;
    bool in_aggregate;
    bool group_leaves;     /* note aggregates and the paths outside them */
    uint32_t depth;        /* deepest node met */
    q_attrset need;        /* at node 0 */
    uint32_t *ends, end_count, end_cap;
} walk;

static q_rc walk_path(walk *w, const q_expr *e, q_err *err)
{
    uint32_t node = 0;
    q_rc rc = path_node(w->p, w->plan, e, &node, err);
    if (rc != Q_OK)
        return rc;
    const q_xnode *n = &w->plan->nodes[node];
    if (n->depth > w->depth)
        w->depth = n->depth;
    const q_attr *base = e->path.hop_count ? e->path.hops[0] : e->path.attr;
    if (base == &q_attr_seq)
        for (uint32_t i = 1; i < w->plan->type->rec->count; i++)
            q_attrset_add(&w->need, i);
    else if (base && base->index)
        q_attrset_add(&w->need, base->index);
    if (w->group_leaves && !w->in_aggregate) {
        const q_expr **leaf = Q_PUSH(w->p->arena, w->plan->leaves, w->plan->leaf_count, w->plan->leaf_cap);
        if (!leaf)
            return q_exec_no_memory(err);
        *leaf = e;
    }
    if (!n->many || (w->group_leaves && w->in_aggregate))
        return Q_OK; /* an aggregate goes through its ends by itself */
    uint32_t *end = Q_PUSH(w->p->arena, w->ends, w->end_count, w->end_cap);
    if (!end)
        return q_exec_no_memory(err);
    *end = node;
    return Q_OK;
}

static q_rc walk_expr(walk *w, const q_expr *e, q_err *err)
{
    if (!e)
        return Q_OK;
    q_rc rc = Q_OK;
    bool aggregate = e->kind == Q_X_AGGREGATE;
    if (e->kind == Q_X_PATH)
        return walk_path(w, e, err);
    if (aggregate && w->group_leaves) {
        const q_expr **agg = Q_PUSH(w->p->arena, w->plan->aggs, w->plan->agg_count, w->plan->agg_cap);
        if (!agg)
            return q_exec_no_memory(err);
        *agg = e;
    }
    w->in_aggregate = w->in_aggregate || aggregate;
    rc = walk_expr(w, e->a, err);
    if (rc == Q_OK)
        rc = walk_expr(w, e->b, err);
    for (uint32_t i = 0; rc == Q_OK && i < e->arg_count; i++)
        rc = walk_expr(w, e->args[i], err);
    w->in_aggregate = w->in_aggregate && !aggregate;
    return rc;
}

/* Notes `e` as many-valued when `w` met paths over relations of cardinality many in it. */
static q_rc note_many(walk *w, const q_expr *e, q_err *err)
{
    if (w->end_count == 0)
        return Q_OK;
    q_xplan *plan = w->plan;
    uint32_t *vars = NULL, count = 0, cap = 0;
    for (uint32_t n = 1; n < plan->node_count; n++) { /* parents have lower numbers */
        if (!plan->nodes[n].hop->many)
            continue;
        bool on_the_way = false;
        for (uint32_t i = 0; i < w->end_count && !on_the_way; i++)
            for (uint32_t up = w->ends[i]; up && !on_the_way; up = plan->nodes[up].parent)
                on_the_way = up == n;
        if (!on_the_way)
            continue;
        uint32_t *var = Q_PUSH(w->p->arena, vars, count, cap);
        if (!var)
            return q_exec_no_memory(err);
        *var = n;
    }
    q_xmany *m = Q_PUSH(w->p->arena, plan->many, plan->many_count, plan->many_cap);
    if (!m)
        return q_exec_no_memory(err);
    *m = (q_xmany){ .expr = e, .var_count = count, .vars = vars, .end_count = w->end_count, .ends = w->ends };
    return Q_OK;
}

/* Walks `e`, which is evaluated under one combination of ends as a whole. */
static q_rc plan_value(q_planner *p, q_xplan *plan, const q_expr *e, bool group_leaves, q_xconj *conj, q_err *err)
{
    walk w = { .p = p, .plan = plan, .group_leaves = group_leaves };
    q_rc rc = walk_expr(&w, e, err);
    if (rc == Q_OK)
        rc = note_many(&w, e, err);
    if (conj) {
        q_attrset_join(&conj->need, &w.need);
        conj->depth = w.depth > conj->depth ? w.depth : conj->depth;
    }
    return rc;
}

/* Walks logic down to its comparisons, each of which looks for its own combination. */
static q_rc plan_truth(q_planner *p, q_xplan *plan, const q_expr *e, bool group_leaves, q_xconj *conj, q_err *err)
{
    bool logic = (e->kind == Q_X_BINARY && (e->op == Q_OP_AND || e->op == Q_OP_OR)) || (e->kind == Q_X_UNARY && e->op == Q_OP_NOT);
    if (!logic)
        return plan_value(p, plan, e, group_leaves, conj, err);
    q_rc rc = plan_truth(p, plan, e->a, group_leaves, conj, err);
    return rc == Q_OK && e->b ? plan_truth(p, plan, e->b, group_leaves, conj, err) : rc;
}

static q_rc plan_expr(q_planner *p, q_xplan *plan, const q_expr *e, bool group_leaves, q_err *err)
{
    return q_eval_is_logic(e) ? plan_truth(p, plan, e, group_leaves, NULL, err) : plan_value(p, plan, e, group_leaves, NULL, err);
}

/* An aggregate's argument has its own combinations: each end is counted. */
static q_rc plan_aggregate_args(q_planner *p, q_xplan *plan, q_err *err)
{
    q_rc rc = Q_OK;
    for (uint32_t i = 0; rc == Q_OK && i < plan->agg_count; i++) {
        walk w = { .p = p, .plan = plan };
        if (!plan->aggs[i]->a)
            continue;
        rc = walk_expr(&w, plan->aggs[i]->a, err);
        if (rc == Q_OK)
            rc = note_many(&w, plan->aggs[i], err);
    }
    return rc;
}

/* ---- WHERE ------------------------------------------------------------------------------------------------------------- */

static q_rc split_where(q_planner *p, q_xplan *plan, const q_expr *e, bool guard, q_err *err)
{
    if (e->kind == Q_X_BINARY && e->op == Q_OP_AND) {
        q_rc rc = split_where(p, plan, e->a, guard, err);
        return rc == Q_OK ? split_where(p, plan, e->b, guard, err) : rc;
    }
    q_xconj *c = Q_PUSH(p->arena, plan->conjs, plan->conj_count, plan->conj_cap);
    if (!c)
        return q_exec_no_memory(err);
    c->expr = e;
    c->guard = guard;
    return plan_truth(p, plan, e, false, c, err);
}

static bool is_own_id(const q_expr *e)
{
    return e->kind == Q_X_PATH && e->path.hop_count == 0 && e->path.attr && e->path.attr->index == 0 && e->path.step_count == 0;
}

static int cmp_ids(const void *a, const void *b) { return q_id_cmp(a, b); }

/* Notes the literals as the plan's ids: ascending, each once. NULLs match nothing. */
static q_rc take_ids(q_planner *p, q_xplan *plan, q_expr *const *items, uint32_t count, q_err *err)
{
    q_type type = plan->type->rec->attrs[0].datatype;
    q_value *ids = q_arena_alloc(p->arena, (count ? count : 1) * sizeof *ids);
    uint32_t n = 0, kept = 0;
    if (!ids)
        return q_exec_no_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        if (items[i]->value.type != type)
            continue; /* NULL, or it can't be equal */
        ids[n++] = items[i]->value;
    }
    if (n > 1)
        qsort(ids, n, sizeof *ids, cmp_ids);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || !q_id_same(&ids[i], &ids[kept - 1]))
            ids[kept++] = ids[i];
    plan->access = Q_ACC_IDS;
    plan->ids = ids;
    plan->id_count = kept;
    return Q_OK;
}

static bool all_literals(const q_expr *e)
{
    for (uint32_t i = 0; i < e->arg_count; i++)
        if (e->args[i]->kind != Q_X_LITERAL)
            return false;
    return true;
}

/* Is the conjunct `id = const` or `id IN (consts)`? Then the records are known before anything is read. */
static q_rc find_ids(q_planner *p, q_xplan *plan, q_err *err)
{
    plan->access = Q_ACC_SCAN;
    for (uint32_t i = 0; i < plan->conj_count && plan->access == Q_ACC_SCAN; i++) {
        const q_expr *e = plan->conjs[i].expr;
        q_rc rc = Q_OK;
        if (e->kind == Q_X_BINARY && e->op == Q_OP_EQ) {
            q_expr *literal = e->b->kind == Q_X_LITERAL ? e->b : e->a;
            const q_expr *other = literal == e->b ? e->a : e->b;
            if (literal->kind == Q_X_LITERAL && is_own_id(other))
                rc = take_ids(p, plan, &literal, 1, err);
        } else if (e->kind == Q_X_IN && !e->negated && is_own_id(e->a) && all_literals(e)) {
            rc = take_ids(p, plan, e->args, e->arg_count, err);
        }
        if (rc != Q_OK)
            return rc;
    }
    plan->ids_only = plan->access == Q_ACC_IDS && plan->conj_count == 1;
    return Q_OK;
}

static q_rc plan_base(q_planner *p, q_xplan *plan, q_err *err)
{
    const q_stmt *s = plan->stmt;
    plan->type = q_plan_type(p, s->record);
    q_xnode *base = plan->type ? Q_PUSH(p->arena, plan->nodes, plan->node_count, plan->node_cap) : NULL;
    if (!base)
        return q_exec_no_memory(err);
    base->type = plan->type;
    base->exists = true;
    q_rc rc = s->guard ? split_where(p, plan, s->guard, true, err) : Q_OK;
    if (rc == Q_OK && s->where)
        rc = split_where(p, plan, s->where, false, err);
    if (rc == Q_OK)
        rc = find_ids(p, plan, err);
    if (rc == Q_OK && plan->access == Q_ACC_SCAN && !q_plan_pushdown(p->arena, plan))
        return q_exec_no_memory(err);
    return rc;
}

/* ---- statements -------------------------------------------------------------------------------------------------------- */

static q_rc refuse_many(const q_xplan *plan, const q_expr *e, const char *where, q_err *err)
{
    for (uint32_t i = 0; i < plan->many_count; i++)
        if (plan->many[i].expr == e) {
            q_err_set(err, Q_E_QQL_UNSUPPORTED, "%s needs one value for each record; this path has many ends.", where);
            err->line = e->pos.line;
            err->column = e->pos.column;
            return Q_FAIL;
        }
    return Q_OK;
}

static q_rc plan_select(q_planner *p, q_xplan *plan, q_err *err)
{
    const q_stmt *s = plan->stmt;
    q_rc rc = plan_base(p, plan, err);
    for (uint32_t i = 0; rc == Q_OK && i < s->column_count; i++)
        rc = plan_expr(p, plan, s->columns[i].expr, s->aggregated, err);
    for (uint32_t i = 0; rc == Q_OK && i < s->group_count; i++) {
        rc = plan_expr(p, plan, s->groups[i], false, err);
        if (rc == Q_OK)
            rc = refuse_many(plan, s->groups[i], "GROUP BY", err);
    }
    if (rc == Q_OK && s->having)
        rc = plan_expr(p, plan, s->having, true, err);
    for (uint32_t i = 0; rc == Q_OK && i < s->order_count; i++) {
        rc = plan_expr(p, plan, s->orders[i].expr, s->aggregated, err);
        if (rc == Q_OK)
            rc = refuse_many(plan, s->orders[i].expr, "ORDER BY", err);
    }
    return rc == Q_OK ? plan_aggregate_args(p, plan, err) : rc;
}

/* A required target is looked at in the end: it may be a record that the transaction writes. */
static q_rc plan_required(q_planner *p, const q_attr *a, q_err *err)
{
    const q_record *target = a->kind == Q_K_RELATION && a->required && p->bucket ? q_bucket_record(p->bucket, a->target) : NULL;
    return target && !q_plan_type(p, target) ? q_exec_no_memory(err) : Q_OK;
}

static q_rc plan_update(q_planner *p, q_xplan *plan, q_err *err)
{
    const q_insert_row *set = &plan->stmt->rows[0];
    q_rc rc = plan_base(p, plan, err);
    plan->blind = plan->ids_only && plan->id_count <= Q_PLAN_POINT_IDS && !plan->stmt->after;
    if (rc == Q_OK)
        need_all(&plan->nodes[0], plan->stmt->after);
    for (uint32_t i = 0; rc == Q_OK && i < set->count; i++) {
        const q_assign *a = &set->assigns[i];
        bool constant = a->expr->kind == Q_X_LITERAL, whole = a->how == Q_SET && a->step_count == 0;
        q_attrset_add(&plan->type->used, a->attr->index);
        if (!whole)
            need(&plan->nodes[0], a->attr);
        /* A point belongs to a life of its record, whose birth has to be read. */
        plan->blind = plan->blind && constant && whole && a->attr->kind != Q_K_METRIC;
        if (!constant)
            rc = plan_value(p, plan, a->expr, false, NULL, err);
        if (rc == Q_OK)
            rc = refuse_many(plan, a->expr, "SET", err);
        if (rc == Q_OK)
            rc = plan_required(p, a->attr, err);
    }
    return rc;
}

static bool is_required_by_others(const q_bucket *b, const q_record *rec)
{
    for (uint32_t i = 0; i < b->count; i++)
        for (uint32_t j = 0; j < b->records[i]->count; j++) {
            const q_attr *a = &b->records[i]->attrs[j];
            if (a->kind == Q_K_RELATION && a->required && q_slice_eq(a->target, rec->name))
                return true;
        }
    return false;
}

/* A deleted target's referrers are looked up when all statements have run: their relations must be known then. */
static q_rc plan_referrers(q_planner *p, q_xplan *plan, q_err *err)
{
    const q_bucket *b = p->bucket;
    plan->deletes_targets = plan->type->has_referrers = b && is_required_by_others(b, plan->type->rec);
    for (uint32_t i = 0; plan->deletes_targets && i < b->count; i++)
        for (uint32_t j = 0; j < b->records[i]->count; j++) {
            const q_attr *a = &b->records[i]->attrs[j];
            if (a->kind != Q_K_RELATION || !a->required || !q_slice_eq(a->target, plan->type->rec->name))
                continue;
            q_xtype *t = q_plan_type(p, b->records[i]);
            if (!t)
                return q_exec_no_memory(err);
            q_attrset_add(&t->used, a->index);
        }
    return Q_OK;
}

static q_rc plan_delete(q_planner *p, q_xplan *plan, q_err *err)
{
    q_rc rc = plan_base(p, plan, err);
    if (rc == Q_OK)
        rc = plan_referrers(p, plan, err);
    plan->blind = plan->ids_only && plan->id_count <= Q_PLAN_POINT_IDS && !plan->type->has_metrics && !plan->deletes_targets;
    return rc;
}

/* A new row has all that the condition reads, if only as NULL. */
static void use_all(q_xtype *t, const q_expr *e)
{
    if (!e)
        return;
    if (e->kind == Q_X_PATH && e->path.attr && e->path.attr->index)
        q_attrset_add(&t->used, e->path.attr->index);
    use_all(t, e->a);
    use_all(t, e->b);
    for (uint32_t i = 0; i < e->arg_count; i++)
        use_all(t, e->args[i]);
}

static q_rc plan_insert(q_planner *p, q_xplan *plan, q_err *err)
{
    const q_stmt *s = plan->stmt;
    plan->type = q_plan_type(p, s->record);
    if (!plan->type)
        return q_exec_no_memory(err);
    plan->blind = true;
    use_all(plan->type, s->after);
    for (uint32_t i = 0; i < s->row_count; i++)
        for (uint32_t j = 0; j < s->rows[i].count; j++) {
            const q_attr *a = s->rows[i].assigns[j].attr;
            if (a->index == 0)
                continue;
            /* An earlier statement may have used the attribute without writing it: its target is planned here all the same. */
            q_attrset_add(&plan->type->used, a->index);
            q_rc rc = a->required ? plan_required(p, a, err) : Q_OK;
            if (rc != Q_OK)
                return rc;
        }
    return Q_OK;
}

static q_rc plan_assert(q_planner *p, q_xplan *plan, q_err *err)
{
    const q_stmt *s = plan->stmt;
    plan->subs = Q_NEW_ARRAY(p->arena, q_xplan, s->select_count ? s->select_count : 1);
    if (!plan->subs)
        return q_exec_no_memory(err);
    plan->sub_count = s->select_count;
    for (uint32_t i = 0; i < s->select_count; i++) {
        plan->subs[i].stmt = s->selects[i];
        q_rc rc = plan_select(p, &plan->subs[i], err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

q_rc q_plan_stmt(q_planner *p, const q_stmt *stmt, q_xplan *out, q_err *err)
{
    q_rc rc = Q_OK;
    *out = (q_xplan){ .stmt = stmt };
    switch (stmt->kind) {
    case Q_S_INSERT:
        rc = plan_insert(p, out, err);
        break;
    case Q_S_SELECT:
        rc = plan_select(p, out, err);
        break;
    case Q_S_UPDATE:
        rc = plan_update(p, out, err);
        break;
    case Q_S_DELETE:
        rc = plan_delete(p, out, err);
        break;
    case Q_S_ASSERT:
        rc = plan_assert(p, out, err);
        break;
    default: /* SHOW, DDL: the catalog only; the others have no number */
        break;
    }
    if (rc != Q_OK) {
        err->statement = stmt->number;
        if (err->line == 0) {
            err->line = stmt->pos.line;
            err->column = stmt->pos.column;
        }
    }
    return rc;
}

/* ---- constants --------------------------------------------------------------------------------------------------------- */

q_rc q_plan_constant(q_arena *arena, const q_assign *assign, q_value *out, q_err *err)
{
    const q_expr *e = assign->expr;
    const q_attr *a = assign->attr;
    if (e->kind == Q_X_LITERAL) {
        *out = e->value;
    } else {
        q_env env = { .arena = arena, .strict = true };
        q_rc rc = q_eval(&env, e, out, err);
        if (rc != Q_OK)
            return rc;
    }
    if (out->type == a->datatype || out->type == Q_T_NULL)
        return Q_OK;
    q_value v = *out;
    return q_value_coerce(arena, &v, a->datatype, out, err);
}

q_rc q_plan_insert_id(q_arena *arena, const q_insert_row *row, const q_record *rec, q_value *out, q_err *err)
{
    for (uint32_t i = 0; i < row->count; i++) {
        if (row->assigns[i].attr->index != 0)
            continue;
        q_rc rc = q_plan_constant(arena, &row->assigns[i], out, err);
        if (rc == Q_OK)
            rc = q_id_check(out, err);
        if (rc != Q_OK && err->line == 0) {
            err->line = row->assigns[i].pos.line;
            err->column = row->assigns[i].pos.column;
        }
        return rc;
    }
    q_err_set(err, Q_E_QQL_VALUE, "A new record of %.*s needs an id.", Q_SLICE_FMT(rec->name));
    err->line = row->pos.line;
    err->column = row->pos.column;
    return Q_FAIL;
}
