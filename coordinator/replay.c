/* replay.c - an engine is brought up to date from the log (B8): what `quanta wal replay` asks for.
 *
 * Two cases. An engine that serves nothing because it is below END's mark (or has none: it was wiped) is caught up as a whole, without locks:
 * nobody reads or writes it, and whoever needs it waits parked. It becomes ready when it says that it has applied END's mark, which
 * comes last and alone. An engine that serves is brought up to date type by type, each under an X lock of that engine's share, as if a transaction
 * wrote the type; other keys go on. The log is read only when the lock is held: all that was applied to the type is in it then.
 *
 * The records are read outside (effect REPLAY, events REPLAY): one batch at a time, sent as COMMIT under the seqs of the transactions, sent again
 * until each is acknowledged. It is no transaction: it has no seq, decides nothing, and a crash forgets it; to run it again changes nothing that is done. */
#include "coordinator/state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/resource.h"

static uint64_t owner(const q_core *c) { return (uint64_t)(uintptr_t)&c->replay; }

bool q_core_replay_owns(const q_core *c, uint64_t locker) { return locker == owner(c); }

bool q_core_replay_active(const q_core *c) { return c->replay.phase != Q_RP_IDLE; }

bool q_core_replay_catches_up(const q_core *c, q_engine_id e) { return q_core_replay_active(c) && c->replay.whole && c->replay.spec.engine == e; }

/* ---- starting ---- */

static bool add_type(q_core *c, const q_bucket *b, const q_record *rec)
{
    q_replaying *r = &c->replay;
    q_replay_type *t = Q_NEW(r->arena, q_replay_type);
    if (!t)
        return false;
    t->bucket = q_arena_copy(r->arena, b->name);
    t->record = q_arena_copy(r->arena, rec->name);
    *r->types_end = t;
    r->types_end = &t->next;
    r->type_count++;
    return t->bucket.ptr && t->record.ptr;
}

static bool list_types(q_core *c)
{
    const q_replay_spec *s = &c->replay.spec;
    for (size_t i = 0; i < q_catalog_count(c->catalog); i++) {
        const q_bucket *b = q_catalog_at(c->catalog, i);
        for (uint32_t k = 0; k < b->count; k++)
            if (b->records[k]->engines >> s->engine & 1 && (s->bucket.len == 0 || q_slice_eq(s->bucket, b->name)) &&
                (s->record.len == 0 || q_slice_eq(s->record, b->records[k]->name)) && !add_type(c, b, b->records[k]))
                return false;
    }
    return true;
}

/* An engine that serves nothing becomes ready by all of it or not at all. */
static q_rc check_whole(const q_core *c, const q_replay_spec *s, q_err *err)
{
    const q_engine_view *v = &c->engines[s->engine];
    if (s->bucket.len || s->record.len || s->to || s->until_us)
        return q_err_set(err, Q_E_INTERNAL, "%s serves nothing until it is caught up: then all of it is replayed, without --bucket, --record, --to and --until.",
                         q_engine_name(s->engine));
    if (s->from > v->state.applied_below)
        return q_err_set(err, Q_E_INTERNAL, "%s has all transactions below %llu: replaying from %llu would leave out what is between.", q_engine_name(s->engine),
                         (unsigned long long)v->state.applied_below, (unsigned long long)s->from);
    return Q_OK;
}

