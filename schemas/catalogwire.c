/* catalogwire.c - buckets, records and DDL as msgpack: what the log, quanta.schemas and the workers' messages carry.
 *
 *   bucket  [1, 1, name, incarnation]
 *   record  [1, 2, bucket, bucket incarnation, name, incarnation, version, [attribute …]]
 *   access  [1, 4, bucket, bucket incarnation, …]             access.c has the rest
 *   DDL     [1, 3, kind, bucket, record, flags, [attribute …]]    flags: 1 if exists, 2 if not exists, 4 cascade
 *   attribute [name, kind, datatype, target, unit, flags]         flags: 1 many, 2 required, 4 unique
 *
 * The first number is the version of these layouts. Types and kinds are the numbers of q_type, q_kind and q_ddl_kind. */
#include "schemas/mp.h"
#include "schemas/snapshot.h"

enum { FORMAT = 1, IS_BUCKET = 1, IS_RECORD = 2, IS_DDL = 3, IS_ACCESS = 4 };
enum { IF_EXISTS = 1, IF_NOT_EXISTS = 2, CASCADE = 4 };
enum { MANY = 1, REQUIRED = 2, UNIQUE = 4 };

/* These numbers are stored: new enumerators go to the end. */
_Static_assert(Q_T_RELATION == 11 && Q_K_METRIC == 3 && Q_DDL_DROP_RECORD == 5, "stored numbers have moved");

/* ---- encoding -------------------------------------------------------------------------------------------------------- */

static void begin(q_buf *out, size_t items, int what)
{
    q_mp_pack_array(out, items);
    q_mp_pack_int(out, FORMAT);
    q_mp_pack_int(out, what);
}

static void pack_attrs(q_buf *out, const q_attr *attrs, uint32_t count)
{
    q_mp_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        const q_attr *a = &attrs[i];
        q_mp_pack_array(out, 6);
        q_mp_str(out, a->name);
        q_mp_pack_int(out, (int)a->kind);
        q_mp_pack_int(out, (int)a->datatype);
        q_mp_str(out, a->target);
        q_mp_str(out, a->unit);
        q_mp_pack_int(out, (a->many ? MANY : 0) | (a->required ? REQUIRED : 0) | (a->unique ? UNIQUE : 0));
    }
}

void q_bucket_encode(const q_bucket *b, q_buf *out)
{
    begin(out, 4, IS_BUCKET);
    q_mp_str(out, b->name);
    q_mp_pack_uint64(out, b->incarnation);
}

void q_record_encode(const q_record *r, q_buf *out)
{
    begin(out, 8, IS_RECORD);
    q_mp_str(out, r->bucket);
    q_mp_pack_uint64(out, r->bucket_incarnation);
    q_mp_str(out, r->name);
    q_mp_pack_uint64(out, r->incarnation);
    q_mp_pack_uint32(out, r->version);
    pack_attrs(out, r->attrs, r->count);
}

void q_ddl_encode(const q_ddl *d, q_buf *out)
{
    begin(out, 7, IS_DDL);
    q_mp_pack_int(out, (int)d->kind);
    q_mp_str(out, d->bucket);
    q_mp_str(out, d->record);
    q_mp_pack_int(out, (d->if_exists ? IF_EXISTS : 0) | (d->if_not_exists ? IF_NOT_EXISTS : 0) | (d->cascade ? CASCADE : 0));
    pack_attrs(out, d->attrs, d->count);
}

/* ---- decoding -------------------------------------------------------------------------------------------------------- */

static q_rc damaged(const char *what, q_err *err)
{
    return q_err_set(err, Q_E_INTERNAL, "An encoded schema can't be read: %s.", what);
}

static q_slice next_name(q_mp_items *it) { return q_mp_next_text(it, Q_MAX_NAME_BYTES); }

static q_attr next_attr(q_mp_items *list)
{
    q_mp_items it = q_mp_next_list(list, 6);
    q_attr a = { .name = next_name(&it) };
    a.kind = (q_kind)q_mp_next_u64(&it, Q_K_COUNT - 1);
    a.datatype = (q_type)q_mp_next_u64(&it, Q_T_COUNT - 1);
    a.target = next_name(&it);
    a.unit = next_name(&it);
    uint64_t flags = q_mp_next_u64(&it, MANY | REQUIRED | UNIQUE);
    a.many = flags & MANY;
    a.required = flags & REQUIRED;
    a.unique = flags & UNIQUE;
    if (!q_mp_done(&it))
        q_mp_wrong(list, it.wrong);
    return a;
}

static void next_attrs(q_mp_items *it, q_arena *arena, q_ddl *out)
{
    q_mp_items list = q_mp_next_list(it, Q_MAX_ATTRIBUTES);
    uint32_t count = list.left;
    q_attr *attrs = count ? Q_NEW_ARRAY(arena, q_attr, count) : NULL;
    if (count && !attrs) {
        q_mp_wrong(it, "no memory is left");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        attrs[i] = next_attr(&list);
        attrs[i].index = i;
    }
    if (!q_mp_done(&list))
        q_mp_wrong(it, list.wrong);
    out->attrs = attrs;
    out->count = count;
}

