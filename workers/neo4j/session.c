/* Sessions, and the epoch: a node (:_quanta {name: "state", cluster, epoch, applied_high, applied_below}). Every write's transaction locks
 * it first and looks at the epoch there (B8), so writers of this engine go one after the other, zombies among them. */
#include "workers/neo4j/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void init(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

/* "http://host:port" or "http://host:port/database" to the endpoint. */
static char *endpoint(const char *uri)
{
    static const char tail[] = "/tx/commit";
    const char *host = strstr(uri, "://"), *path = host ? strchr(host + 3, '/') : NULL;
    size_t base = path ? (size_t)(path - uri) : strlen(uri);
    const char *db = path && path[1] ? path + 1 : "neo4j";
    size_t size = base + strlen(db) + sizeof tail + 4, db_len = strcspn(db, "/?");
    char *url = malloc(size);
    if (url)
        snprintf(url, size, "%.*s/db/%.*s%s", (int)base, uri, (int)db_len, db, tail);
    return url;
}

static void nj_close(q_engine *e)
{
    if (!e)
        return;
    nj_forget(e);
    curl_slist_free_all(e->headers);
    if (e->curl)
        curl_easy_cleanup(e->curl);
    q_buf_free(&e->answer);
    free(e->url);
    free(e);
}

static q_rc connect_to(q_engine *e, const q_engine_config *config, q_err *err)
{
    char agent[64];
    nj_request r;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    e->headers = headers;
    if (headers && curl_slist_append(headers, "Accept: application/json;charset=UTF-8"))
        curl_slist_append(headers, "Expect:"); /* no round trip of its own for a larger body */
    e->curl = curl_easy_init();
    e->url = endpoint(config->uri);
    e->answer = Q_BUF_INIT(NJ_MAX_ANSWER);
    e->cluster = config->cluster;
    if (!headers || !e->curl || !e->url || !nj_request_init(&r))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    snprintf(agent, sizeof agent, "quanta-%.40s", config->worker ? config->worker : "worker");
    curl_easy_setopt(e->curl, CURLOPT_USERAGENT, agent);
    curl_easy_setopt(e->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(e->curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(e->curl, CURLOPT_TIMEOUT_MS, (long)(config->io_timeout_ms ? config->io_timeout_ms : 10000));
    if (config->user && *config->user) {
        curl_easy_setopt(e->curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(e->curl, CURLOPT_USERNAME, config->user);
        curl_easy_setopt(e->curl, CURLOPT_PASSWORD, config->password ? config->password : "");
    }
    nj_statement(&r, Q_SLICE_LIT("RETURN 1"));
    nj_statement_end(&r);
    q_rc rc = nj_do(e, &r, err);
    nj_request_free(&r);
    return rc;
}

static q_rc nj_open(const q_engine_config *config, q_engine **out, q_err *err)
{
    pthread_once(&once, init);
    if (config->id != Q_EN_NEO4J)
        return q_err_set(err, Q_E_INTERNAL, "Neo4j serves relations only");
    if (!config->uri || (strncmp(config->uri, "http://", 7) && strncmp(config->uri, "https://", 8)))
        return q_err_set(err, Q_E_ENGINE_REFUSED, "engines.neo4j.uri: expected http://host:port or https://host:port");
    q_engine *e = calloc(1, sizeof *e);
    q_rc rc = e ? connect_to(e, config, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc != Q_OK) {
        nj_close(e);
        return rc;
    }
    *out = e;
    return Q_OK;
}

/* ---- the epoch ---- */

static q_rc raise_epoch(q_engine *e, nj_request *r, uint64_t epoch, q_engine_state *state, q_err *err)
{
    json_t *results;
    nj_statement(r, Q_SLICE_LIT("CREATE CONSTRAINT `q_names` IF NOT EXISTS FOR (q:_quanta) REQUIRE q.name IS UNIQUE"));
    nj_statement_end(r);
    q_rc rc = nj_do(e, r, err);
    if (rc != Q_OK)
        return rc;
    nj_statement(r, Q_SLICE_LIT("MERGE (q:_quanta {name: 'state'}) SET q.writer = $epoch WITH q "
                                "WITH q, coalesce(q.cluster, 0) AS cluster, coalesce(q.epoch, 0) AS epoch "
                                "SET q.cluster = CASE WHEN cluster = 0 THEN $cluster ELSE cluster END, "
                                "q.epoch = CASE WHEN cluster IN [0, $cluster] AND epoch < $epoch THEN $epoch ELSE epoch END "
                                "RETURN cluster, epoch, q.applied_high, q.applied_below"));
    nj_put_number(r, "epoch", epoch);
    nj_put_number(r, "cluster", e->cluster);
    nj_statement_end(r);
    rc = nj_run(e, r, &results, err);
    if (rc == Q_OK)
        *state = (q_engine_state){ .cluster = nj_number(nj_cell(results, 0, 0, 0)), .epoch = nj_number(nj_cell(results, 0, 0, 1)),
                                   .applied_high = nj_number(nj_cell(results, 0, 0, 2)), .applied_below = nj_number(nj_cell(results, 0, 0, 3)) };
    json_decref(results);
    return rc;
}

static q_rc nj_fence(q_engine *e, uint64_t epoch, q_engine_state *state, q_err *err)
{
    nj_request r;
    *state = (q_engine_state){ 0 };
    if (!nj_request_init(&r))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_rc rc = raise_epoch(e, &r, epoch, state, err);
    nj_request_free(&r);
    if (rc != Q_OK)
        return rc;
    if (state->cluster && state->cluster != e->cluster) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "neo4j: this database belongs to another QuantaDB system (cluster %llu)", (unsigned long long)state->cluster);
        q_err_hint(err, "point engines.neo4j.uri at a database of its own");
        return Q_FAIL;
    }
    if (state->epoch > epoch)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "neo4j remembers epoch %llu, higher than %llu: a newer coordinator is at work",
                         (unsigned long long)state->epoch, (unsigned long long)epoch);
    nj_warm_up(e, epoch);
    return Q_OK;
}

/* ---- nothing is prepared here: the redo in the log is the durable prepared state (B3) ---- */

static q_rc nj_rollback(q_engine *e, uint64_t epoch, const uint64_t *seqs, size_t n, q_err *err)
{
    (void)e, (void)epoch, (void)seqs, (void)n, (void)err;
    return Q_OK;
}

static q_rc nj_list_prepared(q_engine *e, q_arena *arena, uint64_t **epochs, uint64_t **seqs, size_t *n, q_err *err)
{
    (void)e, (void)arena, (void)err;
    *epochs = *seqs = NULL;
    *n = 0;
    return Q_OK;
}

const q_engine_ops q_engine_neo4j = {
    .name = "neo4j",
    .durable_prepare = false,
    .open = nj_open,
    .close = nj_close,
    .fence = nj_fence,
    .prepare = nj_prepare,
    .commit = nj_commit,
    .rollback = nj_rollback,
    .list_prepared = nj_list_prepared,
    .read = nj_read,
    .purge = nj_purge,
};
