/* repair.h - the only writes to a data file that aren't LMDB's: sixteen bytes, or one copied meta page. README.md tells why they are right. */
#ifndef Q_WAL_REPAIR_H
#define Q_WAL_REPAIR_H

#include "wal/verify.h"

/* META_MISLABELLED: writes transaction and last page into the meta page. The caller owns the log and no environment is open. */
Q_CHECK q_rc q_wal_relabel(const char *dir, const q_wal_verdict *v, q_err *err);
/* META_DAMAGED: the sound meta page is copied over the damaged one, under the number before its own. */
Q_CHECK q_rc q_wal_copy_meta(const char *dir, const q_wal_verdict *v, q_err *err);

#endif
