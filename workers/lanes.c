#include "workers/lanes.h"
#include "workers/stuck.h"

#include <assert.h>
#include <stdlib.h>

/* ---- memory ---- */

q_arena *q_spares_take(q_spares *s)
{
    if (s->count)
        return s->items[--s->count];
    /* A message of the greatest size decodes to several times its bytes. */
    return q_arena_new((size_t)512 << 20);
}

void q_spares_give(q_spares *s, q_arena *a)
{
    if (!a)
        return;
    if (s->count == sizeof s->items / sizeof s->items[0]) {
        q_arena_free(a);
        return;
    }
    q_arena_reset(a);
    s->items[s->count++] = a;
}

void q_spares_free(q_spares *s)
{
    while (s->count)
        q_arena_free(s->items[--s->count]);
}

void q_entry_drop(q_entry *e, q_spares *spares)
{
    if (!e->queued && e->in_jobs == 0)
        q_spares_give(spares, e->arena);
}

/* ---- queues ---- */

static uint32_t reads_of(const q_entry *e) { return e->msg.kind == Q_M_READ ? e->msg.count - e->taken : 0; }

void q_queue_push(q_queue *q, q_entry *e)
{
    e->next = NULL;
    e->queued = true;
    if (q->last)
        q->last->next = e;
    else
        q->first = e;
    q->last = e;
    q->count++;
    q->bytes += e->bytes;
    q->reads += reads_of(e);
}

q_entry *q_queue_pop(q_queue *q)
{
    q_entry *e = q->first;
    if (!e)
        return NULL;
    q->first = e->next;
    if (!q->first)
        q->last = NULL;
    assert(q->count > 0 && q->bytes >= e->bytes);
    q->count--;
    q->bytes -= e->bytes;
    q->reads -= reads_of(e);
    e->next = NULL;
    e->queued = false;
    return e;
}

void q_queue_clear(q_queue *q, q_spares *spares)
{
    for (q_entry *e = q_queue_pop(q); e; e = q_queue_pop(q))
        q_entry_drop(e, spares);
}

static int seq_order(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

void q_queue_without(q_queue *q, q_spares *spares, const uint64_t *seqs, uint32_t n)
{
    q_queue kept = { 0 };
    for (q_entry *e = q_queue_pop(q); e; e = q_queue_pop(q)) {
        q_txn_work *txns = Q_NEW_ARRAY(e->arena, q_txn_work, e->msg.count);
        uint32_t left = 0;
        for (uint32_t i = 0; txns && i < e->msg.count; i++)
            if (!bsearch(&e->msg.txns[i].seq, seqs, n, sizeof *seqs, seq_order))
                txns[left++] = e->msg.txns[i];
        if (txns && left < e->msg.count) {
            e->msg.txns = txns;
            e->msg.count = left;
        }
        if (e->msg.count)
            q_queue_push(&kept, e);
        else
            q_entry_drop(e, spares);
    }
    *q = kept;
}

/* ---- what was aborted ---- */

static uint32_t slot_of(uint64_t seq) { return (uint32_t)((seq * 0x9E3779B97F4A7C15u) >> 40) & (4 * Q_ABORTED_MAX - 1); }

bool q_aborted_has(const q_aborted *a, uint64_t seq)
{
    for (uint32_t i = slot_of(seq); a->slots[i]; i = (i + 1) & (4 * Q_ABORTED_MAX - 1))
        if (a->slots[i] == seq)
            return true;
    return false;
}

/* Linear probing with backward shifts; Knuth, TAOCP vol. 3, 6.4, algorithm R. */
static void aborted_remove(q_aborted *a, uint64_t seq)
{
    uint32_t mask = 4 * Q_ABORTED_MAX - 1, i = slot_of(seq);
    while (a->slots[i] && a->slots[i] != seq)
        i = (i + 1) & mask;
    if (!a->slots[i])
        return;
    for (uint32_t j = (i + 1) & mask; a->slots[j]; j = (j + 1) & mask) {
        uint32_t home = slot_of(a->slots[j]);
        if (((j - home) & mask) >= ((j - i) & mask)) {
            a->slots[i] = a->slots[j];
            i = j;
        }
    }
    a->slots[i] = 0;
}

void q_aborted_add(q_aborted *a, uint64_t seq)
{
    if (seq == 0 || q_aborted_has(a, seq))
        return;
    if (a->ring[a->next])
        aborted_remove(a, a->ring[a->next]);
    a->ring[a->next] = seq;
    a->next = (a->next + 1) % Q_ABORTED_MAX;
    uint32_t i = slot_of(seq);
    while (a->slots[i])
        i = (i + 1) & (4 * Q_ABORTED_MAX - 1);
    a->slots[i] = seq;
}

/* ---- jobs ---- */

q_box *q_box_new(q_spares *spares, q_job_kind kind, q_lane lane, uint64_t epoch)
{
    q_arena *own = q_spares_take(spares), *results = own ? q_spares_take(spares) : NULL;
    q_box *b = results ? Q_NEW(own, q_box) : NULL;
    if (!b) {
        q_spares_give(spares, own);
        q_spares_give(spares, results);
        return NULL;
    }
    b->arena = own;
    b->pub = (q_job){ .kind = kind, .lane = lane, .epoch = epoch, .arena = results, .err = Q_ERR_INIT };
    return b;
}

void q_box_free(q_box *b, q_spares *spares)
{
    if (!b)
        return;
    if (b->link) {
        *b->link = b->next;
        if (b->next)
            b->next->link = b->link;
    }
    for (uint32_t i = 0; i < b->entry_count; i++) {
        b->entries[i]->in_jobs--;
        q_entry_drop(b->entries[i], spares);
    }
    q_spares_give(spares, b->pub.arena);
    q_spares_give(spares, b->arena);
}

static int unit_cmp(const void *x, const void *y)
{
    const q_unit *a = x, *b = y;
    int c = q_slice_cmp(a->bucket, b->bucket);
    return c ? c : (a->work.seq > b->work.seq) - (a->work.seq < b->work.seq);
}

/* By bucket, so that one message answers each, then by seq: that is conflict order (B1), so a redo that arrived in another order is applied
 * in the right one. A duplicate of what waits beside it goes. */
static uint32_t sort_units(q_unit *units, uint32_t n)
{
    bool sorted = true;
    for (uint32_t i = 1; i < n && sorted; i++)
        sorted = unit_cmp(&units[i - 1], &units[i]) < 0;
    if (sorted)
        return n;
    qsort(units, n, sizeof *units, unit_cmp);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < n; i++)
        if (unit_cmp(&units[kept - 1], &units[i]) != 0)
            units[kept++] = units[i];
    return kept;
}

