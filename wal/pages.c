/* pages.c - the structural check of LMDB's data file. */
#include "wal/pages.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "wal/bytes.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || __SIZEOF_POINTER__ != 8
#error "LMDB's file has the machine's own byte order and word size; only 64-bit little endian is described here"
#endif

enum { P_BRANCH = 0x01, P_LEAF = 0x02, P_OVERFLOW = 0x04, P_META = 0x08 };
enum { F_BIGDATA = 0x01, FREE_DB_FLAGS = 0x08 /* MDB_INTEGERKEY */ };
enum { PAGE_HEADER = 16, NODE_HEADER = 8, MAX_PAGE = 32768, MIN_PAGE = 512, META_PAGES = 2, MAX_KEY = 511 };
static const uint32_t MAGIC = 0xBEEFC0DE;
enum { DATA_VERSION = 1 };
static const uint64_t NO_PAGE = UINT64_MAX;

typedef struct walk {
    q_pages_image image;
    const q_pages_meta *meta;
    uint64_t page_bytes;
    uint64_t *seen;          /* a bit a page */
    bool freed;              /* walking the free pages' tree */
    q_pages_db count;        /* what was found of the tree that is being walked */
    q_slice last_key;
    q_pages_visit visit;
    q_pages_progress progress;
    void *ctx;
    uint64_t pages_done;
    q_pages_summary *summary;
    q_err *err;
} walk;

/* ---- messages ---- */

