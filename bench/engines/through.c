/* through.c - one client of the topics: keeps so many requests in flight, and takes the time from each one's sending to its result. */
#include "bench/engines/load.h"
#include "base/buf.h"
#include "bus/kafka.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GIVE_UP_S = 60 };

typedef struct run {
    const q_kafka_config *kafka;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *mark;
    double *sent_ms, *taken_ms; /* by number */
    size_t sent, done, failed, samples;
    char why[256];
} run;

static void take(void *ctx, q_message *m)
{
    run *r = ctx;
    q_slice key = q_message_key(m), value = q_message_value(m);
    size_t prefix = strlen(r->mark);
    char text[32];
    double now = bench_now_ms();
    if (key.len > prefix && key.len - prefix < sizeof text && !memcmp(key.ptr, r->mark, prefix)) {
        memcpy(text, key.ptr + prefix, key.len - prefix);
        text[key.len - prefix] = 0;
        size_t number = strtoul(text, NULL, 10);
        bool committed = memmem(value.ptr, value.len, "\"status\":\"committed\"", 20) != NULL;
        pthread_mutex_lock(&r->lock);
        if (number < r->sent && r->sent_ms[number] > 0) {
            if (committed)
                r->taken_ms[r->samples++] = now - r->sent_ms[number];
            else if (!r->failed++)
                snprintf(r->why, sizeof r->why, "%.*s", (int)(value.len < 250 ? value.len : 250), value.ptr);
            r->sent_ms[number] = 0;
            r->done++;
            pthread_cond_signal(&r->changed);
        }
        pthread_mutex_unlock(&r->lock);
    }
    q_message_free(m);
}

static void failed(void *ctx, q_rc rc, const char *text)
{
    (void)ctx, (void)rc;
    fprintf(stderr, "results: %s\n", text);
}

/* The offset itself, asked for before anything is sent: "the end" would be looked up later, behind the first results. */
static int64_t from_the_end(void *ctx, int32_t partition)
{
    run *r = ctx;
    int64_t low, high;
    q_err err = Q_ERR_INIT;
    if (q_kafka_watermarks(r->kafka, "quanta.results", partition, 10000, &low, &high, &err) == Q_OK)
        return high;
    fprintf(stderr, "%s\n", err.message);
    return -2;
}

/* Under the lock. false: no result for so long that none will come. */
static bool wait_for_one(run *r)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GIVE_UP_S;
    if (pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
        return true;
    fprintf(stderr, "no result for %d s, %zu of %zu requests are open\n", GIVE_UP_S, r->sent - r->done, r->sent);
    return false;
}

static bool send_one(q_producer *p, const char *mark, size_t number, const char *text)
{
    char id[64];
    snprintf(id, sizeof id, "%s%zu", mark, number);
    q_kafka_header header = { "request-id", q_slice_cstr(id) };
    q_err err = Q_ERR_INIT;
    q_rc rc = q_producer_send(p, "quanta.requests", Q_SLICE_LIT("bench_engines"), q_slice_cstr(text), &header, 1, 0, &err);
    if (rc != Q_OK)
        fprintf(stderr, "%s\n", err.message);
    return rc == Q_OK;
}

static void make(char *text, size_t n, bool four, const char *mark, size_t i)
{
    if (four)
        snprintf(text, n, "INSERT INTO fours { id: \"%s%zu\", total: %zu.5, customer: { name: \"Alice\", address: \"123 Market St\" }, "
                          "route: relation(\"r%zu\"), taken: %zu.25 };", mark, i, i % 1000, i % 50, i % 100);
    else
        snprintf(text, n, "INSERT INTO pairs { id: \"%s%zu\", total: %zu.5, customer: { name: \"Alice\", address: \"123 Market St\" } };", mark, i, i % 1000);
}

static void wait_until(double ms)
{
    double left = ms - bench_now_ms();
    if (left <= 0)
        return;
    struct timespec pause = { (time_t)(left / 1e3), (long)((left - (double)(time_t)(left / 1e3) * 1e3) * 1e6) };
    nanosleep(&pause, NULL);
}

/* `one` NULL: rows for as long as `seconds`; otherwise that one statement. */
static bool drive(const places *at, const char *one, bool four, size_t at_once, double seconds, double rate, const char *mark, figures *out)
{
    run r = { .mark = mark, .sent_ms = calloc(MAX_SAMPLES, sizeof(double)), .taken_ms = calloc(MAX_SAMPLES, sizeof(double)) };
    q_kafka_config config = { .bootstrap = at->bootstrap, .fetch_wait_max_ms = 1 };
    q_source_config source = { .topic = "quanta.results", .start = from_the_end, .message = take, .failed = failed, .ctx = &r };
    r.kafka = &config;
    q_producer *producer = NULL;
    q_source *results = NULL;
    q_err err = Q_ERR_INIT;
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.changed, NULL);
    bool ok = r.sent_ms && r.taken_ms && q_producer_new(&config, NULL, NULL, &producer, &err) == Q_OK &&
              q_source_start(&config, &source, 10000, &results, &err) == Q_OK;
    if (!ok)
        fprintf(stderr, "%s\n", err.message);
    double began = bench_now_ms(), last = began;
    while (ok && (one ? r.sent == 0 : bench_now_ms() - began < seconds * 1000) && r.sent < MAX_SAMPLES) {
        char text[512];
        double due = rate > 0 ? began + (double)r.sent * 1e3 / rate : 0;
        wait_until(due);
        pthread_mutex_lock(&r.lock);
        while (ok && r.sent - r.done >= at_once)
            ok = wait_for_one(&r);
        size_t number = r.sent++;
        r.sent_ms[number] = rate > 0 ? due : bench_now_ms();
        pthread_mutex_unlock(&r.lock);
        make(text, sizeof text, four, mark, number);
        ok = ok && send_one(producer, mark, number, one ? one : text);
    }
    pthread_mutex_lock(&r.lock);
    while (ok && r.done < r.sent)
        ok = wait_for_one(&r);
    pthread_mutex_unlock(&r.lock);
    last = bench_now_ms();
    q_source_stop(results);
    q_producer_free(producer);
    if (r.failed)
        fprintf(stderr, "%zu not committed: %s\n", r.failed, r.why);
    bench_summary(r.taken_ms, r.samples, (last - began) / 1000, out);
    out->failed = r.failed;
    free(r.sent_ms);
    free(r.taken_ms);
    return ok && r.failed == 0;
}

bool bench_through(const places *p, bool four, size_t at_once, double seconds, double rate, const char *mark, figures *out)
{
    return drive(p, NULL, four, at_once, seconds, rate, mark, out);
}

bool bench_statement(const places *p, const char *id, const char *text)
{
    figures none;
    return drive(p, text, false, 1, 0, 0, id, &none);
}
