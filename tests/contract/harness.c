#include <stdarg.h>
#include <stdlib.h>

#include "schemas/document.h"
#include "tests/contract/contract.h"

_Noreturn void fail_case(contract *c, const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("    %s:%d: ", file, line);
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
    longjmp(c->failed, 1);
}

const char *rc_name(q_rc rc)
{
    static const char *const names[] = { "Q_OK", "Q_FAIL", "Q_RETRY", "Q_IN_DOUBT", "Q_FATAL", "Q_WAIT", "Q_END" };
    return rc <= Q_END ? names[rc] : "?";
}

const char *no_name(q_no no)
{
    static const char *const names[] = { "YES", "EXISTS", "MISSING", "CHANGED", "DUPLICATE_VALUE", "STALE", "LOCKED", "ENGINE_DOWN",
                                         "REFUSED" };
    return no <= Q_NO_REFUSED ? names[no] : "?";
}

/* ---- session ---- */

void reopen(contract *c)
{
    q_err err = Q_ERR_INIT;
    c->ops->close(c->e);
    c->e = NULL;
    if (c->ops->open(&c->config, &c->e, &err) != Q_OK)
        FAIL(c, "the engine can't be opened: %s", err.message);
}

void between(contract *c)
{
    if (c->way == WAY_REOPEN)
        reopen(c);
}

uint64_t next_seq(contract *c) { return ++c->seq; }

q_engine_state state_of(contract *c)
{
    q_engine_state s;
    q_err err = Q_ERR_INIT;
    if (c->ops->fence(c->e, c->epoch, &s, &err) != Q_OK)
        FAIL(c, "the epoch that it knows was refused: %s", err.message);
    return s;
}

/* ---- making ---- */

q_value str(const char *s) { return (q_value){ .type = Q_T_STRING, .s = q_slice_cstr(s) }; }
q_value num(int64_t i) { return (q_value){ .type = Q_T_INT, .i = i }; }
q_value flt(double f) { return (q_value){ .type = Q_T_FLOAT, .f = f }; }

q_value doc(contract *c, const char *json)
{
    q_value v = { .type = Q_T_DOC };
    q_err err = Q_ERR_INIT;
    if (q_doc_from_json(c->arena, q_slice_cstr(json), &v.s, &err) != Q_OK)
        FAIL(c, "a test's own document: %s", err.message);
    return v;
}

q_value rel(contract *c, uint32_t n, ...)
{
    q_value *ids = Q_NEW_ARRAY(c->arena, q_value, n + 1);
    va_list args;
    va_start(args, n);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = str(va_arg(args, const char *));
    va_end(args);
    return (q_value){ .type = Q_T_RELATION, .rel = { ids, n } };
}

int64_t sample_time(int64_t n) { return 1577836800000000 + n * 1000000; }

q_value val(contract *c, int64_t n)
{
    q_value v = Q_NULL;
    switch (c->as) {
    case Q_EN_POSTGRES: return (q_value){ .type = Q_T_STRING, .s = q_arena_printf(c->arena, "value %lld", (long long)n) };
    case Q_EN_MONGO: return doc(c, q_arena_printf(c->arena, "{\"n\": %lld, \"deep\": {\"list\": [%lld, \"x\"]}}", (long long)n,
                                                  (long long)n).ptr);
    case Q_EN_NEO4J: return rel(c, 1, q_arena_printf(c->arena, "target %lld", (long long)n).ptr);
    case Q_EN_INFLUX:
        v = flt((double)n + 0.5);
        v.at_us = sample_time(n);
        break;
    case Q_EN_COUNT: break;
    }
    return v;
}

q_field field(const char *name, q_value v) { return (q_field){ q_slice_cstr(name), v }; }

static q_item item(contract *c, q_item_op op, const char *id)
{
    return (q_item){ .op = op, .record = Q_SLICE_LIT("things"), .incarnation = c->record_incarnation, .id = str(id) };
}

static void take_fields(contract *c, q_item *i, uint32_t n, va_list args)
{
    q_field *f = Q_NEW_ARRAY(c->arena, q_field, n + 1);
    for (uint32_t k = 0; k < n; k++)
        f[k] = va_arg(args, q_field);
    i->fields = f;
    i->count = n;
}

q_item put(contract *c, const char *id, uint32_t n, ...)
{
    q_item i = item(c, Q_I_PUT, id);
    va_list args;
    va_start(args, n);
    take_fields(c, &i, n, args);
    va_end(args);
    i.full = true;
    return i;
}

q_item set(contract *c, const char *id, uint32_t n, ...)
{
    q_item i = item(c, Q_I_PUT, id);
    va_list args;
    va_start(args, n);
    take_fields(c, &i, n, args);
    va_end(args);
    return i;
}

q_item del(contract *c, const char *id) { return item(c, Q_I_DELETE, id); }

q_item chk(contract *c, const char *id, uint32_t pre) { return with_pre(item(c, Q_I_CHECK, id), pre, 0); }

