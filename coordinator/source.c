/* source.c - which records a statement means: page by page, loaded as far as it needs them, filtered by its WHERE.
 *
 * | phase    | what happens                                                                                                |
 * |----------|-------------------------------------------------------------------------------------------------------------|
 * | START    | named ids: one page. Otherwise the first page of a scan in each engine that has a predicate (or PostgreSQL)   |
 * | SCANNED  | an engine that answered completely bounds the result: intersect those. None did: one goes on page by page    |
 * | LOAD     | what WHERE can say by now drops rows; what is missing at this depth of relations is asked for, in one round   |
 * | LOADED   | the same one relation further, until the deepest                                                              |
 * | CONSUMED | the caller has had the page: forget it, ask for the next                                                      |
 *
 * Rows that the transaction wrote are in no scan as they are now: they are merged in by id, and WHERE decides about them as about all. */
#include "coordinator/exec_run.h"

#include <assert.h>
#include <stdlib.h>

enum { MIN_PAGE = 64 };

static q_step_rc no_memory(q_err *err)
{
    (void)q_exec_no_memory(err);
    return Q_STEP_FAIL;
}

static int by_id(const void *a, const void *b) { return q_id_cmp(&(*(q_xrow *const *)a)->id, &(*(q_xrow *const *)b)->id); }

q_source *q_source_new(q_exec *x, const q_xplan *plan, bool keep)
{
    q_source *s = Q_NEW(x->arena, q_source);
    if (!s)
        return NULL;
    s->plan = plan;
    s->keep = keep;
    s->driver = -1;
    s->page_rows = Q_EXEC_PAGE_ROWS;
    if (plan->node_count > 1) {
        s->at = q_arena_calloc(x->arena, plan->node_count, sizeof *s->at);
        if (!s->at)
            return NULL;
    }
    return s;
}

/* ---- the first page ----------------------------------------------------------------------------------------------------- */

static bool overlaid_rows(q_exec *x, q_source *s)
{
    const q_xtype *t = s->plan->type;
    s->overlaid_count = t->touched_count;
    if (t->touched_count == 0)
        return true;
    s->overlaid = q_arena_alloc(x->arena, t->touched_count * sizeof *s->overlaid);
    if (!s->overlaid)
        return false;
    memcpy(s->overlaid, t->touched, t->touched_count * sizeof *s->overlaid);
    qsort(s->overlaid, t->touched_count, sizeof *s->overlaid, by_id);
    return true;
}

static bool add_row(q_exec *x, q_source *s, q_xrow *row)
{
    q_xrow **slot = Q_PUSH(x->arena, s->rows, s->count, s->cap);
    if (slot)
        *slot = row;
    return slot != NULL;
}

static bool named_rows(q_exec *x, q_source *s)
{
    const q_xplan *plan = s->plan;
    for (uint32_t i = 0; i < plan->id_count; i++) {
        q_xrow *row = q_overlay_row(plan->type, &plan->ids[i], plan->id_count <= Q_PLAN_POINT_IDS || s->keep);
        if (!row || !add_row(x, s, row))
            return false;
    }
    s->last_page = true;
    return true;
}

static bool first_scans(q_exec *x, q_source *s)
{
    bool any = false;
    for (int e = 0; e < Q_EN_COUNT; e++) {
        s->scans[e].engine = (q_engine_id)e;
        any = any || s->plan->pred_count[e];
    }
    q_fetch_begin(x);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        if (!s->plan->pred_count[e] && (any || e != Q_EN_POSTGRES))
            continue;
        s->scans[e].used = true;
        if (!q_fetch_scan(x, s, &s->scans[e], s->page_rows))
            return false;
    }
    return true;
}

/* ---- from scans to a page of rows ----------------------------------------------------------------------------------------- */

/* With the first pages there: which engine's scan is the page? */
static void choose_driver(q_source *s)
{
    s->driver = -1;
    for (int e = Q_EN_COUNT - 1; e >= 0; e--) {
        const q_xscan *scan = &s->scans[e], *best = s->driver < 0 ? NULL : &s->scans[s->driver];
        if (!scan->used)
            continue;
        if (!best || (!scan->more && (best->more || scan->count <= best->count)) || (scan->more && best->more))
            s->driver = e; /* a complete one, the shortest; otherwise the first engine's, PostgreSQL's if it can tell */
    }
    assert(s->driver >= 0);
}

