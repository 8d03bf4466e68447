/* segment.c - writing and reading segments. README.md has the layout of the bytes. */
#include "wal/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "wal/bytes.h"
#include "wal/checksum.h"

enum {
    FORMAT = 1,
    HEADER = 128,
    INDEX_ENTRY = 32,
    FRAME_BYTES = 1 << 20,          /* of records; one record may be more */
    FRAME_MAX_BYTES = Q_REC_MAX_BYTES + FRAME_BYTES,
    MAX_FRAMES = 1 << 20,
    LEVEL = 3,
    PATH_BYTES = 4200
};
static const char MAGIC[8] = { 'Q', 'W', 'A', 'L', 'S', 'E', 'G', '\n' };

typedef struct frame { uint64_t first_lsn, offset; uint32_t raw, packed, crc; } frame;

static uint32_t crc_of(const void *p, size_t n)
{
    q_crc32c c = q_crc32c_start();
    q_crc32c_add(&c, p, n);
    return q_crc32c_end(c);
}

static q_rc io_error(q_err *err, const char *doing, const char *path)
{
    return q_err_set(err, Q_E_INTERNAL, "%s %s: %s", doing, path, strerrordesc_np(errno));
}

static q_rc no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory"); }

static bool path_of(char out[PATH_BYTES], const char *log_dir, const char *file)
{
    int n = snprintf(out, PATH_BYTES, "%s/segments%s%s", log_dir, *file ? "/" : "", file);
    return n > 0 && n < PATH_BYTES;
}

/* ---- header ---- */

static void put_header(char out[HEADER], const q_segment *s, uint32_t frames, uint64_t index_at, uint32_t index_crc)
{
    memset(out, 0, HEADER);
    memcpy(out, MAGIC, sizeof MAGIC);
    q_put_le32(out + 8, FORMAT);
    q_put_le32(out + 12, frames);
    const uint64_t numbers[] = { s->cluster, s->first_lsn, s->last_lsn, (uint64_t)s->first_time_us, (uint64_t)s->last_time_us,
                                 s->high_before, s->high, s->raw_bytes, index_at };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        q_put_le64(out + 16 + 8 * i, numbers[i]);
    q_put_le32(out + 88, index_crc);
    q_put_le32(out + HEADER - 4, crc_of(out, HEADER - 4));
}

static q_rc get_header(const char in[HEADER], const char *path, q_segment *s, uint32_t *frames, uint64_t *index_at, uint32_t *index_crc, q_err *err)
{
    if (memcmp(in, MAGIC, sizeof MAGIC) != 0 || q_get_le32(in + HEADER - 4) != crc_of(in, HEADER - 4))
        return q_err_set(err, Q_E_INTERNAL, "%s: the header is damaged (bytes 0 to %d)", path, HEADER - 1);
    if (q_get_le32(in + 8) != FORMAT)
        return q_err_set(err, Q_E_INTERNAL, "%s has format %u, this program reads %d", path, q_get_le32(in + 8), FORMAT);
    uint64_t n[9];
    for (size_t i = 0; i < 9; i++)
        n[i] = q_get_le64(in + 16 + 8 * i);
    s->cluster = n[0];
    s->first_lsn = n[1];
    s->last_lsn = n[2];
    s->first_time_us = (int64_t)n[3];
    s->last_time_us = (int64_t)n[4];
    s->high_before = n[5];
    s->high = n[6];
    s->raw_bytes = n[7];
    *index_at = n[8];
    *frames = q_get_le32(in + 12);
    *index_crc = q_get_le32(in + 88);
    if (s->first_lsn == 0 || s->last_lsn < s->first_lsn || *frames == 0 || *frames > MAX_FRAMES)
        return q_err_set(err, Q_E_INTERNAL, "%s: the header makes no sense", path);
    return Q_OK;
}

/* ---- reading ---- */

typedef struct reader { int fd; char path[PATH_BYTES]; frame *frames; uint32_t count; } reader;

static void reader_close(reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r->frames);
    *r = (reader){ .fd = -1 };
}

static q_rc read_all(const reader *r, void *to, size_t n, uint64_t at, q_err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(r->fd, (char *)to + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return io_error(err, "reading", r->path);
        if (got == 0)
            return q_err_set(err, Q_E_INTERNAL, "%s is cut: it ends at byte %" PRIu64 ", bytes to %" PRIu64 " are missing", r->path,
                             at + done, at + n - 1);
        done += (size_t)got;
    }
    return Q_OK;
}