/* How many waiting messages fit one job, at least one. */
static uint32_t fitting(const q_queue *q, uint32_t *items)
{
    uint32_t messages = 0;
    size_t bytes = 0;
    *items = 0;
    for (const q_entry *e = q->first; e; e = e->next) {
        if (messages && (*items + e->msg.count > Q_JOB_MAX_TXNS || bytes + e->bytes > Q_JOB_MAX_BYTES))
            break;
        messages++;
        *items += e->msg.count;
        bytes += e->bytes;
    }
    return messages;
}

static void take_entries(q_box *b, q_queue *q, uint32_t messages)
{
    for (uint32_t i = 0; i < messages; i++) {
        q_entry *e = q_queue_pop(q);
        e->in_jobs++;
        b->entries[b->entry_count++] = e;
        if (e->msg.below > b->pub.below)
            b->pub.below = e->msg.below;
    }
}

q_box *q_box_of_txns(q_spares *spares, q_queue *q, q_job_kind kind, uint64_t epoch, const q_aborted *aborted)
{
    if (!q->first)
        return NULL;
    uint32_t items, messages = fitting(q, &items);
    q_box *b = q_box_new(spares, kind, kind == Q_J_PREPARE ? Q_LANE_PREPARE : Q_LANE_DECIDE, epoch);
    if (!b)
        return NULL;
    b->entries = Q_NEW_ARRAY(b->arena, q_entry *, messages);
    b->units = q_arena_alloc(b->arena, sizeof(q_unit) * (items + 1));
    b->works = q_arena_alloc(b->arena, sizeof(q_txn_work) * (items + 1));
    if (!b->entries || !b->units || !b->works) {
        q_box_free(b, spares);
        return NULL;
    }
    take_entries(b, q, messages);
    uint32_t n = 0;
    for (uint32_t i = 0; i < messages; i++) {
        const q_msg *m = &b->entries[i]->msg;
        for (uint32_t j = 0; j < m->count; j++)
            if (!aborted || !q_aborted_has(aborted, m->txns[j].seq))
                b->units[n++] = (q_unit){ m->txns[j], m->bucket };
    }
    b->unit_count = n ? sort_units(b->units, n) : 0;
    for (uint32_t i = 0; i < b->unit_count; i++)
        b->works[i] = b->units[i].work;
    b->window = b->unit_count;
    return b;
}

