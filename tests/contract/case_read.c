/* case_read.c - point reads, scans in pages, predicates, referrers. */
#include "tests/contract/contract.h"

static void id_of(char *to, size_t n, int i) { snprintf(to, n, "id%05d", i); }

static void fill(contract *c, int n)
{
    char id[16];
    q_txn_work *works = Q_NEW_ARRAY(c->arena, q_txn_work, (size_t)n);
    for (int i = 0; i < n; i++) {
        id_of(id, sizeof id, (i * 7919) % n);
        q_item one = put(c, q_arena_copy(c->arena, q_slice_cstr(id)).ptr, 1, field("a", val(c, (i * 7919) % n)));
        works[i] = work(c, next_seq(c), 1, &one);
    }
    redo_works(c, (uint32_t)n, works);
}

static void several_ids_at_once(contract *c)
{
    static const q_slice a[1] = { { "a", 1 } };
    fill(c, 20);
    commit(c, next_seq(c), del(c, "id00003"));
    const q_value ids[] = { str("id00005"), str("nobody"), str("id00003"), str("id00001"), str("id00019") };
    q_read r = { .read_id = 9, .kind = Q_R_IDS, .bucket = q_slice_cstr(c->bucket), .record = Q_SLICE_LIT("things"),
                 .incarnation = c->record_incarnation,
                 .attr_count = 1, .attrs = a, .id_count = 5, .ids = ids, .limit = 100 };
    q_rows rows = read_rows(c, &r);
    EXPECT_U64(c, rows.count, 3);
    int seen = 0;
    for (uint32_t i = 0; i < rows.count; i++) {
        int n = (int)(rows.rows[i].id.s.ptr[rows.rows[i].id.s.len - 1] - '0');
        seen |= 1 << n;
        EXPECT_VALUE(c, &rows.rows[i], 0, val(c, n == 9 ? 19 : n));
    }
    EXPECT_U64(c, (uint64_t)seen, 1u << 5 | 1u << 1 | 1u << 9);
}

static void unknown_names_have_no_rows(contract *c)
{
    q_read r = scan_of(c, "nothing", 1, 10);
    EXPECT_U64(c, read_rows(c, &r).count, 0);
    r.bucket = Q_SLICE_LIT("nobody");
    EXPECT_U64(c, read_rows(c, &r).count, 0);
    r = scan_of(c, "things", c->record_incarnation, 10);
    EXPECT_U64(c, read_rows(c, &r).count, 0);
}

static void scan_in_pages(contract *c)
{
    enum { N = 250, PAGE = 60 };
    static const q_slice a[1] = { { "a", 1 } };
    char id[16];
    int next = 0;
    fill(c, N);
    q_read r = scan_of(c, "things", c->record_incarnation, PAGE);
    r.attr_count = 1;
    r.attrs = a;
    for (bool more = true; more;) {
        q_rows rows = read_rows(c, &r);
        EXPECT(c, rows.count <= PAGE);
        EXPECT(c, rows.count > 0);
        for (uint32_t i = 0; i < rows.count; i++, next++) {
            id_of(id, sizeof id, next);
            q_value want = str(id);
            EXPECT(c, q_value_same(&rows.rows[i].id, &want));
            EXPECT_VALUE(c, &rows.rows[i], 0, val(c, next));
        }
        more = rows.more;
        r.has_after = true;
        r.after = rows.rows[rows.count - 1].id;
        EXPECT(c, more == (next < N) || next == N); /* `more` may be said once too often, never too seldom */
    }
    EXPECT_U64(c, (uint64_t)next, N);
    r.after = str("id00249");
    EXPECT_U64(c, read_rows(c, &r).count, 0);
    r.after = str("id000995"); /* between two ids */
    EXPECT(c, q_value_same(&read_rows(c, &r).rows[0].id, &(q_value){ .type = Q_T_STRING, .s = Q_SLICE_LIT("id00100") }));
}

