/* writes.c - from the overlay to what each engine is told (B2): one item for each record and engine, whatever the statements did to it.
 *
 * | before the transaction | after it           | PostgreSQL                    | the others                                   |
 * |------------------------|--------------------|-------------------------------|----------------------------------------------|
 * | not there              | inserted           | PUT full, NOT_EXISTS          | PUT full, where it has an attribute          |
 * | there                  | deleted, inserted  | PUT full, as read             | PUT full, where it has one; otherwise DELETE |
 * | there                  | updated            | PUT or CHECK, as read         | PUT where written, as read                   |
 * | there                  | deleted            | DELETE, as read               | DELETE                                       |
 * | not there              | inserted, deleted  | CHECK NOT_EXISTS              |                                              |
 *
 * "As read" is SEQ_IS with the _q_seq that was read (NOT_EXISTS where no part was), or EXISTS for a blind write. */
#include <assert.h>

#include "coordinator/exec_run.h"
#include "schemas/document.h"

/* ---- required relations: nothing is written before this is known ------------------------------------------------------------ */

static bool replaced_or_gone(const q_xrow *r) { return r->touched && !r->alive && r->was == Q_WAS_PRESENT; }

static bool add_refer(q_exec *x, q_xtype *target, const q_record *rec, const q_attr *attr)
{
    q_value *ids = q_arena_alloc(x->arena, (size_t)target->touched_count * sizeof *ids);
    uint32_t n = 0;
    if (!ids)
        return false;
    for (uint32_t i = 0; i < target->touched_count; i++)
        if (replaced_or_gone(target->touched[i]))
            ids[n++] = target->touched[i]->id;
    q_xtype *own = q_plan_type(&x->planner, rec);
    for (uint32_t i = 0; i < n; i += Q_EXEC_PAGE_ROWS) {
        q_xrefer *r = own ? Q_NEW(x->arena, q_xrefer) : NULL;
        if (!r)
            return false;
        *r = (q_xrefer){ .next = x->refers, .rec = rec, .attr = attr, .target = target };
        x->refers = r;
        /* Referrers that the transaction itself wrote say nothing; one more row than those is enough. */
        if (!q_fetch_referrers(x, r, ids + i, n - i < Q_EXEC_PAGE_ROWS ? n - i : Q_EXEC_PAGE_ROWS, own->touched_count + 1))
            return false;
    }
    return true;
}

static bool ask_referrers(q_exec *x)
{
    const q_bucket *b = x->planner.bucket;
    q_fetch_begin(x);
    for (q_xtype *t = x->planner.types; t; t = t->next) {
        bool gone = false;
        for (uint32_t i = 0; t->has_referrers && i < t->touched_count && !gone; i++)
            gone = replaced_or_gone(t->touched[i]);
        for (uint32_t i = 0; gone && i < b->count; i++)
            for (uint32_t j = 0; j < b->records[i]->count; j++) {
                const q_attr *a = &b->records[i]->attrs[j];
                if (a->kind == Q_K_RELATION && a->required && q_slice_eq(a->target, t->rec->name) && !add_refer(x, t, b->records[i], a))
                    return false;
            }
    }
    return true;
}

static const q_xrow *deleted_target(const q_xtype *target, const q_value *ids)
{
    for (uint32_t i = 0; ids->type == Q_T_RELATION && i < ids->rel.count; i++) {
        const q_xrow *row = q_overlay_find(target, &ids->rel.items[i]);
        if (row && replaced_or_gone(row))
            return row;
    }
    return NULL;
}

/* Does a record that stays still require one that is deleted? */
static q_rc check_refer(q_exec *x, const q_xrefer *r, q_err *err)
{
    const q_xtype *own = q_plan_type(&x->planner, r->rec);
    for (uint32_t i = 0; own && i < r->count; i++) {
        const q_xrow *row = q_overlay_find(own, &r->rows[i].id);
        if (row && row->touched && (!row->alive || q_attrset_has(&row->dirty, r->attr->index)))
            continue; /* what it has now was looked at with all that was written */
        const q_xrow *gone = deleted_target(r->target, &r->rows[i].values[0]);
        if (!gone)
            continue;
        q_slice a = q_exec_id_text(x->arena, &gone->id), b = q_exec_id_text(x->arena, &r->rows[i].id);
        q_err_set(err, Q_E_REQUIRED_BY_OTHERS, "%.*s %.*s is the %.*s of %.*s %.*s.", Q_SLICE_FMT(r->target->rec->name), Q_SLICE_FMT(a),
                  Q_SLICE_FMT(r->attr->name), Q_SLICE_FMT(r->rec->name), Q_SLICE_FMT(b));
        err->statement = gone->statement;
        return Q_FAIL;
    }
    return Q_OK;
}

