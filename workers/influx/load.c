/* What is known of a batch's items: the engine's state, the names, the parts. One request for up to a thousand ids.
 *
 * In the own database everything is at time 0, and in a series of the session that wrote it (tag w): InfluxDB compares nothing when it
 * writes, so a late writer would overwrite what is newer; so it only adds a row that loses when all rows are folded here. */
#include "workers/influx/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void ix_parts_name(char out[IX_NAME_BYTES], q_slice bucket, q_slice record, uint64_t incarnation)
{
    snprintf(out, IX_NAME_BYTES, "%.*s/%.*s/%" PRIu64, Q_SLICE_FMT(bucket), Q_SLICE_FMT(record), incarnation);
}

void ix_writer(const q_engine *e, uint64_t epoch, char out[IX_WRITER_BYTES])
{
    snprintf(out, IX_WRITER_BYTES, "%" PRIu64 ".%08" PRIx32, epoch, e->nonce);
}

uint64_t ix_writer_epoch(q_slice writer)
{
    uint64_t epoch = 0;
    for (size_t i = 0; i < writer.len && writer.ptr[i] >= '0' && writer.ptr[i] <= '9'; i++)
        epoch = epoch * 10 + (uint64_t)(writer.ptr[i] - '0');
    return epoch;
}

bool ix_older_life(const ix_ref *r)
{
    return q_rule_stale_incarnation(&r->of_bucket->named, r->bucket_incarnation) ||
           q_rule_stale_incarnation(&r->of_record->named, r->item->incarnation);
}

/* ---- each thing once ---- */

static int name_order(const void *va, const void *vb)
{
    const ix_names *a = va, *b = vb;
    int c = q_slice_cmp(a->bucket, b->bucket);
    return c ? c : q_slice_cmp(a->record, b->record);
}

static int entry_order(const void *va, const void *vb)
{
    const ix_entry *a = va, *b = vb;
    int c = q_slice_cmp(a->bucket, b->bucket);
    if (!c)
        c = q_slice_cmp(a->record, b->record);
    if (!c)
        c = (a->incarnation > b->incarnation) - (a->incarnation < b->incarnation);
    return c ? c : q_slice_cmp(a->key, b->key);
}

static bool same_parts(const ix_entry *a, const ix_entry *b)
{
    return a->incarnation == b->incarnation && q_slice_eq(a->bucket, b->bucket) && q_slice_eq(a->record, b->record);
}

/* Sorts, and leaves each once; how many there are then. */
static size_t distinct(void *items, size_t n, size_t size, int (*order)(const void *, const void *))
{
    char *p = items;
    size_t kept = 0;
    if (n)
        qsort(items, n, size, order);
    for (size_t i = 0; i < n; i++)
        if (!kept || order(p + (kept - 1) * size, p + i * size) != 0) {
            if (kept != i)
                memcpy(p + kept * size, p + i * size, size);
            kept++;
        }
    return kept;
}

static q_slice record_of(const q_item *item)
{
    if (item->op != Q_I_DDL)
        return item->record;
    return item->ddl.kind == Q_DDL_CREATE_BUCKET || item->ddl.kind == Q_DDL_DROP_BUCKET ? Q_SLICE_NONE : item->ddl.record;
}

static ix_names *find_name(const ix_loaded *l, q_slice bucket, q_slice record)
{
    ix_names key = { .bucket = bucket, .record = record };
    return bsearch(&key, l->names, l->name_count, sizeof key, name_order);
}

