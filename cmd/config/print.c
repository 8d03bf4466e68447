/* What holds, for a person; and docs/configuration.md. */
#include "cmd/config/settings.h"

#include <inttypes.h>
#include <stdio.h>

static size_t section_len(const char *path) { return (size_t)(strrchr(path, '.') - path); }

static bool same_section(const char *a, const char *b)
{
    return section_len(a) == section_len(b) && !strncmp(a, b, section_len(a));
}

/* A YAML double-quoted scalar; JSON's escapes are YAML's. */
static void quoted(q_buf *out, const char *s)
{
    q_buf_add_byte(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            q_buf_add_byte(out, '\\');
        if ((unsigned char)*s < 0x20)
            q_buf_printf(out, "\\x%02x", (unsigned char)*s);
        else
            q_buf_add_byte(out, (uint8_t)*s);
    }
    q_buf_add_byte(out, '"');
}

/* scheme://user:password@host -> scheme://user:***@host, and ?…password=…, token=… cut away with the query. */
static void uri(q_buf *out, const char *s)
{
    const char *from = strstr(s, "://"), *at = from ? strrchr(s, '@') : NULL, *colon = at ? memchr(from + 3, ':', (size_t)(at - from - 3)) : NULL;
    const char *query = strchr(at ? at : s, '?');
    size_t end = query ? (size_t)(query - s) : strlen(s);
    q_buf text = Q_BUF_INIT(Q_CONFIG_MAX_VALUE);
    if (colon) {
        q_buf_add(&text, s, (size_t)(colon + 1 - s));
        q_buf_add_cstr(&text, "***");
        q_buf_add(&text, at, end - (size_t)(at - s));
    } else if (from) {
        q_buf_add(&text, s, end);
    } else {
        q_buf_add_cstr(&text, "***"); /* libpq's `host=… password=…` */
    }
    if (query)
        q_buf_add_cstr(&text, "?***");
    q_buf_add_byte(&text, 0);
    if (text.ptr)
        quoted(out, text.ptr);
    q_buf_free(&text);
}

static void value(q_buf *out, const q_config *c, const q_setting *s)
{
    const char *field = (const char *)c + s->offset;
    switch (s->type) {
    case Q_SET_NUMBER:
    case Q_SET_BYTES:
        q_buf_printf(out, "%" PRId64, *(const int64_t *)(const void *)field);
        return;
    case Q_SET_BOOL:
        q_buf_add_cstr(out, *(const int64_t *)(const void *)field ? "true" : "false");
        return;
    case Q_SET_TEXT:
    case Q_SET_PATH:
    case Q_SET_CHOICE: {
        const char *text = *(const char *const *)(const void *)field;
        if (!text)
            q_buf_add_cstr(out, "# not given");
        else if (s->flags & Q_SET_SECRET)
            q_buf_add_cstr(out, "\"***\"");
        else if (s->flags & Q_SET_HIDE_PASSWORD)
            uri(out, text);
        else
            quoted(out, text);
        return;
    }
    case Q_SET_LIST:
        q_buf_add_byte(out, '[');
        for (const char *const *item = *(const char *const *const *)(const void *)field, *const *first = item; *item; item++) {
            q_buf_add_cstr(out, item == first ? "" : ", ");
            quoted(out, *item);
        }
        q_buf_add_byte(out, ']');
        return;
    case Q_SET_MAP:
        q_buf_add_byte(out, '{');
        for (const q_config_pair *p = *(const q_config_pair *const *)(const void *)field, *first = p; p->name; p++) {
            q_buf_add_cstr(out, p == first ? "" : ", ");
            quoted(out, p->name);
            q_buf_add_cstr(out, s->flags & Q_SET_SECRET ? ": \"***\"" : ": ");
            if (!(s->flags & Q_SET_SECRET))
                quoted(out, p->value);
        }
        q_buf_add_byte(out, '}');
        return;
    }
}

void q_config_print(const q_config *c, q_buf *out)
{
    for (size_t i = 0; i < q_settings_count; i++) {
        const char *path = q_settings[i].path;
        if (i == 0 || !same_section(path, q_settings[i - 1].path)) {
            size_t n = section_len(path);
            const char *dot = memchr(path, '.', n);
            bool more = i > 0 && dot && !strncmp(q_settings[i - 1].path, path, (size_t)(dot - path) + 1);
            if (dot) {
                if (!more)
                    q_buf_printf(out, "%.*s:\n", (int)(dot - path), path);
                q_buf_printf(out, "  %.*s:\n", (int)(n - (size_t)(dot - path) - 1), dot + 1);
            } else {
                q_buf_printf(out, "%.*s:\n", (int)n, path);
            }
        }
        q_buf_printf(out, "%s%s: ", memchr(path, '.', section_len(path)) ? "    " : "  ", path + section_len(path) + 1);
        value(out, c, &q_settings[i]);
        q_buf_add_byte(out, '\n');
    }
}

