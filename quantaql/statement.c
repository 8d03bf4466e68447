/* Statements, as the automaton's reductions make them. */
#include "quantaql/print.h"

q_stmt *q_build_stmt(q_parser *p, q_stmt_kind kind, q_tok at)
{
    q_script *s = p->script;
    if (p->failed)
        return NULL;
    if (s->count == Q_QL_MAX_STATEMENTS) {
        q_parse_fail(p, Q_E_QQL_LIMIT, at.pos, "a message may have %d statements", Q_QL_MAX_STATEMENTS);
        return NULL;
    }
    if (s->count == p->stmt_cap) {
        uint32_t cap = p->stmt_cap ? p->stmt_cap * 2 : 4;
        q_stmt *grown = q_arena_alloc(p->arena, cap * sizeof *grown);
        if (!grown) {
            q_parse_fail(p, Q_E_LIMIT_MEMORY, at.pos, "the statement's tree needs more memory than one may have");
            return NULL;
        }
        if (s->count)
            memcpy(grown, s->stmts, s->count * sizeof *grown);
        s->stmts = grown;
        p->stmt_cap = cap;
    }
    q_stmt *stmt = &s->stmts[s->count++];
    *stmt = (q_stmt){ .kind = kind, .pos = at.pos, .name_pos = at.pos };
    return stmt;
}

void q_build_name(q_parser *p, q_stmt *s, q_tok name)
{
    s->record_name = q_tok_name(p, name);
    s->name_pos = name.pos;
}

/* ---- INSERT ---- */

void q_push_row(q_parser *p, q_tok open, q_list members)
{
    q_insert_row row = { .count = members.count, .pos = open.pos };
    if (p->failed)
        return;
    if (members.count > Q_QL_MAX_COLUMNS)
        q_parse_fail(p, Q_E_QQL_LIMIT, open.pos, "an object of INSERT may have %d fields", Q_QL_MAX_COLUMNS);
    row.assigns = q_parse_alloc(p, members.count * sizeof(q_assign));
    if (!row.assigns)
        return;
    const q_member *m = members.items;
    for (uint32_t i = 0; i < members.count; i++) {
        row.assigns[i].pos = m[i].pos;
        row.assigns[i].name = m[i].key;
        row.assigns[i].expr = m[i].expr;
    }
    q_push(p, &row, sizeof row);
}

void q_build_insert(q_parser *p, q_tok at, q_tok name, q_list rows)
{
    q_stmt *s = q_build_stmt(p, Q_S_INSERT, at);
    if (!s)
        return;
    if (rows.count > Q_QL_MAX_ROWS)
        q_parse_fail(p, Q_E_QQL_LIMIT, at.pos, "one INSERT may have %d objects", Q_QL_MAX_ROWS);
    q_build_name(p, s, name);
    s->row_count = rows.count;
    s->rows = rows.items;
}

/* ---- SELECT ---- */

/* `customer.name` as it stands, when nothing but the names and dots does stand there. */
static q_slice plain_path(const q_path *path)
{
    q_slice all = path->names[0];
    if (path->arrow_count || path->step_count)
        return Q_SLICE_NONE;
    for (uint32_t i = 1; i < path->name_count; i++) {
        const char *dot = all.ptr + all.len;
        if (dot[0] != '.' || path->names[i].ptr != dot + 1)
            return Q_SLICE_NONE;
        all.len += 1 + path->names[i].len;
    }
    return all;
}

/* The name of a column without AS: the expression's canonical text, cut when it is long. */
static q_slice column_name(q_parser *p, const q_expr *e)
{
    q_slice plain = e->kind == Q_X_PATH ? plain_path(&e->path) : Q_SLICE_NONE;
    if (plain.ptr && (plain.len <= Q_COLUMN_NAME_BYTES || e->path.name_count == 1))
        return plain;
    q_buf text = Q_BUF_INIT(Q_QL_MAX_BYTES * 8);
    q_ql_print_expr(e, &text);
    q_slice s = q_arena_copy(p->arena, q_print_cut(q_buf_slice(&text)));
    if (text.failed || !s.ptr)
        q_parse_fail(p, Q_E_LIMIT_MEMORY, e->pos, "the statement's tree needs more memory than one may have");
    q_buf_free(&text);
    return s;
}

void q_push_column(q_parser *p, q_expr *e, const q_tok *as)
{
    if (!e || p->failed)
        return;
    q_column c = { .expr = e, .name = as ? q_tok_name(p, *as) : column_name(p, e), .pos = e->pos };
    q_push(p, &c, sizeof c);
}

