#include "coordinator/exec.h"

#include <assert.h>

#include "coordinator/exec_run.h"

/* ---- plan ------------------------------------------------------------------------------------------------------------------ */

static bool is_write(const q_stmt *s) { return s->kind == Q_S_INSERT || s->kind == Q_S_UPDATE || s->kind == Q_S_DELETE; }

static q_rc plan_all(q_exec *x, q_err *err)
{
    const q_script *script = x->script;
    x->can_be_blind = true;
    for (uint32_t i = 0; i < script->count; i++) {
        const q_stmt *s = &script->stmts[i];
        if (s->number == 0)
            continue;
        q_xplan *plan = &x->plans[x->plan_count];
        q_rc rc = q_plan_stmt(&x->planner, s, plan, err);
        if (rc != Q_OK)
            return rc;
        x->plan_count++;
        /* Nothing is gained by not reading when another statement reads anyway: both go in one round. */
        x->can_be_blind = x->can_be_blind && plan->blind;
        x->has_writes = x->has_writes || is_write(s);
    }
    /* What is rolled back is never put to the engines, so nobody would notice that a blind write found no record: its counts are read. */
    x->can_be_blind = x->can_be_blind && !script->rollback;
    for (q_xtype *t = x->planner.types; t; t = t->next)
        if (!q_xtype_open(t, x->arena, &x->lasting, &x->page))
            return q_exec_no_memory(err);
    return Q_OK;
}

q_rc q_exec_plan(q_arena *arena, const q_catalog *catalog, const q_script *script, q_exec **out, q_lockset *want, q_err *err)
{
    q_exec *x = Q_NEW(arena, q_exec);
    if (!x)
        return q_exec_no_memory(err);
    x->arena = x->lasting_arena = arena;
    x->script = script;
    x->planner = (q_planner){ .arena = arena, .catalog = catalog, .bucket = q_catalog_bucket(catalog, script->bucket) };
    x->next_read_id = x->round_read_id = 1;
    x->max_parts = 1;
    q_pagemem_init(&x->lasting, arena, true);
    q_pagemem_init(&x->page, arena, false);
    x->plans = q_arena_alloc(arena, (script->count + 1) * sizeof *x->plans);
    if (!x->plans)
        return q_exec_no_memory(err);
    q_rc rc = plan_all(x, err);
    if (rc == Q_OK)
        rc = q_plan_locks(&x->planner, script->bucket, x->plans, x->plan_count, want, err);
    if (rc == Q_OK)
        *out = x;
    return rc;
}

uint32_t q_exec_engines(const q_exec *x) { return x->planner.engines; }

void q_exec_outcome_in(q_exec *x, q_arena *arena) { x->lasting_arena = arena; }
void q_exec_no_events(q_exec *x) { x->no_events = true; }
bool q_exec_was_blind(const q_exec *x) { return x->blind; }

void q_exec_allow_parts(q_exec *x, uint32_t max_parts)
{
    assert(max_parts >= 1);
    x->max_parts = x->script->read_only ? max_parts : 1;
}

void q_exec_start(q_exec *x, uint64_t seq, int64_t time_us, bool blind)
{
    x->seq = seq;
    x->time_us = time_us;
    x->blind = blind && x->can_be_blind;
    x->started = true;
    x->prefetched = x->failed = x->must_see = x->refers_asked = x->out_of_memory = false;
    x->rows_kept = 0;
    x->at = 0;
    x->statement = NULL;
    x->ctx = NULL;
    x->pending = x->read_count = 0;
    x->round_read_id = x->next_read_id; /* answers to an earlier run's reads are ignored */
    x->refers = NULL;
    for (int e = 0; e < Q_EN_COUNT; e++)
        x->origin_count[e] = 0;
    for (int e = 0; e < Q_EN_COUNT; e++)
        x->origins[e] = NULL;
    for (q_xtype *t = x->planner.types; t; t = t->next)
        q_xtype_forget(t);
    q_pagemem_reset(&x->page);
}

/* ---- run ------------------------------------------------------------------------------------------------------------------- */

q_rc q_exec_keep(q_exec *x, uint32_t rows, bool write, q_err *err)
{
    x->rows_kept += rows;
    if (x->rows_kept <= Q_EXEC_MAX_ROWS)
        return Q_OK;
    if (write)
        q_err_set(err, Q_E_WRITE_TOO_LARGE, "The transaction writes more than %d records.", Q_EXEC_MAX_ROWS);
    else
        q_err_set(err, Q_E_RESULT_TOO_LARGE, "The statement keeps more than %d groups.", Q_EXEC_MAX_ROWS);
    q_err_hint(err, "Split it by ranges of id.");
    return Q_FAIL;
}

