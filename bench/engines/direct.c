/* direct.c - the same rows without QuantaDB: each thread writes its row to one engine after the other, durable in each, nothing around them. */
#include "bench/engines/load.h"

#include <curl/curl.h>
#include <libpq-fe.h>
#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct writer {
    pthread_t thread;
    const places *at;
    const char *mark;
    bool four, ok;
    double until_ms;
    size_t index, at_once, done, cap;
    double *ms;
    PGconn *pg;
    mongoc_client_t *mongo;
    mongoc_collection_t *documents;
    CURL *neo4j, *influx;
    char influx_url[512];
} writer;

static atomic_uint not_written;
static pthread_barrier_t begin;
static const char table[] = "direct";

static size_t ignore(char *bytes, size_t size, size_t n, void *ctx)
{
    (void)bytes, (void)ctx;
    return size * n;
}

/* ---- one row each ---- */

static bool to_postgres(writer *w, const char *id, size_t i)
{
    char total[32];
    snprintf(total, sizeof total, "%zu.5", i % 1000);
    const char *params[] = { id, total };
    PGresult *r = PQexecPrepared(w->pg, "put", 2, params, NULL, NULL, 0);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!ok)
        fprintf(stderr, "%s", PQerrorMessage(w->pg));
    PQclear(r);
    return ok;
}

static bool to_mongo(writer *w, const char *id)
{
    bson_error_t error;
    bson_t doc = BSON_INITIALIZER, customer;
    BSON_APPEND_UTF8(&doc, "_id", id);
    BSON_APPEND_DOCUMENT_BEGIN(&doc, "customer", &customer);
    BSON_APPEND_UTF8(&customer, "name", "Alice");
    BSON_APPEND_UTF8(&customer, "address", "123 Market St");
    bson_append_document_end(&doc, &customer);
    BSON_APPEND_INT64(&doc, "_q_seq", 1);
    bool ok = mongoc_collection_insert_one(w->documents, &doc, NULL, NULL, &error);
    if (!ok)
        fprintf(stderr, "%s\n", error.message);
    bson_destroy(&doc);
    return ok;
}

static bool post(CURL *c, const char *body)
{
    long status = 0;
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    bool ok = curl_easy_perform(c) == CURLE_OK && curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status / 100 == 2;
    if (!ok)
        fprintf(stderr, "HTTP status %ld\n", status);
    return ok;
}

static bool to_neo4j(writer *w, const char *id, size_t i)
{
    char body[512];
    snprintf(body, sizeof body, "{\"statements\": [{\"statement\": \"MERGE (t:direct__routes {id: $to}) CREATE (n:direct__fours {id: $id})-[:route]->(t)\", "
                                "\"parameters\": {\"id\": \"%s\", \"to\": \"r%zu\"}}]}", id, i % 50);
    return post(w->neo4j, body);
}

static bool to_influx(writer *w, const char *id, size_t i)
{
    char body[256];
    snprintf(body, sizeof body, "fours,id=%s taken=%zu.25 %.0f000\n", id, i % 100, bench_now_ms() * 1000);
    return post(w->influx, body);
}

/* ---- connections ---- */

static CURL *http(const char *url, const char *type, struct curl_slist **headers)
{
    CURL *c = curl_easy_init();
    *headers = curl_slist_append(curl_slist_append(NULL, type), "Expect:");
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, *headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 60000L);
    return c;
}

static bool connect_all(writer *w, struct curl_slist *headers[2])
{
    char url[512];
    w->pg = PQconnectdb(w->at->postgres);
    PGresult *r = PQprepare(w->pg, "put", "INSERT INTO direct.rows (id, total, _q_seq) VALUES ($1, $2, 1)", 2, NULL);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!ok)
        fprintf(stderr, "%s", PQerrorMessage(w->pg));
    PQclear(r);
    w->mongo = mongoc_client_new(w->at->mongo);
    w->documents = mongoc_client_get_collection(w->mongo, "direct", table);
    if (w->four) {
        snprintf(url, sizeof url, "%s/db/neo4j/tx/commit", w->at->neo4j);
        w->neo4j = http(url, "Content-Type: application/json", &headers[0]);
        snprintf(url, sizeof url, "%s/write?db=direct", w->at->influx);
        w->influx = http(url, "Content-Type: text/plain", &headers[1]);
    }
    return ok;
}

