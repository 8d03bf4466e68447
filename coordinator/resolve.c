/* resolve.c - what only an operator may do about a committed transaction that an engine can't apply (B5), and what he sees of one transaction.
 *
 * A RESOLVE record (who, when, why) is durable before anything follows from it. ABANDON: the engine's part counts as applied though it isn't: its
 * locks are freed, END doesn't wait for it, recovery and replays leave it out. RETRY: it is sent again at once. */
#include "coordinator/state.h"

#include <stdlib.h>

#include "wal/inspect.h"

/* ---- who ---- */

static q_txn *find(const q_core *c, q_slice txid)
{
    char text[Q_TXID_BYTES];
    for (q_txn *t = c->first_all; t; t = t->next_all)
        if (q_slice_eq(txid, q_slice_of(text, q_core_txid(c, t, text))))
            return t;
    return NULL;
}

/* ---- resolving ---- */

struct q_resolution { struct q_resolution *next; uint64_t seq; uint32_t engines; bool abandoned; };

q_rc q_core_resolve(q_core *c, q_slice txid, bool abandon, q_engine_id engine, q_slice who, q_slice why, int64_t now_us, q_err *err)
{
    const q_txn *t = find(c, txid);
    if (!t)
        return q_err_set(err, Q_E_INTERNAL, "There is no open transaction %.*s.", Q_SLICE_FMT(txid));
    if (t->state != Q_TPS_APPLYING || c->life != Q_LIFE_SERVING)
        return q_err_set(err, Q_E_INTERNAL, "Transaction %.*s is %s: only one that is decided and not applied everywhere can be resolved.", Q_SLICE_FMT(txid),
                         q_tp_state_name(t->state));
    if (abandon && !(t->unapplied >> engine & 1))
        return q_err_set(err, Q_E_INTERNAL, "Transaction %.*s doesn't wait for %s.", Q_SLICE_FMT(txid), q_engine_name(engine));
    struct q_resolution *r = malloc(sizeof *r);
    if (!r)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    *r = (struct q_resolution){ c->filling->resolutions, t->seq, abandon ? Q_EN_BIT(engine) : t->unapplied, abandon };
    c->filling->resolutions = r;
    q_core_persist_resolve(c, &(q_rec_resolve){ t->seq, c->epoch, r->engines, abandon, now_us, who, why });
    c->stats.resolved++;
    return Q_OK;
}

static void resolved(q_core *c, const struct q_resolution *r)
{
    q_txn *t = q_core_by_seq(c, r->seq);
    if (!t || t->state != Q_TPS_APPLYING)
        return; /* applied everywhere meanwhile */
    if (!r->abandoned) {
        t->backoff_us = 0;
        q_core_fire(c, t, Q_TPE_RESEND, 0);
        return;
    }
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        if (!(r->engines >> e & 1) || !(t->unapplied >> e & 1))
            continue;
        q_effects_log(c->fx, "transaction %llu: an operator gave up its part in %s", (unsigned long long)t->seq, q_engine_name(e));
        q_core_out_push(c, t->bucket_name, e, Q_OUT_ABORT, t->seq); /* nobody tries it again */
        t->out.participants &= ~Q_EN_BIT(e);
        t->unapplied &= ~Q_EN_BIT(e);
        q_core_fire(c, t, t->unapplied ? Q_TPE_ACK : t->published ? Q_TPE_LAST_ACK_TOLD : Q_TPE_LAST_ACK, e);
        return; /* one engine at a time is given up */
    }
}

void q_core_resolutions_durable(q_core *c, struct q_resolution *list)
{
    while (list) {
        struct q_resolution *r = list;
        list = r->next;
        if (!c->fatal)
            resolved(c, r);
        free(r);
    }
}

void q_core_resolutions_free(struct q_resolution *list)
{
    while (list) {
        struct q_resolution *r = list;
        list = r->next;
        free(r);
    }
}

/* ---- why an apply fails, as the workers tell it ---- */

void q_core_trouble(q_core *c, q_txn *t, q_engine_id engine, const q_vote *vote)
{
    if (vote->text.len == 0 || !(t->unapplied >> engine & 1))
        return;
    q_trouble *x = t->trouble[engine] ? t->trouble[engine] : Q_NEW(t->arena, q_trouble);
    if (!x)
        return;
    if (!t->trouble[engine])
        x->since_us = c->mono_us;
    t->trouble[engine] = x;
    x->last_us = c->mono_us;
    x->times++;
    size_t n = vote->text.len < sizeof x->text ? vote->text.len : sizeof x->text - 1;
    while (n && n < vote->text.len && ((unsigned char)vote->text.ptr[n] & 0xC0) == 0x80)
        n--; /* not in the middle of a character */
    memcpy(x->text, vote->text.ptr, n);
    x->text[n] = '\0';
    if (!q_utf8_valid(q_slice_of(x->text, n)))
        x->text[0] = '\0';
}

