/* Prepare and commit. A prepare asks once for all keys of a batch, votes by workers/rules.h and writes nothing. A commit is one
 * transaction of one statement per record (and round, where a key is written more than once): the statement says in Cypher what
 * q_rule_apply says in C, under the state node's lock, and so holds against zombies. tests/contract holds both to the same cases. */
#include "workers/neo4j/internal.h"

#include <stdlib.h>

enum { FLUSH_ROWS = 2000, FLUSH_IDS = 100000 };

typedef struct work { q_slice bucket; uint64_t bucket_incarnation; const q_item *item; uint64_t seq; size_t txn; uint32_t index, round; } work;

static bool same_record(const work *a, const work *b) { return q_slice_eq(a->bucket, b->bucket) && q_slice_eq(a->item->record, b->item->record); }

static int by_record(const work *a, const work *b)
{
    int c = q_slice_cmp(a->bucket, b->bucket);
    return c ? c : q_slice_cmp(a->item->record, b->item->record);
}

static int by_seq(const work *a, const work *b)
{
    int c = (a->seq > b->seq) - (a->seq < b->seq);
    return c ? c : (a->index > b->index) - (a->index < b->index);
}

static int id_order(const q_value *a, const q_value *b) { return a->type != b->type ? (a->type > b->type) - (a->type < b->type) : q_value_cmp(a, b); }

static int by_key(const void *va, const void *vb)
{
    const work *a = va, *b = vb;
    int c = by_record(a, b);
    c = c ? c : id_order(&a->item->id, &b->item->id);
    return c ? c : by_seq(a, b);
}

static int by_round(const void *va, const void *vb)
{
    const work *a = va, *b = vb;
    int c = by_record(a, b);
    c = c ? c : (a->round > b->round) - (a->round < b->round);
    return c ? c : by_seq(a, b);
}

/* ---- prepare ---- */

