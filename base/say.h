/* say.h - the process's log: one JSON object a line on stderr (time, level, program, text, and what else is given). Any thread.
 *
 * Never a secret, never a parameter's value. The time is the wall clock; this module is for programs, not for the pure cores. */
#ifndef Q_BASE_SAY_H
#define Q_BASE_SAY_H

#include "base/slice.h"

typedef enum q_level { Q_SAY_DEBUG = 0, Q_SAY_INFO, Q_SAY_WARN, Q_SAY_ERROR } q_level;

/* `program` is kept, not copied. Lines below `level` are dropped. Call once, before threads start. */
void q_say_init(const char *program, q_level level);
void q_say(q_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* With further fields; names are literals, values UTF-8 text. */
typedef struct q_say_field { const char *name; q_slice value; } q_say_field;
void q_say_with(q_level level, const q_say_field *fields, size_t count, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
