/* Expressions, as the automaton's reductions make them. Every function accepts NULL operands: after an error there are some. */
#include "quantaql/parser.h"

#include <assert.h>
#include <strings.h>

enum { NODES_AT_ONCE = 12 };

/* Nodes come by the dozen: most of a tree is nodes, and each costs no more than a step of a pointer. */
q_expr *q_build_expr(q_parser *p, q_expr_kind kind, q_pos pos)
{
    if (p->nodes_left == 0) {
        p->nodes = q_arena_calloc(p->arena, NODES_AT_ONCE, sizeof *p->nodes);
        if (!p->nodes) {
            q_parse_fail(p, Q_E_LIMIT_MEMORY, pos, "the statement's tree needs more memory than one may have");
            return NULL;
        }
        p->nodes_left = NODES_AT_ONCE;
    }
    q_expr *e = p->nodes++;
    p->nodes_left--;
    e->kind = kind;
    e->height = 1;
    e->pos = pos;
    return e;
}

static q_expr *grow(q_parser *p, q_expr *e, unsigned highest_child)
{
    if (highest_child >= Q_QL_MAX_DEPTH) {
        q_parse_fail(p, Q_E_QQL_LIMIT, e->pos, "expressions may nest %d levels deep", Q_QL_MAX_DEPTH);
        highest_child = Q_QL_MAX_DEPTH - 1;
    }
    e->height = (uint8_t)(highest_child + 1);
    return e;
}

static unsigned higher(unsigned h, const q_expr *e) { return e && e->height > h ? e->height : h; }

static unsigned highest(const q_list *l)
{
    unsigned h = 0;
    q_expr **items = l->items;
    for (uint32_t i = 0; i < l->count; i++)
        h = higher(h, items[i]);
    return h;
}

/* ---- operators ---- */

static bool is_chain(const q_expr *e, q_op op) { return e->kind == Q_X_BINARY && e->op == op; }
static uint32_t terms(const q_expr *e, q_op op) { return is_chain(e, op) ? e->terms : 1; }

/* Puts `leaf` behind the chain. The right side is filled until it has as many leaves as the left one: a thousand ORs are ten deep,
 * and the shape depends on nothing but the number of leaves, so that printing and parsing again makes the same tree. */
static q_expr *chain_append(q_parser *p, q_op op, q_pos pos, q_expr *chain, q_expr *leaf)
{
    q_expr *spine[40], *root = chain, *last = chain;
    size_t depth = 0;
    while (is_chain(last, op) && terms(last->b, op) < terms(last->a, op)) {
        assert(depth < sizeof spine / sizeof spine[0]);
        spine[depth++] = last;
        last->terms++;
        last = last->b;
    }
    q_expr *e = q_build_expr(p, Q_X_BINARY, pos);
    if (!e)
        return NULL;
    e->op = op;
    e->a = last;
    e->b = leaf;
    e->terms = terms(last, op) + 1;
    grow(p, e, higher(last->height, leaf));
    if (depth == 0)
        return e;
    spine[depth - 1]->b = e;
    while (depth > 0) {
        q_expr *s = spine[--depth];
        grow(p, s, higher(s->a->height, s->b));
    }
    return root;
}

static q_expr *chain(q_parser *p, q_op op, q_pos pos, q_expr *a, q_expr *b)
{
    q_expr *stack[Q_QL_MAX_DEPTH + 2];
    size_t top = 0;
    stack[top++] = b;
    while (top > 0 && a && !p->failed) {
        q_expr *e = stack[--top];
        if (is_chain(e, op)) {
            assert(top + 2 <= sizeof stack / sizeof stack[0]);
            stack[top++] = e->b;
            stack[top++] = e->a;
        } else {
            a = chain_append(p, op, pos, a, e);
        }
    }
    return a;
}

q_expr *q_build_binary(q_parser *p, q_op op, q_tok at, q_expr *a, q_expr *b)
{
    if (!a || !b)
        return NULL;
    if (op == Q_OP_AND || op == Q_OP_OR)
        return chain(p, op, at.pos, a, b);
    q_expr *e = q_build_expr(p, op == Q_OP_NONE ? Q_X_AT : Q_X_BINARY, at.pos);
    if (!e)
        return NULL;
    e->op = op;
    e->a = a;
    e->b = b;
    return grow(p, e, higher(a->height, b));
}

q_expr *q_build_not(q_parser *p, q_tok at, q_expr *a)
{
    q_expr *e = a ? q_build_expr(p, Q_X_UNARY, at.pos) : NULL;
    if (!e)
        return NULL;
    e->op = Q_OP_NOT;
    e->a = a;
    return grow(p, e, a->height);
}