static const char *refused(const q_item *item)
{
    for (uint32_t i = 0; i < item->count; i++) {
        const q_value *v = &item->fields[i].value;
        if (!q_rule_type_fits(Q_EN_NEO4J, v->type))
            return "Neo4j serves relations only";
        if (v->type == Q_T_RELATION && v->rel.count > Q_MAX_RELATION_IDS)
            return "the relation has more than 10000 ids";
        for (uint32_t k = 0; v->type == Q_T_RELATION && k < v->rel.count; k++)
            if (v->rel.items[k].type != Q_T_STRING && v->rel.items[k].type != Q_T_INT && v->rel.items[k].type != Q_T_UUID)
                return "a relation holds ids only";
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

/* Asks for n items of one record: its names, then what is stored of them. */
static void ask_group(nj_request *r, const work *first, size_t n)
{
    char label[NJ_LABEL_BYTES];
    q_buf text = Q_BUF_INIT(1024);
    nj_ask_known(r, first->bucket, first->item->record);
    nj_label(label, first->bucket, first->item->record);
    q_buf_printf(&text, "UNWIND range(0, size($ids) - 1) AS i MATCH (n:`%s` {id: $ids[i]}) WHERE n._q_seq IS NOT NULL "
                        "RETURN i, n._q_seq, n._q_birth, n._q_dead", label);
    nj_statement(r, q_buf_slice(&text));
    nj_key(r, "ids");
    yajl_gen_array_open(r->gen);
    for (size_t i = 0; i < n; i++)
        nj_put_id(r, &first[i].item->id);
    yajl_gen_array_close(r->gen);
    nj_statement_end(r);
    q_buf_free(&text);
}

static void vote_group(const json_t *results, size_t statement, const work *first, size_t n, q_stored *stored, q_vote *votes)
{
    nj_known known = nj_known_of(results, statement);
    memset(stored, 0, n * sizeof *stored);
    for (size_t k = 0, rows = nj_row_count(results, statement + 1); k < rows; k++) {
        uint64_t i = nj_number(nj_cell(results, statement + 1, k, 0));
        if (i < n)
            stored[i] = (q_stored){ .present = true, .seq = nj_number(nj_cell(results, statement + 1, k, 1)),
                                    .birth = nj_number(nj_cell(results, statement + 1, k, 2)), .dead = json_is_true(nj_cell(results, statement + 1, k, 3)) };
    }
    for (size_t i = 0; i < n; i++) {
        const char *why = refused(first[i].item);
        bool older = q_rule_stale_incarnation(&known.bucket, first[i].bucket_incarnation) ||
                     q_rule_stale_incarnation(&known.record, first[i].item->incarnation);
        q_no no = older ? Q_NO_STALE : q_rule_vote(&stored[i], first[i].item, first[i].seq, 0);
        if (why)
            say_no(&votes[first[i].txn], Q_NO_REFUSED, first[i].index, why);
        else if (no != Q_NO_NONE)
            say_no(&votes[first[i].txn], no, first[i].index, "");
    }
}

static void vote_ddl(const json_t *results, size_t statement, const work *w, q_vote *vote)
{
    nj_known known = nj_known_of(results, statement);
    bool bucket = w->item->ddl.kind == Q_DDL_CREATE_BUCKET || w->item->ddl.kind == Q_DDL_DROP_BUCKET;
    if (q_rule_vote_ddl(bucket ? &known.bucket : &known.record, w->seq) != Q_NO_NONE)
        say_no(vote, Q_NO_STALE, w->index, "");
}

/* DDL items stand at the end of the list, each a group of its own. */
static size_t group_end(const work *list, size_t from, size_t count)
{
    size_t to = from + 1;
    if (list[from].item->op != Q_I_DDL)
        while (to < count && list[to].item->op != Q_I_DDL && same_record(&list[from], &list[to]))
            to++;
    return to;
}

static q_rc vote_all(q_engine *e, q_arena *arena, uint64_t epoch, const work *list, size_t count, q_vote *votes, q_err *err)
{
    q_stored *stored = Q_NEW_ARRAY(arena, q_stored, count + 1);
    nj_request r;
    json_t *results;
    if (!stored || !nj_request_init(&r))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    nj_statement(&r, Q_SLICE_LIT("MATCH (q:_quanta {name: 'state'}) RETURN q.epoch"));
    nj_statement_end(&r);
    for (size_t from = 0, to; from < count; from = to) {
        to = group_end(list, from, count);
        if (list[from].item->op == Q_I_DDL)
            nj_ask_known(&r, list[from].item->ddl.bucket, list[from].item->ddl.record);
        else
            ask_group(&r, &list[from], to - from);
    }
    q_rc rc = nj_run(e, &r, &results, err);
    nj_request_free(&r);
    if (rc == Q_OK && nj_number(nj_cell(results, 0, 0, 0)) > epoch)
        rc = q_err_set(err, Q_E_ENGINE_REFUSED, "neo4j remembers a higher epoch than %llu: a newer coordinator is at work", (unsigned long long)epoch);
    for (size_t from = 0, to, statement = 1; rc == Q_OK && from < count; from = to) {
        to = group_end(list, from, count);
        if (list[from].item->op == Q_I_DDL) {
            vote_ddl(results, statement++, &list[from], &votes[list[from].txn]);
        } else {
            vote_group(results, statement, &list[from], to - from, stored, votes);
            statement += 2;
        }
    }
    json_decref(results);
    return rc;
}

q_rc nj_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err)
{
    size_t total = 0, parts = 0, ddl;
    q_writes *all = Q_NEW_ARRAY(arena, q_writes, n + 1);
    if (!all)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++) {
        q_err bad = Q_ERR_INIT;
        votes[i] = (q_vote){ .seq = txns[i].seq };
        if (q_writes_decode(arena, txns[i].writes, &all[i], &bad) != Q_OK) {
            all[i].count = 0;
            votes[i].no = Q_NO_REFUSED;
            votes[i].text = q_arena_copy(arena, q_slice_cstr(bad.message));
        }
        total += all[i].count;
    }
    work *list = Q_NEW_ARRAY(arena, work, total + 1);
    if (!list)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    ddl = total;
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < all[i].count; k++) {
            const q_item *item = &all[i].items[k];
            list[item->op == Q_I_DDL ? --ddl : parts++] = (work){ all[i].bucket, all[i].bucket_incarnation, item, txns[i].seq, i, k, 0 };
        }
    if (parts)
        qsort(list, parts, sizeof *list, by_key);
    return vote_all(e, arena, epoch, list, total, votes, err);
}

