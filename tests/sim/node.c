#include "tests/sim/node.h"

#include "coordinator/positions.h"

#include <assert.h>
#include <stdlib.h>

enum { IDLE_US = 50 * 1000, RUN_ITEMS = 64 };

typedef enum item_kind { IN_REQUEST, IN_MESSAGE, IN_PERSISTED, IN_PUBLISHED, IN_TIMER, IN_REPLAY, IN_ARCHIVED } item_kind;
typedef struct item { item_kind kind; const sim_message *request; q_slice bytes; uint64_t number; } item;

/* A message that a life has handed to its producer. */
typedef struct outgoing { uint64_t life; bool reply; q_slice topic, key, request_id, bytes; uint64_t token; } outgoing;

struct node {
    world *w;
    q_core *core;
    q_effects *fx;
    q_log *log;
    uint64_t life;
    bool alive, may_refuse, allow_fatal;
    char refusal[400];
    node_crash_kind armed;
    int64_t mono_base, paused_until, restart_us;
    bool run_planned;
    int64_t timer_at;       /* the earliest planned TIMER, simulated time; 0: none */

    item *inbox;            /* a ring */
    uint32_t first, count, cap;
    bool fetching, paused;  /* requests */
    int64_t next_offset[SIM_PARTITIONS];

    bool syncing;
    q_log_op *group_ops;
    size_t group_count;
    uint64_t group;

    q_replay *replay;         /* what the core has ordered */
    uint64_t replay_id;

    int64_t last_publish_us;  /* one producer: in order */
    int64_t *lost_from;       /* by life: what would be appended later than this never is */
    uint64_t life_cap;
    void (*on_reply)(void *ctx, q_slice request_id);
    void *on_reply_ctx;
};

static void plan_run(node *n, int64_t us);

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static int64_t mono(const node *n) { return n->w->s.now_us + n->mono_base; }
static int64_t wall(const node *n) { return n->w->s.now_us + n->w->wall_us; }

static void put(node *n, item it)
{
    if (n->count == n->cap) {
        uint32_t cap = n->cap ? n->cap * 2 : 256;
        item *more = must(Q_NEW_ARRAY(n->w->s.arena, item, cap));
        for (uint32_t i = 0; i < n->count; i++)
            more[i] = n->inbox[(n->first + i) % n->cap];
        n->inbox = more;
        n->cap = cap;
        n->first = 0;
    }
    n->inbox[(n->first + n->count++) % n->cap] = it;
    plan_run(n, (int64_t)sim_below(&n->w->s.rng, 30));
}

/* ---- the broker's side: what is published ---- */

static void acknowledged(void *p, uint64_t life, void *q)
{
    node *n = p;
    const outgoing *o = q;
    if (n->alive && n->life == life)
        put(n, (item){ .kind = IN_PUBLISHED, .number = o->token });
}

static void append(void *p, uint64_t again, void *q)
{
    node *n = p;
    const outgoing *o = q;
    sim *s = &n->w->s;
    if ((n->life != o->life || !n->alive) && s->now_us >= n->lost_from[o->life])
        return;
    if (o->reply) {
        history_reply(&n->w->h, o->topic, o->request_id, o->bytes);
        if (n->on_reply)
            n->on_reply(n->on_reply_ctx, o->request_id);
    } else {
        history_event(&n->w->h, o->topic, o->key, o->bytes);
    }
    if (again) /* the producer sent it twice: the first acknowledgement was lost */
        return;
    if (!n->w->healed && sim_chance(&s->rng, 1, 50))
        sim_after(s, sim_delay_us(&s->rng, 500), append, n, 1, q);
    if (o->token && n->alive && n->life == o->life)
        sim_after(s, sim_delay_us(&s->rng, 200), acknowledged, n, o->life, q);
}

