/* fetch.c - what is asked of the engines, and what they answer.
 *
 * A round is gathered by record type: which attributes are needed there, then which rows need them. It becomes one read for each engine
 * and type (ids in chunks). Answers are checked like any input from outside before they touch a row. */
#include "coordinator/exec_run.h"

#include <assert.h>

/* ---- gathering --------------------------------------------------------------------------------------------------------- */

static const uint32_t PG = Q_EN_BIT(Q_EN_POSTGRES);

void q_fetch_begin(q_exec *x)
{
    assert(x->pending == 0);
    x->round++;
    x->read_count = 0;
    x->round_read_id = x->next_read_id;
}

void q_fetch_need(q_exec *x, q_xtype *t, const q_attrset *attrs, bool exists)
{
    if (t->round != x->round) {
        t->round = x->round;
        t->ask = (q_attrset){ { 0 } };
        t->ask_engines = 0;
        t->ask_count = 0;
    }
    q_attrset_join(&t->ask, attrs);
    t->ask_engines |= exists ? PG : 0;
}

/* Known without that engine's answer: the transaction wrote all of it, or read it. */
static bool engine_known(const q_xrow *r, q_engine_id e, const q_attrset *attrs, bool exists)
{
    const q_xtype *t = r->type;
    if (exists && !(r->read_parts & Q_EN_BIT(e)))
        return false;
    uint64_t missing = 0;
    for (int w = 0; w < 4; w++) {
        uint64_t known = r->loaded.w[w];
        if (e != Q_EN_INFLUX)
            known |= r->dirty.w[w]; /* a metric's older sample may still be the latest */
        missing |= attrs->w[w] & t->of_engine[e].w[w] & ~known;
    }
    return !missing;
}

static bool written_whole(const q_xrow *r) { return r->touched && (r->new_life || !r->alive); }

bool q_fetch_known(const q_xrow *r, const q_attrset *attrs, bool exists)
{
    if (written_whole(r))
        return true;
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (!engine_known(r, (q_engine_id)e, attrs, exists && e == Q_EN_POSTGRES))
            return false;
    return true;
}

bool q_fetch_want(q_exec *x, q_xrow *r)
{
    q_xtype *t = r->type;
    assert(t->round == x->round);
    if (r->round == x->round)
        return true;
    r->round = x->round;
    if (q_fetch_known(r, &t->ask, t->ask_engines & PG))
        return true;
    q_xrow **slot = Q_PUSH(x->arena, t->ask_rows, t->ask_count, t->ask_cap);
    if (slot)
        *slot = r;
    return slot != NULL;
}

/* ---- reads ------------------------------------------------------------------------------------------------------------- */

/* One more read of the round; its q_read is *out. NULL when out of memory. */
static q_xread *add_read(q_exec *x, q_engine_id engine, q_xtype *t, q_read_kind kind, q_read **out)
{
    uint32_t count = x->read_count;
    q_exec_read *o = Q_PUSH(x->arena, x->out, count, x->out_cap);
    q_xread *r = o ? Q_PUSH(x->arena, x->reads, x->read_count, x->read_cap) : NULL;
    if (!r)
        return NULL;
    r->type = t;
    o->engine = engine;
    o->read = (q_read){ .read_id = x->next_read_id++, .kind = kind, .bucket = t->rec->bucket, .record = t->rec->name,
                        .incarnation = t->rec->incarnation };
    x->pending++;
    *out = &o->read;
    return r;
}

/* Which attributes to return: those of `set` that live in the engine. */
static bool list_attrs(q_exec *x, q_xread *r, q_read *read, q_engine_id engine, const q_attrset *set)
{
    const q_record *rec = r->type->rec;
    uint32_t n = 0;
    for (int w = 0; w < 4; w++)
        n += (uint32_t)__builtin_popcountll(set->w[w] & r->type->of_engine[engine].w[w]);
    if (n == 0)
        return true;
    q_slice *names = q_pagemem_alloc(&x->page, n * sizeof *names);
    r->attrs = q_pagemem_alloc(&x->page, n * sizeof *r->attrs);
    if (!names || !r->attrs)
        return false;
    for (uint32_t i = 0; i < rec->count; i++)
        if (q_attrset_has(set, i) && q_attrset_has(&r->type->of_engine[engine], i)) {
            names[read->attr_count] = rec->attrs[i].name;
            r->attrs[read->attr_count++] = &rec->attrs[i];
        }
    read->attrs = names;
    return true;
}

