/* Statements as canonical text. */
#include "quantaql/print.h"

q_slice q_print_cut(q_slice text)
{
    if (text.len > Q_COLUMN_NAME_BYTES) {
        text.len = Q_COLUMN_NAME_BYTES;
        while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xC0) == 0x80)
            text.len--;
    }
    return text;
}

/* ---- INSERT, UPDATE, DELETE ---- */

static void print_row(const q_insert_row *row, q_buf *out)
{
    if (row->count == 0) {
        q_buf_add_cstr(out, "{}");
        return;
    }
    for (uint32_t i = 0; i < row->count; i++) {
        q_buf_add_cstr(out, i ? ", " : "{ ");
        q_print_key(row->assigns[i].name, out);
        q_buf_add_cstr(out, ": ");
        q_ql_print_expr(row->assigns[i].expr, out);
    }
    q_buf_add_cstr(out, " }");
}

static void print_insert(const q_stmt *s, q_buf *out)
{
    q_buf_add_cstr(out, "INSERT INTO ");
    q_print_name(s->record_name, out);
    for (uint32_t i = 0; i < s->row_count; i++) {
        q_buf_add_cstr(out, i ? ", " : " ");
        print_row(&s->rows[i], out);
    }
}

static void print_where(const q_stmt *s, q_buf *out)
{
    if (!s->where)
        return;
    q_buf_add_cstr(out, " WHERE ");
    q_ql_print_expr(s->where, out);
}

static void print_update(const q_stmt *s, q_buf *out)
{
    static const char *const how[] = { [Q_SET] = " = ", [Q_SET_ADD] = " += ", [Q_SET_REMOVE] = " -= " };
    q_buf_add_cstr(out, "UPDATE ");
    q_print_name(s->record_name, out);
    q_buf_add_cstr(out, " SET ");
    for (uint32_t i = 0; i < s->rows[0].count; i++) {
        const q_assign *a = &s->rows[0].assigns[i];
        if (i)
            q_buf_add_cstr(out, ", ");
        q_print_name(a->name, out);
        q_print_steps(a->steps, a->step_count, false, out);
        q_buf_add_cstr(out, how[a->how]);
        q_ql_print_expr(a->expr, out);
    }
    print_where(s, out);
}

/* ---- SELECT ---- */

static void print_columns(const q_stmt *s, q_buf *out)
{
    uint32_t first = 0;
    if (s->star) {
        q_buf_add_byte(out, '*');
        first = s->star_count; /* the check has put them in front */
    }
    for (uint32_t i = first; i < s->column_count; i++) {
        const q_column *c = &s->columns[i];
        if (i > first || s->star)
            q_buf_add_cstr(out, ", ");
        size_t start = out->len;
        q_ql_print_expr(c->expr, out);
        if (out->failed)
            return;
        if (q_slice_eq(q_print_cut(q_slice_of(out->ptr + start, out->len - start)), c->name))
            continue;
        q_buf_add_cstr(out, " AS ");
        q_print_any_name(c->name, out);
    }
}

static void print_select(const q_stmt *s, q_buf *out)
{
    q_buf_add_cstr(out, "SELECT ");
    print_columns(s, out);
    q_buf_add_cstr(out, " FROM ");
    q_print_name(s->record_name, out);
    print_where(s, out);
    for (uint32_t i = 0; i < s->group_count; i++) {
        q_buf_add_cstr(out, i ? ", " : " GROUP BY ");
        q_ql_print_expr(s->groups[i], out);
    }
    if (s->having) {
        q_buf_add_cstr(out, " HAVING ");
        q_ql_print_expr(s->having, out);
    }
    for (uint32_t i = 0; i < s->order_count; i++) {
        q_buf_add_cstr(out, i ? ", " : " ORDER BY ");
        q_ql_print_expr(s->orders[i].expr, out);
        q_buf_add_cstr(out, s->orders[i].desc ? " DESC" : "");
        q_buf_add_cstr(out, s->orders[i].nulls_first ? " NULLS FIRST" : "");
    }
    if (s->limit) {
        q_buf_add_cstr(out, " LIMIT ");
        q_ql_print_expr(s->limit, out);
    }
    if (s->offset) {
        q_buf_add_cstr(out, " OFFSET ");
        q_ql_print_expr(s->offset, out);
    }
}

/* ---- definitions ---- */

