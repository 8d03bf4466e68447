#include "graphql/plan.h"

#include <stdio.h>
#include <xxhash.h>

/* ---- ids ---- */

q_slice q_gql_id_text(yajl_val v)
{
    if (v && YAJL_IS_STRING(v))
        return q_slice_cstr(YAJL_GET_STRING(v));
    return v && YAJL_IS_NUMBER(v) ? q_slice_cstr(YAJL_GET_NUMBER(v)) : Q_SLICE_NONE;
}

bool q_gql_ids_make(q_arena *arena, q_gql_ids *ids, uint32_t count)
{
    uint32_t n = 16;
    while (n < count * 2)
        n *= 2;
    ids->mask = n - 1;
    ids->slots = Q_NEW_ARRAY(arena, q_gql_slot, n);
    return ids->slots != NULL;
}

q_gql_slot *q_gql_ids_find(const q_gql_ids *ids, q_slice id)
{
    uint32_t i = (uint32_t)XXH3_64bits(id.ptr ? id.ptr : "", id.len) & ids->mask;
    while (ids->slots[i].used && !q_slice_eq(ids->slots[i].id, id))
        i = (i + 1) & ids->mask;
    return &ids->slots[i];
}

/* Rows by their id. */
static bool index_rows(q_gql_request *r, q_gql_node *n)
{
    if (!q_gql_ids_make(r->arena, &n->index, n->row_count))
        return false;
    for (uint32_t i = 0; i < n->row_count; i++) {
        q_slice id = q_gql_id_text(YAJL_GET_ARRAY(n->rows[i])->values[0]);
        if (id.ptr)
            *q_gql_ids_find(&n->index, id) = (q_gql_slot){ id, i, true };
    }
    return true;
}

/* ---- life ---- */

static q_rc choose_operation(q_gql_request *r, q_slice name, q_err *err)
{
    q_gql_part *o = r->document.operations;
    while (o && name.ptr && !q_slice_eq(o->name, name))
        o = o->next;
    if (!o)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, name.ptr ? "There is no operation of this name." : "There is no operation.");
    if (!name.ptr && o->next)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "There are several operations: operationName says which.");
    r->world.operation = o;
    return Q_OK;
}

q_rc q_gql_request_new(q_arena *arena, const q_gql_limits *limits, const q_gql_schema *schema, q_slice document, q_slice operation,
                       const json_t *variables, q_gql_request **out, q_err *err)
{
    q_gql_request *r = *out = Q_NEW(arena, q_gql_request);
    if (!r)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    r->arena = arena;
    r->limits = *limits;
    r->schema = schema;
    q_rc rc = q_gql_parse(arena, document, &r->document, err);
    r->world = (q_gql_world){ .arena = arena, .schema = schema, .document = &r->document, .err = err };
    if (rc == Q_OK)
        rc = q_gql_check(&r->world);
    if (rc == Q_OK)
        rc = choose_operation(r, operation, err);
    if (rc == Q_OK)
        rc = q_gql_variables(&r->world, variables);
    if (rc == Q_OK)
        rc = q_gql_plan(r, err);
    if (rc != Q_OK && err->code == Q_E_NONE)
        q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    r->world.err = NULL; /* the caller's, and gone */
    return rc;
}

static void free_args(q_gql_node *list)
{
    for (q_gql_node *n = list; n; n = n->next) {
        json_decref(n->args);
        n->args = NULL;
        free_args(n->first);
    }
}

void q_gql_request_free(q_gql_request *r)
{
    if (!r)
        return;
    json_decref(r->world.variables);
    if (r->root)
        free_args(r->root->first);
    r->root = NULL;
    r->world.variables = NULL;
}

bool q_gql_is_mutation(const q_gql_request *r) { return r->world.operation->mutation; }

/* ---- asking ---- */

static q_rc add_id(q_gql_request *r, q_gql_node *n, q_gql_ids *seen, json_t *ids, yajl_val v, q_err *err)
{
    q_slice id = q_gql_id_text(v);
    q_gql_slot *slot = id.ptr ? q_gql_ids_find(seen, id) : NULL;
    if (!slot || slot->used)
        return Q_OK;
    if (json_array_size(ids) == Q_GQL_MAX_IDS)
        return q_gql_fail(err, Q_E_QQL_LIMIT, n->chosen->selection->pos, "\"%.*s\" leads to more than %d records.", Q_SLICE_FMT(n->key), Q_GQL_MAX_IDS);
    *slot = (q_gql_slot){ id, 0, true };
    json_t *j = q_gql_id(n->field->record, id);
    (void)r;
    return j && json_array_append_new(ids, j) == 0 ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
}

