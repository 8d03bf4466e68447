/* quanta wal backup, restore, compact - copies of the log: to keep, to go on from, to make small. */
#include "cmd/cli/options.h"
#include "cmd/cli/progress.h"
#include "cmd/cli/wal_verbs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <sodium.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/version.h"
#include "wal/bytes.h"
#include "wal/copy.h"

enum { HASH = 32, CHUNK = 1 << 20, MANIFEST_VERSION = 1, ADOPT_EPOCHS = 1 << 20 };
static const uint64_t ADOPT_SEQS = 1ull << 40;

typedef struct call {
    const char *command;
    char dir[PATH_MAX];
    const char *to, *from;
    bool dir_given, adopt;
} call;

static void on_progress(void *ctx, uint64_t done, uint64_t total) { q_progress_update(ctx, done, total, done); }

static q_rc io_error(q_err *err, const char *doing, const char *path) { return q_err_set(err, Q_E_INTERNAL, "%s %s: %s", doing, path, strerrordesc_np(errno)); }

static q_rc sync_path(const char *path, q_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    q_rc rc = fd < 0 || fsync(fd) != 0 ? io_error(err, "making durable", path) : Q_OK;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Copies (`to` not NULL: durably) and hashes a file. */
static q_rc copy_file(const char *from, const char *to, char hex[HASH * 2 + 1], uint64_t *bytes, q_err *err)
{
    static char chunk[CHUNK];
    unsigned char hash[HASH];
    crypto_generichash_state h;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = to && in >= 0 ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640) : -1;
    q_rc rc = in < 0 ? io_error(err, "opening", from) : to && out < 0 ? io_error(err, "making", to) : Q_OK;
    crypto_generichash_init(&h, NULL, 0, sizeof hash);
    *bytes = 0;
    for (ssize_t n; rc == Q_OK && (n = read(in, chunk, sizeof chunk)) != 0;) {
        if (n < 0) {
            rc = io_error(err, "reading", from);
            break;
        }
        crypto_generichash_update(&h, (const unsigned char *)chunk, (unsigned long long)n);
        *bytes += (uint64_t)n;
        for (ssize_t done = 0, put; out >= 0 && done < n && rc == Q_OK; done += put)
            if ((put = write(out, chunk + done, (size_t)(n - done))) < 0) {
                rc = io_error(err, "writing", to);
                put = 0;
            }
    }
    crypto_generichash_final(&h, hash, sizeof hash);
    sodium_bin2hex(hex, HASH * 2 + 1, hash, sizeof hash);
    if (rc == Q_OK && out >= 0 && fsync(out) != 0)
        rc = io_error(err, "making durable", to);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return rc;
}

/* Made if it isn't there; it must be empty. */
static q_rc empty_dir(const char *dir, q_err *err)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return io_error(err, "making", dir);
    DIR *d = opendir(dir);
    if (!d)
        return io_error(err, "opening", dir);
    bool empty = true;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        empty = empty && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."));
    closedir(d);
    return empty ? Q_OK : q_err_set(err, Q_E_INTERNAL, "%s isn't empty", dir);
}

static bool join(char out[PATH_MAX], const char *dir, const char *name) { return snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX; }

static q_rc open_log(const char *dir, q_log **log, q_err *err)
{
    q_log_options options = { .read_only = true };
    return q_log_open_lmdb(dir, &options, log, err);
}

/* ---- backup ---- */

static json_t *entry(const char *name, const char *hex, uint64_t bytes)
{
    return json_pack("{s:s, s:I, s:s}", "file", name, "bytes", (json_int_t)bytes, "blake2b", hex);
}

