/* Prepare and commit. A prepare checks and writes nothing. A commit inserts what is new without looking, reads what is stored of the other
 * keys, decides by workers/rules.h, and writes with one bulk per collection. Each update's filter has the seq check again where the server
 * compares and sets atomically: a zombie's late write meets it there. */
#include "base/failpoint.h"
#include "workers/mongo/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { FLUSH_ITEMS = 5000 };

/* ---- a batch's items, by collection ---- */

typedef struct work { q_slice bucket; uint64_t bucket_incarnation; const q_item *item; uint64_t seq; size_t txn; uint32_t index; } work;

static bool same_collection(const work *a, const work *b)
{
    return q_slice_eq(a->bucket, b->bucket) && q_slice_eq(a->item->record, b->item->record);
}

static int by_collection(const void *va, const void *vb)
{
    const work *a = va, *b = vb;
    int c = q_slice_cmp(a->bucket, b->bucket);
    if (!c)
        c = q_slice_cmp(a->item->record, b->item->record);
    if (!c)
        c = (a->seq > b->seq) - (a->seq < b->seq);
    return c ? c : (a->index > b->index) - (a->index < b->index);
}

/* Is it of a bucket or a record that was dropped or created anew since? */
static bool older_life(const mg_known *known, const work *w)
{
    return q_rule_stale_incarnation(&known->bucket, w->bucket_incarnation) || q_rule_stale_incarnation(&known->record, w->item->incarnation);
}

/* The stored state of n items, all of one collection. */
static q_rc look(q_engine *e, q_arena *arena, mongoc_collection_t *c, const work *first, size_t n, q_stored *stored, q_err *err)
{
    const q_value **ids = Q_NEW_ARRAY(arena, const q_value *, n);
    if (!ids)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++)
        ids[i] = &first[i].item->id;
    return mg_stored(e, arena, c, ids, n, stored, err);
}

/* The epoch, and the names of a collection. */
static q_rc look_at_names(q_engine *e, uint64_t epoch, const work *one, mg_known *known, q_err *err)
{
    q_rc rc = mg_look_up(e, one->bucket, one->item->record, known, err);
    return rc == Q_OK ? mg_refuse_lower(&known->state, epoch, err) : rc;
}

/* ---- prepare ---- */

static const char *refused(const q_item *item)
{
    for (uint32_t i = 0; i < item->count; i++) {
        const q_value *v = &item->fields[i].value;
        if (!q_rule_type_fits(Q_EN_MONGO, v->type))
            return "MongoDB serves documents only";
        if (v->type == Q_T_DOC && v->s.len > Q_MAX_DOC_BYTES)
            return "the document is larger than 1 MiB";
    }
    return NULL;
}

static void say_no(q_vote *vote, q_no no, uint32_t item, const char *text)
{
    if (vote->no != Q_NO_NONE)
        return;
    vote->no = no;
    vote->item = item;
    vote->text = q_slice_cstr(text);
}

/* Can what is stored change the vote? A write without preconditions asks only whether its seq is the newest. What is stored of a higher seq
 * while applied_high is still lower is of a batch whose marks are on their way: a later transaction of this key is applied there, or this one
 * itself, so this one has ended and nobody waits for the vote. */
static bool needs_look(const q_item *item, uint64_t seq, const q_engine_state *state) { return item->pre || seq <= state->applied_high; }

/* Votes on items of one collection. */
static q_rc vote_group(q_engine *e, q_arena *arena, uint64_t epoch, const work *first, size_t n, q_vote *votes, q_err *err)
{
    q_stored *stored = Q_NEW_ARRAY(arena, q_stored, n), *found = Q_NEW_ARRAY(arena, q_stored, n);
    work *asked = Q_NEW_ARRAY(arena, work, n);
    size_t *place = Q_NEW_ARRAY(arena, size_t, n), count = 0;
    mg_known known;
    if (!stored || !found || !asked || !place)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_rc rc = look_at_names(e, epoch, first, &known, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        stored[i] = (q_stored){ 0 };
        if (!needs_look(first[i].item, first[i].seq, &known.state))
            continue;
        place[count] = i;
        asked[count++] = first[i];
    }
    mongoc_collection_t *c = mg_collection(e, first->bucket, first->item->record);
    if (rc == Q_OK && count)
        rc = look(e, arena, c, asked, count, found, err);
    mongoc_collection_destroy(c);
    for (size_t i = 0; rc == Q_OK && i < count; i++)
        stored[place[i]] = found[i];
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        const char *why = refused(first[i].item);
        q_no no = older_life(&known, &first[i]) ? Q_NO_STALE : q_rule_vote(&stored[i], first[i].item, first[i].seq, 0);
        if (why)
            say_no(&votes[first[i].txn], Q_NO_REFUSED, first[i].index, why);
        else if (no != Q_NO_NONE)
            say_no(&votes[first[i].txn], no, first[i].index, "");
    }
    return rc;
}