void q_push_order(q_parser *p, q_expr *e, bool desc, bool nulls_first)
{
    q_order o = { e, desc, nulls_first };
    q_push(p, &o, sizeof o);
}

q_stmt *q_build_select(q_parser *p, q_tok at, bool star, q_list columns, q_tok name, q_expr *where, q_list groups, q_expr *having,
                       q_list orders, q_clauses limits)
{
    q_stmt *s = p->failed ? NULL : q_parse_alloc(p, sizeof *s);
    if (!s)
        return NULL;
    if (columns.count > Q_QL_MAX_COLUMNS)
        q_parse_fail(p, Q_E_QQL_LIMIT, at.pos, "SELECT may have %d columns", Q_QL_MAX_COLUMNS);
    if (groups.count > Q_QL_MAX_COLUMNS || orders.count > Q_QL_MAX_COLUMNS)
        q_parse_fail(p, Q_E_QQL_LIMIT, at.pos, "GROUP BY and ORDER BY may have %d expressions", Q_QL_MAX_COLUMNS);
    s->kind = Q_S_SELECT;
    s->pos = at.pos;
    q_build_name(p, s, name);
    s->star = star;
    s->column_count = columns.count;
    s->columns = columns.items;
    s->where = where;
    s->group_count = groups.count;
    s->groups = groups.items;
    s->having = having;
    s->order_count = orders.count;
    s->orders = orders.items;
    s->limit = limits.limit;
    s->offset = limits.offset;
    return s;
}

void q_build_select_stmt(q_parser *p, q_stmt *select)
{
    if (!select)
        return;
    q_stmt *s = q_build_stmt(p, Q_S_SELECT, (q_tok){ .pos = select->pos });
    if (s)
        *s = *select;
}

/* ---- UPDATE, DELETE ---- */

void q_push_set(q_parser *p, q_expr *target, int how, q_expr *value)
{
    if (!target || !value || p->failed)
        return;
    const q_path *path = &target->path;
    q_assign a = { .pos = target->pos, .name = path->names[0], .how = (unsigned)how, .expr = value };
    a.step_count = path->name_count - 1 + path->step_count;
    q_step *steps = q_parse_alloc(p, a.step_count * sizeof *steps);
    if (!steps)
        return;
    for (uint32_t i = 1; i < path->name_count; i++)
        steps[i - 1].key = path->names[i];
    if (path->step_count)
        memcpy(steps + path->name_count - 1, path->steps, path->step_count * sizeof *steps);
    a.steps = steps;
    q_push(p, &a, sizeof a);
}

void q_build_update(q_parser *p, q_tok at, q_tok name, q_list sets, q_expr *where)
{
    q_stmt *s = q_build_stmt(p, Q_S_UPDATE, at);
    q_insert_row *row = s ? q_parse_alloc(p, sizeof *row) : NULL;
    if (!row)
        return;
    if (sets.count > Q_QL_MAX_COLUMNS)
        q_parse_fail(p, Q_E_QQL_LIMIT, at.pos, "UPDATE may set %d attributes", Q_QL_MAX_COLUMNS);
    q_build_name(p, s, name);
    *row = (q_insert_row){ .count = sets.count, .assigns = sets.items, .pos = at.pos };
    s->row_count = 1;
    s->rows = row;
    s->where = where;
}

void q_build_delete(q_parser *p, q_tok at, q_tok name, q_expr *where)
{
    q_stmt *s = q_build_stmt(p, Q_S_DELETE, at);
    if (!s)
        return;
    q_build_name(p, s, name);
    s->where = where;
}

/* ---- the others ---- */

void q_build_assert(q_parser *p, q_tok at, q_expr *condition)
{
    q_stmt *s = q_build_stmt(p, Q_S_ASSERT, at);
    if (s)
        s->where = condition;
}

void q_build_use(q_parser *p, q_tok at, q_tok name)
{
    q_stmt *s = q_build_stmt(p, Q_S_USE, at);
    if (!s)
        return;
    s->bucket = q_tok_name(p, name);
    s->name_pos = name.pos;
}

void q_build_show(q_parser *p, q_tok at, q_tok what, const q_tok *record)
{
    q_stmt *s = q_build_stmt(p, Q_S_SHOW, at);
    if (!s)
        return;
    s->name_pos = what.pos;
    /* "bucket…", "records", "record": the lexer knows no other word here */
    s->show = record ? Q_SLICE_LIT("record") : what.len == 7 && (*q_tok_slice(p, what).ptr | 0x20) == 'b' ? Q_SLICE_LIT("buckets")
                                                                                                        : Q_SLICE_LIT("records");
    if (record)
        q_build_name(p, s, *record);
}