/* The ids that the relation has in its owner's rows, each once. The caller's. */
static q_rc gather(q_gql_request *r, q_gql_node *n, json_t **out, q_err *err)
{
    q_gql_ids seen;
    uint64_t most = 0;
    for (uint32_t i = 0; i < n->owner->row_count; i++) {
        yajl_val v = YAJL_GET_ARRAY(n->owner->rows[i])->values[n->column];
        most += YAJL_IS_ARRAY(v) ? YAJL_GET_ARRAY(v)->len : 1;
    }
    *out = json_array();
    if (!*out || !q_gql_ids_make(r->arena, &seen, most < Q_GQL_MAX_IDS + 1 ? (uint32_t)most : Q_GQL_MAX_IDS + 1))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    q_rc rc = Q_OK;
    for (uint32_t i = 0; rc == Q_OK && i < n->owner->row_count; i++) {
        yajl_val v = YAJL_GET_ARRAY(n->owner->rows[i])->values[n->column];
        if (!YAJL_IS_ARRAY(v))
            rc = add_id(r, n, &seen, *out, v, err);
        else
            for (size_t k = 0; rc == Q_OK && k < YAJL_GET_ARRAY(v)->len; k++)
                rc = add_id(r, n, &seen, *out, YAJL_GET_ARRAY(v)->values[k], err);
    }
    return rc;
}

static q_rc ask_level(q_gql_request *r, q_gql_draft *d, q_gql_question *out, q_err *err)
{
    q_gql_node **last = &r->asked, *next;
    r->asked = NULL;
    for (q_gql_node *n = r->levels[r->level]; n; n = next) {
        json_t *ids = NULL;
        next = n->same_level;
        q_rc rc = n->level ? gather(r, n, &ids, err) : Q_OK;
        if (rc == Q_OK && (!ids || json_array_size(ids))) {
            q_gql_statement(d, n, ids);
            out->count++;
            *last = n;
            last = &n->same_level;
        }
        json_decref(ids);
        if (rc != Q_OK || d->failed)
            return Q_FAIL;
    }
    *last = NULL;
    return Q_OK;
}

q_rc q_gql_ask(q_gql_request *r, q_gql_question *out, q_err *err)
{
    *out = (q_gql_question){ .writes = q_gql_is_mutation(r) };
    q_rc rc = Q_END;
    q_gql_draft d = { .text = Q_BUF_INIT((size_t)Q_GQL_MAX_QUERY_BYTES), .params = json_object(), .request = r, .err = err };
    q_buf_add_cstr(&d.text, "BEGIN; ");
    for (; rc == Q_END && r->level <= Q_GQL_MAX_LEVELS && r->levels[r->level]; r->level++) {
        rc = d.params ? ask_level(r, &d, out, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
        if (rc == Q_OK && !out->count)
            rc = Q_END;
    }
    q_buf_add_cstr(&d.text, "COMMIT;");
    q_slice all = q_buf_slice(&d.text);
    size_t begin = strlen("BEGIN; "), end = strlen(" COMMIT;");
    if (rc == Q_OK && d.text.failed)
        rc = q_err_set(err, Q_E_REQUEST_TOO_LARGE, "The request is too large.");
    if (rc == Q_OK && out->count == 1) /* a bare statement is a transaction, too */
        all = (q_slice){ all.ptr + begin, all.len - begin - end };
    if (rc == Q_OK && !(out->query = q_arena_copy(r->arena, all)).ptr)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    q_buf_free(&d.text);
    if (rc == Q_OK)
        out->params = d.params;
    else
        json_decref(d.params);
    return rc;
}

q_rc q_gql_tell(q_gql_request *r, const q_gql_told *told, uint64_t seq, const char *txid, q_err *err)
{
    r->seq = seq;
    snprintf(r->txid, sizeof r->txid, "%s", txid);
    for (q_gql_node *n = r->asked; n; n = n->same_level, told++) {
        n->rows = told->rows;
        n->row_count = told->row_count;
        n->count = told->count;
        r->rows += n->row_count;
        if (r->rows > Q_GQL_MAX_ROWS)
            return q_gql_fail(err, Q_E_QQL_LIMIT, n->chosen->selection->pos, "The answer would need more than %d rows.", Q_GQL_MAX_ROWS);
        for (uint32_t i = 0; i < n->row_count; i++)
            if (!YAJL_IS_ARRAY(n->rows[i]) || YAJL_GET_ARRAY(n->rows[i])->len != n->column_count)
                return q_err_set(err, Q_E_INTERNAL, "The coordinator's answer can't be read.");
        if (n->level && !index_rows(r, n))
            return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request.");
    }
    return Q_OK;
}