static q_rc vote_ddl(q_engine *e, uint64_t epoch, const q_item *item, uint64_t seq, uint32_t index, q_vote *vote, q_err *err)
{
    bool bucket = item->ddl.kind == Q_DDL_CREATE_BUCKET || item->ddl.kind == Q_DDL_DROP_BUCKET;
    mg_known known;
    q_rc rc = mg_look_up(e, item->ddl.bucket, bucket ? Q_SLICE_NONE : item->ddl.record, &known, err);
    if (rc == Q_OK)
        rc = mg_refuse_lower(&known.state, epoch, err);
    if (rc == Q_OK && q_rule_vote_ddl(bucket ? &known.bucket : &known.record, seq) != Q_NO_NONE)
        say_no(vote, Q_NO_STALE, index, "");
    return rc;
}

q_rc mg_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err)
{
    size_t count = 0, total = 0;
    q_writes *all = Q_NEW_ARRAY(arena, q_writes, n);
    q_rc rc = all ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        q_err bad = Q_ERR_INIT;
        votes[i] = (q_vote){ .seq = txns[i].seq };
        if (q_writes_decode(arena, txns[i].writes, &all[i], &bad) != Q_OK) {
            all[i].count = 0;
            votes[i].no = Q_NO_REFUSED;
            votes[i].text = q_arena_copy(arena, q_slice_cstr(bad.message));
        }
        total += all[i].count;
    }
    if (rc == Q_OK && total == 0) /* otherwise it comes with the names */
        rc = mg_check_epoch(e, epoch, err);
    work *list = rc == Q_OK ? Q_NEW_ARRAY(arena, work, total + 1) : NULL;
    if (rc == Q_OK && !list)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        for (uint32_t k = 0; rc == Q_OK && k < all[i].count; k++) {
            if (all[i].items[k].op == Q_I_DDL)
                rc = vote_ddl(e, epoch, &all[i].items[k], txns[i].seq, k, &votes[i], err);
            else
                list[count++] = (work){ all[i].bucket, all[i].bucket_incarnation, &all[i].items[k], txns[i].seq, i, k };
        }
    if (rc == Q_OK && count)
        qsort(list, count, sizeof *list, by_collection);
    for (size_t from = 0, to; rc == Q_OK && from < count; from = to) {
        for (to = from + 1; to < count && same_collection(&list[from], &list[to]);)
            to++;
        rc = vote_group(e, arena, epoch, &list[from], to - from, votes, err);
    }
    return rc;
}

/* ---- commit ---- */

