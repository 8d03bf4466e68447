/* A log with any byte flipped, cut anywhere, or of a newer format: refused with the place and the reason, or, where the byte was unused,
 * served right; never a wrong answer, never a signal. Tried on every byte of a small log.
 *
 * Each flipped image goes through the very check that an opening runs, in this process. What it lets pass must give the same entries; then
 * all those bytes are flipped together in a file, and LMDB must serve and go on writing it. Samples of both kinds are really opened. */
#include "sample.h"
#include "scratch.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/wait.h>

#include "wal/bytes.h"
#include "wal/checksum.h"
#include "wal/check.h"

#ifdef __SANITIZE_THREAD__
enum { EVERY = 7 }; /* one thread only: nothing for it to see, at ten times the time */
#else
enum { EVERY = 1 };
#endif

static char dir[700], data_path[800];
static uint8_t *file;          /* the data file, as far as it is used */
static uint64_t used, page_bytes;
static q_buf original = { .max = 1 << 24 };

static q_rc open_dir(bool read_only, q_log **log, q_err *err)
{
    const q_log_options o = { .max_bytes = 8 << 20, .read_only = read_only };
    return q_log_open_lmdb(dir, &o, log, err);
}

static void write_file(const uint8_t *bytes, uint64_t n)
{
    int fd = open(data_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

/* The log, built once and read back as bytes. */
static int build(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/log", scratch_new());
    snprintf(data_path, sizeof data_path, "%s/data.mdb", dir);
    q_log *log;
    q_err err = Q_ERR_INIT;
    const q_log_options o = { .max_bytes = 8 << 20, .create = true };
    assert_int_equal(q_log_open_lmdb(dir, &o, &log, &err), Q_OK);
    sample_fill(log);
    assert_int_equal(sample_contents(log, &original, &err), Q_OK);
    log->ops->close(log);
    int fd = open(data_path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    file = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, file, (size_t)st.st_size), st.st_size);
    close(fd);
    page_bytes = q_get_le32(file + 40);
    int newest = q_get_le64(file + 144) < q_get_le64(file + page_bytes + 144);
    used = (q_get_le64(file + (newest ? page_bytes : 0) + 136) + 1) * page_bytes;
    assert_true(used > 20 * page_bytes && used < 60 * page_bytes && used <= (uint64_t)st.st_size);
    return 0;
}

static int unbuild(void **state)
{
    (void)state;
    *strrchr(dir, '/') = '\0';
    scratch_remove(dir);
    free(file);
    q_buf_free(&original);
    return 0;
}

/* Opens the directory; Q_OK only with exactly the original's contents. */
static q_rc really_open(q_err *err)
{
    q_log *log;
    q_rc rc = open_dir(false, &log, err);
    if (rc != Q_OK)
        return rc;
    q_buf now = { .max = original.max };
    assert_int_equal(sample_contents(log, &now, err), Q_OK);
    assert_true(q_slice_eq(q_buf_slice(&now), q_buf_slice(&original)));
    q_buf_free(&now);
    log->ops->close(log);
    return Q_OK;
}

static q_rc hash_entry(void *ctx, q_slice key, q_slice value, q_err *err)
{
    q_crc32c *c = ctx;
    (void)err;
    q_crc32c_add(c, &key.len, sizeof key.len);
    q_crc32c_add(c, key.ptr, key.len);
    q_crc32c_add(c, value.ptr, value.len);
    return Q_OK;
}

/* A fingerprint of every entry in the tree that an opening would serve; 0 when the check refuses. */
static uint32_t check(const uint8_t *bytes, uint64_t len, q_wal_verdict *v, q_err *err)
{
    q_pages_image image = { bytes, len };
    q_wal_check_options o = { 0 };
    if (q_wal_check_image(image, &o, v, err) != Q_OK)
        return 0;
    q_crc32c c = q_crc32c_start();
    q_pages_meta meta;
    q_pages_summary s;
    assert_int_equal(q_pages_read_meta(image, (int)(v->txnid & 1), &meta, err), Q_OK);
    assert_int_equal(q_pages_walk(image, &meta, hash_entry, NULL, &c, &s, err), Q_OK);
    return q_crc32c_end(c) | 1;
}

static bool tells_a_place(const q_err *err) { return strstr(err->message, "page ") || strstr(err->message, "meta pages"); }

static void every_flipped_byte_is_refused_or_was_unused(void **state)
{
    (void)state;
    q_wal_verdict v;
    q_err err = Q_ERR_INIT;
    uint32_t sound = check(file, used, &v, &err);
    assert_int_not_equal(sound, 0);
    assert_int_equal(v.pages.lost_pages, 0);
    uint8_t *unused = calloc(used, 1); /* bits that may be flipped; some bytes on the way to the older stamp are used in part */
    uint64_t refused = 0, passed = 0, mislabelled = 0;
    for (uint64_t i = 0; i < used; i += i < 2 * page_bytes ? 1 : EVERY) {
        const uint8_t masks[] = { 0xff, (uint8_t)(1u << (i % 8)), 0x80, 0x01 };
        for (size_t m = 0; m < (i < 2 * page_bytes ? 4 : 2); m++) {
            file[i] ^= masks[m];
            err = Q_ERR_INIT;
            uint32_t now = check(file, used, &v, &err);
            file[i] ^= masks[m];
            if (now) {
                if (now != sound)
                    fail_msg("byte %llu flipped by %#x: other contents", (unsigned long long)i, masks[m]);
                unused[i] |= masks[m];
                passed++;
            } else {
                if (!tells_a_place(&err))
                    fail_msg("byte %llu flipped by %#x: no place in '%s'", (unsigned long long)i, masks[m], err.message);
                refused++;
                mislabelled += v.state == Q_WAL_META_MISLABELLED;
            }
        }
    }
    printf("           %llu bytes: %llu flips refused, %llu of unused bytes, %llu put right at the next start\n", (unsigned long long)used,
           (unsigned long long)refused, (unsigned long long)passed, (unsigned long long)mislabelled);
    assert_true(refused > used / EVERY / 2);
    assert_true(mislabelled > 0);

    /* All unused bits together: LMDB serves the same, and goes on. */
    uint8_t *all = malloc(used);
    for (uint64_t i = 0; i < used; i++)
        all[i] = unused[i] == 0xff ? file[i] ^ 0xff : file[i];
    write_file(all, used);
    assert_int_equal(really_open(&err), Q_OK);
    q_log *log;
    q_log_info info;
    assert_int_equal(open_dir(false, &log, &err), Q_OK);
    log->ops->info(log, &info);
    for (uint64_t lsn = info.last_lsn + 1; lsn < info.last_lsn + 500; lsn += 50)
        lc_append_run(log, lsn, 50);
    log->ops->close(log);
    assert_int_equal(open_dir(false, &log, &err), Q_OK);
    assert_int_equal(lc_scan(log, 0).last, info.last_lsn + 500);
    log->ops->close(log);
    free(all);

    /* Samples of single ones, through the whole opening. */
    for (uint64_t i = 2 * page_bytes % (997 * EVERY); i < used; i += 997 * EVERY) {
        file[i] ^= 0xff;
        write_file(file, used);
        file[i] ^= 0xff;
        err = Q_ERR_INIT;
        q_rc rc = really_open(&err);
        assert_int_equal(rc, unused[i] ? Q_OK : Q_FAIL);
        if (rc == Q_FAIL)
            assert_non_null(strstr(err.message, "/data.mdb: "));
        rc = open_dir(true, &log, &err); /* an operator's reader judges alike */
        assert_int_equal(rc, unused[i] ? Q_OK : Q_FAIL);
        if (rc == Q_OK)
            log->ops->close(log);
    }
    free(unused);
}

/* Both meta pages, every byte that a commit writes, every bit: opened for real. */
static void a_flipped_meta_page_never_loses_the_last_group(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    for (uint64_t slot = 0; slot < 2; slot++)
        for (uint64_t i = slot * page_bytes + Q_PAGES_META_LAST; i < slot * page_bytes + Q_PAGES_META_BYTES; i++)
            for (int bit = 0; bit < 8; bit++) {
                file[i] ^= (uint8_t)(1u << bit);
                write_file(file, used);
                file[i] ^= (uint8_t)(1u << bit);
                err = Q_ERR_INIT;
                if (really_open(&err) != Q_OK) /* really_open compares contents when it opens */
                    assert_true(tells_a_place(&err));
            }
}

static void a_cut_anywhere_is_refused_and_the_reserve_is_not_needed(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    for (uint64_t page = 0; page <= used / page_bytes; page++)
        for (int d = -1; d <= 1; d++) {
            uint64_t len = page * page_bytes + (uint64_t)(int64_t)d;
            if (len > used) /* before the beginning, or beyond the end */
                continue;
            write_file(file, len);
            err = Q_ERR_INIT;
            q_rc rc = really_open(&err);
            assert_int_equal(rc, len == used ? Q_OK : Q_FAIL);
            if (rc != Q_OK)
                assert_true(tells_a_place(&err));
        }
    for (uint64_t len = 7; len < used; len += used / 40 + 13) {
        write_file(file, len);
        assert_int_equal(really_open(&err), Q_FAIL);
    }
}

static void a_missing_data_file_is_no_new_log(void **state)
{
    (void)state;
    q_log *log;
    q_err err = Q_ERR_INIT;
    write_file(file, used);
    assert_int_equal(really_open(&err), Q_OK); /* leaves the cluster in the lock file */
    unlink(data_path);
    const q_log_options o = { .max_bytes = 8 << 20, .create = true };
    assert_int_equal(q_log_open_lmdb(dir, &o, &log, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "has gone"));
    write_file(file, used);
    assert_int_equal(really_open(&err), Q_OK);
}

/* Writes `stamp` over the log's with LMDB's own means. */
static void put_stamp(q_wal_stamp *stamp)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tree;
    q_buf b = Q_BUF_INIT(200);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 8 << 20), 0);
    assert_int_equal(mdb_env_open(env, dir, MDB_NOTLS, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &tree), 0);
    stamp->txnid = mdb_txn_id(txn);
    q_wal_stamp_encode(stamp, &b);
    MDB_val k = { 6, (char[]){ "\0stamp" } }, v = { b.len, b.ptr };
    assert_int_equal(mdb_put(txn, tree, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    q_buf_free(&b);
}

static void a_newer_format_is_refused_by_the_name_of_its_version(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_log *log;
    write_file(file, used);
    q_wal_stamp stamp = { .format = Q_WAL_FORMAT + 1, .version = "9.8.7", .first_lsn = 1, .last_lsn = 2 };
    for (int commits = 0; commits < 2; commits++) { /* in one meta page, then in both */
        put_stamp(&stamp);
        for (int read_only = 0; read_only < 2; read_only++) {
            assert_int_equal(open_dir(read_only, &log, &err), Q_FAIL);
            assert_non_null(strstr(err.message, "format 2"));
            assert_non_null(strstr(err.message, "9.8.7"));
            assert_non_null(strstr(err.hint, "9.8.7"));
        }
    }
}

static void a_stamp_that_the_last_commit_did_not_write_is_refused(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    write_file(file, used);
    /* A commit without a stamp: another program wrote to the log. */
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tree;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 8 << 20), 0);
    assert_int_equal(mdb_env_open(env, dir, MDB_NOTLS, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &tree), 0);
    MDB_val k = { 4, (char[]){ "\1" "abc" } }, v = { 3, (char[]){ "xyz" } };
    assert_int_equal(mdb_put(txn, tree, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(really_open(&err), Q_FAIL);
    assert_non_null(strstr(err.message, "its tree was written by"));
}

static uint64_t newest_slot(void) { return q_get_le64(file + 144) < q_get_le64(file + page_bytes + 144); }

static void an_operator_may_go_back_to_the_older_meta_page(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_log *log;
    uint64_t last = 0;
    write_file(file, used);
    assert_int_equal(q_log_accept_older_meta(dir, &last, &err), Q_END); /* nothing to accept */
    uint64_t at = newest_slot() * page_bytes + 128; /* the tree's root */
    file[at] ^= 0x40;
    write_file(file, used);
    file[at] ^= 0x40;
    assert_int_equal(open_dir(false, &log, &err), Q_FAIL);
    assert_non_null(strstr(err.hint, "--accept-older-meta"));
    assert_int_equal(q_log_accept_older_meta(dir, &last, &err), Q_OK);
    assert_int_equal(open_dir(false, &log, &err), Q_OK); /* the check passes again */
    q_log_info info;
    log->ops->info(log, &info);
    assert_int_equal(info.last_lsn, last);
    lc_append_run(log, last + 1, 10);
    log->ops->close(log);
    assert_int_equal(open_dir(false, &log, &err), Q_OK);
    log->ops->close(log);

    file[5 * page_bytes] ^= 1; /* not a meta page: nothing to accept either */
    file[at] ^= 0x40;
    file[(newest_slot() ^ 1) * page_bytes + 128] ^= 0x40;
    write_file(file, used);
    file[5 * page_bytes] ^= 1;
    file[at] ^= 0x40;
    file[(newest_slot() ^ 1) * page_bytes + 128] ^= 0x40;
    assert_int_equal(q_log_accept_older_meta(dir, &last, &err), Q_FAIL);
}

/* ---- damage of more than a byte, each made so that only one of the checks can see it ---- */

static uint8_t *page_at(uint8_t *bytes, uint64_t page) { return bytes + page * page_bytes; }
static uint8_t *node_at(uint8_t *page, uint32_t i) { return page + q_get_le16(page + 16 + 2 * i); }

static void refused_for(uint8_t *copy, const char *why)
{
    q_wal_verdict v;
    q_err err = Q_ERR_INIT;
    assert_int_equal(check(copy, used, &v, &err), 0);
    if (!strstr(err.message, why))
        fail_msg("expected '%s' in '%s'", why, err.message);
    memcpy(copy, file, used);
}

static void swap16(uint8_t *a, uint8_t *b)
{
    uint16_t x = q_get_le16(a);
    q_put_le16(a, q_get_le16(b));
    q_put_le16(b, x);
}

static void structure_that_only_one_check_sees(void **state)
{
    (void)state;
    uint8_t *copy = malloc(used);
    memcpy(copy, file, used);
    q_pages_meta meta;
    q_pages_image image = { copy, used };
    q_err err = Q_ERR_INIT;
    q_slice key, value;
    assert_int_equal(q_pages_read_meta(image, (int)newest_slot(), &meta, &err), Q_OK);
    assert_int_equal(meta.tree.depth, 2);
    assert_int_equal(meta.freed.depth, 1);
    uint8_t *slot = page_at(copy, newest_slot()), *root = page_at(copy, meta.tree.root), *leaf = page_at(copy, q_get_le32(node_at(root, 0)));

    /* Two entries of a table in the wrong order; two pages in the wrong order. */
    swap16(leaf + 16 + 2 * 2, leaf + 16 + 2 * 3);
    refused_for(copy, "out of order");
    uint8_t *one = node_at(root, 1), *two = node_at(root, 2);
    swap16(one, two); /* the lower bits of the children's page numbers */
    refused_for(copy, "belongs on another page");
    /* A separator above its page's first key, and one below the last key of the page before. */
    two[8 + q_get_le16(two + 6) - 1]++;
    refused_for(copy, "belongs on another page");
    memset(one + 8, 0, q_get_le16(one + 6));
    refused_for(copy, "belongs on another page");
    /* The same page twice, a page that is free as well, a free page listed twice, pages beyond the end. */
    memcpy(one, two, 6);
    refused_for(copy, "belongs on another page");
    uint8_t *freed = page_at(copy, meta.freed.root), *list = node_at(freed, 0) + 16;
    for (uint32_t i = 0; q_get_le64(list) < 2; i++) {
        assert_true(i < (q_get_le16(freed + 12) - 16u) / 2);
        list = node_at(freed, i) + 16;
    }
    q_put_le64(list + 8, meta.last_page + 1);
    refused_for(copy, "is outside of");
    q_put_le64(list + 16, q_get_le64(list + 8));
    refused_for(copy, "follows");
    q_put_le64(list, 1);
    q_put_le64(list + 8, meta.tree.root);
    refused_for(copy, "in use twice");
    q_put_le64(list, q_get_le64(list) + 500);
    refused_for(copy, "a list of free pages");
    q_put_le64(node_at(freed, 0) + 8, meta.txnid + 1);
    refused_for(copy, "pages freed by transaction");
    /* Roots and depths. */
    q_put_le64(slot + 128, UINT64_MAX);
    refused_for(copy, "doesn't begin with the log's stamp");
    q_put_le16(slot + 94, 33);
    refused_for(copy, "depth 33");
    q_put_le64(slot + 80, UINT64_MAX);
    refused_for(copy, "depth 1 and root");
    /* Nodes over one another. */
    q_put_le16(leaf + 16 + 2 * 2, q_get_le16(leaf + 16 + 2 * 3));
    refused_for(copy, "lies over another");

    /* Both trees whole, each with its own stamp, but three transactions apart: a meta page from another time. */
    q_pages_meta older;
    q_wal_stamp stamp;
    bool other;
    assert_int_equal(q_pages_read_meta(image, (int)(newest_slot() ^ 1), &older, &err), Q_OK);
    assert_int_equal(q_pages_first(image, &older, &key, &value, &err), Q_OK);
    assert_int_equal(q_wal_stamp_decode(value, &stamp, &other, &err), Q_OK);
    stamp.txnid -= 2;
    q_buf b = Q_BUF_INIT(200);
    q_wal_stamp_encode(&stamp, &b);
    assert_int_equal(b.len, value.len);
    memcpy((char *)(uintptr_t)value.ptr, b.ptr, b.len);
    q_put_le64(page_at(copy, newest_slot() ^ 1) + 144, older.txnid - 2);
    refused_for(copy, "don't follow each other");
    q_buf_free(&b);
    free(copy);
}

/* A page size that page 0 tells wrong is found by page 1, and told as page 0's damage. */
static void a_wrong_page_size_is_told_as_such(void **state)
{
    (void)state;
    uint8_t *copy = malloc(used);
    memcpy(copy, file, used);
    q_wal_verdict v;
    q_err err = Q_ERR_INIT;
    q_put_le32(copy + 40, 8192);
    assert_int_equal(check(copy, used, &v, &err), 0);
    assert_non_null(strstr(err.message, "page 0, byte 40"));
    assert_int_equal(v.state, Q_WAL_META_DAMAGED);
    copy[page_bytes] = 9; /* and page 1 is gone, too */
    q_put_le32(copy + 40, 4097);
    assert_int_equal(check(copy, used, &v, &err), 0);
    assert_non_null(strstr(err.message, "not a page size"));
    assert_int_equal(v.state, Q_WAL_DAMAGED);
    free(copy);
}

static q_rc find_damage(const uint8_t *bytes, q_err *err)
{
    q_wal_verdict v;
    q_pages_image image = { bytes, used };
    q_wal_check_options o = { .deep = true };
    return q_wal_check_image(image, &o, &v, err);
}

/* Random damage of many bytes: swapped pages, runs of zeros and noise. Nothing is asserted of the outcome but that it is one. */
static void large_damage_is_refused_or_harmless(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    uint8_t *copy = malloc(used);
    uint64_t refused = 0, rounds = 3000;
    q_wal_verdict v;
    uint32_t sound = check(file, used, &v, &err);
    srandom(7);
    for (uint64_t round = 0; round < rounds; round++) {
        memcpy(copy, file, used);
        uint64_t a = (uint64_t)random() % (used / page_bytes) * page_bytes, b = (uint64_t)random() % (used / page_bytes) * page_bytes;
        uint64_t at = (uint64_t)random() % used, n = (uint64_t)random() % 600;
        n = n > used - at ? used - at : n;
        switch (round % 4) {
        case 0: memcpy(copy + a, file + b, page_bytes); break; /* a page written to the wrong place */
        case 1: memset(copy + at, 0, n); break;
        case 2: memset(copy + a, 0, page_bytes); break;        /* a page never written */
        case 3:
            for (uint64_t i = 0; i < n; i++)
                copy[at + i] = (uint8_t)random();
        }
        uint32_t now = check(copy, used, &v, &err);
        assert_true(now == 0 || now == sound);
        refused += now == 0;
    }
    assert_true(refused > rounds / 4);
    free(copy);
}

static void the_deep_check_decodes_what_is_in_the_records(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_verify_report r;
    write_file(file, used);
    if (q_log_verify(dir, NULL, NULL, &r, &err) != Q_OK)
        fail_msg("%s", err.message);
    q_log *log;
    assert_int_equal(open_dir(false, &log, &err), Q_OK);
    assert_int_equal(lc_scan(log, 0).count, r.records);
    log->ops->close(log);
    assert_true(r.decisions > 20 && r.decisions < r.records);
    assert_true(r.open_transactions > 10 && r.open_transactions < r.decisions);
    assert_int_equal(find_damage(file, &err), Q_OK);

    /* A redo that no decoder takes, under a right checksum: only the deep check sees it. */
    uint8_t *copy = malloc(used);
    memcpy(copy, file, used);
    uint64_t changed = 0;
    for (uint64_t i = 2 * page_bytes; i + 400 < used; i++) {
        if (memcmp(copy + i, "QWAL", 4) != 0 || q_get_le16(copy + i + 6) != Q_REC_DECISION || q_get_le32(copy + i + 8) > 1500)
            continue;
        uint32_t length = q_get_le32(copy + i + 8);
        if (q_rec_check(q_slice_of(copy + i, length + Q_REC_HEADER_BYTES), q_get_le64(copy + i + 16), NULL, &err) != Q_OK)
            continue; /* the rest of an old one, in the free part of a page */
        uint8_t *redo = memmem(copy + i, length, "orders", 6);
        if (!redo)
            continue;
        memset(redo - 1, 0xc1, 7); /* a byte that msgpack never uses */
        q_crc32c c = q_crc32c_start();
        q_crc32c_add(&c, copy + i, 12);
        q_crc32c_add(&c, copy + i + 16, 8 + length);
        q_put_le32(copy + i + 12, q_crc32c_end(c));
        changed++;
    }
    assert_true(changed > 0);
    q_wal_verdict v;
    if (!check(copy, used, &v, &err))
        fail_msg("%s", err.message);
    assert_int_equal(find_damage(copy, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "redo"));
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_byte_is_refused_or_was_unused),
        cmocka_unit_test(a_flipped_meta_page_never_loses_the_last_group),
        cmocka_unit_test(a_cut_anywhere_is_refused_and_the_reserve_is_not_needed),
        cmocka_unit_test(a_missing_data_file_is_no_new_log),
        cmocka_unit_test(a_newer_format_is_refused_by_the_name_of_its_version),
        cmocka_unit_test(a_stamp_that_the_last_commit_did_not_write_is_refused),
        cmocka_unit_test(an_operator_may_go_back_to_the_older_meta_page),
        cmocka_unit_test(structure_that_only_one_check_sees),
        cmocka_unit_test(a_wrong_page_size_is_told_as_such),
        cmocka_unit_test(large_damage_is_refused_or_harmless),
        cmocka_unit_test(the_deep_check_decodes_what_is_in_the_records),
    };
    return cmocka_run_group_tests_name("damage", tests, build, unbuild);
}
