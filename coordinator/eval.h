/* eval.h - what an expression is worth: SQL's three-valued logic over values, document parts and paths. Pure.
 *
 * Knows no rows: attributes, aggregates and subqueries come from the caller's q_env. The tree is a checked one; what the check couldn't
 * know (a document's inside) is decided here: values of different types are neither equal nor ordered (unknown), numbers compare as
 * numbers. Recursion is bounded by the tree's height. */
#ifndef Q_COORDINATOR_EVAL_H
#define Q_COORDINATOR_EVAL_H

#include "quantaql/ast.h"

typedef enum q_truth { Q_FALSE = 0, Q_TRUE = 1, Q_UNKNOWN = 2 } q_truth;

/* The caller embeds it as the first member of its own context. Callbacks run on the caller's thread, any number of times, and may not
 * call q_eval with the same env. */
typedef struct q_env q_env;
struct q_env {
    q_arena *arena;        /* for values that have to be built */
    bool strict;           /* an operand of a wrong type is QQL_TYPE (writes); otherwise the result is NULL (reads) */
    bool bound;            /* leaves stand on one combination of ends: comparisons don't look for others */
    uint64_t *work_left;   /* counted down with each node; at 0 it fails with QQL_LIMIT. NULL: no bound */
    /* The value of a PATH's attribute (before its document steps; Q_END: behind them), of an AGGREGATE, SUBQUERY or EXISTS. NULL callback:
     * there are none. */
    q_rc (*leaf)(q_env *env, const q_expr *e, q_value *out, q_err *err);
    /* Paths over relations of cardinality many: puts the leaves below `e` on the first or next combination of ends. False when there
     * is none (any more). When the very first answers false, leaves behind such relations are NULL. NULL callback: each leaf has one
     * value. */
    bool (*bind)(q_env *env, const q_expr *e, bool first);
};

/* The value of any expression, except an AT (the caller's: two values). Comparisons and logic are BOOL or NULL; each of them that
 * reads over a relation of cardinality many is true when any combination of ends makes it true. Other expressions are evaluated under
 * the combination that is bound. Errors carry the place of the expression. */
Q_CHECK q_rc q_eval(q_env *env, const q_expr *e, q_value *out, q_err *err);
Q_CHECK q_rc q_eval_truth(q_env *env, const q_expr *e, q_truth *out, q_err *err);

/* Is it a comparison or logic, so that q_eval binds by itself? */
bool q_eval_is_logic(const q_expr *e);

/* a op b, neither of them NULL; op is ADD … MOD. VALUE_OUT_OF_RANGE when the result doesn't fit or divides by zero; QQL_TYPE when the
 * operands don't go together. int/int truncates as in SQL; decimals are exact, divided to at most 18 places, halves away from zero.
 * Times: time ± duration, time - time; durations: ±, times or by a number, duration / duration is a float. */
Q_CHECK q_rc q_arith(q_op op, const q_value *a, const q_value *b, q_value *out, q_err *err);
Q_CHECK q_rc q_arith_negate(const q_value *a, q_value *out, q_err *err);

/* = and < … of values that aren't NULL. Q_UNKNOWN when they don't compare. */
q_truth q_compare(q_op op, const q_value *a, const q_value *b);

/* SQL's LIKE: % any text, _ one code point, backslash takes the next character as it is; case matters. In time linear in the text for
 * each pattern of up to Q_LIKE_MAX_BYTES; a longer one matches nothing: callers check. */
enum { Q_LIKE_MAX_BYTES = 1024 };
bool q_like(q_slice text, q_slice pattern);

#endif
