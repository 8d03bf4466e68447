/* docjson.c - documents and values as JSON: jansson reads, yajl writes. */
#include <jansson.h>
#include <yajl/yajl_gen.h>

#include "schemas/doctree.h"
#include "schemas/number.h"

/* ---- from JSON ------------------------------------------------------------------------------------------------------- */

static q_rc pack_json(q_buf *out, const json_t *j, unsigned depth, q_err *err)
{
    const char *key;
    size_t i;
    json_t *item;
    q_rc rc = Q_OK;
    switch (json_typeof(j)) {
    case JSON_NULL:
        q_mp_pack_nil(out);
        return Q_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        q_mp_bool(out, json_is_true(j));
        return Q_OK;
    case JSON_INTEGER:
        q_mp_pack_int64(out, json_integer_value(j));
        return Q_OK;
    case JSON_REAL:
        q_mp_pack_double(out, json_real_value(j));
        return Q_OK;
    case JSON_STRING:
        q_mp_str(out, q_slice_of(json_string_value(j), json_string_length(j)));
        return Q_OK;
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    if (depth == Q_MAX_DOC_DEPTH)
        return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A document may be nested %d deep at most.", Q_MAX_DOC_DEPTH);
    if (json_is_array(j)) {
        q_mp_pack_array(out, json_array_size(j));
        json_array_foreach(j, i, item)
        {
            rc = pack_json(out, item, depth + 1, err);
            if (rc != Q_OK)
                return rc;
        }
        return Q_OK;
    }
    q_mp_pack_map(out, json_object_size(j));
    json_object_foreach((json_t *)j, key, item)
    {
        q_mp_str(out, q_slice_cstr(key));
        rc = pack_json(out, item, depth + 1, err);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

q_rc q_doc_from_json(q_arena *arena, q_slice json, q_slice *doc, q_err *err)
{
    const size_t max_text = 6 * (size_t)Q_MAX_DOC_BYTES; /* six bytes of text can stand for one: \u0041 */
    if (json.len > max_text)
        return q_err_set(err, Q_E_DOCUMENT_LIMIT, "A document's JSON may have %zu bytes at most; this one has %zu.", max_text, json.len);
    json_error_t at;
    json_t *j = json_loadb(json.ptr ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
    if (!j)
        return q_err_set(err, Q_E_QQL_VALUE, "The JSON can't be read: %s (its line %d, column %d).", at.text, at.line, at.column);
    q_buf b = Q_BUF_INIT(Q_MAX_DOC_BYTES);
    q_rc rc = pack_json(&b, j, 0, err);
    json_decref(j);
    if (rc == Q_OK && b.failed)
        rc = q_err_set(err, Q_E_DOCUMENT_LIMIT, "A document may have %d bytes at most.", Q_MAX_DOC_BYTES);
    if (rc == Q_OK) {
        *doc = q_arena_copy(arena, q_buf_slice(&b));
        rc = doc->ptr ? Q_OK : q_doc_no_memory(err);
    }
    q_buf_free(&b);
    return rc;
}

/* ---- to JSON --------------------------------------------------------------------------------------------------------- */

static bool gen_string(yajl_gen gen, q_slice s)
{
    return yajl_gen_string(gen, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len) == yajl_gen_status_ok;
}

static bool gen_float(yajl_gen gen, double f)
{
    char text[Q_NUMBER_TEXT_BYTES];
    return yajl_gen_number(gen, text, q_float_text(f, text)) == yajl_gen_status_ok;
}

static bool gen_tree(yajl_gen gen, const msgpack_object *o);

static bool gen_map(yajl_gen gen, const msgpack_object_map *m)
{
    if (yajl_gen_map_open(gen) != yajl_gen_status_ok)
        return false;
    for (uint32_t i = 0; i < m->size; i++)
        if (m->ptr[i].key.type != MSGPACK_OBJECT_STR || !gen_string(gen, q_mp_slice(&m->ptr[i].key)) || !gen_tree(gen, &m->ptr[i].val))
            return false;
    return yajl_gen_map_close(gen) == yajl_gen_status_ok;
}

static bool gen_array(yajl_gen gen, const msgpack_object_array *a)
{
    if (yajl_gen_array_open(gen) != yajl_gen_status_ok)
        return false;
    for (uint32_t i = 0; i < a->size; i++)
        if (!gen_tree(gen, &a->ptr[i]))
            return false;
    return yajl_gen_array_close(gen) == yajl_gen_status_ok;
}

static bool gen_tree(yajl_gen gen, const msgpack_object *o)
{
    int64_t i;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        return yajl_gen_null(gen) == yajl_gen_status_ok;
    case MSGPACK_OBJECT_BOOLEAN:
        return yajl_gen_bool(gen, o->via.boolean) == yajl_gen_status_ok;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return q_mp_i64(o, &i) && yajl_gen_integer(gen, i) == yajl_gen_status_ok;
    case MSGPACK_OBJECT_FLOAT64:
        return o->via.f64 - o->via.f64 == 0 && gen_float(gen, o->via.f64);
    case MSGPACK_OBJECT_STR:
        return gen_string(gen, q_mp_slice(o));
    case MSGPACK_OBJECT_ARRAY:
        return gen_array(gen, &o->via.array);
    case MSGPACK_OBJECT_MAP:
        return gen_map(gen, &o->via.map);
    default:
        return false;
    }
}

bool q_doc_to_json(q_slice doc, yajl_gen gen)
{
    Q_MP_STACK_SPACE(space, NULL);
    msgpack_object root;
    bool ok = q_mp_unpack(&space, doc, &root) == Q_MP_OK && gen_tree(gen, &root);
    q_mp_space_end(&space);
    return ok;
}

static void print_to_buf(void *ctx, const char *text, size_t len) { q_buf_add(ctx, text, len); }

void q_doc_to_json_buf(q_slice doc, q_buf *out)
{
    yajl_gen gen = yajl_gen_alloc(NULL);
    if (!gen || !yajl_gen_config(gen, yajl_gen_print_callback, print_to_buf, out) || !q_doc_to_json(doc, gen))
        out->failed = true;
    if (gen)
        yajl_gen_free(gen);
}

/* What has no JSON form of its own goes as its canonical text. */
static bool gen_text(yajl_gen gen, const q_value *v)
{
    q_buf b = Q_BUF_INIT(2 * Q_MAX_STRING_BYTES);
    q_value_text(v, &b);
    bool ok = !b.failed && gen_string(gen, q_buf_slice(&b));
    q_buf_free(&b);
    return ok;
}

static bool gen_relation(yajl_gen gen, const q_value *v, bool many)
{
    if (!many)
        return v->rel.count ? q_value_to_json(&v->rel.items[0], false, gen) : yajl_gen_null(gen) == yajl_gen_status_ok;
    if (yajl_gen_array_open(gen) != yajl_gen_status_ok)
        return false;
    for (uint32_t i = 0; i < v->rel.count; i++)
        if (!q_value_to_json(&v->rel.items[i], false, gen))
            return false;
    return yajl_gen_array_close(gen) == yajl_gen_status_ok;
}

bool q_value_to_json(const q_value *v, bool many, yajl_gen gen)
{
    switch (v->type) {
    case Q_T_NULL:
        return yajl_gen_null(gen) == yajl_gen_status_ok;
    case Q_T_BOOL:
        return yajl_gen_bool(gen, v->b) == yajl_gen_status_ok;
    case Q_T_INT:
        return yajl_gen_integer(gen, v->i) == yajl_gen_status_ok;
    case Q_T_FLOAT:
        return gen_float(gen, v->f);
    case Q_T_STRING:
        return gen_string(gen, v->s);
    case Q_T_DOC:
        return q_doc_to_json(v->s, gen);
    case Q_T_RELATION:
        return gen_relation(gen, v, many);
    case Q_T_DECIMAL:
    case Q_T_UUID:
    case Q_T_TIME:
    case Q_T_DURATION:
    case Q_T_BYTES:
        return gen_text(gen, v);
    case Q_T_COUNT:
        break;
    }
    return false;
}
