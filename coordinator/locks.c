#include "coordinator/locks.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

/* A set of (engine, mode) pairs is 32 bits: a byte per engine, a bit per mode. What a resource's holders hold and what its waiters want
 * are two such sets, kept beside the counts that make them, so that the common question "does this request conflict with anyone?" is
 * one AND, however many hold the lock: an intention lock on a hot record type costs the same with 10,000 holders as with none. */
typedef uint32_t modeset;

enum { ENGINES = Q_EN_COUNT, ALL_ENGINES = (1 << ENGINES) - 1, SLAB = 256, FIRST_BUCKETS = 1 << 10, CLASSES = 4 };
_Static_assert(ENGINES * 8 <= 32 && Q_LM_COUNT <= 8, "a modeset has a byte per engine and a bit per mode");

typedef struct lock lock;
typedef struct owner owner;

typedef struct resource {
    struct resource *chain;
    uint64_t hash;
    modeset held, wanted;                    /* modes of holders and of waiters whose count isn't 0 */
    uint32_t holding[ENGINES][Q_LM_COUNT];
    uint32_t waiting[ENGINES][Q_LM_COUNT];
    lock *first, *last;                      /* all, in the order in which they were enqueued */
    lock *first_waiter, *last_waiter;        /* the waiting ones, likewise */
    uint32_t key_len;
    uint8_t class;                           /* which freelist; CLASSES: its own malloc */
    char key[];
} resource;

struct lock {
    lock *of_owner;            /* the owner's next */
    owner *owner;
    resource *resource;
    lock *prev, *next;         /* in resource->first … */
    lock *prev_waiter, *next_waiter;
    uint8_t mode, engines;
    bool granted;
};

struct owner {
    owner *chain;
    uint64_t txn;
    uint64_t arrival;          /* the order of enqueueing */
    lock *locks, *last;
    uint32_t missing;          /* locks not granted yet */
};

typedef struct slab { struct slab *next; } slab;
typedef struct free_item { struct free_item *next; } free_item;

struct q_locks {
    resource **resources;
    size_t resource_buckets, resource_count;
    owner **owners;
    size_t owner_buckets, owner_count;
    free_item *free_locks, *free_owners, *free_resources[CLASSES];
    slab *slabs;
    uint64_t arrivals;
    uint32_t waiters, max_waiters;
    owner **woken;             /* by the release under way; afterwards the order of grants */
    size_t woken_count, woken_cap;
    uint64_t *granted;
    size_t granted_head, granted_count, granted_cap;
    uint64_t bytes;
};

static const uint32_t key_room[CLASSES] = { 48, 96, 192, 384 };

/* ---- modes ---- */

#define BIT(m) (1u << (m))
static const uint8_t incompatible[Q_LM_COUNT] = {
    [Q_LM_IS] = BIT(Q_LM_X),
    [Q_LM_IX] = BIT(Q_LM_S) | BIT(Q_LM_SIX) | BIT(Q_LM_X),
    [Q_LM_S] = BIT(Q_LM_IX) | BIT(Q_LM_SIX) | BIT(Q_LM_X),
    [Q_LM_SIX] = BIT(Q_LM_IX) | BIT(Q_LM_S) | BIT(Q_LM_SIX) | BIT(Q_LM_X),
    [Q_LM_X] = BIT(Q_LM_IS) | BIT(Q_LM_IX) | BIT(Q_LM_S) | BIT(Q_LM_SIX) | BIT(Q_LM_X),
};

bool q_locks_compatible(q_lock_mode held, q_lock_mode wanted) { return !(incompatible[held] & BIT(wanted)); }

q_lock_mode q_locks_join(q_lock_mode a, q_lock_mode b)
{
    /* The lattice IS < IX, S < SIX < X: IX and S meet in SIX. */
    if (a == b)
        return a;
    q_lock_mode low = a < b ? a : b, high = a < b ? b : a;
    return low == Q_LM_IX && high == Q_LM_S ? Q_LM_SIX : high;
}

/* The byte `modes` under each engine of the mask. */
static inline modeset spread(uint32_t engines, uint32_t modes)
{
    modeset s = 0;
    for (uint32_t e = 0; e < ENGINES; e++)
        s |= (engines >> e & 1) ? modes << (8 * e) : 0;
    return s;
}