static q_rc backup_segments(const call *c, uint64_t first_lsn, json_t *files, uint64_t *count, q_err *err)
{
    q_segment *list = NULL;
    size_t n;
    char from[PATH_MAX], to[PATH_MAX], name[100], hex[HASH * 2 + 1];
    uint64_t bytes, next = 0;
    q_rc rc = q_segments_list(c->dir, &list, &n, err);
    *count = 0;
    for (size_t i = 0; rc == Q_OK && i < n && list[i].first_lsn < first_lsn; i++) { /* later ones hold what the copy has */
        snprintf(name, sizeof name, "segments/%s", list[i].file);
        if (!join(to, c->to, "segments") || (mkdir(to, 0750) != 0 && errno != EEXIST)) {
            rc = io_error(err, "making", to);
            break;
        }
        if (!join(from, c->dir, name) || !join(to, c->to, name))
            rc = q_err_set(err, Q_E_INTERNAL, "the path is too long");
        if (rc == Q_OK)
            rc = copy_file(from, to, hex, &bytes, err);
        if (rc == Q_OK)
            json_array_append_new(files, entry(name, hex, bytes));
        next = list[i].last_lsn + 1;
        ++*count;
    }
    free(list);
    if (rc == Q_OK && next && next < first_lsn)
        rc = q_err_set(err, Q_E_INTERNAL, "log records %" PRIu64 " to %" PRIu64 " are neither in the log nor in a segment", next, first_lsn - 1);
    if (rc == Q_OK && *count && join(to, c->to, "segments"))
        rc = sync_path(to, err);
    return rc;
}

static q_rc write_manifest(const call *c, json_t *manifest, q_err *err)
{
    char path[PATH_MAX], temp[PATH_MAX];
    if (!join(path, c->to, "manifest.json") || !join(temp, c->to, "manifest.json.new"))
        return q_err_set(err, Q_E_INTERNAL, "the path is too long");
    if (json_dump_file(manifest, temp, JSON_INDENT(2)) != 0)
        return io_error(err, "writing", temp);
    q_rc rc = sync_path(temp, err);
    if (rc == Q_OK && rename(temp, path) != 0)
        rc = io_error(err, "renaming", temp);
    return rc == Q_OK ? sync_path(c->to, err) : rc;
}

static int backup(const call *c)
{
    q_err err = Q_ERR_INIT;
    q_log *log = NULL, *copy = NULL;
    q_progress p;
    char path[PATH_MAX], hex[HASH * 2 + 1], when[32];
    uint64_t first = 0, bytes = 0, segments = 0;
    time_t now = time(NULL);
    struct tm t;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &t));
    json_t *files = json_array(), *manifest = NULL;
    q_log_info info = { 0 };
    q_progress_begin(&p, "entries");
    q_rc rc = empty_dir(c->to, &err);
    if (rc == Q_OK)
        rc = open_log(c->dir, &log, &err);
    if (rc == Q_OK)
        rc = q_log_copy(log, c->to, on_progress, &p, &first, &err);
    if (log)
        log->ops->close(log);
    if (rc == Q_OK)
        rc = open_log(c->to, &copy, &err); /* checked, structure and all */
    if (rc == Q_OK) {
        copy->ops->info(copy, &info);
        copy->ops->close(copy);
        (void)(join(path, c->to, "lock.mdb") && unlink(path) == 0);
        rc = join(path, c->to, "data.mdb") ? copy_file(path, NULL, hex, &bytes, &err) : Q_FAIL;
    }
    if (rc == Q_OK) {
        json_array_append_new(files, entry("data.mdb", hex, bytes));
        rc = backup_segments(c, first, files, &segments, &err);
    }
    if (rc == Q_OK) {
        manifest = json_pack("{s:i, s:s, s:s, s:I, s:I, s:O}", "version", MANIFEST_VERSION, "quantadb", Q_VERSION, "time", when, "first_lsn", (json_int_t)info.first_lsn,
                             "last_lsn", (json_int_t)info.last_lsn, "files", files);
        rc = write_manifest(c, manifest, &err);
    }
    double seconds = q_progress_seconds(&p);
    q_progress_end(&p);
    json_decref(manifest);
    json_decref(files);
    if (rc != Q_OK)
        return q_wal_failure(c->command, &err);
    printf("backed up records to %" PRIu64 ", %.1f MB and %" PRIu64 " segment%s, to %s in %.1f s\n", info.last_lsn, (double)bytes / 1e6, segments, segments == 1 ? "" : "s", c->to,
           seconds);
    return Q_EXIT_COMMITTED;
}

/* ---- restore ---- */