static void *write_rows(void *arg)
{
    writer *w = arg;
    struct curl_slist *headers[2] = { NULL, NULL };
    w->ok = connect_all(w, headers);
    pthread_barrier_wait(&begin);
    double seconds = w->until_ms;
    w->until_ms = bench_now_ms() + seconds;
    for (size_t i = w->index; w->ok && w->done < w->cap && bench_now_ms() < w->until_ms; i += w->at_once) {
        char id[64];
        double began = bench_now_ms();
        snprintf(id, sizeof id, "%s%zu", w->mark, i);
        w->ok = to_postgres(w, id, i) && to_mongo(w, id) && (!w->four || (to_neo4j(w, id, i) && to_influx(w, id, i)));
        w->ms[w->done++] = bench_now_ms() - began;
    }
    if (!w->ok)
        atomic_fetch_add(&not_written, 1);
    PQfinish(w->pg);
    mongoc_collection_destroy(w->documents);
    mongoc_client_destroy(w->mongo);
    curl_easy_cleanup(w->neo4j);
    curl_easy_cleanup(w->influx);
    curl_slist_free_all(headers[0]);
    curl_slist_free_all(headers[1]);
    return NULL;
}

bool bench_direct(const places *p, bool four, size_t at_once, double seconds, const char *mark, figures *out)
{
    writer *w = calloc(at_once, sizeof *w);
    double *ms = calloc(MAX_SAMPLES, sizeof *ms);
    size_t n = 0, cap = MAX_SAMPLES / at_once;
    atomic_store(&not_written, 0);
    pthread_barrier_init(&begin, NULL, (unsigned)at_once + 1);
    for (size_t i = 0; i < at_once; i++) {
        w[i] = (writer){ .at = p, .mark = mark, .four = four, .until_ms = seconds * 1000, .index = i, .at_once = at_once, .cap = cap,
                         .ms = ms + i * cap };
        pthread_create(&w[i].thread, NULL, write_rows, &w[i]);
    }
    pthread_barrier_wait(&begin);
    double began = bench_now_ms();
    for (size_t i = 0; i < at_once; i++) {
        pthread_join(w[i].thread, NULL);
        memmove(ms + n, w[i].ms, w[i].done * sizeof *ms);
        n += w[i].done;
    }
    bench_summary(ms, n, (bench_now_ms() - began) / 1000, out);
    out->failed = atomic_load(&not_written);
    pthread_barrier_destroy(&begin);
    free(ms);
    free(w);
    return out->failed == 0;
}

bool bench_direct_setup(const places *p)
{
    struct curl_slist *headers[2];
    char url[512];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    mongoc_init();
    mongoc_log_set_handler(NULL, NULL); /* FerretDB knows no endSessions, and the driver says so at each goodbye */
    PGconn *pg = PQconnectdb(p->postgres);
    PGresult *r = PQexec(pg, "CREATE SCHEMA IF NOT EXISTS direct; CREATE TABLE IF NOT EXISTS direct.rows (id text PRIMARY KEY, total double precision, _q_seq bigint)");
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    PQclear(r);
    PQfinish(pg);
    snprintf(url, sizeof url, "%s/query?q=CREATE+DATABASE+direct", p->influx);
    CURL *c = http(url, "Content-Type: text/plain", &headers[0]);
    ok = post(c, "") && ok;
    curl_easy_cleanup(c);
    snprintf(url, sizeof url, "%s/db/neo4j/tx/commit", p->neo4j);
    c = http(url, "Content-Type: application/json", &headers[1]);
    ok = post(c, "{\"statements\": [{\"statement\": \"CREATE CONSTRAINT direct_fours IF NOT EXISTS FOR (n:direct__fours) REQUIRE n.id IS UNIQUE\"}, "
                 "{\"statement\": \"CREATE CONSTRAINT direct_routes IF NOT EXISTS FOR (n:direct__routes) REQUIRE n.id IS UNIQUE\"}]}") && ok;
    curl_easy_cleanup(c);
    curl_slist_free_all(headers[0]);
    curl_slist_free_all(headers[1]);
    return ok;
}
