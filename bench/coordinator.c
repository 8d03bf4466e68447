/* coordinator - how many transactions a second the coordinator decides: real parsing, planning, locks, wire messages, log and syncs;
 * participants in this process that vote YES and acknowledge at once. Nothing else is left out.
 *
 * One closed loop of N requests in flight. Each is a blind INSERT into two engines (a scalar and a document). Prints transactions/s,
 * syncs per commit, latency, and the memory of the core. Usage: coordinator --dir DIR [--seconds S] */
#include "cmd/host/coordinator_host.h"
#include "cmd/host/operate.h"

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_IN_FLIGHT = 10000, MAX_SAMPLES = 4000000, INBOX = 1 << 16 };

typedef struct slot { char text[256]; int64_t began_us; q_header header; char id[24]; } slot;

static struct {
    q_host *host;
    uint64_t cluster;
    slot *slots;
    uint32_t in_flight;
    uint64_t next_id, offset;
    _Atomic uint64_t answered;
    _Atomic bool stop;
    uint64_t refused;
    uint32_t *samples_us;
    uint64_t sample_count;
    /* the participants' inbox */
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct { q_engine_id engine; char *bytes; size_t len; } *inbox, *taken;
    size_t inbox_count;
    bool done;
    char first_error[400];
} g = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

/* ---- requests ---- */

static void issue(uint32_t n)
{
    slot *s = &g.slots[n];
    uint64_t id = g.next_id++;
    int len = snprintf(s->text, sizeof s->text,
                       "INSERT INTO orders { id: \"order_%llu\", total_cost: 89.50, customer: { id: \"cust_001\", name: \"Alice\", "
                       "address: \"123 Market St\" } };",
                       (unsigned long long)id);
    int id_len = snprintf(s->id, sizeof s->id, "%u.%llu", n, (unsigned long long)id);
    s->header = (q_header){ Q_SLICE_LIT("request-id"), q_slice_of(s->id, (size_t)id_len) };
    s->began_us = q_mono_us();
    q_request r = { .partition = 0, .offset = (int64_t)g.offset++, .key = Q_SLICE_LIT("shop"), .value = q_slice_of(s->text, (size_t)len),
                    .header_count = 1, .headers = &s->header };
    q_host_request(g.host, &r, NULL, NULL);
}

static q_rc on_reply(void *ctx, const q_effect *m, q_err *err)
{
    (void)ctx;
    (void)err;
    if (m->token)
        q_host_published(g.host, m->token);
    if (m->kind != Q_FX_REPLY)
        return Q_OK;
    if (!memmem(m->bytes.ptr, m->bytes.len, "\"committed\"", 11) && !g.refused++)
        snprintf(g.first_error, sizeof g.first_error, "%.*s", Q_SLICE_FMT(m->bytes));
    char *rest;
    unsigned long n = strtoul(m->request_id.len ? m->request_id.ptr : "0", &rest, 10);
    atomic_fetch_add(&g.answered, 1);
    if (*rest != '.' || n >= g.in_flight)
        return Q_OK; /* the set-up's */
    if (g.sample_count < MAX_SAMPLES)
        g.samples_us[g.sample_count++] = (uint32_t)(q_mono_us() - g.slots[n].began_us);
    if (!atomic_load(&g.stop))
        issue((uint32_t)n);
    return Q_OK;
}

/* ---- participants ---- */

static void on_send(void *ctx, q_engine_id engine, bool reads_lane, q_slice key, q_slice bytes)
{
    (void)ctx;
    (void)reads_lane;
    (void)key;
    char *copy = malloc(bytes.len);
    if (!copy)
        abort();
    memcpy(copy, bytes.ptr, bytes.len);
    pthread_mutex_lock(&g.lock);
    if (g.inbox_count == INBOX)
        abort();
    g.inbox[g.inbox_count].engine = engine;
    g.inbox[g.inbox_count].bytes = copy;
    g.inbox[g.inbox_count++].len = bytes.len;
    pthread_cond_signal(&g.more);
    pthread_mutex_unlock(&g.lock);
}

