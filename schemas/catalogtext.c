/* catalogtext.c - definitions as JSON (A1's form) and as QuantaQL. */
#include <jansson.h>
#include <yajl/yajl_gen.h>

#include "schemas/catalog.h"

/* ---- from JSON ------------------------------------------------------------------------------------------------------- */

static q_rc invalid(q_err *err, const char *fmt, const char *a, const char *b)
{
    return q_err_set(err, Q_E_SCHEMA_INVALID, fmt, a, b ? b : "");
}

static bool name_is(const char *name, const char *other) { return q_slice_eq(q_slice_cstr(name), q_slice_cstr(other)); }

static q_rc take_text(q_arena *arena, const char *attr, const char *key, const json_t *j, q_slice *out, q_err *err)
{
    if (!json_is_string(j))
        return invalid(err, "Attribute \"%.60s\": \"%s\" must be a string.", attr, key);
    *out = q_arena_copy(arena, q_slice_of(json_string_value(j), json_string_length(j)));
    return out->ptr ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the definition.");
}

static q_rc take_bool(const char *attr, const char *key, const json_t *j, bool *out, q_err *err)
{
    *out = json_is_true(j);
    return json_is_boolean(j) ? Q_OK : invalid(err, "Attribute \"%.60s\": \"%s\" must be true or false.", attr, key);
}

static q_rc take_kind(const char *attr, q_slice text, q_kind *out, q_err *err)
{
    for (int k = 0; k < Q_K_COUNT; k++)
        if (q_slice_eq(text, q_slice_cstr(q_kind_name((q_kind)k)))) {
            *out = (q_kind)k;
            return Q_OK;
        }
    return invalid(err, "Attribute \"%.60s\": \"type\" must be scalar, document, relation or metric.%s", attr, NULL);
}

static q_rc take_property(q_arena *arena, const char *key, const json_t *j, const char *attr, q_attr *a, bool *typed, q_err *err)
{
    q_slice text = Q_SLICE_NONE;
    if (name_is(key, "required"))
        return take_bool(attr, key, j, &a->required, err);
    if (name_is(key, "unique"))
        return take_bool(attr, key, j, &a->unique, err);
    bool target = name_is(key, "target"), unit = name_is(key, "unit"), type = name_is(key, "type"), datatype = name_is(key, "datatype");
    if (!target && !unit && !type && !datatype && !name_is(key, "cardinality"))
        return invalid(err, "Attribute \"%.60s\": \"%.60s\" is no property of an attribute.", attr, key);
    q_rc rc = take_text(arena, attr, key, j, &text, err);
    if (rc != Q_OK)
        return rc;
    if (type) {
        *typed = true;
        return take_kind(attr, text, &a->kind, err);
    }
    if (datatype) {
        a->datatype = q_type_from_name(text);
        return a->datatype ? Q_OK : invalid(err, "Attribute \"%.60s\": the datatype \"%.60s\" is unknown.", attr, text.ptr);
    }
    if (target || unit) {
        *(target ? &a->target : &a->unit) = text;
        return Q_OK;
    }
    a->many = q_slice_eq(text, Q_SLICE_LIT("many"));
    return a->many || q_slice_eq(text, Q_SLICE_LIT("one"))
               ? Q_OK
               : invalid(err, "Attribute \"%.60s\": \"cardinality\" must be one or many.%s", attr, NULL);
}

static q_rc take_attribute(q_arena *arena, const char *name, json_t *properties, q_attr *a, q_err *err)
{
    const char *key;
    json_t *value;
    bool typed = false;
    if (!json_is_object(properties))
        return invalid(err, "Attribute \"%.60s\" must be an object such as {\"type\": \"document\"}.%s", name, NULL);
    a->name = q_arena_copy(arena, q_slice_cstr(name));
    if (!a->name.ptr)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the definition.");
    json_object_foreach(properties, key, value)
    {
        q_rc rc = take_property(arena, key, value, name, a, &typed, err);
        if (rc != Q_OK)
            return rc;
    }
    if (!typed)
        return invalid(err, "Attribute \"%.60s\" has no \"type\".%s", name, NULL);
    /* A cardinality or a flag where it says nothing is an error, not a silence: define.c refuses what it can see; this it can't. */
    if (a->kind != Q_K_RELATION && json_object_get(properties, "cardinality"))
        return invalid(err, "Attribute \"%.60s\": only a relation has a cardinality.%s", name, NULL);
    return Q_OK;
}

