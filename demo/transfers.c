/* transfers - the demo's load: money moves between accounts, each move one transaction over four engines, while the system is killed.
 *
 * Every transfer has its request id for life. What has no answer is sent again, under the same id, to whatever broker DIR/ready names
 * now. In the end each account must hold exactly what the acknowledged transfers say: nothing lost, nothing twice. */
#include "bus/kafka.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAX_COUNT = 1000000, BAR = 40, RESEND_MS = 3000, GIVE_UP_S = 120 };

typedef enum state { WAITING = 0, SENT, COMMITTED, REFUSED } state;

typedef struct transfer { uint32_t from, to; int amount; state state; int64_t sent_ms; uint32_t answers; } transfer;

static struct {
    const char *ready, *at_half;
    uint32_t accounts, count, window;
    int64_t initial;
    pthread_mutex_t lock;
    transfer *all;
    uint32_t next, in_flight, done, committed, refused, resent, contradictions;
    char bootstrap[256];
    q_producer *producer;
    q_source *source;
    bool tty;
} g = { .accounts = 100, .count = 10000, .window = 256, .initial = 1000, .lock = PTHREAD_MUTEX_INITIALIZER };

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(int ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

/* ---- requests and answers ---- */

static const char *const statement =
    "BEGIN TRANSACTION;\n"
    "UPDATE accounts SET balance = balance - $amount WHERE id = $from;\n"
    "UPDATE accounts SET balance = balance + $amount WHERE id = $to;\n"
    "INSERT INTO transfers { id: $id, amount: $amount, details: { from: $from, to: $to }, sender: relation($from), moved: $amount };\n"
    "COMMIT;";

static bool send_one(uint32_t i)
{
    transfer *t = &g.all[i];
    char id[32];
    snprintf(id, sizeof id, "transfer-%" PRIu32, i);
    json_t *body = json_pack("{s:s, s:s, s:s, s:{s:i, s:i, s:i, s:i}}", "bucket", "bank", "query", statement, "request_id", id, "params",
                             "id", (int)i, "from", (int)t->from, "to", (int)t->to, "amount", t->amount);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    q_kafka_header header = { "content-type", Q_SLICE_LIT("application/json") };
    q_err err = Q_ERR_INIT;
    bool ok = text && g.producer &&
              q_producer_send(g.producer, "quanta.requests", Q_SLICE_LIT("bank"), q_slice_cstr(text), &header, 1, 0, &err) == Q_OK;
    t->sent_ms = now_ms();
    t->state = SENT;
    free(text);
    json_decref(body);
    return ok;
}

static void answered(void *ctx, q_message *m)
{
    q_slice value = q_message_value(m);
    json_error_t e;
    json_t *reply = json_loadb(value.ptr, value.len, 0, &e);
    const char *id = json_string_value(json_object_get(reply, "request_id"));
    const char *status = json_string_value(json_object_get(reply, "status"));
    uint32_t i;
    (void)ctx;
    if (id && status && sscanf(id, "transfer-%" SCNu32, &i) == 1 && i < g.count) {
        bool committed = strcmp(status, "committed") == 0;
        pthread_mutex_lock(&g.lock);
        transfer *t = &g.all[i];
        state now = committed ? COMMITTED : REFUSED;
        if (t->state == SENT) {
            t->state = now;
            g.in_flight--;
            g.done++;
            *(committed ? &g.committed : &g.refused) += 1;
            if (!committed) {
                char *line = json_dumps(json_object_get(reply, "error"), JSON_COMPACT);
                fprintf(stderr, "\n%s was %s: %s\n", id, status, line ? line : "");
                free(line);
            }
        } else if (t->state != now) {
            g.contradictions++; /* one request, two outcomes */
        }
        t->answers++;
        pthread_mutex_unlock(&g.lock);
    }
    json_decref(reply);
    q_message_free(m);
}

/* ---- the system, which comes and goes ---- */

static bool read_ready(char *bootstrap, size_t size)
{
    char line[512];
    FILE *f = fopen(g.ready, "r");
    bool ok = f && fgets(line, sizeof line, f);
    if (f)
        fclose(f);
    const char *at = ok ? strstr(line, "bootstrap=") : NULL;
    if (!at)
        return false;
    at += strlen("bootstrap=");
    size_t n = strcspn(at, " \n");
    if (n == 0 || n >= size)
        return false;
    memcpy(bootstrap, at, n);
    bootstrap[n] = '\0';
    return true;
}

static void disconnect(void)
{
    q_source_stop(g.source);
    q_producer_free(g.producer);
    g.source = NULL;
    g.producer = NULL;
}

static bool connect_to(const char *bootstrap)
{
    q_err err = Q_ERR_INIT;
    disconnect();
    snprintf(g.bootstrap, sizeof g.bootstrap, "%s", bootstrap);
    q_kafka_config kafka = { .bootstrap = g.bootstrap, .fetch_wait_max_ms = 2 };
    q_source_config source = { .topic = "quanta.results", .message = answered };
    if (q_producer_new(&kafka, NULL, NULL, &g.producer, &err) == Q_OK && q_source_start(&kafka, &source, 3000, &g.source, &err) == Q_OK)
        return true;
    disconnect();
    g.bootstrap[0] = '\0';
    return false;
}

/* Connects when the broker has changed; then everything without an answer is sent again. */
static void follow(void)
{
    char bootstrap[256];
    if (!read_ready(bootstrap, sizeof bootstrap) || strcmp(bootstrap, g.bootstrap) == 0 || !connect_to(bootstrap))
        return;
    pthread_mutex_lock(&g.lock);
    for (uint32_t i = 0; i < g.next; i++)
        if (g.all[i].state == SENT)
            g.resent += send_one(i);
    pthread_mutex_unlock(&g.lock);
}

static void resend_late(void)
{
    int64_t now = now_ms();
    pthread_mutex_lock(&g.lock);
    for (uint32_t i = 0; i < g.next; i++)
        if (g.all[i].state == SENT && now - g.all[i].sent_ms > RESEND_MS)
            g.resent += send_one(i);
    pthread_mutex_unlock(&g.lock);
}

static void show(void)
{
    if (!g.tty)
        return;
    uint32_t filled = (uint32_t)((uint64_t)g.done * BAR / g.count);
    fprintf(stderr, "\r  [%.*s%.*s] %" PRIu32 "/%" PRIu32 " ", (int)filled, "########################################",
            (int)(BAR - filled), "........................................", g.done, g.count);
    fflush(stderr);
}

static void *run_at_half(void *arg)
{
    if (system(arg) != 0)
        fprintf(stderr, "\n--at-half: the command failed\n");
    return NULL;
}

static int load(void)
{
    bool half_told = !g.at_half;
    pthread_t half_thread;
    bool half_running = false;
    int64_t last_done_ms = now_ms(), last_look = 0, began = now_ms();
    uint32_t last_done = 0;
    while (g.done < g.count) {
        if (now_ms() - last_look > 300) {
            follow();
            resend_late();
            last_look = now_ms();
        }
        pthread_mutex_lock(&g.lock);
        while (g.producer && g.in_flight < g.window && g.next < g.count) {
            send_one(g.next++);
            g.in_flight++;
        }
        pthread_mutex_unlock(&g.lock);
        if (!half_told && g.done >= g.count / 2) {
            half_told = true;
            half_running = pthread_create(&half_thread, NULL, run_at_half, (void *)(uintptr_t)g.at_half) == 0;
        }
        show();
        if (g.done != last_done) {
            last_done = g.done;
            last_done_ms = now_ms();
        } else if (now_ms() - last_done_ms > GIVE_UP_S * 1000) {
            fprintf(stderr, "\nno answer for %d s: giving up\n", GIVE_UP_S);
            return 3;
        }
        pause_ms(g.tty ? 20 : 5);
    }
    show();
    if (g.tty)
        fputc('\n', stderr);
    if (half_running)
        pthread_join(half_thread, NULL);
    double s = (double)(now_ms() - began) / 1000;
    printf("%" PRIu32 " committed, %" PRIu32 " refused, %" PRIu32 " sent again, in %.1f s (%.0f/s)\n", g.committed, g.refused, g.resent, s,
           g.count / s);
    return 0;
}

/* ---- what must be there now: one line per account, "id balance", to compare with a SELECT ---- */

static int write_expected(const char *path)
{
    int64_t *balance = calloc(g.accounts, sizeof *balance);
    FILE *f = balance ? fopen(path, "w") : NULL;
    if (!f) {
        fprintf(stderr, "%s can't be written\n", path);
        free(balance);
        return 3;
    }
    for (uint32_t i = 0; i < g.accounts; i++)
        balance[i] = g.initial;
    for (uint32_t i = 0; i < g.count; i++)
        if (g.all[i].state == COMMITTED) {
            balance[g.all[i].from] -= g.all[i].amount;
            balance[g.all[i].to] += g.all[i].amount;
        }
    for (uint32_t i = 0; i < g.accounts; i++)
        fprintf(f, "%" PRIu32 ",%" PRId64 "\n", i, balance[i]);
    free(balance);
    return fclose(f) == 0 ? 0 : 3;
}

static uint32_t number(const char *text, uint32_t max)
{
    char *rest;
    unsigned long v = strtoul(text, &rest, 10);
    if (*rest || !*text || v == 0 || v > max) {
        fprintf(stderr, "transfers: '%s' is not a number from 1 to %" PRIu32 "\n", text, max);
        exit(2);
    }
    return (uint32_t)v;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "ready", required_argument, NULL, 'r' }, { "accounts", required_argument, NULL, 'a' }, { "count", required_argument, NULL, 'c' },
        { "window", required_argument, NULL, 'w' }, { "at-half", required_argument, NULL, 'x' },
        { "expected", required_argument, NULL, 'e' }, { 0 }
    };
    const char *expected = NULL;
    int o;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'r': g.ready = optarg; break;
        case 'a': g.accounts = number(optarg, 100000); break;
        case 'c': g.count = number(optarg, MAX_COUNT); break;
        case 'w': g.window = number(optarg, 5000); break;
        case 'x': g.at_half = optarg; break;
        case 'e': expected = optarg; break;
        default: return 2;
        }
    }
    if (!g.ready || !expected || g.accounts < 2) {
        fprintf(stderr, "Usage: transfers --ready FILE --expected FILE [--accounts N] [--count N] [--window N] [--at-half COMMAND]\n");
        return 2;
    }
    g.tty = isatty(STDERR_FILENO);
    g.all = calloc(g.count, sizeof *g.all);
    if (!g.all)
        return 3;
    uint64_t x = 42; /* the same transfers each time: Knuth's MMIX generator */
    for (uint32_t i = 0; i < g.count; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        g.all[i].from = (uint32_t)(x >> 33) % g.accounts;
        g.all[i].to = (g.all[i].from + 1 + (uint32_t)(x >> 40) % (g.accounts - 1)) % g.accounts;
        g.all[i].amount = 1 + (int)((x >> 20) % 50);
    }
    int rc = load();
    disconnect();
    if (rc == 0)
        rc = write_expected(expected);
    if (rc == 0 && g.contradictions) {
        fprintf(stderr, "%" PRIu32 " requests got two different outcomes\n", g.contradictions);
        rc = 1;
    }
    free(g.all);
    return rc ? rc : g.refused ? 1 : 0;
}
