/* quanta exec - run statements: one, a file, or standard input. A script is split into transactions, run one after the other. */
#include "cmd/cli/cli.h"
#include "cmd/cli/client.h"
#include "cmd/cli/format.h"
#include "quantaql/quantaql.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

enum { MAX_SCRIPT = 256 << 20 };

typedef struct options {
    const char *bootstrap, *bucket, *file, *query, *request_id;
    json_t *params;
    q_format format;
    int timeout_ms;
} options;

static void help(FILE *to)
{
    fputs("Usage: quanta exec [-b BUCKET] [-f FILE | 'QUERY'] [OPTION...]\n\n"
          "Runs QuantaQL and prints the results. A script (FILE, or - for standard input) is split into transactions, which run\n"
          "one after the other; the first that doesn't commit ends it.\n\n"
          "  -b, --bucket BUCKET        the bucket (or USE in the text)\n"
          "  -f, --file FILE            read from FILE; - is standard input\n"
          "  -p, --param NAME=VALUE     a parameter $NAME; VALUE is JSON, or else a string. Can be given many times\n"
          "      --format table|json|csv\n"
          "      --request-id ID        for one transaction: the same id again is answered with the first outcome\n"
          "      --timeout MS           how long to wait for each result (30000)\n"
          "      --bootstrap HOST:PORT  where Kafka is; else QUANTA_BOOTSTRAP, else the running `quanta dev`\n\n"
          "Exit status: 0 committed, 1 aborted or rejected, 2 wrong usage, 3 can't reach the system or no answer in time.\n",
          to);
}

static bool add_param(options *o, const char *text)
{
    const char *eq = strchr(text, '=');
    json_error_t e;
    if (!eq || eq == text)
        return false;
    json_t *value = json_loads(eq + 1, JSON_DECODE_ANY, &e);
    if (!value)
        value = json_string(eq + 1);
    if (!o->params)
        o->params = json_object();
    return value && json_object_setn_new(o->params, text, (size_t)(eq - text), value) == 0;
}

/* false: the status says why. */
static bool parse(int argc, char **argv, options *o, int *status)
{
    static const struct option longs[] = {
        { "bucket", required_argument, NULL, 'b' },  { "file", required_argument, NULL, 'f' },
        { "param", required_argument, NULL, 'p' },   { "format", required_argument, NULL, 'F' },
        { "request-id", required_argument, NULL, 'r' }, { "timeout", required_argument, NULL, 't' },
        { "bootstrap", required_argument, NULL, 'B' }, { "help", no_argument, NULL, 'h' }, { 0 }
    };
    int c;
    *status = Q_EXIT_USAGE;
    while ((c = getopt_long(argc, argv, "b:f:p:h", longs, NULL)) != -1) {
        char *rest = NULL;
        switch (c) {
        case 'b': o->bucket = optarg; break;
        case 'f': o->file = optarg; break;
        case 'r': o->request_id = optarg; break;
        case 'B': o->bootstrap = optarg; break;
        case 'p':
            if (!add_param(o, optarg)) {
                fprintf(stderr, "quanta exec: --param takes NAME=VALUE\n");
                return false;
            }
            break;
        case 'F':
            if (!q_format_from_name(optarg, &o->format)) {
                fprintf(stderr, "quanta exec: --format is table, json or csv\n");
                return false;
            }
            break;
        case 't':
            o->timeout_ms = (int)strtol(optarg, &rest, 10);
            if (*rest || o->timeout_ms <= 0) {
                fprintf(stderr, "quanta exec: --timeout takes milliseconds\n");
                return false;
            }
            break;
        case 'h':
            help(stdout);
            *status = Q_EXIT_COMMITTED;
            return false;
        default:
            help(stderr);
            return false;
        }
    }
    if (optind < argc)
        o->query = argv[optind++];
    if (optind < argc || !o->query == !o->file) {
        fprintf(stderr, "quanta exec: give one 'QUERY' (in quotes) or -f FILE\n");
        return false;
    }
    return true;
}

