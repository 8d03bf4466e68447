/* recover.c - a life begins where the last one stopped, wherever that was (B8).
 *
 * 1. q_core_load: epoch, reserved seqs, marks, positions, the catalog.
 * 2. q_core_record, in order: each decision is open until a TAIL has both its END and its published mark. All of them make the
 *    table of request ids.
 * 3. q_core_begin: the next epoch and a block of seqs are reserved in a group of their own; the locks of what is decided and not ended are taken
 *    again, together. Nothing leaves before that group is durable.
 * 4. Then: what was never acknowledged is published again, every engine is told the epoch, and as each answers, the redo goes to it.
 * Requests are welcome all the time: they wait for the locks and engines that they need. */
#include "coordinator/state.h"

#include <assert.h>
#include <stdlib.h>

#include "coordinator/resource.h"

/* ---- tables ---- */

static q_rc load_catalog(q_core *c, q_slice value, q_err *err)
{
    q_rc rc = q_catalog_load(&c->catalog, value, err);
    q_catalog_unref(c->catalog_next);
    c->catalog_next = q_catalog_ref(c->catalog);
    return rc;
}

q_rc q_core_load(q_core *c, q_log_table table, q_slice key, q_slice value, q_err *err)
{
    assert(c->life == Q_LIFE_LOADING);
    switch (table) {
    case Q_LT_META:
        return q_core_meta_load(c, key, value, err);
    case Q_LT_POSITION:
        return q_positions_load(c->positions, key, value, err);
    case Q_LT_CATALOG:
        return load_catalog(c, value, err);
    case Q_LT_COUNT:
        break;
    }
    return q_err_set(err, Q_E_INTERNAL, "The log has a table %d.", (int)table);
}

uint64_t q_core_first_lsn(const q_core *c) { return c->first_lsn; }

/* ---- records ---- */

/* Which open transaction has this lsn: the records of one scan, densely. */
static q_txn **by_lsn(q_core *c, uint64_t lsn)
{
    if (c->recovered_base == 0 || lsn < c->recovered_base || lsn - c->recovered_base >= c->recovered.count)
        return NULL;
    return (q_txn **)(void *)&c->recovered.at[lsn - c->recovered_base];
}

static bool remember_lsn(q_core *c, uint64_t lsn, q_txn *t)
{
    _Static_assert(sizeof(q_txn *) == sizeof(uint64_t), "transactions are remembered in a list of 64-bit numbers");
    if (c->recovered_base == 0)
        c->recovered_base = lsn;
    while (c->recovered.count <= lsn - c->recovered_base)
        if (!q_u64s_push(&c->recovered, 0))
            return false;
    *by_lsn(c, lsn) = t;
    return true;
}

static void over(q_core *c, q_txn *t)
{
    if (t->unapplied || !t->published)
        return;
    *by_lsn(c, t->lsn) = NULL;
    q_core_txn_free(c, t);
}

static void adopt(q_core *c, q_txn *t, uint64_t lsn, const q_rec_decision *d, size_t bytes)
{
    t->lsn = lsn;
    t->seq = d->seq;
    t->epoch = d->epoch;
    t->time_us = d->time_us;
    t->committed = d->committed;
    t->record_bytes = (uint32_t)bytes;
    t->bucket_name = d->bucket;
    t->in.request_id = d->request_id;
    t->in.principal = d->principal;
    t->in.reply_topic = d->reply_topic;
    memcpy(t->in.body_hash, d->body_hash, 16);
    memcpy(t->identity, d->identity, 16);
    t->partition = d->partition;
    t->offset = d->offset;
    t->reply = d->reply;
    t->reply_type = d->reply_type;
    t->ddl = d->ddl;
    t->out.event_count = d->event_count;
    t->out.events = d->events;
    if (d->committed) {
        t->out.participants = t->unapplied = d->participants;
        memcpy(t->out.writes, d->redo, sizeof d->redo);
        if (Q_SABOTAGED(c->config.sabotage, Q_SAB_FORGET_REDO))
            t->unapplied = 0;
    }
}

static q_rc decision(q_core *c, q_txn *t, uint64_t lsn, const q_rec_decision *d, size_t bytes, q_err *err)
{
    adopt(c, t, lsn, d, bytes);
    q_core_open_add(c, t);
    if (t->seq && t->unapplied)
        q_core_seq_remember(c, t);
    if (d->committed && d->seq > c->seq_high)
        c->seq_high = c->seq_high_next = d->seq;
    if (d->time_us > c->last_time_us)
        c->last_time_us = d->time_us;
    q_dedupe_done done = { .lsn = lsn, .time_us = d->time_us, .partition = d->partition, .offset = d->offset, .log_bytes = (uint32_t)bytes };
    memcpy(done.identity, d->identity, 16);
    memcpy(done.body, d->body_hash, 16);
    if (!q_dedupe_done_add(c->dedupe, &done) || !remember_lsn(c, lsn, t))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the log's transactions.");
    q_core_txn_count_bytes(c, t);
    return Q_OK;
}

