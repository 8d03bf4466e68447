/* Power fails: any part of what was written since the last sync may be missing from the disk, down to single sectors.
 *
 * All writes and syncs of a run of groups are recorded (this program's own pwrite, writev and fdatasync stand before libc's); then disks
 * are built as a power failure could leave them at any moment, and each must be a sound log that has every group acknowledged by then. */
#include "sample.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "wal/verify.h"

enum { MAX_EVENTS = 20000, DISK_BYTES = 6 << 20, SECTOR = 512 };

typedef struct event {
    enum { E_WRITE = 1, E_SYNC, E_ACK } kind;
    uint64_t at, len, lsn; /* ACK: of the last record */
    uint8_t *bytes;
    bool durable;          /* written through an O_DSYNC descriptor: when the call returns it is on disk */
} event;

static event events[MAX_EVENTS];
static size_t event_count;
static bool recording;

static void record(event e, const void *bytes)
{
    assert_true(event_count < MAX_EVENTS && e.at + e.len <= DISK_BYTES);
    if (e.len) {
        e.bytes = malloc(e.len);
        memcpy(e.bytes, bytes, e.len);
    }
    events[event_count++] = e;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    if (recording)
        record((event){ .kind = E_WRITE, .at = (uint64_t)at, .len = n, .durable = fcntl(fd, F_GETFL) & O_DSYNC }, buf);
    return syscall(SYS_pwrite64, fd, buf, n, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at) { return pwrite(fd, buf, n, at); }

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    uint64_t at = (uint64_t)lseek(fd, 0, SEEK_CUR);
    for (int i = 0; recording && i < count; i++) {
        record((event){ .kind = E_WRITE, .at = at, .len = iov[i].iov_len }, iov[i].iov_base);
        at += iov[i].iov_len;
    }
    return syscall(SYS_writev, fd, iov, count);
}

int fdatasync(int fd)
{
    int rc = (int)syscall(SYS_fdatasync, fd);
    if (recording)
        record((event){ .kind = E_SYNC }, NULL);
    return rc;
}

static void commit(q_log *log, const q_log_op *ops, size_t n)
{
    q_log_info info;
    lc_commit(log, ops, n);
    log->ops->info(log, &info);
    record((event){ .kind = E_ACK, .lsn = info.last_lsn }, NULL);
}

/* Groups of all kinds, with trims, so that pages are freed and used again. */
static void make_groups(q_log *log, uint64_t lsn)
{
    q_arena *a = q_arena_new(0);
    q_log_op ops[64];
    for (int g = 0; g < 120; g++) {
        size_t n = 0;
        q_arena_reset(a);
        char *text = q_arena_calloc(a, 1, 6001);
        for (long i = random() % 12; i >= 0; i--) {
            memset(text, 'a' + g % 26, random() % 20 ? (size_t)random() % 600 : 6000);
            ops[n++] = lc_append(a, ++lsn, text);
            memset(text, 0, 6000);
        }
        ops[n++] = lc_put(Q_LT_POSITION, q_arena_printf(a, "t/%ld", random() % 40).ptr, "some position or other");
        if (g % 7 == 0)
            ops[n++] = lc_delete(Q_LT_POSITION, q_arena_printf(a, "t/%ld", random() % 40).ptr);
        if (g % 5 == 0 && lsn > 60)
            ops[n++] = (q_log_op){ .kind = Q_LO_TRIM, .lsn = lsn - 50 };
        commit(log, ops, n);
    }
    q_arena_free(a);
}

static void put_sectors(uint8_t *disk, const event *e, bool all)
{
    for (uint64_t i = 0; i < e->len;) {
        uint64_t n = SECTOR - (e->at + i) % SECTOR;
        n = n > e->len - i ? e->len - i : n;
        if (all || random() % 2)
            memcpy(disk + e->at + i, e->bytes + i, n);
        i += n;
    }
}

static void any_part_of_the_unsynced_writes_may_be_missing(void **state)
{
    (void)state;
    char dir[700], path[800];
    snprintf(dir, sizeof dir, "%s/log", scratch_new());
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    q_log *log;
    q_err err = Q_ERR_INIT;
    const q_log_options o = { .max_bytes = DISK_BYTES, .create = true };
    assert_int_equal(q_log_open_lmdb(dir, &o, &log, &err), Q_OK);
    lc_append_run(log, 1, 5);
    uint8_t *disk = calloc(1, DISK_BYTES), *broken = malloc(DISK_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(pread(fd, disk, DISK_BYTES, 0) > 0);
    close(fd);
    srandom(5);
    recording = true;
    make_groups(log, 5);
    recording = false;
    log->ops->close(log);

    uint64_t acknowledged = 5, images = 0, later = 0, high = 0;
    size_t unsynced = 0; /* events before it are on `disk` */
    for (size_t now = 0; now <= event_count; now++) {
        for (size_t i = 0; i < now; i++)
            if (events[i].kind == E_WRITE && events[i].at + events[i].len > high)
                high = events[i].at + events[i].len;
        uint64_t len = high + 65536 < DISK_BYTES ? high + 65536 : DISK_BYTES; /* the reserve makes the file longer than its pages */
        for (int variant = 0; variant < 4; variant++) { /* nothing of it, parts, all */
            memcpy(broken, disk, len);
            for (size_t i = unsynced; i < now; i++)
                if (events[i].kind == E_WRITE && variant != 0)
                    put_sectors(broken, &events[i], variant == 3);
            q_wal_verdict v;
            q_pages_image image = { broken, len };
            q_wal_check_options options = { 0 };
            if (q_wal_check_image(image, &options, &v, &err) != Q_OK)
                fail_msg("power fails after event %zu: %s", now, err.message);
            assert_int_equal(v.pages.lost_pages, 0);
            assert_true(v.stamp.last_lsn >= acknowledged);
            later += v.stamp.last_lsn > acknowledged;
            images++;
        }
        if (now == event_count)
            break;
        const event *e = &events[now];
        if (e->kind == E_ACK)
            acknowledged = e->lsn;
        if (e->kind == E_SYNC || (e->kind == E_WRITE && e->durable)) {
            for (size_t i = unsynced; i <= now; i++)
                if (events[i].kind == E_WRITE)
                    put_sectors(disk, &events[i], true);
            unsynced = now + 1;
        }
    }
    printf("           %llu disks, %llu of them with a group that wasn't acknowledged yet\n", (unsigned long long)images, (unsigned long long)later);
    assert_true(images > 1000 && later > 100);
    for (size_t i = 0; i < event_count; i++)
        free(events[i].bytes);
    free(disk);
    free(broken);
    *strrchr(dir, '/') = '\0';
    scratch_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(any_part_of_the_unsynced_writes_may_be_missing) };
    return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
