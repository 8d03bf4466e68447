/* quanta - the one program for people: a development system, statements, schemas, transactions, the log. */
#include "base/say.h"
#include "base/version.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/options.h"
#include "cmd/cli/find.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int cmd_version(int argc, char **argv)
{
    if (argc > 1)
        return q_usage_error("quanta version", "unexpected '%s'", argv[1]);
    puts("quanta " Q_VERSION);
    return Q_EXIT_COMMITTED;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    { "dev", q_cmd_dev, "a whole system in one process: broker, coordinator, engines" },
    { "up", q_cmd_up, "a system of processes on this machine, as quanta.yaml says" },
    { "exec", q_cmd_exec, "run QuantaQL: a statement, a file or standard input" },
    { "shell", q_cmd_shell, "QuantaQL with history, completion and several lines" },
    { "ingest", q_cmd_ingest, "rows of a file into a record: JSON lines or CSV" },
    { "bucket", q_cmd_bucket, "create, drop and list buckets" },
    { "schema", q_cmd_schema, "define, show and drop records" },
    { "key", q_cmd_key, "API keys: create, rotate, drop, list" },
    { "txn", q_cmd_txn, "open transactions, and what they wait for" },
    { "wal", q_cmd_wal, "the log: list, show, verify, follow" },
    { "status", q_cmd_status, "what the system is doing" },
    { "version", cmd_version, "print the version" },
};

static void usage(FILE *to)
{
    fputs("Usage: quanta COMMAND [OPTION...]\n\nCommands:\n", to);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`-c quanta.yaml` (or QUANTA_CONFIG) says with every command which system is meant. `quanta COMMAND --help` tells more.\n"
          "Exit status: 0 committed, 1 aborted or rejected, 2 wrong usage, 3 can't reach the system.\n", to);
}

/* Results that couldn't be printed weren't told: a full disk must not look like success. A reader that has left (head) is no error. */
static int written(int status)
{
    errno = 0;
    bool ok = fflush(stdout) == 0 && !ferror(stdout);
    if (ok || errno == EPIPE || (!errno && status != Q_EXIT_COMMITTED))
        return status;
    fprintf(stderr, "quanta: the output can't be written: %s\n", errno ? strerror(errno) : "an earlier write failed");
    return status == Q_EXIT_COMMITTED ? Q_EXIT_UNREACHABLE : status;
}

/* `-c FILE`, `--config FILE` and `--config=FILE` are the same for every command: taken out here, wherever they stand before `--`. */
static bool take_config(int *argc, char **argv)
{
    int kept = 1;
    bool over = false;
    for (int i = 1; i < *argc; i++) {
        const char *a = argv[i];
        over = over || !strcmp(a, "--");
        if (over || (strcmp(a, "-c") && strncmp(a, "--config", 8)) || (a[1] == '-' && a[8] && a[8] != '=')) {
            argv[kept++] = argv[i];
        } else if (a[1] == '-' && a[8] == '=') {
            q_find_use_config(a + 9);
        } else if (i + 1 == *argc) {
            fprintf(stderr, "quanta: %s takes a file: quanta.yaml\n", a);
            return false;
        } else {
            q_find_use_config(argv[++i]);
        }
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

int main(int argc, char **argv)
{
    q_say_init("quanta", Q_SAY_INFO);
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_CTYPE, ""); /* for the width of what is printed, which is UTF-8 whatever the environment says */
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    if (sodium_init() < 0) {
        fputs("quanta: no random numbers on this system\n", stderr);
        return Q_EXIT_UNREACHABLE;
    }
    if (!take_config(&argc, argv))
        return Q_EXIT_USAGE;
    if (argc < 2) {
        usage(stderr);
        return Q_EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return Q_EXIT_COMMITTED;
    }
    static char version[] = "version";
    if (!strcmp(argv[1], "--version"))
        argv[1] = version;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        static char name[32]; /* what getopt's messages begin with */
        if (strcmp(argv[1], commands[i].name))
            continue;
        snprintf(name, sizeof name, "quanta %s", commands[i].name);
        argv[1] = name;
        return written(commands[i].run(argc - 1, argv + 1));
    }
    fprintf(stderr, "quanta: unknown command '%s'. It is one of", argv[1]);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(stderr, "%s %s", i ? "," : "", commands[i].name);
    fputs(".\nTry `quanta --help`.\n", stderr);
    return Q_EXIT_USAGE;
}