static void publish(node *n, bool reply, const q_effect *fx, q_slice bytes)
{
    sim *s = &n->w->s;
    outgoing *o = must(Q_NEW(s->arena, outgoing));
    *o = (outgoing){ .life = n->life, .reply = reply, .topic = q_arena_copy(s->arena, fx->topic), .key = q_arena_copy(s->arena, fx->key),
                     .request_id = q_arena_copy(s->arena, fx->request_id), .bytes = q_arena_copy(s->arena, bytes), .token = fx->token };
    int64_t at = s->now_us + sim_delay_us(&s->rng, 200);
    if (at < n->last_publish_us)
        at = n->last_publish_us;
    n->last_publish_us = at;
    sim_after(s, at - s->now_us, append, n, 0, o);
}

static void reply_stored(node *n, const q_effect *fx)
{
    sim *s = &n->w->s;
    q_err err = Q_ERR_INIT;
    q_slice bytes;
    q_rec rec;
    q_rc rc = n->log->ops->read(n->log, s->arena, fx->lsn, &bytes, &err);
    if (rc == Q_OK)
        rc = q_rec_decode(s->arena, bytes, fx->lsn, &rec, &err);
    if (rc != Q_OK || rec.type != Q_REC_DECISION)
        sim_violation(s, "log", "the reply stored at lsn %llu can't be read", (unsigned long long)fx->lsn);
    else
        publish(n, true, fx, rec.decision.reply);
}

/* ---- the log's side ---- */

static void told(void *p, uint64_t life, void *q)
{
    node *n = p;
    (void)q;
    if (n->alive && n->life == life)
        put(n, (item){ .kind = IN_PERSISTED, .number = n->group });
}

static void synced(void *p, uint64_t life, void *q)
{
    node *n = p;
    sim *s = &n->w->s;
    (void)q;
    if (!n->alive || n->life != life)
        return;
    if (n->armed == CRASH_BEFORE_SYNC) {
        s->stats.lost_groups++;
        node_crash(n, CRASH_NOW);
        return;
    }
    bool fails = n->armed == CRASH_SYNC_FAILS || n->armed == CRASH_SYNC_FAILS_THERE;
    if (fails)
        mem_disk_fail_next(n->w->disk, n->armed == CRASH_SYNC_FAILS_THERE);
    q_err err = Q_ERR_INIT;
    q_rc rc = n->log->ops->commit(n->log, n->group_ops, n->group_count, &err);
    n->syncing = false;
    if (rc != Q_OK) {
        if (!fails)
            sim_violation(s, "log", "the group can't be committed: %s", err.message);
        s->stats.failed_syncs++;
        node_crash(n, CRASH_NOW);
    } else if (n->armed == CRASH_AFTER_SYNC) {
        s->stats.unseen_groups++;
        node_crash(n, CRASH_NOW);
    } else {
        sim_after(s, sim_delay_us(&s->rng, 50), told, n, life, NULL);
    }
}

static void persist(node *n, const q_effect *fx)
{
    sim *s = &n->w->s;
    if (n->syncing) {
        sim_violation(s, "log", "a second group while one is under way");
        return;
    }
    n->syncing = true;
    n->group = fx->group;
    n->group_count = fx->op_count;
    n->group_ops = must(Q_NEW_ARRAY(s->arena, q_log_op, fx->op_count + 1));
    for (size_t i = 0; i < fx->op_count; i++) {
        n->group_ops[i] = fx->ops[i];
        n->group_ops[i].key = q_arena_copy(s->arena, fx->ops[i].key);
        n->group_ops[i].value = q_arena_copy(s->arena, fx->ops[i].value);
    }
    sim_after(s, sim_delay_us(&s->rng, 300), synced, n, n->life, NULL);
}

/* ---- requests ---- */

static void fetch(void *p, uint64_t life, void *q)
{
    node *n = p;
    sim *s = &n->w->s;
    (void)q;
    if (!n->alive || n->life != life)
        return;
    n->fetching = false;
    if (n->paused)
        return;
    for (uint32_t k = 0, start = (uint32_t)sim_below(&s->rng, SIM_PARTITIONS); k < SIM_PARTITIONS; k++) {
        uint32_t part = (start + k) % SIM_PARTITIONS;
        const sim_list *list = &n->w->h.partitions[part];
        while (n->next_offset[part] < (int64_t)list->count)
            put(n, (item){ .kind = IN_REQUEST, .request = list->at[n->next_offset[part]++] });
    }
}

