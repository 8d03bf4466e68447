/* quanta status and quanta txn - what the system is doing, and what is open: which transaction, since when, which participant, why. */
#include "cmd/cli/ask.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/find.h"
#include "cmd/cli/options.h"

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

static int ask(const call *c, const char *path, q_buf *body)
{
    q_place place;
    q_err err = Q_ERR_INIT;
    if (!q_find_http(c->http, &place, &err) || q_ask(place.address, path, body, &err) != Q_OK)
        return q_cli_print_failure(&err);
    return Q_EXIT_COMMITTED;
}

int q_cmd_status(int argc, char **argv)
{
    call c = { 0 };
    int status;
    if (!parse(argc, argv, "quanta status", &c, status_help, &status))
        return status;
    q_buf body = Q_BUF_INIT(MAX_ANSWER);
    status = ask(&c, "/admin/status", &body);
    if (status == Q_EXIT_COMMITTED && c.format == Q_FORMAT_JSON) {
        fwrite(body.ptr, 1, body.len, stdout);
    } else if (status == Q_EXIT_COMMITTED) {
        json_error_t e;
        const char *name;
        json_t *value, *all = json_loadb(body.ptr, body.len, 0, &e);
        json_object_foreach(all, name, value) {
            if (json_is_object(value)) {
                const char *engine;
                json_t *state;
                json_object_foreach(value, engine, state)
                    printf("%-20s %s\n", engine, json_string_value(state));
            } else {
                printf("%-20s %" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
            }
        }
        json_decref(all);
    }
    q_buf_free(&body);
    return status;
}

int q_cmd_txn(int argc, char **argv)
{
    call c = { 0 };
    int status;
    if (!parse(argc, argv, "quanta txn", &c, txn_help, &status))
        return status;
    if (optind + 1 != argc || strcmp(argv[optind], "list")) {
        txn_help(stderr);
        return Q_EXIT_USAGE;
    }
    q_buf body = Q_BUF_INIT(MAX_ANSWER);
    status = ask(&c, c.stuck ? "/admin/txns?stuck=1" : "/admin/txns", &body);
    if (status == Q_EXIT_COMMITTED && c.format == Q_FORMAT_JSON) {
        fwrite(body.ptr ? body.ptr : "", 1, body.len, stdout);
    } else if (status == Q_EXIT_COMMITTED) {
        static const char *const columns[] = { "txid", "request_id", "bucket", "seq", "state", "age_ms", "missing", "blocked_by", "error" };
        json_t *rows = json_array();
        for (const char *at = body.ptr, *end = body.ptr + body.len; at && at < end;) {
            const char *stop = memchr(at, '\n', (size_t)(end - at));
            size_t len = (size_t)((stop ? stop : end) - at);
            json_error_t e;
            json_t *row = json_loadb(at, len, 0, &e);
            if (row)
                json_array_append_new(rows, row);
            at += len + 1;
        }
        q_format_table(stdout, columns, sizeof columns / sizeof columns[0], rows);
        json_decref(rows);
    }
    q_buf_free(&body);
    return status;
}
