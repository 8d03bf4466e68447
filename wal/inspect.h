/* inspect.h - records for people: one JSON object a line, and which ones. What `quanta wal ls` and `quanta wal show` print.
 *
 * Any thread that may read the log. Everything printed was in the log; secrets aren't, parameters of statements aren't, but a user's data
 * is: `full` shows what a transaction writes. */
#ifndef Q_WAL_INSPECT_H
#define Q_WAL_INSPECT_H

#include "wal/log.h"

/* A record as one JSON object without a line end, appended to `out` (its `failed` tells when it didn't fit).
 * Short: lsn, type, bytes, and of a decision who, when, what came out; of a tail the counts.
 * Full: also the redo as items, the reply as text (base64 when it isn't UTF-8), events, schema change, hashes, the lists of a tail. What
 * can't be decoded is shown as {"error": why}. `arena` for what is decoded. */
void q_wal_record_json(q_arena *arena, const q_rec *r, size_t record_bytes, bool full, q_buf *out);
/* {"mongo": [items], ...}: what a transaction writes in each of `engines` (a mask), from encoded q_writes. */
void q_wal_redo_json(q_arena *arena, uint32_t engines, const q_slice writes[Q_EN_COUNT], q_buf *out);
/* An entry of META, POSITION or CATALOG. META's and POSITION's values as text or base64; a definition of CATALOG as QuantaQL, for which it
 * is loaded into *catalog (buckets before their records: the order in which they stand in the table). */
void q_wal_entry_json(q_arena *arena, q_catalog **catalog, q_log_table table, q_slice key, q_slice value, q_buf *out);

typedef struct q_wal_filter {
    uint64_t from_lsn, to_lsn;   /* both included; to_lsn 0: to the end */
    uint64_t from_seq, to_seq;   /* both 0: any. Else decisions of these seqs, and the tails that end one of them */
    q_slice bucket, request_id;  /* empty: any. Else only decisions of it */
    uint32_t types;              /* mask of 1 << q_rec_type; 0: any */
    uint64_t newest;             /* not 0: only the last so many that match */
    uint64_t limit;              /* 0: all */
} q_wal_filter;

/* Called with each line (without a line end; borrowed for the call); anything but Q_OK ends the listing and is returned. */
typedef q_rc (*q_wal_line)(void *ctx, q_slice json, q_err *err);

/* The records that match, oldest first. A record that can't be decoded is the error, after those before it. */
Q_CHECK q_rc q_wal_list(q_log *log, const q_wal_filter *filter, bool full, q_wal_line line, void *ctx, q_err *err);
/* One record, in full. Q_END: trimmed or not there. */
Q_CHECK q_rc q_wal_show(q_log *log, uint64_t lsn, q_buf *out, q_err *err);
/* Every entry of a table. */
Q_CHECK q_rc q_wal_list_table(q_log *log, q_log_table table, q_wal_line line, void *ctx, q_err *err);
/* "decision" …; 0 when unknown: for the command line. */
uint32_t q_wal_type_mask(q_slice name);

#endif
