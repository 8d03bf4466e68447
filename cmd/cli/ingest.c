/* quanta ingest - rows of a file into one record: batches of an INSERT each, several in flight.
 *
 * A batch is one transaction under a request id made of a prefix and its input lines. The same input with the same options and prefix
 * again gives the same requests: what was committed is answered with its first outcome and changes nothing (B7), so an ingestion that
 * was cut off is begun again from the top. */
#include "base/buf.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/ingest_batch.h"
#include "cmd/cli/ingest_rows.h"
#include "cmd/cli/names.h"
#include "cmd/cli/options.h"
#include "cmd/cli/progress.h"
#include "schemas/catalog.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { MAX_WINDOW = 256, MAX_ATTEMPTS = 6, MAX_PREFIX = 40, MAX_SAID = 20, PATIENCE_MS = 60000 };

static const char *const command = "quanta ingest";

typedef struct batch {
    json_t **rows;
    uint64_t *lines;          /* where each row began */
    size_t count;
    unsigned attempt;
    struct batch *next;       /* in `again` */
} batch;

typedef struct ingest {
    const char *bootstrap, *bucket, *record, *file;
    char prefix[MAX_PREFIX + 1];
    q_format format;
    q_rows_kind kind;
    int64_t batch_rows, window;
    bool skip;                /* a refused batch is sent again row by row, and what is refused is left out */
    json_t *attributes;       /* rows of SHOW RECORD */
    q_client *client;
    q_row_reader *reader;
    q_progress progress;
    uint64_t input_bytes;     /* 0: not known */
    json_t *ahead;            /* a row that didn't fit its batch */
    uint64_t ahead_line;
    batch *again;             /* single rows of refused batches */
    batch *slots[MAX_WINDOW]; /* in flight; the index is the token */
    uint64_t rows, committed, refused, messages, said;
    bool input_ended, stop;   /* stop: nothing new is sent */
    int status;
} ingest;

static volatile sig_atomic_t interrupted;
static q_client *volatile waiting;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
    if (waiting)
        q_client_interrupt(waiting);
}

static void help(FILE *to)
{
    fputs("Usage: quanta ingest -b BUCKET -r RECORD [FILE] [OPTION...]\n\n"
          "Inserts the rows of FILE, or of standard input, into a record. JSON lines: an object a line. CSV: the first line names the\n"
          "attributes, an empty field is no value, documents are JSON, several relations a JSON array of ids. Each batch is one\n"
          "transaction.\n\n"
          "  -b, --bucket BUCKET\n"
          "  -r, --record RECORD\n"
          "      --input json|csv       what FILE is; else its name's end tells, else json\n"
          "      --batch ROWS           rows of a transaction, at most (500)\n"
          "      --window MESSAGES      transactions in flight, at most (16)\n"
          "      --on-error stop|skip   stop: the first refused batch ends it: nothing of it is stored, what was\n"
          "                             in flight with it may be;\n"
          "                             skip: a refused batch is sent again row by row, refused rows are told and left out\n"
          "      --request-prefix TEXT  begins every request id. The same prefix, input and options again: what was committed\n"
          "                             before isn't done again. Default: a new one, told when something goes wrong\n"
          "      --format table|json    of the summary\n"
          "      --bootstrap HOST:PORT\n\n"
          "Exit status: 0 all rows committed, 1 some refused, 2 wrong usage, 3 can't reach the system or no answer in time.\n",
          to);
}

static bool parse_choice(int c, ingest *g)
{
    if (c == 'i' && (!strcmp(optarg, "json") || !strcmp(optarg, "csv"))) {
        g->kind = optarg[0] == 'j' ? Q_ROWS_JSON : Q_ROWS_CSV;
        return true;
    }
    if (c == 'e' && (!strcmp(optarg, "stop") || !strcmp(optarg, "skip"))) {
        g->skip = optarg[1] == 'k';
        return true;
    }
    size_t n = strlen(optarg);
    if (c == 'p' && n > 0 && n <= MAX_PREFIX) {
        memcpy(g->prefix, optarg, n + 1);
        return true;
    }
    if (c == 'p')
        q_usage_error(command, "--request-prefix takes 1 to %d bytes", MAX_PREFIX);
    else
        q_usage_error(command, "%s, not '%s'", c == 'i' ? "--input is json or csv" : "--on-error is stop or skip", optarg);
    return false;
}