static q_rc read_manifest(const char *from, json_t **out, q_err *err)
{
    char path[PATH_MAX];
    json_error_t e;
    if (!join(path, from, "manifest.json"))
        return q_err_set(err, Q_E_INTERNAL, "the path is too long");
    *out = json_load_file(path, 0, &e);
    if (!*out) {
        q_err_set(err, Q_E_INTERNAL, "%s: %s", path, e.text);
        q_err_hint(err, "A backup without a manifest was cut short; take another one.");
        return Q_FAIL;
    }
    if (json_integer_value(json_object_get(*out, "version")) != MANIFEST_VERSION || !json_is_array(json_object_get(*out, "files")))
        return q_err_set(err, Q_E_INTERNAL, "%s isn't a manifest of version %d", path, MANIFEST_VERSION);
    return Q_OK;
}

/* A name that a manifest may have: nothing outside of the directory. */
static bool name_ok(const char *name)
{
    return name && (!strcmp(name, "data.mdb") || (!strncmp(name, "segments/", 9) && strspn(name + 9, "0123456789.qseg") == strlen(name + 9) && !strstr(name + 9, "..")));
}

static q_rc restore_file(const call *c, const json_t *f, bool write, q_err *err)
{
    char from[PATH_MAX], to[PATH_MAX], hex[HASH * 2 + 1];
    const char *name = json_string_value(json_object_get(f, "file")), *want = json_string_value(json_object_get(f, "blake2b"));
    uint64_t bytes;
    if (!name_ok(name) || !want || !join(from, c->from, name) || !join(to, c->to, name))
        return q_err_set(err, Q_E_INTERNAL, "the manifest names a file that can't be one of a backup");
    q_rc rc = copy_file(from, write ? to : NULL, hex, &bytes, err);
    if (rc == Q_OK && (strcmp(hex, want) || (json_int_t)bytes != json_integer_value(json_object_get(f, "bytes"))))
        rc = q_err_set(err, Q_E_INTERNAL, "%s isn't what was backed up: %" PRIu64 " bytes, checksum %.16s…", from, bytes, hex);
    return rc;
}

static q_rc get_u64(q_log *log, q_arena *arena, const char *key, uint64_t *out, q_err *err)
{
    q_slice v;
    q_rc rc = log->ops->get(log, arena, Q_LT_META, q_slice_cstr(key), &v, err);
    *out = rc == Q_OK && v.len == 8 ? q_get_le64(v.ptr) : 0;
    return rc == Q_END ? Q_OK : rc;
}

/* B8: the engines may know epochs and seqs that this log has lost. What comes is numbered beyond all they can know. */
static q_rc adopt(const call *c, const char *when, q_err *err)
{
    q_log *log = NULL;
    q_log_options options = { .max_bytes = 64ull << 30 };
    q_arena *arena = q_arena_new(0);
    q_rc rc = q_log_open_lmdb(c->to, &options, &log, err);
    uint64_t epoch = 0, seq = 0;
    q_slice marks = Q_SLICE_NONE;
    if (rc == Q_OK)
        rc = get_u64(log, arena, "epoch", &epoch, err);
    if (rc == Q_OK)
        rc = get_u64(log, arena, "seq", &seq, err);
    if (rc == Q_OK)
        rc = log->ops->get(log, arena, Q_LT_META, Q_SLICE_LIT("marks"), &marks, err);
    if (rc == Q_END || (rc == Q_OK && marks.len < 16))
        rc = q_err_set(err, Q_E_INTERNAL, "the log has no marks: no coordinator has served from it");
    if (rc == Q_OK) {
        const struct passwd *me = getpwuid(getuid());
        q_log_info info;
        char e[8], s[8], *m = q_arena_alloc(arena, marks.len);
        log->ops->info(log, &info);
        memcpy(m, marks.ptr, marks.len);
        q_put_le64(e, epoch + ADOPT_EPOCHS);
        q_put_le64(s, seq + ADOPT_SEQS);
        q_put_le64(m + 8, seq + ADOPT_SEQS - 1);
        q_rec r = { .type = Q_REC_OPERATOR, .lsn = info.last_lsn + 1 };
        r.text = q_arena_printf(arena, "restored by %s from the backup of %s, adopted: what was decided since is lost here", me ? me->pw_name : "somebody", when);
        q_buf b = Q_BUF_INIT(1 << 16);
        q_rec_encode(&r, &b);
        const q_log_op ops[] = { { .kind = Q_LO_APPEND, .lsn = r.lsn, .value = q_buf_slice(&b) },
                                 { .kind = Q_LO_PUT, .table = Q_LT_META, .key = Q_SLICE_LIT("epoch"), .value = { e, 8 } },
                                 { .kind = Q_LO_PUT, .table = Q_LT_META, .key = Q_SLICE_LIT("seq"), .value = { s, 8 } },
                                 { .kind = Q_LO_PUT, .table = Q_LT_META, .key = Q_SLICE_LIT("marks"), .value = { m, marks.len } } };
        rc = log->ops->commit(log, ops, 4, err);
        q_buf_free(&b);
    }
    if (log)
        log->ops->close(log);
    q_arena_free(arena);
    return rc;
}

