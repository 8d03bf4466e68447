/* show.c - SHOW, which reads the catalog only; and of it what the asker knows. */
#include "coordinator/exec_run.h"
#include "quantaql/rights.h"

typedef struct shown { const char *name, *type; } shown;

static const shown BUCKETS[] = { { "bucket", "string" }, { "records", "int" }, { NULL, NULL } };
static const shown RECORDS[] = { { "record", "string" }, { "version", "int" }, { "attributes", "int" }, { NULL, NULL } };
static const shown RECORD[] = { { "attribute", "string" }, { "type", "string" }, { "datatype", "string" }, { "target", "string" },
                                { "cardinality", "string" }, { "unit", "string" }, { "required", "bool" }, { "unique", "bool" },
                                { NULL, NULL } };
static const shown ROLES[] = { { "role", "string" }, { NULL, NULL } };
static const shown GRANTS[] = { { "role", "string" }, { "privilege", "string" }, { "record", "string" }, { "attributes", "document" }, { "condition", "string" },
                                { NULL, NULL } };
static const shown KEYS[] = { { "key", "string" }, { "role", "string" }, { "expires", "time" }, { NULL, NULL } };

typedef struct show {
    q_exec *x;
    q_result *result;
    const q_bucket *bucket;
    const q_rights *rights; /* NULL: everything may be seen */
} show;

static bool columns(show *s, const shown *list)
{
    yajl_gen g = q_json_begin(s->x->json);
    yajl_gen_array_open(g);
    for (const shown *c = list; c->name; c++) {
        yajl_gen_map_open(g);
        q_json_key(g, "name");
        q_json_key(g, c->name);
        q_json_key(g, "type");
        q_json_key(g, c->type);
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
    s->result->columns = q_json_take(s->x->json);
    return s->result->columns.ptr != NULL;
}

static yajl_gen row(show *s)
{
    yajl_gen g = q_json_begin(s->x->json);
    yajl_gen_array_open(g);
    return g;
}

static bool row_end(show *s, yajl_gen g)
{
    yajl_gen_array_close(g);
    return q_result_row(s->x->arena, s->result, q_json_end(s->x->json));
}

static void str_or_null(yajl_gen g, q_slice s)
{
    if (s.len)
        q_json_str(g, s);
    else
        yajl_gen_null(g);
}

static uint32_t known_attrs(const show *s, const q_record *rec)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rec->count; i++)
        n += q_rights_attr(s->rights, rec, &rec->attrs[i]);
    return n;
}

/* As many as there are of those that the asker knows. */
static uint32_t known_records(const q_rights *rights, const q_bucket *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->count; i++)
        n += q_rights_record(rights, b->records[i]);
    return n;
}

static bool show_buckets(show *s)
{
    const q_catalog *catalog = s->x->planner.catalog;
    for (size_t i = 0; i < q_catalog_count(catalog); i++) {
        const q_bucket *b = q_catalog_at(catalog, i);
        const q_rights *there = NULL;
        if (s->rights && !q_rights_of(s->x->arena, s->rights->who, b, &there))
            return false;
        if (!q_rights_bucket(there))
            continue;
        yajl_gen g = row(s);
        q_json_str(g, b->name);
        yajl_gen_integer(g, known_records(there, b));
        if (!row_end(s, g))
            return false;
    }
    return true;
}

static bool show_records(show *s)
{
    for (uint32_t i = 0; s->bucket && i < s->bucket->count; i++) {
        const q_record *r = s->bucket->records[i];
        if (!q_rights_record(s->rights, r))
            continue;
        yajl_gen g = row(s);
        q_json_str(g, r->name);
        yajl_gen_integer(g, r->version);
        yajl_gen_integer(g, known_attrs(s, r));
        if (!row_end(s, g))
            return false;
    }
    return true;
}

static bool show_attr(show *s, const q_attr *a)
{
    const q_record *target = a->kind == Q_K_RELATION ? q_bucket_record(s->bucket, a->target) : NULL;
    yajl_gen g = row(s);
    q_json_str(g, a->name);
    q_json_key(g, q_kind_name(a->kind));
    str_or_null(g, a->kind == Q_K_SCALAR || a->kind == Q_K_METRIC ? q_slice_cstr(q_type_name(a->datatype)) : Q_SLICE_NONE);
    str_or_null(g, target && !q_rights_record(s->rights, target) ? Q_SLICE_NONE : a->target);
    str_or_null(g, a->kind == Q_K_RELATION ? q_slice_cstr(a->many ? "many" : "one") : Q_SLICE_NONE);
    str_or_null(g, a->unit);
    yajl_gen_bool(g, a->required);
    yajl_gen_bool(g, a->unique);
    return row_end(s, g);
}