/* Did every engine that answered completely answer with this row? (A row's `scanned` mask is of the page.) */
static bool in_all_complete(const q_source *s, const q_xrow *row)
{
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (s->scans[e].used && !s->scans[e].more && !(row->live_parts & Q_EN_BIT(e)))
            return false;
    return true;
}

/* Rows of the driver's page, with the rows that the transaction wrote up to the page's end, by id. */
static bool scanned_rows(q_exec *x, q_source *s, bool first_page)
{
    const q_xscan *scan = &s->scans[s->driver];
    s->last_page = !scan->more;
    uint32_t i = 0;
    for (;;) {
        q_xrow *a = i < scan->count ? scan->rows[i] : NULL;
        q_xrow *b = s->overlaid_at < s->overlaid_count ? s->overlaid[s->overlaid_at] : NULL;
        if (!a && (!b || !s->last_page))
            return true;
        if (b && (!a || q_id_cmp(&b->id, &a->id) <= 0)) {
            i += a == b;
            s->overlaid_at++;
            if (!add_row(x, s, b))
                return false;
            continue;
        }
        i++;
        if ((!first_page || in_all_complete(s, a)) && !add_row(x, s, a))
            return false;
    }
}

static bool next_page(q_exec *x, q_source *s)
{
    q_xscan *scan = &s->scans[s->driver];
    for (q_xtype *t = x->planner.types; t; t = t->next)
        q_overlay_page_done(t);
    q_pagemem_reset(&x->page);
    for (int e = 0; e < Q_EN_COUNT; e++)
        s->scans[e].count = 0;
    q_fetch_begin(x);
    if (s->page_rows < Q_EXEC_PAGE_ROWS) /* LIMIT guessed too little */
        s->page_rows = s->page_rows * 8 < Q_EXEC_PAGE_ROWS ? s->page_rows * 8 : Q_EXEC_PAGE_ROWS;
    return q_fetch_scan(x, s, scan, s->page_rows);
}

/* ---- WHERE -------------------------------------------------------------------------------------------------------------- */

/* Evaluates on each row those conjuncts that can be decided by now; a row stays unless one isn't true. At the deepest level all are. */
static q_rc filter(q_exec *x, q_source *s, bool before_load, q_err *err)
{
    const q_xplan *plan = s->plan;
    uint64_t tried = 0, skipped = 0;
    q_rc rc = Q_OK;
    uint32_t kept = 0;
    for (uint32_t i = 0; rc == Q_OK && i < s->count; i++) {
        q_xrow *row = s->rows[i];
        bool known = !before_load || q_fetch_known(row, &plan->nodes[0].need, true);
        if (known && !q_xrow_exists(row))
            continue;
        q_truth t = Q_TRUE;
        q_ctx_base(x->ctx, row);
        for (uint32_t k = 0; rc == Q_OK && t == Q_TRUE && k < plan->conj_count; k++) {
            const q_xconj *c = &plan->conjs[k];
            uint64_t bit = k < 64 ? UINT64_C(1) << k : 0; /* those beyond are evaluated at each level */
            if (s->conj_done & bit || c->depth > s->level)
                continue;
            if (!known && !q_fetch_known(row, &c->need, true)) {
                if (c->guard) { /* nothing of the user's is tried on a row that he may not see */
                    skipped |= UINT64_MAX << (k < 64 ? k : 63);
                    break;
                }
                skipped |= bit;
                continue;
            }
            tried |= bit;
            rc = q_eval_truth(&x->ctx->env, c->expr, &t, err);
            if (rc != Q_OK && c->guard && err->code != Q_E_LIMIT_MEMORY && x->work_left) {
                rc = Q_OK;
                t = Q_FALSE;
            }
        }
        if (rc == Q_OK && t == Q_TRUE)
            s->rows[kept++] = row;
    }
    s->count = kept;
    s->conj_done |= tried & ~skipped;
    return rc;
}

