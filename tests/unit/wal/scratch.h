/* scratch.h - a directory of its own for each test, gone afterwards. */
#ifndef Q_TESTS_WAL_SCRATCH_H
#define Q_TESTS_WAL_SCRATCH_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#ifdef Q_COVERAGE
/* The child that checks a log before it is opened ends by _exit, which writes no counters: in `make cov` this one does. */
#include <sys/syscall.h>
void __gcov_dump(void);
_Noreturn void _exit(int status)
{
    __gcov_dump();
    syscall(SYS_exit_group, status);
    __builtin_unreachable();
}
#endif

/* Removes `dir` and what is in it, two levels deep at most. */
static void scratch_remove(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char path[1024];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_type == DT_DIR)
            scratch_remove(path);
        else
            unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

/* A new directory on a disk, under $TMPDIR or /tmp; the text lives until the next call. */
static inline const char *scratch_on_disk(void)
{
    static char path[600];
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/quanta-wal-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(path))
        abort();
    return path;
}

/* In memory where that is to be had: no test can see whether a sync reached a disk, only the wait for thousands of them. */
static inline const char *scratch_new(void)
{
    static char path[64];
    struct statvfs v;
    snprintf(path, sizeof path, "/dev/shm/quanta-wal-XXXXXX");
    if (getenv("TMPDIR") || statvfs("/dev/shm", &v) != 0 || (uint64_t)v.f_bavail * v.f_bsize < 1u << 29 || !mkdtemp(path))
        return scratch_on_disk();
    return path;
}

#endif
