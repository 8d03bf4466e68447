/* vote.c - prepare and vote (B3). Presumed abort: nothing is logged before the decision. */
#include "coordinator/state.h"

#include <assert.h>

void q_core_send_prepares(q_core *c, q_txn *t)
{
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (t->unvoted >> e & 1)
            q_core_out_push(c, t->bucket_name, e, Q_OUT_PREPARE, t->seq);
}

/* All have voted YES: the decision's record must fit before it is made. */
static void decide(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    size_t bytes = 0;
    t->voted_ns = q_core_stopwatch(c);
    t->status = "committed";
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        bytes += t->out.writes[e].len;
    for (uint32_t i = 0; i < t->out.event_count; i++)
        bytes += t->out.events[i].key.len + t->out.events[i].value.len + 16;
    q_rc rc = q_core_prepare_ddl(c, t, &err);
    if (rc == Q_OK)
        rc = q_core_make_reply(c, t, &err);
    if (rc == Q_OK && bytes + t->reply.len > (size_t)Q_REC_MAX_BYTES - 64 * 1024)
        rc = q_err_set(&err, Q_E_WRITE_TOO_LARGE, "The transaction's log record would have %zu bytes.", bytes + t->reply.len);
    if (rc == Q_OK)
        q_core_fire(c, t, Q_TPE_LAST_YES, 0);
    else
        q_core_fail_txn(c, t, &err);
}

static void said_no(q_core *c, q_txn *t, q_engine_id engine, const q_vote *vote)
{
    q_err err;
    q_core_no_err(&err);
    bool again = vote->no == Q_NO_MISSING && t->blind && t->out.may_be_missing;
    if (!t->plan_arena && q_core_plan_again(c, t, !again, &err) != Q_OK) {
        q_core_fail_txn(c, t, &err);
        return;
    }
    if (again) {
        t->blind = false;
        q_core_fire(c, t, Q_TPE_NO_MISSING, engine);
        return;
    }
    q_exec_refused(t->exec, engine, vote, &err);
    t->voted_ns = q_core_stopwatch(c);
    q_core_set_error(t, &err);
    q_core_fire(c, t, Q_TPE_NO, engine);
}

void q_core_vote_came(q_core *c, q_engine_id engine, const q_vote *vote)
{
    q_txn *t = q_core_by_seq(c, vote->seq);
    if (!t && q_core_replay_active(c))
        q_core_replay_trouble(c, engine, vote);
    if (!t)
        return; /* over, or an attempt that is over */
    if (t->state == Q_TPS_APPLYING && vote->no != Q_NO_NONE)
        q_core_trouble(c, t, engine, vote);
    if (t->state != Q_TPS_PREPARING) {
        q_core_fire(c, t, vote->no == Q_NO_NONE ? Q_TPE_YES : Q_TPE_NO, engine);
        return;
    }
    if (!(t->unvoted >> engine & 1))
        return; /* the same vote again, or nobody's who was asked */
    if (c->config.account)
        t->engine_prepare_ns[engine] = q_core_stopwatch(c) - t->run_ns;
    if (vote->no != Q_NO_NONE) {
        said_no(c, t, engine, vote);
        return;
    }
    t->unvoted &= ~Q_EN_BIT(engine);
    if (t->unvoted && !Q_SABOTAGED(c->config.sabotage, Q_SAB_MISSING_VOTE))
        q_core_fire(c, t, Q_TPE_YES, engine);
    else
        decide(c, t);
}
