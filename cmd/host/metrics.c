#include "cmd/host/metrics.h"

#include "base/version.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const struct { const char *name, *type, *labels, *of, *help; } all[] = {
#define Q_METRIC(id, name, type, labels, of, help) { name, type, labels, of, help },
#include "cmd/host/metrics.def"
#undef Q_METRIC
};

const char *q_metric_name(q_metric m) { return all[m].name; }
void q_metric_head(q_buf *out, q_metric m) { q_metrics_head(out, all[m].name, all[m].type, all[m].help); }
void q_metric_sample(q_buf *out, q_metric m, const char *labels, double value) { q_metrics_sample(out, all[m].name, labels, value); }
void q_metric_histogram(q_buf *out, q_metric m, const char *labels, const q_histogram *h) { q_metrics_histogram(out, all[m].name, labels, h); }

void q_metric_one(q_buf *out, q_metric m, double value)
{
    q_metric_head(out, m);
    q_metric_sample(out, m, "", value);
}

static double resident_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    double n = d ? -3 : 0; /* ".", ".." and the directory's own */
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* Of this process: taken when the program starts. */
static double started;
__attribute__((constructor)) static void note_start(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    started = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void q_metric_process(q_buf *out)
{
    struct rusage u = { 0 };
    getrusage(RUSAGE_SELF, &u);
    q_metric_one(out, Q_MT_START_TIME, started);
    q_metric_one(out, Q_MT_MEMORY, resident_bytes());
    q_metric_one(out, Q_MT_CPU, (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    q_metric_one(out, Q_MT_FILES, open_files());
    q_metric_head(out, Q_MT_BUILD);
    q_metric_sample(out, Q_MT_BUILD, "version=\"" Q_VERSION "\"", 1);
}

void q_metric_markdown(q_buf *out)
{
    q_buf_add_cstr(out, "# Metrics\n\n<!-- `make docs` writes this file from cmd/host/metrics.def. -->\n\n"
        "Each process serves them at `/metrics` on its own port (`http.coordinator_port`, `engines.<engine>.http_port`), as Prometheus text.\n\n"
        "| metric | type | labels | of | meaning |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < Q_MT_COUNT; i++)
        q_buf_printf(out, "| `%s` | %s | %s | %s | %s |\n", all[i].name, all[i].type, all[i].labels, all[i].of, all[i].help);
}