/* false: the status says why. */
static bool parse(int argc, char **argv, ingest *g)
{
    static const struct option longs[] = {
        { "bucket", required_argument, NULL, 'b' }, { "record", required_argument, NULL, 'r' },
        { "input", required_argument, NULL, 'i' },  { "batch", required_argument, NULL, 'n' },
        { "window", required_argument, NULL, 'w' }, { "on-error", required_argument, NULL, 'e' },
        { "request-prefix", required_argument, NULL, 'p' }, { "format", required_argument, NULL, 'F' },
        { "bootstrap", required_argument, NULL, 'B' },      { "help", no_argument, NULL, 'h' }, { 0 }
    };
    int c;
    g->status = Q_EXIT_USAGE;
    while ((c = getopt_long(argc, argv, "b:r:h", longs, NULL)) != -1) {
        bool ok = true;
        switch (c) {
        case 'b': g->bucket = optarg; break;
        case 'r': g->record = optarg; break;
        case 'B': g->bootstrap = optarg; break;
        case 'n': ok = q_option_number(command, "--batch", optarg, 1, Q_BATCH_MAX_ROWS, &g->batch_rows); break;
        case 'w': ok = q_option_number(command, "--window", optarg, 1, MAX_WINDOW, &g->window); break;
        case 'F': ok = q_option_format(command, optarg, Q_FORMATS_BOTH, &g->format); break;
        case 'i':
        case 'e':
        case 'p': ok = parse_choice(c, g); break;
        case 'h':
            help(stdout);
            g->status = Q_EXIT_COMMITTED;
            return false;
        default: q_usage_more(command); return false;
        }
        if (!ok)
            return false;
    }
    if (optind < argc)
        g->file = argv[optind++];
    q_err err = Q_ERR_INIT;
    if (optind < argc)
        q_usage_error(command, "unexpected '%s'", argv[optind]);
    else if (!g->bucket || !g->record)
        q_usage_error(command, "-b BUCKET and -r RECORD say where the rows go");
    else if (q_name_check(q_slice_cstr(g->bucket), "bucket", &err) != Q_OK || q_name_check(q_slice_cstr(g->record), "record", &err) != Q_OK)
        q_usage_error(command, "%s", err.message);
    else
        return true;
    return false;
}

/* ---- what is told ---- */

/* One thing that is wrong, with its input lines. */
static void say(ingest *g, uint64_t first, uint64_t last, const char *code, const char *message, const char *hint)
{
    q_progress_end(&g->progress);
    if (++g->said > MAX_SAID) {
        if (g->said == MAX_SAID + 1)
            fputs("… further ones are only counted\n", stderr);
        return;
    }
    if (g->format == Q_FORMAT_JSON) {
        json_t *text = json_string(message); /* NULL when it quotes what isn't UTF-8 */
        json_t *o = json_pack("{s:I, s:I, s:s, s:o}", "line", (json_int_t)first, "last_line", (json_int_t)last, "code", code, "message",
                              text ? text : json_string("(it can't be shown: not UTF-8)"));
        json_dumpf(o, stderr, JSON_COMPACT);
        json_decref(o);
    } else {
        if (first == last)
            fprintf(stderr, "line %" PRIu64 ": ", first);
        else
            fprintf(stderr, "lines %" PRIu64 " to %" PRIu64 ": ", first, last);
        fprintf(stderr, "%s: ", code);
        q_format_text(stderr, message);
        if (hint && *hint) {
            fputs("\n  hint: ", stderr);
            q_format_text(stderr, hint);
        }
    }
    fputc('\n', stderr);
}

