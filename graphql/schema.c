#include "graphql/schema.h"

#include <xxhash.h>

static const q_gql_field typename_field = { .name = { "__typename", 10 }, .type_text = { "String!", 7 }, .role = Q_GQL_R_TYPENAME };

static bool eq(q_slice a, const char *b) { return q_slice_eq(a, q_slice_cstr(b)); }

/* ---- finding ---- */

static size_t chain(q_slice name) { return XXH3_64bits(name.ptr ? name.ptr : "", name.len) % Q_GQL_CHAINS; }

q_gql_type *q_gql_type_named(const q_gql_schema *s, q_slice name)
{
    q_gql_type *t = s->chains[chain(name)];
    while (t && !q_slice_eq(t->name, name))
        t = t->same;
    return t;
}

const q_gql_record *q_gql_record_named(const q_gql_schema *s, q_slice name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (q_slice_eq(s->records[i].name, name))
            return &s->records[i];
    return NULL;
}

const q_gql_type *q_gql_bare(const q_gql_type *t)
{
    while (t && t->inner)
        t = t->inner;
    return t;
}

const q_gql_field *q_gql_field_of(const q_gql_type *t, q_slice name)
{
    for (const q_gql_field *f = t->fields; f; f = f->next)
        if (q_slice_eq(f->name, name))
            return f;
    return t->kind == Q_GQL_T_OBJECT && q_slice_eq(name, typename_field.name) ? &typename_field : NULL;
}

const q_gql_field *q_gql_selectable(const q_gql_schema *s, const q_gql_type *t, q_slice name)
{
    if (t == s->query)
        for (const q_gql_field *f = s->hidden; f; f = f->next)
            if (q_slice_eq(f->name, name))
                return f;
    return q_gql_field_of(t, name);
}

static q_gql_type *wrap(q_arena *arena, q_gql_type_kind kind, q_gql_type *inner)
{
    q_gql_type *t = inner ? Q_NEW(arena, q_gql_type) : NULL;
    if (t) {
        t->kind = kind;
        t->inner = inner;
    }
    return t;
}

q_gql_type *q_gql_type_of(const q_gql_schema *s, const q_gql_ref *ref)
{
    q_gql_type *t = ref->inner ? wrap(s->arena, Q_GQL_T_LIST, q_gql_type_of(s, ref->inner)) : q_gql_type_named(s, ref->name);
    return ref->required ? wrap(s->arena, Q_GQL_T_REQUIRED, t) : t;
}

bool q_gql_type_same(const q_gql_type *a, const q_gql_type *b)
{
    while (a->inner && b->inner && a->kind == b->kind) {
        a = a->inner;
        b = b->inner;
    }
    return a == b;
}

/* "[orders!]!" */
static q_gql_type *type_of_text(const q_gql_schema *s, q_slice text)
{
    if (text.len && text.ptr[text.len - 1] == '!')
        return wrap(s->arena, Q_GQL_T_REQUIRED, type_of_text(s, (q_slice){ text.ptr, text.len - 1 }));
    if (text.len > 2 && text.ptr[0] == '[')
        return wrap(s->arena, Q_GQL_T_LIST, type_of_text(s, (q_slice){ text.ptr + 1, text.len - 2 }));
    return q_gql_type_named(s, text);
}

/* ---- making ---- */

static q_slice joined(q_gql_schema *s, q_slice name, const char *end) { return q_arena_printf(s->arena, "%.*s%s", Q_SLICE_FMT(name), end); }

static q_gql_type *add_type(q_gql_schema *s, q_gql_type_kind kind, q_slice name, const char *about)
{
    q_gql_type *t = name.ptr ? Q_NEW(s->arena, q_gql_type) : NULL;
    if (!t) {
        s->failed = true;
        return NULL;
    }
    size_t c = chain(name);
    *t = (q_gql_type){ .kind = kind, .name = name, .about = q_slice_cstr(about), .same = s->chains[c] };
    t->last = &t->fields;
    s->chains[c] = t;
    *s->last = t;
    s->last = &t->next;
    return t;
}

static q_gql_field *append(q_gql_schema *s, q_gql_field ***last, q_slice name, q_slice type)
{
    q_gql_field *f = name.ptr ? Q_NEW(s->arena, q_gql_field) : NULL;
    if (!f) {
        s->failed = true;
        return NULL;
    }
    f->name = name;
    f->type_text = type;
    **last = f;
    *last = &f->next;
    return f;
}

