/* group.c - what becomes durable together (B4).
 *
 * One group fills while another is being synced: all that was decided meanwhile shares the next sync, and no timer delays anything. A
 * decision is encoded when it is made, so that the log's thread never waits for the core. ENDs and published marks ride along in one
 * TAIL record; when nothing is decided for tail_flush_ms they go by themselves.
 *
 * META entries of the core (all integers little endian, 64 bits):
 *     "epoch"  the epoch of the last life
 *     "seq"    seqs below it may have been given: a life starts here
 *     "marks"  the last transaction's time, the highest committed seq, then per engine the highest seq of an ended transaction
 *     "low"    the lsn from which records are needed
 *     "purge"  purge.c */
#include "base/version.h"
#include "coordinator/state.h"

#include <assert.h>
#include <stdlib.h>

#include "wal/bytes.h"

enum { MARKS_BYTES = 8 * (2 + Q_EN_COUNT) };

/* ---- building ---- */

static q_group_op *add_op(q_core *c, q_group *g, int kind, q_log_table table)
{
    if (g->op_count == g->op_cap) {
        size_t cap = g->op_cap ? g->op_cap * 2 : 64;
        q_group_op *ops = realloc(g->ops, cap * sizeof *ops);
        if (!ops) {
            q_core_die(c, "out of memory for a group");
            return NULL;
        }
        g->ops = ops;
        g->op_cap = cap;
    }
    q_group_op *o = &g->ops[g->op_count++];
    *o = (q_group_op){ .op = { .table = table } };
    o->op.kind = (__typeof__(o->op.kind))kind;
    return o;
}

static void put_key(q_group *g, q_group_op *o, q_slice key)
{
    o->key_at = g->bytes.len;
    o->key_len = key.len;
    q_buf_add_slice(&g->bytes, key);
}

static void put(q_core *c, q_group *g, q_log_table table, q_slice key, q_slice value)
{
    q_group_op *o = add_op(c, g, Q_LO_PUT, table);
    if (!o)
        return;
    put_key(g, o, key);
    o->value_at = g->bytes.len;
    o->value_len = value.len;
    q_buf_add_slice(&g->bytes, value);
}

static void put_u64(q_core *c, q_group *g, const char *key, uint64_t n)
{
    char bytes[8];
    q_put_le64(bytes, n);
    put(c, g, Q_LT_META, q_slice_cstr(key), q_slice_of(bytes, sizeof bytes));
}

static void append(q_core *c, q_group *g, q_rec *r)
{
    q_group_op *o = add_op(c, g, Q_LO_APPEND, 0);
    if (!o)
        return;
    r->lsn = o->op.lsn = c->next_lsn++;
    o->value_at = g->bytes.len;
    q_rec_encode(r, &g->bytes);
    o->value_len = g->bytes.len - o->value_at;
    g->records++;
    g->last_lsn = r->lsn;
    q_core_kept_note(c, r->lsn, o->value_len);
    if (g->bytes.failed)
        q_core_die(c, "a log record can't be encoded");
}

/* ---- DDL (B9): the catalog's entries go into the group of the decision ---- */

q_rc q_core_prepare_ddl(q_core *c, q_txn *t, q_err *err)
{
    const q_ddl *ddl = NULL;
    for (uint32_t i = 0; t->ddl_script && i < t->script->count; i++)
        if (t->script->stmts[i].kind == Q_S_DDL)
            ddl = &t->script->stmts[i].ddl;
    q_rc rc = ddl ? q_catalog_check(c->catalog_next, ddl, err) : Q_END;
    if (rc != Q_OK)
        return rc == Q_END ? Q_OK : rc; /* END: IF [NOT] EXISTS, nothing changes */
    if (q_ddl_is_access(ddl->kind)) { /* in the catalog only: nothing of it is published or replayed */
        t->grants_change = true;
        return q_catalog_apply(c->catalog_next, ddl, t->seq, &t->catalog_after, err);
    }
    q_buf_clear(&c->scratch2);
    q_ddl_encode(ddl, &c->scratch2);
    t->ddl = q_arena_copy(t->arena, q_buf_slice(&c->scratch2));
    if (c->scratch2.failed || !t->ddl.ptr) {
        t->ddl = Q_SLICE_NONE;
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the definition.");
    }
    return q_catalog_apply(c->catalog_next, ddl, t->seq, &t->catalog_after, err);
}

static void catalog_key(q_buf *out, const char *kind, q_slice bucket, const q_record *r)
{
    q_buf_clear(out);
    q_buf_add_cstr(out, kind);
    q_buf_add_slice(out, bucket);
    if (r) {
        q_buf_add_byte(out, '/');
        q_buf_add_slice(out, r->name);
    }
}

