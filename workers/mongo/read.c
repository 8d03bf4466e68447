/* Reads: a single batch each, the next page by _id, so that a killed reader leaves no cursor behind. Conjuncts are handed over only
 * where MongoDB finds at least what SQL's comparison does; the coordinator evaluates the whole WHERE again. */
#include "workers/mongo/internal.h"

#include <stdio.h>

/* "attr" or "attr.key.0"; false when a key isn't stored as it is, or is too long for it. */
static bool path_of(const q_pred *p, char *out, size_t size)
{
    int n = snprintf(out, size, "%.*s", Q_SLICE_FMT(p->attr));
    for (uint32_t i = 0; i < p->step_count; i++) {
        if (memchr(p->steps[i].ptr, '.', p->steps[i].len) || memchr(p->steps[i].ptr, '%', p->steps[i].len) || !p->steps[i].len ||
            p->steps[i].ptr[0] == '$' || n + (int)p->steps[i].len + 2 > (int)size)
            return false; /* stored escaped: left to the coordinator */
        n += snprintf(out + n, size - (size_t)n, ".%.*s", Q_SLICE_FMT(p->steps[i]));
    }
    return true;
}

static void add_pred(bson_t *all, uint32_t *count, const q_pred *p)
{
    static const char *const ops[] = { [Q_C_EQ] = "$eq", [Q_C_LT] = "$lt", [Q_C_LE] = "$lte", [Q_C_GT] = "$gt", [Q_C_GE] = "$gte" };
    char path[512], index[16], key[16];
    bson_t one = BSON_INITIALIZER, compare = BSON_INITIALIZER, array = BSON_INITIALIZER;
    bool ok = path_of(p, path, sizeof path);
    if (p->op == Q_C_IN) {
        for (uint32_t i = 0; ok && i < p->count; i++) {
            snprintf(index, sizeof index, "%u", i);
            ok = mg_append_scalar(&array, index, &p->values[i]);
        }
        ok = ok && BSON_APPEND_ARRAY(&compare, "$in", &array);
    } else if (p->op == Q_C_NOT_NULL) {
        ok = ok && BSON_APPEND_NULL(&compare, "$ne");
    } else {
        ok = ok && p->op < sizeof ops / sizeof ops[0] && ops[p->op] && p->count == 1 && mg_append_scalar(&compare, ops[p->op], &p->values[0]);
    }
    if (ok && BSON_APPEND_DOCUMENT(&one, path, &compare)) {
        snprintf(key, sizeof key, "%u", (*count)++);
        BSON_APPEND_DOCUMENT(all, key, &one);
    }
    bson_destroy(&one);
    bson_destroy(&compare);
    bson_destroy(&array);
}

static bool build_filter(const q_read *r, bson_t *filter)
{
    bson_t range, all = BSON_INITIALIZER;
    uint32_t preds = 0;
    bool ok = true;
    if (r->has_after) {
        BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &range);
        ok = mg_append_id(&range, "$gt", &r->after);
        bson_append_document_end(filter, &range);
    }
    BSON_APPEND_DOCUMENT_BEGIN(filter, "_q_seq", &range);
    BSON_APPEND_INT64(&range, "$gte", (int64_t)r->incarnation);
    bson_append_document_end(filter, &range);
    BSON_APPEND_DOCUMENT_BEGIN(filter, "_q_dead", &range);
    BSON_APPEND_BOOL(&range, "$exists", false);
    bson_append_document_end(filter, &range);
    for (uint32_t i = 0; i < r->pred_count; i++)
        add_pred(&all, &preds, &r->preds[i]);
    if (preds)
        ok = ok && BSON_APPEND_ARRAY(filter, "$and", &all);
    bson_destroy(&all);
    return ok;
}

static void append_projection(bson_t *to, const q_read *r)
{
    BSON_APPEND_INT32(to, "_q_seq", 1);
    BSON_APPEND_INT32(to, "_q_birth", 1);
    BSON_APPEND_INT32(to, "_q_dead", 1);
    for (uint32_t i = 0; i < r->attr_count; i++)
        bson_append_int32(to, r->attrs[i].ptr, (int)r->attrs[i].len, 1);
}