static void participate(q_engine_id engine, q_slice bytes, q_arena *arena, q_buf *out)
{
    q_err err = Q_ERR_INIT;
    q_msg m, answer = { 0 };
    q_engine_state state = { .cluster = g.cluster };
    if (q_msg_decode(arena, bytes, &m, &err) != Q_OK) {
        fprintf(stderr, "participant: %s\n", err.message);
        abort();
    }
    answer.cluster = m.cluster;
    answer.epoch = m.epoch;
    answer.engine = engine;
    answer.batch = m.batch;
    answer.bucket = m.bucket;
    answer.count = m.count;
    if (m.kind == Q_M_PREPARE) {
        q_vote *votes = Q_NEW_ARRAY(arena, q_vote, m.count);
        for (uint32_t i = 0; i < m.count; i++)
            votes[i].seq = m.txns[i].seq;
        answer.kind = Q_M_VOTE;
        answer.votes = votes;
    } else if (m.kind == Q_M_COMMIT) {
        uint64_t *seqs = Q_NEW_ARRAY(arena, uint64_t, m.count);
        for (uint32_t i = 0; i < m.count; i++)
            seqs[i] = m.txns[i].seq;
        answer.kind = Q_M_ACK;
        answer.seqs = seqs;
    } else if (m.kind == Q_M_FENCE) {
        answer.kind = Q_M_STATE;
        answer.count = 1;
        state.epoch = m.epoch;
        answer.state = &state;
    } else {
        return;
    }
    q_buf_clear(out);
    q_msg_encode(&answer, out);
    q_host_message(g.host, q_buf_slice(out));
}

static void *participants(void *arg)
{
    q_arena *arena = q_arena_new(0);
    q_buf out = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&g.lock);
        while (!g.inbox_count && !g.done)
            pthread_cond_wait(&g.more, &g.lock);
        void *swap = g.inbox;
        size_t n = g.inbox_count;
        g.inbox = g.taken;
        g.taken = swap;
        g.inbox_count = 0;
        pthread_mutex_unlock(&g.lock);
        if (!n)
            break;
        for (size_t i = 0; i < n; i++) {
            participate(g.taken[i].engine, q_slice_of(g.taken[i].bytes, g.taken[i].len), arena, &out);
            free(g.taken[i].bytes);
            q_arena_reset(arena);
        }
    }
    q_buf_free(&out);
    q_arena_free(arena);
    return NULL;
}

/* ---- runs ---- */

static int by_value(const void *a, const void *b) { return (*(const uint32_t *)a > *(const uint32_t *)b) - (*(const uint32_t *)a < *(const uint32_t *)b); }

static void on_fatal(void *ctx, q_slice reason)
{
    (void)ctx;
    fprintf(stderr, "fatal: %.*s\n", Q_SLICE_FMT(reason));
    _exit(1);
}

static void on_pause(void *ctx, bool paused)
{
    (void)ctx;
    (void)paused; /* the loop is closed: at most MAX_IN_FLIGHT */
}

static void sleep_us(int64_t us)
{
    struct timespec t = { us / 1000000, (us % 1000000) * 1000 };
    nanosleep(&t, NULL);
}

static bool wait_answers(uint64_t n, int seconds)
{
    for (int64_t until = q_mono_us() + (int64_t)seconds * 1000000; atomic_load(&g.answered) < n;) {
        if (q_mono_us() > until)
            return false;
        sleep_us(1000);
    }
    return true;
}

static void setup_request(const char *text)
{
    uint64_t want = atomic_load(&g.answered) + 1;
    q_request r = { .partition = 0, .offset = (int64_t)g.offset++, .key = Q_SLICE_LIT("shop"), .value = q_slice_cstr(text) };
    q_host_request(g.host, &r, NULL, NULL);
    if (!wait_answers(want, 10)) {
        fprintf(stderr, "no answer to: %s\n", text);
        exit(1);
    }
}

typedef struct ask { q_core_stats stats; } ask;
static void ask_stats(void *ctx, q_core *core, int64_t mono_us) { q_core_get_stats(core, mono_us, &((ask *)ctx)->stats); }