/* The parts after version and kind; kind 0 on failure. */
static int open(q_arena *arena, q_slice bytes, q_mp_items *it, q_err *err)
{
    q_mp_space space = { NULL, 0, arena, NULL };
    msgpack_object root;
    q_mp_result r = q_mp_unpack(&space, bytes, &root);
    if (r != Q_MP_OK || root.type != MSGPACK_OBJECT_ARRAY) {
        (void)damaged(r != Q_MP_OK ? q_mp_result_text(r) : "it is not a list", err);
        return 0;
    }
    *it = (q_mp_items){ root.via.array.ptr, root.via.array.size, NULL };
    uint64_t format = q_mp_next_u64(it, UINT32_MAX);
    int kind = (int)q_mp_next_u64(it, IS_ACCESS);
    if (it->wrong || format != FORMAT || kind == 0) {
        (void)damaged(it->wrong ? it->wrong : format != FORMAT ? "its format is of another version" : "its kind is unknown", err);
        return 0;
    }
    return kind;
}

q_rc q_ddl_decode(q_arena *arena, q_slice bytes, q_ddl *out, q_err *err)
{
    q_mp_items it;
    int kind = open(arena, bytes, &it, err);
    if (kind != IS_DDL)
        return kind ? damaged("it is not a schema change", err) : Q_FAIL;
    *out = (q_ddl){ .kind = (q_ddl_kind)q_mp_next_u64(&it, Q_DDL_DROP_RECORD) };
    out->bucket = next_name(&it);
    out->record = next_name(&it);
    uint64_t flags = q_mp_next_u64(&it, IF_EXISTS | IF_NOT_EXISTS | CASCADE);
    out->if_exists = flags & IF_EXISTS;
    out->if_not_exists = flags & IF_NOT_EXISTS;
    out->cascade = flags & CASCADE;
    next_attrs(&it, arena, out);
    if (!q_mp_done(&it) || out->kind == 0)
        return damaged(it.wrong ? it.wrong : "its kind is unknown", err);
    return Q_OK;
}

/* *c, ours alone. */
static bool own(q_catalog **c)
{
    if (!q_snapshot_shared(*c))
        return true;
    q_catalog *copy = q_snapshot_copy(*c);
    if (!copy)
        return false;
    q_catalog_unref(*c);
    *c = copy;
    return true;
}

static q_rc load_bucket(q_catalog **c, q_mp_items *it, q_err *err)
{
    q_slice name = next_name(it);
    uint64_t incarnation = q_mp_next_u64(it, UINT64_MAX);
    if (!q_mp_done(it))
        return damaged(it->wrong, err);
    q_rc rc = q_name_check(name, "bucket", err);
    if (rc != Q_OK)
        return rc;
    if (!q_catalog_bucket(*c, name) && q_catalog_count(*c) >= Q_MAX_BUCKETS)
        return damaged("there are too many buckets", err);
    return own(c) && q_snapshot_put_bucket(*c, name, incarnation) ? Q_OK
                                                                  : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the catalog.");
}

static q_rc load_record(q_catalog **c, q_arena *arena, q_mp_items *it, q_err *err)
{
    q_record head = { .bucket = next_name(it) };
    head.bucket_incarnation = q_mp_next_u64(it, UINT64_MAX);
    head.name = next_name(it);
    head.incarnation = q_mp_next_u64(it, UINT64_MAX);
    head.version = (uint32_t)q_mp_next_u64(it, UINT32_MAX);
    q_ddl ddl = { .kind = Q_DDL_CREATE_RECORD, .bucket = head.bucket, .record = head.name };
    next_attrs(it, arena, &ddl);
    if (!q_mp_done(it))
        return damaged(it->wrong, err);
    const q_bucket *b = q_catalog_bucket(*c, head.bucket);
    if (!b || b->incarnation != head.bucket_incarnation)
        return damaged(b ? "its bucket is of another incarnation" : "its bucket isn't there", err);
    if (head.version == 0)
        return damaged("its version is 0", err);
    if (!q_bucket_record(b, head.name) && b->count >= Q_MAX_RECORDS)
        return damaged("its bucket has too many records", err);
    q_definition definition;
    q_rc rc = q_name_check(head.name, "record", err);
    if (rc == Q_OK)
        rc = q_define(&ddl, NULL, &definition, err);
    if (rc != Q_OK)
        return rc;
    return own(c) && q_snapshot_put_record(*c, &head, &definition) ? Q_OK
                                                                   : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the catalog.");
}

static q_rc load_access(q_catalog **c, q_mp_items *it, q_err *err)
{
    q_slice name = next_name(it);
    uint64_t incarnation = q_mp_next_u64(it, UINT64_MAX);
    const q_bucket *b = it->wrong ? NULL : q_catalog_bucket(*c, name);
    q_acl *access;
    if (!b || b->incarnation != incarnation)
        return damaged(it->wrong ? it->wrong : b ? "its bucket is of another incarnation" : "its bucket isn't there", err);
    q_rc rc = q_access_take(it, &access, err);
    if (rc != Q_OK || (own(c) && q_snapshot_put_access(*c, name, access)))
        return rc;
    q_access_unref(access);
    return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the catalog.");
}

q_rc q_catalog_load(q_catalog **c, q_slice encoded, q_err *err)
{
    q_arena *arena = q_arena_new(0);
    q_mp_items it;
    if (!arena)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for the catalog.");
    int kind = open(arena, encoded, &it, err);
    q_rc rc = kind == IS_BUCKET   ? load_bucket(c, &it, err)
              : kind == IS_RECORD ? load_record(c, arena, &it, err)
              : kind == IS_ACCESS ? load_access(c, &it, err)
              : kind              ? damaged("it is neither bucket nor record", err)
                                  : Q_FAIL;
    q_arena_free(arena);
    return rc;
}
