#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *text;
    int http;
    bool retryable;
} codes[Q_E_COUNT] = {
    [Q_E_NONE] = { "NONE", "", 200, false },
#define Q_CODE(name_, http_, retryable_, text_) [Q_E_##name_] = { #name_, text_, http_, retryable_ },
#include "base/codes.def"
#undef Q_CODE
};

/* Cuts an incomplete UTF-8 sequence off the end of a NUL-terminated text that may have been truncated. */
static void trim_utf8(char *s)
{
    size_t n = strlen(s), i = n;
    while (i > 0 && n - i < 4 && ((unsigned char)s[i - 1] & 0xC0) == 0x80)
        i--;
    if (i == 0)
        return;
    unsigned char lead = (unsigned char)s[i - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (lead >= 0xC0 && n - (i - 1) < need)
        s[i - 1] = '\0';
}

q_rc q_err_set(q_err *e, q_code code, const char *fmt, ...)
{
    va_list args;
    e->code = code;
    e->statement = e->line = e->column = 0;
    e->hint[0] = '\0';
    va_start(args, fmt);
    vsnprintf(e->message, sizeof e->message, fmt, args);
    va_end(args);
    trim_utf8(e->message);
    return Q_FAIL;
}

void q_err_hint(q_err *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->hint, sizeof e->hint, fmt, args);
    va_end(args);
    trim_utf8(e->hint);
}

const char *q_code_name(q_code c) { return c < Q_E_COUNT ? codes[c].name : "INTERNAL"; }
const char *q_code_text(q_code c) { return c < Q_E_COUNT ? codes[c].text : ""; }
int q_code_http(q_code c) { return c < Q_E_COUNT ? codes[c].http : 500; }
bool q_code_retryable(q_code c) { return c < Q_E_COUNT && codes[c].retryable; }

q_code q_code_from_name(q_slice name)
{
    for (int c = Q_E_NONE + 1; c < Q_E_COUNT; c++)
        if (q_slice_eq(name, q_slice_cstr(codes[c].name)))
            return (q_code)c;
    return Q_E_NONE;
}
