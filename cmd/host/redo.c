#include "cmd/host/redo.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct q_redo {
    q_log *log;
    char *log_dir;
    q_arena *arena;          /* of the order's text */
    q_replay_order order;
    void (*ready)(void *ctx, uint64_t id);
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool wanted;             /* under lock: the core waits for a result */
    atomic_bool stop;
    q_replay_batch batch;
    q_replay_event event;
    q_err err;
};

/* A log whose beginning is missing can't say what an engine held that doesn't have that either. */
static q_rc check_extent(const q_redo *r, const q_replay *replay, q_err *err)
{
    uint64_t first, high;
    q_replay_extent(replay, &first, &high);
    if (high == 0 || r->order.spec.limit == 0 || (high != UINT64_MAX && r->order.below > high))
        return Q_OK;
    q_err_set(err, Q_E_INTERNAL, "The log and its segments begin with record %" PRIu64 ": what %s held before is in none of them.", first,
              q_engine_name(r->order.spec.engine));
    q_err_hint(err, "Bring the older segments back, or restore a backup of the engine first.");
    return Q_FAIL;
}

/* Hands a result over and waits until the next is wanted. False: stop. */
static bool tell(q_redo *r)
{
    pthread_mutex_lock(&r->lock);
    r->wanted = false;
    pthread_mutex_unlock(&r->lock);
    r->ready(r->ctx, r->order.id);
    pthread_mutex_lock(&r->lock);
    while (!r->wanted && !atomic_load(&r->stop))
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
    return !atomic_load(&r->stop);
}

static q_rc read_all(q_redo *r, q_replay *replay)
{
    q_rc rc = check_extent(r, replay, &r->err);
    if (rc != Q_OK)
        return rc;
    do {
        rc = q_replay_prepare(replay, &r->err);
    } while (rc == Q_WAIT && !atomic_load(&r->stop));
    while (rc == Q_OK && !atomic_load(&r->stop)) {
        rc = q_replay_next(replay, &r->batch, &r->err);
        q_replay_get_progress(replay, &r->event.progress);
        r->event.batch = rc == Q_OK ? &r->batch : NULL;
        if (rc == Q_OK && !tell(r))
            return Q_OK;
    }
    return rc;
}

static void *redo_main(void *arg)
{
    q_redo *r = arg;
    q_archive *archive = NULL;
    q_replay *replay = NULL;
    r->event.id = r->order.id;
    q_rc rc = q_segments_open(r->log_dir, &archive, &r->err);
    if (rc == Q_OK)
        rc = q_replay_open(r->log, archive, &r->order.spec, &replay, &r->err);
    if (rc == Q_OK)
        rc = read_all(r, replay);
    if (!atomic_load(&r->stop)) {
        r->event.batch = NULL;
        r->event.end = rc == Q_END;
        if (rc != Q_END)
            r->event.error = q_slice_cstr(r->err.message);
        (void)tell(r);
    }
    q_replay_free(replay);
    if (archive)
        archive->close(archive);
    return NULL;
}

static void free_redo(q_redo *r)
{
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
    q_arena_free(r->arena);
    free(r->log_dir);
    free(r);
}

q_redo *q_redo_start(q_log *log, const char *log_dir, const q_replay_order *order, void (*ready)(void *ctx, uint64_t id), void *ctx)
{
    q_redo *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (q_redo){ .log = log, .log_dir = strdup(log_dir), .arena = q_arena_new(0), .order = *order, .ready = ready, .ctx = ctx };
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    if (r->arena) {
        r->order.spec.bucket = q_arena_copy(r->arena, order->spec.bucket);
        r->order.spec.record = q_arena_copy(r->arena, order->spec.record);
    }
    if (!r->log_dir || !r->arena || pthread_create(&r->thread, NULL, redo_main, r) != 0) {
        free_redo(r);
        return NULL;
    }
    return r;
}

const q_replay_event *q_redo_result(q_redo *r) { return &r->event; }

void q_redo_more(q_redo *r)
{
    pthread_mutex_lock(&r->lock);
    r->wanted = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void q_redo_stop(q_redo *r)
{
    if (!r)
        return;
    atomic_store(&r->stop, true);
    pthread_mutex_lock(&r->lock);
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    free_redo(r);
}
