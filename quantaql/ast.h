/* ast.h - the syntax tree of one message, before and after the check. Lives in one arena; immutable after q_ql_check. Pure.
 *
 * After the check a tree holds no PARAM, no OBJECT and no ARRAY with constant parts (they became literals), every literal that meets
 * an attribute has that attribute's type, and no chain of AND or OR is deeper than the logarithm of its length: recursion over a tree
 * is bounded by Q_QL_MAX_DEPTH plus a score. README.md lists which operand types the check lets through. */
#ifndef Q_QUANTAQL_AST_H
#define Q_QUANTAQL_AST_H

#include "schemas/catalog.h"
#include "schemas/document.h"

typedef struct q_pos { uint32_t line, column; } q_pos; /* from 1, code points */

typedef enum q_expr_kind {
    Q_X_LITERAL = 1, /* value */
    Q_X_PARAM,       /* name; the check replaces it by the literal */
    Q_X_PATH,        /* an attribute, perhaps behind relations, perhaps with a path into its document */
    Q_X_UNARY,       /* op NOT or NEG; a */
    Q_X_BINARY,      /* op; a, b */
    Q_X_IN,          /* a IN (args…); negated */
    Q_X_BETWEEN,     /* a BETWEEN args[0] AND args[1]; negated */
    Q_X_LIKE,        /* a LIKE b (% and _, backslash escapes); negated */
    Q_X_IS_NULL,     /* a; negated */
    Q_X_AGGREGATE,   /* op COUNT…MAX; a, or NULL for count(*) */
    Q_X_OBJECT,      /* document literal with non-constant parts: keys[], args[] */
    Q_X_ARRAY,       /* args[]; of documents, or of relation literals */
    Q_X_AT,          /* metric sample: a AT b (b a time); only the whole value of a metric in INSERT or SET */
    Q_X_SUBQUERY,    /* (SELECT one column …) in ASSERT: its only row's value, NULL without a row; select */
    Q_X_EXISTS       /* EXISTS (SELECT …) in ASSERT; select */
} q_expr_kind;

typedef enum q_op {
    Q_OP_NONE = 0,
    Q_OP_OR, Q_OP_AND, Q_OP_NOT,
    Q_OP_EQ, Q_OP_NE, Q_OP_LT, Q_OP_LE, Q_OP_GT, Q_OP_GE,
    Q_OP_ADD, Q_OP_SUB, Q_OP_MUL, Q_OP_DIV, Q_OP_MOD, Q_OP_NEG,
    Q_OP_COUNT, Q_OP_SUM, Q_OP_AVG, Q_OP_MIN, Q_OP_MAX
} q_op;

typedef struct q_path {
    /* As written. */
    uint32_t name_count;
    const q_slice *names;     /* dotted names, or path(a -> b -> c) then .x */
    uint32_t arrow_count;     /* how many of the names stood inside path(… -> …); 0 otherwise */
    /* After the check. */
    uint32_t hop_count;
    const q_attr *const *hops;        /* relations followed, in order */
    const q_record *const *hop_types; /* hop_types[i] is the record that hops[i] leads to; NULL while it isn't defined: finds nothing */
    const q_attr *attr;               /* the attribute read at the end; NULL when an undefined record is on the way */
    uint32_t step_count;              /* rest: into the document (before the check: from the first [ ] on) */
    const q_step *steps;
    bool any;                         /* path(): true when any end matches. Also set when a hop is of cardinality many */
} q_path;

typedef struct q_expr {
    q_expr_kind kind;
    q_op op;
    bool negated;
    uint8_t height;           /* 1 for a leaf; at most Q_QL_MAX_DEPTH */
    uint32_t terms;           /* BINARY AND, OR: leaves of the chain, by which the parser balances it. OBJECT, ARRAY: the check's mark */
    q_pos pos;
    q_type type;              /* after the check: what it yields (Q_T_NULL: not known before run, a document's inside).
                               * PARAM before the check: the type it is read as (time($t)), or Q_T_NULL */
    uint32_t arg_count;
    struct q_expr **args;     /* IN: may be empty after the check (IN $empty: false) */
    struct q_expr *a, *b;     /* IN before the check: b is the parameter of IN $list; then args is empty */
    const q_slice *keys;      /* OBJECT */
    q_slice name;             /* PARAM: without $. PATH of one name: that name, which path.names points to. LITERAL FLOAT: the number as
                               * written, so that a decimal loses nothing */
    union {                   /* by kind: read none of these of another kind */
        q_value value;        /* LITERAL. relation("x") is Q_T_RELATION; duration() and time() are read by the parser */
        q_path path;          /* PATH */
        struct {
            struct q_stmt *stmt;
            uint32_t index;   /* after the check: in the ASSERT's `selects` */
        } select;             /* SUBQUERY, EXISTS */
    };
} q_expr;