static void summary(ingest *g)
{
    double seconds = q_progress_seconds(&g->progress);
    if (g->format == Q_FORMAT_JSON) {
        json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:f, s:s}", "rows", (json_int_t)g->rows, "committed", (json_int_t)g->committed,
                              "refused", (json_int_t)g->refused, "messages", (json_int_t)g->messages, "seconds", seconds, "request_prefix",
                              g->prefix);
        json_dumpf(o, stdout, JSON_COMPACT);
        json_decref(o);
        fputc('\n', stdout);
        return;
    }
    printf("%" PRIu64 " of %" PRIu64 " rows committed%s, %" PRIu64 " messages, %.1f s", g->committed, g->rows,
           g->input_ended ? "" : " so far", g->messages, seconds);
    if (seconds > 0.05)
        printf(", %.0f rows/s", (double)g->committed / seconds);
    putchar('\n');
    if (g->status != Q_EXIT_COMMITTED && !g->skip)
        fprintf(stderr, "to go on: the same command with --request-prefix %s\n", g->prefix);
}

/* ---- batches ---- */

static void free_batch(batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        json_decref(b->rows[i]);
    free(b->rows);
    free(b->lines);
    free(b);
}

static batch *new_batch(size_t rows)
{
    batch *b = calloc(1, sizeof *b);
    if (b) {
        b->rows = calloc(rows, sizeof *b->rows);
        b->lines = calloc(rows, sizeof *b->lines);
    }
    if (b && b->rows && b->lines)
        return b;
    free_batch(b);
    return NULL;
}

static void fail(ingest *g, int status)
{
    g->stop = true;
    if (status > g->status)
        g->status = status;
}

static void refuse(ingest *g, uint64_t rows)
{
    g->refused += rows;
    if (g->status < Q_EXIT_REFUSED)
        g->status = Q_EXIT_REFUSED;
    if (!g->skip)
        g->stop = true;
}

/* The next good row. false: the input has ended, or can't be read on. */
static bool next_row(ingest *g, json_t **row, uint64_t *line)
{
    if (g->ahead) {
        *row = g->ahead;
        *line = g->ahead_line;
        g->ahead = NULL;
        return true;
    }
    while (!g->stop && !g->input_ended) {
        q_err err = Q_ERR_INIT;
        *row = NULL;
        q_rc rc = q_rows_next(g->reader, row, line, &err);
        if (rc == Q_END) {
            g->input_ended = true;
            break;
        }
        g->rows += rc != Q_FATAL;
        if (rc == Q_OK)
            rc = q_ingest_shape(g->attributes, g->kind == Q_ROWS_JSON, *row, &err);
        if (rc == Q_OK)
            return true;
        json_decref(*row);
        say(g, *line, *line, q_code_name(err.code), err.message, err.hint);
        refuse(g, rc != Q_FATAL);
        if (rc == Q_FATAL)
            fail(g, Q_EXIT_REFUSED);
    }
    return false;
}

/* NULL: there is none. Where a batch ends depends on the input and the options alone: its request id is the same in every run. */
static batch *read_batch(ingest *g)
{
    batch *b = new_batch((size_t)g->batch_rows);
    size_t bytes = 0, values = 0;
    json_t *row;
    uint64_t line;
    while (b && b->count < (size_t)g->batch_rows && next_row(g, &row, &line)) {
        size_t size = q_ingest_row_bytes(row), width = json_object_size(row);
        if (b->count > 0 && (bytes + size > Q_BATCH_MAX_BYTES || values + width > Q_BATCH_MAX_VALUES)) {
            g->ahead = row;
            g->ahead_line = line;
            break;
        }
        bytes += size;
        values += width;
        b->rows[b->count] = row;
        b->lines[b->count++] = line;
    }
    /* When a row is wrong, nothing of its batch goes out: once it is put right, the same lines are the same batch again. */
    if (b && b->count && !g->stop)
        return b;
    if (!b)
        fail(g, Q_EXIT_UNREACHABLE);
    free_batch(b);
    return NULL;
}