static q_rc reader_open(reader *r, const char *log_dir, q_segment *s, bool index, q_err *err)
{
    char header[HEADER];
    uint32_t frames = 0, index_crc = 0;
    uint64_t index_at = 0;
    struct stat st;
    *r = (reader){ .fd = -1 };
    if (!path_of(r->path, log_dir, s->file))
        return q_err_set(err, Q_E_INTERNAL, "the log directory's path is too long");
    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &st) != 0)
        return io_error(err, "opening", r->path);
    q_rc rc = read_all(r, header, sizeof header, 0, err);
    if (rc == Q_OK)
        rc = get_header(header, r->path, s, &frames, &index_at, &index_crc, err);
    if (rc != Q_OK)
        return rc;
    s->file_bytes = (uint64_t)st.st_size;
    if (!index)
        return Q_OK;
    size_t bytes = (size_t)frames * INDEX_ENTRY;
    char *raw = malloc(bytes);
    r->frames = calloc(frames, sizeof *r->frames);
    rc = raw && r->frames ? read_all(r, raw, bytes, index_at, err) : no_memory(err);
    if (rc == Q_OK && crc_of(raw, bytes) != index_crc)
        rc = q_err_set(err, Q_E_INTERNAL, "%s: the index is damaged (from byte %" PRIu64 " on)", r->path, index_at);
    for (uint32_t i = 0; rc == Q_OK && i < frames; i++) {
        const char *p = raw + (size_t)i * INDEX_ENTRY;
        r->frames[i] = (frame){ q_get_le64(p), q_get_le64(p + 8), q_get_le32(p + 16), q_get_le32(p + 20), q_get_le32(p + 24) };
        if (r->frames[i].raw > FRAME_MAX_BYTES || r->frames[i].packed > ZSTD_COMPRESSBOUND(FRAME_MAX_BYTES))
            rc = q_err_set(err, Q_E_INTERNAL, "%s: frame %u is larger than a frame can be", r->path, i);
    }
    r->count = frames;
    free(raw);
    return rc;
}

/* One frame, unpacked and checked; *raw is malloc'd. */
static q_rc read_frame(const reader *r, uint32_t i, char **raw, q_err *err)
{
    const frame *f = &r->frames[i];
    char *packed = malloc(f->packed ? f->packed : 1);
    *raw = malloc(f->raw ? f->raw : 1);
    q_rc rc = packed && *raw ? read_all(r, packed, f->packed, f->offset, err) : no_memory(err);
    if (rc == Q_OK && crc_of(packed, f->packed) != f->crc)
        rc = q_err_set(err, Q_E_INTERNAL, "%s: frame %u, records from %" PRIu64 " on, is damaged (bytes %" PRIu64 " to %" PRIu64 ")", r->path, i,
                       f->first_lsn, f->offset, f->offset + f->packed - 1);
    if (rc == Q_OK) {
        size_t n = ZSTD_decompress(*raw, f->raw, packed, f->packed);
        if (ZSTD_isError(n) || n != f->raw)
            rc = q_err_set(err, Q_E_INTERNAL, "%s: frame %u, records from %" PRIu64 " on, can't be unpacked: %s", r->path, i, f->first_lsn,
                           ZSTD_isError(n) ? ZSTD_getErrorName(n) : "it has another size");
    }
    free(packed);
    return rc;
}

static q_rc visit_frame(const reader *r, uint32_t i, uint64_t from_lsn, uint64_t *next, q_log_visit visit, void *ctx, q_err *err)
{
    char *raw = NULL;
    q_rc rc = read_frame(r, i, &raw, err);
    size_t at = 0;
    if (rc == Q_OK && r->frames[i].first_lsn != *next)
        rc = q_err_set(err, Q_E_INTERNAL, "%s: frame %u begins with record %" PRIu64 ", not %" PRIu64, r->path, i, r->frames[i].first_lsn, *next);
    while (rc == Q_OK && at < r->frames[i].raw) {
        size_t left = r->frames[i].raw - at;
        uint64_t n = left >= Q_REC_HEADER_BYTES ? (uint64_t)Q_REC_HEADER_BYTES + q_get_le32(raw + at + 8) : left + 1;
        if (n > left) {
            rc = q_err_set(err, Q_E_INTERNAL, "%s: record %" PRIu64 " in frame %u is cut", r->path, *next, i);
            break;
        }
        q_slice bytes = { raw + at, (size_t)n };
        rc = q_rec_check(bytes, *next, NULL, err);
        if (rc == Q_OK && *next >= from_lsn)
            rc = visit(ctx, *next, Q_SLICE_NONE, bytes, err);
        ++*next;
        at += (size_t)n;
    }
    free(raw);
    return rc;
}

