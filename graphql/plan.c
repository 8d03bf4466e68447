#include "graphql/plan.h"

enum { MAX_COLUMNS = 400, MAX_NESTING = 40 };

static q_rc no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request."); }

/* ---- merging. Source: specification, 6.3.2 CollectFields and 5.3.2 ---- */

static bool same_value(const q_gql_value *a, const q_gql_value *b, bool ordered);

static bool same_list(const q_gql_value *a, const q_gql_value *b, bool ordered)
{
    size_t left = 0, right = 0;
    for (const q_gql_value *v = b; v; v = v->next)
        right++;
    for (const q_gql_value *v = a; v; v = v->next, left++) {
        const q_gql_value *other = b;
        if (ordered)
            for (size_t i = 0; other && i < left; i++)
                other = other->next;
        else
            while (other && !q_slice_eq(other->name, v->name))
                other = other->next;
        if (!other || !same_value(v, other, ordered))
            return false;
    }
    return left == right;
}

static bool same_value(const q_gql_value *a, const q_gql_value *b, bool ordered)
{
    (void)ordered;
    if (a->kind != b->kind || a->truth != b->truth)
        return false;
    if (a->kind == Q_GQL_LIST || a->kind == Q_GQL_OBJECT)
        return same_list(a->first, b->first, a->kind == Q_GQL_LIST);
    return q_slice_eq(a->text, b->text) || a->kind == Q_GQL_NULL || a->kind == Q_GQL_BOOL;
}

static q_rc choose(q_gql_request *r, q_gql_node *parent, q_gql_selection *s, q_err *err)
{
    q_gql_node *n = parent->first;
    q_gql_chosen *c = Q_NEW(r->arena, q_gql_chosen);
    while (n && !q_slice_eq(n->key, s->key))
        n = n->next;
    if (!c)
        return no_memory(err);
    c->selection = s;
    if (n) {
        q_gql_selection *before = n->chosen->selection;
        if (!q_slice_eq(before->name, s->name) || !same_list(before->args, s->args, false))
            return q_gql_fail(err, Q_E_QQL_SYNTAX, s->pos, "\"%.*s\" is two different fields here: give one of them an alias.", Q_SLICE_FMT(s->key));
        c->next = n->chosen->next; /* the first stays first: it is where errors point */
        n->chosen->next = c;
        return Q_OK;
    }
    if (++r->nodes > Q_GQL_MAX_NODES)
        return q_gql_fail(err, Q_E_QQL_LIMIT, s->pos, "The answer would have more than %d fields.", Q_GQL_MAX_NODES);
    n = Q_NEW(r->arena, q_gql_node);
    if (!n)
        return no_memory(err);
    n->key = s->key;
    n->field = q_gql_selectable(r->schema, parent->type, s->name);
    n->chosen = c;
    n->last = &n->first;
    const q_gql_type *bare = q_gql_bare(n->field->type);
    n->type = bare && bare->kind == Q_GQL_T_OBJECT ? bare : NULL;
    *parent->last = n; /* freed with the request, whatever comes */
    parent->last = &n->next;
    n->args = q_gql_arguments(&r->world, n->field->args, s->args, s->pos);
    return n->args ? Q_OK : Q_FAIL;
}