void node_requests(node *n, int32_t partition)
{
    (void)partition;
    if (!n->alive || n->fetching || n->paused)
        return;
    n->fetching = true;
    sim_after(&n->w->s, sim_delay_us(&n->w->s.rng, 150), fetch, n, n->life, NULL);
}

/* ---- segments ---- */

/* Written in one instant, some time after it was asked for; whoever asked may be dead when it is told. */
static void archive_due(void *p, uint64_t life, void *q)
{
    node *n = p;
    uint64_t lsn = (uint64_t)(uintptr_t)q;
    sim *s = &n->w->s;
    if (!n->alive || n->life != life)
        return;
    bool fails = sim_chance(&s->rng, 1, 20);
    SIM_TRACE(s, "core", lsn, "records below %llu go to a segment%s", (unsigned long long)lsn, fails ? ", which fails" : "");
    if (!fails && !mem_disk_archive(n->w->disk, lsn))
        sim_violation(s, "log", "records below %llu are to be archived, and aren't all there", (unsigned long long)lsn);
    if (n->w->faults && !n->w->healed && sim_chance(&s->rng, 1, 10))
        node_crash(n, CRASH_NOW); /* between the segment and the trim */
    else
        put(n, (item){ .kind = IN_ARCHIVED, .number = fails ? 0 : lsn });
}

static void lost(void *ctx, uint64_t lsn)
{
    sim_violation(ctx, "log", "record %llu is trimmed and in no segment", (unsigned long long)lsn);
}

/* ---- redo, read for the core ---- */

static void close_replay(node *n)
{
    q_replay_free(n->replay);
    n->replay = NULL;
}

static void replay_due(void *p, uint64_t life, void *q)
{
    node *n = p;
    (void)q;
    if (n->alive && n->life == life)
        put(n, (item){ .kind = IN_REPLAY, .number = n->replay_id });
}

static void replay_ordered(node *n, const q_replay_order *o)
{
    if (o->kind == Q_RO_START || o->kind == Q_RO_STOP)
        close_replay(n);
    n->replay_id = o->id;
    if (o->kind == Q_RO_STOP)
        return;
    if (o->kind == Q_RO_START) {
        q_err err = Q_ERR_INIT;
        q_replay_spec spec = o->spec;
        if (sim_chance(&n->w->s.rng, 1, 3))
            spec.memory_bytes = 2000; /* and most puts come as they are */
        if (q_replay_open(n->log, mem_disk_archived(n->w->disk), &spec, &n->replay, &err) != Q_OK)
            sim_violation(&n->w->s, "log", "the log can't be replayed: %s", err.message);
    }
    sim_after(&n->w->s, sim_delay_us(&n->w->s.rng, 500), replay_due, n, n->life, NULL);
}

/* The next batch: from the log as it is now. */
static void replay_step(node *n, q_event *ev)
{
    q_err err = Q_ERR_INIT;
    q_replay_batch batch;
    q_replay_event e = { .id = n->replay_id };
    q_rc rc = Q_WAIT;
    if (!n->replay)
        return;
    while (rc == Q_WAIT)
        rc = q_replay_prepare(n->replay, &err);
    if (rc == Q_OK)
        rc = q_replay_next(n->replay, &batch, &err);
    if (rc == Q_OK)
        e.batch = &batch;
    e.end = rc == Q_END;
    if (rc != Q_OK && rc != Q_END)
        sim_violation(&n->w->s, "log", "the log can't be replayed: %s", err.message);
    q_replay_get_progress(n->replay, &e.progress);
    ev->replay = &e;
    q_core_step(n->core, ev, n->fx);
}

/* ---- effects ---- */

