/* What the engine remembers of buckets' and records' names: nodes (:_quanta {name: "bucket/" or "bucket/record", created, dropped, ddl,
 * relations, targets}), which outlive a DROP. And DDL and purge, which go over whole labels, a piece per transaction.
 *
 * Neo4j changes a schema and data in different transactions only: a label's constraint comes first, the name last. Until the name says so,
 * the same DDL runs again, and each step of it may. */
#include "workers/neo4j/internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_ID_BYTES = 2 * Q_MAX_NAME_BYTES + 2, PIECE = 1000 };

static q_slice name_id(char out[NAME_ID_BYTES], q_slice bucket, q_slice record)
{
    snprintf(out, NAME_ID_BYTES, "%.*s/%.*s", Q_SLICE_FMT(bucket), Q_SLICE_FMT(record));
    return q_slice_cstr(out);
}

/* ---- asking ---- */

void nj_ask_known(nj_request *r, q_slice bucket, q_slice record)
{
    char id[NAME_ID_BYTES];
    nj_statement(r, Q_SLICE_LIT("UNWIND [$bucket, $record] AS name OPTIONAL MATCH (q:_quanta {name: name}) "
                                "RETURN q.created, q.dropped, q.ddl, q.relations, q.targets"));
    nj_put_text(r, "bucket", name_id(id, bucket, Q_SLICE_NONE));
    nj_put_text(r, "record", record.len ? name_id(id, bucket, record) : Q_SLICE_NONE);
    nj_statement_end(r);
}

static q_named named_of(const json_t *results, size_t statement, size_t row)
{
    return (q_named){ .created = nj_number(nj_cell(results, statement, row, 0)), .dropped = nj_number(nj_cell(results, statement, row, 1)),
                      .ddl = nj_number(nj_cell(results, statement, row, 2)) };
}

nj_known nj_known_of(const json_t *results, size_t statement) { return (nj_known){ named_of(results, statement, 0), named_of(results, statement, 1) }; }

static q_rc ask(q_engine *e, q_slice bucket, q_slice record, json_t **results, q_err *err)
{
    nj_request r;
    if (!nj_request_init(&r))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    nj_ask_known(&r, bucket, record);
    q_rc rc = nj_run(e, &r, results, err);
    nj_request_free(&r);
    return rc;
}

/* ---- definitions, remembered by the session ---- */

const char *nj_target(const nj_definition *d, q_slice attr)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (q_slice_eq(attr, q_slice_cstr(d->relations[i].name)))
            return d->relations[i].target;
    return NULL;
}

void nj_forget(q_engine *e)
{
    for (size_t i = 0; i < e->definition_count; i++)
        free(e->definitions[i]);
    e->definition_count = 0;
}

static nj_definition *place_of(q_engine *e, q_slice bucket, q_slice record)
{
    for (size_t i = 0; i < e->definition_count; i++)
        if (q_slice_eq(bucket, q_slice_cstr(e->definitions[i]->bucket)) && q_slice_eq(record, q_slice_cstr(e->definitions[i]->record)))
            return e->definitions[i];
    if (e->definition_count == NJ_MAX_DEFINITIONS)
        nj_forget(e);
    nj_definition *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    snprintf(d->bucket, sizeof d->bucket, "%.*s", Q_SLICE_FMT(bucket));
    snprintf(d->record, sizeof d->record, "%.*s", Q_SLICE_FMT(record));
    e->definitions[e->definition_count++] = d;
    return d;
}

static bool serves(const nj_definition *d, uint64_t incarnation, q_slice attr)
{
    return d->known.record.created && d->known.record.created == incarnation && (!attr.len || nj_target(d, attr));
}

