/* access.c - a bucket's roles, grants and keys: what a statement makes of them, and their form in the log.
 *
 *   access [1, 4, bucket, incarnation, [role …], [grant …], [key …]]
 *   grant  [role, record, privilege, [field …], condition]
 *   key    [name, role, hash, expires]                     expires: microseconds since 1970, 0 never
 *
 * A snapshot is one arena, which goes with its last reference. */
#include "schemas/accessnode.h"

#include <stdlib.h>

#include "schemas/mp.h"

enum { FORMAT = 1, IS_ACCESS = 4, NODE_BYTES = 16 << 20 };

typedef struct node {
    q_acl pub; /* first: a const q_acl * of ours is a node * */
    uint32_t refs;
    q_arena *arena;
    q_slice *roles;
    q_grant *grants;
    q_api_key *keys;
    uint32_t role_cap, grant_cap, key_cap;
} node;

_Static_assert(Q_PRIV_SELECT == 1 && Q_PRIV_ADMIN == 16, "stored numbers have moved");

const char *q_priv_name(q_priv p)
{
    switch (p) {
    case Q_PRIV_SELECT: return "SELECT";
    case Q_PRIV_INSERT: return "INSERT";
    case Q_PRIV_UPDATE: return "UPDATE";
    case Q_PRIV_DELETE: return "DELETE";
    case Q_PRIV_ADMIN: return "ADMIN";
    }
    return "ALL";
}

static node *node_of(const q_acl *a) { return (node *)(uintptr_t)a; }

q_acl *q_access_ref(const q_acl *a)
{
    if (a)
        node_of(a)->refs++;
    return (q_acl *)(uintptr_t)a;
}

void q_access_unref(const q_acl *a)
{
    if (!a || --node_of(a)->refs)
        return;
    q_arena_free(node_of(a)->arena); /* the node lives in it */
}

bool q_access_has_role(const q_acl *a, q_slice role)
{
    for (uint32_t i = 0; a && i < a->role_count; i++)
        if (q_slice_eq(a->roles[i], role))
            return true;
    return false;
}

const q_api_key *q_access_key(const q_acl *a, q_slice name)
{
    for (uint32_t i = 0; a && i < a->key_count; i++)
        if (q_slice_eq(a->keys[i].name, name))
            return &a->keys[i];
    return NULL;
}

/* ---- building: lists with room for `more` entries, all texts the node's own ------------------------------------------- */

static q_rc no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory is left for roles and grants."); }

static node *node_new(uint32_t roles, uint32_t grants, uint32_t keys)
{
    q_arena *arena = q_arena_new(NODE_BYTES);
    node *n = arena ? Q_NEW(arena, node) : NULL;
    if (n) {
        n->refs = 1;
        n->arena = arena;
        n->role_cap = roles;
        n->grant_cap = grants;
        n->key_cap = keys;
        n->roles = Q_NEW_ARRAY(arena, q_slice, roles + 1u);
        n->grants = Q_NEW_ARRAY(arena, q_grant, grants + 1u);
        n->keys = Q_NEW_ARRAY(arena, q_api_key, keys + 1u);
    }
    if (!n || !n->roles || !n->grants || !n->keys) {
        q_arena_free(arena);
        return NULL;
    }
    n->pub.roles = n->roles;
    n->pub.grants = n->grants;
    n->pub.keys = n->keys;
    return n;
}

static bool copy_text(node *n, q_slice s, q_slice *out)
{
    *out = s.len ? q_arena_copy(n->arena, s) : Q_SLICE_NONE;
    return s.len == 0 || out->ptr;
}

static bool add_role(node *n, q_slice role)
{
    uint32_t at = n->pub.role_count;
    q_slice mine;
    if (at == n->role_cap || !copy_text(n, role, &mine))
        return false;
    for (; at > 0 && q_slice_cmp(n->roles[at - 1], role) > 0; at--)
        n->roles[at] = n->roles[at - 1];
    n->roles[at] = mine;
    n->pub.role_count++;
    return true;
}

static int grant_cmp(const q_grant *a, const q_grant *b)
{
    int c = q_slice_cmp(a->role, b->role);
    return c ? c : q_slice_cmp(a->record, b->record);
}

