/* dml.c - INSERT, UPDATE and DELETE: what each record becomes, written into the overlay.
 *
 * UPDATE and DELETE first find all their records, then write: a statement never sees what it writes itself. */
#include "coordinator/exec_run.h"

#include <assert.h>

#include "schemas/document.h"

static q_step_rc no_memory(q_err *err)
{
    (void)q_exec_no_memory(err);
    return Q_STEP_FAIL;
}

static q_rc at_pos(q_rc rc, q_pos pos, q_err *err)
{
    if (rc != Q_OK && err->line == 0) {
        err->line = pos.line;
        err->column = pos.column;
    }
    return rc;
}

static q_rc finish(q_exec *x, const char *kind, uint64_t count)
{
    x->results[x->at].kind = kind;
    x->results[x->at].counted = true;
    x->results[x->at].count = count;
    return Q_OK;
}

/* ---- what one assignment comes to ------------------------------------------------------------------------------------------ */

/* The value of the expression; of a sample `v at time`, with its time. NULL has none. */
static q_rc eval_sample(q_exec *x, q_ctx *c, const q_assign *a, q_value *out, q_err *err)
{
    const q_expr *e = a->expr;
    q_value at = Q_NULL;
    q_rc rc = q_eval(&c->env, e->kind == Q_X_AT ? e->a : e, out, err);
    if (rc == Q_OK && e->kind == Q_X_AT)
        rc = q_eval(&c->env, e->b, &at, err);
    if (rc != Q_OK)
        return rc;
    if (e->kind == Q_X_AT && at.type != Q_T_TIME)
        return at_pos(q_err_set(err, Q_E_QQL_TYPE, "A sample's time is a time, not %s.", q_type_name(at.type)), a->pos, err);
    out->at_us = a->attr->kind == Q_K_METRIC ? (at.type == Q_T_TIME ? at.i : x->time_us) : 0;
    return Q_OK;
}

static q_rc add_ids(q_exec *x, const q_value *old, const q_value *more, q_value *out, q_err *err)
{
    uint64_t n = (uint64_t)old->rel.count + more->rel.count;
    if (n > Q_MAX_RELATION_IDS)
        return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A relation may hold %d ids.", Q_MAX_RELATION_IDS);
    q_value *items = Q_NEW_ARRAY(x->arena, q_value, n ? n : 1);
    if (!items)
        return q_exec_no_memory(err);
    if (old->rel.count)
        memcpy(items, old->rel.items, old->rel.count * sizeof *items);
    if (more->rel.count)
        memcpy(items + old->rel.count, more->rel.items, more->rel.count * sizeof *items);
    *out = (q_value){ .type = Q_T_RELATION, .rel = { items, (uint32_t)n } };
    return Q_OK;
}

static q_rc remove_ids(q_exec *x, const q_value *old, const q_value *less, q_value *out, q_err *err)
{
    q_value *items = Q_NEW_ARRAY(x->arena, q_value, old->rel.count ? old->rel.count : 1);
    uint32_t n = 0;
    if (!items)
        return q_exec_no_memory(err);
    for (uint32_t i = 0; i < old->rel.count; i++) {
        bool gone = false;
        for (uint32_t j = 0; j < less->rel.count && !gone; j++)
            gone = q_id_same(&old->rel.items[i], &less->rel.items[j]);
        if (!gone)
            items[n++] = old->rel.items[i];
    }
    *out = (q_value){ .type = Q_T_RELATION, .rel = { items, n } };
    return Q_OK;
}

static const q_value NO_IDS = { .type = Q_T_RELATION }, NOTHING = { .type = Q_T_NULL };

