#include "tests/sim/memengine.h"

#include "base/sabotage.h"

#include <assert.h>
#include <stdlib.h>

struct mem_session {
    mem_server *server;
    mem_session *next;
    const char *worker;
    uint64_t life;       /* of the server when it was opened */
    uint64_t epoch;      /* application_name: of the work under way */
    uint64_t cluster;
    uint32_t lock_timeout_ms;
    bool busy;
    bool ended;          /* by a fence */
};

static mem_server *const *connected;

void mem_connect(mem_server *const servers[Q_EN_COUNT]) { connected = servers; }

mem_server *mem_server_new(sim *s, q_engine_id id, uint32_t sabotage)
{
    mem_server *e = Q_NEW(s->arena, mem_server);
    if (!e)
        abort();
    *e = (mem_server){ .s = s, .id = id, .up = true, .latency_us = 150, .nap_us = 20000 };
    e->store = (mem_store){ .arena = s->arena, .metrics = id == Q_EN_INFLUX, .sabotage = sabotage };
    return e;
}

static mem_session *session(q_engine *e) { return (mem_session *)(void *)e; }

/* ---- errors, and the way there and back ---- */

static q_rc gone(const mem_server *e, q_err *err)
{
    q_err_set(err, Q_E_ENGINE_DOWN, "the connection to %s is gone", q_engine_name(e->id));
    return Q_IN_DOUBT;
}

/* Lets time pass; false when the connection or the backend is gone afterwards: nothing more may be done. */
static bool pass(mem_session *c, int64_t us)
{
    mem_server *e = c->server;
    if (us > 0 && !sim_sleep(e->s, us))
        return false;
    return e->up && c->life == e->life && !c->ended;
}

static bool travel(mem_session *c) { return pass(c, c->server->s->task ? sim_delay_us(&c->server->s->rng, c->server->latency_us) : 0); }

/* The answer's way. Mostly it is the caller who waits for it (participant.c); a crash on it makes the outcome doubtful. */
static bool travel_back(mem_session *c)
{
    sim *s = c->server->s;
    return s->task && sim_chance(&s->rng, 1, 5) ? pass(c, sim_delay_us(&s->rng, c->server->latency_us)) : pass(c, 0);
}

static bool epoch_refused(const mem_server *e, uint64_t epoch)
{
    return epoch < e->epoch && !Q_SABOTAGED(e->store.sabotage, Q_SAB_SKIP_EPOCH_CHECK);
}

static bool epoch_refused_at_write(const mem_server *e, uint64_t epoch)
{
    return epoch_refused(e, epoch) && !Q_SABOTAGED(e->own_sabotage, MEM_SAB_EPOCH_AT_RECEIPT);
}

static q_rc lower_epoch(const mem_server *e, uint64_t epoch, q_err *err)
{
    q_err_set(err, Q_E_INTERNAL, "%s knows epoch %llu, higher than %llu", q_engine_name(e->id), (unsigned long long)e->epoch, (unsigned long long)epoch);
    return Q_FAIL;
}

static void say_written(mem_server *e, uint64_t seq, uint64_t epoch, mem_deed deed)
{
    if (e->wrote)
        e->wrote(e->wrote_ctx, e, seq, epoch, deed);
}

static int64_t nap(mem_server *e)
{
    if (!e->s->task || !e->sleepy || !sim_chance(&e->s->rng, e->sleepy, 10000))
        return 0;
    e->naps++;
    return sim_delay_us(&e->s->rng, e->nap_us);
}

/* ---- life ---- */

static q_rc mem_open(const q_engine_config *config, q_engine **out, q_err *err)
{
    mem_server *e = connected[config->id];
    if (!sim_sleep(e->s, e->latency_us) || !e->up) {
        q_err_set(err, Q_E_ENGINE_DOWN, "%s refuses the connection", q_engine_name(e->id));
        return Q_RETRY;
    }
    mem_session *c = calloc(1, sizeof *c);
    if (!c)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    *c = (mem_session){ .server = e, .worker = config->worker, .life = e->life, .cluster = config->cluster, .lock_timeout_ms = config->lock_timeout_ms, .next = e->sessions };
    e->sessions = c;
    *out = (q_engine *)(void *)c;
    return Q_OK;
}