static q_gql_field *add(q_gql_schema *s, q_gql_type *t, q_slice name, q_slice type, q_gql_role role, const q_gql_record *r, const q_gql_attr *a)
{
    q_gql_field *f = t ? append(s, &t->last, name, type) : NULL;
    if (f) {
        f->role = role;
        f->record = r;
        f->attr = a;
    }
    return f;
}

static void add_arg(q_gql_schema *s, q_gql_field *f, const char *name, q_slice type, const char *standard)
{
    if (!f)
        return;
    q_gql_field **last = &f->args;
    while (*last)
        last = &(*last)->next;
    q_gql_field *a = append(s, &last, q_slice_cstr(name), type);
    if (a)
        a->standard = standard;
}

/* "name:type,name:type" */
static void add_all(q_gql_schema *s, q_gql_type *t, const char *list, q_gql_role role)
{
    while (t && *list) {
        const char *colon = strchr(list, ':'), *end = strchr(colon, ',');
        size_t n = end ? (size_t)(end - colon) - 1 : strlen(colon) - 1;
        add(s, t, q_slice_of(list, (size_t)(colon - list)), q_slice_of(colon + 1, n), role, NULL, NULL);
        list = end ? end + 1 : "";
    }
}

static const char *scalar_of(q_slice datatype)
{
    static const char *const names[][2] = { { "string", "String" }, { "int", "Int64" }, { "float", "Float" }, { "bool", "Boolean" }, { "uuid", "UUID" },
                                            { "decimal", "Decimal" }, { "time", "Time" }, { "duration", "Duration" }, { "bytes", "Bytes" } };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (eq(datatype, names[i][0]))
            return names[i][1];
    return "String";
}

static const char *type_of_attr(const q_gql_attr *a)
{
    if (a->kind == Q_GQL_A_DOCUMENT)
        return "JSON";
    return a->kind == Q_GQL_A_RELATION || eq(a->name, "id") ? "ID" : scalar_of(a->datatype);
}

static bool is_number(const q_gql_attr *a)
{
    return (a->kind == Q_GQL_A_SCALAR || a->kind == Q_GQL_A_METRIC) && !eq(a->name, "id") &&
           (eq(a->datatype, "int") || eq(a->datatype, "float") || eq(a->datatype, "decimal"));
}

static void add_base(q_gql_schema *s)
{
    static const struct { const char *name; q_gql_scalar how; const char *about; } scalars[] = {
        { "Int", Q_GQL_S_INT, "A whole number of 32 bits." },
        { "Float", Q_GQL_S_FLOAT, "A floating point number." },
        { "String", Q_GQL_S_STRING, "Text." },
        { "Boolean", Q_GQL_S_BOOL, "true or false." },
        { "ID", Q_GQL_S_ID, "A record's id, as a string also where it is a number." },
        { "Int64", Q_GQL_S_INT64, "A whole number of 64 bits, written as a number; read from a number or a string of digits." },
        { "UUID", Q_GQL_S_TEXT, "A UUID." },
        { "Decimal", Q_GQL_S_TEXT, "A decimal number, as a string so that no digit is lost." },
        { "Time", Q_GQL_S_TEXT, "RFC 3339, UTC." },
        { "Duration", Q_GQL_S_TEXT, "ISO 8601: P1DT3H." },
        { "Bytes", Q_GQL_S_TEXT, "base64." },
        { "JSON", Q_GQL_S_JSON, "Any JSON value." },
    };
    static const char *const filtered[] = { "ID", "String", "Int64", "Float", "Boolean", "UUID", "Decimal", "Time", "Duration", "Bytes" };
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        q_gql_type *t = add_type(s, Q_GQL_T_SCALAR, q_slice_cstr(scalars[i].name), scalars[i].about);
        if (t)
            t->scalar = scalars[i].how;
    }
    for (size_t i = 0; i < sizeof filtered / sizeof filtered[0]; i++) {
        static const char *const operators[] = { "eq", "ne", "lt", "le", "gt", "ge" };
        q_slice of = q_slice_cstr(filtered[i]), list = q_arena_printf(s->arena, "[%.*s!]", Q_SLICE_FMT(of));
        q_gql_type *t = add_type(s, Q_GQL_T_INPUT, joined(s, of, "Filter"), "All that are given must hold.");
        for (size_t o = 0; o < 6; o++)
            add(s, t, q_slice_cstr(operators[o]), of, Q_GQL_R_NONE, NULL, NULL);
        add(s, t, Q_SLICE_LIT("in"), list, Q_GQL_R_NONE, NULL, NULL);
        add(s, t, Q_SLICE_LIT("notIn"), list, Q_GQL_R_NONE, NULL, NULL);
        if (i < 2)
            add(s, t, Q_SLICE_LIT("like"), of, Q_GQL_R_NONE, NULL, NULL);
        add(s, t, Q_SLICE_LIT("isNull"), Q_SLICE_LIT("Boolean"), Q_GQL_R_NONE, NULL, NULL);
    }
    add_all(s, add_type(s, Q_GQL_T_INPUT, Q_SLICE_LIT("DocumentFilter"), "A part of a document (path: \"address.lines[0]\"), or all of it."),
            "path:String,eq:JSON,ne:JSON,lt:JSON,le:JSON,gt:JSON,ge:JSON,in:[JSON!],notIn:[JSON!],like:String,isNull:Boolean", Q_GQL_R_NONE);
    q_gql_type *order = add_type(s, Q_GQL_T_ENUM, Q_SLICE_LIT("Order"), "NULL is last unless it says otherwise.");
    static const char *const orders[] = { "ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST" };
    for (size_t i = 0; i < 4; i++)
        add(s, order, q_slice_cstr(orders[i]), Q_SLICE_NONE, Q_GQL_R_NONE, NULL, NULL);
    add_all(s, add_type(s, Q_GQL_T_OBJECT, Q_SLICE_LIT("Written"), "What a mutation did."), "count:Int64!,seq:Int64!,txid:String!", Q_GQL_R_WRITTEN);
}

