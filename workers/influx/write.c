/* Prepare and commit. A prepare checks and writes nothing. A commit looks up the states of all that it writes, decides by workers/rules.h in
 * memory, and then sends, in this order: DELETE of the points of ended lives, the points, the states with the marks. The states come last, so
 * that what a state tells is there; what was cut off before them is done again, with the same effect. */
#include "base/failpoint.h"
#include "workers/influx/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { FLUSH_ITEMS = 4000, FIELDS_PER_LINE = 64, SEND_BYTES = IX_MAX_BODY - (1 << 20), NS_PER_US = 1000 };

/* Influx knows -9223372036854775806 to 9223372036854775806 ns. */
static const int64_t first_us = -9223372036854775, last_us = 9223372036854774;

/* ---- prepare ---- */

static const char *refused(const q_item *item)
{
    q_err bad = Q_ERR_INIT;
    if (q_id_check(&item->id, &bad) != Q_OK)
        return "an id is a string of up to 255 bytes, an int or a uuid";
    for (uint32_t i = 0; i < item->count; i++) {
        const q_value *v = &item->fields[i].value;
        if (!q_rule_type_fits(Q_EN_INFLUX, v->type))
            return "InfluxDB serves metrics only: int, float, duration";
        if (v->type != Q_T_NULL && (v->at_us < first_us || v->at_us > last_us))
            return "a metric's time must lie between 1677-09-21 and 2262-04-11";
        if (v->type == Q_T_FLOAT && !isfinite(v->f))
            return "InfluxDB holds finite numbers only";
    }
    return NULL;
}

static void say_no(q_vote *vote, q_no no, uint32_t item, const char *text)
{
    if (vote->no != Q_NO_NONE)
        return;
    vote->no = no;
    vote->item = item;
    vote->text = q_slice_cstr(text);
}

static void vote_on(const ix_ref *r, q_vote *vote)
{
    if (r->item->op == Q_I_DDL) {
        const q_named *named = &r->of_record->named; /* of a bucket's DDL it is the bucket's */
        if (q_rule_vote_ddl(named, r->seq) != Q_NO_NONE)
            say_no(vote, Q_NO_STALE, r->index, "");
        return;
    }
    const char *why = refused(r->item);
    q_no no = ix_older_life(r) ? Q_NO_STALE : q_rule_vote(&r->entry->part.stored, r->item, r->seq, 0);
    if (why)
        say_no(vote, Q_NO_REFUSED, r->index, why);
    else if (no != Q_NO_NONE)
        say_no(vote, no, r->index, "");
}

q_rc ix_prepare(q_engine *e, q_arena *arena, uint64_t epoch, const q_txn_work *txns, size_t n, q_vote *votes, q_err *err)
{
    size_t count = 0, total = 0;
    ix_loaded known;
    q_writes *all = Q_NEW_ARRAY(arena, q_writes, n + 1);
    if (!all)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++) {
        q_err bad = Q_ERR_INIT;
        votes[i] = (q_vote){ .seq = txns[i].seq };
        if (q_writes_decode(arena, txns[i].writes, &all[i], &bad) != Q_OK) {
            all[i].count = 0;
            votes[i].no = Q_NO_REFUSED;
            votes[i].text = q_arena_copy(arena, q_slice_cstr(bad.message));
        }
        total += all[i].count;
    }
    ix_ref *refs = Q_NEW_ARRAY(arena, ix_ref, total + 1);
    if (!refs)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < all[i].count; k++)
            refs[count++] = (ix_ref){ .bucket = all[i].bucket, .bucket_incarnation = all[i].bucket_incarnation, .item = &all[i].items[k],
                                      .seq = txns[i].seq, .txn = i, .index = k };
    q_rc rc = ix_load(e, arena, epoch, refs, count, &known, err);
    for (size_t i = 0; rc == Q_OK && i < count; i++)
        vote_on(&refs[i], &votes[refs[i].txn]);
    return rc;
}

/* ---- commit ---- */

/* The points of an item that is applied, and a life whose points go. */
typedef struct points { const ix_ref *ref; uint64_t birth; } points;
typedef struct ended { const ix_ref *ref; uint64_t birth; } ended;

typedef struct batch {
    q_engine *e;
    q_arena *arena;
    uint64_t epoch;
    ix_ref *refs;
    size_t count, cap;
    points *points;
    ended *ended;
    size_t point_count, ended_count;
} batch;

typedef struct marks { uint64_t high, below; } marks;