static void unlink_working(mem_server *e, const mem_session *c)
{
    for (mem_prepared **p = &e->prepared; *p;)
        if ((*p)->session == c && !(*p)->prepared)
            *p = (*p)->next;
        else
            p = &(*p)->next;
}

static void mem_close(q_engine *engine)
{
    if (!engine)
        return;
    mem_session *c = session(engine);
    unlink_working(c->server, c);
    for (mem_session **p = &c->server->sessions; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    free(c);
}

void mem_crash(mem_server *e)
{
    e->up = false;
    e->life++;
    for (mem_session *c = e->sessions; c; c = c->next)
        unlink_working(e, c);
    mem_lose(&e->store);
    e->applied_high = e->synced_high;
    e->applied_below = e->synced_below;
    e->lease = NULL;
    e->writes_under_way = 0;
}

void mem_start(mem_server *e) { e->up = true; }

bool mem_lose_prepared(mem_server *e)
{
    for (mem_prepared **p = &e->prepared; *p; p = &(*p)->next)
        if ((*p)->prepared) {
            *p = (*p)->next;
            return true;
        }
    return false;
}

/* Durable from here on: the marks with the items (B8). */
static void sync_now(mem_server *e)
{
    mem_sync(&e->store);
    e->synced_high = e->applied_high;
    e->synced_below = e->applied_below;
}

/* False where the caller ended before those writes did: then it has no lease to act under. */
static bool take_lease(mem_session *c)
{
    mem_server *e = c->server;
    e->lease = c->worker; /* the old token is refused from here on; its writes under way are waited out, also by who took it and was killed waiting */
    while (e->writes_under_way > 0 && e->s->task)
        if (!pass(c, e->nap_us / 4 + 1))
            return false;
    return true;
}

static q_rc mem_fence(q_engine *engine, uint64_t epoch, q_engine_state *state, q_err *err)
{
    mem_session *c = session(engine);
    mem_server *e = c->server;
    if (!travel(c))
        return gone(e, err);
    *state = (q_engine_state){ e->epoch, e->applied_high, e->applied_below, e->cluster };
    if (e->cluster && e->cluster != c->cluster)
        return q_err_set(err, Q_E_INTERNAL, "%s belongs to another cluster", q_engine_name(e->id));
    if (epoch_refused(e, epoch))
        return lower_epoch(e, epoch, err);
    e->cluster = c->cluster;
    if (e->id == Q_EN_INFLUX && !take_lease(c))
        return gone(e, err);
    if (c->life != e->life || c->ended)
        return gone(e, err);
    if (epoch > e->epoch) {
        e->epoch = epoch;
        for (mem_session *o = e->sessions; o; o = o->next)
            if (o != c && o->busy && o->epoch < epoch && e->id == Q_EN_POSTGRES && !Q_SABOTAGED(e->own_sabotage, MEM_SAB_BACKENDS_NOT_ENDED)) {
                o->ended = true;
                e->ended_backends++;
                unlink_working(e, o);
            }
    }
    return travel_back(c) ? Q_OK : gone(e, err);
}

/* ---- decoding: what is stored must outlive the job ---- */

typedef struct work { uint64_t seq; int64_t time_us; q_writes writes; q_slice *keys; } work;

static q_rc decode(mem_server *e, const q_txn_work *txn, work *out, q_err *err)
{
    q_arena *a = e->s->arena;
    out->seq = txn->seq;
    out->time_us = txn->time_us;
    q_rc rc = q_writes_decode(a, q_arena_copy(a, txn->writes), &out->writes, err);
    if (rc != Q_OK)
        return rc;
    out->keys = Q_NEW_ARRAY(a, q_slice, out->writes.count + 1);
    if (!out->keys)
        abort();
    for (uint32_t i = 0; i < out->writes.count; i++)
        if (out->writes.items[i].op != Q_I_DDL)
            out->keys[i] = mem_key(a, &out->writes.items[i].id);
    return Q_OK;
}

/* ---- row locks (PostgreSQL) ---- */

static void locks_of(mem_server *e, const work *w, mem_prepared *p)
{
    mem_lock *locks = Q_NEW_ARRAY(e->s->arena, mem_lock, w->writes.count + 1);
    if (!locks)
        abort();
    for (uint32_t i = 0; i < w->writes.count; i++) {
        const q_item *item = &w->writes.items[i];
        locks[i] = (mem_lock){ mem_table_of(&e->store, w->writes.bucket, item->op == Q_I_DDL ? item->ddl.record : item->record), w->keys[i] };
    }
    p->locks = locks;
    p->lock_count = w->writes.count;
}

/* A DDL item's empty key stands for the whole table. */
static bool meet(const mem_lock *a, const mem_lock *b)
{
    return a->table == b->table && (a->key.len == 0 || b->key.len == 0 || q_slice_eq(a->key, b->key));
}

static bool row_locked(const mem_server *e, const mem_prepared *mine)
{
    for (const mem_prepared *p = e->prepared; p; p = p->next)
        for (uint32_t i = 0; p != mine && i < p->lock_count; i++)
            for (uint32_t k = 0; k < mine->lock_count; k++)
                if (meet(&p->locks[i], &mine->locks[k]))
                    return true;
    return false;
}

/* Q_OK: no other transaction holds any of the rows. Q_WAIT: lock_timeout has passed. Otherwise the connection is gone. */
static q_rc wait_for_rows(mem_session *c, const mem_prepared *mine, q_err *err)
{
    mem_server *e = c->server;
    int64_t until = e->s->now_us + (int64_t)c->lock_timeout_ms * 1000, step = (int64_t)c->lock_timeout_ms * 125 + 1;
    while (row_locked(e, mine)) {
        if (!e->s->task || e->s->now_us >= until) {
            e->lock_timeouts++;
            return Q_WAIT;
        }
        if (!pass(c, step))
            return gone(e, err);
    }
    return Q_OK;
}

static mem_prepared *find_prepared(const mem_server *e, uint64_t seq)
{
    for (mem_prepared *p = e->prepared; p; p = p->next)
        if (p->seq == seq && p->prepared)
            return p;
    return NULL;
}

static void unlink_prepared(mem_server *e, const mem_prepared *gone_one)
{
    for (mem_prepared **p = &e->prepared; *p; p = &(*p)->next)
        if (*p == gone_one) {
            *p = gone_one->next;
            return;
        }
}

/* ---- prepare ---- */

static void vote_items(mem_server *e, q_arena *arena, const work *w, q_vote *vote)
{
    for (uint32_t i = 0; i < w->writes.count && vote->no == Q_NO_NONE; i++) {
        const q_item *item = &w->writes.items[i];
        vote->item = i;
        vote->no = mem_vote(&e->store, &w->writes, item, w->keys[i], w->seq);
        for (uint32_t f = 0; f < item->count && vote->no == Q_NO_NONE; f++)
            if (!q_rule_type_fits(e->id, item->fields[f].value.type)) {
                vote->no = Q_NO_REFUSED;
                vote->text = q_arena_printf(arena, "%.*s: no type for %s", Q_SLICE_FMT(item->fields[f].attr), q_engine_name(e->id));
            }
    }
    /* Last: a blind update of a record that isn't there takes no value away from anybody. */
    for (uint32_t i = 0; e->id == Q_EN_POSTGRES && i < w->writes.count && vote->no == Q_NO_NONE; i++)
        if (mem_unique_taken(&e->store, &w->writes, w->keys, i)) {
            vote->item = i;
            vote->no = Q_NO_DUPLICATE_VALUE;
        }
    if (vote->no == Q_NO_NONE)
        vote->item = 0;
}

static bool is_stale(const mem_prepared *p)
{
    for (uint32_t i = 0; i < p->lock_count; i++)
        if (p->locks[i].key.len && mem_stored(mem_slot_find(p->locks[i].table, p->locks[i].key)).seq >= p->seq)
            return true;
    return false;
}

static q_rc prepare_pg(mem_session *c, q_arena *arena, uint64_t epoch, const work *w, q_vote *vote, q_err *err)
{
    mem_server *e = c->server;
    if (epoch_refused(e, epoch))
        return lower_epoch(e, epoch, err);
    c->epoch = epoch;
    if (find_prepared(e, w->seq))
        return Q_OK;
    mem_prepared *p = Q_NEW(e->s->arena, mem_prepared);
    if (!p)
        abort();
    *p = (mem_prepared){ .epoch = epoch, .seq = w->seq, .session = c, .time_us = w->time_us, .writes = w->writes, .keys = w->keys };
    locks_of(e, w, p);
    q_rc rc = wait_for_rows(c, p, err);
    if (rc == Q_WAIT) {
        vote->no = Q_NO_LOCKED;
        return Q_OK;
    }
    if (rc != Q_OK)
        return rc;
    if (find_prepared(e, w->seq))
        return Q_OK;
    vote_items(e, arena, w, vote);
    if (vote->no != Q_NO_NONE)
        return Q_OK;
    p->next = e->prepared;
    e->prepared = p;
    if (!pass(c, nap(e))) { /* asleep between the epoch check and PREPARE TRANSACTION */
        unlink_prepared(e, p);
        return gone(e, err);
    }
    if (find_prepared(e, w->seq)) { /* the gid is taken: a second backend did the same */
        unlink_prepared(e, p);
        return Q_OK;
    }
    p->prepared = true;
    p->session = NULL;
    say_written(e, w->seq, epoch, is_stale(p) ? MEM_PREPARES_STALE : MEM_PREPARES);
    return Q_OK;
}

static q_rc mem_prepare(q_engine *engine, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err)
{
    mem_session *c = session(engine);
    mem_server *e = c->server;
    c->busy = true;
    q_rc rc = travel(c) ? Q_OK : gone(e, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        work w;
        votes[i] = (q_vote){ .seq = txns[i].seq };
        q_err bad = Q_ERR_INIT;
        if (decode(e, &txns[i], &w, &bad) != Q_OK) {
            votes[i].no = Q_NO_REFUSED;
            votes[i].text = q_arena_copy(arena, q_slice_cstr(bad.message));
        } else if (e->refusals && sim_chance(&e->s->rng, e->refusals, 10000)) {
            votes[i].no = Q_NO_ENGINE_DOWN;
        } else if (e->id == Q_EN_POSTGRES) {
            rc = prepare_pg(c, arena, epoch, &w, &votes[i], err);
        } else if (epoch_refused(e, epoch)) {
            rc = lower_epoch(e, epoch, err);
        } else {
            vote_items(e, arena, &w, &votes[i]);
        }
    }
    if (rc == Q_OK && !travel_back(c))
        rc = gone(e, err);
    c->busy = false;
    return rc;
}

/* ---- commit ---- */

static void apply_item(mem_server *e, const work *w, uint32_t i, uint64_t epoch)
{
    say_written(e, w->seq, epoch, MEM_WRITES);
    e->applied_items++;
    mem_apply(&e->store, &w->writes, &w->writes.items[i], w->keys[i], w->seq, w->time_us);
}

static void mark(mem_server *e, uint64_t high, uint64_t below)
{
    if (high > e->applied_high)
        e->applied_high = high;
    if (below > e->applied_below)
        e->applied_below = below;
}

static q_rc commit_pg(mem_session *c, uint64_t epoch, uint64_t below, const work *w, q_err *err)
{
    mem_server *e = c->server;
    if (epoch_refused(e, epoch))
        return lower_epoch(e, epoch, err);
    c->epoch = epoch;
    mem_prepared *p = find_prepared(e, w->seq);
    if (!p) { /* a missing gid is not success */
        if (Q_SABOTAGED(e->store.sabotage, Q_SAB_MISSING_GID_OK))
            return Q_OK;
        mem_prepared redo = { .seq = w->seq };
        locks_of(e, w, &redo);
        q_rc rc = wait_for_rows(c, &redo, err);
        if (rc == Q_WAIT) {
            q_err_set(err, Q_E_PARTICIPANT_REFUSED, "a row is locked");
            return Q_RETRY;
        }
        if (rc != Q_OK)
            return rc;
        if (epoch_refused(e, epoch))
            return lower_epoch(e, epoch, err);
        p = find_prepared(e, w->seq);
        e->redone++;
    }
    if (p)
        unlink_prepared(e, p);
    for (uint32_t i = 0; i < w->writes.count; i++)
        apply_item(e, w, i, epoch);
    mark(e, w->seq, below);
    sync_now(e);
    return Q_OK;
}

/* Each write looks at the epoch itself. Not synced: a crash in the middle leaves any prefix, or what the journal had. */
static q_rc commit_mongo(mem_session *c, uint64_t epoch, uint64_t below, const work *w, q_err *err)
{
    mem_server *e = c->server;
    for (uint32_t i = 0; i < w->writes.count; i++) {
        if (epoch_refused_at_write(e, epoch))
            return lower_epoch(e, epoch, err);
        apply_item(e, w, i, epoch);
        if (!pass(c, nap(e)))
            return gone(e, err);
        if (e->s->task && sim_chance(&e->s->rng, 1, 8))
            sync_now(e); /* the journal's own pace */
    }
    mark(e, w->seq, below);
    return Q_OK;
}

static q_rc commit_influx(mem_session *c, uint64_t epoch, const work *all, size_t n, q_err *err)
{
    mem_server *e = c->server;
    if (!e->lease && !take_lease(c))
        return gone(e, err);
    if (strcmp(e->lease, c->worker) != 0) {
        q_err_set(err, Q_E_ENGINE_DOWN, "another worker holds the lease of influx");
        return Q_RETRY;
    }
    if (epoch_refused(e, epoch))
        return lower_epoch(e, epoch, err);
    e->writes_under_way++;
    bool there = pass(c, nap(e));
    if (c->life == e->life)
        e->writes_under_way--;
    if (!there)
        return gone(e, err);
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < all[i].writes.count; k++)
            apply_item(e, &all[i], k, epoch);
    return Q_OK;
}