static bool send_batch(ingest *g, size_t slot)
{
    batch *b = g->slots[slot];
    char id[79], attempt[16] = "";
    q_err err = Q_ERR_INIT;
    q_buf query = Q_BUF_INIT(2 * Q_BATCH_MAX_BYTES);
    json_t *params = json_object();
    if (b->attempt)
        snprintf(attempt, sizeof attempt, "-r%u", b->attempt); /* an id has one outcome for good: another try has another id */
    snprintf(id, sizeof id, "%s-%" PRIu64 "-%" PRIu64 "%s", g->prefix, b->lines[0], b->lines[b->count - 1], attempt);
    q_ingest_statement(g->attributes, g->record, b->rows, b->count, &query, params);
    q_client_request request = { .bucket = g->bucket, .query = q_buf_slice(&query), .params = params, .request_id = id };
    q_rc rc = query.failed ? q_err_set(&err, Q_E_REQUEST_TOO_LARGE, "the row is too large for a request")
                           : q_client_send(g->client, &request, slot, &err);
    q_buf_free(&query);
    json_decref(params);
    g->messages++;
    if (rc == Q_OK)
        return true;
    say(g, b->lines[0], b->lines[b->count - 1], q_code_name(err.code), err.message, err.hint);
    fail(g, Q_EXIT_UNREACHABLE);
    g->slots[slot] = NULL;
    free_batch(b);
    return false;
}

/* ---- answers ---- */

static void split(ingest *g, batch *b)
{
    for (size_t i = b->count; i > 0; i--) {
        batch *one = new_batch(1);
        if (!one) {
            fail(g, Q_EXIT_UNREACHABLE);
            return;
        }
        one->rows[0] = json_incref(b->rows[i - 1]);
        one->lines[0] = b->lines[i - 1];
        one->count = 1;
        one->next = g->again;
        g->again = one;
    }
}

