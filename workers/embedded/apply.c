#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "workers/embedded/store.h"

enum { UNIQUE_HASH_BYTES = 32 };

void q_store_begin(q_store *s, q_env *env, MDB_txn *txn, q_engine_id engine, q_arena *call, q_arena *arena)
{
    *s = (q_store){ .env = env, .txn = txn, .engine = engine, .arena = arena, .err = Q_ERR_INIT };
    s->part = Q_BUF_INIT(Q_PART_MAX_BYTES);
    s->value = Q_BUF_INIT(Q_PART_MAX_BYTES);
    q_names_begin(&s->names, env, txn, call);
}

void q_store_end(q_store *s)
{
    q_buf_free(&s->part);
    q_buf_free(&s->value);
}

int q_store_fail(q_store *s, q_rc rc, q_code code, const char *fmt, ...)
{
    char text[sizeof s->err.message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    s->rc = rc;
    q_err_set(&s->err, code, "%s", text);
    return Q_STORE_FAILED;
}

static int no_memory(q_store *s) { return q_store_fail(s, Q_RETRY, Q_E_LIMIT_MEMORY, "the embedded engine is out of memory"); }

bool q_store_key(q_key *k, uint64_t table, const q_value *id)
{
    if (id->type != Q_T_STRING && id->type != Q_T_INT && id->type != Q_T_UUID)
        return false;
    if (id->type == Q_T_STRING && id->s.len > Q_MAX_ID_BYTES)
        return false;
    q_key_begin(k, table);
    q_buf b = { k->bytes + 8, 0, Q_KEY_MAX_BYTES - 8, Q_KEY_MAX_BYTES - 8, false }; /* of fixed size: it fits, so it is never moved */
    q_value_key(id, &b);
    k->len += b.len;
    return !b.failed;
}

int q_store_get(q_store *s, const q_key *k, q_part *out)
{
    MDB_val key = { k->len, (void *)(uintptr_t)k->bytes }, value;
    int rc = mdb_get(s->txn, s->env->parts, &key, &value);
    if (rc != 0) {
        *out = (q_part){ 0 };
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (value.mv_size == 0 || !q_part_read(q_slice_of(value.mv_data, value.mv_size), out))
        return q_store_fail(s, Q_FATAL, Q_E_INTERNAL, "a stored part of the embedded engine is damaged");
    return 0;
}

/* ---- UNIQUE: (table, attr, hash of the value) -> id key. A hash, because a value may be longer than a key. ---- */

void q_store_unique_key(q_store *s, q_key *k, uint64_t table, q_slice attr, const q_value *v)
{
    unsigned char hash[UNIQUE_HASH_BYTES];
    q_value canonical = *v;
    if (canonical.type == Q_T_FLOAT && canonical.f >= 0.0 && canonical.f <= 0.0)
        canonical.f = 0.0; /* -0.0 is the same number */
    q_buf_clear(&s->value);
    q_value_key(&canonical, &s->value);
    crypto_generichash(hash, sizeof hash, (const unsigned char *)s->value.ptr, s->value.len, NULL, 0);
    q_key_begin(k, table);
    q_key_add_u8(k, (uint8_t)attr.len);
    q_key_add(k, attr);
    q_key_add(k, q_slice_of(hash, sizeof hash));
}

static int free_unique(q_store *s, uint64_t table, q_slice attr, const q_value *v, q_slice id)
{
    q_key k;
    q_store_unique_key(s, &k, table, attr, v);
    MDB_val key = { k.len, k.bytes }, holder;
    int rc = mdb_get(s->txn, s->env->uniques, &key, &holder);
    if (rc == MDB_NOTFOUND)
        return 0;
    /* Within one transaction the value may have gone to another record already. */
    if (rc == 0 && q_slice_eq(q_slice_of(holder.mv_data, holder.mv_size), id))
        rc = mdb_del(s->txn, s->env->uniques, &key, NULL);
    return rc;
}

static int take_unique(q_store *s, uint64_t table, q_slice attr, const q_value *v, q_slice id)
{
    q_key k;
    q_store_unique_key(s, &k, table, attr, v);
    MDB_val key = { k.len, k.bytes }, holder = { id.len, (void *)(uintptr_t)id.ptr };
    return mdb_put(s->txn, s->env->uniques, &key, &holder, 0);
}

static int index_uniques(q_store *s, const q_known *k, const q_part *old, const q_part *new, q_slice id)
{
    for (uint32_t i = 0; i < k->attr_count; i++) {
        q_slice was, is;
        q_value v;
        if (!k->attrs[i].unique)
            continue;
        bool had = q_part_find(old, k->attrs[i].name, &was), has = q_part_find(new, k->attrs[i].name, &is);
        if (had && has && q_slice_eq(was, is))
            continue;
        int rc = 0;
        if (had && q_stored_value_read(NULL, was, &v))
            rc = free_unique(s, k->table, k->attrs[i].name, &v, id);
        if (rc == 0 && has && q_stored_value_read(NULL, is, &v))
            rc = take_unique(s, k->table, k->attrs[i].name, &v, id);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- relations: (table, attr, target id key) -> id keys of those that point there ---- */

void q_store_referrer_key(q_key *k, uint64_t table, q_slice attr, q_slice target)
{
    q_key_begin(k, table);
    q_key_add_u8(k, (uint8_t)attr.len);
    q_key_add(k, attr);
    q_key_add(k, target);
}

static int slice_order(const void *x, const void *y) { return q_slice_cmp(*(const q_slice *)x, *(const q_slice *)y); }

/* The targets' id keys in a stored relation, ascending, each once. */
static bool targets(q_arena *arena, q_slice stored, q_slice **out, size_t *count)
{
    size_t n = 0;
    *out = Q_NEW_ARRAY(arena, q_slice, stored.len / 3 + 1);
    if (!*out)
        return false;
    for (size_t at = 1; at + 2 <= stored.len;) { /* the first byte is the type */
        uint16_t len;
        memcpy(&len, stored.ptr + at, sizeof len);
        if (len > stored.len - at - 2)
            return false;
        (*out)[n++] = (q_slice){ stored.ptr + at + 2, len };
        at += 2u + len;
    }
    qsort(*out, n, sizeof **out, slice_order);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !q_slice_eq((*out)[i], (*out)[i - 1]))
            (*out)[(*count)++] = (*out)[i];
    return true;
}

static int index_relation(q_store *s, uint64_t table, q_slice attr, q_slice was, q_slice is, q_slice id)
{
    q_slice *old, *new;
    size_t old_count, new_count, i = 0, j = 0;
    if (q_slice_eq(was, is))
        return 0;
    if (!targets(s->arena, was, &old, &old_count) || !targets(s->arena, is, &new, &new_count))
        return no_memory(s);
    int rc = 0;
    while (rc == 0 && (i < old_count || j < new_count)) {
        int c = i == old_count ? 1 : j == new_count ? -1 : q_slice_cmp(old[i], new[j]);
        if (c == 0) {
            i++, j++;
            continue;
        }
        q_key k;
        q_store_referrer_key(&k, table, attr, c < 0 ? old[i++] : new[j++]);
        MDB_val key = { k.len, k.bytes }, value = { id.len, (void *)(uintptr_t)id.ptr };
        rc = c < 0 ? mdb_del(s->txn, s->env->referrers, &key, &value) : mdb_put(s->txn, s->env->referrers, &key, &value, MDB_NODUPDATA);
        if (rc == MDB_KEYEXIST || rc == MDB_NOTFOUND)
            rc = 0;
    }
    return rc;
}

static int index_relations(q_store *s, uint64_t table, const q_part *old, const q_part *new, q_slice id)
{
    q_part_field f;
    int rc = 0;
    for (q_slice rest = old->fields; rc == 0 && q_part_next(&rest, &f);) {
        q_slice is = Q_SLICE_NONE;
        q_part_find(new, f.name, &is);
        rc = index_relation(s, table, f.name, f.value, is, id);
    }
    for (q_slice rest = new->fields; rc == 0 && q_part_next(&rest, &f);) {
        q_slice was;
        if (!q_part_find(old, f.name, &was))
            rc = index_relation(s, table, f.name, Q_SLICE_NONE, f.value, id);
    }
    return rc;
}

/* ---- putting a part together ---- */

static int field_order(const void *x, const void *y)
{
    const q_field *a = *(const q_field *const *)x, *b = *(const q_field *const *)y;
    int c = q_slice_cmp(a->attr, b->attr);
    return c ? c : (a > b) - (a < b);
}

/* The item's fields by name; of several of one name the last counts. */
static const q_field **sorted_fields(q_store *s, const q_item *item, uint32_t *count)
{
    const q_field **f = Q_NEW_ARRAY(s->arena, const q_field *, item->count + 1);
    uint32_t n = 0;
    if (!f)
        return NULL;
    for (uint32_t i = 0; i < item->count; i++)
        f[i] = &item->fields[i];
    qsort(f, item->count, sizeof *f, field_order);
    for (uint32_t i = 0; i < item->count; i++)
        if (i + 1 == item->count || !q_slice_eq(f[i]->attr, f[i + 1]->attr))
            f[n++] = f[i];
    *count = n;
    return f;
}

static void add_field(q_store *s, const q_field *f, uint32_t *kept)
{
    if (f->value.type == Q_T_NULL)
        return;
    q_buf_clear(&s->value);
    q_stored_value(&f->value, &s->value);
    s->part.failed |= s->value.failed;
    q_part_add(&s->part, f->attr, q_buf_slice(&s->value));
    ++*kept;
}

/* Into s->part: the old fields with the item's over them; `old` has none when the part is replaced. */
static int build(q_store *s, const q_stored *after, const q_part *old, const q_item *item)
{
    uint32_t n, i = 0, kept = 0;
    const q_field **fields = sorted_fields(s, item, &n);
    if (!fields)
        return no_memory(s);
    q_buf_clear(&s->part);
    q_part_begin(&s->part, after);
    q_slice rest = old->fields;
    q_part_field f;
    while (q_part_next(&rest, &f)) {
        for (; i < n && q_slice_cmp(fields[i]->attr, f.name) < 0; i++)
            add_field(s, fields[i], &kept);
        if (i < n && q_slice_eq(fields[i]->attr, f.name))
            add_field(s, fields[i++], &kept);
        else {
            q_part_add(&s->part, f.name, f.value);
            kept++;
        }
    }
    for (; i < n; i++)
        add_field(s, fields[i], &kept);
    if (s->part.failed || kept > UINT16_MAX)
        return no_memory(s);
    q_part_end(&s->part, 0, kept);
    return 0;
}

static int put_part(q_store *s, q_key *k)
{
    MDB_val key = { k->len, k->bytes }, value = { s->part.len, s->part.ptr };
    return mdb_put(s->txn, s->env->parts, &key, &value, 0);
}

static int apply_part(q_store *s, const q_known *known, q_key *k, q_part *old, const q_item *item, uint64_t seq, q_apply how)
{
    q_stored after = q_rule_after(&old->stored, item, seq, how);
    bool indexed = s->engine == Q_EN_NEO4J || known->unique_count > 0;
    /* What was is needed beyond the first write, which may move it. */
    if (indexed && old->fields.len && !(old->fields = q_arena_copy(s->arena, old->fields)).ptr)
        return no_memory(s);
    q_part nothing = { 0 }, new;
    q_item empty = { .op = Q_I_DELETE };
    int rc = build(s, &after, how == Q_AP_MERGE ? old : &nothing, how == Q_AP_BURY ? &empty : item);
    if (rc == 0 && !q_part_read(q_buf_slice(&s->part), &new))
        return q_store_fail(s, Q_FATAL, Q_E_INTERNAL, "a part that was built can't be read");
    if (rc == 0 && s->engine == Q_EN_NEO4J)
        rc = index_relations(s, known->table, old, &new, q_key_id(k));
    else if (rc == 0 && known->unique_count)
        rc = index_uniques(s, known, old, &new, q_key_id(k));
    return rc == 0 ? put_part(s, k) : rc;
}

/* ---- metrics ---- */

static void point_prefix(q_key *k, const q_key *part)
{
    q_slice id = q_key_id(part);
    k->len = 0;
    k->failed = false;
    q_key_add(k, q_slice_of(part->bytes, 8));
    q_key_add_u16(k, (uint16_t)id.len);
    q_key_add(k, id);
}

static int drop_points(q_store *s, const q_key *part)
{
    MDB_cursor *c;
    q_key prefix;
    point_prefix(&prefix, part);
    int rc = mdb_cursor_open(s->txn, s->env->points, &c);
    if (rc != 0)
        return rc;
    for (;;) {
        MDB_val key = { prefix.len, prefix.bytes }, value;
        rc = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);
        if (rc != 0 || key.mv_size < prefix.len || memcmp(key.mv_data, prefix.bytes, prefix.len) != 0)
            break;
        rc = mdb_cursor_del(c, 0);
        if (rc != 0)
            break;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int put_point(q_store *s, const q_key *part, const q_field *f, uint64_t seq)
{
    q_key k;
    point_prefix(&k, part);
    q_key_add_u8(&k, (uint8_t)f->attr.len);
    q_key_add(&k, f->attr);
    q_key_add_i64(&k, f->value.at_us);
    q_key_add_u64(&k, seq);
    q_buf_clear(&s->value);
    q_stored_value(&f->value, &s->value);
    if (k.failed || s->value.failed)
        return no_memory(s);
    MDB_val key = { k.len, k.bytes }, value = { s->value.len, s->value.ptr };
    return mdb_put(s->txn, s->env->points, &key, &value, 0);
}

typedef struct latest { q_slice name; q_slice stored; const q_field *field; int64_t at_us; uint64_t seq; } latest;

static int latest_order(const void *x, const void *y) { return q_slice_cmp(((const latest *)x)->name, ((const latest *)y)->name); }

/* Into s->part: per metric its newest sample. */
static int build_latest(q_store *s, const q_stored *after, const q_part *old, const q_item *item, uint64_t seq)
{
    latest *all = Q_NEW_ARRAY(s->arena, latest, old->count + item->count + 1);
    uint32_t n = 0;
    q_part_field f;
    if (!all)
        return no_memory(s);
    for (q_slice rest = old->fields; n < old->count && q_part_next(&rest, &f); n++) {
        q_value v;
        all[n] = (latest){ .name = f.name, .stored = f.value };
        if (!q_stored_sample_read(f.value, &v, &all[n].seq))
            return q_store_fail(s, Q_FATAL, Q_E_INTERNAL, "a stored metric of the embedded engine is damaged");
        all[n].at_us = v.at_us;
    }
    for (uint32_t i = 0; i < item->count; i++) {
        const q_field *g = &item->fields[i];
        uint32_t at = 0;
        if (g->value.type == Q_T_NULL)
            continue;
        while (at < n && !q_slice_eq(all[at].name, g->attr))
            at++;
        if (at < n && !q_rule_newer_sample(g->value.at_us, seq, all[at].at_us, all[at].seq))
            continue;
        all[at] = (latest){ .name = g->attr, .field = g, .at_us = g->value.at_us, .seq = seq };
        n += at == n;
    }
    qsort(all, n, sizeof *all, latest_order);
    q_buf_clear(&s->part);
    q_part_begin(&s->part, after);
    for (uint32_t i = 0; i < n; i++) {
        q_slice bytes = all[i].stored;
        if (all[i].field) {
            q_buf_clear(&s->value);
            q_stored_sample(&all[i].field->value, seq, &s->value);
            s->part.failed |= s->value.failed;
            bytes = q_buf_slice(&s->value);
        }
        q_part_add(&s->part, all[i].name, bytes);
    }
    if (s->part.failed || n > UINT16_MAX)
        return no_memory(s);
    q_part_end(&s->part, 0, n);
    return 0;
}

static int apply_points(q_store *s, q_key *k, q_part *old, const q_item *item, uint64_t seq, q_apply how)
{
    q_stored after = q_rule_after(&old->stored, item, seq, how);
    q_part nothing = { 0 };
    q_item empty = { .op = Q_I_DELETE };
    bool keeps = how == Q_AP_MERGE || how == Q_AP_APPEND;
    int rc = build_latest(s, &after, keeps ? old : &nothing, how == Q_AP_BURY ? &empty : item, seq);
    if (rc == 0)
        rc = put_part(s, k); /* s->value is free again */
    if (rc == 0 && !keeps && old->stored.present)
        rc = drop_points(s, k);
    for (uint32_t i = 0; rc == 0 && how != Q_AP_BURY && i < item->count; i++)
        if (item->fields[i].value.type != Q_T_NULL)
            rc = put_point(s, k, &item->fields[i], seq);
    return rc;
}

/* ---- items ---- */

static int from_rc(q_store *s, q_rc rc)
{
    s->rc = rc;
    return rc == Q_OK ? 0 : Q_STORE_FAILED;
}

static int apply_ddl(q_store *s, const q_writes *w, const q_item *item, uint64_t seq)
{
    int lmdb;
    q_rc rc = q_names_apply_ddl(&s->names, w, item, seq, &s->next_table, &lmdb, &s->err);
    s->changed = true;
    return rc != Q_OK ? from_rc(s, rc) : lmdb;
}

static int apply_item(q_store *s, const q_writes *w, const q_item *item, uint64_t seq)
{
    q_known *known;
    bool stale;
    q_key k;
    q_part old;
    if (item->op == Q_I_CHECK)
        return 0;
    if (item->op == Q_I_DDL)
        return apply_ddl(s, w, item, seq);
    int rc = from_rc(s, q_names_stale(&s->names, w, item, &known, &stale, &s->err));
    if (rc != 0 || stale)
        return rc;
    if (!known->table || known->named.created < item->incarnation) {
        s->changed = true;
        rc = q_names_adopt(&s->names, known, item->incarnation, &s->next_table);
    }
    if (rc == 0 && !q_store_key(&k, known->table, &item->id))
        return q_store_fail(s, Q_FAIL, Q_E_ENGINE_REFUSED, "an id that can't be one");
    if (rc == 0)
        rc = q_store_get(s, &k, &old);
    if (rc != 0)
        return rc;
    q_apply how = q_rule_apply(&old.stored, item, seq, s->engine == Q_EN_INFLUX, 0);
    if (how == Q_AP_SKIP)
        return 0;
    s->changed = true;
    return s->engine == Q_EN_INFLUX ? apply_points(s, &k, &old, item, seq, how) : apply_part(s, known, &k, &old, item, seq, how);
}

int q_store_apply(q_store *s, const q_writes *w, uint64_t seq)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < w->count; i++)
        rc = apply_item(s, w, &w->items[i], seq);
    return rc;
}

/* ---- tombstones ---- */

static bool is_tombstone(const MDB_val *value, uint64_t upto)
{
    q_part p;
    return q_part_read(q_slice_of(value->mv_data, value->mv_size), &p) && p.stored.dead && p.stored.seq <= upto;
}

int q_store_tombstones(q_store *s, q_arena *arena, uint64_t upto, q_slice after, uint32_t look_at, q_slice *keys, uint32_t *count,
                       q_slice *last)
{
    MDB_cursor *c;
    MDB_val key = { after.len, (void *)(uintptr_t)after.ptr }, value;
    *count = 0;
    *last = Q_SLICE_NONE;
    int rc = mdb_cursor_open(s->txn, s->env->parts, &c);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(c, &key, &value, after.len ? MDB_SET_RANGE : MDB_FIRST);
    for (; rc == 0; rc = mdb_cursor_get(c, &key, &value, MDB_NEXT)) {
        bool dead = is_tombstone(&value, upto);
        if (!dead && look_at > 1) {
            look_at--;
            continue;
        }
        q_slice copy = q_arena_copy(arena, q_slice_of(key.mv_data, key.mv_size));
        if (!copy.ptr) {
            rc = no_memory(s);
            break;
        }
        if (dead)
            keys[(*count)++] = copy;
        if (--look_at == 0) {
            *last = copy;
            break;
        }
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int q_store_purge(q_store *s, uint64_t upto, const q_slice *keys, uint32_t count)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        MDB_val key = { keys[i].len, (void *)(uintptr_t)keys[i].ptr }, value;
        rc = mdb_get(s->txn, s->env->parts, &key, &value);
        if (rc == 0 && is_tombstone(&value, upto)) {
            s->changed = true;
            rc = mdb_del(s->txn, s->env->parts, &key, NULL);
        } else if (rc == MDB_NOTFOUND)
            rc = 0;
    }
    return rc;
}