/* `fields` need no order. */
static bool add_grant(node *n, const q_grant *g)
{
    uint32_t at = n->pub.grant_count, kept = 0;
    q_grant mine = { .priv = g->priv };
    q_slice *fields = g->field_count ? Q_NEW_ARRAY(n->arena, q_slice, g->field_count) : NULL;
    if (at == n->grant_cap || (g->field_count && !fields) || !copy_text(n, g->role, &mine.role) || !copy_text(n, g->record, &mine.record) ||
        !copy_text(n, g->where, &mine.where))
        return false;
    for (uint32_t i = 0; i < g->field_count; i++) {
        uint32_t j = kept;
        while (j > 0 && q_slice_cmp(fields[j - 1], g->fields[i]) > 0)
            j--;
        if (j > 0 && q_slice_eq(fields[j - 1], g->fields[i]))
            continue;
        memmove(&fields[j + 1], &fields[j], (kept - j) * sizeof *fields);
        if (!copy_text(n, g->fields[i], &fields[j]))
            return false;
        kept++;
    }
    mine.fields = fields;
    mine.field_count = kept;
    for (; at > 0 && grant_cmp(&n->grants[at - 1], &mine) > 0; at--)
        n->grants[at] = n->grants[at - 1];
    n->grants[at] = mine;
    n->pub.grant_count++;
    return true;
}

static bool add_key(node *n, const q_api_key *k)
{
    uint32_t at = n->pub.key_count;
    q_api_key mine = *k;
    if (at == n->key_cap || !copy_text(n, k->name, &mine.name) || !copy_text(n, k->role, &mine.role))
        return false;
    for (; at > 0 && q_slice_cmp(n->keys[at - 1].name, k->name) > 0; at--)
        n->keys[at] = n->keys[at - 1];
    n->keys[at] = mine;
    n->pub.key_count++;
    return true;
}

/* A copy without what the filters take out. An empty slice takes nothing. */
static node *copy_but(const q_acl *a, q_slice role, q_slice record, q_slice key, uint32_t more_grants)
{
    node *n = node_new((a ? a->role_count : 0) + 1, (a ? a->grant_count : 0) + more_grants, (a ? a->key_count : 0) + 1);
    bool ok = n != NULL;
    for (uint32_t i = 0; ok && a && i < a->role_count; i++)
        ok = q_slice_eq(a->roles[i], role) || add_role(n, a->roles[i]);
    for (uint32_t i = 0; ok && a && i < a->grant_count; i++) {
        const q_grant *g = &a->grants[i];
        ok = q_slice_eq(g->role, role) || (record.len && q_slice_eq(g->record, record)) || add_grant(n, g);
    }
    for (uint32_t i = 0; ok && a && i < a->key_count; i++) {
        const q_api_key *k = &a->keys[i];
        ok = q_slice_eq(k->role, role) || q_slice_eq(k->name, key) || add_key(n, k);
    }
    if (!ok && n)
        q_access_unref(&n->pub);
    return ok ? n : NULL;
}

q_rc q_access_without_record(const q_acl *a, q_slice record, q_acl **out, q_err *err)
{
    node *n = a ? copy_but(a, Q_SLICE_NONE, record, Q_SLICE_NONE, 0) : NULL;
    *out = n ? &n->pub : NULL;
    return n || !a ? Q_OK : no_memory(err);
}

/* ---- GRANT and REVOKE --------------------------------------------------------------------------------------------------- */

static const q_priv EACH[] = { Q_PRIV_SELECT, Q_PRIV_INSERT, Q_PRIV_UPDATE, Q_PRIV_DELETE, Q_PRIV_ADMIN };

static bool same_target(const q_grant *g, const q_grant *h)
{
    return g->priv == h->priv && q_slice_eq(g->role, h->role) && q_slice_eq(g->record, h->record);
}

