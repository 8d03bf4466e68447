#include "cmd/cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 30, DRAW_MS = 100 };

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void q_progress_begin(q_progress *p, const char *what)
{
    *p = (q_progress){ .what = what, .terminal = isatty(STDERR_FILENO), .began_ms = now_ms() };
}

double q_progress_seconds(const q_progress *p) { return (double)(now_ms() - p->began_ms) / 1000; }

void q_progress_update(q_progress *p, uint64_t done, uint64_t total, uint64_t count)
{
    int64_t now = now_ms();
    if (!p->terminal || now - p->drawn_ms < DRAW_MS)
        return;
    p->drawn_ms = now;
    p->shown = true;
    double seconds = (double)(now - p->began_ms) / 1000;
    fputc('\r', stderr);
    if (total) {
        double part = done < total ? (double)done / (double)total : 1;
        fputc('[', stderr);
        for (int i = 0; i < BAR; i++)
            fputs(i < (int)(part * BAR) ? "█" : "░", stderr);
        fprintf(stderr, "] %3.0f %%  ", part * 100);
    }
    fprintf(stderr, "%" PRIu64 " %s", count, p->what);
    if (seconds > 0.3)
        fprintf(stderr, ", %.0f/s", (double)count / seconds);
    if (total && done && done < total && seconds > 1)
        fprintf(stderr, ", %.0f s left", seconds * (double)(total - done) / (double)done);
    fputs("\x1b[K", stderr);
    fflush(stderr);
}

void q_progress_end(q_progress *p)
{
    if (p->shown)
        fputs("\r\x1b[K", stderr);
    fflush(stderr);
    p->shown = false;
}
