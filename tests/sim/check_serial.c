#include "tests/sim/check.h"

#include <stdlib.h>

/* A committed transaction, in seq order. */
typedef struct entry {
    const sim_decision *d;
    const sim_txn *txn;
    const sim_reply *reply;
    int64_t told_us;       /* INT64_MAX: never */
} entry;

/* An answer that must be right after some prefix of the order: a read, a rollback, a refusal. */
typedef struct seen {
    const sim_identity *id;
    const sim_reply *reply;
    uint32_t from, to;     /* prefix lengths */
    bool explained;
} seen;

static int by_seq(const void *x, const void *y)
{
    const entry *a = x, *b = y;
    return (a->d->seq > b->d->seq) - (a->d->seq < b->d->seq);
}

static const sim_reply *reply_of(const sim_decision *d)
{
    for (const sim_reply *r = d->identity->replies; r; r = r->next)
        if (q_slice_eq(r->bytes, d->reply))
            return r;
    return NULL;
}

static uint32_t in_order(world *w, entry **out)
{
    history *h = &w->h;
    entry *all = Q_NEW_ARRAY(w->s.arena, entry, h->decisions.count + 1);
    uint32_t n = 0;
    if (!all)
        abort();
    for (uint32_t i = 0; i < h->decisions.count; i++) {
        const sim_decision *d = h->decisions.at[i];
        if (!d->committed || !d->seq)
            continue;
        const sim_reply *r = reply_of(d);
        all[n++] = (entry){ d, &d->identity->variants[d->message->variant], r, r ? r->first_us : INT64_MAX };
    }
    qsort(all, n, sizeof *all, by_seq);
    *out = all;
    return n;
}

/* What was told before another request was made precedes it. */
static void check_time(world *w, const entry *all, uint32_t n)
{
    const entry *first_told = NULL; /* among those with a higher seq */
    for (uint32_t i = n; i-- > 0;) {
        if (first_told && first_told->told_us < all[i].d->identity->first_produced_us)
            sim_violation(&w->s, "serial", "%.*s (seq %llu) was told before %.*s (seq %llu) was asked, and yet comes after it",
                          Q_SLICE_FMT(first_told->d->identity->request_id), (unsigned long long)first_told->d->seq,
                          Q_SLICE_FMT(all[i].d->identity->request_id), (unsigned long long)all[i].d->seq);
        if (!first_told || all[i].told_us < first_told->told_us)
            first_told = &all[i];
    }
}

/* ---- answers outside of the order ---- */

static const struct { const char *code; uint32_t reason; } reasons[] = {
    { "DUPLICATE_ID", MODEL_DUPLICATE_ID }, { "DUPLICATE_VALUE", MODEL_DUPLICATE_VALUE }, { "REQUIRED_MISSING", MODEL_REQUIRED_MISSING },
    { "REQUIRED_BY_OTHERS", MODEL_REQUIRED_BY_OTHERS }, { "ASSERT_FAILED", MODEL_ASSERT_FAILED }, { "UNKNOWN_RECORD", MODEL_UNKNOWN_RECORD },
    { "RECORD_EXISTS", MODEL_RECORD_EXISTS },
};

static uint32_t reason_of(q_slice code)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (q_slice_eq(code, q_slice_cstr(reasons[i].code)))
            return reasons[i].reason;
    return 0;
}

static void window(const entry *all, uint32_t n, seen *o)
{
    const sim_decision *d = o->id->decision;
    o->from = 0;
    o->to = n;
    if (d && d->seq && q_slice_eq(d->reply, o->reply->bytes)) { /* it had its place: exactly there */
        while (o->from < n && all[o->from].d->seq < d->seq)
            o->from++;
        o->to = o->from;
        return;
    }
    /* A rejection for the schema's sake took no locks: only definitions conflict with it, and order it. */
    bool by_schema = (reason_of(o->reply->code) & (MODEL_UNKNOWN_RECORD | MODEL_RECORD_EXISTS)) != 0;
    for (uint32_t i = 0; i < n; i++) {
        if (by_schema && !sim_txn_is_ddl(all[i].txn))
            continue;
        if (all[i].told_us < o->id->first_produced_us)
            o->from = i + 1;
        if (all[i].d->identity->first_produced_us > o->reply->first_us && o->to > i)
            o->to = i;
    }
}

