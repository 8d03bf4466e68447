/* admit.c - a message becomes a transaction: its position, its envelope, its identity, its plan, its locks. */
#include "coordinator/state.h"

#include <sodium.h>

#include "coordinator/resource.h"

enum { MAX_PARTS = 64 }; /* messages of one read's result */

/* ---- what can't be read ---- */

/* Its first bytes and the reason, for whoever watches the dead letters. */
static void dead_letter(q_core *c, q_txn *t, const q_request *r)
{
    enum { BASE64_MAX = (Q_DEAD_LETTER_BYTES + 2) / 3 * 4 + 1 };
    size_t n = r->value.len < Q_DEAD_LETTER_BYTES ? r->value.len : Q_DEAD_LETTER_BYTES;
    q_buf *out = q_effects_buf(c->fx, (size_t)BASE64_MAX + 4096);
    q_buf_printf(out, "{\"topic\":\"%.*s\",\"partition\":%d,\"offset\":%lld,\"code\":\"%s\",\"reason\":", Q_SLICE_FMT(c->rules.topic), r->partition,
                 (long long)r->offset, q_code_name(t->error.code));
    q_reply_text(c->replies, q_slice_cstr(t->error.message), out);
    q_buf_printf(out, ",\"bytes\":%zu,\"value_base64\":\"", r->value.len);
    char *at = q_buf_reserve(out, BASE64_MAX);
    if (at) {
        sodium_bin2base64(at, BASE64_MAX, (const unsigned char *)(r->value.ptr ? r->value.ptr : ""), n, sodium_base64_VARIANT_ORIGINAL);
        out->len += strlen(at);
    }
    q_buf_add_cstr(out, "\"}");
    if (out->failed) {
        q_effects_fail(c->fx);
        return;
    }
    uint64_t token = q_core_answer_expect(c, &t->answer);
    q_effect *e = q_effects_add(c->fx, Q_FX_PUBLISH);
    e->topic = c->topic_dlq;
    e->bytes = q_buf_slice(out);
    e->token = token;
    e->key = q_effects_copy(c->fx, t->in.request_id);
}

/* ---- planning ---- */

/* By the code: what never ran, and what was stopped. The list of codes is in that order. */
static bool is_rejection(q_code code) { return code != Q_E_NONE && code < Q_E_DUPLICATE_ID; }

static void copy_error(q_txn *t, const q_err *err)
{
    t->error = *err;
    if (t->error.code == Q_E_NONE)
        t->error.code = Q_E_INTERNAL;
    if (!q_utf8_valid(q_slice_cstr(t->error.message)))
        t->error.message[0] = '\0'; /* an engine's own words, in whatever they are written */
    if (!q_utf8_valid(q_slice_cstr(t->error.hint)))
        t->error.hint[0] = '\0';
}

/* Each denial is told to whoever reads the log, also where the answer only says "unknown". */
static void audit_denial(q_core *c, const q_txn *t)
{
    bool nobody = t->error.code == Q_E_UNAUTHENTICATED, forbidden = t->error.code == Q_E_FORBIDDEN;
    if (!nobody && !forbidden && !(t->script && t->script->denied))
        return;
    q_slice record = t->script ? t->script->denied_record : Q_SLICE_NONE, attr = t->script ? t->script->denied_attr : Q_SLICE_NONE;
    c->stats.denied += !nobody;
    c->stats.unauthenticated += nobody;
    q_effects_log(c->fx, "audit: denied %s principal=%.*s bucket=%.*s record=%.*s attribute=%.*s statement=%u request_id=%.*s: %s", q_code_name(t->error.code),
                  Q_SLICE_FMT(t->in.principal), Q_SLICE_FMT(t->in.bucket), Q_SLICE_FMT(record), Q_SLICE_FMT(attr), t->error.statement,
                  Q_SLICE_FMT(t->in.request_id), t->error.message);
}

void q_core_set_error(q_txn *t, const q_err *err)
{
    copy_error(t, err);
    t->status = "aborted";
    t->out = (q_exec_outcome){ .participants = t->out.participants }; /* who must be told */
}

void q_core_fail_txn(q_core *c, q_txn *t, const q_err *err)
{
    q_core_set_error(t, err);
    if (t->error.code == Q_E_FORBIDDEN)
        audit_denial(c, t);
    q_core_fire(c, t, t->read_only ? Q_TPE_GIVE_UP : Q_TPE_ABORT, 0);
}