static void tail(q_core *c, const q_rec_tail *tail)
{
    for (uint32_t i = 0; i < tail->ended_count; i++) {
        q_txn *t = q_core_by_seq(c, tail->ended[i]);
        if (!t)
            continue; /* its decision was needed no more, and is trimmed */
        for (int e = 0; e < Q_EN_COUNT; e++)
            if (t->out.participants >> e & 1 && t->seq > c->engines[e].ended_high)
                c->engines[e].ended_high = t->seq;
        t->unapplied = 0;
        q_core_seq_forget(c, t);
        over(c, t);
    }
    for (uint32_t i = 0; i < tail->published_count; i++) {
        q_txn **t = by_lsn(c, tail->published[i]);
        if (t && *t) {
            (*t)->published = true;
            over(c, *t);
        }
    }
}

/* What an operator gave up isn't sent again. */
static void resolve(q_core *c, const q_rec_resolve *r)
{
    q_txn *t = r->abandoned ? q_core_by_seq(c, r->seq) : NULL;
    if (!t)
        return;
    t->out.participants &= ~r->engines;
    t->unapplied &= ~r->engines;
    if (t->unapplied == 0) {
        q_core_seq_forget(c, t);
        over(c, t);
    }
}

q_rc q_core_record(q_core *c, uint64_t lsn, q_slice bytes, q_err *err)
{
    q_rec r;
    assert(c->life == Q_LIFE_LOADING);
    if (lsn < c->next_lsn)
        return q_err_set(err, Q_E_INTERNAL, "The log's record %llu comes after %llu.", (unsigned long long)lsn, (unsigned long long)c->next_lsn - 1);
    /* Into an arena of its own at once: a decision lives until it is over. */
    q_txn *t = q_core_txn_new(c);
    q_slice copy = t ? q_arena_copy(t->arena, bytes) : Q_SLICE_NONE;
    q_rc rc = copy.ptr ? q_rec_decode(t->arena, copy, lsn, &r, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the log's record.");
    bool keep = false;
    if (rc == Q_OK) {
        c->next_lsn = lsn + 1;
        c->durable_lsn = lsn;
        q_core_kept_note(c, lsn, bytes.len);
        switch (r.type) {
        case Q_REC_EPOCH:
            if (r.epoch.epoch > c->epoch)
                c->epoch = r.epoch.epoch;
            if (r.epoch.time_us > c->last_time_us)
                c->last_time_us = r.epoch.time_us;
            break;
        case Q_REC_DECISION:
            keep = true;
            rc = decision(c, t, lsn, &r.decision, bytes.len, err);
            break;
        case Q_REC_TAIL:
            tail(c, &r.tail);
            break;
        case Q_REC_OPERATOR:
            break;
        case Q_REC_RESOLVE:
            resolve(c, &r.resolve);
            break;
        }
    }
    if (t && !keep)
        q_core_txn_free(c, t);
    return rc;
}

/* ---- the locks that a redo stands for ---- */

typedef struct lockbuf { q_arena *arena; q_lock_want *wants; uint32_t count, cap; bool full; } lockbuf;

static void want(lockbuf *l, q_lock_level level, q_lock_mode mode, q_engine_id e, q_slice resource)
{
    if (l->count == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 16;
        q_lock_want *wants = Q_NEW_ARRAY(l->arena, q_lock_want, cap);
        if (!wants || !resource.ptr) {
            l->full = true;
            return;
        }
        if (l->count)
            memcpy(wants, l->wants, l->count * sizeof *wants);
        l->wants = wants;
        l->cap = cap;
    }
    l->wants[l->count++] = (q_lock_want){ level, mode, Q_EN_BIT(e), resource };
}

static int by_resource(const void *a, const void *b)
{
    return q_slice_cmp(((const q_lock_want *)a)->resource, ((const q_lock_want *)b)->resource);
}

/* Each resource once. */
static void merge(lockbuf *l)
{
    uint32_t kept = 0;
    if (l->count)
        qsort(l->wants, l->count, sizeof *l->wants, by_resource);
    for (uint32_t i = 0; i < l->count; i++)
        if (kept && q_slice_eq(l->wants[kept - 1].resource, l->wants[i].resource)) {
            l->wants[kept - 1].mode = q_locks_join(l->wants[kept - 1].mode, l->wants[i].mode);
            l->wants[kept - 1].engines |= l->wants[i].engines;
        } else {
            l->wants[kept++] = l->wants[i];
        }
    l->count = kept;
}

static void want_item(lockbuf *l, q_engine_id e, const q_bucket *b, q_slice bucket, const q_item *item)
{
    if (item->op == Q_I_DDL) {
        bool whole = item->ddl.kind == Q_DDL_CREATE_BUCKET || item->ddl.kind == Q_DDL_DROP_BUCKET;
        want(l, Q_LL_BUCKET, whole ? Q_LM_X : Q_LM_IX, e, q_resource_bucket(l->arena, bucket));
        if (!whole)
            want(l, Q_LL_TYPE, Q_LM_X, e, q_resource_type(l->arena, bucket, item->ddl.record));
        return;
    }
    if (item->op == Q_I_CHECK)
        return; /* it was checked; nothing of it is to be applied */
    want(l, Q_LL_BUCKET, Q_LM_IX, e, q_resource_bucket(l->arena, bucket));
    want(l, Q_LL_TYPE, Q_LM_IX, e, q_resource_type(l->arena, bucket, item->record));
    want(l, Q_LL_ID, Q_LM_X, e, q_resource_id(l->arena, bucket, item->record, &item->id));
    /* UNIQUE: which values become taken is in the redo, which become free isn't: the attribute as a whole. */
    const q_record *r = e == Q_EN_POSTGRES && b ? q_bucket_record(b, item->record) : NULL;
    for (uint32_t i = 1; r && i < r->count; i++)
        if (r->attrs[i].unique)
            want(l, Q_LL_UNIQUE, Q_LM_X, e, q_resource_unique_attr(l->arena, bucket, item->record, r->attrs[i].name));
    for (uint32_t i = 0; r && i < item->count; i++) {
        const q_attr *a = q_record_attr(r, item->fields[i].attr);
        if (a && a->unique && item->fields[i].value.type != Q_T_NULL)
            want(l, Q_LL_UNIQUE, Q_LM_X, e, q_resource_unique(l->arena, bucket, item->record, a->name, &item->fields[i].value));
    }
}

q_rc q_core_relock(q_core *c, q_txn *t, q_err *err)
{
    if (Q_SABOTAGED(c->config.sabotage, Q_SAB_FORGET_RELOCK))
        return Q_OK;
    const q_bucket *b = q_catalog_bucket(c->catalog, t->bucket_name);
    lockbuf l = { .arena = t->arena };
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        q_writes w;
        if (!(t->unapplied >> e & 1))
            continue;
        q_rc rc = q_writes_decode(t->arena, t->out.writes[e], &w, err);
        if (rc != Q_OK)
            return rc;
        for (uint32_t i = 0; i < w.count && !l.full; i++)
            want_item(&l, e, b, w.bucket, &w.items[i]);
    }
    if (l.full)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the locks of transaction %llu.", (unsigned long long)t->seq);
    merge(&l);
    q_core_txn_count_bytes(c, t);
    return q_locks_retake(c->locks, (uint64_t)(uintptr_t)t, &(q_lockset){ l.count, l.wants }, err);
}

