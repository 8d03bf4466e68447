/* core_world.h - a core, a log in memory, four fake engines and everything between them, in one thread and without time of its own: a test
 * says what is held back, what is lost and when the process dies. */
#ifndef Q_TEST_CORE_WORLD_H
#define Q_TEST_CORE_WORLD_H

#include "tests/unit/coordinator/fake_engines.h"

#include "coordinator/core.h"
#include "wal/bytes.h"

enum { WORLD_MAX = 20000, WORLD_HEADERS = 8 };

typedef struct world_message { q_slice topic, key, bytes, request_id, type; uint64_t token; bool reply; } world_message;
typedef struct world_work { q_engine_id engine; bool reads; q_slice bytes; } world_work;
typedef struct world_entry { q_log_table table; q_slice key, value; bool live; } world_entry;

typedef struct world_engine {
    bool down;                 /* its messages are kept, and lost when the test says so */
    bool deaf;                 /* they are lost at once */
    bool no_votes, no_acks, no_rows; /* carried out, but the answer is lost */
    q_no vote;                 /* Q_NO_NONE: what the preconditions say */
    q_engine_state state;
    unsigned prepares, commits, aborts, reads, fences;
    uint64_t last_below;
} world_engine;

typedef struct world {
    q_arena *arena;
    q_core_config config;
    q_core *core;
    q_effects *fx;
    fake_db db;
    int64_t now_us, mono_us, timer_us;
    int64_t offsets[4];
    /* the log */
    q_slice *records;          /* by lsn - 1; ptr NULL: trimmed */
    size_t record_count;
    world_entry *entries;
    size_t entry_count;
    bool hold_log;             /* groups aren't synced until world_sync */
    const q_log_op *ops;
    size_t op_count;
    uint64_t group;
    unsigned syncs;
    /* what left */
    world_message *out;
    size_t out_count;
    bool hold_acks;            /* the broker acknowledges nothing */
    world_work *work;          /* not delivered yet */
    size_t work_count;
    world_engine engines[Q_EN_COUNT];
    bool paused, fatal;
    char fatal_text[400];
} world;

static inline void world_step(world *w, q_event *ev)
{
    ev->now_us = w->now_us;
    ev->mono_us = w->mono_us;
    q_core_step(w->core, ev, w->fx);
}

/* ---- the log ---- */

static inline world_entry *world_entry_at(world *w, q_log_table table, q_slice key)
{
    for (size_t i = 0; i < w->entry_count; i++)
        if (w->entries[i].table == table && q_slice_eq(w->entries[i].key, key))
            return &w->entries[i];
    assert_true(w->entry_count < WORLD_MAX);
    w->entries[w->entry_count] = (world_entry){ .table = table, .key = q_arena_copy(w->arena, key) };
    return &w->entries[w->entry_count++];
}

static inline void world_write(world *w)
{
    for (size_t i = 0; i < w->op_count; i++) {
        const q_log_op *o = &w->ops[i];
        switch (o->kind) {
        case Q_LO_APPEND:
            assert_int_equal(o->lsn, w->record_count + 1);
            w->records[w->record_count++] = q_arena_copy(w->arena, o->value);
            break;
        case Q_LO_PUT: {
            world_entry *e = world_entry_at(w, o->table, o->key);
            e->value = q_arena_copy(w->arena, o->value);
            e->live = true;
            break;
        }
        case Q_LO_DELETE:
            world_entry_at(w, o->table, o->key)->live = false;
            break;
        case Q_LO_TRIM:
            for (size_t k = 0; k + 1 < o->lsn; k++)
                w->records[k] = Q_SLICE_NONE;
            break;
        }
    }
    w->syncs++;
    w->ops = NULL;
}

/* The group under way becomes durable, and the core is told. */
static inline void world_sync(world *w)
{
    assert_non_null(w->ops);
    world_write(w);
    q_event ev = { .kind = Q_EV_PERSISTED, .group = w->group };
    world_step(w, &ev);
}

static inline q_rec world_record(world *w, uint64_t lsn)
{
    q_rec r = { 0 };
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_rec_decode(w->arena, w->records[lsn - 1], lsn, &r, &err), Q_OK);
    return r;
}

/* ---- the workers ---- */

static inline void world_answer(world *w, const q_msg *m)
{
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    q_msg_encode(m, &b);
    assert_false(b.failed);
    q_event ev = { .kind = Q_EV_MESSAGE, .bytes = q_arena_copy(w->arena, q_buf_slice(&b)) };
    q_buf_free(&b);
    world_step(w, &ev);
}