/* ---- relations ---------------------------------------------------------------------------------------------------------- */

static q_rc too_many(q_err *err)
{
    q_err_set(err, Q_E_QQL_LIMIT, "The statement follows relations to more than %d records at once.", Q_EXEC_MAX_ROWS);
    q_err_hint(err, "Narrow WHERE, or read by ranges of id.");
    return Q_FAIL;
}

/* The records that the relations of `up` name at node n, each once. */
static q_rc meet_targets(q_exec *x, q_source *s, uint32_t n, q_xrow *up, q_err *err)
{
    const q_xnode *node = &s->plan->nodes[n];
    const q_value *ids = q_xrow_get(up, node->hop);
    q_type id_type = node->type->rec->attrs[0].datatype;
    for (uint32_t i = 0; ids->type == Q_T_RELATION && i < ids->rel.count; i++) {
        if (ids->rel.items[i].type != id_type)
            continue; /* written before the target was defined: it finds nothing */
        q_xrow *row = q_overlay_row(node->type, &ids->rel.items[i], false);
        if (!row)
            return q_exec_no_memory(err);
        if (row->stamp == s->at[n].stamp)
            continue;
        row->stamp = s->at[n].stamp;
        q_xrow **slot = Q_PUSH(x->arena, s->at[n].rows, s->at[n].count, s->at[n].cap);
        if (!slot)
            return q_exec_no_memory(err);
        *slot = row;
        if (s->at[n].count > Q_EXEC_MAX_ROWS)
            return too_many(err);
        if (!node->hop->many)
            break;
    }
    return Q_OK;
}

/* From the rows that are left, through all relations, to the nodes of this level. */
static q_rc meet_level(q_exec *x, q_source *s, q_err *err)
{
    const q_xplan *plan = s->plan;
    q_rc rc = Q_OK;
    s->at[0].rows = s->rows;
    s->at[0].count = s->count;
    for (uint32_t n = 1; rc == Q_OK && n < plan->node_count; n++) {
        const q_xnode *node = &plan->nodes[n];
        s->at[n].count = 0;
        s->at[n].stamp = ++x->stamps;
        if (node->depth > s->level || !node->type)
            continue;
        for (uint32_t i = 0; rc == Q_OK && i < s->at[node->parent].count; i++) {
            q_xrow *up = s->at[node->parent].rows[i];
            if (q_xrow_exists(up))
                rc = meet_targets(x, s, n, up, err);
        }
    }
    return rc;
}

/* Asks for what is missing at this level. */
static q_step_rc load_level(q_exec *x, q_source *s, q_err *err)
{
    const q_xplan *plan = s->plan;
    if (s->level > 0 && meet_level(x, s, err) != Q_OK)
        return Q_STEP_FAIL;
    q_fetch_begin(x);
    for (uint32_t n = 0; n < plan->node_count; n++)
        if (plan->nodes[n].depth == s->level && plan->nodes[n].type)
            q_fetch_need(x, plan->nodes[n].type, &plan->nodes[n].need, plan->nodes[n].exists);
    for (uint32_t n = 0; n < plan->node_count; n++) {
        if (plan->nodes[n].depth != s->level || !plan->nodes[n].type)
            continue;
        q_xrow **rows = n ? s->at[n].rows : s->rows;
        uint32_t count = n ? s->at[n].count : s->count;
        for (uint32_t i = 0; i < count; i++)
            if (!q_fetch_want(x, rows[i]))
                return no_memory(err);
    }
    if (!q_fetch_end(x))
        return no_memory(err);
    return x->pending ? Q_STEP_READS : Q_STEP_ROWS;
}

/* ---- the page's life ------------------------------------------------------------------------------------------------------ */