/* ---- commit ---- */

/* The statement for parts of one record. `row.attrs` are the relations that the item names, `row.to` their ids, `row.uuid` which of them are
 * uuids, `row.empty` those that have none and yet aren't NULL. A part's relations that it replaces go, all of them when it begins anew. */
void nj_apply_statement(q_buf *text, const char *label, q_slice bucket, const nj_definition *d)
{
    q_buf_printf(text,
                 "OPTIONAL MATCH (b:_quanta {name: $bucket}) OPTIONAL MATCH (d:_quanta {name: $record}) "
                 "WITH coalesce(b.created, 0) AS b1, coalesce(b.dropped, 0) AS b2, coalesce(d.created, 0) AS d1, coalesce(d.dropped, 0) AS d2 "
                 "UNWIND $rows AS row WITH row, b1, b2, d1, d2 "
                 "WHERE row.of_bucket >= b1 AND row.of_bucket >= b2 AND row.of >= d1 AND row.of >= d2 "
                 "MERGE (n:`%s` {id: row.id}) "
                 "WITH n, row WHERE coalesce(n._q_seq, 0) < row.seq "
                 "WITH n, row, row.full OR row.dead OR n._q_seq IS NULL OR n._q_dead IS NOT NULL OR n._q_seq < row.of OR row.birth > n._q_birth AS anew "
                 "WITH n, row, anew, [(n)-[r]->() WHERE anew OR type(r) IN row.attrs | r] AS old, "
                 "CASE WHEN anew THEN [] ELSE [a IN coalesce(n._q_empty, []) WHERE NOT a IN row.attrs] END + row.empty AS empty "
                 "FOREACH (r IN old | DELETE r) "
                 "SET n._q_birth = CASE WHEN row.dead THEN 0 WHEN NOT anew THEN n._q_birth WHEN row.birth > 0 THEN row.birth ELSE row.seq END, "
                 "n._q_dead = CASE WHEN row.dead THEN true END, n._q_uuid = row.is_uuid, n._q_seq = row.seq, "
                 "n._q_empty = CASE WHEN size(empty) > 0 THEN empty END "
                 "REMOVE n:_quanta_target, n:_quanta_dead "
                 "FOREACH (x IN CASE WHEN row.dead THEN [1] ELSE [] END | SET n:_quanta_dead)",
                 label);
    for (uint32_t i = 0; i < d->count; i++) {
        const char *name = d->relations[i].name;
        q_buf_printf(text,
                     " FOREACH (i IN range(0, coalesce(size(row.to.`%s`), 0) - 1) | MERGE (t:`%.*s__%s` {id: row.to.`%s`[i]}) "
                     "ON CREATE SET t:_quanta_target, t._q_uuid = row.uuid.`%s`[i] CREATE (n)-[:`%s` {_q_index: i}]->(t))",
                     name, Q_SLICE_FMT(bucket), d->relations[i].target, name, name, name);
    }
}

static void put_name(nj_request *r, q_slice s) { yajl_gen_string(r->gen, (const unsigned char *)s.ptr, s.len); }

static bool has_uuid(const q_value *v)
{
    for (uint32_t i = 0; i < v->rel.count; i++)
        if (v->rel.items[i].type == Q_T_UUID)
            return true;
    return false;
}