static inline q_vote world_vote(world *w, q_engine_id e, const q_txn_work *t)
{
    q_writes writes;
    q_err err = Q_ERR_INIT;
    q_vote v = { .seq = t->seq, .no = w->engines[e].vote };
    assert_int_equal(q_writes_decode(w->arena, t->writes, &writes, &err), Q_OK);
    for (uint32_t i = 0; i < writes.count && v.no == Q_NO_NONE; i++)
        if (writes.items[i].op != Q_I_DDL) {
            v.no = fake_vote(&w->db, e, &writes.items[i], t->seq);
            v.item = i;
        }
    return v;
}

static inline void world_apply(world *w, q_engine_id e, const q_txn_work *t)
{
    q_writes writes;
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_writes_decode(w->db.arena, q_arena_copy(w->db.arena, t->writes), &writes, &err), Q_OK);
    for (uint32_t i = 0; i < writes.count; i++)
        if (writes.items[i].op != Q_I_DDL)
            fake_apply(&w->db, e, &writes.items[i], t->seq);
    if (t->seq > w->engines[e].state.applied_high)
        w->engines[e].state.applied_high = t->seq;
}

/* One message, carried out and answered. */
static inline void world_deliver(world *w, const world_work *work)
{
    q_msg m, a;
    q_err err = Q_ERR_INIT;
    world_engine *e = &w->engines[work->engine];
    assert_int_equal(q_msg_decode(w->arena, work->bytes, &m, &err), Q_OK);
    assert_int_equal(m.engine, work->engine);
    assert_int_equal(work->reads, m.kind == Q_M_READ);
    if (e->deaf)
        return;
    a = (q_msg){ .cluster = m.cluster, .epoch = m.epoch, .engine = m.engine, .bucket = m.bucket, .count = m.count };
    e->last_below = m.below;
    switch (m.kind) {
    case Q_M_FENCE: {
        q_engine_state before = e->state;
        e->fences++;
        if (m.epoch > e->state.epoch) {
            e->state.epoch = m.epoch;
            e->state.cluster = m.cluster;
        }
        a.kind = Q_M_STATE;
        a.count = 1;
        a.state = &before;
        world_answer(w, &a);
        break;
    }
    case Q_M_PREPARE: {
        q_vote *votes = Q_NEW_ARRAY(w->arena, q_vote, m.count);
        e->prepares += m.count;
        for (uint32_t i = 0; i < m.count; i++)
            votes[i] = world_vote(w, work->engine, &m.txns[i]);
        a.kind = Q_M_VOTE;
        a.votes = votes;
        if (!e->no_votes)
            world_answer(w, &a);
        break;
    }
    case Q_M_COMMIT: {
        uint64_t *seqs = Q_NEW_ARRAY(w->arena, uint64_t, m.count);
        e->commits += m.count;
        for (uint32_t i = 0; i < m.count; i++) {
            seqs[i] = m.txns[i].seq;
            world_apply(w, work->engine, &m.txns[i]);
        }
        a.kind = Q_M_ACK;
        a.seqs = seqs;
        if (!e->no_acks)
            world_answer(w, &a);
        break;
    }
    case Q_M_ABORT:
        e->aborts += m.count;
        break;
    case Q_M_READ: {
        q_rows *rows = Q_NEW_ARRAY(w->arena, q_rows, m.count);
        e->reads += m.count;
        for (uint32_t i = 0; i < m.count; i++) {
            q_exec_read r = { work->engine, m.reads[i] };
            q_arena *own = w->db.answer;
            w->db.answer = w->arena;
            rows[i] = fake_read(&w->db, &r);
            w->db.answer = own;
            rows[i].read_id = m.reads[i].read_id;
        }
        a.kind = Q_M_ROWS;
        a.rows = rows;
        if (!e->no_rows)
            world_answer(w, &a);
        break;
    }
    default:
        fail_msg("the core sent a message of kind %d", (int)m.kind);
    }
}

/* ---- effects ---- */

static inline void world_publish(world *w, const q_effect *e)
{
    assert_true(w->out_count < WORLD_MAX);
    world_message *m = &w->out[w->out_count++];
    *m = (world_message){ q_arena_copy(w->arena, e->topic), q_arena_copy(w->arena, e->key), q_arena_copy(w->arena, e->bytes),
                          q_arena_copy(w->arena, e->request_id), q_arena_copy(w->arena, e->type), e->token, e->kind == Q_FX_REPLY };
    if (e->kind == Q_FX_REPLY_STORED) {
        q_rec r = world_record(w, e->lsn);
        m->bytes = r.decision.reply;
        m->type = r.decision.reply_type;
        m->reply = true;
    }
}