static void scan_stops_at_a_messages_size(contract *c)
{
    enum { N = 24, EACH = 400000 };
    static const q_slice a[1] = { { "a", 1 } };
    char *text = q_arena_alloc(c->arena, EACH + 16);
    uint32_t all = 0, pages = 0;
    for (int i = 0; i < N; i++) {
        memset(text, 'a' + i, EACH);
        text[EACH] = '\0';
        q_value v = str(text);
        if (c->as == Q_EN_MONGO)
            v = doc(c, q_arena_printf(c->arena, "[\"%s\"]", text).ptr);
        if (c->as == Q_EN_NEO4J) {
            v.type = Q_T_RELATION;
            q_value *ids = Q_NEW_ARRAY(c->arena, q_value, Q_MAX_RELATION_IDS);
            for (uint32_t k = 0; k < 3000; k++)
                ids[k] = str(q_arena_printf(c->arena, "%0128u", k).ptr);
            v.rel.items = ids;
            v.rel.count = 3000;
        }
        commit(c, next_seq(c), put(c, q_arena_printf(c->arena, "id%02d", i).ptr, 1, field("a", v)));
    }
    q_read r = scan_of(c, "things", c->record_incarnation, 1000);
    r.attr_count = 1;
    r.attrs = a;
    for (bool more = true; more; pages++) {
        q_rows rows = read_rows(c, &r);
        size_t bytes = 0;
        EXPECT(c, rows.count > 0);
        for (uint32_t i = 0; i < rows.count; i++)
            bytes += q_value_size(&rows.rows[i].values[0]);
        EXPECT(c, bytes <= Q_READ_MAX_BYTES);
        all += rows.count;
        more = rows.more;
        r.has_after = true;
        r.after = rows.rows[rows.count - 1].id;
    }
    EXPECT_U64(c, all, N);
    EXPECT(c, pages >= 2);
    /* Point reads have no pages: too much at once is refused, fewer are answered. */
    q_value *ids = Q_NEW_ARRAY(c->arena, q_value, N);
    for (int i = 0; i < N; i++)
        ids[i] = str(q_arena_printf(c->arena, "id%02d", i).ptr);
    q_read points = { .read_id = 1, .kind = Q_R_IDS, .bucket = r.bucket, .record = r.record, .incarnation = r.incarnation, .attr_count = 1,
                      .attrs = a,
                      .id_count = N, .ids = ids, .limit = N };
    q_rows rows;
    q_err err = Q_ERR_INIT;
    EXPECT_RC(c, c->ops->read(c->e, c->arena, &points, &rows, &err), Q_FAIL);
    EXPECT_U64(c, err.code, Q_E_RESULT_TOO_LARGE);
    points.id_count = 5;
    EXPECT_U64(c, read_rows(c, &points).count, 5);
}

/* Does the row of number n match? n == -1: the attribute is NULL. What SQL says; true and unknown are told apart by the caller. */
static bool matches(int n, q_cmp_op op, int v)
{
    switch (op) {
    case Q_C_EQ: return n >= 0 && n == v;
    case Q_C_NE: return n >= 0 && n != v;
    case Q_C_LT: return n >= 0 && n < v;
    case Q_C_LE: return n >= 0 && n <= v;
    case Q_C_GT: return n >= 0 && n > v;
    case Q_C_GE: return n >= 0 && n >= v;
    case Q_C_IN: return n >= 0 && (n == v || n == 3);
    case Q_C_IS_NULL: return n < 0;
    case Q_C_NOT_NULL: return n >= 0;
    case Q_C_LIKE: break;
    }
    return true;
}

