#include "graphql/value.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NUMBER = 60 };

static json_t *wrong(q_gql_world *w, const q_gql_type *t, q_gql_pos pos)
{
    q_gql_fail(w->err, Q_E_QQL_TYPE, pos, "The value isn't of type %.*s.", Q_SLICE_FMT(q_gql_bare(t)->name));
    return NULL;
}

static json_t *no_memory(q_gql_world *w)
{
    q_err_set(w->err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    return NULL;
}

static json_t *whole(q_slice digits, int64_t least, int64_t most)
{
    char text[MAX_NUMBER];
    char *end;
    if (!digits.len || digits.len >= sizeof text)
        return NULL;
    memcpy(text, digits.ptr, digits.len);
    text[digits.len] = '\0';
    errno = 0;
    long long n = strtoll(text, &end, 10);
    return errno || *end || n < least || n > most || text[0] == ' ' || text[0] == '+' ? NULL : json_integer(n);
}

static json_t *real(q_slice digits)
{
    char text[400];
    if (!digits.len || digits.len >= sizeof text)
        return NULL;
    memcpy(text, digits.ptr, digits.len);
    text[digits.len] = '\0';
    double d = strtod(text, NULL);
    return isfinite(d) ? json_real(d) : NULL;
}

static json_t *text_of(q_slice s) { return json_stringn(s.ptr ? s.ptr : "", s.len); }

/* A literal of a JSON scalar: as it stands, variables with their values. */
static json_t *any(q_gql_world *w, const q_gql_value *v)
{
    json_t *out = NULL, *item;
    switch (v->kind) {
    case Q_GQL_NULL:
        return json_null();
    case Q_GQL_BOOL:
        return json_boolean(v->truth);
    case Q_GQL_INT:
        out = whole(v->text, INT64_MIN, INT64_MAX);
        return out ? out : real(v->text);
    case Q_GQL_FLOAT:
        return real(v->text);
    case Q_GQL_STRING:
    case Q_GQL_ENUM:
        return text_of(v->text);
    case Q_GQL_VARIABLE:
        for (q_gql_variable *d = w->operation ? w->operation->variables : NULL; d; d = d->next)
            if (q_slice_eq(d->name, v->text)) {
                d->used = true;
                item = w->checking ? NULL : json_object_getn(w->variables, v->text.ptr, v->text.len);
                return item ? json_incref(item) : json_null();
            }
        return NULL;
    case Q_GQL_LIST:
    case Q_GQL_OBJECT:
        out = v->kind == Q_GQL_LIST ? json_array() : json_object();
        for (const q_gql_value *i = v->first; out && i; i = i->next) {
            item = any(w, i);
            int rc = !item ? -1 : v->kind == Q_GQL_LIST ? json_array_append_new(out, item) : json_object_setn_new(out, i->name.ptr, i->name.len, item);
            if (rc != 0) {
                json_decref(out);
                out = NULL;
            }
        }
        return out;
    }
    return NULL;
}

static bool has_value(const q_gql_type *t, q_slice name)
{
    for (const q_gql_field *f = t->fields; f; f = f->next)
        if (q_slice_eq(f->name, name))
            return true;
    return false;
}

static json_t *leaf(q_gql_world *w, const q_gql_type *t, const q_gql_value *v)
{
    bool digits = v->kind == Q_GQL_INT, text = v->kind == Q_GQL_STRING;
    if (t->kind == Q_GQL_T_ENUM)
        return v->kind == Q_GQL_ENUM && has_value(t, v->text) ? text_of(v->text) : NULL;
    switch (t->scalar) {
    case Q_GQL_S_INT:
        return digits ? whole(v->text, INT32_MIN, INT32_MAX) : NULL;
    case Q_GQL_S_INT64:
        return digits || text ? whole(v->text, INT64_MIN, INT64_MAX) : NULL;
    case Q_GQL_S_FLOAT:
        return digits || v->kind == Q_GQL_FLOAT ? real(v->text) : NULL;
    case Q_GQL_S_BOOL:
        return v->kind == Q_GQL_BOOL ? json_boolean(v->truth) : NULL;
    case Q_GQL_S_STRING:
        return text ? text_of(v->text) : NULL;
    case Q_GQL_S_ID:
        return text || digits ? text_of(v->text) : NULL;
    case Q_GQL_S_TEXT:
        return text || digits || v->kind == Q_GQL_FLOAT ? text_of(v->text) : NULL;
    case Q_GQL_S_JSON:
        return any(w, v);
    }
    return NULL;
}

/* May a variable of this type stand where a value of `place` is wanted? Specification, 5.8.5. */
static bool fits(const q_gql_type *variable, const q_gql_type *place)
{
    if (place->kind == Q_GQL_T_REQUIRED)
        return variable->kind == Q_GQL_T_REQUIRED && fits(variable->inner, place->inner);
    if (variable->kind == Q_GQL_T_REQUIRED)
        return fits(variable->inner, place);
    if (place->kind == Q_GQL_T_LIST)
        return variable->kind == Q_GQL_T_LIST && fits(variable->inner, place->inner);
    return variable == place;
}

static json_t *variable(q_gql_world *w, const q_gql_type *t, const q_gql_value *v, bool *absent)
{
    q_gql_variable *d = w->operation->variables;
    while (d && !q_slice_eq(d->name, v->text))
        d = d->next;
    if (!d) {
        q_gql_fail(w->err, Q_E_QQL_PARAMETER, v->pos, "$%.*s isn't declared.", Q_SLICE_FMT(v->text));
        return NULL;
    }
    d->used = true;
    const q_gql_type *of = q_gql_type_of(w->schema, d->type);
    if (!of)
        return no_memory(w);
    bool standard = d->standard && d->standard->kind != Q_GQL_NULL;
    const q_gql_type *place = t->kind == Q_GQL_T_REQUIRED && of->kind != Q_GQL_T_REQUIRED && standard ? t->inner : t;
    if (!fits(of, place)) {
        q_gql_fail(w->err, Q_E_QQL_TYPE, v->pos, "$%.*s has another type than its place.", Q_SLICE_FMT(v->text));
        return NULL;
    }
    json_t *value = w->checking ? NULL : json_object_getn(w->variables, d->name.ptr, d->name.len);
    *absent = !value && !w->checking;
    if (t->kind == Q_GQL_T_REQUIRED && !w->checking && (!value || json_is_null(value))) {
        q_gql_fail(w->err, Q_E_QQL_PARAMETER, v->pos, "$%.*s is null.", Q_SLICE_FMT(v->text));
        return NULL;
    }
    return value ? json_incref(value) : json_null();
}

static json_t *required_there(q_gql_world *w, const q_gql_type *t, json_t *out, q_gql_pos pos)
{
    for (const q_gql_field *f = t->fields; out && f; f = f->next)
        if (f->type->kind == Q_GQL_T_REQUIRED && !json_object_getn(out, f->name.ptr, f->name.len)) {
            q_gql_fail(w->err, Q_E_QQL_TYPE, pos, "%.*s needs \"%.*s\".", Q_SLICE_FMT(t->name), Q_SLICE_FMT(f->name));
            json_decref(out);
            out = NULL;
        }
    return out;
}

static json_t *object(q_gql_world *w, const q_gql_type *t, const q_gql_value *v)
{
    json_t *out = v->kind == Q_GQL_OBJECT ? json_object() : wrong(w, t, v->pos);
    for (const q_gql_value *m = v->first; out && m; m = m->next) {
        const q_gql_field *f = q_gql_field_of(t, m->name);
        bool absent = false;
        json_t *item = NULL;
        if (!f)
            q_gql_fail(w->err, Q_E_UNKNOWN_ATTRIBUTE, m->pos, "%.*s has no \"%.*s\".", Q_SLICE_FMT(t->name), Q_SLICE_FMT(m->name));
        else if (json_object_getn(out, m->name.ptr, m->name.len))
            q_gql_fail(w->err, Q_E_QQL_SYNTAX, m->pos, "\"%.*s\" is given twice.", Q_SLICE_FMT(m->name));
        else
            item = q_gql_literal(w, f->type, m, &absent);
        if (item && absent) {
            json_decref(item);
        } else if (!item || json_object_setn_new(out, m->name.ptr, m->name.len, item) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out ? required_there(w, t, out, v->pos) : NULL;
}

json_t *q_gql_literal(q_gql_world *w, const q_gql_type *t, const q_gql_value *v, bool *absent)
{
    *absent = false;
    if (v->kind == Q_GQL_VARIABLE)
        return variable(w, t, v, absent);
    if (t->kind == Q_GQL_T_REQUIRED)
        return v->kind == Q_GQL_NULL ? wrong(w, t, v->pos) : q_gql_literal(w, t->inner, v, absent);
    if (v->kind == Q_GQL_NULL)
        return json_null();
    if (t->kind == Q_GQL_T_LIST) {
        json_t *out = json_array();
        const q_gql_value *i = v->kind == Q_GQL_LIST ? v->first : v;
        while (out && i) {
            bool ignored;
            json_t *item = q_gql_literal(w, t->inner, i, &ignored);
            if (!item || json_array_append_new(out, item) != 0) {
                json_decref(out);
                return NULL;
            }
            i = v->kind == Q_GQL_LIST ? i->next : NULL;
        }
        return out;
    }
    if (t->kind == Q_GQL_T_INPUT)
        return object(w, t, v);
    json_t *out = leaf(w, t, v);
    return out || w->err->code != Q_E_NONE ? out : wrong(w, t, v->pos);
}

/* ---- what clients give ---- */

/* A number as the text that it would be read from again. */
static json_t *text_of_number(const json_t *in)
{
    char text[MAX_NUMBER];
    if (json_is_integer(in))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(in));
    else
        snprintf(text, sizeof text, "%.17g", json_real_value(in));
    return json_string(text);
}

static json_t *given_leaf(const q_gql_type *t, json_t *in)
{
    q_slice s = json_is_string(in) ? q_slice_of(json_string_value(in), json_string_length(in)) : Q_SLICE_NONE;
    json_int_t n = json_integer_value(in);
    if (t->kind == Q_GQL_T_ENUM)
        return s.ptr && has_value(t, s) ? json_incref(in) : NULL;
    switch (t->scalar) {
    case Q_GQL_S_INT:
        if (json_is_real(in) && nearbyint(json_real_value(in)) == json_real_value(in) && fabs(json_real_value(in)) < 2e9)
            return json_integer((json_int_t)json_real_value(in));
        return json_is_integer(in) && n >= INT32_MIN && n <= INT32_MAX ? json_incref(in) : NULL;
    case Q_GQL_S_INT64:
        return json_is_integer(in) ? json_incref(in) : s.ptr ? whole(s, INT64_MIN, INT64_MAX) : NULL;
    case Q_GQL_S_FLOAT:
        return json_is_integer(in) ? json_real((double)n) : json_is_real(in) ? json_incref(in) : NULL;
    case Q_GQL_S_BOOL:
        return json_is_boolean(in) ? json_incref(in) : NULL;
    case Q_GQL_S_STRING:
        return s.ptr ? json_incref(in) : NULL;
    case Q_GQL_S_ID:
        return s.ptr ? json_incref(in) : json_is_integer(in) ? text_of_number(in) : NULL;
    case Q_GQL_S_TEXT:
        return s.ptr ? json_incref(in) : json_is_number(in) ? text_of_number(in) : NULL;
    case Q_GQL_S_JSON:
        return json_incref(in);
    }
    return NULL;
}

static json_t *given_object(q_gql_world *w, const q_gql_type *t, json_t *in, q_gql_pos pos, uint32_t depth)
{
    json_t *out = json_object(), *member;
    const char *key;
    json_object_foreach(in, key, member) {
        const q_gql_field *f = q_gql_field_of(t, q_slice_cstr(key));
        json_t *item = f ? q_gql_given(w, f->type, member, pos, depth + 1) : NULL;
        if (!f)
            q_gql_fail(w->err, Q_E_UNKNOWN_ATTRIBUTE, pos, "%.*s has no \"%.60s\".", Q_SLICE_FMT(t->name), key);
        if (!item || json_object_set_new(out, key, item) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return required_there(w, t, out, pos);
}

json_t *q_gql_given(q_gql_world *w, const q_gql_type *t, json_t *in, q_gql_pos pos, uint32_t depth)
{
    if (depth > Q_GQL_MAX_DEPTH) {
        q_gql_fail(w->err, Q_E_QQL_LIMIT, pos, "The variable is nested too deeply.");
        return NULL;
    }
    if (t->kind == Q_GQL_T_REQUIRED)
        return json_is_null(in) ? wrong(w, t, pos) : q_gql_given(w, t->inner, in, pos, depth);
    if (json_is_null(in))
        return json_null();
    if (t->kind == Q_GQL_T_LIST) {
        json_t *out = json_array();
        size_t n = json_is_array(in) ? json_array_size(in) : 1;
        for (size_t i = 0; out && i < n; i++) {
            json_t *item = q_gql_given(w, t->inner, json_is_array(in) ? json_array_get(in, i) : in, pos, depth + 1);
            if (!item || json_array_append_new(out, item) != 0) {
                json_decref(out);
                return NULL;
            }
        }
        return out;
    }
    if (t->kind == Q_GQL_T_INPUT)
        return json_is_object(in) ? given_object(w, t, in, pos, depth) : wrong(w, t, pos);
    json_t *out = given_leaf(t, in);
    return out ? out : wrong(w, t, pos);
}