static void timer_due(void *p, uint64_t life, void *q)
{
    node *n = p;
    (void)q;
    if (!n->alive || n->life != life)
        return;
    if (n->timer_at && n->timer_at <= n->w->s.now_us) {
        n->timer_at = 0;
        put(n, (item){ .kind = IN_TIMER });
    }
}

static void set_timer(node *n, int64_t mono_us)
{
    int64_t at = mono_us - n->mono_base, now = n->w->s.now_us;
    if (at < now)
        at = now;
    if (n->timer_at && n->timer_at <= at)
        return;
    n->timer_at = at;
    sim_after(&n->w->s, at - now, timer_due, n, n->life, NULL);
}

static void one_effect(node *n, const q_effect *fx)
{
    sim *s = &n->w->s;
    switch (fx->kind) {
    case Q_FX_PERSIST: persist(n, fx); break;
    case Q_FX_SEND: net_to_workers(n->w, fx->engine, fx->bytes); break;
    case Q_FX_REPLY: publish(n, true, fx, fx->bytes); break;
    case Q_FX_REPLY_STORED: reply_stored(n, fx); break;
    case Q_FX_PUBLISH: publish(n, false, fx, fx->bytes); break;
    case Q_FX_PAUSE: n->paused = true; break;
    case Q_FX_RESUME:
        n->paused = false;
        node_requests(n, 0);
        break;
    case Q_FX_TIMER: set_timer(n, fx->at_us); break;
    case Q_FX_ARCHIVE:
        sim_after(s, sim_delay_us(&s->rng, 2000), archive_due, n, n->life, (void *)(uintptr_t)fx->lsn);
        break;
    case Q_FX_REPLAY: replay_ordered(n, fx->replay); break;
    case Q_FX_LOG: SIM_TRACE(s, "core", fx->bytes.len, "says: %.*s", Q_SLICE_FMT(fx->bytes)); break;
    case Q_FX_FATAL:
        SIM_TRACE(s, "core", fx->bytes.len, "FATAL: %.*s", Q_SLICE_FMT(fx->bytes));
        if (!n->allow_fatal)
            sim_violation(s, "fatal", "the core ends the process: %.*s", Q_SLICE_FMT(fx->bytes));
        snprintf(n->refusal, sizeof n->refusal, "%.*s", Q_SLICE_FMT(fx->bytes));
        node_crash(n, CRASH_NOW);
        break;
    }
}

static void carry_out(node *n)
{
    size_t count = q_effects_count(n->fx), limit = count;
    uint64_t life = n->life;
    if (n->armed == CRASH_AMONG_EFFECTS && count > 0)
        limit = sim_below(&n->w->s.rng, count + 1);
    for (size_t i = 0; i < limit && n->alive && n->life == life; i++)
        one_effect(n, q_effects_at(n->fx, i));
    q_effects_clear(n->fx);
    if (n->armed == CRASH_AMONG_EFFECTS && count > 0 && n->alive && n->life == life)
        node_crash(n, CRASH_NOW);
}

/* ---- the core's thread ---- */

static void step(node *n, const item *it)
{
    q_event ev = { .now_us = wall(n), .mono_us = mono(n) };
    q_header headers[4];
    switch (it->kind) {
    case IN_REQUEST:
        ev.kind = Q_EV_REQUEST;
        ev.request = (q_request){ .partition = it->request->partition, .offset = it->request->offset, .value = it->request->value, .headers = headers,
                                  .key = q_slice_cstr(sim_bucket_names[it->request->identity->bucket]) };
        if (it->request->request_id.len)
            headers[ev.request.header_count++] = (q_header){ Q_SLICE_LIT("request-id"), it->request->request_id };
        if (it->request->timeout.len)
            headers[ev.request.header_count++] = (q_header){ Q_SLICE_LIT("timeout-ms"), it->request->timeout };
        if (it->request->principal.len)
            headers[ev.request.header_count++] = (q_header){ Q_SLICE_LIT("authorization"), it->request->principal };
        if (it->request->reply_to.len)
            headers[ev.request.header_count++] = (q_header){ Q_SLICE_LIT("reply-to"), it->request->reply_to };
        break;
    case IN_MESSAGE:
        ev.kind = Q_EV_MESSAGE;
        ev.bytes = it->bytes;
        break;
    case IN_PERSISTED:
        ev.kind = Q_EV_PERSISTED;
        ev.group = it->number;
        break;
    case IN_PUBLISHED:
        ev.kind = Q_EV_PUBLISHED;
        ev.token = it->number;
        break;
    case IN_TIMER: ev.kind = Q_EV_TIMER; break;
    case IN_ARCHIVED:
        ev.kind = Q_EV_ARCHIVED;
        ev.group = it->number;
        break;
    case IN_REPLAY:
        ev.kind = Q_EV_REPLAY;
        if (it->number == n->replay_id)
            replay_step(n, &ev);
        return;
    }
    q_core_step(n->core, &ev, n->fx);
}