static q_rc commit_neo4j(mem_session *c, uint64_t epoch, const work *all, size_t n, q_err *err)
{
    mem_server *e = c->server;
    if (!pass(c, nap(e)))
        return gone(e, err);
    if (epoch_refused_at_write(e, epoch))
        return lower_epoch(e, epoch, err);
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < all[i].writes.count; k++)
            apply_item(e, &all[i], k, epoch);
    return Q_OK;
}

static q_rc commit_all(mem_session *c, uint64_t epoch, uint64_t below, const work *all, size_t n, q_err *err)
{
    mem_server *e = c->server;
    q_rc rc = Q_OK;
    if (n == 0) { /* the mark alone */
        if (epoch_refused(e, epoch))
            return lower_epoch(e, epoch, err);
        mark(e, 0, below);
        sync_now(e);
        return Q_OK;
    }
    if (e->id == Q_EN_NEO4J || e->id == Q_EN_INFLUX) {
        rc = e->id == Q_EN_NEO4J ? commit_neo4j(c, epoch, all, n, err) : commit_influx(c, epoch, all, n, err);
        if (rc != Q_OK)
            return rc;
        for (size_t i = 0; i < n; i++)
            mark(e, all[i].seq, below);
        sync_now(e);
        return Q_OK;
    }
    /* What is prepared goes first (engine.h): it may hold the row that an older one's redo needs. */
    bool *done = Q_NEW_ARRAY(e->s->arena, bool, n);
    if (!done)
        abort();
    for (size_t i = 0; rc == Q_OK && e->id == Q_EN_POSTGRES && i < n; i++)
        if ((done[i] = find_prepared(e, all[i].seq) != NULL))
            rc = commit_pg(c, epoch, below, &all[i], err);
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        if (!done[i])
            rc = e->id == Q_EN_POSTGRES ? commit_pg(c, epoch, below, &all[i], err) : commit_mongo(c, epoch, below, &all[i], err);
    if (rc != Q_OK || e->id == Q_EN_POSTGRES)
        return rc;
    if (!pass(c, e->s->task ? sim_delay_us(&e->s->rng, 200) : 0)) /* j: true */
        return gone(e, err);
    sync_now(e);
    return Q_OK;
}