static bool append_part(bson_t *doc, const q_item *item, const q_stored *after)
{
    bool ok = mg_append_id(doc, "_id", &item->id);
    for (uint32_t i = 0; ok && !after->dead && i < item->count; i++) {
        char name[Q_MAX_NAME_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", Q_SLICE_FMT(item->fields[i].attr));
        if (item->fields[i].value.type == Q_T_DOC)
            ok = mg_append_doc(doc, name, item->fields[i].value.s);
    }
    ok = ok && BSON_APPEND_INT64(doc, "_q_seq", (int64_t)after->seq) && BSON_APPEND_INT64(doc, "_q_birth", (int64_t)after->birth);
    return ok && (!after->dead || BSON_APPEND_BOOL(doc, "_q_dead", true));
}

static bool append_merge(bson_t *update, const q_item *item, const q_stored *after)
{
    bson_t set, unset;
    bool ok = BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &set), removes = false;
    for (uint32_t i = 0; ok && i < item->count; i++) {
        char name[Q_MAX_NAME_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", Q_SLICE_FMT(item->fields[i].attr));
        if (item->fields[i].value.type == Q_T_DOC)
            ok = mg_append_doc(&set, name, item->fields[i].value.s);
        else
            removes = true;
    }
    ok = ok && BSON_APPEND_INT64(&set, "_q_seq", (int64_t)after->seq) && bson_append_document_end(update, &set);
    if (!ok || !removes)
        return ok;
    ok = BSON_APPEND_DOCUMENT_BEGIN(update, "$unset", &unset);
    for (uint32_t i = 0; ok && i < item->count; i++) {
        char name[Q_MAX_NAME_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", Q_SLICE_FMT(item->fields[i].attr));
        if (item->fields[i].value.type == Q_T_NULL)
            ok = BSON_APPEND_UTF8(&unset, name, "");
    }
    return ok && bson_append_document_end(update, &unset);
}

/* One item into the bulk; *used tells whether it needed anything. */
static bool add_to_bulk(q_engine *e, mongoc_bulk_operation_t *bulk, const q_item *item, uint64_t seq, const q_stored *stored, bool *used)
{
    bson_t doc = BSON_INITIALIZER, filter = BSON_INITIALIZER, below;
    bson_error_t error;
    q_apply how = q_rule_apply(stored, item, seq, false, 0);
    q_stored after = q_rule_after(stored, item, seq, how);
    bool ok = true;
    if (how != Q_AP_SKIP) {
        *used = true;
        ok = how == Q_AP_MERGE ? append_merge(&doc, item, &after) : append_part(&doc, item, &after);
        if (ok && !stored->present) {
            ok = mongoc_bulk_operation_insert_with_opts(bulk, &doc, NULL, &error);
        } else if (ok) {
            ok = mg_append_id(&filter, "_id", &item->id);
            if (!e->scans)
                ok = ok && BSON_APPEND_DOCUMENT_BEGIN(&filter, "_q_seq", &below) && BSON_APPEND_INT64(&below, "$lt", (int64_t)seq) &&
                     bson_append_document_end(&filter, &below);
            if (ok && how == Q_AP_MERGE)
                ok = mongoc_bulk_operation_update_one_with_opts(bulk, &filter, &doc, NULL, &error);
            else if (ok)
                ok = mongoc_bulk_operation_replace_one_with_opts(bulk, &filter, &doc, NULL, &error);
        }
    }
    bson_destroy(&doc);
    bson_destroy(&filter);
    return ok;
}

/* Does a reply's writeErrors tell of duplicate keys only? Then `taken[i]` is set for the inserts that weren't done. */
static bool only_duplicates(const bson_t *reply, bool *taken, size_t n)
{
    bson_iter_t it, one, field;
    if (!bson_iter_init_find(&it, reply, "writeErrors") || !bson_iter_recurse(&it, &one))
        return false;
    size_t found = 0;
    for (; bson_iter_next(&one); found++) {
        int64_t index = bson_iter_recurse(&one, &field) && bson_iter_find(&field, "index") ? bson_iter_as_int64(&field) : -1;
        int64_t code = bson_iter_recurse(&one, &field) && bson_iter_find(&field, "code") ? bson_iter_as_int64(&field) : 0;
        if (code != 11000 || index < 0 || (size_t)index >= n)
            return false;
        taken[index] = true;
    }
    return found > 0;
}

/* INSERTs go in without looking first, since a key that is stored refuses them: what was refused comes back in `later`. */
static q_rc insert_new(q_engine *e, q_arena *arena, mongoc_collection_t *c, work *list, size_t n, work *later, size_t *left, q_err *err)
{
    bson_t opts = BSON_INITIALIZER, reply;
    bson_error_t error;
    const q_stored none = { 0 };
    work *sent = Q_NEW_ARRAY(arena, work, n);
    bool *taken = Q_NEW_ARRAY(arena, bool, n), ok = sent && taken, used;
    size_t count = 0;
    BSON_APPEND_BOOL(&opts, "ordered", false);
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, &opts);
    for (size_t i = 0; ok && i < n; i++) {
        if (list[i].item->op != Q_I_PUT || !list[i].item->full) {
            later[(*left)++] = list[i];
            continue;
        }
        sent[count++] = list[i];
        ok = add_to_bulk(e, bulk, list[i].item, list[i].seq, &none, &used);
    }
    q_rc rc = ok ? Q_OK : q_err_set(err, Q_E_INTERNAL, "mongo: a part can't be written as BSON");
    if (ok && count) {
        if (!mongoc_bulk_operation_execute(bulk, &reply, &error)) {
            if (!only_duplicates(&reply, taken, count))
                rc = mg_error(&error, "writing parts", err);
            for (size_t i = 0; rc == Q_OK && i < count; i++)
                if (taken[i])
                    later[(*left)++] = sent[i];
        }
        bson_destroy(&reply);
    }
    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(&opts);
    return rc;
}

static q_rc write_known(q_engine *e, q_arena *arena, mongoc_collection_t *c, const work *list, size_t n, q_err *err)
{
    q_stored *stored = Q_NEW_ARRAY(arena, q_stored, n);
    bson_t opts = BSON_INITIALIZER, reply;
    bson_error_t error;
    bool used = false, ok = true;
    q_rc rc = stored ? look(e, arena, c, list, n, stored, err) : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    BSON_APPEND_BOOL(&opts, "ordered", false);
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, &opts);
    for (size_t i = 0; rc == Q_OK && ok && i < n; i++)
        ok = add_to_bulk(e, bulk, list[i].item, list[i].seq, &stored[i], &used);
    if (!ok)
        rc = q_err_set(err, Q_E_INTERNAL, "mongo: a part can't be written as BSON");
    if (rc == Q_OK && used) {
        if (!mongoc_bulk_operation_execute(bulk, &reply, &error))
            rc = mg_error(&error, "writing parts", err); /* also a key that another worker wrote meanwhile: looked at again */
        bson_destroy(&reply);
    }
    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(&opts);
    return rc;
}

