#include "workers/embedded/names.h"

#include <endian.h>
#include <errno.h>

#include "workers/embedded/part.h"

enum { ENTRY_HEADER_BYTES = 32, MAX_NAMES_OF_CALL = 100000 };

void q_names_begin(q_names *n, q_env *env, MDB_txn *txn, q_arena *arena)
{
    *n = (q_names){ .env = env, .txn = txn, .arena = arena };
}

static void key_of(q_key *k, q_slice bucket, q_slice record)
{
    k->len = 0;
    k->failed = false;
    q_key_add_u8(k, record.len ? 'r' : 'b');
    q_key_add(k, bucket);
    if (record.len) {
        q_key_add_u8(k, '/');
        q_key_add(k, record);
    }
}

static q_rc no_memory(q_err *err)
{
    q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    return Q_RETRY;
}

/* ---- entries: created, dropped, ddl, table (u64 each), then per attribute u8 length, name, u8 kind, u8 datatype, u8 unique ---- */

static bool read_entry(q_arena *arena, q_slice bytes, q_known *k)
{
    if (bytes.len < ENTRY_HEADER_BYTES)
        return false;
    q_slice copy = q_arena_copy(arena, bytes);
    if (!copy.ptr)
        return false;
    uint64_t head[4];
    memcpy(head, copy.ptr, sizeof head);
    k->named = (q_named){ .created = head[0], .dropped = head[1], .ddl = head[2] };
    k->table = head[3];
    q_known_attr *attrs = q_arena_alloc(arena, sizeof *attrs * (Q_MAX_ATTRIBUTES + 1));
    if (!attrs)
        return false;
    const uint8_t *p = (const uint8_t *)copy.ptr + ENTRY_HEADER_BYTES, *end = (const uint8_t *)copy.ptr + copy.len;
    for (; p < end; k->attr_count++) {
        if ((size_t)(end - p) < (size_t)*p + 4 || k->attr_count >= Q_MAX_ATTRIBUTES)
            return false;
        q_known_attr *a = &attrs[k->attr_count];
        a->name = q_slice_of(p + 1, *p);
        p += 1 + *p;
        if (p[0] >= Q_K_COUNT || p[1] >= Q_T_COUNT)
            return false;
        a->kind = (q_kind)p[0];
        a->datatype = (q_type)p[1];
        a->unique = p[2] != 0;
        k->unique_count += a->unique;
        p += 3;
    }
    k->attrs = attrs;
    return true;
}

static int write_entry(q_names *n, const q_known *k)
{
    q_buf b = Q_BUF_INIT(64 << 10);
    uint64_t head[4] = { k->named.created, k->named.dropped, k->named.ddl, k->table };
    q_buf_add(&b, head, sizeof head);
    for (uint32_t i = 0; i < k->attr_count; i++) {
        q_buf_add_byte(&b, (uint8_t)k->attrs[i].name.len);
        q_buf_add_slice(&b, k->attrs[i].name);
        q_buf_add_byte(&b, (uint8_t)k->attrs[i].kind);
        q_buf_add_byte(&b, (uint8_t)k->attrs[i].datatype);
        q_buf_add_byte(&b, k->attrs[i].unique);
    }
    q_key key;
    key_of(&key, k->bucket, k->record);
    MDB_val mk = { key.len, key.bytes }, mv = { b.len, b.ptr };
    int rc = b.failed || key.failed ? ENOMEM : mdb_put(n->txn, n->env->names, &mk, &mv, 0);
    q_buf_free(&b);
    return rc;
}

q_rc q_names_get(q_names *n, q_slice bucket, q_slice record, q_known **out, q_err *err)
{
    for (uint32_t i = n->count; i-- > 0;)
        if (q_slice_eq(n->items[i]->record, record) && q_slice_eq(n->items[i]->bucket, bucket)) {
            *out = n->items[i];
            return Q_OK;
        }
    q_key key;
    key_of(&key, bucket, record);
    if (bucket.len > Q_MAX_NAME_BYTES || record.len > Q_MAX_NAME_BYTES || key.failed)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "a name of more than %d bytes", Q_MAX_NAME_BYTES);
    q_known *k = Q_NEW(n->arena, q_known);
    if (!k)
        return no_memory(err);
    k->bucket = q_arena_copy(n->arena, bucket);
    k->record = q_arena_copy(n->arena, record);
    MDB_val mk = { key.len, key.bytes }, mv;
    int rc = mdb_get(n->txn, n->env->names, &mk, &mv);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return q_env_error(n->env, rc, "reading a definition", err);
    if (rc == 0 && !read_entry(n->arena, q_slice_of(mv.mv_data, mv.mv_size), k)) {
        q_err_set(err, Q_E_INTERNAL, "the embedded engine's definition of %.*s/%.*s is damaged", Q_SLICE_FMT(bucket), Q_SLICE_FMT(record));
        return Q_FATAL;
    }
    if (n->count == n->cap) {
        uint32_t cap = n->cap ? n->cap * 2 : 16;
        q_known **items = Q_NEW_ARRAY(n->arena, q_known *, cap);
        if (!items || cap > MAX_NAMES_OF_CALL)
            return no_memory(err);
        if (n->count)
            memcpy(items, n->items, n->count * sizeof *items);
        n->items = items;
        n->cap = cap;
    }
    n->items[n->count++] = k;
    *out = k;
    return Q_OK;
}

