#include "tests/sim/history.h"

#include <stdlib.h>

#include "tests/sim/json.h"

void history_init(history *h, sim *s)
{
    *h = (history){ .s = s, .seq_slots = 4096 };
    h->by_seq = Q_NEW_ARRAY(s->arena, sim_decision *, h->seq_slots);
    if (!h->by_seq)
        abort();
}

void sim_list_add(q_arena *arena, sim_list *l, void *p)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        void **more = Q_NEW_ARRAY(arena, void *, l->cap);
        if (!more)
            abort();
        if (l->count)
            memcpy(more, l->at, l->count * sizeof *more);
        l->at = more;
    }
    l->at[l->count++] = p;
}

/* ---- requests ---- */

sim_identity *history_new_identity(history *h, int bucket)
{
    sim_identity *id = Q_NEW(h->s->arena, sim_identity);
    if (!id)
        abort();
    id->number = h->identities.count;
    id->bucket = bucket;
    id->request_id = q_arena_printf(h->s->arena, "r%u", id->number);
    sim_list_add(h->s->arena, &h->identities, id);
    return id;
}

sim_message *history_produce(history *h, sim_identity *id, uint32_t variant, int32_t partition, bool own_id)
{
    static _Thread_local q_buf text = Q_BUF_INIT(1 << 16);
    sim *s = h->s;
    sim_message *m = Q_NEW(s->arena, sim_message);
    if (!m)
        abort();
    const sim_txn *t = &id->variants[variant];
    q_buf_clear(&text);
    sim_txn_text(t, &text);
    *m = (sim_message){ .partition = partition, .offset = h->partitions[partition].count, .identity = id, .variant = variant, .produced_us = s->now_us };
    m->value = q_arena_copy(s->arena, q_buf_slice(&text));
    if (own_id)
        m->request_id = id->request_id;
    else
        id->request_id = q_arena_printf(s->arena, "quanta.requests-%d-%lld", (int)partition, (long long)m->offset);
    if (t->timeout_ms)
        m->timeout = q_arena_printf(s->arena, "%u", t->timeout_ms);
    if (id->message_count++ == 0)
        id->first_produced_us = s->now_us;
    sim_list_add(s->arena, &h->partitions[partition], m);
    SIM_TRACE(s, "client", id->number, "request %.*s to partition %d offset %lld, %s: %.*s", Q_SLICE_FMT(id->request_id), (int)partition,
              (long long)m->offset, sim_bucket_names[id->bucket], Q_SLICE_FMT(m->value));
    return m;
}

static const sim_message *message_at(const history *h, int32_t partition, int64_t offset)
{
    if (partition < 0 || partition >= SIM_PARTITIONS || offset < 0 || offset >= (int64_t)h->partitions[partition].count)
        return NULL;
    return h->partitions[partition].at[offset];
}

static bool number(const char **p, const char *end, uint32_t *out)
{
    const char *start = *p;
    for (*out = 0; *p < end && **p >= '0' && **p <= '9'; ++*p)
        *out = *out * 10 + (uint32_t)(**p - '0');
    return *p > start;
}

sim_identity *history_find(const history *h, q_slice id)
{
    static const char place[] = "quanta.requests-";
    const char *p = id.ptr, *end = id.ptr + id.len;
    uint32_t a, b;
    if (id.len > 1 && *p == 'r') {
        p++;
        if (number(&p, end, &a) && p == end && a < h->identities.count)
            return h->identities.at[a];
    } else if (id.len > sizeof place && memcmp(p, place, sizeof place - 1) == 0) {
        p += sizeof place - 1;
        if (number(&p, end, &a) && p < end && *p++ == '-' && number(&p, end, &b) && p == end) {
            const sim_message *m = message_at(h, (int32_t)a, b);
            return m ? m->identity : NULL;
        }
    }
    return NULL;
}

/* ---- decisions ---- */

static uint32_t slot_of(const history *h, uint64_t seq) { return (uint32_t)((seq * 0x9e3779b97f4a7c15u) >> 32) & (h->seq_slots - 1); }

sim_decision *history_decision(const history *h, uint64_t seq)
{
    for (uint32_t i = slot_of(h, seq); h->by_seq[i]; i = (i + 1) & (h->seq_slots - 1))
        if (h->by_seq[i]->seq == seq)
            return h->by_seq[i];
    return NULL;
}

static void index_seq(history *h, sim_decision *d)
{
    uint32_t i = slot_of(h, d->seq);
    while (h->by_seq[i])
        i = (i + 1) & (h->seq_slots - 1);
    h->by_seq[i] = d;
}

