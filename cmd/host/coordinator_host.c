#include "cmd/host/coordinator_host.h"

#include "base/failpoint.h"
#include "base/metrics.h"
#include "base/say.h"
#include "cmd/host/account.h"
#include "cmd/host/archive.h"
#include "cmd/host/metrics.h"
#include "cmd/host/redo.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    STEPS_PER_FLUSH = 2048, /* so that a long run of arrivals doesn't hold back what is ready */
    IDLE_US = 200 * 1000,   /* a TIMER event at least so often */
    RETRY_PUBLISH_US = 50 * 1000,
    FULL_TELL_US = 10 * 1000 * 1000,
};

typedef enum kind { ITEM_REQUEST, ITEM_MESSAGE, ITEM_PUBLISHED, ITEM_PERSISTED, ITEM_ASK, ITEM_REPLAY, ITEM_ARCHIVED } kind;

typedef struct ask {
    void (*call)(void *ctx, q_core *core, int64_t mono_us);
    void *ctx;
    bool done;
} ask;

typedef struct item {
    kind kind;
    uint64_t number; /* token, group, a replay's order */
    q_request request;
    q_host_release release;
    void *owner;     /* of a request; of a message: its bytes (malloc) */
    size_t len;
    ask *ask;
} item;

typedef struct items { item *at; size_t count, cap; } items;

/* A message that the transport could not take yet, with copies of all it needs. */
typedef struct pending { struct pending *next; q_effect fx; char data[]; } pending;

struct q_host {
    q_host_config config;
    q_log *log;
    q_core *core;
    q_effects *fx;

    pthread_t core_thread, log_thread;
    pthread_mutex_t inbox_lock;
    pthread_cond_t inbox_more, ask_done;
    items inbox, taken;
    bool stopping, stopped;    /* under inbox_lock */
    bool running;              /* the threads were started; the owner's own */

    pthread_mutex_t log_lock;
    pthread_cond_t log_more;
    const q_log_op *log_ops;   /* the group under way; NULL when idle */
    size_t log_op_count;
    uint64_t log_group;
    bool log_stop;

    pending *unsent, **unsent_end; /* the core thread's own */
    q_archiver *archiver;      /* a segment being written, or the last one; the core thread's own */
    q_redo *redo;              /* a replay's reader; the core thread's own */
    int64_t next_timer_us;
    atomic_bool failed;
    atomic_bool giving_up;     /* stop has waited long enough */
    uint64_t cluster;
    q_histogram sync_time;
    q_accounts accounts;
    _Atomic uint64_t commits, commit_ops;
};

int64_t q_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t q_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t stopwatch_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void account_came(void *ctx, const q_account *a) { q_accounts_add(&((q_host *)ctx)->accounts, a, q_mono_us()); }

/* ---- the inbox ---- */

static item *push_locked(q_host *h)
{
    items *in = &h->inbox;
    if (in->count == in->cap) {
        size_t cap = in->cap ? in->cap * 2 : 256;
        item *at = realloc(in->at, cap * sizeof *at);
        if (!at)
            return NULL;
        in->at = at;
        in->cap = cap;
    }
    if (in->count == 0)
        pthread_cond_signal(&h->inbox_more);
    return &in->at[in->count++];
}

/* false: out of memory or stopped; the caller still owns what it passed. */
static bool push(q_host *h, const item *it)
{
    pthread_mutex_lock(&h->inbox_lock);
    item *slot = h->stopped ? NULL : push_locked(h);
    if (slot)
        *slot = *it;
    pthread_mutex_unlock(&h->inbox_lock);
    return slot != NULL;
}

void q_host_request(q_host *h, const q_request *request, q_host_release release, void *owner)
{
    item it = { .kind = ITEM_REQUEST, .request = *request, .release = release, .owner = owner };
    if (!push(h, &it) && release)
        release(owner); /* it stays in the topic: its position isn't complete */
}

void q_host_message(q_host *h, q_slice bytes)
{
    char *copy = malloc(bytes.len ? bytes.len : 1);
    if (!copy)
        return; /* as if lost on the way: senders repeat */
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    item it = { .kind = ITEM_MESSAGE, .owner = copy, .len = bytes.len };
    if (!push(h, &it))
        free(copy);
}

void q_host_published(q_host *h, uint64_t token)
{
    item it = { .kind = ITEM_PUBLISHED, .number = token };
    (void)!push(h, &it);
}

