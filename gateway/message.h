/* message.h - a statement and its values as a message of quanta.requests. Pure.
 *
 * The statement's text is put together of constants and of names that q_route_name let through; every value of a user is a parameter.
 * Append freely and look once at the end: a failure stays. */
#ifndef Q_GATEWAY_MESSAGE_H
#define Q_GATEWAY_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

enum { Q_MESSAGE_MAX_BYTES = 8 << 20, Q_MESSAGE_MAX_PARAMS = 10000 }; /* the coordinator's own limits are lower, and its to tell */

typedef struct q_message_draft {
    q_buf query, params;   /* text; `"p0":1,"p1":"x"` */
    uint32_t count;        /* of parameters */
} q_message_draft;

void q_draft_init(q_message_draft *d);
void q_draft_free(q_message_draft *d);
void q_draft_text(q_message_draft *d, const char *text);
void q_draft_name(q_message_draft *d, q_slice name);        /* in backticks: also reserved words are names */
/* $pN with this value. */
void q_draft_json(q_message_draft *d, const json_t *value);
void q_draft_string(q_message_draft *d, q_slice value);     /* UTF-8 */
void q_draft_int(q_message_draft *d, int64_t value);
/* {"query":…,"params":{…}} in the arena. Q_FAIL: QQL_LIMIT past the parameters, REQUEST_TOO_LARGE, LIMIT_MEMORY. */
Q_CHECK q_rc q_draft_finish(q_message_draft *d, q_arena *arena, q_slice *out, q_err *err);

/* The same of a statement that is the user's own text (UTF-8), with parameters as they came (an object, or NULL). */
Q_CHECK q_rc q_message_of(q_arena *arena, q_slice query, const json_t *params, q_slice *out, q_err *err);

#endif
