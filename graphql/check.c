#include "graphql/check.h"

#include "graphql/value.h"

#include <stdlib.h>

enum { MAX_CHAIN = 64 };

static q_rc walk(q_gql_world *w, const q_gql_type *type, q_gql_selection *list, uint32_t depth);

q_gql_part *q_gql_fragment(const q_gql_world *w, q_slice name)
{
    q_gql_part *f = w->document->fragments;
    while (f && !q_slice_eq(f->name, name))
        f = f->next;
    return f;
}

/* ---- arguments and directives ---- */

json_t *q_gql_arguments(q_gql_world *w, const q_gql_field *declared, const q_gql_value *args, q_gql_pos pos)
{
    json_t *out = json_object();
    for (const q_gql_value *v = args; out && v; v = v->next) {
        const q_gql_field *f = declared;
        while (f && !q_slice_eq(f->name, v->name))
            f = f->next;
        bool absent = false;
        json_t *value = NULL;
        if (!f)
            q_gql_fail(w->err, Q_E_QQL_PARAMETER, v->pos, "There is no argument \"%.*s\" here.", Q_SLICE_FMT(v->name));
        else if (json_object_getn(out, v->name.ptr, v->name.len))
            q_gql_fail(w->err, Q_E_QQL_SYNTAX, v->pos, "The argument \"%.*s\" is given twice.", Q_SLICE_FMT(v->name));
        else
            value = q_gql_literal(w, f->type, v, &absent);
        if (absent && value) {
            json_decref(value);
            continue;
        }
        if (!value || json_object_setn_new(out, v->name.ptr, v->name.len, value) != 0) {
            json_decref(out);
            out = NULL;
        }
    }
    for (const q_gql_field *f = declared; out && f; f = f->next)
        if (f->type && f->type->kind == Q_GQL_T_REQUIRED && !json_object_getn(out, f->name.ptr, f->name.len)) {
            q_gql_fail(w->err, Q_E_QQL_PARAMETER, pos, "The argument \"%.*s\" is missing.", Q_SLICE_FMT(f->name));
            json_decref(out);
            out = NULL;
        }
    return out;
}

static bool is_skip(const q_gql_directive *d) { return q_slice_eq(d->name, Q_SLICE_LIT("skip")); }

/* `if: Boolean!`, as a list of declared arguments. */
static q_gql_field *condition(q_gql_world *w)
{
    q_gql_field *f = Q_NEW(w->arena, q_gql_field);
    q_gql_ref bare = { .name = Q_SLICE_LIT("Boolean"), .required = true };
    if (f) {
        f->name = Q_SLICE_LIT("if");
        f->type = q_gql_type_of(w->schema, &bare);
    }
    return f && f->type ? f : NULL;
}

static q_rc check_directives(q_gql_world *w, const q_gql_directive *list, bool selection)
{
    for (const q_gql_directive *d = list; d; d = d->next) {
        if (!is_skip(d) && !q_slice_eq(d->name, Q_SLICE_LIT("include")))
            return q_gql_fail(w->err, Q_E_QQL_UNSUPPORTED, d->pos, "There is no directive @%.*s here.", Q_SLICE_FMT(d->name));
        if (!selection)
            return q_gql_fail(w->err, Q_E_QQL_UNSUPPORTED, d->pos, "@%.*s can't stand here.", Q_SLICE_FMT(d->name));
        for (const q_gql_directive *before = list; before != d; before = before->next)
            if (q_slice_eq(before->name, d->name))
                return q_gql_fail(w->err, Q_E_QQL_SYNTAX, d->pos, "@%.*s stands here twice.", Q_SLICE_FMT(d->name));
        q_gql_field *f = condition(w);
        json_t *args = f ? q_gql_arguments(w, f, d->args, d->pos) : NULL;
        if (!args)
            return f ? Q_FAIL : q_err_set(w->err, Q_E_LIMIT_MEMORY, "No memory for the request.");
        json_decref(args);
    }
    return Q_OK;
}

