#include "cmd/cli/ingest_batch.h"

#include "schemas/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static const json_t *find(const json_t *attributes, const char *name)
{
    size_t i;
    json_t *a;
    json_array_foreach((json_t *)(uintptr_t)attributes, i, a)
        if (!strcmp(member(a, "attribute"), name))
            return a;
    return NULL;
}

static bool is(const json_t *attribute, const char *column, const char *value) { return !strcmp(member(attribute, column), value); }

/* How many bytes of a text a message shows: whole code points. */
static int brief(const char *text)
{
    size_t n = strnlen(text, 60);
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    return (int)n;
}

/* ---- CSV's texts to values ---- */

static json_t *to_integer(const char *text)
{
    char *rest;
    errno = 0;
    long long n = strtoll(text, &rest, 10);
    return rest == text || *rest || errno ? NULL : json_integer(n);
}

static json_t *to_real(const char *text)
{
    char *rest;
    double d = strtod(text, &rest);
    return rest == text || *rest ? NULL : json_real(d); /* NULL for what isn't finite */
}

static json_t *to_bool(const char *text)
{
    static const char *const yes[] = { "true", "t", "yes", "1" }, *const no[] = { "false", "f", "no", "0" };
    for (size_t i = 0; i < 4; i++) {
        if (!strcasecmp(text, yes[i]))
            return json_true();
        if (!strcasecmp(text, no[i]))
            return json_false();
    }
    return NULL;
}

static json_t *to_json(const char *text)
{
    json_error_t e;
    json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    return v;
}

static json_t *to_value(const json_t *attribute, const char *text)
{
    const char *type = member(attribute, "datatype");
    if (is(attribute, "type", "document"))
        return to_json(text);
    if (is(attribute, "type", "relation"))
        return text[0] == '[' ? to_json(text) : json_string(text);
    if (!strcmp(type, "int"))
        return to_integer(text);
    if (!strcmp(type, "float"))
        return to_real(text);
    if (!strcmp(type, "bool"))
        return to_bool(text);
    return json_string(text);
}

q_rc q_ingest_shape(const json_t *attributes, bool typed, json_t *row, q_err *err)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(row, next, name, value) {
        const json_t *attribute = find(attributes, name);
        if (!attribute)
            return q_err_set(err, Q_E_UNKNOWN_ATTRIBUTE, "the record has no attribute %.*s", brief(name), name);
        if (json_is_null(value)) {
            json_object_del(row, name); /* NULL and absent are the same */
            continue;
        }
        json_t *better = typed ? json_incref(value) : to_value(attribute, json_string_value(value));
        if (!better)
            return q_err_set(err, Q_E_QQL_VALUE, "%s: '%.*s' is not %s %s", name, brief(json_string_value(value)), json_string_value(value),
                             is(attribute, "type", "document") || is(attribute, "type", "relation") ? "JSON for a" : "of type",
                             *member(attribute, "datatype") ? member(attribute, "datatype") : member(attribute, "type"));
        json_object_set_new(row, name, better);
    }
    if (!json_object_get(row, "id"))
        return q_err_set(err, Q_E_REQUEST_MALFORMED, "the row has no id");
    return Q_OK;
}

/* ---- the statement ---- */

/* The function that reads the value as the attribute's type; NULL: the value as it is. */
static const char *reader(const json_t *attribute)
{
    static const char *const typed[] = { "time", "duration", "uuid", "decimal", "bytes" };
    if (is(attribute, "type", "relation"))
        return "relation";
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++)
        if (is(attribute, "datatype", typed[i]))
            return typed[i];
    return NULL;
}

void q_ingest_statement(const json_t *attributes, const char *record, json_t *const *rows, size_t count, q_buf *query, json_t *params)
{
    size_t number = 0;
    q_buf_printf(query, "INSERT INTO `%s`\n", record);
    for (size_t i = 0; i < count; i++) {
        const char *name, *before = "";
        json_t *value;
        q_buf_add_cstr(query, "{ ");
        json_object_foreach(rows[i], name, value) {
            char param[24];
            const char *function = reader(find(attributes, name));
            snprintf(param, sizeof param, "p%zu", number++);
            q_buf_printf(query, "%s%s: %s%s$%s%s", before, name, function ? function : "", function ? "(" : "", param, function ? ")" : "");
            json_object_set(params, param, value);
            before = ", ";
        }
        q_buf_add_cstr(query, i + 1 < count ? " },\n" : " };");
    }
}

static int count_bytes(const char *buffer, size_t size, void *data)
{
    (void)buffer;
    *(size_t *)data += size;
    return 0;
}

size_t q_ingest_row_bytes(const json_t *row)
{
    size_t n = 0;
    const char *name;
    json_t *value;
    json_dump_callback(row, count_bytes, &n, JSON_COMPACT);
    json_object_foreach((json_t *)(uintptr_t)row, name, value)
        n += 2 * strlen(name) + 32; /* in the statement, and the parameter's name */
    return n;
}
