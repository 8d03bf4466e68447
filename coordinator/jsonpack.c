#include "coordinator/jsonpack.h"

#include "schemas/mp.h"

static bool pack(const json_t *v, q_buf *out, int depth);

static bool pack_object(json_t *v, q_buf *out, int depth)
{
    const char *key;
    size_t key_len;
    json_t *item;
    q_mp_pack_map(out, json_object_size(v));
    json_object_keylen_foreach(v, key, key_len, item) {
        q_mp_str(out, q_slice_of(key, key_len));
        if (!pack(item, out, depth))
            return false;
    }
    return true;
}

static bool pack_array(const json_t *v, q_buf *out, int depth)
{
    q_mp_pack_array(out, json_array_size(v));
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!pack(json_array_get(v, i), out, depth))
            return false;
    return true;
}

static bool pack(const json_t *v, q_buf *out, int depth)
{
    if (depth > Q_JSONPACK_MAX_DEPTH || out->failed)
        return false;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return pack_object((json_t *)(uintptr_t)v, out, depth + 1); /* jansson's iteration takes no const, and changes nothing */
    case JSON_ARRAY:
        return pack_array(v, out, depth + 1);
    case JSON_STRING:
        q_mp_str(out, q_slice_of(json_string_value(v), json_string_length(v)));
        return true;
    case JSON_INTEGER:
        q_mp_pack_int64(out, json_integer_value(v));
        return true;
    case JSON_REAL:
        q_mp_pack_double(out, json_real_value(v));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        q_mp_bool(out, json_is_true(v));
        return true;
    case JSON_NULL:
        q_mp_pack_nil(out);
        return true;
    }
    return false;
}

bool q_json_pack(const json_t *value, q_buf *out) { return pack(value, out, 0) && !out->failed; }