bool q_host_ask(q_host *h, void (*call)(void *ctx, q_core *core, int64_t mono_us), void *ctx)
{
    ask a = { .call = call, .ctx = ctx };
    item it = { .kind = ITEM_ASK, .ask = &a };
    if (!h->running && !h->stopped) { /* before q_host_run: nobody else has the core */
        call(ctx, h->core, q_mono_us());
        return true;
    }
    if (!push(h, &it))
        return false;
    pthread_mutex_lock(&h->inbox_lock);
    while (!a.done && !h->stopped)
        pthread_cond_wait(&h->ask_done, &h->inbox_lock);
    bool done = a.done;
    pthread_mutex_unlock(&h->inbox_lock);
    return done;
}

/* ---- the log's thread ---- */

static void fatal(q_host *h, q_slice reason)
{
    if (atomic_exchange(&h->failed, true))
        return;
    q_say(Q_SAY_ERROR, "the coordinator ends: %.*s", Q_SLICE_FMT(reason));
    if (h->config.transport.fatal)
        h->config.transport.fatal(h->config.transport.ctx, reason);
}

/* What a test may break: groups with decisions, and groups with ENDs or published marks. */
static bool has_record(const q_log_op *ops, size_t n, q_rec_type type)
{
    for (size_t i = 0; i < n; i++)
        if (ops[i].kind == Q_LO_APPEND && ops[i].value.len >= Q_REC_HEADER_BYTES && ops[i].value.ptr[6] == (char)type)
            return true;
    return false;
}

static bool passed_sync(const q_log_op *ops, size_t n, bool after)
{
    bool end = has_record(ops, n, Q_REC_TAIL), decision = has_record(ops, n, Q_REC_DECISION);
    if (after)
        return (decision && Q_FAILPOINT(SYNC_AFTER)) || (end && Q_FAILPOINT(END_AFTER));
    return (decision && Q_FAILPOINT(SYNC_BEFORE)) || (end && Q_FAILPOINT(END_BEFORE));
}

static q_rc commit_group(q_host *h, q_err *err)
{
    if (Q_FAILPOINTS_BUILT && passed_sync(h->log_ops, h->log_op_count, false)) {
        (void)q_err_set(err, Q_E_INTERNAL, "a failpoint says that the disk refuses");
        return Q_FATAL;
    }
    q_rc rc = h->log->ops->commit(h->log, h->log_ops, h->log_op_count, err);
    if (Q_FAILPOINTS_BUILT && rc == Q_OK)
        (void)passed_sync(h->log_ops, h->log_op_count, true);
    return rc;
}

static void *log_main(void *arg)
{
    q_host *h = arg;
    pthread_mutex_lock(&h->log_lock);
    for (;;) {
        while (!h->log_ops && !h->log_stop)
            pthread_cond_wait(&h->log_more, &h->log_lock);
        if (!h->log_ops)
            break;
        pthread_mutex_unlock(&h->log_lock);

        q_err err = Q_ERR_INIT;
        int64_t began = q_mono_us();
        q_rc rc = commit_group(h, &err);
        /* The log is full: nothing was written, so the group waits, and with it whatever it would tell. Room comes by a trim, or by an
         * operator who ends the process and gives the log more. */
        for (int64_t told = 0; rc == Q_RETRY && !atomic_load(&h->giving_up);) {
            if (q_mono_us() - told > FULL_TELL_US) {
                q_say(Q_SAY_ERROR, "nothing can be committed: %s", err.message);
                told = q_mono_us();
            }
            struct timespec pause = { 0, 200 * 1000 * 1000 };
            nanosleep(&pause, NULL);
            rc = commit_group(h, &err);
        }
        q_histogram_add(&h->sync_time, q_mono_us() - began);
        atomic_fetch_add(&h->commits, 1);
        atomic_fetch_add(&h->commit_ops, h->log_op_count);
        if (rc == Q_RETRY)
            return NULL; /* stopping with a full log: nothing was written, nothing was told */
        if (rc != Q_OK) {
            /* Nothing of the group may be told: not known to be durable. Recovery finds out what is. */
            fatal(h, q_slice_cstr(err.message));
            return NULL;
        }

        uint64_t group = h->log_group;
        pthread_mutex_lock(&h->log_lock);
        h->log_ops = NULL;
        pthread_mutex_unlock(&h->log_lock);
        item it = { .kind = ITEM_PERSISTED, .number = group };
        if (!push(h, &it)) {
            pthread_mutex_lock(&h->inbox_lock);
            bool over = h->stopped; /* what is durable is found by the next start */
            pthread_mutex_unlock(&h->inbox_lock);
            if (!over)
                fatal(h, Q_SLICE_LIT("out of memory"));
        }
        pthread_mutex_lock(&h->log_lock);
    }
    pthread_mutex_unlock(&h->log_lock);
    return NULL;
}

