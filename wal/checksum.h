/* checksum.h - CRC32C (Castagnoli, RFC 3720 B.4) over several runs of bytes, on the processor's own instruction. Pure.
 *
 * libisal's crc32_iscsi neither inverts the initial nor the final value; these do, so that the result is the usual CRC32C. */
#ifndef Q_WAL_CHECKSUM_H
#define Q_WAL_CHECKSUM_H

#include <isa-l/crc.h>
#include <limits.h>

#include "base/slice.h"

typedef struct q_crc32c { uint32_t state; } q_crc32c;

static inline q_crc32c q_crc32c_start(void) { return (q_crc32c){ 0xFFFFFFFFu }; }

static inline void q_crc32c_add(q_crc32c *c, const void *bytes, size_t n)
{
    unsigned char *p = (unsigned char *)(uintptr_t)bytes; /* the library only reads */
    while (n > 0) {
        int part = n > (size_t)1 << 30 ? 1 << 30 : (int)n;
        c->state = crc32_iscsi(p, part, c->state);
        p += part;
        n -= (size_t)part;
    }
}

static inline uint32_t q_crc32c_end(q_crc32c c) { return c.state ^ 0xFFFFFFFFu; }

#endif