q_step_rc q_writes_check(q_exec *x, q_err *err)
{
    if (!x->refers_asked) {
        x->refers_asked = true;
        if (!ask_referrers(x)) {
            (void)q_exec_no_memory(err);
            return Q_STEP_FAIL;
        }
        if (x->pending)
            return Q_STEP_READS;
    }
    for (const q_xrefer *r = x->refers; r; r = r->next)
        if (check_refer(x, r, err) != Q_OK)
            return Q_STEP_FAIL;
    return Q_STEP_END;
}

/* ---- items ----------------------------------------------------------------------------------------------------------------- */

typedef struct builder {
    q_exec *x;
    uint32_t count[Q_EN_COUNT], cap[Q_EN_COUNT], origin_cap[Q_EN_COUNT];
    q_item *items[Q_EN_COUNT];
    size_t room[Q_EN_COUNT];     /* bytes that the encoding takes at most */
    q_rec_event *events;
    uint32_t event_count, event_cap;
    uint64_t event_bytes;
} builder;

/* At most what a value takes in msgpack, its type and time included. */
static size_t value_room(const q_value *v)
{
    size_t n = 48;
    if (v->type == Q_T_STRING || v->type == Q_T_BYTES || v->type == Q_T_DOC)
        n += v->s.len;
    for (uint32_t i = 0; v->type == Q_T_RELATION && i < v->rel.count; i++)
        n += 24 + (v->rel.items[i].type == Q_T_STRING ? v->rel.items[i].s.len : 0);
    return n;
}

static q_item *add_item(builder *b, q_engine_id e, q_item_op op, const q_record *rec, const q_value *id, q_item_origin origin)
{
    q_exec *x = b->x;
    q_item *item = Q_PUSH(x->arena, b->items[e], b->count[e], b->cap[e]);
    q_item_origin *o = item ? Q_PUSH(x->arena, x->origins[e], x->origin_count[e], b->origin_cap[e]) : NULL;
    if (!o)
        return NULL;
    *o = origin;
    item->op = op;
    item->record = rec->name;
    item->incarnation = rec->incarnation;
    item->id = *id;
    b->room[e] += 96 + rec->name.len + value_room(id);
    return item;
}

static bool is_written(const q_xrow *r, const q_attr *a)
{
    if (!q_attrset_has(&r->dirty, a->index))
        return false;
    return !r->new_life || q_xrow_value((q_xrow *)r, a)->type != Q_T_NULL; /* a new life begins empty */
}

/* The fields that the row's item has in an engine. False when out of memory. */
static bool add_fields(builder *b, q_engine_id e, q_item *item, q_xrow *r)
{
    const q_record *rec = r->type->rec;
    uint32_t n = 0;
    if (e == Q_EN_INFLUX)
        for (const q_xsample *s = r->samples; s; s = s->next)
            n++;
    else
        for (uint32_t i = 1; i < rec->count; i++)
            n += q_kind_engine(rec->attrs[i].kind) == e && is_written(r, &rec->attrs[i]);
    if (n == 0)
        return true;
    q_field *f = q_arena_alloc(b->x->arena, n * sizeof *f);
    if (!f)
        return false;
    item->fields = f;
    item->count = n;
    if (e == Q_EN_INFLUX)
        for (const q_xsample *s = r->samples; s; s = s->next)
            *f++ = (q_field){ .attr = s->attr->name, .value = s->value };
    else
        for (uint32_t i = 1; i < rec->count; i++)
            if (q_kind_engine(rec->attrs[i].kind) == e && is_written(r, &rec->attrs[i]))
                *f++ = (q_field){ .attr = rec->attrs[i].name, .value = *q_xrow_value(r, &rec->attrs[i]) };
    for (uint32_t i = 0; i < n; i++)
        b->room[e] += 16 + item->fields[i].attr.len + value_room(&item->fields[i].value);
    return true;
}

