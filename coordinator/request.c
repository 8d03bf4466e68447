#include "coordinator/request.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

#include "coordinator/jsonpack.h"
#include "schemas/document.h"
#include "schemas/mp.h"

/* What the envelope and the body say, before it is checked. */
typedef struct fields {
    q_slice content_type;
    q_slice bucket, request_id, reply_to, authorization, trace, timeout;
    bool has_id, has_reply_to, has_timeout_number;
    int64_t timeout_number;
} fields;

q_slice q_content_type(bool msgpack)
{
    return msgpack ? Q_SLICE_LIT("application/msgpack") : Q_SLICE_LIT("application/json");
}

/* ---- topics ---- */

static bool starts_with(q_slice s, q_slice head) { return s.len >= head.len && (head.len == 0 || memcmp(s.ptr, head.ptr, head.len) == 0); }

static bool topic_valid(q_slice t)
{
    if (t.len == 0 || t.len > Q_REQUEST_MAX_TOPIC_BYTES || q_slice_eq(t, Q_SLICE_LIT(".")) || q_slice_eq(t, Q_SLICE_LIT("..")))
        return false;
    for (size_t i = 0; i < t.len; i++)
        if (!isalnum((unsigned char)t.ptr[i]) && t.ptr[i] != '.' && t.ptr[i] != '_' && t.ptr[i] != '-')
            return false;
    return true;
}

/* "<prefix>." and one of our own: a result that lands there would be read as a message of the protocol. */
static bool system_topic(q_slice prefix, q_slice t)
{
    static const char *const exact[] = { "requests", "votes", "ingest", "schemas", "dlq", "wal", "work", "reads", "changes", NULL };
    static const char *const families[] = { "work.", "reads.", "changes.", "requests.", "votes.", "ingest.", "schemas.", "dlq.", "wal.", NULL };
    if (!starts_with(t, prefix) || t.len <= prefix.len || t.ptr[prefix.len] != '.')
        return false;
    q_slice rest = { t.ptr + prefix.len + 1, t.len - prefix.len - 1 };
    for (size_t i = 0; exact[i]; i++)
        if (q_slice_eq(rest, q_slice_cstr(exact[i])))
            return true;
    for (size_t i = 0; families[i]; i++)
        if (starts_with(rest, q_slice_cstr(families[i])))
            return true;
    return false;
}

static bool matches(q_slice pattern, q_slice t)
{
    if (pattern.len && pattern.ptr[pattern.len - 1] == '*')
        return starts_with(t, (q_slice){ pattern.ptr, pattern.len - 1 });
    return q_slice_eq(pattern, t);
}

bool q_request_reply_allowed(const q_request_rules *rules, q_slice topic)
{
    if (!topic_valid(topic) || system_topic(rules->prefix, topic))
        return false;
    if (!rules->reply_allow) {
        if (!starts_with(topic, rules->prefix))
            return false;
        q_slice rest = { topic.ptr + rules->prefix.len, topic.len - rules->prefix.len };
        return starts_with(rest, Q_SLICE_LIT(".results")) || starts_with(rest, Q_SLICE_LIT(".reply."));
    }
    for (size_t i = 0; rules->reply_allow[i]; i++)
        if (matches(q_slice_cstr(rules->reply_allow[i]), topic))
            return true;
    return false;
}

/* ---- the envelope ---- */

static void read_headers(const q_request *r, fields *f)
{
    bool has_bucket = false;
    q_slice bucket = Q_SLICE_NONE;
    for (uint32_t i = 0; i < r->header_count && i < Q_REQUEST_MAX_HEADERS; i++) {
        q_slice n = r->headers[i].name, v = r->headers[i].value;
        if (q_slice_eq(n, Q_SLICE_LIT("request-id"))) {
            f->request_id = v;
            f->has_id = true;
        } else if (q_slice_eq(n, Q_SLICE_LIT("content-type"))) {
            f->content_type = v;
        } else if (q_slice_eq(n, Q_SLICE_LIT("reply-to"))) {
            f->reply_to = v;
            f->has_reply_to = true;
        } else if (q_slice_eq(n, Q_SLICE_LIT("bucket"))) {
            bucket = v;
            has_bucket = true;
        } else if (q_slice_eq(n, Q_SLICE_LIT("timeout-ms"))) {
            f->timeout = v;
        } else if (q_slice_eq(n, Q_SLICE_LIT("authorization"))) {
            f->authorization = v;
        } else if (q_slice_eq(n, Q_SLICE_LIT("traceparent"))) {
            f->trace = v;
        }
    }
    f->bucket = r->key.len || !has_bucket ? r->key : bucket;
}

