/* catalog.c - snapshots: who shares what, how to find it, and the snapshot after a DDL.
 *
 *   q_catalog (refs) -> bucket_node (refs), sorted by name -> record_node (refs), sorted by name
 *
 * A change copies the catalog's array of pointers and the one bucket's, and shares every other node. */
#include <assert.h>
#include <stdlib.h>

#include "schemas/snapshot.h"

typedef struct record_node {
    q_record pub; /* first: a const q_record * of ours is a record_node * */
    uint32_t refs;
} record_node;

typedef struct bucket_node {
    q_bucket pub;
    uint32_t refs, cap;
    const q_record **records; /* pub.records */
    char name[Q_MAX_NAME_BYTES];
} bucket_node;

struct q_catalog {
    uint32_t refs, count, cap;
    bucket_node **buckets;
};

/* ---- nodes ----------------------------------------------------------------------------------------------------------- */

static record_node *record_of(const q_record *r) { return (record_node *)(uintptr_t)r; }

static void record_unref(const q_record *r)
{
    record_node *n = record_of(r);
    if (--n->refs == 0)
        free(n);
}

static void bucket_unref(bucket_node *b)
{
    if (--b->refs)
        return;
    for (uint32_t i = 0; i < b->pub.count; i++)
        record_unref(b->records[i]);
    q_access_unref(b->pub.access);
    free(b->records);
    free(b);
}

static q_slice put_text(char **at, q_slice s)
{
    char *p = *at;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    *at += s.len;
    return q_slice_of(p, s.len);
}

static void sort_by_name(const q_attr *attrs, uint32_t count, uint8_t *by_name)
{
    for (uint32_t i = 0; i < count; i++) { /* insertion: at most 200, once for a definition */
        uint32_t j = i;
        for (; j > 0 && q_slice_cmp(attrs[by_name[j - 1]].name, attrs[i].name) > 0; j--)
            by_name[j] = by_name[j - 1];
        by_name[j] = (uint8_t)i;
    }
}

/* One block: the node, the attributes, their order by name, all texts. */
static const q_record *record_new(const q_record *head, const q_definition *d)
{
    size_t text = head->bucket.len + head->name.len;
    for (uint32_t i = 0; i < d->count; i++)
        text += d->attrs[i].name.len + d->attrs[i].target.len + d->attrs[i].unit.len;
    record_node *n = malloc(sizeof *n + d->count * sizeof(q_attr) + d->count + text);
    if (!n)
        return NULL;
    q_attr *attrs = (q_attr *)(n + 1);
    uint8_t *by_name = (uint8_t *)(attrs + d->count);
    char *at = (char *)(by_name + d->count);
    n->refs = 1;
    n->pub = *head;
    n->pub.bucket = put_text(&at, head->bucket);
    n->pub.name = put_text(&at, head->name);
    n->pub.count = d->count;
    n->pub.attrs = attrs;
    n->pub.by_name = by_name;
    n->pub.engines = Q_EN_BIT(Q_EN_POSTGRES);
    for (uint32_t i = 0; i < d->count; i++) {
        attrs[i] = d->attrs[i];
        attrs[i].name = put_text(&at, d->attrs[i].name);
        attrs[i].target = put_text(&at, d->attrs[i].target);
        attrs[i].unit = put_text(&at, d->attrs[i].unit);
        n->pub.engines |= Q_EN_BIT(q_kind_engine(attrs[i].kind));
    }
    sort_by_name(attrs, d->count, by_name);
    return &n->pub;
}

static bucket_node *bucket_new(q_slice name, uint64_t incarnation)
{
    bucket_node *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    assert(name.len <= sizeof b->name);
    memcpy(b->name, name.ptr, name.len);
    b->refs = 1;
    b->pub.name = q_slice_of(b->name, name.len);
    b->pub.incarnation = incarnation;
    return b;
}

/* ---- lookups --------------------------------------------------------------------------------------------------------- */

