/* core - what one transaction costs the coordinator's core alone: one thread, no log, no participants' time.
 *
 * Rounds of N requests: each is planned, prepared, decided, "synced" and applied, as the host would do it; only the calls of the core are
 * timed. Prints microseconds a transaction by kind of event. Usage: core [--count N] [--in-flight N] */
#include "coordinator/core.h"
#include "schemas/wire/wire.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct message { struct message *next; size_t len; char bytes[]; } message;

static struct {
    q_core *core;
    q_effects *fx;
    message *first, **last;
    uint64_t group;          /* to be said durable; 0: none */
    uint64_t *tokens;
    size_t token_count, token_cap;
    uint64_t committed, refused;
    int64_t spent_ns[Q_EV_TIMER + 2];
    int64_t clock_us;
} g = { .last = &g.first };

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void participate(q_engine_id engine, q_slice bytes)
{
    static q_arena *arena;
    static q_buf out = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    q_err err = Q_ERR_INIT;
    q_msg m, answer = { 0 };
    q_engine_state state = { 0 };
    if (!arena)
        arena = q_arena_new(0);
    q_arena_reset(arena);
    if (q_msg_decode(arena, bytes, &m, &err) != Q_OK)
        abort();
    answer.cluster = m.cluster;
    answer.epoch = m.epoch;
    answer.engine = engine;
    answer.batch = m.batch;
    answer.bucket = m.bucket;
    answer.count = m.count;
    if (m.kind == Q_M_PREPARE) {
        q_vote *votes = Q_NEW_ARRAY(arena, q_vote, m.count);
        for (uint32_t i = 0; i < m.count; i++)
            votes[i].seq = m.txns[i].seq;
        answer.kind = Q_M_VOTE;
        answer.votes = votes;
    } else if (m.kind == Q_M_COMMIT) {
        uint64_t *seqs = Q_NEW_ARRAY(arena, uint64_t, m.count);
        for (uint32_t i = 0; i < m.count; i++)
            seqs[i] = m.txns[i].seq;
        answer.kind = Q_M_ACK;
        answer.seqs = seqs;
    } else if (m.kind == Q_M_FENCE) {
        answer.kind = Q_M_STATE;
        answer.count = 1;
        state.epoch = m.epoch;
        state.cluster = m.cluster;
        answer.state = &state;
    } else {
        return;
    }
    q_buf_clear(&out);
    q_msg_encode(&answer, &out);
    message *copy = malloc(sizeof *copy + out.len);
    if (!copy)
        abort();
    copy->next = NULL;
    copy->len = out.len;
    memcpy(copy->bytes, out.ptr, out.len);
    *g.last = copy;
    g.last = &copy->next;
}

static void carry_out(void)
{
    for (size_t i = 0, n = q_effects_count(g.fx); i < n; i++) {
        const q_effect *e = q_effects_at(g.fx, i);
        if (e->kind == Q_FX_PERSIST)
            g.group = e->group;
        else if (e->kind == Q_FX_SEND)
            participate(e->engine, e->bytes);
        else if (e->kind == Q_FX_FATAL)
            fprintf(stderr, "fatal: %.*s\n", Q_SLICE_FMT(e->bytes)), exit(1);
        if (e->kind == Q_FX_REPLY)
            memmem(e->bytes.ptr, e->bytes.len, "\"committed\"", 11) ? g.committed++ : g.refused++;
        if ((e->kind == Q_FX_REPLY || e->kind == Q_FX_PUBLISH) && e->token) {
            if (g.token_count == g.token_cap && !(g.tokens = realloc(g.tokens, (g.token_cap = 2 * g.token_cap + 1024) * sizeof *g.tokens)))
                abort();
            g.tokens[g.token_count++] = e->token;
        }
    }
    q_effects_clear(g.fx);
}

static void step(q_event *ev)
{
    ev->now_us = 1700000000000000 + g.clock_us;
    ev->mono_us = g.clock_us;
    q_core_step(g.core, ev, g.fx);
}

static void flush(void)
{
    int64_t began = now_ns();
    q_core_flush(g.core, g.fx);
    g.spent_ns[0] += now_ns() - began;
    carry_out();
}