void q_core_refuse(q_core *c, q_txn *t, const q_err *err)
{
    copy_error(t, err);
    t->status = "rejected";
    audit_denial(c, t);
    t->out = (q_exec_outcome){ 0 };
    q_core_fire(c, t, Q_TPE_REFUSED, 0);
}

/* One DDL of a bucket at a time, and those that wait for it (behind_ddl). */
static q_rc lock_ddl(q_txn *t, q_err *err)
{
    q_lock_want *wants = Q_NEW_ARRAY(t->plan_arena, q_lock_want, t->locks.count + 1);
    q_slice resource = q_resource_ddl(t->plan_arena, t->bucket_name);
    if (!wants || !resource.ptr)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for locks.");
    if (t->locks.count)
        memcpy(wants, t->locks.wants, t->locks.count * sizeof *wants);
    wants[t->locks.count] = (q_lock_want){ Q_LL_BUCKET, Q_LM_X, Q_EN_BIT(Q_EN_POSTGRES), resource };
    t->locks = (q_lockset){ t->locks.count + 1, wants };
    return Q_OK;
}

/* A function of the text, the parameters and t->catalog. */
static q_rc parse_and_plan(q_core *c, q_txn *t, q_err *err)
{
    if (!q_core_plan_room(c, t))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for a plan.");
    q_rc rc = q_ql_parse(t->plan_arena, t->text, &t->script, err);
    if (rc == Q_OK)
        rc = q_ql_check_for(t->plan_arena, t->script, t->catalog, t->in.bucket, t->in.params, t->in.param_count, &t->in.who, err);
    if (rc != Q_OK)
        return rc;
    t->bucket = q_catalog_bucket(t->catalog, t->script->bucket);
    t->bucket_name = t->bucket ? t->bucket->name : q_arena_copy(t->arena, t->script->bucket); /* the plan's own goes with the plan */
    t->read_only = t->script->read_only;
    t->ddl_script = t->script->ddl;
    rc = q_exec_plan(t->plan_arena, t->catalog, t->script, &t->exec, &t->locks, err);
    if (rc != Q_OK)
        return rc;
    q_exec_outcome_in(t->exec, t->arena);
    if (!c->config.publish_changes)
        q_exec_no_events(t->exec);
    return Q_OK;
}

q_rc q_core_plan_again(q_core *c, q_txn *t, bool ran, q_err *err)
{
    q_exec_outcome outcome;
    const q_exec_read *reads;
    size_t count;
    q_rc rc = parse_and_plan(c, t, err);
    if (rc != Q_OK || !ran)
        return rc;
    q_exec_outcome_in(t->exec, t->plan_arena);
    q_exec_start(t->exec, t->seq, t->time_us, true);
    return q_exec_next(t->exec, &reads, &count, &outcome, err) == Q_EXEC_DONE ? Q_OK : Q_FAIL;
}

static q_rc plan(q_core *c, q_txn *t, q_err *err)
{
    q_rc rc = parse_and_plan(c, t, err);
    if (rc != Q_OK)
        return rc;
    if (t->ddl_script && lock_ddl(t, err) != Q_OK)
        return Q_FAIL;
    if (t->read_only)
        q_exec_allow_parts(t->exec, MAX_PARTS);
    t->engines = q_exec_engines(t->exec);
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (t->engines >> e & 1 && !c->engines[e].exists) {
            q_err_set(err, Q_E_ENGINE_DOWN, "The %s engine, which this needs, isn't part of the system.", q_engine_name(e));
            return Q_FAIL;
        }
    return Q_OK;
}

/* Q_SAB_FORGET_LOCK: ids aren't locked. */
static q_lockset without_ids(q_txn *t)
{
    q_lock_want *kept = Q_NEW_ARRAY(t->plan_arena, q_lock_want, t->locks.count);
    q_lockset out = { 0, kept };
    for (uint32_t i = 0; kept && i < t->locks.count; i++)
        if (t->locks.wants[i].level != Q_LL_ID)
            kept[out.count++] = t->locks.wants[i];
    return out;
}