static void put_ids(nj_request *r, const q_item *item)
{
    nj_key(r, "to");
    yajl_gen_map_open(r->gen);
    for (uint32_t f = 0; f < item->count; f++) {
        const q_value *v = &item->fields[f].value;
        if (v->type != Q_T_RELATION || v->rel.count == 0)
            continue;
        put_name(r, item->fields[f].attr);
        yajl_gen_array_open(r->gen);
        for (uint32_t i = 0; i < v->rel.count; i++)
            nj_put_id(r, &v->rel.items[i]);
        yajl_gen_array_close(r->gen);
    }
    yajl_gen_map_close(r->gen);
    nj_key(r, "uuid");
    yajl_gen_map_open(r->gen);
    for (uint32_t f = 0; f < item->count; f++) {
        const q_value *v = &item->fields[f].value;
        if (v->type != Q_T_RELATION || !has_uuid(v))
            continue;
        put_name(r, item->fields[f].attr);
        yajl_gen_array_open(r->gen);
        for (uint32_t i = 0; i < v->rel.count; i++) {
            if (v->rel.items[i].type == Q_T_UUID)
                yajl_gen_bool(r->gen, 1);
            else
                yajl_gen_null(r->gen);
        }
        yajl_gen_array_close(r->gen);
    }
    yajl_gen_map_close(r->gen);
}

static void put_row(nj_request *r, const work *w)
{
    const q_item *item = w->item;
    yajl_gen_map_open(r->gen);
    nj_key(r, "id");
    nj_put_id(r, &item->id);
    if (item->id.type == Q_T_UUID) {
        nj_key(r, "is_uuid");
        yajl_gen_bool(r->gen, 1);
    }
    nj_put_number(r, "seq", w->seq);
    nj_put_number(r, "of", item->incarnation);
    nj_put_number(r, "of_bucket", w->bucket_incarnation);
    nj_put_number(r, "birth", item->birth);
    nj_key(r, "full");
    yajl_gen_bool(r->gen, item->full);
    nj_key(r, "dead");
    yajl_gen_bool(r->gen, item->op == Q_I_DELETE);
    nj_key(r, "attrs");
    yajl_gen_array_open(r->gen);
    for (uint32_t f = 0; f < item->count; f++)
        put_name(r, item->fields[f].attr);
    yajl_gen_array_close(r->gen);
    nj_key(r, "empty");
    yajl_gen_array_open(r->gen);
    for (uint32_t f = 0; f < item->count; f++)
        if (item->fields[f].value.type == Q_T_RELATION && item->fields[f].value.rel.count == 0)
            put_name(r, item->fields[f].attr);
    yajl_gen_array_close(r->gen);
    if (item->op == Q_I_PUT)
        put_ids(r, item);
    yajl_gen_map_close(r->gen);
}

/* What the record of these items is made of. An item of an incarnation, or with a relation, that isn't known waits: its CREATE or ALTER comes
 * later, as redo arrives in any order. One that is older than what is known is left to the statement, which skips it. */
static q_rc define(q_engine *e, const work *first, size_t n, const nj_definition **out, q_err *err)
{
    q_rc rc = Q_OK;
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        const q_item *item = first[i].item;
        for (uint32_t f = 0; rc == Q_OK && f <= item->count; f++) { /* the last turn: the record itself */
            bool serves, relation = f < item->count;
            if (relation && (item->fields[f].value.type != Q_T_RELATION || item->fields[f].value.rel.count == 0))
                continue;
            rc = nj_define(e, first[i].bucket, item->record, item->incarnation, relation ? item->fields[f].attr : Q_SLICE_NONE, out, &serves, err);
            if (rc != Q_OK || serves)
                continue;
            if (q_rule_stale_incarnation(&(*out)->known.record, item->incarnation) ||
                q_rule_stale_incarnation(&(*out)->known.bucket, first[i].bucket_incarnation))
                break;
            q_err_set(err, Q_E_ENGINE_REFUSED, "neo4j: %.*s of this incarnation hasn't been created here yet", Q_SLICE_FMT(item->record));
            rc = Q_RETRY;
        }
    }
    return rc;
}

