#include "schemas/define.h"

static const char *const KIND_NAMES[Q_K_COUNT] = { "scalar", "document", "relation", "metric" };
const q_attr q_attr_seq = { .name = { "_q_seq", 6 }, .kind = Q_K_SCALAR, .datatype = Q_T_INT, .index = UINT32_MAX };

static const char *const ENGINE_NAMES[Q_EN_COUNT] = { "postgres", "mongo", "neo4j", "influx" };

const char *q_kind_name(q_kind k) { return (unsigned)k < Q_K_COUNT ? KIND_NAMES[k] : "?"; }
const char *q_engine_name(q_engine_id e) { return (unsigned)e < Q_EN_COUNT ? ENGINE_NAMES[e] : "?"; }

static q_rc refuse(const q_attr *a, const char *why, q_err *err)
{
    return q_err_set(err, Q_E_SCHEMA_INVALID, "Attribute \"%.*s\": %s.", Q_SLICE_FMT(a->name), why);
}

static bool is_id(const q_attr *a) { return q_slice_eq(a->name, Q_SLICE_LIT("id")); }

static q_rc check_unit(const q_attr *a, q_err *err)
{
    if (a->unit.len > Q_MAX_NAME_BYTES)
        return refuse(a, "a unit may have 40 bytes at most", err);
    if (!q_utf8_valid(a->unit))
        return refuse(a, "its unit is not valid UTF-8", err);
    for (size_t i = 0; i < a->unit.len; i++)
        if ((unsigned char)a->unit.ptr[i] < 0x20 || a->unit.ptr[i] == 0x7F)
            return refuse(a, "its unit holds a control character", err);
    return Q_OK;
}

static q_rc complete_metric(q_attr *a, q_err *err)
{
    bool durations = q_slice_eq(a->unit, Q_SLICE_LIT("duration"));
    if (a->datatype == Q_T_NULL)
        a->datatype = durations ? Q_T_DURATION : Q_T_FLOAT;
    if (a->datatype != Q_T_FLOAT && a->datatype != Q_T_INT && a->datatype != Q_T_DURATION)
        return refuse(a, "a metric holds float, int or duration", err);
    if (durations && a->datatype != Q_T_DURATION)
        return refuse(a, "the unit duration holds durations, not another datatype", err);
    return check_unit(a, err);
}

static q_rc complete(q_attr *a, q_err *err)
{
    if ((unsigned)a->kind >= Q_K_COUNT)
        return refuse(a, "its type is unknown", err);
    if (a->kind != Q_K_RELATION && (a->many || a->target.len))
        return refuse(a, "only a relation has a target and a cardinality", err);
    if (a->kind != Q_K_METRIC && a->unit.len)
        return refuse(a, "only a metric has a unit", err);
    if (a->unique && a->kind != Q_K_SCALAR)
        return refuse(a, "only a scalar can be unique", err);
    if (a->required && a->kind != Q_K_SCALAR && a->kind != Q_K_RELATION)
        return refuse(a, "only a scalar or a relation can be required", err);
    switch (a->kind) {
    case Q_K_SCALAR:
        if (a->datatype < Q_T_BOOL || a->datatype > Q_T_BYTES)
            return refuse(a, "a scalar needs a datatype: string, int, float, bool, uuid, decimal, time, duration or bytes", err);
        return Q_OK;
    case Q_K_DOCUMENT:
        if (a->datatype != Q_T_NULL && a->datatype != Q_T_DOC)
            return refuse(a, "a document has no datatype", err);
        a->datatype = Q_T_DOC;
        return Q_OK;
    case Q_K_RELATION:
        if (a->datatype != Q_T_NULL && a->datatype != Q_T_RELATION)
            return refuse(a, "a relation has no datatype", err);
        a->datatype = Q_T_RELATION;
        return a->target.len ? q_name_check(a->target, "record", err) : refuse(a, "a relation needs a target", err);
    case Q_K_METRIC:
    case Q_K_COUNT:
        break;
    }
    return complete_metric(a, err);
}

static q_rc complete_id(q_attr *a, q_err *err)
{
    if (a->kind != Q_K_SCALAR || (a->datatype != Q_T_STRING && a->datatype != Q_T_INT && a->datatype != Q_T_UUID))
        return refuse(a, "an id is a scalar string, int or uuid", err);
    a->required = a->unique = false; /* it is both by being the id */
    return complete(a, err);
}

static const q_attr *find(const q_definition *d, q_slice name)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (q_slice_eq(d->attrs[i].name, name))
            return &d->attrs[i];
    return NULL;
}

static q_rc add(const q_ddl *ddl, const q_attr *given, const q_record *base, q_definition *out, q_err *err)
{
    q_attr a = *given;
    q_rc rc = q_name_check(a.name, "attribute", err);
    if (rc != Q_OK)
        return rc;
    const q_attr *there = find(out, a.name);
    if (there && base && there->index < base->count && ddl->if_not_exists)
        return Q_OK;
    if (there)
        return refuse(&a, base ? "it is there already; a change can only add attributes" : "it is defined twice", err);
    if (out->count == Q_MAX_ATTRIBUTES)
        return q_err_set(err, Q_E_SCHEMA_INVALID, "A record may have %d attributes at most.", Q_MAX_ATTRIBUTES);
    if (base && (a.required || a.unique))
        return refuse(&a, "an attribute that is added later can't be required or unique", err);
    rc = is_id(&a) ? complete_id(&a, err) : complete(&a, err);
    if (rc != Q_OK)
        return rc;
    a.index = out->count;
    out->attrs[out->count++] = a;
    return Q_OK;
}

q_rc q_define(const q_ddl *ddl, const q_record *base, q_definition *out, q_err *err)
{
    out->count = 0;
    if (base) {
        if (ddl->count == 0)
            return q_err_set(err, Q_E_SCHEMA_INVALID, "The change adds no attribute.");
        memcpy(out->attrs, base->attrs, base->count * sizeof *base->attrs);
        out->count = base->count;
    } else {
        const q_attr default_id = { .name = Q_SLICE_LIT("id"), .kind = Q_K_SCALAR, .datatype = Q_T_STRING };
        const q_attr *id = &default_id;
        for (uint32_t i = 0; i < ddl->count; i++)
            if (is_id(&ddl->attrs[i]))
                id = &ddl->attrs[i];
        q_rc rc = add(ddl, id, NULL, out, err);
        for (uint32_t i = 0; i < ddl->count && rc == Q_OK; i++)
            if (&ddl->attrs[i] != id)
                rc = add(ddl, &ddl->attrs[i], NULL, out, err);
        return rc;
    }
    q_rc rc = Q_OK;
    for (uint32_t i = 0; i < ddl->count && rc == Q_OK; i++)
        rc = add(ddl, &ddl->attrs[i], base, out, err);
    return rc == Q_OK && out->count == base->count ? Q_END : rc;
}

q_rc q_ddl_complete(q_arena *arena, const q_catalog *c, const q_ddl *ddl, q_ddl *out, q_err *err)
{
    *out = *ddl;
    if (ddl->kind != Q_DDL_CREATE_RECORD && ddl->kind != Q_DDL_ALTER_RECORD)
        return Q_OK;
    const q_record *base = ddl->kind == Q_DDL_ALTER_RECORD ? q_catalog_record(c, ddl->bucket, ddl->record) : NULL;
    q_definition *d = Q_NEW(arena, q_definition);
    if (!d)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "The definition doesn't fit into memory.");
    q_rc rc = q_define(ddl, base, d, err);
    uint32_t known = base ? base->count : 0;
    out->attrs = d->attrs + known;
    out->count = d->count - known;
    return rc;
}
