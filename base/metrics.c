#include "base/metrics.h"

/* Upper bounds in microseconds: two a decade and a half, from 50 us to 30 s. */
static const int64_t bounds_us[Q_HISTOGRAM_BUCKETS] = { 50,     100,    250,     500,     1000,    2500,    5000,     10000,    25000,
                                                        50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000 };

void q_histogram_add(q_histogram *h, int64_t us)
{
    size_t i = 0;
    if (us < 0)
        us = 0;
    while (i < Q_HISTOGRAM_BUCKETS && us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t)us, memory_order_relaxed);
}

void q_metrics_head(q_buf *out, const char *name, const char *type, const char *help)
{
    q_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void q_metrics_sample(q_buf *out, const char *name, const char *labels, double value)
{
    if (*labels)
        q_buf_printf(out, "%s{%s} %.17g\n", name, labels, value);
    else
        q_buf_printf(out, "%s %.17g\n", name, value);
}

void q_metrics_histogram(q_buf *out, const char *name, const char *labels, const q_histogram *h)
{
    const char *comma = *labels ? "," : "";
    uint64_t sum = 0;
    for (size_t i = 0; i < Q_HISTOGRAM_BUCKETS; i++) {
        sum += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        q_buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, labels, comma, (double)bounds_us[i] / 1e6, (unsigned long long)sum);
    }
    sum += atomic_load_explicit(&h->buckets[Q_HISTOGRAM_BUCKETS], memory_order_relaxed);
    q_buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma, (unsigned long long)sum);
    double total = (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6;
    if (*labels)
        q_buf_printf(out, "%s_sum{%s} %.17g\n%s_count{%s} %llu\n", name, labels, total, name, labels, (unsigned long long)sum);
    else
        q_buf_printf(out, "%s_sum %.17g\n%s_count %llu\n", name, total, name, (unsigned long long)sum);
}