/* Which engines get fields of this row? */
static uint32_t written_engines(const q_xrow *r)
{
    uint32_t mask = r->samples ? Q_EN_BIT(Q_EN_INFLUX) : 0;
    for (uint32_t i = 1; i < r->type->rec->count; i++) {
        const q_attr *a = &r->type->rec->attrs[i];
        if (a->kind != Q_K_METRIC && q_attrset_has(&r->dirty, i) && is_written(r, a))
            mask |= Q_EN_BIT(q_kind_engine(a->kind));
    }
    return mask;
}

static void as_read(q_item *item, const q_xrow *r, q_engine_id e)
{
    uint32_t bit = Q_EN_BIT(e);
    if (r->read_parts & bit && e != Q_EN_INFLUX) { /* points are added, whatever is there */
        item->pre = r->live_parts & bit ? Q_PRE_SEQ_IS : Q_PRE_NOT_EXISTS;
        item->seq_is = r->live_parts & bit ? r->seq[e] : 0;
    } else if (e == Q_EN_POSTGRES) {
        item->pre = Q_PRE_EXISTS;
    }
}

static bool add_new_life(builder *b, q_xrow *r, q_item_origin origin)
{
    const q_record *rec = r->type->rec;
    bool replaces = r->was == Q_WAS_PRESENT;
    uint32_t written = written_engines(r) | Q_EN_BIT(Q_EN_POSTGRES);
    for (int i = 0; i < Q_EN_COUNT; i++) {
        q_engine_id e = (q_engine_id)i;
        if (!(written & Q_EN_BIT(e)) && !(replaces && rec->engines & Q_EN_BIT(e)))
            continue;
        bool put = written & Q_EN_BIT(e);
        q_item *item = add_item(b, e, put ? Q_I_PUT : Q_I_DELETE, rec, &r->id, origin);
        if (!item)
            return false;
        item->full = put;
        item->birth = put ? 0 : r->birth;
        if (replaces)
            as_read(item, r, e);
        else if (e == Q_EN_POSTGRES)
            item->pre = Q_PRE_NOT_EXISTS;
        if (put && !add_fields(b, e, item, r))
            return false;
    }
    return true;
}

static bool add_update(builder *b, q_xrow *r, q_item_origin origin)
{
    uint32_t written = written_engines(r);
    if (!written)
        return true; /* a sample that was NULL; a blind write always writes */
    for (int i = 0; i < Q_EN_COUNT; i++) {
        q_engine_id e = (q_engine_id)i;
        bool put = written & Q_EN_BIT(e);
        if (!put && e != Q_EN_POSTGRES)
            continue;
        q_item *item = add_item(b, e, put ? Q_I_PUT : Q_I_CHECK, r->type->rec, &r->id, origin);
        if (!item)
            return false;
        item->birth = r->birth;
        as_read(item, r, e);
        if (put && !add_fields(b, e, item, r))
            return false;
    }
    return true;
}

static bool add_delete(builder *b, const q_xrow *r, q_item_origin origin)
{
    const q_record *rec = r->type->rec;
    for (int i = 0; i < Q_EN_COUNT; i++) {
        q_engine_id e = (q_engine_id)i;
        if (e != Q_EN_POSTGRES && !(rec->engines & Q_EN_BIT(e)))
            continue;
        q_item *item = add_item(b, e, Q_I_DELETE, rec, &r->id, origin);
        if (!item)
            return false;
        item->birth = r->birth;
        as_read(item, r, e);
    }
    return true;
}

static bool add_row(builder *b, q_xrow *r)
{
    q_item_origin origin = { .row = r, .statement = r->new_life ? r->insert_statement : r->statement };
    if (r->alive)
        return r->new_life ? add_new_life(b, r, origin) : add_update(b, r, origin);
    if (r->was == Q_WAS_PRESENT)
        return add_delete(b, r, origin);
    if (r->was == Q_WAS_ABSENT)
        return true;
    origin.statement = r->insert_statement;
    q_item *item = add_item(b, Q_EN_POSTGRES, Q_I_CHECK, r->type->rec, &r->id, origin);
    if (item)
        item->pre = Q_PRE_NOT_EXISTS;
    return item != NULL;
}