static void run(void *p, uint64_t life, void *q)
{
    node *n = p;
    sim *s = &n->w->s;
    (void)q;
    if (!n->alive || n->life != life)
        return;
    n->run_planned = false;
    if (n->paused_until > s->now_us) {
        plan_run(n, n->paused_until - s->now_us);
        return;
    }
    for (uint32_t k = 0; k < RUN_ITEMS && n->count > 0 && n->alive && n->life == life; k++) {
        item it = n->inbox[n->first];
        n->first = (n->first + 1) % n->cap;
        n->count--;
        step(n, &it);
    }
    q_core_flush(n->core, n->fx);
    carry_out(n);
    if (n->alive && n->life == life && n->count > 0)
        plan_run(n, 5);
}

static void plan_run(node *n, int64_t us)
{
    if (n->run_planned)
        return;
    n->run_planned = true;
    sim_after(&n->w->s, us, run, n, n->life, NULL);
}

static void idle(void *p, uint64_t life, void *q)
{
    node *n = p;
    (void)q;
    if (!n->alive || n->life != life)
        return;
    put(n, (item){ .kind = IN_TIMER });
    sim_after(&n->w->s, IDLE_US, idle, n, life, NULL);
}

void node_message(node *n, q_slice bytes) { put(n, (item){ .kind = IN_MESSAGE, .bytes = bytes }); }

/* ---- life ---- */

node *node_new(world *w)
{
    node *n = must(Q_NEW(w->s.arena, node));
    *n = (node){ .w = w, .life_cap = 64, .restart_us = 10000 };
    n->lost_from = must(Q_NEW_ARRAY(w->s.arena, int64_t, n->life_cap));
    n->fx = must(q_effects_new());
    mem_disk_on_loss(w->disk, lost, &w->s);
    return n;
}

void node_free(node *n)
{
    if (!n)
        return;
    close_replay(n);
    q_core_free(n->core);
    q_effects_free(n->fx);
    if (n->log)
        n->log->ops->close(n->log);
}

typedef struct loading { node *n; q_log_table table; } loading;

static q_rc load_entry(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    const loading *l = ctx;
    (void)lsn;
    return q_core_load(l->n->core, l->table, key, value, err);
}

static q_rc load_record(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    const loading *l = ctx;
    (void)key;
    return q_core_record(l->n->core, lsn, value, err);
}

static q_rc meta(node *n, const char *key, q_slice *out, q_err *err)
{
    q_rc rc = n->log->ops->get(n->log, n->w->s.arena, Q_LT_META, q_slice_cstr(key), out, err);
    return rc == Q_END ? q_err_set(err, Q_E_INTERNAL, "the log has no %s", key) : rc;
}

static q_rc authenticate(void *ctx, q_arena *arena, const q_asking *asking, q_principal *out, q_err *err)
{
    (void)ctx, (void)err;
    *out = (q_principal){ .name = asking->credentials.len ? q_arena_copy(arena, asking->credentials) : Q_SLICE_LIT("somebody"), .all = true };
    return Q_OK;
}