static void new_decision(history *h, uint64_t lsn, const q_rec_decision *rec)
{
    sim *s = h->s;
    sim_identity *id = history_find(h, rec->request_id);
    if (!id) {
        sim_violation(s, "log", "lsn %llu decides request %.*s, which nobody made", (unsigned long long)lsn, Q_SLICE_FMT(rec->request_id));
        return;
    }
    sim_decision *d = Q_NEW(s->arena, sim_decision);
    if (!d)
        abort();
    *d = (sim_decision){ .lsn = lsn, .seq = rec->seq, .epoch = rec->epoch, .committed = rec->committed, .participants = rec->participants,
                         .event_count = rec->event_count, .durable_us = s->now_us, .reply = q_arena_copy(s->arena, rec->reply), .identity = id, .principal = q_arena_copy(s->arena, rec->principal),
                         .message = message_at(h, rec->partition, rec->offset) };
    SIM_TRACE(s, "log", lsn * 2 + d->committed, "lsn %llu durable: %s %.*s, seq %llu, epoch %llu", (unsigned long long)lsn, d->committed ? "commit of" : "abort of",
              Q_SLICE_FMT(rec->request_id), (unsigned long long)rec->seq, (unsigned long long)rec->epoch);
    if (!d->message || d->message->identity != id)
        sim_violation(s, "log", "the decision about %.*s names partition %d offset %lld, which holds another request", Q_SLICE_FMT(rec->request_id),
                      (int)rec->partition, (long long)rec->offset);
    else if (id->decision && !h->tolerant)
        sim_violation(s, "once", "request %.*s was decided twice: lsn %llu (%s, seq %llu) and lsn %llu (%s, seq %llu)", Q_SLICE_FMT(rec->request_id),
                      (unsigned long long)id->decision->lsn, id->decision->committed ? "commit" : "abort", (unsigned long long)id->decision->seq,
                      (unsigned long long)lsn, d->committed ? "commit" : "abort", (unsigned long long)d->seq);
    else if (d->seq && history_decision(h, d->seq) && !h->tolerant)
        sim_violation(s, "order", "seq %llu was given to request %.*s and to %.*s", (unsigned long long)d->seq,
                      Q_SLICE_FMT(history_decision(h, d->seq)->identity->request_id), Q_SLICE_FMT(rec->request_id));
    id->decision = d;
    if (d->seq)
        index_seq(h, d);
    sim_list_add(s->arena, &h->decisions, d);
    if (h->decisions.count * 2 > h->seq_slots)
        abort(); /* a seed is never that long */
}

void history_durable(void *ctx, uint64_t lsn, q_slice bytes)
{
    history *h = ctx;
    q_rec rec;
    q_err err = Q_ERR_INIT;
    if (q_rec_decode(h->s->arena, bytes, lsn, &rec, &err) != Q_OK)
        sim_violation(h->s, "log", "lsn %llu can't be read: %s", (unsigned long long)lsn, err.message);
    else if (rec.type == Q_REC_DECISION)
        new_decision(h, lsn, &rec.decision);
    else if (rec.type == Q_REC_TAIL)
        for (uint32_t i = 0; i < rec.tail.ended_count; i++) {
            sim_decision *d = history_decision(h, rec.tail.ended[i]);
            if (d && d->committed)
                d->ended = true;
            else
                sim_violation(h->s, "log", "lsn %llu ends seq %llu, which no decision has", (unsigned long long)lsn, (unsigned long long)rec.tail.ended[i]);
        }
}

uint64_t history_ended_below(const history *h)
{
    uint64_t below = 0;
    for (uint32_t i = 0; i < h->decisions.count; i++) {
        const sim_decision *d = h->decisions.at[i];
        if (d->seq >= below)
            below = d->seq + 1;
    }
    for (uint32_t i = 0; i < h->decisions.count; i++) {
        const sim_decision *d = h->decisions.at[i];
        if (d->committed && d->participants && !d->ended && d->seq < below)
            below = d->seq;
    }
    return below;
}

/* ---- replies ---- */

static sim_status status_of(const char *text)
{
    static const char *const names[] = { "", "committed", "rolled_back", "aborted", "rejected" };
    for (int i = 1; text && i <= ST_REJECTED; i++)
        if (strcmp(text, names[i]) == 0)
            return (sim_status)i;
    return ST_NONE;
}

static q_slice canonical(q_arena *arena, json_t *results)
{
    static _Thread_local q_buf out = Q_BUF_INIT(1 << 20);
    static const char *const counted[] = { "insert", "update", "delete" };
    q_buf_clear(&out);
    size_t i;
    json_t *entry;
    json_array_foreach(results, i, entry)
    {
        const char *kind = json_string_value(json_object_get(entry, "kind"));
        for (int k = 0; kind && k < 3; k++)
            if (strcmp(kind, counted[k]) == 0)
                q_buf_printf(&out, "%s %lld;", kind, (long long)json_integer_value(json_object_get(entry, "count")));
        if (kind && strcmp(kind, "select") == 0) {
            char *rows = json_dumps(json_object_get(entry, "rows"), JSON_COMPACT | JSON_ENCODE_ANY);
            q_buf_printf(&out, "select %s;", rows ? rows : "?");
        }
    }
    return q_arena_copy(arena, q_buf_slice(&out));
}

