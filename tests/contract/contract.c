/* contract.c - runs the engines' one suite: contract --engine NAME --as postgres|mongo|neo4j|influx --uri URI [--user U] [--password P]
 * [--token T] [--version N] [--only WORD]. Ends with 0 when every case passed in every way. */
#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#include "tests/contract/contract.h"

/* An adapter's line goes here as soon as it exists. */
static const q_engine_ops *const engines[] = { &q_engine_embedded, &q_engine_postgres, &q_engine_mongo, &q_engine_neo4j, &q_engine_influx };

static const contract_case *const all_cases[] = { life_cases, part_cases, value_cases, read_cases, name_cases, metric_cases, crash_cases };
static const char *const way_names[WAY_COUNT] = { "prepared", "redo", "reopened" };

const char *program_path, *engine_name_given;

enum { CASE_ARENA_BYTES = 1 << 29 };

typedef struct totals { unsigned passed, failed, left_out; } totals;

/* Every run is a new epoch with seqs beyond all that the engine has seen, so that a server can be used again and again. */
static bool begin_epoch(contract *c)
{
    q_engine_state s;
    q_err err = Q_ERR_INIT;
    if (c->ops->open(&c->config, &c->e, &err) != Q_OK) {
        fprintf(stderr, "the engine can't be opened: %s\n", err.message);
        return false;
    }
    q_rc rc = c->ops->fence(c->e, 1, &s, &err);
    if (rc == Q_FAIL && s.epoch >= 1)
        rc = Q_OK;
    c->epoch = s.epoch + 2;
    if (rc == Q_OK)
        rc = c->ops->fence(c->e, c->epoch, &s, &err);
    if (rc != Q_OK) {
        fprintf(stderr, "the engine can't be told an epoch: %s\n", err.message);
        return false;
    }
    c->seq = s.applied_high + 1000;
    return true;
}

static void set_up(contract *c, unsigned number)
{
    snprintf(c->bucket, sizeof c->bucket, "t%llu_%u_%d", (unsigned long long)c->epoch, number, (int)c->way);
    create_bucket(c);
    q_attr attrs[2] = { attr(c, "a"), attr(c, "b") };
    c->record_incarnation = create_record(c, "things", 2, attrs);
}

static void run_case(contract *c, const contract_case *k, unsigned number, totals *t)
{
    if (!(k->kinds & KIND(c->as))) {
        printf("[  N/A     ] %s: %s\n", k->name, k->why_not);
        t->left_out++;
        return;
    }
    for (c->way = WAY_PREPARE; c->way < WAY_COUNT; c->way++) {
        printf("[ RUN      ] %s (%s)\n", k->name, way_names[c->way]);
        fflush(stdout);
        q_arena_reset(c->arena);
        uint64_t checks = c->checks;
        if (setjmp(c->failed) == 0) {
            if (!c->e)
                reopen(c);
            set_up(c, number);
            k->run(c);
            printf("[       OK ] %s (%s), %llu checks\n", k->name, way_names[c->way], (unsigned long long)(c->checks - checks));
            t->passed++;
        } else {
            printf("[  FAILED  ] %s (%s)\n", k->name, way_names[c->way]);
            t->failed++;
        }
    }
}

static int run_all(contract *c, const char *only)
{
    totals t = { 0 };
    unsigned number = 0;
    if (!begin_epoch(c))
        return 1;
    for (size_t g = 0; g < sizeof all_cases / sizeof all_cases[0]; g++)
        for (const contract_case *k = all_cases[g]; k->name; k++, number++)
            if (!only || strstr(k->name, only))
                run_case(c, k, number, &t);
    printf("[==========] %s as %s: %u passed, %u failed, %u do not apply to its kind\n", c->ops->name, q_engine_name(c->as), t.passed,
           t.failed, t.left_out);
    return t.failed ? 1 : 0;
}

static int usage(const char *what)
{
    fprintf(stderr, "contract: %s\nusage: contract --engine NAME --as postgres|mongo|neo4j|influx --uri URI [--user U] [--password P]\n"
                    "       [--token T] [--version N] [--only WORD]\n", what);
    return 2;
}

int main(int argc, char **argv)
{
    enum { O_ENGINE = 1, O_AS, O_URI, O_USER, O_PASSWORD, O_TOKEN, O_VERSION, O_ONLY, O_CHILD };
    static const struct option options[] = {
        { "engine", required_argument, NULL, O_ENGINE }, { "as", required_argument, NULL, O_AS }, { "uri", required_argument, NULL, O_URI },
        { "user", required_argument, NULL, O_USER }, { "password", required_argument, NULL, O_PASSWORD },
        { "token", required_argument, NULL, O_TOKEN },
        { "version", required_argument, NULL, O_VERSION }, { "only", required_argument, NULL, O_ONLY },
        { "crash-child", no_argument, NULL, O_CHILD }, { 0 }
    };
    contract c = { .as = Q_EN_COUNT };
    const char *only = NULL;
    bool child = false;
    int o;
    program_path = argv[0];
    c.config = (q_engine_config){ .worker = "contract", .cluster = 4711, .lock_timeout_ms = 300, .io_timeout_ms = 60000,
                                  .server_version = 1 };
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (o) {
        case O_ENGINE:
            engine_name_given = optarg;
            for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++)
                if (strcmp(engines[i]->name, optarg) == 0)
                    c.ops = engines[i];
            break;
        case O_AS:
            for (int e = 0; e < Q_EN_COUNT; e++)
                if (strcmp(q_engine_name((q_engine_id)e), optarg) == 0)
                    c.as = (q_engine_id)e;
            break;
        case O_URI: c.config.uri = optarg; break;
        case O_USER: c.config.user = optarg; break;
        case O_PASSWORD: c.config.password = optarg; break;
        case O_TOKEN: c.config.token = optarg; break;
        case O_VERSION: c.config.server_version = (uint32_t)strtoul(optarg, NULL, 10); break;
        case O_ONLY: only = optarg; break;
        case O_CHILD: child = true; break;
        default: return usage("unknown option");
        }
    if (!c.ops || c.as == Q_EN_COUNT || !c.config.uri)
        return usage("--engine, --as and --uri are needed, with names that exist");
    c.config.id = c.as;
    if (child)
        return optind + 5 != argc ? 2 : crash_child(c.ops, &c.config, argv[optind], argv[optind + 1], argv[optind + 2], argv[optind + 3],
                                                    argv[optind + 4]);
    c.arena = q_arena_new(CASE_ARENA_BYTES);
    c.scratch = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    int status = run_all(&c, only);
    c.ops->close(c.e);
    q_arena_free(c.arena);
    q_buf_free(&c.scratch);
    return status;
}
