/* Requests: InfluxQL to /query, line protocol to /write (v1) or /api/v2/write (v2), where databases are buckets that have an API of their own.
 * Sources: https://docs.influxdata.com/influxdb/v1/tools/api/, https://docs.influxdata.com/influxdb/v2/api/. */
#include "workers/influx/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- errors ---- */

static void hint_credentials(q_err *err)
{
    q_err_hint(err, "check engines.influx.user and password, or token, in quanta.yaml, and that they may read, write, create and drop databases");
}

/* What the server says of limits that make a write impossible for good until someone changes its settings. */
static void hint_limits(const char *text, q_err *err)
{
    if (strstr(text, "max-values-per-tag") || strstr(text, "max-series-per-database"))
        q_err_hint(err, "set max-values-per-tag and max-series-per-database to 0 in the server's [data]: each record's id is a tag");
}

/* `status`: of HTTP, 0 for an error inside an answer. What the server said about this very request is no sign that it is down. */
static q_rc server_error(long status, const char *text, const char *doing, q_err *err)
{
    if (status == 401 || status == 403 || strstr(text, "not authorized") || strstr(text, "unable to parse authentication")) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "influx: %s: %s", doing, text);
        hint_credentials(err);
        return Q_FAIL;
    }
    if (status == 404) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "influx: %s: %s (HTTP 404)", doing, text);
        q_err_hint(err, "check engines.influx.uri and version (1: /write, 2: /api/v2/write) in quanta.yaml");
        return Q_FAIL;
    }
    bool refused = (status >= 400 && status < 500 && status != 408 && status != 429) || (status == 0 && strstr(text, "error parsing query"));
    q_err_set(err, refused ? Q_E_ENGINE_REFUSED : Q_E_ENGINE_DOWN, "influx: %s: %s (HTTP %ld)", doing, text, status);
    hint_limits(text, err);
    return Q_RETRY;
}

static bool says_no_database(const char *text)
{
    return strstr(text, "database not found") || strstr(text, "dbrp mapping not found") || (strstr(text, "bucket") && strstr(text, "not found"));
}

/* The sentence in an error's body: {"error": …} or, v2, {"message": …}; otherwise its beginning. */
static void error_text(q_slice body, char *out, size_t size)
{
    json_error_t bad;
    json_t *all = json_loadb(body.ptr ? body.ptr : "", body.len, 0, &bad);
    const char *text = json_string_value(json_object_get(all, "error"));
    if (!text)
        text = json_string_value(json_object_get(all, "message"));
    if (text)
        snprintf(out, size, "%s", text);
    else
        snprintf(out, size, "%.*s", (int)(body.len < size ? body.len : size - 1), body.ptr ? body.ptr : "");
    for (size_t n = strlen(out); n && out[n - 1] == '\n'; n--)
        out[n - 1] = '\0';
    json_decref(all);
}

/* ---- one request ---- */

static size_t receive(char *bytes, size_t size, size_t n, void *ctx)
{
    q_buf *b = ctx;
    q_buf_add(b, bytes, size * n);
    return b->failed ? 0 : size * n;
}

/* `body` of a POST, or with a method of its own and an empty one. */
static q_rc request(q_engine *e, const char *method, const char *url, struct curl_slist *headers, q_slice body, long *status, q_err *err)
{
    char detail[CURL_ERROR_SIZE] = "";
    q_buf_clear(&e->answer);
    if (body.ptr) {
        curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, body.ptr);
        curl_easy_setopt(e->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    } else {
        curl_easy_setopt(e->curl, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(e->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(e->curl, CURLOPT_URL, url);
    curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, &e->answer);
    curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode rc = curl_easy_perform(e->curl);
    curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, NULL);
    if (rc == CURLE_WRITE_ERROR && e->answer.failed)
        return q_err_set(err, Q_E_RESULT_TOO_LARGE, "influx: the answer is larger than %d bytes", IX_MAX_ANSWER);
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL)
        return q_err_set(err, Q_E_ENGINE_REFUSED, "engines.influx.uri: %s", *detail ? detail : curl_easy_strerror(rc));
    if (rc != CURLE_OK) {
        q_err_set(err, Q_E_ENGINE_DOWN, "influx: %s", *detail ? detail : curl_easy_strerror(rc));
        return Q_RETRY;
    }
    curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, status);
    return Q_OK;
}

static void put_url_escaped(q_engine *e, q_buf *out, q_slice s)
{
    char *escaped = s.len ? curl_easy_escape(e->curl, s.ptr, (int)s.len) : NULL;
    if (escaped)
        q_buf_add_cstr(out, escaped);
    else if (s.len)
        out->failed = true;
    curl_free(escaped);
}

/* ---- InfluxQL ---- */

