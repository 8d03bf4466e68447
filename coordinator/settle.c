/* settle.c - what follows an outcome: the reply, the change events, the new schema, and the broker's acknowledgements. */
#include "coordinator/state.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the answer's bytes ---- */

size_t q_core_txid(const q_core *c, const q_txn *t, char out[Q_TXID_BYTES])
{
    size_t n = q_reply_digits(t->seq ? t->epoch : c->epoch, out);
    out[n++] = '-';
    if (!t->seq)
        out[n++] = 'n';
    return n + q_reply_digits(t->seq ? t->seq : t->number, out + n);
}

static int64_t between(int64_t from, int64_t to) { return from && to > from ? to - from : 0; }

/* `persist` is what the last group took: this answer is itself part of what is being synced. */
static q_timings timings(const q_core *c, const q_txn *t, bool logged)
{
    int64_t now = q_core_stopwatch(c);
    q_timings m = {
        .parse_ns = between(t->arrived_ns, t->planned_ns),
        .lock_ns = between(t->planned_ns, t->granted_ns),
        .read_ns = between(t->granted_ns, t->run_ns),
        .prepare_ns = between(t->run_ns, t->voted_ns),
        .persist_ns = logged ? c->persist_ns : 0,
    };
    m.total_ns = between(t->arrived_ns, now) + m.persist_ns;
    return m;
}

static q_reply frame(q_core *c, q_txn *t, char txid[Q_TXID_BYTES], bool logged)
{
    q_reply r = {
        .request_id = t->in.request_id,
        .bucket = t->bucket_name,
        .seq = t->seq,
        .status = t->status,
        .error = t->error.code ? &t->error : NULL,
        .timings = timings(c, t, logged),
    };
    if (strcmp(t->status, "rejected") != 0)
        r.txid = q_slice_of(txid, q_core_txid(c, t, txid));
    return r;
}

/* Into the transaction's arena or, when that is full (perhaps it is why the transaction ends), beside it. */
static bool keep_reply(q_txn *t, q_slice bytes)
{
    free(t->reply_heap);
    t->reply_heap = NULL;
    t->reply = q_arena_copy(t->arena, bytes);
    if (t->reply.ptr)
        return true;
    t->reply_heap = malloc(bytes.len);
    if (!t->reply_heap)
        return false;
    memcpy(t->reply_heap, bytes.ptr, bytes.len);
    t->reply = q_slice_of(t->reply_heap, bytes.len);
    return true;
}

q_rc q_core_make_reply(q_core *c, q_txn *t, q_err *err)
{
    char txid[Q_TXID_BYTES];
    q_reply r = frame(c, t, txid, true);
    r.results = t->out.results;
    r.result_count = t->out.result_count;
    q_buf_clear(&c->scratch);
    if (!q_reply_write(c->replies, &r, t->in.msgpack, &c->scratch) || !keep_reply(t, q_buf_slice(&c->scratch)))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the result.");
    q_core_txn_count_bytes(c, t);
    return Q_OK;
}

/* ---- publishing ---- */

uint64_t q_core_answer_expect(q_core *c, q_answer *a)
{
    if (!a->ticket)
        a->ticket = q_tickets_give(&c->answers, a);
    if (!a->ticket)
        q_core_die(c, "out of memory for a publication");
    a->missing++;
    return a->ticket;
}

static void reply_to(q_core *c, const q_txn *t, q_slice topic, q_slice bytes, uint64_t token)
{
    q_effect *e = q_effects_add(c->fx, Q_FX_REPLY);
    e->topic = q_effects_copy(c->fx, topic);
    e->key = e->request_id = q_effects_copy(c->fx, t->in.request_id);
    e->bytes = bytes;
    e->type = q_effects_copy(c->fx, t->reply_type);
    e->token = token;
}

static void reply_to_all(q_core *c, q_txn *t, q_slice bytes)
{
    reply_to(c, t, t->in.reply_topic, bytes, q_core_answer_expect(c, &t->answer));
    for (q_answer *a = t->duplicates; a; a = a->next)
        reply_to(c, t, a->topic, bytes, q_core_answer_expect(c, a));
}

