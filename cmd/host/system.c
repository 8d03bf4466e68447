#include "cmd/host/system.h"

#include "cmd/host/operate.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static const int64_t HOUR_MS = 3600ll * 1000;

static void name(char out[Q_TOPIC_NAME], const q_config *c, const char *rest, const char *engine)
{
    snprintf(out, Q_TOPIC_NAME, "%s.%s%s", c->kafka.topic_prefix, rest, engine);
}

void q_system_topics(const q_config *c, q_topics *out)
{
    name(out->requests, c, "requests", "");
    name(out->results, c, "results", "");
    name(out->ingest, c, "ingest", "");
    name(out->schemas, c, "schemas", "");
    name(out->dlq, c, "dlq", "");
    name(out->votes, c, "votes", "");
    name(out->control, c, "control", "");
    name(out->changes, c, "changes.", "");
    for (int e = 0; e < Q_EN_COUNT; e++) {
        name(out->work[e], c, "work.", q_engine_name((q_engine_id)e));
        name(out->reads[e], c, "reads.", q_engine_name((q_engine_id)e));
    }
}

static q_rc create(const q_config *c, const q_topic_spec *specs, size_t n, q_err *err)
{
    q_kafka_config kafka;
    q_rc rc = q_system_kafka(c, &kafka, err);
    if (rc == Q_OK)
        rc = q_kafka_topics(&kafka, specs, n, (int)c->kafka.replication, c->kafka.create_topics != 0, (int)c->kafka.connect_timeout_ms, err);
    if (rc == Q_RETRY)
        q_err_hint(err, "kafka.bootstrap is %s: does a broker listen there?", c->kafka.bootstrap);
    return rc;
}

q_rc q_system_create_topics(const q_config *c, const q_topics *t, uint32_t engines, bool coordinator, q_err *err)
{
    q_topic_spec specs[7 + 2 * Q_EN_COUNT];
    size_t n = 0;
    int work = (int)c->topics.work_partitions, requests = (int)c->topics.requests_partitions;
    int64_t work_ms = c->topics.work_retention_h * HOUR_MS, results_ms = c->topics.results_retention_h * HOUR_MS;
    specs[n++] = (q_topic_spec){ t->votes, (int)c->topics.votes_partitions, work_ms, false };
    specs[n++] = (q_topic_spec){ t->control, 1, 0, true };
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (engines >> e & 1) {
            specs[n++] = (q_topic_spec){ t->work[e], work, work_ms, false };
            specs[n++] = (q_topic_spec){ t->reads[e], work, work_ms, false };
        }
    if (coordinator) {
        specs[n++] = (q_topic_spec){ t->requests, requests, c->topics.requests_retention_h * HOUR_MS, false };
        specs[n++] = (q_topic_spec){ t->ingest, requests, c->topics.requests_retention_h * HOUR_MS, false };
        specs[n++] = (q_topic_spec){ t->results, (int)c->topics.results_partitions, results_ms, false };
        specs[n++] = (q_topic_spec){ t->dlq, 1, results_ms, false };
        specs[n++] = (q_topic_spec){ t->schemas, 1, 0, true };
    }
    return create(c, specs, n, err);
}

q_rc q_system_create_changes(const q_config *c, const char *topic, q_err *err)
{
    q_topic_spec spec = { topic, (int)c->topics.changes_partitions, c->topics.changes_retention_h * HOUR_MS, false };
    return create(c, &spec, 1, err);
}

q_rc q_system_kafka(const q_config *c, q_kafka_config *out, q_err *err)
{
    if (!c->kafka.bootstrap) {
        q_err_set(err, Q_E_INTERNAL, "kafka.bootstrap isn't given");
        q_err_hint(err, "kafka: { bootstrap: \"HOST:PORT\" } in quanta.yaml");
        return Q_FAIL;
    }
    _Static_assert(sizeof(q_kafka_setting) == sizeof(q_config_pair) && offsetof(q_kafka_setting, value) == offsetof(q_config_pair, value),
                   "a list of settings is passed on as it is");
    *out = (q_kafka_config){ .bootstrap = c->kafka.bootstrap, .settings = (const q_kafka_setting *)(const void *)c->kafka.settings,
                             .fetch_wait_max_ms = (int)c->kafka.fetch_wait_ms };
    return Q_OK;
}

q_rc q_system_engines(const q_config *c, uint32_t *out, q_err *err)
{
    *out = 0;
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (q_config_has_engine(c, e))
            *out |= Q_EN_BIT(e);
    if (*out & Q_EN_BIT(Q_EN_POSTGRES))
        return Q_OK;
    q_err_set(err, Q_E_INTERNAL, "engines.postgres.uri isn't given: every record's id is stored in PostgreSQL");
    q_err_hint(err, "engines: { postgres: { uri: \"postgresql://…\" } }, or embedded: { engines: [postgres] }");
    return Q_FAIL;
}

