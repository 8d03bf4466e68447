#include "cmd/cli/client.h"

#include "base/buf.h"
#include "bus/kafka.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_MS = 5000, TRY_MS = 1500, LOOK_MS = 200, SILENT_MS = 2000, MAX_ID = 80, MAX_MESSAGE = 15 << 20 };

typedef struct waiting { /* a request without an answer. `result` and `parts` are under the lock, the rest is the caller's thread's */
    char id[MAX_ID];
    uint64_t token;
    char *bucket;        /* or NULL */
    q_buf body;          /* as it was published: a restarted system gets the same bytes */
    bool json;
    json_t *parts;       /* so far */
    json_t *result;      /* complete */
} waiting;

struct q_client {
    q_place place;
    q_producer *producer;
    q_source *source;
    int wake;              /* eventfd */
    atomic_bool interrupted;
    atomic_bool lost;      /* the source can't go on: read the results topic anew */
    pthread_mutex_t lock;  /* of the list and of what on_message changes */
    waiting *list[Q_CLIENT_WINDOW];
    size_t count;
    int64_t heard_ms;      /* when the last answer was taken */
};

static const q_kafka_setting quiet[] = { { "log_level", "0" }, { NULL, NULL } }; /* a lost broker is told by us, once */

static q_kafka_config kafka_of(const q_client *c)
{
    return (q_kafka_config){ .bootstrap = c->place.address, .settings = quiet, .fetch_wait_max_ms = 1 };
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wake(q_client *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->wake, &one, sizeof one); /* fails only when it is awake already */
    (void)n;
}

void q_client_interrupt(q_client *c)
{
    atomic_store(&c->interrupted, true);
    wake(c);
}

void q_client_go_on(q_client *c)
{
    atomic_store(&c->interrupted, false);
}

/* ---- results ---- */

/* Rows of a further part go to the same statement's entry. */
static void merge_part(json_t *into, const json_t *part)
{
    size_t i;
    json_t *entry, *to = json_object_get(into, "results");
    json_array_foreach(json_object_get(part, "results"), i, entry) {
        json_t *last = json_array_get(to, json_array_size(to) - 1);
        if (last && json_equal(json_object_get(last, "statement"), json_object_get(entry, "statement")))
            json_array_extend(json_object_get(last, "rows"), json_object_get(entry, "rows"));
        else
            json_array_append(to, entry);
    }
    const char *const keep[] = { "status", "error", "timings_ms", "seq", "txid", "last" };
    for (size_t k = 0; k < sizeof keep / sizeof keep[0]; k++) {
        json_t *v = json_object_get(part, keep[k]);
        if (v)
            json_object_set(into, keep[k], v);
    }
}

static void take_result(waiting *w, json_t *reply)
{
    json_t *part = json_object_get(reply, "part");
    if (!part) {
        w->result = json_incref(reply);
        return;
    }
    if (w->parts && !json_equal(json_object_get(w->parts, "txid"), json_object_get(reply, "txid"))) {
        json_decref(w->parts); /* a rerun: what came of the first doesn't count */
        w->parts = NULL;
    }
    if (w->parts)
        merge_part(w->parts, reply);
    else if (json_integer_value(part) == 1)
        w->parts = json_incref(reply);
    if (w->parts && json_object_get(reply, "last")) {
        w->result = w->parts;
        w->parts = NULL;
    }
}

static void on_message(void *ctx, q_message *m)
{
    q_client *c = ctx;
    q_slice key = q_message_key(m), value = q_message_value(m);
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->count; i++) {
        waiting *w = c->list[i];
        if (w->result || !q_slice_eq(key, q_slice_cstr(w->id)))
            continue;
        json_error_t e;
        json_t *reply = json_loadb(value.ptr, value.len, JSON_ALLOW_NUL, &e);
        if (json_is_object(reply))
            take_result(w, reply);
        json_decref(reply);
        if (w->result)
            wake(c);
        break;
    }
    pthread_mutex_unlock(&c->lock);
    q_message_free(m);
}

