/* quanta wal replay - brings engines up to date from the log and its segments, through the running coordinator. */
#include "cmd/cli/ask.h"
#include "cmd/cli/find.h"
#include "cmd/cli/options.h"
#include "cmd/cli/progress.h"
#include "cmd/cli/wal_verbs.h"
#include "schemas/timetext.h"
#include "wal/replay.h"

#include <inttypes.h>
#include <time.h>

enum { POLL_MS = 100, READY_MS = 15000, MAX_ANSWER = 1 << 20 };

static const char *const command = "quanta wal replay";

typedef struct call {
    const char *http, *engine, *bucket, *record;
    char dir[PATH_MAX];
    bool dir_given, dry_run, from_given;
    int64_t from, to, until_us;
    q_format format;
} call;

static void help(FILE *to)
{
    fputs("Usage: quanta wal replay [--engine E] [--bucket B] [--record R] [--from SEQ] [--to SEQ | --until TIME] [--dry-run]\n\n"
          "Brings engines up to date from the log and its segments: of each record the newest state, applied only where an\n"
          "engine holds an older one, so that it may be done again at any time. Through the running coordinator:\n"
          "an engine that serves nothing because it was lost, emptied or restored from a backup (`quanta status`: needs replay)\n"
          "is rebuilt as a whole, definitions included, and serves then; one that serves is done record type by record type, each locked\n"
          "meanwhile.\n\n"
          "      --engine E        postgres, mongo, neo4j or influx; all of them without it\n"
          "      --bucket B  --record R\n"
          "      --from SEQ        only what was last written by transaction SEQ or later (0: everything). Default: everything; of an\n"
          "                        engine that needs a replay, from where it says that it has everything\n"
          "      --to SEQ          … or earlier\n"
          "      --until TIME      … or not after that time (RFC 3339)\n"
          "      --dry-run         reads the log, says what would be replayed, changes nothing; needs no running system\n"
          "      --dir DIR         --dry-run: the log's directory\n"
          "      --http HOST:PORT  the coordinator's admin address\n"
          "      --format table|json\n\n"
          "Exit status: 0 done, 1 refused or a damaged record (its place is told), 2 wrong usage, 3 no system.\n",
          to);
}

/* Also what may stand in a URL as it is. */
static bool name_ok(const char *option, const char *text)
{
    if (*text && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(text))
        return true;
    q_usage_error(command, "%s is a name of a-z, 0-9 and _, not '%s'", option, text);
    return false;
}

static bool engine_ok(const char *text)
{
    for (q_engine_id e = 0; e < Q_EN_COUNT; e++)
        if (!strcmp(text, q_engine_name(e)))
            return true;
    q_usage_error(command, "--engine is postgres, mongo, neo4j or influx, not '%s'", text);
    return false;
}

static bool time_ok(const char *text, int64_t *out)
{
    q_value v;
    q_err err = Q_ERR_INIT;
    q_arena *arena = q_arena_new(0);
    bool ok = arena && q_value_parse(arena, Q_T_TIME, q_slice_cstr(text), &v, &err) == Q_OK && v.i > 0;
    if (ok)
        *out = v.i;
    else
        q_usage_error(command, "--until takes a time like 2026-01-31T12:00:00Z, not '%s'", text);
    q_arena_free(arena);
    return ok;
}

static bool parse(int argc, char **argv, call *c, int *status)
{
    static const struct option longs[] = {
        { "engine", required_argument, NULL, 'e' }, { "bucket", required_argument, NULL, 'b' }, { "record", required_argument, NULL, 'r' },
        { "from", required_argument, NULL, 'f' },   { "to", required_argument, NULL, 't' },     { "until", required_argument, NULL, 'u' },
        { "dry-run", no_argument, NULL, 'n' },      { "dir", required_argument, NULL, 'd' },    { "http", required_argument, NULL, 'H' },
        { "format", required_argument, NULL, 'F' }, { "help", no_argument, NULL, 'h' },         { 0 }
    };
    int o;
    *status = Q_EXIT_USAGE;
    while ((o = getopt_long(argc, argv, "b:h", longs, NULL)) != -1) {
        bool ok = true;
        switch (o) {
        case 'e': ok = engine_ok(c->engine = optarg); break;
        case 'b': ok = name_ok("--bucket", c->bucket = optarg); break;
        case 'r': ok = name_ok("--record", c->record = optarg); break;
        case 'f': ok = c->from_given = q_option_number(command, "--from", optarg, 0, INT64_MAX, &c->from); break;
        case 't': ok = q_option_number(command, "--to", optarg, 1, INT64_MAX, &c->to); break;
        case 'u': ok = time_ok(optarg, &c->until_us); break;
        case 'n': c->dry_run = true; break;
        case 'd': c->dir_given = snprintf(c->dir, sizeof c->dir, "%s", optarg) < (int)sizeof c->dir; break;
        case 'H': c->http = optarg; break;
        case 'F': ok = q_option_format(command, optarg, Q_FORMATS_BOTH, &c->format); break;
        case 'h':
            help(stdout);
            *status = Q_EXIT_COMMITTED;
            return false;
        default: q_usage_more(command); return false;
        }
        if (!ok)
            return false;
    }
    if (optind < argc)
        q_usage_error(command, "unexpected '%s'", argv[optind]);
    else if (c->to && c->until_us)
        q_usage_error(command, "--to and --until exclude each other");
    else if (c->to && c->from > c->to)
        q_usage_error(command, "--from is after --to");
    else if (c->dir_given && !c->dry_run)
        q_usage_error(command, "--dir goes with --dry-run; a replay goes through the running coordinator (--http)");
    else
        return true;
    return false;
}

