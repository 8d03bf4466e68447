#include "coordinator/overlay.h"

#include <assert.h>
#include <xxhash.h>

enum { LIST_MAX = 8 /* a point transaction never builds a hash table */ };

/* ---- ids ------------------------------------------------------------------------------------------------------------- */

bool q_id_same(const q_value *a, const q_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case Q_T_STRING:
        return q_slice_eq(a->s, b->s);
    case Q_T_INT:
        return a->i == b->i;
    case Q_T_UUID:
        return memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0;
    default:
        return false;
    }
}

int q_id_cmp(const q_value *a, const q_value *b)
{
    assert(a->type == b->type);
    switch (a->type) {
    case Q_T_STRING:
        return q_slice_cmp(a->s, b->s);
    case Q_T_INT:
        return (a->i > b->i) - (a->i < b->i);
    default:
        return memcmp(a->uuid, b->uuid, sizeof a->uuid);
    }
}

uint64_t q_id_hash(const q_value *id)
{
    switch (id->type) {
    case Q_T_STRING:
        return XXH3_64bits(id->s.ptr, id->s.len);
    case Q_T_INT:
        return XXH3_64bits(&id->i, sizeof id->i);
    default:
        return XXH3_64bits(id->uuid, sizeof id->uuid);
    }
}

/* ---- stores ---------------------------------------------------------------------------------------------------------- */

bool q_xtype_open(q_xtype *t, q_arena *arena, q_pagemem *lasting, q_pagemem *page)
{
    const q_record *rec = t->rec;
    t->slot = q_arena_alloc(arena, rec->count);
    if (!t->slot)
        return false;
    t->slots = 0;
    for (uint32_t i = 0; i < rec->count; i++) {
        t->slot[i] = 0;
        if (q_attrset_has(&t->used, i))
            t->slot[i] = (uint8_t)t->slots++;
    }
    t->lasting = (q_xstore){ .mem = lasting };
    t->page = (q_xstore){ .mem = page };
    return true;
}

static void store_forget(q_xstore *s)
{
    s->count = s->cap = 0;
    s->table = NULL;
}

void q_xtype_forget(q_xtype *t)
{
    store_forget(&t->lasting);
    store_forget(&t->page);
    t->touched_count = 0;
    t->round = 0;
    t->ask_count = 0;
}

void q_overlay_page_done(q_xtype *t) { store_forget(&t->page); }

static q_xrow *store_find(const q_xstore *s, const q_value *id, uint64_t hash)
{
    if (!s->cap) {
        for (uint32_t i = 0; i < s->count; i++)
            if (q_id_same(&s->small[i]->id, id))
                return s->small[i];
        return NULL;
    }
    q_xrow *r = s->table[hash & (s->cap - 1)];
    while (r && !q_id_same(&r->id, id))
        r = r->chain;
    return r;
}

static void table_put(q_xrow **table, uint32_t cap, q_xrow *r)
{
    q_xrow **slot = &table[q_id_hash(&r->id) & (cap - 1)];
    r->chain = *slot;
    *slot = r;
}

/* Doubles the table, or makes the first one of the list. */
static bool store_grow(q_xstore *s)
{
    uint32_t cap = s->cap ? s->cap * 2 : LIST_MAX * 8;
    q_xrow **table = q_pagemem_alloc(s->mem, cap * sizeof(q_xrow *));
    if (!table)
        return false;
    memset(table, 0, cap * sizeof(q_xrow *));
    if (!s->cap) {
        for (uint32_t i = 0; i < s->count; i++)
            table_put(table, cap, s->small[i]);
    } else {
        for (uint32_t b = 0; b < s->cap; b++)
            for (q_xrow *r = s->table[b], *next; r; r = next) {
                next = r->chain;
                table_put(table, cap, r);
            }
    }
    s->table = table;
    s->cap = cap;
    return true;
}

