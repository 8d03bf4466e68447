#include <stdlib.h>

#include "workers/embedded/store.h"

static int refuse(q_arena *texts, q_vote *vote, uint32_t item, q_no no, q_slice text)
{
    (void)texts;
    vote->no = no;
    vote->item = item;
    vote->text = text.ptr ? text : Q_SLICE_LIT("");
    return 0;
}

/* A reason that will not pass: what the engine could never store. NULL when there is none. */
static const char *bad_value(const q_store *s, const q_known *known, const q_field *f)
{
    const q_value *v = &f->value;
    if (f->attr.len == 0 || f->attr.len > Q_MAX_NAME_BYTES)
        return "its name is too long";
    if (!q_rule_type_fits(s->engine, v->type))
        return "its type isn't one that this engine stores";
    const q_known_attr *a = v->type == Q_T_NULL ? NULL : q_known_find(known, f->attr);
    if (a && a->datatype != v->type)
        return "its type isn't the defined one";
    if ((v->type == Q_T_STRING || v->type == Q_T_BYTES) && v->s.len > Q_MAX_STRING_BYTES)
        return "it is too long";
    if (v->type == Q_T_DOC && v->s.len > Q_MAX_DOC_BYTES)
        return "the document is too large";
    if (v->type == Q_T_RELATION && v->rel.count > Q_MAX_RELATION_IDS)
        return "it names too many records";
    return NULL;
}

static int vote_values(q_store *s, q_arena *texts, const q_known *known, const q_item *item, uint32_t index, q_vote *vote)
{
    for (uint32_t i = 0; i < item->count; i++) {
        const char *why = bad_value(s, known, &item->fields[i]);
        if (why)
            return refuse(texts, vote, index, Q_NO_REFUSED,
                          q_arena_printf(texts, "%.*s.%.*s: %s", Q_SLICE_FMT(item->record), Q_SLICE_FMT(item->fields[i].attr), why));
    }
    return 0;
}

/* ---- UNIQUE ---- */

/* Does another item of the same transaction take the value away from the record `holder`? */
static bool given_up(const q_writes *w, const q_item *item, q_slice attr, q_slice holder, q_buf *scratch)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const q_item *o = &w->items[i];
        if ((o->op != Q_I_PUT && o->op != Q_I_DELETE) || !q_slice_eq(o->record, item->record))
            continue;
        q_buf_clear(scratch);
        q_value_key(&o->id, scratch);
        if (!q_slice_eq(q_buf_slice(scratch), holder))
            continue;
        if (o->op == Q_I_DELETE || o->full)
            return true; /* what it writes itself is compared with this item's value elsewhere */
        for (uint32_t f = 0; f < o->count; f++)
            if (q_slice_eq(o->fields[f].attr, attr))
                return true;
    }
    return false;
}

static int vote_unique(q_store *s, q_arena *texts, const q_writes *w, const q_known *known, const q_key *part, uint32_t index, q_vote *vote)
{
    const q_item *item = &w->items[index];
    for (uint32_t i = 0; i < item->count && vote->no == Q_NO_NONE; i++) {
        const q_field *f = &item->fields[i];
        const q_known_attr *a = f->value.type == Q_T_NULL ? NULL : q_known_find(known, f->attr);
        if (!a || !a->unique)
            continue;
        q_key k;
        q_store_unique_key(s, &k, known->table, f->attr, &f->value);
        MDB_val key = { k.len, k.bytes }, holder;
        int rc = mdb_get(s->txn, s->env->uniques, &key, &holder);
        if (rc == MDB_NOTFOUND)
            continue;
        if (rc != 0)
            return rc;
        q_slice id = q_slice_of(holder.mv_data, holder.mv_size);
        if (!q_slice_eq(id, q_key_id(part)) && !given_up(w, item, f->attr, id, &s->value))
            refuse(texts, vote, index, Q_NO_DUPLICATE_VALUE, q_arena_copy(texts, f->attr));
    }
    return 0;
}

typedef struct claim { q_key key; q_slice id; uint32_t item; q_slice attr; } claim;

static int claim_order(const void *x, const void *y)
{
    const claim *a = x, *b = y;
    int c = q_slice_cmp(q_slice_of(a->key.bytes, a->key.len), q_slice_of(b->key.bytes, b->key.len));
    return c ? c : (a->item > b->item) - (a->item < b->item);
}

/* Two records of one transaction that want one value. */
static int vote_claims(q_store *s, q_arena *texts, claim *claims, uint32_t n, q_vote *vote)
{
    (void)s;
    qsort(claims, n, sizeof *claims, claim_order);
    for (uint32_t i = 1; i < n && vote->no == Q_NO_NONE; i++) {
        const claim *a = &claims[i - 1], *b = &claims[i];
        if (q_slice_eq(q_slice_of(a->key.bytes, a->key.len), q_slice_of(b->key.bytes, b->key.len)) && !q_slice_eq(a->id, b->id))
            refuse(texts, vote, b->item, Q_NO_DUPLICATE_VALUE, q_arena_copy(texts, b->attr));
    }
    return 0;
}