/* ---- effects ---- */

static void keep_unsent(q_host *h, const q_effect *fx)
{
    const q_slice *from[] = { &fx->topic, &fx->key, &fx->bytes, &fx->type, &fx->request_id };
    size_t total = 0;
    for (size_t i = 0; i < 5; i++)
        total += from[i]->len;
    pending *p = malloc(sizeof *p + total);
    if (!p) {
        fatal(h, Q_SLICE_LIT("out of memory"));
        return;
    }
    p->next = NULL;
    p->fx = *fx;
    q_slice *to[] = { &p->fx.topic, &p->fx.key, &p->fx.bytes, &p->fx.type, &p->fx.request_id };
    char *at = p->data;
    for (size_t i = 0; i < 5; i++) {
        if (from[i]->len)
            memcpy(at, from[i]->ptr, from[i]->len);
        *to[i] = q_slice_of(from[i]->ptr ? at : NULL, from[i]->len);
        at += from[i]->len;
    }
    *h->unsent_end = p;
    h->unsent_end = &p->next;
}

/* false: the transport is full; the message must be kept. */
static bool publish(q_host *h, const q_effect *fx)
{
    q_err err = Q_ERR_INIT;
    if (fx->kind == Q_FX_REPLY)
        (void)Q_FAILPOINT(REPLY_SENT_BEFORE);
    q_rc rc = h->config.transport.publish(h->config.transport.ctx, fx, &err);
    if (rc == Q_RETRY)
        return false;
    if (fx->kind == Q_FX_REPLY)
        (void)Q_FAILPOINT(REPLY_SENT_AFTER);
    if (rc != Q_OK) {
        /* It can never be delivered there (a topic name that the broker refuses): the outcome stands in the log. */
        q_say(Q_SAY_WARN, "a message to %.*s can't be delivered: %s", Q_SLICE_FMT(fx->topic), err.message);
        if (fx->token)
            q_host_published(h, fx->token);
    }
    return true;
}

static void publish_or_keep(q_host *h, const q_effect *fx)
{
    /* Once one is kept, the later ones wait behind it: order per key. */
    if (h->unsent || !publish(h, fx))
        keep_unsent(h, fx);
}

static void retry_unsent(q_host *h)
{
    while (h->unsent && publish(h, &h->unsent->fx)) {
        pending *p = h->unsent;
        h->unsent = p->next;
        if (!h->unsent)
            h->unsent_end = &h->unsent;
        free(p);
    }
}

static void reply_stored(q_host *h, const q_effect *fx)
{
    q_err err = Q_ERR_INIT;
    q_slice bytes;
    q_rec rec;
    q_arena *arena = q_arena_new(0);
    if (!arena) {
        fatal(h, Q_SLICE_LIT("out of memory"));
        return;
    }
    q_rc rc = h->log->ops->read(h->log, arena, fx->lsn, &bytes, &err);
    if (rc == Q_OK)
        rc = q_rec_decode(arena, bytes, fx->lsn, &rec, &err);
    if (rc == Q_OK && rec.type == Q_REC_DECISION) {
        q_effect reply = *fx;
        reply.kind = Q_FX_REPLY;
        reply.bytes = rec.decision.reply;
        reply.type = rec.decision.reply_type;
        publish_or_keep(h, &reply);
    } else if (rc == Q_END) {
        q_say(Q_SAY_WARN, "the stored reply at lsn %llu is gone", (unsigned long long)fx->lsn);
    } else {
        fatal(h, rc == Q_OK ? Q_SLICE_LIT("a stored reply isn't a decision record") : q_slice_cstr(err.message));
    }
    q_arena_free(arena);
}