/* B7: is it still the topic that the log's positions are about? */
static q_rc check_topic(node *n, q_err *err)
{
    for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
        const sim_list *list = &n->w->h.partitions[p];
        int64_t last;
        uint8_t was[16], is[16];
        if (!q_core_position_hash(n->core, p, &last, was))
            continue;
        if (last >= (int64_t)list->count)
            return q_err_set(err, Q_E_INTERNAL, "partition %d ends at offset %u, but offset %lld was worked on", (int)p, list->count, (long long)last);
        const sim_message *m = list->at[last];
        q_positions_hash_message(q_slice_cstr(sim_bucket_names[m->identity->bucket]), m->value, is);
        if (memcmp(is, was, 16) != 0)
            return q_err_set(err, Q_E_INTERNAL, "partition %d holds another message at offset %lld: the topic was created again", (int)p, (long long)last);
    }
    return Q_OK;
}

static q_rc recover(node *n, q_err *err)
{
    world *w = n->w;
    q_core_config config = {
        .engines = Q_EN_BIT(Q_EN_POSTGRES) | Q_EN_BIT(Q_EN_MONGO) | Q_EN_BIT(Q_EN_NEO4J) | Q_EN_BIT(Q_EN_INFLUX),
        .max_in_flight = w->max_in_flight, .max_in_flight_bytes = 64 << 20, .max_request_bytes = 1 << 20, .default_timeout_ms = 300, .max_timeout_ms = 60000,
        .resend_ms = 15, .tail_flush_ms = 5, .dedupe_max_bytes = w->forgetful ? 1 : 64 << 20, .dedupe_window_us = (int64_t)86400 * 1000000,
        .purge = true, .archive = true, .segment_bytes = w->forgetful ? 8000 : 20000, .log_trim_bytes = w->options.seed % 3 == 1 ? 30000 : 0,
        .topic_prefix = "quanta", .publish_changes = true, .sabotage = w->options.sabotage, .authenticate = authenticate, .seq_block = w->seq_block,
    };
    static const char *const allow[] = { "quanta.results*", "quanta.reply.*", NULL };
    config.reply_allow = allow;
    q_slice cluster, incarnation;
    q_rc rc = mem_log_open(w->disk, &n->log, err);
    if (rc == Q_OK)
        rc = meta(n, "cluster", &cluster, err);
    if (rc == Q_OK)
        rc = meta(n, "incarnation", &incarnation, err);
    if (rc != Q_OK)
        return rc;
    assert(cluster.len == 8 && incarnation.len == 16);
    for (int i = 7; i >= 0; i--)
        config.cluster = config.cluster << 8 | (uint8_t)cluster.ptr[i];
    memcpy(config.log_incarnation, incarnation.ptr, 16);
    w->cluster = config.cluster;
    rc = q_core_new(&config, &n->core, err);
    loading l = { n, Q_LT_META };
    for (int t = Q_LT_META; rc == Q_OK && t < Q_LT_COUNT; t++) {
        l.table = (q_log_table)t;
        rc = n->log->ops->table(n->log, l.table, load_entry, &l, err);
    }
    if (rc == Q_OK)
        rc = n->log->ops->scan(n->log, q_core_first_lsn(n->core), load_record, &l, err);
    if (rc == Q_OK)
        rc = check_topic(n, err);
    if (rc == Q_OK)
        rc = q_core_begin(n->core, wall(n), mono(n), n->fx, err);
    return rc;
}

static void down(node *n)
{
    n->alive = false;
    close_replay(n);
    q_core_free(n->core);
    n->core = NULL;
    if (n->log)
        n->log->ops->close(n->log);
    n->log = NULL;
}

static void seek(node *n)
{
    for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
        int64_t at = q_core_position(n->core, p);
        n->next_offset[p] = at < 0 ? 0 : at;
        if (n->next_offset[p] > (int64_t)n->w->h.partitions[p].count)
            sim_violation(&n->w->s, "position", "partition %d starts at offset %lld, past its end", (int)p, (long long)at);
    }
}

