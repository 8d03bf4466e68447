/* route.h - which resource a path names, and what may be done with it. Pure; the table is the same as openapi.json, by a test. */
#ifndef Q_GATEWAY_ROUTE_H
#define Q_GATEWAY_ROUTE_H

#include "gateway/http.h"

typedef enum q_route {
    Q_RT_BUCKETS = 0,   /* /bucket */
    Q_RT_CREATE,        /* /bucket/create */
    Q_RT_BUCKET,        /* /bucket/{bucket} */
    Q_RT_QUERY,         /* /bucket/{bucket}/query */
    Q_RT_GRAPHQL,       /* /bucket/{bucket}/graphql */
    Q_RT_RECORDS,       /* /bucket/{bucket}/record */
    Q_RT_RECORD,        /* /bucket/{bucket}/record/{record} */
    Q_RT_ROWS,          /* /bucket/{bucket}/record/{record}/rows */
    Q_RT_ROW,           /* /bucket/{bucket}/record/{record}/rows/{id} */
    Q_RT_HEALTH, Q_RT_LIVEZ, Q_RT_READYZ, Q_RT_METRICS, Q_RT_OPENAPI,
    Q_RT_COUNT
} q_route;

typedef struct q_match {
    q_route route;
    q_slice bucket, record, id; /* decoded; those that the path has */
} q_match;

const char *q_route_template(q_route r);              /* as in openapi.json; static */
bool q_route_has(q_route r, q_http_method m);
const char *q_route_allow(q_route r);                 /* "GET, DELETE"; static */
/* Q_FAIL: ROUTE_UNKNOWN, METHOD_NOT_ALLOWED (out->route is set then), REQUEST_MALFORMED. A name that can't be a bucket's or a record's is
 * UNKNOWN_BUCKET or UNKNOWN_RECORD here already: names become text of statements, so nothing else passes. */
Q_CHECK q_rc q_route_match(q_arena *arena, q_http_method method, q_slice path, q_match *out, q_err *err);
/* [a-z][a-z0-9_]{0,39}: what the grammar of names allows at all. */
bool q_route_name(q_slice s);

#endif