void q_system_core(const q_config *c, uint32_t engines, q_core_config *out)
{
    q_operate_defaults(out);
    out->engines = engines;
    out->max_in_flight = (uint32_t)c->limits.max_in_flight;
    out->max_in_flight_bytes = (uint64_t)c->limits.max_in_flight_bytes;
    out->max_request_bytes = (uint32_t)c->limits.max_request_bytes;
    out->txn_max_bytes = (uint64_t)c->limits.transaction_max_bytes;
    out->dedupe_max_bytes = (uint64_t)c->limits.dedupe_max_bytes;
    out->dedupe_window_us = c->limits.dedupe_window_s * 1000000;
    out->default_timeout_ms = (uint32_t)c->timeouts.request_ms;
    out->max_timeout_ms = (uint32_t)c->timeouts.request_max_ms;
    out->resend_ms = (uint32_t)c->timeouts.resend_ms;
    out->tail_flush_ms = (uint32_t)c->timeouts.tail_flush_ms;
    out->topic_prefix = c->kafka.topic_prefix;
    out->reply_allow = c->requests.reply_allow;
    out->publish_changes = c->requests.publish_changes != 0;
    out->log_keep_bytes = (uint64_t)c->wal.keep_bytes;
    out->log_trim_age_us = c->wal.trim_age_s * 1000000;
    out->log_trim_bytes = (uint64_t)c->wal.trim_bytes;
    out->segment_bytes = (uint64_t)c->wal.segment_bytes;
    out->tombstone_retention_us = c->wal.tombstone_retention_s * 1000000;
}

const q_engine_ops *q_system_ops(const q_config *c, q_engine_id e)
{
    static const q_engine_ops *const servers[Q_EN_COUNT] = { &q_engine_postgres, &q_engine_mongo, &q_engine_neo4j, &q_engine_influx };
    return q_config_embedded(c, e) ? &q_engine_embedded : servers[e];
}

/* The organization travels in the address: ?org=… */
static q_rc with_org(const q_config_engine *in, char *uri, size_t size, q_err *err)
{
    char *org = curl_easy_escape(NULL, in->org, 0);
    int n = org ? snprintf(uri, size, "%s%corg=%s", in->uri, strchr(in->uri, '?') ? '&' : '?', org) : -1;
    curl_free(org);
    return n > 0 && (size_t)n < size ? Q_OK : q_err_set(err, Q_E_INTERNAL, "engines.influx.org: too long");
}

q_rc q_system_engine(const q_config *c, q_engine_id e, const char *worker, char *uri, size_t size, q_engine_config *out, q_err *err)
{
    const q_config_engine *in = &c->engines[e];
    q_rc rc = Q_OK;
    *out = (q_engine_config){
        .id = e,
        .uri = in->uri,
        .user = in->user,
        .password = in->password,
        .token = in->token,
        .server_version = (uint32_t)in->version,
        .worker = worker,
        .lock_timeout_ms = (uint32_t)in->lock_timeout_ms,
        .io_timeout_ms = (uint32_t)in->io_timeout_ms,
        .max_bytes = (uint64_t)c->embedded.max_bytes,
    };
    if (q_config_embedded(c, e)) {
        int n = snprintf(uri, size, "%s/%s", c->embedded.dir, q_engine_name(e));
        rc = n > 0 && (size_t)n < size ? q_system_make_dir(uri, "embedded.dir", err) : q_err_set(err, Q_E_INTERNAL, "embedded.dir is too long");
        out->uri = uri;
    } else if (!in->uri) {
        rc = q_err_set(err, Q_E_INTERNAL, "engines.%s.uri isn't given", q_engine_name(e));
    } else if (e == Q_EN_INFLUX && in->org) {
        rc = with_org(in, uri, size, err);
        out->uri = uri;
    }
    return rc;
}

void q_system_worker(const q_config *c, const q_engine_ops *ops, const q_engine_config *engine, q_worker_config *out)
{
    q_operate_worker_defaults(out, ops, engine);
    out->max_queue = (uint32_t)c->workers.max_queue;
    out->max_queue_bytes = (uint64_t)c->workers.max_queue_bytes;
    out->retry_ms = (uint32_t)c->workers.retry_ms;
    out->sweep_ms = (uint32_t)c->workers.sweep_ms;
    out->read_sessions = (uint32_t)c->engines[engine->id].read_sessions;
}

q_rc q_system_make_dir(const char *path, const char *setting, q_err *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return q_err_set(err, Q_E_INTERNAL, "%s: the path is %s", setting, n ? "too long" : "empty");
    memcpy(part, path, n + 1);
    for (char *at = part + 1; *at; at++)
        if (*at == '/') {
            *at = '\0';
            if (mkdir(part, 0700) != 0 && errno != EEXIST)
                return q_err_set(err, Q_E_INTERNAL, "%s: %s can't be made: %s", setting, part, strerror(errno));
            *at = '/';
        }
    if (mkdir(part, 0700) != 0 && errno != EEXIST)
        return q_err_set(err, Q_E_INTERNAL, "%s: %s can't be made: %s", setting, part, strerror(errno));
    return Q_OK;
}
