/* pages.h - reads LMDB's data file as bytes, believing none of them. Pure.
 *
 * LMDB 0.9.24 has no checksums and trusts its file: a damaged page number is a signal, a damaged meta page is a silent step back to the
 * commit before. So this looks first. The layout is that of MDB_meta, MDB_page, MDB_node and MDB_db in mdb.c
 * (https://github.com/LMDB/lmdb/blob/LMDB_0.9.24/libraries/liblmdb/mdb.c), on a 64-bit little-endian machine:
 *
 *     page   0 page number u64 | 8 unused u16 | 10 flags u16 | 12 lower u16, upper u16 (an overflow run: pages u32) | 16 …
 *     meta   16 magic u32 | 20 version u32 | 24 address u64 | 32 map size u64 | 40 db of free pages | 88 db of the tree
 *            | 136 last page u64 | 144 transaction u64                 Transaction N writes page N % 2, bytes 32 to 151, at once.
 *     db     0 pad u32 (of the free pages' db: the page size) | 4 flags u16 | 6 depth u16 | 8 branch pages u64 | 16 leaf pages u64
 *            | 24 overflow pages u64 | 32 entries u64 | 40 root u64 (all ones: empty)
 *     node   0 lo u16, hi u16 | 4 flags u16 | 6 key size u16 | 8 key, value. A leaf's: lo, hi are the value's size; a branch's: lo, hi,
 *            flags are the child's page number. Nodes stand without gaps from `upper` to the page's end; the u16 offsets at 16 … lower
 *            order them. A branch's first key is not looked at.
 *     free   key: transaction u64; value: count u64, then so many page numbers, descending */
#ifndef Q_WAL_PAGES_H
#define Q_WAL_PAGES_H

#include "base/arena.h"
#include "base/error.h"

enum {
    Q_PAGES_META_BYTES = 152,  /* of a meta page, what matters */
    Q_PAGES_META_WRITTEN = 32, /* what a commit writes begins here … */
    Q_PAGES_META_LAST = 136,   /* … and ends with last page and transaction */
    Q_PAGES_MAX_DEPTH = 32
};

typedef struct q_pages_db {
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
} q_pages_db;

typedef struct q_pages_meta {
    uint32_t page_bytes;
    uint64_t txnid, last_page, map_bytes;
    q_pages_db freed, tree;
} q_pages_meta;

typedef struct q_pages_image { const uint8_t *bytes; uint64_t len; } q_pages_image;

/* What a walk found, beside that everything holds. */
typedef struct q_pages_summary {
    uint64_t used_pages, free_pages;
    uint64_t lost_pages;     /* neither used nor free: harmless */
    uint64_t highest_page;   /* that is used or free */
} q_pages_summary;

/* Called for each entry of the tree, in key order. `key` and `value` point into the image. */
typedef q_rc (*q_pages_visit)(void *ctx, q_slice key, q_slice value, q_err *err);
/* Called now and then with the bytes looked at. */
typedef void (*q_pages_progress)(void *ctx, uint64_t done, uint64_t total);

/* Meta page 0 or 1: its own fields only. */
Q_CHECK q_rc q_pages_read_meta(q_pages_image image, int slot, q_pages_meta *out, q_err *err);
/* The first entry of the tree, down its left edge. Q_END: the tree is empty. */
Q_CHECK q_rc q_pages_first(q_pages_image image, const q_pages_meta *meta, q_slice *key, q_slice *value, q_err *err);
/* Everything that `meta` reaches: each page once and in range, flags, offsets, key order, counts, the free list. What it needs of memory,
 * a bit a page, comes from malloc. Errors name page and byte; so does an error of `visit`. */
Q_CHECK q_rc q_pages_walk(q_pages_image image, const q_pages_meta *meta, q_pages_visit visit, q_pages_progress progress, void *ctx,
                          q_pages_summary *out, q_err *err);

#endif
