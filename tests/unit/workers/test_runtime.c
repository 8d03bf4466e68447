/* The lanes' threads on an engine of a few lines: one counter under a lock, told to fail by the test. */
#include <pthread.h>
#include <time.h>

#include "tests/unit/workers/drive.h"
#include "workers/runtime.h"

typedef struct fake {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* what the engine does */
    q_rc open_rc, commit_rc;
    bool hold_commits;
    /* what it saw */
    uint64_t opened, closed, epoch, commits, prepares, reads, calls_under_way;
    /* what was sent */
    uint64_t acks, votes, noes, rows, states, rows_failed;
} fake;

static fake f;

static void tell(void) { pthread_cond_broadcast(&f.changed); }

struct q_engine { int in_use; };

/* A session is one thread's at a time. */
static void enter(q_engine *e)
{
    pthread_mutex_lock(&f.lock);
    assert_int_equal(e->in_use++, 0);
    f.calls_under_way++;
}

static void leave(q_engine *e)
{
    e->in_use--;
    f.calls_under_way--;
    tell();
    pthread_mutex_unlock(&f.lock);
}

static q_rc fake_open(const q_engine_config *config, q_engine **out, q_err *err)
{
    (void)config;
    pthread_mutex_lock(&f.lock);
    q_rc rc = f.open_rc;
    if (rc == Q_OK) {
        *out = calloc(1, sizeof **out);
        f.opened++;
    } else
        q_err_set(err, Q_E_ENGINE_DOWN, "the door is closed");
    tell();
    pthread_mutex_unlock(&f.lock);
    return rc;
}

static void fake_close(q_engine *e)
{
    pthread_mutex_lock(&f.lock);
    assert_int_equal(e->in_use, 0);
    f.closed++;
    tell();
    pthread_mutex_unlock(&f.lock);
    free(e);
}

static q_rc fake_fence(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err)
{
    (void)err;
    enter(e);
    *state = (q_engine_state){ .epoch = f.epoch, .cluster = CLUSTER };
    f.epoch = epoch;
    leave(e);
    return Q_OK;
}

static q_rc fake_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err)
{
    (void)arena, (void)epoch, (void)err;
    enter(e);
    f.prepares += n;
    for (size_t i = 0; i < n; i++)
        votes[i] = (q_vote){ .seq = txns[i].seq };
    leave(e);
    return Q_OK;
}

static q_rc fake_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    (void)arena, (void)epoch, (void)below, (void)txns;
    enter(e);
    while (f.hold_commits)
        pthread_cond_wait(&f.changed, &f.lock);
    q_rc rc = f.commit_rc;
    if (rc == Q_OK)
        f.commits += n;
    else
        q_err_set(err, rc == Q_FATAL ? Q_E_INTERNAL : Q_E_ENGINE_DOWN, "the disk smells");
    leave(e);
    return rc;
}

static q_rc fake_rollback(q_engine *e, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err)
{
    (void)e, (void)epoch, (void)seqs, (void)n, (void)err;
    return Q_OK;
}

static q_rc fake_list(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err)
{
    (void)e, (void)arena, (void)epochs, (void)seqs, (void)err;
    *n = 0;
    return Q_OK;
}

static q_rc fake_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    (void)arena, (void)err;
    enter(e);
    f.reads++;
    *out = (q_rows){ .read_id = read->read_id, .attr_count = read->attr_count };
    leave(e);
    return Q_OK;
}

static q_rc fake_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err)
{
    (void)e, (void)epoch, (void)upto, (void)err;
    return Q_OK;
}

static const q_engine_ops ops = { "fake", false, fake_open, fake_close, fake_fence, fake_prepare, fake_commit, fake_rollback, fake_list,
                                  fake_read, fake_purge };

static void heard(void *ctx, q_slice key, q_slice bytes)
{
    q_arena *arena = q_arena_new(0);
    q_msg m;
    q_err err = Q_ERR_INIT;
    (void)ctx, (void)key;
    assert_int_equal(q_msg_decode(arena, bytes, &m, &err), Q_OK);
    pthread_mutex_lock(&f.lock);
    if (m.kind == Q_M_ACK)
        f.acks += m.count;
    if (m.kind == Q_M_STATE)
        f.states++;
    for (uint32_t i = 0; m.kind == Q_M_VOTE && i < m.count; i++)
        m.votes[i].no == Q_NO_NONE ? f.votes++ : f.noes++;
    for (uint32_t i = 0; m.kind == Q_M_ROWS && i < m.count; i++)
        m.rows[i].rc == Q_OK ? f.rows++ : f.rows_failed++;
    tell();
    pthread_mutex_unlock(&f.lock);
    q_arena_free(arena);
}