/* += and -= on the old value. */
static q_rc combine(q_exec *x, const q_assign *a, const q_value *old, const q_value *v, q_value *out, q_err *err)
{
    const q_attr *attr = a->attr;
    bool add = a->how == Q_SET_ADD;
    *out = Q_NULL;
    if (old->type == Q_T_NULL && (!add || v->type == Q_T_NULL))
        return Q_OK; /* nothing to take from, or nothing to add */
    if (attr->kind == Q_K_DOCUMENT) {
        q_slice doc = old->type == Q_T_DOC ? old->s : Q_SLICE_NONE, changed = doc;
        q_rc rc = (add ? q_doc_append : q_doc_remove)(x->arena, doc, a->steps, a->step_count, v, &changed, err);
        *out = changed.len ? (q_value){ .type = Q_T_DOC, .s = changed } : Q_NULL;
        return rc;
    }
    assert(attr->kind == Q_K_RELATION); /* of numbers, += became an addition when it was checked */
    const q_value *ids = old->type == Q_T_RELATION ? old : &NO_IDS, *given = v->type == Q_T_RELATION ? v : &NO_IDS;
    return add ? add_ids(x, ids, given, out, err) : remove_ids(x, ids, given, out, err);
}

/* As the attribute's type; what the check couldn't know fails here. */
static q_rc fit(q_exec *x, const q_attr *attr, q_value *v, q_err *err)
{
    q_rc rc = Q_OK;
    if (v->type != Q_T_NULL && v->type != attr->datatype) {
        q_value from = *v;
        rc = q_value_coerce(x->arena, &from, attr->datatype, v, err);
        v->at_us = from.at_us;
    }
    if (rc == Q_OK && v->type == Q_T_RELATION && !attr->many && v->rel.count > 1)
        rc = q_err_set(err, Q_E_QQL_TYPE, "%.*s holds one id; %u were given.", Q_SLICE_FMT(attr->name), v->rel.count);
    if (rc == Q_OK && v->type == Q_T_RELATION && !attr->many && v->rel.count == 0)
        *v = Q_NULL; /* a relation to nothing */
    return rc;
}

/* What the attribute becomes: `old` is its value so far. */
static q_rc eval_assign(q_exec *x, q_ctx *c, const q_assign *a, const q_value *old, q_value *out, q_err *err)
{
    q_value v;
    q_rc rc = eval_sample(x, c, a, &v, err);
    if (rc != Q_OK)
        return rc;
    if (a->how != Q_SET) {
        rc = combine(x, a, old, &v, out, err);
    } else if (a->step_count && old->type == Q_T_NULL && v.type == Q_T_NULL) {
        *out = Q_NULL; /* a part of nothing is nothing: no empty document comes of it */
    } else if (a->step_count) {
        q_slice doc = old->type == Q_T_DOC ? old->s : Q_SLICE_NONE, changed;
        rc = q_doc_set(x->arena, doc, a->steps, a->step_count, &v, &changed, err);
        *out = (q_value){ .type = Q_T_DOC, .s = changed };
    } else {
        *out = v;
    }
    if (rc == Q_OK)
        rc = fit(x, a->attr, out, err);
    return at_pos(rc, a->pos, err);
}

static q_rc required_missing(const q_record *rec, const q_attr *attr, const q_value *id, q_err *err)
{
    char text[80];
    q_buf b = { text, 0, sizeof text, sizeof text, false };
    q_value_text(id, &b);
    return q_err_set(err, Q_E_REQUIRED_MISSING, "%.*s \"%.*s\" needs its %.*s.", Q_SLICE_FMT(rec->name), b.failed ? 0 : (int)b.len, text,
                     Q_SLICE_FMT(attr->name));
}

/* ---- INSERT ---------------------------------------------------------------------------------------------------------------- */

/* Is the id free, as far as the transaction knows? Otherwise the engine's precondition decides. */
static q_rc check_free(q_exec *x, const q_xrow *row, q_err *err)
{
    bool taken = row->touched ? row->alive : row->was == Q_WAS_PRESENT;
    if (!taken)
        return Q_OK;
    if (row->assumed && !row->new_life) {
        x->must_see = true;
        return Q_FAIL;
    }
    q_slice id = q_exec_id_text(x->arena, &row->id);
    return q_err_set(err, Q_E_DUPLICATE_ID, "%.*s %.*s exists already.", Q_SLICE_FMT(row->type->rec->name), Q_SLICE_FMT(id));
}