static bool read_ids(q_exec *x, q_engine_id engine, q_xtype *t, const q_attrset *attrs, q_xrow **rows, uint32_t count)
{
    q_read *read;
    q_xread *r = add_read(x, engine, t, Q_R_IDS, &read);
    q_value *ids = r ? q_pagemem_alloc(&x->page, count * sizeof *ids) : NULL;
    if (!ids || !list_attrs(x, r, read, engine, attrs))
        return false;
    for (uint32_t i = 0; i < count; i++)
        ids[i] = rows[i]->id;
    r->rows = rows;
    read->ids = ids;
    read->id_count = read->limit = count;
    return true;
}

static bool read_type(q_exec *x, q_xtype *t, q_engine_id e)
{
    bool exists = e == Q_EN_POSTGRES && t->ask_engines & PG;
    q_xrow **rows = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->ask_count; i++) {
        if (engine_known(t->ask_rows[i], e, &t->ask, exists))
            continue;
        if (!rows)
            rows = q_pagemem_alloc(&x->page, (t->ask_count - i) * sizeof(q_xrow *));
        if (!rows)
            return false;
        rows[n++] = t->ask_rows[i];
    }
    for (uint32_t i = 0; i < n; i += Q_EXEC_PAGE_ROWS)
        if (!read_ids(x, e, t, &t->ask, rows + i, n - i < Q_EXEC_PAGE_ROWS ? n - i : Q_EXEC_PAGE_ROWS))
            return false;
    return true;
}

bool q_fetch_end(q_exec *x)
{
    for (q_xtype *t = x->planner.types; t; t = t->next)
        for (int e = 0; t->round == x->round && e < Q_EN_COUNT; e++)
            if (t->ask_count && !read_type(x, t, (q_engine_id)e))
                return false;
    return true;
}

bool q_fetch_scan(q_exec *x, q_source *s, q_xscan *scan, uint32_t limit)
{
    const q_xplan *plan = s->plan;
    q_read *read;
    q_xread *r = add_read(x, scan->engine, plan->type, Q_R_SCAN, &read);
    if (!r || !list_attrs(x, r, read, scan->engine, &plan->nodes[0].need))
        return false;
    r->scan = scan;
    read->preds = plan->preds[scan->engine];
    read->pred_count = plan->pred_count[scan->engine];
    read->has_after = scan->has_after;
    read->after = scan->after;
    read->limit = limit;
    scan->count = 0;
    return true;
}

bool q_fetch_referrers(q_exec *x, q_xrefer *refer, const q_value *ids, uint32_t count, uint32_t limit)
{
    q_read *read;
    q_xtype *t = q_plan_type(&x->planner, refer->rec);
    q_xread *r = t ? add_read(x, Q_EN_NEO4J, t, Q_R_REFERRERS, &read) : NULL;
    q_attrset only = { { 0 } };
    q_attrset_add(&only, refer->attr->index);
    if (!r || !list_attrs(x, r, read, Q_EN_NEO4J, &only))
        return false;
    r->refer = refer;
    read->ids = ids;
    read->id_count = count;
    read->limit = limit;
    return true;
}

/* ---- answers: input from outside ---------------------------------------------------------------------------------------- */

static q_rc unfit(const q_exec_read *o, const char *what, q_err *err)
{
    return q_err_set(err, Q_E_INTERNAL, "%s answered a read of %.*s with %s.", q_engine_name(o->engine), Q_SLICE_FMT(o->read.record), what);
}

static bool id_fits(const q_xtype *t, const q_value *id)
{
    return id->type == t->rec->attrs[0].datatype && (id->type != Q_T_STRING || id->s.len <= Q_MAX_ID_BYTES);
}

static bool value_fits(const q_attr *a, const q_value *v)
{
    if (v->type == Q_T_NULL)
        return true;
    if (v->type != a->datatype)
        return false;
    for (uint32_t i = 0; v->type == Q_T_RELATION && i < v->rel.count; i++) {
        q_type t = v->rel.items[i].type;
        if (t != Q_T_STRING && t != Q_T_INT && t != Q_T_UUID)
            return false;
    }
    return true;
}