q_rc nj_define(q_engine *e, q_slice bucket, q_slice record, uint64_t incarnation, q_slice attr, const nj_definition **out, bool *served,
               q_err *err)
{
    nj_definition *d = place_of(e, bucket, record);
    json_t *results;
    *out = d;
    if (!d)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    *served = serves(d, incarnation, attr);
    if (*served)
        return Q_OK;
    q_rc rc = ask(e, bucket, record, &results, err);
    if (rc != Q_OK)
        return rc;
    d->known = nj_known_of(results, 0);
    d->count = 0;
    const json_t *names = nj_cell(results, 0, 1, 3), *targets = nj_cell(results, 0, 1, 4);
    for (size_t i = 0; i < json_array_size(names) && i < Q_MAX_ATTRIBUTES; i++) {
        const char *name = json_string_value(json_array_get(names, i)), *target = json_string_value(json_array_get(targets, i));
        q_err not_ours = Q_ERR_INIT; /* they become query text */
        if (!name || !target || q_name_check(q_slice_cstr(name), "attribute", &not_ours) != Q_OK || q_name_check(q_slice_cstr(target), "record", &not_ours) != Q_OK)
            continue;
        snprintf(d->relations[d->count].name, sizeof d->relations[0].name, "%s", name);
        snprintf(d->relations[d->count++].target, sizeof d->relations[0].target, "%s", target);
    }
    json_decref(results);
    *served = serves(d, incarnation, attr);
    return Q_OK;
}

/* ---- pieces: one statement again and again until it says 0 ---- */

typedef struct piece { uint64_t epoch, below; } piece;

static q_rc repeat(q_engine *e, q_slice cypher, const piece *p, q_err *err)
{
    nj_request r;
    bool more = true;
    q_rc rc = nj_request_init(&r) ? Q_OK : q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    while (rc == Q_OK && more) {
        json_t *results;
        nj_put_guard(&r, p->epoch, 0, 0);
        nj_statement(&r, cypher);
        nj_put_number(&r, "below", p->below);
        nj_put_number(&r, "piece", PIECE);
        nj_statement_end(&r);
        rc = nj_run(e, &r, &results, err);
        more = rc == Q_OK && nj_number(nj_cell(results, 1, 0, 0)) > 0;
        json_decref(results);
    }
    nj_request_free(&r);
    return rc;
}

static q_rc of_label(q_engine *e, const char *format_before, const char *label, const char *format_after, const piece *p, q_err *err)
{
    q_buf text = Q_BUF_INIT(4096);
    q_buf_printf(&text, "%s`%s`%s", format_before, label, format_after);
    q_rc rc = text.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory") : repeat(e, q_buf_slice(&text), p, err);
    q_buf_free(&text);
    return rc;
}

/* Every part of a label ends; what others point to stays as a node that stands for an id. */
static q_rc wipe(q_engine *e, const char *label, const piece *p, q_err *err)
{
    q_rc rc = of_label(e, "MATCH (n:", label, ") WHERE n._q_seq < $below WITH n LIMIT $piece OPTIONAL MATCH (n)-[r]->() "
                       "WITH n, collect(r) AS old FOREACH (r IN old | DELETE r) "
                       "REMOVE n._q_seq, n._q_birth, n._q_dead, n._q_empty, n:_quanta_dead SET n:_quanta_target RETURN count(n)", p, err);
    return rc == Q_OK ? of_label(e, "MATCH (n:", label, ") WHERE n._q_seq IS NULL AND NOT (n)<--() WITH n LIMIT $piece DELETE n RETURN count(*)", p, err) : rc;
}

/* ---- DDL ---- */

static void put_constraint(nj_request *r, const char *format, const char *label)
{
    q_buf text = Q_BUF_INIT(1024);
    q_buf_printf(&text, format, label, label);
    nj_statement(r, q_buf_slice(&text));
    nj_statement_end(r);
    q_buf_free(&text);
}

