/* deep.h - what is in the records: do they decode to the last field, and do they fit each other? Pure but for malloc. */
#ifndef Q_WAL_DEEP_H
#define Q_WAL_DEEP_H

#include "wal/log.h"

typedef struct q_wal_deep q_wal_deep;

q_wal_deep *q_wal_deep_new(void); /* NULL: out of memory */
void q_wal_deep_free(q_wal_deep *d); /* accepts NULL */
Q_CHECK q_rc q_wal_deep_entry(q_wal_deep *d, q_log_table table, q_slice key, q_slice value, q_err *err);
Q_CHECK q_rc q_wal_deep_record(q_wal_deep *d, uint64_t lsn, q_slice bytes, q_err *err);
/* Fills decisions and open_transactions. */
Q_CHECK q_rc q_wal_deep_end(q_wal_deep *d, q_verify_report *report, q_err *err);

#endif