static bool store_add(q_xstore *s, q_xrow *r)
{
    if ((!s->cap && s->count == LIST_MAX) || (s->cap && s->count >= s->cap)) {
        if (!store_grow(s))
            return false;
    }
    if (s->cap)
        table_put(s->table, s->cap, r);
    else
        s->small[s->count] = r;
    s->count++;
    return true;
}

q_xrow *q_overlay_find(const q_xtype *t, const q_value *id)
{
    uint64_t hash = t->lasting.cap || t->page.cap ? q_id_hash(id) : 0;
    q_xrow *r = t->lasting.count ? store_find(&t->lasting, id, hash) : NULL;
    return r || !t->page.count ? r : store_find(&t->page, id, hash);
}

static q_xrow *row_new(q_xtype *t, const q_value *id, q_xstore *s)
{
    size_t size = sizeof(q_xrow) + t->slots * sizeof(q_value);
    q_xrow *r = q_pagemem_alloc(s->mem, size);
    if (!r)
        return NULL;
    memset(r, 0, sizeof *r);
    r->type = t;
    r->lasting = s == &t->lasting;
    if (!q_pagemem_copy(s->mem, id, &r->id) || !store_add(s, r))
        return NULL;
    return r;
}

q_xrow *q_overlay_row(q_xtype *t, const q_value *id, bool lasting)
{
    q_xrow *r = q_overlay_find(t, id);
    if (!r)
        return row_new(t, id, lasting ? &t->lasting : &t->page);
    return lasting ? q_overlay_keep(r) : r;
}

static void store_drop(q_xstore *s, q_xrow *r)
{
    if (s->cap) {
        q_xrow **at = &s->table[q_id_hash(&r->id) & (s->cap - 1)];
        while (*at != r)
            at = &(*at)->chain;
        *at = r->chain;
    } else {
        uint32_t i = 0;
        while (s->small[i] != r)
            i++;
        s->small[i] = s->small[s->count - 1];
    }
    s->count--;
}

q_xrow *q_overlay_keep(q_xrow *r)
{
    q_xtype *t = r->type;
    if (r->lasting)
        return r;
    assert(!r->touched);
    store_drop(&t->page, r);
    q_xrow *k = row_new(t, &r->id, &t->lasting);
    if (!k)
        return NULL;
    q_value id = k->id;
    q_xrow *chain = k->chain;
    memcpy(k, r, sizeof *r);
    k->id = id;
    k->chain = chain;
    k->lasting = true;
    for (uint32_t i = 0; i < t->rec->count; i++) {
        if (!q_attrset_has(&r->loaded, i))
            continue;
        uint32_t s = t->slot[i];
        if (!q_pagemem_copy(t->lasting.mem, &r->values[s], &k->values[s]))
            return NULL;
    }
    return k;
}

/* ---- what is known of a row ------------------------------------------------------------------------------------------ */

bool q_xrow_exists(const q_xrow *r)
{
    if (r->touched)
        return r->alive;
    if (r->read_parts & Q_EN_BIT(Q_EN_POSTGRES))
        return r->live_parts & Q_EN_BIT(Q_EN_POSTGRES);
    /* Only passed through: whoever has a part in any engine exists, for a delete takes all parts and its locks waited for all. */
    return r->live_parts != 0 || r->was == Q_WAS_PRESENT;
}

static const q_value NOTHING = { .type = Q_T_NULL };

const q_value *q_xrow_get(const q_xrow *r, const q_attr *a)
{
    if (a->index == 0)
        return &r->id;
    if (!q_attrset_has(&r->loaded, a->index) && !q_attrset_has(&r->dirty, a->index))
        return &NOTHING;
    if (a->kind == Q_K_METRIC && !r->new_life && !q_attrset_has(&r->dirty, a->index) && r->metric_birth != r->birth)
        return &NOTHING; /* points of a life that has ended */
    return &r->values[r->type->slot[a->index]];
}

