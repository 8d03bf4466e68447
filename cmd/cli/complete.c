#include "cmd/cli/complete.h"

#include "base/buf.h"
#include "quantaql/complete.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_TEXT = Q_QL_MAX_BYTES, MAX_GUESSED_RECORDS = 16 };

static const char *const functions[] = { "avg", "bytes", "count", "decimal", "duration", "max", "min", "path",
                                         "relation", "sum", "time", "uuid", NULL };
static const char *const types[] = { "bool", "bytes", "decimal", "duration", "float", "int", "string", "time", "uuid", NULL };
static const char *const formats[] = { "table", "json", "csv", NULL };

static void add(q_candidates *out, q_slice prefix, const char *text, const char *suffix)
{
    size_t n = strlen(text);
    if (out->count == Q_COMPLETE_MAX || n >= Q_COMPLETE_BYTES || n < prefix.len || strncasecmp(text, prefix.ptr, prefix.len) != 0)
        return;
    for (size_t i = 0; i < out->count; i++)
        if (!strcmp(out->items[i].text, text))
            return;
    memcpy(out->items[out->count].text, text, n + 1);
    out->items[out->count++].suffix = suffix;
}

static void add_list(q_candidates *out, q_slice prefix, const char *const *list, const char *suffix)
{
    for (; *list; list++)
        add(out, prefix, *list, suffix);
}

static void add_rows(q_candidates *out, q_slice prefix, const json_t *rows, const char *suffix)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
        const char *name = q_names_of(row);
        if (name)
            add(out, prefix, name, suffix);
    }
}

/* ---- attributes ---- */

static const char *member(const json_t *row, const char *name)
{
    const char *s = json_string_value(json_object_get(row, name));
    return s ? s : "";
}

static bool leads_on(const json_t *row) { return member(row, "target")[0] != '\0'; }

/* The record behind the hops: each is a relation. */
static const json_t *follow(const q_complete_ask *a, const q_next *next)
{
    const json_t *rows = q_names_attributes(a->names, a->client, a->bucket, next->record);
    for (uint32_t h = 0; rows && h < next->hop_count; h++) {
        size_t i;
        json_t *row, *found = NULL;
        json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
            const char *name = q_names_of(row);
            if (name && q_slice_eq(next->hops[h], q_slice_cstr(name)))
                found = row;
        }
        rows = found && leads_on(found) ? q_names_attributes(a->names, a->client, a->bucket, q_slice_cstr(member(found, "target"))) : NULL;
    }
    return rows;
}

static void add_attributes(const q_complete_ask *a, const q_next *next, q_slice prefix, q_candidates *out)
{
    size_t i;
    json_t *row;
    if (next->record.len == 0 && next->hop_count == 0) { /* SELECT before its FROM: whatever the bucket has */
        const json_t *records = q_names_records(a->names, a->client, a->bucket);
        size_t count = json_array_size(records) < MAX_GUESSED_RECORDS ? json_array_size(records) : MAX_GUESSED_RECORDS;
        for (i = 0; i < count; i++) {
            const char *name = q_names_of(json_array_get(q_names_records(a->names, a->client, a->bucket), i));
            if (name)
                add_rows(out, prefix, q_names_attributes(a->names, a->client, a->bucket, q_slice_cstr(name)), "");
        }
        return;
    }
    const json_t *rows = follow(a, next);
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
        const char *name = q_names_of(row);
        if (name && (next->name != Q_NEXT_RELATION || leads_on(row)))
            add(out, prefix, name, next->key ? ": " : "");
    }
}

/* ---- keywords: in the case that is being written ---- */

static bool writes_lower_case(const q_complete_ask *a, q_slice prefix)
{
    q_slice texts[] = { prefix, a->text, a->before };
    for (size_t t = 0; t < 3; t++)
        for (size_t i = 0; i < texts[t].len; i++)
            if (isalpha((unsigned char)texts[t].ptr[i]))
                return islower((unsigned char)texts[t].ptr[i]) != 0;
    return false;
}

