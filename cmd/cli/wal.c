/* quanta wal - the log, read only: beside a running coordinator, or of one that is dead. */
#include "base/buf.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/find.h"
#include "cmd/cli/options.h"
#include "cmd/cli/progress.h"
#include "cmd/cli/wal_verbs.h"
#include "wal/copy.h"
#include "wal/inspect.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 256 << 20, FOLLOW_MS = 200 };

static const char *const command = "quanta wal";

typedef struct call {
    char dir[PATH_MAX];
    bool given, full, follow, accept_older;
    q_format format;
    q_wal_filter filter;
    int64_t lines;        /* tail -n */
    uint64_t printed;
    uint64_t last_lsn;    /* of what was printed */
} call;

static volatile sig_atomic_t stopping;

static void help(FILE *to)
{
    fputs("Usage: quanta wal ls     [FILTER...]         the records, oldest first\n"
          "       quanta wal tail   [FILTER...] [-n N] [-f]   the newest N (10); -f: go on with what comes\n"
          "       quanta wal show   LSN...              whole records: what they write, reply, events\n"
          "       quanta wal show   meta|position|catalog     a table of the log\n"
          "       quanta wal info                       how much there is\n"
          "       quanta wal verify                     checks everything\n"
          "       quanta wal replay | export | compact | backup | restore     each has its own --help\n\n"
          "      --dir DIR              the log's directory (or that of a `quanta dev`); default: the last `quanta dev`\n"
          "      --format table|json    json: one object a line\n"
          "Filters:\n"
          "      --bucket BUCKET  --request-id ID\n"
          "      --seq A..B             transactions' numbers: A, A.., ..B or A..B\n"
          "      --lsn A..B             places in the log\n"
          "      --type TYPE            epoch, decision, tail, operator or resolve; can be given many times\n"
          "      --limit N              ls: at most N records\n"
          "      --full                 ls, tail: whole records (json only)\n"
          "verify:\n"
          "      --accept-older-meta    when one of the file's two meta pages is damaged: goes on from the other one. The last group may be lost\n\n"
          "The log is only read, also beside a running coordinator.\n"
          "Exit status: 0 good, 1 damaged or not there, 2 wrong usage, 3 no log.\n",
          to);
}

/* ---- options ---- */

static bool parse_number(const char *text, size_t n, uint64_t *out)
{
    char digits[24], *rest;
    if (n == 0 || n >= sizeof digits)
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    *out = strtoull(digits, &rest, 10);
    return !*rest && digits[0] != '-' && digits[0] != '+' && *out <= INT64_MAX;
}

/* "5", "5..", "..9", "5..9" */
static bool parse_range(const char *option, const char *text, uint64_t *from, uint64_t *to)
{
    const char *dots = strstr(text, "..");
    *from = *to = 0;
    bool ok;
    if (dots)
        ok = (dots == text || parse_number(text, (size_t)(dots - text), from)) &&
             (!dots[2] || parse_number(dots + 2, strlen(dots + 2), to));
    else
        ok = parse_number(text, strlen(text), from);
    if (!dots)
        *to = *from;
    ok = ok && (!*to || *from <= *to) && (*from || *to);
    if (!ok)
        q_usage_error(command, "%s takes A, A.., ..B or A..B with A at most B, not '%s'", option, text);
    return ok;
}

