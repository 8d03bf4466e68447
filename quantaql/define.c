/* CREATE, ALTER and DROP. */
#include "quantaql/parser.h"

static const char *const datatypes[] = { "string", "int", "float", "bool", "uuid", "decimal", "time", "duration", "bytes" };

/* A datatype's name, in any case; Q_T_NULL after an error. */
static q_type datatype(q_parser *p, q_tok t)
{
    q_slice name = q_tok_name(p, t);
    for (size_t i = 0; i < sizeof datatypes / sizeof datatypes[0]; i++)
        if (name.len == strlen(datatypes[i]) && q_word_distance(name, q_slice_cstr(datatypes[i]), 0) == 0)
            return q_type_from_name(q_slice_cstr(datatypes[i]));
    q_parse_fail(p, Q_E_QQL_SYNTAX, t.pos, "\"%.*s\" is not a datatype", (int)(name.len > 60 ? 60 : name.len), name.ptr);
    const char *near = q_word_nearest(name, datatypes, sizeof datatypes / sizeof datatypes[0]);
    if (near)
        q_parse_hint(p, "Did you mean %s?", near);
    else
        q_parse_hint(p, "Datatypes: string int float bool uuid decimal time duration bytes.");
    return Q_T_NULL;
}

static void push_attr(q_parser *p, q_tok name, q_attr a)
{
    a.name = q_tok_name(p, name);
    q_push(p, &a, sizeof a);
}

void q_push_scalar(q_parser *p, q_tok name, q_tok type, q_attr_flags f)
{
    push_attr(p, name, (q_attr){ .kind = Q_K_SCALAR, .datatype = datatype(p, type), .required = f.required, .unique = f.unique });
}

void q_push_document(q_parser *p, q_tok name) { push_attr(p, name, (q_attr){ .kind = Q_K_DOCUMENT, .datatype = Q_T_DOC }); }

void q_push_relation(q_parser *p, q_tok name, q_tok target, q_attr_flags f)
{
    q_attr a = { .kind = Q_K_RELATION, .datatype = Q_T_RELATION, .many = f.many, .required = f.required };
    if (f.many && f.one)
        q_parse_fail(p, Q_E_QQL_SYNTAX, name.pos, "a relation is either ONE or MANY");
    a.target = q_tok_name(p, target);
    push_attr(p, name, a);
}

/* Where only the unit is given. */
static q_type metric_type(q_slice unit) { return q_slice_eq(unit, Q_SLICE_LIT("duration")) ? Q_T_DURATION : Q_T_FLOAT; }

void q_push_metric(q_parser *p, q_tok name, const q_tok *type, const q_tok *unit, bool unit_is_string)
{
    q_attr a = { .kind = Q_K_METRIC };
    if (unit)
        a.unit = unit_is_string ? q_tok_string(p, *unit) : q_tok_name(p, *unit);
    a.datatype = metric_type(a.unit);
    if (type) {
        a.datatype = datatype(p, *type);
        if (!p->failed && a.datatype != Q_T_INT && a.datatype != Q_T_FLOAT && a.datatype != Q_T_DURATION) {
            q_parse_fail(p, Q_E_SCHEMA_INVALID, type->pos, "a metric holds int, float or duration");
            q_parse_hint(p, "Other values are scalar attributes.");
        }
    }
    push_attr(p, name, a);
}

static q_stmt *ddl(q_parser *p, q_tok at, q_ddl_kind kind, q_pos name_pos)
{
    q_stmt *s = q_build_stmt(p, Q_S_DDL, at);
    if (!s)
        return NULL;
    s->name_pos = name_pos;
    s->ddl.kind = kind;
    return s;
}

static void set_if(q_ddl *d, bool if_)
{
    if (d->kind == Q_DDL_CREATE_BUCKET || d->kind == Q_DDL_CREATE_RECORD)
        d->if_not_exists = if_;
    else
        d->if_exists = if_;
}

void q_build_ddl_bucket(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, bool if_, bool cascade)
{
    q_stmt *s = ddl(p, at, kind, name.pos);
    if (!s)
        return;
    s->ddl.bucket = q_tok_name(p, name);
    set_if(&s->ddl, if_);
    s->ddl.cascade = cascade;
}

static void set_attrs(q_ddl *d, q_list attrs)
{
    q_attr *list = attrs.items;
    d->count = attrs.count;
    d->attrs = list;
    for (uint32_t i = 0; i < attrs.count; i++)
        list[i].index = i;
}

void q_build_ddl_record(q_parser *p, q_tok at, q_ddl_kind kind, q_tok name, bool if_, q_list attrs)
{
    q_stmt *s = ddl(p, at, kind, name.pos);
    if (!s)
        return;
    s->ddl.record = q_tok_name(p, name);
    set_if(&s->ddl, if_);
    set_attrs(&s->ddl, attrs);
}

void q_build_ddl_alter(q_parser *p, q_tok at, q_tok name, bool if_exists, bool if_not_exists, q_list attrs)
{
    q_stmt *s = ddl(p, at, Q_DDL_ALTER_RECORD, name.pos);
    if (!s)
        return;
    s->ddl.record = q_tok_name(p, name);
    s->ddl.if_exists = if_exists;
    s->ddl.if_not_exists = if_not_exists;
    set_attrs(&s->ddl, attrs);
}

/* What the JSON form may leave out, so that both forms give the same definition. */
static void complete_attrs(q_ddl *d)
{
    q_attr *attrs = (q_attr *)(uintptr_t)d->attrs; /* they were just made, in our arena */
    for (uint32_t i = 0; i < d->count; i++) {
        q_attr *a = &attrs[i];
        a->index = i;
        if (a->datatype == Q_T_NULL && a->kind == Q_K_METRIC)
            a->datatype = metric_type(a->unit);
        else if (a->kind == Q_K_DOCUMENT)
            a->datatype = Q_T_DOC;
        else if (a->kind == Q_K_RELATION)
            a->datatype = Q_T_RELATION;
    }
}

/* JSON's strings hold what no name in backticks can: then there would be no canonical text. */
static bool names_are_names(const q_ddl *d, q_err *err)
{
    if (q_name_check(d->record, "record", err) != Q_OK)
        return false;
    for (uint32_t i = 0; i < d->count; i++)
        if (q_name_check(d->attrs[i].name, "attribute", err) != Q_OK ||
            (d->attrs[i].kind == Q_K_RELATION && q_name_check(d->attrs[i].target, "record", err) != Q_OK))
            return false;
    return true;
}

void q_build_ddl_json(q_parser *p, q_tok at, bool if_not_exists, q_tok open, q_tok close)
{
    q_stmt *s = ddl(p, at, Q_DDL_CREATE_RECORD, open.pos);
    if (!s)
        return;
    q_slice json = { p->lexer.base + open.offset, close.offset + close.len - open.offset };
    if (q_ddl_from_json(p->arena, Q_SLICE_NONE, json, &s->ddl, p->err) != Q_OK) {
        /* Its line and column count from the brace. */
        q_err *err = p->err;
        if (err->line > 1)
            err->line += open.pos.line - 1;
        else if (err->line == 1)
            q_at(err, (q_pos){ open.pos.line, err->column + open.pos.column - 1 });
        else
            q_at(err, open.pos);
        q_parse_failed(p);
        return;
    }
    s->ddl.if_not_exists = if_not_exists;
    complete_attrs(&s->ddl);
    if (!names_are_names(&s->ddl, p->err)) {
        q_at(p->err, open.pos);
        q_parse_failed(p);
    }
}
