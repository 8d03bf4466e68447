#include "quantaql/parser.h"

#include "schemas/value.h"

/* The first byte that q_utf8_valid doesn't like: sequences are at most four bytes, and none is a part of another. */
static size_t first_bad(q_slice text)
{
    size_t i = 0;
    while (i < text.len) {
        size_t n = 1;
        while (n <= 4 && n <= text.len - i && !q_utf8_valid((q_slice){ text.ptr + i, n }))
            n++;
        if (n > 4 || n > text.len - i)
            break;
        i += n;
    }
    return i;
}

bool q_utf8_check(q_slice text, bool *ascii, size_t *at)
{
    size_t i = 0;
    uint64_t high = 0, zero = 0;
    for (; text.len - i >= 8; i += 8) {
        uint64_t w;
        memcpy(&w, text.ptr + i, 8);
        high |= w;
        zero |= (w - UINT64_C(0x0101010101010101)) & ~w;
    }
    for (; i < text.len; i++) {
        high |= (unsigned char)text.ptr[i];
        zero |= text.ptr[i] == '\0' ? 0x80 : 0;
    }
    *ascii = !(high & UINT64_C(0x8080808080808080));
    if (*ascii && !(zero & UINT64_C(0x8080808080808080)))
        return true;
    if (q_utf8_valid(text))
        return true;
    *at = first_bad(text);
    return false;
}
