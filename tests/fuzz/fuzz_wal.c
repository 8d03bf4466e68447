/* fuzz_wal.c - whatever bytes stand in a log, its readers refuse them or understand something valid. LibFuzzer's entry point;
 * tests/fuzz/fuzz_wal.mk builds and runs it.
 *
 * The first byte chooses the reader: 0 a record as it is; 1 a record's payload under a right header and checksum (else no input would get
 * past the checksum); 2 a stamp under a right checksum; 3 a data file; 4 a data file whose records' and entries' checksums are made right. */
#include <stdlib.h>

#include "wal/bytes.h"
#include "wal/checksum.h"
#include "wal/inspect.h"
#include "wal/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)   \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

/* What was understood says the same when it is written and read again, and can be shown. */
static void record(q_arena *arena, q_slice bytes, uint64_t lsn)
{
    q_err err = Q_ERR_INIT;
    q_rec r, again;
    q_buf b = Q_BUF_INIT(1 << 24), twice = Q_BUF_INIT(1 << 24);
    if (q_rec_decode(arena, bytes, lsn, &r, &err) != Q_OK) {
        MUST(err.code != Q_E_NONE && err.message[0]);
        return;
    }
    q_rec_encode(&r, &b);
    MUST(q_rec_decode(arena, q_buf_slice(&b), lsn, &again, &err) == Q_OK);
    q_rec_encode(&again, &twice);
    MUST(!b.failed && q_slice_eq(q_buf_slice(&b), q_buf_slice(&twice)));
    q_buf_clear(&b);
    q_wal_record_json(arena, &r, bytes.len, true, &b);
    q_buf_free(&b);
    q_buf_free(&twice);
}

static void seal(uint8_t *h, size_t length)
{
    q_crc32c c = q_crc32c_start();
    q_crc32c_add(&c, h, 12);
    q_crc32c_add(&c, h + 16, 8 + length);
    q_put_le32(h + 12, q_crc32c_end(c));
}

/* type u8, then the payload. */
static void payload(q_arena *arena, const uint8_t *data, size_t size)
{
    if (size < 1)
        return;
    size_t length = size - 1;
    uint8_t *h = q_arena_calloc(arena, 1, Q_REC_HEADER_BYTES + length);
    MUST(h);
    memcpy(h, "QWAL", 4);
    q_put_le16(h + 4, Q_WAL_FORMAT);
    q_put_le16(h + 6, data[0] % 8);
    q_put_le32(h + 8, (uint32_t)length);
    q_put_le64(h + 16, 7);
    memcpy(h + Q_REC_HEADER_BYTES, data + 1, length);
    seal(h, length);
    record(arena, q_slice_of(h, Q_REC_HEADER_BYTES + length), 7);
}

static void stamp(const uint8_t *data, size_t size)
{
    q_buf b = Q_BUF_INIT(1 << 20);
    q_wal_stamp s;
    q_err err = Q_ERR_INIT;
    bool other;
    q_wal_entry_wrap(Q_WAL_T_STAMP, Q_SLICE_LIT("stamp"), q_slice_of(data, size), &b);
    if (q_wal_stamp_decode(q_buf_slice(&b), &s, &other, &err) == Q_OK)
        MUST(s.format == Q_WAL_FORMAT && s.first_lsn <= s.last_lsn + 1);
    else
        MUST(err.message[0]);
    q_buf_free(&b);
}

/* Makes checksums right in place: the visit's slices point into the image, which is ours. */
static q_rc seal_entry(void *ctx, q_slice key, q_slice value, q_err *err)
{
    uint8_t *v = (uint8_t *)(uintptr_t)value.ptr, table = (uint8_t)key.ptr[0];
    (void)ctx, (void)err;
    if (table == Q_WAL_T_RECORD && value.len >= Q_REC_HEADER_BYTES) {
        seal(v, value.len - Q_REC_HEADER_BYTES);
    } else if (value.len >= Q_WAL_CRC_BYTES) {
        q_crc32c c = q_crc32c_start();
        q_crc32c_add(&c, key.ptr, key.len);
        q_crc32c_add(&c, value.ptr + Q_WAL_CRC_BYTES, value.len - Q_WAL_CRC_BYTES);
        q_put_le32(v, q_crc32c_end(c));
    }
    return Q_OK;
}

static void image(const uint8_t *data, size_t size, bool sealed)
{
    q_err err = Q_ERR_INIT;
    q_wal_verdict v;
    q_wal_check_options o = { .deep = true };
    uint8_t *exact = malloc(size ? size : 1); /* so that the sanitizer sees a step beyond the end */
    MUST(exact);
    if (size)
        memcpy(exact, data, size);
    q_pages_image im = { exact, size };
    for (int slot = 0; sealed && slot < 2; slot++) {
        q_pages_meta meta;
        q_pages_summary s;
        if (q_pages_read_meta(im, slot, &meta, &err) == Q_OK)
            (void)!!q_pages_walk(im, &meta, seal_entry, NULL, NULL, &s, &err);
    }
    err = Q_ERR_INIT;
    if (q_wal_check_image(im, &o, &v, &err) == Q_OK)
        MUST(v.state == Q_WAL_SOUND);
    else
        MUST(v.state != Q_WAL_SOUND && err.message[0]);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    q_arena *arena = q_arena_new(1 << 28);
    MUST(arena);
    uint8_t what = data[0];
    data++;
    size--;
    switch (what % 5) {
    case 0: record(arena, q_slice_of(data, size), 7); break;
    case 1: payload(arena, data, size); break;
    case 2: stamp(data, size); break;
    case 3: image(data, size, false); break;
    case 4: image(data, size, true); break;
    }
    q_arena_free(arena);
    return 0;
}