/* Carries out one list of effects; false when there was none. */
static inline bool world_carry_out(world *w, uint64_t *tokens, size_t *token_count)
{
    size_t n = q_effects_count(w->fx);
    for (size_t i = 0; i < n; i++) {
        const q_effect *e = q_effects_at(w->fx, i);
        switch (e->kind) {
        case Q_FX_PERSIST:
            assert_null(w->ops); /* one group at a time */
            w->ops = e->ops;
            w->op_count = e->op_count;
            w->group = e->group;
            break;
        case Q_FX_SEND:
            assert_true(w->work_count < WORLD_MAX);
            w->work[w->work_count++] = (world_work){ e->engine, e->reads_lane, q_arena_copy(w->arena, e->bytes) };
            break;
        case Q_FX_REPLY:
        case Q_FX_REPLY_STORED:
        case Q_FX_PUBLISH:
            world_publish(w, e);
            if (e->token && !w->hold_acks)
                tokens[(*token_count)++] = e->token;
            break;
        case Q_FX_PAUSE:
            w->paused = true;
            break;
        case Q_FX_RESUME:
            w->paused = false;
            break;
        case Q_FX_TIMER:
            w->timer_us = e->at_us;
            break;
        case Q_FX_LOG:
        case Q_FX_REPLAY:
        case Q_FX_ARCHIVE:
            break;
        case Q_FX_FATAL:
            w->fatal = true;
            snprintf(w->fatal_text, sizeof w->fatal_text, "%.*s", Q_SLICE_FMT(e->bytes));
            break;
        }
    }
    q_effects_clear(w->fx);
    return n > 0;
}

/* Until nothing moves without time passing. */
static inline void world_run(world *w)
{
    static uint64_t tokens[WORLD_MAX];
    for (bool more = true; more && !w->fatal;) {
        size_t token_count = 0;
        q_core_flush(w->core, w->fx);
        more = world_carry_out(w, tokens, &token_count);
        if (w->fatal)
            return;
        for (size_t i = 0; i < token_count; i++) {
            q_event ev = { .kind = Q_EV_PUBLISHED, .token = tokens[i] };
            world_step(w, &ev);
        }
        size_t count = w->work_count, kept = 0;
        world_work *batch = Q_NEW_ARRAY(w->arena, world_work, count + 1);
        memcpy(batch, w->work, count * sizeof *batch);
        w->work_count = 0;
        for (size_t i = 0; i < count; i++)
            if (w->engines[batch[i].engine].down)
                w->work[kept++] = batch[i];
            else
                world_deliver(w, &batch[i]);
        if (kept) { /* those kept stay in front of what was sent meanwhile */
            w->work_count = kept;
        }
        if (w->ops && !w->hold_log) {
            world_sync(w);
            more = true;
        }
        more = more || token_count || count > kept;
    }
}

static inline void world_pass(world *w, int64_t ms)
{
    for (int64_t until = w->mono_us + ms * 1000; w->mono_us < until && !w->fatal;) {
        int64_t next = w->timer_us > w->mono_us && w->timer_us < until ? w->timer_us : until;
        w->now_us += next - w->mono_us;
        w->mono_us = next;
        q_event ev = { .kind = Q_EV_TIMER };
        world_step(w, &ev);
        world_run(w);
    }
}

/* ---- life ---- */

static inline void world_load(world *w)
{
    q_err err = Q_ERR_INIT;
    assert_int_equal(q_core_new(&w->config, &w->core, &err), Q_OK);
    for (int table = Q_LT_META; table < Q_LT_COUNT; table++)
        for (int pass = 0; pass < 2; pass++) /* in key order, as far as the core cares: buckets before records */
            for (size_t i = 0; i < w->entry_count; i++)
                if (w->entries[i].live && (int)w->entries[i].table == table && (w->entries[i].key.ptr[0] == 'b') == (pass == 0)) {
                    q_rc rc = q_core_load(w->core, w->entries[i].table, w->entries[i].key, w->entries[i].value, &err);
                    if (rc != Q_OK)
                        fail_msg("load: %s", err.message);
                }
    uint64_t from = q_core_first_lsn(w->core);
    for (size_t i = from ? from - 1 : 0; i < w->record_count; i++)
        if (w->records[i].ptr)
            assert_int_equal(q_core_record(w->core, i + 1, w->records[i], &err), Q_OK);
}

static inline void world_begin(world *w)
{
    q_err err = Q_ERR_INIT;
    world_load(w);
    if (q_core_begin(w->core, w->now_us, w->mono_us, w->fx, &err) != Q_OK)
        fail_msg("begin: %s", err.message);
    /* The topic delivers again from the low water on: tests send their requests again by world_redeliver. */
    world_run(w);
}

