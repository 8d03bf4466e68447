#include "workers/worker.h"

static void answer_read(q_job *job, uint32_t i, q_rc rc, const q_err *err)
{
    q_rows *rows = &job->rows[i];
    q_slice text = q_arena_copy(job->arena, q_slice_cstr(err->message));
    *rows = (q_rows){
        .read_id = job->reads[i].read_id,
        .rc = rc == Q_FAIL ? Q_FAIL : Q_RETRY,
        .code = err->code != Q_E_NONE ? err->code : Q_E_ENGINE_DOWN,
        .error = text,
        .attr_count = job->reads[i].attr_count,
    };
}

void q_job_fail(q_job *job, q_rc rc, const q_err *err)
{
    job->rc = rc;
    if (&job->err != err)
        job->err = *err;
    if (job->kind == Q_J_PREPARE) {
        /* Q_FAIL is about the whole batch, an epoch or a setting: it may pass for the transactions in it. */
        q_slice text = q_arena_copy(job->arena, q_slice_cstr(err->message));
        for (uint32_t i = 0; i < job->count; i++)
            job->votes[i] = (q_vote){ .seq = job->txns[i].seq, .no = Q_NO_ENGINE_DOWN, .text = text };
    } else if (job->kind == Q_J_READ) {
        for (uint32_t i = 0; i < job->count; i++)
            answer_read(job, i, rc, err);
    }
}

static void run_reads(q_job *job, const q_engine_ops *ops, q_engine *session)
{
    job->rc = Q_OK;
    for (uint32_t i = 0; i < job->count; i++) {
        q_err err = Q_ERR_INIT;
        job->rows[i] = (q_rows){ .read_id = job->reads[i].read_id, .attr_count = job->reads[i].attr_count };
        q_rc rc = job->rc == Q_OK ? ops->read(session, job->arena, &job->reads[i], &job->rows[i], &err) : job->rc;
        if (rc == Q_OK) {
            job->rows[i].read_id = job->reads[i].read_id;
            job->rows[i].rc = Q_OK;
            continue;
        }
        answer_read(job, i, rc, job->rc == Q_OK ? &err : &job->err);
        /* One read that can't be answered says nothing about the next; a broken session does. */
        if (rc != Q_FAIL && job->rc == Q_OK) {
            job->rc = rc;
            job->err = err;
        }
    }
}

void q_job_run(q_job *job, const q_engine_ops *ops, q_engine *session)
{
    q_err err = Q_ERR_INIT;
    q_rc rc = Q_OK;
    switch (job->kind) {
    case Q_J_PREPARE:
        rc = ops->prepare(session, job->arena, job->epoch, job->txns, job->count, job->votes, &err);
        break;
    case Q_J_COMMIT:
        rc = ops->commit(session, job->arena, job->epoch, job->below, job->txns, job->count, &err);
        break;
    case Q_J_ROLLBACK:
        rc = ops->rollback(session, job->epoch, job->seqs, job->count, &err);
        break;
    case Q_J_FENCE:
        rc = ops->fence(session, job->epoch, &job->state, &err);
        break;
    case Q_J_SWEEP:
        rc = ops->list_prepared(session, job->arena, &job->prepared_epochs, &job->prepared_seqs, &job->prepared_count, &err);
        break;
    case Q_J_PURGE:
        rc = ops->purge(session, job->epoch, job->below - 1, &err);
        break;
    case Q_J_READ:
        run_reads(job, ops, session);
        return;
    }
    if (rc == Q_OK)
        job->rc = Q_OK;
    else
        q_job_fail(job, rc, &err);
}