static q_rc mem_commit(q_engine *engine, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    mem_session *c = session(engine);
    mem_server *e = c->server;
    (void)arena;
    c->busy = true;
    q_rc rc = !travel(c) ? gone(e, err) : epoch_refused(e, epoch) ? lower_epoch(e, epoch, err) : Q_OK;
    work *all = n ? Q_NEW_ARRAY(e->s->arena, work, n) : NULL;
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        rc = decode(e, &txns[i], &all[i], err);
    if (rc == Q_OK)
        rc = commit_all(c, epoch, below, all, n, err);
    if (rc == Q_OK && !travel_back(c))
        rc = gone(e, err);
    c->busy = false;
    return rc;
}

/* ---- the rest of the table ---- */

static q_rc mem_rollback(q_engine *engine, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err)
{
    mem_session *c = session(engine);
    mem_server *e = c->server;
    if (!travel(c))
        return gone(e, err);
    if (epoch_refused(e, epoch))
        return lower_epoch(e, epoch, err);
    for (size_t i = 0; i < n; i++) {
        mem_prepared *p = find_prepared(e, seqs[i]);
        if (p)
            unlink_prepared(e, p);
    }
    return travel_back(c) ? Q_OK : gone(e, err);
}

static q_rc mem_list_prepared(q_engine *engine, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err)
{
    mem_session *c = session(engine);
    mem_server *e = c->server;
    if (!travel(c))
        return gone(e, err);
    size_t count = 0;
    for (const mem_prepared *p = e->prepared; p; p = p->next)
        count += p->prepared;
    *epochs = Q_NEW_ARRAY(arena, uint64_t, count + 1);
    *seqs = Q_NEW_ARRAY(arena, uint64_t, count + 1);
    if (!*epochs || !*seqs)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    *n = 0;
    for (const mem_prepared *p = e->prepared; p; p = p->next)
        if (p->prepared) {
            (*epochs)[*n] = p->epoch;
            (*seqs)[(*n)++] = p->seq;
        }
    return travel_back(c) ? Q_OK : gone(e, err);
}