/* A read's result, in as many messages as it takes. */
static void reply_parts(q_core *c, q_txn *t)
{
    char txid[Q_TXID_BYTES];
    q_reply r = frame(c, t, txid, false);
    uint32_t parts = r.error || t->out.part_count < 1 ? 1 : t->out.part_count;
    for (uint32_t i = 0; i < parts; i++) {
        r.part = parts > 1 ? i + 1 : 0;
        r.more = i + 1 < parts;
        r.results = parts > 1 ? t->out.parts[i].results : t->out.results;
        r.result_count = parts > 1 ? t->out.parts[i].result_count : t->out.result_count;
        q_buf *out = q_effects_buf(c->fx, Q_REC_MAX_BYTES);
        if (!q_reply_write(c->replies, &r, t->in.msgpack, out)) {
            q_core_die(c, "out of memory for a result");
            return;
        }
        reply_to_all(c, t, q_buf_slice(out));
    }
}

static void count(q_core *c, const q_txn *t)
{
    q_core_stats *s = &c->stats;
    uint64_t *const by_status[] = { &s->committed, &s->rolled_back, &s->aborted, &s->rejected };
    static const char *const names[] = { "committed", "rolled_back", "aborted", "rejected" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (t->status && strcmp(t->status, names[i]) == 0)
            ++*by_status[i];
    if (t->read_only)
        s->read_only++;
}

void q_core_send_reply(q_core *c, q_txn *t)
{
    count(c, t);
    if (t->reply.ptr)
        reply_to_all(c, t, q_effects_copy(c->fx, t->reply));
    else
        reply_parts(c, t);
    /* The duplicates live on by themselves until their replies are acknowledged. */
    t->duplicates = NULL;
}

void q_core_tell_account(q_core *c, const q_txn *t)
{
    if (!c->config.account)
        return;
    q_timings m = timings(c, t, t->lsn != 0);
    int64_t now = q_core_stopwatch(c), last = t->voted_ns ? t->voted_ns : t->run_ns;
    q_account a = {
        .status = t->status, .code = t->error.code, .read_only = t->read_only, .seq = t->seq,
        .request_id = t->in.request_id, .bucket = t->bucket_name, .text = t->text.len ? t->text : t->in.query, .trace = t->in.trace,
        .total_ns = between(t->arrived_ns, now), .parse_ns = m.parse_ns, .lock_ns = m.lock_ns, .read_ns = m.read_ns, .prepare_ns = m.prepare_ns,
        .persist_ns = t->lsn ? between(last, now) : 0, /* what this one waited, not what the last group took */
        .arrived_ns = t->arrived_ns, .granted_ns = t->granted_ns, .run_ns = t->run_ns, .voted_ns = t->voted_ns,
    };
    memcpy(a.engine_read_ns, t->engine_read_ns, sizeof a.engine_read_ns);
    memcpy(a.engine_prepare_ns, t->engine_prepare_ns, sizeof a.engine_prepare_ns);
    c->config.account(c->config.account_ctx, &a);
}

/* Q_SAB_REPLY_BEFORE_SYNC */
void q_core_send_early(q_core *c, q_txn *t) { reply_to(c, t, t->in.reply_topic, q_effects_copy(c->fx, t->reply), 0); }

void q_core_send_events(q_core *c, q_txn *t)
{
    if (!c->config.publish_changes || !t->out.event_count)
        return;
    q_buf_clear(&c->scratch2);
    q_buf_add_slice(&c->scratch2, c->topic_changes);
    q_buf_add_slice(&c->scratch2, t->bucket_name);
    q_slice topic = q_effects_copy(c->fx, q_buf_slice(&c->scratch2));
    for (uint32_t i = 0; i < t->out.event_count; i++) {
        uint64_t token = q_core_answer_expect(c, &t->answer);
        q_slice key = q_effects_copy(c->fx, t->out.events[i].key), value = q_effects_copy(c->fx, t->out.events[i].value);
        q_effect *e = q_effects_add(c->fx, Q_FX_PUBLISH);
        e->topic = topic;
        e->key = key;
        e->bytes = value;
        e->token = token;
    }
}

/* ---- schemas: what the catalog now says, for everybody; a null value when it is gone ---- */

static void publish_schema(q_core *c, q_txn *t, q_slice bucket, q_slice record, const q_buf *value)
{
    uint64_t token = q_core_answer_expect(c, &t->answer);
    q_buf_clear(&c->scratch2);
    q_buf_add_slice(&c->scratch2, bucket);
    if (record.len) {
        q_buf_add_byte(&c->scratch2, '/');
        q_buf_add_slice(&c->scratch2, record);
    }
    q_slice key = q_effects_copy(c->fx, q_buf_slice(&c->scratch2));
    if (c->scratch2.failed || (value && value->failed)) {
        q_core_die(c, "out of memory for a schema");
        return;
    }
    q_effect *e = q_effects_add(c->fx, Q_FX_PUBLISH);
    e->topic = c->topic_schemas;
    e->key = key;
    e->bytes = value ? q_buf_slice(value) : Q_SLICE_NONE;
    e->token = token;
}

static void publish_record(q_core *c, q_txn *t, const q_record *r)
{
    q_buf *out = q_effects_buf(c->fx, (size_t)1 << 20);
    q_buf_printf(out, "{\"bucket\":\"%.*s\",\"record\":\"%.*s\",\"version\":%u,\"incarnation\":%llu,\"definition\":", Q_SLICE_FMT(r->bucket),
                 Q_SLICE_FMT(r->name), r->version, (unsigned long long)r->incarnation);
    q_record_to_json(r, out);
    q_buf_add_byte(out, '}');
    publish_schema(c, t, r->bucket, r->name, out);
}

static void publish_bucket(q_core *c, q_txn *t, const q_bucket *b)
{
    q_buf *out = q_effects_buf(c->fx, 4096);
    q_buf_printf(out, "{\"bucket\":\"%.*s\",\"incarnation\":%llu}", Q_SLICE_FMT(b->name), (unsigned long long)b->incarnation);
    publish_schema(c, t, b->name, Q_SLICE_NONE, out);
}

static void publish_changed(q_core *c, q_txn *t, const q_bucket *before, const q_bucket *after)
{
    if (after && (!before || before->incarnation != after->incarnation))
        publish_bucket(c, t, after);
    for (uint32_t i = 0; before && i < before->count; i++)
        if (!after || !q_bucket_record(after, before->records[i]->name))
            publish_schema(c, t, before->name, before->records[i]->name, NULL);
    for (uint32_t i = 0; after && i < after->count; i++)
        if (!before || q_bucket_record(before, after->records[i]->name) != after->records[i])
            publish_record(c, t, after->records[i]);
    if (before && !after)
        publish_schema(c, t, before->name, Q_SLICE_NONE, NULL);
}

void q_core_new_schema(q_core *c, q_txn *t)
{
    if (!t->catalog_after)
        return;
    publish_changed(c, t, q_catalog_bucket(c->catalog, t->bucket_name), q_catalog_bucket(t->catalog_after, t->bucket_name));
    if (t->grants_change) {
        c->stats.grants_changed++;
        q_effects_log(c->fx, "audit: changed principal=%.*s bucket=%.*s seq=%llu request_id=%.*s: %.*s", Q_SLICE_FMT(t->in.principal), Q_SLICE_FMT(t->bucket_name),
                      (unsigned long long)t->seq, Q_SLICE_FMT(t->in.request_id), Q_SLICE_FMT(t->text));
    }
    q_catalog_unref(c->catalog);
    c->catalog = t->catalog_after;
    t->catalog_after = NULL;
}

/* After a crash the catalog before isn't known any more: what the statement was about is published as it is now. */
void q_core_schema_again(q_core *c, q_txn *t)
{
    q_ddl d;
    q_err err = Q_ERR_INIT;
    if (!t->ddl.len || q_ddl_decode(t->arena, t->ddl, &d, &err) != Q_OK)
        return;
    const q_bucket *b = q_catalog_bucket(c->catalog, d.bucket);
    if (d.kind == Q_DDL_CREATE_BUCKET || d.kind == Q_DDL_DROP_BUCKET) {
        if (b)
            publish_bucket(c, t, b);
        else
            publish_schema(c, t, d.bucket, Q_SLICE_NONE, NULL);
        return;
    }
    const q_record *r = b ? q_bucket_record(b, d.record) : NULL;
    if (r)
        publish_record(c, t, r);
    else
        publish_schema(c, t, d.bucket, d.record, NULL);
}

/* ---- acknowledgements ---- */

void q_core_publication_done(q_core *c, uint64_t token)
{
    q_answer *a = q_tickets_find(&c->answers, token);
    if (!a)
        return; /* acknowledged twice */
    assert(a->missing > 0);
    if (--a->missing)
        return;
    q_tickets_take_back(&c->answers, a->ticket);
    a->ticket = 0;
    if (a->txn) {
        a->txn->published = true;
        q_core_fire(c, a->txn, Q_TPE_PUBLISHED, 0);
        return;
    }
    q_positions_complete(c->positions, a->position);
    q_core_answer_free(c, a);
}