static q_rc scan_segment(const char *log_dir, const q_segment *s, uint64_t from_lsn, q_log_visit visit, void *ctx, q_err *err)
{
    reader r;
    q_segment now = *s;
    q_rc rc = reader_open(&r, log_dir, &now, true, err);
    uint32_t first = 0;
    while (rc == Q_OK && first + 1 < r.count && r.frames[first + 1].first_lsn <= from_lsn)
        first++;
    uint64_t next = rc == Q_OK ? (first ? r.frames[first].first_lsn : now.first_lsn) : 0;
    for (uint32_t i = first; rc == Q_OK && i < r.count; i++)
        rc = visit_frame(&r, i, from_lsn, &next, visit, ctx, err);
    if (rc == Q_OK && next != now.last_lsn + 1)
        rc = q_err_set(err, Q_E_INTERNAL, "%s ends with record %" PRIu64 ", its header says %" PRIu64, r.path, next - 1, now.last_lsn);
    reader_close(&r);
    return rc;
}

static q_rc count_record(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    (void)lsn;
    (void)key;
    (void)value;
    (void)err;
    ++*(uint64_t *)ctx;
    return Q_OK;
}

q_rc q_segment_verify(const char *log_dir, const q_segment *s, uint64_t *records, q_err *err)
{
    *records = 0;
    return scan_segment(log_dir, s, 0, count_record, records, err);
}

/* ---- all of them ---- */

static int by_first(const void *x, const void *y)
{
    const q_segment *a = x, *b = y;
    return (a->first_lsn > b->first_lsn) - (a->first_lsn < b->first_lsn);
}

static bool is_segment(const char *name)
{
    size_t n = strlen(name);
    return n == 20 + 5 && strspn(name, "0123456789") == 20 && strcmp(name + 20, ".qseg") == 0;
}

static q_rc check_chain(const q_segment *list, size_t count, q_err *err)
{
    for (size_t i = 1; i < count; i++)
        if (list[i].first_lsn != list[i - 1].last_lsn + 1) {
            q_err_set(err, Q_E_INTERNAL, "segments: records %" PRIu64 " to %" PRIu64 " are missing between %s and %s", list[i - 1].last_lsn + 1,
                      list[i].first_lsn - 1, list[i - 1].file, list[i].file);
            q_err_hint(err, "Bring the missing file back; only the oldest segments may be taken away.");
            return Q_FAIL;
        } else if (list[i].cluster != list[0].cluster) {
            return q_err_set(err, Q_E_INTERNAL, "segments: %s is another cluster's", list[i].file);
        }
    return Q_OK;
}

q_rc q_segments_list(const char *log_dir, q_segment **list, size_t *count, q_err *err)
{
    char path[PATH_BYTES];
    size_t cap = 0;
    q_rc rc = Q_OK;
    *list = NULL;
    *count = 0;
    if (!path_of(path, log_dir, ""))
        return q_err_set(err, Q_E_INTERNAL, "the log directory's path is too long");
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? Q_OK : io_error(err, "opening", path);
    for (struct dirent *e; rc == Q_OK && (e = readdir(d)) != NULL;) {
        if (!is_segment(e->d_name))
            continue;
        if (*count == cap) {
            cap = cap ? cap * 2 : 16;
            q_segment *more = realloc(*list, cap * sizeof *more);
            if (!more) {
                rc = no_memory(err);
                break;
            }
            *list = more;
        }
        q_segment *s = &(*list)[*count];
        reader r;
        *s = (q_segment){ 0 };
        memcpy(s->file, e->d_name, strlen(e->d_name) + 1);
        rc = reader_open(&r, log_dir, s, false, err);
        reader_close(&r);
        ++*count;
    }
    closedir(d);
    if (rc == Q_OK && *count) {
        qsort(*list, *count, sizeof **list, by_first);
        rc = check_chain(*list, *count, err);
    }
    if (rc != Q_OK) {
        free(*list);
        *list = NULL;
        *count = 0;
    }
    return rc;
}

typedef struct opened { q_archive base; char dir[PATH_BYTES]; q_segment *list; size_t count; } opened;

static q_rc opened_scan(q_archive *a, uint64_t from_lsn, q_log_visit visit, void *ctx, q_err *err)
{
    opened *o = (opened *)a;
    q_rc rc = Q_OK;
    for (size_t i = 0; rc == Q_OK && i < o->count; i++)
        if (o->list[i].last_lsn >= from_lsn)
            rc = scan_segment(o->dir, &o->list[i], from_lsn, visit, ctx, err);
    return rc;
}

