/* quanta exec - run statements: one, a file, or standard input. A script is split into transactions, run one after the other. */
#include "base/buf.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/options.h"
#include "cmd/cli/run.h"

#include <stdlib.h>

enum { MAX_SCRIPT = 256 << 20, MAX_TIMEOUT_MS = 3600 * 1000 };

static const char *const command = "quanta exec";

typedef struct options {
    const char *bootstrap, *bucket, *file, *query, *request_id;
    json_t *params;
    q_format format;
    bool timing;
    int64_t timeout_ms;
} options;

static void help(FILE *to)
{
    fputs("Usage: quanta exec [-b BUCKET] [-f FILE | 'QUERY'] [OPTION...]\n\n"
          "Runs QuantaQL and prints the results. A script (FILE, or - for standard input) is split into transactions, which run\n"
          "one after the other; the first that doesn't commit ends it. A USE stays for what follows it.\n\n"
          "  -b, --bucket BUCKET        the bucket (or USE in the text)\n"
          "  -f, --file FILE            read from FILE; - is standard input\n"
          "  -p, --param NAME=VALUE     a parameter $NAME; VALUE is JSON, or else a string. Can be given many times\n"
          "      --format table|json|csv\n"
          "      --timing               how long each transaction took, and where\n"
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
        { "bucket", required_argument, NULL, 'b' },     { "file", required_argument, NULL, 'f' },
        { "param", required_argument, NULL, 'p' },      { "format", required_argument, NULL, 'F' },
        { "request-id", required_argument, NULL, 'r' }, { "timeout", required_argument, NULL, 't' },
        { "bootstrap", required_argument, NULL, 'B' },  { "timing", no_argument, NULL, 'T' },
        { "help", no_argument, NULL, 'h' },             { 0 }
    };
    int c;
    *status = Q_EXIT_USAGE;
    while ((c = getopt_long(argc, argv, "b:f:p:h", longs, NULL)) != -1) {
        switch (c) {
        case 'b': o->bucket = optarg; break;
        case 'f': o->file = optarg; break;
        case 'r': o->request_id = optarg; break;
        case 'B': o->bootstrap = optarg; break;
        case 'T': o->timing = true; break;
        case 'p':
            if (!add_param(o, optarg)) {
                q_usage_error(command, "--param takes NAME=VALUE in UTF-8, not '%s'", optarg);
                return false;
            }
            break;
        case 'F':
            if (!q_option_format(command, optarg, Q_FORMATS_ALL, &o->format))
                return false;
            break;
        case 't':
            if (!q_option_number(command, "--timeout", optarg, 1, MAX_TIMEOUT_MS, &o->timeout_ms))
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
    if (optind < argc && !o->file)
        o->query = argv[optind++];
    if (optind < argc)
        q_usage_error(command, "unexpected '%s'%s", argv[optind], o->file ? "" : ": the QUERY is one argument, in quotes");
    else if (!o->query && !o->file)
        q_usage_error(command, "give a 'QUERY' (in quotes) or -f FILE");
    else if (o->bucket && strlen(o->bucket) > Q_MAX_NAME_BYTES)
        q_usage_error(command, "--bucket: a name has at most %d characters", Q_MAX_NAME_BYTES);
    else
        return true;
    return false;
}

int q_cli_print_failure(const q_err *err)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", err->code == Q_E_INTERNAL ? "quanta" : q_code_name(err->code), err->message);
    if (err->hint[0])
        fprintf(stderr, "  hint: %s\n", err->hint);
    return Q_EXIT_UNREACHABLE;
}

int q_cmd_exec(int argc, char **argv)
{
    options o = { .format = Q_FORMAT_TABLE };
    int status;
    q_buf script = Q_BUF_INIT(MAX_SCRIPT);
    q_err err = Q_ERR_INIT;
    q_run run = { 0 };
    if (!parse(argc, argv, &o, &status))
        goto out;
    run = (q_run){ .params = o.params, .request_id = o.request_id, .format = o.format, .timing = o.timing,
                    .timeout_ms = (int)o.timeout_ms };
    snprintf(run.bucket, sizeof run.bucket, "%s", o.bucket ? o.bucket : "");
    q_slice text = q_slice_cstr(o.query);
    if (o.file) {
        status = Q_EXIT_USAGE;
        if (!q_run_read(command, o.file, &script))
            goto out;
        text = q_buf_slice(&script);
        run.script_params = true;
        run.name = strcmp(o.file, "-") ? o.file : "standard input";
    }
    status = q_client_connect(o.bootstrap, &run.client, &err) == Q_OK ? q_run_script(&run, text) : q_cli_print_failure(&err);
out:
    q_client_close(run.client);
    q_buf_free(&script);
    json_decref(o.params);
    return status;
}