static q_rc restore_files(const call *c, const json_t *files, q_progress *p, q_err *err)
{
    char path[PATH_MAX];
    size_t i, n = json_array_size(files), done = 0;
    q_rc rc = Q_OK;
    json_t *f;
    for (int write = 0; rc == Q_OK && write < 2; write++) { /* first all is looked at */
        if (write && (!join(path, c->to, "segments") || (mkdir(path, 0750) != 0 && errno != EEXIST)))
            return io_error(err, "making", path);
        json_array_foreach(files, i, f) {
            if (rc == Q_OK)
                rc = restore_file(c, f, write, err);
            done++;
            q_progress_update(p, done, n * 2, done);
        }
    }
    if (rc == Q_OK && join(path, c->to, "segments"))
        rc = sync_path(path, err);
    return rc == Q_OK ? sync_path(c->to, err) : rc;
}

static int restore(const call *c)
{
    q_err err = Q_ERR_INIT;
    q_progress p;
    json_t *manifest = NULL;
    q_verify_report report = { 0 };
    q_progress_begin(&p, "files");
    q_rc rc = read_manifest(c->from, &manifest, &err);
    if (rc == Q_OK)
        rc = empty_dir(c->to, &err);
    if (rc == Q_OK)
        rc = restore_files(c, json_object_get(manifest, "files"), &p, &err);
    q_progress_end(&p);
    if (rc == Q_OK)
        rc = q_log_verify(c->to, NULL, NULL, &report, &err);
    const char *when = json_string_value(json_object_get(manifest, "time"));
    if (rc == Q_OK && c->adopt)
        rc = adopt(c, when ? when : "?", &err);
    if (rc != Q_OK) {
        json_decref(manifest);
        return q_wal_failure(c->command, &err);
    }
    printf("restored %" PRIu64 " records of %s into %s\n", report.records, when ? when : "?", c->to);
    if (!c->adopt)
        printf("If engines have applied more than this log knows, the coordinator refuses to start from it: then restore again with --adopt.\n");
    json_decref(manifest);
    return Q_EXIT_COMMITTED;
}

/* ---- compact ---- */

static int compact(const call *c)
{
    q_err err = Q_ERR_INIT;
    q_log *log = NULL;
    q_progress p;
    char made[PATH_MAX], dir[PATH_MAX], data[PATH_MAX], path[PATH_MAX];
    struct stat before = { 0 }, after = { 0 };
    uint64_t first = 0;
    q_log_options options = { .max_bytes = 16ull << 40 };
    bool paths = join(dir, c->dir, "compacting") && join(made, dir, "data.mdb") && join(data, c->dir, "data.mdb") && join(path, dir, "lock.mdb");
    q_rc rc = paths ? Q_OK : q_err_set(&err, Q_E_INTERNAL, "the path is too long");
    stat(data, &before);
    if (rc == Q_OK) /* a coordinator that runs owns its file: LMDB can't be given another one under its feet */
        rc = q_log_open_lmdb(c->dir, &options, &log, &err);
    if (rc == Q_OK && unlink(made) != 0 && errno != ENOENT)
        rc = io_error(&err, "removing", made);
    q_progress_begin(&p, "entries");
    if (rc == Q_OK)
        rc = q_log_copy(log, dir, on_progress, &p, &first, &err);
    q_progress_end(&p);
    if (rc == Q_OK && rename(made, data) != 0)
        rc = io_error(&err, "renaming", made);
    if (rc == Q_OK)
        rc = sync_path(c->dir, &err);
    if (log)
        log->ops->close(log); /* the lock ends with it */
    (void)unlink(path);
    (void)rmdir(dir);
    q_verify_report report = { 0 };
    if (rc == Q_OK)
        rc = q_log_verify(c->dir, NULL, NULL, &report, &err);
    if (rc != Q_OK)
        return q_wal_failure(c->command, &err);
    stat(data, &after);
    printf("compacted: %.1f MB, it was %.1f MB; %" PRIu64 " records\n", (double)after.st_size / 1e6, (double)before.st_size / 1e6, report.records);
    return Q_EXIT_COMMITTED;
}