static void send_work(q_host *h, const q_effect *fx)
{
    q_msg_kind what = q_msg_peek(fx->bytes);
    if ((what == Q_M_PREPARE && Q_FAILPOINT(PREPARE_SENT_BEFORE)) || (what == Q_M_COMMIT && Q_FAILPOINT(COMMIT_SENT_BEFORE)) ||
        (what == Q_M_ABORT && Q_FAILPOINT(ABORT_SENT_BEFORE)) || (what == Q_M_FENCE && Q_FAILPOINT(FENCE_SENT_BEFORE)))
        return;
    if (fx->to_all && h->config.transport.send_all)
        h->config.transport.send_all(h->config.transport.ctx, fx->engine, fx->bytes);
    else
        h->config.transport.send(h->config.transport.ctx, fx->engine, fx->reads_lane, fx->key, fx->bytes);
    (void)((what == Q_M_PREPARE && Q_FAILPOINT(PREPARE_SENT_AFTER)) || (what == Q_M_COMMIT && Q_FAILPOINT(COMMIT_SENT_AFTER)) ||
           (what == Q_M_ABORT && Q_FAILPOINT(ABORT_SENT_AFTER)) || (what == Q_M_FENCE && Q_FAILPOINT(FENCE_SENT_AFTER)));
}

static void archived(void *ctx, uint64_t lsn)
{
    item it = { .kind = ITEM_ARCHIVED, .number = lsn };
    (void)!push(ctx, &it); /* stopped: the next life finds the segment */
}

static void archive(q_host *h, uint64_t end_lsn)
{
    q_archiver_end(h->archiver); /* it has said that it is done */
    h->archiver = q_archiver_start(h->log, h->config.log_dir, h->cluster, end_lsn, archived, h);
    if (!h->archiver)
        archived(h, 0);
}

static void redo_ready(void *ctx, uint64_t id)
{
    item it = { .kind = ITEM_REPLAY, .number = id };
    (void)!push(ctx, &it); /* stopped: nobody wants it */
}

static void replay_ordered(q_host *h, const q_replay_order *o)
{
    if (o->kind == Q_RO_MORE && h->redo) {
        q_redo_more(h->redo);
        return;
    }
    q_redo_stop(h->redo);
    h->redo = NULL;
    if (o->kind == Q_RO_STOP)
        return;
    h->redo = q_redo_start(h->log, h->config.log_dir, o, redo_ready, h);
    if (!h->redo)
        redo_ready(h, o->id);
}

static void replay_came(q_host *h, q_event *ev, uint64_t id)
{
    const q_replay_event none = { .id = id, .error = Q_SLICE_LIT("no memory or no thread for reading the log") };
    ev->kind = Q_EV_REPLAY;
    ev->replay = h->redo ? q_redo_result(h->redo) : &none;
    if (ev->replay->id == id) /* else it is of one that was stopped */
        q_core_step(h->core, ev, h->fx);
}

static void carry_out(q_host *h)
{
    for (size_t i = 0, n = q_effects_count(h->fx); i < n && !atomic_load(&h->failed); i++) {
        const q_effect *fx = q_effects_at(h->fx, i);
        switch (fx->kind) {
        case Q_FX_PERSIST:
            pthread_mutex_lock(&h->log_lock);
            h->log_ops = fx->ops;
            h->log_op_count = fx->op_count;
            h->log_group = fx->group;
            pthread_cond_signal(&h->log_more);
            pthread_mutex_unlock(&h->log_lock);
            break;
        case Q_FX_SEND:
            send_work(h, fx);
            break;
        case Q_FX_REPLY:
        case Q_FX_PUBLISH:
            publish_or_keep(h, fx);
            break;
        case Q_FX_REPLY_STORED:
            reply_stored(h, fx);
            break;
        case Q_FX_PAUSE:
        case Q_FX_RESUME:
            h->config.transport.pause(h->config.transport.ctx, fx->kind == Q_FX_PAUSE);
            break;
        case Q_FX_TIMER:
            if (!h->next_timer_us || fx->at_us < h->next_timer_us)
                h->next_timer_us = fx->at_us;
            break;
        case Q_FX_ARCHIVE:
            archive(h, fx->lsn);
            break;
        case Q_FX_REPLAY:
            replay_ordered(h, fx->replay);
            break;
        case Q_FX_LOG:
            q_say(Q_SAY_INFO, "%.*s", Q_SLICE_FMT(fx->bytes));
            break;
        case Q_FX_FATAL:
            fatal(h, fx->bytes);
            break;
        }
    }
    q_effects_clear(h->fx);
}

/* ---- the core's thread ---- */

static void step_message(q_host *h, q_event *ev)
{
    q_msg_kind what = q_msg_peek(ev->bytes);
    if ((what == Q_M_VOTE && Q_FAILPOINT(VOTE_TAKEN_BEFORE)) || (what == Q_M_ACK && Q_FAILPOINT(ACK_TAKEN_BEFORE)))
        return;
    q_core_step(h->core, ev, h->fx);
    (void)((what == Q_M_VOTE && Q_FAILPOINT(VOTE_TAKEN_AFTER)) || (what == Q_M_ACK && Q_FAILPOINT(ACK_TAKEN_AFTER)));
}