static void pause_ms(unsigned ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

static void refused(ingest *g, size_t slot, const json_t *error)
{
    batch *b = g->slots[slot];
    const char *code = json_string_value(json_object_get(error, "code")), *message = json_string_value(json_object_get(error, "message"));
    if (json_is_true(json_object_get(error, "retryable")) && b->attempt + 1 < MAX_ATTEMPTS && !g->stop) {
        pause_ms(50u << b->attempt);
        b->attempt++;
        send_batch(g, slot);
        return;
    }
    if (g->skip && b->count > 1) {
        split(g, b);
    } else {
        json_int_t line = json_integer_value(json_object_get(error, "line")) - 2;
        bool known = line >= 0 && (uint64_t)line < b->count && b->count > 1;
        uint64_t first = known ? b->lines[line] : b->lines[0], last = known ? first : b->lines[b->count - 1];
        say(g, first, last, code ? code : "INTERNAL", message ? message : "", json_string_value(json_object_get(error, "hint")));
        refuse(g, b->count);
    }
    g->slots[slot] = NULL;
    free_batch(b);
}

static void answered(ingest *g, size_t slot, const json_t *result)
{
    batch *b = g->slots[slot];
    const char *status = json_string_value(json_object_get(result, "status"));
    if (!status || strcmp(status, "committed")) {
        refused(g, slot, json_object_get(result, "error"));
        return;
    }
    g->committed += b->count;
    g->slots[slot] = NULL;
    free_batch(b);
}

/* ---- the run ---- */

static batch *next_batch(ingest *g)
{
    batch *b = g->again;
    if (!b)
        return read_batch(g);
    g->again = b->next;
    b->next = NULL;
    return b;
}

static void fill_window(ingest *g)
{
    for (size_t slot = 0; slot < (size_t)g->window && !g->stop; slot++) {
        if (g->slots[slot])
            continue;
        g->slots[slot] = next_batch(g);
        if (!g->slots[slot] || !send_batch(g, slot))
            return;
    }
}

static void run(ingest *g)
{
    q_progress_begin(&g->progress, "rows");
    for (;;) {
        uint64_t token;
        json_t *result;
        q_err err = Q_ERR_INIT;
        if (interrupted && !g->stop)
            fail(g, Q_EXIT_REFUSED);
        fill_window(g);
        q_rc rc = q_client_next(g->client, PATIENCE_MS, &token, &result, &err);
        if (rc == Q_OK) {
            answered(g, (size_t)token, result);
            json_decref(result);
        } else if (rc == Q_END) {
            break;
        } else if (!interrupted || g->stop) { /* the first Ctrl-C waits for what is in flight, the second doesn't */
            q_progress_end(&g->progress);
            fail(g, q_cli_print_failure(&err));
            break;
        }
        q_progress_update(&g->progress, q_rows_bytes(g->reader), g->input_bytes, g->committed);
    }
    q_progress_end(&g->progress);
}

static bool load_attributes(ingest *g)
{
    q_err err = Q_ERR_INIT;
    q_names *names = NULL;
    char statement[64 + Q_MAX_NAME_BYTES];
    json_t *result = NULL;
    if (q_client_connect(g->bootstrap, &g->client, &err) != Q_OK) {
        g->status = q_cli_print_failure(&err);
        return false;
    }
    snprintf(statement, sizeof statement, "SHOW RECORD `%s`;", g->record);
    q_client_request request = { .bucket = g->bucket, .query = q_slice_cstr(statement) };
    if (q_client_run(g->client, &request, &result, &err) != Q_OK) {
        g->status = q_cli_print_failure(&err);
        return false;
    }
    const char *status = json_string_value(json_object_get(result, "status"));
    names = status && !strcmp(status, "committed") ? q_names_new() : NULL;
    if (names)
        g->attributes = json_incref((json_t *)(uintptr_t)q_names_attributes(names, g->client, g->bucket, q_slice_cstr(g->record)));
    else
        q_format_error(stderr, json_object_get(result, "error"), Q_SLICE_NONE);
    if (!g->attributes)
        g->status = Q_EXIT_REFUSED;
    q_names_free(names);
    json_decref(result);
    return g->attributes != NULL;
}

static FILE *open_input(ingest *g)
{
    struct stat st;
    bool standard = !g->file || !strcmp(g->file, "-");
    FILE *f = standard ? stdin : fopen(g->file, "rb");
    if (!f || fstat(fileno(f), &st) != 0 || S_ISDIR(st.st_mode)) {
        fprintf(stderr, "%s: %s: %s\n", command, standard ? "standard input" : g->file, f ? "can't be read" : strerror(errno));
        return NULL;
    }
    if (S_ISREG(st.st_mode))
        g->input_bytes = (uint64_t)st.st_size;
    size_t n = standard ? 0 : strlen(g->file);
    if (!g->kind)
        g->kind = n > 4 && !strcmp(g->file + n - 4, ".csv") ? Q_ROWS_CSV : Q_ROWS_JSON;
    return f;
}

static void make_prefix(ingest *g)
{
    unsigned char random[8];
    char hex[2 * sizeof random + 1];
    if (g->prefix[0])
        return;
    randombytes_buf(random, sizeof random);
    snprintf(g->prefix, sizeof g->prefix, "ingest-%s", sodium_bin2hex(hex, sizeof hex, random, sizeof random));
}

int q_cmd_ingest(int argc, char **argv)
{
    ingest g = { .batch_rows = 500, .window = 16, .format = Q_FORMAT_TABLE };
    if (!parse(argc, argv, &g))
        return g.status;
    FILE *f = open_input(&g);
    if (!f)
        return Q_EXIT_USAGE;
    g.status = Q_EXIT_COMMITTED;
    g.reader = q_rows_open(f, g.kind);
    make_prefix(&g);
    if (g.reader && load_attributes(&g)) {
        struct sigaction a = { .sa_handler = on_interrupt };
        sigemptyset(&a.sa_mask);
        waiting = g.client;
        sigaction(SIGINT, &a, NULL);
        run(&g);
        waiting = NULL;
        summary(&g);
    }
    for (size_t i = 0; i < MAX_WINDOW; i++)
        free_batch(g.slots[i]);
    for (batch *b = g.again, *next; b; b = next) {
        next = b->next;
        free_batch(b);
    }
    json_decref(g.ahead);
    json_decref(g.attributes);
    q_rows_close(g.reader);
    q_client_close(g.client);
    if (f != stdin)
        fclose(f);
    return g.status;
}
