/* timetext.h - the text of times and durations. Pure.
 *
 * Sources: RFC 3339 (times); ISO 8601-1:2019 5.5.2 (durations: weeks, days and smaller; years and months have no fixed length);
 * the day count is H. Hinnant's "chrono-Compatible Low-Level Date Algorithms". */
#ifndef Q_SCHEMAS_TIMETEXT_H
#define Q_SCHEMAS_TIMETEXT_H

#include "base/error.h"

enum { Q_TIME_TEXT_BYTES = 40, Q_DURATION_TEXT_BYTES = 48 };

#define Q_TIME_MIN_US (-INT64_C(62135596800000000)) /* 0001-01-01T00:00:00Z */
#define Q_TIME_MAX_US INT64_C(253402300799999999)   /* 9999-12-31T23:59:59.999999Z */

/* `*us`: microseconds since 1970-01-01T00:00:00Z. Any offset; at most microseconds; no leap second. Q_E_QQL_VALUE. */
Q_CHECK q_rc q_time_parse(q_slice text, int64_t *us, q_err *err);
/* UTC with Z, as many fractional digits as needed. Precondition: within Q_TIME_MIN_US..MAX_US. Returns the length. */
size_t q_time_text(int64_t us, char out[Q_TIME_TEXT_BYTES]);

/* ISO 8601 (P1DT3H, -PT0.5S, P2W) or "1d 3h 5m 2s 10ms 7us" (also w), each unit once, the largest first, the last with a fraction. */
Q_CHECK q_rc q_duration_parse(q_slice text, int64_t *us, q_err *err);
size_t q_duration_text(int64_t us, char out[Q_DURATION_TEXT_BYTES]);

#endif
