/* buf.h - a growing byte buffer with a maximum fixed at its creation. Single owner. Pure but for malloc.
 *
 * An append past the maximum, or out of memory, sets `failed` and changes nothing more: callers append freely and test once. */
#ifndef Q_BASE_BUF_H
#define Q_BASE_BUF_H

#include "base/slice.h"

typedef struct q_buf {
    char *ptr;
    size_t len, cap, max;
    bool failed;
} q_buf;

#define Q_BUF_INIT(max_bytes) ((q_buf){ NULL, 0, 0, (max_bytes), false })

void q_buf_free(q_buf *b); /* afterwards empty and usable again */
void q_buf_clear(q_buf *b); /* keeps the memory; forgets a failure */
/* Room for `n` more bytes at ptr+len, or NULL. The caller writes them and adds to len. */
char *q_buf_reserve(q_buf *b, size_t n);
void q_buf_add_slow(q_buf *b, const void *bytes, size_t n); /* the part of q_buf_add that isn't for callers' hot paths */
static inline void q_buf_add(q_buf *b, const void *bytes, size_t n)
{
    if (n && n <= b->cap - b->len && !b->failed) {
        memcpy(b->ptr + b->len, bytes, n);
        b->len += n;
    } else {
        q_buf_add_slow(b, bytes, n);
    }
}
void q_buf_printf(q_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void q_buf_add_slice(q_buf *b, q_slice s) { q_buf_add(b, s.ptr, s.len); }
static inline void q_buf_add_cstr(q_buf *b, const char *s) { q_buf_add(b, s, strlen(s)); }
static inline void q_buf_add_byte(q_buf *b, uint8_t c) { q_buf_add(b, &c, 1); }
static inline q_slice q_buf_slice(const q_buf *b) { return (q_slice){ b->ptr, b->len }; }

#endif