static bool printable(q_slice s, size_t max)
{
    if (s.len == 0 || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7E)
            return false;
    return true;
}

/* "application/json; charset=utf-8" is application/json. */
static bool is_type(q_slice content_type, const char *type)
{
    size_t n = strlen(type);
    return content_type.len >= n && strncasecmp(content_type.ptr, type, n) == 0 &&
           (content_type.len == n || content_type.ptr[n] == ';' || content_type.ptr[n] == ' ');
}

/* ---- bodies that are maps: JSON is turned into msgpack, so that there is one reader ---- */

static q_rc malformed(q_incoming *out, q_err *err, const char *what)
{
    out->unreadable = true;
    return q_err_set(err, Q_E_REQUEST_MALFORMED, "%s", what);
}

static q_rc no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "No memory for the request."); }

static q_rc json_body(q_arena *arena, q_slice text, q_incoming *out, q_slice *packed, q_err *err)
{
    json_error_t e;
    json_t *root = json_loadb(text.ptr ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, &e);
    if (!root) {
        out->unreadable = true;
        q_err_set(err, Q_E_REQUEST_MALFORMED, "The message isn't JSON: %s (line %d, column %d).", e.text, e.line, e.column);
        return Q_FAIL;
    }
    q_buf b = Q_BUF_INIT(text.len * 9 + 64); /* the most that a byte of JSON becomes: a digit, a double */
    q_rc rc = Q_OK;
    if (!q_json_pack(root, &b))
        rc = b.failed ? no_memory(err) : malformed(out, err, "The message is nested too deeply.");
    else if (!(*packed = q_arena_copy(arena, q_buf_slice(&b))).ptr)
        rc = no_memory(err);
    q_buf_free(&b);
    json_decref(root);
    return rc;
}

static void pack(const msgpack_object *o, q_buf *out)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        q_mp_pack_nil(out);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        q_mp_bool(out, o->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        q_mp_pack_uint64(out, o->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        q_mp_pack_int64(out, o->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        q_mp_pack_double(out, o->via.f64);
        break;
    case MSGPACK_OBJECT_STR:
        q_mp_str(out, q_mp_slice(o));
        break;
    case MSGPACK_OBJECT_BIN:
        q_mp_bin(out, q_mp_slice(o));
        break;
    case MSGPACK_OBJECT_ARRAY:
        q_mp_pack_array(out, o->via.array.size);
        for (uint32_t i = 0; i < o->via.array.size; i++)
            pack(&o->via.array.ptr[i], out);
        break;
    case MSGPACK_OBJECT_MAP:
        q_mp_pack_map(out, o->via.map.size);
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            pack(&o->via.map.ptr[i].key, out);
            pack(&o->via.map.ptr[i].val, out);
        }
        break;
    default: /* an ext: something that a document can't hold, so that its validation says so */
        q_mp_bin(out, Q_SLICE_NONE);
        break;
    }
}

static q_rc document(q_arena *arena, const msgpack_object *o, q_value *out, q_err *err)
{
    q_buf b = Q_BUF_INIT((size_t)Q_MAX_DOC_BYTES * 2);
    pack(o, &b);
    q_rc rc = b.failed ? q_err_set(err, Q_E_DOCUMENT_LIMIT, "A parameter is larger than %d bytes.", Q_MAX_DOC_BYTES)
                       : q_doc_validate(q_buf_slice(&b), err);
    if (rc == Q_OK) {
        *out = (q_value){ .type = Q_T_DOC, .s = q_arena_copy(arena, q_buf_slice(&b)) };
        if (!out->s.ptr)
            rc = no_memory(err);
    }
    q_buf_free(&b);
    return rc;
}