static int add_claims(q_store *s, const q_known *known, const q_key *part, const q_item *item, uint32_t index, claim **claims, uint32_t *n,
                      uint32_t *cap)
{
    for (uint32_t i = 0; known->unique_count && i < item->count; i++) {
        const q_field *f = &item->fields[i];
        const q_known_attr *a = f->value.type == Q_T_NULL ? NULL : q_known_find(known, f->attr);
        if (!a || !a->unique)
            continue;
        if (*n == *cap) {
            uint32_t more = *cap ? *cap * 2 : 16;
            claim *bigger = q_arena_alloc(s->arena, sizeof *bigger * more);
            if (!bigger)
                return q_store_fail(s, Q_RETRY, Q_E_LIMIT_MEMORY, "the embedded engine is out of memory");
            if (*n)
                memcpy(bigger, *claims, sizeof *bigger * *n);
            *claims = bigger;
            *cap = more;
        }
        claim *c = &(*claims)[*n];
        q_store_unique_key(s, &c->key, known->table, f->attr, &f->value);
        c->id = q_arena_copy(s->arena, q_key_id(part));
        c->item = index;
        c->attr = f->attr;
        if (!c->id.ptr)
            return q_store_fail(s, Q_RETRY, Q_E_LIMIT_MEMORY, "the embedded engine is out of memory");
        ++*n;
    }
    return 0;
}

/* ---- items ---- */

static int vote_ddl(q_store *s, q_arena *texts, const q_writes *w, uint32_t index, uint64_t seq, q_vote *vote)
{
    const q_ddl *ddl = &w->items[index].ddl;
    bool of_bucket = ddl->kind == Q_DDL_CREATE_BUCKET || ddl->kind == Q_DDL_DROP_BUCKET;
    q_known *k;
    s->rc = q_names_get(&s->names, w->bucket, of_bucket ? Q_SLICE_NONE : ddl->record, &k, &s->err);
    if (s->rc == Q_FAIL)
        return refuse(texts, vote, index, Q_NO_REFUSED, q_arena_copy(texts, q_slice_cstr(s->err.message)));
    if (s->rc != Q_OK)
        return Q_STORE_FAILED;
    q_no no = q_rule_vote_ddl(&k->named, seq);
    if (no == Q_NO_NONE && !of_bucket && ddl->count > Q_MAX_ATTRIBUTES)
        no = Q_NO_REFUSED;
    return no == Q_NO_NONE ? 0 : refuse(texts, vote, index, no, q_arena_copy(texts, of_bucket ? w->bucket : ddl->record));
}

int q_store_vote(q_store *s, q_arena *texts, const q_writes *w, uint64_t seq, q_vote *vote)
{
    claim *claims = NULL;
    uint32_t claim_count = 0, claim_cap = 0;
    int rc = 0;
    *vote = (q_vote){ .seq = seq };
    for (uint32_t i = 0; rc == 0 && i < w->count && vote->no == Q_NO_NONE; i++) {
        const q_item *item = &w->items[i];
        q_known *known;
        bool stale;
        q_key k;
        q_part stored;
        if (item->op == Q_I_DDL) {
            rc = vote_ddl(s, texts, w, i, seq, vote);
            continue;
        }
        s->rc = q_names_stale(&s->names, w, item, &known, &stale, &s->err);
        if (s->rc == Q_FAIL)
            return refuse(texts, vote, i, Q_NO_REFUSED, q_arena_copy(texts, q_slice_cstr(s->err.message)));
        if (s->rc != Q_OK)
            return Q_STORE_FAILED;
        if (stale)
            return refuse(texts, vote, i, Q_NO_STALE, q_arena_printf(texts, "%.*s was dropped or created anew", Q_SLICE_FMT(item->record)));
        if (!q_store_key(&k, known->table, &item->id))
            return refuse(texts, vote, i, Q_NO_REFUSED, q_arena_printf(texts, "%.*s: an id that can't be one", Q_SLICE_FMT(item->record)));
        rc = q_store_get(s, &k, &stored);
        if (rc != 0)
            return rc;
        q_no no = q_rule_vote(&stored.stored, item, seq, 0);
        if (no != Q_NO_NONE)
            return refuse(texts, vote, i, no, Q_SLICE_NONE);
        if (item->op != Q_I_PUT)
            continue;
        rc = vote_values(s, texts, known, item, i, vote);
        if (rc == 0 && vote->no == Q_NO_NONE && known->unique_count) {
            rc = vote_unique(s, texts, w, known, &k, i, vote);
            if (rc == 0)
                rc = add_claims(s, known, &k, item, i, &claims, &claim_count, &claim_cap);
        }
    }
    if (rc == 0 && vote->no == Q_NO_NONE && claim_count > 1)
        rc = vote_claims(s, texts, claims, claim_count, vote);
    return rc;
}
