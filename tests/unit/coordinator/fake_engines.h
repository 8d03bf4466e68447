/* fake_engines.h - four engines as one list of parts, simple enough to be right by looking; and a driver that runs whole statements.
 *
 * A part is (engine, record, id): attributes with values, _q_seq, birth. Reads answer from the list; predicates are applied exactly or
 * not at all (an engine may do either), pages are as small as a test likes. Prepare checks preconditions, commit applies. */
#ifndef Q_TEST_FAKE_ENGINES_H
#define Q_TEST_FAKE_ENGINES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "coordinator/eval.h"
#include "coordinator/exec.h"
#include "schemas/document.h"

typedef struct fake_attr { q_slice name; q_value value; uint64_t seq; } fake_attr;

typedef struct fake_part {
    q_engine_id engine;
    q_slice record;
    q_value id;
    bool live;
    uint64_t seq, birth;
    uint32_t count;
    fake_attr attrs[64];
} fake_part;

typedef struct fake_db {
    q_arena *arena;          /* of what is stored */
    q_catalog *catalog;
    q_slice bucket;
    fake_part *parts;
    size_t count, cap;
    uint64_t seq;
    int64_t time_us;
    bool ignore_preds;       /* scans answer with everything */
    bool stale_points;       /* Influx: a DELETE that comes late: the points are still there */
    uint32_t page;           /* rows of one answer at most; 0: as many as asked */
    uint32_t too_large;      /* IDS of more ids than this are refused as too large; 0: never */
    /* of the last run */
    q_arena *run;            /* the transaction's */
    q_arena *answer;         /* of one read */
    uint32_t rounds, reads, rows_sent, retried_blind;
    uint32_t engines_read;   /* mask */
    q_lockset locks;
    q_exec_outcome out;
    q_writes writes[Q_EN_COUNT];
    q_err err;
    q_buf log;               /* of reads: "pg ids drivers[name] 2; …" */
} fake_db;

static const char *const FAKE_ENGINES[] = { "pg", "mongo", "neo4j", "influx" };

/* ---- parts ---- */

static inline fake_part *fake_find(fake_db *db, q_engine_id e, q_slice record, const q_value *id)
{
    for (size_t i = 0; i < db->count; i++)
        if (db->parts[i].engine == e && q_slice_eq(db->parts[i].record, record) && q_value_same(&db->parts[i].id, id))
            return &db->parts[i];
    return NULL;
}

static inline const q_value *fake_value(const fake_part *p, q_slice attr)
{
    static const q_value nothing = { .type = Q_T_NULL };
    if (q_slice_eq(attr, Q_SLICE_LIT("id")))
        return &p->id;
    for (uint32_t i = 0; i < p->count; i++)
        if (q_slice_eq(p->attrs[i].name, attr))
            return &p->attrs[i].value;
    return &nothing;
}

static inline void fake_put(fake_db *db, fake_part *p, const q_field *f, uint64_t seq)
{
    uint32_t i = 0;
    while (i < p->count && !q_slice_eq(p->attrs[i].name, f->attr))
        i++;
    if (i == p->count) {
        assert_true(p->count < 64);
        p->attrs[p->count++] = (fake_attr){ .name = q_arena_copy(db->arena, f->attr) };
    } else if (p->engine == Q_EN_INFLUX && f->value.at_us < p->attrs[i].value.at_us) {
        return; /* the latest value is the one with the greatest (time, seq) */
    }
    assert_true(q_value_copy(db->arena, &f->value, &p->attrs[i].value) || f->value.type == Q_T_NULL);
    p->attrs[i].value.at_us = f->value.at_us;
    p->attrs[i].seq = seq;
}

static inline q_no fake_vote(fake_db *db, q_engine_id e, const q_item *it, uint64_t seq)
{
    const fake_part *p = fake_find(db, e, it->record, &it->id);
    bool live = p && p->live;
    if (it->op == Q_I_DDL)
        return Q_NO_NONE;
    if (p && p->seq >= seq)
        return Q_NO_STALE;
    if (it->pre & Q_PRE_EXISTS && !live)
        return Q_NO_MISSING;
    if (it->pre & Q_PRE_NOT_EXISTS && live)
        return Q_NO_EXISTS;
    if (it->pre & Q_PRE_SEQ_IS && (live ? p->seq : 0) != it->seq_is)
        return Q_NO_CHANGED;
    return Q_NO_NONE;
}