static void add_words(const q_complete_ask *a, const q_next *next, q_slice prefix, q_candidates *out)
{
    bool lower = writes_lower_case(a, prefix);
    for (uint32_t i = 0; i < next->word_count; i++) {
        char word[40];
        size_t n = strlen(next->words[i]);
        if (n >= sizeof word)
            continue;
        for (size_t c = 0; c <= n; c++)
            word[c] = lower ? (char)tolower((unsigned char)next->words[i][c]) : next->words[i][c];
        add(out, prefix, word, " ");
    }
}

static void complete_statement(const q_complete_ask *a, q_slice prefix, q_candidates *out)
{
    q_buf text = Q_BUF_INIT(MAX_TEXT);
    q_next next;
    q_buf_add_slice(&text, a->text);
    q_buf_add(&text, a->before.ptr, a->before.len - prefix.len);
    if (!text.failed && q_ql_next(q_buf_slice(&text), a->after, &next)) {
        switch (next.name) {
        case Q_NEXT_BUCKET: add_rows(out, prefix, q_names_buckets(a->names, a->client), ""); break;
        case Q_NEXT_RECORD: add_rows(out, prefix, q_names_records(a->names, a->client, a->bucket), ""); break;
        case Q_NEXT_ATTRIBUTE:
        case Q_NEXT_RELATION: add_attributes(a, &next, prefix, out); break;
        case Q_NEXT_TYPE: add_list(out, prefix, types, ""); break;
        case Q_NEXT_NONE: break;
        }
        if (next.expression && next.hop_count == 0)
            add_list(out, prefix, functions, "(");
        add_words(a, &next, prefix, out);
    }
    q_buf_free(&text);
}

/* ---- the shell's own commands ---- */

static void add_files(q_candidates *out, q_slice prefix)
{
    char dir[PATH_MAX], path[PATH_MAX + 256];
    size_t cut = prefix.len;
    while (cut > 0 && prefix.ptr[cut - 1] != '/')
        cut--;
    if (cut >= sizeof dir)
        return;
    memcpy(dir, prefix.ptr, cut);
    dir[cut] = '\0';
    DIR *d = opendir(cut ? dir : ".");
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.' && !(prefix.len > cut && prefix.ptr[cut] == '.'))
            continue;
        int n = snprintf(path, sizeof path, "%s%s", dir, e->d_name);
        if (n < 0 || (size_t)n >= sizeof path - 1)
            continue;
        bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        add(out, prefix, path, is_dir ? "/" : "");
    }
    if (d)
        closedir(d);
}

static void complete_command(const q_complete_ask *a, q_candidates *out)
{
    q_slice line = a->before;
    while (line.len && line.ptr[0] == ' ') {
        line.ptr++;
        line.len--;
    }
    const char *space = memchr(line.ptr, ' ', line.len);
    if (!space) {
        out->prefix = line.len;
        add_list(out, line, a->commands, " ");
        return;
    }
    q_slice name = q_slice_of(line.ptr, (size_t)(space - line.ptr)), word = q_slice_of(space, line.len - name.len);
    while (word.len && word.ptr[0] == ' ') {
        word.ptr++;
        word.len--;
    }
    out->prefix = word.len;
    if (q_slice_eq(name, Q_SLICE_LIT("\\d")))
        add_rows(out, word, q_names_records(a->names, a->client, a->bucket), "");
    else if (q_slice_eq(name, Q_SLICE_LIT("\\u")))
        add_rows(out, word, q_names_buckets(a->names, a->client), "");
    else if (q_slice_eq(name, Q_SLICE_LIT("\\format")))
        add_list(out, word, formats, "");
    else if (q_slice_eq(name, Q_SLICE_LIT("\\i")))
        add_files(out, word);
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); } /* text is the item's first member */

void q_complete(const q_complete_ask *a, q_candidates *out)
{
    size_t at = 0, n = 0;
    out->count = out->prefix = 0;
    while (at < a->before.len && a->before.ptr[at] == ' ')
        at++;
    if (at < a->before.len && a->before.ptr[at] == '\\') {
        complete_command(a, out);
    } else {
        while (n < a->before.len && (isalnum((unsigned char)a->before.ptr[a->before.len - n - 1]) ||
                                     a->before.ptr[a->before.len - n - 1] == '_'))
            n++;
        out->prefix = n;
        complete_statement(a, q_slice_of(a->before.ptr + a->before.len - n, n), out);
    }
    qsort(out->items, out->count, sizeof out->items[0], by_text);
}
