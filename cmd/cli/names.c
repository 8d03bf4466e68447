#include "cmd/cli/names.h"

#include "schemas/catalog.h"

#include <stdlib.h>
#include <time.h>

enum { KEEP_S = 10, PATIENCE_MS = 1000 };

struct q_names { json_t *answers; }; /* "bucket\nstatement" -> { at, rows } */

q_names *q_names_new(void)
{
    q_names *n = calloc(1, sizeof *n);
    if (n && !(n->answers = json_object())) {
        free(n);
        n = NULL;
    }
    return n;
}

void q_names_free(q_names *n)
{
    if (!n)
        return;
    json_decref(n->answers);
    free(n);
}

void q_names_forget(q_names *n) { json_object_clear(n->answers); }

static json_int_t now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* Rows as objects; the order of members is that of the columns. NULL when it isn't an answer to a SHOW. */
static json_t *rows_of(const json_t *result)
{
    const json_t *entry = json_array_get(json_object_get(result, "results"), 0);
    const json_t *columns = json_object_get(entry, "columns"), *rows = json_object_get(entry, "rows");
    if (!json_is_array(rows) || !json_is_array(columns))
        return NULL;
    json_t *out = json_array(), *row, *column;
    size_t i, c;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
        json_t *o = json_object();
        json_array_foreach((json_t *)(uintptr_t)columns, c, column) {
            const char *name = json_string_value(json_object_get(column, "name"));
            if (name)
                json_object_set(o, name, json_array_get(row, c));
        }
        json_array_append_new(out, o);
    }
    return out;
}

static const json_t *ask(q_names *n, q_client *client, const char *bucket, const char *statement)
{
    char key[200];
    int len = snprintf(key, sizeof key, "%s\n%s", bucket ? bucket : "", statement);
    if (len < 0 || (size_t)len >= sizeof key)
        return NULL;
    const json_t *known = json_object_get(n->answers, key);
    if (known && now_s() - json_integer_value(json_object_get(known, "at")) < KEEP_S)
        return json_object_get(known, "rows");
    q_client_request request = { .bucket = bucket, .query = q_slice_cstr(statement), .timeout_ms = PATIENCE_MS };
    json_t *result = NULL, *rows = NULL;
    q_err err = Q_ERR_INIT;
    if (q_client_run(client, &request, &result, &err) == Q_OK)
        rows = rows_of(result);
    json_decref(result);
    if (!rows)
        return NULL;
    json_object_set_new(n->answers, key, json_pack("{s:I, s:o}", "at", now_s(), "rows", rows));
    return json_object_get(json_object_get(n->answers, key), "rows");
}

const json_t *q_names_buckets(q_names *n, q_client *client) { return ask(n, client, NULL, "SHOW BUCKETS;"); }

const json_t *q_names_records(q_names *n, q_client *client, const char *bucket)
{
    return bucket[0] ? ask(n, client, bucket, "SHOW RECORDS;") : NULL;
}

const json_t *q_names_attributes(q_names *n, q_client *client, const char *bucket, q_slice record)
{
    char statement[64 + Q_MAX_NAME_BYTES];
    q_err err = Q_ERR_INIT;
    if (!bucket[0] || q_name_check(record, "record", &err) != Q_OK)
        return NULL;
    snprintf(statement, sizeof statement, "SHOW RECORD `%.*s`;", Q_SLICE_FMT(record));
    return ask(n, client, bucket, statement);
}

const char *q_names_of(const json_t *row)
{
    void *first = json_object_iter((json_t *)(uintptr_t)row);
    return first ? json_string_value(json_object_iter_value(first)) : NULL;
}
