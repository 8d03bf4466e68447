#include "cmd/cli/client.h"

#include "bus/kafka.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DEFAULT_TIMEOUT_MS = 30000, CONNECT_MS = 5000 };

struct q_client {
    char *bootstrap;
    q_kafka_config kafka;
    q_producer *producer;
    q_source *source;
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    char waiting_for[80];  /* request id; "" when nobody waits */
    json_t *result;        /* complete */
    json_t *parts;         /* so far */
    bool lost;             /* the source can't go on */
};

/* ---- finding the system ---- */

/* The value after `name=` in the ready line of the last quanta dev. */
static bool dev_ready(const char *name, char *out, size_t size)
{
    const char *home = getenv("HOME");
    char path[PATH_MAX], dir[PATH_MAX], line[512];
    if (!home || snprintf(path, sizeof path, "%s/.quanta/dev", home) >= (int)sizeof path)
        return false;
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(dir, sizeof dir, f);
    if (f)
        fclose(f);
    if (!ok)
        return false;
    dir[strcspn(dir, "\n")] = '\0';
    if (snprintf(path, sizeof path, "%s/ready", dir) >= (int)sizeof path)
        return false;
    f = fopen(path, "r");
    ok = f && fgets(line, sizeof line, f);
    if (f)
        fclose(f);
    const char *at = ok ? strstr(line, name) : NULL;
    if (!at)
        return false;
    at += strlen(name);
    size_t n = strcspn(at, " \n");
    if (n == 0 || n >= size)
        return false;
    memcpy(out, at, n);
    out[n] = '\0';
    return true;
}

static bool find(const char *given, const char *variable, const char *name, const char *option, char *out, size_t size, q_err *err)
{
    const char *from = given ? given : getenv(variable);
    if (from && *from) {
        if (strlen(from) < size) {
            memcpy(out, from, strlen(from) + 1);
            return true;
        }
        q_err_set(err, Q_E_INTERNAL, "%s is too long", given ? option : variable);
        return false;
    }
    if (dev_ready(name, out, size))
        return true;
    q_err_set(err, Q_E_INTERNAL, "no system found");
    q_err_hint(err, "start one with `quanta dev`, or say where it is: %s, or %s in the environment", option, variable);
    return false;
}

bool q_client_find(const char *given, char *bootstrap, size_t size, q_err *err)
{
    return find(given, "QUANTA_BOOTSTRAP", "bootstrap=", "--bootstrap HOST:PORT", bootstrap, size, err);
}

bool q_client_find_http(const char *given, char *host_port, size_t size, q_err *err)
{
    return find(given, "QUANTA_HTTP", "http=", "--http HOST:PORT", host_port, size, err);
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

static void take_result(q_client *c, json_t *reply)
{
    json_t *part = json_object_get(reply, "part");
    if (!part) {
        c->result = json_incref(reply);
    } else {
        json_t *txid = json_object_get(reply, "txid");
        if (c->parts && !json_equal(json_object_get(c->parts, "txid"), txid)) {
            json_decref(c->parts); /* a rerun: what came of the first doesn't count */
            c->parts = NULL;
        }
        if (c->parts)
            merge_part(c->parts, reply);
        else if (json_integer_value(part) == 1)
            c->parts = json_incref(reply);
        if (c->parts && json_object_get(reply, "last")) {
            c->result = c->parts;
            c->parts = NULL;
        }
    }
    if (c->result)
        pthread_cond_signal(&c->arrived);
}

static void on_message(void *ctx, q_message *m)
{
    q_client *c = ctx;
    q_slice key = q_message_key(m), value = q_message_value(m);
    pthread_mutex_lock(&c->lock);
    if (c->waiting_for[0] && !c->result && q_slice_eq(key, q_slice_cstr(c->waiting_for))) {
        json_error_t e;
        json_t *reply = json_loadb(value.ptr, value.len, JSON_DECODE_ANY, &e);
        if (json_is_object(reply))
            take_result(c, reply);
        json_decref(reply);
    }
    pthread_mutex_unlock(&c->lock);
    q_message_free(m);
}

static void on_failed(void *ctx, q_rc rc, const char *text)
{
    q_client *c = ctx;
    (void)text;
    if (rc != Q_FATAL)
        return;
    pthread_mutex_lock(&c->lock);
    c->lost = true;
    pthread_cond_signal(&c->arrived);
    pthread_mutex_unlock(&c->lock);
}

/* The end of the results topic now: a result of ours comes later. An offset, not "the end": that would be looked up too late. */
static int64_t start_at(void *ctx, int32_t partition)
{
    q_client *c = ctx;
    int64_t low, high;
    q_err err = Q_ERR_INIT;
    return q_kafka_watermarks(&c->kafka, "quanta.results", partition, CONNECT_MS, &low, &high, &err) == Q_OK ? high : -1;
}

/* ---- life ---- */

q_rc q_client_open(const char *bootstrap, q_client **out, q_err *err)
{
    q_client *c = calloc(1, sizeof *c);
    if (!c || !(c->bootstrap = strdup(bootstrap))) {
        free(c);
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    c->kafka = (q_kafka_config){ .bootstrap = c->bootstrap, .fetch_wait_max_ms = 1 };
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->arrived, &attr);
    pthread_condattr_destroy(&attr);
    q_source_config source = { .topic = "quanta.results", .start = start_at, .message = on_message, .failed = on_failed, .ctx = c };
    q_rc rc = q_source_start(&c->kafka, &source, CONNECT_MS, &c->source, err);
    if (rc == Q_OK)
        rc = q_producer_new(&c->kafka, NULL, NULL, &c->producer, err);
    if (rc != Q_OK) {
        q_err_hint(err, "is the system at %s running?", bootstrap);
        q_client_close(c);
        return rc;
    }
    *out = c;
    return Q_OK;
}

void q_client_close(q_client *c)
{
    if (!c)
        return;
    q_producer_free(c->producer);
    q_source_stop(c->source);
    json_decref(c->result);
    json_decref(c->parts);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->arrived);
    free(c->bootstrap);
    free(c);
}