static void add_meta(q_gql_schema *s)
{
    static const char *const objects[][2] = {
        { "__Schema", "description:String,types:[__Type!]!,queryType:__Type!,mutationType:__Type,subscriptionType:__Type,directives:[__Directive!]!" },
        { "__Type", "kind:__TypeKind!,name:String,description:String,specifiedByURL:String,fields:[__Field!],interfaces:[__Type!],possibleTypes:[__Type!],"
                    "enumValues:[__EnumValue!],inputFields:[__InputValue!],ofType:__Type,isOneOf:Boolean" },
        { "__Field", "name:String!,description:String,args:[__InputValue!]!,type:__Type!,isDeprecated:Boolean!,deprecationReason:String" },
        { "__InputValue", "name:String!,description:String,type:__Type!,defaultValue:String,isDeprecated:Boolean!,deprecationReason:String" },
        { "__EnumValue", "name:String!,description:String,isDeprecated:Boolean!,deprecationReason:String" },
        { "__Directive", "name:String!,description:String,isRepeatable:Boolean!,locations:[__DirectiveLocation!]!,args:[__InputValue!]!" },
    };
    static const char *const kinds[] = { "SCALAR", "OBJECT", "INTERFACE", "UNION", "ENUM", "INPUT_OBJECT", "LIST", "NON_NULL" };
    static const char *const places[] = { "QUERY", "MUTATION", "SUBSCRIPTION", "FIELD", "FRAGMENT_DEFINITION", "FRAGMENT_SPREAD", "INLINE_FRAGMENT",
        "VARIABLE_DEFINITION", "SCHEMA", "SCALAR", "OBJECT", "FIELD_DEFINITION", "ARGUMENT_DEFINITION", "INTERFACE", "UNION", "ENUM", "ENUM_VALUE",
        "INPUT_OBJECT", "INPUT_FIELD_DEFINITION" };
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        q_gql_type *t = add_type(s, Q_GQL_T_OBJECT, q_slice_cstr(objects[i][0]), "");
        add_all(s, t, objects[i][1], Q_GQL_R_META);
        for (q_gql_field *f = t ? t->fields : NULL; f; f = f->next)
            if (eq(f->name, "fields") || eq(f->name, "enumValues") || eq(f->name, "inputFields") || eq(f->name, "args"))
                add_arg(s, f, "includeDeprecated", Q_SLICE_LIT("Boolean"), "false");
    }
    q_gql_type *kind = add_type(s, Q_GQL_T_ENUM, Q_SLICE_LIT("__TypeKind"), ""), *place = add_type(s, Q_GQL_T_ENUM, Q_SLICE_LIT("__DirectiveLocation"), "");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        add(s, kind, q_slice_cstr(kinds[i]), Q_SLICE_NONE, Q_GQL_R_NONE, NULL, NULL);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        add(s, place, q_slice_cstr(places[i]), Q_SLICE_NONE, Q_GQL_R_NONE, NULL, NULL);
}

