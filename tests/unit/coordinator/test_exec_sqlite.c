/* SQLite as an oracle: the same random transactions run here, over four fake engines, and there, over tables; every SELECT must give the
 * same rows. A record's attributes are spread over all engines (scalars, a document, a metric, relations of one and of many), which SQLite
 * sees as columns and a link table. So WHERE's three-valued logic, order, grouping, pages, pushed-down predicates, relation paths and the
 * overlay all have a second opinion. */
#include "fake_engines.h"

#include <sqlite3.h>

static fake_db db;
static sqlite3 *lite;
static uint64_t rng;

static uint32_t dice(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

/* The same thing said twice: in QuantaQL and in SQL. */
typedef struct text { q_buf q, s; } text;

static void both(text *t, const char *words)
{
    q_buf_add_cstr(&t->q, words);
    q_buf_add_cstr(&t->s, words);
}

static void each(text *t, const char *q, const char *s)
{
    q_buf_add_cstr(&t->q, q);
    q_buf_add_cstr(&t->s, s);
}

static void both_int(text *t, int i)
{
    q_buf_printf(&t->q, "%d", i);
    q_buf_printf(&t->s, "%d", i);
}

/* ---- columns ---- */

typedef enum kind { INT, REAL, TEXT, BOOL } kind;
typedef struct column { const char *q, *s; kind kind; } column;

static const column COLUMNS[] = {
    { "a", "a", INT }, { "b", "b", INT }, { "f", "f", REAL }, { "s", "s", TEXT }, { "d.x", "dx", INT }, { "d.s", "ds", TEXT },
    { "m", "m", INT }, { "one.n", "(SELECT n FROM u WHERE u.id = t.one)", INT }, { "one.name", "(SELECT name FROM u WHERE u.id = t.one)",
                                    TEXT },
    { "one.e.k", "(SELECT ek FROM u WHERE u.id = t.one)", INT }, { "flag", "flag", BOOL },
};
enum { COLUMN_COUNT = sizeof COLUMNS / sizeof *COLUMNS };

static const column *pick(kind k)
{
    for (;;) {
        const column *c = &COLUMNS[dice(COLUMN_COUNT)];
        if (c->kind == k)
            return c;
    }
}

static void say_column(text *t, const column *c) { each(t, c->q, c->s); }

static void say_text(text *t)
{
    static const char *const words[] = { "''", "'a'", "'ab'", "'b'", "'ba'", "'abc'", "'Z'", "'\xC3\xA4'" };
    both(t, words[dice(8)]);
}

static void say_number(text *t, int depth)
{
    switch (dice(depth > 0 ? 6 : 3)) {
    case 0:
        both_int(t, (int)dice(9) - 3);
        break;
    case 1:
        say_column(t, pick(dice(4) ? INT : REAL));
        break;
    case 2:
        say_column(t, pick(INT));
        break;
    case 3:
        both(t, dice(2) ? "0.25" : "1.5");
        break;
    case 4:
        both(t, "-(");
        say_number(t, depth - 1);
        both(t, ")");
        break;
    default:
        both(t, "(");
        say_number(t, depth - 1);
        both(t, dice(3) ? (dice(2) ? " + " : " - ") : " * ");
        say_number(t, depth - 1);
        both(t, ")");
        break;
    }
}

static const char *const COMPARE[] = { " = ", " <> ", " < ", " <= ", " > ", " >= " };

static void say_like(text *t)
{
    static const char *const patterns[] = { "'%'", "'a%'", "'%b'", "'_'", "'_b%'", "'%a_'", "'ab'", "'%%b%'" };
    say_column(t, pick(TEXT));
    both(t, dice(3) ? " LIKE " : " NOT LIKE ");
    both(t, patterns[dice(8)]);
}

static void say_in(text *t)
{
    bool words = dice(2);
    say_column(t, pick(words ? TEXT : INT));
    both(t, dice(3) ? " IN (" : " NOT IN (");
    for (uint32_t i = 0, n = 1 + dice(4); i < n; i++) {
        both(t, i ? ", " : "");
        if (dice(8) == 0)
            both(t, "NULL");
        else if (words)
            say_text(t);
        else
            both_int(t, (int)dice(8) - 2);
    }
    both(t, ")");
}

/* A comparison over the relation of cardinality many: true for any end; unknown when none is true and one is, or there is no end. */
static void say_many(text *t)
{
    text atom = { Q_BUF_INIT(1000), Q_BUF_INIT(1000) };
    bool words = dice(2);
    each(&atom, words ? "many.name" : "many.n", words ? "v.name" : "v.n");
    switch (dice(4)) {
    case 0:
        both(&atom, dice(2) ? " IS NULL" : " IS NOT NULL");
        break;
    case 1:
        both(&atom, words ? " IN ('a', 'b', NULL)" : " NOT IN (1, 2)");
        break;
    default:
        both(&atom, COMPARE[dice(6)]);
        if (words)
            say_text(&atom);
        else
            say_number(&atom, 0);
        break;
    }
    q_buf_add_slice(&t->q, q_buf_slice(&atom.q));
    q_slice a = q_buf_slice(&atom.s);
    const char *from = "SELECT 1 FROM link JOIN u v ON v.id = link.u WHERE link.t = t.id";
    q_buf_printf(&t->s, "CASE WHEN EXISTS (%s AND (%.*s)) THEN 1 WHEN EXISTS (%s AND (%.*s) IS NULL) THEN NULL "
                        "WHEN EXISTS (%s) THEN 0 ELSE (SELECT %.*s FROM (SELECT NULL AS n, NULL AS name) v) END",
                 from, Q_SLICE_FMT(a), from, Q_SLICE_FMT(a), from, Q_SLICE_FMT(a));
    q_buf_free(&atom.q);
    q_buf_free(&atom.s);
}

static void say_condition(text *t, int depth)
{
    uint32_t what = dice(depth > 0 ? 11 : 8);
    both(t, "(");
    switch (what) {
    case 0:
        say_like(t);
        break;
    case 1:
        say_in(t);
        break;
    case 2:
        say_column(t, &COLUMNS[dice(COLUMN_COUNT)]);
        both(t, dice(2) ? " IS NULL" : " IS NOT NULL");
        break;
    case 3:
        say_number(t, 1);
        both(t, dice(3) ? " BETWEEN " : " NOT BETWEEN ");
        both_int(t, (int)dice(5) - 2);
        both(t, " AND ");
        both_int(t, (int)dice(8));
        break;
    case 4:
        say_many(t);
        break;
    case 5:
        say_column(t, pick(TEXT));
        both(t, COMPARE[dice(6)]);
        say_text(t);
        break;
    case 6:
        say_column(t, pick(BOOL));
        break;
    case 7:
        say_number(t, 1);
        both(t, COMPARE[dice(6)]);
        say_number(t, 1);
        break;
    case 8:
        both(t, "NOT ");
        say_condition(t, depth - 1);
        break;
    default:
        say_condition(t, depth - 1);
        both(t, what == 9 ? " AND " : " OR ");
        say_condition(t, depth - 1);
        break;
    }
    both(t, ")");
}

static void say_where(text *t)
{
    switch (dice(6)) {
    case 0:
        return;
    case 1:
        both(t, " WHERE id = ");
        both_int(t, (int)dice(40));
        return;
    case 2:
        both(t, " WHERE id IN (");
        for (uint32_t i = 0, n = 1 + dice(5); i < n; i++) {
            both(t, i ? ", " : "");
            both_int(t, (int)dice(40));
        }
        both(t, ") AND ");
        say_condition(t, 1);
        return;
    default:
        both(t, " WHERE ");
        say_condition(t, 3);
        return;
    }
}

/* ---- SQLite's rows as our JSON ---- */

static int to_json(q_buf *out, sqlite3_stmt *st)
{
    q_buf_add_cstr(out, "[");
    for (int i = 0; i < sqlite3_column_count(st); i++) {
        q_value v = Q_NULL;
        q_buf_add_cstr(out, i ? "," : "");
        switch (sqlite3_column_type(st, i)) {
        case SQLITE_INTEGER:
            v = (q_value){ .type = Q_T_INT, .i = sqlite3_column_int64(st, i) };
            break;
        case SQLITE_FLOAT:
            v = (q_value){ .type = Q_T_FLOAT, .f = sqlite3_column_double(st, i) };
            break;
        case SQLITE_TEXT:
            q_buf_printf(out, "\"%s\"", sqlite3_column_text(st, i));
            continue;
        default:
            q_buf_add_cstr(out, "null");
            continue;
        }
        q_value_text(&v, out);
    }
    q_buf_add_cstr(out, "]");
    return 0;
}

static void lite_rows(q_buf *out, const char *sql)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(lite, sql, -1, &st, NULL) != SQLITE_OK)
        fail_msg("sqlite: %s\n%s", sqlite3_errmsg(lite), sql);
    q_buf_add_cstr(out, "[");
    for (int n = 0, rc; (rc = sqlite3_step(st)) != SQLITE_DONE; n++) {
        if (rc != SQLITE_ROW)
            fail_msg("sqlite: %s\n%s", sqlite3_errmsg(lite), sql);
        q_buf_add_cstr(out, n ? "," : "");
        to_json(out, st);
    }
    q_buf_add_cstr(out, "]");
    sqlite3_finalize(st);
}