q_slice q_exec_id_text(q_arena *arena, const q_value *id)
{
    char text[Q_MAX_ID_BYTES + 2];
    q_buf b = { text, 0, sizeof text, sizeof text, false };
    q_value_text(id, &b);
    return q_arena_printf(arena, "\"%.*s\"", b.failed ? 0 : (int)b.len, text);
}

static q_step_rc run_statement(q_exec *x, q_err *err)
{
    switch (x->plans[x->at].stmt->kind) {
    case Q_S_INSERT:
        return q_insert_step(x, err);
    case Q_S_UPDATE:
        return q_update_step(x, err);
    case Q_S_DELETE:
        return q_delete_step(x, err);
    case Q_S_SELECT:
        return q_select_step(x, err);
    case Q_S_ASSERT:
        return q_assert_step(x, err);
    case Q_S_DDL:
        return q_ddl_step(x, err);
    case Q_S_SHOW:
        return q_show_step(x, err);
    default:
        assert(!"a statement without a number");
        return Q_STEP_END;
    }
}

/* Runs statements until one needs reads. END: all have run. */
static q_step_rc run(q_exec *x, q_err *err)
{
    q_step_rc step;
    if (!x->prefetched) {
        x->prefetched = true;
        if (!x->blind && (step = q_source_prefetch(x, err)) != Q_STEP_END)
            return step;
    }
    while (x->at < x->plan_count) {
        x->results[x->at].statement = x->plans[x->at].stmt->number;
        step = run_statement(x, err);
        if (step != Q_STEP_END)
            return step;
        x->at++;
        x->statement = NULL;
    }
    return Q_STEP_END;
}

static bool prepare_run(q_exec *x)
{
    if (!x->results)
        x->results = q_arena_alloc(x->arena, (x->plan_count + 1) * sizeof *x->results);
    if (!x->json)
        x->json = q_json_new(x->arena);
    if (!x->results || !x->json)
        return false;
    memset(x->results, 0, (x->plan_count + 1) * sizeof *x->results);
    return true;
}

static q_rc finish(q_exec *x, q_exec_outcome *out, q_err *err)
{
    q_rc rc = Q_OK;
    out->rollback = x->script->rollback;
    if (x->script->ddl && !out->rollback)
        rc = q_ddl_build(x, out, err);
    else if (x->has_writes && !out->rollback)
        rc = q_writes_build(x, out, err);
    q_result_part *parts = NULL;
    if (rc == Q_OK)
        rc = q_results_compose(x->lasting_arena, x->json, x->results, x->plan_count, Q_EXEC_MAX_RESULT_BYTES, x->max_parts, &parts,
                               &out->part_count, err);
    if (rc != Q_OK)
        return rc;
    out->parts = (const q_exec_part *)parts;
    out->results = parts[0].entries;
    out->result_count = parts[0].count;
    return Q_OK;
}
_Static_assert(sizeof(q_exec_part) == sizeof(q_result_part), "one layout");

/* The place of an error that has none yet: the statement that was running. */
static q_exec_state failed(q_exec *x, q_err *err)
{
    x->failed = true;
    if (err->statement == 0 && x->at < x->plan_count) {
        const q_stmt *s = x->plans[x->at].stmt;
        err->statement = s->number;
        if (err->line == 0) {
            err->line = s->pos.line;
            err->column = s->pos.column;
        }
    }
    return Q_EXEC_FAILED;
}

static q_exec_state reads_of(q_exec *x, const q_exec_read **reads, size_t *read_count)
{
    *reads = x->out;
    *read_count = x->read_count;
    return Q_EXEC_READS;
}

q_exec_state q_exec_next(q_exec *x, const q_exec_read **reads, size_t *read_count, q_exec_outcome *outcome, q_err *err)
{
    assert(x->started && !x->failed);
    *read_count = 0;
    if (x->pending) { /* not all is answered yet */
        *reads = x->out;
        return Q_EXEC_READS;
    }
    x->work_left = Q_EXEC_WORK;
    if (x->read_count && q_fetch_split(x))
        return reads_of(x, reads, read_count);
    x->read_count = 0;
    if (x->out_of_memory || (x->at == 0 && !x->prefetched && !prepare_run(x))) {
        (void)q_exec_no_memory(err);
        return failed(x, err);
    }
    q_step_rc step = run(x, err);
    if (step == Q_STEP_FAIL && x->must_see) { /* begin again, reading what the blind run assumed */
        *err = Q_ERR_INIT;
        q_exec_start(x, x->seq, x->time_us, false);
        return q_exec_next(x, reads, read_count, outcome, err);
    }
    if (step == Q_STEP_END && x->has_writes && !x->script->rollback)
        step = q_writes_check(x, err);
    if (step == Q_STEP_READS)
        return reads_of(x, reads, read_count);
    if (step == Q_STEP_FAIL)
        return failed(x, err);
    *outcome = (q_exec_outcome){ 0 };
    return finish(x, outcome, err) == Q_OK ? Q_EXEC_DONE : failed(x, err);
}

