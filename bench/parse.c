/* bench/parse.c - how fast QuantaQL text becomes a checked tree, on one core. One message is one parse and one check in an arena that is
 * reset before the next. Time is this thread's processor time, so that neighbours on the machine don't count. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "quantaql/quantaql.h"

enum { MESSAGES = 4096, KINDS = 4, MIXED = 3 /* insert, update, select */ };

static const char *const definitions[] = {
    "CREATE BUCKET shop",
    "CREATE RECORD orders (id scalar string, customer document, total_cost scalar float, delivery_route relation to routes, "
    "delivered_by relation to drivers, delivery_time metric unit duration, items document, placed_at scalar time, state scalar string)",
    "CREATE RECORD drivers (name scalar string, rating scalar float)",
    "CREATE RECORD routes (name scalar string, stops relation to stops many)",
    "CREATE RECORD stops (name scalar string, zones relation to zones many)",
    "CREATE RECORD zones (name scalar string)",
    "CREATE RECORD accounts (id scalar int, balance scalar int, owner scalar string)",
};

static const char *const kind_names[KINDS] = { "insert", "update", "select", "transfer" };

static void die(const char *what, const q_err *err)
{
    fprintf(stderr, "bench-parse: %s: %s\n", what, err->message);
    exit(1);
}

static q_catalog *make_catalog(q_arena *arena)
{
    q_catalog *catalog = q_catalog_new(), *next;
    q_err err = Q_ERR_INIT;
    for (size_t i = 0; i < sizeof definitions / sizeof definitions[0]; i++) {
        q_script *s;
        if (q_ql_parse(arena, q_slice_cstr(definitions[i]), &s, &err) != Q_OK)
            die(definitions[i], &err);
        q_ddl ddl = s->stmts[0].ddl;
        ddl.bucket = Q_SLICE_LIT("shop");
        if (q_catalog_apply(catalog, &ddl, i + 1, &next, &err) != Q_OK)
            die(definitions[i], &err);
        q_catalog_unref(catalog);
        catalog = next;
    }
    return catalog;
}

/* Different ids and values in each message, as clients write them. */
static void write_message(q_buf *out, int kind, unsigned i)
{
    switch (kind) {
    case 0:
        q_buf_printf(out,
                     "INSERT INTO orders { id: \"order_%u\", customer: { id: \"cust_%03u\", name: \"Alice\", address: \"%u Market St\" },\n"
                     "  total_cost: %u.50, delivery_time: duration(\"1d %uh\"), state: \"new\",\n"
                     "  items: [{ sku: \"sku-%u\", count: %u, price: 12.25 }, { sku: \"sku-%u\", count: 1, price: 3.5 }],\n"
                     "  delivered_by: relation(\"driver_%03u\"), delivery_route: relation(\"route_%u\") };\n",
                     i, i % 997, i % 400, i % 90, i % 23, i % 71, i % 9, i % 73, i % 50, i % 800);
        break;
    case 1:
        q_buf_printf(out, "UPDATE orders SET delivery_time = duration(\"2d %uh\"), state = \"sent\", customer.address = \"%u Pine Rd\" "
          "WHERE id = \"order_%u\";\n",
                     i % 23, i % 500, i);
        break;
    case 2:
        q_buf_printf(out,
                     "SELECT id, customer.name, total_cost, delivery_time FROM orders\n"
                     "WHERE delivery_time > duration(\"%ud\") AND delivered_by.name = \"Bob %u\" ORDER BY total_cost DESC LIMIT 20;\n",
                     i % 5 + 1, i % 40);
        break;
    default:
        q_buf_printf(out,
                     "BEGIN TRANSACTION;\nUPDATE accounts SET balance = balance - %u WHERE id = %u;\n"
                     "UPDATE accounts SET balance = balance + %u WHERE id = %u;\nCOMMIT;\n",
                     i % 100, i % 1000, i % 100, i % 999);
    }
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef struct set {
    q_slice *messages;
    size_t count, bytes, statements;
} set;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void round_of(q_arena *arena, const q_catalog *catalog, const set *s)
{
    q_err err = Q_ERR_INIT;
    for (size_t i = 0; i < s->count; i++) {
        q_script *script;
        q_arena_reset(arena);
        if (q_ql_parse(arena, s->messages[i], &script, &err) != Q_OK ||
            q_ql_check(arena, script, catalog, Q_SLICE_LIT("shop"), NULL, 0, &err) != Q_OK)
            die(s->messages[i].ptr, &err);
    }
}

/* Rounds over the set until `seconds` are used; the median round's MB/s. The best round shows what the code does when
 * nobody else is on the machine. */
static double run(q_arena *arena, const q_catalog *catalog, const set *s, double seconds, const char *name, double *best)
{
    enum { MAX_ROUNDS = 10000 };
    static double times[MAX_ROUNDS];
    size_t rounds = 0;
    for (double used = 0; used < seconds && rounds < MAX_ROUNDS; rounds++) {
        double start = cpu_s();
        round_of(arena, catalog, s);
        times[rounds] = cpu_s() - start;
        used += times[rounds];
    }
    qsort(times, rounds, sizeof times[0], by_size);
    double median = times[rounds / 2], mb = (double)s->bytes / 1e6;
    printf("  %-10s %7.1f MB/s (best round %.1f)  %9.0f statements/s   %.0f bytes a message\n", name, mb / median, mb / times[0],
           (double)s->statements / median, (double)s->bytes / (double)s->count);
    *best = mb / times[0];
    return mb / median;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1.0;
    q_arena *definitions_arena = q_arena_new(0), *arena = q_arena_new(0);
    q_catalog *catalog = make_catalog(definitions_arena);
    q_buf text[KINDS + 1];
    set sets[KINDS + 1] = { 0 };
    for (int k = 0; k <= KINDS; k++) {
        text[k] = Q_BUF_INIT((size_t)1 << 24);
        sets[k] = (set){ calloc(MESSAGES, sizeof(q_slice)), MESSAGES, 0, 0 };
        size_t *starts = calloc(MESSAGES + 1, sizeof *starts);
        if (!starts || !sets[k].messages)
            return 3;
        for (unsigned i = 0; i < MESSAGES; i++) {
            int kind = k < KINDS ? k : (int)(i % MIXED); /* the last set is the mix */
            write_message(&text[k], kind, i * 7919 % 100003);
            sets[k].statements += kind == 3 ? 2 : 1;
            starts[i + 1] = text[k].len;
        }
        for (unsigned i = 0; i < MESSAGES; i++)
            sets[k].messages[i] = q_slice_of(text[k].ptr + starts[i], starts[i + 1] - starts[i]);
        sets[k].bytes = text[k].len;
        free(starts);
    }
    double best;
    printf("QuantaQL text to a checked tree, one core, processor time:\n");
    for (int k = 0; k < KINDS; k++)
        (void)run(arena, catalog, &sets[k], seconds / 2, kind_names[k], &best);
    double mix = run(arena, catalog, &sets[KINDS], seconds, "mix", &best);
    printf("parse_mb_per_s=%.1f parse_best_mb_per_s=%.1f\n", mix, best);
    for (int k = 0; k <= KINDS; k++) {
        q_buf_free(&text[k]);
        free(sets[k].messages);
    }
    q_catalog_unref(catalog);
    q_arena_free(arena);
    q_arena_free(definitions_arena);
    return 0;
}