static q_rc damaged(q_err *err, uint64_t page, uint64_t byte, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static q_rc damaged(q_err *err, uint64_t page, uint64_t byte, const char *fmt, ...)
{
    char what[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return q_err_set(err, Q_E_INTERNAL, "page %" PRIu64 ", byte %" PRIu64 ": %s", page, byte, what);
}

/* ---- meta pages ---- */

static void read_db(const uint8_t *p, q_pages_db *db)
{
    db->flags = q_get_le16(p + 4);
    db->depth = q_get_le16(p + 6);
    db->branch_pages = q_get_le64(p + 8);
    db->leaf_pages = q_get_le64(p + 16);
    db->overflow_pages = q_get_le64(p + 24);
    db->entries = q_get_le64(p + 32);
    db->root = q_get_le64(p + 40);
}

static bool is_page_size(uint32_t n) { return n >= MIN_PAGE && n <= MAX_PAGE && (n & (n - 1)) == 0; }

/* LMDB believes page 0. When page 1 isn't where that leads, but somewhere else, page 1 is right. */
static uint32_t find_page_bytes(q_pages_image image)
{
    uint32_t said = q_get_le32(image.bytes + 40);
    for (uint32_t n = MIN_PAGE; n <= MAX_PAGE; n *= 2)
        if (image.len >= n + Q_PAGES_META_BYTES && q_get_le64(image.bytes + n) == 1 && q_get_le16(image.bytes + n + 10) == P_META &&
            q_get_le32(image.bytes + n + 16) == MAGIC && q_get_le32(image.bytes + n + 40) == n)
            return n;
    return said;
}

q_rc q_pages_read_meta(q_pages_image image, int slot, q_pages_meta *out, q_err *err)
{
    uint64_t page = (uint64_t)slot;
    if (image.len < Q_PAGES_META_BYTES)
        return damaged(err, page, image.len, "the file ends within its first meta page");
    uint32_t page_bytes = find_page_bytes(image);
    if (!is_page_size(page_bytes))
        return damaged(err, 0, 40, "%" PRIu32 " is not a page size", page_bytes);
    uint64_t at = page * page_bytes;
    if (image.len < at + Q_PAGES_META_BYTES)
        return damaged(err, page, image.len, "the file ends before or within its second meta page");
    const uint8_t *p = image.bytes + at;
    if (q_get_le64(p) != page)
        return damaged(err, page, at, "it says that it is page %" PRIu64, q_get_le64(p));
    if (q_get_le16(p + 8) != 0 || q_get_le16(p + 10) != P_META || q_get_le32(p + 12) != 0)
        return damaged(err, page, at + 8, "it is not a meta page");
    if (q_get_le32(p + 16) != MAGIC)
        return damaged(err, page, at + 16, "LMDB's magic number is missing");
    if (q_get_le32(p + 20) != DATA_VERSION)
        return damaged(err, page, at + 20, "LMDB's file version is %" PRIu32 ", not %d", q_get_le32(p + 20), DATA_VERSION);
    if (q_get_le64(p + 24) != 0)
        return damaged(err, page, at + 24, "a map address where there is none");
    memset(out, 0, sizeof *out);
    out->page_bytes = q_get_le32(p + 40);
    if (out->page_bytes != page_bytes)
        return damaged(err, page, at + 40, "a page size of %" PRIu32 " beside one of %" PRIu32, out->page_bytes, page_bytes);
    out->map_bytes = q_get_le64(p + 32);
    read_db(p + 40, &out->freed);
    read_db(p + 88, &out->tree);
    if (out->freed.flags != FREE_DB_FLAGS)
        return damaged(err, page, at + 44, "the free pages' tree has flags %d", out->freed.flags);
    if (q_get_le32(p + 88) != 0 || out->tree.flags != 0)
        return damaged(err, page, at + 88, "the tree has flags %d", out->tree.flags);
    out->last_page = q_get_le64(p + 136);
    out->txnid = q_get_le64(p + 144);
    if (out->last_page < META_PAGES - 1 || out->last_page >= image.len / page_bytes)
        return damaged(err, page, at + 136, "page %" PRIu64 " is the last, but the file has %" PRIu64 " bytes: it was cut, or this is damaged",
                       out->last_page, image.len);
    if ((out->txnid & 1) != page || out->txnid == 0)
        return damaged(err, page, at + 144, "transaction %" PRIu64 " doesn't belong here", out->txnid);
    return Q_OK;
}

/* ---- one page ---- */

typedef struct page {
    uint64_t number, at; /* byte in the file */
    const uint8_t *p;
    uint16_t flags, lower, upper;
    uint32_t count;      /* of nodes */
} page;

typedef struct node {
    q_slice key;
    uint64_t child;      /* branch */
    uint16_t flags;
    uint32_t value_bytes;
    const uint8_t *value; /* leaf: in the node; big: the page number of the value */
    uint32_t size;       /* in the page, made even */
} node;

static q_rc open_page(q_pages_image image, const q_pages_meta *meta, uint64_t number, uint16_t flags, page *out, q_err *err)
{
    uint64_t at = number * meta->page_bytes;
    const uint8_t *p = image.bytes + at;
    page g = { number, at, p, q_get_le16(p + 10), q_get_le16(p + 12), q_get_le16(p + 14), 0 };
    if (q_get_le64(p) != number)
        return damaged(err, number, at, "it says that it is page %" PRIu64, q_get_le64(p));
    if (g.flags != flags)
        return damaged(err, number, at + 10, "its flags are %#x, a %s page has %#x", g.flags,
                       flags == P_BRANCH ? "branch" : flags == P_LEAF ? "leaf" : "overflow", flags);
    if (flags != P_OVERFLOW) {
        if (g.lower < PAGE_HEADER || g.lower % 2 || g.lower > g.upper || g.upper > meta->page_bytes)
            return damaged(err, number, at + 12, "free space from %d to %d", g.lower, g.upper);
        g.count = (uint32_t)(g.lower - PAGE_HEADER) / 2;
        if (g.count < (flags == P_BRANCH ? 2 : 1))
            return damaged(err, number, at + 12, "%" PRIu32 " entries are too few", g.count);
    }
    *out = g;
    return Q_OK;
}

static q_rc read_node(const page *g, uint32_t i, uint64_t page_bytes, node *out, q_err *err)
{
    uint64_t index_at = g->at + PAGE_HEADER + 2 * i;
    uint32_t off = q_get_le16(g->p + PAGE_HEADER + 2 * i);
    if (off < g->upper || off % 2 || off + NODE_HEADER > page_bytes)
        return damaged(err, g->number, index_at, "entry %" PRIu32 " is at %" PRIu32 " of the page", i, off);
    const uint8_t *p = g->p + off;
    uint64_t lo_hi = q_get_le32(p);
    uint16_t flags = q_get_le16(p + 4), key_bytes = q_get_le16(p + 6);
    node n = { .key = q_slice_of(p + NODE_HEADER, key_bytes), .flags = flags };
    uint64_t size = (uint64_t)NODE_HEADER + key_bytes;
    if (g->flags == P_BRANCH) {
        n.child = lo_hi | (uint64_t)flags << 32;
    } else {
        if (flags & ~F_BIGDATA)
            return damaged(err, g->number, g->at + off + 4, "entry %" PRIu32 " has flags %#x", i, flags);
        n.value_bytes = (uint32_t)lo_hi;
        n.value = p + size;
        size += flags & F_BIGDATA ? sizeof(uint64_t) : lo_hi;
    }
    size += size & 1;
    if (key_bytes > MAX_KEY || off + size > page_bytes)
        return damaged(err, g->number, g->at + off, "entry %" PRIu32 " of %" PRIu64 " bytes doesn't fit", i, size);
    n.size = (uint32_t)size;
    *out = n;
    return Q_OK;
}

/* Nodes fill the page from upper to its end, each byte once: what LMDB keeps so when it deletes. */
static q_rc check_tiling(const page *g, uint64_t page_bytes, q_err *err)
{
    uint64_t units[MAX_PAGE / 2 / 64] = { 0 };
    uint64_t total = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        node n;
        q_rc rc = read_node(g, i, page_bytes, &n, err);
        if (rc != Q_OK)
            return rc;
        uint32_t off = q_get_le16(g->p + PAGE_HEADER + 2 * i);
        for (uint32_t u = off / 2, end = (off + n.size) / 2; u < end;) {
            uint32_t word = u / 64, first = u % 64, bits = 64 - first < end - u ? 64 - first : end - u;
            uint64_t mask = (bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1) << first;
            if (units[word] & mask)
                return damaged(err, g->number, g->at + off, "entry %" PRIu32 " lies over another", i);
            units[word] |= mask;
            u += bits;
        }
        total += n.size;
    }
    if (total != page_bytes - g->upper)
        return damaged(err, g->number, g->at + 14, "its entries take %" PRIu64 " bytes of %" PRIu64, total, page_bytes - g->upper);
    return Q_OK;
}

/* ---- the walk ---- */

/* `what` refers to pages number … number + n - 1, from byte `from`: they must be there, and be referred to for the first time. */
static q_rc mark(walk *w, uint64_t number, uint64_t n, uint64_t from_page, uint64_t from, const char *what)
{
    if (number < META_PAGES || n == 0 || number > w->meta->last_page || n > w->meta->last_page - number + 1)
        return damaged(w->err, from_page, from, "%s %" PRIu64 " (%" PRIu64 " pages) is outside of the %" PRIu64 " pages in use", what, number, n,
                       w->meta->last_page + 1);
    for (uint64_t i = number; i < number + n; i++) {
        if (w->seen[i / 64] >> (i % 64) & 1)
            return damaged(w->err, from_page, from, "%s %" PRIu64 " is in use twice", what, i);
        w->seen[i / 64] |= UINT64_C(1) << (i % 64);
    }
    if (number + n - 1 > w->summary->highest_page)
        w->summary->highest_page = number + n - 1;
    return Q_OK;
}

static int compare_keys(const walk *w, q_slice a, q_slice b)
{
    if (!w->freed)
        return q_slice_cmp(a, b);
    uint64_t x = q_get_le64(a.ptr), y = q_get_le64(b.ptr);
    return (x > y) - (x < y);
}

static q_rc check_key(walk *w, const page *g, uint32_t i, q_slice key)
{
    uint64_t at = g->at + (uint64_t)((const uint8_t *)key.ptr - g->p);
    if (w->freed && key.len != sizeof(uint64_t))
        return damaged(w->err, g->number, at, "entry %" PRIu32 ": a key of %zu bytes among the free pages", i, key.len);
    if (!w->freed && key.len == 0)
        return damaged(w->err, g->number, at, "entry %" PRIu32 " has an empty key", i);
    return Q_OK;
}

static q_rc big_value(walk *w, const page *g, const node *n, q_slice *value, uint64_t *value_page)
{
    uint64_t number = q_get_le64(n->value), from = g->at + (uint64_t)(n->value - g->p);
    uint64_t need = ((uint64_t)n->value_bytes + PAGE_HEADER - 1) / w->page_bytes + 1;
    if (number < META_PAGES || number > w->meta->last_page)
        return damaged(w->err, g->number, from, "the value's page %" PRIu64 " is outside of the %" PRIu64 " pages in use", number, w->meta->last_page + 1);
    page big;
    q_rc rc = open_page(w->image, w->meta, number, P_OVERFLOW, &big, w->err);
    if (rc != Q_OK)
        return rc;
    uint64_t pages = q_get_le32(big.p + 12); /* may be more than needed: a smaller value stays in its place */
    if (pages < need)
        return damaged(w->err, number, big.at + 12, "%" PRIu64 " pages hold a value of %" PRIu32 " bytes", pages, n->value_bytes);
    rc = mark(w, number, pages, g->number, from, "the value's page");
    w->count.overflow_pages += pages;
    w->pages_done += pages;
    *value = q_slice_of(big.p + PAGE_HEADER, n->value_bytes);
    *value_page = number;
    return rc;
}

static q_rc free_list(walk *w, const page *g, q_slice key, q_slice value, uint64_t value_page)
{
    uint64_t at = (uint64_t)((const uint8_t *)value.ptr - w->image.bytes);
    if (q_get_le64(key.ptr) > w->meta->txnid)
        return damaged(w->err, g->number, at, "pages freed by transaction %" PRIu64 ", the last is %" PRIu64, q_get_le64(key.ptr), w->meta->txnid);
    if (value.len < 8 || value.len % 8 || q_get_le64(value.ptr) > value.len / 8 - 1)
        return damaged(w->err, value_page, at, "a list of free pages has %zu bytes", value.len);
    uint64_t n = q_get_le64(value.ptr), last = UINT64_MAX;
    for (uint64_t i = 1; i <= n; i++) {
        uint64_t number = q_get_le64(value.ptr + 8 * i);
        if (number >= last)
            return damaged(w->err, value_page, at + 8 * i, "free page %" PRIu64 " follows %" PRIu64, number, last);
        q_rc rc = mark(w, number, 1, value_page, at + 8 * i, "free page");
        if (rc != Q_OK)
            return rc;
        last = number;
    }
    w->summary->free_pages += n;
    return Q_OK;
}

static void say_progress(walk *w)
{
    if (w->progress && w->pages_done % 1024 == 0)
        w->progress(w->ctx, w->pages_done * w->page_bytes, (w->meta->last_page + 1) * w->page_bytes);
}

static q_rc walk_leaf(walk *w, const page *g, const q_slice *low, const q_slice *high)
{
    for (uint32_t i = 0; i < g->count; i++) {
        node n;
        q_rc rc = read_node(g, i, w->page_bytes, &n, w->err);
        if (rc == Q_OK)
            rc = check_key(w, g, i, n.key);
        if (rc != Q_OK)
            return rc;
        uint64_t at = g->at + (uint64_t)((const uint8_t *)n.key.ptr - g->p), value_page = g->number;
        if (w->last_key.ptr && compare_keys(w, w->last_key, n.key) >= 0)
            return damaged(w->err, g->number, at, "the key of entry %" PRIu32 " is out of order", i);
        if ((low && compare_keys(w, n.key, *low) < 0) || (high && compare_keys(w, n.key, *high) >= 0))
            return damaged(w->err, g->number, at, "the key of entry %" PRIu32 " belongs on another page", i);
        w->last_key = n.key;
        w->count.entries++;
        q_slice value = q_slice_of(n.value, n.value_bytes);
        if (n.flags & F_BIGDATA)
            rc = big_value(w, g, &n, &value, &value_page);
        if (rc == Q_OK && w->freed)
            rc = free_list(w, g, n.key, value, value_page);
        else if (rc == Q_OK && w->visit && w->visit(w->ctx, n.key, value, w->err) != Q_OK) {
            q_err inner = *w->err;
            (void)damaged(w->err, value_page, (uint64_t)((const uint8_t *)value.ptr - w->image.bytes), "%.180s", inner.message);
            q_err_hint(w->err, "%s", inner.hint);
            return Q_FAIL;
        }
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

/* `level` counts down to 0, the leaves. All keys below are in [low, high). `from`: where the reference stands. */
static q_rc walk_page(walk *w, uint64_t number, uint32_t level, const q_slice *low, const q_slice *high, uint64_t from_page, uint64_t from)
{
    page g;
    q_rc rc = mark(w, number, 1, from_page, from, "page");
    if (rc == Q_OK)
        rc = open_page(w->image, w->meta, number, level ? P_BRANCH : P_LEAF, &g, w->err);
    if (rc == Q_OK)
        rc = check_tiling(&g, w->page_bytes, w->err);
    if (rc != Q_OK)
        return rc;
    w->pages_done++;
    say_progress(w);
    if (level == 0) {
        w->count.leaf_pages++;
        return walk_leaf(w, &g, low, high);
    }
    w->count.branch_pages++;
    node n, next;
    rc = read_node(&g, 0, w->page_bytes, &n, w->err);
    q_slice child_low = low ? *low : Q_SLICE_NONE, child_high;
    for (uint32_t i = 0; i < g.count && rc == Q_OK; i++) {
        bool last = i + 1 == g.count;
        if (!last) {
            rc = read_node(&g, i + 1, w->page_bytes, &next, w->err);
            if (rc == Q_OK)
                rc = check_key(w, &g, i + 1, next.key);
            if (rc != Q_OK)
                return rc;
            child_high = next.key;
        } else if (high) {
            child_high = *high;
        }
        uint64_t at = g.at + (uint64_t)((const uint8_t *)n.key.ptr - NODE_HEADER - g.p);
        rc = walk_page(w, n.child, level - 1, i || low ? &child_low : NULL, !last || high ? &child_high : NULL, number, at);
        n = next;
        child_low = child_high;
    }
    return rc;
}

static q_rc check_count(walk *w, uint64_t slot, const char *tree, const char *what, uint64_t said, uint64_t found)
{
    return said == found ? Q_OK
                         : damaged(w->err, slot, slot * w->page_bytes, "%s has %" PRIu64 " %s, %" PRIu64 " were found", tree, said, what, found);
}

static q_rc walk_tree(walk *w, const q_pages_db *db, bool freed)
{
    uint64_t slot = w->meta->txnid & 1, at = slot * w->page_bytes + (freed ? 40 : 88);
    const char *name = freed ? "the free pages' tree" : "the tree";
    w->freed = freed;
    w->last_key = Q_SLICE_NONE;
    w->count = (q_pages_db){ 0 };
    if ((db->root == NO_PAGE) != (db->depth == 0) || db->depth > Q_PAGES_MAX_DEPTH)
        return damaged(w->err, slot, at, "%s has depth %d and root %" PRIu64, name, db->depth, db->root);
    q_rc rc = Q_OK;
    if (db->depth)
        rc = walk_page(w, db->root, db->depth - 1u, NULL, NULL, slot, at + 40);
    if (rc == Q_OK)
        rc = check_count(w, slot, name, "branch pages", db->branch_pages, w->count.branch_pages);
    if (rc == Q_OK)
        rc = check_count(w, slot, name, "leaf pages", db->leaf_pages, w->count.leaf_pages);
    if (rc == Q_OK)
        rc = check_count(w, slot, name, "overflow pages", db->overflow_pages, w->count.overflow_pages);
    if (rc == Q_OK)
        rc = check_count(w, slot, name, "entries", db->entries, w->count.entries);
    w->summary->used_pages += w->count.branch_pages + w->count.leaf_pages + w->count.overflow_pages;
    return rc;
}

q_rc q_pages_walk(q_pages_image image, const q_pages_meta *meta, q_pages_visit visit, q_pages_progress progress, void *ctx,
                  q_pages_summary *out, q_err *err)
{
    memset(out, 0, sizeof *out);
    out->highest_page = META_PAGES - 1;
    walk w = { .image = image, .meta = meta, .page_bytes = meta->page_bytes, .visit = visit, .progress = progress, .ctx = ctx, .summary = out, .err = err };
    w.seen = calloc(meta->last_page / 64 + 1, sizeof *w.seen);
    if (!w.seen)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "no memory to check %" PRIu64 " pages", meta->last_page + 1);
    q_rc rc = walk_tree(&w, &meta->freed, true);
    if (rc == Q_OK)
        rc = walk_tree(&w, &meta->tree, false);
    free(w.seen);
    if (rc == Q_OK)
        out->lost_pages = meta->last_page + 1 - META_PAGES - out->used_pages - out->free_pages;
    return rc;
}

q_rc q_pages_first(q_pages_image image, const q_pages_meta *meta, q_slice *key, q_slice *value, q_err *err)
{
    uint64_t slot = meta->txnid & 1, number = meta->tree.root, from_page = slot, from = slot * meta->page_bytes + 128;
    if (number == NO_PAGE)
        return Q_END;
    if (meta->tree.depth == 0 || meta->tree.depth > Q_PAGES_MAX_DEPTH)
        return damaged(err, slot, from, "the tree has depth %d", meta->tree.depth);
    for (uint32_t level = meta->tree.depth; level-- > 0;) {
        page g;
        node n;
        if (number < META_PAGES || number > meta->last_page)
            return damaged(err, from_page, from, "page %" PRIu64 " is outside of the %" PRIu64 " pages in use", number, meta->last_page + 1);
        q_rc rc = open_page(image, meta, number, level ? P_BRANCH : P_LEAF, &g, err);
        if (rc == Q_OK)
            rc = read_node(&g, 0, meta->page_bytes, &n, err);
        if (rc != Q_OK)
            return rc;
        if (level == 0) {
            if (n.flags & F_BIGDATA)
                return damaged(err, number, g.at, "the first entry's value is large");
            *key = n.key;
            *value = q_slice_of(n.value, n.value_bytes);
            return Q_OK;
        }
        from_page = number;
        from = g.at + (uint64_t)((const uint8_t *)n.key.ptr - NODE_HEADER - g.p);
        number = n.child;
    }
    return Q_END;
}