/* Each label that this DDL is the first to use finds its nodes by id from then on. */
static q_rc constrain(q_engine *e, const q_ddl *d, q_err *err)
{
    static const char create[] = "CREATE CONSTRAINT `q_%s` IF NOT EXISTS FOR (n:`%s`) REQUIRE n.id IS UNIQUE";
    char label[NJ_LABEL_BYTES];
    nj_request r;
    if (!nj_request_init(&r))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    nj_label(label, d->bucket, d->record);
    put_constraint(&r, create, label);
    for (uint32_t i = 0; i < d->count; i++) {
        bool again = d->attrs[i].kind != Q_K_RELATION || q_slice_eq(d->attrs[i].target, d->record);
        for (uint32_t k = 0; k < i && !again; k++)
            again = d->attrs[k].kind == Q_K_RELATION && q_slice_eq(d->attrs[i].target, d->attrs[k].target);
        if (again)
            continue;
        nj_label(label, d->bucket, d->attrs[i].target);
        put_constraint(&r, create, label);
    }
    q_rc rc = nj_do(e, &r, err);
    nj_request_free(&r);
    return rc;
}

static void put_relations(nj_request *r, const q_ddl *d)
{
    nj_key(r, "relations");
    yajl_gen_array_open(r->gen);
    for (uint32_t i = 0; i < d->count; i++)
        if (d->attrs[i].kind == Q_K_RELATION)
            yajl_gen_string(r->gen, (const unsigned char *)d->attrs[i].name.ptr, d->attrs[i].name.len);
    yajl_gen_array_close(r->gen);
    nj_key(r, "targets");
    yajl_gen_array_open(r->gen);
    for (uint32_t i = 0; i < d->count; i++)
        if (d->attrs[i].kind == Q_K_RELATION)
            yajl_gen_string(r->gen, (const unsigned char *)d->attrs[i].target.ptr, d->attrs[i].target.len);
    yajl_gen_array_close(r->gen);
}

static q_rc remember(q_engine *e, uint64_t epoch, const q_ddl *d, q_slice record, const q_named *after, q_err *err)
{
    char id[NAME_ID_BYTES];
    nj_request r;
    if (!nj_request_init(&r))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    nj_put_guard(&r, epoch, 0, 0);
    if (d->kind == Q_DDL_DROP_BUCKET) { /* it takes its records' names along */
        nj_statement(&r, Q_SLICE_LIT("MATCH (q:_quanta) WHERE q.name STARTS WITH $bucket AND q.ddl < $ddl "
                                     "SET q.dropped = $ddl, q.ddl = $ddl, q.relations = [], q.targets = []"));
        nj_put_text(&r, "bucket", name_id(id, d->bucket, Q_SLICE_NONE));
        nj_put_number(&r, "ddl", after->ddl);
        nj_statement_end(&r);
    }
    nj_statement(&r, Q_SLICE_LIT("MERGE (q:_quanta {name: $name}) WITH q WHERE coalesce(q.ddl, 0) < $ddl "
                                 "SET q.created = $created, q.dropped = $dropped, q.ddl = $ddl, "
                                 "q.relations = CASE WHEN $adds THEN coalesce(q.relations, []) ELSE [] END + $relations, "
                                 "q.targets = CASE WHEN $adds THEN coalesce(q.targets, []) ELSE [] END + $targets"));
    nj_put_text(&r, "name", name_id(id, d->bucket, record));
    nj_put_number(&r, "created", after->created);
    nj_put_number(&r, "dropped", after->dropped);
    nj_put_number(&r, "ddl", after->ddl);
    nj_key(&r, "adds");
    yajl_gen_bool(r.gen, d->kind == Q_DDL_ALTER_RECORD);
    put_relations(&r, d);
    nj_statement_end(&r);
    q_rc rc = nj_do(e, &r, err);
    nj_request_free(&r);
    return rc;
}