q_rc q_core_replay_start(q_core *c, const q_replay_spec *wanted, bool from_given, uint64_t *id, q_err *err)
{
    q_replaying *r = &c->replay;
    const q_engine_view *v = &c->engines[wanted->engine];
    const char *name = q_engine_name(wanted->engine);
    q_replay_spec s = *wanted;
    if (q_core_replay_active(c))
        return q_err_set(err, Q_E_INTERNAL, "A replay of %s is under way.", q_engine_name(r->spec.engine));
    if (!v->exists || c->life != Q_LIFE_SERVING || c->draining)
        return q_err_set(err, Q_E_INTERNAL, v->exists ? "The coordinator is starting or stopping." : "The %s engine isn't part of the system.", name);
    if (v->phase != Q_ENGINE_READY && v->phase != Q_ENGINE_BEHIND)
        return q_err_set(err, Q_E_ENGINE_DOWN, "%s: %s.", name, v->phase == Q_ENGINE_FOREIGN ? "it belongs to another cluster" : "it doesn't answer");
    bool whole = v->phase == Q_ENGINE_BEHIND;
    if (whole && !from_given)
        s.from = v->state.applied_below;
    if (s.bucket.len && !q_catalog_bucket(c->catalog, s.bucket))
        return q_err_set(err, Q_E_UNKNOWN_BUCKET, "There is no bucket %.*s.", Q_SLICE_FMT(s.bucket));
    if (s.record.len && s.bucket.len && !q_catalog_record(c->catalog, s.bucket, s.record))
        return q_err_set(err, Q_E_UNKNOWN_RECORD, "There is no record %.*s in %.*s.", Q_SLICE_FMT(s.record), Q_SLICE_FMT(s.bucket));
    if (whole && check_whole(c, &s, err) != Q_OK)
        return Q_FAIL;
    if (!r->arena)
        r->arena = q_arena_new((size_t)64 << 20);
    if (!r->batch)
        r->batch = q_arena_new((size_t)64 << 20);
    if (!r->arena || !r->batch)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_arena_reset(r->arena);
    q_arena *arena = r->arena, *batch = r->batch;
    *r = (q_replaying){ .arena = arena, .batch = batch, .id = ++c->replay_ids, .whole = whole, .spec = s, .since_us = c->mono_us };
    r->types_end = &r->types;
    r->spec.bucket = q_arena_copy(arena, s.bucket);
    r->spec.record = q_arena_copy(arena, s.record);
    r->below = v->state.applied_below;
    if (whole) {
        r->spec.limit = v->ended_high;
        r->spec.in_order = s.engine == Q_EN_POSTGRES && v->state.applied_below > 0;
    } else if (!list_types(c)) {
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    c->engines[s.engine].replayed = true;
    r->phase = Q_RP_NEXT_TYPE;
    *id = r->id;
    return Q_OK;
}

/* ---- the end ---- */

static void order(q_core *c, q_replay_order_kind kind)
{
    q_effect *fx = q_effects_add(c->fx, Q_FX_REPLAY);
    c->replay.order = (q_replay_order){ kind, c->replay.id * 100000 + c->replay.type_at, c->replay.spec, c->replay.below };
    fx->replay = &c->replay.order;
}

static void unlock(q_core *c)
{
    if (!c->replay.locked)
        return;
    c->replay.locked = false;
    q_locks_release(c->locks, owner(c), Q_ALL_ENGINES);
    q_core_grants(c); /* at once: who was granted must not meet its time limit before it is told */
}

static void over(q_core *c, const char *error)
{
    q_replaying *r = &c->replay;
    q_timers_cancel(&c->timers, &r->timer);
    snprintf(r->error, sizeof r->error, "%s", error);
    if (r->reading)
        order(c, Q_RO_STOP);
    r->reading = false;
    r->phase = Q_RP_IDLE;
    r->works = NULL;
    r->count = 0;
    r->ended_us = c->mono_us;
    q_effects_log(c->fx, "replay of %s: %s%llu items of %llu transactions", q_engine_name(r->spec.engine), *error ? error : "", *error ? 0ull : (unsigned long long)r->items,
               (unsigned long long)r->applied);
    unlock(c);
    q_engine_view *v = &c->engines[r->spec.engine];
    if (r->whole && !*error && v->phase == Q_ENGINE_BEHIND) { /* it says itself that it has caught up */
        v->backoff_us = 0;
        q_core_fence(c, r->spec.engine);
    }
}

void q_core_replay_cancel(q_core *c)
{
    if (q_core_replay_active(c))
        c->replay.cancelled = true; /* at the next flush */
}

/* ---- types and their locks ---- */

static void read_on(q_core *c)
{
    c->replay.phase = Q_RP_READING;
    c->replay.reading = true;
    order(c, Q_RO_START);
}

static void lock_type(q_core *c, const q_replay_type *t)
{
    q_replaying *r = &c->replay;
    q_err err;
    q_core_no_err(&err);
    q_lock_want *wants = Q_NEW_ARRAY(r->arena, q_lock_want, 2);
    if (!wants) {
        over(c, "out of memory");
        return;
    }
    wants[0] = (q_lock_want){ Q_LL_BUCKET, Q_LM_IX, Q_EN_BIT(r->spec.engine), q_resource_bucket(r->arena, t->bucket) };
    wants[1] = (q_lock_want){ Q_LL_TYPE, Q_LM_X, Q_EN_BIT(r->spec.engine), q_resource_type(r->arena, t->bucket, t->record) };
    q_rc rc = wants[0].resource.ptr && wants[1].resource.ptr ? q_locks_acquire(c->locks, owner(c), &(q_lockset){ 2, wants }, &err) : Q_FAIL;
    if (rc == Q_FAIL) {
        over(c, err.message[0] ? err.message : "out of memory");
        return;
    }
    r->locked = true;
    r->phase = Q_RP_LOCKING;
    if (rc == Q_OK)
        read_on(c);
}

static void next_type(q_core *c)
{
    q_replaying *r = &c->replay;
    const q_replay_type *t = r->types;
    unlock(c);
    if (r->whole && r->type_at == 0) {
        r->type_at = 1;
        read_on(c);
        return;
    }
    if (r->whole || !t) {
        over(c, "");
        return;
    }
    r->types = t->next;
    r->type_at++;
    r->spec.bucket = t->bucket;
    r->spec.record = t->record;
    if (!q_catalog_record(c->catalog, t->bucket, t->record)) { /* dropped meanwhile */
        next_type(c);
        return;
    }
    lock_type(c, t);
}

void q_core_replay_granted(q_core *c)
{
    assert(c->replay.phase == Q_RP_LOCKING);
    read_on(c);
}

/* ---- batches ---- */

static void send_unacked(q_core *c)
{
    q_replaying *r = &c->replay;
    q_engine_view *v = &c->engines[r->spec.engine];
    q_txn_work *works = Q_NEW_ARRAY(r->batch, q_txn_work, r->count);
    uint32_t n = 0;
    for (uint32_t i = 0; works && i < r->count; i++)
        if (!r->acked[i])
            works[n++] = r->works[i];
    /* `below` 0: the engine's mark stays what it was. */
    q_msg m = { .kind = Q_M_COMMIT, .cluster = c->config.cluster, .epoch = c->epoch, .engine = r->spec.engine, .batch = ++c->next_batch, .bucket = r->batch_bucket,
                .count = n, .txns = works };
    q_buf *out = q_effects_buf(c->fx, Q_WIRE_MAX_BYTES);
    if (works)
        q_msg_encode(&m, out);
    if (!works || out->failed) {
        over(c, "a batch doesn't fit a message");
        return;
    }
    if (!v->asked_us)
        v->asked_us = c->mono_us;
    q_slice key = q_effects_copy(c->fx, m.bucket);
    q_effect *fx = q_effects_add(c->fx, Q_FX_SEND);
    fx->engine = r->spec.engine;
    fx->key = key;
    fx->bytes = q_buf_slice(out);
    r->backoff_us = r->backoff_us ? r->backoff_us * 2 : (int64_t)c->config.resend_ms * 1000;
    if (r->backoff_us > Q_COMMIT_BACKOFF_MAX_US)
        r->backoff_us = Q_COMMIT_BACKOFF_MAX_US;
    q_timers_arm(&c->timers, &r->timer, c->mono_us + r->backoff_us);
}

static int by_seq(const void *x, const void *y)
{
    uint64_t a = ((const q_txn_work *)x)->seq, b = ((const q_txn_work *)y)->seq;
    return (a > b) - (a < b);
}

static void take_batch(q_core *c, const q_replay_batch *b)
{
    q_replaying *r = &c->replay;
    q_arena_reset(r->batch);
    r->works = Q_NEW_ARRAY(r->batch, q_txn_work, b->count);
    r->acked = Q_NEW_ARRAY(r->batch, bool, b->count);
    r->batch_bucket = q_arena_copy(r->batch, b->bucket);
    bool good = r->works && r->acked && r->batch_bucket.ptr;
    for (uint32_t i = 0; good && i < b->count; i++) {
        r->works[i] = b->works[i];
        r->works[i].writes = q_arena_copy(r->batch, b->works[i].writes);
        good = r->works[i].writes.ptr != NULL;
    }
    if (!good) {
        over(c, "out of memory for a batch");
        return;
    }
    qsort(r->works, b->count, sizeof *r->works, by_seq);
    r->count = r->missing = b->count;
    r->batch_items = b->items;
    r->phase = Q_RP_SENDING;
    r->backoff_us = 0;
    send_unacked(c);
}

void q_core_replay_came(q_core *c, const q_replay_event *ev)
{
    q_replaying *r = &c->replay;
    if (r->phase != Q_RP_READING || ev->id != r->order.id)
        return; /* of one that is over */
    r->records = ev->progress.done;
    r->records_total = ev->progress.total;
    if (ev->error.len) {
        char text[sizeof r->error];
        snprintf(text, sizeof text, "%.*s", Q_SLICE_FMT(ev->error));
        r->reading = false;
        over(c, text);
    } else if (ev->batch) {
        take_batch(c, ev->batch);
    } else if (ev->end) {
        r->reading = false;
        r->phase = Q_RP_NEXT_TYPE;
        next_type(c);
    }
}

void q_core_replay_acked(q_core *c, q_engine_id engine, uint64_t seq)
{
    q_replaying *r = &c->replay;
    if (r->phase != Q_RP_SENDING || engine != r->spec.engine)
        return;
    const q_txn_work key = { .seq = seq };
    const q_txn_work *w = bsearch(&key, r->works, r->count, sizeof *r->works, by_seq);
    if (!w || r->acked[w - r->works])
        return;
    r->acked[w - r->works] = true;
    r->applied++;
    if (--r->missing)
        return;
    r->items += r->batch_items;
    r->trouble[0] = '\0';
    q_timers_cancel(&c->timers, &r->timer);
    r->phase = Q_RP_READING;
    r->works = NULL;
    r->count = 0;
    order(c, Q_RO_MORE);
}

void q_core_replay_trouble(q_core *c, q_engine_id engine, const q_vote *vote)
{
    q_replaying *r = &c->replay;
    if (r->phase == Q_RP_SENDING && engine == r->spec.engine && vote->no != Q_NO_NONE && vote->text.len && q_utf8_valid(vote->text))
        snprintf(r->trouble, sizeof r->trouble, "transaction %llu: %.*s", (unsigned long long)vote->seq, Q_SLICE_FMT(vote->text));
}

void q_core_replay_timer(q_core *c)
{
    if (c->replay.phase == Q_RP_SENDING)
        send_unacked(c);
}

void q_core_replay_flush(q_core *c)
{
    q_replaying *r = &c->replay;
    if (!q_core_replay_active(c))
        return;
    if (r->cancelled || c->draining)
        over(c, r->cancelled ? "it was cancelled" : "the coordinator is stopping");
    else if (r->phase == Q_RP_NEXT_TYPE)
        next_type(c);
}

void q_core_replay_free(q_core *c)
{
    q_arena_free(c->replay.arena);
    q_arena_free(c->replay.batch);
}

/* ---- for operators ---- */

void q_core_replay_status(const q_core *c, int64_t mono_us, q_buf *out)
{
    const q_replaying *r = &c->replay;
    static const char *const names[] = { "idle", "starting", "waiting for a lock", "reading", "applying" };
    const char *phase = r->id == 0 ? "never" : r->phase != Q_RP_IDLE ? names[r->phase] : r->error[0] ? "failed" : "done";
    q_buf_printf(out, "{\"id\":%llu,\"state\":\"%s\"", (unsigned long long)r->id, phase);
    if (r->id) {
        q_buf_printf(out, ",\"engine\":\"%s\",\"engine_state\":\"%s\",\"whole\":%s,\"from\":%llu", q_engine_name(r->spec.engine), q_core_engine_state(c, r->spec.engine),
                     r->whole ? "true" : "false", (unsigned long long)r->spec.from);
        q_buf_printf(out, ",\"items\":%llu,\"transactions\":%llu,\"records\":%llu,\"records_total\":%llu,\"type\":%u,\"types\":%u,\"elapsed_ms\":%lld",
                     (unsigned long long)r->items, (unsigned long long)r->applied, (unsigned long long)r->records, (unsigned long long)r->records_total,
                     r->type_at, r->whole ? 1u : r->type_count, (long long)(((r->phase != Q_RP_IDLE ? mono_us : r->ended_us) - r->since_us) / 1000));
        if (r->spec.bucket.len && r->phase != Q_RP_IDLE)
            q_buf_printf(out, ",\"bucket\":\"%.*s\",\"record\":\"%.*s\"", Q_SLICE_FMT(r->spec.bucket), Q_SLICE_FMT(r->spec.record));
        if (r->trouble[0] && r->phase != Q_RP_IDLE && q_utf8_valid(q_slice_cstr(r->trouble))) {
            q_buf_add_cstr(out, ",\"trouble\":");
            q_reply_text(c->replies, q_slice_cstr(r->trouble), out);
        }
        if (r->error[0]) {
            q_buf_add_cstr(out, ",\"error\":");
            q_reply_text(c->replies, q_slice_cstr(r->error), out);
        }
    }
    q_buf_add_cstr(out, "}\n");
}