static q_rc param_value(q_arena *arena, q_slice name, const msgpack_object *o, q_value *out, q_err *err)
{
    *out = Q_NULL;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        return Q_OK;
    case MSGPACK_OBJECT_BOOLEAN:
        *out = (q_value){ .type = Q_T_BOOL, .b = o->via.boolean };
        return Q_OK;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        out->type = Q_T_INT;
        if (q_mp_i64(o, &out->i))
            return Q_OK;
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *out = (q_value){ .type = Q_T_FLOAT, .f = o->via.f64 };
        if (isfinite(out->f))
            return Q_OK;
        break;
    case MSGPACK_OBJECT_STR:
        *out = (q_value){ .type = Q_T_STRING, .s = q_mp_slice(o) };
        if (q_utf8_valid(out->s) && out->s.len <= Q_MAX_STRING_BYTES)
            return Q_OK;
        break;
    case MSGPACK_OBJECT_BIN:
        *out = (q_value){ .type = Q_T_BYTES, .s = q_mp_slice(o) };
        return Q_OK;
    case MSGPACK_OBJECT_ARRAY:
    case MSGPACK_OBJECT_MAP:
        return document(arena, o, out, err);
    default:
        break;
    }
    return q_err_set(err, Q_E_QQL_PARAMETER, "The parameter %.*s has a value that QuantaDB has no type for.", Q_SLICE_FMT(name));
}

static q_rc read_params(q_arena *arena, const msgpack_object *o, q_incoming *out, q_err *err)
{
    if (o->type == MSGPACK_OBJECT_NIL)
        return Q_OK;
    if (o->type != MSGPACK_OBJECT_MAP)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "`params` is a map of names and values.");
    uint32_t n = o->via.map.size;
    if (n > Q_REQUEST_MAX_PARAMS)
        return q_err_set(err, Q_E_QQL_LIMIT, "The request has %u parameters; it may have %d.", n, Q_REQUEST_MAX_PARAMS);
    q_param *params = n ? Q_NEW_ARRAY(arena, q_param, n) : NULL;
    if (n && !params)
        return no_memory(err);
    for (uint32_t i = 0; i < n; i++) {
        const msgpack_object_kv *kv = &o->via.map.ptr[i];
        if (kv->key.type != MSGPACK_OBJECT_STR || !printable(q_mp_slice(&kv->key), 100))
            return q_err_set(err, Q_E_REQUEST_MALFORMED, "A parameter's name isn't a short printable text.");
        params[i].name = q_mp_slice(&kv->key);
        q_rc rc = param_value(arena, params[i].name, &kv->val, &params[i].value, err);
        if (rc != Q_OK)
            return rc;
    }
    out->params = params;
    out->param_count = n;
    return Q_OK;
}

static q_rc text_field(const msgpack_object *o, const char *name, q_slice *out, q_err *err)
{
    if (o->type != MSGPACK_OBJECT_STR)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "`%s` is a text.", name);
    *out = q_mp_slice(o);
    return Q_OK;
}

static q_rc read_field(q_arena *arena, q_slice name, const msgpack_object *o, fields *f, q_incoming *out, q_err *err)
{
    if (q_slice_eq(name, Q_SLICE_LIT("query")))
        return text_field(o, "query", &out->query, err);
    if (q_slice_eq(name, Q_SLICE_LIT("params")))
        return read_params(arena, o, out, err);
    if (q_slice_eq(name, Q_SLICE_LIT("bucket")))
        return text_field(o, "bucket", &f->bucket, err);
    if (q_slice_eq(name, Q_SLICE_LIT("request_id"))) {
        f->has_id = true;
        return text_field(o, "request_id", &f->request_id, err);
    }
    if (q_slice_eq(name, Q_SLICE_LIT("reply_to"))) {
        f->has_reply_to = true;
        return text_field(o, "reply_to", &f->reply_to, err);
    }
    if (q_slice_eq(name, Q_SLICE_LIT("authorization")))
        return text_field(o, "authorization", &f->authorization, err);
    if (q_slice_eq(name, Q_SLICE_LIT("traceparent")))
        return text_field(o, "traceparent", &f->trace, err);
    if (q_slice_eq(name, Q_SLICE_LIT("timeout_ms"))) {
        f->has_timeout_number = true;
        return q_mp_i64(o, &f->timeout_number) ? Q_OK : q_err_set(err, Q_E_REQUEST_MALFORMED, "`timeout_ms` is a whole number.");
    }
    return Q_OK; /* what a later version may know */
}