static q_rc take_attributes(q_arena *arena, json_t *attributes, q_ddl *out, q_err *err)
{
    const char *key;
    json_t *value;
    uint32_t n = 0;
    if (!json_is_object(attributes))
        return q_err_set(err, Q_E_SCHEMA_INVALID, "\"attributes\" must be an object: {\"name\": {\"type\": …}, …}.");
    if (json_object_size(attributes) > Q_MAX_ATTRIBUTES)
        return q_err_set(err, Q_E_SCHEMA_INVALID, "A record may have %d attributes at most.", Q_MAX_ATTRIBUTES);
    q_attr *attrs = Q_NEW_ARRAY(arena, q_attr, json_object_size(attributes) + 1);
    if (!attrs)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the definition.");
    json_object_foreach(attributes, key, value)
    {
        q_rc rc = take_attribute(arena, key, value, &attrs[n++], err);
        if (rc != Q_OK)
            return rc;
    }
    out->attrs = attrs;
    out->count = n;
    return Q_OK;
}

static q_rc take_definition(q_arena *arena, json_t *j, q_ddl *out, q_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(j))
        return q_err_set(err, Q_E_SCHEMA_INVALID, "A definition is an object: {\"record\": …, \"attributes\": {…}}.");
    json_object_foreach(j, key, value)
    {
        (void)value;
        if (!name_is(key, "record") && !name_is(key, "attributes"))
            return invalid(err, "\"%.60s\" is no part of a definition; \"record\" and \"attributes\" are.%s", key, NULL);
    }
    const json_t *record = json_object_get(j, "record");
    if (!json_is_string(record))
        return q_err_set(err, Q_E_SCHEMA_INVALID, "\"record\" must be the record's name.");
    out->record = q_arena_copy(arena, q_slice_of(json_string_value(record), json_string_length(record)));
    if (!out->record.ptr)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the definition.");
    return take_attributes(arena, json_object_get(j, "attributes"), out, err);
}

q_rc q_ddl_from_json(q_arena *arena, q_slice bucket, q_slice json, q_ddl *out, q_err *err)
{
    enum { MAX_JSON = 1 << 20 };
    json_error_t at;
    if (json.len > MAX_JSON)
        return q_err_set(err, Q_E_SCHEMA_INVALID, "A definition may have %d bytes at most.", MAX_JSON);
    json_t *j = json_loadb(json.ptr ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES, &at);
    if (!j)
        return q_err_set(err, Q_E_SCHEMA_INVALID, "The definition's JSON can't be read: %s (its line %d, column %d).", at.text, at.line,
                         at.column);
    *out = (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .bucket = bucket };
    q_rc rc = take_definition(arena, j, out, err);
    json_decref(j);
    return rc;
}

/* ---- to JSON --------------------------------------------------------------------------------------------------------- */

static void print_to_buf(void *ctx, const char *text, size_t len) { q_buf_add(ctx, text, len); }

static void gen_text(yajl_gen gen, q_slice s) { yajl_gen_string(gen, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len); }
static void gen_key(yajl_gen gen, const char *key) { gen_text(gen, q_slice_cstr(key)); }

static void gen_pair(yajl_gen gen, const char *key, q_slice value)
{
    gen_key(gen, key);
    gen_text(gen, value);
}

static void gen_flag(yajl_gen gen, const char *key, bool set)
{
    if (set) {
        gen_key(gen, key);
        yajl_gen_bool(gen, 1);
    }
}

/* Is the datatype what a metric of this unit has without being told? */
static bool metric_default(const q_attr *a)
{
    return a->datatype == (q_slice_eq(a->unit, Q_SLICE_LIT("duration")) ? Q_T_DURATION : Q_T_FLOAT);
}

