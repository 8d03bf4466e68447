/* ingest_batch.h - rows become one INSERT: names from the catalog, values as parameters. */
#ifndef Q_CMD_INGEST_BATCH_H
#define Q_CMD_INGEST_BATCH_H

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

enum { Q_BATCH_MAX_ROWS = 5000, Q_BATCH_MAX_BYTES = 900 << 10, Q_BATCH_MAX_VALUES = 10000 };

/* Turns the texts of a CSV row into values of the attributes' types, and looks every name up. `attributes`: rows of SHOW RECORD.
 * `typed`: the row came as JSON and has types already. Q_FAIL: which attribute, and why. */
Q_CHECK q_rc q_ingest_shape(const json_t *attributes, bool typed, json_t *row, q_err *err);

/* The statement and its parameters. Row i stands on line i + 2: that is how an error is led back to its row. */
void q_ingest_statement(const json_t *attributes, const char *record, json_t *const *rows, size_t count, q_buf *query, json_t *params);

/* About how many bytes a row takes in a request, and how many parameters. */
size_t q_ingest_row_bytes(const json_t *row);

#endif
