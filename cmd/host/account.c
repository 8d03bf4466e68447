#include "cmd/host/account.h"

#include "base/say.h"
#include "cmd/host/metrics.h"

#include <ctype.h>
#include <stdio.h>

static const char *const outcomes[Q_ACCOUNTS_OUTCOMES] = { "committed", "aborted", "rolled_back", "rejected" };
static const char *const phases[Q_AP_COUNT] = { "parse", "lock", "persist" };

/* ---- a statement's shape ---- */

static size_t quoted(q_slice t, size_t i)
{
    char quote = t.ptr[i++];
    while (i < t.len && t.ptr[i] != quote)
        i += t.ptr[i] == '\\' ? 2 : 1;
    return i < t.len ? i + 1 : t.len;
}

static size_t comment(q_slice t, size_t i)
{
    const char *end = t.ptr[i] == '-' ? memchr(t.ptr + i, '\n', t.len - i) : memmem(t.ptr + i + 2, t.len - i - 2, "*/", 2);
    return !end ? t.len : (size_t)(end - t.ptr) + (t.ptr[i] == '-' ? 1 : 2);
}

static bool begins(q_slice t, size_t i, const char *two) { return i + 1 < t.len && t.ptr[i] == two[0] && t.ptr[i + 1] == two[1]; }
static bool of_name(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80; }

void q_account_shape(q_slice t, q_buf *out)
{
    bool space = false;
    for (size_t i = 0; i < t.len && out->len < Q_ACCOUNTS_SHAPE_BYTES;) {
        char c = t.ptr[i];
        if (isspace((unsigned char)c) || begins(t, i, "--") || begins(t, i, "/*")) {
            i = isspace((unsigned char)c) ? i + 1 : comment(t, i);
            space = out->len > 0;
            continue;
        }
        if (space)
            q_buf_add_byte(out, ' ');
        space = false;
        if (c == '"' || c == '\'') {
            q_buf_add_byte(out, '?');
            i = quoted(t, i);
        } else if (isdigit((unsigned char)c)) {
            q_buf_add_byte(out, '?');
            while (i < t.len && (of_name(t.ptr[i]) || t.ptr[i] == '.'))
                i++;
        } else if (of_name(c)) {
            for (; i < t.len && of_name(t.ptr[i]); i++)
                q_buf_add_byte(out, (uint8_t)t.ptr[i]);
        } else if ((unsigned char)c < 0x20 || c == 0x7f) {
            i++;
        } else {
            q_buf_add_byte(out, (uint8_t)c);
            i++;
        }
    }
    while (out->len > Q_ACCOUNTS_SHAPE_BYTES || (out->len == Q_ACCOUNTS_SHAPE_BYTES && out->len && ((unsigned char)out->ptr[out->len - 1] & 0xC0) == 0x80))
        out->len--; /* not within a character */
}

/* ---- the log of slow queries ---- */

typedef struct number { char text[24]; } number;

static q_slice ms(number *n, int64_t ns)
{
    int len = snprintf(n->text, sizeof n->text, "%.3f", (double)ns / 1e6);
    return q_slice_of(n->text, len > 0 ? (size_t)len : 0);
}