/* ---- options ---- */

static void help(const char *verb, FILE *to)
{
    if (!strcmp(verb, "backup"))
        fputs("Usage: quanta wal backup TO [--dir DIR]\n\n"
              "A copy of the log as it is at one moment, with its segments and a manifest of checksums, in the empty or new directory TO.\n"
              "Also beside a running coordinator, which isn't held up.\n",
              to);
    else if (!strcmp(verb, "restore"))
        fputs("Usage: quanta wal restore FROM --dir DIR [--adopt]\n\n"
              "Brings a backup back into the empty or new directory DIR, every file checked before and the whole log after.\n"
              "  --adopt   what was decided after the backup is lost in this log though engines may have applied it. The coordinator refuses\n"
              "            to start from such a log; with --adopt it goes on, with epochs and numbers beyond all that the engines can know.\n"
              "            Requests that the topic delivers again from the backup's position on are carried out again: look before.\n",
              to);
    else
        fputs("Usage: quanta wal compact [--dir DIR]\n\n"
              "Writes the log into a new file without free pages and puts it in place of the old one. The coordinator must be stopped: while it\n"
              "runs this is refused, and needed less, since it uses free pages again. For a small copy beside a running one: quanta wal backup.\n",
              to);
    fputs("\n      --dir DIR   the log's directory (or that of a `quanta dev`); default: the last `quanta dev`\n"
          "Exit status: 0 done, 1 refused or damaged, 2 wrong usage, 3 no log.\n",
          to);
}

static int run(int argc, char **argv, const char *verb)
{
    static const struct option longs[] = { { "dir", required_argument, NULL, 'd' }, { "adopt", no_argument, NULL, 'a' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    char command[40];
    snprintf(command, sizeof command, "quanta wal %s", verb);
    call c = { .command = command };
    int o, words = strcmp(verb, "compact") ? 1 : 0;
    bool restores = !strcmp(verb, "restore");
    optind = 1;
    while ((o = getopt_long(argc, argv, "h", longs, NULL)) != -1)
        switch (o) {
        case 'd': c.dir_given = *optarg && snprintf(c.dir, sizeof c.dir, "%s", optarg) < (int)sizeof c.dir; break;
        case 'a': c.adopt = true; break;
        case 'h': help(verb, stdout); return Q_EXIT_COMMITTED;
        default: return q_usage_more(command);
        }
    if (argc - optind != words)
        return q_usage_error(command, words ? "one directory is expected" : "unexpected '%s'", argc > optind ? argv[optind] : "");
    if ((c.adopt && !restores) || (restores && !c.dir_given))
        return q_usage_error(command, c.adopt && !restores ? "--adopt goes with restore" : "--dir says where to: a new or empty directory");
    if (sodium_init() < 0)
        return Q_EXIT_REFUSED;
    if (restores) {
        c.from = argv[optind];
        c.to = c.dir;
        return restore(&c);
    }
    c.to = words ? argv[optind] : NULL;
    int status = q_wal_find(c.dir, c.dir_given);
    return status != Q_EXIT_COMMITTED ? status : words ? backup(&c) : compact(&c);
}

int q_wal_backup(int argc, char **argv) { return run(argc, argv, "backup"); }
int q_wal_restore(int argc, char **argv) { return run(argc, argv, "restore"); }
int q_wal_compact(int argc, char **argv) { return run(argc, argv, "compact"); }
