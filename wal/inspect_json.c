/* inspect_json.c - one record or entry as JSON. yajl_gen checks that every string is UTF-8: what isn't is told to it as base64. */
#include "wal/inspect.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <yajl/yajl_gen.h>

#include "schemas/document.h"

typedef struct writer { yajl_gen g; q_arena *arena; } writer;

static void name(writer *w, const char *s) { yajl_gen_string(w->g, (const unsigned char *)s, strlen(s)); }
static void raw_string(writer *w, q_slice s) { yajl_gen_string(w->g, (const unsigned char *)(s.ptr ? s.ptr : ""), s.len); }

static void base64(writer *w, q_slice s)
{
    size_t n = sodium_base64_ENCODED_LEN(s.len, sodium_base64_VARIANT_ORIGINAL);
    char *text = q_arena_alloc(w->arena, n);
    if (!text) {
        name(w, "(no memory)");
        return;
    }
    sodium_bin2base64(text, n, (const unsigned char *)s.ptr, s.len, sodium_base64_VARIANT_ORIGINAL);
    name(w, text);
}

/* "field": text, or "field_base64": … when it isn't UTF-8. */
static void text_field(writer *w, const char *field, q_slice s)
{
    if (q_utf8_valid(s)) {
        name(w, field);
        raw_string(w, s);
        return;
    }
    char longer[64];
    snprintf(longer, sizeof longer, "%s_base64", field);
    name(w, longer);
    base64(w, s);
}

/* Numbers beyond a signed 64-bit integer don't occur among seqs and lsns, but may in a forged record: as text then. */
static void uint_value(writer *w, uint64_t v)
{
    char text[24];
    if (v <= INT64_MAX) {
        yajl_gen_integer(w->g, (long long)v);
    } else {
        snprintf(text, sizeof text, "%" PRIu64, v);
        name(w, text);
    }
}

static void uint_field(writer *w, const char *field, uint64_t v)
{
    name(w, field);
    uint_value(w, v);
}

static void int_field(writer *w, const char *field, int64_t v)
{
    name(w, field);
    yajl_gen_integer(w->g, v);
}

static void bool_field(writer *w, const char *field, bool v)
{
    name(w, field);
    yajl_gen_bool(w->g, v);
}

static void name_field(writer *w, const char *field, const char *v)
{
    name(w, field);
    name(w, v);
}

static void hex_field(writer *w, const char *field, const uint8_t *bytes, size_t n)
{
    char hex[2 * 64 + 1];
    name(w, field);
    name(w, sodium_bin2hex(hex, sizeof hex, bytes, n < 64 ? n : 64));
}

/* RFC 3339, or the number when it is no time that has a text. */
static void time_field(writer *w, const char *field, int64_t us)
{
    static const int64_t first = -62135596800000000, last = 253402300799999999; /* years 1 to 9999 */
    q_value v = { .type = Q_T_TIME, .i = us };
    name(w, field);
    if (us < first || us > last || !q_value_to_json(&v, false, w->g))
        yajl_gen_integer(w->g, us);
}

static void error_object(writer *w, const q_err *err)
{
    yajl_gen_map_open(w->g);
    text_field(w, "error", q_slice_cstr(err->message));
    yajl_gen_map_close(w->g);
}

/* ---- what a transaction writes ---- */

static void value_or_null(writer *w, const q_value *v)
{
    if (v->type == Q_T_NULL || !q_value_to_json(v, v->type == Q_T_RELATION && v->rel.count != 1, w->g))
        yajl_gen_null(w->g);
}

static void fields(writer *w, const q_item *item)
{
    name(w, "fields");
    yajl_gen_array_open(w->g);
    for (uint32_t i = 0; i < item->count; i++) {
        const q_field *f = &item->fields[i];
        yajl_gen_map_open(w->g);
        text_field(w, "attr", f->attr);
        name_field(w, "type", q_type_name(f->value.type));
        name(w, "value");
        value_or_null(w, &f->value);
        if (f->value.at_us)
            time_field(w, "at", f->value.at_us);
        yajl_gen_map_close(w->g);
    }
    yajl_gen_array_close(w->g);
}

static void ddl(writer *w, const q_ddl *d)
{
    static const char *const kinds[] = { "unknown", "create bucket", "drop bucket", "create record", "alter record", "drop record" };
    yajl_gen_map_open(w->g);
    name_field(w, "kind", kinds[d->kind >= Q_DDL_CREATE_BUCKET && d->kind <= Q_DDL_DROP_RECORD ? d->kind : 0]);
    text_field(w, "bucket", d->bucket);
    if (d->record.len)
        text_field(w, "record", d->record);
    if (d->count) {
        name(w, "attributes");
        yajl_gen_array_open(w->g);
        for (uint32_t i = 0; i < d->count; i++) {
            yajl_gen_map_open(w->g);
            text_field(w, "name", d->attrs[i].name);
            name_field(w, "type", q_kind_name(d->attrs[i].kind));
            name_field(w, "datatype", q_type_name(d->attrs[i].datatype));
            if (d->attrs[i].target.len)
                text_field(w, "target", d->attrs[i].target);
            yajl_gen_map_close(w->g);
        }
        yajl_gen_array_close(w->g);
    }
    yajl_gen_map_close(w->g);
}

