/* check.h - shared by the files of the check. Internal to quantaql. Pure.
 *
 * Every function answers false after it has set the error, with its place. Nodes are changed where they stand: a parameter becomes a
 * literal, a constant object a document. Recursion is as deep as the tree: bounded by the parser. */
#ifndef Q_QUANTAQL_CHECK_H
#define Q_QUANTAQL_CHECK_H

#include "quantaql/rights.h"
#include "schemas/name.h"

/* What may stand in the expression at hand. */
typedef enum q_aggregates { Q_AGG_REFUSED = 0, Q_AGG_ALLOWED, Q_AGG_INSIDE } q_aggregates;

typedef struct q_noted q_noted;
typedef struct q_condition q_condition;

typedef struct q_checker {
    q_arena *arena;
    const q_catalog *catalog;
    q_script *script;
    const q_bucket *bucket;
    const q_param *params;
    size_t param_count;
    const q_param **by_name;  /* sorted */
    bool *used;               /* by index in `params` */
    q_err *err;
    q_stmt *stmt;             /* the numbered one, also inside of its subqueries */
    const q_record *record;   /* whose attributes names mean; NULL: none may stand here */
    const char *place;        /* for messages: "WHERE", "INSERT" … */
    bool own_only;            /* SET: no relations are followed */
    q_aggregates aggregates;
    bool aggregate_seen;
    bool subqueries;          /* ASSERT, outside of its subqueries */
    unsigned brackets;        /* objects and arrays around the expression at hand */
    q_buf pack;               /* the document being packed */
    bool foreign_document;    /* it holds a parameter's document */
    const q_principal *who;   /* NULL: everything is allowed */
    const q_rights *rights;   /* in the bucket; NULL: the same */
    bool trusted;             /* a grant's own condition: it reads everything */
    q_noted *noted;           /* what the statement reads */
    q_condition *conditions;  /* of grants, each parsed once */
} q_checker;

/* ---- errors ---- */
bool q_check_fail(q_checker *c, q_code code, q_pos pos, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool q_check_memory(q_checker *c, q_pos pos);
/* Gives an error that another module set the place `pos`. Always false. */
bool q_check_placed(q_checker *c, q_pos pos);
/* Where `at` stands when it points into the text, otherwise `fallback`. Linear in the text: for errors. */
q_pos q_check_locate(const q_checker *c, const char *at, q_pos fallback);
/* A slice for a message: at most 60 bytes. */
#define Q_BRIEF(s) (int)((s).len > 60 ? 60 : (s).len), ((s).ptr ? (s).ptr : "")

/* ---- parameters (check_param.c) ---- */
bool q_params_start(q_checker *c);
bool q_params_all_used(q_checker *c);
bool q_param_put(q_checker *c, q_expr *e);      /* PARAM becomes LITERAL */
bool q_param_expand(q_checker *c, q_expr *in);  /* IN $list: args from the array */

/* The plain values of a document array; QQL_TYPE when it isn't one. */
bool q_doc_items(q_checker *c, q_pos pos, q_slice doc, q_value **items, uint32_t *count);

/* ---- permissions (check_rights.c) ---- */
/* NULL also when the principal doesn't know it. */
const q_record *q_visible_record(q_checker *c, q_slice name);
const q_attr *q_visible_attr(q_checker *c, const q_record *r, q_slice name);
/* For "did you mean": the nearest that the principal knows. */
q_slice q_visible_record_near(q_checker *c, q_slice name);
q_slice q_visible_attr_near(q_checker *c, const q_record *r, q_slice name);
void q_rights_begin(q_checker *c);                 /* a statement (or subquery) begins */
/* Notes that an attribute (NULL: the row itself) is read; `via`: behind a relation. */
bool q_check_reads(q_checker *c, const q_record *r, const q_attr *a, bool via, q_pos pos);
bool q_check_rows(q_checker *c, q_stmt *s);        /* a resolved SELECT, INSERT, UPDATE or DELETE: guard, after and via */
bool q_check_may_define(q_checker *c, const q_stmt *s);
bool q_check_grant(q_checker *c, q_stmt *s);
bool q_check_forbidden(q_checker *c, q_pos pos, const char *what, const q_record *r, const q_attr *a);

/* ---- names (check_path.c) ---- */
const q_record *q_check_record(q_checker *c, q_slice name, q_pos pos); /* NULL after an error */
/* Most records have few attributes, and most of those differ in length or first letter: looking at each beats a search by name. */
static inline const q_attr *q_attr_find(const q_record *r, q_slice name)
{
    enum { FEW = 24 };
    if (r->count > FEW)
        return q_record_attr(r, name);
    for (uint32_t i = 0; i < r->count; i++) {
        const q_attr *a = &r->attrs[i];
        if (a->name.len == name.len && a->name.ptr[0] == name.ptr[0] && memcmp(a->name.ptr, name.ptr, name.len) == 0)
            return a;
    }
    return NULL;
}
const q_attr *q_check_attr(q_checker *c, const q_record *r, q_slice name, q_pos pos);
bool q_check_path(q_checker *c, q_expr *e);
const char *q_check_many(const q_expr *e);      /* does the path go through a relation of cardinality many? its name, or NULL */

/* ---- expressions (check_expr.c) ---- */
bool q_check_expr(q_checker *c, q_expr *e);
bool q_check_condition(q_checker *c, q_expr *e); /* and it must be a condition */
static inline bool q_is_literal(const q_expr *e, q_type t) { return e->kind == Q_X_LITERAL && e->value.type == t; }
static inline bool q_is_null(const q_expr *e) { return q_is_literal(e, Q_T_NULL); }
static inline bool q_is_number(q_type t) { return t == Q_T_INT || t == Q_T_FLOAT || t == Q_T_DECIMAL; }

/* ---- literals (check_value.c) ---- */
bool q_literal_to(q_checker *c, q_expr *e, q_type to);    /* exactly, or an error */
void q_literal_try(q_checker *c, q_expr *e, q_type to);   /* exactly, or unchanged */
bool q_literal_to_relation(q_checker *c, q_expr *e, const q_attr *attr);
void q_literal_put(q_expr *e, const q_value *v);
bool q_check_assign(q_checker *c, q_assign *a); /* attr is resolved; coerces, or says why not */

/* ---- objects and arrays (check_doc.c) ---- */
bool q_check_composite(q_checker *c, q_expr *e);

/* ---- statements (check_stmt.c, check_select.c) ---- */
bool q_check_insert(q_checker *c, q_stmt *s);
bool q_check_update(q_checker *c, q_stmt *s);
bool q_check_select(q_checker *c, q_stmt *s);
bool q_check_stmt(q_checker *c, q_stmt *s);

/* ---- grouping (check_group.c) ---- */
bool q_expr_same(const q_expr *a, const q_expr *b); /* checked trees */
bool q_check_grouped(q_checker *c, const q_stmt *s, const q_expr *e); /* only groups and aggregates, or an error */

#endif