static q_rc insert_row(q_exec *x, q_ctx *c, const q_stmt *s, const q_insert_row *in, q_err *err)
{
    const q_record *rec = s->record;
    q_xtype *t = x->plans[x->at].type;
    q_value id, v;
    q_rc rc = q_plan_insert_id(x->arena, in, rec, &id, err);
    if (rc != Q_OK)
        return rc;
    q_xrow *row = q_overlay_row(t, &id, true);
    if (!row)
        return q_exec_no_memory(err);
    rc = check_free(x, row, err);
    if (rc == Q_OK && !row->touched)
        rc = q_exec_keep(x, 1, true, err);
    if (rc != Q_OK)
        return at_pos(rc, in->pos, err);
    if (!q_overlay_insert(x->arena, row, s->number))
        return q_exec_no_memory(err);
    for (uint32_t i = 0; i < in->count; i++) {
        const q_assign *a = &in->assigns[i];
        if (a->attr->index == 0)
            continue;
        rc = eval_assign(x, c, a, &NOTHING, &v, err);
        if (rc != Q_OK)
            return rc;
        if (!q_overlay_set(x->arena, row, a->attr, &v))
            return q_exec_no_memory(err);
    }
    for (uint32_t i = 1; i < rec->count; i++) {
        const q_attr *attr = &rec->attrs[i];
        if (attr->required && (!q_attrset_has(&t->used, i) || q_xrow_value(row, attr)->type == Q_T_NULL))
            return at_pos(required_missing(rec, attr, &id, err), in->pos, err);
    }
    return q_ctx_after(c, row, in->pos, err);
}

q_step_rc q_insert_step(q_exec *x, q_err *err)
{
    const q_stmt *s = x->plans[x->at].stmt;
    q_ctx *c = q_ctx_new(x, &x->plans[x->at], true);
    if (!c)
        return no_memory(err);
    for (uint32_t i = 0; i < s->row_count; i++)
        if (insert_row(x, c, s, &s->rows[i], err) != Q_OK)
            return Q_STEP_FAIL;
    finish(x, "insert", s->row_count);
    return Q_STEP_END;
}

/* ---- records that UPDATE and DELETE mean ------------------------------------------------------------------------------------- */

typedef struct change {
    q_xrow *row;
    q_value *values;     /* UPDATE: one an assignment; of an attribute that is assigned again, only the last counts */
} change;

typedef struct write_run {
    q_source *source;    /* NULL: blind */
    q_ctx *set;
    change *changes;
    uint32_t count, cap;
} write_run;

static write_run *write_open(q_exec *x, const q_xplan *plan)
{
    write_run *w = Q_NEW(x->arena, write_run);
    if (!w)
        return NULL;
    w->set = q_ctx_new(x, plan, true);
    if (!w->set)
        return NULL;
    if (x->blind)
        return w;
    w->source = q_source_new(x, plan, true);
    x->ctx = q_ctx_new(x, plan, false);
    return w->source && x->ctx ? w : NULL;
}

/* The value that `a` works on: what an earlier assignment of the same SET left, or the stored one. */
static const q_value *value_so_far(const change *ch, const q_insert_row *set, uint32_t i)
{
    for (uint32_t j = i; j-- > 0;)
        if (set->assigns[j].attr == set->assigns[i].attr)
            return &ch->values[j];
    return q_xrow_get(ch->row, set->assigns[i].attr);
}

static q_rc eval_set(q_exec *x, write_run *w, const q_insert_row *set, change *ch, q_err *err)
{
    const q_xplan *plan = &x->plans[x->at];
    ch->values = q_arena_alloc(x->arena, (set->count ? set->count : 1) * sizeof *ch->values);
    if (!ch->values)
        return q_exec_no_memory(err);
    q_ctx_base(w->set, ch->row);
    for (uint32_t i = 0; i < set->count; i++) {
        const q_assign *a = &set->assigns[i];
        q_value v;
        q_rc rc = eval_assign(x, w->set, a, value_so_far(ch, set, i), &v, err);
        if (rc == Q_OK && a->attr->required && v.type == Q_T_NULL)
            rc = at_pos(required_missing(plan->type->rec, a->attr, &ch->row->id, err), a->pos, err);
        if (rc != Q_OK)
            return rc;
        ch->values[i] = v; /* of the row's own values, which last, or of the arena: SET follows no relation */
    }
    return Q_OK;
}