static bool lite_do(const char *sql)
{
    char *why = NULL;
    int rc = sqlite3_exec(lite, sql, NULL, NULL, &why);
    if (rc != SQLITE_OK && rc != SQLITE_CONSTRAINT)
        fail_msg("sqlite: %s\n%s", why, sql);
    sqlite3_free(why);
    return rc == SQLITE_OK;
}

/* ---- statements ---- */

static const char *z(q_buf *b) /* as a C string */
{
    q_buf_add_byte(b, 0);
    b->len--;
    return b->ptr;
}

static void say_select(text *t)
{
    static const char *const orders[] = { "id", "a DESC NULLS LAST, id", "s NULLS FIRST, id DESC", "m DESC NULLS LAST, id",
        "f NULLS LAST, b NULLS LAST, id" };
    switch (dice(4)) {
    case 0:
        both(t, "SELECT s, count(*), count(b), sum(a), min(f), max(m), avg(b), sum(f) FROM t");
        say_where(t);
        both(t, " GROUP BY s");
        if (dice(2))
            both(t, " HAVING count(*) > 1");
        both(t, " ORDER BY s NULLS LAST");
        return;
    case 1:
        both(t, "SELECT count(*), sum(a + 1), min(s), max(");
        say_column(t, pick(INT));
        both(t, "), avg(f) FROM t");
        say_where(t);
        return;
    default:
        each(t, "SELECT id, a, b, f, s, d.x, d.s, m, one, one.n, one.name, ",
             "SELECT id, a, b, f, s, dx, ds, m, one, (SELECT n FROM u WHERE u.id = t.one), (SELECT name FROM u WHERE u.id = t.one), ");
        say_number(t, 2);
        both(t, " FROM t");
        say_where(t);
        both(t, " ORDER BY ");
        both(t, orders[dice(5)]);
        if (dice(2)) {
            both(t, " LIMIT ");
            both_int(t, (int)dice(12));
            if (dice(2)) {
                both(t, " OFFSET ");
                both_int(t, (int)dice(6));
            }
        }
        return;
    }
}