/* ---- refusals --------------------------------------------------------------------------------------------------------------- */

static void refused_item(const q_exec *x, q_engine_id engine, const q_item_origin *o, const q_vote *vote, q_err *err)
{
    const q_record *rec = o->row->type->rec;
    q_slice id = q_exec_id_text(x->arena, &o->row->id);
    switch (vote->no) {
    case Q_NO_EXISTS:
        if (o->row->was == Q_WAS_PRESENT || engine != Q_EN_POSTGRES)
            q_err_set(err, Q_E_CHANGED_OUTSIDE, "The %s part of %.*s %.*s was written from outside.", q_engine_name(engine),
                      Q_SLICE_FMT(rec->name), Q_SLICE_FMT(id));
        else
            q_err_set(err, Q_E_DUPLICATE_ID, "%.*s %.*s exists already.", Q_SLICE_FMT(rec->name), Q_SLICE_FMT(id));
        break;
    case Q_NO_MISSING:
        if (o->required) {
            q_slice to = q_exec_id_text(x->arena, o->target);
            q_err_set(err, Q_E_REQUIRED_MISSING, "%.*s %.*s needs %.*s %.*s as its %.*s, which doesn't exist.", Q_SLICE_FMT(rec->name),
                      Q_SLICE_FMT(id), Q_SLICE_FMT(o->required->target), Q_SLICE_FMT(to), Q_SLICE_FMT(o->required->name));
        } else {
            q_err_set(err, Q_E_CHANGED_OUTSIDE, "%.*s %.*s is gone since it was read.", Q_SLICE_FMT(rec->name), Q_SLICE_FMT(id));
        }
        break;
    case Q_NO_DUPLICATE_VALUE:
        q_err_set(err, Q_E_DUPLICATE_VALUE, "A UNIQUE value of %.*s %.*s exists already%s%.*s", Q_SLICE_FMT(rec->name), Q_SLICE_FMT(id),
                  vote->text.len ? ": " : ".", Q_SLICE_FMT(vote->text));
        break;
    default:
        q_err_set(err, Q_E_CHANGED_OUTSIDE, "The %s part of %.*s %.*s was changed since it was read.", q_engine_name(engine),
                  Q_SLICE_FMT(rec->name), Q_SLICE_FMT(id));
        break;
    }
    err->statement = o->statement;
}

static void refused_whole(q_engine_id engine, const q_vote *vote, q_err *err)
{
    const char *name = q_engine_name(engine);
    switch (vote->no) {
    case Q_NO_LOCKED:
        q_err_set(err, Q_E_PARTICIPANT_REFUSED, "%s waited too long for a lock of its own: %.*s", name, Q_SLICE_FMT(vote->text));
        break;
    case Q_NO_ENGINE_DOWN:
        q_err_set(err, Q_E_ENGINE_DOWN, "%s is down.", name);
        break;
    case Q_NO_REFUSED:
        q_err_set(err, Q_E_ENGINE_REFUSED, "%s refused: %.*s", name, Q_SLICE_FMT(vote->text));
        break;
    case Q_NO_STALE:
        q_err_set(err, Q_E_CHANGED_OUTSIDE, "%s holds a newer part than this transaction may write. %.*s", name, Q_SLICE_FMT(vote->text));
        break;
    default:
        q_err_set(err, Q_E_ENGINE_REFUSED, "%s refused an item that it can't name.", name);
        break;
    }
}

void q_exec_refused(const q_exec *x, q_engine_id engine, const q_vote *vote, q_err *err)
{
    bool of_item = vote->no == Q_NO_EXISTS || vote->no == Q_NO_MISSING || vote->no == Q_NO_CHANGED || vote->no == Q_NO_DUPLICATE_VALUE;
    bool known = engine < Q_EN_COUNT && vote->item < x->origin_count[engine];
    if (of_item && known)
        refused_item(x, engine, &x->origins[engine][vote->item], vote, err);
    else
        refused_whole(engine, vote, err);
    if (known && err->statement == 0)
        err->statement = x->origins[engine][vote->item].statement;
    for (uint32_t i = 0; i < x->plan_count; i++)
        if (err->statement && x->plans[i].stmt->number == err->statement) {
            err->line = x->plans[i].stmt->pos.line;
            err->column = x->plans[i].stmt->pos.column;
        }
}
