/* verify.h - is this data file the log it claims to be? Structure (pages.h), the stamp, every checksum, every lsn. Pure but for malloc. */
#ifndef Q_WAL_VERIFY_H
#define Q_WAL_VERIFY_H

#include "wal/entry.h"
#include "wal/pages.h"

typedef enum q_wal_state {
    Q_WAL_SOUND = 0,
    Q_WAL_META_MISLABELLED, /* everything is there, only a meta page's transaction and last page are wrong: repair.h puts it right */
    Q_WAL_META_DAMAGED,     /* one meta page is damaged; the other one's tree is sound, and perhaps lacks the last group */
    Q_WAL_DAMAGED,
    Q_WAL_OTHER_FORMAT
} q_wal_state;

typedef struct q_wal_verdict {
    q_wal_state state;
    uint64_t txnid;          /* of the tree that was checked */
    uint32_t page_bytes;
    int slot;                /* META_…: the meta page in question */
    uint64_t slot_txnid, slot_last_page; /* META_MISLABELLED: what belongs into it */
    q_wal_stamp stamp;
    q_pages_summary pages;
    uint64_t entries;        /* of the tree */
    uint64_t table_entries, stored_records; /* stored: also those trimmed but not yet deleted */
    q_verify_report report;  /* decisions, open_transactions: only when `deep` */
} q_wal_verdict;

typedef struct q_wal_check_options {
    bool deep;          /* decode every record and what is in it; do records fit each other? */
    uint64_t snapshot;  /* not 0: the transaction that is read; a coordinator may have committed the next since */
    q_pages_progress progress; /* or NULL */
    void *ctx;
} q_wal_check_options;

/* Q_OK: SOUND. Q_FAIL: err says what and where, out->state what can be done. */
Q_CHECK q_rc q_wal_check_image(q_pages_image image, const q_wal_check_options *options, q_wal_verdict *out, q_err *err);

#endif
