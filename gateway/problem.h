/* problem.h - an error as RFC 9457's problem details: the codes of base/codes.def, one HTTP status each. Pure. */
#ifndef Q_GATEWAY_PROBLEM_H
#define Q_GATEWAY_PROBLEM_H

#include "gateway/http.h"

/* {"type":"urn:quanta:problem:QQL_TYPE","title":…,"status":400,"detail":…,"code":"QQL_TYPE","retryable":false,…} into `body`. `request_id` and
 * `outcome` ("aborted", "rejected") may be empty. A 504 says that the outcome isn't known. */
void q_problem(const q_err *err, q_slice request_id, const char *outcome, q_buf *body, q_http_response *out);

#endif
