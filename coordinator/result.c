#include "coordinator/result.h"

#include <assert.h>

/* ---- yajl over the arena ----------------------------------------------------------------------------------------------- */

/* yajl_gen_alloc makes two small structures and looks at the first only: a failing second one would crash it. So both come from room that
 * is there already. */
typedef struct gen_room { size_t used; _Alignas(16) char bytes[1024]; } gen_room;

static void *gen_alloc(void *ctx, size_t size)
{
    gen_room *room = ctx;
    size = (size + 15) & ~(size_t)15;
    assert(size <= sizeof room->bytes - room->used);
    void *p = room->bytes + room->used;
    room->used += size;
    return p;
}
static void *gen_realloc(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    (void)ptr;
    (void)size;
    return NULL; /* only yajl's own output buffer would grow, and the callback takes its place */
}
static void gen_free(void *ctx, void *ptr)
{
    (void)ctx;
    (void)ptr;
}

static void print(void *ctx, const char *text, size_t len)
{
    q_json *j = ctx;
    if (j->failed)
        return;
    if (len > j->cap - j->len) {
        size_t cap = j->cap ? j->cap * 2 : 512;
        while (cap < j->len + len)
            cap *= 2;
        char *grown = q_arena_alloc(j->arena, cap);
        if (!grown) {
            j->failed = true;
            return;
        }
        if (j->len)
            memcpy(grown, j->ptr, j->len);
        j->ptr = grown;
        j->cap = cap;
    }
    memcpy(j->ptr + j->len, text, len);
    j->len += len;
}

q_json *q_json_new(q_arena *arena)
{
    q_json *j = Q_NEW(arena, q_json);
    gen_room *room = j ? q_arena_alloc(arena, sizeof *room) : NULL;
    if (!room)
        return NULL;
    room->used = 0;
    yajl_alloc_funcs funcs = { gen_alloc, gen_realloc, gen_free, room };
    j->arena = arena;
    j->gen = yajl_gen_alloc(&funcs);
    if (!j->gen || !yajl_gen_config(j->gen, yajl_gen_print_callback, print, j))
        return NULL;
    return j;
}

yajl_gen q_json_begin(q_json *j)
{
    j->len = 0;
    j->failed = false;
    return q_json_value(j);
}

yajl_gen q_json_value(q_json *j)
{
    yajl_gen_reset(j->gen, NULL);
    return j->gen;
}

void q_json_raw(q_json *j, q_slice bytes) { print(j, bytes.ptr, bytes.len); }

void q_json_uint(q_json *j, uint64_t n)
{
    char text[20];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + n % 10);
    while (n /= 10);
    print(j, text + at, sizeof text - at);
}

q_slice q_json_end(q_json *j) { return j->failed || !j->len ? Q_SLICE_NONE : (q_slice){ j->ptr, j->len }; }

