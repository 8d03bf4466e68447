/* bytes.h - fixed-width integers at any address: little endian in headers, big endian in keys (so that they sort). Pure. */
#ifndef Q_WAL_BYTES_H
#define Q_WAL_BYTES_H

#include <endian.h>

#include "base/slice.h"

static inline uint16_t q_get_le16(const void *p) { uint16_t v; memcpy(&v, p, sizeof v); return le16toh(v); }
static inline uint32_t q_get_le32(const void *p) { uint32_t v; memcpy(&v, p, sizeof v); return le32toh(v); }
static inline uint64_t q_get_le64(const void *p) { uint64_t v; memcpy(&v, p, sizeof v); return le64toh(v); }
static inline uint64_t q_get_be64(const void *p) { uint64_t v; memcpy(&v, p, sizeof v); return be64toh(v); }
static inline void q_put_le16(void *p, uint16_t v) { v = htole16(v); memcpy(p, &v, sizeof v); }
static inline void q_put_le32(void *p, uint32_t v) { v = htole32(v); memcpy(p, &v, sizeof v); }
static inline void q_put_le64(void *p, uint64_t v) { v = htole64(v); memcpy(p, &v, sizeof v); }
static inline void q_put_be64(void *p, uint64_t v) { v = htobe64(v); memcpy(p, &v, sizeof v); }

#endif
