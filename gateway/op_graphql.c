/* op_graphql.c - GraphQL over HTTP: the bucket's definitions, then the request's questions, level by level.
 *
 *     NAMES --records--> DEFINITIONS --attributes--> LEVEL --rows--> LEVEL … --> answer
 *                  \------- none -------------------/
 *
 * The definitions are asked for each time: the schema is the live one, as the principal sees it. The question that writes is the only one that does,
 * and its request id is the client's Idempotency-Key as it is. */
#include "gateway/op.h"

#include "graphql/request.h"

#include <stdlib.h>

enum { NAMES = 0, DEFINITIONS, LEVEL, MAX_STAGES = Q_GQL_MAX_LEVELS + 3 };

typedef struct q_op_graphql {
    json_t *body;
    bool own_type;            /* application/graphql-response+json is wanted */
    q_gql_record *records;
    uint32_t record_count;
    q_gql_schema *schema;
    q_gql_request *request;
    q_gql_question question;
    q_result_set sets[MAX_STAGES]; /* rows point into them */
    uint32_t set_count;
} q_op_graphql;

void q_op_graphql_free(q_op_graphql *g)
{
    if (!g)
        return;
    q_gql_request_free(g->request);
    json_decref(g->question.params);
    json_decref(g->body);
    for (uint32_t i = 0; i < g->set_count; i++)
        q_result_free(&g->sets[i]);
}

/* ---- the request ---- */

static q_rc read_body(q_gate_op *op, q_err *err)
{
    q_op_graphql *g = op->graphql;
    q_rc rc = q_op_body(op, false, &g->body, err);
    if (rc != Q_OK)
        return rc;
    const json_t *variables = json_object_get(g->body, "variables"), *operation = json_object_get(g->body, "operationName"),
                 *extensions = json_object_get(g->body, "extensions");
    bool ok = json_is_string(json_object_get(g->body, "query")) && (!variables || json_is_object(variables) || json_is_null(variables)) &&
              (!operation || json_is_string(operation) || json_is_null(operation)) &&
              (!extensions || json_is_object(extensions) || json_is_null(extensions));
    return ok ? Q_OK : q_err_set(err, Q_E_REQUEST_MALFORMED, "The body is {\"query\": \"…\", \"variables\": {…}, \"operationName\": \"…\"}.");
}

static q_rc graphql_ask(q_gate_op *op, q_ask *ask, q_err *err)
{
    q_op_graphql *g = op->graphql = Q_NEW(op->arena, q_op_graphql);
    if (!g)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    g->own_type = op->request->accept.ptr && q_http_accepts(op->request->accept, Q_TYPE_GRAPHQL) && !q_http_accepts(op->request->accept, Q_TYPE_JSON);
    if (!g->own_type && !q_http_accepts(op->request->accept, Q_TYPE_JSON))
        return q_err_set(err, Q_E_NOT_ACCEPTABLE, "Answers are application/json or application/graphql-response+json.");
    q_rc rc = read_body(op, err);
    return rc == Q_OK ? q_op_text(op, "SHOW RECORDS;", op->match.bucket, true, ask, err) : rc;
}

static q_rc respond(q_gate_op *op, int status, q_http_response *out)
{
    q_op_json(op, op->graphql->own_type ? status : 200, out);
    if (op->graphql->own_type)
        out->type = Q_TYPE_GRAPHQL;
    return Q_OK;
}

/* ---- definitions ---- */

static const char *text_at(yajl_val columns, yajl_val row, const char *name)
{
    int i = q_result_column(columns, name);
    yajl_val v = i >= 0 ? YAJL_GET_ARRAY(row)->values[i] : NULL;
    return v && YAJL_IS_STRING(v) ? YAJL_GET_STRING(v) : "";
}

static uint32_t rows_of(const q_result_set *s, int64_t statement)
{
    q_row_cursor at = { 0 };
    yajl_val columns;
    uint32_t n = 0;
    while (q_result_next_row(s, statement, &at, &columns))
        n++;
    return n;
}

static q_rc read_names(q_gate_op *op, const q_result_set *s, q_ask *ask, q_err *err)
{
    q_op_graphql *g = op->graphql;
    q_row_cursor at = { 0 };
    yajl_val columns, row;
    uint32_t n = rows_of(s, 1);
    q_buf text = Q_BUF_INIT((size_t)1 << 20);
    g->records = Q_NEW_ARRAY(op->arena, q_gql_record, n ? n : 1);
    q_buf_add_cstr(&text, "BEGIN; ");
    while (g->records && (row = q_result_next_row(s, 1, &at, &columns))) {
        q_slice name = q_slice_cstr(text_at(columns, row, "record"));
        if (!q_route_name(name))
            continue;
        g->records[g->record_count++].name = name;
        q_buf_printf(&text, "SHOW RECORD `%.*s`; ", Q_SLICE_FMT(name));
    }
    q_buf_add_cstr(&text, "COMMIT;");
    q_slice body = q_arena_copy(op->arena, q_buf_slice(&text));
    q_buf_free(&text);
    op->stage = DEFINITIONS;
    *ask = (q_ask){ .bucket = op->match.bucket, .body = body, .read_only = true };
    return g->records && body.ptr ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
}

static q_gql_attr_kind kind_of(const char *type)
{
    return !strcmp(type, "document") ? Q_GQL_A_DOCUMENT : !strcmp(type, "relation") ? Q_GQL_A_RELATION : !strcmp(type, "metric") ? Q_GQL_A_METRIC : Q_GQL_A_SCALAR;
}