static void lock(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    q_lockset set = Q_SABOTAGED(c->config.sabotage, Q_SAB_FORGET_LOCK) ? without_ids(t) : t->locks;
    if (Q_SABOTAGED(c->config.sabotage, Q_SAB_SEQ_BEFORE_LOCKS) && !t->read_only && !t->seq)
        (void)q_core_give_seq(c, t);
    switch (q_locks_acquire(c->locks, (uint64_t)(uintptr_t)t, &set, &err)) {
    case Q_OK:
        q_core_fire(c, t, Q_TPE_GRANTED, 0);
        break;
    case Q_WAIT:
        c->stats.lock_waits++;
        q_core_fire(c, t, Q_TPE_QUEUED, 0);
        break;
    default:
        q_core_fail_txn(c, t, &err);
        break;
    }
}

/* What can't be said of the catalog as it is may be right when the DDL under way is over: `CREATE RECORD …` and its first INSERT may be sent
 * one after the other. Waits behind the bucket's DDL, until its time limit at most; false when there is none. */
static bool wait_for_ddl(q_core *c, q_txn *t, const q_err *why)
{
    q_err err;
    q_core_no_err(&err);
    if (!t->script)
        return false;
    q_slice bucket = t->script->bucket.len ? t->script->bucket : t->in.bucket;
    q_lock_want w = { Q_LL_BUCKET, Q_LM_S, Q_EN_BIT(Q_EN_POSTGRES), q_resource_ddl(t->plan_arena, bucket) };
    q_rc rc = w.resource.ptr ? q_locks_acquire(c->locks, (uint64_t)(uintptr_t)t, &(q_lockset){ 1, &w }, &err) : Q_FAIL;
    if (rc == Q_OK)
        q_locks_release(c->locks, (uint64_t)(uintptr_t)t, Q_ALL_ENGINES);
    if (rc != Q_WAIT)
        return false;
    t->behind_ddl = true;
    t->error = *why;
    c->stats.lock_waits++;
    q_core_fire(c, t, Q_TPE_QUEUED, 0);
    return true;
}

/* B8: an engine not yet told the epoch gets no work; and without a durable epoch there are no seqs. */
static bool may_run(const q_core *c, const q_txn *t)
{
    return !(t->engines & ~c->ready) && (c->life == Q_LIFE_SERVING || (t->read_only && !t->engines));
}

/* A dead engine stops only what needs it: those that wait for it must not take all the places. At the start all may wait. */
static bool too_many_wait(const q_core *c, const q_txn *t)
{
    if (c->parked < c->config.max_in_flight / 4)
        return false;
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (t->engines & ~c->ready & Q_EN_BIT(e) && c->mono_us - c->engines[e].unready_us >= Q_ENGINE_SILENT_US)
            return true;
    return false;
}

void q_core_plan_and_lock(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    if (t->catalog != c->catalog) {
        t->bucket_name = t->in.bucket; /* it may be the old catalog's */
        t->bucket = NULL;
        q_catalog_unref(t->catalog);
        t->catalog = q_catalog_ref(c->catalog);
    }
    t->error.code = Q_E_NONE;
    q_rc rc = plan(c, t, &err);
    t->planned_ns = q_core_stopwatch(c);
    q_core_txn_count_bytes(c, t);
    if (rc != Q_OK && is_rejection(err.code)) {
        if (!wait_for_ddl(c, t, &err))
            q_core_refuse(c, t, &err);
    } else if (rc != Q_OK) {
        q_core_fail_txn(c, t, &err);
    } else if (!may_run(c, t) && too_many_wait(c, t)) {
        q_err_set(&err, Q_E_ENGINE_DOWN, "An engine that it needs isn't ready, and %u transactions wait for that already.", c->parked);
        q_core_fail_txn(c, t, &err);
    } else if (!may_run(c, t)) {
        q_core_parked_add(c, t);
        q_core_fire(c, t, Q_TPE_PARK, 0);
    } else {
        lock(c, t);
    }
}

void q_core_unpark(q_core *c)
{
    for (q_txn *t = c->first_parked, *next; t; t = next) {
        next = t->next_parked;
        if (may_run(c, t))
            q_core_fire(c, t, Q_TPE_ENGINE_READY, 0);
    }
}

/* ---- requests ---- */

/* Seen before and not over: it waits for the same reply. */
static void join(q_core *c, q_txn *t, q_txn *first)
{
    q_answer *a = q_core_answer_new(c);
    q_slice topic = q_arena_copy(first->arena, t->in.reply_topic);
    if (!a || !topic.ptr) {
        q_core_die(c, "out of memory for a duplicate request");
        return;
    }
    a->topic = topic;
    a->position = t->answer.position;
    a->next = first->duplicates;
    first->duplicates = a;
    q_core_txn_count_bytes(c, first);
}