typedef enum q_stmt_kind {
    Q_S_USE = 1, Q_S_BEGIN, Q_S_COMMIT, Q_S_ROLLBACK,
    Q_S_INSERT, Q_S_SELECT, Q_S_UPDATE, Q_S_DELETE, Q_S_ASSERT, Q_S_DDL,
    Q_S_SHOW /* SHOW BUCKETS | RECORDS | RECORD name: rows about the catalog */
} q_stmt_kind;

typedef struct q_assign {  /* INSERT: one field; UPDATE: one SET */
    q_pos pos;
    q_slice name;          /* as written, the attribute */
    const q_attr *attr;    /* after the check */
    uint32_t step_count;   /* SET customer.name = …: the path into the document */
    const q_step *steps;
    enum { Q_SET = 0, Q_SET_ADD, Q_SET_REMOVE } how; /* =, += and -= */
    q_expr *expr;
} q_assign;

typedef struct q_column {  /* of a SELECT */
    q_expr *expr;
    q_slice name;          /* AS name, or how it was written ("customer.name") */
    q_pos pos;
} q_column;

typedef struct q_order { q_expr *expr; bool desc; bool nulls_first; } q_order;

typedef struct q_insert_row { uint32_t count; q_assign *assigns; q_pos pos; } q_insert_row;

/* Rows of a record behind a relation: one that doesn't satisfy the condition isn't there. */
typedef struct q_via { const q_record *record; q_expr *condition; } q_via;

typedef struct q_stmt {
    q_stmt_kind kind;
    uint32_t number;       /* counts from 1 without USE, BEGIN, COMMIT, ROLLBACK; 0 for those */
    q_pos pos;
    q_pos name_pos;        /* of the record or bucket that it names */
    q_slice bucket;        /* USE */
    q_slice record_name;   /* INSERT SELECT UPDATE DELETE */
    const q_record *record;/* after the check */
    /* INSERT: rows of assigns. UPDATE: row_count 1. */
    uint32_t row_count;
    q_insert_row *rows;
    /* SELECT */
    bool star;             /* the check puts the record's attributes, in order, before the other columns */
    uint32_t column_count;
    q_column *columns;
    q_expr *where;         /* also UPDATE, DELETE; the condition of ASSERT */
    uint32_t group_count;
    q_expr **groups;
    q_expr *having;
    uint32_t order_count;
    q_order *orders;
    q_expr *limit, *offset; /* literals after the check */
    bool aggregated;       /* after the check: GROUP BY or an aggregate is present */
    /* ASSERT condition: may be EXISTS (SELECT …) or a comparison with (SELECT …): subqueries are in `selects`. */
    uint32_t select_count;
    struct q_stmt **selects;
    /* After the check for a principal (rights.h); NULL: every row. */
    q_expr *guard;         /* of WHERE, evaluated before it: an error in it, or NULL, hides the row */
    q_expr *after;         /* INSERT, UPDATE: what a row must satisfy when it is written */
    uint32_t via_count;
    const q_via *via;
    uint32_t star_count;   /* SELECT: columns that '*' became */
    q_ddl ddl;             /* DDL; of a GRANT, `where` holds its condition, too */
    q_slice show;          /* SHOW: "buckets", "records", "record" (then record_name), "roles", "keys", "grants" (then perhaps role) */
    q_slice role;          /* SHOW GRANTS FOR */
} q_stmt;

typedef struct q_script {
    q_slice text;          /* the arena's copy, followed by a NUL; all slices of a parsed tree point into it or the arena */
    uint32_t count;
    q_stmt *stmts;
    /* After the check. */
    q_slice bucket;        /* the transaction's bucket */
    bool transaction;      /* BEGIN … present */
    bool rollback;         /* ends with ROLLBACK */
    bool read_only;
    bool ddl;
    const struct q_rights *rights; /* for SHOW; NULL: everything may be seen */
    bool denied;           /* something was refused, or hidden, for want of a privilege: for the audit, never for the answer */
    q_slice denied_record, denied_attr;
} q_script;

#endif
