/* generate_wire.h - messages from a seed, and whether two say the same. */
#ifndef Q_TESTS_GENERATE_WIRE_H
#define Q_TESTS_GENERATE_WIRE_H

#include "schemas/wire/wire.h"
#include "tests/unit/schemas/generate.h"

#define NEW(g, type, n) Q_NEW_ARRAY((g)->arena, type, (n) + 1)

static inline q_ddl gen_ddl(gen *g)
{
    q_ddl d = { .kind = (q_ddl_kind)(1 + gen_below(g, Q_DDL_DROP_RECORD)), .bucket = gen_name(g), .record = gen_name(g) };
    d.if_exists = gen_below(g, 2);
    d.if_not_exists = gen_below(g, 2);
    d.cascade = gen_below(g, 2);
    d.count = gen_below(g, 6);
    q_attr *attrs = NEW(g, q_attr, d.count);
    for (uint32_t i = 0; i < d.count; i++)
        attrs[i] = (q_attr){ .name = gen_name(g), .kind = (q_kind)gen_below(g, Q_K_COUNT), .datatype = (q_type)gen_below(g, Q_T_COUNT),
            .target = gen_name(g), .unit = gen_text(g, Q_MAX_NAME_BYTES), .many = gen_below(g, 2), .required = gen_below(g, 2),
            .unique = gen_below(g, 2), .index = i };
    d.attrs = attrs;
    return d;
}

static inline q_writes gen_writes(gen *g)
{
    q_writes w = { .bucket_incarnation = gen_u64(g) >> gen_below(g, 64), .bucket = gen_name(g), .count = gen_below(g, 6) };
    q_item *items = NEW(g, q_item, w.count);
    for (uint32_t i = 0; i < w.count; i++) {
        q_item *it = &items[i];
        it->op = (q_item_op)(1 + gen_below(g, Q_I_DDL));
        it->record = gen_name(g);
        it->incarnation = gen_u64(g) >> gen_below(g, 64);
        it->pre = gen_below(g, 8);
        it->seq_is = gen_u64(g) >> gen_below(g, 64);
        it->birth = gen_u64(g) >> gen_below(g, 64);
        it->full = gen_below(g, 2);
        if (it->op == Q_I_DDL) {
            it->ddl = gen_ddl(g);
            continue;
        }
        it->id = gen_id(g);
        it->count = gen_below(g, 5);
        q_field *fields = NEW(g, q_field, it->count);
        for (uint32_t f = 0; f < it->count; f++)
            fields[f] = (q_field){ gen_name(g), gen_value(g) };
        it->fields = fields;
    }
    w.items = items;
    return w;
}

static inline q_slice gen_bytes(gen *g, uint32_t max)
{
    uint32_t n = gen_below(g, max);
    char *p = q_arena_alloc(g->arena, n + 1);
    for (uint32_t i = 0; i < n; i++)
        p[i] = (char)gen_u64(g);
    return q_slice_of(p, n);
}

static inline q_slice *gen_slices(gen *g, uint32_t n, bool names)
{
    q_slice *s = NEW(g, q_slice, n);
    for (uint32_t i = 0; i < n; i++)
        s[i] = names ? gen_name(g) : gen_text(g, 50);
    return s;
}

static inline q_value *gen_values(gen *g, uint32_t n, bool ids)
{
    q_value *v = NEW(g, q_value, n);
    for (uint32_t i = 0; i < n; i++)
        v[i] = ids ? gen_id(g) : gen_value(g);
    return v;
}

static inline q_read gen_read(gen *g)
{
    q_read r = { .read_id = gen_u64(g), .kind = (q_read_kind)(1 + gen_below(g, 3)), .bucket = gen_name(g), .record = gen_name(g),
        .incarnation = gen_u64(g), .limit = 1 + gen_below(g, 5000) };
    r.attr_count = gen_below(g, 4) + (r.kind == Q_R_REFERRERS);
    r.attrs = gen_slices(g, r.attr_count, true);
    r.id_count = gen_below(g, 5);
    r.ids = gen_values(g, r.id_count, true);
    r.pred_count = gen_below(g, 4);
    q_pred *preds = NEW(g, q_pred, r.pred_count);
    for (uint32_t i = 0; i < r.pred_count; i++) {
        q_pred *p = &preds[i];
        p->attr = gen_name(g);
        p->step_count = gen_below(g, 3);
        p->steps = gen_slices(g, p->step_count, false);
        p->op = (q_cmp_op)(1 + gen_below(g, Q_C_NOT_NULL));
        p->count = p->op == Q_C_IN ? gen_below(g, 5) : p->op >= Q_C_IS_NULL ? 0 : 1;
        p->values = gen_values(g, p->count, false);
    }
    r.preds = preds;
    r.has_after = gen_below(g, 2);
    if (r.has_after)
        r.after = gen_id(g);
    return r;
}

