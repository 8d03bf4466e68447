/* quanta status and quanta txn - what the system is doing, and what is open: which transaction, since when, which participant, why. */
#include "cmd/cli/ask.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/find.h"
#include "cmd/cli/options.h"
#include "cmd/cli/wal_verbs.h"

#include <inttypes.h>

enum { MAX_ANSWER = 64 << 20 };

typedef struct call {
    const char *http;
    q_format format;
    bool stuck;
} call;

static void status_help(FILE *to)
{
    fputs("Usage: quanta status [--format table|json] [--http HOST:PORT]\n\nWhat the system is doing now.\n", to);
}

static void txn_help(FILE *to)
{
    fputs("Usage: quanta txn list [--stuck] [--format table|json] [--http HOST:PORT]\n\n"
          "The open transactions: state, age, the engines still missing, whom it waits for, why.\n"
          "       quanta txn show TXID                 everything about one\n"
          "       quanta txn resolve TXID --commit | --abandon-engine E [--why TEXT]\n"
          "  --stuck   only those that are decided and whose apply an engine keeps failing or not answering\n",
          to);
}

static bool parse(int argc, char **argv, const char *command, call *c, void (*help)(FILE *to), int *status)
{
    static const struct option longs[] = {
        { "format", required_argument, NULL, 'F' }, { "http", required_argument, NULL, 'H' },
        { "stuck", no_argument, NULL, 's' },        { "help", no_argument, NULL, 'h' }, { 0 }
    };
    int o;
    *status = Q_EXIT_USAGE;
    while ((o = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (o) {
        case 'H': c->http = optarg; break;
        case 's': c->stuck = true; break;
        case 'F':
            if (!q_option_format(command, optarg, Q_FORMATS_BOTH, &c->format))
                return false;
            break;
        case 'h':
            help(stdout);
            *status = Q_EXIT_COMMITTED;
            return false;
        default:
            q_usage_more(command);
            return false;
        }
    }
    return true;
}

static int not_understood(const char *command)
{
    fprintf(stderr, "%s: the answer isn't one of a quanta system: is --http right?\n", command);
    return Q_EXIT_UNREACHABLE;
}

static int ask(const call *c, const char *path, q_buf *body)
{
    q_place place;
    q_err err = Q_ERR_INIT;
    if (!q_find_http(c->http, &place, &err) || q_ask(place.address, path, body, &err) != Q_OK)
        return q_cli_print_failure(&err);
    return Q_EXIT_COMMITTED;
}

/* Bytes and milliseconds as a person reads them; what else there is stays a number. */
static void put_number(const char *name, json_int_t n)
{
    size_t len = strlen(name);
    char text[32];
    if (len > 3 && !strcmp(name + len - 3, "_ms"))
        printf("%-20.*s %s\n", (int)len - 3, name, q_format_age(n, text, sizeof text));
    else if (len > 6 && !strcmp(name + len - 6, "_bytes"))
        printf("%-20.*s %.1f MB\n", (int)len - 6, name, (double)n / 1e6);
    else
        printf("%-20s %" JSON_INTEGER_FORMAT "\n", name, n);
}

static void put_status(const json_t *all)
{
    const char *name, *engine;
    json_t *value, *state;
    json_object_foreach((json_t *)(uintptr_t)all, name, value) {
        if (json_is_integer(value))
            put_number(name, json_integer_value(value));
        json_object_foreach(value, engine, state) /* nothing when it isn't an object */
            printf("%s %-*s %s\n", name, (int)(19 - strlen(name)), engine, json_string_value(state));
    }
}

int q_cmd_status(int argc, char **argv)
{
    call c = { 0 };
    int status;
    if (!parse(argc, argv, "quanta status", &c, status_help, &status))
        return status;
    if (optind < argc)
        return q_usage_error("quanta status", "unexpected '%s'", argv[optind]);
    q_buf body = Q_BUF_INIT(MAX_ANSWER);
    json_error_t e;
    status = ask(&c, "/admin/status", &body);
    json_t *all = status == Q_EXIT_COMMITTED ? json_loadb(body.ptr, body.len, 0, &e) : NULL;
    if (all && c.format == Q_FORMAT_JSON)
        fwrite(body.ptr, 1, body.len, stdout);
    else if (all)
        put_status(all);
    else if (status == Q_EXIT_COMMITTED)
        status = not_understood("quanta status");
    json_decref(all);
    q_buf_free(&body);
    return status;
}

/* ---- txn list ---- */

static const char *text_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

/* "mongo, influx", or "1-17 on X bank accounts". */
static json_t *waits_for(const json_t *txn)
{
    char text[300] = "";
    size_t i, n = 0;
    json_t *engine;
    json_array_foreach(json_object_get(txn, "engines_missing"), i, engine) {
        int len = snprintf(text + n, sizeof text - n, "%s%s", i ? ", " : "", json_string_value(engine));
        n += len > 0 && (size_t)len < sizeof text - n ? (size_t)len : 0;
    }
    if (*text_of(txn, "blocked_by"))
        snprintf(text + n, sizeof text - n, "%s%s on %s", n ? "; " : "", text_of(txn, "blocked_by"), text_of(txn, "blocked_on"));
    return json_string(text);
}

static json_t *txn_row(const json_t *txn)
{
    char age[32], in_state[32], error[360];
    snprintf(error, sizeof error, "%s%s%s", text_of(txn, "error"), *text_of(txn, "message") ? ": " : "", text_of(txn, "message"));
    q_format_age(json_integer_value(json_object_get(txn, "age_ms")), age, sizeof age);
    q_format_age(json_integer_value(json_object_get(txn, "in_state_ms")), in_state, sizeof in_state);
    const json_t *seq = json_object_get(txn, "seq");
    return json_pack("[s, s, s, o, s, s, s, o, s]", text_of(txn, "txid"), text_of(txn, "bucket"), text_of(txn, "request_id"),
                     seq ? json_integer(json_integer_value(seq)) : json_string(""), text_of(txn, "state"), age, in_state,
                     waits_for(txn), error);
}

/* One JSON object a line. NULL: it isn't. */
static json_t *txn_rows(q_slice lines)
{
    json_t *rows = json_array();
    for (const char *at = lines.ptr, *end = lines.ptr + lines.len; at && at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        json_error_t e;
        json_t *txn = json_loadb(at, len, 0, &e), *row = txn ? txn_row(txn) : NULL;
        json_decref(txn);
        if (!row) {
            json_decref(rows);
            return NULL;
        }
        json_array_append_new(rows, row);
        at += len + 1;
    }
    return rows;
}

int q_cmd_txn(int argc, char **argv)
{
    static const char *const columns[] = { "txid", "bucket", "request id", "seq", "state", "age", "in state", "waits for", "error" };
    call c = { 0 };
    int status;
    if (argc > 1 && q_txn_verb(argc - 1, argv + 1, &status))
        return status;
    if (!parse(argc, argv, "quanta txn", &c, txn_help, &status))
        return status;
    if (optind == argc)
        return q_usage_error("quanta txn", "the verb is list, show or resolve");
    if (strcmp(argv[optind], "list"))
        return q_usage_error("quanta txn", "unknown verb '%s': it is list, show or resolve", argv[optind]);
    if (optind + 1 < argc)
        return q_usage_error("quanta txn", "unexpected '%s'", argv[optind + 1]);
    q_buf body = Q_BUF_INIT(MAX_ANSWER);
    status = ask(&c, c.stuck ? "/admin/txns?stuck=1" : "/admin/txns", &body);
    json_t *rows = status == Q_EXIT_COMMITTED ? txn_rows(q_buf_slice(&body)) : NULL;
    if (rows && c.format == Q_FORMAT_JSON)
        fwrite(body.ptr ? body.ptr : "", 1, body.len, stdout);
    else if (rows)
        q_format_table(stdout, columns, sizeof columns / sizeof columns[0], rows);
    else if (status == Q_EXIT_COMMITTED)
        status = not_understood("quanta txn");
    json_decref(rows);
    q_buf_free(&body);
    return status;
}