/* false: the status says why. */
static bool parse(int argc, char **argv, call *c, int *status)
{
    static const struct option longs[] = {
        { "dir", required_argument, NULL, 'd' },    { "format", required_argument, NULL, 'F' },
        { "bucket", required_argument, NULL, 'b' }, { "request-id", required_argument, NULL, 'r' },
        { "seq", required_argument, NULL, 's' },    { "lsn", required_argument, NULL, 'l' },
        { "type", required_argument, NULL, 't' },   { "limit", required_argument, NULL, 'L' },
        { "full", no_argument, NULL, 'u' },         { "follow", no_argument, NULL, 'f' },
        { "accept-older-meta", no_argument, NULL, 'A' }, { "lines", required_argument, NULL, 'n' },  { "help", no_argument, NULL, 'h' }, { 0 }
    };
    int o;
    *status = Q_EXIT_USAGE;
    while ((o = getopt_long(argc, argv, "b:fn:h", longs, NULL)) != -1) {
        bool ok = true;
        int64_t limit = 0;
        uint32_t type;
        switch (o) {
        case 'd':
            c->given = snprintf(c->dir, sizeof c->dir, "%s", optarg) < (int)sizeof c->dir;
            if (!c->given || !*optarg) {
                q_usage_error(command, "--dir is %s", *optarg ? "too long" : "empty");
                return false;
            }
            break;
        case 'F': ok = q_option_format(command, optarg, Q_FORMATS_BOTH, &c->format); break;
        case 'b': c->filter.bucket = q_slice_cstr(optarg); break;
        case 'r': c->filter.request_id = q_slice_cstr(optarg); break;
        case 's': ok = parse_range("--seq", optarg, &c->filter.from_seq, &c->filter.to_seq); break;
        case 'l': ok = parse_range("--lsn", optarg, &c->filter.from_lsn, &c->filter.to_lsn); break;
        case 'L':
            ok = q_option_number(command, "--limit", optarg, 1, INT64_MAX, &limit);
            c->filter.limit = (uint64_t)limit;
            break;
        case 'n': ok = q_option_number(command, "-n", optarg, 1, 1000000, &c->lines); break;
        case 't':
            type = q_wal_type_mask(q_slice_cstr(optarg));
            c->filter.types |= type;
            if (!type)
                q_usage_error(command, "--type is epoch, decision, tail, operator or resolve, not '%s'", optarg);
            ok = type != 0;
            break;
        case 'u': c->full = true; break;
        case 'f': c->follow = true; break;
        case 'A': c->accept_older = true; break;
        case 'h':
            help(stdout);
            *status = Q_EXIT_COMMITTED;
            return false;
        default: q_usage_more(command); return false;
        }
        if (!ok)
            return false;
    }
    return true;
}

static bool has_log(const char *dir)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    return access(path, F_OK) == 0;
}

int q_wal_find(char dir[PATH_MAX], bool given)
{
    q_err err = Q_ERR_INIT;
    char inner[PATH_MAX + 8];
    q_rc found = given ? Q_OK : q_find_wal_dir(dir, PATH_MAX, &err);
    if (found != Q_OK && (found != Q_END || !q_find_dev_dir(dir, PATH_MAX, &err)))
        return q_cli_print_failure(&err);
    snprintf(inner, sizeof inner, "%s/wal", dir);
    if (!has_log(dir) && has_log(inner) && strlen(inner) < PATH_MAX)
        memcpy(dir, inner, strlen(inner) + 1);
    if (has_log(dir))
        return Q_EXIT_COMMITTED;
    fprintf(stderr, "%s: there is no log in %s\n", command, dir);
    return Q_EXIT_UNREACHABLE;
}

static int failure(q_rc rc, const q_err *err)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", command);
    q_format_text(stderr, err->message);
    fputc('\n', stderr);
    if (err->hint[0])
        fprintf(stderr, "  hint: %s\n", err->hint);
    (void)rc;
    return Q_EXIT_REFUSED;
}

/* ---- a line a record ---- */

static struct { const char *name; int width; bool right; } columns[] = {
    { "lsn", 8, true },     { "record", 9, false },   { "seq", 7, true },         { "time", 20, false },
    { "bucket", 17, false }, { "engines", 21, false }, { "request id", 28, false }, { "what", 60, false },
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static void put_row(const char *const cells[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        if (i + 1 == COLUMNS && *cells[i] == '\0')
            break;
        fputs(i ? "  " : "", stdout);
        q_format_cell(stdout, cells[i], columns[i].width, columns[i].right);
    }
    fputc('\n', stdout);
}

/* The last column takes what the terminal has left. */
static void fit_terminal(void)
{
    struct winsize w;
    int before = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        return;
    for (size_t i = 0; i + 1 < COLUMNS; i++)
        before += columns[i].width + 2;
    columns[COLUMNS - 1].width = w.ws_col - before > 20 ? w.ws_col - before : 20;
}

static void put_header(void)
{
    fit_terminal();
    const char *names[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++)
        names[i] = columns[i].name;
    put_row(names);
}

static const char *text_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static void number_of(const json_t *o, const char *name, char *out, size_t size)
{
    const json_t *n = json_object_get(o, name);
    out[0] = '\0';
    if (json_is_integer(n) && (json_integer_value(n) || strcmp(name, "seq")))
        snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(n));
}

static void engines_of(const json_t *o, char *out, size_t size)
{
    size_t i, n = 0;
    json_t *e;
    out[0] = '\0';
    json_array_foreach(json_object_get(o, "participants"), i, e) {
        const char *name = json_string_value(e);
        int len = snprintf(out + n, size - n, "%s%s", i ? "," : "", name && !strcmp(name, "postgres") ? "pg" : name);
        n += len > 0 && (size_t)len < size - n ? (size_t)len : 0;
    }
}