q_expr *q_build_in(q_parser *p, q_tok at, q_expr *a, q_list list, q_tok *param, bool negated)
{
    q_expr *e = a ? q_build_expr(p, Q_X_IN, at.pos) : NULL;
    if (!e)
        return NULL;
    if (list.count > Q_QL_MAX_IN)
        q_parse_fail(p, Q_E_QQL_LIMIT, at.pos, "IN has %u values; it may have %d", list.count, Q_QL_MAX_IN);
    e->a = a;
    e->negated = negated;
    e->arg_count = list.count;
    e->args = list.items;
    if (param)
        e->b = q_build_param(p, *param);
    return grow(p, e, higher(higher(highest(&list), a), e->b));
}

q_expr *q_build_between(q_parser *p, q_tok at, q_expr *a, q_expr *low, q_expr *high, bool negated)
{
    q_expr *e = a && low && high ? q_build_expr(p, Q_X_BETWEEN, at.pos) : NULL;
    q_expr **args = e ? q_parse_alloc(p, 2 * sizeof *args) : NULL;
    if (!args)
        return NULL;
    args[0] = low;
    args[1] = high;
    e->a = a;
    e->negated = negated;
    e->arg_count = 2;
    e->args = args;
    return grow(p, e, higher(higher(a->height, low), high));
}

q_expr *q_build_like(q_parser *p, q_tok at, q_expr *a, q_expr *b, bool negated)
{
    q_expr *e = a && b ? q_build_expr(p, Q_X_LIKE, at.pos) : NULL;
    if (!e)
        return NULL;
    e->a = a;
    e->b = b;
    e->negated = negated;
    return grow(p, e, higher(a->height, b));
}

q_expr *q_build_is_null(q_parser *p, q_tok at, q_expr *a, bool negated)
{
    q_expr *e = a ? q_build_expr(p, Q_X_IS_NULL, at.pos) : NULL;
    if (!e)
        return NULL;
    e->a = a;
    e->negated = negated;
    return grow(p, e, a->height);
}

q_expr *q_build_param(q_parser *p, q_tok t)
{
    q_expr *e = q_build_expr(p, Q_X_PARAM, t.pos);
    if (e)
        e->name = (q_slice){ p->lexer.base + t.offset + 1, t.len - 1u };
    return e;
}

/* ---- objects and arrays ---- */

void q_push_expr(q_parser *p, q_expr *e) { q_push(p, &e, sizeof(q_expr *)); }

void q_push_member(q_parser *p, q_tok key, bool is_string, q_expr *value)
{
    q_member m = { is_string ? q_tok_string(p, key) : q_tok_name(p, key), key.pos, value };
    q_push(p, &m, sizeof m);
}

q_expr *q_build_object(q_parser *p, q_tok open, q_list members)
{
    q_expr *e = p->failed ? NULL : q_build_expr(p, Q_X_OBJECT, open.pos);
    q_slice *keys = e ? q_parse_alloc(p, members.count * (sizeof(q_slice) + sizeof(q_expr *))) : NULL;
    if (!keys)
        return NULL;
    q_expr **args = (q_expr **)(void *)(keys + members.count);
    const q_member *m = members.items;
    unsigned h = 0;
    for (uint32_t i = 0; i < members.count; i++) {
        keys[i] = m[i].key;
        args[i] = m[i].expr;
        h = higher(h, args[i]);
    }
    e->keys = keys;
    e->args = args;
    e->arg_count = members.count;
    return grow(p, e, h);
}

q_expr *q_build_array(q_parser *p, q_tok open, q_list items)
{
    q_expr *e = p->failed ? NULL : q_build_expr(p, Q_X_ARRAY, open.pos);
    if (!e)
        return NULL;
    e->arg_count = items.count;
    e->args = items.items;
    return grow(p, e, highest(&items));
}

/* ---- paths ---- */

void q_push_name(q_parser *p, q_tok t)
{
    q_slice name = q_tok_name(p, t);
    q_push(p, &name, sizeof name);
}

void q_push_step_key(q_parser *p, q_tok t, bool is_string)
{
    q_step step = { .key = is_string ? q_tok_string(p, t) : q_tok_name(p, t) };
    q_push(p, &step, sizeof step);
}

void q_push_step_index(q_parser *p, q_tok t)
{
    q_step step = { .is_index = true };
    if (!q_tok_integer(p, t, &step.index))
        q_parse_fail(p, Q_E_QQL_VALUE, t.pos, "an array has no such index");
    q_push(p, &step, sizeof step);
}