static inline modeset conflicts_of(const lock *l) { return spread(l->engines, incompatible[l->mode]); }
static inline modeset modes_of(const lock *l) { return spread(l->engines, BIT(l->mode)); }

/* All that would have to wait because of `present`. */
static modeset blocked_by(modeset present)
{
    modeset blocked = 0;
    for (uint32_t e = 0; e < ENGINES; e++)
        for (uint32_t m = 0; m < Q_LM_COUNT; m++)
            if (present >> (8 * e) & BIT(m))
                blocked |= (modeset)incompatible[m] << (8 * e);
    return blocked;
}

/* ---- memory: slabs of equal pieces, given back to a freelist and never to the system before the end ---- */

static void *take(q_locks *l, free_item **list, size_t size)
{
    if (!*list) {
        slab *s = malloc(sizeof(slab) + SLAB * size);
        if (!s)
            return NULL;
        s->next = l->slabs;
        l->slabs = s;
        l->bytes += sizeof(slab) + SLAB * size;
        char *p = (char *)(s + 1);
        for (size_t i = SLAB; i-- > 0;) {
            free_item *f = (free_item *)(void *)(p + i * size);
            f->next = *list;
            *list = f;
        }
    }
    free_item *f = *list;
    *list = f->next;
    return f;
}

static void give(free_item **list, void *p)
{
    free_item *f = p;
    f->next = *list;
    *list = f;
}

static size_t room_of(uint8_t class) { return (sizeof(resource) + key_room[class] + 15) & ~(size_t)15; }

static resource *resource_alloc(q_locks *l, size_t key_len)
{
    uint8_t class = 0;
    while (class < CLASSES && key_len > key_room[class])
        class++;
    size_t size = class < CLASSES ? room_of(class) : sizeof(resource) + key_len;
    resource *r = class < CLASSES ? take(l, &l->free_resources[class], size) : malloc(size);
    if (r) {
        memset(r, 0, sizeof *r);
        r->class = class;
        if (class == CLASSES)
            l->bytes += size;
    }
    return r;
}

static void resource_free(q_locks *l, resource *r)
{
    if (r->class < CLASSES) {
        give(&l->free_resources[r->class], r);
    } else {
        l->bytes -= sizeof(resource) + r->key_len;
        free(r);
    }
}

/* ---- tables ---- */

static size_t owner_bucket(const q_locks *l, uint64_t txn) { return (size_t)((txn * 0x9E3779B97F4A7C15ull) >> 20) & (l->owner_buckets - 1); }

static void grow_owners(q_locks *l)
{
    size_t n = l->owner_buckets * 2;
    owner **table = calloc(n, sizeof *table);
    if (!table)
        return; /* longer chains, nothing worse */
    owner **old = l->owners;
    size_t old_n = l->owner_buckets;
    l->owners = table;
    l->owner_buckets = n;
    for (size_t i = 0; i < old_n; i++)
        for (owner *o = old[i], *next; o; o = next) {
            next = o->chain;
            size_t b = owner_bucket(l, o->txn);
            o->chain = table[b];
            table[b] = o;
        }
    l->bytes += (n - old_n) * sizeof *table;
    free(old);
}

static void grow_resources(q_locks *l)
{
    size_t n = l->resource_buckets * 2;
    resource **table = calloc(n, sizeof *table);
    if (!table)
        return;
    for (size_t i = 0; i < l->resource_buckets; i++)
        for (resource *r = l->resources[i], *next; r; r = next) {
            next = r->chain;
            r->chain = table[r->hash & (n - 1)];
            table[r->hash & (n - 1)] = r;
        }
    l->bytes += (n - l->resource_buckets) * sizeof *table;
    free(l->resources);
    l->resources = table;
    l->resource_buckets = n;
}

static owner *owner_find(const q_locks *l, uint64_t txn)
{
    owner *o = l->owners[owner_bucket(l, txn)];
    while (o && o->txn != txn)
        o = o->chain;
    return o;
}

static owner *owner_add(q_locks *l, uint64_t txn)
{
    if (l->owner_count >= l->owner_buckets)
        grow_owners(l);
    owner *o = take(l, &l->free_owners, sizeof(owner));
    if (!o)
        return NULL;
    size_t b = owner_bucket(l, txn);
    *o = (owner){ .chain = l->owners[b], .txn = txn, .arrival = l->arrivals++ };
    l->owners[b] = o;
    l->owner_count++;
    return o;
}