bool node_start(node *n, bool may_refuse)
{
    sim *s = &n->w->s;
    assert(!n->alive);
    n->life++;
    if (n->life >= n->life_cap)
        abort();
    n->mono_base = sim_between(&s->rng, 1, 1000000000);
    n->armed = CRASH_NOW;
    n->first = n->count = 0;
    n->run_planned = n->fetching = n->paused = n->syncing = false;
    n->timer_at = n->paused_until = 0;
    n->last_publish_us = s->now_us;
    q_err err = Q_ERR_INIT;
    q_effects_clear(n->fx);
    q_rc rc = recover(n, &err);
    if (rc != Q_OK) {
        snprintf(n->refusal, sizeof n->refusal, "%s", err.message);
        if (!may_refuse)
            sim_violation(s, "start", "life %llu refuses to start: %s", (unsigned long long)n->life, err.message);
        down(n);
        return false;
    }
    SIM_TRACE(s, "core", n->life, "life %llu begins", (unsigned long long)n->life);
    n->alive = true;
    s->stats.recoveries++;
    seek(n);
    carry_out(n);
    if (n->alive) {
        plan_run(n, 0);
        node_requests(n, 0);
        sim_after(s, IDLE_US, idle, n, n->life, NULL);
    }
    return true;
}

static void restart(void *p, uint64_t life, void *q)
{
    node *n = p;
    (void)q;
    if (!n->alive && n->life == life)
        node_start(n, false);
}

void node_take_stats(node *n)
{
    if (!n->core)
        return;
    q_core_stats st;
    q_core_get_stats(n->core, mono(n), &st);
    n->w->s.stats.lock_waits += st.lock_waits;
}

void node_crash(node *n, node_crash_kind how)
{
    sim *s = &n->w->s;
    if (!n->alive)
        return;
    if (how != CRASH_NOW) {
        n->armed = how;
        return;
    }
    SIM_TRACE(s, "core", n->life, "life %llu is killed", (unsigned long long)n->life);
    s->stats.crashes++;
    node_take_stats(n);
    /* What it has handed over may still arrive: a prefix of it. */
    n->lost_from[n->life] = s->now_us + (sim_chance(&s->rng, 1, 2) ? 0 : sim_between(&s->rng, 0, 400));
    n->alive = false;
    down(n);
    if (n->restart_us)
        sim_after(s, sim_delay_us(&s->rng, n->restart_us), restart, n, n->life, NULL);
}

void node_pause(node *n, int64_t us) { n->paused_until = n->w->s.now_us + us; }

uint64_t node_replay(node *n, q_engine_id engine, q_err *err)
{
    q_replay_spec spec = { .engine = engine };
    uint64_t id = 0;
    if (!n->alive || q_core_replay_start(n->core, &spec, false, &id, err) != Q_OK)
        return 0;
    plan_run(n, 0);
    return id;
}

bool node_alive(const node *n) { return n->alive; }
uint64_t node_life(const node *n) { return n->life; }
const q_core *node_core(const node *n) { return n->core; }
const char *node_refusal(const node *n) { return n->refusal; }
void node_allow_fatal(node *n, bool allow) { n->allow_fatal = allow; }
void node_set_restart(node *n, int64_t us) { n->restart_us = us; }

void node_on_reply(node *n, void (*call)(void *ctx, q_slice request_id), void *ctx)
{
    n->on_reply = call;
    n->on_reply_ctx = ctx;
}

bool node_drained(node *n)
{
    if (!n->alive || !q_core_drain(n->core) || n->syncing || n->count)
        return false;
    q_core_flush(n->core, n->fx); /* what ENDs are left may ride */
    carry_out(n);
    return n->alive && !n->syncing;
}

bool node_quiet(node *n)
{
    if (!n->alive || n->count || n->syncing || n->paused)
        return false;
    q_core_stats st;
    q_core_get_stats(n->core, mono(n), &st);
    if (st.in_flight || st.in_doubt)
        return false;
    for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
        int64_t end = n->w->h.partitions[p].count;
        if (end > 0 && q_core_position(n->core, p) != end)
            return false;
    }
    return true;
}