static bool read_reply(sim *s, sim_reply *r, q_slice request_id)
{
    json_error_t error;
    sim_json_begin();
    json_t *o = json_loadb(r->bytes.ptr, r->bytes.len, JSON_REJECT_DUPLICATES, &error), *e = json_object_get(o, "error");
    const char *code = json_string_value(json_object_get(e, "code")), *id = json_string_value(json_object_get(o, "request_id"));
    r->status = status_of(json_string_value(json_object_get(o, "status")));
    r->seq = (uint64_t)json_integer_value(json_object_get(o, "seq"));
    r->code = code ? q_arena_copy(s->arena, q_slice_cstr(code)) : Q_SLICE_NONE;
    r->retryable = json_is_true(json_object_get(e, "retryable"));
    r->answers = canonical(s->arena, json_object_get(o, "results"));
    bool good = o && r->status != ST_NONE && id && q_slice_eq(q_slice_cstr(id), request_id);
    sim_json_end();
    return good;
}

/* B4: an outcome that is told is durable by then. */
static void check_told(history *h, const sim_identity *id, const sim_reply *r)
{
    const sim_decision *d = id->decision;
    if (r->status == ST_REJECTED)
        return;
    bool writes = false;
    for (uint32_t i = 0; i < id->variant_count; i++)
        writes |= sim_txn_writes(&id->variants[i]);
    if (r->status != ST_ABORTED && (!writes || (!d && r->seq == 0)))
        return; /* a read, or a write that came to nothing: nothing to keep */
    if (r->status == ST_ABORTED && !writes && !d)
        return;
    if (h->tolerant)
        return;
    if (!d)
        sim_violation(h->s, "told", "request %.*s was told %.*s, which isn't durable", Q_SLICE_FMT(id->request_id), Q_SLICE_FMT(r->bytes));
    else if (!q_slice_eq(d->reply, r->bytes))
        sim_violation(h->s, "told", "request %.*s was told %.*s, but the log has %.*s", Q_SLICE_FMT(id->request_id), Q_SLICE_FMT(r->bytes), Q_SLICE_FMT(d->reply));
}

void history_reply(history *h, q_slice topic, q_slice request_id, q_slice bytes)
{
    sim *s = h->s;
    sim_identity *id = history_find(h, request_id);
    if (!id || !q_slice_eq(topic, Q_SLICE_LIT("quanta.results"))) {
        sim_violation(s, "told", "a reply to %.*s about request %.*s, which nobody made", Q_SLICE_FMT(topic), Q_SLICE_FMT(request_id));
        return;
    }
    sim_reply *r = id->replies;
    while (r && !q_slice_eq(r->bytes, bytes))
        r = r->next;
    if (!r) {
        r = Q_NEW(s->arena, sim_reply);
        if (!r)
            abort();
        *r = (sim_reply){ .next = id->replies, .first_us = s->now_us, .bytes = q_arena_copy(s->arena, bytes) };
        if (!read_reply(s, r, request_id)) {
            sim_violation(s, "told", "the reply to %.*s isn't a result: %.*s", Q_SLICE_FMT(request_id), Q_SLICE_FMT(bytes));
            return;
        }
        id->replies = r;
    }
    r->last_us = s->now_us;
    r->count++;
    SIM_TRACE(s, "reply", id->number, "%.*s", Q_SLICE_FMT(bytes));
    check_told(h, id, r);
    if (!id->answered_us && !q_slice_eq(r->code, Q_SLICE_LIT("REQUEST_ID_REUSED")))
        id->answered_us = s->now_us;
}

void history_event(history *h, q_slice topic, q_slice key, q_slice value)
{
    static const char prefix[] = "quanta.changes.";
    sim *s = h->s;
    for (int b = 0; b < SIM_BUCKETS; b++)
        if (topic.len == sizeof prefix - 1 + strlen(sim_bucket_names[b]) && memcmp(topic.ptr, prefix, sizeof prefix - 1) == 0 &&
            memcmp(topic.ptr + sizeof prefix - 1, sim_bucket_names[b], strlen(sim_bucket_names[b])) == 0) {
            sim_event *e = Q_NEW(s->arena, sim_event);
            if (!e)
                abort();
            *e = (sim_event){ b, q_arena_copy(s->arena, key), q_arena_copy(s->arena, value), s->now_us };
            sim_list_add(s->arena, &h->events, e);
            SIM_TRACE(s, "event", key.len, "%.*s: %.*s", Q_SLICE_FMT(key), Q_SLICE_FMT(value));
        }
}