static bool show_record(show *s, const q_record *rec)
{
    for (uint32_t i = 0; i < rec->count; i++)
        if (q_rights_attr(s->rights, rec, &rec->attrs[i]) && !show_attr(s, &rec->attrs[i]))
            return false;
    return true;
}

static bool show_roles(show *s)
{
    const q_acl *a = s->bucket ? s->bucket->access : NULL;
    for (uint32_t i = 0; a && i < a->role_count; i++) {
        yajl_gen g = row(s);
        q_json_str(g, a->roles[i]);
        if (!row_end(s, g))
            return false;
    }
    return true;
}

static bool is_own_role(const show *s, q_slice role)
{
    if (q_rights_admin(s->rights))
        return true;
    for (uint32_t i = 0; i < s->rights->who->role_count; i++)
        if (q_slice_eq(s->rights->who->roles[i], role))
            return true;
    return false;
}

/* Everybody sees what he was granted; an administrator of the bucket sees all. */
static bool show_grants(show *s, q_slice role)
{
    const q_acl *a = s->bucket ? s->bucket->access : NULL;
    for (uint32_t i = 0; a && i < a->grant_count; i++) {
        const q_grant *gr = &a->grants[i];
        if ((role.len && !q_slice_eq(role, gr->role)) || !is_own_role(s, gr->role))
            continue;
        yajl_gen g = row(s);
        q_json_str(g, gr->role);
        q_json_key(g, q_priv_name(gr->priv));
        str_or_null(g, gr->record);
        if (gr->field_count == 0) {
            yajl_gen_null(g);
        } else {
            yajl_gen_array_open(g);
            for (uint32_t j = 0; j < gr->field_count; j++)
                q_json_str(g, gr->fields[j]);
            yajl_gen_array_close(g);
        }
        /* The condition may name what the role must not know of. */
        str_or_null(g, q_rights_admin(s->rights) ? gr->where : Q_SLICE_NONE);
        if (!row_end(s, g))
            return false;
    }
    return true;
}

static bool show_keys(show *s)
{
    const q_acl *a = s->bucket ? s->bucket->access : NULL;
    for (uint32_t i = 0; a && i < a->key_count; i++) {
        const q_api_key *k = &a->keys[i];
        q_value expires = { .type = k->expires_us ? Q_T_TIME : Q_T_NULL, .i = k->expires_us };
        yajl_gen g = row(s);
        q_json_str(g, k->name);
        q_json_str(g, k->role);
        if (!q_value_to_json(&expires, false, g) || !row_end(s, g))
            return false;
    }
    return true;
}

q_step_rc q_show_step(q_exec *x, q_err *err)
{
    const q_stmt *stmt = x->plans[x->at].stmt;
    show s = { x, &x->results[x->at], x->planner.bucket, x->script->rights };
    q_slice what = stmt->show;
    bool ok;
    if (s.rights && !q_rights_bucket(s.rights))
        s.bucket = NULL;
    s.result->kind = "show";
    if (q_slice_eq(what, Q_SLICE_LIT("buckets"))) {
        ok = columns(&s, BUCKETS) && show_buckets(&s);
    } else if (q_slice_eq(what, Q_SLICE_LIT("records"))) {
        ok = columns(&s, RECORDS) && show_records(&s);
    } else if (q_slice_eq(what, Q_SLICE_LIT("roles"))) {
        ok = columns(&s, ROLES) && show_roles(&s);
    } else if (q_slice_eq(what, Q_SLICE_LIT("grants"))) {
        ok = columns(&s, GRANTS) && show_grants(&s, stmt->role);
    } else if (q_slice_eq(what, Q_SLICE_LIT("keys"))) {
        ok = columns(&s, KEYS) && show_keys(&s);
    } else {
        const q_record *rec = stmt->record ? stmt->record : s.bucket ? q_bucket_record(s.bucket, stmt->record_name) : NULL;
        if (!rec) {
            q_err_set(err, Q_E_UNKNOWN_RECORD, "There is no record %.*s.", Q_SLICE_FMT(stmt->record_name));
            return Q_STEP_FAIL;
        }
        ok = columns(&s, RECORD) && show_record(&s, rec);
    }
    if (ok)
        return Q_STEP_END;
    (void)q_exec_no_memory(err);
    return Q_STEP_FAIL;
}