static q_rc read_map(q_arena *arena, q_slice packed, fields *f, q_incoming *out, q_err *err)
{
    q_mp_space space = { NULL, 0, arena, NULL };
    msgpack_object root;
    q_mp_result r = q_mp_unpack(&space, packed, &root);
    if (r == Q_MP_MEMORY)
        return no_memory(err);
    if (r != Q_MP_OK) {
        out->unreadable = true;
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "The message isn't msgpack: %s.", q_mp_result_text(r));
    }
    if (root.type != MSGPACK_OBJECT_MAP)
        return malformed(out, err, "The message isn't a map with a `query`.");
    /* All fields are read even when one is bad, so that the rejection goes where it should. */
    q_rc rc = Q_OK;
    bool has_query = false;
    for (uint32_t i = 0; i < root.via.map.size; i++) {
        const msgpack_object_kv *kv = &root.via.map.ptr[i];
        q_err ignored;
        if (kv->key.type == MSGPACK_OBJECT_STR) {
            has_query = has_query || q_slice_eq(q_mp_slice(&kv->key), Q_SLICE_LIT("query"));
            q_rc field = read_field(arena, q_mp_slice(&kv->key), &kv->val, f, out, rc == Q_OK ? err : &ignored);
            rc = rc == Q_OK ? field : rc;
        }
    }
    if (rc == Q_OK && !has_query)
        rc = q_err_set(err, Q_E_REQUEST_MALFORMED, "The message has no `query`.");
    return rc;
}

/* ---- the body's hash ---- */

static int by_name(const void *a, const void *b)
{
    return q_slice_cmp(((const q_param *)a)->name, ((const q_param *)b)->name);
}

/* What came before, and one parameter: each part by its own hash, so that bytes can't move from one into the other. */
static XXH128_hash_t hash_param(XXH128_hash_t before, const q_param *p)
{
    const q_value *v = &p->value;
    struct { XXH128_hash_t before, name, value; uint64_t type; } mix;
    memset(&mix, 0, sizeof mix);
    mix.before = before;
    mix.name = XXH3_128bits(p->name.ptr, p->name.len);
    mix.type = v->type;
    if (v->type == Q_T_STRING || v->type == Q_T_BYTES || v->type == Q_T_DOC)
        mix.value = XXH3_128bits(v->s.ptr ? v->s.ptr : "", v->s.len);
    else if (v->type == Q_T_INT)
        mix.value = XXH3_128bits(&v->i, sizeof v->i);
    else if (v->type == Q_T_FLOAT)
        mix.value = XXH3_128bits(&v->f, sizeof v->f);
    else if (v->type == Q_T_BOOL)
        mix.value = XXH3_128bits(&v->b, sizeof v->b);
    return XXH3_128bits(&mix, sizeof mix);
}

/* The statement as it came, and the parameters in the order of their names: a client may write its map in any order. XXH3: whoever
 * makes two bodies collide under his own request id fools only himself; the identity, which others share, is BLAKE2b. */
static q_rc hash_body(q_arena *arena, q_incoming *out, q_err *err)
{
    XXH128_hash_t hash = XXH3_128bits(out->query.ptr ? out->query.ptr : "", out->query.len);
    if (out->param_count) {
        q_param *sorted = Q_NEW_ARRAY(arena, q_param, out->param_count);
        if (!sorted)
            return no_memory(err);
        memcpy(sorted, out->params, out->param_count * sizeof *sorted);
        qsort(sorted, out->param_count, sizeof *sorted, by_name);
        for (uint32_t i = 0; i < out->param_count; i++)
            hash = hash_param(hash, &sorted[i]);
    }
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, hash);
    memcpy(out->body_hash, c.digest, sizeof out->body_hash);
    return Q_OK;
}

/* ---- all of it ---- */

static q_rc take_id(q_arena *arena, const fields *f, q_incoming *out, q_err *err)
{
    if (!f->has_id)
        return Q_OK;
    if (!printable(f->request_id, Q_REQUEST_MAX_ID_BYTES))
        return q_err_set(err, Q_E_REQUEST_ID_INVALID, "A request id is 1 to %d printable ASCII characters.", Q_REQUEST_MAX_ID_BYTES);
    out->request_id = q_arena_copy(arena, f->request_id);
    return out->request_id.ptr ? Q_OK : no_memory(err);
}

static q_rc take_reply_topic(q_arena *arena, const q_request_rules *rules, const fields *f, q_incoming *out, q_err *err)
{
    if (!f->has_reply_to)
        return Q_OK;
    if (!q_request_reply_allowed(rules, f->reply_to))
        return q_err_set(err, Q_E_REPLY_TO_FORBIDDEN, "Results can't be sent to the topic that reply-to names.");
    out->reply_topic = q_arena_copy(arena, f->reply_to);
    return out->reply_topic.ptr ? Q_OK : no_memory(err);
}