static q_rc check_rows(const q_exec_read *o, const q_xread *r, const q_rows *rows, q_err *err)
{
    const q_read *read = &o->read;
    if (rows->attr_count != read->attr_count || (rows->count && !rows->rows))
        return unfit(o, "other attributes than were asked for", err);
    if (read->kind != Q_R_IDS && rows->count > read->limit)
        return unfit(o, "more rows than were asked for", err);
    /* Of referrers one more was asked for than the transaction can explain away: that there are still more of them changes nothing. */
    if (rows->more && (read->kind == Q_R_IDS || rows->count == 0))
        return unfit(o, "a page that can't be continued", err);
    for (uint32_t i = 0; i < rows->count; i++) {
        const q_row *row = &rows->rows[i];
        if (!id_fits(r->type, &row->id))
            return unfit(o, "an id of another type", err);
        for (uint32_t j = 0; j < read->attr_count; j++)
            if (!value_fits(r->attrs[j], &row->values[j]))
                return unfit(o, "a value of another type", err);
        if (read->kind != Q_R_SCAN)
            continue;
        const q_value *before = i ? &rows->rows[i - 1].id : read->has_after ? &read->after : NULL;
        if (before && q_id_cmp(before, &row->id) >= 0)
            return unfit(o, "rows that aren't in ascending order of id", err);
    }
    return Q_OK;
}

/* The engine has nothing of this row unless fill says otherwise. */
static void fill_absent(const q_exec_read *o, const q_xread *r, q_xrow *row)
{
    row->read_parts |= (uint8_t)Q_EN_BIT(o->engine);
    for (uint32_t j = 0; j < o->read.attr_count; j++) {
        const q_attr *a = r->attrs[j];
        if (!q_attrset_has(&row->dirty, a->index) && !q_attrset_has(&row->loaded, a->index))
            *q_xrow_value(row, a) = Q_NULL;
        q_attrset_add(&row->loaded, a->index);
    }
    if (o->engine == Q_EN_POSTGRES && !row->touched && row->was == Q_WAS_UNKNOWN)
        row->was = Q_WAS_ABSENT;
}

static bool fill(const q_exec_read *o, const q_xread *r, q_xrow *row, const q_row *in)
{
    row->read_parts |= (uint8_t)Q_EN_BIT(o->engine);
    row->live_parts |= (uint8_t)Q_EN_BIT(o->engine);
    row->seq[o->engine] = in->seq;
    if (o->engine == Q_EN_POSTGRES) {
        row->birth = in->birth;
        if (!row->touched) /* an INSERT over it is refused by its precondition, not by what is read afterwards */
            row->was = Q_WAS_PRESENT;
    }
    if (o->engine == Q_EN_INFLUX)
        row->metric_birth = in->birth;
    for (uint32_t j = 0; j < o->read.attr_count; j++)
        if (!q_xrow_fill(row, r->attrs[j], &in->values[j]))
            return false;
    return true;
}

static q_rc feed_ids(const q_exec_read *o, q_xread *r, const q_rows *rows, q_err *err)
{
    for (uint32_t i = 0; i < o->read.id_count; i++)
        fill_absent(o, r, r->rows[i]);
    for (uint32_t i = 0; i < rows->count; i++) {
        q_xrow *row = o->read.id_count == 1 ? r->rows[0] : q_overlay_find(r->type, &rows->rows[i].id);
        if (!row || !(row->read_parts & Q_EN_BIT(o->engine)) || !q_id_same(&row->id, &rows->rows[i].id))
            return unfit(o, "an id that wasn't asked for", err);
        if (!fill(o, r, row, &rows->rows[i]))
            return q_exec_no_memory(err);
    }
    return Q_OK;
}

/* The id from which the next page goes on, in memory that every page uses again. */
static bool remember_after(q_exec *x, q_xscan *scan, const q_value *id)
{
    scan->after = *id;
    scan->has_after = true;
    if (id->type != Q_T_STRING)
        return true;
    if (!scan->after_bytes.ptr) {
        scan->after_bytes = Q_BUF_INIT(Q_MAX_ID_BYTES);
        scan->after_bytes.ptr = q_arena_alloc(x->arena, Q_MAX_ID_BYTES);
        scan->after_bytes.cap = Q_MAX_ID_BYTES; /* its maximum: it never grows, so it is never freed */
        if (!scan->after_bytes.ptr)
            return false;
    }
    q_buf_clear(&scan->after_bytes);
    q_buf_add_slice(&scan->after_bytes, id->s);
    scan->after.s = q_buf_slice(&scan->after_bytes);
    return !scan->after_bytes.failed;
}

static q_rc feed_scan(q_exec *x, const q_exec_read *o, q_xread *r, const q_rows *rows, q_err *err)
{
    q_xscan *scan = r->scan;
    for (uint32_t i = 0; i < rows->count; i++) {
        q_xrow *row = q_overlay_row(r->type, &rows->rows[i].id, false);
        q_xrow **slot = row ? Q_PUSH(x->arena, scan->rows, scan->count, scan->cap) : NULL;
        if (!slot || !fill(o, r, row, &rows->rows[i]))
            return q_exec_no_memory(err);
        *slot = row;
    }
    scan->more = rows->more;
    if (rows->count && !remember_after(x, scan, &rows->rows[rows->count - 1].id))
        return q_exec_no_memory(err);
    return Q_OK;
}