static void item(writer *w, const q_item *i)
{
    static const char *const ops[] = { "unknown", "put", "delete", "check", "ddl" };
    static const struct { uint32_t bit; const char *name; } pres[] = { { Q_PRE_EXISTS, "exists" }, { Q_PRE_NOT_EXISTS, "not exists" }, { Q_PRE_SEQ_IS, "seq is" } };
    yajl_gen_map_open(w->g);
    name_field(w, "op", ops[i->op >= Q_I_PUT && i->op <= Q_I_DDL ? i->op : 0]);
    if (i->record.len)
        text_field(w, "record", i->record);
    uint_field(w, "incarnation", i->incarnation);
    if (i->op == Q_I_DDL) {
        name(w, "ddl");
        ddl(w, &i->ddl);
        yajl_gen_map_close(w->g);
        return;
    }
    name(w, "id");
    value_or_null(w, &i->id);
    if (i->pre) {
        name(w, "requires");
        yajl_gen_array_open(w->g);
        for (size_t p = 0; p < sizeof pres / sizeof pres[0]; p++)
            if (i->pre & pres[p].bit)
                name(w, pres[p].name);
        yajl_gen_array_close(w->g);
    }
    if (i->pre & Q_PRE_SEQ_IS)
        uint_field(w, "seq_is", i->seq_is);
    if (i->op == Q_I_PUT) {
        bool_field(w, "full", i->full);
        if (i->birth)
            uint_field(w, "birth", i->birth);
        fields(w, i);
    }
    yajl_gen_map_close(w->g);
}

static void redo_fields(writer *w, uint32_t engines, const q_slice redo[Q_EN_COUNT])
{
    for (int e = 0; e < Q_EN_COUNT; e++) {
        if (!(engines & Q_EN_BIT(e)))
            continue;
        q_writes writes;
        q_err err = Q_ERR_INIT;
        name(w, q_engine_name((q_engine_id)e));
        if (q_writes_decode(w->arena, redo[e], &writes, &err) != Q_OK) {
            error_object(w, &err);
            continue;
        }
        yajl_gen_array_open(w->g);
        for (uint32_t i = 0; i < writes.count; i++)
            item(w, &writes.items[i]);
        yajl_gen_array_close(w->g);
    }
}

static void redo(writer *w, const q_rec_decision *d)
{
    name(w, "redo");
    yajl_gen_map_open(w->g);
    redo_fields(w, d->participants, d->redo);
    yajl_gen_map_close(w->g);
}

static void engine_list(writer *w, const char *field, uint32_t engines)
{
    name(w, field);
    yajl_gen_array_open(w->g);
    for (int e = 0; e < Q_EN_COUNT; e++)
        if (engines & Q_EN_BIT(e))
            name(w, q_engine_name((q_engine_id)e));
    yajl_gen_array_close(w->g);
}

/* ---- records ---- */

static void decision_short(writer *w, const q_rec_decision *d)
{
    uint_field(w, "seq", d->seq);
    uint_field(w, "epoch", d->epoch);
    name_field(w, "outcome", d->committed ? "committed" : "aborted");
    time_field(w, "time", d->time_us);
    text_field(w, "bucket", d->bucket);
    text_field(w, "request_id", d->request_id);
    text_field(w, "principal", d->principal);
    engine_list(w, "participants", d->participants);
    text_field(w, "query", d->query);
}

static void decision_full(writer *w, const q_rec_decision *d)
{
    int_field(w, "partition", d->partition);
    int_field(w, "offset", d->offset);
    hex_field(w, "identity", d->identity, sizeof d->identity);
    hex_field(w, "body_hash", d->body_hash, sizeof d->body_hash);
    text_field(w, "reply_topic", d->reply_topic);
    text_field(w, "reply_type", d->reply_type);
    text_field(w, "reply", d->reply);
    redo(w, d);
    name(w, "events");
    yajl_gen_array_open(w->g);
    for (uint32_t i = 0; i < d->event_count; i++) {
        yajl_gen_map_open(w->g);
        text_field(w, "key", d->events[i].key);
        text_field(w, "value", d->events[i].value);
        yajl_gen_map_close(w->g);
    }
    yajl_gen_array_close(w->g);
    if (d->ddl.len) {
        q_ddl change;
        q_err err = Q_ERR_INIT;
        name(w, "ddl");
        if (q_ddl_decode(w->arena, d->ddl, &change, &err) == Q_OK)
            ddl(w, &change);
        else
            error_object(w, &err);
    }
}