static q_step_rc start(q_exec *x, q_source *s, q_err *err)
{
    for (q_xtype *t = x->planner.types; t; t = t->next)
        q_overlay_page_done(t);
    q_pagemem_reset(&x->page);
    if (!overlaid_rows(x, s))
        return no_memory(err);
    if (s->plan->access == Q_ACC_IDS) {
        if (!named_rows(x, s))
            return no_memory(err);
        s->phase = Q_SRC_LOAD;
        return Q_STEP_ROWS;
    }
    if (!first_scans(x, s))
        return no_memory(err);
    s->phase = Q_SRC_SCANNED;
    return Q_STEP_READS;
}

static q_step_rc begin_page(q_exec *x, q_source *s, q_err *err)
{
    bool first = s->driver < 0;
    if (first)
        choose_driver(s);
    s->count = 0;
    if (!scanned_rows(x, s, first))
        return no_memory(err);
    s->phase = Q_SRC_LOAD;
    return Q_STEP_ROWS;
}

/* Before the first load only what a scan brought is known: it may decide already, and spares asking the other engines. */
static q_step_rc load(q_exec *x, q_source *s, q_err *err)
{
    if (s->level == 0) {
        s->conj_done = 0;
        if (filter(x, s, true, err) != Q_OK)
            return Q_STEP_FAIL;
    }
    q_step_rc rc = load_level(x, s, err);
    s->phase = Q_SRC_LOADED;
    return rc;
}

static q_step_rc loaded(q_exec *x, q_source *s, q_err *err)
{
    if (filter(x, s, false, err) != Q_OK)
        return Q_STEP_FAIL;
    if (s->level++ < s->plan->depth) {
        s->phase = Q_SRC_LOAD;
        return Q_STEP_END;
    }
    s->level = 0;
    s->phase = Q_SRC_CONSUMED;
    return Q_STEP_ROWS;
}

static q_step_rc consumed(q_exec *x, q_source *s, q_err *err)
{
    if (s->last_page) {
        s->phase = Q_SRC_DONE;
        return Q_STEP_END;
    }
    if (!next_page(x, s))
        return no_memory(err);
    s->phase = Q_SRC_SCANNED;
    return Q_STEP_READS;
}

q_step_rc q_source_next(q_exec *x, q_source *s, q_err *err)
{
    for (;;) {
        q_step_rc rc;
        switch (s->phase) {
        case Q_SRC_START:
            rc = start(x, s, err);
            break;
        case Q_SRC_SCANNED:
            rc = begin_page(x, s, err);
            break;
        case Q_SRC_LOAD:
            rc = load(x, s, err);
            break;
        case Q_SRC_LOADED:
            rc = loaded(x, s, err);
            if (rc == Q_STEP_ROWS)
                return rc;
            break;
        case Q_SRC_CONSUMED:
            rc = consumed(x, s, err);
            break;
        case Q_SRC_DONE:
        default:
            return Q_STEP_END;
        }
        if (rc == Q_STEP_FAIL || rc == Q_STEP_READS || s->phase == Q_SRC_DONE)
            return rc;
    }
}

/* ---- prefetch ------------------------------------------------------------------------------------------------------------- */

static bool prefetch_plan(q_exec *x, const q_xplan *plan, bool gather)
{
    if (plan->access != Q_ACC_IDS || plan->id_count > Q_PLAN_POINT_IDS)
        return true;
    if (!gather) {
        q_fetch_need(x, plan->type, &plan->nodes[0].need, true);
        return true;
    }
    for (uint32_t i = 0; i < plan->id_count; i++) {
        q_xrow *row = q_overlay_row(plan->type, &plan->ids[i], true);
        if (!row || !q_fetch_want(x, row))
            return false;
    }
    return true;
}

q_step_rc q_source_prefetch(q_exec *x, q_err *err)
{
    q_fetch_begin(x);
    for (int gather = 0; gather < 2; gather++)
        for (uint32_t i = 0; i < x->plan_count; i++) {
            const q_xplan *plan = &x->plans[i];
            if (!prefetch_plan(x, plan, gather))
                return no_memory(err);
            for (uint32_t j = 0; j < plan->sub_count; j++)
                if (!prefetch_plan(x, &plan->subs[j], gather))
                    return no_memory(err);
        }
    if (!q_fetch_end(x))
        return no_memory(err);
    return x->pending ? Q_STEP_READS : Q_STEP_END;
}
