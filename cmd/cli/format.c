#include "cmd/cli/format.h"

#include <stdlib.h>
#include <wchar.h>

enum { MAX_COLUMNS = 400, MAX_CELL = 120 }; /* a cell's width in a table; longer ones are cut, with an ellipsis */

bool q_format_from_name(const char *name, q_format *out)
{
    static const char *const names[] = { "table", "json", "csv" };
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (q_format)i;
            return true;
        }
    return false;
}

/* ---- cells ---- */

/* How many bytes at s are one control character: C0 and DEL are one; C1, which some terminals obey too, is two in UTF-8. 0: none. */
static size_t control_bytes(const char *s)
{
    unsigned char c = (unsigned char)s[0];
    if (c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0)
        return 2;
    return c && (c < 0x20 || c == 0x7f) ? 1 : 0;
}

/* Control characters would break the table or reach the terminal: shown as escapes. Free it. */
static char *escape_controls(const char *s)
{
    char *out = malloc(strlen(s) * 4 + 1), *at = out;
    if (!out)
        return NULL;
    while (*s) {
        size_t n = control_bytes(s);
        if (*s == '\n' || *s == '\t' || *s == '\r') {
            *at++ = '\\';
            *at++ = *s == '\n' ? 'n' : *s == '\t' ? 't' : 'r';
        } else if (n) {
            at += snprintf(at, 5, "\\x%02x", (unsigned char)s[n - 1]);
        } else {
            *at++ = *s;
        }
        s += n ? n : 1;
    }
    *at = '\0';
    return out;
}

void q_format_text(FILE *to, const char *text)
{
    char *safe = escape_controls(text);
    if (safe)
        fputs(safe, to);
    free(safe);
}

const char *q_format_age(int64_t ms, char *out, size_t size)
{
    long long s = ms / 1000;
    if (ms < 1000)
        snprintf(out, size, "%lldms", (long long)ms);
    else if (s < 60)
        snprintf(out, size, "%.1fs", (double)(ms / 100) / 10);
    else if (s < 3600)
        snprintf(out, size, "%lldm %02llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, size, "%lldh %02lldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, size, "%lldd %lldh", s / 86400, s / 3600 % 24);
    return out;
}

/* A cell's text; free it. */
static char *cell_text(const json_t *v, bool for_table)
{
    if (!v || json_is_null(v))
        return strdup(for_table ? "NULL" : "");
    if (json_is_string(v))
        return for_table ? escape_controls(json_string_value(v)) : strdup(json_string_value(v));
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT), *safe = NULL;
    if (!text || !for_table)
        return text;
    safe = escape_controls(text); /* C1 may stand unescaped in JSON */
    free(text);
    return safe;
}

/* Columns on a terminal of the first `max` columns' worth of s; *bytes how many bytes that is. */
static int width(const char *s, int max, size_t *bytes)
{
    mbstate_t state = { 0 };
    int total = 0;
    size_t at = 0, left = strlen(s);
    while (left) {
        wchar_t c;
        size_t n = mbrtowc(&c, s + at, left, &state);
        if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
            n = 1;
            c = L'?';
            memset(&state, 0, sizeof state);
        }
        int w = wcwidth(c);
        if (w < 0)
            w = 1;
        if (total + w > max)
            break;
        total += w;
        at += n;
        left -= n;
    }
    if (bytes)
        *bytes = at;
    return total;
}

static void put_cell(FILE *to, const char *text, int to_width, bool right)
{
    size_t bytes;
    int w = width(text, to_width, &bytes);
    bool cut = text[bytes] != '\0';
    if (cut && to_width > 1) {
        w = width(text, to_width - 1, &bytes) + 1;
    }
    if (right)
        fprintf(to, "%*s", to_width - w, "");
    fwrite(text, 1, bytes, to);
    if (cut)
        fputs("…", to);
    if (!right)
        fprintf(to, "%*s", to_width - w, "");
}

void q_format_cell(FILE *to, const char *text, int to_width, bool right)
{
    char *safe = escape_controls(text);
    put_cell(to, safe ? safe : "", to_width, right);
    free(safe);
}

static bool is_number(const json_t *v) { return json_is_number(v); }

static void put_rule(FILE *to, const int *widths, size_t count)
{
    for (size_t c = 0; c < count; c++) {
        fputs(c ? "+" : "", to);
        for (int i = 0; i < widths[c] + 2; i++)
            fputc('-', to);
    }
    fputc('\n', to);
}

static const json_t *cell_of(const json_t *row, const char *name, size_t c)
{
    return json_is_object(row) ? json_object_get(row, name) : json_array_get(row, c);
}