q_slice q_json_take(q_json *j)
{
    q_slice s = q_json_end(j);
    return s.ptr ? q_arena_copy(j->arena, s) : s;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------- */

enum { FIRST_CHUNK = 512, MAX_CHUNK = 64 << 10 };

static q_chunk *chunk_new(q_arena *arena, const q_chunk *before, size_t need)
{
    size_t cap = before ? (size_t)before->cap * 2 : FIRST_CHUNK;
    if (cap > MAX_CHUNK)
        cap = MAX_CHUNK;
    if (cap < need)
        cap = need;
    if (cap > UINT32_MAX)
        return NULL;
    q_chunk *c = q_arena_alloc(arena, sizeof *c + cap);
    if (c) {
        c->next = NULL;
        c->len = 0;
        c->cap = (uint32_t)cap;
    }
    return c;
}

bool q_result_row(q_arena *arena, q_result *r, q_slice row)
{
    q_chunk *c = r->last;
    if (!row.ptr)
        return false;
    if (!c || row.len + 1 > c->cap - c->len) {
        c = chunk_new(arena, c, row.len);
        if (!c)
            return false;
        if (r->last)
            r->last->next = c;
        else
            r->first = c;
        r->last = c;
    }
    if (c->len)
        c->bytes[c->len++] = ',';
    memcpy(c->bytes + c->len, row.ptr, row.len);
    c->len += (uint32_t)row.len;
    r->row_bytes += row.len + 1;
    return true;
}

/* ---- entries ----------------------------------------------------------------------------------------------------------- */

/* {"statement":1,"kind":"insert","count":1}; a SELECT's ends with its columns: …"columns":[…]} */
static q_slice entry_head(q_json *json, const q_result *r)
{
    q_json_begin(json);
    q_json_lit(json, "{\"statement\":");
    q_json_uint(json, r->statement);
    q_json_lit(json, ",\"kind\":\"");
    q_json_raw(json, q_slice_cstr(r->kind));
    q_json_lit(json, "\"");
    if (r->counted) {
        q_json_lit(json, ",\"count\":");
        q_json_uint(json, r->count);
    }
    if (r->columns.ptr) {
        q_json_lit(json, ",\"columns\":");
        q_json_raw(json, r->columns);
    }
    q_json_lit(json, "}");
    return q_json_end(json);
}

typedef struct composer {
    q_arena *arena;
    q_json *json;
    size_t max_bytes;
    uint32_t max_parts;
    q_result_part *parts;
    uint32_t part_count, part_cap, entry_cap;
    size_t used;           /* bytes of the part that is being filled */
} composer;

static bool part_new(composer *c)
{
    if (c->part_count == c->part_cap) {
        uint32_t cap = c->part_cap ? c->part_cap * 2 : 1;
        q_result_part *grown = Q_NEW_ARRAY(c->arena, q_result_part, cap);
        if (!grown)
            return false;
        if (c->part_count)
            memcpy(grown, c->parts, c->part_count * sizeof *grown);
        c->parts = grown;
        c->part_cap = cap;
    }
    c->parts[c->part_count++] = (q_result_part){ 0 };
    c->entry_cap = 0;
    c->used = 0;
    return true;
}

static bool add_entry(composer *c, q_slice entry)
{
    q_result_part *p = &c->parts[c->part_count - 1];
    if (!entry.ptr)
        return false;
    if (p->count == c->entry_cap) {
        uint32_t cap = c->entry_cap ? c->entry_cap * 2 : 4;
        q_slice *grown = Q_NEW_ARRAY(c->arena, q_slice, cap);
        if (!grown)
            return false;
        if (p->count)
            memcpy(grown, p->entries, p->count * sizeof *grown);
        p->entries = grown;
        c->entry_cap = cap;
    }
    p->entries[p->count++] = entry;
    c->used += entry.len + 1;
    return true;
}

static const char ROWS[] = ",\"rows\":[", ROWS_END[] = "]}";

/* The head, and the chunks from `from` up to `to` (not included) as its rows. */
static q_slice with_rows(q_arena *arena, q_slice head, const q_chunk *from, const q_chunk *to)
{
    size_t len = head.len + sizeof ROWS + sizeof ROWS_END;
    for (const q_chunk *c = from; c != to; c = c->next)
        len += c->len + 1u;
    char *p = q_arena_alloc(arena, len), *at = p;
    if (!p)
        return Q_SLICE_NONE;
    memcpy(at, head.ptr, head.len - 1); /* without its closing brace */
    at += head.len - 1;
    memcpy(at, ROWS, sizeof ROWS - 1);
    at += sizeof ROWS - 1;
    for (const q_chunk *c = from; c != to; c = c->next) {
        if (c != from)
            *at++ = ',';
        memcpy(at, c->bytes, c->len);
        at += c->len;
    }
    memcpy(at, ROWS_END, sizeof ROWS_END - 1);
    at += sizeof ROWS_END - 1;
    return (q_slice){ p, (size_t)(at - p) };
}

static q_rc too_large(const composer *c, const q_result *r, q_err *err)
{
    q_err_set(err, Q_E_RESULT_TOO_LARGE, "The result is larger than %zu bytes.", c->max_bytes * c->max_parts);
    q_err_hint(err, "Use LIMIT, fewer columns, or several statements by ranges of id.");
    err->statement = r->statement;
    return Q_FAIL;
}

static q_rc no_memory(q_err *err) { return q_err_set(err, Q_E_LIMIT_MEMORY, "The result needs more memory than one may have."); }

/* An entry in as many parts as it takes; a statement's rows go on across parts. */
static q_rc compose_one(composer *c, const q_result *r, q_err *err)
{
    q_slice head = entry_head(c->json, r);
    if (!head.ptr)
        return no_memory(err);
    if (!r->columns.ptr) {
        if (c->used + head.len > c->max_bytes)
            return c->part_count < c->max_parts ? (part_new(c) ? compose_one(c, r, err) : no_memory(err)) : too_large(c, r, err);
        return add_entry(c, q_arena_copy(c->arena, head)) ? Q_OK : no_memory(err);
    }
    const q_chunk *from = r->first;
    do {
        size_t fixed = head.len + sizeof ROWS + sizeof ROWS_END, bytes = fixed;
        const q_chunk *to = from;
        while (to && c->used + bytes + to->len + 1 <= c->max_bytes) {
            bytes += to->len + 1u;
            to = to->next;
        }
        bool empty = from && to == from, over = c->used + fixed > c->max_bytes;
        if ((empty || over) && c->used == 0)
            return too_large(c, r, err); /* one row alone is too much */
        if (!empty && !over) {
            if (!add_entry(c, with_rows(c->arena, head, from, to)))
                return no_memory(err);
            from = to;
            if (!from)
                return Q_OK;
        }
        if (c->part_count == c->max_parts)
            return too_large(c, r, err);
        if (!part_new(c))
            return no_memory(err);
    } while (true);
}

q_rc q_results_compose(q_arena *arena, q_json *json, const q_result *results, uint32_t count, size_t max_bytes, uint32_t max_parts,
                       q_result_part **parts, uint32_t *part_count, q_err *err)
{
    composer c = { .arena = arena, .json = json, .max_bytes = max_bytes, .max_parts = max_parts };
    if (!part_new(&c))
        return no_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        q_rc rc = results[i].kind ? compose_one(&c, &results[i], err) : Q_OK;
        if (rc != Q_OK)
            return rc;
    }
    *parts = c.parts;
    *part_count = c.part_count;
    return Q_OK;
}
