/* ast.h - the syntax tree of one message, before and after the check. Lives in one arena; immutable after q_ql_check. Pure. */
#ifndef Q_QUANTAQL_AST_H
#define Q_QUANTAQL_AST_H

#include "schemas/catalog.h"

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
    Q_X_AT           /* metric sample: a AT b (b a time) */
} q_expr_kind;

typedef enum q_op {
    Q_OP_NONE = 0,
    Q_OP_OR, Q_OP_AND, Q_OP_NOT,
    Q_OP_EQ, Q_OP_NE, Q_OP_LT, Q_OP_LE, Q_OP_GT, Q_OP_GE,
    Q_OP_ADD, Q_OP_SUB, Q_OP_MUL, Q_OP_DIV, Q_OP_MOD, Q_OP_NEG,
    Q_OP_COUNT, Q_OP_SUM, Q_OP_AVG, Q_OP_MIN, Q_OP_MAX
} q_op;

typedef struct q_step { /* one component of a document path: a key, or an array index */
    bool is_index;
    q_slice key;
    int64_t index; /* from 0 */
} q_step;

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
    uint32_t step_count;              /* rest: into the document */
    const q_step *steps;
    bool any;                         /* path(): true when any end matches. Also set when a hop is of cardinality many */
} q_path;

typedef struct q_expr {
    q_expr_kind kind;
    q_op op;
    bool negated;
    q_pos pos;
    q_type type;              /* after the check: what it yields (Q_T_NULL: not known before run, a document's inside) */
    q_value value;            /* LITERAL. relation("x") is Q_T_RELATION; duration() and time() are read by the lexer/parser */
    q_slice name;             /* PARAM */
    q_path path;              /* PATH */
    struct q_expr *a, *b;
    uint32_t arg_count;
    struct q_expr **args;
    const q_slice *keys;      /* OBJECT */
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

typedef struct q_stmt {
    q_stmt_kind kind;
    uint32_t number;       /* counts from 1 without USE, BEGIN, COMMIT; 0 for those */
    q_pos pos;
    q_slice bucket;        /* USE */
    q_slice record_name;   /* INSERT SELECT UPDATE DELETE */
    const q_record *record;/* after the check */
    /* INSERT: rows of assigns. UPDATE: row_count 1. */
    uint32_t row_count;
    struct { uint32_t count; q_assign *assigns; q_pos pos; } *rows;
    /* SELECT */
    bool star;             /* the check expands it into columns */
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
    q_ddl ddl;             /* DDL */
    q_slice show;          /* SHOW: "buckets", "records", "record" (then record_name) */
} q_stmt;

typedef struct q_script {
    q_slice text;
    uint32_t count;
    q_stmt *stmts;
    /* After the check. */
    q_slice bucket;        /* the transaction's bucket */
    bool transaction;      /* BEGIN … present */
    bool rollback;         /* ends with ROLLBACK */
    bool read_only;
    bool ddl;
} q_script;

#endif
