/* value.h - one typed value, as it travels from a statement to an engine and back. Pure.
 *
 * A q_value borrows: strings, documents and relation lists live in the arena (or buffer) of whoever made it.
 * NULL and absent are the same value. Documents are msgpack bytes restricted to nil, bool, int64, float64, str, array and
 * map with str keys (unique, in the order written); their source is https://github.com/msgpack/msgpack/blob/master/spec.md. */
#ifndef Q_SCHEMAS_VALUE_H
#define Q_SCHEMAS_VALUE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

typedef enum q_type {
    Q_T_NULL = 0,
    Q_T_BOOL,
    Q_T_INT,      /* int64 */
    Q_T_FLOAT,    /* IEEE double; NaN and infinities never occur */
    Q_T_DECIMAL,  /* coefficient * 10^-scale, |coefficient| < 10^34, scale 0..18; equal numbers compare equal at any scale */
    Q_T_STRING,   /* UTF-8 without NUL */
    Q_T_UUID,     /* 16 bytes, RFC 9562 order */
    Q_T_TIME,     /* microseconds since 1970-01-01T00:00:00Z, years 0001..9999 */
    Q_T_DURATION, /* microseconds; a day is 24 hours */
    Q_T_BYTES,
    Q_T_DOC,      /* msgpack bytes in .s: a map or an array (or a scalar when it is what a path led to) */
    Q_T_RELATION, /* ids in order; one or many is the attribute's matter */
    Q_T_COUNT
} q_type;

typedef struct q_value {
    q_type type;
    uint8_t scale;  /* of a decimal */
    int64_t at_us;  /* of a metric's sample: its time in microseconds; otherwise 0 */
    union {
        bool b;
        int64_t i;          /* INT, TIME, DURATION */
        double f;
        __int128 coefficient;
        q_slice s;          /* STRING, BYTES, DOC */
        uint8_t uuid[16];
        struct {
            const struct q_value *items; /* each STRING, INT or UUID */
            uint32_t count;
        } rel;
    };
} q_value;

#define Q_NULL ((q_value){ .type = Q_T_NULL })

enum {
    Q_MAX_ID_BYTES = 255,        /* of a string id */
    Q_MAX_STRING_BYTES = 1 << 20,
    Q_MAX_DOC_BYTES = 1 << 20,
    Q_MAX_DOC_DEPTH = 30,        /* msgpack-c's unpacker stops at 32 */
    Q_MAX_RELATION_IDS = 10000,
};

const char *q_type_name(q_type t);                 /* "string" …; static */
q_type q_type_from_name(q_slice name);             /* a datatype of A1; Q_T_NULL when unknown */

/* SQL's order within one type (INT, FLOAT and DECIMAL compare as numbers, exactly): <0, 0, >0. Precondition: comparable. */
int q_value_cmp(const q_value *a, const q_value *b);
/* Both numbers, or both of one type that has an order: not NULL, not documents. Relations compare id by id, the shorter first. */
bool q_value_comparable(q_type a, q_type b);
/* Same type and same content (documents: deep equality, maps without regard to key order, numbers as numbers; decimals at any
 * scale). NULL equals NULL. at_us is not looked at. */
bool q_value_same(const q_value *a, const q_value *b);

/* Text to value, and back. Sources: RFC 3339 (time), ISO 8601 durations and the "1d 3h 5m 2s 10ms 7us" form, RFC 9562 (uuid),
 * RFC 4648 base64 (bytes). Q_E_QQL_VALUE when unreadable. `out` may borrow from `text` or `arena`. */
Q_CHECK q_rc q_value_parse(q_arena *arena, q_type type, q_slice text, q_value *out, q_err *err);
/* Canonical text: what results show and GROUP BY compares. Durations as ISO 8601 (P1DT3H), times as RFC 3339 UTC, floats shortest. */
void q_value_text(const q_value *v, q_buf *out);
/* Converts without loss (int to float/decimal, string to uuid/time/duration …), or says Q_E_QQL_TYPE / Q_E_QQL_VALUE. */
Q_CHECK q_rc q_value_coerce(q_arena *arena, const q_value *v, q_type to, q_value *out, q_err *err);

/* Is it an id: a string of 1..Q_MAX_ID_BYTES bytes, an int or a uuid? Q_E_QQL_VALUE or Q_E_QQL_TYPE. */
Q_CHECK q_rc q_id_check(const q_value *id, q_err *err);

/* The canonical key of an id, or of a UNIQUE scalar: one type byte, then bytes that sort as the values do. What locks and engines
 * compare. Precondition: a scalar that isn't NULL. */
void q_value_key(const q_value *id, q_buf *out);
Q_CHECK q_rc q_value_from_key(q_slice key, q_value *out); /* borrows from key; Q_FAIL when it isn't one */

/* Deep copy into `arena`; type is Q_T_NULL with false returned when it doesn't fit. */
bool q_value_copy(q_arena *arena, const q_value *v, q_value *out);

/* UTF-8 (RFC 3629) without NUL. */
bool q_utf8_valid(q_slice s);

#endif