const q_known_attr *q_known_find(const q_known *k, q_slice attr)
{
    for (uint32_t i = 0; i < k->attr_count; i++)
        if (q_slice_eq(k->attrs[i].name, attr))
            return &k->attrs[i];
    return NULL;
}

q_rc q_names_stale(q_names *n, const q_writes *w, const q_item *item, q_known **record, bool *stale, q_err *err)
{
    q_known *bucket;
    q_rc rc = q_names_get(n, w->bucket, Q_SLICE_NONE, &bucket, err);
    if (rc == Q_OK)
        rc = q_names_get(n, w->bucket, item->record, record, err);
    if (rc == Q_OK)
        *stale = q_rule_stale_incarnation(&bucket->named, w->bucket_incarnation) ||
                 q_rule_stale_incarnation(&(*record)->named, item->incarnation);
    return rc;
}

/* ---- changes ---- */

static int reap_later(q_names *n, uint64_t table)
{
    if (table == 0)
        return 0;
    uint64_t be = htobe64(table);
    MDB_val key = { sizeof be, &be }, value = { 0, NULL };
    return mdb_put(n->txn, n->env->reaps, &key, &value, 0);
}

int q_names_adopt(q_names *n, q_known *k, uint64_t incarnation, uint64_t *next_table)
{
    if (k->table && k->named.created >= incarnation)
        return 0;
    int rc = reap_later(n, k->table);
    if (rc != 0)
        return rc;
    k->table = (*next_table)++;
    if (k->named.created < incarnation)
        k->named.created = incarnation;
    return write_entry(n, k);
}

static int drop_record(q_names *n, q_known *k, uint64_t seq)
{
    int rc = reap_later(n, k->table);
    k->table = 0;
    k->attr_count = 0;
    k->named.dropped = seq;
    return rc != 0 ? rc : write_entry(n, k);
}

/* Every record of the bucket that began before `seq` goes with it. */
static q_rc drop_records(q_names *n, q_slice bucket, uint64_t seq, int *lmdb, q_err *err)
{
    MDB_cursor *c;
    q_key prefix;
    prefix.len = 0;
    prefix.failed = false;
    q_key_add_u8(&prefix, 'r');
    q_key_add(&prefix, bucket);
    q_key_add_u8(&prefix, '/');
    *lmdb = mdb_cursor_open(n->txn, n->env->names, &c);
    if (*lmdb != 0)
        return Q_OK;
    MDB_val key = { prefix.len, prefix.bytes }, value;
    q_rc rc = Q_OK;
    for (*lmdb = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE); *lmdb == 0; *lmdb = mdb_cursor_get(c, &key, &value, MDB_NEXT)) {
        if (key.mv_size <= prefix.len || memcmp(key.mv_data, prefix.bytes, prefix.len) != 0)
            break;
        q_known *k;
        q_slice record = q_arena_copy(n->arena, q_slice_of((const char *)key.mv_data + prefix.len, key.mv_size - prefix.len));
        rc = q_names_get(n, bucket, record, &k, err);
        if (rc != Q_OK)
            break;
        if (k->named.created < seq && k->named.dropped < seq) {
            k->named.ddl = k->named.ddl < seq ? seq : k->named.ddl;
            *lmdb = drop_record(n, k, seq);
            if (*lmdb != 0)
                break;
        }
    }
    if (*lmdb == MDB_NOTFOUND)
        *lmdb = 0;
    mdb_cursor_close(c);
    return rc;
}