static void run_item(q_host *h, item *it, int64_t now_us, int64_t mono_us)
{
    q_event ev = { .now_us = now_us, .mono_us = mono_us };
    switch (it->kind) {
    case ITEM_REQUEST:
        ev.kind = Q_EV_REQUEST;
        ev.request = it->request;
        (void)Q_FAILPOINT(REQUEST_BEFORE);
        q_core_step(h->core, &ev, h->fx);
        (void)Q_FAILPOINT(REQUEST_AFTER);
        if (it->release)
            it->release(it->owner);
        break;
    case ITEM_MESSAGE:
        ev.kind = Q_EV_MESSAGE;
        ev.bytes = q_slice_of(it->owner, it->len);
        step_message(h, &ev);
        free(it->owner);
        break;
    case ITEM_PUBLISHED:
        ev.kind = Q_EV_PUBLISHED;
        ev.token = it->number;
        q_core_step(h->core, &ev, h->fx);
        break;
    case ITEM_PERSISTED:
        ev.kind = Q_EV_PERSISTED;
        ev.group = it->number;
        q_core_step(h->core, &ev, h->fx);
        break;
    case ITEM_ARCHIVED:
        ev.kind = Q_EV_ARCHIVED;
        ev.group = it->number;
        q_core_step(h->core, &ev, h->fx);
        break;
    case ITEM_REPLAY:
        replay_came(h, &ev, it->number);
        break;
    case ITEM_ASK:
        it->ask->call(it->ask->ctx, h->core, mono_us);
        pthread_mutex_lock(&h->inbox_lock);
        it->ask->done = true;
        pthread_cond_broadcast(&h->ask_done);
        pthread_mutex_unlock(&h->inbox_lock);
        break;
    }
}

static void discard(item *it)
{
    if (it->kind == ITEM_REQUEST && it->release)
        it->release(it->owner);
    else if (it->kind == ITEM_MESSAGE)
        free(it->owner);
}

/* Waits for items or the next time limit; takes what is there. false: the thread must end. */
static bool take(q_host *h)
{
    pthread_mutex_lock(&h->inbox_lock);
    if (h->inbox.count == 0 && !h->stopping && !atomic_load(&h->failed)) {
        int64_t now = q_mono_us(), until = now + (h->unsent ? RETRY_PUBLISH_US : IDLE_US);
        if (h->next_timer_us && h->next_timer_us < until)
            until = h->next_timer_us;
        if (until > now) {
            struct timespec t = { until / 1000000, (until % 1000000) * 1000 };
            pthread_cond_timedwait(&h->inbox_more, &h->inbox_lock, &t);
        }
    }
    items empty = h->taken;
    h->taken = h->inbox;
    h->inbox = empty;
    h->inbox.count = 0;
    bool go_on = !(h->stopping && h->taken.count == 0) && !atomic_load(&h->failed);
    pthread_mutex_unlock(&h->inbox_lock);
    return go_on;
}

static void *core_main(void *arg)
{
    q_host *h = arg;
    int64_t last_timer_us = 0;
    while (take(h)) {
        size_t i = 0;
        int64_t mono = q_mono_us();
        if (h->unsent)
            retry_unsent(h);
        do {
            int64_t now = q_now_us();
            for (size_t n = 0; i < h->taken.count && n < STEPS_PER_FLUSH && !atomic_load(&h->failed); n++)
                run_item(h, &h->taken.at[i++], now, mono);
            mono = q_mono_us();
            if (mono - last_timer_us >= IDLE_US || (h->next_timer_us && mono >= h->next_timer_us)) {
                h->next_timer_us = 0;
                last_timer_us = mono;
                q_event ev = { .kind = Q_EV_TIMER, .now_us = q_now_us(), .mono_us = mono };
                q_core_step(h->core, &ev, h->fx);
            }
            q_core_flush(h->core, h->fx);
            carry_out(h);
        } while (i < h->taken.count && !atomic_load(&h->failed));
        for (; i < h->taken.count; i++)
            discard(&h->taken.at[i]);
    }
    pthread_mutex_lock(&h->inbox_lock);
    h->stopped = true;
    pthread_cond_broadcast(&h->ask_done);
    pthread_mutex_unlock(&h->inbox_lock);
    return NULL;
}

/* ---- start and stop ---- */