static inline q_rows gen_rows(gen *g)
{
    q_rows r = { .read_id = gen_u64(g), .rc = (q_rc[]){ Q_OK, Q_FAIL, Q_RETRY }[gen_below(g, 3)], .more = gen_below(g, 2) };
    if (r.rc != Q_OK) {
        r.code = (q_code)(1 + gen_below(g, Q_E_COUNT - 1));
        r.error = gen_text(g, 100);
    }
    r.attr_count = gen_below(g, 5);
    r.count = gen_below(g, 6);
    q_row *rows = NEW(g, q_row, r.count);
    for (uint32_t i = 0; i < r.count; i++)
        rows[i] = (q_row){ gen_id(g), gen_u64(g), gen_u64(g) >> gen_below(g, 64), gen_values(g, r.attr_count, false) };
    r.rows = rows;
    return r;
}

static inline q_msg gen_msg(gen *g)
{
    q_msg m = { .kind = (q_msg_kind)(1 + gen_below(g, Q_M_PURGE)),
                .cluster = gen_u64(g),
                .epoch = gen_u64(g),
                .engine = (q_engine_id)gen_below(g, Q_EN_COUNT),
                .batch = gen_u64(g) >> gen_below(g, 64),
                .below = gen_u64(g),
                .count = gen_below(g, 5) };
    m.bucket = gen_below(g, 3) ? gen_name(g) : Q_SLICE_NONE;
    uint32_t n = m.count;
    q_txn_work *txns = NEW(g, q_txn_work, n);
    uint64_t *seqs = NEW(g, uint64_t, n);
    q_vote *votes = NEW(g, q_vote, n);
    q_read *reads = NEW(g, q_read, n);
    q_rows *rows = NEW(g, q_rows, n);
    q_engine_state *state = NEW(g, q_engine_state, 1);
    for (uint32_t i = 0; i < n; i++) {
        txns[i] = (q_txn_work){ gen_u64(g), gen_int(g), gen_bytes(g, 300) };
        seqs[i] = gen_u64(g) >> gen_below(g, 64);
        votes[i] = (q_vote){ gen_u64(g), (q_no)gen_below(g, Q_NO_REFUSED + 1), gen_below(g, 1000), gen_text(g, 100) };
    }
    switch (m.kind) {
    case Q_M_PREPARE:
    case Q_M_COMMIT:
        m.txns = txns;
        break;
    case Q_M_ABORT:
    case Q_M_ACK:
    case Q_M_ASK:
        m.seqs = seqs;
        break;
    case Q_M_VOTE:
        m.votes = votes;
        break;
    case Q_M_READ:
        for (uint32_t i = 0; i < n; i++)
            reads[i] = gen_read(g);
        m.reads = reads;
        break;
    case Q_M_ROWS:
        for (uint32_t i = 0; i < n; i++)
            rows[i] = gen_rows(g);
        m.rows = rows;
        break;
    case Q_M_STATE:
        m.count = 1;
        *state = (q_engine_state){ gen_u64(g), gen_u64(g), gen_u64(g), gen_u64(g) };
        m.state = state;
        break;
    case Q_M_FENCE:
    case Q_M_PURGE:
        m.count = 0;
        break;
    }
    return m;
}

/* ---- the same? ------------------------------------------------------------------------------------------------------- */

/* Stricter than q_value_same: a decimal's scale, a float's bits, a document's bytes, a sample's time. */
static inline bool value_identical(const q_value *a, const q_value *b)
{
    if (a->type != b->type || a->at_us != b->at_us)
        return false;
    switch (a->type) {
    case Q_T_DECIMAL:
        return a->scale == b->scale && a->coefficient == b->coefficient;
    case Q_T_FLOAT:
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case Q_T_DOC:
        return q_slice_eq(a->s, b->s);
    case Q_T_RELATION:
        if (a->rel.count != b->rel.count)
            return false;
        for (uint32_t i = 0; i < a->rel.count; i++)
            if (!value_identical(&a->rel.items[i], &b->rel.items[i]))
                return false;
        return true;
    default:
        return q_value_same(a, b);
    }
}

static inline bool values_identical(const q_value *a, const q_value *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!value_identical(&a[i], &b[i]))
            return false;
    return true;
}

static inline bool slices_identical(const q_slice *a, const q_slice *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!q_slice_eq(a[i], b[i]))
            return false;
    return true;
}

