/* metrics.h - every metric there is: name, type, labels, meaning, once (metrics.def). docs/metrics.md is printed from it, and what a
 * program serves is written through it, so that neither can have one that the other lacks. */
#ifndef Q_CMD_METRICS_H
#define Q_CMD_METRICS_H

#include "base/metrics.h"

typedef enum q_metric {
#define Q_METRIC(id, name, type, labels, of, help) Q_MT_##id,
#include "cmd/host/metrics.def"
#undef Q_METRIC
    Q_MT_COUNT
} q_metric;

/* The two lines before a metric's samples. */
void q_metric_head(q_buf *out, q_metric m);
/* One sample; `labels` as q_metrics_sample takes them. */
void q_metric_sample(q_buf *out, q_metric m, const char *labels, double value);
/* Head and the only sample. */
void q_metric_one(q_buf *out, q_metric m, double value);
void q_metric_histogram(q_buf *out, q_metric m, const char *labels, const q_histogram *h);
const char *q_metric_name(q_metric m);
/* What every process tells of itself: start time, memory, CPU, open files, version. */
void q_metric_process(q_buf *out);
/* docs/metrics.md. */
void q_metric_markdown(q_buf *out);

#endif
