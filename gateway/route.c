#include "gateway/route.h"

#include "schemas/catalog.h"

enum { MAX_SEGMENTS = 6 };

#define M(m) (1u << Q_HTTP_##m)

static const struct { const char *template; unsigned methods; const char *allow; } routes[Q_RT_COUNT] = {
    [Q_RT_BUCKETS] = { "/bucket", M(GET), "GET, HEAD" },
    [Q_RT_CREATE] = { "/bucket/create", M(POST), "POST" },
    [Q_RT_BUCKET] = { "/bucket/{bucket}", M(GET) | M(DELETE), "GET, HEAD, DELETE" },
    [Q_RT_QUERY] = { "/bucket/{bucket}/query", M(POST), "POST" },
    [Q_RT_GRAPHQL] = { "/bucket/{bucket}/graphql", M(POST), "POST" },
    [Q_RT_RECORDS] = { "/bucket/{bucket}/record", M(GET) | M(POST), "GET, HEAD, POST" },
    [Q_RT_RECORD] = { "/bucket/{bucket}/record/{record}", M(GET) | M(DELETE), "GET, HEAD, DELETE" },
    [Q_RT_ROWS] = { "/bucket/{bucket}/record/{record}/rows", M(GET) | M(POST), "GET, HEAD, POST" },
    [Q_RT_ROW] = { "/bucket/{bucket}/record/{record}/rows/{id}", M(GET) | M(PUT) | M(PATCH) | M(DELETE), "GET, HEAD, PUT, PATCH, DELETE" },
    [Q_RT_HEALTH] = { "/health", M(GET), "GET, HEAD" },
    [Q_RT_LIVEZ] = { "/livez", M(GET), "GET, HEAD" },
    [Q_RT_READYZ] = { "/readyz", M(GET), "GET, HEAD" },
    [Q_RT_METRICS] = { "/metrics", M(GET), "GET, HEAD" },
    [Q_RT_OPENAPI] = { "/openapi.json", M(GET), "GET, HEAD" },
};

const char *q_route_template(q_route r) { return routes[r].template; }
bool q_route_has(q_route r, q_http_method m) { return routes[r].methods >> m & 1; }
const char *q_route_allow(q_route r) { return routes[r].allow; }

bool q_route_name(q_slice s)
{
    if (s.len == 0 || s.len > Q_MAX_NAME_BYTES || s.ptr[0] < 'a' || s.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

/* "/a/b" is two segments; false when there are more than any route has, or one is empty. */
static bool split(q_slice path, q_slice segments[MAX_SEGMENTS], size_t *count)
{
    *count = 0;
    while (path.len) {
        if (path.ptr[0] != '/' || *count == MAX_SEGMENTS)
            return false;
        const char *start = path.ptr + 1, *end = memchr(start, '/', path.len - 1);
        size_t n = end ? (size_t)(end - start) : path.len - 1;
        if (n == 0)
            return false;
        segments[(*count)++] = (q_slice){ start, n };
        path = (q_slice){ start + n, path.len - 1 - n };
    }
    return *count > 0;
}

static q_slice *slot(q_match *m, q_slice segment)
{
    if (q_slice_eq(segment, Q_SLICE_LIT("{bucket}")))
        return &m->bucket;
    if (q_slice_eq(segment, Q_SLICE_LIT("{record}")))
        return &m->record;
    return q_slice_eq(segment, Q_SLICE_LIT("{id}")) ? &m->id : NULL;
}

/* The template's segments against the path's; those in braces go to their place. */
static bool fits(q_route r, const q_slice *segments, size_t count, q_match *out)
{
    q_slice wanted[MAX_SEGMENTS];
    size_t n;
    if (!split(q_slice_cstr(routes[r].template), wanted, &n) || n != count)
        return false;
    *out = (q_match){ .route = r };
    for (size_t i = 0; i < n; i++) {
        q_slice *to = slot(out, wanted[i]);
        if (to)
            *to = segments[i];
        else if (!q_slice_eq(wanted[i], segments[i]))
            return false;
    }
    return true;
}

static q_rc decode(q_arena *arena, q_slice *part, q_err *err)
{
    if (!part->ptr || q_http_decode(arena, *part, false, part))
        return Q_OK;
    return q_err_set(err, Q_E_REQUEST_MALFORMED, "The path holds a broken escape, or isn't UTF-8.");
}

q_rc q_route_match(q_arena *arena, q_http_method method, q_slice path, q_match *out, q_err *err)
{
    q_slice segments[MAX_SEGMENTS];
    size_t count;
    int r = Q_RT_COUNT;
    *out = (q_match){ .route = Q_RT_COUNT };
    if (split(path, segments, &count))
        for (r = 0; r < Q_RT_COUNT && !fits((q_route)r, segments, count, out); r++)
            continue;
    if (r == Q_RT_COUNT) {
        *out = (q_match){ .route = Q_RT_COUNT };
        q_err_set(err, Q_E_ROUTE_UNKNOWN, "There is nothing at this path.");
        q_err_hint(err, "GET /openapi.json lists every path.");
        return Q_FAIL;
    }
    if (!q_route_has(out->route, method))
        return q_err_set(err, Q_E_METHOD_NOT_ALLOWED, "%s can't be done here; %s can.", q_http_method_name(method), routes[r].allow);
    if (decode(arena, &out->bucket, err) != Q_OK || decode(arena, &out->record, err) != Q_OK || decode(arena, &out->id, err) != Q_OK)
        return Q_FAIL;
    if (out->bucket.ptr && !q_route_name(out->bucket))
        return q_err_set(err, Q_E_UNKNOWN_BUCKET, "No bucket can be called that.");
    if (out->record.ptr && !q_route_name(out->record))
        return q_err_set(err, Q_E_UNKNOWN_RECORD, "No record can be called that.");
    return Q_OK;
}