typedef struct loading { q_host *h; q_log_table table; uint64_t count; } loading;

static q_rc load_entry(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    loading *l = ctx;
    (void)lsn;
    return q_core_load(l->h->core, l->table, key, value, err);
}

static q_rc load_record(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    loading *l = ctx;
    (void)key;
    l->count++;
    return q_core_record(l->h->core, lsn, value, err);
}

typedef struct forget { q_arena *arena; q_log_op *ops; size_t count, cap; } forget;

static q_rc forget_entry(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    forget *f = ctx;
    (void)lsn;
    (void)value;
    if (f->count == f->cap)
        return q_err_set(err, Q_E_INTERNAL, "too many partitions");
    f->ops[f->count++] = (q_log_op){ .kind = Q_LO_DELETE, .table = Q_LT_POSITION, .key = q_arena_copy(f->arena, key) };
    return Q_OK;
}

/* An empty broker: what an earlier one held is gone, and offsets start again. */
static q_rc forget_positions(q_host *h, q_err *err)
{
    enum { MAX_POSITIONS = 4096 };
    q_arena *arena = q_arena_new(0);
    forget f = { arena, arena ? Q_NEW_ARRAY(arena, q_log_op, MAX_POSITIONS) : NULL, 0, MAX_POSITIONS };
    q_rc rc = f.ops ? h->log->ops->table(h->log, Q_LT_POSITION, forget_entry, &f, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_OK && f.count)
        rc = h->log->ops->commit(h->log, f.ops, f.count, err);
    q_arena_free(arena);
    return rc;
}

static q_rc meta(q_host *h, q_arena *arena, const char *key, q_slice *out, q_err *err)
{
    q_rc rc = h->log->ops->get(h->log, arena, Q_LT_META, q_slice_cstr(key), out, err);
    return rc == Q_END ? q_err_set(err, Q_E_INTERNAL, "the log has no %s", key) : rc;
}

/* The log's own incarnation is also its first topic's; one that an operator has named since is in META. */
static q_rc topic_incarnation(q_host *h, q_arena *arena, q_slice *out, q_err *err)
{
    static const q_slice key = Q_SLICE_LIT("topic");
    if (h->config.new_topic) {
        char fresh[16];
        randombytes_buf(fresh, sizeof fresh);
        q_log_op op = { .kind = Q_LO_PUT, .table = Q_LT_META, .key = key, .value = { fresh, sizeof fresh } };
        q_rc rc = forget_positions(h, err);
        if (rc == Q_OK)
            rc = h->log->ops->commit(h->log, &op, 1, err);
        if (rc != Q_OK)
            return rc;
    }
    q_rc rc = h->log->ops->get(h->log, arena, Q_LT_META, key, out, err);
    if (rc == Q_END)
        rc = h->log->ops->get(h->log, arena, Q_LT_META, Q_SLICE_LIT(Q_LOG_META_INCARNATION), out, err);
    return rc == Q_OK && out->len != 16 ? q_err_set(err, Q_E_INTERNAL, "the log's topic incarnation has a wrong size") : rc;
}

static q_rc recover(q_host *h, q_err *err)
{
    q_arena *arena = q_arena_new(0);
    q_slice cluster, incarnation;
    q_rc rc = arena ? meta(h, arena, "cluster", &cluster, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_OK)
        rc = meta(h, arena, "incarnation", &incarnation, err);
    if (rc == Q_OK && (cluster.len != 8 || incarnation.len != 16))
        rc = q_err_set(err, Q_E_INTERNAL, "the log's cluster or incarnation has a wrong size");
    if (rc == Q_OK) {
        for (int i = 7; i >= 0; i--)
            h->cluster = h->cluster << 8 | (uint8_t)cluster.ptr[i];
        h->config.core.cluster = h->cluster;
        memcpy(h->config.core.log_incarnation, incarnation.ptr, 16);
        memcpy(h->config.core.topic_incarnation, incarnation.ptr, 16);
        q_slice topic;
        rc = topic_incarnation(h, arena, &topic, err);
        if (rc == Q_OK)
            memcpy(h->config.core.topic_incarnation, topic.ptr, 16);
        if (rc == Q_OK && h->config.new_broker) {
            randombytes_buf(h->config.core.topic_incarnation, 16);
            rc = forget_positions(h, err);
        }
    }
    h->accounts.slow_ms = h->config.slow_ms;
    h->config.core.stopwatch_ns = stopwatch_ns;
    h->config.core.account = account_came;
    h->config.core.account_ctx = h;
    if (rc == Q_OK)
        rc = q_core_new(&h->config.core, &h->core, err);
    loading l = { .h = h };
    for (int t = Q_LT_META; rc == Q_OK && t < Q_LT_COUNT; t++) {
        l.table = (q_log_table)t;
        rc = h->log->ops->table(h->log, l.table, load_entry, &l, err);
    }
    if (rc == Q_OK)
        rc = h->log->ops->scan(h->log, q_core_first_lsn(h->core), load_record, &l, err);
    if (rc == Q_OK && l.count)
        q_say(Q_SAY_INFO, "recovery read %llu log records", (unsigned long long)l.count);
    if (rc == Q_OK)
        rc = q_core_begin(h->core, q_now_us(), q_mono_us(), h->fx, err);
    q_arena_free(arena);
    return rc;
}