static q_rc feed_referrers(q_exec *x, q_xread *r, const q_rows *rows, q_err *err)
{
    q_row *kept = Q_NEW_ARRAY(x->arena, q_row, rows->count ? rows->count : 1);
    q_value *values = kept ? Q_NEW_ARRAY(x->arena, q_value, rows->count ? rows->count : 1) : NULL;
    if (!values)
        return q_exec_no_memory(err);
    for (uint32_t i = 0; i < rows->count; i++) {
        const q_row *row = &rows->rows[i];
        if (!q_pagemem_copy(&x->lasting, &row->id, &kept[i].id) || !q_pagemem_copy(&x->lasting, &row->values[0], &values[i]))
            return q_exec_no_memory(err);
        kept[i].values = &values[i];
    }
    r->refer->rows = kept;
    r->refer->count = rows->count;
    return Q_OK;
}

/* ---- an answer that was too large ---------------------------------------------------------------------------------------- */

static q_rc engine_failed(const q_exec_read *o, const q_rows *rows, q_err *err)
{
    q_code code = rows->code != Q_E_NONE && rows->code < Q_E_COUNT ? rows->code : Q_E_PARTICIPANT_REFUSED;
    q_err_set(err, code, "%s couldn't read %.*s: %.*s", q_engine_name(o->engine), Q_SLICE_FMT(o->read.record), Q_SLICE_FMT(rows->error));
    return Q_FAIL;
}

bool q_fetch_split(q_exec *x)
{
    uint32_t count = x->read_count, n = 0;
    for (uint32_t i = 0; i < count; i++)
        n += x->reads[i].too_large;
    if (n == 0)
        return false;
    q_xread *again = Q_NEW_ARRAY(x->arena, q_xread, n);
    q_read *asked = again ? Q_NEW_ARRAY(x->arena, q_read, n) : NULL;
    q_engine_id *engines = asked ? Q_NEW_ARRAY(x->arena, q_engine_id, n) : NULL;
    if (!engines) {
        x->out_of_memory = true;
        return false;
    }
    n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (x->reads[i].too_large) {
            again[n] = x->reads[i];
            asked[n] = x->out[i].read;
            engines[n++] = x->out[i].engine;
        }
    q_fetch_begin(x);
    for (uint32_t i = 0; i < n; i++) {
        q_attrset attrs = { { 0 } };
        for (uint32_t j = 0; j < asked[i].attr_count; j++)
            q_attrset_add(&attrs, again[i].attrs[j]->index);
        uint32_t half = asked[i].id_count / 2;
        if (!read_ids(x, engines[i], again[i].type, &attrs, again[i].rows, half) ||
            !read_ids(x, engines[i], again[i].type, &attrs, again[i].rows + half, asked[i].id_count - half)) {
            x->out_of_memory = true;
            return false;
        }
    }
    return true;
}

q_rc q_exec_feed(q_exec *x, uint64_t read_id, const q_rows *rows, q_err *err)
{
    if (read_id == 0 || read_id >= x->next_read_id)
        return q_err_set(err, Q_E_INTERNAL, "Rows came for a read that was never asked.");
    if (read_id < x->round_read_id || x->reads[read_id - x->round_read_id].answered)
        return Q_OK; /* told twice */
    q_xread *r = &x->reads[read_id - x->round_read_id];
    const q_exec_read *o = &x->out[read_id - x->round_read_id];
    q_rc rc;
    if (rows->rc != Q_OK) {
        if (rows->code != Q_E_RESULT_TOO_LARGE || o->read.kind != Q_R_IDS || o->read.id_count < 2)
            return engine_failed(o, rows, err);
        r->too_large = true; /* asked again in halves */
        rc = Q_OK;
    } else {
        rc = check_rows(o, r, rows, err);
        if (rc == Q_OK && o->read.kind == Q_R_IDS)
            rc = feed_ids(o, r, rows, err);
        else if (rc == Q_OK && o->read.kind == Q_R_SCAN)
            rc = feed_scan(x, o, r, rows, err);
        else if (rc == Q_OK)
            rc = feed_referrers(x, r, rows, err);
    }
    if (rc == Q_OK) {
        r->answered = true;
        x->pending--;
    }
    return rc;
}
