/* ddl.c - may a DDL be, and the snapshot after it. */
#include "schemas/snapshot.h"

static q_rc no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the catalog."); }

static q_rc unknown(q_code code, const char *what, q_slice name, q_slice near, q_err *err)
{
    q_err_set(err, code, "There is no %s \"%.*s\".", what, (int)(name.len < 60 ? name.len : 60), name.ptr ? name.ptr : "");
    if (near.len)
        q_err_hint(err, "Did you mean \"%.*s\"?", Q_SLICE_FMT(near));
    return Q_FAIL;
}

static q_rc need_bucket(const q_catalog *c, q_slice name, const q_bucket **out, q_err *err)
{
    *out = q_catalog_bucket(c, name);
    return *out ? Q_OK : unknown(Q_E_UNKNOWN_BUCKET, "bucket", name, q_catalog_suggest_bucket(c, name), err);
}

static q_rc need_record(const q_bucket *b, q_slice name, const q_record **out, q_err *err)
{
    *out = q_bucket_record(b, name);
    return *out ? Q_OK : unknown(Q_E_UNKNOWN_RECORD, "record", name, q_bucket_suggest_record(b, name), err);
}

/* What a checked DDL works on. */
typedef struct target {
    const q_bucket *bucket;
    const q_record *record; /* ALTER, DROP */
    q_definition definition; /* CREATE RECORD, ALTER */
    q_acl *access;        /* roles, grants, keys: after it; a reference, or NULL */
} target;

static q_rc check_create_bucket(const q_catalog *c, const q_ddl *ddl, target *t, q_err *err)
{
    q_rc rc = q_name_check(ddl->bucket, "bucket", err);
    if (rc != Q_OK)
        return rc;
    t->bucket = q_catalog_bucket(c, ddl->bucket);
    if (t->bucket)
        return ddl->if_not_exists ? Q_END
                                  : q_err_set(err, Q_E_BUCKET_EXISTS, "The bucket \"%.*s\" is there already.", Q_SLICE_FMT(ddl->bucket));
    if (q_catalog_count(c) >= Q_MAX_BUCKETS)
        return q_err_set(err, Q_E_SCHEMA_INVALID, "There may be %d buckets at most.", Q_MAX_BUCKETS);
    return Q_OK;
}

static q_rc check_drop_bucket(const q_catalog *c, const q_ddl *ddl, target *t, q_err *err)
{
    if (ddl->if_exists && !q_catalog_bucket(c, ddl->bucket))
        return Q_END;
    q_rc rc = need_bucket(c, ddl->bucket, &t->bucket, err);
    if (rc != Q_OK)
        return rc;
    if (t->bucket->count == 0 || ddl->cascade)
        return Q_OK;
    q_err_set(err, Q_E_BUCKET_NOT_EMPTY, "The bucket \"%.*s\" holds %u record%s.", Q_SLICE_FMT(ddl->bucket), t->bucket->count,
              t->bucket->count == 1 ? "" : "s");
    q_err_hint(err, "Drop them first, or say DROP BUCKET %.*s CASCADE.", Q_SLICE_FMT(ddl->bucket));
    return Q_FAIL;
}

static q_rc check_create_record(const q_catalog *c, const q_ddl *ddl, target *t, q_err *err)
{
    q_rc rc = need_bucket(c, ddl->bucket, &t->bucket, err);
    if (rc == Q_OK)
        rc = q_name_check(ddl->record, "record", err);
    if (rc != Q_OK)
        return rc;
    if (q_bucket_record(t->bucket, ddl->record))
        return ddl->if_not_exists ? Q_END
                                  : q_err_set(err, Q_E_RECORD_EXISTS, "The record \"%.*s\" is there already.", Q_SLICE_FMT(ddl->record));
    if (t->bucket->count >= Q_MAX_RECORDS)
        return q_err_set(err, Q_E_SCHEMA_INVALID, "A bucket may have %d records at most.", Q_MAX_RECORDS);
    return q_define(ddl, NULL, &t->definition, err);
}

static q_rc check_alter_record(const q_catalog *c, const q_ddl *ddl, target *t, q_err *err)
{
    q_rc rc = need_bucket(c, ddl->bucket, &t->bucket, err);
    if (rc != Q_OK)
        return rc;
    if (ddl->if_exists && !q_bucket_record(t->bucket, ddl->record))
        return Q_END;
    rc = need_record(t->bucket, ddl->record, &t->record, err);
    if (rc != Q_OK)
        return rc;
    return q_define(ddl, t->record, &t->definition, err);
}

static q_rc check_drop_record(const q_catalog *c, const q_ddl *ddl, target *t, q_err *err)
{
    q_rc rc = need_bucket(c, ddl->bucket, &t->bucket, err);
    if (rc != Q_OK)
        return rc;
    if (ddl->if_exists && !q_bucket_record(t->bucket, ddl->record))
        return Q_END;
    rc = need_record(t->bucket, ddl->record, &t->record, err);
    if (rc != Q_OK)
        return rc;
    for (uint32_t i = 0; i < t->bucket->count; i++) {
        const q_record *other = t->bucket->records[i];
        for (uint32_t j = 0; j < other->count && other != t->record; j++)
            if (other->attrs[j].kind == Q_K_RELATION && other->attrs[j].required && q_slice_eq(other->attrs[j].target, ddl->record))
                return q_err_set(err, Q_E_RECORD_IN_USE, "The required relation %.*s.%.*s leads to the record \"%.*s\".",
                                 Q_SLICE_FMT(other->name), Q_SLICE_FMT(other->attrs[j].name), Q_SLICE_FMT(ddl->record));
    }
    return Q_OK;
}

