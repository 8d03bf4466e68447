/* ingest_rows.h - rows out of a file: JSON lines, or CSV (RFC 4180) whose first line names the attributes. Input is hostile: bounded. */
#ifndef Q_CMD_INGEST_ROWS_H
#define Q_CMD_INGEST_ROWS_H

#include "base/error.h"

#include <jansson.h>
#include <stdio.h>

enum { Q_ROW_MAX_BYTES = 900 << 10, Q_ROW_MAX_FIELDS = 200 };

typedef enum q_rows_kind { Q_ROWS_JSON = 1, Q_ROWS_CSV } q_rows_kind;

typedef struct q_row_reader q_row_reader;

/* `f` stays the caller's. NULL when out of memory. */
q_row_reader *q_rows_open(FILE *f, q_rows_kind kind);
void q_rows_close(q_row_reader *r); /* accepts NULL */

/* Q_OK: *row is an object (CSV: of strings, empty fields left out), the caller's; *line where it began, from 1. Q_END. Q_FAIL: err tells
 * what is wrong with the row at *line; the next call goes on behind it. Q_FATAL: the input can't be read on. */
Q_CHECK q_rc q_rows_next(q_row_reader *r, json_t **row, uint64_t *line, q_err *err);
uint64_t q_rows_bytes(const q_row_reader *r); /* read so far */

#endif
