#include "cmd/config/refer.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NAME = 200 };

static bool is_name(const char *s)
{
    if (!isalpha((unsigned char)*s) && *s != '_')
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_')
            return false;
    return true;
}

/* NAME or NAME:-text, of the environment. */
static q_rc variable(q_slice reference, q_buf *out, q_err *err)
{
    char name[MAX_NAME + 1];
    size_t n = 0;
    while (n < reference.len && reference.ptr[n] != ':')
        n++;
    bool otherwise = n + 1 < reference.len && reference.ptr[n + 1] == '-';
    if (n > MAX_NAME || (n < reference.len && !otherwise))
        return q_err_set(err, Q_E_INTERNAL, "a reference is written ${NAME}, ${NAME:-text} or ${scheme:…}");
    memcpy(name, reference.ptr, n);
    name[n] = '\0';
    if (!is_name(name))
        return q_err_set(err, Q_E_INTERNAL, "a reference is written ${NAME}, with a name of letters, digits and _");
    const char *value = getenv(name);
    if (value && (*value || !otherwise))
        q_buf_add_cstr(out, value);
    else if (otherwise)
        q_buf_add(out, reference.ptr + n + 2, reference.len - n - 2);
    else {
        q_err_set(err, Q_E_INTERNAL, "the environment has no variable %s", name);
        q_err_hint(err, "set it, or say what holds without it: ${%s:-…}", name);
        return Q_FAIL;
    }
    return Q_OK;
}

static q_rc one(q_slice inside, const q_config_resolver *resolvers, q_buf *out, q_err *err)
{
    const char *colon = memchr(inside.ptr, ':', inside.len);
    size_t n = colon ? (size_t)(colon - inside.ptr) : 0;
    bool is_scheme = colon && n + 1 < inside.len && colon[1] != '-';
    if (!is_scheme)
        return variable(inside, out, err);
    q_slice scheme = { inside.ptr, n }, rest = { colon + 1, inside.len - n - 1 };
    if (q_slice_eq(scheme, Q_SLICE_LIT("env")))
        return variable(rest, out, err);
    for (const q_config_resolver *r = resolvers; r && r->scheme; r++)
        if (q_slice_eq(scheme, q_slice_cstr(r->scheme)))
            return r->resolve(r->ctx, rest, out, err);
    return q_err_set(err, Q_E_INTERNAL, "this program can't look up ${%.*s:…}", (int)(n < 40 ? n : 40), inside.ptr);
}

q_rc q_refer_replace(q_slice text, const q_config_resolver *resolvers, q_buf *out, q_err *err)
{
    q_buf_clear(out);
    for (size_t i = 0; i < text.len;) {
        const char *at = text.ptr + i, *dollar = memchr(at, '$', text.len - i);
        size_t plain = dollar ? (size_t)(dollar - at) : text.len - i;
        q_buf_add(out, at, plain);
        i += plain;
        if (!dollar)
            break;
        char next = i + 1 < text.len ? text.ptr[i + 1] : '\0';
        if (next == '$') {
            q_buf_add_byte(out, '$');
            i += 2;
        } else if (next == '{') {
            const char *end = memchr(dollar, '}', text.len - i);
            if (!end)
                return q_err_set(err, Q_E_INTERNAL, "a reference ${… has no closing brace");
            q_rc rc = one(q_slice_of(dollar + 2, (size_t)(end - dollar) - 2), resolvers, out, err);
            if (rc != Q_OK)
                return rc;
            i = (size_t)(end - text.ptr) + 1;
        } else {
            q_buf_add_byte(out, '$'); /* a dollar sign that begins nothing */
            i++;
        }
    }
    return out->failed ? q_err_set(err, Q_E_INTERNAL, "it is longer than %d bytes", Q_CONFIG_MAX_VALUE) : Q_OK;
}
