/* Documents by their ids: one query with $in.
 *
 * FerretDB 1.24 on SQLite has no index for any query (its index on _id is over another expression than its queries), but where the filter is
 * nothing but one string _id, SQLite does the reading, some ten times faster than FerretDB itself does it for $in. So a few string ids are
 * asked for one by one there. Each query is a single batch: a cursor left open by a killed client wedges FerretDB for good. */
#include "workers/mongo/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { IDS_PER_QUERY = 1000, ONE_BY_ONE_MAX = 8 };

static q_rc run(mongoc_collection_t *c, const bson_t *filter, const bson_t *projection, size_t most, mg_visit *visit, void *ctx, q_err *err)
{
    bson_t opts = BSON_INITIALIZER;
    bson_error_t error;
    const bson_t *doc;
    q_rc rc = Q_OK;
    BSON_APPEND_INT64(&opts, "limit", (int64_t)most);
    BSON_APPEND_INT64(&opts, "batchSize", (int64_t)most);
    BSON_APPEND_BOOL(&opts, "singleBatch", true);
    if (projection)
        BSON_APPEND_DOCUMENT(&opts, "projection", projection);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, filter, &opts, NULL);
    while (rc == Q_OK && mongoc_cursor_next(cursor, &doc))
        rc = visit(ctx, doc, err);
    if (rc == Q_OK && mongoc_cursor_error(cursor, &error))
        rc = mg_error(&error, "reading", err);
    mongoc_cursor_destroy(cursor);
    bson_destroy(&opts);
    return rc;
}

static q_rc find_one(mongoc_collection_t *c, const q_value *id, const bson_t *projection, mg_visit *visit, void *ctx, q_err *err)
{
    bson_t filter = BSON_INITIALIZER;
    q_rc rc = mg_append_id(&filter, "_id", id) ? Q_OK : q_err_set(err, Q_E_INTERNAL, "mongo: an id that can't be BSON");
    if (rc == Q_OK)
        rc = run(c, &filter, projection, 1, visit, ctx, err);
    bson_destroy(&filter);
    return rc;
}

q_rc mg_find_all(mongoc_collection_t *c, const q_value *const *ids, size_t n, const bson_t *projection, mg_visit *visit, void *ctx, q_err *err)
{
    bson_t filter = BSON_INITIALIZER, in, array;
    bool ok = true;
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &array);
    for (size_t i = 0; ok && i < n; i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        ok = mg_append_id(&array, key, ids[i]);
    }
    bson_append_array_end(&in, &array);
    bson_append_document_end(&filter, &in);
    q_rc rc = ok ? run(c, &filter, projection, n, visit, ctx, err) : q_err_set(err, Q_E_INTERNAL, "mongo: an id that can't be BSON");
    bson_destroy(&filter);
    return rc;
}

q_rc mg_find_ids(q_engine *e, mongoc_collection_t *c, const q_value *const *ids, size_t n, const bson_t *projection, mg_visit *visit, void *ctx, q_err *err)
{
    q_rc rc = Q_OK;
    bool one_by_one = n == 1 || (e->scans && n <= ONE_BY_ONE_MAX);
    for (size_t i = 0; one_by_one && i < n; i++)
        one_by_one = n == 1 || ids[i]->type == Q_T_STRING;
    for (size_t i = 0; one_by_one && rc == Q_OK && i < n; i++)
        rc = find_one(c, ids[i], projection, visit, ctx, err);
    for (size_t i = 0; !one_by_one && rc == Q_OK && i < n; i += IDS_PER_QUERY)
        rc = mg_find_all(c, ids + i, n - i < IDS_PER_QUERY ? n - i : IDS_PER_QUERY, projection, visit, ctx, err);
    return rc;
}

/* ---- sets of ids ---- */

int mg_id_order(const void *va, const void *vb)
{
    const q_value *a = *(const q_value *const *)va, *b = *(const q_value *const *)vb;
    return a->type != b->type ? (a->type > b->type) - (a->type < b->type) : q_value_cmp(a, b);
}

size_t mg_distinct(const q_value **ids, size_t n)
{
    size_t unique = 0;
    qsort(ids, n, sizeof *ids, mg_id_order);
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || mg_id_order(&ids[unique - 1], &ids[i]) != 0)
            ids[unique++] = ids[i];
    return unique;
}

/* ---- what is stored ---- */

uint64_t mg_number(const bson_t *doc, const char *name)
{
    bson_iter_t it;
    return bson_iter_init_find(&it, doc, name) ? (uint64_t)bson_iter_as_int64(&it) : 0;
}

q_stored mg_stored_of(const bson_t *doc)
{
    bson_iter_t it;
    bool dead = bson_iter_init_find(&it, doc, "_q_dead") && bson_iter_as_bool(&it);
    return (q_stored){ .present = true, .dead = dead, .seq = mg_number(doc, "_q_seq"), .birth = mg_number(doc, "_q_birth") };
}

typedef struct lookup { q_arena *arena; const q_value **ids; size_t n; q_stored *found; } lookup;

static q_rc take_stored(void *ctx, const bson_t *doc, q_err *err)
{
    lookup *l = ctx;
    bson_iter_t it;
    q_value id;
    q_err not_ours = Q_ERR_INIT; /* such an _id equals none of ours */
    (void)err;
    if (!bson_iter_init_find(&it, doc, "_id") || mg_id(l->arena, &it, &id, &not_ours) != Q_OK)
        return Q_OK;
    const q_value *key = &id, **at = bsearch(&key, l->ids, l->n, sizeof *l->ids, mg_id_order);
    if (at)
        l->found[at - l->ids] = mg_stored_of(doc);
    return Q_OK;
}

q_rc mg_stored(q_engine *e, q_arena *arena, mongoc_collection_t *c, const q_value *const *ids, size_t n, q_stored *out, q_err *err)
{
    lookup l = { .arena = arena, .ids = Q_NEW_ARRAY(arena, const q_value *, n + 1), .found = Q_NEW_ARRAY(arena, q_stored, n + 1) };
    if (!l.ids || !l.found)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    memcpy(l.ids, ids, n * sizeof *ids);
    l.n = mg_distinct(l.ids, n);
    bson_t projection = BSON_INITIALIZER;
    BSON_APPEND_INT32(&projection, "_q_seq", 1);
    BSON_APPEND_INT32(&projection, "_q_birth", 1);
    BSON_APPEND_INT32(&projection, "_q_dead", 1);
    q_rc rc = mg_find_ids(e, c, l.ids, l.n, &projection, take_stored, &l, err);
    bson_destroy(&projection);
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        const q_value **at = bsearch(&ids[i], l.ids, l.n, sizeof *l.ids, mg_id_order);
        out[i] = l.found[at - l.ids];
    }
    return rc;
}
