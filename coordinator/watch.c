/* watch.c - what operators and metrics see of the core. Changes nothing. */
#include "coordinator/state.h"

#include <assert.h>
#include <string.h>

const char *q_core_engine_state(const q_core *c, q_engine_id e)
{
    const q_engine_view *v = &c->engines[e];
    if (!v->exists)
        return "not configured";
    switch (v->phase) {
    case Q_ENGINE_READY:
        return "ready";
    case Q_ENGINE_BEHIND:
        return q_core_replay_catches_up(c, e) ? "being replayed" : "needs replay";
    case Q_ENGINE_FOREIGN:
        return "another cluster's";
    case Q_ENGINE_UNKNOWN:
        break;
    }
    return "not answering";
}

void q_core_get_stats(const q_core *c, int64_t mono_us, q_core_stats *out)
{
    *out = c->stats;
    out->waiting_for_locks = q_locks_waiting(c->locks);
    out->preparing = c->in_state[Q_TPS_READING] + c->in_state[Q_TPS_PREPARING];
    out->decided = c->in_state[Q_TPS_DECIDING] + c->in_state[Q_TPS_ABORTING];
    out->applying = out->in_doubt = c->in_state[Q_TPS_APPLYING];
    out->oldest_in_doubt_us = 0;
    for (const q_txn *t = c->oldest; t; t = t->newer)
        if (t->state == Q_TPS_APPLYING) {
            out->oldest_in_doubt_us = mono_us - t->since_us;
            break;
        }
    out->epoch = c->epoch;
    out->next_seq = c->next_seq;
    out->engines_ready = c->ready;
    for (int e = 0; e < Q_EN_COUNT; e++)
        out->engine_state[e] = q_core_engine_state(c, (q_engine_id)e);
    out->memory_bytes = sizeof *c + c->arena_bytes + c->slab_bytes + q_locks_bytes(c->locks) + q_dedupe_bytes(c->dedupe) +
                        q_positions_bytes(c->positions) + q_tickets_bytes(&c->reads) + q_tickets_bytes(&c->answers) + c->groups[0].bytes.cap +
                        c->groups[1].bytes.cap + c->scratch.cap + c->scratch2.cap + q_arena_bytes(c->scratch_arena) +
                        c->seq_buckets * sizeof *c->by_seq + c->route_buckets * sizeof *c->routes;
}

static void add_engines(q_buf *out, const char *name, uint32_t engines)
{
    q_buf_printf(out, ",\"%s\":[", name);
    bool first = true;
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (engines >> e & 1) {
            q_buf_printf(out, "%s\"%s\"", first ? "" : ",", q_engine_name(e));
            first = false;
        }
    q_buf_add_byte(out, ']');
}

static uint32_t waiting_for(const q_core *c, const q_txn *t)
{
    uint32_t mask = 0;
    switch (t->state) {
    case Q_TPS_PARKED:
        return t->engines & ~c->ready;
    case Q_TPS_READING:
        for (const q_open_read *r = t->reads; r; r = r->next)
            mask |= Q_EN_BIT(r->engine);
        return mask;
    case Q_TPS_PREPARING:
        return t->unvoted;
    case Q_TPS_APPLYING:
        return t->unapplied;
    default:
        return 0;
    }
}

/* Locks are spelt with NUL and \1 between their parts: as text, with spaces, and what isn't printable left out. */
static void add_resource(const q_core *c, q_slice resource, q_buf *out)
{
    char text[200];
    size_t n = 0;
    for (size_t i = 0; i < resource.len && n < sizeof text; i++) {
        unsigned char ch = (unsigned char)resource.ptr[i];
        text[n++] = ch >= 0x20 && ch < 0x7F ? (char)ch : ' ';
    }
    q_reply_text(c->replies, q_slice_of(text, n), out);
}

static void add_blocker(const q_core *c, const q_txn *t, q_buf *out)
{
    uint64_t blocker;
    q_slice resource;
    char txid[Q_TXID_BYTES];
    if (t->state != Q_TPS_WAITING || !q_locks_blocker(c->locks, (uint64_t)(uintptr_t)t, &blocker, &resource))
        return;
    if (q_core_replay_owns(c, blocker)) {
        q_buf_add_cstr(out, ",\"blocked_by\":\"replay\",\"blocked_on\":");
    } else {
        const q_txn *other = (const q_txn *)(uintptr_t)blocker;
        size_t n = q_core_txid(c, other, txid);
        q_buf_printf(out, ",\"blocked_by\":\"%.*s\",\"blocked_on\":", (int)n, txid);
    }
    add_resource(c, resource, out);
}

/* Longer than it should take: past its own time limit, or its apply is being retried. */
static bool stuck(const q_txn *t, int64_t mono_us)
{
    enum { APPLY_SLOW_US = 5 * 1000 * 1000 };
    if (t->state == Q_TPS_APPLYING)
        return mono_us - t->since_us > APPLY_SLOW_US;
    return t->state != Q_TPS_TELLING && t->deadline_us && mono_us > t->deadline_us;
}

void q_core_list_one(const q_core *c, const q_txn *t, int64_t mono_us, q_buf *out)
{
    char txid[Q_TXID_BYTES];
    size_t n = q_core_txid(c, t, txid);
    q_buf_printf(out, "{\"txid\":\"%.*s\",\"request_id\":", (int)n, txid);
    q_reply_text(c->replies, t->in.request_id, out);
    q_buf_add_cstr(out, ",\"bucket\":");
    q_reply_text(c->replies, t->bucket_name, out);
    if (t->seq)
        q_buf_printf(out, ",\"seq\":%llu", (unsigned long long)t->seq);
    q_buf_printf(out, ",\"state\":\"%s\",\"age_ms\":%lld,\"in_state_ms\":%lld", q_tp_state_name(t->state), (long long)((mono_us - t->arrived_us) / 1000),
                 (long long)((mono_us - t->since_us) / 1000));
    add_engines(out, "engines_missing", waiting_for(c, t));
    add_blocker(c, t, out);
    q_core_add_troubles(c, t, mono_us, out);
    if (t->error.code) {
        q_buf_printf(out, ",\"error\":\"%s\",\"message\":", q_code_name(t->error.code));
        q_reply_text(c->replies, q_slice_cstr(t->error.message), out);
    }
    q_buf_add_cstr(out, "}\n");
}

void q_core_list_txns(const q_core *c, int64_t mono_us, bool stuck_only, q_buf *out)
{
    for (const q_txn *t = c->first_all; t && !out->failed; t = t->next_all)
        if (!stuck_only || stuck(t, mono_us))
            q_core_list_one(c, t, mono_us, out);
}
