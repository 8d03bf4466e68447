/* segment.h - what was trimmed from the log: records in order, compressed (zstd, RFC 8878), one file for each run of lsns.
 *
 * Files in <log directory>/segments/, named by their first lsn, never changed after their rename into place; a `.new` is half of one and means nothing.
 * A segment is durable (file and directory) before the TRIM of its records is written, so record n is in the log, in a segment, or in
 * both (a crash between the two); README.md has the layout. Writing: one owner, the log's. Reading: any process, at any time. */
#ifndef Q_WAL_SEGMENT_H
#define Q_WAL_SEGMENT_H

#include "wal/log.h"

typedef struct q_segment {
    uint64_t first_lsn, last_lsn;
    int64_t first_time_us, last_time_us; /* of its decisions; 0, 0: it has none */
    uint64_t high_before;  /* the highest seq of a decision in all records before it; UINT64_MAX: not known */
    uint64_t high;         /* … and with its own */
    uint64_t cluster;
    uint64_t raw_bytes;    /* of its records */
    uint64_t file_bytes;
    char file[64];         /* name in the folder */
} q_segment;

/* Records that aren't in the log any more: a seam, because the simulator keeps them in memory. */
typedef struct q_archive q_archive;
struct q_archive {
    uint64_t first_lsn, last_lsn;  /* 0, 0: nothing was archived */
    uint64_t high_before;          /* the highest seq that a record before first_lsn may have; 0: none is missing, UINT64_MAX: not known */
    /* Calls `visit` for the records from `from_lsn` on, in order; anything but Q_OK stops and is returned. */
    q_rc (*scan)(q_archive *a, uint64_t from_lsn, q_log_visit visit, void *ctx, q_err *err);
    void (*close)(q_archive *a);
};

/* The segments of a log, oldest first, each one's header checked, that nothing is missing between them too. *list is malloc'd. */
Q_CHECK q_rc q_segments_list(const char *log_dir, q_segment **list, size_t *count, q_err *err);
/* Opens all of them for reading. */
Q_CHECK q_rc q_segments_open(const char *log_dir, q_archive **out, q_err *err);
/* Moves nothing: copies the records below `end_lsn` that no segment has yet into a new one, durably. What is archived already is not written again.
 * *last: the newest segment afterwards (all zero when there is none). Q_FAIL: the disk is full, a segment is another cluster's. */
Q_CHECK q_rc q_segment_write(const char *log_dir, q_log *log, uint64_t cluster, uint64_t end_lsn, q_segment *last, q_err *err);
/* Every byte: frames, checksums, records. `progress` may be NULL. */
Q_CHECK q_rc q_segment_verify(const char *log_dir, const q_segment *s, uint64_t *records, q_err *err);

#endif