q_expr *q_build_path1(q_parser *p, q_tok name)
{
    q_expr *e = q_build_expr(p, Q_X_PATH, name.pos);
    if (!e)
        return NULL;
    e->name = q_tok_name(p, name);
    e->path.name_count = 1;
    e->path.names = &e->name;
    return e;
}

q_expr *q_build_path(q_parser *p, q_pos pos, q_list names, q_list steps)
{
    q_expr *e = p->failed ? NULL : q_build_expr(p, Q_X_PATH, pos);
    if (!e)
        return NULL;
    if (names.count + steps.count > Q_QL_MAX_DEPTH)
        q_parse_fail(p, Q_E_QQL_LIMIT, pos, "a path may have %d parts", Q_QL_MAX_DEPTH);
    e->path.name_count = names.count;
    e->path.names = names.items;
    e->path.step_count = steps.count;
    e->path.steps = steps.items;
    return e;
}

/* ---- functions ---- */

typedef enum fn_what { FN_NONE = 0, FN_AGGREGATE, FN_TYPED, FN_PATH, FN_EXISTS } fn_what;

#define FN(name_, what_, op_, type_) { name_, sizeof(name_) - 1, what_, op_, type_ }
static const struct { const char *name; size_t len; fn_what what; q_op op; q_type type; } functions[] = {
    FN("duration", FN_TYPED, Q_OP_NONE, Q_T_DURATION), FN("relation", FN_TYPED, Q_OP_NONE, Q_T_RELATION),
    FN("time", FN_TYPED, Q_OP_NONE, Q_T_TIME),         FN("path", FN_PATH, Q_OP_NONE, Q_T_NULL),
    FN("count", FN_AGGREGATE, Q_OP_COUNT, Q_T_NULL),   FN("sum", FN_AGGREGATE, Q_OP_SUM, Q_T_NULL),
    FN("avg", FN_AGGREGATE, Q_OP_AVG, Q_T_NULL),       FN("min", FN_AGGREGATE, Q_OP_MIN, Q_T_NULL),
    FN("max", FN_AGGREGATE, Q_OP_MAX, Q_T_NULL),       FN("exists", FN_EXISTS, Q_OP_NONE, Q_T_NULL),
    FN("uuid", FN_TYPED, Q_OP_NONE, Q_T_UUID),         FN("decimal", FN_TYPED, Q_OP_NONE, Q_T_DECIMAL),
    FN("bytes", FN_TYPED, Q_OP_NONE, Q_T_BYTES),
};
#undef FN
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* The function's row, or -1 after an error. */
static int function(q_parser *p, q_tok t)
{
    q_slice name = q_tok_slice(p, t);
    const char *names[FUNCTIONS];
    for (int i = 0; i < FUNCTIONS; i++)
        if (functions[i].len == name.len && (name.ptr[0] | 0x20) == functions[i].name[0] &&
            strncasecmp(functions[i].name, name.ptr, name.len) == 0)
            return i;
    for (int i = 0; i < FUNCTIONS; i++)
        names[i] = functions[i].name;
    q_parse_fail(p, Q_E_QQL_SYNTAX, t.pos, "there is no function \"%.*s\"", (int)(name.len > 60 ? 60 : name.len), name.ptr);
    const char *near = q_word_nearest(name, names, FUNCTIONS);
    if (near)
        q_parse_hint(p, "Did you mean %s()?", near);
    return -1;
}

static q_expr *misuse(q_parser *p, q_tok at, int f)
{
    static const char *const takes[] = { [FN_AGGREGATE] = "an expression", [FN_TYPED] = "a string or a parameter",
        [FN_PATH] = "relations: path(a -> b).attribute", [FN_EXISTS] = "a subquery: EXISTS (SELECT ...)" };
    if (f >= 0)
        q_parse_fail(p, Q_E_QQL_SYNTAX, at.pos, "%s() takes %s", functions[f].name, takes[functions[f].what]);
    return NULL;
}

static q_expr *relation_of(q_parser *p, q_tok at, q_expr *arg)
{
    q_value *id = q_parse_alloc(p, sizeof *id);
    if (!id)
        return NULL;
    *id = arg->value;
    arg->value = (q_value){ .type = Q_T_RELATION, .rel = { id, 1 } };
    arg->pos = at.pos;
    return arg;
}