static void numbers(writer *w, const char *field, const uint64_t *list, uint32_t count, bool full)
{
    if (!full) {
        uint_field(w, field, count);
        return;
    }
    name(w, field);
    yajl_gen_array_open(w->g);
    for (uint32_t i = 0; i < count; i++)
        uint_value(w, list[i]);
    yajl_gen_array_close(w->g);
}

static bool begin(writer *w, q_arena *arena)
{
    w->arena = arena;
    w->g = yajl_gen_alloc(NULL);
    if (w->g)
        yajl_gen_map_open(w->g);
    return w->g != NULL;
}

static void end(writer *w, q_buf *out)
{
    const unsigned char *text;
    size_t n;
    yajl_gen_map_close(w->g);
    if (yajl_gen_get_buf(w->g, &text, &n) == yajl_gen_status_ok)
        q_buf_add(out, text, n);
    else
        out->failed = true;
    yajl_gen_free(w->g);
}

void q_wal_record_json(q_arena *arena, const q_rec *r, size_t record_bytes, bool full, q_buf *out)
{
    writer w;
    if (!begin(&w, arena)) {
        out->failed = true;
        return;
    }
    uint_field(&w, "lsn", r->lsn);
    name_field(&w, "type", q_rec_type_name(r->type));
    uint_field(&w, "bytes", record_bytes);
    switch (r->type) {
    case Q_REC_EPOCH:
        uint_field(&w, "epoch", r->epoch.epoch);
        time_field(&w, "time", r->epoch.time_us);
        text_field(&w, "version", r->epoch.version);
        break;
    case Q_REC_DECISION:
        decision_short(&w, &r->decision);
        if (full)
            decision_full(&w, &r->decision);
        break;
    case Q_REC_TAIL:
        numbers(&w, "ended", r->tail.ended, r->tail.ended_count, full);
        numbers(&w, "published", r->tail.published, r->tail.published_count, full);
        break;
    case Q_REC_OPERATOR: text_field(&w, "text", r->text); break;
    case Q_REC_RESOLVE:
        uint_field(&w, "seq", r->resolve.seq);
        uint_field(&w, "epoch", r->resolve.epoch);
        name_field(&w, "outcome", r->resolve.abandoned ? "abandoned" : "retried");
        time_field(&w, "time", r->resolve.time_us);
        engine_list(&w, "participants", r->resolve.engines);
        text_field(&w, "who", r->resolve.who);
        text_field(&w, "why", r->resolve.why);
        break;
    }
    end(&w, out);
}

void q_wal_redo_json(q_arena *arena, uint32_t engines, const q_slice writes[Q_EN_COUNT], q_buf *out)
{
    writer w;
    if (!begin(&w, arena)) {
        out->failed = true;
        return;
    }
    redo_fields(&w, engines, writes);
    end(&w, out);
}

/* "r/<bucket>/<record>" -> the record, when the catalog has it. */
static const q_record *record_of_key(const q_catalog *c, q_slice key)
{
    const char *slash = key.len > 2 && key.ptr[0] == 'r' ? memchr(key.ptr + 2, '/', key.len - 2) : NULL;
    if (!slash)
        return NULL;
    q_slice bucket = q_slice_of(key.ptr + 2, (size_t)(slash - key.ptr) - 2);
    return q_catalog_record(c, bucket, q_slice_of(slash + 1, key.len - bucket.len - 3));
}

static void definition(writer *w, q_catalog **catalog, q_slice key, q_slice value)
{
    q_err err = Q_ERR_INIT;
    q_buf text = Q_BUF_INIT(1 << 20);
    if (q_catalog_load(catalog, value, &err) != Q_OK) {
        name(w, "definition");
        error_object(w, &err);
        return;
    }
    const q_record *r = record_of_key(*catalog, key);
    const q_bucket *b = r ? NULL : q_catalog_bucket(*catalog, q_slice_of(key.ptr + 2, key.len > 2 ? key.len - 2 : 0));
    if (r) {
        q_record_to_quantaql(r, &text);
        uint_field(w, "incarnation", r->incarnation);
        uint_field(w, "version", r->version);
        text_field(w, "definition", q_buf_slice(&text));
    } else if (b) {
        uint_field(w, "incarnation", b->incarnation);
    }
    q_buf_free(&text);
}

void q_wal_entry_json(q_arena *arena, q_catalog **catalog, q_log_table table, q_slice key, q_slice value, q_buf *out)
{
    static const char *const tables[] = { "", "meta", "position", "catalog" };
    writer w;
    if (!begin(&w, arena)) {
        out->failed = true;
        return;
    }
    name_field(&w, "table", tables[table >= Q_LT_META && table < Q_LT_COUNT ? table : 0]);
    text_field(&w, "key", key);
    if (table == Q_LT_CATALOG)
        definition(&w, catalog, key, value);
    else
        text_field(&w, "value", value);
    end(&w, out);
}
