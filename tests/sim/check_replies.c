#include "tests/sim/check.h"

static bool is(q_slice code, const char *name) { return q_slice_eq(code, q_slice_cstr(name)); }

/* An abort or rejection that says nothing about the data: it may come at any time and must change nothing. */
static bool may_pass(q_slice code)
{
    static const char *const codes[] = { "LOCK_TIMEOUT", "PARTICIPANT_TIMEOUT", "PARTICIPANT_REFUSED", "ENGINE_DOWN", "OVERLOADED" };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (is(code, codes[i]))
            return true;
    return false;
}

static bool about_data(q_slice code)
{
    static const char *const codes[] = { "DUPLICATE_ID", "DUPLICATE_VALUE", "REQUIRED_MISSING", "REQUIRED_BY_OTHERS", "ASSERT_FAILED",
                                         "UNKNOWN_RECORD", "RECORD_EXISTS" };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (is(code, codes[i]))
            return true;
    return false;
}

static bool has_kind(const sim_identity *id, sim_op_kind kind)
{
    for (uint32_t v = 0; v < id->variant_count; v++)
        for (uint32_t i = 0; i < id->variants[v].count; i++)
            if (id->variants[v].ops[i].kind == kind)
                return true;
    return false;
}

static bool writes(const sim_identity *id)
{
    for (uint32_t v = 0; v < id->variant_count; v++)
        if (sim_txn_writes(&id->variants[v]))
            return true;
    return false;
}

static void unexplained(world *w, const sim_identity *id, const sim_reply *r)
{
    sim_violation(&w->s, "answers", "request %.*s: nothing explains the answer %.*s", Q_SLICE_FMT(id->request_id), Q_SLICE_FMT(r->bytes));
}

static void check_one(world *w, const sim_identity *id, const sim_reply *r)
{
    sim_stats *st = &w->s.stats;
    switch (r->status) {
    case ST_COMMITTED:
        if (!writes(id))
            st->read_only++;
        break;
    case ST_ROLLED_BACK: st->rolled_back++; break;
    case ST_ABORTED:
        st->aborted++;
        if (!may_pass(r->code) && !about_data(r->code))
            unexplained(w, id, r);
        break;
    case ST_REJECTED:
        st->rejected++;
        if (is(r->code, "REQUEST_ID_REUSED") ? id->variant_count < 2 : !may_pass(r->code) && !about_data(r->code) && !has_kind(id, OP_NONSENSE))
            unexplained(w, id, r);
        break;
    case ST_NONE: unexplained(w, id, r); break;
    }
}

static void check_identity(world *w, const sim_identity *id)
{
    const sim_reply *outcome = NULL;
    if (!id->replies) {
        sim_violation(&w->s, "answers", "request %.*s was never answered", Q_SLICE_FMT(id->request_id));
        return;
    }
    for (const sim_reply *r = id->replies; r; r = r->next) {
        check_one(w, id, r);
        if (r->status == ST_REJECTED || !writes(id))
            continue;
        if (outcome)
            sim_violation(&w->s, "answers", "request %.*s was answered with %.*s and with %.*s", Q_SLICE_FMT(id->request_id), Q_SLICE_FMT(outcome->bytes),
                          Q_SLICE_FMT(r->bytes));
        outcome = r;
    }
    if (id->decision && !outcome)
        sim_violation(&w->s, "answers", "request %.*s was decided, but its outcome wasn't told", Q_SLICE_FMT(id->request_id));
    if (id->decision && id->decision->committed && outcome && outcome->status != ST_COMMITTED)
        sim_violation(&w->s, "answers", "request %.*s is committed in the log, but was told %.*s", Q_SLICE_FMT(id->request_id), Q_SLICE_FMT(outcome->bytes));
}

void check_replies(world *w)
{
    for (uint32_t i = 0; i < w->h.identities.count && !w->s.failed; i++)
        check_identity(w, w->h.identities.at[i]);
}

void check_nothing_open(world *w)
{
    for (uint32_t i = 0; i < w->h.decisions.count; i++) {
        const sim_decision *d = w->h.decisions.at[i];
        if (d->committed && d->participants && !d->ended)
            sim_violation(&w->s, "open", "seq %llu (request %.*s) has not ended", (unsigned long long)d->seq, Q_SLICE_FMT(d->identity->request_id));
    }
    for (const mem_prepared *p = w->servers[Q_EN_POSTGRES]->prepared; p; p = p->next)
        sim_violation(&w->s, "open", "seq %llu of epoch %llu is still prepared in postgres", (unsigned long long)p->seq, (unsigned long long)p->epoch);
}

void check_all(world *w)
{
    static _Thread_local model final; /* large; one world at a time on a thread */
    if (!w->s.failed)
        check_replies(w);
    if (!w->s.failed)
        check_nothing_open(w);
    if (!w->s.failed)
        check_serial(w, &final);
    if (!w->s.failed)
        check_state(w, &final);
}
