#include "schemas/value.h"

/* Bytes after the lead, and the range of the first of them: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629 4). */
static bool lead_byte(unsigned char c, size_t *more, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (c >= 0xC2 && c <= 0xDF) {
        *more = 1;
    } else if (c >= 0xE0 && c <= 0xEF) {
        *more = 2;
        *low = c == 0xE0 ? 0xA0 : 0x80;
        *high = c == 0xED ? 0x9F : 0xBF;
    } else if (c >= 0xF0 && c <= 0xF4) {
        *more = 3;
        *low = c == 0xF0 ? 0x90 : 0x80;
        *high = c == 0xF4 ? 0x8F : 0xBF;
    } else {
        return false;
    }
    return true;
}

bool q_utf8_valid(q_slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t at = 0;
    while (at < s.len) {
        /* Eight ASCII bytes without a NUL at a time: no high bit, and subtracting one from each borrows from none. */
        uint64_t eight;
        while (s.len - at >= 8) {
            memcpy(&eight, p + at, 8);
            if ((eight | (eight - UINT64_C(0x0101010101010101))) & UINT64_C(0x8080808080808080))
                break;
            at += 8;
        }
        if (at == s.len)
            return true;
        if (p[at] < 0x80) {
            if (p[at++] == 0)
                return false;
            continue;
        }
        size_t more;
        unsigned char low, high;
        if (!lead_byte(p[at], &more, &low, &high) || s.len - at <= more || p[at + 1] < low || p[at + 1] > high)
            return false;
        for (size_t i = 2; i <= more; i++)
            if ((p[at + i] & 0xC0) != 0x80)
                return false;
        at += more + 1;
    }
    return true;
}