void q_format_table(FILE *to, const char *const *columns, size_t count, const json_t *rows)
{
    int widths[MAX_COLUMNS];
    size_t i;
    json_t *row;
    if (count > MAX_COLUMNS)
        count = MAX_COLUMNS;
    for (size_t c = 0; c < count; c++)
        widths[c] = width(columns[c], MAX_CELL, NULL);
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
        for (size_t c = 0; c < count; c++) {
            char *text = cell_text(cell_of(row, columns[c], c), true);
            int w = text ? width(text, MAX_CELL, NULL) : 0;
            if (w > widths[c])
                widths[c] = w;
            free(text);
        }
    }
    for (size_t c = 0; c < count; c++) {
        fputs(c ? "| " : " ", to);
        put_cell(to, columns[c], widths[c], false);
        fputc(' ', to);
    }
    fputc('\n', to);
    put_rule(to, widths, count);
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
        for (size_t c = 0; c < count; c++) {
            const json_t *v = cell_of(row, columns[c], c);
            char *text = cell_text(v, true);
            fputs(c ? "| " : " ", to);
            put_cell(to, text ? text : "", widths[c], is_number(v));
            fputc(' ', to);
            free(text);
        }
        fputc('\n', to);
    }
    size_t n = json_array_size(rows);
    fprintf(to, "(%zu row%s)\n", n, n == 1 ? "" : "s");
}

static void put_expanded(FILE *to, const char *const *columns, size_t count, const json_t *rows)
{
    int name_width = 0;
    size_t i;
    json_t *row;
    for (size_t c = 0; c < count; c++) {
        int w = width(columns[c], MAX_CELL, NULL);
        name_width = w > name_width ? w : name_width;
    }
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
        int n = fprintf(to, "-[ row %zu ]", i + 1);
        for (; n < name_width + 20; n++)
            fputc(n == name_width + 1 ? '+' : '-', to);
        fputc('\n', to);
        for (size_t c = 0; c < count; c++) {
            char *text = cell_text(cell_of(row, columns[c], c), true);
            put_cell(to, columns[c], name_width, false);
            fprintf(to, " | %s\n", text ? text : "");
            free(text);
        }
    }
    size_t n = json_array_size(rows);
    fprintf(to, "(%zu row%s)\n", n, n == 1 ? "" : "s");
}

/* ---- results ---- */

static size_t column_names(const json_t *entry, const char **names)
{
    size_t i, count = 0;
    json_t *column;
    json_array_foreach(json_object_get(entry, "columns"), i, column) {
        const char *name = json_string_value(json_object_get(column, "name"));
        if (count < MAX_COLUMNS)
            names[count++] = name ? name : "";
    }
    return count;
}

static void put_csv_field(FILE *to, const char *s)
{
    if (!strpbrk(s, ",\"\r\n")) {
        fputs(s, to);
        return;
    }
    fputc('"', to);
    for (; *s; s++) {
        if (*s == '"')
            fputc('"', to);
        fputc(*s, to);
    }
    fputc('"', to);
}

static void put_csv(FILE *to, const json_t *entry)
{
    const char *names[MAX_COLUMNS];
    size_t count = column_names(entry, names), i;
    json_t *row;
    for (size_t c = 0; c < count; c++) {
        if (c)
            fputc(',', to);
        put_csv_field(to, names[c]);
    }
    fputs("\r\n", to);
    json_array_foreach(json_object_get(entry, "rows"), i, row) {
        for (size_t c = 0; c < count; c++) {
            char *text = cell_text(json_array_get(row, c), false);
            if (c)
                fputc(',', to);
            put_csv_field(to, text ? text : "");
            free(text);
        }
        fputs("\r\n", to);
    }
}

static void put_effect(FILE *to, const json_t *entry)
{
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    const json_t *count = json_object_get(entry, "count");
    for (const char *k = kind ? kind : ""; *k; k++)
        fputc(*k == '_' ? ' ' : *k >= 'a' && *k <= 'z' ? *k - 32 : *k, to);
    if (json_is_integer(count))
        fprintf(to, " %lld", (long long)json_integer_value(count));
    fputc('\n', to);
}

