/* Expressions as canonical text. Recursion is as deep as the tree: bounded by the parser. */
#include "quantaql/print.h"

#include <ctype.h>

/* From loose to tight; grammar.y has the same table. */
enum { P_AT = 0, P_OR, P_AND, P_NOT, P_COMPARE, P_SUM, P_PRODUCT, P_NEGATIVE, P_PRIMARY };

static const struct { const char *text; int level; } operators[] = {
    [Q_OP_OR] = { " OR ", P_OR },      [Q_OP_AND] = { " AND ", P_AND },   [Q_OP_EQ] = { " = ", P_COMPARE },
    [Q_OP_NE] = { " <> ", P_COMPARE }, [Q_OP_LT] = { " < ", P_COMPARE },  [Q_OP_LE] = { " <= ", P_COMPARE },
    [Q_OP_GT] = { " > ", P_COMPARE },  [Q_OP_GE] = { " >= ", P_COMPARE }, [Q_OP_ADD] = { " + ", P_SUM },
    [Q_OP_SUB] = { " - ", P_SUM },     [Q_OP_MUL] = { " * ", P_PRODUCT }, [Q_OP_DIV] = { " / ", P_PRODUCT },
    [Q_OP_MOD] = { " % ", P_PRODUCT },
};

/* ---- names and strings ---- */

static bool is_word(q_slice s)
{
    if (s.len == 0 || isdigit((unsigned char)s.ptr[0]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.ptr[i]) && s.ptr[i] != '_')
            return false;
    return true;
}

static void print_quoted(q_slice name, q_buf *out)
{
    q_buf_add_byte(out, '`');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '`')
            q_buf_add_byte(out, '`');
        q_buf_add_byte(out, (uint8_t)name.ptr[i]);
    }
    q_buf_add_byte(out, '`');
}

/* IF is the one word that CREATE BUCKET and its like would take for their own. */
void q_print_name(q_slice name, q_buf *out)
{
    if (is_word(name) && !q_word_is_reserved(name) && !(name.len == 2 && (name.ptr[0] | 0x20) == 'i' && (name.ptr[1] | 0x20) == 'f'))
        q_buf_add_slice(out, name);
    else
        print_quoted(name, out);
}

void q_print_any_name(q_slice name, q_buf *out)
{
    if (is_word(name))
        q_buf_add_slice(out, name);
    else
        print_quoted(name, out);
}

void q_print_string(q_slice s, q_buf *out)
{
    q_buf_add_byte(out, '"');
    size_t plain = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        q_buf_add(out, s.ptr + plain, i - plain);
        plain = i + 1;
        switch (c) {
        case '"': q_buf_add_cstr(out, "\\\""); break;
        case '\\': q_buf_add_cstr(out, "\\\\"); break;
        case '\b': q_buf_add_cstr(out, "\\b"); break;
        case '\f': q_buf_add_cstr(out, "\\f"); break;
        case '\n': q_buf_add_cstr(out, "\\n"); break;
        case '\r': q_buf_add_cstr(out, "\\r"); break;
        case '\t': q_buf_add_cstr(out, "\\t"); break;
        default: q_buf_printf(out, "\\u%04x", c);
        }
    }
    q_buf_add(out, s.ptr + plain, s.len - plain);
    q_buf_add_byte(out, '"');
}

void q_print_key(q_slice key, q_buf *out)
{
    if (is_word(key))
        q_buf_add_slice(out, key);
    else
        q_print_string(key, out);
}

/* ---- literals ---- */

static void print_typed(const char *function, const q_value *v, q_buf *out)
{
    q_buf_printf(out, "%s(\"", function);
    q_value_text(v, out); /* digits, letters and signs: nothing to escape */
    q_buf_add_cstr(out, "\")");
}

static void print_id(const q_value *v, q_buf *out)
{
    if (v->type == Q_T_STRING)
        q_print_string(v->s, out);
    else if (v->type == Q_T_UUID)
        print_typed("uuid", v, out);
    else
        q_value_text(v, out);
}

static void print_relation(const q_value *v, q_buf *out)
{
    bool list = v->rel.count != 1;
    if (list)
        q_buf_add_byte(out, '[');
    for (uint32_t i = 0; i < v->rel.count; i++) {
        q_buf_add_cstr(out, i ? ", relation(" : "relation(");
        print_id(&v->rel.items[i], out);
        q_buf_add_byte(out, ')');
    }
    if (list)
        q_buf_add_byte(out, ']');
}

