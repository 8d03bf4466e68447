/* print.h - shared by the printer's files. Internal to quantaql. Pure. */
#ifndef Q_QUANTAQL_PRINT_H
#define Q_QUANTAQL_PRINT_H

#include "quantaql/parser.h"

enum { Q_COLUMN_NAME_BYTES = 120 }; /* of a column without AS */

void q_print_name(q_slice name, q_buf *out);      /* in backticks where it would be taken for a keyword */
void q_print_any_name(q_slice name, q_buf *out);  /* where keywords are names as well: after a dot, in lists of attributes */
void q_print_key(q_slice key, q_buf *out);        /* before a colon: a word, or a string */
void q_print_string(q_slice s, q_buf *out);
void q_print_steps(const q_step *steps, uint32_t count, bool brackets_first, q_buf *out);
/* Of roles, grants and keys (grant.c). */
void q_print_access(const q_stmt *s, q_buf *out);
/* The first Q_COLUMN_NAME_BYTES of an expression's text, whole code points. */
q_slice q_print_cut(q_slice text);

#endif
