/* deep.c - records decoded to the last field, and held against each other. */
#include "wal/deep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

enum { ARENA_BYTES = 512 << 20 };

typedef enum kind { K_NONE = 0, K_ABORTED, K_ENDED, K_OPEN } kind;

typedef struct slot { uint64_t seq; kind kind; } slot; /* seq 0: free */

struct q_wal_deep {
    q_arena *arena;
    slot *slots;          /* by seq, open addressing, a power of two */
    uint64_t cap, count;
    uint8_t *is_decision; /* by lsn - first_lsn */
    uint64_t first_lsn, lsns, lsn_cap;
    q_catalog *catalog;
    uint64_t epoch;
    uint64_t decisions;
};

q_wal_deep *q_wal_deep_new(void)
{
    q_wal_deep *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->arena = q_arena_new(ARENA_BYTES);
    d->catalog = q_catalog_new();
    d->cap = 1024;
    d->slots = calloc(d->cap, sizeof *d->slots);
    if (d->arena && d->slots && d->catalog)
        return d;
    q_wal_deep_free(d);
    return NULL;
}

void q_wal_deep_free(q_wal_deep *d)
{
    if (!d)
        return;
    q_arena_free(d->arena);
    q_catalog_unref(d->catalog);
    free(d->slots);
    free(d->is_decision);
    free(d);
}

static slot *find(slot *slots, uint64_t cap, uint64_t seq)
{
    uint64_t i = XXH3_64bits(&seq, sizeof seq) & (cap - 1);
    while (slots[i].seq != 0 && slots[i].seq != seq)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static bool grow(q_wal_deep *d)
{
    if (d->count * 2 < d->cap)
        return true;
    slot *more = calloc(d->cap * 2, sizeof *more);
    if (!more)
        return false;
    for (uint64_t i = 0; i < d->cap; i++)
        if (d->slots[i].seq)
            *find(more, d->cap * 2, d->slots[i].seq) = d->slots[i];
    free(d->slots);
    d->slots = more;
    d->cap *= 2;
    return true;
}

static q_rc no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "no memory for the check"); }

/* Remembers whether the record is a decision. Records come in lsn order without gaps. */
static q_rc remember(q_wal_deep *d, uint64_t lsn, bool is_decision, q_err *err)
{
    if (d->lsns == 0)
        d->first_lsn = lsn;
    if (d->lsns == d->lsn_cap) {
        uint64_t cap = d->lsn_cap ? d->lsn_cap * 2 : 4096;
        uint8_t *more = realloc(d->is_decision, cap);
        if (!more)
            return no_memory(err);
        d->is_decision = more;
        d->lsn_cap = cap;
    }
    d->is_decision[d->lsns++] = is_decision;
    return Q_OK;
}

static q_rc deep_decision(q_wal_deep *d, uint64_t lsn, const q_rec_decision *r, q_err *err)
{
    d->decisions++;
    if (d->epoch && r->epoch > d->epoch)
        return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": a decision of epoch %" PRIu64 " in epoch %" PRIu64, lsn, r->epoch, d->epoch);
    if (r->ddl.len) {
        q_ddl ddl;
        q_err why = Q_ERR_INIT;
        if (q_ddl_decode(d->arena, r->ddl, &ddl, &why) != Q_OK)
            return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": its schema change: %.200s", lsn, why.message);
    }
    for (int e = 0; e < Q_EN_COUNT; e++) {
        q_writes w;
        q_err why = Q_ERR_INIT;
        if (r->redo[e].len && q_writes_decode(d->arena, r->redo[e], &w, &why) != Q_OK)
            return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": its redo for %s: %.200s", lsn, q_engine_name((q_engine_id)e), why.message);
    }
    if (r->seq == 0)
        return Q_OK;
    if (!grow(d))
        return no_memory(err);
    slot *s = find(d->slots, d->cap, r->seq);
    if (s->seq)
        return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": transaction %" PRIu64 " was decided before", lsn, r->seq);
    *s = (slot){ r->seq, !r->committed ? K_ABORTED : r->participants ? K_OPEN : K_ENDED };
    d->count++;
    return Q_OK;
}

static q_rc deep_tail(q_wal_deep *d, uint64_t lsn, const q_rec_tail *t, q_err *err)
{
    for (uint32_t i = 0; i < t->ended_count; i++) {
        slot *s = find(d->slots, d->cap, t->ended[i]);
        if (s->seq && s->kind == K_ABORTED)
            return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": aborted transaction %" PRIu64 " is said to be applied", lsn, t->ended[i]);
        if (!s->seq && d->first_lsn == 1) /* else its decision may be trimmed */
            return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": transaction %" PRIu64 " is said to be applied before it was decided", lsn, t->ended[i]);
        if (s->seq)
            s->kind = K_ENDED;
    }
    for (uint32_t i = 0; i < t->published_count; i++) {
        uint64_t at = t->published[i];
        if (at >= lsn || (at >= d->first_lsn && !d->is_decision[at - d->first_lsn]))
            return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": record %" PRIu64 " is said to be published and is no decision before it", lsn, at);
    }
    return Q_OK;
}

q_rc q_wal_deep_record(q_wal_deep *d, uint64_t lsn, q_slice bytes, q_err *err)
{
    q_rec r;
    q_arena_reset(d->arena);
    q_rc rc = q_rec_decode(d->arena, bytes, lsn, &r, err);
    if (rc == Q_OK)
        rc = remember(d, lsn, r.type == Q_REC_DECISION, err);
    if (rc != Q_OK)
        return rc;
    switch (r.type) {
    case Q_REC_EPOCH:
        if (r.epoch.epoch <= d->epoch)
            return q_err_set(err, Q_E_INTERNAL, "log record %" PRIu64 ": epoch %" PRIu64 " after epoch %" PRIu64, lsn, r.epoch.epoch, d->epoch);
        d->epoch = r.epoch.epoch;
        return Q_OK;
    case Q_REC_DECISION: return deep_decision(d, lsn, &r.decision, err);
    case Q_REC_TAIL: return deep_tail(d, lsn, &r.tail, err);
    case Q_REC_OPERATOR:
    case Q_REC_RESOLVE: return Q_OK;
    }
    return Q_OK;
}

q_rc q_wal_deep_entry(q_wal_deep *d, q_log_table table, q_slice key, q_slice value, q_err *err)
{
    if (table != Q_LT_CATALOG)
        return Q_OK; /* META and POSITION are the core's: it checks them when it loads them */
    q_err why = Q_ERR_INIT;
    if (q_catalog_load(&d->catalog, value, &why) == Q_OK) /* "b/…" sorts before "r/…": buckets come first */
        return Q_OK;
    return q_err_set(err, Q_E_INTERNAL, "the definition '%.*s': %.200s", (int)(key.len < 100 ? key.len : 100), key.ptr, why.message);
}

q_rc q_wal_deep_end(q_wal_deep *d, q_verify_report *report, q_err *err)
{
    (void)err;
    report->decisions = d->decisions;
    report->open_transactions = 0;
    for (uint64_t i = 0; i < d->cap; i++)
        if (d->slots[i].seq && d->slots[i].kind == K_OPEN)
            report->open_transactions++;
    return Q_OK;
}