/* ---- of a record ---- */

static void add_object(q_gql_schema *s, const q_gql_record *r)
{
    q_gql_type *t = add_type(s, Q_GQL_T_OBJECT, r->name, "");
    for (uint32_t i = 0; i < r->count; i++) {
        const q_gql_attr *a = &r->attrs[i];
        const q_gql_record *target = a->kind == Q_GQL_A_RELATION ? q_gql_record_named(s, a->target) : NULL;
        if (a->kind == Q_GQL_A_RELATION) {
            if (target) {
                q_slice type = a->many ? q_arena_printf(s->arena, "[%.*s!]!", Q_SLICE_FMT(target->name)) : target->name;
                q_gql_field *f = add(s, t, a->name, type, a->many ? Q_GQL_R_MANY : Q_GQL_R_ONE, target, a);
                if (a->many)
                    add_arg(s, f, "where", joined(s, target->name, "Where"), NULL);
            }
            add(s, t, joined(s, a->name, a->many ? "Ids" : "Id"), a->many ? Q_SLICE_LIT("[ID!]") : Q_SLICE_LIT("ID"), Q_GQL_R_IDS, r, a);
        } else if (a->kind == Q_GQL_A_DOCUMENT) {
            add_arg(s, add(s, t, a->name, Q_SLICE_LIT("JSON"), Q_GQL_R_DOCUMENT, r, a), "path", Q_SLICE_LIT("String"), NULL);
        } else {
            add(s, t, a->name, eq(a->name, "id") ? Q_SLICE_LIT("ID!") : q_slice_cstr(type_of_attr(a)), Q_GQL_R_ATTR, r, a);
        }
    }
}

static void add_where(q_gql_schema *s, const q_gql_record *r)
{
    q_slice name = joined(s, r->name, "Where"), list = q_arena_printf(s->arena, "[%.*s!]", Q_SLICE_FMT(name));
    q_gql_type *t = add_type(s, Q_GQL_T_INPUT, name, "All that are given must hold.");
    add(s, t, Q_SLICE_LIT("AND"), list, Q_GQL_R_NONE, r, NULL);
    add(s, t, Q_SLICE_LIT("OR"), list, Q_GQL_R_NONE, r, NULL);
    add(s, t, Q_SLICE_LIT("NOT"), name, Q_GQL_R_NONE, r, NULL);
    for (uint32_t i = 0; i < r->count; i++) {
        const q_gql_attr *a = &r->attrs[i];
        if (a->kind == Q_GQL_A_RELATION) {
            if (q_gql_record_named(s, a->target))
                add(s, t, a->name, joined(s, a->target, "Where"), Q_GQL_R_ONE, r, a);
            add(s, t, joined(s, a->name, "IsNull"), Q_SLICE_LIT("Boolean"), Q_GQL_R_IDS, r, a);
        } else {
            const char *type = a->kind == Q_GQL_A_DOCUMENT ? "Document" : type_of_attr(a);
            add(s, t, a->name, joined(s, q_slice_cstr(type), "Filter"), Q_GQL_R_ATTR, r, a);
        }
    }
}

static bool sortable(const q_gql_attr *a) { return a->kind == Q_GQL_A_SCALAR || a->kind == Q_GQL_A_METRIC; }

static void add_order(q_gql_schema *s, const q_gql_record *r)
{
    q_gql_type *t = add_type(s, Q_GQL_T_INPUT, joined(s, r->name, "OrderBy"), "Its members in the order given; further keys in further objects.");
    for (uint32_t i = 0; i < r->count; i++)
        if (sortable(&r->attrs[i]))
            add(s, t, r->attrs[i].name, Q_SLICE_LIT("Order"), Q_GQL_R_NONE, r, &r->attrs[i]);
}