/* Roles, grants and keys. "x/…" sorts behind "b/…" and "r/…": what it is of is loaded first. */
static void put_access(q_core *c, q_group *g, const q_bucket *before, const q_bucket *after)
{
    const q_acl *old = before ? before->access : NULL, *new = after ? after->access : NULL;
    q_buf *key = &c->scratch2, *value = &c->scratch;
    if (old == new)
        return;
    catalog_key(key, "x/", (before ? before : after)->name, NULL);
    if (new) {
        q_buf_clear(value);
        q_access_encode(new, after->name, after->incarnation, value);
        put(c, g, Q_LT_CATALOG, q_buf_slice(key), q_buf_slice(value));
        return;
    }
    q_group_op *o = add_op(c, g, Q_LO_DELETE, Q_LT_CATALOG);
    if (o)
        put_key(g, o, q_buf_slice(key));
}

static void put_catalog(q_core *c, q_group *g, const q_bucket *before, const q_bucket *after)
{
    q_buf *key = &c->scratch2, *value = &c->scratch;
    for (uint32_t i = 0; before && i < before->count; i++)
        if (!after || !q_bucket_record(after, before->records[i]->name)) {
            catalog_key(key, "r/", before->name, before->records[i]);
            q_group_op *o = add_op(c, g, Q_LO_DELETE, Q_LT_CATALOG);
            if (o)
                put_key(g, o, q_buf_slice(key));
        }
    for (uint32_t i = 0; after && i < after->count; i++)
        if (!before || q_bucket_record(before, after->records[i]->name) != after->records[i]) {
            catalog_key(key, "r/", after->name, after->records[i]);
            q_buf_clear(value);
            q_record_encode(after->records[i], value);
            put(c, g, Q_LT_CATALOG, q_buf_slice(key), q_buf_slice(value));
        }
    put_access(c, g, before, after);
    if (before && !after) {
        catalog_key(key, "b/", before->name, NULL);
        q_group_op *o = add_op(c, g, Q_LO_DELETE, Q_LT_CATALOG);
        if (o)
            put_key(g, o, q_buf_slice(key));
    } else if (after && (!before || before->incarnation != after->incarnation)) {
        catalog_key(key, "b/", after->name, NULL);
        q_buf_clear(value);
        q_bucket_encode(after, value);
        put(c, g, Q_LT_CATALOG, q_buf_slice(key), q_buf_slice(value));
    }
}

/* ---- decisions ---- */

static void add_decision(q_core *c, q_group *g, q_txn *t)
{
    q_rec r = { .type = Q_REC_DECISION };
    q_rec_decision *d = &r.decision;
    *d = (q_rec_decision){
        .seq = t->seq,
        .epoch = c->epoch,
        .committed = t->committed,
        .time_us = t->time_us ? t->time_us : c->last_time_us,
        .bucket = t->bucket_name,
        .request_id = t->in.request_id,
        .principal = t->in.principal,
        .partition = t->partition,
        .offset = t->offset,
        .reply_topic = t->in.reply_topic,
        .reply_type = t->reply_type,
        .reply = t->reply,
    };
    d->query = (q_slice){ t->text.ptr, t->text.len < Q_REC_QUERY_BYTES ? t->text.len : Q_REC_QUERY_BYTES };
    memcpy(d->identity, t->identity, 16);
    memcpy(d->body_hash, t->in.body_hash, 16);
    if (t->committed) {
        d->participants = t->out.participants;
        memcpy(d->redo, t->out.writes, sizeof d->redo);
        d->event_count = c->config.publish_changes ? t->out.event_count : 0;
        d->events = t->out.events;
        d->ddl = t->ddl;
    }
    size_t before = g->bytes.len;
    append(c, g, &r);
    t->lsn = r.lsn;
    t->record_bytes = (uint32_t)(g->bytes.len - before);
    q_core_open_add(c, t);
    if (t->catalog_after)
        put_catalog(c, g, q_catalog_bucket(c->catalog_next, t->bucket_name), q_catalog_bucket(t->catalog_after, t->bucket_name));
    if (t->catalog_after) {
        q_catalog_unref(c->catalog_next);
        c->catalog_next = q_catalog_ref(t->catalog_after);
    }
    /* B7: the position becomes durable with the outcome. */
    q_positions_complete(c->positions, t->answer.position);
    t->answer.position = NULL;
    t->next_in_group = NULL;
    *g->last = t;
    g->last = &t->next_in_group;
    g->decisions++;
    if (t->committed && t->seq > c->seq_high)
        c->seq_high_next = t->seq > c->seq_high_next ? t->seq : c->seq_high_next;
    c->marks_changed = true;
}