static void gen_attribute(yajl_gen gen, const q_attr *a)
{
    gen_text(gen, a->name);
    yajl_gen_map_open(gen);
    gen_pair(gen, "type", q_slice_cstr(q_kind_name(a->kind)));
    if (a->kind == Q_K_SCALAR || (a->kind == Q_K_METRIC && !metric_default(a)))
        gen_pair(gen, "datatype", q_slice_cstr(q_type_name(a->datatype)));
    if (a->kind == Q_K_RELATION)
        gen_pair(gen, "target", a->target);
    if (a->many)
        gen_pair(gen, "cardinality", Q_SLICE_LIT("many"));
    if (a->unit.len)
        gen_pair(gen, "unit", a->unit);
    gen_flag(gen, "required", a->required);
    gen_flag(gen, "unique", a->unique);
    yajl_gen_map_close(gen);
}

void q_record_to_json(const q_record *r, q_buf *out)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    if (!gen || !yajl_gen_config(gen, yajl_gen_print_callback, print_to_buf, out)) {
        out->failed = true;
    } else {
        yajl_gen_map_open(gen);
        gen_pair(gen, "record", r->name);
        gen_key(gen, "attributes");
        yajl_gen_map_open(gen);
        for (uint32_t i = 0; i < r->count; i++)
            gen_attribute(gen, &r->attrs[i]);
        yajl_gen_map_close(gen);
        yajl_gen_map_close(gen);
    }
    if (gen)
        yajl_gen_free(gen);
}

/* ---- to QuantaQL ----------------------------------------------------------------------------------------------------- */

static bool plain_name(q_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || (i && ((s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '_'))))
            return false;
    return s.len > 0;
}

/* As a name where it is one, otherwise as a string with JSON's escapes (no control character is ever in a unit). */
static void add_unit(q_buf *out, q_slice unit)
{
    q_buf_add_cstr(out, " unit ");
    if (plain_name(unit)) {
        q_buf_add_slice(out, unit);
        return;
    }
    q_buf_add_byte(out, '"');
    for (size_t i = 0; i < unit.len; i++) {
        if (unit.ptr[i] == '"' || unit.ptr[i] == '\\')
            q_buf_add_byte(out, '\\');
        q_buf_add_byte(out, (uint8_t)unit.ptr[i]);
    }
    q_buf_add_byte(out, '"');
}

/* A record's name, in backticks where it is a reserved word: the grammar's class `anyname`, all but ID (attributes and units stand where
 * reserved words are names). */
static void add_record_name(q_buf *out, q_slice name)
{
    static const char *const reserved[] = { "alter", "and", "as", "between", "create", "delete", "drop", "false", "from", "having", "in",
        "insert", "into", "is", "like", "not", "null", "or", "select", "set", "true", "update", "where" };
    bool quoted = false;
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        quoted = quoted || q_slice_eq(name, q_slice_cstr(reserved[i]));
    if (quoted)
        q_buf_add_byte(out, '`');
    q_buf_add_slice(out, name);
    if (quoted)
        q_buf_add_byte(out, '`');
}

void q_record_to_quantaql(const q_record *r, q_buf *out)
{
    q_buf_add_cstr(out, "CREATE RECORD ");
    add_record_name(out, r->name);
    for (uint32_t i = 0; i < r->count; i++) {
        const q_attr *a = &r->attrs[i];
        q_buf_add_cstr(out, i ? ", " : " (");
        q_buf_add_slice(out, a->name);
        q_buf_add_byte(out, ' ');
        q_buf_add_cstr(out, q_kind_name(a->kind));
        if (a->kind == Q_K_SCALAR || (a->kind == Q_K_METRIC && !metric_default(a))) {
            q_buf_add_byte(out, ' ');
            q_buf_add_cstr(out, q_type_name(a->datatype));
        }
        if (a->kind == Q_K_RELATION) {
            q_buf_add_cstr(out, " to ");
            add_record_name(out, a->target);
        }
        if (a->many)
            q_buf_add_cstr(out, " many");
        if (a->unit.len)
            add_unit(out, a->unit);
        if (a->required)
            q_buf_add_cstr(out, " required");
        if (a->unique)
            q_buf_add_cstr(out, " unique");
    }
    q_buf_add_cstr(out, ");");
}
