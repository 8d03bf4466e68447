/* corpus_wal.c - the first inputs of fuzz_wal.c: a record of each type, whole and as a payload, a stamp, and two small data files.
 *
 * usage: corpus_wal DIRECTORY */
#include <fcntl.h>
#include <stdlib.h>

#include "tests/unit/wal/sample.h"
#include "tests/unit/wal/scratch.h"
#include "wal/bytes.h"
#include "wal/entry.h"

static const char *to;

static void put(const char *name, uint8_t what, const void *bytes, size_t n)
{
    char path[800];
    snprintf(path, sizeof path, "%s/%s", to, name);
    FILE *f = fopen(path, "w");
    if (!f || fputc(what, f) == EOF || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        exit(1);
}

static void put_record(q_arena *a, const char *name, q_rec r)
{
    char file[80];
    r.lsn = 7;
    q_slice s = sample_encode(a, &r);
    snprintf(file, sizeof file, "record-%s", name);
    put(file, 0, s.ptr, s.len);
    char *payload = q_arena_alloc(a, s.len);
    payload[0] = (char)r.type;
    memcpy(payload + 1, s.ptr + Q_REC_HEADER_BYTES, s.len - Q_REC_HEADER_BYTES);
    snprintf(file, sizeof file, "payload-%s", name);
    put(file, 1, payload, s.len - Q_REC_HEADER_BYTES + 1);
}

/* The used part of a log's data file. */
static void put_file(const char *name, bool filled)
{
    char dir[700], path[800];
    q_log *log;
    q_err err = Q_ERR_INIT;
    const q_log_options o = { .max_bytes = 8 << 20, .create = true };
    snprintf(dir, sizeof dir, "%s", scratch_new());
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    if (q_log_open_lmdb(dir, &o, &log, &err) != Q_OK)
        exit(1);
    if (filled)
        lc_append_run(log, 1, 3);
    log->ops->close(log);
    static uint8_t bytes[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, bytes, sizeof bytes, 0) <= 0)
        exit(1);
    close(fd);
    uint64_t a = q_get_le64(bytes + 136), b = q_get_le64(bytes + 4096 + 136);
    put(name, 3, bytes, ((a > b ? a : b) + 1) * 4096);
    char sealed[100];
    snprintf(sealed, sizeof sealed, "%s-sealed", name);
    put(sealed, 4, bytes, ((a > b ? a : b) + 1) * 4096);
    scratch_remove(dir);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    to = argv[1];
    q_arena *a = q_arena_new(0);
    uint64_t ended[] = { 1, 300 }, published[] = { 2 };
    put_record(a, "epoch", (q_rec){ .type = Q_REC_EPOCH, .epoch = { 1, 1700000000000000, Q_SLICE_LIT("0.1.0") } });
    put_record(a, "committed", sample_decision(a, 7, 1, "{\"status\":\"committed\"}"));
    put_record(a, "aborted", sample_decision(a, 7, 5, "{\"status\":\"aborted\"}"));
    put_record(a, "tail", (q_rec){ .type = Q_REC_TAIL, .tail = { 2, ended, 1, published } });
    put_record(a, "operator", (q_rec){ .type = Q_REC_OPERATOR, .text = Q_SLICE_LIT("by hand") });
    q_wal_stamp s = { .format = Q_WAL_FORMAT, .txnid = 9, .first_lsn = 1, .last_lsn = 4, .appended_bytes = 900 };
    q_buf b = Q_BUF_INIT(200);
    q_wal_stamp_encode(&s, &b);
    put("stamp", 2, b.ptr + Q_WAL_CRC_BYTES, b.len - Q_WAL_CRC_BYTES);
    q_buf_free(&b);
    put_file("file-new", false);
    put_file("file-filled", true);
    q_arena_free(a);
    return 0;
}
