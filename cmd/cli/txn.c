/* quanta txn show, quanta txn resolve - one open transaction: everything about it, and what only an operator may do about it. */
#include "cmd/cli/ask.h"
#include "cmd/cli/find.h"
#include "cmd/cli/options.h"
#include "cmd/cli/wal_verbs.h"

#include <curl/curl.h>

enum { MAX_ANSWER = 64 << 20 };

typedef struct call {
    const char *command, *http, *abandon, *why;
    bool commit;
    q_format format;
} call;

static void help(FILE *to)
{
    fputs("Usage: quanta txn show TXID [--format table|json]\n"
          "       quanta txn resolve TXID --commit [--why TEXT]\n"
          "       quanta txn resolve TXID --abandon-engine E [--why TEXT]\n\n"
          "show       state and since when, participants and votes, what it waits for, what it writes, each engine's last error,\n"
          "           and the command that mends it\n"
          "resolve    a committed transaction that an engine can't apply is tried for ever; only an operator ends that:\n"
          "  --commit            the cause is mended: tried again at once, not at the next of its longer and longer pauses\n"
          "  --abandon-engine E  its part in E (postgres, mongo, neo4j, influx) is given up for good: it counts as applied though E doesn't\n"
          "                      have it; its locks are free, replays leave it out. The other engines keep theirs\n"
          "  --why TEXT          remembered in the log beside who and when (quanta wal ls --type resolve)\n"
          "  --http HOST:PORT    the coordinator's admin address\n\n"
          "Exit status: 0 done, 1 refused, 2 wrong usage, 3 no system.\n",
          to);
}

static bool parse(int argc, char **argv, call *c, int *status)
{
    static const struct option longs[] = {
        { "http", required_argument, NULL, 'H' }, { "format", required_argument, NULL, 'F' }, { "commit", no_argument, NULL, 'c' },
        { "abandon-engine", required_argument, NULL, 'a' }, { "why", required_argument, NULL, 'w' }, { "help", no_argument, NULL, 'h' }, { 0 }
    };
    int o;
    *status = Q_EXIT_USAGE;
    while ((o = getopt_long(argc, argv, "h", longs, NULL)) != -1)
        switch (o) {
        case 'H': c->http = optarg; break;
        case 'F':
            if (!q_option_format(c->command, optarg, Q_FORMATS_BOTH, &c->format))
                return false;
            break;
        case 'c': c->commit = true; break;
        case 'a': c->abandon = optarg; break;
        case 'w': c->why = optarg; break;
        case 'h':
            help(stdout);
            *status = Q_EXIT_COMMITTED;
            return false;
        default: q_usage_more(c->command); return false;
        }
    return true;
}

static int ask(const call *c, const char *path, bool change, q_buf *body)
{
    q_place place;
    q_err err = Q_ERR_INIT;
    if (!q_find_http(c->http, &place, &err))
        return q_cli_print_failure(&err);
    q_rc rc = change ? q_ask_change(place.address, path, body, &err) : q_ask(place.address, path, body, &err);
    return rc == Q_OK ? Q_EXIT_COMMITTED : rc == Q_RETRY ? q_cli_print_failure(&err) : q_wal_failure(c->command, &err);
}

static int show(const call *c, const char *txid)
{
    char path[300];
    json_error_t e;
    q_buf body = Q_BUF_INIT(MAX_ANSWER);
    snprintf(path, sizeof path, "/admin/txn?txid=%s", txid);
    int status = ask(c, path, false, &body);
    json_t *o = status == Q_EXIT_COMMITTED && c->format != Q_FORMAT_JSON ? json_loadb(body.ptr, body.len, 0, &e) : NULL;
    if (o) {
        json_dumpf(o, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
    } else if (status == Q_EXIT_COMMITTED) {
        fwrite(body.ptr ? body.ptr : "", 1, body.len, stdout);
    }
    json_decref(o);
    q_buf_free(&body);
    return status;
}

static int resolve(const call *c, const char *txid)
{
    char path[4096], what[80] = "commit=1";
    q_buf body = Q_BUF_INIT(MAX_ANSWER);
    char *why = c->why ? curl_easy_escape(NULL, c->why, 0) : NULL;
    if (c->abandon)
        snprintf(what, sizeof what, "abandon=%s", c->abandon);
    int n = snprintf(path, sizeof path, "/admin/txn/resolve?txid=%s&%s&why=%s", txid, what, why ? why : "");
    int status = n < (int)sizeof path ? ask(c, path, true, &body) : q_usage_error(c->command, "--why is too long");
    if (status == Q_EXIT_COMMITTED)
        printf("%s: %s%s\n", txid, c->abandon ? "given up in " : "sent again", c->abandon ? c->abandon : "");
    curl_free(why);
    q_buf_free(&body);
    return status;
}

bool q_txn_verb(int argc, char **argv, int *status)
{
    bool shows = !strcmp(argv[0], "show");
    call c = { .command = shows ? "quanta txn show" : "quanta txn resolve" };
    if (!shows && strcmp(argv[0], "resolve"))
        return false;
    optind = 1;
    if (!parse(argc, argv, &c, status))
        return true;
    const char *txid = optind + 1 == argc ? argv[optind] : NULL, *engines = "postgres mongo neo4j influx";
    if (!txid)
        *status = q_usage_error(c.command, "one TXID is expected; `quanta txn list` has them");
    else if (strspn(txid, "0123456789-n") != strlen(txid) || strlen(txid) > 60)
        *status = q_usage_error(c.command, "'%s' is no TXID: it looks like 3-1042", txid);
    else if (shows && (c.commit || c.abandon || c.why))
        *status = q_usage_error(c.command, "show takes no --commit, --abandon-engine or --why");
    else if (!shows && c.commit == (c.abandon != NULL))
        *status = q_usage_error(c.command, "either --commit or --abandon-engine E");
    else if (c.abandon && (!*c.abandon || strchr(c.abandon, ' ') || !strstr(engines, c.abandon)))
        *status = q_usage_error(c.command, "--abandon-engine is postgres, mongo, neo4j or influx, not '%s'", c.abandon);
    else
        *status = shows ? show(&c, txid) : resolve(&c, txid);
    return true;
}