static inline void fake_apply(fake_db *db, q_engine_id e, const q_item *it, uint64_t seq)
{
    fake_part *p = fake_find(db, e, it->record, &it->id);
    if (it->op == Q_I_CHECK || it->op == Q_I_DDL)
        return;
    if (!p) {
        if (db->count == db->cap) {
            db->cap = db->cap ? db->cap * 2 : 64;
            db->parts = realloc(db->parts, db->cap * sizeof *db->parts);
            assert_non_null(db->parts);
        }
        p = &db->parts[db->count++];
        *p = (fake_part){ .engine = e, .record = q_arena_copy(db->arena, it->record) };
        assert_true(q_value_copy(db->arena, &it->id, &p->id));
    }
    bool was = p->live;
    p->seq = seq;
    if (it->op == Q_I_DELETE && e == Q_EN_INFLUX && db->stale_points)
        return;
    if (it->op == Q_I_DELETE) {
        p->live = false;
        p->count = 0;
        return;
    }
    if (it->full || !was) {
        p->count = 0;
        p->birth = it->birth ? it->birth : seq;
    }
    p->live = true;
    for (uint32_t i = 0; i < it->count; i++)
        fake_put(db, p, &it->fields[i], seq);
}

/* ---- reads ---- */

static inline bool fake_pred(fake_db *db, const fake_part *p, const q_pred *pr)
{
    static const q_op ops[] = { [Q_C_EQ] = Q_OP_EQ, [Q_C_NE] = Q_OP_NE, [Q_C_LT] = Q_OP_LT, [Q_C_LE] = Q_OP_LE, [Q_C_GT] = Q_OP_GT,
                                [Q_C_GE] = Q_OP_GE };
    q_value v = *fake_value(p, pr->attr);
    if (pr->step_count) {
        q_step steps[Q_MAX_DOC_STEPS];
        for (uint32_t i = 0; i < pr->step_count; i++) {
            bool digits = pr->steps[i].len && pr->steps[i].ptr[0] >= '0' && pr->steps[i].ptr[0] <= '9';
            steps[i] = (q_step){ .is_index = digits, .key = pr->steps[i], .index = digits ? strtoll(pr->steps[i].ptr, NULL, 10) : 0 };
        }
        q_slice doc = v.s;
        if (v.type != Q_T_DOC || q_doc_get(db->answer, doc, steps, pr->step_count, &v, &db->err) != Q_OK)
            v = Q_NULL;
    }
    if (pr->op == Q_C_IS_NULL)
        return v.type == Q_T_NULL;
    if (v.type == Q_T_NULL)
        return false;
    switch (pr->op) {
    case Q_C_NOT_NULL:
        return true;
    case Q_C_LIKE:
        return v.type == Q_T_STRING && q_like(v.s, pr->values[0].s);
    case Q_C_IN:
        for (uint32_t i = 0; i < pr->count; i++)
            if (q_compare(Q_OP_EQ, &v, &pr->values[i]) == Q_TRUE)
                return true;
        return false;
    default:
        return q_compare(ops[pr->op], &v, &pr->values[0]) == Q_TRUE;
    }
}

static inline bool fake_wanted(fake_db *db, const q_exec_read *er, const fake_part *p)
{
    const q_read *r = &er->read;
    if (p->engine != er->engine || !p->live || !q_slice_eq(p->record, r->record) || p->seq < r->incarnation)
        return false;
    if (r->kind == Q_R_SCAN) {
        if (r->has_after && q_value_cmp(&p->id, &r->after) <= 0)
            return false;
        for (uint32_t i = 0; i < r->pred_count && !db->ignore_preds; i++)
            if (!fake_pred(db, p, &r->preds[i]))
                return false;
        return true;
    }
    for (uint32_t i = 0; i < r->id_count; i++) {
        if (r->kind == Q_R_IDS && q_value_same(&p->id, &r->ids[i]))
            return true;
        const q_value *rel = r->kind == Q_R_REFERRERS ? fake_value(p, r->attrs[0]) : NULL;
        for (uint32_t j = 0; rel && rel->type == Q_T_RELATION && j < rel->rel.count; j++)
            if (q_value_same(&rel->rel.items[j], &r->ids[i]))
                return true;
    }
    return false;
}

static inline int fake_by_id(const void *a, const void *b) { return q_value_cmp(&((const q_row *)a)->id, &((const q_row *)b)->id); }

