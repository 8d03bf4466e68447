#include "gateway/problem.h"

#include "gateway/result.h"
#include "schemas/value.h"

static void text(q_buf *out, const char *name, const char *value)
{
    q_buf_printf(out, ",\"%s\":", name);
    q_json_add_string(out, q_utf8_valid(q_slice_cstr(value)) ? q_slice_cstr(value) : Q_SLICE_LIT("?"));
}

void q_problem(const q_err *err, q_slice request_id, const char *outcome, q_buf *b, q_http_response *out)
{
    q_code code = err->code == Q_E_NONE ? Q_E_INTERNAL : err->code;
    int status = q_code_http(code);
    q_buf_clear(b);
    q_buf_printf(b, "{\"type\":\"urn:quanta:problem:%s\"", q_code_name(code));
    text(b, "title", q_code_text(code));
    q_buf_printf(b, ",\"status\":%d", status);
    text(b, "detail", err->message[0] ? err->message : q_code_text(code));
    text(b, "code", q_code_name(code));
    q_buf_printf(b, ",\"retryable\":%s", q_code_retryable(code) ? "true" : "false");
    if (err->hint[0])
        text(b, "hint", err->hint);
    if (err->statement)
        q_buf_printf(b, ",\"statement\":%u", err->statement);
    if (err->line)
        q_buf_printf(b, ",\"line\":%u,\"column\":%u", err->line, err->column);
    if (outcome && *outcome)
        text(b, "outcome", outcome);
    if (request_id.len) {
        q_buf_add_cstr(b, ",\"request_id\":");
        q_json_add_string(b, request_id);
    }
    q_buf_add_byte(b, '}');
    *out = (q_http_response){ .status = status, .type = Q_TYPE_PROBLEM, .body = q_buf_slice(b), .code = code,
                              .retry = q_code_retryable(code) && (status == 503 || status == 429), .challenge = code == Q_E_UNAUTHENTICATED };
}
