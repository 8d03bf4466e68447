/* entry.h - how tables and records share one LMDB tree, and what stands around a table entry's value. Pure.
 *
 * One tree, keys in byte order: a table byte, then the table's own key. Records come last, so that a new one is always appended at the
 * tree's right edge. A table entry's value is preceded by a CRC32C over table byte, key and value: LMDB has no checksums. A record has
 * its own (record.h), and its key must be the lsn that its header tells.
 *
 * The stamp is the log's own entry, written by every commit: which LMDB transaction wrote it (B8), which records there are, and who
 * wrote them. Its first ten bytes and the crc stay where they are in every format. */
#ifndef Q_WAL_ENTRY_H
#define Q_WAL_ENTRY_H

#include "wal/log.h"

enum {
    Q_WAL_T_STAMP = 0x00,  /* one entry, key "stamp" */
    Q_WAL_T_RECORD = 0x7F, /* key: lsn, big endian */
    Q_WAL_KEY_MAX = 511,   /* LMDB's, table byte included */
    Q_WAL_RECORD_KEY = 9,
    Q_WAL_CRC_BYTES = 4,
    Q_WAL_STAMP_FIXED = 34,
    Q_WAL_VERSION_MAX = 40
};

typedef struct q_wal_stamp {
    uint16_t format;
    uint64_t txnid;                /* the LMDB transaction that wrote this */
    uint64_t first_lsn, last_lsn;  /* first: the oldest that counts; last: the newest ever appended; both 0 before the first append */
    uint64_t appended_bytes;       /* of all records ever appended: for metrics */
    char version[Q_WAL_VERSION_MAX + 1]; /* of QuantaDB that wrote it */
} q_wal_stamp;

/* The stored form of a table entry's value, appended to `out`. */
void q_wal_entry_wrap(uint8_t table, q_slice key, q_slice value, q_buf *out);
/* Checks and strips it; `out` borrows from `stored`. Q_FAIL names the table and the key. */
Q_CHECK q_rc q_wal_entry_unwrap(uint8_t table, q_slice key, q_slice stored, q_slice *out, q_err *err);

void q_wal_stamp_encode(const q_wal_stamp *s, q_buf *out);
/* Q_FAIL: damaged, or of another format (then the message names the version that wrote it, and *other_format is set). */
Q_CHECK q_rc q_wal_stamp_decode(q_slice stored, q_wal_stamp *out, bool *other_format, q_err *err);
static inline q_slice q_wal_stamp_key(void) { return q_slice_of("\0stamp", 6); }

void q_wal_record_key(uint64_t lsn, uint8_t out[Q_WAL_RECORD_KEY]);
const char *q_wal_table_name(uint8_t table); /* "META" …; static */

#endif