/* ---- required targets ---------------------------------------------------------------------------------------------------------- */

static q_rc missing_target(q_exec *x, const q_xrow *r, const q_attr *a, const q_value *target, q_err *err)
{
    q_slice id = q_exec_id_text(x->arena, &r->id), to = q_exec_id_text(x->arena, target);
    q_err_set(err, Q_E_REQUIRED_MISSING, "%.*s %.*s needs %.*s %.*s as its %.*s, which doesn't exist.", Q_SLICE_FMT(r->type->rec->name),
              Q_SLICE_FMT(id), Q_SLICE_FMT(a->target), Q_SLICE_FMT(to), Q_SLICE_FMT(a->name));
    err->statement = r->statement;
    return Q_FAIL;
}

/* A target that the transaction doesn't write itself gets a CHECK: its precondition goes with the prepare. */
static q_rc require_target(builder *b, q_xrow *r, const q_attr *a, q_xtype *target, const q_value *id, q_err *err)
{
    q_exec *x = b->x;
    if (!target || id->type != target->rec->attrs[0].datatype)
        return missing_target(x, r, a, id, err);
    q_xrow *row = q_overlay_row(target, id, true);
    if (!row)
        return q_exec_no_memory(err);
    if (row->touched ? !row->alive : row->was == Q_WAS_ABSENT)
        return missing_target(x, r, a, id, err);
    if (row->touched || row->checked)
        return Q_OK;
    row->checked = true;
    q_item_origin origin = { .row = r, .required = a, .target = &row->id, .statement = r->statement };
    q_item *item = add_item(b, Q_EN_POSTGRES, Q_I_CHECK, target->rec, &row->id, origin);
    if (!item)
        return q_exec_no_memory(err);
    item->pre = Q_PRE_EXISTS;
    return Q_OK;
}

static q_rc require_targets(builder *b, q_xrow *r, q_err *err)
{
    const q_record *rec = r->type->rec;
    q_rc rc = Q_OK;
    for (uint32_t i = 1; rc == Q_OK && r->alive && i < rec->count; i++) {
        const q_attr *a = &rec->attrs[i];
        if (a->kind != Q_K_RELATION || !a->required || !q_attrset_has(&r->dirty, i))
            continue;
        const q_record *to = q_bucket_record(b->x->planner.bucket, a->target);
        q_xtype *target = to ? q_plan_type(&b->x->planner, to) : NULL;
        const q_value *ids = q_xrow_value(r, a);
        for (uint32_t j = 0; rc == Q_OK && ids->type == Q_T_RELATION && j < ids->rel.count; j++)
            rc = require_target(b, r, a, target, &ids->rel.items[j], err);
    }
    return rc;
}

/* ---- change events (B10) --------------------------------------------------------------------------------------------------------- */

static void event_after(q_json *json, q_xrow *r)
{
    const q_record *rec = r->type->rec;
    if (!r->alive) {
        q_json_lit(json, "null");
        return;
    }
    yajl_gen g = q_json_value(json);
    yajl_gen_map_open(g);
    for (uint32_t i = 1; i < rec->count; i++) {
        const q_attr *a = &rec->attrs[i];
        if (!is_written(r, a))
            continue;
        q_json_str(g, a->name);
        q_value_to_json(q_xrow_value(r, a), a->many, g);
    }
    yajl_gen_map_close(g);
}

/* {"seq":7,"index":0,"bucket":"shop","record":"orders","id":"order_123","op":"update","after":{"total_cost":89.5}} */
static q_slice event_json(q_exec *x, q_xrow *r, uint32_t index)
{
    q_json *json = x->json;
    q_json_begin(json);
    q_json_lit(json, "{\"seq\":");
    q_json_uint(json, x->seq);
    q_json_lit(json, ",\"index\":");
    q_json_uint(json, index);
    q_json_lit(json, ",\"bucket\":\"");
    q_json_raw(json, r->type->rec->bucket);
    q_json_lit(json, "\",\"record\":\"");
    q_json_raw(json, r->type->rec->name);
    q_json_lit(json, "\",\"id\":");
    q_value_to_json(&r->id, false, q_json_value(json));
    q_json_lit(json, ",\"op\":\"");
    q_json_raw(json, q_slice_cstr(!r->alive ? "delete" : r->new_life ? "insert" : "update"));
    q_json_lit(json, "\",\"after\":");
    event_after(json, r);
    q_json_lit(json, "}");
    q_slice s = q_json_end(json);
    return s.ptr ? q_arena_copy(x->lasting_arena, s) : s;
}