static q_rc read_definitions(q_gate_op *op, const q_result_set *s, q_err *err)
{
    q_op_graphql *g = op->graphql;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < g->record_count; i++) {
        q_gql_record *r = &g->records[i];
        q_row_cursor at = { 0 };
        yajl_val columns, row;
        uint32_t n = rows_of(s, i + 1);
        r->attrs = Q_NEW_ARRAY(op->arena, q_gql_attr, n ? n : 1);
        if (!r->attrs)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
        while ((row = q_result_next_row(s, i + 1, &at, &columns))) {
            int required = q_result_column(columns, "required");
            r->attrs[r->count++] = (q_gql_attr){
                .name = q_slice_cstr(text_at(columns, row, "attribute")), .datatype = q_slice_cstr(text_at(columns, row, "datatype")),
                .target = q_slice_cstr(text_at(columns, row, "target")), .unit = q_slice_cstr(text_at(columns, row, "unit")),
                .kind = kind_of(text_at(columns, row, "type")), .many = !strcmp(text_at(columns, row, "cardinality"), "many"),
                .required = required >= 0 && YAJL_IS_TRUE(YAJL_GET_ARRAY(row)->values[required]) };
        }
        if (r->count && q_slice_eq(r->attrs[0].name, Q_SLICE_LIT("id")))
            g->records[seen++] = *r; /* rows are known by their id: to whom it isn't shown, the record isn't either */
    }
    g->record_count = seen;
    return q_gql_schema_build(op->arena, g->records, g->record_count, &g->schema, err);
}

/* ---- questions ---- */

static q_rc problem(q_gate_op *op, const q_err *err, bool ran, q_http_response *out)
{
    q_buf_clear(&op->out);
    q_gql_errors(op->graphql->request, err, ran, &op->out);
    return respond(op, ran ? 200 : 400, out);
}

static q_rc ask_level(q_gate_op *op, q_ask *ask, q_http_response *out)
{
    q_op_graphql *g = op->graphql;
    q_err err = Q_ERR_INIT;
    json_decref(g->question.params);
    q_rc rc = q_gql_ask(g->request, &g->question, &err);
    if (rc == Q_END) {
        q_buf_clear(&op->out);
        q_gql_answer(g->request, &op->out);
        return respond(op, 200, out);
    }
    q_slice message;
    if (rc == Q_OK)
        rc = q_message_of(op->arena, g->question.query, g->question.params, &message, &err);
    if (rc != Q_OK)
        return problem(op, &err, false, out);
    op->stage = LEVEL;
    op->steps = 0; /* levels are bounded by the request; what writes is asked under the client's own key */
    *ask = (q_ask){ .bucket = op->match.bucket, .body = message, .json = true, .read_only = !g->question.writes };
    return Q_WAIT;
}

static q_rc begin(q_gate_op *op, q_ask *ask, q_http_response *out)
{
    q_op_graphql *g = op->graphql;
    q_err err = Q_ERR_INIT;
    const q_gql_limits limits = { op->limits->default_rows, op->limits->max_rows };
    const json_t *query = json_object_get(g->body, "query"), *operation = json_object_get(g->body, "operationName"),
                 *variables = json_object_get(g->body, "variables");
    q_rc rc = q_gql_request_new(op->arena, &limits, g->schema, q_slice_of(json_string_value(query), json_string_length(query)),
                                json_is_string(operation) ? q_slice_cstr(json_string_value(operation)) : Q_SLICE_NONE,
                                json_is_object(variables) ? variables : NULL, &g->request, &err);
    return rc == Q_OK ? ask_level(op, ask, out) : problem(op, &err, false, out);
}

static q_rc tell(q_gate_op *op, const q_reply_seen *reply, const q_result_set *s, q_err *err)
{
    q_op_graphql *g = op->graphql;
    q_gql_told *told = Q_NEW_ARRAY(op->arena, q_gql_told, g->question.count);
    for (uint32_t i = 0; told && i < g->question.count; i++) {
        q_row_cursor at = { 0 };
        yajl_val columns, row;
        uint32_t n = rows_of(s, i + 1);
        told[i].rows = Q_NEW_ARRAY(op->arena, yajl_val, n ? n : 1);
        while (told[i].rows && (row = q_result_next_row(s, i + 1, &at, &columns)))
            told[i].rows[told[i].row_count++] = row;
        told[i].count = q_result_count(s, i + 1);
        if (!told[i].rows)
            told = NULL;
    }
    return told ? q_gql_tell(g->request, told, reply->head.seq, reply->head.txid, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
}

static q_rc graphql_answer(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    q_op_graphql *g = op->graphql;
    q_err own = Q_ERR_INIT;
    if (g->set_count == MAX_STAGES)
        return q_err_set(err, Q_E_INTERNAL, "The request has more levels than it may have.");
    q_result_set *s = &g->sets[g->set_count];
    q_rc rc = q_op_results(reply, s, err);
    if (rc != Q_OK)
        return rc;
    g->set_count++;
    if (op->stage == NAMES) {
        rc = read_names(op, s, ask, err);
        if (rc != Q_OK || g->record_count)
            return rc == Q_OK ? Q_WAIT : rc;
    }
    if (op->stage == DEFINITIONS) {
        rc = read_definitions(op, s, err);
        return rc == Q_OK ? begin(op, ask, out) : rc;
    }
    rc = tell(op, reply, s, &own);
    return rc == Q_OK ? ask_level(op, ask, out) : problem(op, &own, !g->question.writes, out);
}

/* The definitions' refusals are those of every route; a statement's are GraphQL errors at their field. */
static q_rc graphql_refused(q_gate_op *op, const q_reply_seen *reply, q_ask *ask, q_http_response *out, q_err *err)
{
    (void)reply;
    (void)ask;
    return op->stage == LEVEL && q_code_http(err->code) != 401 ? problem(op, err, true, out) : Q_FAIL;
}

const q_gate_verbs q_gate_graphql = { graphql_ask, graphql_answer, graphql_refused };