q_item with_pre(q_item i, uint32_t pre, uint64_t seq_is)
{
    i.pre = pre;
    i.seq_is = seq_is;
    return i;
}

q_item with_birth(q_item i, uint64_t birth)
{
    i.birth = birth;
    return i;
}

q_item of_record(q_item i, const char *record, uint64_t incarnation)
{
    i.record = q_slice_cstr(record);
    i.incarnation = incarnation;
    return i;
}

q_item with_id(q_item i, q_value id)
{
    i.id = id;
    return i;
}

q_txn_work work_in(contract *c, uint64_t bucket_incarnation, uint64_t seq, uint32_t n, const q_item *items)
{
    q_writes w = { .bucket_incarnation = bucket_incarnation, .bucket = q_slice_cstr(c->bucket), .count = n, .items = items };
    q_buf_clear(&c->scratch);
    q_writes_encode(&w, &c->scratch);
    if (c->scratch.failed)
        FAIL(c, "a test's own writes can't be encoded");
    return (q_txn_work){ .seq = seq, .time_us = sample_time(0), .writes = q_arena_copy(c->arena, q_buf_slice(&c->scratch)) };
}

q_txn_work work(contract *c, uint64_t seq, uint32_t n, const q_item *items) { return work_in(c, c->bucket_incarnation, seq, n, items); }

/* ---- doing ---- */

void redo_works(contract *c, uint32_t n, const q_txn_work *works)
{
    q_err err = Q_ERR_INIT;
    between(c);
    q_rc rc = c->ops->commit(c->e, c->arena, c->epoch, 0, works, n, &err);
    if (rc != Q_OK)
        FAIL(c, "a commit of %u answered %s: %s", n, rc_name(rc), err.message);
    between(c);
}

void redo(contract *c, uint64_t seq, q_item i)
{
    q_txn_work w = work(c, seq, 1, &i);
    redo_works(c, 1, &w);
}

void commit_works(contract *c, uint32_t n, const q_txn_work *works)
{
    if (c->way != WAY_REDO) {
        q_err err = Q_ERR_INIT;
        q_vote *votes = Q_NEW_ARRAY(c->arena, q_vote, n + 1);
        between(c);
        q_rc rc = c->ops->prepare(c->e, c->arena, c->epoch, works, n, votes, &err);
        if (rc != Q_OK)
            FAIL(c, "a prepare of %u answered %s: %s", n, rc_name(rc), err.message);
        for (uint32_t i = 0; i < n; i++) {
            EXPECT_U64(c, votes[i].seq, works[i].seq);
            if (votes[i].no != Q_NO_NONE)
                FAIL(c, "prepare of seq %llu voted %s (%.*s) on item %u, expected YES", (unsigned long long)works[i].seq,
                     no_name(votes[i].no),
                     Q_SLICE_FMT(votes[i].text), votes[i].item);
        }
    }
    redo_works(c, n, works);
}

void commit_items(contract *c, uint64_t seq, uint32_t n, const q_item *items)
{
    q_txn_work w = work(c, seq, n, items);
    commit_works(c, 1, &w);
}

void commit(contract *c, uint64_t seq, q_item i) { commit_items(c, seq, 1, &i); }

q_vote vote_on(contract *c, uint64_t seq, uint32_t n, const q_item *items)
{
    q_err err = Q_ERR_INIT;
    q_vote v = { .seq = 0 };
    q_txn_work w = work(c, seq, n, items);
    between(c);
    q_rc rc = c->ops->prepare(c->e, c->arena, c->epoch, &w, 1, &v, &err);
    if (rc != Q_OK)
        FAIL(c, "a prepare answered %s: %s", rc_name(rc), err.message);
    EXPECT_U64(c, v.seq, seq);
    if (v.no == Q_NO_NONE) {
        between(c);
        EXPECT_RC(c, c->ops->rollback(c->e, c->epoch, &seq, 1, &err), Q_OK);
    }
    return v;
}

/* ---- definitions ---- */

q_attr attr_of(contract *c, const char *name, q_type datatype)
{
    q_attr a = { .name = q_slice_cstr(name), .kind = (q_kind)c->as, .datatype = datatype };
    if (a.kind == Q_K_RELATION) {
        a.target = Q_SLICE_LIT("targets");
        a.many = true;
    }
    return a;
}

q_attr attr(contract *c, const char *name)
{
    static const q_type types[Q_EN_COUNT] = { Q_T_STRING, Q_T_DOC, Q_T_RELATION, Q_T_FLOAT };
    return attr_of(c, name, types[c->as]);
}

