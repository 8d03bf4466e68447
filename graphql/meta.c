/* meta.c - introspection: __schema and __type. Source: specification, 4. */
#include "graphql/plan.h"

/* Types lead to fields and those to types: what a question unfolds to is bounded. */
enum { MAX_THINGS = 200000 };

typedef enum thing_kind { SCHEMA, TYPE, FIELD, VALUE, DIRECTIVE, ARGUMENT } thing_kind;
/* What an introspection object is about. `at`: a q_gql_type, a q_gql_field, or a name. */
typedef struct thing { thing_kind kind; const void *at; } thing;

static const char *const directives[] = { "skip", "include" };

static bool is(const q_gql_node *n, const char *name) { return q_slice_eq(n->field->name, q_slice_cstr(name)); }

static void write_thing(q_gql_request *r, const q_gql_node *n, thing t, q_buf *out);

static void item(q_gql_request *r, const q_gql_node *n, thing t, bool *first, q_buf *out)
{
    q_buf_add_cstr(out, *first ? "" : ",");
    *first = false;
    write_thing(r, n, t, out);
}

static void fields(q_gql_request *r, const q_gql_node *n, const q_gql_field *list, thing_kind kind, q_buf *out)
{
    bool first = true;
    q_buf_add_byte(out, '[');
    for (const q_gql_field *f = list; f && !out->failed; f = f->next)
        item(r, n, (thing){ kind, f }, &first, out);
    q_buf_add_byte(out, ']');
}

static void string_or_null(q_buf *out, q_slice s)
{
    if (s.len)
        q_gql_write_string(out, s);
    else
        q_buf_add_cstr(out, "null");
}

static void type_or_null(q_gql_request *r, const q_gql_node *n, const q_gql_type *t, q_buf *out)
{
    if (t)
        write_thing(r, n, (thing){ TYPE, t }, out);
    else
        q_buf_add_cstr(out, "null");
}

static void of_schema(q_gql_request *r, const q_gql_node *n, q_buf *out)
{
    bool first = true;
    if (is(n, "types")) {
        q_buf_add_byte(out, '[');
        for (const q_gql_type *t = r->schema->types; t; t = t->next)
            item(r, n, (thing){ TYPE, t }, &first, out);
        q_buf_add_byte(out, ']');
    } else if (is(n, "queryType")) {
        type_or_null(r, n, r->schema->query, out);
    } else if (is(n, "mutationType")) {
        type_or_null(r, n, r->schema->mutation, out);
    } else if (is(n, "directives")) {
        q_buf_add_byte(out, '[');
        for (size_t i = 0; i < 2; i++)
            item(r, n, (thing){ DIRECTIVE, directives[i] }, &first, out);
        q_buf_add_byte(out, ']');
    } else {
        q_buf_add_cstr(out, "null");
    }
}

static void of_type(q_gql_request *r, const q_gql_node *n, const q_gql_type *t, q_buf *out)
{
    static const char *const kinds[] = { "SCALAR", "OBJECT", "INPUT_OBJECT", "ENUM", "LIST", "NON_NULL" };
    if (is(n, "kind")) {
        q_buf_printf(out, "\"%s\"", kinds[t->kind]);
    } else if (is(n, "name")) {
        string_or_null(out, t->name);
    } else if (is(n, "description")) {
        string_or_null(out, t->about);
    } else if (is(n, "fields") && t->kind == Q_GQL_T_OBJECT) {
        fields(r, n, t->fields, FIELD, out);
    } else if (is(n, "inputFields") && t->kind == Q_GQL_T_INPUT) {
        fields(r, n, t->fields, ARGUMENT, out);
    } else if (is(n, "enumValues") && t->kind == Q_GQL_T_ENUM) {
        fields(r, n, t->fields, VALUE, out);
    } else if (is(n, "interfaces") && t->kind == Q_GQL_T_OBJECT) {
        q_buf_add_cstr(out, "[]");
    } else if (is(n, "isOneOf") && t->kind == Q_GQL_T_INPUT) {
        q_buf_add_cstr(out, "false");
    } else if (is(n, "ofType")) {
        type_or_null(r, n, t->inner, out);
    } else {
        q_buf_add_cstr(out, "null");
    }
}

static void of_field(q_gql_request *r, const q_gql_node *n, const q_gql_field *f, q_buf *out)
{
    if (is(n, "name"))
        q_gql_write_string(out, f->name);
    else if (is(n, "description"))
        string_or_null(out, f->about);
    else if (is(n, "args"))
        fields(r, n, f->args, ARGUMENT, out);
    else if (is(n, "type"))
        type_or_null(r, n, f->type, out);
    else if (is(n, "isDeprecated"))
        q_buf_add_cstr(out, "false");
    else if (is(n, "defaultValue"))
        string_or_null(out, q_slice_cstr(f->standard));
    else
        q_buf_add_cstr(out, "null");
}

static void of_directive(q_gql_request *r, const q_gql_node *n, const char *name, q_buf *out)
{
    if (is(n, "name")) {
        q_gql_write_string(out, q_slice_cstr(name));
    } else if (is(n, "isRepeatable")) {
        q_buf_add_cstr(out, "false");
    } else if (is(n, "locations")) {
        q_buf_add_cstr(out, "[\"FIELD\",\"FRAGMENT_SPREAD\",\"INLINE_FRAGMENT\"]");
    } else if (is(n, "args")) {
        q_gql_ref ref = { .name = Q_SLICE_LIT("Boolean"), .required = true };
        q_gql_field condition = { .name = Q_SLICE_LIT("if"), .type = q_gql_type_of(r->schema, &ref) };
        fields(r, n, &condition, ARGUMENT, out);
    } else {
        q_buf_add_cstr(out, "null");
    }
}

static void write_thing(q_gql_request *r, const q_gql_node *n, thing t, q_buf *out)
{
    q_buf_add_byte(out, '{');
    if (++r->things > MAX_THINGS)
        out->failed = true;
    for (const q_gql_node *f = n->first; f && !out->failed; f = f->next) {
        q_buf_printf(out, "%s\"%.*s\":", f == n->first ? "" : ",", Q_SLICE_FMT(f->key));
        if (f->field->role == Q_GQL_R_TYPENAME)
            q_gql_write_string(out, n->type->name);
        else if (t.kind == SCHEMA)
            of_schema(r, f, out);
        else if (t.kind == TYPE)
            of_type(r, f, t.at, out);
        else if (t.kind == DIRECTIVE)
            of_directive(r, f, t.at, out);
        else
            of_field(r, f, t.at, out);
    }
    q_buf_add_byte(out, '}');
}

void q_gql_write_meta(q_gql_request *r, const q_gql_node *n, q_buf *out)
{
    const char *name = json_string_value(json_object_get(n->args, "name"));
    if (n->field->role == Q_GQL_R_SCHEMA)
        write_thing(r, n, (thing){ SCHEMA, r->schema }, out);
    else
        type_or_null(r, n, q_gql_type_named(r->schema, q_slice_cstr(name)), out);
}
