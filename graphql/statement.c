/* statement.c - nodes as QuantaQL. Values are parameters; text is made of names that the schema has, and of paths that are looked at. */
#include "graphql/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_HOPS = 8, MAX_FILTER_DEPTH = 24, MAX_PARAMS = 10000 };

typedef struct hops { const q_gql_attr *attrs[MAX_HOPS]; uint32_t count; } hops;

static bool eq(q_slice a, const char *b) { return q_slice_eq(a, q_slice_cstr(b)); }
static void text(q_gql_draft *d, const char *s) { q_buf_add_cstr(&d->text, s); }
static void name(q_gql_draft *d, q_slice s) { q_buf_printf(&d->text, "`%.*s`", Q_SLICE_FMT(s)); }

static void refuse(q_gql_draft *d, q_code code, const char *what)
{
    if (!d->failed)
        q_err_set(d->err, code, "%s", what);
    d->failed = true;
}

/* Takes the value. */
static void value(q_gql_draft *d, json_t *v)
{
    char key[16];
    snprintf(key, sizeof key, "p%u", d->count++);
    q_buf_printf(&d->text, "$%s", key);
    if (!v)
        refuse(d, Q_E_QQL_VALUE, "The id isn't one that this record can have.");
    else if (d->count > MAX_PARAMS)
        refuse(d, Q_E_QQL_LIMIT, "The request has too many values.");
    if (json_object_set_new(d->params, key, v ? v : json_null()) != 0)
        refuse(d, Q_E_LIMIT_MEMORY, "No memory for the request.");
}

json_t *q_gql_id(const q_gql_record *r, q_slice id)
{
    char digits[24];
    char *end;
    if (!eq(r->attrs[0].datatype, "int"))
        return json_stringn(id.ptr ? id.ptr : "", id.len);
    if (!id.len || id.len >= sizeof digits || (id.ptr[0] != '-' && (id.ptr[0] < '0' || id.ptr[0] > '9')))
        return NULL;
    memcpy(digits, id.ptr, id.len);
    digits[id.len] = '\0';
    errno = 0;
    long long n = strtoll(digits, &end, 10);
    return errno || *end ? NULL : json_integer(n);
}

static json_t *id_of(const q_gql_record *r, const json_t *v) { return q_gql_id(r, q_slice_of(json_string_value(v), json_string_length(v))); }