static void opened_close(q_archive *a)
{
    opened *o = (opened *)a;
    if (o)
        free(o->list);
    free(o);
}

q_rc q_segments_open(const char *log_dir, q_archive **out, q_err *err)
{
    opened *o = calloc(1, sizeof *o);
    if (!o || strlen(log_dir) >= sizeof o->dir) {
        free(o);
        return no_memory(err);
    }
    memcpy(o->dir, log_dir, strlen(log_dir) + 1);
    q_rc rc = q_segments_list(log_dir, &o->list, &o->count, err);
    if (rc != Q_OK) {
        free(o);
        return rc;
    }
    o->base = (q_archive){ .scan = opened_scan, .close = opened_close };
    if (o->count) {
        o->base.first_lsn = o->list[0].first_lsn;
        o->base.high_before = o->list[0].high_before;
        o->base.last_lsn = o->list[o->count - 1].last_lsn;
    }
    *out = &o->base;
    return Q_OK;
}

/* ---- writing ---- */

typedef struct writer {
    int fd;
    char path[PATH_BYTES];
    uint64_t end_lsn, at;
    q_segment s;
    q_buf raw;           /* of the frame being filled */
    uint64_t frame_lsn;
    frame *frames;
    uint32_t count, cap;
    q_arena *arena;
    char *packed;
    size_t packed_cap;
} writer;

static q_rc write_all(writer *w, const void *bytes, size_t n, uint64_t at, q_err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = pwrite(w->fd, (const char *)bytes + done, n - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return io_error(err, "writing", w->path);
        done += (size_t)put;
    }
    return Q_OK;
}

static q_rc end_frame(writer *w, q_err *err)
{
    if (w->raw.len == 0)
        return Q_OK;
    size_t bound = ZSTD_compressBound(w->raw.len);
    if (w->count == w->cap) {
        uint32_t cap = w->cap ? w->cap * 2 : 64;
        frame *more = cap <= MAX_FRAMES ? realloc(w->frames, cap * sizeof *more) : NULL;
        if (!more)
            return no_memory(err);
        w->frames = more;
        w->cap = cap;
    }
    if (bound > w->packed_cap) {
        free(w->packed);
        w->packed_cap = 0;
        w->packed = malloc(bound);
        if (!w->packed)
            return no_memory(err);
        w->packed_cap = bound;
    }
    size_t n = ZSTD_compress(w->packed, bound, w->raw.ptr, w->raw.len, LEVEL);
    if (ZSTD_isError(n))
        return q_err_set(err, Q_E_INTERNAL, "compressing a segment: %s", ZSTD_getErrorName(n));
    w->frames[w->count++] = (frame){ w->frame_lsn, w->at, (uint32_t)w->raw.len, (uint32_t)n, crc_of(w->packed, n) };
    q_rc rc = write_all(w, w->packed, n, w->at, err);
    w->at += n;
    q_buf_clear(&w->raw);
    return rc;
}

static void note_decision(q_segment *s, const q_rec_decision *d)
{
    if (d->seq > s->high)
        s->high = d->seq;
    if (!s->first_time_us || d->time_us < s->first_time_us)
        s->first_time_us = d->time_us;
    if (d->time_us > s->last_time_us)
        s->last_time_us = d->time_us;
}

static q_rc add_record(void *ctx, uint64_t lsn, q_slice key, q_slice bytes, q_err *err)
{
    writer *w = ctx;
    q_rec r;
    (void)key;
    if (lsn >= w->end_lsn)
        return Q_END;
    if (lsn != w->s.last_lsn + 1)
        return q_err_set(err, Q_E_INTERNAL, "record %" PRIu64 " isn't in the log any more, and in no segment", w->s.last_lsn + 1);
    q_arena_reset(w->arena);
    q_rc rc = q_rec_decode(w->arena, bytes, lsn, &r, err);
    if (rc != Q_OK)
        return rc;
    if (r.type == Q_REC_DECISION)
        note_decision(&w->s, &r.decision);
    if (w->raw.len == 0)
        w->frame_lsn = lsn;
    q_buf_add_slice(&w->raw, bytes);
    if (w->raw.failed)
        return no_memory(err);
    w->s.last_lsn = lsn;
    w->s.raw_bytes += bytes.len;
    return w->raw.len >= FRAME_BYTES ? end_frame(w, err) : Q_OK;
}