static void decided(q_core *c, q_txn *t)
{
    /* DDL isn't held back: catalog_next must stay what it was checked against. It conflicts with nothing that is held. */
    if (t->catalog_after || (!c->held_first && c->filling->bytes.len < Q_GROUP_SOFT_BYTES)) {
        add_decision(c, c->filling, t);
        return;
    }
    t->next_in_group = NULL;
    *c->held_last = t;
    c->held_last = &t->next_in_group;
}

void q_core_persist_commit(q_core *c, q_txn *t)
{
    t->committed = true;
    decided(c, t);
    if (Q_SABOTAGED(c->config.sabotage, Q_SAB_REPLY_BEFORE_SYNC))
        q_core_send_early(c, t);
}

void q_core_persist_abort(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    t->committed = false;
    if (!t->reply.ptr && q_core_make_reply(c, t, &err) != Q_OK) {
        q_core_die(c, "out of memory for an abort's reply");
        return;
    }
    if (Q_SABOTAGED(c->config.sabotage, Q_SAB_ABORT_NOT_DURABLE)) {
        q_core_fire(c, t, Q_TPE_PERSISTED, 0);
        q_core_seq_forget(c, t);
        return;
    }
    decided(c, t);
}

/* ---- what rides along ---- */

static void ride(q_core *c, q_u64s *list, uint64_t n)
{
    if (!q_u64s_push(list, n))
        q_core_die(c, "out of memory for the log's tail");
}

void q_core_persist_end(q_core *c, q_txn *t)
{
    ride(c, &c->ended, t->seq);
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (t->out.participants >> e & 1 && t->seq > c->engines[e].ended_high) {
            c->engines[e].ended_high = t->seq;
            c->marks_changed = true;
        }
    q_core_seq_forget(c, t);
}

void q_core_persist_mark(q_core *c, q_txn *t)
{
    if (t->lsn)
        ride(c, &c->published, t->lsn);
    if (t->answer.position) {
        q_positions_complete(c->positions, t->answer.position);
        t->answer.position = NULL;
    }
}

void q_core_persist_resolve(q_core *c, const q_rec_resolve *resolve)
{
    q_rec r = { .type = Q_REC_RESOLVE, .resolve = *resolve };
    append(c, c->filling, &r);
}

bool q_core_tail_pending(const q_core *c)
{
    return c->ended.count || c->published.count || c->marks_changed || q_positions_changed(c->positions);
}

/* ---- emission ---- */

static void add_tail(q_core *c, q_group *g)
{
    if (!c->ended.count && !c->published.count)
        return;
    q_rec r = { .type = Q_REC_TAIL };
    r.tail = (q_rec_tail){ (uint32_t)c->ended.count, c->ended.at, (uint32_t)c->published.count, c->published.at };
    append(c, g, &r);
    c->ended.count = c->published.count = 0;
}

static void add_marks(q_core *c, q_group *g)
{
    char bytes[MARKS_BYTES];
    if (!c->marks_changed)
        return;
    c->marks_changed = false;
    q_put_le64(bytes, (uint64_t)c->last_time_us);
    q_put_le64(bytes + 8, c->seq_high_next > c->seq_high ? c->seq_high_next : c->seq_high);
    for (int e = 0; e < Q_EN_COUNT; e++)
        q_put_le64(bytes + 16 + 8 * e, c->engines[e].ended_high);
    put(c, g, Q_LT_META, Q_SLICE_LIT("marks"), q_slice_of(bytes, sizeof bytes));
}

static void add_positions(q_core *c, q_group *g)
{
    bool lose = Q_SABOTAGED(c->config.sabotage, Q_SAB_LOSE_POSITION);
    q_buf_clear(&c->scratch2);
    q_buf_clear(&c->scratch);
    while (q_positions_write(c->positions, lose, &c->scratch2, &c->scratch)) {
        put(c, g, Q_LT_POSITION, q_buf_slice(&c->scratch2), q_buf_slice(&c->scratch));
        if (c->scratch2.failed || c->scratch.failed)
            q_core_die(c, "a position can't be encoded");
        q_buf_clear(&c->scratch2);
        q_buf_clear(&c->scratch);
        g->positions = true;
    }
}