/* CREATE defines all attributes, ALTER adds those that aren't there. */
static bool define(q_names *n, q_known *k, const q_ddl *ddl)
{
    if (ddl->count > Q_MAX_ATTRIBUTES)
        return false;
    uint32_t kept = ddl->kind == Q_DDL_ALTER_RECORD ? k->attr_count : 0;
    q_known_attr *attrs = Q_NEW_ARRAY(n->arena, q_known_attr, Q_MAX_ATTRIBUTES + 1);
    if (!attrs)
        return false;
    if (kept)
        memcpy(attrs, k->attrs, kept * sizeof *attrs);
    q_known before = { .attr_count = kept, .attrs = attrs };
    for (uint32_t i = 0; i < ddl->count; i++) {
        const q_attr *a = &ddl->attrs[i];
        if (q_known_find(&before, a->name))
            continue;
        if (kept == Q_MAX_ATTRIBUTES || a->name.len > Q_MAX_NAME_BYTES)
            return false;
        attrs[kept++] = (q_known_attr){ q_arena_copy(n->arena, a->name), a->kind, a->datatype, a->unique };
    }
    k->attrs = attrs;
    k->attr_count = kept;
    k->unique_count = 0;
    for (uint32_t i = 0; i < kept; i++)
        k->unique_count += attrs[i].unique;
    return true;
}

q_rc q_names_apply_ddl(q_names *n, const q_writes *w, const q_item *item, uint64_t seq, uint64_t *next_table, int *lmdb, q_err *err)
{
    const q_ddl *ddl = &item->ddl;
    bool of_bucket = ddl->kind == Q_DDL_CREATE_BUCKET || ddl->kind == Q_DDL_DROP_BUCKET;
    q_known *k, *bucket;
    *lmdb = 0;
    q_rc rc = q_names_get(n, w->bucket, Q_SLICE_NONE, &bucket, err);
    if (rc == Q_OK)
        rc = q_names_get(n, w->bucket, of_bucket ? Q_SLICE_NONE : ddl->record, &k, err);
    if (rc != Q_OK)
        return rc;
    if (!q_rule_apply_ddl(&k->named, seq) || (!of_bucket && q_rule_stale_incarnation(&bucket->named, w->bucket_incarnation)))
        return Q_OK;
    if (ddl->kind == Q_DDL_ALTER_RECORD && q_rule_stale_incarnation(&k->named, item->incarnation))
        return Q_OK;
    uint64_t created = k->named.created;
    k->named = q_rule_named_after(&k->named, ddl->kind, item->incarnation, seq);
    switch (ddl->kind) {
    case Q_DDL_CREATE_BUCKET: *lmdb = write_entry(n, k); break;
    case Q_DDL_DROP_BUCKET:
        *lmdb = write_entry(n, k);
        if (*lmdb == 0)
            rc = drop_records(n, w->bucket, seq, lmdb, err);
        break;
    case Q_DDL_CREATE_RECORD:
    case Q_DDL_ALTER_RECORD:
        if (!define(n, k, ddl))
            return q_err_set(err, Q_E_ENGINE_REFUSED, "a definition of %.*s that doesn't fit", Q_SLICE_FMT(ddl->record));
        /* Not when an item of this incarnation came before and made the table. */
        if (k->table == 0 || created < k->named.created) {
            *lmdb = reap_later(n, k->table);
            k->table = (*next_table)++;
        }
        if (*lmdb == 0)
            *lmdb = write_entry(n, k);
        break;
    case Q_DDL_DROP_RECORD: *lmdb = drop_record(n, k, seq); break;
    default: break; /* of roles, grants and keys: no engine hears of them */
    }
    return rc;
}

/* ---- reaping ---- */

static int reap_table(MDB_txn *txn, MDB_dbi dbi, const MDB_val *prefix, uint32_t *budget)
{
    MDB_cursor *c;
    int rc = mdb_cursor_open(txn, dbi, &c);
    if (rc != 0)
        return rc;
    while (*budget > 0) {
        MDB_val key = *prefix, value;
        rc = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);
        if (rc != 0 || key.mv_size < prefix->mv_size || memcmp(key.mv_data, prefix->mv_data, prefix->mv_size) != 0)
            break;
        rc = mdb_cursor_del(c, MDB_NODUPDATA);
        if (rc != 0)
            break;
        --*budget;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int q_names_reap(q_env *env, MDB_txn *txn, uint32_t budget)
{
    for (;;) {
        MDB_cursor *c;
        MDB_val key, value;
        uint64_t table;
        int rc = mdb_cursor_open(txn, env->reaps, &c);
        if (rc != 0)
            return rc;
        rc = mdb_cursor_get(c, &key, &value, MDB_FIRST);
        if (rc == 0 && key.mv_size == sizeof table)
            memcpy(&table, key.mv_data, sizeof table);
        mdb_cursor_close(c);
        if (rc != 0)
            return rc == MDB_NOTFOUND ? 0 : rc;
        MDB_val prefix = { sizeof table, &table };
        const MDB_dbi tables[] = { env->parts, env->points, env->uniques, env->referrers };
        for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
            rc = reap_table(txn, tables[i], &prefix, &budget);
            if (rc != 0 || budget == 0)
                return rc;
        }
        rc = mdb_del(txn, env->reaps, &prefix, NULL);
        if (rc != 0)
            return rc;
    }
}
