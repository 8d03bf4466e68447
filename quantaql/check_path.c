/* Names to definitions: records, attributes, and paths through relations into documents. */
#include "quantaql/check.h"

const q_record *q_check_record(q_checker *c, q_slice name, q_pos pos)
{
    const q_record *r = q_visible_record(c, name);
    if (r)
        return r;
    q_check_fail(c, Q_E_UNKNOWN_RECORD, pos, "the bucket %.*s has no record %.*s", Q_BRIEF(c->script->bucket), Q_BRIEF(name));
    q_slice near = q_visible_record_near(c, name);
    if (near.len)
        q_err_hint(c->err, "Did you mean %.*s?", Q_SLICE_FMT(near));
    return NULL;
}

const q_attr *q_check_attr(q_checker *c, const q_record *r, q_slice name, q_pos pos)
{
    const q_attr *a = q_visible_attr(c, r, name);
    if (a)
        return a;
    q_check_fail(c, Q_E_UNKNOWN_ATTRIBUTE, pos, "the record %.*s has no attribute %.*s", Q_SLICE_FMT(r->name), Q_BRIEF(name));
    q_slice near = q_visible_attr_near(c, r, name);
    if (near.len)
        q_err_hint(c->err, "Did you mean %.*s?", Q_SLICE_FMT(near));
    return NULL;
}

const char *q_check_many(const q_expr *e)
{
    if (e->kind != Q_X_PATH)
        return NULL;
    for (uint32_t i = 0; i < e->path.hop_count; i++)
        if (e->path.hops[i]->many)
            return e->path.hops[i]->name.ptr;
    return NULL;
}

static q_pos name_pos(const q_checker *c, const q_expr *e, uint32_t i)
{
    return i == 0 && !e->path.arrow_count ? e->pos : q_check_locate(c, e->path.names[i].ptr, e->pos);
}

static bool no_record(q_checker *c, const q_expr *e)
{
    q_slice name = e->path.names[0];
    q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "%s can't read the attribute %.*s", c->place, Q_BRIEF(name));
    if (c->subqueries)
        q_err_hint(c->err, "ASSERT reads records with (SELECT ...) or EXISTS (SELECT ...).");
    else
        q_err_hint(c->err, "Text stands in quotation marks: \"%.*s\".", Q_BRIEF(name));
    return false;
}

/* What follows attribute `i` of a document is the path into it. */
static bool into_document(q_checker *c, q_expr *e, uint32_t i)
{
    q_path *p = &e->path;
    uint32_t keys = p->name_count - i - 1, count = keys + p->step_count;
    if (count > Q_MAX_DOC_STEPS)
        return q_check_fail(c, Q_E_QQL_LIMIT, e->pos, "a path into a document may have %d steps", Q_MAX_DOC_STEPS);
    if (keys > 0) {
        q_step *steps = Q_NEW_ARRAY(c->arena, q_step, count);
        if (!steps)
            return q_check_memory(c, e->pos);
        for (uint32_t k = 0; k < keys; k++)
            steps[k].key = p->names[i + 1 + k];
        if (p->step_count)
            memcpy(steps + keys, p->steps, p->step_count * sizeof *steps);
        p->steps = steps;
        p->step_count = count;
    }
    e->type = count ? Q_T_NULL : Q_T_DOC;
    return true;
}

static bool no_parts(q_checker *c, const q_expr *e, uint32_t i, const q_attr *a)
{
    const q_path *p = &e->path;
    bool more_names = i + 1 < p->name_count;
    q_pos pos = more_names ? name_pos(c, e, i + 1) : e->pos;
    q_check_fail(c, Q_E_QQL_TYPE, pos, "%.*s is a %s of type %s: it has no parts", Q_SLICE_FMT(a->name), q_kind_name(a->kind),
                 q_type_name(a->datatype));
    if (a->kind == Q_K_RELATION)
        q_err_hint(c->err, "Its target's attributes are read as %.*s.attribute.", Q_SLICE_FMT(a->name));
    return false;
}

static bool store_hops(q_checker *c, q_expr *e, const q_attr **hops, const q_record **types, uint32_t count)
{
    q_path *p = &e->path;
    p->hop_count = count;
    if (count == 0)
        return true;
    const q_attr **h = Q_NEW_ARRAY(c->arena, const q_attr *, count);
    const q_record **t = Q_NEW_ARRAY(c->arena, const q_record *, count);
    if (!h || !t)
        return q_check_memory(c, e->pos);
    memcpy(h, hops, count * sizeof *h);
    memcpy(t, types, count * sizeof *t);
    p->hops = h;
    p->hop_types = t;
    return true;
}

bool q_check_path(q_checker *c, q_expr *e)
{
    q_path *p = &e->path;
    const q_attr *hops[Q_QL_MAX_HOPS];
    const q_record *types[Q_QL_MAX_HOPS], *r = c->record;
    uint32_t hop_count = 0;
    if (p->attr || p->hop_count)
        return true; /* a column that ORDER BY or HAVING names: resolved already */
    if (!r)
        return no_record(c, e);
    p->any = p->arrow_count > 0;
    if (p->name_count == 1 && !p->arrow_count && !p->step_count && !c->own_only && q_slice_eq(p->names[0], q_attr_seq.name)) {
        p->attr = &q_attr_seq;
        e->type = Q_T_INT;
        return q_check_reads(c, r, &q_attr_seq, false, e->pos);
    }
    for (uint32_t i = 0;; i++) {
        const q_attr *a = q_visible_attr(c, r, p->names[i]);
        bool last = i + 1 == p->name_count;
        if (!a) {
            (void)q_check_attr(c, r, p->names[i], name_pos(c, e, i));
            return false;
        }
        if (!q_check_reads(c, r, a, hop_count > 0, name_pos(c, e, i)))
            return false;
        if (i < p->arrow_count && a->kind != Q_K_RELATION)
            return q_check_fail(c, Q_E_QQL_TYPE, name_pos(c, e, i), "only relations stand in path(); %.*s is a %s", Q_SLICE_FMT(a->name),
                                q_kind_name(a->kind));
        if (last || a->kind != Q_K_RELATION) {
            p->attr = a;
            e->type = a->datatype;
            if (!last || p->step_count) {
                if (a->kind != Q_K_DOCUMENT)
                    return no_parts(c, e, i, a);
                if (!into_document(c, e, i))
                    return false;
            }
            break;
        }
        if (c->own_only)
            return q_check_fail(c, Q_E_QQL_UNSUPPORTED, e->pos, "%s reads the record's own attributes only, not what %.*s leads to",
                                c->place, Q_SLICE_FMT(a->name));
        if (hop_count == Q_QL_MAX_HOPS)
            return q_check_fail(c, Q_E_QQL_LIMIT, e->pos, "a path may follow %d relations", Q_QL_MAX_HOPS);
        p->any = p->any || a->many;
        r = q_visible_record(c, a->target);
        hops[hop_count] = a;
        types[hop_count++] = r;
        if (!r) {
            e->type = Q_T_NULL; /* not defined yet: finds nothing */
            break;
        }
    }
    return store_hops(c, e, hops, types, hop_count);
}