static void print_float(const q_expr *e, q_buf *out)
{
    if (e->name.len) {
        q_buf_add_slice(out, e->name);
        return;
    }
    size_t start = out->len;
    q_value_text(&e->value, out);
    for (size_t i = start; i < out->len; i++)
        if (out->ptr[i] == '.' || out->ptr[i] == 'e' || out->ptr[i] == 'E')
            return;
    q_buf_add_cstr(out, ".0"); /* or it would come back as an INT */
}

static void print_literal(const q_expr *e, q_buf *out)
{
    const q_value *v = &e->value;
    switch (v->type) {
    case Q_T_BOOL: q_buf_add_cstr(out, v->b ? "TRUE" : "FALSE"); break;
    case Q_T_INT: q_value_text(v, out); break;
    case Q_T_FLOAT: print_float(e, out); break;
    case Q_T_DECIMAL: print_typed("decimal", v, out); break;
    case Q_T_STRING: q_print_string(v->s, out); break;
    case Q_T_UUID: print_typed("uuid", v, out); break;
    case Q_T_TIME: print_typed("time", v, out); break;
    case Q_T_DURATION: print_typed("duration", v, out); break;
    case Q_T_BYTES: print_typed("bytes", v, out); break;
    case Q_T_DOC: q_doc_to_json_buf(v->s, out); break; /* JSON is QuantaQL, too */
    case Q_T_RELATION: print_relation(v, out); break;
    case Q_T_NULL:
    case Q_T_COUNT: q_buf_add_cstr(out, "NULL"); break;
    }
}

static void print_param(const q_expr *e, q_buf *out)
{
    if (e->type != Q_T_NULL)
        q_buf_printf(out, "%s(", q_type_name(e->type));
    q_buf_add_byte(out, '$');
    q_buf_add_slice(out, e->name);
    if (e->type != Q_T_NULL)
        q_buf_add_byte(out, ')');
}

/* ---- paths ---- */

void q_print_steps(const q_step *steps, uint32_t count, bool brackets_first, q_buf *out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].is_index) {
            q_buf_printf(out, "[%lld]", (long long)steps[i].index);
        } else if (is_word(steps[i].key) && !(brackets_first && i == 0)) {
            q_buf_add_byte(out, '.');
            q_buf_add_slice(out, steps[i].key);
        } else {
            q_buf_add_byte(out, '[');
            q_print_string(steps[i].key, out);
            q_buf_add_byte(out, ']');
        }
    }
}

static void print_path(const q_path *p, q_buf *out)
{
    bool checked = p->attr != NULL;
    uint32_t count = checked ? p->hop_count + 1 : p->name_count;
    if (p->arrow_count)
        q_buf_add_cstr(out, "path(");
    for (uint32_t i = 0; i < count; i++) {
        q_slice name = !checked ? p->names[i] : i < p->hop_count ? p->hops[i]->name : p->attr->name;
        if (i > 0)
            q_buf_add_cstr(out, i < p->arrow_count ? " -> " : ".");
        if (i == 0 || i < p->arrow_count)
            q_print_name(name, out);
        else
            q_print_any_name(name, out);
        if (i + 1 == p->arrow_count)
            q_buf_add_byte(out, ')');
    }
    q_print_steps(p->steps, p->step_count, !checked, out);
}

/* ---- operators ---- */

static void print(const q_expr *e, int level, q_buf *out);

static int level_of(const q_expr *e)
{
    switch (e->kind) {
    case Q_X_AT: return P_AT;
    case Q_X_UNARY: return e->op == Q_OP_NOT ? P_NOT : P_NEGATIVE;
    case Q_X_BINARY: return operators[e->op].level;
    case Q_X_IN:
    case Q_X_BETWEEN:
    case Q_X_LIKE:
    case Q_X_IS_NULL: return P_COMPARE;
    default: return P_PRIMARY;
    }
}

static void print_list(q_expr *const *args, uint32_t count, q_buf *out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            q_buf_add_cstr(out, ", ");
        print(args[i], P_OR, out);
    }
}

static void print_binary(const q_expr *e, q_buf *out)
{
    int level = operators[e->op].level;
    /* Chains of AND and OR have one shape only; comparisons don't chain; the others lean to the left. */
    int left = level == P_COMPARE ? P_SUM : level;
    int right = level == P_OR || level == P_AND ? level : level + 1;
    print(e->a, left, out);
    q_buf_add_cstr(out, operators[e->op].text);
    print(e->b, right, out);
}