/* Until `*what` is at least `least`; the test fails after ten seconds. */
static void wait_for(const uint64_t *what, uint64_t least)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&f.lock);
    int rc = 0;
    while (*what < least && rc == 0)
        rc = pthread_cond_timedwait(&f.changed, &f.lock, &until);
    uint64_t is = *what;
    pthread_mutex_unlock(&f.lock);
    if (is < least)
        fail_msg("%llu instead of %llu", (unsigned long long)is, (unsigned long long)least);
}

static void set_rc(q_rc *which, q_rc rc)
{
    pthread_mutex_lock(&f.lock);
    *which = rc;
    tell();
    pthread_mutex_unlock(&f.lock);
}

static void hold(bool on)
{
    pthread_mutex_lock(&f.lock);
    f.hold_commits = on;
    tell();
    pthread_mutex_unlock(&f.lock);
}

static q_worker_runtime *start(uint32_t read_sessions)
{
    q_engine_config engine = { .id = Q_EN_MONGO, .uri = "fake:" };
    q_worker_config worker = { .engine = Q_EN_MONGO, .cluster = CLUSTER, .retry_ms = 1, .read_sessions = read_sessions };
    q_worker_runtime *rt;
    q_err err = Q_ERR_INIT;
    f = (fake){ .open_rc = Q_OK, .commit_rc = Q_OK };
    pthread_mutex_init(&f.lock, NULL);
    pthread_cond_init(&f.changed, NULL);
    assert_int_equal(q_worker_runtime_start(&ops, &engine, &worker, heard, NULL, &rt, &err), Q_OK);
    return rt;
}

/* ---- messages, as in drive.h but to a runtime ---- */

static void say(q_worker_runtime *rt, const q_msg *m)
{
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    q_msg_encode(m, &b);
    q_worker_runtime_message(rt, q_buf_slice(&b));
    q_buf_free(&b);
}

static q_msg of(q_msg_kind kind, uint32_t count)
{
    return (q_msg){ .kind = kind, .cluster = CLUSTER, .epoch = 3, .engine = Q_EN_MONGO, .bucket = Q_SLICE_LIT("shop"), .count = count };
}

static void say_fence(q_worker_runtime *rt)
{
    q_msg m = of(Q_M_FENCE, 0);
    say(rt, &m);
}

static void say_txn(q_worker_runtime *rt, q_msg_kind kind, uint64_t seq)
{
    q_txn_work t = { .seq = seq, .writes = Q_SLICE_LIT("w") };
    q_msg m = of(kind, 1);
    m.txns = &t;
    say(rt, &m);
}

static void say_read(q_worker_runtime *rt, uint64_t id)
{
    q_read r = { .read_id = id, .kind = Q_R_SCAN, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("things"), .limit = 1 };
    q_msg m = of(Q_M_READ, 1);
    m.reads = &r;
    say(rt, &m);
}

static void work_is_done_and_answered(void **state)
{
    (void)state;
    q_worker_runtime *rt = start(0);
    say_fence(rt);
    for (uint64_t s = 1; s <= 500; s++) {
        say_txn(rt, Q_M_PREPARE, s);
        say_txn(rt, Q_M_COMMIT, s);
        if (s % 10 == 0)
            say_read(rt, s);
    }
    wait_for(&f.acks, 500);
    wait_for(&f.votes, 500);
    wait_for(&f.rows, 50);
    assert_int_equal(f.states, 1);
    q_worker_runtime_stop(rt);
    assert_int_equal(f.commits, 500);
    assert_int_equal(f.opened, 3); /* a session a lane */
    assert_int_equal(f.closed, 3);
}

typedef struct talker { q_worker_runtime *rt; uint64_t first; } talker;

static void *talk(void *arg)
{
    talker *t = arg;
    for (uint64_t s = 0; s < 200; s++) {
        say_txn(t->rt, Q_M_COMMIT, t->first + s);
        say_read(t->rt, t->first + s);
    }
    return NULL;
}

