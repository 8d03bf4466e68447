/* number.h - integers, floats and decimals: exact comparison and text forms. Pure.
 *
 * A decimal is coefficient * 10^-scale. Nothing here goes through a double that doesn't have to: 2^63-1 and 9223372036854775808.0
 * compare as the numbers that they are. */
#ifndef Q_SCHEMAS_NUMBER_H
#define Q_SCHEMAS_NUMBER_H

#include "schemas/value.h"

enum { Q_DECIMAL_MAX_DIGITS = 34, Q_DECIMAL_MAX_SCALE = 18, Q_NUMBER_TEXT_BYTES = 48 };

/* 10^n for n in 0..36. */
__int128 q_pow10(unsigned n);

/* Exact order of two numbers (INT, FLOAT, DECIMAL): <0, 0, >0. */
int q_number_cmp(const q_value *a, const q_value *b);

/* Makes a decimal's scale the smallest that holds the number: 1.50 -> 1.5, 100.00 -> 100. */
void q_decimal_normalise(q_value *v);
/* True when coefficient and scale are within bounds. */
bool q_decimal_valid(__int128 coefficient, unsigned scale);

/* Canonical text; returns its length. A float always shows that it is one (100.0, 1e+20) and reads back as the same bits:
 * the shortest of %.15g, %.16g and %.17g that does. LC_NUMERIC must be "C", as it is unless a program changes it. */
size_t q_float_text(double f, char out[Q_NUMBER_TEXT_BYTES]);
size_t q_decimal_text(const q_value *v, char out[Q_NUMBER_TEXT_BYTES]);
size_t q_int_text(int64_t i, char out[Q_NUMBER_TEXT_BYTES]);

/* Whole `text` as a number; false when it isn't one or doesn't fit. Signs are allowed, spaces and hexadecimal aren't. */
bool q_int_parse(q_slice text, int64_t *out);
bool q_float_parse(q_slice text, double *out);
bool q_decimal_parse(q_slice text, q_value *out); /* also with an exponent: 1.5e3 */

#endif
