/* generate.h - random QuantaQL: statements of every form, from a seed. Text, because trees come from the parser only; spelling, space
 * and comments vary, so that the canonical form has work to do. */
#ifndef Q_TESTS_QUANTAQL_GENERATE_H
#define Q_TESTS_QUANTAQL_GENERATE_H

#include "base/buf.h"

typedef struct gen {
    uint64_t state;
    q_buf *out;
} gen;

/* Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (SplitMix64). */
static inline uint64_t gen_next(gen *g)
{
    uint64_t z = g->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline unsigned gen_below(gen *g, unsigned n) { return (unsigned)(gen_next(g) % n); }
static inline bool gen_one_in(gen *g, unsigned n) { return gen_below(g, n) == 0; }
#define GEN_PICK(g, array) ((array)[gen_below((g), (unsigned)(sizeof(array) / sizeof((array)[0])))])

static inline void gen_space(gen *g)
{
    static const char *const spaces[] = { " ", " ", " ", " ", "  ", "\n", "\t", " /* c */ ", " -- c\n" };
    q_buf_add_cstr(g->out, GEN_PICK(g, spaces));
}

/* A word of the language in any case, and space before it. */
static inline void gen_word(gen *g, const char *word)
{
    unsigned how = gen_below(g, 3);
    gen_space(g);
    for (; *word; word++) {
        char c = *word;
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool lower = how == 1 || (how == 2 && gen_one_in(g, 2));
        q_buf_add_byte(g->out, (uint8_t)(letter ? (lower ? c | 0x20 : c & ~0x20) : c));
    }
}

static inline void gen_sign(gen *g, const char *sign)
{
    if (gen_one_in(g, 2))
        gen_space(g);
    q_buf_add_cstr(g->out, sign);
}

/* ---- names ---- */

static inline void gen_name(gen *g)
{
    static const char *const names[] = { "a", "name", "x9", "_u", "order", "count", "time", "unit", "to", "many", "at", "path", "duration",
        "`select`", "`from`", "`if`", "`odd name`", "`tick``tick`", "`1`", "limit", "first", "exists", "IF", "Record", "UPPER" };
    gen_space(g);
    q_buf_add_cstr(g->out, GEN_PICK(g, names));
}

/* Where every word is a name. */
static inline void gen_any_name(gen *g)
{
    static const char *const names[] = { "select", "FROM", "a", "b", "set", "null", "`x y`", "order" };
    q_buf_add_cstr(g->out, GEN_PICK(g, names));
}

static inline void gen_string(gen *g)
{
    static const char *const strings[] = { "\"\"", "\"a\"", "'it\\'s'", "\"\\u00e9\\ud83d\\ude00\"", "\"tab\\tnl\\n\"", "\"\xC3\xA4\n;--\"",
        "'\"quoted\"'", "\"\\\\\\/\\b\\f\\r\"", "'a % _ \\\\% b'", "\"\\u0001\x7F\"" };
    gen_space(g);
    q_buf_add_cstr(g->out, GEN_PICK(g, strings));
}

static inline void gen_number(gen *g)
{
    static const char *const numbers[] = { "0", "1", "007", "42", "9223372036854775807", "9223372036854775808", "12345678901234567890123",
        "1.5", "0.10", "1e3", "1.25E-3", "89.50", "123456789.123456789", "1e-300", "5e+2" };
    gen_space(g);
    q_buf_add_cstr(g->out, GEN_PICK(g, numbers));
}

static inline void gen_typed_literal(gen *g)
{
    static const char *const literals[] = { "time(\"2024-05-01T12:30:00+02:00\")", "duration(\"1d 3h\")", "duration(\"PT0.5S\")",
      "DURATION ( 'P1D' )",
        "relation(\"a\")", "relation(5)", "relation(uuid(\"550e8400-e29b-41d4-a716-446655440000\"))",
          "uuid(\"550E8400-E29B-41D4-A716-446655440000\")",
        "decimal(\"1.10\")", "decimal(\"-5\")", "bytes(\"AQI=\")", "bytes(\"\")", "time($t)", "relation($r)", "$p", "$long_name" };
    gen_space(g);
    q_buf_add_cstr(g->out, GEN_PICK(g, literals));
}

static inline void gen_steps(gen *g)
{
    q_buf_add_cstr(g->out, gen_one_in(g, 2) ? "[0]" : "[\"k y\"]");
    for (unsigned n = gen_below(g, 3); n > 0; n--) {
        if (gen_one_in(g, 2)) {
            q_buf_printf(g->out, "[%u]", gen_below(g, 20));
        } else {
            q_buf_add_byte(g->out, '.');
            gen_any_name(g);
        }
    }
}

static inline void gen_path(gen *g)
{
    if (gen_one_in(g, 6)) {
        gen_word(g, "path");
        gen_sign(g, "(");
        gen_name(g);
        for (unsigned n = gen_below(g, 4); n > 0; n--) {
            gen_sign(g, "->");
            gen_name(g);
        }
        gen_sign(g, ")");
        if (!gen_one_in(g, 3)) {
            q_buf_add_byte(g->out, '.');
            gen_any_name(g);
            if (gen_one_in(g, 3))
                gen_steps(g);
        }
        return;
    }
    gen_name(g);
    for (unsigned n = gen_below(g, 3); n > 0; n--) {
        q_buf_add_byte(g->out, '.');
        gen_any_name(g);
    }
    if (gen_one_in(g, 5))
        gen_steps(g);
}

/* ---- expressions, without regard to types ---- */

static inline void gen_expr(gen *g, unsigned depth);
static inline void gen_select(gen *g, unsigned depth);

static inline void gen_list(gen *g, unsigned depth, unsigned most)
{
    for (unsigned n = 1 + gen_below(g, most); n > 0; n--) {
        gen_expr(g, depth);
        if (n > 1)
            gen_sign(g, ",");
    }
}

static inline void gen_members(gen *g, unsigned depth, bool samples)
{
    gen_sign(g, "{");
    for (unsigned n = gen_below(g, 4); n > 0; n--) {
        if (gen_one_in(g, 4)) {
            gen_string(g);
        } else {
            gen_space(g);
            gen_any_name(g);
        }
        gen_sign(g, ":");
        gen_expr(g, depth);
        if (samples && gen_one_in(g, 5)) {
            gen_word(g, "AT");
            gen_expr(g, depth);
        }
        if (n > 1)
            gen_sign(g, ",");
    }
    gen_sign(g, "}");
}

static inline void gen_leaf(gen *g)
{
    static const char *const words[] = { "TRUE", "FALSE", "NULL" };
    switch (gen_below(g, 7)) {
    case 0: gen_string(g); break;
    case 1: gen_number(g); break;
    case 2: gen_typed_literal(g); break;
    case 3: gen_word(g, GEN_PICK(g, words)); break;
    default: gen_path(g);
    }
}

static inline void gen_compared(gen *g, unsigned depth)
{
    static const char *const not[] = { "", "NOT" };
    gen_sign(g, "(");
    gen_expr(g, depth);
    gen_sign(g, ")");
    const char *negated = GEN_PICK(g, not);
    switch (gen_below(g, 4)) {
    case 0:
        gen_word(g, negated);
        gen_word(g, "IN");
        if (gen_one_in(g, 4)) {
            gen_space(g);
            q_buf_add_cstr(g->out, "$list");
            break;
        }
        gen_sign(g, "(");
        gen_list(g, depth, 4);
        gen_sign(g, ")");
        break;
    case 1:
        gen_word(g, negated);
        gen_word(g, "LIKE");
        gen_string(g);
        break;
    case 2:
        gen_word(g, negated);
        gen_word(g, "BETWEEN");
        gen_number(g);
        gen_word(g, "AND");
        gen_number(g);
        break;
    default:
        gen_word(g, "IS");
        gen_word(g, negated);
        gen_word(g, "NULL");
    }
}

static inline void gen_call(gen *g, unsigned depth)
{
    static const char *const aggregates[] = { "count", "sum", "avg", "min", "max" };
    unsigned what = gen_below(g, 5);
    if (what == 0) {
        gen_word(g, "count");
        q_buf_add_cstr(g->out, "(*)");
        return;
    }
    if (what <= 2) {
        gen_word(g, GEN_PICK(g, aggregates));
        gen_sign(g, "(");
        gen_expr(g, depth);
        gen_sign(g, ")");
        return;
    }
    if (what == 3)
        gen_word(g, "exists");
    gen_sign(g, "(");
    gen_select(g, depth);
    gen_sign(g, ")");
}

static inline void gen_expr(gen *g, unsigned depth)
{
    static const char *const binary[] = { "OR", "OR", "AND", "AND", "=", "<>", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%" };
    if (depth == 0) {
        gen_leaf(g);
        return;
    }
    switch (gen_below(g, 12)) {
    case 0:
    case 1:
    case 2:
    case 3: {
        const char *op = GEN_PICK(g, binary);
        bool brackets = strchr("=<>!", op[0]) != NULL; /* one comparison doesn't follow another; the others may stand bare */
        gen_sign(g, brackets ? "(" : "");
        gen_expr(g, depth - 1);
        gen_space(g);
        gen_word(g, op);
        gen_space(g);
        gen_expr(g, depth - 1);
        gen_sign(g, brackets ? ")" : "");
        break;
    }
    case 4:
        gen_sign(g, "(");
        gen_word(g, "NOT");
        gen_expr(g, depth - 1);
        gen_sign(g, ")");
        break;
    case 5:
        gen_sign(g, " - (");
        gen_expr(g, depth - 1);
        gen_sign(g, ")");
        break;
    case 6:
        gen_sign(g, "(");
        gen_compared(g, depth - 1);
        gen_sign(g, ")");
        break;
    case 7: gen_call(g, depth - 1); break;
    case 8: gen_members(g, depth - 1, false); break;
    case 9:
        gen_sign(g, "[");
        if (!gen_one_in(g, 4))
            gen_list(g, depth - 1, 4);
        gen_sign(g, "]");
        break;
    case 10:
        gen_sign(g, "(");
        gen_expr(g, depth - 1);
        gen_sign(g, ")");
        break;
    default: gen_leaf(g);
    }
}

/* ---- statements ---- */

static inline void gen_where(gen *g, unsigned depth)
{
    if (gen_one_in(g, 3))
        return;
    gen_word(g, "WHERE");
    gen_expr(g, depth);
}

static inline void gen_select(gen *g, unsigned depth)
{
    gen_word(g, "SELECT");
    if (gen_one_in(g, 4)) {
        gen_sign(g, " *");
    } else {
        for (unsigned n = 1 + gen_below(g, 3); n > 0; n--) {
            gen_expr(g, depth);
            if (gen_one_in(g, 4)) {
                gen_word(g, "AS");
                gen_space(g);
                gen_any_name(g);
            }
            if (n > 1)
                gen_sign(g, ",");
        }
    }
    gen_word(g, "FROM");
    gen_name(g);
    gen_where(g, depth);
    if (gen_one_in(g, 4)) {
        gen_word(g, "GROUP");
        gen_word(g, "BY");
        gen_list(g, depth, 3);
    }
    if (gen_one_in(g, 4)) {
        gen_word(g, "HAVING");
        gen_expr(g, depth);
    }
    if (gen_one_in(g, 3)) {
        static const char *const directions[] = { "", "ASC", "DESC" }, *const nulls[] = { "", "NULLS FIRST", "NULLS LAST" };
        gen_word(g, "ORDER");
        gen_word(g, "BY");
        for (unsigned n = 1 + gen_below(g, 3); n > 0; n--) {
            gen_expr(g, depth);
            gen_word(g, GEN_PICK(g, directions));
            gen_word(g, GEN_PICK(g, nulls));
            if (n > 1)
                gen_sign(g, ",");
        }
    }
    if (gen_one_in(g, 3)) {
        gen_word(g, "LIMIT");
        gen_number(g);
    }
    if (gen_one_in(g, 4)) {
        gen_word(g, "OFFSET");
        gen_number(g);
    }
}

static inline void gen_update(gen *g, unsigned depth)
{
    static const char *const how[] = { "=", "=", "+=", "-=" };
    gen_word(g, "UPDATE");
    gen_name(g);
    gen_word(g, "SET");
    for (unsigned n = 1 + gen_below(g, 3); n > 0; n--) {
        gen_name(g);
        if (gen_one_in(g, 3)) {
            q_buf_add_byte(g->out, '.');
            gen_any_name(g);
        }
        if (gen_one_in(g, 5))
            gen_steps(g);
        gen_sign(g, GEN_PICK(g, how));
        gen_expr(g, depth);
        if (gen_one_in(g, 6)) {
            gen_word(g, "AT");
            gen_expr(g, depth);
        }
        if (n > 1)
            gen_sign(g, ",");
    }
    gen_where(g, depth);
}

static inline void gen_ddl_name(gen *g)
{
    static const char *const names[] = { "a", "orders", "x9", "a_b", "`if`", "`select`", "limit", "record" };
    gen_space(g);
    q_buf_add_cstr(g->out, GEN_PICK(g, names));
}

static inline void gen_attrs(gen *g)
{
    static const char *const kinds[] = { "SCALAR string", "scalar INT required", "scalar uuid unique required", "DOCUMENT", "relation to a",
        "relation to `select` many", "relation to b required one", "metric", "metric int", "metric unit km", "metric int unit \"km/h\"",
        "metric unit duration", "metric float unit duration", "metric unit unit", "METRIC duration", "scalar decimal unique" };
    for (unsigned n = 1 + gen_below(g, 5); n > 0; n--) {
        q_buf_printf(g->out, " attr_%u", n);
        gen_space(g);
        q_buf_add_cstr(g->out, GEN_PICK(g, kinds));
        if (n > 1)
            gen_sign(g, ",");
    }
}

static inline void gen_ddl(gen *g)
{
    bool maybe = gen_one_in(g, 3);
    switch (gen_below(g, 9)) {
    case 6:
        gen_word(g, maybe ? "CREATE ROLE IF NOT EXISTS" : gen_one_in(g, 2) ? "DROP ROLE" : "SHOW GRANTS FOR");
        gen_ddl_name(g);
        break;
    case 7: {
        static const char *const privileges[] = { "SELECT", "ALL", "DELETE", "INSERT (id, `a b`)", "UPDATE(hash), DELETE", "SELECT (to), INSERT" };
        gen_word(g, "GRANT");
        gen_word(g, GEN_PICK(g, privileges));
        gen_word(g, "ON");
        gen_ddl_name(g);
        gen_word(g, "TO");
        gen_ddl_name(g);
        if (maybe) {
            gen_word(g, "WHERE");
            gen_expr(g, 3);
        }
        break;
    }
    case 8:
        gen_word(g, maybe ? "REVOKE UPDATE (a, b), ALL ON" : "REVOKE ADMIN, SELECT ON BUCKET");
        gen_ddl_name(g);
        gen_word(g, "FROM");
        gen_ddl_name(g);
        break;
    case 0:
        gen_word(g, maybe ? "CREATE BUCKET IF NOT EXISTS" : "CREATE BUCKET");
        gen_ddl_name(g);
        break;
    case 1:
        gen_word(g, maybe ? "DROP BUCKET IF EXISTS" : "DROP BUCKET");
        gen_ddl_name(g);
        gen_word(g, gen_one_in(g, 2) ? "CASCADE" : "");
        break;
    case 2:
        gen_word(g, maybe ? "DROP RECORD IF EXISTS" : "DROP RECORD");
        gen_ddl_name(g);
        break;
    case 3:
        gen_word(g, maybe ? "ALTER RECORD IF EXISTS" : "ALTER RECORD");
        gen_ddl_name(g);
        gen_word(g, gen_one_in(g, 2) ? "ADD" : "ADD IF NOT EXISTS");
        gen_attrs(g);
        break;
    case 4:
        gen_word(g, "CREATE RECORD");
        q_buf_add_cstr(g->out, " { \"record\": \"made\", \"attributes\": { \"a\": { \"type\": \"metric\", \"unit\": \"duration\" },\n"
                               " \"b\": { \"type\": \"relation\", \"target\": \"made\", \"cardinality\": \"many\" } } }");
        break;
    default:
        gen_word(g, maybe ? "CREATE RECORD IF NOT EXISTS" : "CREATE RECORD");
        gen_ddl_name(g);
        gen_sign(g, "(");
        if (!gen_one_in(g, 8))
            gen_attrs(g);
        gen_sign(g, ")");
    }
}

static inline void gen_statement(gen *g)
{
    static const char *const small[] = { "BEGIN", "BEGIN TRANSACTION", "COMMIT", "ROLLBACK", "SHOW BUCKETS", "SHOW RECORDS" };
    unsigned depth = gen_below(g, 5);
    switch (gen_below(g, 9)) {
    case 0:
        gen_word(g, "INSERT INTO");
        gen_name(g);
        for (unsigned n = 1 + gen_below(g, 3); n > 0; n--) {
            gen_members(g, depth, true);
            if (n > 1)
                gen_sign(g, ",");
        }
        break;
    case 1:
    case 2:
    case 3: gen_select(g, depth); break;
    case 4: gen_update(g, depth); break;
    case 5:
        gen_word(g, "DELETE FROM");
        gen_name(g);
        gen_where(g, depth);
        break;
    case 6:
        gen_word(g, "ASSERT");
        gen_expr(g, depth);
        break;
    case 7: gen_ddl(g); break;
    default:
        if (gen_one_in(g, 3)) {
            gen_word(g, gen_one_in(g, 2) ? "USE" : "SHOW RECORD");
            gen_name(g);
        } else {
            gen_word(g, GEN_PICK(g, small));
        }
    }
}

#endif