static void say_links(text *t, int id)
{
    q_buf_add_cstr(&t->q, ", many: [");
    for (uint32_t i = 0, n = dice(4); i < n; i++) {
        int u = (int)dice(12);
        q_buf_printf(&t->q, "%srelation(%d)", i ? ", " : "", u);
        q_buf_printf(&t->s, "; INSERT INTO link VALUES (%d, %d)", id, u);
    }
    q_buf_add_cstr(&t->q, "]");
}

static void say_insert(text *t)
{
    int id = (int)dice(40), a = (int)dice(8) - 2, b = (int)dice(6), m = (int)dice(9), one = (int)dice(12);
    text v = { Q_BUF_INIT(4000), Q_BUF_INIT(4000) };
    q_buf_printf(&t->q, "INSERT INTO t { id: %d, a: %d", id, a);
    q_buf_printf(&t->s, "INSERT INTO t (id, a, b, f, s, flag, dx, ds, m, one) VALUES (%d, %d", id, a);
    if (dice(3)) {
        q_buf_printf(&t->q, ", b: %d", b);
        q_buf_printf(&t->s, ", %d", b);
    } else {
        q_buf_add_cstr(&t->s, ", NULL");
    }
    each(t, dice(3) ? ", f: 0.75" : ", f: NULL", "");
    q_buf_add_cstr(&t->s, t->q.ptr[t->q.len - 1] == 'L' ? ", NULL" : ", 0.75");
    each(t, ", s: ", ", ");
    say_text(t);
    bool flag = dice(2);
    each(t, flag ? ", flag: true" : ", flag: false", flag ? ", 1" : ", 0");
    if (dice(3)) {
        q_buf_printf(&t->q, ", d: { x: %d, s: 'a', rest: [1, 2] }", b);
        q_buf_printf(&t->s, ", %d, 'a'", b);
    } else {
        q_buf_add_cstr(&t->s, ", NULL, NULL");
    }
    if (dice(3)) {
        q_buf_printf(&t->q, ", m: %d", m);
        q_buf_printf(&t->s, ", %d", m);
    } else {
        q_buf_add_cstr(&t->s, ", NULL");
    }
    if (dice(3)) {
        q_buf_printf(&t->q, ", one: relation(%d)", one);
        q_buf_printf(&t->s, ", %d)", one);
    } else {
        q_buf_add_cstr(&t->s, ", NULL)");
    }
    if (dice(2))
        say_links(t, id);
    q_buf_add_cstr(&t->q, " }");
    q_buf_free(&v.q);
    q_buf_free(&v.s);
}