/* A value of the attribute: ids as they are typed, all else as the schema read it. The caller's. */
static json_t *typed(const q_gql_schema *s, const q_gql_record *r, const q_gql_attr *a, json_t *v)
{
    const q_gql_record *of = a->kind == Q_GQL_A_RELATION ? q_gql_record_named(s, a->target) : eq(a->name, "id") ? r : NULL;
    if (!of)
        return json_incref(v);
    if (json_is_string(v))
        return id_of(of, v);
    if (!json_is_array(v))
        return json_incref(v);
    json_t *out = json_array(), *item;
    size_t i;
    json_array_foreach(v, i, item) {
        json_t *id = json_is_string(item) ? id_of(of, item) : json_null();
        if (!id || json_array_append_new(out, id) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* ---- conditions ---- */

/* `a`, path(`r`).`a`, and of a document ["street"][0] behind it. */
static void place(q_gql_draft *d, const hops *h, const q_gql_attr *a, const char *path)
{
    if (h->count) {
        text(d, "path(");
        for (uint32_t i = 0; i < h->count; i++) {
            text(d, i ? " -> " : "");
            name(d, h->attrs[i]->name);
        }
        text(d, ").");
    }
    name(d, a->name);
    while (path && *path && !d->failed) {
        bool index = *path == '[';
        const char *from = path + (index || *path == '.');
        size_t n = strspn(from, index ? "0123456789" : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        if (!n || n > (index ? 6 : 64) || (index && from[n] != ']') || (!index && from[n] && !strchr(".[", from[n]))) {
            refuse(d, Q_E_QQL_VALUE, "A document's path is names and indexes: a.b[0].c");
            return;
        }
        q_buf_printf(&d->text, index ? "[%.*s]" : "[\"%.*s\"]", (int)n, from);
        path = from + n + index;
    }
}

static void filter(q_gql_draft *d, const q_gql_record *r, const hops *h, const q_gql_attr *a, json_t *v)
{
    static const char *const operators[][2] = { { "eq", " = " }, { "ne", " != " }, { "lt", " < " }, { "le", " <= " }, { "gt", " > " }, { "ge", " >= " },
                                                { "in", " IN " }, { "notIn", " NOT IN " }, { "like", " LIKE " } };
    const char *path = json_string_value(json_object_get(v, "path")), *key;
    json_t *operand;
    json_object_foreach(v, key, operand) {
        if (!strcmp(key, "path") || (!strcmp(key, "isNull") && json_is_null(operand)))
            continue;
        text(d, " AND ");
        place(d, h, a, path);
        if (!strcmp(key, "isNull"))
            text(d, json_is_true(operand) ? " IS NULL" : " IS NOT NULL");
        for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
            if (!strcmp(key, operators[i][0])) {
                text(d, operators[i][1]);
                bool list = i == 6 || i == 7;
                if (json_is_null(operand) && (list || i >= 8))
                    refuse(d, Q_E_QQL_VALUE, "null can't stand here: isNull asks for it.");
                value(d, i == 8 ? json_incref(operand) : typed(d->request->schema, r, a, operand));
            }
    }
}

static const q_gql_attr *attr_named(const q_gql_record *r, q_slice n)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (q_slice_eq(r->attrs[i].name, n))
            return &r->attrs[i];
    return NULL;
}

static void condition(q_gql_draft *d, const q_gql_record *r, hops *h, json_t *where, uint32_t depth);

static void list_of(q_gql_draft *d, const q_gql_record *r, hops *h, json_t *list, bool all, uint32_t depth)
{
    size_t i;
    json_t *item;
    text(d, all ? " AND (TRUE" : " AND (FALSE");
    json_array_foreach(list, i, item) {
        text(d, all ? " AND " : " OR ");
        condition(d, r, h, item, depth + 1);
    }
    text(d, ")");
}

static void member(q_gql_draft *d, const q_gql_record *r, hops *h, const char *key, json_t *v, uint32_t depth)
{
    size_t n = strlen(key);
    if (json_is_null(v))
        return;
    if (!strcmp(key, "AND") || !strcmp(key, "OR")) {
        list_of(d, r, h, v, key[0] == 'A', depth);
    } else if (!strcmp(key, "NOT")) {
        text(d, " AND NOT ");
        condition(d, r, h, v, depth + 1);
    } else if (n > 6 && !strcmp(key + n - 6, "IsNull")) {
        text(d, " AND ");
        place(d, h, attr_named(r, q_slice_of(key, n - 6)), NULL);
        text(d, json_is_true(v) ? " IS NULL" : " IS NOT NULL");
    } else {
        const q_gql_attr *a = attr_named(r, q_slice_cstr(key));
        if (a->kind != Q_GQL_A_RELATION) {
            filter(d, r, h, a, v);
        } else if (h->count == MAX_HOPS) {
            refuse(d, Q_E_QQL_LIMIT, "The condition follows too many relations.");
        } else {
            h->attrs[h->count++] = a;
            text(d, " AND ");
            condition(d, q_gql_record_named(d->request->schema, a->target), h, v, depth + 1);
            h->count--;
        }
    }
}

static void condition(q_gql_draft *d, const q_gql_record *r, hops *h, json_t *where, uint32_t depth)
{
    const char *key;
    json_t *v;
    text(d, "(TRUE");
    if (depth > MAX_FILTER_DEPTH)
        refuse(d, Q_E_QQL_LIMIT, "The condition is nested too deeply.");
    else
        json_object_foreach(where, key, v)
            member(d, r, h, key, v, depth);
    text(d, ")");
}

static void where(q_gql_draft *d, const q_gql_record *r, json_t *w)
{
    hops h = { .count = 0 };
    condition(d, r, &h, w, 0);
}

/* ---- reading ---- */

static uint32_t bounded(q_gql_draft *d, const json_t *v, uint32_t standard, uint32_t most)
{
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : standard;
    if (n < 0 || n > most)
        refuse(d, Q_E_QQL_LIMIT, "limit and offset have bounds; they aren't negative.");
    return n < 0 || n > most ? 0 : (uint32_t)n;
}

static void order(q_gql_draft *d, json_t *list)
{
    size_t i;
    json_t *item, *v;
    const char *key;
    text(d, " ORDER BY ");
    json_array_foreach(list, i, item)
        json_object_foreach(item, key, v) {
            const char *how = json_string_value(v);
            if (!how)
                continue;
            q_buf_printf(&d->text, "`%s` %s%s, ", key, how[0] == 'D' ? "DESC" : "ASC", strstr(how, "FIRST") ? " NULLS FIRST" : "");
        }
    text(d, "`id` ASC"); /* so that offsets mean something */
}

static void groups(q_gql_draft *d, json_t *list)
{
    for (int round = 0; json_array_size(list) && round < 2; round++) {
        size_t i;
        json_t *item;
        text(d, round ? " ORDER BY " : " GROUP BY ");
        json_array_foreach(list, i, item)
            q_buf_printf(&d->text, "%s`%s`", i ? ", " : "", json_string_value(item));
    }
}

static void selection(q_gql_draft *d, q_gql_node *n, json_t *ids)
{
    const q_gql_record *r = n->field->record;
    q_gql_role role = n->field->role;
    json_t *w = json_object_get(n->args, "where");
    text(d, "SELECT ");
    for (uint32_t i = 0; i < n->column_count; i++)
        q_buf_printf(&d->text, "%s%.*s AS c%u", i ? ", " : "", Q_SLICE_FMT(n->columns[i]), i);
    text(d, " FROM ");
    name(d, r->name);
    text(d, " WHERE ");
    if (role == Q_GQL_R_BY_ID) {
        text(d, "`id` = ");
        value(d, id_of(r, json_object_get(n->args, "id")));
    } else if (ids) {
        text(d, "`id` IN ");
        value(d, json_incref(ids));
    } else {
        where(d, r, w);
    }
    if (ids && json_object_size(w)) {
        text(d, " AND ");
        where(d, r, w);
    }
    if (role == Q_GQL_R_LIST) {
        order(d, json_object_get(n->args, "orderBy"));
        text(d, " LIMIT ");
        value(d, json_integer(bounded(d, json_object_get(n->args, "limit"), d->request->limits.default_rows, d->request->limits.max_rows)));
        text(d, " OFFSET ");
        value(d, json_integer(bounded(d, json_object_get(n->args, "offset"), 0, INT32_MAX)));
    } else if (role == Q_GQL_R_AGGREGATE) {
        groups(d, json_object_get(n->args, "groupBy"));
        q_buf_printf(&d->text, " LIMIT %u", d->request->limits.max_rows);
    }
}

/* ---- changing ---- */

static void insert(q_gql_draft *d, q_gql_node *n)
{
    const q_gql_record *r = n->field->record;
    json_t *rows = json_object_get(n->args, "rows"), *row, *v;
    const char *key;
    size_t i;
    if (!json_array_size(rows))
        refuse(d, Q_E_QQL_VALUE, "There are no rows to insert.");
    text(d, "INSERT INTO ");
    name(d, r->name);
    json_array_foreach(rows, i, row) {
        text(d, i ? ", {" : " {");
        bool first = true;
        json_object_foreach(row, key, v) {
            q_slice k = q_slice_cstr(key);
            text(d, first ? "" : ", ");
            first = false;
            name(d, k);
            text(d, ": ");
            value(d, typed(d->request->schema, r, attr_named(r, k), v));
        }
        text(d, "}");
    }
}

static void assignments(q_gql_draft *d, const q_gql_record *r, json_t *set, char how, bool *first)
{
    const char *key;
    json_t *v;
    json_object_foreach(set, key, v) {
        q_slice k = q_slice_cstr(key);
        const q_gql_attr *a = attr_named(r, k);
        if (how != '=' && json_is_null(v))
            continue;
        text(d, *first ? "" : ", ");
        *first = false;
        name(d, k);
        if (how == '=' || a->kind == Q_GQL_A_SCALAR) {
            text(d, " = ");
            if (how == '+') {
                name(d, k);
                text(d, " + ");
            }
        } else {
            text(d, how == '+' ? " += " : " -= ");
        }
        value(d, typed(d->request->schema, r, a, v));
    }
}

static void update(q_gql_draft *d, q_gql_node *n)
{
    const q_gql_record *r = n->field->record;
    bool first = true;
    text(d, "UPDATE ");
    name(d, r->name);
    text(d, " SET ");
    assignments(d, r, json_object_get(n->args, "set"), '=', &first);
    assignments(d, r, json_object_get(n->args, "add"), '+', &first);
    assignments(d, r, json_object_get(n->args, "remove"), '-', &first);
    if (first)
        refuse(d, Q_E_QQL_VALUE, "There is nothing to set, add or remove.");
    text(d, " WHERE ");
    where(d, r, json_object_get(n->args, "where"));
}

void q_gql_statement(q_gql_draft *d, q_gql_node *n, json_t *ids)
{
    switch (n->field->role) {
    case Q_GQL_R_INSERT:
        insert(d, n);
        break;
    case Q_GQL_R_UPDATE:
        update(d, n);
        break;
    case Q_GQL_R_DELETE:
        text(d, "DELETE FROM ");
        name(d, n->field->record->name);
        text(d, " WHERE ");
        where(d, n->field->record, json_object_get(n->args, "where"));
        break;
    default:
        selection(d, n, ids);
    }
    text(d, "; ");
    if (d->failed && !d->err->line) {
        d->err->line = n->chosen->selection->pos.line;
        d->err->column = n->chosen->selection->pos.column;
    }
}