static q_rc collect(q_gql_request *r, q_gql_node *parent, q_gql_selection *list, uint32_t mark, uint32_t depth, q_err *err)
{
    if (depth > MAX_NESTING)
        return q_gql_fail(err, Q_E_QQL_LIMIT, list->pos, "Fragments are nested too deeply.");
    for (q_gql_selection *s = list; s; s = s->next) {
        q_rc rc = Q_OK;
        if (q_gql_skipped(&r->world, s->directives))
            continue;
        if (s->kind == Q_GQL_FIELD) {
            rc = choose(r, parent, s, err);
        } else if (s->kind == Q_GQL_INLINE) {
            rc = collect(r, parent, s->first, mark, depth + 1, err);
        } else {
            q_gql_part *f = q_gql_fragment(&r->world, s->name);
            if (f->mark != mark) {
                f->mark = mark;
                rc = collect(r, parent, f->first, mark, depth + 1, err);
            }
        }
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

static q_rc fill(q_gql_request *r, q_gql_node *parent, uint32_t depth, q_err *err)
{
    uint32_t mark = ++r->marks;
    if (depth > MAX_NESTING)
        return q_gql_fail(err, Q_E_QQL_LIMIT, parent->chosen->selection->pos, "The selection is nested too deeply.");
    for (q_gql_chosen *c = parent->chosen; c; c = c->next) {
        q_rc rc = collect(r, parent, c->selection->first, mark, 0, err);
        if (rc != Q_OK)
            return rc;
    }
    for (q_gql_node *n = parent->first; n; n = n->next) {
        q_rc rc = n->type ? fill(r, n, depth + 1, err) : Q_OK;
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

/* ---- levels and columns ---- */

static q_rc add_column(q_gql_request *r, q_gql_node *owner, q_gql_node *n, const char *before, const char *after, q_err *err)
{
    q_slice text = n->field && n->field->attr ? q_arena_printf(r->arena, "%s`%.*s`%s", before, Q_SLICE_FMT(n->field->attr->name), after)
                                              : q_arena_printf(r->arena, "%s%s", before, after);
    uint32_t i = 0;
    n->owner = owner;
    if (!text.ptr)
        return no_memory(err);
    if (!owner->columns && !(owner->columns = Q_NEW_ARRAY(r->arena, q_slice, MAX_COLUMNS)))
        return no_memory(err);
    while (i < owner->column_count && !q_slice_eq(owner->columns[i], text))
        i++;
    if (i == MAX_COLUMNS)
        return q_gql_fail(err, Q_E_QQL_LIMIT, n->chosen->selection->pos, "More than %d columns of one record.", MAX_COLUMNS);
    if (i == owner->column_count)
        owner->columns[owner->column_count++] = text;
    n->column = i;
    return Q_OK;
}

static q_rc asked_at(q_gql_request *r, q_gql_node *n, uint32_t level, q_err *err);

static q_rc columns_of(q_gql_request *r, q_gql_node *owner, q_gql_node *parent, uint32_t level, q_err *err)
{
    static const char *const functions[] = { [Q_GQL_R_GROUP] = "", [Q_GQL_R_SUM] = "sum(", [Q_GQL_R_AVG] = "avg(", [Q_GQL_R_MIN] = "min(",
                                             [Q_GQL_R_MAX] = "max(" };
    for (q_gql_node *n = parent->first; n; n = n->next) {
        q_rc rc = Q_OK;
        switch (n->field->role) {
        case Q_GQL_R_ATTR:
        case Q_GQL_R_IDS:
        case Q_GQL_R_DOCUMENT:
            rc = add_column(r, owner, n, "", "", err);
            break;
        case Q_GQL_R_ONE:
        case Q_GQL_R_MANY:
            rc = add_column(r, owner, n, "", "", err);
            if (rc == Q_OK)
                rc = asked_at(r, n, level + 1, err);
            break;
        case Q_GQL_R_COUNT:
            rc = add_column(r, owner, n, "count(*)", "", err);
            break;
        case Q_GQL_R_GROUP:
        case Q_GQL_R_SUM:
        case Q_GQL_R_AVG:
        case Q_GQL_R_MIN:
        case Q_GQL_R_MAX:
            if (n->field->attr) {
                rc = add_column(r, owner, n, functions[n->field->role], n->field->role == Q_GQL_R_GROUP ? "" : ")", err);
            } else {
                n->owner = owner;
                rc = columns_of(r, owner, n, level, err);
            }
            break;
        default:
            break;
        }
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

static q_rc asked_at(q_gql_request *r, q_gql_node *n, uint32_t level, q_err *err)
{
    if (level >= Q_GQL_MAX_LEVELS)
        return q_gql_fail(err, Q_E_QQL_LIMIT, n->chosen->selection->pos, "Relations can be followed %d levels deep.", Q_GQL_MAX_LEVELS - 1);
    n->level = level;
    *r->last[level] = n;
    r->last[level] = &n->same_level;
    bool aggregate = n->field->role == Q_GQL_R_AGGREGATE;
    if (n->field->role >= Q_GQL_R_INSERT && n->field->role <= Q_GQL_R_DELETE)
        return Q_OK;
    q_gql_node first = { .chosen = n->chosen }; /* rows are known by their id; a group has a count, whatever else is asked */
    q_rc rc = add_column(r, n, &first, aggregate ? "count(*)" : "`id`", "", err);
    return rc == Q_OK ? columns_of(r, n, n, level, err) : rc;
}

q_rc q_gql_plan(q_gql_request *r, q_err *err)
{
    q_gql_part *o = r->world.operation;
    q_gql_selection *whole = Q_NEW(r->arena, q_gql_selection);
    q_gql_chosen *c = Q_NEW(r->arena, q_gql_chosen);
    r->root = Q_NEW(r->arena, q_gql_node);
    if (!whole || !c || !r->root)
        return no_memory(err);
    whole->first = o->first;
    whole->pos = o->pos;
    c->selection = whole;
    r->root->chosen = c;
    r->root->last = &r->root->first;
    r->root->type = o->mutation ? r->schema->mutation : r->schema->query;
    r->marks = 1u << 20; /* above those of the check */
    for (uint32_t i = 0; i <= Q_GQL_MAX_LEVELS; i++)
        r->last[i] = &r->levels[i];
    q_rc rc = fill(r, r->root, 0, err);
    for (q_gql_node *n = r->root->first; rc == Q_OK && n; n = n->next)
        if (n->field->role >= Q_GQL_R_LIST && n->field->role <= Q_GQL_R_DELETE && n->field->role != Q_GQL_R_RECORDS)
            rc = asked_at(r, n, 0, err);
    return rc;
}
