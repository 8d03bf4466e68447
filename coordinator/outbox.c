/* outbox.c - messages to the workers: what a run of events wants to send, gathered by bucket, engine and kind, leaves as one message of
 * each (B3). Only numbers are kept; what they stand for is looked up when the message is made, so that nothing is sent for a transaction that has moved
 * on meanwhile. */
#include "coordinator/state.h"

#include <stdlib.h>
#include <xxhash.h>

static q_route *route(q_core *c, q_slice bucket)
{
    q_route **at = &c->routes[XXH3_64bits(bucket.ptr ? bucket.ptr : "", bucket.len) & (c->route_buckets - 1)];
    for (q_route *r = *at; r; r = r->chain)
        if (r->name_len == bucket.len && (bucket.len == 0 || memcmp(r->name, bucket.ptr, bucket.len) == 0))
            return r;
    q_route *r = calloc(1, sizeof *r + bucket.len);
    if (!r)
        return NULL;
    r->name_len = (uint32_t)bucket.len;
    if (bucket.len)
        memcpy(r->name, bucket.ptr, bucket.len);
    r->chain = *at;
    *at = r;
    c->route_count++;
    return r;
}

void q_core_out_push(q_core *c, q_slice bucket, q_engine_id engine, q_out kind, uint64_t number)
{
    q_route *r = route(c, bucket);
    if (!r || !q_u64s_push(&r->out[engine][kind], number)) {
        q_core_die(c, "out of memory for messages");
        return;
    }
    if (!r->dirty) {
        r->dirty = true;
        r->next_dirty = c->dirty;
        c->dirty = r;
    }
}

/* ---- one message after the other ---- */

typedef struct batch { q_core *c; const q_route *route; q_engine_id engine; q_out kind; uint32_t count; size_t bytes; } batch;

static void send(batch *b)
{
    static const q_msg_kind kinds[Q_OUT_COUNT] = { Q_M_COMMIT, Q_M_ABORT, Q_M_PREPARE, Q_M_READ };
    q_core *c = b->c;
    if (b->count == 0)
        return;
    q_msg m = {
        .kind = kinds[b->kind],
        .cluster = c->config.cluster,
        .epoch = c->epoch,
        .engine = b->engine,
        .batch = ++c->next_batch,
        .bucket = { b->route->name, b->route->name_len },
        .below = q_core_seq_below(c),
        .count = b->count,
    };
    if (b->kind == Q_OUT_READ)
        m.reads = c->wire_reads;
    else if (b->kind == Q_OUT_ABORT)
        m.seqs = c->wire_seqs;
    else
        m.txns = c->works;
    q_buf *out = q_effects_buf(c->fx, Q_WIRE_MAX_BYTES);
    q_msg_encode(&m, out);
    if (out->failed) {
        q_effects_log(c->fx, "a message of %u entries for %s doesn't fit", b->count, q_engine_name(b->engine));
    } else {
        q_slice key = q_effects_copy(c->fx, m.bucket);
        if (b->kind != Q_OUT_ABORT && !c->engines[b->engine].asked_us)
            c->engines[b->engine].asked_us = c->mono_us;
        q_effect *fx = q_effects_add(c->fx, Q_FX_SEND);
        fx->engine = b->engine;
        fx->reads_lane = b->kind == Q_OUT_READ;
        fx->key = key;
        fx->bytes = q_buf_slice(out);
    }
    b->count = 0;
    b->bytes = 0;
}

static void add_txn(batch *b, const q_txn *t)
{
    q_slice writes = t->out.writes[b->engine];
    if (b->count && b->bytes + writes.len > Q_MESSAGE_SOFT_BYTES)
        send(b);
    b->c->works[b->count++] = (q_txn_work){ t->seq, t->time_us, writes };
    b->bytes += writes.len;
}

static void add_read(batch *b, const q_open_read *r)
{
    size_t bytes = 200 + r->read->id_count * 32; /* nearly */
    if (b->count && b->bytes + bytes > Q_MESSAGE_SOFT_BYTES)
        send(b);
    b->c->wire_reads[b->count] = *r->read;
    b->c->wire_reads[b->count++].read_id = r->ticket;
    b->bytes += bytes;
}

static void add(batch *b, uint64_t number)
{
    const q_txn *t;
    const q_open_read *r;
    switch (b->kind) {
    case Q_OUT_COMMIT:
        t = q_core_by_seq(b->c, number);
        if (t && t->state == Q_TPS_APPLYING && t->unapplied >> b->engine & 1)
            add_txn(b, t);
        break;
    case Q_OUT_PREPARE:
        t = q_core_by_seq(b->c, number);
        if (t && t->state == Q_TPS_PREPARING && t->unvoted >> b->engine & 1)
            add_txn(b, t);
        break;
    case Q_OUT_ABORT:
        b->c->wire_seqs[b->count++] = number;
        break;
    case Q_OUT_READ:
        r = q_tickets_find(&b->c->reads, number);
        if (r)
            add_read(b, r);
        break;
    case Q_OUT_COUNT:
        break;
    }
    if (b->count == Q_WIRE_MAX_TXNS)
        send(b);
}

static void forget_routes(q_core *c)
{
    for (size_t i = 0; c->routes && i < c->route_buckets; i++) {
        for (q_route *r = c->routes[i], *next; r; r = next) {
            next = r->chain;
            for (int e = 0; e < Q_EN_COUNT; e++)
                for (int k = 0; k < Q_OUT_COUNT; k++)
                    free(r->out[e][k].at);
            free(r);
        }
        c->routes[i] = NULL;
    }
    c->route_count = 0;
}

void q_core_out_flush(q_core *c)
{
    if (!c->dirty)
        return;
    if (!c->works) {
        c->works = calloc(Q_WIRE_MAX_TXNS, sizeof *c->works);
        c->wire_reads = calloc(Q_WIRE_MAX_TXNS, sizeof *c->wire_reads);
        c->wire_seqs = calloc(Q_WIRE_MAX_TXNS, sizeof *c->wire_seqs);
        if (!c->works || !c->wire_reads || !c->wire_seqs) {
            q_core_die(c, "out of memory for messages");
            return;
        }
    }
    while (c->dirty) {
        q_route *r = c->dirty;
        c->dirty = r->next_dirty;
        r->dirty = false;
        for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
            for (q_out k = 0; k < Q_OUT_COUNT; k++) { /* decisions first: they free what prepares wait for */
                batch b = { c, r, e, k, 0, 0 };
                for (size_t i = 0; i < r->out[e][k].count; i++)
                    add(&b, r->out[e][k].at[i]);
                send(&b);
                r->out[e][k].count = 0;
            }
    }
    if (c->route_count > Q_ROUTES_MAX)
        forget_routes(c);
}

void q_core_out_free(q_core *c)
{
    forget_routes(c);
    free(c->routes);
    free(c->works);
    free(c->wire_reads);
    free(c->wire_seqs);
}