/* A group of an aggregate: nothing when no attribute can be in it, as an object type has a field at least. */
static void add_group(q_gql_schema *s, q_gql_type *of, const q_gql_record *r, const char *name, const char *type_end, q_gql_role role)
{
    q_gql_type *t = NULL;
    q_slice type = joined(s, r->name, type_end);
    for (uint32_t i = 0; i < r->count; i++) {
        const q_gql_attr *a = &r->attrs[i];
        bool fits = role == Q_GQL_R_GROUP ? a->kind == Q_GQL_A_SCALAR
                  : role == Q_GQL_R_SUM || role == Q_GQL_R_AVG ? is_number(a) : sortable(a) && !eq(a->datatype, "bool");
        if (!fits)
            continue;
        if (!t)
            t = add_type(s, Q_GQL_T_OBJECT, type, "");
        const char *of_value = role == Q_GQL_R_AVG && eq(a->datatype, "int") ? "Float" : type_of_attr(a);
        add(s, t, a->name, q_slice_cstr(of_value), role, r, a);
    }
    if (t)
        add(s, of, q_slice_cstr(name), type, role, r, NULL);
}

static void add_aggregate(q_gql_schema *s, const q_gql_record *r)
{
    q_gql_type *column = add_type(s, Q_GQL_T_ENUM, joined(s, r->name, "Column"), "");
    for (uint32_t i = 0; i < r->count; i++) {
        q_slice n = r->attrs[i].name;
        if (r->attrs[i].kind == Q_GQL_A_SCALAR && !eq(n, "true") && !eq(n, "false") && !eq(n, "null"))
            add(s, column, n, Q_SLICE_NONE, Q_GQL_R_NONE, r, &r->attrs[i]);
    }
    q_gql_type *t = add_type(s, Q_GQL_T_OBJECT, joined(s, r->name, "Aggregate"), "");
    add(s, t, Q_SLICE_LIT("count"), Q_SLICE_LIT("Int64!"), Q_GQL_R_COUNT, r, NULL);
    add_group(s, t, r, "key", "Key", Q_GQL_R_GROUP);
    add_group(s, t, r, "sum", "Sum", Q_GQL_R_SUM);
    add_group(s, t, r, "avg", "Avg", Q_GQL_R_AVG);
    add_group(s, t, r, "min", "Min", Q_GQL_R_MIN);
    add_group(s, t, r, "max", "Max", Q_GQL_R_MAX);
}

/* What may be written: `input` with everything, `set` without the id, `add` and `remove` what can grow and shrink. */
static void add_inputs(q_gql_schema *s, const q_gql_record *r, q_gql_field *update)
{
    q_gql_type *input = add_type(s, Q_GQL_T_INPUT, joined(s, r->name, "Input"), ""), *set = NULL, *more = NULL, *less = NULL;
    for (uint32_t i = 0; i < r->count; i++) {
        const q_gql_attr *a = &r->attrs[i];
        bool is_id = eq(a->name, "id");
        q_slice type = a->many ? Q_SLICE_LIT("[ID!]") : q_slice_cstr(type_of_attr(a));
        add(s, input, a->name, a->required || is_id ? joined(s, type, "!") : type, Q_GQL_R_NONE, r, a);
        if (is_id)
            continue;
        if (!set)
            set = add_type(s, Q_GQL_T_INPUT, joined(s, r->name, "Set"), "New values.");
        add(s, set, a->name, type, Q_GQL_R_NONE, r, a);
        bool list = a->many || a->kind == Q_GQL_A_DOCUMENT;
        if (!list && !(is_number(a) && a->kind == Q_GQL_A_SCALAR))
            continue;
        if (!more)
            more = add_type(s, Q_GQL_T_INPUT, joined(s, r->name, "Add"), "Added to numbers, appended to arrays in documents, related.");
        add(s, more, a->name, a->kind == Q_GQL_A_DOCUMENT ? Q_SLICE_LIT("[JSON]") : type, Q_GQL_R_NONE, r, a);
        if (a->many && !less)
            less = add_type(s, Q_GQL_T_INPUT, joined(s, r->name, "Remove"), "No longer related.");
        if (a->many)
            add(s, less, a->name, type, Q_GQL_R_NONE, r, a);
    }
    if (set)
        add_arg(s, update, "set", set->name, NULL);
    if (more)
        add_arg(s, update, "add", more->name, NULL);
    if (less)
        add_arg(s, update, "remove", less->name, NULL);
}