/* The body is left in e->answer when the status is 2xx; otherwise *missing tells whether it is the database that isn't there. */
static q_rc post_influxql(q_engine *e, q_slice db, q_slice influxql, bool *missing, q_err *err)
{
    q_buf body = Q_BUF_INIT(4 * IX_MAX_BODY), url = Q_BUF_INIT(4096);
    long status = 0;
    *missing = false;
    q_buf_printf(&url, "%s/query", e->base);
    q_buf_add_byte(&url, 0);
    q_buf_printf(&body, "epoch=ns&db=%.*s&q=", Q_SLICE_FMT(db));
    put_url_escaped(e, &body, influxql);
    q_rc rc = body.failed || url.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "influx: a query that is too large") : Q_OK;
    if (rc == Q_OK)
        rc = request(e, "POST", url.ptr, e->form, q_buf_slice(&body), &status, err);
    if (rc == Q_OK && (status < 200 || status > 299)) {
        char text[200];
        error_text(q_buf_slice(&e->answer), text, sizeof text);
        *missing = status == 404 && says_no_database(text);
        if (!*missing)
            rc = server_error(status, text, "querying", err);
    }
    q_buf_free(&body);
    q_buf_free(&url);
    return rc;
}

/* The answer's "results"; NULL when the database isn't there. */
static q_rc take_results(q_engine *e, json_t **results, q_err *err)
{
    json_error_t bad;
    json_t *all = json_loadb(e->answer.ptr ? e->answer.ptr : "", e->answer.len, 0, &bad);
    json_t *list = json_object_get(all, "results"), *one, *series;
    size_t i, k;
    q_rc rc = Q_OK;
    *results = NULL;
    if (!json_is_array(list)) {
        json_decref(all);
        q_err_set(err, Q_E_ENGINE_DOWN, "influx: what answered a query isn't its results");
        return Q_RETRY;
    }
    json_array_foreach(list, i, one) {
        const char *text = json_string_value(json_object_get(one, "error"));
        if (text && says_no_database(text)) {
            json_decref(all);
            return Q_OK;
        }
        if (text) {
            rc = server_error(0, text, "querying", err);
            break;
        }
        bool cut = json_is_true(json_object_get(one, "partial"));
        json_array_foreach(json_object_get(one, "series"), k, series)
            cut = cut || json_is_true(json_object_get(series, "partial"));
        if (cut) {
            rc = q_err_set(err, Q_E_ENGINE_REFUSED, "influx: the server cuts its answers");
            q_err_hint(err, "set max-row-limit to 0 in the server's [http]");
            break;
        }
    }
    if (rc == Q_OK)
        *results = json_incref(list);
    json_decref(all);
    return rc;
}

q_rc ix_query(q_engine *e, q_slice influxql, json_t **results, q_err *err)
{
    bool missing;
    *results = NULL;
    q_rc rc = post_influxql(e, q_slice_cstr(e->own), influxql, &missing, err);
    return rc == Q_OK && !missing ? take_results(e, results, err) : rc;
}

q_rc ix_do(q_engine *e, q_slice db, q_slice influxql, q_err *err)
{
    json_t *results = NULL;
    bool missing;
    q_rc rc = post_influxql(e, db, influxql, &missing, err);
    if (rc == Q_OK && !missing)
        rc = take_results(e, &results, err);
    json_decref(results);
    return rc;
}

q_rc ix_rows(const json_t *results, size_t statement, ix_row *row, void *ctx, q_err *err)
{
    const json_t *series, *values;
    size_t i, k;
    json_array_foreach(json_object_get(json_array_get(results, statement), "series"), i, series) {
        const char *name = json_string_value(json_object_get(series, "name"));
        json_array_foreach(json_object_get(series, "values"), k, values) {
            q_rc rc = row(ctx, name ? name : "", values, err);
            if (rc != Q_OK)
                return rc;
        }
    }
    return Q_OK;
}

uint64_t ix_number(const json_t *values, size_t column)
{
    const json_t *v = json_array_get(values, column);
    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : 0;
}

q_slice ix_text(const json_t *values, size_t column)
{
    const json_t *v = json_array_get(values, column);
    return q_slice_of(json_string_value(v), json_string_length(v));
}

/* ---- line protocol ---- */

/* Points older than the database keeps are dropped by the server at once instead of later: that is what keeping for so long means. */
static bool only_past_retention(const char *text) { return !strncmp(text, "partial write: points beyond retention policy", 45); }

static q_rc post_lines(q_engine *e, q_slice db, q_slice lines, bool *missing, q_err *err)
{
    q_buf url = Q_BUF_INIT(4096);
    long status = 0;
    *missing = false;
    if (e->version == 2)
        q_buf_printf(&url, "%s/api/v2/write?org=%s&bucket=%.*s&precision=ns", e->base, e->org, Q_SLICE_FMT(db));
    else
        q_buf_printf(&url, "%s/write?db=%.*s&precision=ns", e->base, Q_SLICE_FMT(db));
    q_buf_add_byte(&url, 0);
    q_rc rc = url.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory") : Q_OK;
    if (rc == Q_OK)
        rc = request(e, "POST", url.ptr, e->lines, lines, &status, err);
    q_buf_free(&url);
    if (rc != Q_OK || (status >= 200 && status <= 299))
        return rc;
    char text[200];
    error_text(q_buf_slice(&e->answer), text, sizeof text);
    *missing = status == 404 && says_no_database(text);
    return *missing || only_past_retention(text) ? Q_OK : server_error(status, text, "writing", err);
}