static q_rc take_timeout(const q_request_rules *rules, const fields *f, q_incoming *out, q_err *err)
{
    int64_t ms = rules->default_timeout_ms;
    if (f->has_timeout_number) {
        ms = f->timeout_number;
    } else if (f->timeout.len) {
        ms = 0;
        for (size_t i = 0; i < f->timeout.len; i++) {
            if (f->timeout.ptr[i] < '0' || f->timeout.ptr[i] > '9' || i >= 15)
                return q_err_set(err, Q_E_REQUEST_MALFORMED, "timeout-ms is a whole number of milliseconds.");
            ms = ms * 10 + (f->timeout.ptr[i] - '0');
        }
    }
    if (ms < 1)
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "timeout-ms is at least 1.");
    out->timeout_ms = ms > rules->max_timeout_ms ? rules->max_timeout_ms : (uint32_t)ms;
    return Q_OK;
}

static q_rc take_bucket(q_arena *arena, const fields *f, q_incoming *out, q_err *err)
{
    if (f->bucket.len > Q_REQUEST_MAX_BUCKET_BYTES || !q_utf8_valid(f->bucket))
        return q_err_set(err, Q_E_UNKNOWN_BUCKET, "The request's key or bucket isn't a bucket's name.");
    out->bucket = q_arena_copy(arena, f->bucket);
    return out->bucket.ptr ? Q_OK : no_memory(err);
}

static q_rc take_principal(q_arena *arena, const q_request_rules *rules, const fields *f, q_incoming *out, q_err *err)
{
    out->who = (q_principal){ .name = Q_SLICE_LIT("anonymous"), .all = !rules->authenticate };
    q_asking asking = { f->authorization, rules->catalog, rules->now_us };
    q_rc rc = rules->authenticate ? rules->authenticate(rules->auth_ctx, arena, &asking, &out->who, err) : Q_OK;
    if (rc != Q_OK)
        out->who = (q_principal){ .name = Q_SLICE_LIT("anonymous") };
    out->principal = out->who.name;
    return rc;
}

static void keep_first(q_rc *rc, q_rc next, q_err *err, const q_err *next_err)
{
    if (*rc == Q_OK && next != Q_OK) {
        *rc = next;
        *err = *next_err;
    }
}

q_rc q_request_read(q_arena *arena, const q_request_rules *rules, const q_request *r, q_incoming *out, q_err *err)
{
    fields f = { 0 };
    q_err e; /* set by whoever fails */
    q_slice packed;
    *out = (q_incoming){ .reply_topic = rules->results, .timeout_ms = rules->default_timeout_ms };
    read_headers(r, &f);
    bool json = is_type(f.content_type, "application/json");
    out->msgpack = is_type(f.content_type, "application/msgpack");

    q_rc rc = Q_OK;
    if (r->value.len > rules->max_bytes)
        rc = q_err_set(err, Q_E_REQUEST_TOO_LARGE, "The message has %zu bytes; it may have %u.", r->value.len, rules->max_bytes);
    else if (json)
        rc = json_body(arena, r->value, out, &packed, err);
    else if (out->msgpack && !(packed = q_arena_copy(arena, r->value)).ptr)
        rc = no_memory(err);
    if (rc == Q_OK && (json || out->msgpack))
        rc = read_map(arena, packed, &f, out, err);
    else if (rc == Q_OK)
        out->query = r->value;

    /* The first error is told, but all of the envelope is read: id and topic are where the rejection goes. */
    keep_first(&rc, take_id(arena, &f, out, &e), err, &e);
    keep_first(&rc, take_reply_topic(arena, rules, &f, out, &e), err, &e);
    keep_first(&rc, take_bucket(arena, &f, out, &e), err, &e);
    keep_first(&rc, take_timeout(rules, &f, out, &e), err, &e);
    out->id_by_place = !out->request_id.ptr;
    if (out->id_by_place)
        out->request_id = q_arena_printf(arena, "%.*s-%d-%lld", Q_SLICE_FMT(rules->topic), r->partition, (long long)r->offset);
    if (!out->request_id.ptr)
        keep_first(&rc, no_memory(&e), err, &e);
    if (printable(f.trace, Q_REQUEST_MAX_TRACE_BYTES))
        out->trace = q_arena_copy(arena, f.trace);
    if (rc == Q_OK)
        rc = take_principal(arena, rules, &f, out, err);
    if (rc == Q_OK)
        rc = hash_body(arena, out, err);
    return rc;
}
