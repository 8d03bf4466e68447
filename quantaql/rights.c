/* Which of a bucket's grants are a principal's, and what they cover. */
#include "quantaql/rights.h"

static bool has_role(const q_principal *who, q_slice role)
{
    for (uint32_t i = 0; i < who->role_count; i++)
        if (q_slice_eq(who->roles[i], role))
            return true;
    return false;
}

bool q_rights_of(q_arena *arena, const q_principal *who, const q_bucket *bucket, const q_rights **out)
{
    *out = NULL;
    if (!who || who->all)
        return true;
    const q_acl *a = bucket ? bucket->access : NULL;
    bool its = bucket && (!who->bucket.len || q_slice_eq(who->bucket, bucket->name));
    q_rights *r = Q_NEW(arena, q_rights);
    if (!r)
        return false;
    r->who = who;
    r->grants = a && its && a->grant_count ? Q_NEW_ARRAY(arena, const q_grant *, a->grant_count) : NULL;
    if (a && its && a->grant_count && !r->grants)
        return false;
    for (uint32_t i = 0; a && its && i < a->grant_count; i++) {
        const q_grant *g = &a->grants[i];
        if (!has_role(who, g->role))
            continue;
        if (g->record.len)
            r->grants[r->grant_count++] = g;
        else
            r->everywhere |= g->priv;
    }
    if (r->everywhere || r->grant_count)
        r->bucket = bucket;
    *out = r;
    return true;
}

bool q_rights_bucket(const q_rights *r) { return !r || r->bucket; }

bool q_rights_admin(const q_rights *r) { return !r || r->everywhere & Q_PRIV_ADMIN; }

static bool is_on(const q_grant *g, const q_record *rec) { return q_slice_eq(g->record, rec->name); }

bool q_rights_record(const q_rights *r, const q_record *rec)
{
    if (!r || r->everywhere)
        return true; /* whoever defines records knows them */
    for (uint32_t i = 0; i < r->grant_count; i++)
        if (is_on(r->grants[i], rec))
            return true;
    return false;
}

bool q_rights_attr(const q_rights *r, const q_record *rec, const q_attr *a)
{
    if (!r || r->everywhere & ~(unsigned)Q_PRIV_DELETE)
        return true;
    for (uint32_t i = 0; i < r->grant_count; i++)
        if (is_on(r->grants[i], rec) && q_grant_covers(r->grants[i], a->name))
            return true;
    return false;
}

bool q_rights_may(const q_rights *r, const q_record *rec, q_priv priv, const q_attr *a)
{
    if (!r || r->everywhere & priv)
        return true;
    for (uint32_t i = 0; i < r->grant_count; i++) {
        const q_grant *g = r->grants[i];
        if (g->priv == priv && is_on(g, rec) && (!a || q_grant_covers(g, a->name)))
            return true;
    }
    return false;
}