static q_rc add_change(q_exec *x, write_run *w, q_xrow *row, q_err *err)
{
    const q_stmt *s = x->plans[x->at].stmt;
    row = q_overlay_keep(row);
    change *ch = row ? Q_PUSH(x->arena, w->changes, w->count, w->cap) : NULL;
    if (!ch)
        return q_exec_no_memory(err);
    ch->row = row;
    if (!row->touched) {
        q_rc rc = q_exec_keep(x, 1, true, err);
        if (rc != Q_OK)
            return rc;
    }
    return s->kind == Q_S_UPDATE ? eval_set(x, w, &s->rows[0], ch, err) : Q_OK;
}

/* A blind write assumes that its records exist; the precondition that goes with it says so. */
static q_rc blind_changes(q_exec *x, write_run *w, q_err *err)
{
    const q_xplan *plan = &x->plans[x->at];
    for (uint32_t i = 0; i < plan->id_count; i++) {
        q_xrow *row = q_overlay_row(plan->type, &plan->ids[i], true);
        if (!row)
            return q_exec_no_memory(err);
        if (row->touched && !row->alive)
            continue;
        if (!row->touched) {
            row->was = Q_WAS_PRESENT;
            row->assumed = true;
        }
        q_rc rc = add_change(x, w, row, err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

static q_step_rc find_changes(q_exec *x, write_run *w, q_err *err)
{
    if (!w->source)
        return blind_changes(x, w, err) == Q_OK ? Q_STEP_END : Q_STEP_FAIL;
    for (;;) {
        q_step_rc step = q_source_next(x, w->source, err);
        if (step != Q_STEP_ROWS)
            return step;
        for (uint32_t i = 0; i < w->source->count; i++)
            if (add_change(x, w, w->source->rows[i], err) != Q_OK)
                return Q_STEP_FAIL;
    }
}

static write_run *run_of(q_exec *x)
{
    if (!x->statement)
        x->statement = write_open(x, &x->plans[x->at]);
    return x->statement;
}

q_step_rc q_update_step(q_exec *x, q_err *err)
{
    const q_stmt *s = x->plans[x->at].stmt;
    const q_insert_row *set = &s->rows[0];
    write_run *w = run_of(x);
    if (!w)
        return no_memory(err);
    q_step_rc step = find_changes(x, w, err);
    if (step != Q_STEP_END)
        return step;
    for (uint32_t i = 0; i < w->count; i++) {
        change *ch = &w->changes[i];
        if (!q_overlay_touch(x->arena, ch->row, s->number))
            return no_memory(err);
        for (uint32_t j = 0; j < set->count; j++)
            if (!q_overlay_set(x->arena, ch->row, set->assigns[j].attr, &ch->values[j]))
                return no_memory(err);
        if (q_ctx_after(w->set, ch->row, s->pos, err) != Q_OK)
            return Q_STEP_FAIL;
    }
    finish(x, "update", w->count);
    return Q_STEP_END;
}

q_step_rc q_delete_step(q_exec *x, q_err *err)
{
    const q_stmt *s = x->plans[x->at].stmt;
    write_run *w = run_of(x);
    if (!w)
        return no_memory(err);
    q_step_rc step = find_changes(x, w, err);
    if (step != Q_STEP_END)
        return step;
    for (uint32_t i = 0; i < w->count; i++)
        if (!q_overlay_delete(x->arena, w->changes[i].row, s->number))
            return no_memory(err);
    finish(x, "delete", w->count);
    return Q_STEP_END;
}