/* Among grants of the same condition: lists are joined, and a list is nothing beside a grant without one. */
static bool join_grant(node *n, const q_grant *add)
{
    for (uint32_t i = 0; i < n->pub.grant_count; i++) {
        q_grant *g = &n->grants[i];
        if (!same_target(g, add) || !q_slice_eq(g->where, add->where))
            continue;
        if (g->field_count == 0)
            return true;
        q_slice *all = Q_NEW_ARRAY(n->arena, q_slice, g->field_count + add->field_count);
        if (!all)
            return false;
        if (add->field_count) {
            memcpy(all, g->fields, g->field_count * sizeof *all);
            memcpy(all + g->field_count, add->fields, add->field_count * sizeof *all);
        }
        q_grant joined = *add;
        joined.fields = all;
        joined.field_count = add->field_count ? g->field_count + add->field_count : 0;
        memmove(g, g + 1, (n->pub.grant_count - i - 1) * sizeof *g);
        n->pub.grant_count--;
        return add_grant(n, &joined);
    }
    return add_grant(n, add);
}

static q_rc grant(node *n, const q_ddl *ddl, q_err *err)
{
    const q_access_ddl *d = ddl->access;
    for (uint32_t i = 0; i < d->count; i++)
        for (size_t b = 0; b < sizeof EACH / sizeof EACH[0]; b++) {
            q_grant g = { .role = d->role, .record = d->on_bucket ? Q_SLICE_NONE : ddl->record, .priv = EACH[b],
                          .field_count = d->privileges[i].field_count, .fields = d->privileges[i].fields, .where = d->where };
            if (d->privileges[i].privs & EACH[b] && !join_grant(n, &g))
                return no_memory(err);
        }
    return n->pub.grant_count > Q_MAX_GRANTS ? q_err_set(err, Q_E_SCHEMA_INVALID, "A bucket may have %d grants.", Q_MAX_GRANTS) : Q_OK;
}

/* What is left of a grant that names attributes. */
static uint32_t fields_left(const q_grant *g, const q_privilege *p, q_slice *left)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->field_count; i++) {
        bool gone = false;
        for (uint32_t j = 0; j < p->field_count && !gone; j++)
            gone = q_slice_eq(g->fields[i], p->fields[j]);
        if (!gone)
            left[n++] = g->fields[i];
    }
    return n;
}

static q_rc revoke(node *n, const q_ddl *ddl, q_err *err)
{
    const q_access_ddl *d = ddl->access;
    q_slice record = d->on_bucket ? Q_SLICE_NONE : ddl->record;
    for (uint32_t p = 0; p < d->count; p++) {
        const q_privilege *what = &d->privileges[p];
        uint32_t kept = 0;
        for (uint32_t i = 0; i < n->pub.grant_count; i++) {
            q_grant g = n->grants[i];
            if (q_slice_eq(g.role, d->role) && q_slice_eq(g.record, record) && what->privs & g.priv) {
                if (what->field_count == 0)
                    continue;
                if (g.field_count == 0) {
                    q_err_set(err, Q_E_QQL_UNSUPPORTED, "The grant of %s is of every attribute: none can be taken out of it.", q_priv_name(g.priv));
                    q_err_hint(err, "REVOKE %s without a list, then GRANT it with one.", q_priv_name(g.priv));
                    return Q_FAIL;
                }
                q_slice *left = Q_NEW_ARRAY(n->arena, q_slice, g.field_count);
                if (!left)
                    return no_memory(err);
                g.field_count = fields_left(&g, what, left);
                g.fields = left;
                if (g.field_count == 0)
                    continue;
            }
            n->grants[kept++] = g;
        }
        n->pub.grant_count = kept;
    }
    return Q_OK;
}

/* ---- the statements ------------------------------------------------------------------------------------------------------ */

static q_rc need_role(const q_acl *a, q_slice role, q_err *err)
{
    return q_access_has_role(a, role) ? Q_OK : q_err_set(err, Q_E_UNKNOWN_ROLE, "The bucket has no role \"%.*s\".", Q_SLICE_FMT(role));
}

static q_rc apply_role(const q_acl *a, const q_ddl *ddl, node **out, q_err *err)
{
    const q_access_ddl *d = ddl->access;
    bool is_there = q_access_has_role(a, d->role), create = ddl->kind == Q_DDL_CREATE_ROLE;
    if (is_there == create)
        return (create ? ddl->if_not_exists : ddl->if_exists) ? Q_END
               : create ? q_err_set(err, Q_E_ROLE_EXISTS, "The role \"%.*s\" is there already.", Q_SLICE_FMT(d->role))
                        : need_role(a, d->role, err);
    if (create && a && a->role_count >= Q_MAX_ROLES)
        return q_err_set(err, Q_E_SCHEMA_INVALID, "A bucket may have %d roles.", Q_MAX_ROLES);
    *out = copy_but(a, create ? Q_SLICE_NONE : d->role, Q_SLICE_NONE, Q_SLICE_NONE, 0);
    return *out && (!create || add_role(*out, d->role)) ? Q_OK : no_memory(err);
}