/* B8: a block of seqs is reserved durably before its first is used. The next one is reserved when half of this is gone. */
static bool needs_seqs(const q_core *c)
{
    return c->life == Q_LIFE_SERVING && c->seqs_asked == c->seqs_until && c->seqs_until - c->next_seq < c->config.seq_block / 2 + 1;
}

static void reserve_seqs(q_core *c, q_group *g)
{
    c->seqs_asked = c->seqs_until + c->config.seq_block;
    g->seqs_until = c->seqs_asked;
    put_u64(c, g, "seq", c->seqs_asked);
}

static bool may_return(const void *ctx, int32_t partition, int64_t offset)
{
    return q_positions_may_return(((const q_core *)ctx)->positions, partition, offset);
}

/* Records below the oldest that is open, unpublished or kept for its reply go. */
static void trim(q_core *c, q_group *g)
{
    if (q_core_replay_active(c))
        return; /* it reads them */
    q_dedupe_evict(c->dedupe, c->last_time_us > c->now_us ? c->last_time_us : c->now_us, may_return, c);
    uint64_t low = c->first_open ? c->first_open->lsn : c->next_lsn, kept = q_dedupe_first_lsn(c->dedupe);
    low = q_core_trim_to(c, kept < low ? kept : low);
    if (low < c->trimmed_lsn + Q_TRIM_RECORDS)
        return;
    q_group_op *o = add_op(c, g, Q_LO_TRIM, 0);
    if (!o)
        return;
    o->op.lsn = low;
    put_u64(c, g, "low", low);
    c->trimmed_lsn = low;
}

static bool finish(q_core *c, q_group *g)
{
    if (g->bytes.failed) {
        q_core_die(c, "out of memory for a group");
        return false;
    }
    if (g->op_count > g->final_cap) {
        q_log_op *final = realloc(g->final, g->op_cap * sizeof *final);
        if (!final) {
            q_core_die(c, "out of memory for a group");
            return false;
        }
        g->final = final;
        g->final_cap = g->op_cap;
    }
    for (size_t i = 0; i < g->op_count; i++) {
        const q_group_op *o = &g->ops[i];
        g->final[i] = o->op;
        g->final[i].key = q_slice_of(g->bytes.ptr + o->key_at, o->key_len);
        g->final[i].value = q_slice_of(g->bytes.ptr + o->value_at, o->value_len);
    }
    return true;
}

static void emit(q_core *c)
{
    q_group *g = c->filling;
    if (needs_seqs(c))
        reserve_seqs(c, g);
    trim(c, g);
    add_tail(c, g);
    add_marks(c, g);
    add_positions(c, g);
    q_timers_cancel(&c->timers, &c->tail_timer);
    c->tail_due = false;
    if (c->fatal || g->op_count == 0 || !finish(c, g))
        return;
    c->flying = g;
    c->filling = &c->groups[g == &c->groups[0]];
    c->persist_began_ns = q_core_stopwatch(c);
    c->stats.groups++;
    c->stats.group_records += g->records;
    q_effect *e = q_effects_add(c->fx, Q_FX_PERSIST);
    e->group = ++c->group_number;
    e->ops = g->final;
    e->op_count = g->op_count;
}

void q_core_group_flush(q_core *c)
{
    if (c->flying || c->fatal)
        return;
    if (c->filling->decisions || c->filling->begins_epoch || c->filling->resolutions || needs_seqs(c) || (c->tail_due && q_core_tail_pending(c))) {
        emit(c);
        while (c->held_first && c->filling->bytes.len < Q_GROUP_SOFT_BYTES) {
            q_txn *t = c->held_first;
            c->held_first = t->next_in_group;
            if (!c->held_first)
                c->held_last = &c->held_first;
            add_decision(c, c->filling, t);
        }
    } else if (q_core_tail_pending(c) && !c->tail_timer.armed && !c->tail_due) {
        q_timers_arm(&c->timers, &c->tail_timer, c->mono_us + (int64_t)c->config.tail_flush_ms * 1000);
    }
}

void q_core_group_begin_epoch(q_core *c)
{
    q_group *g = c->filling;
    q_rec r = { .type = Q_REC_EPOCH, .epoch = { c->epoch, c->now_us, Q_SLICE_LIT(Q_VERSION) } };
    g->begins_epoch = true;
    append(c, g, &r);
    put_u64(c, g, "epoch", c->epoch);
    char epochs[Q_EPOCHS_BYTES];
    put(c, g, Q_LT_META, Q_SLICE_LIT("purge"), q_slice_of(epochs, q_core_purge_epoch(c, epochs)));
    reserve_seqs(c, g);
    if (c->now_us > c->last_time_us)
        c->last_time_us = c->now_us;
    c->marks_changed = true;
}