static void run(uint32_t in_flight, double seconds)
{
    q_log_info before, after;
    ask a = { 0 }, b = { 0 };
    g.in_flight = in_flight;
    g.sample_count = 0;
    atomic_store(&g.stop, false);
    q_log *log = q_host_log(g.host);
    log->ops->info(log, &before);
    (void)q_host_ask(g.host, ask_stats, &b);
    uint64_t answered = atomic_load(&g.answered);
    int64_t began = q_mono_us();
    for (uint32_t i = 0; i < in_flight; i++)
        issue(i);
    sleep_us((int64_t)(seconds * 1e6));
    (void)q_host_ask(g.host, ask_stats, &a);
    double took = (double)(q_mono_us() - began) / 1e6;
    uint64_t n = atomic_load(&g.answered) - answered;
    log->ops->info(log, &after);
    atomic_store(&g.stop, true);
    uint64_t samples = g.sample_count;
    sleep_us(300000); /* what is in flight ends */
    qsort(g.samples_us, samples, sizeof *g.samples_us, by_value);
    printf("%8u %12.0f %14.4f %10.2f %10.2f %12.1f\n", in_flight, (double)n / took, n ? (double)(after.syncs - before.syncs) / (double)n : 0,
           samples ? g.samples_us[samples / 2] / 1e3 : 0, samples ? g.samples_us[samples * 99 / 100] / 1e3 : 0,
           (double)a.stats.memory_bytes / 1e6);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "dir", required_argument, NULL, 'd' }, { "seconds", required_argument, NULL, 's' }, { 0 } };
    const char *dir = NULL;
    double seconds = 5;
    int o;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == 'd')
            dir = optarg;
        else if (o == 's')
            seconds = strtod(optarg, NULL);
        else
            return 2;
    }
    if (!dir || seconds <= 0) {
        fprintf(stderr, "Usage: coordinator --dir DIR [--seconds S]\n");
        return 2;
    }
    mkdir(dir, 0700);
    g.slots = calloc(MAX_IN_FLIGHT, sizeof *g.slots);
    g.samples_us = calloc(MAX_SAMPLES, sizeof *g.samples_us);
    g.inbox = calloc(INBOX, sizeof *g.inbox);
    g.taken = calloc(INBOX, sizeof *g.taken);
    if (!g.slots || !g.samples_us || !g.inbox || !g.taken)
        return 1;
    q_host_config config = { .log_dir = dir, .log_max_bytes = 64ull << 30, .new_broker = true };
    q_operate_defaults(&config.core);
    config.core.publish_changes = false;
    config.core.max_in_flight = 2 * MAX_IN_FLIGHT;
    config.transport = (q_host_transport){ .send = on_send, .publish = on_reply, .fatal = on_fatal };
    config.transport.pause = on_pause;
    q_err err = Q_ERR_INIT;
    pthread_t thread;
    if (q_host_open(&config, &g.host, &err) != Q_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    g.cluster = q_host_cluster(g.host);
    if (pthread_create(&thread, NULL, participants, NULL) != 0 || q_host_run(g.host, &err) != Q_OK)
        return 1;
    setup_request("CREATE BUCKET shop;");
    setup_request("CREATE RECORD orders (id scalar string, customer document, total_cost scalar float);");
    printf("%8s %12s %14s %10s %10s %12s\n", "inflight", "tx/s", "syncs/commit", "p50 ms", "p99 ms", "core MB");
    run(1, seconds);
    run(64, seconds);
    run(1024, seconds);
    run(10000, seconds);
    if (g.refused)
        fprintf(stderr, "%llu were not committed; the first: %s\n", (unsigned long long)g.refused, g.first_error);
    q_host_stop(g.host, 5000);
    pthread_mutex_lock(&g.lock);
    g.done = true;
    pthread_cond_signal(&g.more);
    pthread_mutex_unlock(&g.lock);
    pthread_join(thread, NULL);
    q_host_free(g.host);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("cpu %.1f s user, %.1f s system; largest resident size %.0f MB\n",
           (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6, (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6,
           (double)usage.ru_maxrss / 1024);
    return g.refused ? 1 : 0;
}