/* The statement on one line; of other records, what they say. */
static void what_of(const json_t *o, const char *type, char *out, size_t size)
{
    const char *from = !strcmp(type, "operator") ? text_of(o, "text") : text_of(o, "query");
    size_t n = 0;
    if (!strcmp(type, "tail")) {
        snprintf(out, size, "ended %" JSON_INTEGER_FORMAT ", published %" JSON_INTEGER_FORMAT,
                 json_integer_value(json_object_get(o, "ended")), json_integer_value(json_object_get(o, "published")));
        return;
    }
    if (!strcmp(type, "epoch")) {
        snprintf(out, size, "epoch %" JSON_INTEGER_FORMAT " by %s", json_integer_value(json_object_get(o, "epoch")), text_of(o, "version"));
        return;
    }
    for (; *from && n + 1 < size; from++) {
        bool space = strchr(" \t\r\n", *from) != NULL;
        if (!space || (n && out[n - 1] != ' '))
            out[n++] = space ? ' ' : *from;
    }
    out[n] = '\0';
}

static q_rc print_line(void *ctx, q_slice json, q_err *err)
{
    call *c = ctx;
    char lsn[24], seq[24], engines[64], what[300], at[24] = "";
    json_error_t e;
    if (c->format == Q_FORMAT_JSON && !c->follow) {
        c->printed++;
        fwrite(json.ptr, 1, json.len, stdout);
        fputc('\n', stdout);
        return Q_OK;
    }
    json_t *o = json_loadb(json.ptr, json.len, JSON_ALLOW_NUL, &e);
    if (!o)
        return q_err_set(err, Q_E_INTERNAL, "a record's JSON can't be read: %s", e.text);
    c->last_lsn = (uint64_t)json_integer_value(json_object_get(o, "lsn"));
    if (c->format == Q_FORMAT_JSON) {
        fwrite(json.ptr, 1, json.len, stdout);
        fputc('\n', stdout);
    } else {
        const char *type = text_of(o, "type"), *time = text_of(o, "time");
        number_of(o, "lsn", lsn, sizeof lsn);
        number_of(o, "seq", seq, sizeof seq);
        engines_of(o, engines, sizeof engines);
        what_of(o, type, what, sizeof what);
        snprintf(at, sizeof at, "%.19s%s", time, *time ? "Z" : "");
        if (c->printed == 0)
            put_header();
        const char *record = strcmp(type, "decision") ? type : text_of(o, "outcome");
        put_row((const char *const[]){ lsn, record, seq, at, text_of(o, "bucket"), engines, text_of(o, "request_id"), what });
    }
    c->printed++;
    json_decref(o);
    return Q_OK;
}

/* ---- verbs ---- */

static int ls(call *c, q_log *log)
{
    q_err err = Q_ERR_INIT;
    q_rc rc = q_wal_list(log, &c->filter, c->full, print_line, c, &err);
    if (rc != Q_OK)
        return failure(rc, &err);
    if (c->format == Q_FORMAT_TABLE)
        printf("(%" PRIu64 " record%s)\n", c->printed, c->printed == 1 ? "" : "s");
    return Q_EXIT_COMMITTED;
}

static void on_stop(int sig)
{
    (void)sig;
    stopping = 1;
}

static q_rc note_lsn(void *ctx, uint64_t lsn, q_slice key, q_slice value, q_err *err)
{
    (void)key;
    (void)value;
    (void)err;
    *(uint64_t *)ctx = lsn;
    return Q_OK;
}

static int tail(call *c, q_log *log)
{
    q_err err = Q_ERR_INIT;
    q_log_info info;
    log->ops->info(log, &info);
    uint64_t seen = info.last_lsn, last; /* before it is listed: what comes meanwhile is listed, too, or followed */
    c->filter.newest = (uint64_t)c->lines;
    c->filter.limit = 0;
    q_rc rc = q_wal_list(log, &c->filter, c->full, print_line, c, &err);
    struct sigaction a = { .sa_handler = on_stop };
    sigemptyset(&a.sa_mask);
    if (c->follow) {
        sigaction(SIGINT, &a, NULL);
        sigaction(SIGTERM, &a, NULL);
        seen = c->last_lsn > seen ? c->last_lsn : seen;
    }
    while (rc == Q_OK && c->follow && !stopping) {
        fflush(stdout);
        struct timespec t = { 0, FOLLOW_MS * 1000000L };
        nanosleep(&t, NULL);
        last = seen; /* the log's info is this process's own; what another one appended is seen by reading */
        rc = log->ops->scan(log, seen + 1, note_lsn, &last, &err);
        if (rc != Q_OK || last == seen)
            continue;
        q_wal_filter f = c->filter;
        f.newest = 0;
        f.from_lsn = seen + 1;
        f.to_lsn = seen = last;
        rc = q_wal_list(log, &f, c->full, print_line, c, &err);
    }
    return rc == Q_OK ? Q_EXIT_COMMITTED : failure(rc, &err);
}