static bool read_all(const char *path, q_buf *out)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    if (!f) {
        fprintf(stderr, "quanta exec: %s: %s\n", path, strerror(errno));
        return false;
    }
    char *at;
    size_t n;
    while ((at = q_buf_reserve(out, 65536)) && (n = fread(at, 1, 65536, f)) > 0)
        out->len += n;
    bool ok = !ferror(f) && !out->failed;
    if (f != stdin)
        fclose(f);
    if (!ok)
        fprintf(stderr, "quanta exec: %s can't be read%s\n", path, out->failed ? ": larger than 256 MB" : "");
    return ok;
}

int q_cli_print_failure(const q_err *err)
{
    fprintf(stderr, "%s: %s\n", err->code == Q_E_INTERNAL ? "quanta" : q_code_name(err->code), err->message);
    if (err->hint[0])
        fprintf(stderr, "  hint: %s\n", err->hint);
    return Q_EXIT_UNREACHABLE;
}

static int run_one(q_client *client, const options *o, q_slice text, size_t first_line)
{
    q_client_request request = { .bucket = o->bucket, .query = text, .params = o->params, .request_id = o->request_id,
                                 .timeout_ms = o->timeout_ms };
    json_t *result = NULL;
    q_err err = Q_ERR_INIT;
    if (q_client_run(client, &request, &result, &err) != Q_OK)
        return q_cli_print_failure(&err);
    const char *status = json_string_value(json_object_get(result, "status"));
    bool good = status && (!strcmp(status, "committed") || !strcmp(status, "rolled_back"));
    if (good || o->format == Q_FORMAT_JSON)
        q_format_result(stdout, o->format, result);
    if (!good) {
        if (first_line > 1)
            fprintf(stderr, "in the transaction that begins on line %zu of the script:\n", first_line);
        q_format_error(stderr, json_object_get(result, "error"), text);
    }
    json_decref(result);
    return good ? Q_EXIT_COMMITTED : Q_EXIT_REFUSED;
}

static size_t count_lines(q_slice text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '\n';
    return n;
}

static int run_script(q_client *client, const options *o, q_slice text)
{
    size_t line = 1, ran = 0;
    for (;;) {
        size_t end = 0;
        q_rc rc = q_ql_split(text, &end);
        if (rc == Q_END)
            break;
        if (rc != Q_OK)
            end = text.len; /* unfinished or unreadable: the coordinator tells what is wrong, with its place */
        q_slice one = q_slice_of(text.ptr, end);
        if (o->request_id && ran) {
            fprintf(stderr, "quanta exec: --request-id names one transaction; the script has more\n");
            return Q_EXIT_USAGE;
        }
        int status = run_one(client, o, one, line);
        if (status != Q_EXIT_COMMITTED)
            return status;
        ran++;
        line += count_lines(one);
        text = q_slice_of(text.ptr + end, text.len - end);
    }
    return Q_EXIT_COMMITTED;
}

int q_cmd_exec(int argc, char **argv)
{
    options o = { .format = Q_FORMAT_TABLE };
    int status;
    if (!parse(argc, argv, &o, &status)) {
        json_decref(o.params);
        return status;
    }
    q_buf script = Q_BUF_INIT(MAX_SCRIPT);
    q_slice text = o.query ? q_slice_cstr(o.query) : Q_SLICE_NONE;
    char bootstrap[256];
    q_client *client = NULL;
    q_err err = Q_ERR_INIT;
    if (o.file && !read_all(o.file, &script)) {
        status = Q_EXIT_USAGE;
        goto out;
    }
    if (o.file)
        text = q_buf_slice(&script);
    if (!q_client_find(o.bootstrap, bootstrap, sizeof bootstrap, &err) || q_client_open(bootstrap, &client, &err) != Q_OK) {
        status = q_cli_print_failure(&err);
        goto out;
    }
    status = run_script(client, &o, text);
out:
    q_client_close(client);
    q_buf_free(&script);
    json_decref(o.params);
    return status;
}