/* Items of one collection, each key at most once. */
static q_rc apply_group(q_engine *e, q_arena *arena, uint64_t epoch, const work *first, size_t n, q_err *err)
{
    work *list = Q_NEW_ARRAY(arena, work, n), *later = Q_NEW_ARRAY(arena, work, n);
    size_t count = 0, left = 0;
    mg_known known;
    if (!list || !later)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_rc rc = look_at_names(e, epoch, first, &known, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        if (!older_life(&known, &first[i]))
            list[count++] = first[i];
    mongoc_collection_t *c = mg_collection(e, first->bucket, first->item->record);
    if (rc == Q_OK && count)
        rc = insert_new(e, arena, c, list, count, later, &left, err);
    if (rc == Q_OK && left)
        rc = write_known(e, arena, c, later, left, err);
    mongoc_collection_destroy(c);
    return rc;
}

/* An item's id and its place in the list. */
typedef struct place { const q_value *id; size_t index; } place;
static int by_id(const void *va, const void *vb) { return mg_id_order(&((const place *)va)->id, &((const place *)vb)->id); }

/* Writes what was collected. Later items of a key wait for the next round: in seq order. */
static q_rc flush(q_engine *e, q_arena *arena, uint64_t epoch, work *list, size_t count, q_err *err)
{
    q_rc rc = Q_OK;
    if (count)
        qsort(list, count, sizeof *list, by_collection);
    for (size_t from = 0, to; rc == Q_OK && from < count; from = to) {
        for (to = from + 1; to < count && same_collection(&list[from], &list[to]);)
            to++;
        size_t n = to - from;
        work *left = Q_NEW_ARRAY(arena, work, n), *now = Q_NEW_ARRAY(arena, work, n);
        place *keys = Q_NEW_ARRAY(arena, place, n);
        if (!left || !now || !keys)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        memcpy(left, &list[from], n * sizeof *left);
        while (rc == Q_OK && n) {
            size_t taken = 0, rest = 0;
            for (size_t i = 0; i < n; i++)
                keys[i] = (place){ &left[i].item->id, i };
            qsort(keys, n, sizeof *keys, by_id);
            bool *later = Q_NEW_ARRAY(arena, bool, n);
            if (!later)
                return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
            for (size_t i = 0; i < n;) { /* of equal keys the first stays */
                size_t end = i + 1, first = keys[i].index;
                for (; end < n && by_id(&keys[i], &keys[end]) == 0; end++)
                    if (keys[end].index < first)
                        first = keys[end].index;
                for (size_t k = i; k < end; k++)
                    later[keys[k].index] = keys[k].index != first;
                i = end;
            }
            for (size_t i = 0; i < n; i++) {
                if (later[i])
                    left[rest++] = left[i];
                else
                    now[taken++] = left[i];
            }
            rc = apply_group(e, arena, epoch, now, taken, err);
            n = rest;
        }
    }
    return rc;
}

q_rc mg_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    size_t count = 0, cap = 0;
    uint64_t high = 0;
    work *list = NULL;
    bool checked = false; /* the epoch comes with the names */
    q_rc rc = Q_OK;
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        q_writes all;
        rc = q_writes_decode(arena, txns[i].writes, &all, err);
        if (txns[i].seq > high)
            high = txns[i].seq;
        for (uint32_t k = 0; rc == Q_OK && k < all.count; k++) {
            const q_item *item = &all.items[k];
            if (item->op == Q_I_CHECK)
                continue;
            checked = true;
            if (item->op == Q_I_DDL) { /* what came before it belongs to the life before it */
                rc = flush(e, arena, epoch, list, count, err);
                count = 0;
                if (rc == Q_OK)
                    rc = mg_apply_ddl(e, epoch, &item->ddl, item->incarnation, txns[i].seq, err);
                continue;
            }
            if (count == cap) {
                work *more = Q_NEW_ARRAY(arena, work, cap ? 2 * cap : 64);
                if (!more)
                    return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
                if (count)
                    memcpy(more, list, count * sizeof *more);
                list = more;
                cap = cap ? 2 * cap : 64;
            }
            list[count++] = (work){ all.bucket, all.bucket_incarnation, item, txns[i].seq, i, k };
        }
        if (rc == Q_OK && count >= FLUSH_ITEMS) {
            rc = flush(e, arena, epoch, list, count, err);
            count = 0;
        }
    }
    if (rc == Q_OK)
        rc = flush(e, arena, epoch, list, count, err);
    if (rc == Q_OK && !checked)
        rc = mg_check_epoch(e, epoch, err);
    if (rc == Q_OK && Q_FAILPOINT(ENGINE_APPLY_MID))
        rc = q_err_set(err, Q_E_ENGINE_DOWN, "a failpoint says that the engine can't be reached");
    return rc == Q_OK ? mg_store_marks(e, high, below, err) : rc;
}