static void print_unary(const q_expr *e, q_buf *out)
{
    if (e->op == Q_OP_NOT) {
        q_buf_add_cstr(out, "NOT ");
        print(e->a, P_NOT, out);
        return;
    }
    q_buf_add_byte(out, '-');
    size_t start = out->len + 1;
    q_buf_add_byte(out, ' ');
    print(e->a, P_NEGATIVE, out);
    if (!out->failed && out->len > start && out->ptr[start] != '-') { /* two without a space would begin a comment */
        memmove(out->ptr + start - 1, out->ptr + start, out->len - start);
        out->len--;
    }
}

static void print_object(const q_expr *e, q_buf *out)
{
    if (e->arg_count == 0) {
        q_buf_add_cstr(out, "{}");
        return;
    }
    for (uint32_t i = 0; i < e->arg_count; i++) {
        q_buf_add_cstr(out, i ? ", " : "{ ");
        q_print_key(e->keys[i], out);
        q_buf_add_cstr(out, ": ");
        print(e->args[i], P_AT, out);
    }
    q_buf_add_cstr(out, " }");
}

static void print_compared(const q_expr *e, const char *word, q_buf *out)
{
    print(e->a, P_SUM, out);
    q_buf_add_cstr(out, e->negated ? " NOT " : " ");
    q_buf_add_cstr(out, word);
}

static void print_bare(const q_expr *e, q_buf *out)
{
    static const char *const aggregates[] = { [Q_OP_COUNT] = "count", [Q_OP_SUM] = "sum", [Q_OP_AVG] = "avg", [Q_OP_MIN] = "min",
        [Q_OP_MAX] = "max" };
    switch (e->kind) {
    case Q_X_LITERAL: print_literal(e, out); break;
    case Q_X_PARAM: print_param(e, out); break;
    case Q_X_PATH: print_path(&e->path, out); break;
    case Q_X_UNARY: print_unary(e, out); break;
    case Q_X_BINARY: print_binary(e, out); break;
    case Q_X_IN:
        print_compared(e, "IN ", out);
        if (e->b) {
            print_param(e->b, out);
            break;
        }
        q_buf_add_byte(out, '(');
        print_list(e->args, e->arg_count, out);
        q_buf_add_byte(out, ')');
        break;
    case Q_X_BETWEEN:
        print_compared(e, "BETWEEN ", out);
        print(e->args[0], P_SUM, out);
        q_buf_add_cstr(out, " AND ");
        print(e->args[1], P_SUM, out);
        break;
    case Q_X_LIKE:
        print_compared(e, "LIKE ", out);
        print(e->b, P_SUM, out);
        break;
    case Q_X_IS_NULL:
        print(e->a, P_SUM, out);
        q_buf_add_cstr(out, e->negated ? " IS NOT NULL" : " IS NULL");
        break;
    case Q_X_AGGREGATE:
        q_buf_printf(out, "%s(", aggregates[e->op]);
        if (e->a)
            print(e->a, P_OR, out);
        else
            q_buf_add_byte(out, '*');
        q_buf_add_byte(out, ')');
        break;
    case Q_X_OBJECT: print_object(e, out); break;
    case Q_X_ARRAY:
        q_buf_add_byte(out, '[');
        print_list(e->args, e->arg_count, out);
        q_buf_add_byte(out, ']');
        break;
    case Q_X_AT:
        print(e->a, P_OR, out);
        q_buf_add_cstr(out, " AT ");
        print(e->b, P_OR, out);
        break;
    case Q_X_EXISTS: q_buf_add_cstr(out, "EXISTS "); /* fallthrough */
    case Q_X_SUBQUERY:
        q_buf_add_byte(out, '(');
        q_ql_print_stmt(e->select.stmt, out);
        q_buf_add_byte(out, ')');
        break;
    }
}

static void print(const q_expr *e, int level, q_buf *out)
{
    bool brackets = level_of(e) < level;
    if (brackets)
        q_buf_add_byte(out, '(');
    print_bare(e, out);
    if (brackets)
        q_buf_add_byte(out, ')');
}

void q_ql_print_expr(const q_expr *expr, q_buf *out) { print(expr, P_AT, out); }
