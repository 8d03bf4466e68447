/* roundtrip - what a client waits: one statement published to Kafka, its result consumed, one at a time. Against a running system.
 * Usage: roundtrip [BOOTSTRAP] [COUNT]. The client's fetch.wait.max.ms is 1. Makes bucket "bench_roundtrip" when it isn't there. */
#include "cmd/cli/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_COUNT = 100000 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

/* false when it wasn't committed. */
static bool run(q_client *c, const char *query)
{
    q_client_request r = { .bucket = "bench_roundtrip", .query = q_slice_cstr(query) };
    json_t *result = NULL;
    q_err err = Q_ERR_INIT;
    if (q_client_run(c, &r, &result, &err) != Q_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(3);
    }
    const char *status = json_string_value(json_object_get(result, "status"));
    bool good = status && !strcmp(status, "committed");
    if (!good)
        fprintf(stderr, "%s: %s\n", query, json_string_value(json_object_get(json_object_get(result, "error"), "message")));
    json_decref(result);
    return good;
}

static bool measure(q_client *c, const char *what, const char *format, size_t count, long salt, double *ms)
{
    for (size_t i = 0; i < count; i++) {
        char query[400];
        snprintf(query, sizeof query, format, salt, i);
        double began = now_ms();
        if (!run(c, query))
            return false;
        ms[i] = now_ms() - began;
    }
    qsort(ms, count, sizeof *ms, by_value);
    printf("%-44s p50 %6.2f ms   p90 %6.2f ms   p99 %6.2f ms\n", what, ms[count / 2], ms[count * 9 / 10], ms[count * 99 / 100]);
    return true;
}

int main(int argc, char **argv)
{
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    double *ms = calloc(MAX_COUNT, sizeof *ms);
    q_client *c = NULL;
    q_err err = Q_ERR_INIT;
    if (!ms || !count || count > MAX_COUNT || q_client_connect(argc > 1 ? argv[1] : NULL, &c, &err) != Q_OK) {
        fprintf(stderr, "%s\n", err.message[0] ? err.message : "Usage: roundtrip [BOOTSTRAP] [COUNT]");
        return 3;
    }
    long salt = (long)time(NULL);
    bool ok = run(c, "CREATE BUCKET IF NOT EXISTS bench_roundtrip;") &&
              run(c, "CREATE RECORD IF NOT EXISTS items (name scalar string, stock scalar int, tags document);") &&
              measure(c, "INSERT, one engine", "INSERT INTO items { id: \"a%ld_%zu\", name: \"Lamp\", stock: 3 };", count, salt, ms) &&
              measure(c, "INSERT, two engines", "INSERT INTO items { id: \"b%ld_%zu\", name: \"Lamp\", stock: 3, tags: [\"light\", \"desk\"] };", count, salt, ms) &&
              measure(c, "SELECT by id, one engine", "SELECT name, stock FROM items WHERE id = \"a%ld_%zu\";", count, salt, ms);
    q_client_close(c);
    free(ms);
    return ok ? 0 : 1;
}