static void free_host(q_host *h)
{
    q_redo_stop(h->redo);
    q_archiver_end(h->archiver);
    q_core_free(h->core);
    q_effects_free(h->fx);
    if (h->log)
        h->log->ops->close(h->log);
    while (h->unsent) {
        pending *p = h->unsent;
        h->unsent = p->next;
        free(p);
    }
    free(h->inbox.at);
    free(h->taken.at);
    pthread_mutex_destroy(&h->inbox_lock);
    pthread_cond_destroy(&h->inbox_more);
    pthread_cond_destroy(&h->ask_done);
    pthread_mutex_destroy(&h->log_lock);
    pthread_cond_destroy(&h->log_more);
    free(h);
}

q_rc q_host_open(const q_host_config *config, q_host **out, q_err *err)
{
    q_host *h = calloc(1, sizeof *h);
    if (!h)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    h->config = *config;
    h->unsent_end = &h->unsent;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&h->inbox_lock, NULL);
    pthread_cond_init(&h->inbox_more, &attr);
    pthread_cond_init(&h->ask_done, NULL);
    pthread_mutex_init(&h->log_lock, NULL);
    pthread_cond_init(&h->log_more, NULL);
    pthread_condattr_destroy(&attr);

    q_log_options options = { .max_bytes = config->log_max_bytes, .create = true };
    h->fx = q_effects_new();
    q_rc rc = h->fx ? q_log_open_lmdb(config->log_dir, &options, &h->log, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_OK)
        rc = recover(h, err);
    if (rc != Q_OK) {
        free_host(h);
        return rc;
    }
    *out = h;
    return Q_OK;
}

static void stop_log_thread(q_host *h)
{
    pthread_mutex_lock(&h->log_lock);
    h->log_stop = true;
    pthread_cond_signal(&h->log_more);
    pthread_mutex_unlock(&h->log_lock);
    pthread_join(h->log_thread, NULL);
}

q_rc q_host_run(q_host *h, q_err *err)
{
    if (pthread_create(&h->log_thread, NULL, log_main, h) != 0)
        return q_err_set(err, Q_E_INTERNAL, "no thread for the log");
    carry_out(h); /* recovery's effects: before the core's thread, which owns them from then on */
    if (pthread_create(&h->core_thread, NULL, core_main, h) != 0) {
        stop_log_thread(h);
        return q_err_set(err, Q_E_INTERNAL, "no thread for the coordinator");
    }
    h->running = true;
    return Q_OK;
}

typedef struct position { int32_t partition; int64_t offset; } position;

static void ask_position(void *ctx, q_core *core, int64_t mono_us)
{
    position *p = ctx;
    (void)mono_us;
    p->offset = q_core_position(core, p->partition);
}

int64_t q_host_position(q_host *h, int32_t partition)
{
    position p = { partition, -1 };
    (void)q_host_ask(h, ask_position, &p);
    return p.offset;
}

uint64_t q_host_cluster(const q_host *h) { return h->cluster; }
q_log *q_host_log(q_host *h) { return h->log; }

static void ask_drain(void *ctx, q_core *core, int64_t mono_us)
{
    (void)mono_us;
    *(bool *)ctx = q_core_drain(core);
}