static q_rc apply(batch *b, ix_ref *r, q_err *err)
{
    const q_item *item = r->item;
    ix_part *part = &r->entry->part;
    q_apply how = q_rule_apply(&part->stored, item, r->seq, true, 0);
    q_stored before = part->stored, after = q_rule_after(&part->stored, item, r->seq, how);
    if (how == Q_AP_APPEND && r->seq == before.seq)
        return Q_OK; /* the duplicate of what is there: its points went before the state that tells of it */
    uint64_t over = before.present && !before.dead && before.birth != after.birth ? before.birth : 0;
    if (how == Q_AP_SKIP) /* of a life that ended: an earlier try may have left its points */
        over = item->op != Q_I_PUT ? 0 : item->birth ? item->birth : item->full ? r->seq : 0;
    if (over)
        b->ended[b->ended_count++] = (ended){ r, over };
    if (how == Q_AP_SKIP)
        return Q_OK;
    part->stored = after;
    r->entry->changed = true;
    if (how == Q_AP_BURY || how == Q_AP_REPLACE)
        part->count = 0;
    if (how == Q_AP_BURY)
        return Q_OK;
    b->points[b->point_count++] = (points){ r, after.birth };
    for (uint32_t i = 0; i < item->count; i++)
        if (item->fields[i].value.type != Q_T_NULL && !ix_add_sample(b->arena, part, item->fields[i].attr, &item->fields[i].value, r->seq))
            return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    return Q_OK;
}

static q_rc delete_ended(batch *b, q_err *err)
{
    ix_deletes d;
    q_rc rc = Q_OK;
    q_buf id = Q_BUF_INIT(4096);
    ix_delete_begin(&d, b->e);
    for (size_t i = 0; rc == Q_OK && i < b->ended_count; i++) {
        const ix_ref *r = b->ended[i].ref;
        char birth[24];
        snprintf(birth, sizeof birth, "%" PRIu64, b->ended[i].birth);
        q_buf_clear(&id);
        ix_tag_text(&id, &r->item->id);
        rc = id.failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory")
                       : ix_delete_add(&d, r->bucket, r->item->record, "id", q_buf_slice(&id), "_q_birth", q_slice_cstr(birth), err);
    }
    q_buf_free(&id);
    return ix_delete_end(&d, rc, err);
}

/* ---- points ----
 *
 * Influx keeps one value per field, series and nanosecond, and two transactions may write samples of the same microsecond: each has a
 * nanosecond of its own within it, its seq modulo 1000. Of two that share even that the one of the greater seq stays. */

static int64_t nanoseconds(int64_t at_us, uint64_t seq) { return at_us * NS_PER_US + (int64_t)(seq % NS_PER_US); }

static bool hidden(const ix_part *part, const q_field *f, uint64_t seq)
{
    const ix_sample *s = ix_find(part, f->attr);
    return f->value.type == Q_T_NULL ||
           (s && s->value.at_us == f->value.at_us && s->seq > seq && s->seq % NS_PER_US == seq % NS_PER_US);
}

static void put_value(q_buf *out, const q_value *v)
{
    if (v->type == Q_T_FLOAT)
        q_value_text(v, out);
    else
        q_buf_printf(out, "%" PRId64 "i", v->i); /* a duration: microseconds */
}

/* The fields from `from` on that go into one line: of one time, each metric once. */
static uint32_t line_of(const q_item *item, uint32_t from)
{
    uint32_t to = from + 1;
    for (; to < item->count && to - from < FIELDS_PER_LINE && item->fields[to].value.at_us == item->fields[from].value.at_us; to++)
        for (uint32_t i = from; i < to; i++)
            if (q_slice_eq(item->fields[i].attr, item->fields[to].attr))
                return to;
    return to;
}

static void put_points(q_buf *out, const points *p)
{
    const q_item *item = p->ref->item;
    q_buf id = Q_BUF_INIT(4096);
    ix_tag_text(&id, &item->id);
    for (uint32_t from = 0, to; from < item->count; from = to) {
        bool any = false;
        to = line_of(item, from);
        for (uint32_t i = from; i < to; i++)
            any = any || !hidden(&p->ref->entry->part, &item->fields[i], p->ref->seq);
        if (!any)
            continue;
        q_buf_printf(out, "%.*s,_q_birth=%" PRIu64 ",id=", Q_SLICE_FMT(item->record), p->birth);
        ix_put_tag(out, q_buf_slice(&id));
        q_buf_printf(out, " _q_seq=%" PRIu64 "i", p->ref->seq);
        for (uint32_t i = from; i < to; i++)
            if (!hidden(&p->ref->entry->part, &item->fields[i], p->ref->seq)) {
                q_buf_printf(out, ",%.*s=", Q_SLICE_FMT(item->fields[i].attr));
                put_value(out, &item->fields[i].value);
            }
        q_buf_printf(out, " %" PRId64 "\n", nanoseconds(item->fields[from].value.at_us, p->ref->seq));
    }
    out->failed = out->failed || id.failed;
    q_buf_free(&id);
}

static q_rc send_lines(q_engine *e, q_slice db, q_buf *lines, q_err *err)
{
    q_rc rc = Q_OK;
    if (lines->failed)
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "influx: a body that is too large");
    else if (lines->len)
        rc = ix_write(e, db, q_buf_slice(lines), err);
    q_buf_clear(lines);
    return rc;
}

