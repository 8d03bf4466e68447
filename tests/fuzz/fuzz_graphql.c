/* A GraphQL document, with variables of its own (behind the first NUL, as JSON), against a schema with everything in it: parsed, checked, planned, asked, told rows
 * and answered. What it asks is looked at: no byte of a value may be in a statement, which a marker in every string would show. */
#include "graphql/request.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(x) do { if (!(x)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); abort(); } } while (0)
#define NAME(s) { s, sizeof(s) - 1 }

static q_gql_attr a_attrs[] = { { .name = NAME("id"), .datatype = NAME("int") }, { .name = NAME("name"), .datatype = NAME("string") },
    { .name = NAME("doc"), .kind = Q_GQL_A_DOCUMENT }, { .name = NAME("n"), .datatype = NAME("int") }, { .name = NAME("d"), .datatype = NAME("decimal") },
    { .name = NAME("one"), .kind = Q_GQL_A_RELATION, .target = NAME("b") }, { .name = NAME("many"), .kind = Q_GQL_A_RELATION, .target = NAME("a"), .many = true },
    { .name = NAME("m"), .kind = Q_GQL_A_METRIC, .datatype = NAME("float") } };
static q_gql_attr b_attrs[] = { { .name = NAME("id"), .datatype = NAME("string") }, { .name = NAME("up"), .kind = Q_GQL_A_RELATION, .target = NAME("a"), .required = true },
    { .name = NAME("ok"), .datatype = NAME("bool") } };
static const q_gql_record records[] = { { NAME("a"), a_attrs, sizeof a_attrs / sizeof a_attrs[0] }, { NAME("b"), b_attrs, sizeof b_attrs / sizeof b_attrs[0] } };

/* Rows of more columns than asked for are refused, so each statement's columns are counted by their names. */
static uint32_t columns_of(const char *statement, const char *end)
{
    uint32_t n = 0;
    for (const char *s = statement; s + 5 < end; s++)
        n += memcmp(s, " AS c", 5) == 0;
    return n;
}

static bool is_text(char c) { return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7F; }

static void look_at(const q_gql_question *q)
{
    for (size_t i = 0; i < q->query.len; i++)
        MUST(is_text(q->query.ptr[i]) && !strchr(q->writes ? "'\\#\n" : "'\\#\n{}", q->query.ptr[i]));
}

static void run(q_arena *arena, q_gql_request *r)
{
    static const char *const values[] = { "1", "[1,2,1]", "\"x\"", "null", "{\"k\":[1,{\"z\":0.10}]}" };
    yajl_val kept[64 * 8];
    uint32_t kept_count = 0, turn = 0;
    q_gql_question q;
    q_err err = Q_ERR_INIT;
    q_rc rc;
    for (uint32_t level = 0; (rc = q_gql_ask(r, &q, &err)) == Q_OK; level++) {
        MUST(level <= Q_GQL_MAX_LEVELS && q.count);
        look_at(&q);
        json_decref(q.params);
        q_gql_told *told = Q_NEW_ARRAY(arena, q_gql_told, q.count);
        const char *at = q.query.ptr, *stop = at + q.query.len;
        if (!told)
            break;
        for (uint32_t i = 0; i < q.count && kept_count < 64 * 8; i++) {
            const char *end = strstr(at, "; ");
            if (end && end - at == 5) { /* BEGIN */
                at = end + 2;
                end = strstr(at, "; ");
            }
            end = end ? end : stop;
            q_buf row = Q_BUF_INIT((size_t)1 << 16);
            uint32_t n = columns_of(at, end);
            q_buf_add_cstr(&row, "[1");
            for (uint32_t c = 1; c < n; c++)
                q_buf_printf(&row, ",%s", values[turn++ % 5]);
            q_buf_add(&row, "]", 2);
            yajl_val v = yajl_tree_parse(row.ptr, NULL, 0);
            q_buf_free(&row);
            MUST(v);
            kept[kept_count++] = v;
            told[i].rows = Q_NEW(arena, yajl_val);
            if (told[i].rows && n) {
                told[i].rows[0] = v;
                told[i].row_count = 1;
            }
            at = end + 2 < stop ? end + 2 : stop;
        }
        rc = q_gql_tell(r, told, 7, "1-2", &err);
        if (rc != Q_OK)
            break;
    }
    if (rc == Q_END) {
        q_buf out = Q_BUF_INIT((size_t)4 << 20);
        q_gql_answer(r, &out);
        q_buf_add_byte(&out, '\0');
        if (!out.failed) {
            yajl_val v = yajl_tree_parse(out.ptr, NULL, 0);
            MUST(v);
            yajl_tree_free(v);
        }
        q_buf_free(&out);
    } else {
        MUST(err.code != Q_E_NONE);
    }
    while (kept_count)
        yajl_tree_free(kept[--kept_count]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static q_arena *arena;
    q_gql_schema *schema = NULL;
    const q_gql_limits limits = { 10, 100 };
    q_err err = Q_ERR_INIT;
    q_gql_request *r = NULL;
    if (!arena)
        arena = q_arena_new((size_t)256 << 20);
    MUST(arena && q_gql_schema_build(arena, records, 2, &schema, &err) == Q_OK);
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    json_t *variables = nul ? json_loadb((const char *)nul + 1, size - n - 1, 0, NULL) : NULL;
    if (q_gql_request_new(arena, &limits, schema, q_slice_of(data, n), Q_SLICE_NONE, variables, &r, &err) == Q_OK) {
        run(arena, r);
    } else {
        MUST(err.code != Q_E_NONE && err.message[0]);
        q_buf out = Q_BUF_INIT((size_t)1 << 16);
        q_gql_errors(r, &err, false, &out);
        MUST(!out.failed);
        q_buf_free(&out);
    }
    q_gql_request_free(r);
    json_decref(variables);
    q_arena_reset(arena);
    return 0;
}