static void print_json(json_t *o)
{
    json_dumpf(o, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(o);
}

/* ---- --dry-run: the log alone ---- */

static q_rc read_through(q_replay *r, q_progress *p, q_replay_progress *out, q_err *err)
{
    q_replay_batch batch;
    q_rc rc;
    do {
        rc = q_replay_prepare(r, err);
        q_replay_get_progress(r, out);
        q_progress_update(p, out->done, out->total, out->done);
    } while (rc == Q_WAIT);
    while (rc == Q_OK) {
        rc = q_replay_next(r, &batch, err);
        q_replay_get_progress(r, out);
        q_progress_update(p, out->done, out->total, out->done);
    }
    return rc == Q_END ? Q_OK : rc;
}

static int dry_run(const call *c, q_log *log, q_archive *archive, q_engine_id e)
{
    q_replay_spec spec = { .engine = e, .bucket = q_slice_cstr(c->bucket), .record = q_slice_cstr(c->record), .from = (uint64_t)c->from, .to = (uint64_t)c->to,
                           .until_us = c->until_us };
    q_replay *r = NULL;
    q_replay_progress at = { 0 };
    q_err err = Q_ERR_INIT;
    q_progress p;
    uint64_t first = 0, high = 0;
    q_progress_begin(&p, "log records");
    q_rc rc = q_replay_open(log, archive, &spec, &r, &err);
    if (rc == Q_OK)
        rc = read_through(r, &p, &at, &err);
    if (rc == Q_OK)
        q_replay_extent(r, &first, &high);
    double seconds = q_progress_seconds(&p);
    q_progress_end(&p);
    q_replay_free(r);
    if (rc != Q_OK)
        return q_wal_failure(command, &err);
    if (c->format == Q_FORMAT_JSON)
        print_json(json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I}", "engine", q_engine_name(e), "dry_run", 1, "keys", (json_int_t)at.keys, "items",
                             (json_int_t)at.items, "bytes", (json_int_t)at.bytes, "records", (json_int_t)at.total / 2, "first_lsn", (json_int_t)first));
    else
        printf("%-8s  would replay %" PRIu64 " items (%.1f MB) of %" PRIu64 " keys, read from %" PRIu64 " log records in %.1f s%s\n", q_engine_name(e), at.items,
               (double)at.bytes / 1e6, at.keys, at.total / 2, seconds, high ? "; the log's beginning is missing" : "");
    return Q_EXIT_COMMITTED;
}

static int dry_runs(call *c)
{
    q_log *log = NULL;
    q_archive *archive = NULL;
    q_err err = Q_ERR_INIT;
    q_log_options options = { .read_only = true };
    int status = q_wal_find(c->dir, c->dir_given);
    if (status != Q_EXIT_COMMITTED)
        return status;
    q_rc rc = q_log_open_lmdb(c->dir, &options, &log, &err);
    if (rc == Q_OK)
        rc = q_segments_open(c->dir, &archive, &err);
    if (rc != Q_OK)
        status = q_wal_failure(command, &err);
    for (q_engine_id e = 0; e < Q_EN_COUNT && status == Q_EXIT_COMMITTED; e++)
        if (!c->engine || !strcmp(c->engine, q_engine_name(e)))
            status = dry_run(c, log, archive, e);
    if (archive)
        archive->close(archive);
    if (log)
        log->ops->close(log);
    return status;
}

/* ---- through the coordinator ---- */

static int refused(q_rc rc, const q_err *err) { return rc == Q_RETRY ? q_cli_print_failure(err) : q_wal_failure(command, err); }

static json_t *ask_json(const q_place *place, const char *path, bool change, q_rc *rc, q_err *err)
{
    q_buf body = Q_BUF_INIT(MAX_ANSWER);
    json_error_t e;
    *rc = change ? q_ask_change(place->address, path, &body, err) : q_ask(place->address, path, &body, err);
    json_t *o = *rc == Q_OK ? json_loadb(body.ptr, body.len, 0, &e) : NULL;
    if (*rc == Q_OK && !o)
        *rc = q_err_set(err, Q_E_INTERNAL, "%s gave an answer that isn't one of a quanta system: is --http right?", place->address);
    q_buf_free(&body);
    return o;
}