/* Every label that records of a bucket have or point to. Calls `visit` with each. */
static q_rc each_label(q_engine *e, q_slice bucket, q_rc (*visit)(q_engine *, const char *, const piece *, q_err *), const piece *p, q_err *err)
{
    char id[NAME_ID_BYTES];
    nj_request r;
    json_t *results;
    if (!nj_request_init(&r))
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    /* From the labels in use, not from the names: a name that is dropped no longer tells what it pointed to. */
    nj_statement(&r, Q_SLICE_LIT("CALL db.labels() YIELD label WHERE label STARTS WITH $prefix RETURN label"));
    snprintf(id, sizeof id, "%.*s__", Q_SLICE_FMT(bucket));
    nj_put_text(&r, "prefix", q_slice_cstr(id));
    nj_statement_end(&r);
    q_rc rc = nj_run(e, &r, &results, err);
    nj_request_free(&r);
    for (size_t i = 0, n = rc == Q_OK ? nj_row_count(results, 0) : 0; rc == Q_OK && i < n; i++) {
        const char *label = json_string_value(nj_cell(results, 0, i, 0)), *middle = label ? strstr(label, "__") : NULL;
        q_err not_ours = Q_ERR_INIT;
        if (middle && q_name_check(q_slice_of(label, (size_t)(middle - label)), "bucket", &not_ours) == Q_OK &&
            q_name_check(q_slice_cstr(middle + 2), "record", &not_ours) == Q_OK)
            rc = visit(e, label, p, err);
    }
    json_decref(results);
    return rc;
}

/* A dropped bucket's labels lose everything: what pointed to it from elsewhere is of the same bucket. */
static q_rc drop_label(q_engine *e, const char *label, const piece *p, q_err *err)
{
    nj_request r;
    q_rc rc = wipe(e, label, p, err);
    if (rc != Q_OK || !nj_request_init(&r))
        return rc;
    put_constraint(&r, "DROP CONSTRAINT `q_%s` IF EXISTS", label);
    rc = nj_do(e, &r, err);
    nj_request_free(&r);
    return rc;
}

q_rc nj_apply_ddl(q_engine *e, uint64_t epoch, const q_ddl *d, uint64_t incarnation, uint64_t seq, q_err *err)
{
    bool bucket = d->kind == Q_DDL_CREATE_BUCKET || d->kind == Q_DDL_DROP_BUCKET;
    q_slice record = bucket ? Q_SLICE_NONE : d->record;
    char label[NJ_LABEL_BYTES];
    json_t *results;
    q_rc rc = ask(e, d->bucket, record, &results, err);
    if (rc != Q_OK)
        return rc;
    nj_known known = nj_known_of(results, 0);
    json_decref(results);
    q_named *named = bucket ? &known.bucket : &known.record;
    if (!q_rule_apply_ddl(named, seq))
        return Q_OK;
    piece p = { epoch, seq };
    nj_forget(e);
    nj_label(label, d->bucket, d->record);
    if (d->kind == Q_DDL_DROP_BUCKET)
        rc = each_label(e, d->bucket, drop_label, &p, err);
    else if (d->kind == Q_DDL_DROP_RECORD || (d->kind == Q_DDL_CREATE_RECORD && named->created > named->dropped))
        rc = wipe(e, label, &p, err);
    if (rc == Q_OK && (d->kind == Q_DDL_CREATE_RECORD || d->kind == Q_DDL_ALTER_RECORD))
        rc = constrain(e, d, err);
    q_named after = q_rule_named_after(named, d->kind, incarnation, seq);
    return rc == Q_OK ? remember(e, epoch, d, record, &after, err) : rc;
}

/* ---- purge ---- */

/* Tombstones, and nodes that only stand for an id, have a label each, so that these statements need no bucket's names. */
q_rc nj_purge(q_engine *e, uint64_t epoch, uint64_t upto, q_err *err)
{
    piece p = { epoch, upto + 1 };
    q_rc rc = repeat(e, Q_SLICE_LIT("MATCH (n:_quanta_dead) WHERE n._q_seq < $below WITH n LIMIT $piece "
                                    "REMOVE n._q_seq, n._q_birth, n._q_dead, n._q_empty, n:_quanta_dead SET n:_quanta_target RETURN count(n)"), &p, err);
    if (rc != Q_OK)
        return rc;
    return repeat(e, Q_SLICE_LIT("MATCH (n:_quanta_target) WHERE NOT (n)<--() WITH n LIMIT $piece DELETE n RETURN count(*)"), &p, err);
}
