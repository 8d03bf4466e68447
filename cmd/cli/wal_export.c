/* quanta wal export - whole records, segments included, for other programs: JSON lines or msgpack. */
#include "cmd/cli/options.h"
#include "cmd/cli/progress.h"
#include "cmd/cli/wal_verbs.h"
#include "wal/copy.h"
#include "wal/inspect.h"

#include <inttypes.h>
#include <msgpack.h>
#include <unistd.h>

static const char *const command = "quanta wal export";

typedef struct call {
    char dir[PATH_MAX];
    bool dir_given, packed;
    q_wal_filter filter;
    uint64_t count, last;
    q_progress progress;
    q_log_info info;
} call;

static void help(FILE *to)
{
    fputs("Usage: quanta wal export [--format jsonl|msgpack] [--from LSN] [--to LSN] [--bucket B] [--dir DIR] > FILE\n\n"
          "Every record of the log and its segments, whole, oldest first. jsonl: one object a line, as `wal show` prints it; msgpack: the same\n"
          "objects one after the other. What users wrote is in it: keep it as carefully as the databases.\n"
          "Exit status: 0 done, 1 a damaged record (its place is told; those before it were printed), 2 wrong usage, 3 no log.\n",
          to);
}

static void pack(msgpack_packer *pk, const json_t *j)
{
    const char *name;
    size_t i;
    json_t *v;
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        msgpack_pack_map(pk, json_object_size(j));
        json_object_foreach((json_t *)(uintptr_t)j, name, v) {
            msgpack_pack_str_with_body(pk, name, strlen(name));
            pack(pk, v);
        }
        break;
    case JSON_ARRAY:
        msgpack_pack_array(pk, json_array_size(j));
        json_array_foreach(j, i, v)
            pack(pk, v);
        break;
    case JSON_STRING: msgpack_pack_str_with_body(pk, json_string_value(j), json_string_length(j)); break;
    case JSON_INTEGER: msgpack_pack_int64(pk, json_integer_value(j)); break;
    case JSON_REAL: msgpack_pack_double(pk, json_real_value(j)); break;
    case JSON_TRUE: msgpack_pack_true(pk); break;
    case JSON_FALSE: msgpack_pack_false(pk); break;
    case JSON_NULL: msgpack_pack_nil(pk); break;
    }
}

static int to_stdout(void *ctx, const char *bytes, size_t n)
{
    (void)ctx;
    return fwrite(bytes, 1, n, stdout) == n ? 0 : -1;
}

static q_rc print(void *ctx, q_slice json, q_err *err)
{
    call *c = ctx;
    json_error_t e;
    c->count++;
    q_progress_update(&c->progress, c->count, c->info.last_lsn - c->info.first_lsn + 1, c->count);
    if (!c->packed) {
        fwrite(json.ptr, 1, json.len, stdout);
        fputc('\n', stdout);
    } else {
        json_t *o = json_loadb(json.ptr, json.len, JSON_ALLOW_NUL, &e);
        msgpack_packer pk;
        msgpack_packer_init(&pk, NULL, to_stdout);
        if (!o)
            return q_err_set(err, Q_E_INTERNAL, "a record's JSON can't be read: %s", e.text);
        pack(&pk, o);
        json_decref(o);
    }
    return ferror(stdout) ? q_err_set(err, Q_E_INTERNAL, "the output can't be written") : Q_OK;
}

int q_wal_export(int argc, char **argv)
{
    static const struct option longs[] = { { "dir", required_argument, NULL, 'd' },  { "format", required_argument, NULL, 'F' }, { "from", required_argument, NULL, 'f' },
                                           { "to", required_argument, NULL, 't' },   { "bucket", required_argument, NULL, 'b' }, { "help", no_argument, NULL, 'h' },
                                           { 0 } };
    static call c;
    int o;
    int64_t n;
    optind = 1;
    while ((o = getopt_long(argc, argv, "b:h", longs, NULL)) != -1)
        switch (o) {
        case 'd': c.dir_given = snprintf(c.dir, sizeof c.dir, "%s", optarg) < (int)sizeof c.dir; break;
        case 'F':
            c.packed = !strcmp(optarg, "msgpack");
            if (!c.packed && strcmp(optarg, "jsonl"))
                return q_usage_error(command, "--format is jsonl or msgpack, not '%s'", optarg);
            break;
        case 'f':
        case 't':
            if (!q_option_number(command, o == 'f' ? "--from" : "--to", optarg, 1, INT64_MAX, &n))
                return Q_EXIT_USAGE;
            *(o == 'f' ? &c.filter.from_lsn : &c.filter.to_lsn) = (uint64_t)n;
            break;
        case 'b': c.filter.bucket = q_slice_cstr(optarg); break;
        case 'h': help(stdout); return Q_EXIT_COMMITTED;
        default: return q_usage_more(command);
        }
    if (optind < argc)
        return q_usage_error(command, "unexpected '%s'", argv[optind]);
    if (c.packed && isatty(STDOUT_FILENO))
        return q_usage_error(command, "msgpack isn't for a terminal: > FILE");
    int status = q_wal_find(c.dir, c.dir_given);
    if (status != Q_EXIT_COMMITTED)
        return status;
    q_err err = Q_ERR_INIT;
    q_log *log = NULL;
    q_rc rc = q_wal_open_whole(c.dir, &log, &err);
    if (rc == Q_OK) {
        log->ops->info(log, &c.info);
        q_progress_begin(&c.progress, "records");
        rc = q_wal_list(log, &c.filter, true, print, &c, &err);
        q_progress_end(&c.progress);
        log->ops->close(log);
    }
    return rc == Q_OK ? Q_EXIT_COMMITTED : q_wal_failure(command, &err);
}