static q_rc apply_grants(const q_acl *a, const q_ddl *ddl, node **out, q_err *err)
{
    q_rc rc = need_role(a, ddl->access->role, err);
    if (rc != Q_OK)
        return rc;
    *out = copy_but(a, Q_SLICE_NONE, Q_SLICE_NONE, Q_SLICE_NONE, ddl->access->count * (uint32_t)(sizeof EACH / sizeof EACH[0]));
    if (!*out)
        return no_memory(err);
    return ddl->kind == Q_DDL_GRANT ? grant(*out, ddl, err) : revoke(*out, ddl, err);
}

static q_rc apply_key(const q_acl *a, const q_ddl *ddl, node **out, q_err *err)
{
    const q_access_ddl *d = ddl->access;
    const q_api_key *old = q_access_key(a, d->key);
    bool create = ddl->kind == Q_DDL_CREATE_KEY;
    q_api_key k = old ? *old : (q_api_key){ .name = d->key, .role = d->role };
    if (create && old)
        return ddl->if_not_exists ? Q_END : q_err_set(err, Q_E_KEY_EXISTS, "The key \"%.*s\" is there already.", Q_SLICE_FMT(d->key));
    if (!create && !old)
        return ddl->if_exists ? Q_END : q_err_set(err, Q_E_UNKNOWN_KEY, "The bucket has no key \"%.*s\".", Q_SLICE_FMT(d->key));
    if (create && need_role(a, d->role, err) != Q_OK)
        return Q_FAIL;
    if (create && a->key_count >= Q_MAX_KEYS)
        return q_err_set(err, Q_E_SCHEMA_INVALID, "A bucket may have %d keys.", Q_MAX_KEYS);
    if (d->has_hash)
        memcpy(k.hash, d->hash, sizeof k.hash);
    if (d->has_expires)
        k.expires_us = d->expires_us;
    *out = copy_but(a, Q_SLICE_NONE, Q_SLICE_NONE, d->key, 0);
    return *out && (ddl->kind == Q_DDL_DROP_KEY || add_key(*out, &k)) ? Q_OK : no_memory(err);
}

q_rc q_access_apply(const q_acl *a, const q_ddl *ddl, q_acl **out, q_err *err)
{
    node *n = NULL;
    q_rc rc;
    switch (ddl->kind) {
    case Q_DDL_CREATE_ROLE:
    case Q_DDL_DROP_ROLE:
        rc = apply_role(a, ddl, &n, err);
        break;
    case Q_DDL_GRANT:
    case Q_DDL_REVOKE:
        rc = apply_grants(a, ddl, &n, err);
        break;
    default:
        rc = apply_key(a, ddl, &n, err);
        break;
    }
    if (rc == Q_OK)
        *out = &n->pub;
    else if (n)
        q_access_unref(&n->pub);
    return rc;
}

/* ---- the log's form ------------------------------------------------------------------------------------------------------ */

void q_access_encode(const q_acl *a, q_slice bucket, uint64_t incarnation, q_buf *out)
{
    q_mp_pack_array(out, 7);
    q_mp_pack_int(out, FORMAT);
    q_mp_pack_int(out, IS_ACCESS);
    q_mp_str(out, bucket);
    q_mp_pack_uint64(out, incarnation);
    q_mp_pack_array(out, a->role_count);
    for (uint32_t i = 0; i < a->role_count; i++)
        q_mp_str(out, a->roles[i]);
    q_mp_pack_array(out, a->grant_count);
    for (uint32_t i = 0; i < a->grant_count; i++) {
        const q_grant *g = &a->grants[i];
        q_mp_pack_array(out, 5);
        q_mp_str(out, g->role);
        q_mp_str(out, g->record);
        q_mp_pack_int(out, (int)g->priv);
        q_mp_pack_array(out, g->field_count);
        for (uint32_t j = 0; j < g->field_count; j++)
            q_mp_str(out, g->fields[j]);
        q_mp_str(out, g->where);
    }
    q_mp_pack_array(out, a->key_count);
    for (uint32_t i = 0; i < a->key_count; i++) {
        const q_api_key *k = &a->keys[i];
        q_mp_pack_array(out, 4);
        q_mp_str(out, k->name);
        q_mp_str(out, k->role);
        q_mp_bin(out, q_slice_of(k->hash, sizeof k->hash));
        q_mp_pack_int64(out, k->expires_us);
    }
}