static inline world *world_new(void)
{
    world *w = calloc(1, sizeof *w);
    w->arena = q_arena_new(0);
    fake_open(&w->db, "b");
    w->records = Q_NEW_ARRAY(w->arena, q_slice, WORLD_MAX);
    w->entries = Q_NEW_ARRAY(w->arena, world_entry, WORLD_MAX);
    w->out = Q_NEW_ARRAY(w->arena, world_message, WORLD_MAX);
    w->work = Q_NEW_ARRAY(w->arena, world_work, WORLD_MAX);
    w->fx = q_effects_new();
    w->now_us = 1000000000;
    w->mono_us = 5000000;
    w->config = (q_core_config){ .cluster = 77, .publish_changes = true };
    memcpy(w->config.log_incarnation, "incarnation-0001", 16);
    return w;
}

/* kill -9: what wasn't synced is gone, what was sent is on its way. */
static inline void world_die(world *w)
{
    q_core_free(w->core);
    w->core = NULL;
    q_effects_clear(w->fx);
    w->ops = NULL;
    w->timer_us = 0;
    w->paused = false;
}

static inline void world_free(world *w)
{
    q_core_free(w->core);
    q_effects_free(w->fx);
    fake_close(&w->db);
    q_arena_free(w->arena);
    free(w);
}

/* ---- requests and what became of them ---- */

typedef struct world_request { int32_t partition; int64_t offset; q_slice key, value; q_header headers[WORLD_HEADERS]; uint32_t header_count; } world_request;

static inline void world_send(world *w, const world_request *r)
{
    q_event ev = { .kind = Q_EV_REQUEST, .request = { r->partition, r->offset, r->key, r->value, r->header_count, r->headers } };
    world_step(w, &ev);
}

static inline world_request world_make(world *w, int32_t partition, const char *id, const char *text)
{
    world_request r = { .partition = partition, .offset = w->offsets[partition]++, .key = Q_SLICE_LIT("b"), .value = q_slice_cstr(text) };
    if (id)
        r.headers[r.header_count++] = (q_header){ Q_SLICE_LIT("request-id"), q_slice_cstr(id) };
    return r;
}

static inline world_request world_ask(world *w, const char *id, const char *text)
{
    world_request r = world_make(w, 0, id, text);
    world_send(w, &r);
    return r;
}

/* The n-th reply to a request id; NULL when there are fewer. */
static inline const world_message *world_reply_at(const world *w, const char *id, size_t n)
{
    for (size_t i = 0; i < w->out_count; i++)
        if (w->out[i].reply && q_slice_eq(w->out[i].request_id, q_slice_cstr(id)) && n-- == 0)
            return &w->out[i];
    return NULL;
}
static inline const world_message *world_reply(const world *w, const char *id) { return world_reply_at(w, id, 0); }

static inline bool world_says(const world_message *m, const char *part)
{
    return m && memmem(m->bytes.ptr, m->bytes.len, part, strlen(part)) != NULL;
}

#define assert_replied(w, id, part)                                                                                                    \
    do {                                                                                                                               \
        const world_message *m_ = world_reply((w), (id));                                                                              \
        if (!m_)                                                                                                                       \
            fail_msg("no reply to %s", (id));                                                                                          \
        if (!world_says(m_, (part)))                                                                                                   \
            fail_msg("the reply to %s lacks %s: %.*s", (id), (part), Q_SLICE_FMT(m_->bytes));                                          \
    } while (0)

#define COMMITTED "\"status\":\"committed\""
#define ABORTED "\"status\":\"aborted\""
#define REJECTED "\"status\":\"rejected\""

static inline size_t world_count_topic(const world *w, const char *topic)
{
    size_t n = 0;
    for (size_t i = 0; i < w->out_count; i++)
        n += q_slice_eq(w->out[i].topic, q_slice_cstr(topic));
    return n;
}

/* A bucket `b` with a record in all four engines; one in PostgreSQL alone. */
static inline world *world_with_schema(void)
{
    world *w = world_new();
    world_begin(w);
    world_ask(w, "ddl1", "CREATE BUCKET b;");
    world_run(w);
    world_ask(w, "ddl2", "CREATE RECORD item (id scalar string, qty scalar int, code scalar string unique, doc document, friend relation to item, level metric);");
    world_ask(w, "ddl3", "CREATE RECORD plain (id scalar string, n scalar int);");
    world_run(w);
    assert_replied(w, "ddl1", COMMITTED);
    assert_replied(w, "ddl2", COMMITTED);
    assert_replied(w, "ddl3", COMMITTED);
    return w;
}

static inline q_core_stats world_stats(const world *w)
{
    q_core_stats s;
    q_core_get_stats(w->core, w->mono_us, &s);
    return s;
}

#endif
