/* error.h - one error type: a code of the closed list, a sentence for a person, a hint, and a place. Pure.
 *
 * A function that can fail returns q_rc and fills the q_err that the caller passes (never NULL). Q_OK leaves it untouched. */
#ifndef Q_BASE_ERROR_H
#define Q_BASE_ERROR_H

#include "base/slice.h"

#define Q_CHECK __attribute__((warn_unused_result))

typedef enum q_code {
    Q_E_NONE = 0,
#define Q_CODE(name, http, retryable, text) Q_E_##name,
#include "base/codes.def"
#undef Q_CODE
    Q_E_COUNT
} q_code;

/* What the caller must do about it. */
typedef enum q_rc {
    Q_OK = 0,
    Q_FAIL,     /* final: q_err says why; nothing was changed */
    Q_RETRY,    /* may pass by itself: try again with backoff; nothing was changed */
    Q_IN_DOUBT, /* it may have happened: find out before doing anything else */
    Q_FATAL,    /* the process must end without telling any outcome (a failed sync, a damaged log) */
    Q_WAIT,     /* not an error: the answer comes later as an event */
    Q_END       /* not an error: nothing more */
} q_rc;

typedef struct q_err {
    q_code code;
    uint32_t statement;    /* from 1; 0 when it belongs to none */
    uint32_t line, column; /* from 1, in code points; 0 when unknown */
    char message[320];     /* a sentence, UTF-8, never a secret */
    char hint[200];        /* what to do, or "" */
} q_err;

#define Q_ERR_INIT ((q_err){ .code = Q_E_NONE })

/* Sets code and message (cut on a code point boundary when too long), clears hint and place. Returns Q_FAIL. */
q_rc q_err_set(q_err *e, q_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds a hint to an error that is set. */
void q_err_hint(q_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *q_code_name(q_code c);     /* "QQL_SYNTAX"; static */
const char *q_code_text(q_code c);     /* the sentence of codes.def; static */
int q_code_http(q_code c);
bool q_code_retryable(q_code c);
q_code q_code_from_name(q_slice name); /* Q_E_NONE when unknown */

#endif