static void take_grant(q_mp_items *list, node *n)
{
    q_slice fields[Q_MAX_ATTRIBUTES];
    q_mp_items it = q_mp_next_list(list, 5);
    q_grant g = { .role = q_mp_next_text(&it, Q_MAX_NAME_BYTES) };
    g.record = q_mp_next_text(&it, Q_MAX_NAME_BYTES);
    g.priv = (q_priv)q_mp_next_u64(&it, Q_PRIV_ADMIN);
    q_mp_items names = q_mp_next_list(&it, Q_MAX_ATTRIBUTES);
    while (names.left && !names.wrong)
        fields[g.field_count++] = q_mp_next_text(&names, Q_MAX_NAME_BYTES);
    g.fields = fields;
    g.where = q_mp_next_text(&it, Q_MAX_CONDITION_BYTES);
    bool one_bit = g.priv && !(g.priv & (g.priv - 1));
    if (!q_mp_done(&it) || names.wrong || !one_bit || !q_access_has_role(&n->pub, g.role))
        q_mp_wrong(list, it.wrong ? it.wrong : names.wrong ? names.wrong : "a grant is of nothing or of nobody");
    else if (!add_grant(n, &g))
        q_mp_wrong(list, "no memory is left");
}

static void take_key(q_mp_items *list, node *n)
{
    q_mp_items it = q_mp_next_list(list, 4);
    q_api_key k = { .name = q_mp_next_text(&it, Q_MAX_NAME_BYTES) };
    k.role = q_mp_next_text(&it, Q_MAX_NAME_BYTES);
    q_slice hash = q_mp_next_bin(&it, sizeof k.hash);
    k.expires_us = q_mp_next_i64(&it);
    if (!q_mp_done(&it) || hash.len != sizeof k.hash || !k.name.len || !q_access_has_role(&n->pub, k.role)) {
        q_mp_wrong(list, it.wrong ? it.wrong : "a key has no hash or no role");
        return;
    }
    memcpy(k.hash, hash.ptr, sizeof k.hash);
    if (!add_key(n, &k))
        q_mp_wrong(list, "no memory is left");
}

q_rc q_access_take(q_mp_items *it, q_acl **out, q_err *err)
{
    q_mp_items roles = q_mp_next_list(it, Q_MAX_ROLES);
    q_mp_items grants = q_mp_next_list(it, Q_MAX_GRANTS);
    q_mp_items keys = q_mp_next_list(it, Q_MAX_KEYS);
    node *n = it->wrong ? NULL : node_new(roles.left, grants.left, keys.left);
    if (!n)
        return it->wrong ? q_err_set(err, Q_E_INTERNAL, "Encoded grants can't be read: %s.", it->wrong) : no_memory(err);
    while (roles.left && !roles.wrong) {
        q_slice role = q_mp_next_text(&roles, Q_MAX_NAME_BYTES);
        if (!role.len || q_access_has_role(&n->pub, role) || !add_role(n, role))
            q_mp_wrong(&roles, "a role has no name, or stands there twice");
    }
    while (grants.left && !roles.wrong && !grants.wrong)
        take_grant(&grants, n);
    while (keys.left && !roles.wrong && !grants.wrong && !keys.wrong)
        take_key(&keys, n);
    const char *wrong = roles.wrong ? roles.wrong : grants.wrong ? grants.wrong : keys.wrong ? keys.wrong : q_mp_done(it) ? NULL : it->wrong;
    if (wrong) {
        q_access_unref(&n->pub);
        return q_err_set(err, Q_E_INTERNAL, "Encoded grants can't be read: %s.", wrong);
    }
    *out = &n->pub;
    return Q_OK;
}
