/* retention.c - which records leave the log, and when: those that nobody needs any more, by age and size, and only when a segment has them.
 *
 * Needed: every record from the oldest on that is not ended, not published, or kept because its reply may still be asked for (dedupe.c). What isn't
 * needed stays until it is older than log_trim_age_us or the log is larger than log_trim_bytes. ARCHIVE asks for a segment (wal/segment.h); its records
 * are trimmed when ARCHIVED says that it is durable, never before. A crash between the two leaves records in both. */
#include "coordinator/state.h"

#include <stdlib.h>

enum { MARK_RECORDS = 64, RETRY_US = 10 * 1000 * 1000 };

/* How many bytes were before a record, and when it came: of every so many. */
void q_core_kept_note(q_core *c, uint64_t lsn, size_t bytes)
{
    q_kept *k = &c->kept;
    if (k->count == 0 || lsn - k->at[k->count - 1].lsn >= MARK_RECORDS) {
        if (k->count == k->cap) {
            size_t cap = k->cap ? k->cap * 2 : 256;
            q_kept_mark *more = realloc(k->at, cap * sizeof *more);
            if (!more)
                return; /* coarser */
            k->at = more;
            k->cap = cap;
        }
        k->at[k->count++] = (q_kept_mark){ lsn, k->bytes, c->last_time_us };
    }
    k->bytes += bytes;
}

void q_core_kept_free(q_core *c) { free(c->kept.at); }

/* The last mark at or before a record. */
static const q_kept_mark *mark_of(const q_kept *k, uint64_t lsn)
{
    const q_kept_mark *m = NULL;
    size_t lo = 0, hi = k->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (k->at[mid].lsn <= lsn) {
            m = &k->at[mid];
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return m;
}

static uint64_t bytes_before(const q_kept *k, uint64_t lsn)
{
    const q_kept_mark *m = mark_of(k, lsn);
    return m ? m->bytes : 0;
}

static void forget_marks(q_kept *k, uint64_t below)
{
    size_t n = 0;
    while (n + 1 < k->count && k->at[n + 1].lsn <= below)
        n++;
    if (n < k->count / 2 || n == 0)
        return;
    memmove(k->at, k->at + n, (k->count - n) * sizeof *k->at);
    k->count -= n;
}

/* Up to where records may go by the settings; `low`: from where on they are needed. */
static uint64_t due(const q_core *c, uint64_t low)
{
    const q_core_config *s = &c->config;
    const q_kept *k = &c->kept;
    uint64_t until = 0;
    if (s->log_trim_age_us == 0 && s->log_trim_bytes == 0)
        return low;
    for (size_t i = 0; i < k->count; i++) {
        bool old = s->log_trim_age_us && k->at[i].time_us <= c->last_time_us - s->log_trim_age_us;
        bool much = s->log_trim_bytes && k->bytes - k->at[i].bytes >= s->log_trim_bytes;
        if (!old && !much)
            break;
        until = k->at[i].lsn;
    }
    return until < low ? until : low;
}

uint64_t q_core_trim_to(q_core *c, uint64_t low)
{
    if (low > c->durable_lsn + 1)
        low = c->durable_lsn + 1;
    uint64_t to = due(c, low);
    forget_marks(&c->kept, c->trimmed_lsn);
    if (!c->config.archive)
        return to;
    bool worth = to > c->archived_lsn && bytes_before(&c->kept, to) >= bytes_before(&c->kept, c->archived_lsn) + c->config.segment_bytes;
    if (worth && !c->archiving_lsn && c->mono_us >= c->archive_again_us && c->life == Q_LIFE_SERVING) {
        c->archiving_lsn = to;
        q_effects_add(c->fx, Q_FX_ARCHIVE)->lsn = to;
    }
    return to < c->archived_lsn ? to : c->archived_lsn;
}

void q_core_archived(q_core *c, uint64_t lsn)
{
    if (lsn && lsn == c->archiving_lsn) {
        c->archived_lsn = lsn;
        c->stats.archived_lsn = lsn;
        c->tail_due = true;
        c->marks_changed = true; /* a group comes, and the trim with it */
    } else if (lsn == 0) {
        c->archive_again_us = c->mono_us + RETRY_US;
    }
    c->archiving_lsn = 0;
}
