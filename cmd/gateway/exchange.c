#include "cmd/gateway/exchange.h"

#include "base/say.h"
#include "gateway/result.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

enum { CHAINS = 1 << 15, TICK_MS = 100, SLACK_MS = 1000, START_MS = 5000, MAX_ID = 160 };

typedef struct waiter {
    struct waiter *next;
    q_exchange_done done;
    void *ctx;
} waiter;

typedef struct pending {
    struct pending *next;      /* of its chain, or of a list of finished ones */
    uint64_t hash;
    uint64_t fingerprint[2];   /* of all that makes the question what it is */
    int64_t until_ms;          /* nobody waits longer */
    int64_t late_until_ms;     /* 0 while somebody waits */
    bool read_only;
    waiter *waiters;
    char txid[64];
    q_part parts[Q_EXCHANGE_MAX_PARTS]; /* copies: a source can't end while one of its messages is held */
    uint32_t part_count;
    uint32_t id_len;
    char id[MAX_ID];
} pending;

struct q_exchange {
    q_exchange_config config;
    q_producer *producer;
    q_source *source;
    pthread_t clock;
    pthread_mutex_t lock;      /* of the chains */
    pthread_cond_t wake;       /* the clock, to stop */
    bool stopping;
    atomic_bool lost;          /* the source can't go on: it is started anew */
    atomic_bool ready;
    atomic_size_t waiting;
    atomic_size_t asking;      /* within q_exchange_ask: the producer is in use */
    size_t kept;               /* entries, late ones included */
    pending *chains[CHAINS];
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the table: under the lock ---- */

static pending **find(q_exchange *x, uint64_t hash, q_slice id)
{
    pending **at = &x->chains[hash % CHAINS];
    while (*at && ((*at)->hash != hash || !q_slice_eq(q_slice_of((*at)->id, (*at)->id_len), id)))
        at = &(*at)->next;
    return at;
}

static void drop_parts(pending *p)
{
    for (uint32_t i = 0; i < p->part_count; i++)
        free(p->parts[i].bytes);
    p->part_count = 0;
}

static void free_pending(pending *p)
{
    drop_parts(p);
    free(p);
}

static pending *take_out(q_exchange *x, pending **at)
{
    pending *p = *at;
    *at = p->next;
    p->next = NULL;
    x->kept--;
    return p;
}

/* Tells everybody that waits for it, without the lock. */
static void tell(q_exchange *x, waiter *list, q_rc rc, q_part *parts, uint32_t count, const q_err *err)
{
    while (list) {
        waiter *w = list;
        list = w->next;
        atomic_fetch_sub(&x->waiting, 1);
        w->done(w->ctx, rc, parts, count, err);
        free(w);
    }
}

/* ---- replies ---- */

/* Adds a part; true when the result is complete. A part with another txid is a rerun: what came before doesn't count. */
static bool add_part(pending *p, q_part *part, const q_result_head *head)
{
    if (!head->part || (p->part_count && strcmp(p->txid, head->txid) != 0))
        drop_parts(p);
    if (head->part && (head->part != p->part_count + 1 || p->part_count == Q_EXCHANGE_MAX_PARTS))
        return false; /* one that was published twice, or whose beginning we never saw */
    memcpy(p->txid, head->txid, sizeof p->txid);
    p->parts[p->part_count++] = *part;
    part->bytes = NULL; /* taken */
    return head->last;
}

static void on_message(void *ctx, q_message *m)
{
    q_exchange *x = ctx;
    q_slice id = q_message_key(m);
    q_result_head head;
    if (!q_result_read_head(q_message_value(m), &head)) {
        q_say(Q_SAY_WARN, "%s: a message that is no result", x->config.replies);
        q_message_free(m);
        return;
    }
    uint64_t hash = XXH3_64bits(id.ptr ? id.ptr : "", id.len);
    q_slice value = q_message_value(m);
    q_part part = { malloc(value.len + 1), value.len };
    if (part.bytes) {
        memcpy(part.bytes, value.ptr, value.len);
        part.bytes[value.len] = '\0';
    }
    pending *done = NULL;
    pthread_mutex_lock(&x->lock);
    pending **at = find(x, hash, id); /* none: published twice, or for somebody who was told before */
    if (*at && part.bytes && add_part(*at, &part, &head))
        done = take_out(x, at);
    pthread_mutex_unlock(&x->lock);
    free(part.bytes);
    q_message_free(m);
    if (!done)
        return;
    q_err none = Q_ERR_INIT;
    waiter *list = done->waiters;
    if (list) { /* the first gets the parts; further ones of the same question ask again and get the same outcome */
        waiter *rest = list->next;
        list->next = NULL;
        tell(x, list, Q_OK, done->parts, done->part_count, &none);
        done->part_count = 0;
        tell(x, rest, Q_RETRY, NULL, 0, &none);
    }
    free_pending(done);
}

static void on_failed(void *ctx, q_rc rc, const char *text)
{
    q_exchange *x = ctx;
    q_say(Q_SAY_WARN, "replies: %s", text);
    if (rc == Q_FATAL) {
        atomic_store(&x->ready, false);
        atomic_store(&x->lost, true);
    }
}

/* The end of the topic now: what was asked before isn't ours any more. An offset, not "the end": that would be looked up too late. */
static int64_t start_at(void *ctx, int32_t partition)
{
    q_exchange *x = ctx;
    int64_t low, high;
    q_err err = Q_ERR_INIT;
    return q_kafka_watermarks(&x->config.kafka, x->config.replies, partition, START_MS, &low, &high, &err) == Q_OK ? high : -1;
}

static q_rc start_source(q_exchange *x, q_err *err)
{
    q_source_config source = { .topic = x->config.replies, .start = start_at, .message = on_message, .failed = on_failed, .ctx = x };
    q_rc rc = q_source_start(&x->config.kafka, &source, START_MS, &x->source, err);
    atomic_store(&x->ready, rc == Q_OK);
    return rc;
}

/* ---- the clock: who waited long enough ---- */

static void give_up(q_exchange *x, pending *p, waiter *list, bool stopping)
{
    q_err err = Q_ERR_INIT;
    if (!p->read_only) {
        q_err_set(&err, Q_E_IN_DOUBT, "No answer came in time: it may have happened.");
        q_err_hint(&err, "The same request under the same Idempotency-Key will be answered with the outcome.");
    } else if (stopping) {
        q_err_set(&err, Q_E_SHUTTING_DOWN, "The gateway is stopping.");
    } else {
        q_err_set(&err, Q_E_OVERLOADED, "No answer came in time.");
    }
    tell(x, list, Q_FAIL, NULL, 0, &err);
}

/* Takes the waiters of what is over. An entry stays behind them, so that its late reply isn't taken for another question's. */
static void look(q_exchange *x, bool all)
{
    struct late { struct late *next; pending copy; waiter *list; } *over = NULL;
    int64_t now = now_ms();
    pthread_mutex_lock(&x->lock);
    for (size_t c = 0; c < CHAINS && x->kept; c++)
        for (pending **at = &x->chains[c]; *at;) {
            pending *p = *at;
            if (p->waiters && (all || now >= p->until_ms)) {
                struct late *l = calloc(1, sizeof *l);
                if (!l)
                    break; /* the next look tells them */
                l->copy.read_only = p->read_only;
                l->list = p->waiters;
                l->next = over;
                over = l;
                p->waiters = NULL;
                p->late_until_ms = now + Q_EXCHANGE_LATE_MS;
            }
            if (!p->waiters && (all || now >= p->late_until_ms))
                free_pending(take_out(x, at));
            else
                at = &p->next;
        }
    pthread_mutex_unlock(&x->lock);
    while (over) {
        struct late *l = over;
        over = l->next;
        give_up(x, &l->copy, l->list, all);
        free(l);
    }
}

static void *run_clock(void *ctx)
{
    q_exchange *x = ctx;
    pthread_mutex_lock(&x->lock);
    while (!x->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&x->wake, &x->lock, &until);
        bool any = x->kept > 0, stopping = x->stopping;
        pthread_mutex_unlock(&x->lock);
        if (any)
            look(x, false);
        if (atomic_load(&x->lost) && !stopping) {
            q_err err = Q_ERR_INIT;
            q_source_stop(x->source);
            x->source = NULL;
            if (start_source(x, &err) == Q_OK)
                atomic_store(&x->lost, false);
        }
        pthread_mutex_lock(&x->lock);
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

/* ---- asking ---- */

static void fingerprint(const q_question *q, uint64_t out[2])
{
    const q_slice parts[] = { q->bucket, q->body, q->authorization };
    XXH128_hash_t hash = { 0, 0 };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        XXH128_hash_t mix[2] = { hash, XXH3_128bits(parts[i].ptr ? parts[i].ptr : "", parts[i].len) };
        hash = XXH3_128bits(mix, sizeof mix);
    }
    out[0] = hash.low64;
    out[1] = hash.high64;
}

/* Q_OK: a new entry, to be sent; Q_WAIT: joined one that was sent. */
static q_rc enter(q_exchange *x, const q_question *q, waiter *w, q_err *err)
{
    uint64_t print[2], hash = XXH3_64bits(q->request_id.ptr, q->request_id.len);
    q_rc rc = Q_OK;
    fingerprint(q, print);
    pthread_mutex_lock(&x->lock);
    pending **at = find(x, hash, q->request_id), *p = *at;
    bool same = p && p->fingerprint[0] == print[0] && p->fingerprint[1] == print[1];
    if (p && !same) {
        rc = q_err_set(err, Q_E_REQUEST_ID_REUSED, "Another request under this Idempotency-Key is still open here.");
    } else if (p) {
        rc = p->waiters ? Q_WAIT : Q_OK; /* a late one is asked again: any of its replies is right */
    } else if (x->kept >= 2 * (size_t)Q_EXCHANGE_MAX_WAITING || x->stopping) {
        rc = q_err_set(err, x->stopping ? Q_E_SHUTTING_DOWN : Q_E_OVERLOADED, x->stopping ? "The gateway is stopping." : "Too many requests are in flight.");
    } else if (!(p = calloc(1, sizeof *p))) {
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    } else {
        p->hash = hash;
        p->fingerprint[0] = print[0];
        p->fingerprint[1] = print[1];
        p->read_only = q->read_only;
        p->id_len = (uint32_t)q->request_id.len;
        memcpy(p->id, q->request_id.ptr, q->request_id.len);
        *at = p;
        x->kept++;
    }
    if (rc == Q_OK || rc == Q_WAIT) {
        p->until_ms = now_ms() + q->timeout_ms + SLACK_MS;
        p->late_until_ms = 0;
        w->next = p->waiters;
        p->waiters = w;
        atomic_fetch_add(&x->waiting, 1);
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

/* It could not be sent: nobody will answer. False when the clock was quicker and has told the waiter. */
static bool leave(q_exchange *x, q_slice id, const waiter *w)
{
    bool found = false;
    pthread_mutex_lock(&x->lock);
    pending **at = find(x, XXH3_64bits(id.ptr, id.len), id);
    for (waiter **i = *at ? &(*at)->waiters : NULL; i && *i; i = &(*i)->next)
        if (*i == w) {
            *i = w->next;
            found = true;
            break;
        }
    if (found && !(*at)->waiters)
        free_pending(take_out(x, at));
    pthread_mutex_unlock(&x->lock);
    if (found)
        atomic_fetch_sub(&x->waiting, 1);
    return found;
}

static q_rc ask(q_exchange *x, const q_question *q, q_exchange_done done, void *ctx, q_err *err)
{
    char timeout[16];
    q_kafka_header headers[6];
    size_t n = 0;
    if (q->request_id.len >= MAX_ID || !q->request_id.len)
        return q_err_set(err, Q_E_REQUEST_ID_INVALID, "A request id has 1 to %d bytes.", MAX_ID - 1);
    if (atomic_load(&x->waiting) >= Q_EXCHANGE_MAX_WAITING)
        return q_err_set(err, Q_E_OVERLOADED, "%d requests are in flight.", Q_EXCHANGE_MAX_WAITING);
    waiter *w = calloc(1, sizeof *w);
    if (!w)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    w->done = done;
    w->ctx = ctx;
    q_rc rc = enter(x, q, w, err);
    if (rc == Q_WAIT)
        return Q_OK;
    if (rc != Q_OK) {
        free(w);
        return rc;
    }
    snprintf(timeout, sizeof timeout, "%u", q->timeout_ms);
    headers[n++] = (q_kafka_header){ "request-id", q->request_id };
    headers[n++] = (q_kafka_header){ "reply-to", q_slice_cstr(x->config.replies) };
    headers[n++] = (q_kafka_header){ "timeout-ms", q_slice_cstr(timeout) };
    if (q->json)
        headers[n++] = (q_kafka_header){ "content-type", Q_SLICE_LIT("application/json") };
    if (q->authorization.len)
        headers[n++] = (q_kafka_header){ "authorization", q->authorization };
    if (q->traceparent.len)
        headers[n++] = (q_kafka_header){ "traceparent", q->traceparent };
    rc = q_producer_send(x->producer, x->config.requests, q->bucket.len ? q->bucket : Q_SLICE_NONE, q->body, headers, n, 0, err);
    if (rc == Q_OK || !leave(x, q->request_id, w))
        return Q_OK;
    free(w);
    if (rc == Q_RETRY)
        return q_err_set(err, Q_E_OVERLOADED, "Kafka's queue is full.");
    return q_err_set(err, Q_E_REQUEST_TOO_LARGE, "The request can't be sent as a message.");
}

q_rc q_exchange_ask(q_exchange *x, const q_question *q, q_exchange_done done, void *ctx, q_err *err)
{
    atomic_fetch_add(&x->asking, 1);
    q_rc rc = ask(x, q, done, ctx, err);
    atomic_fetch_sub(&x->asking, 1);
    return rc;
}

/* ---- life ---- */

q_rc q_exchange_start(const q_exchange_config *config, q_exchange **out, q_err *err)
{
    q_exchange *x = calloc(1, sizeof *x);
    pthread_condattr_t monotonic;
    if (!x)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    x->config = *config;
    pthread_mutex_init(&x->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&x->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    q_rc rc = q_producer_new(&x->config.kafka, NULL, NULL, &x->producer, err);
    if (rc == Q_OK)
        rc = start_source(x, err);
    if (rc == Q_OK) {
        q_producer_prepare(x->producer, x->config.requests, START_MS);
        if (pthread_create(&x->clock, NULL, run_clock, x) != 0)
            rc = q_err_set(err, Q_E_INTERNAL, "no thread for the gateway's clock");
    }
    if (rc == Q_OK) {
        *out = x;
        return Q_OK;
    }
    q_source_stop(x->source);
    q_producer_free(x->producer);
    free(x);
    return rc;
}

bool q_exchange_ready(const q_exchange *x) { return atomic_load(&x->ready); }
size_t q_exchange_waiting(const q_exchange *x) { return atomic_load(&x->waiting); }

void q_exchange_stop(q_exchange *x)
{
    if (!x)
        return;
    pthread_mutex_lock(&x->lock);
    x->stopping = true;
    pthread_cond_signal(&x->wake);
    pthread_mutex_unlock(&x->lock);
    pthread_join(x->clock, NULL);
    while (atomic_load(&x->asking)) { /* who is let in no more, but was before */
        struct timespec pause = { 0, 1000 * 1000 };
        nanosleep(&pause, NULL);
    }
    q_source_stop(x->source);
    x->source = NULL;
    look(x, true);
}

void q_exchange_free(q_exchange *x)
{
    if (!x)
        return;
    q_producer_free(x->producer);
    pthread_mutex_destroy(&x->lock);
    pthread_cond_destroy(&x->wake);
    free(x);
}
