#include "tests/sim/model.h"

#include <stdlib.h>
#include <string.h>

/* Canonical answers: for each statement that has a result, in order, `insert 1;`, `update 0;`, `delete 2;` or `select ROWS;` with ROWS as
 * compact JSON. ASSERT and DDL say nothing. */

void model_init(model *m, q_arena *arena)
{
    *m = (model){ .arena = arena };
    for (int b = 0; b < SIM_BUCKETS; b++)
        for (int t = 0; t < SIM_TYPES; t++)
            m->types[b][t].exists = false;
}

static model_row *fresh(model *m, const model_row *old, uint64_t seq)
{
    model_row *r = Q_NEW(m->arena, model_row);
    if (!r)
        abort();
    if (old)
        *r = *old;
    else
        *r = (model_row){ .tag = SIM_NONE, .friend = SIM_NONE };
    r->seq = seq;
    return r;
}

typedef struct run { model *m; const sim_txn *t; model_type *types; uint64_t seq; model_result *out; } run;

static void write_row(run *r, int type, int id, const model_row *row)
{
    const model_row **where = &r->types[type].rows[id];
    bool existed = *where != NULL;
    r->m->undo[r->m->undo_count++] = (model_undo){ .where = where, .was = *where };
    *where = row;
    r->out->changed = true;
    for (uint32_t i = 0; i < r->out->change_count; i++)
        if (r->out->changes[i].type == type && r->out->changes[i].id == id) {
            r->out->changes[i].deleted = !row;
            r->out->changes[i].inserted |= row && !existed;
            return;
        }
    r->out->changes[r->out->change_count++] = (model_change){ type, id, existed, !row, row && !existed };
}

static void fail(run *r, uint32_t reason)
{
    r->out->must_fail = true;
    r->out->reasons |= reason;
}

/* ---- what must hold at the end; seen too early it may be a reason, but needn't ---- */

static bool tag_taken(const run *r, int type, int id, int tag)
{
    for (int i = 0; i < SIM_IDS && tag != SIM_NONE; i++)
        if (i != id && r->types[type].rows[i] && r->types[type].rows[i]->tag == tag)
            return true;
    return false;
}

static void suspect_tag(run *r, int type, int id)
{
    const model_row *row = r->types[type].rows[id];
    if (row && tag_taken(r, type, id, row->tag))
        r->out->reasons |= MODEL_DUPLICATE_VALUE;
}

static void suspect_friend(run *r, int type, int id)
{
    const model_row *row = r->types[type].rows[id];
    if (sim_types[type].friend_required && row && (row->friend == SIM_NONE || !r->types[T_ACCT].rows[row->friend]))
        r->out->reasons |= MODEL_REQUIRED_MISSING;
}

static bool is_parent(const run *r, int id)
{
    for (int i = 0; i < SIM_IDS; i++)
        if (r->types[T_CHILD].rows[i] && r->types[T_CHILD].rows[i]->friend == id)
            return true;
    return false;
}

static void check_end(run *r)
{
    for (uint32_t c = 0; c < r->out->change_count; c++) {
        int type = r->out->changes[c].type, id = r->out->changes[c].id;
        const model_row *row = r->types[type].rows[id];
        if (row && tag_taken(r, type, id, row->tag))
            fail(r, MODEL_DUPLICATE_VALUE);
        if (row && sim_types[type].friend_required && !r->types[T_ACCT].rows[row->friend])
            fail(r, MODEL_REQUIRED_MISSING);
        if (!row && type == T_ACCT && is_parent(r, id))
            fail(r, MODEL_REQUIRED_BY_OTHERS);
    }
}

/* ---- statements ---- */

static void add_sample(run *r, model_row *row, int64_t value, int at)
{
    model_sample *s = Q_NEW(r->m->arena, model_sample);
    if (!s)
        abort();
    *s = (model_sample){ row->samples, value, at, r->seq };
    row->samples = s;
    /* The latest is the greatest (time, seq); a transaction's own time is later than all dates of 2001. */
    const model_sample *best = NULL;
    for (const model_sample *x = s; x; x = x->next) {
        bool later = !best || (x->at == SIM_NONE ? best->at != SIM_NONE : best->at != SIM_NONE && x->at > best->at);
        bool same = best && x->at == best->at;
        if (later || (same && x->seq > best->seq))
            best = x;
    }
    row->has_level = true;
    row->level = best->value;
}

