/* slice.h - a borrowed run of bytes. Never owns, never NUL-terminated; valid as long as what it points into. Pure. */
#ifndef Q_BASE_SLICE_H
#define Q_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct q_slice {
    const char *ptr; /* may be NULL only when len is 0 */
    size_t len;      /* bytes */
} q_slice;

#define Q_SLICE_LIT(s) ((q_slice){ (s), sizeof(s) - 1 })
#define Q_SLICE_NONE   ((q_slice){ NULL, 0 })
/* For printf's "%.*s". */
#define Q_SLICE_FMT(s) (int)(s).len, ((s).ptr ? (s).ptr : "")

static inline q_slice q_slice_of(const void *ptr, size_t len) { return (q_slice){ (const char *)ptr, len }; }
static inline q_slice q_slice_cstr(const char *s) { return (q_slice){ s, s ? strlen(s) : 0 }; }
static inline bool q_slice_eq(q_slice a, q_slice b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }

/* Byte order, shorter first when one is a prefix of the other: <0, 0, >0. */
static inline int q_slice_cmp(q_slice a, q_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

#endif