static q_rc collect(q_arena *arena, ix_ref *refs, size_t n, ix_loaded *out, q_err *err)
{
    out->names = Q_NEW_ARRAY(arena, ix_names, 2 * n + 1);
    out->entries = Q_NEW_ARRAY(arena, ix_entry, n + 1);
    if (!out->names || !out->entries)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++) {
        ix_ref *r = &refs[i];
        out->names[out->name_count++] = (ix_names){ .bucket = r->bucket };
        out->names[out->name_count++] = (ix_names){ .bucket = r->bucket, .record = record_of(r->item) };
        if (r->item->op == Q_I_DDL)
            continue;
        r->key = ix_key(arena, &r->item->id);
        if (!r->key.ptr)
            return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
        out->entries[out->entry_count++] = (ix_entry){ .bucket = r->bucket, .record = r->item->record, .incarnation = r->item->incarnation,
                                                       .key = r->key, .id = &r->item->id };
    }
    out->name_count = distinct(out->names, out->name_count, sizeof *out->names, name_order);
    out->entry_count = distinct(out->entries, out->entry_count, sizeof *out->entries, entry_order);
    for (size_t i = 0; i < n; i++) {
        ix_ref *r = &refs[i];
        r->of_bucket = find_name(out, r->bucket, Q_SLICE_NONE);
        r->of_record = find_name(out, r->bucket, record_of(r->item));
        ix_entry key = { .bucket = r->bucket, .record = r->item->record, .incarnation = r->item->incarnation, .key = r->key };
        r->entry = r->item->op == Q_I_DDL ? NULL : bsearch(&key, out->entries, out->entry_count, sizeof key, entry_order);
    }
    return Q_OK;
}

/* ---- rows ---- */

static q_rc take_state(void *ctx, const char *name, const json_t *v, q_err *err)
{
    q_engine_state *s = ctx;
    uint64_t n[4] = { ix_number(v, 1), ix_number(v, 2), ix_number(v, 3), ix_number(v, 4) };
    (void)name, (void)err;
    s->epoch = n[0] > s->epoch ? n[0] : s->epoch;
    s->cluster = n[1] ? n[1] : s->cluster;
    s->applied_high = n[2] > s->applied_high ? n[2] : s->applied_high;
    s->applied_below = n[3] > s->applied_below ? n[3] : s->applied_below;
    return Q_OK;
}

static q_rc take_named(void *ctx, const char *name, const json_t *v, q_err *err)
{
    q_named *k = &((ix_names *)ctx)->named;
    uint64_t n[3] = { ix_number(v, 1), ix_number(v, 2), ix_number(v, 3) };
    (void)name, (void)err;
    k->created = n[0] > k->created ? n[0] : k->created;
    k->dropped = n[1] > k->dropped ? n[1] : k->dropped;
    k->ddl = n[2] > k->ddl ? n[2] : k->ddl;
    return Q_OK;
}

typedef struct taking_parts { q_arena *arena; ix_entry *first; size_t n; } taking_parts;

static int key_order(const void *va, const void *vb) { return q_slice_cmp(((const ix_entry *)va)->key, ((const ix_entry *)vb)->key); }

static q_rc take_part(void *ctx, const char *name, const json_t *v, q_err *err)
{
    taking_parts *t = ctx;
    ix_entry key = { .key = ix_text(v, 2) }, *at = bsearch(&key, t->first, t->n, sizeof key, key_order);
    ix_part part;
    (void)name;
    if (!at)
        return Q_OK;
    q_rc rc = ix_read_part(t->arena, ix_text(v, 1), &part, err);
    if (rc == Q_OK && !ix_merge(t->arena, &at->part, &part))
        rc = q_err_set(err, Q_E_LIMIT_MEMORY, "the rows don't fit into memory");
    return rc;
}

/* ---- asking ---- */

static const char ask_state[] = "SELECT MAX(\"epoch\"), MAX(\"cluster\"), MAX(\"high\"), MAX(\"below\") FROM \"engine\";";

static void put_name_question(q_buf *out, const ix_names *k)
{
    /* "-" can't be a name: the bucket itself. */
    q_buf_printf(out, "SELECT \"created\", \"dropped\", \"ddl\" FROM \"names\" WHERE \"bucket\" = '%.*s' AND \"record\" = '%.*s';", Q_SLICE_FMT(k->bucket),
                 Q_SLICE_FMT(k->record.len ? k->record : Q_SLICE_LIT("-")));
}

static void put_part_question(q_buf *out, const ix_entry *first, size_t n)
{
    char name[IX_NAME_BYTES];
    ix_parts_name(name, first->bucket, first->record, first->incarnation);
    q_buf_printf(out, "SELECT \"p\", \"k\" FROM \"%s\" WHERE ", name);
    for (size_t i = 0; i < n; i++)
        q_buf_printf(out, "%s\"k\" = '%.*s'", i ? " OR " : "", Q_SLICE_FMT(first[i].key));
    q_buf_add_byte(out, ';');
}

