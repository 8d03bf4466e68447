#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void q_buf_free(q_buf *b)
{
    free(b->ptr);
    *b = Q_BUF_INIT(b->max);
}

void q_buf_clear(q_buf *b)
{
    b->len = 0;
    b->failed = false;
}

char *q_buf_reserve(q_buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n <= b->cap - b->len && b->ptr)
        return b->ptr + b->len;
    if (b->len > b->max || n > b->max - b->len) {
        b->failed = true;
        return NULL;
    }
    size_t cap = b->cap ? b->cap : 64;
    while (cap < b->len + n)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap > b->max)
        cap = b->max;
    if (cap < b->len + n)
        cap = b->len + n;
    char *p = realloc(b->ptr, cap ? cap : 1);
    if (!p) {
        b->failed = true;
        return NULL;
    }
    b->ptr = p;
    b->cap = cap;
    return p + b->len;
}

void q_buf_add_slow(q_buf *b, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    char *p = q_buf_reserve(b, n);
    if (!p)
        return;
    memcpy(p, bytes, n);
    b->len += n;
}

void q_buf_printf(q_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n < 0 ? NULL : q_buf_reserve(b, (size_t)n + 1);
    if (!p)
        return;
    va_start(args, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len += (size_t)n;
}