static void say_slow(const q_account *a)
{
    static const char *const reads[Q_EN_COUNT] = { "postgres_read_ms", "mongo_read_ms", "neo4j_read_ms", "influx_read_ms" };
    static const char *const prepares[Q_EN_COUNT] = { "postgres_prepare_ms", "mongo_prepare_ms", "neo4j_prepare_ms", "influx_prepare_ms" };
    q_say_field f[16 + 2 * Q_EN_COUNT];
    number n[8 + 2 * Q_EN_COUNT];
    size_t count = 0, numbers = 0;
    q_buf shape = Q_BUF_INIT(2 * Q_ACCOUNTS_SHAPE_BYTES);
    q_account_shape(a->text, &shape);
    f[count++] = (q_say_field){ "request_id", a->request_id };
    f[count++] = (q_say_field){ "bucket", a->bucket };
    f[count++] = (q_say_field){ "outcome", q_slice_cstr(a->status ? a->status : "") };
    if (a->code != Q_E_NONE)
        f[count++] = (q_say_field){ "code", q_slice_cstr(q_code_name(a->code)) };
    f[count++] = (q_say_field){ "query", q_buf_slice(&shape) };
    if (a->trace.len == 55) /* the trace id stands in it */
        f[count++] = (q_say_field){ "trace_id", q_slice_of(a->trace.ptr + 3, 32) };
    f[count++] = (q_say_field){ "total_ms", ms(&n[numbers++], a->total_ns) };
    const struct { const char *name; int64_t ns; } parts[] = { { "parse_ms", a->parse_ns }, { "lock_ms", a->lock_ns }, { "read_ms", a->read_ns },
                                                               { "prepare_ms", a->prepare_ns }, { "persist_ms", a->persist_ns } };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        f[count++] = (q_say_field){ parts[i].name, ms(&n[numbers++], parts[i].ns) };
    for (int e = 0; e < Q_EN_COUNT; e++) {
        if (a->engine_read_ns[e])
            f[count++] = (q_say_field){ reads[e], ms(&n[numbers++], a->engine_read_ns[e]) };
        if (a->engine_prepare_ns[e])
            f[count++] = (q_say_field){ prepares[e], ms(&n[numbers++], a->engine_prepare_ns[e]) };
    }
    q_say_with(Q_SAY_WARN, f, count, "slow query");
    q_buf_free(&shape);
}

/* ---- counting ---- */

void q_accounts_add(q_accounts *s, const q_account *a, int64_t mono_us)
{
    for (int i = 0; i < Q_ACCOUNTS_OUTCOMES; i++)
        if (a->status && !strcmp(a->status, outcomes[i]))
            q_histogram_add(&s->seconds[i], a->total_ns / 1000);
    q_histogram_add(&s->phases[Q_AP_PARSE], a->parse_ns / 1000);
    if (a->granted_ns)
        q_histogram_add(&s->phases[Q_AP_LOCK], a->lock_ns / 1000);
    if (a->persist_ns)
        q_histogram_add(&s->phases[Q_AP_PERSIST], a->persist_ns / 1000);
    if (s->slow_ms < 0 || a->total_ns < s->slow_ms * 1000000)
        return;
    atomic_fetch_add_explicit(&s->slow, 1, memory_order_relaxed);
    if (mono_us - s->window_us >= 1000000) {
        s->window_us = mono_us;
        s->in_window = 0;
    }
    if (s->in_window++ < Q_ACCOUNTS_SLOW_A_SECOND)
        say_slow(a);
    else
        atomic_fetch_add_explicit(&s->unlogged, 1, memory_order_relaxed);
}

void q_accounts_metrics(const q_accounts *s, q_buf *out)
{
    char labels[60];
    q_metric_head(out, Q_MT_REQUEST_SECONDS);
    for (int i = 0; i < Q_ACCOUNTS_OUTCOMES; i++) {
        snprintf(labels, sizeof labels, "outcome=\"%s\"", outcomes[i]);
        q_metric_histogram(out, Q_MT_REQUEST_SECONDS, labels, &s->seconds[i]);
    }
    q_metric_one(out, Q_MT_SLOW, (double)atomic_load(&s->slow));
    q_metric_one(out, Q_MT_SLOW_UNLOGGED, (double)atomic_load(&s->unlogged));
    q_metric_head(out, Q_MT_PHASE);
    for (int i = 0; i < Q_AP_COUNT; i++) {
        snprintf(labels, sizeof labels, "phase=\"%s\",engine=\"\"", phases[i]);
        q_metric_histogram(out, Q_MT_PHASE, labels, &s->phases[i]);
    }
}