static q_rc take_row(q_arena *arena, const bson_t *doc, const q_read *r, q_row *row, size_t *bytes, q_err *err)
{
    bson_iter_t it;
    q_value *values = Q_NEW_ARRAY(arena, q_value, r->attr_count);
    q_rc rc = values ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    if (rc == Q_OK)
        rc = bson_iter_init_find(&it, doc, "_id") ? mg_id(arena, &it, &row->id, err) : q_err_set(err, Q_E_CHANGED_OUTSIDE, "mongo: no _id");
    for (uint32_t a = 0; rc == Q_OK && a < r->attr_count; a++) {
        char name[Q_MAX_NAME_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", Q_SLICE_FMT(r->attrs[a]));
        if (bson_iter_init_find(&it, doc, name) && !BSON_ITER_HOLDS_NULL(&it))
            rc = mg_doc(arena, &it, &values[a], err);
    }
    if (rc != Q_OK)
        return rc;
    *bytes += doc->len; /* BSON is the larger form: the bound also keeps a page below what the server puts into one batch */
    row->seq = mg_number(doc, "_q_seq");
    row->birth = mg_number(doc, "_q_birth");
    row->values = values;
    return Q_OK;
}

typedef struct taking { q_arena *arena; const q_read *read; q_rows *out; q_row *rows; size_t cap, bytes; } taking;

/* One document becomes a row; Q_END: a scan's page is full without it. */
static q_rc take(void *ctx, const bson_t *doc, q_err *err)
{
    taking *t = ctx;
    const q_read *r = t->read;
    q_stored stored = mg_stored_of(doc);
    bool scan = r->kind == Q_R_SCAN;
    if (!q_rule_visible(&stored, r->incarnation))
        return Q_OK;
    if (scan && t->out->count == r->limit) {
        t->out->more = true;
        return Q_END;
    }
    if (t->out->count == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 16;
        q_row *more = Q_NEW_ARRAY(t->arena, q_row, cap);
        if (!more)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
        if (t->out->count)
            memcpy(more, t->rows, t->out->count * sizeof *more);
        t->rows = more;
        t->cap = cap;
    }
    q_rc rc = take_row(t->arena, doc, r, &t->rows[t->out->count], &t->bytes, err);
    if (rc == Q_OK && t->bytes > Q_READ_MAX_BYTES && !scan)
        return q_err_set(err, Q_E_RESULT_TOO_LARGE, "the rows read are larger than %d bytes", Q_READ_MAX_BYTES);
    if (rc == Q_OK && t->bytes > Q_READ_MAX_BYTES && t->out->count > 0) {
        t->out->more = true;
        return Q_END;
    }
    if (rc == Q_OK)
        t->out->count++;
    return rc;
}

static q_rc read_ids(q_engine *e, mongoc_collection_t *c, taking *t, q_err *err)
{
    const q_read *r = t->read;
    bson_t projection = BSON_INITIALIZER;
    const q_value **ids = Q_NEW_ARRAY(t->arena, const q_value *, r->id_count + 1);
    if (!ids)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    for (uint32_t i = 0; i < r->id_count; i++)
        ids[i] = &r->ids[i];
    append_projection(&projection, r);
    q_rc rc = mg_find_ids(e, c, ids, mg_distinct(ids, r->id_count), &projection, take, t, err);
    bson_destroy(&projection);
    return rc;
}

/* A server answers one batch of at most 16 MB, which is more than a page has: what it held back comes with the next page. */
static q_rc scan(mongoc_collection_t *c, taking *t, q_err *err)
{
    const q_read *r = t->read;
    bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER, child;
    bson_error_t error;
    const bson_t *doc;
    q_rc rc = build_filter(r, &filter) ? Q_OK : q_err_set(err, Q_E_INTERNAL, "mongo: an id that can't be BSON");
    BSON_APPEND_INT64(&opts, "limit", (int64_t)r->limit + 1);
    BSON_APPEND_INT64(&opts, "batchSize", (int64_t)r->limit + 1);
    BSON_APPEND_BOOL(&opts, "singleBatch", true);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "projection", &child);
    append_projection(&child, r);
    bson_append_document_end(&opts, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&opts, "sort", &child);
    BSON_APPEND_INT32(&child, "_id", 1);
    bson_append_document_end(&opts, &child);
    if (rc == Q_OK) {
        mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, &filter, &opts, NULL);
        while (rc == Q_OK && mongoc_cursor_next(cursor, &doc))
            rc = take(t, doc, err);
        if (rc == Q_END)
            rc = Q_OK;
        if (rc == Q_OK && mongoc_cursor_error(cursor, &error))
            rc = mg_error(&error, "reading", err);
        mongoc_cursor_destroy(cursor);
    }
    bson_destroy(&filter);
    bson_destroy(&opts);
    return rc;
}

q_rc mg_read(q_engine *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    if (read->kind == Q_R_REFERRERS)
        return q_err_set(err, Q_E_INTERNAL, "MongoDB holds no relations");
    *out = (q_rows){ .read_id = read->read_id, .attr_count = read->attr_count };
    taking t = { .arena = arena, .read = read, .out = out };
    mongoc_collection_t *c = mg_collection(e, read->bucket, read->record);
    q_rc rc = read->kind == Q_R_IDS ? read_ids(e, c, &t, err) : scan(c, &t, err);
    mongoc_collection_destroy(c);
    out->rows = t.rows;
    return rc;
}
