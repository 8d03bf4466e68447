/* Requests to the transactional HTTP endpoint, POST /db/NAME/tx/commit: any number of statements, one transaction, one round trip.
 * Source: https://neo4j.com/docs/http-api/5/transactions-http/. The Query API takes one statement a request, needs Bolt to be on
 * in the server, and has nothing that this one lacks.
 *
 * Values travel as parameters only; labels and relationship types are names that q_name_check has passed, in backticks. */
#include "workers/neo4j/internal.h"

#include <stdio.h>
#include <stdlib.h>

static void print(void *ctx, const char *text, size_t len) { q_buf_add(ctx, text, len); }

static void put_str(nj_request *r, q_slice s) { yajl_gen_string(r->gen, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len); }
void nj_key(nj_request *r, const char *key) { put_str(r, q_slice_cstr(key)); }

static void open_list(nj_request *r)
{
    yajl_gen_map_open(r->gen);
    nj_key(r, "statements");
    yajl_gen_array_open(r->gen);
}

bool nj_request_init(nj_request *r)
{
    *r = (nj_request){ .body = Q_BUF_INIT(NJ_MAX_REQUEST), .gen = yajl_gen_alloc(NULL) };
    /* Once only: it takes what was there before for a buffer of its own. So a request stays where it was made. */
    return r->gen && yajl_gen_config(r->gen, yajl_gen_print_callback, print, &r->body);
}

void nj_request_free(nj_request *r)
{
    if (r->gen)
        yajl_gen_free(r->gen);
    q_buf_free(&r->body);
}

void nj_statement(nj_request *r, q_slice cypher)
{
    if (r->count++ == 0)
        open_list(r);
    yajl_gen_map_open(r->gen);
    nj_key(r, "statement");
    put_str(r, cypher);
    nj_key(r, "parameters");
    yajl_gen_map_open(r->gen);
}

void nj_statement_end(nj_request *r)
{
    yajl_gen_map_close(r->gen);
    yajl_gen_map_close(r->gen);
}

void nj_put_text(nj_request *r, const char *key, q_slice text)
{
    nj_key(r, key);
    put_str(r, text);
}

void nj_put_number(nj_request *r, const char *key, uint64_t n)
{
    nj_key(r, key);
    yajl_gen_integer(r->gen, (long long)n);
}

void nj_put_guard(nj_request *r, uint64_t epoch, uint64_t high, uint64_t below)
{
    /* SET takes the node's lock before the epoch is read, and a division by zero ends the transaction as nothing else of ours does. */
    nj_statement(r, Q_SLICE_LIT("MERGE (q:_quanta {name: 'state'}) SET q.writer = $epoch WITH q "
                                "SET q.applied_high = CASE WHEN coalesce(q.applied_high, 0) < $high THEN $high ELSE coalesce(q.applied_high, 0) END, "
                                "q.applied_below = CASE WHEN coalesce(q.applied_below, 0) < $below THEN $below ELSE coalesce(q.applied_below, 0) END "
                                "RETURN 1 / CASE WHEN coalesce(q.epoch, 0) <= $epoch THEN 1 ELSE 0 END"));
    nj_put_number(r, "epoch", epoch);
    nj_put_number(r, "high", high);
    nj_put_number(r, "below", below);
    nj_statement_end(r);
}

/* ---- answers ---- */

size_t nj_row_count(const json_t *results, size_t statement)
{
    return json_array_size(json_object_get(json_array_get(results, statement), "data"));
}

const json_t *nj_cell(const json_t *results, size_t statement, size_t row, size_t column)
{
    return json_array_get(json_object_get(json_array_get(json_object_get(json_array_get(results, statement), "data"), row), "row"), column);
}

uint64_t nj_number(const json_t *cell) { return json_is_integer(cell) ? (uint64_t)json_integer_value(cell) : 0; }