/* Where `name` is or belongs among `count` names; *found tells which. */
#define SEARCH(count_, name_at, wanted, position, found)                 \
    do {                                                                 \
        uint32_t low_ = 0, high_ = (count_);                             \
        *(found) = false;                                                \
        while (low_ < high_) {                                           \
            uint32_t mid = low_ + (high_ - low_) / 2;                    \
            int c_ = q_slice_cmp((name_at), (wanted));                   \
            if (c_ == 0) {                                               \
                *(found) = true;                                         \
                low_ = high_ = mid;                                      \
            } else if (c_ < 0) {                                         \
                low_ = mid + 1;                                          \
            } else {                                                     \
                high_ = mid;                                             \
            }                                                            \
        }                                                                \
        (position) = low_;                                               \
    } while (0)

static uint32_t find_bucket(const q_catalog *c, q_slice name, bool *found)
{
    uint32_t at;
    SEARCH(c->count, c->buckets[mid]->pub.name, name, at, found);
    return at;
}

static uint32_t find_record(const q_bucket *b, q_slice name, bool *found)
{
    uint32_t at;
    SEARCH(b->count, b->records[mid]->name, name, at, found);
    return at;
}

const q_bucket *q_catalog_bucket(const q_catalog *c, q_slice name)
{
    bool found;
    uint32_t at = find_bucket(c, name, &found);
    return found ? &c->buckets[at]->pub : NULL;
}

const q_record *q_bucket_record(const q_bucket *b, q_slice record)
{
    bool found;
    uint32_t at = find_record(b, record, &found);
    return found ? b->records[at] : NULL;
}

const q_record *q_catalog_record(const q_catalog *c, q_slice bucket, q_slice record)
{
    const q_bucket *b = q_catalog_bucket(c, bucket);
    return b ? q_bucket_record(b, record) : NULL;
}

const q_attr *q_record_attr(const q_record *r, q_slice name)
{
    enum { FEW = 8 };
    if (!r->by_name || r->count <= FEW) {
        for (uint32_t i = 0; i < r->count; i++)
            if (q_slice_eq(r->attrs[i].name, name))
                return &r->attrs[i];
        return NULL;
    }
    bool found;
    uint32_t at;
    SEARCH(r->count, r->attrs[r->by_name[mid]].name, name, at, &found);
    return found ? &r->attrs[r->by_name[at]] : NULL;
}

size_t q_catalog_count(const q_catalog *c) { return c->count; }
const q_bucket *q_catalog_at(const q_catalog *c, size_t i) { return &c->buckets[i]->pub; }

q_slice q_catalog_suggest_bucket(const q_catalog *c, q_slice name)
{
    q_suggestion s = { 0 };
    for (uint32_t i = 0; i < c->count; i++)
        q_suggest_consider(&s, name, c->buckets[i]->pub.name);
    return s.name;
}

q_slice q_bucket_suggest_record(const q_bucket *b, q_slice name)
{
    q_suggestion s = { 0 };
    for (uint32_t i = 0; i < b->count; i++)
        q_suggest_consider(&s, name, b->records[i]->name);
    return s.name;
}

q_slice q_record_suggest_attr(const q_record *r, q_slice name)
{
    q_suggestion s = { 0 };
    for (uint32_t i = 0; i < r->count; i++)
        q_suggest_consider(&s, name, r->attrs[i].name);
    return s.name;
}

/* ---- references and copies ------------------------------------------------------------------------------------------- */

q_catalog *q_catalog_new(void)
{
    q_catalog *c = calloc(1, sizeof *c);
    if (c)
        c->refs = 1;
    return c;
}

q_catalog *q_catalog_ref(q_catalog *c)
{
    c->refs++;
    return c;
}

void q_catalog_unref(q_catalog *c)
{
    if (!c || --c->refs)
        return;
    for (uint32_t i = 0; i < c->count; i++)
        bucket_unref(c->buckets[i]);
    free(c->buckets);
    free(c);
}

/* Room for one more pointer; false when out of memory. */
static bool reserve_one(void ***items, uint32_t count, uint32_t *cap)
{
    if (count < *cap)
        return true;
    uint32_t more = *cap ? *cap * 2 : 4;
    void **p = realloc(*items, more * sizeof *p);
    if (!p)
        return false;
    *items = p;
    *cap = more;
    return true;
}