/* An int expression over the row's own attributes. */
static void say_own_int(text *t)
{
    static const column own[] = { { "a", "a", INT }, { "b", "b", INT }, { "m", "m", INT }, { "d.x", "dx", INT } };
    say_column(t, &own[dice(4)]);
    both(t, dice(2) ? " + " : " - ");
    both_int(t, (int)dice(5));
}

static void say_update(text *t)
{
    both(t, "UPDATE t SET ");
    switch (dice(7)) {
    case 0:
        both(t, "a = ");
        say_own_int(t);
        break;
    case 1:
        both(t, "s = ");
        say_text(t);
        both(t, ", b = NULL");
        break;
    case 2:
        each(t, "d.x = ", "dx = ");
        say_own_int(t);
        each(t, ", d.s = ", ", ds = ");
        say_text(t);
        break;
    case 3:
        both(t, "m = ");
        q_buf_add_cstr(&t->s, "coalesce("); /* a sample that is NULL appends nothing */
        say_own_int(t);
        q_buf_add_cstr(&t->s, ", m)");
        break;
    case 4:
        q_buf_printf(&t->q, "one = relation(%d)", 7);
        q_buf_printf(&t->s, "one = %d", 7);
        break;
    case 5:
        both(t, "f = f * 2, a = b, b = a");
        break;
    default:
        both(t, "a = 3, f = 2.5");
        break;
    }
    say_where(t);
}

static void say_delete(text *t)
{
    both(t, "DELETE FROM t");
    if (dice(3)) {
        both(t, " WHERE id = ");
        both_int(t, (int)dice(40));
    } else {
        both(t, " WHERE ");
        say_condition(t, 2);
        both(t, " AND id > ");
        both_int(t, (int)dice(40));
    }
}

/* ---- the run ---- */

