#include "gateway/http.h"

#include "schemas/value.h"

#include <strings.h>

static const char *const methods[Q_HTTP_METHODS] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

const char *q_http_method_name(q_http_method m) { return (unsigned)m < Q_HTTP_METHODS ? methods[m] : "?"; }

bool q_http_method_from(q_slice name, q_http_method *out)
{
    if (q_slice_eq(name, Q_SLICE_LIT("HEAD")))
        name = Q_SLICE_LIT("GET");
    for (int m = 0; m < Q_HTTP_METHODS; m++)
        if (q_slice_eq(name, q_slice_cstr(methods[m]))) {
            *out = (q_http_method)m;
            return true;
        }
    return false;
}

/* ---- header values ---- */

static q_slice trim(q_slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = (q_slice){ s.ptr + 1, s.len - 1 };
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Cuts `*rest` at the first `sep`; what stood before it, trimmed. */
static q_slice cut(q_slice *rest, char sep)
{
    const char *at = rest->len ? memchr(rest->ptr, sep, rest->len) : NULL;
    size_t n = at ? (size_t)(at - rest->ptr) : rest->len;
    q_slice head = { rest->ptr, n };
    *rest = at ? (q_slice){ at + 1, rest->len - n - 1 } : Q_SLICE_NONE;
    return trim(head);
}

static bool same_text(q_slice s, const char *text) { return s.len == strlen(text) && strncasecmp(s.ptr ? s.ptr : "", text, s.len) == 0; }

bool q_http_type_is(q_slice content_type, const char *type) { return same_text(cut(&content_type, ';'), type); }

/* "q=0", "q=0.000" */
static bool weight_is_zero(q_slice params)
{
    while (params.len) {
        q_slice p = cut(&params, ';');
        if (p.len < 3 || (p.ptr[0] | 0x20) != 'q' || p.ptr[1] != '=')
            continue;
        for (size_t i = 2; i < p.len; i++)
            if (p.ptr[i] != '0' && p.ptr[i] != '.')
                return false;
        return true;
    }
    return false;
}

/* How well a range fits: 3 the type itself, 2 its family, 1 any, 0 not. */
static int fit(q_slice range, const char *type)
{
    if (same_text(range, type))
        return 3;
    if (q_slice_eq(range, Q_SLICE_LIT("*/*")) || q_slice_eq(range, Q_SLICE_LIT("*")))
        return 1;
    const char *slash = strchr(type, '/');
    size_t family = slash ? (size_t)(slash - type) + 1 : 0;
    return family && range.len == family + 1 && range.ptr[family] == '*' && strncasecmp(range.ptr, type, family) == 0 ? 2 : 0;
}

static bool listed(q_slice header, const char *type)
{
    int best = 0;
    bool taken = false;
    while (header.len) {
        q_slice params = cut(&header, ','), range = cut(&params, ';');
        int f = fit(range, type);
        if (f > best) { /* the most specific one decides */
            best = f;
            taken = !weight_is_zero(params);
        }
    }
    return taken;
}

bool q_http_accepts(q_slice accept, const char *type) { return trim(accept).len == 0 || listed(accept, type); }
bool q_http_accepts_coding(q_slice accept_encoding, const char *coding) { return listed(accept_encoding, coding); }

/* ---- URLs (RFC 3986, 2.1). Here and not in a library: those at hand let broken escapes pass as text ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool q_http_decode(q_arena *arena, q_slice text, bool plus, q_slice *out)
{
    char *to = q_arena_alloc(arena, text.len + 1);
    size_t n = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = text.len - i > 2 ? hex(text.ptr[i + 1]) : -1, low = high >= 0 ? hex(text.ptr[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        to[n++] = c;
    }
    to[n] = '\0';
    *out = (q_slice){ to, n };
    return q_utf8_valid(*out);
}

q_rc q_http_arg(q_arena *arena, q_slice args, const char *name, q_slice *out, q_err *err)
{
    *out = Q_SLICE_NONE;
    while (args.len) {
        const char *amp = memchr(args.ptr, '&', args.len);
        size_t n = amp ? (size_t)(amp - args.ptr) : args.len;
        q_slice pair = { args.ptr, n }, key;
        args = amp ? (q_slice){ amp + 1, args.len - n - 1 } : Q_SLICE_NONE;
        const char *eq = n ? memchr(pair.ptr, '=', n) : NULL;
        q_slice value = eq ? (q_slice){ eq + 1, n - (size_t)(eq - pair.ptr) - 1 } : (q_slice){ pair.ptr + n, 0 };
        if (!q_http_decode(arena, (q_slice){ pair.ptr, eq ? (size_t)(eq - pair.ptr) : n }, true, &key))
            return q_err_set(err, Q_E_REQUEST_MALFORMED, "The URL's arguments hold a broken escape.");
        if (!q_slice_eq(key, q_slice_cstr(name)))
            continue;
        if (q_http_decode(arena, value, true, out))
            return Q_OK;
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "The URL's argument %s holds a broken escape, or isn't UTF-8.", name);
    }
    return Q_END;
}