static void messages_may_come_from_any_thread(void **state)
{
    (void)state;
    q_worker_runtime *rt = start(3);
    talker t[4];
    pthread_t threads[4];
    say_fence(rt);
    for (uint64_t i = 0; i < 4; i++) {
        t[i] = (talker){ rt, 1 + i * 1000 };
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &t[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    wait_for(&f.acks, 800);
    wait_for(&f.rows, 800);
    q_worker_runtime_stop(rt);
}

static void a_dead_engine_is_answered_for_at_once_and_found_again(void **state)
{
    (void)state;
    q_worker_runtime *rt = start(0);
    q_worker_runtime_state s;
    say_fence(rt);
    say_txn(rt, Q_M_PREPARE, 1);
    wait_for(&f.votes, 1);
    say_read(rt, 1);
    wait_for(&f.rows, 1);
    set_rc(&f.open_rc, Q_RETRY);
    set_rc(&f.commit_rc, Q_IN_DOUBT);
    say_txn(rt, Q_M_COMMIT, 2); /* loses its session, and finds no other */
    wait_for(&f.closed, 1);
    q_worker_runtime_state_get(rt, &s);
    assert_int_equal(f.acks, 0);
    set_rc(&f.commit_rc, Q_OK);
    set_rc(&f.open_rc, Q_OK);
    wait_for(&f.acks, 1); /* by itself: nobody sends again */
    q_worker_runtime_state_get(rt, &s);
    assert_false(s.failed);
    assert_int_equal(s.stats.stuck, 0);
    assert_int_equal(s.stats.epoch, 3);
    q_worker_runtime_stop(rt);
    assert_int_equal(f.opened, f.closed);
}

static void an_engine_that_was_never_there_gets_noes(void **state)
{
    (void)state;
    q_worker_runtime *rt = start(0);
    q_worker_runtime_state s;
    set_rc(&f.open_rc, Q_RETRY);
    say_fence(rt);
    for (int i = 0; i < 1000; i++) { /* until the lane has tried */
        q_worker_runtime_state_get(rt, &s);
        if (s.error[0])
            break;
        struct timespec ms = { 0, 1000000 };
        nanosleep(&ms, NULL);
    }
    assert_string_equal(s.error, "the door is closed");
    assert_int_equal(s.sessions, 0);
    set_rc(&f.open_rc, Q_OK);
    wait_for(&f.states, 1);
    set_rc(&f.open_rc, Q_RETRY);
    say_txn(rt, Q_M_PREPARE, 1);
    wait_for(&f.noes, 1);
    say_read(rt, 1);
    wait_for(&f.rows_failed, 1);
    q_worker_runtime_stop(rt);
}

static void an_engine_that_cannot_go_on_is_shown(void **state)
{
    (void)state;
    q_worker_runtime *rt = start(0);
    q_worker_runtime_state s;
    say_fence(rt);
    wait_for(&f.states, 1);
    set_rc(&f.commit_rc, Q_FATAL);
    say_txn(rt, Q_M_COMMIT, 2);
    wait_for(&f.closed, 1);
    q_worker_runtime_state_get(rt, &s);
    assert_true(s.failed);
    assert_string_equal(s.error, "the disk smells");
    assert_int_equal(f.acks, 0);
    q_worker_runtime_stop(rt);
}

static void *stop(void *rt)
{
    q_worker_runtime_stop(rt);
    return NULL;
}

static void stopping_lets_the_call_under_way_end_and_its_answer_leave(void **state)
{
    (void)state;
    pthread_t stopper;
    q_worker_runtime *rt = start(0);
    say_fence(rt);
    wait_for(&f.states, 1);
    hold(true);
    say_txn(rt, Q_M_COMMIT, 2);
    wait_for(&f.calls_under_way, 1);
    assert_int_equal(pthread_create(&stopper, NULL, stop, rt), 0);
    hold(false);
    pthread_join(stopper, NULL);
    assert_int_equal(f.acks, 1);
    assert_int_equal(f.opened, f.closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_done_and_answered),
        cmocka_unit_test(messages_may_come_from_any_thread),
        cmocka_unit_test(a_dead_engine_is_answered_for_at_once_and_found_again),
        cmocka_unit_test(an_engine_that_was_never_there_gets_noes),
        cmocka_unit_test(an_engine_that_cannot_go_on_is_shown),
        cmocka_unit_test(stopping_lets_the_call_under_way_end_and_its_answer_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