/* Status codes: https://neo4j.com/docs/status-codes/5/errors/all-errors/. */
static q_rc server_error(const char *code, const char *text, q_err *err)
{
    if (!strncmp(code, "Neo.ClientError.Security.", 25)) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "neo4j: %s", text);
        q_err_hint(err, "check engines.neo4j.user and password in quanta.yaml");
        return Q_FAIL;
    }
    if (!strcmp(code, "Neo.ClientError.Database.DatabaseNotFound")) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "neo4j: %s", text);
        q_err_hint(err, "engines.neo4j.uri names the database: http://host:port/NAME, \"neo4j\" when it is left out");
        return Q_FAIL;
    }
    if (!strcmp(code, "Neo.ClientError.Statement.ArithmeticError")) /* the guard */
        return q_err_set(err, Q_E_ENGINE_REFUSED, "neo4j remembers a higher epoch: a newer coordinator is at work");
    /* Too large a batch comes as transient, too, but waiting doesn't help it: the worker then halves it. */
    bool waiting_helps = strncmp(code, "Neo.ClientError.", 16) != 0 && !strstr(code, "OutOfMemory") && !strstr(code, "Constraint");
    q_err_set(err, waiting_helps ? Q_E_ENGINE_DOWN : Q_E_ENGINE_REFUSED, "neo4j: %s: %.200s", code, text);
    return Q_RETRY;
}

static size_t receive(char *bytes, size_t size, size_t n, void *ctx)
{
    q_buf *b = ctx;
    q_buf_add(b, bytes, size * n);
    return b->failed ? 0 : size * n;
}

static q_rc send_body(q_engine *e, q_slice body, long *status, q_err *err)
{
    char detail[CURL_ERROR_SIZE] = "";
    q_buf_clear(&e->answer);
    curl_easy_setopt(e->curl, CURLOPT_URL, e->url);
    curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, e->headers);
    curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, body.ptr);
    curl_easy_setopt(e->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, &e->answer);
    curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode rc = curl_easy_perform(e->curl);
    curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, NULL);
    if (rc == CURLE_WRITE_ERROR && e->answer.failed)
        return q_err_set(err, Q_E_RESULT_TOO_LARGE, "neo4j: the answer is larger than %d bytes", NJ_MAX_ANSWER);
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "engines.neo4j.uri: %s", *detail ? detail : curl_easy_strerror(rc));
    if (rc != CURLE_OK) {
        q_err_set(err, Q_E_ENGINE_DOWN, "neo4j: %s", *detail ? detail : curl_easy_strerror(rc));
        return Q_RETRY;
    }
    curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, status);
    return Q_OK;
}

static q_rc take_answer(q_engine *e, long status, uint32_t count, json_t **results, q_err *err)
{
    json_error_t bad;
    json_t *all = json_loadb(e->answer.ptr ? e->answer.ptr : "", e->answer.len, 0, &bad);
    const json_t *first = json_array_get(json_object_get(all, "errors"), 0);
    json_t *rows = json_object_get(all, "results");
    q_rc rc = Q_OK;
    if (first) {
        const char *code = json_string_value(json_object_get(first, "code")), *text = json_string_value(json_object_get(first, "message"));
        rc = server_error(code ? code : "", text ? text : "no message", err);
    } else if (status == 404) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "neo4j: nothing answers POST /db/NAME/tx/commit: not Neo4j's HTTP port, or its transactional endpoint is off");
        q_err_hint(err, "check engines.neo4j.uri in quanta.yaml");
        rc = Q_FAIL;
    } else if (status < 200 || status > 299 || json_array_size(rows) != count) {
        q_err_set(err, Q_E_ENGINE_DOWN, "neo4j: answered HTTP %ld with %s", status, all ? "no results" : "no JSON");
        rc = Q_RETRY;
    }
    if (rc == Q_OK && results)
        *results = json_incref(rows);
    json_decref(all);
    return rc;
}

q_rc nj_run(q_engine *e, nj_request *r, json_t **results, q_err *err)
{
    long status = 0;
    uint32_t count = r->count;
    if (results)
        *results = NULL;
    if (count == 0)
        return Q_OK;
    yajl_gen_array_close(r->gen);
    yajl_gen_map_close(r->gen);
    q_rc rc = r->body.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "neo4j: a request of more than %d bytes", NJ_MAX_REQUEST) : Q_OK;
    if (rc == Q_OK)
        rc = send_body(e, q_buf_slice(&r->body), &status, err);
    if (rc == Q_OK)
        rc = take_answer(e, status, count, results, err);
    q_buf_clear(&r->body);
    yajl_gen_reset(r->gen, NULL);
    r->count = 0;
    return rc;
}

q_rc nj_do(q_engine *e, nj_request *r, q_err *err) { return nj_run(e, r, NULL, err); }
