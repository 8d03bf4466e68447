/* wal.c - how fast a group becomes durable: real files, real syncs.
 *
 * usage: bench-wal [DIR [SECONDS]]. Groups of 1, 32 and 1,024 records of 300 bytes; then a scan and an opening with its check. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/wal/scratch.h"
#include "wal/log.h"

enum { RECORD_BYTES = 300, MAX_GROUP = 1024, MAX_SAMPLES = 1 << 20 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(q_rc rc, const q_err *err, const char *what)
{
    if (rc == Q_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Encoded anew for each group, as the coordinator does; the encoding isn't part of the commit's time. */
static void encode_group(q_buf *bytes, q_log_op *ops, uint64_t lsn, size_t n)
{
    static char text[RECORD_BYTES];
    q_buf_clear(bytes);
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < n; i++) {
        q_rec r = { .type = Q_REC_OPERATOR, .lsn = lsn + i, .text = q_slice_of(text, RECORD_BYTES - Q_REC_HEADER_BYTES - 3) };
        size_t start = bytes->len;
        q_rec_encode(&r, bytes);
        ops[i] = (q_log_op){ .kind = Q_LO_APPEND, .lsn = lsn + i, .value = q_slice_of(bytes->ptr + start, bytes->len - start) };
    }
}

static uint64_t run(q_log *log, uint64_t lsn, size_t group, double seconds, double *samples)
{
    static q_log_op ops[MAX_GROUP];
    q_buf bytes = Q_BUF_INIT(1 << 20);
    q_err err = Q_ERR_INIT;
    (void)q_buf_reserve(&bytes, 1 << 19); /* the operations point into it: it may not move */
    double end = now_s() + seconds, busy = 0;
    uint64_t trimmed = lsn;
    size_t count = 0;
    while (now_s() < end && count < MAX_SAMPLES) {
        encode_group(&bytes, ops, lsn, group);
        double start = now_s();
        must(log->ops->commit(log, ops, group, &err), &err, "commit");
        samples[count] = now_s() - start;
        busy += samples[count++];
        lsn += group;
        if (lsn - trimmed > 400000) { /* as the core does, so that the file stays as it is */
            trimmed = lsn - 200000;
            q_log_op trim = { .kind = Q_LO_TRIM, .lsn = trimmed };
            must(log->ops->commit(log, &trim, 1, &err), &err, "trim");
        }
    }
    qsort(samples, count, sizeof *samples, by_value);
    printf("%6zu records a group: %10.0f records/s   commit mean %.3f ms, p50 %.3f, p99 %.3f\n", group, (double)(count * group) / busy,
           busy / (double)count * 1e3, samples[count / 2] * 1e3, samples[count * 99 / 100] * 1e3);
    q_buf_free(&bytes);
    return lsn;
}

static q_rc count_record(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    (void)lsn, (void)key, (void)value, (void)err;
    ++*(uint64_t *)ctx;
    return Q_OK;
}

int main(int argc, char **argv)
{
    char dir[700];
    snprintf(dir, sizeof dir, "%s", argc > 1 ? argv[1] : scratch_on_disk());
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
    double *samples = malloc(MAX_SAMPLES * sizeof *samples);
    q_log_options o = { .max_bytes = 1u << 30, .create = true };
    q_log *log;
    q_err err = Q_ERR_INIT;
    must(q_log_open_lmdb(dir, &o, &log, &err), &err, "open");
    uint64_t lsn = 1;
    const size_t groups[] = { 1, 32, 1024 };
    for (int i = 0; i < 3; i++)
        lsn = run(log, lsn, groups[i], seconds, samples);
    uint64_t n = 0;
    double start = now_s();
    must(log->ops->scan(log, 0, count_record, &n, &err), &err, "scan");
    printf("scan: %.0f records/s with their checksums\n", (double)n / (now_s() - start));
    q_log_info info;
    log->ops->info(log, &info);
    log->ops->close(log);
    start = now_s();
    must(q_log_open_lmdb(dir, &o, &log, &err), &err, "open");
    double took = now_s() - start;
    printf("opening with the check of %.1f MB: %.0f ms, %.1f GB/s\n", (double)info.bytes_used / 1e6, took * 1e3, (double)info.bytes_used / 1e9 / took);
    log->ops->close(log);
    free(samples);
    if (argc < 2)
        scratch_remove(dir);
    return 0;
}
