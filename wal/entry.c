/* entry.c - keys and values of the log's one tree. */
#include "base/version.h"
#include "wal/entry.h"

#include <inttypes.h>
#include <stdio.h>

#include "wal/bytes.h"
#include "wal/checksum.h"

static uint32_t entry_crc(uint8_t table, q_slice key, q_slice value)
{
    q_crc32c c = q_crc32c_start();
    q_crc32c_add(&c, &table, 1);
    q_crc32c_add(&c, key.ptr, key.len);
    q_crc32c_add(&c, value.ptr, value.len);
    return q_crc32c_end(c);
}

const char *q_wal_table_name(uint8_t table)
{
    switch (table) {
    case Q_WAL_T_STAMP: return "STAMP";
    case Q_LT_META: return "META";
    case Q_LT_POSITION: return "POSITION";
    case Q_LT_CATALOG: return "CATALOG";
    case Q_WAL_T_RECORD: return "RECORD";
    default: return "unknown";
    }
}

void q_wal_entry_wrap(uint8_t table, q_slice key, q_slice value, q_buf *out)
{
    char crc[Q_WAL_CRC_BYTES];
    q_put_le32(crc, entry_crc(table, key, value));
    q_buf_add(out, crc, sizeof crc);
    q_buf_add_slice(out, value);
}

/* A key for a message: what isn't printable becomes '.', a long one is cut. */
static const char *show_key(q_slice key, char out[33])
{
    size_t n = key.len < 32 ? key.len : 32;
    for (size_t i = 0; i < n; i++)
        out[i] = key.ptr[i] >= ' ' && key.ptr[i] <= '~' ? key.ptr[i] : '.';
    out[n] = '\0';
    return out;
}

q_rc q_wal_entry_unwrap(uint8_t table, q_slice key, q_slice stored, q_slice *out, q_err *err)
{
    char shown[33];
    if (stored.len < Q_WAL_CRC_BYTES)
        return q_err_set(err, Q_E_INTERNAL, "log entry '%s' of table %s: %zu bytes are less than a checksum", show_key(key, shown),
                         q_wal_table_name(table), stored.len);
    q_slice value = q_slice_of(stored.ptr + Q_WAL_CRC_BYTES, stored.len - Q_WAL_CRC_BYTES);
    uint32_t crc = q_get_le32(stored.ptr), real = entry_crc(table, key, value);
    if (crc != real)
        return q_err_set(err, Q_E_INTERNAL, "log entry '%s' of table %s: the checksum is %08" PRIx32 ", the bytes give %08" PRIx32,
                         show_key(key, shown), q_wal_table_name(table), crc, real);
    *out = value;
    return Q_OK;
}

/* Where each field stands: README.md has the table. */
enum { S_FORMAT = 0, S_TXNID = 2, S_FIRST = 10, S_LAST = 18, S_APPENDED = 26, S_VERSION = Q_WAL_STAMP_FIXED };

void q_wal_stamp_encode(const q_wal_stamp *s, q_buf *out)
{
    char bytes[Q_WAL_STAMP_FIXED + Q_WAL_VERSION_MAX];
    q_put_le16(bytes + S_FORMAT, s->format);
    q_put_le64(bytes + S_TXNID, s->txnid);
    q_put_le64(bytes + S_FIRST, s->first_lsn);
    q_put_le64(bytes + S_LAST, s->last_lsn);
    q_put_le64(bytes + S_APPENDED, s->appended_bytes);
    const char *version = s->version[0] ? s->version : Q_VERSION;
    size_t n = strnlen(version, Q_WAL_VERSION_MAX);
    memcpy(bytes + S_VERSION, version, n);
    q_slice key = q_wal_stamp_key();
    q_wal_entry_wrap(Q_WAL_T_STAMP, q_slice_of(key.ptr + 1, key.len - 1), q_slice_of(bytes, S_VERSION + n), out);
}

q_rc q_wal_stamp_decode(q_slice stored, q_wal_stamp *out, bool *other_format, q_err *err)
{
    *other_format = false;
    q_slice key = q_wal_stamp_key(), v;
    q_rc rc = q_wal_entry_unwrap(Q_WAL_T_STAMP, q_slice_of(key.ptr + 1, key.len - 1), stored, &v, err);
    if (rc != Q_OK)
        return rc;
    if (v.len < S_VERSION)
        return q_err_set(err, Q_E_INTERNAL, "the log's stamp has %zu bytes, at least %d are needed", v.len, S_VERSION);
    memset(out, 0, sizeof *out);
    out->format = q_get_le16(v.ptr + S_FORMAT);
    out->txnid = q_get_le64(v.ptr + S_TXNID);
    size_t n = v.len - S_VERSION;
    memcpy(out->version, v.ptr + S_VERSION, n < Q_WAL_VERSION_MAX ? n : Q_WAL_VERSION_MAX);
    if (out->format != Q_WAL_FORMAT) {
        *other_format = true;
        (void)q_err_set(err, Q_E_INTERNAL, "the log has format %d, written by QuantaDB %s; this is QuantaDB " Q_VERSION ", which reads format %d",
                        out->format, out->version, Q_WAL_FORMAT);
        q_err_hint(err, "Start QuantaDB %s or a newer version; a newer version brings an older log up to its format itself.", out->version);
        return Q_FAIL;
    }
    out->first_lsn = q_get_le64(v.ptr + S_FIRST);
    out->last_lsn = q_get_le64(v.ptr + S_LAST);
    out->appended_bytes = q_get_le64(v.ptr + S_APPENDED);
    if (out->first_lsn > out->last_lsn + 1 || (out->first_lsn == 0) != (out->last_lsn == 0))
        return q_err_set(err, Q_E_INTERNAL, "the log's stamp says records %" PRIu64 " to %" PRIu64, out->first_lsn, out->last_lsn);
    return Q_OK;
}

void q_wal_record_key(uint64_t lsn, uint8_t out[Q_WAL_RECORD_KEY])
{
    out[0] = Q_WAL_T_RECORD;
    q_put_be64(out + 1, lsn);
}