static void bound(q_buf *out, const q_setting *s, int64_t n)
{
    static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB" };
    size_t u = 0;
    for (; s->type == Q_SET_BYTES && n && u < 4 && n % 1024 == 0; u++)
        n /= 1024;
    q_buf_printf(out, "%" PRId64 "%s", n, units[u]);
}

void q_config_markdown(q_buf *out)
{
    static const char *const types[] = { [Q_SET_TEXT] = "text", [Q_SET_PATH] = "path", [Q_SET_NUMBER] = "number", [Q_SET_BYTES] = "bytes",
                                         [Q_SET_BOOL] = "true or false", [Q_SET_CHOICE] = "text", [Q_SET_LIST] = "list", [Q_SET_MAP] = "map" };
    q_buf_add_cstr(out,
        "# Configuration: quanta.yaml\n\n"
        "<!-- `make docs` writes this file from cmd/config/settings.c. -->\n\n"
        "Every program takes `-c quanta.yaml`. The file is YAML: sections with settings below them. All settings have defaults but `kafka.bootstrap`, "
        "and an engine takes part when its `uri` is given (or when it is in `embedded.engines`).\n\n"
        "    kafka: { bootstrap: \"broker-1:9092,broker-2:9092\" }\n"
        "    wal: { dir: /var/lib/quanta/wal }\n"
        "    engines:\n"
        "      postgres: { uri: \"postgresql://quanta@db-1/quanta\", password: \"${PG_PASSWORD}\", workers: 2 }\n"
        "      mongo: { uri: \"mongodb://db-2:27017\" }\n"
        "      neo4j: { uri: \"http://db-3:7474\", user: neo4j, password: \"${NEO4J_PASSWORD}\" }\n"
        "      influx: { uri: \"http://db-4:8086\" }\n\n"
        "**References**: `${NAME}` or `${env:NAME}` stands for a variable of the environment, `${NAME:-text}` for `text` when there is none, `$$` for a "
        "dollar sign. They are replaced before the value is read, so numbers may come from them, too.\n\n"
        "**Sizes** may be written with KiB, MiB, GiB or TiB. **Paths** that don't begin with `/` are taken from the file's own directory. An unknown "
        "name, a value of the wrong kind or outside of its bounds, or a reference that leads nowhere stops the program (exit status 2), with the "
        "setting, its line and its column.\n\n"
        "**Secrets** are never printed, neither in messages nor by `quanta-coordinator --print-config`, which shows what holds.\n");
    for (size_t i = 0; i < q_settings_count; i++) {
        const q_setting *s = &q_settings[i];
        if (i == 0 || !same_section(s->path, q_settings[i - 1].path))
            q_buf_printf(out, "\n## %.*s\n\n| setting | type | default | from, to | meaning |\n|---|---|---|---|---|\n", (int)section_len(s->path), s->path);
        q_buf_printf(out, "| `%s` | %s%s%s | ", s->path + section_len(s->path) + 1, types[s->type],
                     *s->unit && s->type == Q_SET_NUMBER ? ", " : "", s->type == Q_SET_NUMBER ? s->unit : "");
        if (s->initial && *s->initial)
            q_buf_printf(out, "`%s` | ", s->initial);
        else
            q_buf_add_cstr(out, s->type == Q_SET_LIST || s->type == Q_SET_MAP ? "empty | " : "none | ");
        if (s->type == Q_SET_NUMBER || s->type == Q_SET_BYTES) {
            bound(out, s, s->min);
            q_buf_add_cstr(out, ", ");
            bound(out, s, s->max);
        } else if (s->type == Q_SET_CHOICE) {
            q_buf_add_cstr(out, s->unit);
        }
        q_buf_printf(out, " | %s%s |\n", s->meaning, s->flags & Q_SET_SECRET ? " **Secret.**" : s->flags & Q_SET_HIDE_PASSWORD ? " Its password is never printed." : "");
    }
}