void q_host_stop(q_host *h, int timeout_ms)
{
    if (!h)
        return;
    bool empty = false;
    for (int64_t until = q_mono_us() + (int64_t)timeout_ms * 1000; h->running && !empty && q_mono_us() < until;) {
        if (!q_host_ask(h, ask_drain, &empty))
            break;
        struct timespec pause = { 0, 5 * 1000 * 1000 };
        if (!empty)
            nanosleep(&pause, NULL);
    }
    atomic_store(&h->giving_up, true);
    if (h->running) {
        pthread_mutex_lock(&h->inbox_lock);
        h->stopping = true;
        pthread_cond_signal(&h->inbox_more);
        pthread_mutex_unlock(&h->inbox_lock);
        pthread_join(h->core_thread, NULL);
        stop_log_thread(h);
    }
    pthread_mutex_lock(&h->inbox_lock);
    h->stopped = true;
    for (size_t i = 0; i < h->inbox.count; i++)
        discard(&h->inbox.at[i]); /* before the source that the messages belong to is gone */
    h->inbox.count = 0;
    pthread_mutex_unlock(&h->inbox_lock);
}

void q_host_free(q_host *h)
{
    if (h)
        free_host(h);
}

/* ---- metrics ---- */

static void ask_stats(void *ctx, q_core *core, int64_t mono_us) { q_core_get_stats(core, mono_us, ctx); }

void q_host_metrics(q_host *h, q_buf *out)
{
    q_core_stats s = { 0 };
    if (!q_host_ask(h, ask_stats, &s))
        return;
    q_log_info info = { 0 };
    h->log->ops->info(h->log, &info);
    q_metric_head(out, Q_MT_TRANSACTIONS);
    q_metric_sample(out, Q_MT_TRANSACTIONS, "outcome=\"committed\"", (double)s.committed);
    q_metric_sample(out, Q_MT_TRANSACTIONS, "outcome=\"aborted\"", (double)s.aborted);
    q_metric_sample(out, Q_MT_TRANSACTIONS, "outcome=\"rolled_back\"", (double)s.rolled_back);
    q_metric_sample(out, Q_MT_TRANSACTIONS, "outcome=\"rejected\"", (double)s.rejected);
    q_metric_head(out, Q_MT_DENIED);
    q_metric_sample(out, Q_MT_DENIED, "reason=\"credentials\"", (double)s.unauthenticated);
    q_metric_sample(out, Q_MT_DENIED, "reason=\"privilege\"", (double)s.denied);
    const struct { q_metric metric; double value; } rest[] = {
        { Q_MT_REQUESTS, (double)s.requests },
        { Q_MT_DUPLICATES, (double)s.duplicates },
        { Q_MT_READ_ONLY, (double)s.read_only },
        { Q_MT_RESOLVED, (double)s.resolved },
        { Q_MT_GRANTS_CHANGED, (double)s.grants_changed },
        { Q_MT_LOCK_WAITS, (double)s.lock_waits },
        { Q_MT_IN_FLIGHT, (double)s.in_flight },
        { Q_MT_WAITING, (double)s.waiting_for_locks },
        { Q_MT_PREPARING, (double)s.preparing },
        { Q_MT_APPLYING, (double)s.applying },
        { Q_MT_IN_DOUBT, (double)s.in_doubt },
        { Q_MT_IN_DOUBT_OLDEST, (double)s.oldest_in_doubt_us / 1e6 },
        { Q_MT_EPOCH, (double)s.epoch },
        { Q_MT_SEQ, (double)s.next_seq },
        { Q_MT_CORE_MEMORY, (double)s.memory_bytes },
        { Q_MT_LOG_BYTES, (double)info.bytes_used },
        { Q_MT_LOG_BYTES_MAX, (double)info.bytes_max },
        { Q_MT_LOG_GROUPS, (double)s.groups },
        { Q_MT_LOG_SYNCS, (double)info.syncs },
        { Q_MT_LOG_RECORDS, (double)s.group_records },
    };
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        q_metric_one(out, rest[i].metric, rest[i].value);
    q_metric_head(out, Q_MT_ENGINE_READY);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        char label[40];
        snprintf(label, sizeof label, "engine=\"%s\"", q_engine_name((q_engine_id)e));
        q_metric_sample(out, Q_MT_ENGINE_READY, label, s.engines_ready >> e & 1);
    }
    q_metric_head(out, Q_MT_LOG_COMMIT);
    q_metric_histogram(out, Q_MT_LOG_COMMIT, "", &h->sync_time);
    q_metric_head(out, Q_MT_RETRIES);
    for (int e = 0; e < Q_EN_COUNT; e++) {
        char label[40];
        snprintf(label, sizeof label, "engine=\"%s\"", q_engine_name((q_engine_id)e));
        q_metric_sample(out, Q_MT_RETRIES, label, (double)s.resent[e]);
    }
    q_accounts_metrics(&h->accounts, out); /* the last: samples of its last metric follow */
}