static inline bool ddl_identical(const q_ddl *a, const q_ddl *b)
{
    bool same = a->kind == b->kind && q_slice_eq(a->bucket, b->bucket) && q_slice_eq(a->record, b->record) && a->if_exists == b->if_exists
                && a->if_not_exists == b->if_not_exists && a->cascade == b->cascade && a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        const q_attr *x = &a->attrs[i], *y = &b->attrs[i];
        same = q_slice_eq(x->name, y->name) && x->kind == y->kind && x->datatype == y->datatype && q_slice_eq(x->target, y->target)
               && q_slice_eq(x->unit, y->unit) && x->many == y->many && x->required == y->required && x->unique == y->unique
               && x->index == y->index;
    }
    return same;
}

static inline bool writes_identical(const q_writes *a, const q_writes *b)
{
    if (a->bucket_incarnation != b->bucket_incarnation || !q_slice_eq(a->bucket, b->bucket) || a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const q_item *x = &a->items[i], *y = &b->items[i];
        if (x->op != y->op || !q_slice_eq(x->record, y->record) || x->incarnation != y->incarnation || !value_identical(&x->id, &y->id)
            || x->pre != y->pre || x->seq_is != y->seq_is || x->full != y->full || x->birth != y->birth || x->count != y->count)
            return false;
        for (uint32_t f = 0; f < x->count; f++)
            if (!q_slice_eq(x->fields[f].attr, y->fields[f].attr) || !value_identical(&x->fields[f].value, &y->fields[f].value))
                return false;
        if (x->op == Q_I_DDL && !ddl_identical(&x->ddl, &y->ddl))
            return false;
    }
    return true;
}

static inline bool read_identical(const q_read *a, const q_read *b)
{
    bool same = a->read_id == b->read_id && a->kind == b->kind && q_slice_eq(a->bucket, b->bucket) && q_slice_eq(a->record, b->record)
                && a->incarnation == b->incarnation && a->attr_count == b->attr_count && slices_identical(a->attrs, b->attrs, a->attr_count)
                && a->id_count == b->id_count && values_identical(a->ids, b->ids, a->id_count) && a->pred_count == b->pred_count
                && a->has_after == b->has_after && (!a->has_after || value_identical(&a->after, &b->after)) && a->limit == b->limit;
    for (uint32_t i = 0; same && i < a->pred_count; i++) {
        const q_pred *x = &a->preds[i], *y = &b->preds[i];
        same = q_slice_eq(x->attr, y->attr) && x->step_count == y->step_count && slices_identical(x->steps, y->steps, x->step_count)
               && x->op == y->op && x->count == y->count && values_identical(x->values, y->values, x->count);
    }
    return same;
}

static inline bool rows_identical(const q_rows *a, const q_rows *b)
{
    bool same = a->read_id == b->read_id && a->rc == b->rc && a->code == b->code && q_slice_eq(a->error, b->error) && a->more == b->more
                && a->attr_count == b->attr_count && a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = value_identical(&a->rows[i].id, &b->rows[i].id) && a->rows[i].seq == b->rows[i].seq && a->rows[i].birth == b->rows[i].birth
               && values_identical(a->rows[i].values, b->rows[i].values, a->attr_count);
    return same;
}

static inline bool msg_identical(const q_msg *a, const q_msg *b)
{
    bool same = a->kind == b->kind && a->cluster == b->cluster && a->epoch == b->epoch && a->engine == b->engine && a->batch == b->batch
                && q_slice_eq(a->bucket, b->bucket) && a->below == b->below && a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        switch (a->kind) {
        case Q_M_PREPARE:
        case Q_M_COMMIT:
            same = a->txns[i].seq == b->txns[i].seq && a->txns[i].time_us == b->txns[i].time_us
                   && q_slice_eq(a->txns[i].writes, b->txns[i].writes);
            break;
        case Q_M_ABORT:
        case Q_M_ACK:
        case Q_M_ASK:
            same = a->seqs[i] == b->seqs[i];
            break;
        case Q_M_VOTE:
            same = a->votes[i].seq == b->votes[i].seq && a->votes[i].no == b->votes[i].no && a->votes[i].item == b->votes[i].item
                   && q_slice_eq(a->votes[i].text, b->votes[i].text);
            break;
        case Q_M_READ:
            same = read_identical(&a->reads[i], &b->reads[i]);
            break;
        case Q_M_ROWS:
            same = rows_identical(&a->rows[i], &b->rows[i]);
            break;
        case Q_M_STATE:
            same = memcmp(&a->state[i], &b->state[i], sizeof *a->state) == 0;
            break;
        case Q_M_FENCE:
        case Q_M_PURGE:
            break;
        }
    return same;
}

#endif