static void owner_remove(q_locks *l, owner *o)
{
    owner **at = &l->owners[owner_bucket(l, o->txn)];
    while (*at != o)
        at = &(*at)->chain;
    *at = o->chain;
    l->owner_count--;
    give(&l->free_owners, o);
}

static resource *resource_get(q_locks *l, q_slice key)
{
    uint64_t hash = XXH3_64bits(key.ptr, key.len);
    resource *r = l->resources[hash & (l->resource_buckets - 1)];
    while (r && !(r->hash == hash && r->key_len == key.len && memcmp(r->key, key.ptr, key.len) == 0))
        r = r->chain;
    if (r)
        return r;
    if (l->resource_count >= l->resource_buckets)
        grow_resources(l);
    r = resource_alloc(l, key.len);
    if (!r)
        return NULL;
    r->hash = hash;
    r->key_len = (uint32_t)key.len;
    memcpy(r->key, key.ptr, key.len);
    resource **b = &l->resources[hash & (l->resource_buckets - 1)];
    r->chain = *b;
    *b = r;
    l->resource_count++;
    return r;
}

static void resource_remove(q_locks *l, resource *r)
{
    resource **at = &l->resources[r->hash & (l->resource_buckets - 1)];
    while (*at != r)
        at = &(*at)->chain;
    *at = r->chain;
    l->resource_count--;
    resource_free(l, r);
}

/* ---- counting ---- */

static void count_in(uint32_t counts[ENGINES][Q_LM_COUNT], modeset *set, uint32_t engines, uint8_t mode)
{
    for (uint32_t e = 0; e < ENGINES; e++)
        if (engines >> e & 1 && counts[e][mode]++ == 0)
            *set |= BIT(mode) << (8 * e);
}

/* true when a mode is no longer there for some engine: only then can anyone behind it be better off. */
static bool count_out(uint32_t counts[ENGINES][Q_LM_COUNT], modeset *set, uint32_t engines, uint8_t mode)
{
    bool gone = false;
    for (uint32_t e = 0; e < ENGINES; e++)
        if (engines >> e & 1) {
            assert(counts[e][mode] > 0);
            if (--counts[e][mode] == 0) {
                *set &= ~(BIT(mode) << (8 * e));
                gone = true;
            }
        }
    return gone;
}

/* ---- queues ---- */

static void enqueue(resource *r, lock *k)
{
    k->prev = r->last;
    k->next = NULL;
    if (r->last)
        r->last->next = k;
    else
        r->first = k;
    r->last = k;
}

static void dequeue(resource *r, lock *k)
{
    *(k->prev ? &k->prev->next : &r->first) = k->next;
    *(k->next ? &k->next->prev : &r->last) = k->prev;
}

static void enqueue_waiter(resource *r, lock *k)
{
    k->prev_waiter = r->last_waiter;
    k->next_waiter = NULL;
    if (r->last_waiter)
        r->last_waiter->next_waiter = k;
    else
        r->first_waiter = k;
    r->last_waiter = k;
    count_in(r->waiting, &r->wanted, k->engines, k->mode);
}

static void dequeue_waiter(resource *r, lock *k)
{
    *(k->prev_waiter ? &k->prev_waiter->next_waiter : &r->first_waiter) = k->next_waiter;
    *(k->next_waiter ? &k->next_waiter->prev_waiter : &r->last_waiter) = k->prev_waiter;
    (void)count_out(r->waiting, &r->wanted, k->engines, k->mode);
}

static void woken_add(q_locks *l, owner *o)
{
    assert(l->woken_count < l->woken_cap); /* acquire made room for every waiter */
    l->woken[l->woken_count++] = o;
}

/* Grants what no longer conflicts with a holder or with anyone waiting in front of it. */
static void wake(q_locks *l, resource *r)
{
    modeset ahead = 0;
    for (lock *k = r->first_waiter, *next; k; k = next) {
        next = k->next_waiter;
        if (!(r->wanted & ~blocked_by(r->held | ahead)))
            return; /* everyone who still waits wants something that is blocked */
        if ((r->held | ahead) & conflicts_of(k)) {
            ahead |= modes_of(k);
            continue;
        }
        dequeue_waiter(r, k);
        count_in(r->holding, &r->held, k->engines, k->mode);
        k->granted = true;
        assert(k->owner->missing > 0);
        if (--k->owner->missing == 0) {
            l->waiters--;
            woken_add(l, k->owner);
        }
    }
}