/* time("…") and its like: the string becomes the value, here and now. */
static q_expr *typed(q_parser *p, q_tok at, int f, q_expr *arg)
{
    q_type type = functions[f].type;
    if (arg->kind == Q_X_PARAM && arg->type == Q_T_NULL) {
        arg->type = type;
        arg->pos = at.pos;
        return arg;
    }
    if (arg->kind != Q_X_LITERAL)
        return misuse(p, at, f);
    q_type given = arg->value.type;
    if (type == Q_T_RELATION)
        return given == Q_T_STRING || given == Q_T_INT || given == Q_T_UUID ? relation_of(p, at, arg) : misuse(p, at, f);
    if (type == Q_T_DECIMAL && given == Q_T_DECIMAL)
        return arg;
    if (given != Q_T_STRING)
        return misuse(p, at, f);
    q_value v;
    if (q_value_parse(p->arena, type, arg->value.s, &v, p->err) != Q_OK) {
        if (!p->failed)
            q_at(p->err, arg->pos);
        q_parse_failed(p);
        return NULL;
    }
    arg->value = v;
    arg->pos = at.pos;
    return arg;
}

q_expr *q_build_call(q_parser *p, q_tok at, q_expr *arg)
{
    int f = arg ? function(p, at) : -1;
    if (f < 0)
        return NULL;
    if (functions[f].what == FN_TYPED)
        return typed(p, at, f, arg);
    if (functions[f].what == FN_PATH)
        return q_build_call_path1(p, at, arg, (q_list){ 0, NULL }, (q_list){ 0, NULL });
    if (functions[f].what != FN_AGGREGATE)
        return misuse(p, at, f);
    q_expr *e = q_build_expr(p, Q_X_AGGREGATE, at.pos);
    if (!e)
        return NULL;
    e->op = functions[f].op;
    e->a = arg;
    return grow(p, e, arg->height);
}

q_expr *q_build_call_star(q_parser *p, q_tok at)
{
    int f = function(p, at);
    if (f < 0 || functions[f].op != Q_OP_COUNT)
        return misuse(p, at, f);
    q_expr *e = q_build_expr(p, Q_X_AGGREGATE, at.pos);
    if (e)
        e->op = Q_OP_COUNT;
    return e;
}

static q_expr *subselect(q_parser *p, q_expr_kind kind, q_pos pos, q_stmt *select)
{
    q_expr *e = select ? q_build_expr(p, kind, pos) : NULL;
    if (e)
        e->select.stmt = select;
    return e;
}

q_expr *q_build_call_select(q_parser *p, q_tok at, q_stmt *select)
{
    int f = function(p, at);
    if (f < 0 || functions[f].what != FN_EXISTS)
        return misuse(p, at, f);
    return subselect(p, Q_X_EXISTS, at.pos, select);
}

q_expr *q_build_subquery(q_parser *p, q_tok open, q_stmt *select) { return subselect(p, Q_X_SUBQUERY, open.pos, select); }

q_expr *q_build_call_path(q_parser *p, q_tok at, q_list arrows, q_list names, q_list steps)
{
    int f = p->failed ? -1 : function(p, at);
    if (f < 0 || functions[f].what != FN_PATH)
        return misuse(p, at, f);
    q_slice *all = q_parse_alloc(p, (arrows.count + names.count) * sizeof *all);
    if (!all)
        return NULL;
    if (arrows.count > Q_QL_MAX_HOPS)
        q_parse_fail(p, Q_E_QQL_LIMIT, at.pos, "a path may follow %d relations", Q_QL_MAX_HOPS);
    memcpy(all, arrows.items, arrows.count * sizeof *all);
    if (names.count)
        memcpy(all + arrows.count, names.items, names.count * sizeof *all);
    q_expr *e = q_build_path(p, at.pos, (q_list){ arrows.count + names.count, all }, steps);
    if (e)
        e->path.arrow_count = arrows.count;
    return e;
}

/* path(a).x: between the brackets stands what looks like an expression. */
q_expr *q_build_call_path1(q_parser *p, q_tok at, q_expr *arg, q_list names, q_list steps)
{
    int f = arg && !p->failed ? function(p, at) : -1;
    if (f < 0)
        return NULL;
    if (functions[f].what != FN_PATH) {
        q_parse_fail(p, Q_E_QQL_SYNTAX, at.pos, "only path() has attributes behind it");
        return NULL;
    }
    if (arg->kind != Q_X_PATH || arg->path.name_count != 1 || arg->path.arrow_count || arg->path.step_count)
        return misuse(p, at, f);
    return q_build_call_path(p, at, (q_list){ 1, (void *)(uintptr_t)arg->path.names }, names, steps);
}