void mem_purge_now(mem_server *e, uint64_t upto)
{
    uint32_t before = e->store.undo_count;
    mem_purge(&e->store, upto);
    e->purged += e->store.undo_count - before;
    sync_now(e);
}

static q_rc mem_purge_op(q_engine *engine, uint64_t epoch, uint64_t upto, q_err *err)
{
    mem_session *c = session(engine);
    mem_server *e = c->server;
    if (!travel(c))
        return gone(e, err);
    if (epoch_refused(e, epoch))
        return lower_epoch(e, epoch, err);
    mem_purge_now(e, upto);
    return Q_OK;
}

static q_rc mem_read(q_engine *engine, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    mem_session *c = session(engine);
    mem_server *e = c->server;
    if (!travel(c))
        return gone(e, err);
    q_rc rc = mem_read_rows(e, arena, read, out, err);
    return rc != Q_OK || travel_back(c) ? rc : gone(e, err);
}

#define MEM_OPS(variable, id, durable) \
    const q_engine_ops variable = { id, durable, mem_open, mem_close, mem_fence, mem_prepare, mem_commit, mem_rollback, mem_list_prepared, mem_read, mem_purge_op }

MEM_OPS(mem_postgres, "postgres", true);
MEM_OPS(mem_mongo, "mongo", false);
MEM_OPS(mem_neo4j, "neo4j", false);
MEM_OPS(mem_influx, "influx", false);