static inline q_rows fake_read(fake_db *db, const q_exec_read *er)
{
    const q_read *r = &er->read;
    q_rows out = { .read_id = r->read_id, .rc = Q_OK, .attr_count = r->attr_count };
    if (r->kind == Q_R_IDS && db->too_large && r->id_count > db->too_large) {
        out.rc = Q_FAIL;
        out.code = Q_E_RESULT_TOO_LARGE;
        return out;
    }
    q_row *rows = Q_NEW_ARRAY(db->answer, q_row, db->count + 1);
    for (size_t i = 0; i < db->count; i++) {
        const fake_part *p = &db->parts[i];
        if (!fake_wanted(db, er, p))
            continue;
        q_value *values = Q_NEW_ARRAY(db->answer, q_value, r->attr_count + 1);
        for (uint32_t j = 0; j < r->attr_count; j++)
            values[j] = *fake_value(p, r->attrs[j]);
        rows[out.count++] = (q_row){ .id = p->id, .seq = p->seq, .birth = p->birth, .values = values };
    }
    if (r->kind == Q_R_SCAN) {
        qsort(rows, out.count, sizeof *rows, fake_by_id);
        uint32_t limit = db->page && db->page < r->limit ? db->page : r->limit;
        if (out.count > limit) {
            out.count = limit;
            out.more = true;
        }
    } else if (out.count > r->limit) {
        out.count = r->limit;
    }
    out.rows = rows;
    return out;
}

/* ---- running a message ---- */

static inline void fake_open(fake_db *db, const char *bucket)
{
    memset(db, 0, sizeof *db);
    db->arena = q_arena_new(0);
    db->run = q_arena_new(0);
    db->answer = q_arena_new(0);
    db->catalog = q_catalog_new();
    db->bucket = q_slice_cstr(bucket);
    db->seq = 0;
    db->time_us = INT64_C(1700000000000000);
    db->log = Q_BUF_INIT(1 << 20);
}

static inline void fake_close(fake_db *db)
{
    q_catalog_unref(db->catalog);
    q_arena_free(db->arena);
    q_arena_free(db->run);
    q_arena_free(db->answer);
    q_buf_free(&db->log);
    free(db->parts);
}

static inline void fake_log_read(fake_db *db, const q_exec_read *er)
{
    static const char *const kinds[] = { "", "ids", "scan", "referrers" };
    const q_read *r = &er->read;
    q_buf_printf(&db->log, "%s%s %s %.*s[", db->log.len ? "; " : "", FAKE_ENGINES[er->engine], kinds[r->kind], Q_SLICE_FMT(r->record));
    for (uint32_t i = 0; i < r->attr_count; i++)
        q_buf_printf(&db->log, "%s%.*s", i ? "," : "", Q_SLICE_FMT(r->attrs[i]));
    q_buf_printf(&db->log, "]");
    if (r->kind == Q_R_SCAN)
        q_buf_printf(&db->log, " %u preds", r->pred_count);
    else
        q_buf_printf(&db->log, " %u", r->id_count);
}

/* Runs until DONE or FAILED; answers reads. */
static inline q_exec_state fake_drive(fake_db *db, q_exec *x)
{
    const q_exec_read *reads;
    size_t n;
    for (;;) {
        q_exec_state s = q_exec_next(x, &reads, &n, &db->out, &db->err);
        if (s != Q_EXEC_READS)
            return s;
        db->rounds++;
        q_buf_add_cstr(&db->log, db->log.len ? " |" : "");
        for (size_t i = 0; i < n; i++) {
            fake_log_read(db, &reads[i]);
            db->reads++;
            db->engines_read |= Q_EN_BIT(reads[i].engine);
            q_arena_reset(db->answer); /* nothing of an answer is kept by pointer */
            q_rows rows = fake_read(db, &reads[i]);
            db->rows_sent += rows.count;
            if (q_exec_feed(x, rows.read_id, &rows, &db->err) != Q_OK)
                return Q_EXEC_FAILED;
        }
    }
}

static inline bool fake_commit(fake_db *db, q_exec *x, bool *again)
{
    q_exec_outcome *o = &db->out;
    *again = false;
    for (int e = 0; e < Q_EN_COUNT; e++) {
        db->writes[e] = (q_writes){ 0 };
        if (!(o->participants & Q_EN_BIT(e)))
            continue;
        assert_int_equal(q_writes_decode(db->run, o->writes[e], &db->writes[e], &db->err), Q_OK);
        for (uint32_t i = 0; i < db->writes[e].count; i++) {
            q_vote v = { .seq = db->seq, .no = fake_vote(db, (q_engine_id)e, &db->writes[e].items[i], db->seq), .item = i };
            if (v.no == Q_NO_NONE)
                continue;
            *again = v.no == Q_NO_MISSING && o->may_be_missing;
            if (!*again)
                q_exec_refused(x, (q_engine_id)e, &v, &db->err);
            return false;
        }
    }
    for (int e = 0; e < Q_EN_COUNT; e++)
        for (uint32_t i = 0; i < db->writes[e].count; i++)
            fake_apply(db, (q_engine_id)e, &db->writes[e].items[i], db->seq);
    return true;
}

