/* format.h - a result as a person, a program or a spreadsheet likes to read it. Writes to stdio. */
#ifndef Q_CMD_FORMAT_H
#define Q_CMD_FORMAT_H

#include "base/error.h"

#include <jansson.h>
#include <stdio.h>

typedef enum q_format { Q_FORMAT_TABLE = 0, Q_FORMAT_JSON, Q_FORMAT_CSV, Q_FORMAT_EXPANDED } q_format;

/* "table" "json" "csv"; false when it is none of them (expanded is the shell's \x, not a format to ask for). */
bool q_format_from_name(const char *name, q_format *out);
/* table: each statement's rows or a line about its effect; expanded: the same, a line per attribute, nothing cut; json: the result as it
 * came, one line; csv (RFC 4180): rows only. */
void q_format_result(FILE *to, q_format format, const json_t *result);
/* code, message, place with the line of the statement and a caret, hint. `query` may be empty. */
void q_format_error(FILE *to, const json_t *error, q_slice query);
/* The same for a message that began `offset` bytes into `script`: line and column are told as the script has them. `name` of the script,
 * or NULL. */
void q_format_error_in(FILE *to, const json_t *error, const char *name, q_slice script, size_t offset);
/* Milliseconds as a person reads them: "420ms" "1.2s" "3m 05s" "2h 10m" "4d 3h". Returns `out`. */
const char *q_format_age(int64_t ms, char *out, size_t size);
/* One cell of a table that is printed row by row: controls escaped, cut or padded to `width` columns of the terminal. */
void q_format_cell(FILE *to, const char *text, int width, bool right);
/* Text from outside, safe on a terminal: control characters (C1 too) become escapes, or spaces. */
void q_format_text(FILE *to, const char *text);
/* A table of JSON objects or arrays of cells: `columns` are names. */
void q_format_table(FILE *to, const char *const *columns, size_t count, const json_t *rows);

#endif