static q_rc write_points(batch *b, q_buf *lines, q_err *err)
{
    q_slice db = Q_SLICE_NONE;
    q_rc rc = Q_OK;
    for (size_t i = 0; rc == Q_OK && i < b->point_count; i++) {
        const points *p = &b->points[i];
        const q_stored *s = &p->ref->entry->part.stored;
        if (s->dead || s->birth != p->birth)
            continue; /* that life ended within this batch */
        if (lines->len > SEND_BYTES || (lines->len && !q_slice_eq(db, p->ref->bucket)))
            rc = send_lines(b->e, db, lines, err);
        db = p->ref->bucket;
        put_points(lines, p);
    }
    return rc == Q_OK ? send_lines(b->e, db, lines, err) : rc;
}

static q_rc write_states(batch *b, const ix_loaded *known, const marks *m, q_buf *lines, q_err *err)
{
    char writer[IX_WRITER_BYTES];
    q_slice own = q_slice_cstr(b->e->own);
    q_rc rc = Q_OK;
    ix_writer(b->e, b->epoch, writer);
    for (size_t i = 0; rc == Q_OK && i < known->entry_count; i++) {
        if (!known->entries[i].changed)
            continue;
        ix_put_entry(lines, &known->entries[i], writer);
        if (lines->len > SEND_BYTES)
            rc = send_lines(b->e, own, lines, err);
    }
    const q_engine_state *s = &known->state;
    if (m && (m->high > s->applied_high || m->below > s->applied_below))
        q_buf_printf(lines, "engine,w=%s high=%" PRIu64 "i,below=%" PRIu64 "i 0\n", writer, m->high > s->applied_high ? m->high : s->applied_high,
                     m->below > s->applied_below ? m->below : s->applied_below);
    return rc == Q_OK ? send_lines(b->e, own, lines, err) : rc;
}

/* Applies what was collected. `m`: the last of a commit, with which the marks go. */
static q_rc flush(batch *b, const marks *m, q_err *err)
{
    ix_loaded known;
    q_buf lines = Q_BUF_INIT(2 * IX_MAX_BODY);
    if (!b->count && !m)
        return Q_OK;
    b->points = Q_NEW_ARRAY(b->arena, points, b->count + 1);
    b->ended = Q_NEW_ARRAY(b->arena, ended, b->count + 1);
    b->point_count = b->ended_count = 0;
    if (!b->points || !b->ended)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    q_rc rc = ix_load(b->e, b->arena, b->epoch, b->refs, b->count, &known, err);
    for (size_t i = 0; rc == Q_OK && i < b->count; i++)
        if (!ix_older_life(&b->refs[i]))
            rc = apply(b, &b->refs[i], err);
    if (rc == Q_OK)
        rc = delete_ended(b, err);
    if (rc == Q_OK)
        rc = write_points(b, &lines, err);
    if (rc == Q_OK && Q_FAILPOINT(ENGINE_APPLY_MID))
        rc = q_err_set(err, Q_E_ENGINE_DOWN, "a failpoint says that the engine can't be reached");
    if (rc == Q_OK)
        rc = write_states(b, &known, m, &lines, err);
    q_buf_free(&lines);
    b->count = 0;
    return rc;
}

static q_rc push(batch *b, const ix_ref *r, q_err *err)
{
    if (b->count == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        ix_ref *more = Q_NEW_ARRAY(b->arena, ix_ref, cap);
        if (!more)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        if (b->count)
            memcpy(more, b->refs, b->count * sizeof *more);
        b->refs = more;
        b->cap = cap;
    }
    b->refs[b->count++] = *r;
    return Q_OK;
}

q_rc ix_commit(q_engine *e, q_arena *arena, uint64_t epoch, uint64_t below, const q_txn_work *txns, size_t n, q_err *err)
{
    batch b = { .e = e, .arena = arena, .epoch = epoch };
    marks m = { .below = below };
    q_rc rc = Q_OK;
    for (size_t i = 0; rc == Q_OK && i < n; i++) {
        q_writes all;
        rc = q_writes_decode(arena, txns[i].writes, &all, err);
        m.high = txns[i].seq > m.high ? txns[i].seq : m.high;
        for (uint32_t k = 0; rc == Q_OK && k < all.count; k++) {
            ix_ref r = { .bucket = all.bucket, .bucket_incarnation = all.bucket_incarnation, .item = &all.items[k], .seq = txns[i].seq, .txn = i,
                         .index = k };
            if (r.item->op == Q_I_DDL) { /* what came before it belongs to the life before it */
                rc = flush(&b, NULL, err);
                if (rc == Q_OK)
                    rc = ix_apply_ddl(e, arena, epoch, &r, err);
            } else if (r.item->op != Q_I_CHECK) {
                rc = push(&b, &r, err);
            }
            if (rc == Q_OK && b.count >= FLUSH_ITEMS)
                rc = flush(&b, NULL, err);
        }
    }
    return rc == Q_OK ? flush(&b, &m, err) : rc;
}