static void insert(run *r, const sim_op *op)
{
    if (r->types[op->type].rows[op->id])
        fail(r, MODEL_DUPLICATE_ID);
    model_row *row = fresh(r->m, NULL, r->seq);
    row->has_num = op->num != INT64_MIN;
    row->num = op->num;
    row->has_doc = op->v != SIM_NONE;
    row->v = op->v;
    row->tag = op->tag;
    row->friend = op->friend;
    if (op->level != INT64_MIN)
        add_sample(r, row, op->level, op->at);
    write_row(r, op->type, op->id, row);
    suspect_tag(r, op->type, op->id);
    suspect_friend(r, op->type, op->id);
    q_buf_printf(r->out->answers, "insert 1;");
}

static void append(run *r, model_row *row, int64_t value)
{
    int64_t *log = Q_NEW_ARRAY(r->m->arena, int64_t, row->log_count + 1);
    if (!log)
        abort();
    if (row->log_count)
        memcpy(log, row->log, row->log_count * sizeof *log);
    log[row->log_count++] = value;
    row->log = log;
}

static void update(run *r, const sim_op *op, int id)
{
    model_row *row = fresh(r->m, r->types[op->type].rows[id], r->seq);
    switch (op->kind) {
    case OP_ADD: case OP_ADD_WHERE:
        if (row->has_num) /* NULL + k stays NULL */
            row->num += op->k;
        break;
    case OP_SET:
        row->has_num = true;
        row->num = op->k;
        break;
    case OP_SET_DOC: row->v = op->k; break;
    case OP_APPEND: append(r, row, op->k); break;
    case OP_TAG: row->tag = op->tag; break;
    case OP_FRIEND: row->friend = op->friend; break;
    default: add_sample(r, row, op->k, op->at); break;
    }
    write_row(r, op->type, id, row);
    suspect_tag(r, op->type, id);
    suspect_friend(r, op->type, id);
}

static void delete_row(run *r, int type, int id)
{
    if (type == T_ACCT && is_parent(r, id))
        r->out->reasons |= MODEL_REQUIRED_BY_OTHERS;
    write_row(r, type, id, NULL);
}

static bool below(const model_row *row, int64_t limit) { return row && row->has_num && row->num < limit; }

static void change_rows(run *r, const sim_op *op)
{
    bool by_id = op->kind != OP_ADD_WHERE && op->kind != OP_DELETE_WHERE, deletes = op->kind == OP_DELETE || op->kind == OP_DELETE_WHERE;
    uint32_t count = 0;
    for (int id = by_id ? op->id : 0; id < SIM_IDS && (!by_id || id == op->id); id++) {
        const model_row *row = r->types[op->type].rows[id];
        if (!row || (!by_id && !below(row, op->limit)))
            continue;
        count++;
        if (deletes)
            delete_row(r, op->type, id);
        else
            update(r, op, id);
    }
    q_buf_printf(r->out->answers, "%s %u;", deletes ? "delete" : "update", count);
}

/* ---- answers ---- */

static void int_or_null(q_buf *out, bool has, int64_t v)
{
    if (has)
        q_buf_printf(out, ",%lld", (long long)v);
    else
        q_buf_add_cstr(out, ",null");
}

static void whole_row(q_buf *out, const sim_type_info *t, int id, const model_row *row)
{
    q_buf_printf(out, "[\"%s\"", sim_id_name(id));
    if (t->num)
        int_or_null(out, row->has_num, row->num);
    if (t->tag && row->tag != SIM_NONE)
        q_buf_printf(out, ",\"t%d\"", row->tag);
    else if (t->tag)
        q_buf_add_cstr(out, ",null");
    if (t->doc) {
        int_or_null(out, row->has_doc, row->v);
        q_buf_add_cstr(out, row->has_doc ? ",[" : ",null");
        for (uint32_t i = 0; row->has_doc && i < row->log_count; i++)
            q_buf_printf(out, "%s%lld", i ? "," : "", (long long)row->log[i]);
        if (row->has_doc)
            q_buf_add_cstr(out, "]");
    }
    if (t->friend && row->friend != SIM_NONE)
        q_buf_printf(out, ",\"%s\"", sim_id_name(row->friend));
    else if (t->friend)
        q_buf_add_cstr(out, ",null");
    if (t->level)
        int_or_null(out, row->has_level, row->level);
    q_buf_add_cstr(out, "]");
}

static const model_row *friend_of(const run *r, const model_row *row) { return row->friend == SIM_NONE ? NULL : r->types[T_ACCT].rows[row->friend]; }