/* ---- purge ---- */

q_rc mg_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err)
{
    bson_t filter = BSON_INITIALIZER, below;
    bson_error_t error;
    q_rc rc = mg_check_epoch(e, epoch, err);
    BSON_APPEND_BOOL(&filter, "_q_dead", true);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_q_seq", &below);
    BSON_APPEND_INT64(&below, "$lte", (int64_t)upto);
    bson_append_document_end(&filter, &below);
    char **dbs = rc == Q_OK ? mongoc_client_get_database_names_with_opts(e->client, NULL, &error) : NULL;
    if (rc == Q_OK && !dbs)
        rc = mg_error(&error, "listing databases", err);
    for (char **db = dbs; rc == Q_OK && db && *db; db++) {
        q_err not_ours = Q_ERR_INIT; /* admin, local, _quanta: names that no bucket can have */
        if (q_name_check(q_slice_cstr(*db), "bucket", &not_ours) != Q_OK)
            continue;
        mongoc_database_t *d = mongoc_client_get_database(e->client, *db);
        char **names = mongoc_database_get_collection_names_with_opts(d, NULL, &error);
        if (!names)
            rc = mg_error(&error, "listing collections", err);
        for (char **name = names; rc == Q_OK && names && *name; name++) {
            mongoc_collection_t *c = mongoc_database_get_collection(d, *name);
            if (!mongoc_collection_delete_many(c, &filter, NULL, NULL, &error))
                rc = mg_error(&error, "removing tombstones", err);
            mongoc_collection_destroy(c);
        }
        bson_strfreev(names);
        mongoc_database_destroy(d);
    }
    bson_strfreev(dbs);
    bson_destroy(&filter);
    return rc;
}