static json_int_t number_of(const json_t *o, const char *name) { return json_integer_value(json_object_get(o, name)); }
static const char *text_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static void nap(void)
{
    struct timespec t = { 0, POLL_MS * 1000000L };
    nanosleep(&t, NULL);
}

/* Until it is over, and, when the engine served nothing before, until it serves. NULL: rc and err say why. */
static json_t *watch(const q_place *place, json_int_t id, q_rc *rc, q_err *err)
{
    q_progress p;
    int waited = 0;
    q_progress_begin(&p, "items");
    for (;;) {
        json_t *o = ask_json(place, "/admin/replay", false, rc, err);
        if (!o)
            break;
        const char *state = text_of(o, "state");
        bool over = !strcmp(state, "done") || !strcmp(state, "failed");
        if (number_of(o, "id") != id) {
            *rc = q_err_set(err, Q_E_INTERNAL, "the coordinator was started again meanwhile: run the replay again");
            json_decref(o);
            break;
        }
        json_int_t done = number_of(o, "records"), total = number_of(o, "records_total"), type = number_of(o, "type"), types = number_of(o, "types");
        if (total > 0 && types > 0)
            q_progress_update(&p, (uint64_t)(done + (type > 0 ? type - 1 : 0) * total), (uint64_t)(total * types), (uint64_t)number_of(o, "items"));
        bool serves = !strcmp(text_of(o, "engine_state"), "ready");
        if (over && (!strcmp(state, "failed") || serves || waited > READY_MS / POLL_MS)) {
            q_progress_end(&p);
            return o;
        }
        waited += over;
        json_decref(o);
        nap();
    }
    q_progress_end(&p);
    return NULL;
}

static int replay_engine(const call *c, const q_place *place, const char *engine)
{
    char path[600];
    q_err err = Q_ERR_INIT;
    q_rc rc;
    int n = snprintf(path, sizeof path, "/admin/replay?engine=%s&bucket=%s&record=%s&to=%" PRId64 "&until_us=%" PRId64, engine, c->bucket ? c->bucket : "",
                     c->record ? c->record : "", c->to, c->until_us);
    if (c->from_given)
        snprintf(path + n, sizeof path - (size_t)n, "&from=%" PRId64, c->from);
    json_t *o = ask_json(place, path, true, &rc, &err);
    json_int_t id = number_of(o, "id");
    json_decref(o);
    o = o ? watch(place, id, &rc, &err) : NULL;
    if (!o)
        return refused(rc, &err);
    double seconds = (double)number_of(o, "elapsed_ms") / 1000;
    const char *state = text_of(o, "engine_state");
    int status = Q_EXIT_COMMITTED;
    if (!strcmp(text_of(o, "state"), "failed")) {
        q_err_set(&err, Q_E_INTERNAL, "%s: %s", engine, text_of(o, "error"));
        status = q_wal_failure(command, &err);
    } else if (c->format == Q_FORMAT_JSON) {
        print_json(json_pack("{s:s, s:I, s:I, s:I, s:s}", "engine", engine, "items", number_of(o, "items"), "transactions", number_of(o, "transactions"), "elapsed_ms",
                             number_of(o, "elapsed_ms"), "state", state));
    } else {
        printf("%-8s  %" JSON_INTEGER_FORMAT " items of %" JSON_INTEGER_FORMAT " transactions in %.1f s (%.0f/s); %s\n", engine, number_of(o, "items"),
               number_of(o, "transactions"), seconds, seconds > 0 ? (double)number_of(o, "items") / seconds : 0, state);
    }
    if (status == Q_EXIT_COMMITTED && strcmp(state, "ready")) {
        fprintf(stderr, "%s: %s was replayed, but is still '%s'\n", command, engine, state);
        status = Q_EXIT_REFUSED;
    }
    json_decref(o);
    return status;
}

int q_wal_replay(int argc, char **argv)
{
    static call c;
    q_place place;
    q_err err = Q_ERR_INIT;
    int status;
    optind = 1;
    if (!parse(argc, argv, &c, &status))
        return status;
    if (c.dry_run)
        return dry_runs(&c);
    if (!q_find_http(c.http, &place, &err))
        return q_cli_print_failure(&err);
    int worst = Q_EXIT_COMMITTED;
    for (q_engine_id e = 0; e < Q_EN_COUNT && worst != Q_EXIT_UNREACHABLE; e++)
        if (!c.engine || !strcmp(c.engine, q_engine_name(e))) {
            status = replay_engine(&c, &place, q_engine_name(e));
            worst = status > worst ? status : worst;
        }
    return worst;
}