/* As many entries as one SELECT may ask for: of one measurement. */
static size_t run_of(const ix_entry *first, size_t left)
{
    size_t n = 1;
    while (n < left && n < IX_IDS_PER_SELECT && same_parts(first, &first[n]))
        n++;
    return n;
}

static q_rc ask(q_engine *e, q_buf *text, json_t **results, q_err *err)
{
    return text->failed ? q_err_set(err, Q_E_LIMIT_MEMORY, "influx: a query that is too large") : ix_query(e, q_buf_slice(text), results, err);
}

/* `first`: the first request has the state and names, and up to a thousand parts; the next ones only parts. */
static q_rc ask_all(q_engine *e, q_arena *arena, ix_loaded *l, bool first, q_err *err)
{
    q_buf text = Q_BUF_INIT(IX_MAX_BODY);
    q_rc rc = Q_OK;
    size_t at = 0;
    while (rc == Q_OK && (first || at < l->entry_count)) {
        json_t *results = NULL;
        size_t statement = 0, from = at;
        q_buf_clear(&text);
        if (first) {
            q_buf_add_cstr(&text, ask_state);
            for (size_t i = 0; i < l->name_count; i++)
                put_name_question(&text, &l->names[i]);
        }
        for (size_t n; at < l->entry_count && at - from < IX_IDS_PER_REQUEST; at += n) {
            n = run_of(&l->entries[at], l->entry_count - at);
            put_part_question(&text, &l->entries[at], n);
        }
        rc = ask(e, &text, &results, err);
        if (first) {
            if (rc == Q_OK)
                rc = ix_rows(results, statement++, take_state, &l->state, err);
            for (size_t i = 0; rc == Q_OK && i < l->name_count; i++)
                rc = ix_rows(results, statement++, take_named, &l->names[i], err);
        }
        for (size_t i = from, n; rc == Q_OK && i < at; i += n) {
            n = run_of(&l->entries[i], l->entry_count - i);
            taking_parts t = { arena, &l->entries[i], n };
            rc = ix_rows(results, statement++, take_part, &t, err);
        }
        json_decref(results);
        first = false;
    }
    q_buf_free(&text);
    return rc;
}

static q_rc refuse_lower(const q_engine_state *state, uint64_t epoch, q_err *err)
{
    if (state->epoch <= epoch)
        return Q_OK;
    return q_err_set(err, Q_E_ENGINE_REFUSED, "influx remembers epoch %" PRIu64 ", higher than %" PRIu64 ": a newer coordinator is at work", state->epoch,
                     epoch);
}

q_rc ix_load(q_engine *e, q_arena *arena, uint64_t epoch, ix_ref *refs, size_t n, ix_loaded *out, q_err *err)
{
    *out = (ix_loaded){ 0 };
    q_rc rc = collect(arena, refs, n, out, err);
    if (rc == Q_OK)
        rc = ask_all(e, arena, out, true, err);
    return rc == Q_OK ? refuse_lower(&out->state, epoch, err) : rc;
}

q_rc ix_load_entries(q_engine *e, q_arena *arena, ix_entry *entries, size_t *n, q_err *err)
{
    *n = distinct(entries, *n, sizeof *entries, entry_order);
    ix_loaded l = { .entries = entries, .entry_count = *n };
    return ask_all(e, arena, &l, false, err);
}

void ix_put_entry(q_buf *out, const ix_entry *entry, const char *writer)
{
    char name[IX_NAME_BYTES];
    ix_parts_name(name, entry->bucket, entry->record, entry->incarnation);
    q_buf_printf(out, "%s,k=%.*s,w=%s p=\"", name, Q_SLICE_FMT(entry->key), writer);
    ix_put_part(out, &entry->part);
    q_buf_add_cstr(out, "\" 0\n");
}

q_rc ix_load_state(q_engine *e, q_engine_state *state, q_err *err)
{
    json_t *results = NULL;
    *state = (q_engine_state){ 0 };
    q_rc rc = ix_query(e, q_slice_cstr(ask_state), &results, err);
    if (rc == Q_OK)
        rc = ix_rows(results, 0, take_state, state, err);
    json_decref(results);
    return rc;
}

q_rc ix_check_epoch(q_engine *e, uint64_t epoch, q_err *err)
{
    q_engine_state state;
    q_rc rc = ix_load_state(e, &state, err);
    return rc == Q_OK ? refuse_lower(&state, epoch, err) : rc;
}