/* ---- durable ---- */

static void settle(q_core *c, q_txn *t)
{
    q_dedupe_done done = { .lsn = t->lsn, .time_us = t->time_us, .partition = t->partition, .offset = t->offset, .log_bytes = t->record_bytes };
    memcpy(done.identity, t->identity, 16);
    memcpy(done.body, t->in.body_hash, 16);
    if (!q_dedupe_done_add(c->dedupe, &done)) {
        q_core_die(c, "out of memory for a request's identity");
        return;
    }
    t->identified = false;
    if (t->committed)
        t->unapplied = t->out.participants;
    bool over = !t->unapplied;
    q_core_fire(c, t, t->committed && over ? Q_TPE_PERSISTED_ALL : Q_TPE_PERSISTED, 0);
    if (over)
        q_core_seq_forget(c, t);
}

static void clear(q_group *g)
{
    q_buf_clear(&g->bytes);
    if (g->bytes.cap > (size_t)Q_GROUP_SOFT_BYTES)
        q_buf_free(&g->bytes);
    g->op_count = 0;
    g->first = NULL;
    g->last = &g->first;
    g->decisions = g->records = 0;
    g->begins_epoch = g->positions = false;
    g->seqs_until = 0;
}

void q_core_group_durable(q_core *c, uint64_t group)
{
    q_group *g = c->flying;
    if (!g || group != c->group_number) {
        q_core_die(c, "a group that isn't under way was said to be durable");
        return;
    }
    c->flying = NULL;
    if (g->records)
        c->durable_lsn = g->last_lsn;
    if (group > 1) /* the first one waits for the process to start: it says nothing of the next */
        c->persist_ns = q_core_stopwatch(c) - c->persist_began_ns;
    if (g->seqs_until)
        c->seqs_until = g->seqs_until;
    if (g->positions)
        q_positions_durable(c->positions);
    for (const q_txn *t = g->first; t; t = t->next_in_group)
        if (t->committed && t->seq > c->seq_high)
            c->seq_high = t->seq;
    for (q_txn *t = g->first, *next; t && !c->fatal; t = next) {
        next = t->next_in_group;
        settle(c, t);
    }
    struct q_resolution *resolutions = g->resolutions;
    g->resolutions = NULL;
    q_core_resolutions_durable(c, resolutions);
    if (g->begins_epoch && !c->fatal) {
        c->life = Q_LIFE_SERVING;
        q_core_recovered_ready(c);
        q_core_fence_all(c);
        q_core_unpark(c);
    }
    clear(g);
}

void q_core_group_free_all(q_core *c)
{
    for (int i = 0; i < 2; i++) {
        q_core_resolutions_free(c->groups[i].resolutions);
        q_buf_free(&c->groups[i].bytes);
        free(c->groups[i].ops);
        free(c->groups[i].final);
    }
    free(c->ended.at);
    free(c->published.at);
}

/* ---- META at recovery ---- */

q_rc q_core_meta_load(q_core *c, q_slice key, q_slice value, q_err *err)
{
    bool known = true, whole = value.len == 8;
    if (q_slice_eq(key, Q_SLICE_LIT("epoch")) && whole) {
        c->epoch = q_get_le64(value.ptr);
    } else if (q_slice_eq(key, Q_SLICE_LIT("seq")) && whole) {
        c->seqs_until = q_get_le64(value.ptr);
    } else if (q_slice_eq(key, Q_SLICE_LIT("low")) && whole) {
        c->first_lsn = c->trimmed_lsn = c->archived_lsn = c->next_lsn = q_get_le64(value.ptr);
    } else if (q_slice_eq(key, Q_SLICE_LIT("marks")) && value.len == MARKS_BYTES) {
        c->last_time_us = (int64_t)q_get_le64(value.ptr);
        c->seq_high = c->seq_high_next = q_get_le64(value.ptr + 8);
        for (int e = 0; e < Q_EN_COUNT; e++)
            c->engines[e].ended_high = q_get_le64(value.ptr + 16 + 8 * e);
    } else if (q_slice_eq(key, Q_SLICE_LIT("purge"))) {
        return q_core_purge_load(c, value, err);
    } else {
        static const char *const ours[] = { "epoch", "seq", "low", "marks" };
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            known = known && !q_slice_eq(key, q_slice_cstr(ours[i]));
    }
    return known ? Q_OK : q_err_set(err, Q_E_INTERNAL, "The log's META entry %.*s can't be read.", Q_SLICE_FMT(key));
}
