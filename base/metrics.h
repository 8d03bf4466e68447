/* metrics.h - Prometheus text, and latency histograms.
 *
 * Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text 0.0.4). Histograms may be added to by any thread. */
#ifndef Q_BASE_METRICS_H
#define Q_BASE_METRICS_H

#include "base/buf.h"

#include <stdatomic.h>

enum { Q_HISTOGRAM_BUCKETS = 18 };

typedef struct q_histogram {
    _Atomic uint64_t buckets[Q_HISTOGRAM_BUCKETS + 1]; /* the last one: beyond every bound */
    _Atomic uint64_t sum_us;
} q_histogram;

void q_histogram_add(q_histogram *h, int64_t us); /* negative counts as 0 */

/* `type` is "counter", "gauge" or "histogram". Once per name, before its samples. */
void q_metrics_head(q_buf *out, const char *name, const char *type, const char *help);
/* `labels` without braces (`engine="mongo"`), or "" . */
void q_metrics_sample(q_buf *out, const char *name, const char *labels, double value);
/* Buckets in seconds. */
void q_metrics_histogram(q_buf *out, const char *name, const char *labels, const q_histogram *h);

#endif