q_catalog *q_snapshot_copy(const q_catalog *c)
{
    q_catalog *copy = q_catalog_new();
    if (!copy)
        return NULL;
    copy->cap = c->count + 1;
    copy->buckets = malloc(copy->cap * sizeof(bucket_node *));
    if (!copy->buckets) {
        free(copy);
        return NULL;
    }
    copy->count = c->count;
    for (uint32_t i = 0; i < c->count; i++) {
        copy->buckets[i] = c->buckets[i];
        copy->buckets[i]->refs++;
    }
    return copy;
}

bool q_snapshot_shared(const q_catalog *c) { return c->refs > 1; }

/* The bucket at `at`, ours alone. */
static bucket_node *own_bucket(q_catalog *c, uint32_t at)
{
    bucket_node *old = c->buckets[at];
    if (old->refs == 1)
        return old;
    bucket_node *b = bucket_new(old->pub.name, old->pub.incarnation);
    if (!b)
        return NULL;
    b->cap = old->pub.count + 1;
    b->records = malloc(b->cap * sizeof(q_record *));
    if (!b->records) {
        free(b);
        return NULL;
    }
    for (uint32_t i = 0; i < old->pub.count; i++) {
        b->records[i] = old->records[i];
        record_of(b->records[i])->refs++;
    }
    b->pub.count = old->pub.count;
    b->pub.records = b->records;
    b->pub.access = q_access_ref(old->pub.access);
    bucket_unref(old);
    c->buckets[at] = b;
    return b;
}

bool q_snapshot_put_bucket(q_catalog *c, q_slice name, uint64_t incarnation)
{
    bool found;
    uint32_t at = find_bucket(c, name, &found);
    if (found && c->buckets[at]->pub.incarnation == incarnation)
        return true;
    bucket_node *b = bucket_new(name, incarnation);
    if (!b)
        return false;
    if (found) {
        bucket_unref(c->buckets[at]);
    } else {
        if (!reserve_one((void ***)&c->buckets, c->count, &c->cap)) {
            free(b);
            return false;
        }
        memmove(&c->buckets[at + 1], &c->buckets[at], (c->count - at) * sizeof *c->buckets);
        c->count++;
    }
    c->buckets[at] = b;
    return true;
}

void q_snapshot_remove_bucket(q_catalog *c, q_slice name)
{
    bool found;
    uint32_t at = find_bucket(c, name, &found);
    assert(found);
    bucket_unref(c->buckets[at]);
    memmove(&c->buckets[at], &c->buckets[at + 1], (c->count - at - 1) * sizeof *c->buckets);
    c->count--;
}

bool q_snapshot_put_record(q_catalog *c, const q_record *head, const q_definition *d)
{
    bool found;
    uint32_t bucket_at = find_bucket(c, head->bucket, &found);
    assert(found);
    bucket_node *b = own_bucket(c, bucket_at);
    const q_record *r = b ? record_new(head, d) : NULL;
    if (!r)
        return false;
    uint32_t at = find_record(&b->pub, head->name, &found);
    if (found) {
        record_unref(b->records[at]);
    } else {
        if (!reserve_one((void ***)&b->records, b->pub.count, &b->cap)) {
            record_unref(r);
            return false;
        }
        memmove(&b->records[at + 1], &b->records[at], (b->pub.count - at) * sizeof *b->records);
        b->pub.count++;
    }
    b->records[at] = r;
    b->pub.records = b->records;
    return true;
}

bool q_snapshot_remove_record(q_catalog *c, q_slice bucket, q_slice record)
{
    bool found;
    uint32_t bucket_at = find_bucket(c, bucket, &found);
    assert(found);
    bucket_node *b = own_bucket(c, bucket_at);
    if (!b)
        return false;
    uint32_t at = find_record(&b->pub, record, &found);
    assert(found);
    record_unref(b->records[at]);
    memmove(&b->records[at], &b->records[at + 1], (b->pub.count - at - 1) * sizeof *b->records);
    b->pub.count--;
    return true;
}

bool q_snapshot_put_access(q_catalog *c, q_slice bucket, q_acl *access)
{
    bool found;
    uint32_t at = find_bucket(c, bucket, &found);
    assert(found);
    bucket_node *b = own_bucket(c, at);
    if (!b)
        return false;
    q_access_unref(b->pub.access);
    b->pub.access = access;
    return true;
}