static void print_attr(const q_attr *a, q_buf *out)
{
    q_print_any_name(a->name, out);
    q_buf_printf(out, " %s", q_kind_name(a->kind));
    if (a->kind == Q_K_SCALAR)
        q_buf_printf(out, " %s", q_type_name(a->datatype));
    if (a->kind == Q_K_RELATION) {
        q_buf_add_cstr(out, " to ");
        q_print_name(a->target, out);
    }
    if (a->kind == Q_K_METRIC) {
        q_type usual = q_slice_eq(a->unit, Q_SLICE_LIT("duration")) ? Q_T_DURATION : Q_T_FLOAT;
        if (a->datatype != usual)
            q_buf_printf(out, " %s", q_type_name(a->datatype));
        if (a->unit.len) {
            q_buf_add_cstr(out, " unit ");
            q_print_key(a->unit, out);
        }
    }
    q_buf_add_cstr(out, a->many ? " many" : "");
    q_buf_add_cstr(out, a->required ? " required" : "");
    q_buf_add_cstr(out, a->unique ? " unique" : "");
}

static void print_ddl(const q_ddl *d, q_buf *out)
{
    static const char *const verbs[] = { [Q_DDL_CREATE_BUCKET] = "CREATE BUCKET ", [Q_DDL_DROP_BUCKET] = "DROP BUCKET ",
        [Q_DDL_CREATE_RECORD] = "CREATE RECORD ", [Q_DDL_ALTER_RECORD] = "ALTER RECORD ", [Q_DDL_DROP_RECORD] = "DROP RECORD " };
    bool of_bucket = d->kind == Q_DDL_CREATE_BUCKET || d->kind == Q_DDL_DROP_BUCKET;
    q_buf_add_cstr(out, verbs[d->kind]);
    bool alter = d->kind == Q_DDL_ALTER_RECORD;
    q_buf_add_cstr(out, d->if_exists ? "IF EXISTS " : d->if_not_exists && !alter ? "IF NOT EXISTS " : "");
    q_print_name(of_bucket ? d->bucket : d->record, out);
    if (alter)
        q_buf_add_cstr(out, d->if_not_exists ? " ADD IF NOT EXISTS" : " ADD");
    if (alter || d->kind == Q_DDL_CREATE_RECORD) {
        q_buf_add_cstr(out, " (");
        for (uint32_t i = 0; i < d->count; i++) {
            if (i)
                q_buf_add_cstr(out, ", ");
            print_attr(&d->attrs[i], out);
        }
        q_buf_add_byte(out, ')');
    }
    q_buf_add_cstr(out, d->cascade ? " CASCADE" : "");
}

static void print_show(const q_stmt *s, q_buf *out)
{
    q_buf_add_cstr(out, "SHOW ");
    for (size_t i = 0; i < s->show.len; i++)
        q_buf_add_byte(out, (uint8_t)(s->show.ptr[i] & ~0x20));
    if (s->record_name.len) {
        q_buf_add_byte(out, ' ');
        q_print_name(s->record_name, out);
    }
    if (s->role.len) {
        q_buf_add_cstr(out, " FOR ");
        q_print_name(s->role, out);
    }
}

void q_ql_print_stmt(const q_stmt *s, q_buf *out)
{
    switch (s->kind) {
    case Q_S_USE:
        q_buf_add_cstr(out, "USE ");
        q_print_name(s->bucket, out);
        break;
    case Q_S_BEGIN: q_buf_add_cstr(out, "BEGIN TRANSACTION"); break;
    case Q_S_COMMIT: q_buf_add_cstr(out, "COMMIT"); break;
    case Q_S_ROLLBACK: q_buf_add_cstr(out, "ROLLBACK"); break;
    case Q_S_INSERT: print_insert(s, out); break;
    case Q_S_SELECT: print_select(s, out); break;
    case Q_S_UPDATE: print_update(s, out); break;
    case Q_S_DELETE:
        q_buf_add_cstr(out, "DELETE FROM ");
        q_print_name(s->record_name, out);
        print_where(s, out);
        break;
    case Q_S_ASSERT:
        q_buf_add_cstr(out, "ASSERT ");
        q_ql_print_expr(s->where, out);
        break;
    case Q_S_DDL:
        if (q_ddl_is_access(s->ddl.kind))
            q_print_access(s, out);
        else
            print_ddl(&s->ddl, out);
        break;
    case Q_S_SHOW: print_show(s, out); break;
    }
}

void q_ql_print(const q_script *script, q_buf *out)
{
    for (uint32_t i = 0; i < script->count; i++) {
        q_ql_print_stmt(&script->stmts[i], out);
        q_buf_add_cstr(out, ";\n");
    }
}