static uint32_t collect(world *w, const entry *all, uint32_t n, seen **out)
{
    history *h = &w->h;
    seen *list = Q_NEW_ARRAY(w->s.arena, seen, h->identities.count * 3 + 1);
    uint32_t count = 0;
    if (!list)
        abort();
    for (uint32_t i = 0; i < h->identities.count; i++) {
        const sim_identity *id = h->identities.at[i];
        uint32_t kept = 0;
        for (const sim_reply *r = id->replies; r && kept < 3; r = r->next) {
            bool placed = id->decision && id->decision->committed && id->decision->seq && r->status == ST_COMMITTED;
            bool says = r->status == ST_COMMITTED || r->status == ST_ROLLED_BACK || reason_of(r->code);
            if (placed || !says)
                continue;
            list[count] = (seen){ .id = id, .reply = r };
            window(all, n, &list[count++]);
            kept++;
        }
    }
    *out = list;
    return count;
}

static bool explains(model *m, const seen *o, const sim_txn *t, model_result *res)
{
    model_run(m, t, UINT64_MAX, res);
    model_back(m);
    uint32_t reason = reason_of(o->reply->code);
    if (reason)
        return (res->reasons & reason) != 0;
    /* A rollback is never put to the engines, so what only they would have refused doesn't count. */
    bool fails = o->reply->status == ST_COMMITTED ? res->must_fail || (t->rollback && res->changed) : (res->reasons & MODEL_ASSERT_FAILED) != 0 || !t->rollback;
    return !fails && q_slice_eq(q_buf_slice(res->answers), o->reply->answers);
}

static void explain(world *w, model *m, seen *list, uint32_t count, uint32_t prefix, model_result *res)
{
    for (uint32_t i = 0; i < count && !w->s.failed; i++) {
        seen *o = &list[i];
        if (o->explained || prefix < o->from || prefix > o->to)
            continue;
        for (uint32_t v = 0; v < o->id->variant_count && !o->explained; v++)
            o->explained = explains(m, o, &o->id->variants[v], res);
        if (!o->explained && prefix == o->to) {
            model_run(m, &o->id->variants[0], UINT64_MAX, res);
            model_back(m);
            sim_violation(&w->s, "serial", "request %.*s was answered %.*s: no state between prefix %u and %u explains it; at the last one it would be %.*s (reasons %u)",
                          Q_SLICE_FMT(o->id->request_id), Q_SLICE_FMT(o->reply->bytes), o->from, o->to, Q_SLICE_FMT(q_buf_slice(res->answers)), res->reasons);
        }
    }
}

/* ---- the order itself ---- */

static void replay(world *w, model *m, const event_index *events, entry *e, model_result *res)
{
    model_run(m, e->txn, e->d->seq, res);
    const char *id = e->d->identity->request_id.ptr;
    if (res->must_fail)
        sim_violation(&w->s, "serial", "%s (seq %llu) committed, but in seq order it can't: reasons %u", id, (unsigned long long)e->d->seq, res->reasons);
    else if (e->txn->rollback)
        sim_violation(&w->s, "serial", "%s (seq %llu) committed, though it ends with ROLLBACK", id, (unsigned long long)e->d->seq);
    else if (e->reply && !q_slice_eq(q_buf_slice(res->answers), e->reply->answers))
        sim_violation(&w->s, "serial", "%s (seq %llu) was answered %.*s; in seq order it is %.*s", id, (unsigned long long)e->d->seq, Q_SLICE_FMT(e->reply->answers),
                      Q_SLICE_FMT(q_buf_slice(res->answers)));
    check_events_of(w, events, e->d->seq, e->txn->bucket, m, res);
    if (res->changed)
        w->s.stats.committed++;
    if (w->s.trace)
        sim_trace(&w->s, "replay", "seq %llu %s: %.*s", (unsigned long long)e->d->seq, id, Q_SLICE_FMT(q_buf_slice(res->answers)));
}

void check_serial(world *w, model *m)
{
    static _Thread_local q_buf answers = Q_BUF_INIT(1 << 20);
    static _Thread_local model_result res;
    entry *all;
    seen *list;
    uint32_t n = in_order(w, &all), count = collect(w, all, n, &list);
    res.answers = &answers;
    model_init(m, w->s.arena);
    check_time(w, all, n);
    const event_index *events = check_events(w);
    for (uint32_t i = 0; i <= n && !w->s.failed; i++) {
        explain(w, m, list, count, i, &res);
        if (i < n && !w->s.failed)
            replay(w, m, events, &all[i], &res);
    }
}