void q_core_add_troubles(const q_core *c, const q_txn *t, int64_t mono_us, q_buf *out)
{
    bool first = true;
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++) {
        const q_trouble *x = t->trouble[e];
        if (!x || !(t->unapplied >> e & 1))
            continue;
        q_buf_printf(out, "%s\"%s\":{\"times\":%llu,\"since_ms\":%lld,\"last_ms\":%lld,\"error\":", first ? ",\"errors\":{" : ",", q_engine_name(e), (unsigned long long)x->times,
                     (long long)((mono_us - x->since_us) / 1000), (long long)((mono_us - x->last_us) / 1000));
        q_reply_text(c->replies, q_slice_cstr(x->text), out);
        q_buf_add_byte(out, '}');
        first = false;
    }
    if (!first)
        q_buf_add_byte(out, '}');
}

/* ---- all about one ---- */

static void add_mask(q_buf *out, const char *name, uint32_t engines)
{
    bool first = true;
    q_buf_printf(out, ",\"%s\":[", name);
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (engines >> e & 1) {
            q_buf_printf(out, "%s\"%s\"", first ? "" : ",", q_engine_name(e));
            first = false;
        }
    q_buf_add_byte(out, ']');
}

/* The one command that mends it; or what to wait for. */
static void add_mend(const q_core *c, const q_txn *t, q_slice txid, q_buf *out)
{
    q_buf_add_cstr(out, ",\"mend\":\"");
    for (q_engine_id e = 0; t->state == Q_TPS_APPLYING && e < Q_EN_COUNT; e++) {
        if (!(t->unapplied >> e & 1))
            continue;
        if (c->engines[e].phase == Q_ENGINE_BEHIND)
            q_buf_printf(out, "quanta wal replay --engine %s", q_engine_name(e));
        else if (c->engines[e].phase != Q_ENGINE_READY)
            q_buf_printf(out, "start %s and its worker: it doesn't answer", q_engine_name(e));
        else if (t->trouble[e])
            q_buf_printf(out, "mend what %s says, then: quanta txn resolve %.*s --commit", q_engine_name(e), Q_SLICE_FMT(txid));
        else
            continue;
        break;
    }
    if (t->state == Q_TPS_PARKED)
        q_buf_add_cstr(out, "start the engines that are missing; it ends by itself at its time limit");
    q_buf_add_byte(out, '"');
}

q_rc q_core_show_txn(const q_core *c, q_slice txid, int64_t mono_us, q_buf *out, q_err *err)
{
    const q_txn *t = find(c, txid);
    if (!t)
        return q_err_set(err, Q_E_INTERNAL, "There is no open transaction %.*s. What has ended is in the log: quanta wal ls --request-id, or --seq.", Q_SLICE_FMT(txid));
    q_core_list_one(c, t, mono_us, out);
    out->len -= 2; /* "}\n" */
    q_buf_add_cstr(out, ",\"principal\":");
    q_reply_text(c->replies, t->in.principal, out);
    q_buf_printf(out, ",\"partition\":%d,\"offset\":%lld,\"lsn\":%llu", t->partition, (long long)t->offset, (unsigned long long)t->lsn);
    uint32_t all = t->out.participants ? t->out.participants : t->engines;
    add_mask(out, "participants", all);
    if (t->state >= Q_TPS_PREPARING && t->state != Q_TPS_TELLING)
        add_mask(out, "voted_yes", t->out.participants & ~t->unvoted);
    if (t->state == Q_TPS_APPLYING)
        add_mask(out, "applied", t->out.participants & ~t->unapplied);
    add_mend(c, t, txid, out);
    if (t->out.participants) {
        q_arena *arena = q_arena_new((size_t)256 << 20);
        q_buf_add_cstr(out, ",\"redo\":");
        if (arena)
            q_wal_redo_json(arena, t->out.participants, t->out.writes, out);
        else
            out->failed = true;
        q_arena_free(arena);
    }
    q_buf_add_cstr(out, "}\n");
    return Q_OK;
}