static bool one_row(run *r, const sim_op *op, int id, const model_row *row, bool first)
{
    q_buf *out = r->out->answers;
    const model_row *f = friend_of(r, row);
    bool by_id = op->kind == OP_SELECT || op->kind == OP_FOLLOW;
    if ((by_id && id != op->id) || (op->kind == OP_SELECT_WHERE && (!row->has_num || row->num < op->limit)) ||
        (op->kind == OP_FOLLOW_WHERE && (!f || !f->has_num || f->num < op->limit)))
        return false;
    if (!first)
        q_buf_add_cstr(out, ",");
    if (op->kind == OP_SELECT || op->kind == OP_SELECT_ALL) {
        whole_row(out, &sim_types[op->type], id, row);
        return true;
    }
    q_buf_printf(out, "[\"%s\"", sim_id_name(id));
    if (op->kind == OP_SELECT_WHERE)
        int_or_null(out, row->has_num, row->num);
    else if (op->kind == OP_FOLLOW)
        int_or_null(out, f && f->has_num, f ? f->num : 0);
    q_buf_add_cstr(out, "]");
    return true;
}

static void select_rows(run *r, const sim_op *op)
{
    bool first = true;
    q_buf_add_cstr(r->out->answers, "select [");
    for (int id = 0; id < SIM_IDS; id++) {
        const model_row *row = r->types[op->type].rows[id];
        if (row && one_row(r, op, id, row, first))
            first = false;
    }
    q_buf_add_cstr(r->out->answers, "];");
}

static void sum(run *r, const sim_op *op)
{
    int64_t count = 0, total = 0;
    bool any = false;
    for (int id = 0; id < SIM_IDS; id++) {
        const model_row *row = r->types[op->type].rows[id];
        count += row != NULL;
        if (row && row->has_num) {
            any = true;
            total += row->num;
        }
    }
    q_buf_printf(r->out->answers, "select [[%lld", (long long)count);
    int_or_null(r->out->answers, any, total);
    q_buf_add_cstr(r->out->answers, "]];");
}

static void ddl(run *r, const sim_op *op)
{
    model_type *type = &r->types[op->type];
    bool create = op->kind == OP_CREATE;
    if (type->exists == create) {
        if (!op->if_exists)
            fail(r, create ? MODEL_RECORD_EXISTS : MODEL_UNKNOWN_RECORD);
        return;
    }
    r->m->undo[r->m->undo_count++] = (model_undo){ .exists = &type->exists, .existed = type->exists };
    type->exists = create;
    r->out->changed = true;
    for (int id = 0; id < SIM_IDS; id++)
        if (type->rows[id]) {
            r->m->undo[r->m->undo_count++] = (model_undo){ .where = &type->rows[id], .was = type->rows[id] };
            type->rows[id] = NULL;
        }
}

static void one_op(run *r, const sim_op *op)
{
    if (op->kind == OP_NONSENSE) {
        fail(r, MODEL_NONSENSE);
        return;
    }
    if (op->kind == OP_CREATE_BUCKET)
        return; /* asked for once, at the start */
    if (!sim_op_is_ddl(op->kind) && !r->types[op->type].exists) {
        fail(r, MODEL_UNKNOWN_RECORD);
        return;
    }
    const model_row *row = r->types[op->type].rows[op->id];
    switch (op->kind) {
    case OP_INSERT: insert(r, op); break;
    case OP_SELECT: case OP_SELECT_WHERE: case OP_SELECT_ALL: case OP_FOLLOW: case OP_FOLLOW_WHERE: select_rows(r, op); break;
    case OP_SUM: sum(r, op); break;
    case OP_ASSERT:
        if (!row || !row->has_num || row->num < op->limit)
            fail(r, MODEL_ASSERT_FAILED);
        break;
    case OP_DROP: case OP_CREATE: ddl(r, op); break;
    default: change_rows(r, op); break;
    }
}

void model_run(model *m, const sim_txn *t, uint64_t seq, model_result *out)
{
    q_buf *answers = out->answers;
    out->must_fail = out->changed = false;
    out->reasons = out->change_count = 0;
    q_buf_clear(answers);
    m->undo_count = 0;
    run r = { m, t, m->types[t->bucket], seq, out };
    for (uint32_t i = 0; i < t->count; i++)
        one_op(&r, &t->ops[i]);
    check_end(&r);
}

void model_back(model *m)
{
    while (m->undo_count > 0) {
        const model_undo *u = &m->undo[--m->undo_count];
        if (u->where)
            *u->where = u->was;
        else
            *u->exists = u->existed;
    }
}