/* ---- the beginning ---- */

static q_rc check_engines(const q_core *c, q_err *err)
{
    for (size_t i = 0; i < q_catalog_count(c->catalog); i++) {
        const q_bucket *b = q_catalog_at(c->catalog, i);
        for (uint32_t k = 0; k < b->count; k++)
            if (b->records[k]->engines & ~c->config.engines)
                return q_err_set(err, Q_E_INTERNAL, "The setting engines lacks one that %.*s/%.*s needs.", Q_SLICE_FMT(b->name),
                                 Q_SLICE_FMT(b->records[k]->name));
    }
    return Q_OK;
}

q_rc q_core_begin(q_core *c, int64_t now_us, int64_t mono_us, q_effects *fx, q_err *err)
{
    assert(c->life == Q_LIFE_LOADING);
    q_rc rc = check_engines(c, err);
    if (rc != Q_OK)
        return rc;
    c->fx = fx;
    c->now_us = now_us;
    c->mono_us = mono_us;
    q_timers_init(&c->timers, mono_us);
    for (int e = 0; e < Q_EN_COUNT; e++)
        c->engines[e].unready_us = mono_us;
    free(c->recovered.at);
    c->recovered = (q_u64s){ 0 };
    c->life = Q_LIFE_BEGINNING;
    c->epoch++;
    if (c->seqs_until == 0)
        c->seqs_until = 1;
    c->next_seq = Q_SABOTAGED(c->config.sabotage, Q_SAB_REUSE_SEQS) ? c->seq_high + 1 : c->seqs_until;
    for (q_txn *t = c->first_open, *next; t && !c->fatal; t = next) {
        next = t->next_open;
        t->since_us = t->arrived_us = mono_us;
        q_core_fire(c, t, t->unapplied ? Q_TPE_RECOVERED : Q_TPE_RECOVERED_END, 0);
    }
    q_core_group_begin_epoch(c);
    q_core_group_flush(c);
    c->fx = NULL;
    return c->fatal ? q_err_set(err, Q_E_LIMIT_MEMORY, "The locks of decided transactions can't be taken again.") : Q_OK;
}

void q_core_recovered_ready(q_core *c)
{
    for (q_txn *t = c->first_open, *next; t && !c->fatal; t = next) {
        next = t->next_open;
        if (t->published)
            continue;
        if (t->committed)
            q_core_schema_again(c, t);
        q_core_send_reply(c, t);
        q_core_send_events(c, t);
    }
}