static void open_both(uint64_t seed)
{
    rng = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    fake_open(&db, "b");
    must_run(&db, "CREATE BUCKET b");
    must_run(&db, "CREATE RECORD u (id scalar int, n scalar int, name scalar string, e document)");
    must_run(&db, "CREATE RECORD t (id scalar int, a scalar int, b scalar int, f scalar float, s scalar string, flag scalar bool, d "
                  "document,"
                  "m metric int, one relation to u, many relation to u many)");
    assert_int_equal(sqlite3_open(":memory:", &lite), SQLITE_OK);
    lite_do("PRAGMA case_sensitive_like = ON");
    lite_do("CREATE TABLE u (id INTEGER PRIMARY KEY, n INT, name TEXT, ek INT)");
    lite_do("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT, f REAL, s TEXT, flag INT, dx INT, ds TEXT, m INT, one INT)");
    lite_do("CREATE TABLE link (t INT, u INT)");
    lite_do("CREATE TRIGGER unlink AFTER DELETE ON t BEGIN DELETE FROM link WHERE t = OLD.id; END");
    for (int i = 0; i < 9; i++) { /* relations to 9, 10 and 11 find nothing */
        char q[200], s[200];
        const char *name = i % 3 == 0 ? "NULL" : i % 3 == 1 ? "'a'" : "'ab'";
        snprintf(q, sizeof q, "INSERT INTO u { id: %d, n: %d, name: %s, e: { k: %d } }", i, i % 4, name, i);
        snprintf(s, sizeof s, "INSERT INTO u VALUES (%d, %d, %s, %d)", i, i % 4, name, i);
        must_run(&db, q);
        lite_do(s);
    }
    db.ignore_preds = dice(2);
    db.page = dice(3) ? 1 + dice(7) : 0;
    db.too_large = dice(3) ? 0 : 1 + dice(4);
}

/* One transaction of a few writes with SELECTs among them; both must agree on each result, and on whether it can be done. */
static void one_transaction(uint64_t seed)
{
    text t = { Q_BUF_INIT(1 << 20), Q_BUF_INIT(1 << 20) }, st = { Q_BUF_INIT(1 << 20), Q_BUF_INIT(1 << 20) };
    q_buf expected = Q_BUF_INIT(1 << 24);
    uint32_t n = 1 + dice(5);
    bool done = true;
    q_buf_add_cstr(&t.q, "BEGIN; ");
    lite_do("BEGIN");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t what = dice(6);
        q_buf_clear(&st.q);
        q_buf_clear(&st.s);
        if (what < 2) {
            say_select(&st);
            if (done) {
                q_buf_add_cstr(&expected, "\"rows\":");
                lite_rows(&expected, z(&st.s));
            }
        } else {
            (what < 4 ? say_insert : what == 4 ? say_update : say_delete)(&st);
            done = done && lite_do(z(&st.s));
        }
        q_buf_add_slice(&t.q, q_buf_slice(&st.q));
        q_buf_add_cstr(&t.q, ";\n");
    }
    q_buf_add_cstr(&t.q, "COMMIT");
    lite_do(done ? "COMMIT" : "ROLLBACK");
    const char *got = fake_run(&db, z(&t.q));
    if (!got && (done || db.err.code != Q_E_DUPLICATE_ID))
        fail_msg("seed %llu: %s: %s\n%s", (unsigned long long)seed, q_code_name(db.err.code), db.err.message, t.q.ptr);
    if (got && !done)
        fail_msg("seed %llu: should have been refused\n%s", (unsigned long long)seed, t.q.ptr);
    const char *want = z(&expected);
    for (const char *p = got; got && (p = strstr(p, "\"rows\":")); p++) {
        const char *end = strstr(want + 1, "\"rows\":");
        size_t len = end ? (size_t)(end - want) : strlen(want);
        if (strncmp(p, want, len) != 0)
            fail_msg("seed %llu\n%s\nsqlite %.*s\nours   %.*s", (unsigned long long)seed, t.q.ptr, (int)len, want, (int)len + 80, p);
        want += len;
    }
    q_buf_free(&t.q);
    q_buf_free(&t.s);
    q_buf_free(&st.q);
    q_buf_free(&st.s);
    q_buf_free(&expected);
}

static void close_both(void)
{
    fake_close(&db);
    sqlite3_close(lite);
}

static void random_transactions_agree_with_sqlite(void **state)
{
    (void)state;
    const char *one = getenv("SEED");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : 400;
    for (uint64_t seed = first; seed <= last; seed++) {
        open_both(seed);
        for (int i = 0; i < 30; i++)
            one_transaction(seed);
        close_both();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_transactions_agree_with_sqlite) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