static bool add_event(builder *b, q_xrow *r)
{
    q_exec *x = b->x;
    bool before = r->was == Q_WAS_PRESENT;
    if ((!r->alive && !before) || (r->alive && !r->new_life && !written_engines(r)))
        return true;
    q_rec_event *ev = Q_PUSH(x->lasting_arena, b->events, b->event_count, b->event_cap);
    if (!ev)
        return false;
    ev->value = event_json(x, r, b->event_count - 1);
    char text[80];
    q_buf t = { text, 0, sizeof text, sizeof text, false };
    if (r->id.type != Q_T_STRING)
        q_value_text(&r->id, &t);
    ev->key = q_arena_copy(x->lasting_arena, r->id.type == Q_T_STRING ? r->id.s : q_buf_slice(&t));
    b->event_bytes += ev->value.len + ev->key.len;
    return ev->value.ptr && ev->key.ptr;
}

/* ---- encoding ------------------------------------------------------------------------------------------------------------------ */

static q_rc too_large(q_err *err)
{
    q_err_set(err, Q_E_WRITE_TOO_LARGE, "The transaction writes more than %d MiB to one engine or %d MiB in all.",
              Q_EXEC_MAX_ENGINE_BYTES >> 20, Q_EXEC_MAX_WRITE_BYTES >> 20);
    q_err_hint(err, "Split it into several transactions.");
    return Q_FAIL;
}

/* Straight into the arena: `room` is an upper bound, so the buffer never grows. */
static q_rc encode(q_exec *x, const q_writes *w, size_t room, q_slice *out, q_err *err)
{
    if (room > 8u * Q_EXEC_MAX_ENGINE_BYTES)
        return too_large(err);
    char *p = q_arena_alloc(x->lasting_arena, room);
    q_buf b = { p, 0, room, room, false };
    if (!p)
        return q_exec_no_memory(err);
    q_writes_encode(w, &b);
    assert(!b.failed);
    if (b.failed)
        return q_err_set(err, Q_E_INTERNAL, "The writes are larger than they can be.");
    *out = q_buf_slice(&b);
    q_arena_shrink(x->lasting_arena, p, room, out->len);
    return out->len > Q_EXEC_MAX_ENGINE_BYTES ? too_large(err) : Q_OK;
}

static q_rc encode_all(builder *b, q_exec_outcome *out, q_err *err)
{
    q_exec *x = b->x;
    uint64_t total = b->event_bytes;
    for (int e = 0; e < Q_EN_COUNT; e++) {
        if (!b->count[e])
            continue;
        if (b->count[e] > Q_WIRE_MAX_ITEMS)
            return q_err_set(err, Q_E_WRITE_TOO_LARGE, "The transaction writes %u records; %d are allowed.", b->count[e], Q_WIRE_MAX_ITEMS);
        q_writes w = { x->planner.bucket->incarnation, x->script->bucket, b->count[e], b->items[e] };
        q_rc rc = encode(x, &w, b->room[e] + 128 + w.bucket.len, &out->writes[e], err);
        if (rc != Q_OK)
            return rc;
        out->participants |= Q_EN_BIT(e);
        total += out->writes[e].len;
    }
    return total > Q_EXEC_MAX_WRITE_BYTES ? too_large(err) : Q_OK;
}

q_rc q_writes_build(q_exec *x, q_exec_outcome *out, q_err *err)
{
    builder b = { .x = x };
    for (q_xtype *t = x->planner.types; t; t = t->next)
        for (uint32_t i = 0; i < t->touched_count; i++) {
            q_xrow *r = t->touched[i];
            out->may_be_missing = out->may_be_missing || r->assumed;
            if (!add_row(&b, r) || (!x->no_events && !add_event(&b, r)))
                return q_exec_no_memory(err);
            q_rc rc = require_targets(&b, r, err);
            if (rc != Q_OK)
                return rc;
        }
    out->events = b.events;
    out->event_count = b.event_count;
    return encode_all(&b, out, err);
}