/* ---- the public side ---- */

q_locks *q_locks_new(uint32_t max_waiters)
{
    q_locks *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->max_waiters = max_waiters;
    l->resource_buckets = l->owner_buckets = FIRST_BUCKETS;
    l->resources = calloc(l->resource_buckets, sizeof(resource *));
    l->owners = calloc(l->owner_buckets, sizeof(owner *));
    l->bytes = sizeof *l + FIRST_BUCKETS * 2 * sizeof(void *);
    if (!l->resources || !l->owners) {
        q_locks_free(l);
        return NULL;
    }
    return l;
}

void q_locks_free(q_locks *l)
{
    if (!l)
        return;
    for (size_t i = 0; l->resources && i < l->resource_buckets; i++)
        for (resource *r = l->resources[i], *next; r; r = next) {
            next = r->chain;
            if (r->class == CLASSES)
                free(r);
        }
    for (slab *s = l->slabs, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    free(l->resources);
    free(l->owners);
    free(l->woken);
    free(l->granted);
    free(l);
}

static bool reserve_grants(q_locks *l)
{
    size_t need = (size_t)l->waiters + l->woken_count + 1;
    if (need > l->woken_cap) {
        size_t cap = l->woken_cap ? l->woken_cap * 2 : 64;
        owner **woken = realloc(l->woken, cap * sizeof *woken);
        if (!woken)
            return false;
        l->woken = woken;
        l->bytes += (cap - l->woken_cap) * sizeof *woken;
        l->woken_cap = cap;
    }
    need = l->granted_head + l->granted_count + l->waiters + 1;
    if (need > l->granted_cap) {
        if (l->granted_head) {
            memmove(l->granted, l->granted + l->granted_head, l->granted_count * sizeof *l->granted);
            need -= l->granted_head;
            l->granted_head = 0;
        }
        if (need > l->granted_cap) {
            size_t cap = l->granted_cap ? l->granted_cap * 2 : 64;
            uint64_t *granted = realloc(l->granted, cap * sizeof *granted);
            if (!granted)
                return false;
            l->granted = granted;
            l->bytes += (cap - l->granted_cap) * sizeof *granted;
            l->granted_cap = cap;
        }
    }
    return true;
}

static bool add_lock(q_locks *l, owner *o, const q_lock_want *want, bool retake)
{
    resource *r = resource_get(l, want->resource);
    lock *k = r ? take(l, &l->free_locks, sizeof(lock)) : NULL;
    if (!k) {
        if (r && !r->first)
            resource_remove(l, r);
        return false;
    }
    assert(!(r->last && r->last->owner == o)); /* the planner names each resource once: a transaction can't wait for itself */
    *k = (lock){ .owner = o, .resource = r, .mode = (uint8_t)want->mode, .engines = (uint8_t)(want->engines & ALL_ENGINES) };
    *(o->last ? &o->last->of_owner : &o->locks) = k;
    o->last = k;
    enqueue(r, k);
    k->granted = retake || !((r->held | r->wanted) & conflicts_of(k));
    if (k->granted) {
        count_in(r->holding, &r->held, k->engines, k->mode);
    } else {
        enqueue_waiter(r, k);
        o->missing++;
    }
    return true;
}

/* Takes one lock out of its queues; whoever waited for it alone is granted. */
static void drop_lock(q_locks *l, lock *k, bool wake_others)
{
    resource *r = k->resource;
    bool better = true; /* a waiter that leaves betters those right behind it, whatever others of its mode still wait */
    if (k->granted)
        better = count_out(r->holding, &r->held, k->engines, k->mode);
    else
        dequeue_waiter(r, k);
    dequeue(r, k);
    give(&l->free_locks, k);
    if (!r->first)
        resource_remove(l, r);
    else if (better && wake_others && r->first_waiter)
        wake(l, r);
}

/* What was enqueued last goes again: nobody can be behind it, so nobody is granted anything. */
static void undo(q_locks *l, owner *o)
{
    for (lock *k = o->locks, *next; k; k = next) {
        next = k->of_owner;
        drop_lock(l, k, false);
    }
    owner_remove(l, o);
}

static q_rc acquire(q_locks *l, uint64_t txn, const q_lockset *set, bool retake, q_err *err)
{
    assert(!owner_find(l, txn));
    if (set->count > Q_LOCKS_MAX_PER_TXN)
        return q_err_set(err, Q_E_WRITE_TOO_LARGE, "The transaction needs %u locks; %d is the most.", set->count, Q_LOCKS_MAX_PER_TXN);
    owner *o = reserve_grants(l) ? owner_add(l, txn) : NULL;
    if (!o)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for locks.");
    for (uint32_t i = 0; i < set->count; i++)
        if (!add_lock(l, o, &set->wants[i], retake)) {
            undo(l, o);
            return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for locks.");
        }
    if (o->missing == 0)
        return Q_OK;
    if (l->waiters >= l->max_waiters) {
        undo(l, o);
        return q_err_set(err, Q_E_OVERLOADED, "%u transactions wait for locks already.", l->waiters);
    }
    l->waiters++;
    return Q_WAIT;
}

q_rc q_locks_acquire(q_locks *l, uint64_t txn, const q_lockset *set, q_err *err) { return acquire(l, txn, set, false, err); }

q_rc q_locks_retake(q_locks *l, uint64_t txn, const q_lockset *set, q_err *err) { return acquire(l, txn, set, true, err); }

static int by_arrival(const void *a, const void *b)
{
    uint64_t x = (*(owner *const *)a)->arrival, y = (*(owner *const *)b)->arrival;
    return (x > y) - (x < y);
}

static void grant_woken(q_locks *l)
{
    if (l->woken_count > 1)
        qsort(l->woken, l->woken_count, sizeof *l->woken, by_arrival);
    for (size_t i = 0; i < l->woken_count; i++) {
        assert(l->granted_head + l->granted_count < l->granted_cap);
        l->granted[l->granted_head + l->granted_count++] = l->woken[i]->txn;
    }
    l->woken_count = 0;
}

void q_locks_release(q_locks *l, uint64_t txn, uint32_t engines)
{
    owner *o = owner_find(l, txn);
    if (!o)
        return;
    bool all = (engines & ALL_ENGINES) == ALL_ENGINES;
    assert(all || o->missing == 0); /* shares are freed of what is held; only all of it is given up while waiting */
    if (o->missing) {
        l->waiters--;
        o->missing = 0;
    }
    lock **at = &o->locks;
    o->last = NULL;
    for (lock *k; (k = *at);) {
        uint32_t cut = k->engines & engines;
        if (k->engines == cut && (cut || all)) {
            *at = k->of_owner;
            drop_lock(l, k, true);
            continue;
        }
        if (cut) {
            bool better = count_out(k->resource->holding, &k->resource->held, cut, k->mode);
            k->engines = (uint8_t)(k->engines & ~cut);
            if (better && k->resource->first_waiter)
                wake(l, k->resource);
        }
        o->last = k;
        at = &k->of_owner;
    }
    if (!o->locks)
        owner_remove(l, o);
    grant_woken(l);
}

bool q_locks_next_granted(q_locks *l, uint64_t *txn)
{
    if (!l->granted_count)
        return false;
    *txn = l->granted[l->granted_head++];
    if (--l->granted_count == 0)
        l->granted_head = 0;
    return true;
}

bool q_locks_blocker(const q_locks *l, uint64_t txn, uint64_t *blocker, q_slice *what)
{
    const owner *o = owner_find(l, txn);
    for (const lock *k = o ? o->locks : NULL; k; k = k->of_owner) {
        if (k->granted)
            continue;
        for (const lock *e = k->resource->first; e != k; e = e->next)
            if (modes_of(e) & conflicts_of(k)) {
                *blocker = e->owner->txn;
                *what = q_slice_of(k->resource->key, k->resource->key_len);
                return true;
            }
        assert(!"a waiter waits for someone in front of it");
    }
    return false;
}

uint32_t q_locks_waiting(const q_locks *l) { return l->waiters; }

uint64_t q_locks_bytes(const q_locks *l) { return l->bytes; }