static char *envelope(const q_client_request *r)
{
    json_t *body = json_object();
    if (r->bucket)
        json_object_set_new(body, "bucket", json_string(r->bucket));
    json_t *query = json_stringn(r->query.ptr ? r->query.ptr : "", r->query.len);
    char *text = NULL;
    if (query) {
        json_object_set_new(body, "query", query);
        if (r->params)
            json_object_set(body, "params", (json_t *)(uintptr_t)r->params);
        text = json_dumps(body, JSON_COMPACT);
    }
    json_decref(body);
    return text;
}

/* Raw text travels as it is: a statement that isn't UTF-8 is for the coordinator to refuse, with its place. */
static q_rc send_request(q_client *c, const q_client_request *r, const char *id, q_err *err)
{
    q_kafka_header headers[2] = { { "request-id", q_slice_cstr(id) }, { "content-type", Q_SLICE_LIT("application/json") } };
    q_slice key = r->bucket ? q_slice_cstr(r->bucket) : Q_SLICE_NONE;
    if (!r->params)
        return q_producer_send(c->producer, "quanta.requests", key, r->query, headers, 1, 0, err);
    char *text = envelope(r);
    if (!text)
        return q_err_set(err, Q_E_QQL_ENCODING, "the statement is not valid UTF-8");
    q_rc rc = q_producer_send(c->producer, "quanta.requests", key, q_slice_cstr(text), headers, 2, 0, err);
    free(text);
    return rc;
}

q_rc q_client_run(q_client *c, const q_client_request *r, json_t **result, q_err *err)
{
    char id[80];
    if (r->request_id) {
        if (strlen(r->request_id) >= sizeof id)
            return q_err_set(err, Q_E_REQUEST_ID_INVALID, "a request id has at most %zu bytes here", sizeof id - 1);
        memcpy(id, r->request_id, strlen(r->request_id) + 1);
    } else {
        unsigned char random[12];
        char hex[2 * sizeof random + 1];
        randombytes_buf(random, sizeof random);
        sodium_bin2hex(hex, sizeof hex, random, sizeof random);
        snprintf(id, sizeof id, "cli-%s", hex);
    }
    pthread_mutex_lock(&c->lock);
    memcpy(c->waiting_for, id, sizeof id);
    json_decref(c->result);
    json_decref(c->parts);
    c->result = c->parts = NULL;
    pthread_mutex_unlock(&c->lock);

    q_rc rc = send_request(c, r, id, err);
    if (rc != Q_OK)
        return rc;
    struct timespec until;
    int timeout_ms = r->timeout_ms ? r->timeout_ms : DEFAULT_TIMEOUT_MS;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&c->lock);
    int waited = 0;
    while (!c->result && !c->lost && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&c->arrived, &c->lock, &until);
    *result = c->result;
    c->result = NULL;
    c->waiting_for[0] = '\0';
    pthread_mutex_unlock(&c->lock);
    if (*result)
        return Q_OK;
    q_err_set(err, Q_E_IN_DOUBT, "no result within %d ms", timeout_ms);
    q_err_hint(err, "it may have happened; --request-id %s again will be answered with the outcome", id);
    return Q_IN_DOUBT;
}