static int put_object(const call *c, q_slice json)
{
    json_error_t e;
    json_t *o = c->format == Q_FORMAT_JSON ? NULL : json_loadb(json.ptr, json.len, JSON_ALLOW_NUL, &e);
    if (o)
        json_dumpf(o, stdout, JSON_INDENT(2));
    else
        fwrite(json.ptr, 1, json.len, stdout);
    fputc('\n', stdout);
    json_decref(o);
    return Q_EXIT_COMMITTED;
}

static q_rc print_entry(void *ctx, q_slice json, q_err *err)
{
    (void)err;
    put_object(ctx, json);
    return Q_OK;
}

static int show(call *c, q_log *log, const char *what)
{
    static const struct { const char *name; q_log_table table; } tables[] = {
        { "meta", Q_LT_META }, { "position", Q_LT_POSITION }, { "catalog", Q_LT_CATALOG }
    };
    q_err err = Q_ERR_INIT;
    uint64_t lsn;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (!strcmp(what, tables[i].name)) {
            q_rc rc = q_wal_list_table(log, tables[i].table, print_entry, c, &err);
            return rc == Q_OK ? Q_EXIT_COMMITTED : failure(rc, &err);
        }
    if (!parse_number(what, strlen(what), &lsn) || lsn == 0)
        return q_usage_error(command, "show takes an LSN, or meta, position or catalog, not '%s'", what);
    q_buf out = Q_BUF_INIT(MAX_LINE);
    int status;
    q_rc rc = q_wal_show(log, lsn, &out, &err);
    if (rc == Q_END) {
        fprintf(stderr, "%s: record %" PRIu64 " isn't in the log (any more, or yet)\n", command, lsn);
        status = Q_EXIT_REFUSED;
    } else {
        status = rc == Q_OK ? put_object(c, q_buf_slice(&out)) : failure(rc, &err);
    }
    q_buf_free(&out);
    return status;
}

static int info(const call *c, q_log *log)
{
    q_log_info i;
    log->ops->info(log, &i);
    uint64_t records = i.last_lsn ? i.last_lsn - i.first_lsn + 1 : 0;
    if (c->format == Q_FORMAT_JSON) {
        json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I}", "dir", c->dir, "first_lsn", (json_int_t)i.first_lsn, "last_lsn",
                              (json_int_t)i.last_lsn, "records", (json_int_t)records, "bytes_used", (json_int_t)i.bytes_used);
        json_dumpf(o, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        json_decref(o);
        return Q_EXIT_COMMITTED;
    }
    printf("directory   %s\nrecords     %" PRIu64, c->dir, records);
    if (records)
        printf(" (%" PRIu64 " to %" PRIu64 ")", i.first_lsn, i.last_lsn);
    printf("\nused        %.1f MB\n", (double)i.bytes_used / 1e6);
    return Q_EXIT_COMMITTED;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total) { q_progress_update(ctx, done, total, done / 1000000); }

/* Every frame of every segment. */
static q_rc verify_segments(const call *c, q_progress *progress, uint64_t *count, uint64_t *records, q_err *err)
{
    q_segment *list = NULL;
    size_t n;
    q_rc rc = q_segments_list(c->dir, &list, &n, err);
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        uint64_t of_it;
        rc = q_segment_verify(c->dir, &list[i], &of_it, err);
        *records += of_it;
        ++*count;
        q_progress_update(progress, i + 1, n, i + 1);
    }
    free(list);
    return rc;
}

static int accept_older(const call *c)
{
    q_err err = Q_ERR_INIT;
    uint64_t last = 0;
    q_rc rc = q_log_accept_older_meta(c->dir, &last, &err);
    if (rc == Q_END) {
        printf("the log is sound: nothing was done\n");
        return Q_EXIT_COMMITTED;
    }
    if (rc != Q_OK)
        return failure(rc, &err);
    printf("gone on from the older meta page: the log ends with record %" PRIu64 " now. If the last group is lost, the engines' numbers tell at the\n"
           "coordinator's start.\n", last);
    return Q_EXIT_COMMITTED;
}