q_rc ix_write(q_engine *e, q_slice db, q_slice lines, q_err *err)
{
    bool missing;
    q_rc rc = post_lines(e, db, lines, &missing, err);
    if (rc != Q_OK || !missing)
        return rc;
    rc = ix_create_database(e, db, err);
    if (rc == Q_OK)
        rc = post_lines(e, db, lines, &missing, err);
    if (rc == Q_OK && missing) {
        q_err_set(err, Q_E_ENGINE_DOWN, "influx: database %.*s was made and isn't there", Q_SLICE_FMT(db));
        rc = Q_RETRY;
    }
    return rc;
}

/* ---- databases; of v2 they are buckets ---- */

/* A request of the v2 API; its JSON in *out (the caller's), NULL for none and for 404. */
static q_rc api(q_engine *e, const char *method, const char *path, q_slice body, json_t **out, q_err *err)
{
    q_buf url = Q_BUF_INIT(4096);
    json_error_t bad;
    long status = 0;
    *out = NULL;
    q_buf_printf(&url, "%s/api/v2/%s", e->base, path);
    q_buf_add_byte(&url, 0);
    q_rc rc = url.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory") : request(e, method, url.ptr, e->json, body, &status, err);
    q_buf_free(&url);
    if (rc != Q_OK)
        return rc;
    if (status >= 200 && status <= 299) {
        *out = json_loadb(e->answer.ptr ? e->answer.ptr : "", e->answer.len, 0, &bad);
        return Q_OK;
    }
    char text[200];
    error_text(q_buf_slice(&e->answer), text, sizeof text);
    return status == 404 ? Q_OK : server_error(status, text, "asking for buckets", err);
}

/* The id of what a list's first element is; "" when there is none. */
static void first_id(const json_t *all, const char *list, char *out, size_t size)
{
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(all, list), 0), "id"));
    snprintf(out, size, "%s", id ? id : "");
}

static q_rc bucket_id(q_engine *e, q_slice db, char *out, size_t size, q_err *err)
{
    char path[512];
    json_t *all = NULL;
    snprintf(path, sizeof path, "buckets?org=%s&name=%.*s", e->org, Q_SLICE_FMT(db));
    q_rc rc = api(e, "GET", path, Q_SLICE_NONE, &all, err);
    first_id(all, "buckets", out, size);
    json_decref(all);
    return rc;
}

static q_rc create_bucket(q_engine *e, q_slice db, q_err *err)
{
    char id[64], path[512];
    json_t *all = NULL;
    q_rc rc = bucket_id(e, db, id, sizeof id, err);
    if (rc != Q_OK || *id)
        return rc;
    snprintf(path, sizeof path, "orgs?org=%s", e->org);
    rc = api(e, "GET", path, Q_SLICE_NONE, &all, err);
    first_id(all, "orgs", id, sizeof id);
    json_decref(all);
    if (rc == Q_OK && !*id) {
        q_err_set(err, Q_E_ENGINE_REFUSED, "influx: the organization in engines.influx.uri (…?org=NAME) isn't known to the server");
        return Q_FAIL;
    }
    if (rc != Q_OK)
        return rc;
    json_t *ask = json_pack("{s:s, s:s#, s:[]}", "orgID", id, "name", db.ptr, (int)db.len, "retentionRules");
    char *text = ask ? json_dumps(ask, JSON_COMPACT) : NULL;
    rc = text ? api(e, "POST", "buckets", q_slice_cstr(text), &all, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    if (rc == Q_OK)
        json_decref(all);
    json_decref(ask);
    free(text);
    return rc;
}

static q_rc drop_bucket(q_engine *e, q_slice db, q_err *err)
{
    char id[64], path[128];
    json_t *all = NULL;
    q_rc rc = bucket_id(e, db, id, sizeof id, err);
    if (rc != Q_OK || !*id)
        return rc;
    snprintf(path, sizeof path, "buckets/%s", id);
    rc = api(e, "DELETE", path, Q_SLICE_NONE, &all, err);
    json_decref(all);
    return rc;
}

static q_rc database_ddl(q_engine *e, const char *what, q_slice db, q_err *err)
{
    char text[2 * Q_MAX_NAME_BYTES];
    snprintf(text, sizeof text, "%s DATABASE \"%.*s\"", what, Q_SLICE_FMT(db));
    return ix_do(e, db, q_slice_cstr(text), err);
}

q_rc ix_create_database(q_engine *e, q_slice db, q_err *err)
{
    return e->version == 2 ? create_bucket(e, db, err) : database_ddl(e, "CREATE", db, err);
}

q_rc ix_drop_database(q_engine *e, q_slice db, q_err *err)
{
    return e->version == 2 ? drop_bucket(e, db, err) : database_ddl(e, "DROP", db, err);
}
