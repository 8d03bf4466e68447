/* op_names.c - what of a request becomes text of a statement: names, checked; ids as parameters. */
#include "gateway/op_names.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <xxhash.h>

/* ---- hints: a lossy table of hashes ---- */

enum { HINTS = 4096 };
struct q_id_hints { _Atomic uint64_t slots[HINTS]; };

q_id_hints *q_id_hints_new(void) { return calloc(1, sizeof(q_id_hints)); }
void q_id_hints_free(q_id_hints *h) { free(h); }

static uint64_t hash_of(const q_gate_op *op)
{
    return XXH3_64bits_withSeed(op->match.record.ptr, op->match.record.len, XXH3_64bits(op->match.bucket.ptr, op->match.bucket.len)) | 1;
}

static bool hinted(const q_gate_op *op)
{
    uint64_t hash = hash_of(op);
    return op->hints && atomic_load_explicit(&op->hints->slots[(hash >> 1) % HINTS], memory_order_relaxed) == hash;
}

static void hint(const q_gate_op *op, bool is_int)
{
    uint64_t hash = hash_of(op);
    if (op->hints)
        atomic_store_explicit(&op->hints->slots[(hash >> 1) % HINTS], is_int ? hash : 0, memory_order_relaxed);
}

/* ---- ids ---- */

static bool as_int(q_slice s, int64_t *out)
{
    char text[24], again[24];
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    *out = strtoll(text, NULL, 10);
    snprintf(again, sizeof again, "%" PRId64, *out);
    return !strcmp(text, again); /* only the canonical one: "007" is a text */
}

void q_op_id_begin(q_gate_op *op)
{
    int64_t n;
    op->id_is_int = as_int(op->match.id, &n) && hinted(op);
}

void q_op_id_add(q_gate_op *op, q_message_draft *d)
{
    int64_t n;
    if (op->id_is_int && as_int(op->match.id, &n))
        q_draft_int(d, n);
    else
        q_draft_string(d, op->match.id);
}

bool q_op_id_turn(q_gate_op *op, q_err *err)
{
    int64_t n;
    if (op->id_turned) {
        /* Both readings were refused: one may be the id's fault, which stands last in the statement; the other is the user's. */
        if (op->first_refusal.code == Q_E_QQL_TYPE && err->code == Q_E_QQL_TYPE && op->first_refusal.line == err->line &&
            op->first_refusal.column < err->column)
            *err = op->first_refusal;
        return false;
    }
    if (err->code != Q_E_QQL_TYPE || !as_int(op->match.id, &n))
        return false;
    op->first_refusal = *err;
    op->id_turned = true;
    op->id_is_int = !op->id_is_int;
    return true;
}

void q_op_id_was_right(q_gate_op *op)
{
    if (op->id_turned)
        hint(op, op->id_is_int);
}

bool q_op_id_same(const q_gate_op *op, const json_t *id)
{
    int64_t n;
    if (json_is_integer(id))
        return as_int(op->match.id, &n) && json_integer_value(id) == n;
    return json_is_string(id) && q_slice_eq(op->match.id, q_slice_of(json_string_value(id), json_string_length(id)));
}

/* ---- names ---- */