/* For each operator: every row that matches is among the answer, nothing that isn't stored is. An engine may answer more. */
static void predicates_never_lose_a_row(contract *c)
{
    enum { N = 10 };
    static const q_slice step[1] = { { "n", 1 } };
    const q_cmp_op ops[] = { Q_C_EQ, Q_C_NE, Q_C_LT, Q_C_LE, Q_C_GT, Q_C_GE, Q_C_IN, Q_C_IS_NULL, Q_C_NOT_NULL };
    for (int i = 0; i < N; i++)
        commit(c, next_seq(c), put(c, q_arena_printf(c->arena, "id%d", i).ptr, 1, field("a", val(c, i))));
    if (c->as != Q_EN_INFLUX)
        commit(c, next_seq(c), put(c, "null", 0));
    for (size_t o = 0; o < sizeof ops / sizeof ops[0]; o++)
        for (int v = -1; v <= N; v += 3) {
            q_value values[2] = { c->as == Q_EN_MONGO ? num(v) : val(c, v), c->as == Q_EN_MONGO ? num(3) : val(c, 3) };
            q_pred p = { .attr = Q_SLICE_LIT("a"), .op = ops[o], .count = ops[o] == Q_C_IN ? 2 : ops[o] >= Q_C_IS_NULL ? 0 : 1,
                         .values = values };
            if (c->as == Q_EN_MONGO) {
                p.step_count = 1;
                p.steps = step;
            }
            q_read r = scan_of(c, "things", c->record_incarnation, 100);
            r.pred_count = 1;
            r.preds = &p;
            q_rows rows = read_rows(c, &r);
            unsigned seen = 0;
            for (uint32_t i = 0; i < rows.count; i++) {
                q_slice id = rows.rows[i].id.s;
                unsigned bit = q_slice_eq(id, Q_SLICE_LIT("null")) ? 1u << N : 1u << (id.ptr[2] - '0');
                EXPECT(c, !(seen & bit));
                seen |= bit;
            }
            for (int n = 0; n < N; n++)
                if (matches(n, ops[o], v) && !(seen & 1u << n))
                    FAIL(c, "operator %d with %d lost row %d", (int)ops[o], v, n);
            if (c->as != Q_EN_INFLUX && matches(-1, ops[o], v) && !(seen & 1u << N))
                FAIL(c, "operator %d with %d lost the row that has no value", (int)ops[o], v);
        }
}

static void unusable_predicates_are_harmless(contract *c)
{
    static const q_slice steps[2] = { { "deep", 4 }, { "list", 4 } };
    q_value wrong = { .type = Q_T_BYTES, .s = Q_SLICE_LIT("x") };
    const q_pred preds[] = {
        { .attr = Q_SLICE_LIT("a"), .op = Q_C_EQ, .count = 0 },
        { .attr = Q_SLICE_LIT("a"), .step_count = 2, .steps = steps, .op = Q_C_NOT_NULL },
        { .attr = Q_SLICE_LIT("a"), .op = Q_C_LIKE, .count = 1, .values = &wrong },
    };
    commit(c, next_seq(c), put(c, "x", 1, field("a", val(c, 1))));
    for (size_t i = 0; i < sizeof preds / sizeof preds[0]; i++) {
        if (i == 1 && c->as != Q_EN_MONGO)
            continue; /* steps lead into documents only */
        q_read r = scan_of(c, "things", c->record_incarnation, 100);
        r.pred_count = 1;
        r.preds = &preds[i];
        q_rows rows = read_rows(c, &r);
        EXPECT(c, rows.count <= 1);
        if (i != 2)
            EXPECT_U64(c, rows.count, 1);
    }
}

/* ---- relations ---- */

static q_rows referrers(contract *c, uint32_t limit, const char *after, uint32_t n, const q_value *ids)
{
    static const q_slice a[1] = { { "a", 1 } };
    q_read r = { .read_id = 3, .kind = Q_R_REFERRERS, .bucket = q_slice_cstr(c->bucket), .record = Q_SLICE_LIT("things"),
                 .incarnation = c->record_incarnation,
                 .attr_count = 1, .attrs = a, .id_count = n, .ids = ids, .has_after = after != NULL, .limit = limit };
    if (after)
        r.after = str(after);
    return read_rows(c, &r);
}

static void expect_referrers(contract *c, const char *target, const char *want)
{
    q_value id = str(target);
    q_rows rows = referrers(c, 100, NULL, 1, &id);
    q_buf got = Q_BUF_INIT(1000);
    for (uint32_t i = 0; i < rows.count; i++) {
        q_buf_add_slice(&got, rows.rows[i].id.s);
        q_buf_add_byte(&got, ' ');
    }
    q_slice is = q_arena_copy(c->arena, q_buf_slice(&got));
    q_buf_free(&got);
    c->checks++;
    if (!q_slice_eq(is, q_slice_cstr(want)))
        FAIL(c, "%s is referred to by \"%.*s\", expected \"%s\"", target, Q_SLICE_FMT(is), want);
}