/* Seen before and over: the log has the reply. */
static void answer_again(q_core *c, q_txn *t, uint64_t lsn)
{
    q_answer *a = q_core_answer_new(c);
    if (!a) {
        q_core_die(c, "out of memory for a duplicate request");
        return;
    }
    a->position = t->answer.position;
    uint64_t token = q_core_answer_expect(c, a);
    q_effect *e = q_effects_add(c->fx, Q_FX_REPLY_STORED);
    e->lsn = lsn;
    e->topic = q_effects_copy(c->fx, t->in.reply_topic);
    e->key = e->request_id = q_effects_copy(c->fx, t->in.request_id);
    e->token = token;
}

static void identify(q_core *c, q_txn *t)
{
    q_err err;
    q_core_no_err(&err);
    void *owner = NULL;
    uint64_t lsn = 0;
    q_dedupe_identity(t->in.id_by_place ? c->config.topic_incarnation : c->config.log_incarnation, t->in.principal, t->in.bucket, t->in.request_id, t->identity);
    q_seen seen = Q_SEEN_NEVER;
    if (!Q_SABOTAGED(c->config.sabotage, Q_SAB_DROP_DEDUPE))
        seen = q_dedupe_find(c->dedupe, t->identity, t->in.body_hash, &owner, &lsn);
    switch (seen) {
    case Q_SEEN_NEVER:
        break;
    case Q_SEEN_IN_FLIGHT:
        c->stats.duplicates++;
        join(c, t, owner);
        q_core_txn_free(c, t);
        return;
    case Q_SEEN_DONE:
        c->stats.duplicates++;
        answer_again(c, t, lsn);
        q_core_txn_free(c, t);
        return;
    case Q_SEEN_OTHER_BODY:
        q_err_set(&err, Q_E_REQUEST_ID_REUSED, "The request id %.*s was used before with another statement.", Q_SLICE_FMT(t->in.request_id));
        q_core_refuse(c, t, &err);
        return;
    }
    if (!Q_SABOTAGED(c->config.sabotage, Q_SAB_DROP_DEDUPE)) {
        if (!q_dedupe_begin(c->dedupe, t->identity, t->in.body_hash, t)) {
            q_core_die(c, "out of memory for a request's identity");
            return;
        }
        t->identified = true;
    }
    t->text = q_arena_copy(t->arena, t->in.query);
    if (!t->text.ptr) {
        q_err_set(&err, Q_E_LIMIT_MEMORY, "No memory for the text.");
        q_core_fail_txn(c, t, &err);
        return;
    }
    q_core_plan_and_lock(c, t);
}

void q_core_admit(q_core *c, const q_request *r)
{
    q_err err;
    q_core_no_err(&err);
    uint8_t hash[16];
    q_position *position;
    if (c->draining)
        return; /* it stays in the topic: its position isn't complete */
    q_positions_hash_message(r->key, r->value, hash);
    q_rc rc = q_positions_begin(c->positions, r->partition, r->offset, hash, &position, &err);
    if (rc == Q_END)
        return; /* delivered again: complete, or being worked on */
    q_txn *t = rc == Q_OK ? q_core_txn_new(c) : NULL;
    if (!t) {
        q_core_die(c, rc == Q_OK ? "out of memory for a transaction" : err.message);
        return;
    }
    c->stats.requests++;
    t->partition = r->partition;
    t->offset = r->offset;
    t->answer.position = position;
    t->deadline_us = c->mono_us + (int64_t)c->config.default_timeout_ms * 1000;
    c->rules.catalog = c->catalog;
    c->rules.now_us = c->now_us;
    rc = q_request_read(t->arena, &c->rules, r, &t->in, &err);
    t->bucket_name = t->in.bucket;
    t->reply_type = q_content_type(t->in.msgpack);
    if (rc == Q_OK) {
        t->deadline_us = c->mono_us + (int64_t)t->in.timeout_ms * 1000;
        identify(c, t);
        return;
    }
    if (t->in.unreadable) {
        t->error = err;
        dead_letter(c, t, r);
    }
    q_core_refuse(c, t, &err);
}