bool q_gql_skipped(q_gql_world *w, const q_gql_directive *list)
{
    for (const q_gql_directive *d = list; d; d = d->next) {
        q_gql_field *f = condition(w);
        json_t *args = f ? q_gql_arguments(w, f, d->args, d->pos) : NULL;
        bool truth = json_is_true(json_object_get(args, "if"));
        json_decref(args);
        if (truth == is_skip(d))
            return true;
    }
    return false;
}

/* ---- selections ---- */

static q_rc check_field(q_gql_world *w, const q_gql_type *type, q_gql_selection *s, uint32_t depth)
{
    const q_gql_field *f = q_gql_selectable(w->schema, type, s->name);
    if (!f)
        return q_gql_fail(w->err, Q_E_UNKNOWN_ATTRIBUTE, s->pos, "%.*s has no field \"%.*s\".", Q_SLICE_FMT(type->name), Q_SLICE_FMT(s->name));
    json_t *args = q_gql_arguments(w, f->args, s->args, s->pos);
    if (!args)
        return Q_FAIL;
    json_decref(args);
    const q_gql_type *bare = q_gql_bare(f->type);
    bool object = bare && bare->kind == Q_GQL_T_OBJECT;
    if (object != (s->first != NULL))
        return q_gql_fail(w->err, Q_E_QQL_TYPE, s->pos, object ? "\"%.*s\" needs a selection of its fields." : "\"%.*s\" has no fields to select.",
                          Q_SLICE_FMT(s->name));
    return object ? walk(w, bare, s->first, depth + 1) : Q_OK;
}

static q_rc check_type(q_gql_world *w, q_slice on, const q_gql_type *type, q_gql_pos pos)
{
    const q_gql_type *t = q_gql_type_named(w->schema, on);
    if (!t || t->kind != Q_GQL_T_OBJECT)
        return q_gql_fail(w->err, Q_E_UNKNOWN_RECORD, pos, "There is no object type \"%.*s\".", Q_SLICE_FMT(on));
    return !type || t == type ? Q_OK : q_gql_fail(w->err, Q_E_QQL_TYPE, pos, "A fragment on %.*s can't be on %.*s.", Q_SLICE_FMT(on), Q_SLICE_FMT(type->name));
}

static q_rc check_spread(q_gql_world *w, const q_gql_type *type, q_gql_selection *s, uint32_t depth)
{
    q_gql_part *f = q_gql_fragment(w, s->name);
    if (!f)
        return q_gql_fail(w->err, Q_E_QQL_SYNTAX, s->pos, "There is no fragment \"%.*s\".", Q_SLICE_FMT(s->name));
    if (f->active)
        return q_gql_fail(w->err, Q_E_QQL_SYNTAX, s->pos, "The fragment \"%.*s\" holds itself.", Q_SLICE_FMT(s->name));
    q_rc rc = check_type(w, f->on, type, s->pos);
    if (rc != Q_OK || f->mark == w->operation->mark)
        return rc;
    f->used = f->active = true;
    f->mark = w->operation->mark;
    rc = check_directives(w, f->directives, false);
    if (rc == Q_OK)
        rc = walk(w, type, f->first, depth + 1);
    f->active = false;
    return rc;
}

