/* Ids are the only values here. A string is a string, an int an integer; a uuid is its text, so that it is readable, and the node that
 * has it says `_q_uuid: true`. JSON: RFC 8259. */
#include "workers/neo4j/internal.h"

#include <stdio.h>
#include <stdlib.h>

void nj_label(char out[NJ_LABEL_BYTES], q_slice bucket, q_slice record)
{
    snprintf(out, NJ_LABEL_BYTES, "%.*s__%.*s", Q_SLICE_FMT(bucket), Q_SLICE_FMT(record));
}

void nj_put_id(nj_request *r, const q_value *id)
{
    if (id->type == Q_T_INT) {
        yajl_gen_integer(r->gen, (long long)id->i);
        return;
    }
    if (id->type == Q_T_STRING) {
        yajl_gen_string(r->gen, (const unsigned char *)(id->s.ptr ? id->s.ptr : ""), id->s.len);
        return;
    }
    q_buf text = Q_BUF_INIT(64);
    q_value_text(id, &text);
    yajl_gen_string(r->gen, (const unsigned char *)text.ptr, text.len);
    q_buf_free(&text);
}

q_rc nj_id(q_arena *arena, const json_t *cell, bool uuid, q_value *out, q_err *err)
{
    if (json_is_integer(cell)) {
        *out = (q_value){ .type = Q_T_INT, .i = json_integer_value(cell) };
        return Q_OK;
    }
    if (!json_is_string(cell))
        return q_err_set(err, Q_E_CHANGED_OUTSIDE, "neo4j: a node's id is none that QuantaDB wrote");
    q_slice text = q_slice_of(json_string_value(cell), json_string_length(cell));
    if (uuid)
        return q_value_parse(arena, Q_T_UUID, text, out, err);
    *out = (q_value){ .type = Q_T_STRING, .s = q_arena_copy(arena, text) };
    return out->s.ptr ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
}

typedef struct entry { json_int_t index; const json_t *cell; } entry;
static int by_index(const void *va, const void *vb)
{
    const entry *a = va, *b = vb;
    return (a->index > b->index) - (a->index < b->index);
}

q_rc nj_relation_of(q_arena *arena, const json_t *cell, q_value *out, q_err *err)
{
    size_t n = json_array_size(cell);
    entry *all = Q_NEW_ARRAY(arena, entry, n + 1);
    q_value *ids = Q_NEW_ARRAY(arena, q_value, n + 1);
    q_rc rc = all && ids ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        const json_t *one = json_array_get(cell, i);
        all[i] = (entry){ json_integer_value(json_array_get(one, 0)), one };
    }
    if (rc == Q_OK)
        qsort(all, n, sizeof *all, by_index);
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        rc = nj_id(arena, json_array_get(all[i].cell, 1), json_is_true(json_array_get(all[i].cell, 2)), &ids[i], err);
    if (rc == Q_OK)
        *out = (q_value){ .type = Q_T_RELATION, .rel = { ids, (uint32_t)n } };
    return rc;
}
