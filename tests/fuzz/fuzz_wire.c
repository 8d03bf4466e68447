/* fuzz_wire.c - whatever bytes arrive, a reader of schemas/ and schemas/wire/ refuses them or understands something valid: what it
 * understood encodes and decodes to the same again. LibFuzzer's entry point; tests/fuzz/fuzz_wire.mk builds and runs it. */
#include <stdlib.h>

#include "schemas/wire/wire.h"
#include "tests/unit/schemas_wire/generate_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)              \
    do {                             \
        if (!(condition))            \
            abort();                 \
    } while (0)

static void message(q_arena *arena, q_slice bytes, q_buf *b)
{
    q_err err = Q_ERR_INIT;
    q_msg m, again;
    if (q_msg_decode(arena, bytes, &m, &err) != Q_OK) {
        MUST(err.code != Q_E_NONE);
        return;
    }
    q_msg_encode(&m, b);
    MUST(q_msg_decode(arena, q_buf_slice(b), &again, &err) == Q_OK && msg_identical(&m, &again));
}

static void writes(q_arena *arena, q_slice bytes, q_buf *b)
{
    q_err err = Q_ERR_INIT;
    q_writes w, again;
    if (q_writes_decode(arena, bytes, &w, &err) != Q_OK) {
        MUST(err.code != Q_E_NONE);
        return;
    }
    q_writes_encode(&w, b);
    MUST(q_writes_decode(arena, q_buf_slice(b), &again, &err) == Q_OK && writes_identical(&w, &again));
}

static void schema(q_arena *arena, q_slice bytes, q_buf *b)
{
    q_err err = Q_ERR_INIT;
    q_ddl d, again;
    if (q_ddl_decode(arena, bytes, &d, &err) == Q_OK) {
        q_ddl_encode(&d, b);
        MUST(q_ddl_decode(arena, q_buf_slice(b), &again, &err) == Q_OK && ddl_identical(&d, &again));
        d.kind = Q_DDL_CREATE_RECORD; /* through the rules of definitions, too */
    }
    q_catalog *c = q_catalog_new(), *next = NULL;
    q_ddl bucket = { .kind = Q_DDL_CREATE_BUCKET, .bucket = Q_SLICE_LIT("b") };
    MUST(c && q_catalog_apply(c, &bucket, 1, &next, &err) == Q_OK);
    q_catalog_unref(c);
    if (q_catalog_load(&next, bytes, &err) == Q_OK) {
        q_buf_clear(b);
        for (size_t i = 0; i < q_catalog_count(next); i++)
            for (uint32_t r = 0; r < q_catalog_at(next, i)->count; r++)
                q_record_to_json(q_catalog_at(next, i)->records[r], b);
        MUST(!b->failed);
    }
    q_catalog_unref(next);
    (void)!q_ddl_from_json(arena, Q_SLICE_LIT("b"), bytes, &d, &err);
}

static void document(q_arena *arena, q_slice bytes, q_buf *b)
{
    q_err err = Q_ERR_INIT;
    q_value v;
    q_slice out;
    const q_step steps[] = { { .key = Q_SLICE_LIT("a") }, { .is_index = true, .index = 1 } };
    bool valid = q_doc_validate(bytes, &err) == Q_OK;
    bool got = q_doc_get(arena, bytes, steps, 2, &v, &err) == Q_OK;
    q_doc_to_json_buf(bytes, b);
    if (valid) {
        MUST(got && !b->failed && q_doc_equal(bytes, bytes));
        MUST(q_doc_from_json(arena, q_buf_slice(b), &out, &err) == Q_OK && q_doc_equal(bytes, out));
    }
    v = (q_value){ .type = Q_T_BOOL };
    if (q_doc_set(arena, bytes, steps, 2, &v, &out, &err) == Q_OK)
        MUST(q_doc_validate(out, &err) == Q_OK);
    if (q_doc_append(arena, bytes, steps, 1, &v, &out, &err) == Q_OK)
        MUST(q_doc_validate(out, &err) == Q_OK);
    if (q_doc_from_json(arena, bytes, &out, &err) == Q_OK)
        MUST(q_doc_validate(out, &err) == Q_OK);
}

static void texts(q_arena *arena, q_slice bytes, q_buf *b)
{
    q_err err = Q_ERR_INIT;
    for (int t = Q_T_BOOL; t <= Q_T_BYTES; t++) {
        q_value v, again;
        if (q_value_parse(arena, (q_type)t, bytes, &v, &err) != Q_OK)
            continue;
        q_buf_clear(b);
        q_value_text(&v, b);
        MUST(q_value_parse(arena, (q_type)t, q_buf_slice(b), &again, &err) == Q_OK && q_value_same(&v, &again));
        q_buf_clear(b);
        q_value_key(&v, b);
        MUST(q_value_from_key(q_buf_slice(b), &again) == Q_OK && q_value_same(&v, &again));
    }
    q_value id, again;
    if (q_value_from_key(bytes, &id) == Q_OK) {
        q_buf_clear(b);
        q_value_key(&id, b);
        MUST(q_value_from_key(q_buf_slice(b), &again) == Q_OK && q_value_same(&id, &again));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(q_arena *, q_slice, q_buf *) = { message, writes, schema, document, texts };
    q_arena *arena = q_arena_new((size_t)256 << 20);
    q_buf b = Q_BUF_INIT(64 << 20);
    MUST(arena);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        q_buf_clear(&b);
        readers[i](arena, q_slice_of(data, size), &b);
        q_arena_reset(arena);
    }
    q_buf_free(&b);
    q_arena_free(arena);
    return 0;
}