static void on_failed(void *ctx, q_rc rc, const char *text)
{
    q_client *c = ctx;
    (void)text;
    if (rc == Q_FATAL) {
        atomic_store(&c->lost, true);
        wake(c);
    }
}

/* The end of the results topic now: a result of ours comes later. An offset, not "the end": that would be looked up too late. */
static int64_t start_at(void *ctx, int32_t partition)
{
    q_client *c = ctx;
    q_kafka_config kafka = kafka_of(c);
    int64_t low, high;
    q_err err = Q_ERR_INIT;
    return q_kafka_watermarks(&kafka, "quanta.results", partition, TRY_MS, &low, &high, &err) == Q_OK ? high : -1;
}

/* ---- life ---- */

static q_rc start_bus(q_client *c, q_err *err)
{
    q_kafka_config kafka = kafka_of(c);
    q_source_config source = { .topic = "quanta.results", .start = start_at, .message = on_message, .failed = on_failed, .ctx = c };
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the threads inherit it: signals are for the caller's thread */
    q_rc rc = q_producer_new(&kafka, NULL, NULL, &c->producer, err); /* first: it gets its id while the source looks around */
    if (rc == Q_OK)
        rc = q_source_start(&kafka, &source, TRY_MS, &c->source, err);
    if (rc == Q_OK)
        q_producer_prepare(c->producer, "quanta.requests", TRY_MS);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void stop_bus(q_client *c)
{
    q_producer_free(c->producer);
    q_source_stop(c->source);
    c->producer = NULL;
    c->source = NULL;
}

static q_rc nobody_there(const q_client *c, q_err *err)
{
    q_err_set(err, Q_E_INTERNAL, "nothing listens at %s", c->place.address);
    if (c->place.dev)
        q_err_hint(err, "the last `quanta dev` here has ended; start it again: quanta dev --dir %s", c->place.dir);
    else
        q_err_hint(err, "is the system running? --bootstrap HOST:PORT says where");
    return Q_RETRY;
}

/* A system that is being restarted may be gone, or somewhere else, at every step: each try is short, and finds its address anew. */
static q_rc connect_to(q_client *c, const char *given, q_err *err)
{
    int64_t until = now_ms() + CONNECT_MS;
    for (;;) {
        if (!q_find_kafka(given, &c->place, err))
            return Q_FAIL;
        if (!q_place_listens(&c->place))
            return nobody_there(c, err);
        q_rc rc = start_bus(c, err);
        if (rc == Q_OK)
            return Q_OK;
        stop_bus(c);
        if (rc != Q_RETRY || now_ms() >= until) {
            q_err_hint(err, "is the system at %s running?", c->place.address);
            return rc;
        }
    }
}

q_rc q_client_connect(const char *given, q_client **out, q_err *err)
{
    q_client *c = calloc(1, sizeof *c);
    if (!c)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    pthread_mutex_init(&c->lock, NULL);
    c->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    q_rc rc = c->wake >= 0 ? connect_to(c, given, err) : q_err_set(err, Q_E_INTERNAL, "no eventfd: %s", strerror(errno));
    if (rc != Q_OK) {
        q_client_close(c);
        return rc;
    }
    *out = c;
    return Q_OK;
}

static void free_waiting(waiting *w)
{
    if (!w)
        return;
    free(w->bucket);
    q_buf_free(&w->body);
    json_decref(w->parts);
    json_decref(w->result);
    free(w);
}

void q_client_close(q_client *c)
{
    if (!c)
        return;
    stop_bus(c);
    for (size_t i = 0; i < c->count; i++)
        free_waiting(c->list[i]);
    if (c->wake >= 0)
        close(c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

const q_place *q_client_place(const q_client *c) { return &c->place; }
size_t q_client_waiting(const q_client *c) { return c->count; }

/* ---- sending ---- */

static bool make_body(waiting *w, const q_client_request *r, q_err *err)
{
    w->body = Q_BUF_INIT(MAX_MESSAGE);
    w->json = r->params != NULL;
    if (!w->json) {
        /* Raw text travels as it is: a statement that isn't UTF-8 is for the coordinator to refuse, with its place. */
        q_buf_add_slice(&w->body, r->query);
    } else {
        json_t *query = json_stringn(r->query.ptr ? r->query.ptr : "", r->query.len);
        if (!query) {
            q_err_set(err, Q_E_QQL_ENCODING, "the statement is not valid UTF-8");
            return false;
        }
        json_t *body = json_pack("{s:o, s:O}", "query", query, "params", r->params);
        char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
        if (text)
            q_buf_add_cstr(&w->body, text);
        else
            w->body.failed = true;
        free(text);
        json_decref(body);
    }
    if (w->body.failed)
        q_err_set(err, Q_E_REQUEST_TOO_LARGE, "the statement is larger than a message may be (%d MiB)", MAX_MESSAGE >> 20);
    return !w->body.failed;
}

static q_rc publish(q_client *c, const waiting *w, q_err *err)
{
    q_kafka_header headers[3] = { { "request-id", q_slice_cstr(w->id) } };
    size_t count = 1;
    const char *authorization = getenv("QUANTA_AUTHORIZATION"); /* not an option: the command line is everybody's to read */
    if (w->json)
        headers[count++] = (q_kafka_header){ "content-type", Q_SLICE_LIT("application/json") };
    if (authorization && *authorization)
        headers[count++] = (q_kafka_header){ "authorization", q_slice_cstr(authorization) };
    q_slice key = w->bucket ? q_slice_cstr(w->bucket) : Q_SLICE_NONE;
    return q_producer_send(c->producer, "quanta.requests", key, q_buf_slice(&w->body), headers, count, 0, err);
}

static bool make_id(waiting *w, const char *given, q_err *err)
{
    if (given && strlen(given) >= sizeof w->id) {
        q_err_set(err, Q_E_REQUEST_ID_INVALID, "a request id has at most %zu bytes here", sizeof w->id - 1);
        return false;
    }
    if (given) {
        memcpy(w->id, given, strlen(given) + 1);
        return true;
    }
    unsigned char random[12];
    char hex[2 * sizeof random + 1];
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(hex, sizeof hex, random, sizeof random);
    snprintf(w->id, sizeof w->id, "cli-%s", hex);
    return true;
}

static void forget(q_client *c, size_t i)
{
    pthread_mutex_lock(&c->lock);
    waiting *w = c->list[i];
    c->list[i] = c->list[--c->count];
    pthread_mutex_unlock(&c->lock);
    free_waiting(w);
}

q_rc q_client_send(q_client *c, const q_client_request *r, uint64_t token, q_err *err)
{
    if (c->count == Q_CLIENT_WINDOW)
        return q_err_set(err, Q_E_OVERLOADED, "%d requests are in flight already", Q_CLIENT_WINDOW);
    waiting *w = calloc(1, sizeof *w);
    if (!w)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    w->token = token;
    q_rc rc = Q_FAIL;
    if (!make_id(w, r->request_id, err) || !make_body(w, r, err))
        goto fail;
    if (r->bucket && !(w->bucket = strdup(r->bucket))) {
        q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        goto fail;
    }
    pthread_mutex_lock(&c->lock); /* before it is sent: the answer may be quick */
    c->list[c->count++] = w;
    pthread_mutex_unlock(&c->lock);
    rc = publish(c, w, err);
    if (rc != Q_OK)
        forget(c, c->count - 1);
    return rc;
fail:
    free_waiting(w);
    return rc;
}

/* The system was restarted, or the results topic was made anew: what has no answer goes out again. While it isn't back: Q_OK, later. */
static q_rc follow(q_client *c, q_err *err)
{
    q_place now;
    q_err ignored = Q_ERR_INIT;
    stop_bus(c);
    if (c->place.dev && q_find_kafka(NULL, &now, &ignored) && now.dev)
        c->place = now;
    if (!q_place_listens(&c->place) || start_bus(c, &ignored) != Q_OK) {
        stop_bus(c);
        return Q_OK;
    }
    atomic_store(&c->lost, false);
    q_rc rc = Q_OK;
    for (size_t i = 0; rc == Q_OK && i < c->count; i++)
        if (!c->list[i]->result)
            rc = publish(c, c->list[i], err);
    return rc;
}

/* ---- waiting ---- */

static bool take_any(q_client *c, uint64_t *token, json_t **result)
{
    pthread_mutex_lock(&c->lock);
    size_t i = 0;
    while (i < c->count && !c->list[i]->result)
        i++;
    bool found = i < c->count;
    if (found) {
        *token = c->list[i]->token;
        *result = c->list[i]->result;
        c->list[i]->result = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    if (found) {
        forget(c, i);
        c->heard_ms = now_ms();
    }
    return found;
}

static q_rc in_doubt(q_err *err, const char *why)
{
    q_err_set(err, Q_E_IN_DOUBT, "%s", why);
    return Q_IN_DOUBT;
}

q_rc q_client_next(q_client *c, int timeout_ms, uint64_t *token, json_t **result, q_err *err)
{
    int64_t until = now_ms() + timeout_ms, look = now_ms() + LOOK_MS;
    for (;;) {
        if (take_any(c, token, result))
            return Q_OK;
        if (c->count == 0)
            return Q_END;
        if (atomic_exchange(&c->interrupted, false))
            return in_doubt(err, "interrupted");
        int64_t now = now_ms();
        if (now >= until) {
            char why[64];
            snprintf(why, sizeof why, "no result within %d ms", timeout_ms);
            return in_doubt(err, why);
        }
        if (now >= look) {
            look = now + LOOK_MS;
            q_rc rc = !c->source || atomic_load(&c->lost) || q_place_moved(&c->place) ? follow(c, err) : Q_OK;
            if (rc != Q_OK)
                return rc;
        }
        struct pollfd p = { .fd = c->wake, .events = POLLIN };
        int64_t left = until < look ? until - now : look - now;
        uint64_t count;
        if (poll(&p, 1, left > 0 ? (int)left : 0) == 1 && read(c->wake, &count, sizeof count) < 0)
            continue;
    }
}

q_rc q_client_run(q_client *c, const q_client_request *r, json_t **result, q_err *err)
{
    int timeout_ms = r->timeout_ms ? r->timeout_ms : Q_CLIENT_TIMEOUT_MS;
    uint64_t token;
    char id[MAX_ID];
    q_rc rc = Q_OK;
    if (atomic_exchange(&c->interrupted, false)) {
        q_err_set(err, Q_E_INTERNAL, "interrupted: nothing was sent");
        return Q_RETRY;
    }
    if (!c->source || atomic_load(&c->lost) || q_place_moved(&c->place))
        rc = follow(c, err);
    if (rc == Q_OK && (!c->source || (now_ms() - c->heard_ms > SILENT_MS && !q_place_listens(&c->place))))
        return nobody_there(c, err);
    if (rc == Q_OK)
        rc = q_client_send(c, r, 0, err);
    if (rc != Q_OK)
        return rc;
    memcpy(id, c->list[c->count - 1]->id, sizeof id);
    rc = q_client_next(c, timeout_ms, &token, result, err);
    if (rc == Q_OK)
        return Q_OK;
    if (rc == Q_IN_DOUBT)
        q_err_hint(err, "it may have happened; the same statement under --request-id %s will be answered with the outcome", id);
    while (c->count)
        forget(c, c->count - 1);
    return rc;
}