static inline void fake_reset_counts(fake_db *db)
{
    q_arena_reset(db->run);
    db->rounds = db->reads = db->rows_sent = db->retried_blind = db->engines_read = 0;
    db->err = Q_ERR_INIT;
    q_buf_clear(&db->log);
    memset(&db->out, 0, sizeof db->out);
    memset(db->writes, 0, sizeof db->writes);
}

/* Parses, checks, plans. NULL: db->err says why not. */
static inline q_exec *fake_plan(fake_db *db, const char *text, q_script **script)
{
    q_exec *x = NULL;
    fake_reset_counts(db);
    if (q_ql_parse(db->run, q_slice_cstr(text), script, &db->err) != Q_OK ||
        q_ql_check(db->run, *script, db->catalog, db->bucket, NULL, 0, &db->err) != Q_OK ||
        q_exec_plan(db->run, db->catalog, *script, &x, &db->locks, &db->err) != Q_OK)
        return NULL;
    return x;
}

/* One message, to its end. The JSON array of results, or NULL: db->err says why. */
static inline const char *fake_run(fake_db *db, const char *text)
{
    q_script *script;
    q_exec *x = fake_plan(db, text, &script);
    if (!x)
        return NULL;
    bool blind = true, again;
    for (;;) {
        db->seq++;
        db->time_us += 1000000;
        q_exec_start(x, script->read_only ? 0 : db->seq, db->time_us, blind);
        if (fake_drive(db, x) != Q_EXEC_DONE)
            return NULL;
        if (db->out.rollback || fake_commit(db, x, &again))
            break;
        if (!again)
            return NULL;
        db->retried_blind++;
        blind = false;
    }
    if (script->ddl && db->out.participants) {
        q_catalog *next;
        assert_int_equal(q_catalog_apply(db->catalog, &script->stmts[script->count - 1].ddl, db->seq, &next, &db->err), Q_OK);
        q_catalog_unref(db->catalog);
        db->catalog = next;
    }
    q_buf b = Q_BUF_INIT(64 << 20);
    q_buf_add_cstr(&b, "[");
    for (uint32_t i = 0; i < db->out.result_count; i++) {
        q_buf_add_cstr(&b, i ? "," : "");
        q_buf_add_slice(&b, db->out.results[i]);
    }
    q_buf_add_cstr(&b, "]");
    q_slice s = q_arena_copy(db->run, q_buf_slice(&b));
    q_buf_free(&b);
    return s.ptr;
}

/* ---- expectations ---- */

static inline void fake_fail(fake_db *db, const char *text)
{
    fail_msg("%s\n  %s: %s (statement %u, %u:%u)", text, q_code_name(db->err.code), db->err.message, db->err.statement, db->err.line,
             db->err.column);
}

static inline const char *must_run(fake_db *db, const char *text)
{
    const char *s = fake_run(db, text);
    if (!s)
        fake_fail(db, text);
    return s;
}

/* The "rows" of the last statement's result, as JSON. */
static inline void expect_rows(fake_db *db, const char *text, const char *rows)
{
    const char *s = must_run(db, text), *at = NULL;
    for (const char *p = s; (p = strstr(p, "\"rows\":")); p++)
        at = p + 7;
    if (!at)
        fail_msg("%s\n  no rows: %s", text, s);
    size_t len = strlen(at) - 2; /* }] */
    if (len != strlen(rows) || memcmp(at, rows, len) != 0)
        fail_msg("%s\n  expected %s\n  got      %.*s\n  reads    %.*s", text, rows, (int)len, at, (int)db->log.len, db->log.ptr);
}

static inline void expect_count(fake_db *db, const char *text, int count)
{
    char want[40];
    const char *s = must_run(db, text), *at = NULL;
    for (const char *p = s; (p = strstr(p, "\"count\":")); p++)
        at = p;
    snprintf(want, sizeof want, "\"count\":%d}", count);
    if (!at || strncmp(at, want, strlen(want)) != 0)
        fail_msg("%s\n  expected %s\n  got %s", text, want, s);
}

static inline void expect_error(fake_db *db, const char *text, q_code code)
{
    const char *s = fake_run(db, text);
    if (s)
        fail_msg("%s\n  expected %s, got %s", text, q_code_name(code), s);
    if (db->err.code != code)
        fake_fail(db, text);
}

static inline void expect_reads(fake_db *db, const char *log)
{
    if (db->log.len != strlen(log) || memcmp(db->log.ptr ? db->log.ptr : "", log, db->log.len) != 0)
        fail_msg("expected reads %s\n  got            %.*s", log, (int)db->log.len, db->log.ptr ? db->log.ptr : "");
}

#endif