/* Everything that is due, until nothing is. */
static void settle(void)
{
    while (g.first || g.group || g.token_count) {
        message *m = g.first;
        g.first = NULL;
        g.last = &g.first;
        g.clock_us += 100;
        int64_t began = now_ns();
        for (message *i = m; i; i = i->next)
            step(&(q_event){ .kind = Q_EV_MESSAGE, .bytes = q_slice_of(i->bytes, i->len) });
        int64_t after = now_ns();
        g.spent_ns[Q_EV_MESSAGE] += after - began;
        for (size_t i = 0, n = g.token_count; i < n; i++)
            step(&(q_event){ .kind = Q_EV_PUBLISHED, .token = g.tokens[i] });
        g.token_count = 0;
        began = now_ns();
        g.spent_ns[Q_EV_PUBLISHED] += began - after;
        uint64_t group = g.group;
        g.group = 0;
        if (group)
            step(&(q_event){ .kind = Q_EV_PERSISTED, .group = group });
        g.spent_ns[Q_EV_PERSISTED] += now_ns() - began;
        for (message *next; m; m = next) {
            next = m->next;
            free(m);
        }
        flush();
    }
}

static int64_t offset;

static void request(const char *text, size_t len, const char *id)
{
    q_header h = { Q_SLICE_LIT("request-id"), q_slice_cstr(id) };
    step(&(q_event){ .kind = Q_EV_REQUEST, .request = { .offset = offset++, .key = Q_SLICE_LIT("shop"), .value = q_slice_of(text, len),
                                                        .header_count = 1, .headers = &h } });
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "count", required_argument, NULL, 'c' }, { "in-flight", required_argument, NULL, 'n' }, { 0 } };
    size_t count = 400000, in_flight = 1024;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == '?')
            return 2;
        *(o == 'c' ? &count : &in_flight) = strtoul(optarg, NULL, 10);
    }
    q_core_config config = { 0 };
    q_err err = Q_ERR_INIT;
    config.publish_changes = false;
    config.max_in_flight = (uint32_t)in_flight * 2 + 10;
    config.cluster = 7;
    config.stopwatch_ns = now_ns;
    char *texts = malloc(in_flight * 256), (*ids)[24] = malloc(in_flight * sizeof *ids);
    size_t *lens = malloc(in_flight * sizeof *lens);
    g.fx = q_effects_new();
    if (!texts || !ids || !lens || !g.fx || q_core_new(&config, &g.core, &err) != Q_OK)
        return 1;
    if (q_core_begin(g.core, 1700000000000000, 0, g.fx, &err) != Q_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    flush();
    settle();
    const char *setup[] = { "CREATE BUCKET shop;", "CREATE RECORD orders (id scalar string, customer document, total_cost scalar float);" };
    for (int i = 0; i < 2; i++) {
        request(setup[i], strlen(setup[i]), i ? "s1" : "s0");
        flush();
        settle();
    }
    memset(g.spent_ns, 0, sizeof g.spent_ns);
    uint64_t before = g.committed, number = 0;
    for (size_t done = 0; done < count; done += in_flight) {
        for (size_t i = 0; i < in_flight; i++, number++) {
            int n = snprintf(texts + i * 256, 256,
                             "INSERT INTO orders { id: \"order_%llu\", total_cost: 89.50, customer: { id: \"cust_001\", name: \"Alice\", "
                             "address: \"123 Market St\" } };", (unsigned long long)number);
            lens[i] = (size_t)n;
            snprintf(ids[i], sizeof *ids, "%zu.%llu", i, (unsigned long long)number);
        }
        g.clock_us += 1000;
        int64_t began = now_ns();
        for (size_t i = 0; i < in_flight; i++)
            request(texts + i * 256, lens[i], ids[i]);
        g.spent_ns[Q_EV_REQUEST] += now_ns() - began;
        flush();
        settle();
    }
    double n = (double)(g.committed - before), all = 0;
    static const char *const names[] = { "flush", "request", "message", "persisted", "published" };
    printf("microseconds a transaction, %zu in flight:\n", in_flight);
    for (int i = 0; i < 5; i++) {
        printf("  %-10s %6.2f\n", names[i], (double)g.spent_ns[i] / n / 1e3);
        all += (double)g.spent_ns[i] / n / 1e3;
    }
    printf("core_us_per_txn=%.2f core_txns_per_second=%.0f refused=%llu\n", all, 1e6 / all, (unsigned long long)g.refused);
    q_core_free(g.core);
    q_effects_free(g.fx);
    return g.refused ? 1 : 0;
}