bool q_xrow_fill(q_xrow *r, const q_attr *a, const q_value *v)
{
    q_pagemem *mem = r->lasting ? r->type->lasting.mem : r->type->page.mem;
    if (r->touched && (r->new_life || !r->alive))
        return true;
    q_value *to = q_xrow_value(r, a);
    if (q_attrset_has(&r->dirty, a->index)) {
        bool newer = a->kind == Q_K_METRIC && v->type != Q_T_NULL && r->metric_birth == r->birth && v->at_us > to->at_us;
        q_attrset_add(&r->loaded, a->index);
        return !newer || q_pagemem_copy(mem, v, to); /* of the same time, the transaction's own is the later one */
    }
    q_attrset_add(&r->loaded, a->index);
    return q_pagemem_copy(mem, v, to);
}

/* ---- writes ---------------------------------------------------------------------------------------------------------- */

bool q_overlay_touch(q_arena *arena, q_xrow *r, uint32_t statement)
{
    q_xtype *t = r->type;
    assert(r->lasting);
    r->statement = statement;
    if (r->touched)
        return true;
    if (t->touched_count == t->touched_cap) {
        uint32_t cap = t->touched_cap ? t->touched_cap * 2 : 4;
        q_xrow **rows = q_arena_alloc(arena, cap * sizeof(q_xrow *));
        if (!rows)
            return false;
        if (t->touched_count)
            memcpy(rows, t->touched, t->touched_count * sizeof(q_xrow *));
        t->touched = rows;
        t->touched_cap = cap;
    }
    t->touched[t->touched_count++] = r;
    r->alive = r->was == Q_WAS_PRESENT;
    r->touched = true;
    return true;
}

bool q_overlay_insert(q_arena *arena, q_xrow *r, uint32_t statement)
{
    if (!q_overlay_touch(arena, r, statement))
        return false;
    assert(!r->alive);
    r->alive = r->new_life = true;
    r->insert_statement = statement;
    r->loaded = r->type->used;
    r->dirty = (q_attrset){ { 0 } };
    r->samples = NULL;
    for (uint32_t i = 0; i < r->type->slots; i++)
        r->values[i] = Q_NULL;
    return true;
}

bool q_overlay_delete(q_arena *arena, q_xrow *r, uint32_t statement)
{
    if (!q_overlay_touch(arena, r, statement))
        return false;
    r->alive = r->new_life = false;
    r->dirty = (q_attrset){ { 0 } };
    r->samples = NULL;
    return true;
}

static bool add_sample(q_arena *arena, q_xrow *r, const q_attr *a, const q_value *v)
{
    for (q_xsample *s = r->samples; s; s = s->next)
        if (s->attr == a && s->value.at_us == v->at_us) {
            s->value = *v; /* one point per time: the later statement's */
            return true;
        }
    q_xsample *s = Q_NEW(arena, q_xsample);
    if (!s)
        return false;
    s->attr = a;
    s->value = *v;
    if (!r->samples)
        r->samples_end = &r->samples;
    *r->samples_end = s;
    r->samples_end = &s->next;
    return true;
}

bool q_overlay_set(q_arena *arena, q_xrow *r, const q_attr *a, const q_value *v)
{
    assert(r->touched && r->alive && a->index > 0);
    q_value *to = q_xrow_value(r, a);
    if (a->kind != Q_K_METRIC) {
        q_attrset_add(&r->dirty, a->index);
        *to = *v;
        return true;
    }
    if (v->type == Q_T_NULL)
        return true;
    if (!add_sample(arena, r, a, v))
        return false;
    bool known = q_attrset_has(&r->loaded, a->index) || q_attrset_has(&r->dirty, a->index);
    const q_value *old = known ? q_xrow_get(r, a) : &NOTHING;
    if (old->type == Q_T_NULL || old->at_us <= v->at_us)
        *to = *v;
    q_attrset_add(&r->dirty, a->index);
    return true;
}