const q_engine_ops *mem_ops(q_engine_id id)
{
    static const q_engine_ops *const all[Q_EN_COUNT] = { &mem_postgres, &mem_mongo, &mem_neo4j, &mem_influx };
    return all[id];
}

/* ---- images ---- */

struct mem_image {
    uint64_t epoch, applied_high, applied_below, cluster;
    mem_backup *backup;
    mem_prepared *prepared;
};

mem_image *mem_image_take(mem_server *e)
{
    mem_image *m = Q_NEW(e->s->arena, mem_image);
    if (!m)
        abort();
    *m = (mem_image){ e->epoch, e->synced_high, e->synced_below, e->cluster, mem_backup_take(&e->store), NULL };
    for (const mem_prepared *p = e->prepared; p; p = p->next)
        if (p->prepared) {
            mem_prepared *copy = Q_NEW(e->s->arena, mem_prepared);
            if (!copy)
                abort();
            *copy = *p;
            copy->next = m->prepared;
            m->prepared = copy;
        }
    return m;
}

void mem_image_restore(mem_server *e, const mem_image *m)
{
    assert(!e->up);
    mem_backup_restore(&e->store, m->backup);
    e->epoch = m->epoch;
    e->applied_high = e->synced_high = m->applied_high;
    e->applied_below = e->synced_below = m->applied_below;
    e->cluster = m->cluster;
    e->prepared = NULL;
    for (const mem_prepared *p = m->prepared; p; p = p->next) {
        mem_prepared *copy = Q_NEW(e->s->arena, mem_prepared);
        if (!copy)
            abort();
        *copy = *p;
        copy->next = e->prepared;
        e->prepared = copy;
    }
}

void mem_wipe(mem_server *e)
{
    assert(!e->up);
    mem_store_wipe(&e->store);
    e->epoch = e->cluster = 0;
    e->applied_high = e->applied_below = e->synced_high = e->synced_below = 0;
    e->prepared = NULL;
}