q_item ddl_item(contract *c, q_ddl_kind kind, const char *record, uint64_t incarnation, uint32_t n, const q_attr *attrs)
{
    q_item i = { .op = Q_I_DDL, .record = q_slice_cstr(record), .incarnation = incarnation };
    q_attr *all = Q_NEW_ARRAY(c->arena, q_attr, n + 1);
    uint32_t count = 0;
    if (kind == Q_DDL_CREATE_RECORD)
        all[count++] = (q_attr){ .name = Q_SLICE_LIT("id"), .kind = Q_K_SCALAR, .datatype = Q_T_STRING };
    for (uint32_t k = 0; k < n; k++)
        all[count++] = attrs[k];
    i.ddl = (q_ddl){ .kind = kind, .bucket = q_slice_cstr(c->bucket), .record = q_slice_cstr(record), .count = count, .attrs = all };
    return i;
}

uint64_t create_bucket(contract *c)
{
    uint64_t seq = next_seq(c);
    q_item i = ddl_item(c, Q_DDL_CREATE_BUCKET, "", seq, 0, NULL);
    c->bucket_incarnation = seq;
    commit(c, seq, i);
    return seq;
}

uint64_t drop_bucket(contract *c)
{
    uint64_t seq = next_seq(c);
    commit(c, seq, ddl_item(c, Q_DDL_DROP_BUCKET, "", c->bucket_incarnation, 0, NULL));
    return seq;
}

uint64_t create_record(contract *c, const char *record, uint32_t n, const q_attr *attrs)
{
    uint64_t seq = next_seq(c);
    commit(c, seq, ddl_item(c, Q_DDL_CREATE_RECORD, record, seq, n, attrs));
    return seq;
}

uint64_t alter_record(contract *c, const char *record, uint64_t incarnation, uint32_t n, const q_attr *attrs)
{
    uint64_t seq = next_seq(c);
    commit(c, seq, ddl_item(c, Q_DDL_ALTER_RECORD, record, incarnation, n, attrs));
    return seq;
}

uint64_t drop_record(contract *c, const char *record, uint64_t incarnation)
{
    uint64_t seq = next_seq(c);
    commit(c, seq, ddl_item(c, Q_DDL_DROP_RECORD, record, incarnation, 0, NULL));
    return seq;
}

/* ---- looking ---- */

q_rows read_rows(contract *c, const q_read *read)
{
    q_err err = Q_ERR_INIT;
    q_rows rows;
    between(c);
    q_rc rc = c->ops->read(c->e, c->arena, read, &rows, &err);
    if (rc != Q_OK)
        FAIL(c, "a read answered %s: %s", rc_name(rc), err.message);
    EXPECT_U64(c, rows.read_id, read->read_id);
    EXPECT_U64(c, rows.attr_count, read->attr_count);
    return rows;
}

q_read scan_of(contract *c, const char *record, uint64_t incarnation, uint32_t limit)
{
    return (q_read){ .read_id = 77, .kind = Q_R_SCAN, .bucket = q_slice_cstr(c->bucket), .record = q_slice_cstr(record),
                     .incarnation = incarnation,
                     .limit = limit };
}

const q_row *look_at(contract *c, const char *record, uint64_t incarnation, q_value id, uint32_t n, const q_slice *attrs)
{
    q_read r = { .read_id = 5, .kind = Q_R_IDS, .bucket = q_slice_cstr(c->bucket), .record = q_slice_cstr(record),
                 .incarnation = incarnation,
                 .attr_count = n, .attrs = attrs, .id_count = 1, .ids = &id, .limit = 1 };
    q_rows rows = read_rows(c, &r);
    if (rows.count == 0)
        return NULL;
    EXPECT_U64(c, rows.count, 1);
    EXPECT(c, q_value_same(&rows.rows[0].id, &id));
    return &rows.rows[0];
}

const q_row *look(contract *c, const char *id)
{
    static const q_slice ab[2] = { { "a", 1 }, { "b", 1 } };
    return look_at(c, "things", c->record_incarnation, str(id), 2, ab);
}

const q_row *must_see(contract *c, const char *file, int line, const char *id)
{
    const q_row *row = look(c, id);
    c->checks++;
    if (!row)
        fail_case(c, file, line, "%s isn't there", id);
    return row;
}

void expect_value(contract *c, const char *file, int line, const q_row *row, uint32_t i, q_value want)
{
    c->checks++;
    if (!row)
        fail_case(c, file, line, "there is no row");
    const q_value *is = &row->values[i];
    if (q_value_same(is, &want) && is->at_us == want.at_us)
        return;
    q_buf a = Q_BUF_INIT(4096), b = Q_BUF_INIT(4096);
    q_value_text(is, &a);
    q_value_text(&want, &b);
    q_slice as = q_arena_copy(c->arena, q_buf_slice(&a)), bs = q_arena_copy(c->arena, q_buf_slice(&b));
    q_buf_free(&a);
    q_buf_free(&b);
    fail_case(c, file, line, "value %u is %s %.*s at %lld, expected %s %.*s at %lld", i, q_type_name(is->type), Q_SLICE_FMT(as),
              (long long)is->at_us,
              q_type_name(want.type), Q_SLICE_FMT(bs), (long long)want.at_us);
}
