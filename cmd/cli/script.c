#include "cmd/cli/script.h"

#include "quantaql/quantaql.h"

#include <strings.h>

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

q_rc q_cut_next(q_cut *cut, size_t *from, size_t *to)
{
    while (cut->at < cut->text.len && is_space(cut->text.ptr[cut->at]))
        cut->at++;
    *from = *to = cut->at;
    size_t end = 0;
    q_rc rc = cut->at == cut->text.len ? Q_END : q_ql_split(q_slice_of(cut->text.ptr + cut->at, cut->text.len - cut->at), &end);
    if (rc == Q_END)
        return Q_END;
    *to = rc == Q_OK ? cut->at + end : cut->text.len;
    cut->at = *to;
    return rc == Q_OK ? Q_OK : Q_WAIT;
}

/* A cheap look before a parse: whether the word may be in it. */
static bool mentions(q_slice text, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.len; i++)
        if (strncasecmp(text.ptr + i, word, n) == 0)
            return true;
    return false;
}

static q_script *parse(q_arena *arena, q_slice text)
{
    q_script *script = NULL;
    q_err err = Q_ERR_INIT;
    return arena && q_ql_parse(arena, text, &script, &err) == Q_OK ? script : NULL;
}

bool q_script_use(q_slice text, char bucket[Q_MAX_NAME_BYTES + 1], bool *only)
{
    *only = false;
    if (!mentions(text, "use"))
        return false;
    q_arena *arena = q_arena_new(0);
    const q_script *script = parse(arena, text);
    bool found = false;
    *only = script && script->count > 0;
    for (uint32_t i = 0; script && i < script->count; i++) {
        const q_stmt *s = &script->stmts[i];
        if (s->kind != Q_S_USE) {
            *only = false;
        } else if (s->bucket.len <= Q_MAX_NAME_BYTES) {
            memcpy(bucket, s->bucket.ptr, s->bucket.len);
            bucket[s->bucket.len] = '\0';
            found = true;
        }
    }
    *only = *only && found;
    q_arena_free(arena);
    return found;
}

bool q_script_defines(q_slice text)
{
    if (!mentions(text, "create") && !mentions(text, "drop") && !mentions(text, "alter"))
        return false;
    q_arena *arena = q_arena_new(0);
    const q_script *script = parse(arena, text);
    bool found = false;
    for (uint32_t i = 0; script && i < script->count; i++)
        found = found || script->stmts[i].kind == Q_S_DDL;
    q_arena_free(arena);
    return found;
}