static void add_record(q_gql_schema *s, const q_gql_record *r)
{
    q_slice list = q_arena_printf(s->arena, "[%.*s!]!", Q_SLICE_FMT(r->name)), where = joined(s, r->name, "Where"), must = joined(s, where, "!");
    add_object(s, r);
    add_where(s, r);
    add_order(s, r);
    add_aggregate(s, r);
    q_gql_field *f = add(s, s->query, r->name, list, Q_GQL_R_LIST, r, NULL);
    add_arg(s, f, "where", where, NULL);
    add_arg(s, f, "orderBy", q_arena_printf(s->arena, "[%.*sOrderBy!]", Q_SLICE_FMT(r->name)), NULL);
    add_arg(s, f, "limit", Q_SLICE_LIT("Int"), NULL);
    add_arg(s, f, "offset", Q_SLICE_LIT("Int"), NULL);
    f = add(s, s->query, joined(s, r->name, "ById"), r->name, Q_GQL_R_BY_ID, r, NULL);
    add_arg(s, f, "id", Q_SLICE_LIT("ID!"), NULL);
    f = add(s, s->query, joined(s, r->name, "Aggregate"), q_arena_printf(s->arena, "[%.*sAggregate!]!", Q_SLICE_FMT(r->name)), Q_GQL_R_AGGREGATE, r, NULL);
    add_arg(s, f, "where", where, NULL);
    add_arg(s, f, "groupBy", q_arena_printf(s->arena, "[%.*sColumn!]", Q_SLICE_FMT(r->name)), NULL);
    f = add(s, s->mutation, joined(s, r->name, "Insert"), Q_SLICE_LIT("Written!"), Q_GQL_R_INSERT, r, NULL);
    add_arg(s, f, "rows", q_arena_printf(s->arena, "[%.*sInput!]!", Q_SLICE_FMT(r->name)), NULL);
    f = add(s, s->mutation, joined(s, r->name, "Update"), Q_SLICE_LIT("Written!"), Q_GQL_R_UPDATE, r, NULL);
    add_arg(s, f, "where", must, NULL);
    add_inputs(s, r, f);
    f = add(s, s->mutation, joined(s, r->name, "Delete"), Q_SLICE_LIT("Written!"), Q_GQL_R_DELETE, r, NULL);
    add_arg(s, f, "where", must, NULL);
}

static void resolve(q_gql_schema *s, q_gql_field *list)
{
    for (q_gql_field *f = list; f; f = f->next) {
        if (f->type_text.ptr)
            f->type = type_of_text(s, f->type_text);
        s->failed = s->failed || (f->type_text.ptr && !f->type);
        resolve(s, f->args);
    }
}

q_rc q_gql_schema_build(q_arena *arena, const q_gql_record *records, uint32_t count, q_gql_schema **out, q_err *err)
{
    q_gql_schema *s = *out = Q_NEW(arena, q_gql_schema);
    if (!s)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    s->arena = arena;
    s->records = records;
    s->count = count;
    s->last = &s->types;
    s->query = add_type(s, Q_GQL_T_OBJECT, Q_SLICE_LIT("Query"), "");
    s->mutation = count ? add_type(s, Q_GQL_T_OBJECT, Q_SLICE_LIT("Mutation"), "All of one request are one transaction.") : NULL;
    add_base(s);
    add_meta(s);
    add(s, s->query, Q_SLICE_LIT("recordNames"), Q_SLICE_LIT("[String!]!"), Q_GQL_R_RECORDS, NULL, NULL);
    q_gql_field **hidden = &s->hidden, *f = append(s, &hidden, Q_SLICE_LIT("__schema"), Q_SLICE_LIT("__Schema!"));
    if (f)
        f->role = Q_GQL_R_SCHEMA;
    f = append(s, &hidden, Q_SLICE_LIT("__type"), Q_SLICE_LIT("__Type"));
    if (f)
        f->role = Q_GQL_R_TYPE;
    add_arg(s, f, "name", Q_SLICE_LIT("String!"), NULL);
    for (uint32_t i = 0; i < count && !s->failed; i++)
        add_record(s, &records[i]);
    for (q_gql_type *t = s->types; t && !s->failed; t = t->next)
        resolve(s, t->fields);
    resolve(s, s->hidden);
    return s->failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.") : Q_OK;
}