q_box *q_box_of_seqs(q_spares *spares, q_queue *q, uint64_t epoch)
{
    if (!q->first)
        return NULL;
    uint32_t items, messages = fitting(q, &items);
    q_box *b = q_box_new(spares, Q_J_ROLLBACK, Q_LANE_DECIDE, epoch);
    if (!b)
        return NULL;
    b->entries = Q_NEW_ARRAY(b->arena, q_entry *, messages);
    uint64_t *seqs = q_arena_alloc(b->arena, sizeof *seqs * (items + 1));
    if (!b->entries || !seqs) {
        q_box_free(b, spares);
        return NULL;
    }
    take_entries(b, q, messages);
    uint32_t n = 0;
    for (uint32_t i = 0; i < messages; i++)
        for (uint32_t j = 0; j < b->entries[i]->msg.count; j++)
            seqs[n++] = b->entries[i]->msg.seqs[j];
    b->pub.seqs = seqs;
    b->pub.count = n;
    return b;
}

q_box *q_box_of_stuck(q_spares *spares, q_stuck_txn *t, uint64_t epoch)
{
    q_box *b = q_box_new(spares, Q_J_COMMIT, Q_LANE_DECIDE, epoch);
    if (!b)
        return NULL;
    b->stuck = Q_NEW_ARRAY(b->arena, q_stuck_txn *, Q_STUCK_MAX);
    uint32_t n = b->stuck ? q_stuck_group(t, b->stuck, t->tries % 2 == 0 ? Q_STUCK_MAX : 1) : 0;
    b->units = Q_NEW_ARRAY(b->arena, q_unit, n);
    b->works = Q_NEW_ARRAY(b->arena, q_txn_work, n);
    bool good = n > 0 && b->units && b->works;
    for (uint32_t i = 0; good && i < n; i++) {
        const q_unit *u = &b->stuck[i]->unit;
        b->units[i] = (q_unit){ u->work, q_arena_copy(b->arena, u->bucket) };
        b->units[i].work.writes = q_arena_copy(b->arena, u->work.writes);
        b->works[i] = b->units[i].work;
        good = b->units[i].bucket.ptr && b->works[i].writes.ptr;
    }
    if (!good) {
        q_box_free(b, spares);
        return NULL;
    }
    b->unit_count = b->window = b->stuck_count = n;
    t->tries++;
    return b;
}

/* Point reads that stand first in the queue, up to the bounds of a job; or the one other read. */
static uint32_t point_reads(const q_queue *q, uint32_t *messages)
{
    uint32_t n = 0, ids = 0;
    *messages = 0;
    for (const q_entry *e = q->first; e; e = e->next) {
        ++*messages;
        for (uint32_t i = e->taken; i < e->msg.count; i++) {
            const q_read *r = &e->msg.reads[i];
            if (n && (r->kind != Q_R_IDS || n == Q_JOB_MAX_READS || ids + r->id_count > Q_JOB_MAX_IDS))
                return n;
            n++;
            ids += r->id_count;
            if (r->kind != Q_R_IDS)
                return n;
        }
    }
    return n;
}

q_box *q_box_of_reads(q_spares *spares, q_queue *q, uint64_t epoch)
{
    if (!q->first)
        return NULL;
    uint32_t messages, n = point_reads(q, &messages);
    q_box *b = q_box_new(spares, Q_J_READ, Q_LANE_READ, epoch);
    if (!b)
        return NULL;
    b->entries = Q_NEW_ARRAY(b->arena, q_entry *, messages);
    q_read *reads = q_arena_alloc(b->arena, sizeof *reads * (n + 1));
    q_slice *buckets = q_arena_alloc(b->arena, sizeof *buckets * (n + 1));
    if (!b->entries || !reads || !buckets) {
        q_box_free(b, spares);
        return NULL;
    }
    uint32_t at = 0;
    for (uint32_t m = 0; m < messages; m++) {
        q_entry *e = q->first;
        e->in_jobs++;
        b->entries[b->entry_count++] = e;
        while (at < n && e->taken < e->msg.count) {
            buckets[at] = e->msg.bucket;
            reads[at++] = e->msg.reads[e->taken++];
            q->reads--;
        }
        if (e->taken == e->msg.count)
            q_queue_pop(q);
    }
    b->pub.reads = reads;
    b->pub.count = n;
    b->read_buckets = buckets;
    return b;
}
