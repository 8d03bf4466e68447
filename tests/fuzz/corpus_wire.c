/* corpus_wire.c - writes the first inputs of fuzz_wire: messages, writes, schema changes and documents from seeds, and texts.
 * Usage: corpus_wire DIR. `make fuzz-wire-corpus` calls it; its output is committed in tests/fuzz/corpus/wire. */
#include <stdlib.h>

#include "tests/unit/schemas_wire/generate_wire.h"

static int save(const char *dir, const char *kind, unsigned n, q_slice bytes)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s_%02u", dir, kind, n);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes.ptr ? bytes.ptr : "", 1, bytes.len, f) == bytes.len;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        fprintf(stderr, "corpus_wire: can't write %s\n", path);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const char *const text[] = { "1d 3h",
                                        "-P1DT3H5M2.000007S",
                                        "2024-05-01T14:30:00.25+02:00",
                                        "123e4567-e89b-12d3-a456-426614174000",
                                        "-1234567890.123456789012345678",
                                        "8.95e1",
                                        "aGVsbG8=",
                                        "{\"a\":[1,{\"b\":null}],\"c\":\"\xc3\xa9\"}",
                                        "{\"record\":\"r\",\"attributes\":{\"id\":{\"type\":\"scalar\",\"datatype\":\"int\"},\"a\":{"
                                        "\"type\":\"metric\",\"unit\":\"duration\"}}}" };
    gen g = { 1, q_arena_new(0) };
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    int failed = argc != 2 || !g.arena;
    uint32_t kinds = 0;
    for (unsigned i = 0; !failed && i < 200; i++) {
        q_msg m = gen_msg(&g);
        q_buf_clear(&b);
        q_msg_encode(&m, &b);
        if (b.len < 600 && (m.count || m.kind == Q_M_FENCE || m.kind == Q_M_PURGE) && !(kinds & 1u << m.kind)) { /* one of each kind, none of them huge */
            kinds |= 1u << m.kind;
            failed |= save(argv[1], "message", (unsigned)m.kind, q_buf_slice(&b));
        }
    }
    for (unsigned i = 0; !failed && i < 8; i++) {
        q_writes w = gen_writes(&g);
        q_ddl d = gen_ddl(&g);
        q_buf_clear(&b);
        q_writes_encode(&w, &b);
        failed |= save(argv[1], "writes", i, q_buf_slice(&b));
        q_buf_clear(&b);
        q_ddl_encode(&d, &b);
        failed |= save(argv[1], "ddl", i, q_buf_slice(&b));
        failed |= save(argv[1], "document", i, gen_doc(&g));
    }
    for (unsigned i = 0; !failed && i < sizeof text / sizeof *text; i++)
        failed |= save(argv[1], "text", i, q_slice_cstr(text[i]));
    q_buf_free(&b);
    q_arena_free(g.arena);
    return failed;
}