static void referrers_follow_every_change(contract *c)
{
    commit(c, next_seq(c), put(c, "p", 2, field("a", rel(c, 1, "t1")), field("b", rel(c, 1, "t9"))));
    commit(c, next_seq(c), put(c, "q", 1, field("a", rel(c, 3, "t2", "t1", "t2"))));
    expect_referrers(c, "t1", "p q ");
    expect_referrers(c, "t2", "q ");
    expect_referrers(c, "t9", ""); /* by another relation */
    commit(c, next_seq(c), set(c, "p", 1, field("a", rel(c, 2, "t2", "t3"))));
    expect_referrers(c, "t1", "q ");
    expect_referrers(c, "t2", "p q ");
    commit(c, next_seq(c), set(c, "q", 1, field("a", Q_NULL)));
    expect_referrers(c, "t2", "p ");
    commit(c, next_seq(c), put(c, "p", 1, field("b", rel(c, 1, "t2"))));
    expect_referrers(c, "t2", "");
    commit(c, next_seq(c), set(c, "q", 1, field("a", rel(c, 1, "q"))));
    expect_referrers(c, "q", "q "); /* itself */
    commit(c, next_seq(c), del(c, "q"));
    expect_referrers(c, "q", "");
    expect_referrers(c, "nobody", "");
}

static void referrers_of_several_in_pages(contract *c)
{
    const q_value ids[3] = { str("t1"), str("t2"), str("nobody") };
    for (int i = 0; i < 30; i++)
        commit(c, next_seq(c), put(c, q_arena_printf(c->arena, "id%02d", i).ptr, 1,
                                   field("a", i % 3 == 0 ? rel(c, 1, "t1") : i % 3 == 1 ? rel(c, 1, "t2") : rel(c, 2, "t1", "t2"))));
    int next = 0;
    const char *after = NULL;
    for (bool more = true; more;) {
        q_rows rows = referrers(c, 7, after, 3, ids);
        EXPECT(c, rows.count > 0 && rows.count <= 7);
        for (uint32_t i = 0; i < rows.count; i++, next++) {
            q_value want = str(q_arena_printf(c->arena, "id%02d", next).ptr);
            EXPECT(c, q_value_same(&rows.rows[i].id, &want));
        }
        more = rows.more;
        after = q_arena_copy(c->arena, rows.rows[rows.count - 1].id.s).ptr;
    }
    EXPECT_U64(c, (uint64_t)next, 30);
}

static void order_of_a_relation_is_kept(contract *c)
{
    uint64_t birth = next_seq(c);
    commit(c, birth, put(c, "x", 1, field("a", rel(c, 4, "d", "a", "c", "b"))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, rel(c, 4, "d", "a", "c", "b"));
    commit(c, next_seq(c), set(c, "x", 1, field("a", rel(c, 5, "d", "a", "e", "c", "b"))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, rel(c, 5, "d", "a", "e", "c", "b"));
    commit(c, next_seq(c), set(c, "x", 1, field("a", rel(c, 2, "b", "a"))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, rel(c, 2, "b", "a"));
    commit(c, next_seq(c), set(c, "x", 1, field("a", rel(c, 0))));
    EXPECT_VALUE(c, EXPECT_THERE(c, "x"), 0, rel(c, 0)); /* an empty one isn't NULL */
}

#define RELATIONS "Neo4j holds relations"

const contract_case read_cases[] = {
    { "several_ids_at_once", several_ids_at_once, ALL_KINDS, NULL },
    { "unknown_names_have_no_rows", unknown_names_have_no_rows, ALL_KINDS, NULL },
    { "scan_in_pages", scan_in_pages, ALL_KINDS, NULL },
    { "scan_stops_at_a_messages_size", scan_stops_at_a_messages_size, ORDERED, "a metric's row is small" },
    { "predicates_never_lose_a_row", predicates_never_lose_a_row, ALL_KINDS, NULL },
    { "unusable_predicates_are_harmless", unusable_predicates_are_harmless, ALL_KINDS, NULL },
    { "referrers_follow_every_change", referrers_follow_every_change, NEO4J, RELATIONS },
    { "referrers_of_several_in_pages", referrers_of_several_in_pages, NEO4J, RELATIONS },
    { "order_of_a_relation_is_kept", order_of_a_relation_is_kept, NEO4J, RELATIONS },
    { 0 }
};