/* Adds the statements for the items of one record, sorted by key: one for each round. */
static q_rc add_group(q_engine *e, nj_request *r, work *first, size_t n, q_err *err)
{
    char label[NJ_LABEL_BYTES];
    const nj_definition *d = NULL;
    q_rc rc = define(e, first, n, &d, err);
    if (rc != Q_OK)
        return rc;
    q_buf text = Q_BUF_INIT(1 << 20), name = Q_BUF_INIT(256);
    nj_label(label, first->bucket, first->item->record);
    nj_apply_statement(&text, label, first->bucket, d);
    for (size_t i = 1; i < n; i++)
        first[i].round = id_order(&first[i - 1].item->id, &first[i].item->id) == 0 ? first[i - 1].round + 1 : 0;
    qsort(first, n, sizeof *first, by_round);
    for (size_t from = 0, to; from < n; from = to) {
        nj_statement(r, q_buf_slice(&text));
        q_buf_clear(&name);
        q_buf_printf(&name, "%.*s/", Q_SLICE_FMT(first->bucket));
        nj_put_text(r, "bucket", q_buf_slice(&name));
        q_buf_add_slice(&name, first->item->record);
        nj_put_text(r, "record", q_buf_slice(&name));
        nj_key(r, "rows");
        yajl_gen_array_open(r->gen);
        for (to = from; to < n && first[to].round == first[from].round; to++)
            put_row(r, &first[to]);
        yajl_gen_array_close(r->gen);
        nj_statement_end(r);
    }
    if (text.failed || name.failed)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_buf_free(&text);
    q_buf_free(&name);
    return rc;
}

/* Applies what was collected, and the marks, in one transaction. */
static q_rc flush(q_engine *e, uint64_t epoch, uint64_t high, uint64_t below, work *list, size_t count, q_err *err)
{
    nj_request r;
    if (!nj_request_init(&r))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_rc rc = Q_OK;
    if (count)
        qsort(list, count, sizeof *list, by_key);
    nj_put_guard(&r, epoch, high, below);
    for (size_t from = 0, to; rc == Q_OK && from < count; from = to) {
        for (to = from + 1; to < count && same_record(&list[from], &list[to]);)
            to++;
        rc = add_group(e, &r, &list[from], to - from, err);
    }
    if (rc == Q_OK)
        rc = nj_do(e, &r, err);
    nj_request_free(&r);
    return rc;
}

static size_t ids_of(const q_item *item)
{
    size_t n = 1;
    for (uint32_t f = 0; f < item->count; f++)
        n += item->fields[f].value.type == Q_T_RELATION ? item->fields[f].value.rel.count : 0;
    return n;
}

q_rc nj_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    size_t count = 0, total = 0, ids = 0;
    uint64_t high = 0;
    q_rc rc = Q_OK;
    q_writes *all = Q_NEW_ARRAY(arena, q_writes, n + 1);
    if (!all)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        rc = q_writes_decode(arena, txns[i].writes, &all[i], err);
        total += rc == Q_OK ? all[i].count : 0;
        high = txns[i].seq > high ? txns[i].seq : high;
    }
    work *list = Q_NEW_ARRAY(arena, work, total + 1);
    if (!list)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; rc == Q_OK && i < n; i++)
        for (uint32_t k = 0; rc == Q_OK && k < all[i].count; k++) {
            const q_item *item = &all[i].items[k];
            if (item->op == Q_I_CHECK)
                continue;
            if (count && (item->op == Q_I_DDL || count >= FLUSH_ROWS || ids >= FLUSH_IDS)) {
                rc = flush(e, epoch, 0, 0, list, count, err); /* before DDL: what came before it belongs to the life before it */
                count = ids = 0;
            }
            if (rc == Q_OK && item->op == Q_I_DDL) {
                rc = nj_apply_ddl(e, epoch, &item->ddl, item->incarnation, txns[i].seq, err);
                continue;
            }
            list[count++] = (work){ all[i].bucket, all[i].bucket_incarnation, item, txns[i].seq, i, k, 0 };
            ids += ids_of(item);
        }
    return rc == Q_OK ? flush(e, epoch, high, below, list, count, err) : rc;
}
