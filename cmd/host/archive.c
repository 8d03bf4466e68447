#include "cmd/host/archive.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/say.h"
#include "wal/segment.h"

struct q_archiver {
    q_log *log;
    char *log_dir;
    uint64_t cluster, end_lsn;
    void (*done)(void *ctx, uint64_t lsn);
    void *ctx;
    pthread_t thread;
};

static void *archive_main(void *arg)
{
    q_archiver *a = arg;
    q_segment last;
    q_err err = Q_ERR_INIT;
    q_rc rc = q_segment_write(a->log_dir, a->log, a->cluster, a->end_lsn, &last, &err);
    if (rc == Q_OK)
        q_say(Q_SAY_INFO, "log records %" PRIu64 " to %" PRIu64 " are in segment %s", last.first_lsn, last.last_lsn, last.file);
    else
        q_say(Q_SAY_ERROR, "no segment of the log can be written, so it isn't trimmed: %s", err.message);
    a->done(a->ctx, rc == Q_OK ? a->end_lsn : 0);
    return NULL;
}

static void free_archiver(q_archiver *a)
{
    free(a->log_dir);
    free(a);
}

q_archiver *q_archiver_start(q_log *log, const char *log_dir, uint64_t cluster, uint64_t end_lsn, void (*done)(void *ctx, uint64_t lsn), void *ctx)
{
    q_archiver *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    *a = (q_archiver){ .log = log, .log_dir = strdup(log_dir), .cluster = cluster, .end_lsn = end_lsn, .done = done, .ctx = ctx };
    if (!a->log_dir || pthread_create(&a->thread, NULL, archive_main, a) != 0) {
        free_archiver(a);
        return NULL;
    }
    return a;
}

void q_archiver_end(q_archiver *a)
{
    if (!a)
        return;
    pthread_join(a->thread, NULL);
    free_archiver(a);
}