static q_rc walk(q_gql_world *w, const q_gql_type *type, q_gql_selection *list, uint32_t depth)
{
    if (depth > MAX_CHAIN)
        return q_gql_fail(w->err, Q_E_QQL_LIMIT, list->pos, "Fragments are nested too deeply.");
    for (q_gql_selection *s = list; s; s = s->next) {
        q_rc rc = check_directives(w, s->directives, true);
        if (rc == Q_OK && s->kind == Q_GQL_INLINE && s->name.ptr)
            rc = check_type(w, s->name, type, s->pos);
        if (rc == Q_OK)
            rc = s->kind == Q_GQL_FIELD ? check_field(w, type, s, depth)
               : s->kind == Q_GQL_SPREAD ? check_spread(w, type, s, depth) : walk(w, type, s->first, depth + 1);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

/* ---- operations ---- */

static q_rc check_variables(q_gql_world *w)
{
    for (q_gql_variable *v = w->operation->variables; v; v = v->next) {
        for (const q_gql_variable *b = w->operation->variables; b != v; b = b->next)
            if (q_slice_eq(b->name, v->name))
                return q_gql_fail(w->err, Q_E_QQL_SYNTAX, v->pos, "The variable $%.*s is there twice.", Q_SLICE_FMT(v->name));
        q_gql_type *t = q_gql_type_of(w->schema, v->type);
        const q_gql_type *bare = q_gql_bare(t);
        if (!t || bare->kind == Q_GQL_T_OBJECT)
            return q_gql_fail(w->err, Q_E_QQL_TYPE, v->pos, "$%.*s is of no type that can be given.", Q_SLICE_FMT(v->name));
        bool absent;
        json_t *standard = v->standard ? q_gql_literal(w, t, v->standard, &absent) : json_null();
        if (!standard)
            return Q_FAIL;
        json_decref(standard);
        if (check_directives(w, v->directives, false) != Q_OK)
            return Q_FAIL;
    }
    return Q_OK;
}

static q_rc check_operation(q_gql_world *w, uint32_t number)
{
    q_gql_part *o = w->operation;
    const q_gql_type *root = o->mutation ? w->schema->mutation : w->schema->query;
    o->mark = number;
    if (!root)
        return q_gql_fail(w->err, Q_E_QQL_UNSUPPORTED, o->pos, "The bucket has no records to change.");
    for (const q_gql_part *other = w->document->operations; other; other = other->next)
        if (other != o && (!o->name.ptr || q_slice_eq(other->name, o->name)))
            return q_gql_fail(w->err, Q_E_QQL_SYNTAX, o->pos, "Several operations need names of their own.");
    if (check_variables(w) != Q_OK || check_directives(w, o->directives, false) != Q_OK || walk(w, root, o->first, 0) != Q_OK)
        return Q_FAIL;
    for (const q_gql_variable *v = o->variables; v; v = v->next)
        if (!v->used)
            return q_gql_fail(w->err, Q_E_QQL_PARAMETER, v->pos, "$%.*s isn't used.", Q_SLICE_FMT(v->name));
    return Q_OK;
}

q_rc q_gql_check(q_gql_world *w)
{
    uint32_t number = 1;
    w->checking = true;
    for (const q_gql_part *f = w->document->fragments; f; f = f->next)
        for (const q_gql_part *other = f->next; other; other = other->next)
            if (q_slice_eq(f->name, other->name))
                return q_gql_fail(w->err, Q_E_QQL_SYNTAX, other->pos, "The fragment \"%.*s\" is there twice.", Q_SLICE_FMT(f->name));
    for (w->operation = w->document->operations; w->operation; w->operation = w->operation->next)
        if (check_operation(w, number++) != Q_OK)
            return Q_FAIL;
    for (const q_gql_part *f = w->document->fragments; f; f = f->next)
        if (!f->used)
            return q_gql_fail(w->err, Q_E_QQL_SYNTAX, f->pos, "The fragment \"%.*s\" isn't used.", Q_SLICE_FMT(f->name));
    w->checking = false;
    return Q_OK;
}

q_rc q_gql_variables(q_gql_world *w, const json_t *given)
{
    w->variables = json_object();
    for (const q_gql_variable *v = w->operation->variables; v; v = v->next) {
        json_t *in = json_object_getn(given, v->name.ptr, v->name.len), *value = NULL;
        q_gql_type *t = q_gql_type_of(w->schema, v->type);
        bool absent;
        if (!t)
            return q_err_set(w->err, Q_E_LIMIT_MEMORY, "No memory for the request.");
        if (in)
            value = q_gql_given(w, t, in, v->pos, 0);
        else if (v->standard)
            value = q_gql_literal(w, t, v->standard, &absent);
        else if (t->kind == Q_GQL_T_REQUIRED)
            q_gql_fail(w->err, Q_E_QQL_PARAMETER, v->pos, "$%.*s is missing.", Q_SLICE_FMT(v->name));
        else
            continue;
        if (!value || json_object_setn_new(w->variables, v->name.ptr, v->name.len, value) != 0)
            return w->err->code != Q_E_NONE ? Q_FAIL : q_err_set(w->err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    }
    return Q_OK;
}