void q_format_result(FILE *to, q_format format, const json_t *result)
{
    if (format == Q_FORMAT_JSON) {
        json_dumpf(result, to, JSON_COMPACT);
        fputc('\n', to);
        return;
    }
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(result, "results"), i, entry) {
        bool rows = json_is_array(json_object_get(entry, "rows"));
        if (rows && format == Q_FORMAT_CSV) {
            put_csv(to, entry);
        } else if (rows) {
            const char *names[MAX_COLUMNS];
            size_t count = column_names(entry, names);
            if (format == Q_FORMAT_EXPANDED)
                put_expanded(to, names, count, json_object_get(entry, "rows"));
            else
                q_format_table(to, names, count, json_object_get(entry, "rows"));
        } else if (format != Q_FORMAT_CSV) {
            put_effect(to, entry);
        }
    }
    const char *status = json_string_value(json_object_get(result, "status"));
    if (format != Q_FORMAT_CSV && status && !strcmp(status, "rolled_back"))
        fputs("ROLLED BACK\n", to);
}

/* ---- errors ---- */

enum { MAX_PLACE = 100 }; /* columns of a statement's line that are shown around the place */

/* The code point at s: how many bytes, how many columns (at least one, so that the caret stays under it). */
static size_t code_point(const char *s, size_t left, int *columns)
{
    mbstate_t state = { 0 };
    wchar_t c;
    size_t n = mbrtowc(&c, s, left, &state);
    bool good = n != (size_t)-1 && n != (size_t)-2 && n != 0;
    *columns = good && wcwidth(c) > 0 ? wcwidth(c) : 1;
    return good ? n : 1;
}

static void put_code_point(FILE *to, const char *s, size_t n)
{
    char one[8] = { 0 };
    memcpy(one, s, n < sizeof one ? n : sizeof one - 1);
    if (control_bytes(one) || !one[0] || (n == 1 && (unsigned char)one[0] >= 0x80))
        fputc(one[0] == '\t' ? ' ' : '?', to);
    else
        fwrite(s, 1, n, to);
}

/* The line of the script, cut to what is around the column, and a caret below. */
static void put_place(FILE *to, q_slice script, json_int_t line, json_int_t column)
{
    const char *at = script.ptr, *end = script.ptr + script.len;
    for (json_int_t l = 1; at && l < line; l++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    if (!at || at > end || column < 1)
        return;
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop)
        stop = end;
    json_int_t first = column > MAX_PLACE * 3 / 4 ? column - MAX_PLACE / 2 : 1, c = 1;
    int w, caret = 0, shown = 0;
    while (at < stop && c < first) {
        at += code_point(at, (size_t)(stop - at), &w);
        c++;
    }
    fprintf(to, "  %5lld | %s", (long long)line, first > 1 ? "…" : "");
    for (; at < stop && shown < MAX_PLACE; c++) {
        size_t n = code_point(at, (size_t)(stop - at), &w);
        put_code_point(to, at, n);
        at += n;
        shown += w;
        if (c < column)
            caret += w;
    }
    if (c < column)
        caret += (int)(column - c); /* past the line's end: the end of the text */
    fprintf(to, "%s\n        | %*s^\n", at < stop ? "…" : "", caret + (first > 1), "");
}

static json_int_t count_lines(const char *from, const char *to)
{
    json_int_t n = 0;
    while (from < to && (from = memchr(from, '\n', (size_t)(to - from)))) {
        from++;
        n++;
    }
    return n;
}

void q_format_error_in(FILE *to, const json_t *error, const char *name, q_slice script, size_t offset)
{
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *hint = json_string_value(json_object_get(error, "hint"));
    json_int_t line = json_integer_value(json_object_get(error, "line")), column = json_integer_value(json_object_get(error, "column"));
    json_int_t statement = json_integer_value(json_object_get(error, "statement"));
    if (line == 1) /* the message may begin within a line of the script */
        for (const char *at = script.ptr + offset; at > script.ptr && at[-1] != '\n'; at--)
            column += ((unsigned char)at[-1] & 0xc0) != 0x80;
    if (line && offset)
        line += count_lines(script.ptr, script.ptr + offset);
    fprintf(to, "%s: ", code ? code : "ERROR");
    q_format_text(to, message ? message : "");
    if (line)
        fprintf(to, " (%s%sline %lld, column %lld)", name ? name : "", name ? ", " : "", (long long)line, (long long)column);
    else if (statement)
        fprintf(to, " (statement %lld%s%s)", (long long)statement, name ? " of the transaction in " : "", name ? name : "");
    fputc('\n', to);
    if (line && script.len)
        put_place(to, script, line, column);
    if (hint && *hint) {
        fputs("  hint: ", to);
        q_format_text(to, hint);
        fputc('\n', to);
    }
    if (json_is_true(json_object_get(error, "retryable")))
        fputs("  it may pass: try again under a new request id\n", to);
}

void q_format_error(FILE *to, const json_t *error, q_slice query) { q_format_error_in(to, error, NULL, query, 0); }