/* The condition of a GRANT isn't looked at here: quantaql checks it. */
static q_rc check_grant(const q_ddl *ddl, target *t, q_err *err)
{
    const q_access_ddl *d = ddl->access;
    if (d->on_bucket)
        return Q_OK;
    q_rc rc = need_record(t->bucket, ddl->record, &t->record, err);
    for (uint32_t i = 0; rc == Q_OK && i < d->count; i++)
        for (uint32_t j = 0; rc == Q_OK && j < d->privileges[i].field_count; j++) {
            q_slice field = d->privileges[i].fields[j];
            if (!q_record_attr(t->record, field))
                rc = unknown(Q_E_UNKNOWN_ATTRIBUTE, "attribute", field, q_record_suggest_attr(t->record, field), err);
        }
    return rc;
}

static q_rc check_access(const q_catalog *c, const q_ddl *ddl, target *t, q_err *err)
{
    q_rc rc = need_bucket(c, ddl->bucket, &t->bucket, err);
    if (rc == Q_OK && ddl->kind == Q_DDL_CREATE_ROLE)
        rc = q_name_check(ddl->access->role, "role", err);
    if (rc == Q_OK && ddl->kind == Q_DDL_CREATE_KEY)
        rc = q_name_check(ddl->access->key, "key", err);
    if (rc == Q_OK && (ddl->kind == Q_DDL_GRANT || ddl->kind == Q_DDL_REVOKE))
        rc = check_grant(ddl, t, err);
    return rc == Q_OK ? q_access_apply(t->bucket->access, ddl, &t->access, err) : rc;
}

static q_rc check(const q_catalog *c, const q_ddl *ddl, target *t, q_err *err)
{
    t->bucket = NULL;
    t->record = NULL;
    t->access = NULL;
    if (q_ddl_is_access(ddl->kind))
        return check_access(c, ddl, t, err);
    switch (ddl->kind) {
    case Q_DDL_CREATE_BUCKET:
        return check_create_bucket(c, ddl, t, err);
    case Q_DDL_DROP_BUCKET:
        return check_drop_bucket(c, ddl, t, err);
    case Q_DDL_CREATE_RECORD:
        return check_create_record(c, ddl, t, err);
    case Q_DDL_ALTER_RECORD:
        return check_alter_record(c, ddl, t, err);
    case Q_DDL_DROP_RECORD:
        return check_drop_record(c, ddl, t, err);
    default:
        break;
    }
    return q_err_set(err, Q_E_SCHEMA_INVALID, "A schema change of kind %d is unknown.", (int)ddl->kind);
}

q_rc q_catalog_check(const q_catalog *c, const q_ddl *ddl, q_err *err)
{
    target t;
    q_rc rc = check(c, ddl, &t, err);
    q_access_unref(t.access);
    return rc;
}

/* Its grants go with it: a record of that name that comes later is another one. */
static bool drop_record(q_catalog *next, const q_ddl *ddl, const target *t)
{
    q_acl *access;
    q_err err = Q_ERR_INIT;
    if (!q_snapshot_remove_record(next, ddl->bucket, ddl->record) || q_access_without_record(t->bucket->access, ddl->record, &access, &err) != Q_OK)
        return false;
    if (q_snapshot_put_access(next, ddl->bucket, access))
        return true;
    q_access_unref(access);
    return false;
}

static bool change(q_catalog *next, const q_ddl *ddl, target *t, uint64_t seq)
{
    q_record head = { .bucket = ddl->bucket, .name = ddl->record };
    switch (ddl->kind) {
    case Q_DDL_CREATE_BUCKET:
        return q_snapshot_put_bucket(next, ddl->bucket, seq);
    case Q_DDL_DROP_BUCKET:
        q_snapshot_remove_bucket(next, ddl->bucket);
        return true;
    case Q_DDL_CREATE_RECORD:
        head.bucket_incarnation = t->bucket->incarnation;
        head.incarnation = seq;
        head.version = 1;
        return q_snapshot_put_record(next, &head, &t->definition);
    case Q_DDL_ALTER_RECORD:
        head.bucket_incarnation = t->record->bucket_incarnation;
        head.incarnation = t->record->incarnation;
        head.version = t->record->version + 1;
        return q_snapshot_put_record(next, &head, &t->definition);
    case Q_DDL_DROP_RECORD:
        return drop_record(next, ddl, t);
    default:
        if (!q_snapshot_put_access(next, ddl->bucket, t->access))
            return false;
        t->access = NULL; /* the snapshot's now */
        return true;
    }
}

q_rc q_catalog_apply(const q_catalog *c, const q_ddl *ddl, uint64_t seq, q_catalog **out, q_err *err)
{
    target t;
    q_rc rc = check(c, ddl, &t, err);
    if (rc == Q_FAIL)
        return rc;
    q_catalog *next = q_snapshot_copy(c);
    if (!next || (rc == Q_OK && !change(next, ddl, &t, seq))) {
        q_catalog_unref(next);
        q_access_unref(t.access);
        return no_memory(err);
    }
    *out = next;
    return Q_OK;
}