static int verify(const call *c)
{
    q_err err = Q_ERR_INIT;
    q_verify_report r = { 0 };
    uint64_t segments = 0, archived = 0;
    q_progress progress;
    if (c->accept_older)
        return accept_older(c);
    q_progress_begin(&progress, "MB checked");
    q_rc rc = q_log_verify(c->dir, on_progress, &progress, &r, &err);
    if (rc == Q_OK)
        rc = verify_segments(c, &progress, &segments, &archived, &err);
    double seconds = q_progress_seconds(&progress);
    q_progress_end(&progress);
    if (rc != Q_OK && c->format == Q_FORMAT_JSON) {
        json_t *o = json_pack("{s:b, s:s}", "good", 0, "error", err.message);
        json_dumpf(o, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        json_decref(o);
    }
    if (rc != Q_OK)
        return failure(rc, &err);
    if (c->format == Q_FORMAT_JSON) {
        json_t *o = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "good", 1, "records", (json_int_t)r.records, "decisions",
                              (json_int_t)r.decisions, "open_transactions", (json_int_t)r.open_transactions, "bytes", (json_int_t)r.bytes,
                              "segments", (json_int_t)segments, "archived_records", (json_int_t)archived);
        json_dumpf(o, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        json_decref(o);
    } else {
        printf("good: %" PRIu64 " records, %" PRIu64 " decisions, %" PRIu64 " not applied everywhere yet, %.1f MB, %.1f s\n", r.records,
               r.decisions, r.open_transactions, (double)r.bytes / 1e6, seconds);
        if (segments)
            printf("good: %" PRIu64 " segments with %" PRIu64 " records\n", segments, archived);
    }
    return Q_EXIT_COMMITTED;
}

/* Whether verb and words fit each other; a message when not. */
static bool check_words(const call *c, const char *verb, int words, char **word)
{
    bool filters = c->filter.bucket.len || c->filter.request_id.len || c->filter.from_seq || c->filter.to_seq || c->filter.types ||
                   c->filter.from_lsn || c->filter.to_lsn || c->filter.limit || c->full;
    bool lists = !strcmp(verb, "ls") || !strcmp(verb, "tail");
    if (!*verb)
        q_usage_error(command, "ls, tail, show, info, verify, replay, export, compact, backup or restore?");
    else if (!lists && strcmp(verb, "show") && strcmp(verb, "info") && strcmp(verb, "verify"))
        q_usage_error(command, "unknown verb '%s': it is ls, tail, show, info, verify, replay, export, compact, backup or restore", verb);
    else if (strcmp(verb, "show") && words)
        q_usage_error(command, "unexpected '%s'", word[0]);
    else if (!strcmp(verb, "show") && !words)
        q_usage_error(command, "show takes an LSN, or meta, position or catalog");
    else if (!lists && filters)
        q_usage_error(command, "%s takes no filters", verb);
    else if (c->accept_older && strcmp(verb, "verify"))
        q_usage_error(command, "--accept-older-meta is an option of verify");
    else if (strcmp(verb, "tail") && (c->follow || c->lines))
        q_usage_error(command, "-f and -n are options of tail");
    else if (c->full && c->format != Q_FORMAT_JSON)
        q_usage_error(command, "--full needs --format json");
    else
        return true;
    return false;
}

int q_cmd_wal(int argc, char **argv)
{
    static call c;
    int status;
    if (argc > 1 && q_wal_verb(argc - 1, argv + 1, &status))
        return status;
    if (!parse(argc, argv, &c, &status))
        return status;
    const char *verb = optind < argc ? argv[optind++] : "";
    if (!check_words(&c, verb, argc - optind, argv + optind))
        return Q_EXIT_USAGE;
    status = q_wal_find(c.dir, c.given);
    if (status != Q_EXIT_COMMITTED)
        return status;
    if (!strcmp(verb, "verify"))
        return verify(&c);
    if (!c.lines)
        c.lines = 10;
    q_log *log = NULL;
    q_err err = Q_ERR_INIT;
    q_rc rc = q_wal_open_whole(c.dir, &log, &err);
    if (rc != Q_OK)
        return failure(rc, &err);
    if (!strcmp(verb, "ls"))
        status = ls(&c, log);
    else if (!strcmp(verb, "tail"))
        status = tail(&c, log);
    else if (!strcmp(verb, "info"))
        status = info(&c, log);
    for (; !strcmp(verb, "show") && optind < argc && status == Q_EXIT_COMMITTED; optind++)
        status = show(&c, log, argv[optind]);
    log->ops->close(log);
    return status;
}