static bool word(q_slice s)
{
    if (!s.len || s.len > 64 || (s.ptr[0] >= '0' && s.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

q_rc q_op_attribute(q_message_draft *d, q_slice name, bool path, q_err *err)
{
    const char *dot = path && name.len ? memchr(name.ptr, '.', name.len) : NULL;
    q_slice first = { name.ptr, dot ? (size_t)(dot - name.ptr) : name.len };
    if (!q_route_name(first))
        return q_err_set(err, Q_E_UNKNOWN_ATTRIBUTE, "No attribute can be called \"%.*s\".", (int)(name.len < 60 ? name.len : 60), name.ptr);
    q_draft_name(d, first);
    q_slice rest = dot ? (q_slice){ dot, name.len - first.len } : Q_SLICE_NONE;
    while (rest.len) { /* ".a.b" */
        const char *next = memchr(rest.ptr + 1, '.', rest.len - 1);
        q_slice step = { rest.ptr + 1, (next ? (size_t)(next - rest.ptr) : rest.len) - 1 };
        if (!word(step)) {
            q_err_set(err, Q_E_REQUEST_MALFORMED, "A path is names with dots between them.");
            q_err_hint(err, "Other keys of documents are written [\"key\"] in POST …/query.");
            return Q_FAIL;
        }
        q_buf_add_byte(&d->query, '.');
        q_buf_add_slice(&d->query, step);
        rest = next ? (q_slice){ next, rest.len - step.len - 1 } : Q_SLICE_NONE;
    }
    return Q_OK;
}

/* ---- entity tags: the _q_seq in quotation marks ---- */

/* Cuts the first tag of the list: its inside, or false when it isn't one. */
static bool next_tag(q_slice *rest, q_slice *tag, bool *weak)
{
    while (rest->len && (*rest->ptr == ' ' || *rest->ptr == ',' || *rest->ptr == '\t'))
        *rest = (q_slice){ rest->ptr + 1, rest->len - 1 };
    *weak = rest->len > 2 && rest->ptr[0] == 'W' && rest->ptr[1] == '/';
    q_slice s = *weak ? (q_slice){ rest->ptr + 2, rest->len - 2 } : *rest;
    const char *end = s.len > 1 && s.ptr[0] == '"' ? memchr(s.ptr + 1, '"', s.len - 1) : NULL;
    if (!end)
        return false;
    *tag = (q_slice){ s.ptr + 1, (size_t)(end - s.ptr) - 1 };
    *rest = (q_slice){ end + 1, s.len - tag->len - 2 };
    return true;
}

q_rc q_op_if_match(const q_gate_op *op, q_message_draft *d, q_err *err)
{
    q_slice rest = op->request->if_match, tag;
    bool weak;
    int64_t seq;
    if (!rest.ptr || q_slice_eq(rest, Q_SLICE_LIT("*")))
        return Q_OK;
    q_draft_text(d, " AND _q_seq IN (-1"); /* a tag that isn't one of ours matches nothing; a weak one never does */
    for (int n = 0; rest.len; n++) {
        if (!next_tag(&rest, &tag, &weak) || n == 64)
            return q_err_set(err, Q_E_REQUEST_MALFORMED, "If-Match is * or a list of at most 64 entity tags in quotation marks.");
        if (!weak && as_int(tag, &seq)) {
            q_draft_text(d, ", ");
            q_draft_int(d, seq);
        }
    }
    q_draft_text(d, ")");
    return Q_OK;
}

bool q_op_none_match(const q_gate_op *op, q_slice etag)
{
    q_slice rest = op->request->if_none_match, tag, own = { etag.ptr + 1, etag.len - 2 };
    bool weak;
    if (q_slice_eq(rest, Q_SLICE_LIT("*")))
        return true;
    while (rest.len && next_tag(&rest, &tag, &weak))
        if (q_slice_eq(tag, own))
            return true;
    return false;
}

/* ---- what leaves ---- */

q_slice q_op_encode(q_arena *arena, q_slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = q_arena_alloc(arena, text.len * 3 + 1);
    size_t n = 0;
    if (!to)
        return Q_SLICE_NONE;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            to[n++] = (char)c;
        } else {
            to[n++] = '%';
            to[n++] = digits[c >> 4];
            to[n++] = digits[c & 15];
        }
    }
    to[n] = '\0';
    return (q_slice){ to, n };
}

/* A cursor is the last id as JSON, so that its type comes back with it. */
void q_op_cursor_write(yajl_val id, q_buf *out)
{
    q_buf json = Q_BUF_INIT((size_t)4096);
    q_result_write(id, &json);
    size_t room = sodium_base64_encoded_len(json.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *at = json.failed ? NULL : q_buf_reserve(out, room);
    if (at) {
        sodium_bin2base64(at, room, (const unsigned char *)json.ptr, json.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        out->len += room - 1;
    } else {
        out->failed = true;
    }
    q_buf_free(&json);
}

json_t *q_op_cursor_read(q_slice text)
{
    unsigned char bytes[1024];
    size_t n;
    if (text.len > sizeof bytes ||
        sodium_base642bin(bytes, sizeof bytes, text.ptr ? text.ptr : "", text.len, NULL, &n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return NULL;
    json_t *id = json_loadb((const char *)bytes, n, JSON_DECODE_ANY, NULL);
    if (json_is_string(id) || json_is_integer(id))
        return id;
    json_decref(id);
    return NULL;
}