static q_rc put_index(writer *w, q_err *err)
{
    size_t bytes = (size_t)w->count * INDEX_ENTRY;
    char header[HEADER], *raw = calloc(w->count, INDEX_ENTRY);
    if (!raw)
        return no_memory(err);
    for (uint32_t i = 0; i < w->count; i++) {
        char *p = raw + (size_t)i * INDEX_ENTRY;
        const frame *f = &w->frames[i];
        q_put_le64(p, f->first_lsn);
        q_put_le64(p + 8, f->offset);
        q_put_le32(p + 16, f->raw);
        q_put_le32(p + 20, f->packed);
        q_put_le32(p + 24, f->crc);
    }
    q_rc rc = write_all(w, raw, bytes, w->at, err);
    put_header(header, &w->s, w->count, w->at, crc_of(raw, bytes));
    w->s.file_bytes = w->at + bytes;
    free(raw);
    return rc == Q_OK ? write_all(w, header, sizeof header, 0, err) : rc;
}

static q_rc sync_dir(const char *path, q_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    q_rc rc = fd < 0 || fsync(fd) != 0 ? io_error(err, "making durable", path) : Q_OK;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The folder exists, and durably so. */
static q_rc make_folder(const char *log_dir, q_err *err)
{
    char path[PATH_BYTES];
    if (!path_of(path, log_dir, ""))
        return q_err_set(err, Q_E_INTERNAL, "the log directory's path is too long");
    if (mkdir(path, 0750) == 0)
        return sync_dir(log_dir, err);
    return errno == EEXIST ? Q_OK : io_error(err, "making", path);
}

static q_rc write_segment(writer *w, const char *log_dir, q_log *log, q_err *err)
{
    char final[PATH_BYTES], folder[PATH_BYTES], name[80];
    snprintf(w->s.file, sizeof w->s.file, "%020" PRIu64 ".qseg", w->s.first_lsn);
    snprintf(name, sizeof name, "%s.new", w->s.file);
    if (!path_of(w->path, log_dir, name) || !path_of(final, log_dir, w->s.file) || !path_of(folder, log_dir, ""))
        return q_err_set(err, Q_E_INTERNAL, "the log directory's path is too long");
    w->fd = open(w->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (w->fd < 0)
        return io_error(err, "making", w->path);
    q_rc rc = log->ops->scan(log, w->s.first_lsn, add_record, w, err);
    if (rc == Q_OK || rc == Q_END)
        rc = end_frame(w, err);
    if (rc == Q_OK && w->s.last_lsn + 1 != w->end_lsn)
        rc = q_err_set(err, Q_E_INTERNAL, "the log ends with record %" PRIu64 ", records below %" PRIu64 " were to be archived", w->s.last_lsn, w->end_lsn);
    if (rc == Q_OK)
        rc = put_index(w, err);
    if (rc == Q_OK && fsync(w->fd) != 0)
        rc = io_error(err, "making durable", w->path);
    if (rc == Q_OK && rename(w->path, final) != 0)
        rc = io_error(err, "renaming", w->path);
    if (rc != Q_OK) {
        unlink(w->path);
        return rc;
    }
    return sync_dir(folder, err);
}

q_rc q_segment_write(const char *log_dir, q_log *log, uint64_t cluster, uint64_t end_lsn, q_segment *last, q_err *err)
{
    q_segment *list = NULL;
    size_t count;
    *last = (q_segment){ 0 };
    q_rc rc = make_folder(log_dir, err);
    if (rc == Q_OK)
        rc = q_segments_list(log_dir, &list, &count, err);
    if (rc != Q_OK)
        return rc;
    if (count)
        *last = list[count - 1];
    free(list);
    if (count && last->cluster != cluster)
        return q_err_set(err, Q_E_INTERNAL, "%s/segments belongs to another cluster", log_dir);
    q_log_info info;
    log->ops->info(log, &info);
    uint64_t from = count ? last->last_lsn + 1 : info.first_lsn;
    if (from >= end_lsn)
        return Q_OK;
    writer w = { .fd = -1, .end_lsn = end_lsn, .at = HEADER, .raw = Q_BUF_INIT(FRAME_MAX_BYTES), .arena = q_arena_new((size_t)512 << 20) };
    w.s = (q_segment){ .first_lsn = from, .last_lsn = from - 1, .cluster = cluster, .high_before = last->high, .high = last->high };
    if (last->high_before == UINT64_MAX || (!count && from > 1))
        w.s.high_before = UINT64_MAX; /* records were trimmed before there were segments: nobody knows their seqs */
    rc = w.arena ? write_segment(&w, log_dir, log, err) : no_memory(err);
    if (w.fd >= 0)
        close(w.fd);
    q_buf_free(&w.raw);
    q_arena_free(w.arena);
    free(w.frames);
    free(w.packed);
    if (rc == Q_OK)
        *last = w.s;
    return rc;
}
