/* quantaql.h - text in, checked tree out; knows no engine. Pure, reentrant; everything lives in the caller's arena. */
#ifndef Q_QUANTAQL_QUANTAQL_H
#define Q_QUANTAQL_QUANTAQL_H

#include "quantaql/ast.h"

enum {
    Q_QL_MAX_BYTES = 1 << 20,
    Q_QL_MAX_DEPTH = 64,        /* of nested expressions, objects and arrays */
    Q_QL_MAX_STATEMENTS = 1000,
    Q_QL_MAX_ROWS = 10000,      /* objects of one INSERT */
    Q_QL_MAX_COLUMNS = 400,
    Q_QL_MAX_IN = 10000,
    Q_QL_MAX_HOPS = 16,
    Q_QL_MAX_PARAMS = 10000,
};

typedef struct q_param { q_slice name; q_value value; } q_param; /* name without the $ */

/* Syntax only. On failure err has code, line, column, what was expected and perhaps a hint. */
Q_CHECK q_rc q_ql_parse(q_arena *arena, q_slice text, q_script **out, q_err *err);

/* Resolves names against the snapshot, checks and coerces types, puts parameters in, numbers statements, expands '*'.
 * `bucket` is the request's (a USE in the text must agree or replaces an empty one). The tree then points into the snapshot:
 * the caller holds a reference to it as long as the tree lives. One message is one transaction: otherwise QQL_ONE_TRANSACTION. */
Q_CHECK q_rc q_ql_check(q_arena *arena, q_script *script, const q_catalog *catalog, q_slice bucket,
                        const q_param *params, size_t param_count, q_err *err);

/* Canonical text; parse → print → parse is the identity. Works on parsed and on checked trees (parameters stay names before the check). */
void q_ql_print(const q_script *script, q_buf *out);
void q_ql_print_stmt(const q_stmt *stmt, q_buf *out);
void q_ql_print_expr(const q_expr *expr, q_buf *out);

/* For exec and shell: where the first transaction of `text` ends (a whole BEGIN … COMMIT/ROLLBACK; or one statement with its ';',
 * together with USE statements before it). Q_OK: *end is set. Q_END: only space and comments left. Q_WAIT: more text is needed. */
q_rc q_ql_split(q_slice text, size_t *end);

/* The keywords, for completion; NULL-terminated, static. */
const char *const *q_ql_keywords(void);

#endif
