/* From YAML to a q_config: libyaml's document, walked along the table of settings. */
#include "base/arena.h"
#include "cmd/config/refer.h"
#include "cmd/config/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdarg.h>
#include <yaml.h>

enum { MAX_PATH_TEXT = 200 };

typedef struct reader {
    q_config *c;
    yaml_document_t doc;
    const char *name, *dir;
    const q_config_resolver *resolvers;
    q_buf value;          /* the scalar being read, references replaced */
    bool *seen;           /* per setting */
    q_err *err;
} reader;

/* ---- what is wrong, and where ---- */

static q_rc wrong(reader *r, const yaml_node_t *at, const char *path, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static q_rc wrong(reader *r, const yaml_node_t *at, const char *path, const char *fmt, ...)
{
    char text[240];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    unsigned line = at ? (unsigned)at->start_mark.line + 1 : 0, column = at ? (unsigned)at->start_mark.column + 1 : 0;
    if (at)
        q_err_set(r->err, Q_E_INTERNAL, "%s, line %u, column %u: %s%s%s", r->name, line, column, path, *path ? ": " : "", text);
    else
        q_err_set(r->err, Q_E_INTERNAL, "%s: %s%s%s", r->name, path, *path ? ": " : "", text);
    r->err->line = line;
    r->err->column = column;
    return Q_FAIL;
}

/* How many letters differ: Levenshtein's distance, for names of at most MAX_PATH_TEXT. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[MAX_PATH_TEXT + 1];
    size_t la = strlen(a), lb = strlen(b);
    if (la > MAX_PATH_TEXT || lb > MAX_PATH_TEXT)
        return UINT_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[lb];
}

/* Names the setting that was perhaps meant: the nearest, or the one that ends so in another section. */
static q_rc unknown(reader *r, const yaml_node_t *at, const char *path)
{
    const char *best = NULL, *last = strrchr(path, '.');
    unsigned least = UINT_MAX;
    for (size_t i = 0; i < q_settings_count; i++) {
        const char *p = q_settings[i].path, *p_last = strrchr(p, '.');
        unsigned d = distance(path, p);
        if (last && p_last && !strcmp(last, p_last) && d > 2)
            d = 2;
        if (d < least) {
            least = d;
            best = p;
        }
        /* A section: `kafak`. */
        size_t n = strcspn(p, ".");
        char section[MAX_PATH_TEXT];
        snprintf(section, sizeof section, "%.*s", (int)n, p);
        if (!last && distance(path, section) < 3 && distance(path, section) < least) {
            least = distance(path, section);
            best = p;
        }
    }
    wrong(r, at, path, "there is no such setting");
    if (best && least <= 1 + strlen(path) / 4)
        q_err_hint(r->err, "did you mean %s?", best);
    else
        q_err_hint(r->err, "docs/configuration.md lists them all");
    return Q_FAIL;
}

/* ---- scalars ---- */

/* The node's text with its references replaced: in r->value, NUL-terminated. */
static q_rc text_of(reader *r, const yaml_node_t *node, const char *path)
{
    if (node->type != YAML_SCALAR_NODE)
        return wrong(r, node, path, "a single value is expected here, not a %s", node->type == YAML_MAPPING_NODE ? "map" : "list");
    q_slice raw = { (const char *)node->data.scalar.value, node->data.scalar.length };
    q_err inner = Q_ERR_INIT;
    if (memchr(raw.ptr, '\0', raw.len))
        return wrong(r, node, path, "it holds a NUL");
    if (q_refer_replace(raw, r->resolvers, &r->value, &inner) != Q_OK) {
        wrong(r, node, path, "%s", inner.message);
        if (inner.hint[0])
            q_err_hint(r->err, "%s", inner.hint);
        return Q_FAIL;
    }
    if (memchr(r->value.ptr, '\0', r->value.len))
        return wrong(r, node, path, "it holds a NUL");
    q_buf_add_byte(&r->value, 0);
    return r->value.failed ? wrong(r, node, path, "it is longer than %d bytes", Q_CONFIG_MAX_VALUE) : Q_OK;
}

/* A key is never a secret and holds no references. */
static q_rc key_of(reader *r, const yaml_node_t *node, const char *path, const char **out)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.length == 0 || node->data.scalar.length > 120 ||
        memchr(node->data.scalar.value, '\0', node->data.scalar.length))
        return wrong(r, node, path, "a name is expected here");
    *out = (const char *)node->data.scalar.value;
    return Q_OK;
}

static bool number(const char *text, bool bytes, int64_t *out)
{
    static const struct { const char *suffix; int shift; } units[] = { { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 }, { "TiB", 40 } };
    char *rest;
    errno = 0;
    long long n = strtoll(text, &rest, 10);
    if (rest == text || errno || text[0] == ' ' || text[0] == '+')
        return false;
    while (bytes && *rest == ' ')
        rest++;
    for (size_t i = 0; bytes && i < sizeof units / sizeof units[0]; i++)
        if (!strcmp(rest, units[i].suffix)) {
            if (n < 0 || n > INT64_MAX >> units[i].shift)
                return false;
            n <<= units[i].shift;
            rest += 3;
        }
    *out = n;
    return !*rest;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *at = choices; n && !strchr(text, ' ') && (at = strstr(at, text)); at++)
        if ((at == choices || at[-1] == ' ') && (!at[n] || at[n] == ' '))
            return true;
    return false;
}

static const char *copy(reader *r, const char *text, size_t len) { return q_arena_copy(r->c->arena, q_slice_of(text, len)).ptr; }

static void *field(reader *r, const q_setting *s) { return (char *)r->c + s->offset; }

static q_rc no_memory(reader *r) { return q_err_set(r->err, Q_E_LIMIT_MEMORY, "%s: out of memory", r->name); }

/* `text` is NUL-terminated; at: where it stands, NULL for a default. */
static q_rc set_scalar(reader *r, const yaml_node_t *at, const q_setting *s, const char *text)
{
    int64_t n = 0;
    char path[PATH_MAX];
    const char *kept;
    switch (s->type) {
    case Q_SET_NUMBER:
    case Q_SET_BYTES:
        if (!number(text, s->type == Q_SET_BYTES, &n))
            wrong(r, at, s->path, "a whole number is expected here%s", s->type == Q_SET_BYTES ? ", such as 64MiB" : "");
        else if (n < s->min || n > s->max)
            wrong(r, at, s->path, "%lld is outside of %lld to %lld%s%s", (long long)n, (long long)s->min, (long long)s->max, *s->unit ? " " : "", s->unit);
        else {
            *(int64_t *)field(r, s) = n;
            return Q_OK;
        }
        if (at && s->initial)
            q_err_hint(r->err, "the default is %s", s->initial);
        return Q_FAIL;
    case Q_SET_BOOL:
        if (strcmp(text, "true") && strcmp(text, "false"))
            return wrong(r, at, s->path, "true or false is expected here");
        *(int64_t *)field(r, s) = !strcmp(text, "true");
        return Q_OK;
    case Q_SET_CHOICE:
        if (!is_choice(s->unit, text))
            return wrong(r, at, s->path, "it is one of: %s", s->unit);
        break;
    case Q_SET_PATH:
        if (!*text && !s->initial) /* `${VAR:-}`: not given */
            return Q_OK;
        if (!*text)
            return wrong(r, at, s->path, "a path is expected here");
        if (*text != '/' && r->dir) {
            int len = snprintf(path, sizeof path, "%s/%s", r->dir, text);
            if (len < 0 || (size_t)len >= sizeof path)
                return wrong(r, at, s->path, "the path is too long");
            text = path;
        }
        break;
    case Q_SET_TEXT:
        if (!*text) /* `password: ""` and `${VAR:-}` are the same as nothing */
            return Q_OK;
        break;
    case Q_SET_LIST:
    case Q_SET_MAP:
        return wrong(r, at, s->path, "a %s is expected here", s->type == Q_SET_LIST ? "list" : "map");
    }
    kept = copy(r, text, strlen(text));
    if (!kept)
        return no_memory(r);
    *(const char **)field(r, s) = kept;
    return Q_OK;
}

/* ---- lists and maps ---- */

static q_rc set_list(reader *r, const yaml_node_t *node, const q_setting *s)
{
    bool sequence = node->type == YAML_SEQUENCE_NODE;
    if (!sequence && node->type != YAML_SCALAR_NODE)
        return wrong(r, node, s->path, "a list is expected here");
    size_t n = sequence ? (size_t)(node->data.sequence.items.top - node->data.sequence.items.start) : 1;
    if (n > Q_CONFIG_MAX_LIST)
        return wrong(r, node, s->path, "more than %d entries", Q_CONFIG_MAX_LIST);
    const char **list = Q_NEW_ARRAY(r->c->arena, const char *, n + 1);
    if (!list)
        return no_memory(r);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const yaml_node_t *item = sequence ? yaml_document_get_node(&r->doc, node->data.sequence.items.start[i]) : node;
        q_rc rc = text_of(r, item, s->path);
        if (rc != Q_OK)
            return rc;
        if (r->value.len <= 1) /* `engines:` with nothing behind it is an empty list */
            continue;
        if (!(list[kept++] = copy(r, r->value.ptr, r->value.len - 1)))
            return no_memory(r);
    }
    *(const char *const **)field(r, s) = list;
    return Q_OK;
}

static q_rc set_map(reader *r, const yaml_node_t *node, const q_setting *s)
{
    bool empty = node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0;
    if (node->type != YAML_MAPPING_NODE && !empty)
        return wrong(r, node, s->path, "a map is expected here: `name: value` in each line");
    size_t n = empty ? 0 : (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    if (n > Q_CONFIG_MAX_LIST)
        return wrong(r, node, s->path, "more than %d entries", Q_CONFIG_MAX_LIST);
    q_config_pair *pairs = Q_NEW_ARRAY(r->c->arena, q_config_pair, n + 1);
    if (!pairs)
        return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        const yaml_node_pair_t *pair = &node->data.mapping.pairs.start[i];
        const char *key;
        q_rc rc = key_of(r, yaml_document_get_node(&r->doc, pair->key), s->path, &key);
        if (rc == Q_OK)
            rc = text_of(r, yaml_document_get_node(&r->doc, pair->value), s->path);
        if (rc != Q_OK)
            return rc;
        pairs[i].name = copy(r, key, strlen(key));
        pairs[i].value = copy(r, r->value.ptr, r->value.len - 1);
        if (!pairs[i].name || !pairs[i].value)
            return no_memory(r);
    }
    *(const q_config_pair **)field(r, s) = pairs;
    return Q_OK;
}

/* ---- defaults ---- */

static q_rc set_default(reader *r, const q_setting *s)
{
    if (s->type == Q_SET_LIST) {
        size_t n = 1;
        for (const char *at = s->initial; *at; at++)
            n += *at == ' ';
        const char **list = Q_NEW_ARRAY(r->c->arena, const char *, n + 1);
        if (!list)
            return no_memory(r);
        size_t kept = 0;
        for (const char *at = s->initial; *at;) {
            size_t len = strcspn(at, " ");
            if (!(list[kept++] = copy(r, at, len)))
                return no_memory(r);
            at += len + (at[len] == ' ');
        }
        *(const char *const **)field(r, s) = list;
        return Q_OK;
    }
    if (s->type == Q_SET_MAP) {
        const q_config_pair *none = Q_NEW(r->c->arena, q_config_pair);
        *(const q_config_pair **)field(r, s) = none;
        return none ? Q_OK : no_memory(r);
    }
    return s->initial ? set_scalar(r, NULL, s, s->initial) : Q_OK;
}

/* ---- the tree ---- */

static const q_setting *find(const char *path, bool *section)
{
    size_t n = strlen(path);
    *section = false;
    for (size_t i = 0; i < q_settings_count; i++) {
        if (!strcmp(q_settings[i].path, path))
            return &q_settings[i];
        *section |= !strncmp(q_settings[i].path, path, n) && q_settings[i].path[n] == '.';
    }
    return NULL;
}

static q_rc set(reader *r, const yaml_node_t *key, const yaml_node_t *node, const q_setting *s)
{
    bool *seen = &r->seen[s - q_settings];
    if (*seen)
        return wrong(r, key, s->path, "it was given before");
    *seen = true;
    if (s->type == Q_SET_LIST)
        return set_list(r, node, s);
    if (s->type == Q_SET_MAP)
        return set_map(r, node, s);
    q_rc rc = text_of(r, node, s->path);
    return rc == Q_OK ? set_scalar(r, node, s, r->value.ptr) : rc;
}

/* The depth is bounded by the table: every step down must lead towards a setting. */
static q_rc section(reader *r, const yaml_node_t *node, const char *path)
{
    if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
        return Q_OK; /* `engines:` with nothing below it */
    if (node->type != YAML_MAPPING_NODE)
        return wrong(r, node, path, *path ? "this is a section: settings are expected below it" : "`section: …` is expected here");
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, pair->key), *value = yaml_document_get_node(&r->doc, pair->value);
        const char *name;
        char inner[MAX_PATH_TEXT];
        bool is_section;
        q_rc rc = key_of(r, key, path, &name);
        if (rc != Q_OK)
            return rc;
        int n = snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", name);
        if (n < 0 || (size_t)n >= sizeof inner)
            return wrong(r, key, path, "the name is too long");
        const q_setting *s = find(inner, &is_section);
        rc = s ? set(r, key, value, s) : is_section ? section(r, value, inner) : unknown(r, key, inner);
        if (rc != Q_OK)
            return rc;
    }
    return Q_OK;
}

/* ---- what must fit together ---- */

static q_rc check(reader *r)
{
    const q_config *c = r->c;
    for (const char *const *e = c->embedded.engines; *e; e++) {
        q_engine_id id = Q_EN_POSTGRES;
        while (id < Q_EN_COUNT && strcmp(*e, q_engine_name(id)))
            id++;
        if (id == Q_EN_COUNT)
            return wrong(r, NULL, "embedded.engines", "'%s' is none of postgres, mongo, neo4j, influx", *e);
        if (c->engines[id].uri)
            return wrong(r, NULL, "embedded.engines", "engines.%s.uri is given too: it is either a server or embedded", *e);
    }
    if (c->timeouts.request_ms > c->timeouts.request_max_ms)
        return wrong(r, NULL, "timeouts.request_ms", "it is above timeouts.request_max_ms");
    if (c->up.restart_ms > c->up.restart_max_ms)
        return wrong(r, NULL, "up.restart_ms", "it is above up.restart_max_ms");
    if (c->gateway.timeout_ms > c->gateway.timeout_max_ms)
        return wrong(r, NULL, "gateway.timeout_ms", "it is above gateway.timeout_max_ms");
    if (c->gateway.rows > c->gateway.rows_max)
        return wrong(r, NULL, "gateway.rows", "it is above gateway.rows_max");
    if (!c->gateway.tls_certificate != !c->gateway.tls_key)
        return wrong(r, NULL, c->gateway.tls_key ? "gateway.tls_certificate" : "gateway.tls_key", "certificate and key are given together, or neither is");
    if (c->gateway.tls_client_ca && !c->gateway.tls_key)
        return wrong(r, NULL, "gateway.tls_client_ca", "gateway.tls_certificate and gateway.tls_key aren't given");
    for (const char *p = c->kafka.topic_prefix; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p) || p - c->kafka.topic_prefix > 64)
            return wrong(r, NULL, "kafka.topic_prefix", "letters, digits, '.', '_' and '-' are allowed, at most 64");
    return Q_OK;
}

/* ---- whole ---- */

static q_rc parse(reader *r, q_slice text)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return no_memory(r);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
    q_rc rc = Q_OK;
    if (!yaml_parser_load(&parser, &r->doc)) {
        unsigned line = (unsigned)parser.problem_mark.line + 1, column = (unsigned)parser.problem_mark.column + 1;
        rc = q_err_set(r->err, Q_E_INTERNAL, "%s, line %u, column %u: this isn't YAML: %s", r->name, line, column, parser.problem ? parser.problem : "out of memory");
        r->err->line = line;
        r->err->column = column;
        yaml_parser_delete(&parser);
        return rc;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&r->doc);
    if (root)
        rc = section(r, root, "");
    yaml_document_delete(&r->doc);
    if (rc == Q_OK && root) {
        yaml_document_t more;
        if (yaml_parser_load(&parser, &more)) {
            if (yaml_document_get_root_node(&more))
                rc = q_err_set(r->err, Q_E_INTERNAL, "%s: it holds more than one document (`---`)", r->name);
            yaml_document_delete(&more);
        }
    }
    yaml_parser_delete(&parser);
    return rc;
}

q_rc q_config_parse(q_slice text, const char *name, const char *dir, const q_config_resolver *resolvers, q_config **out, q_err *err)
{
    q_arena *arena = q_arena_new((size_t)16 << 20);
    q_config *c = arena ? Q_NEW(arena, q_config) : NULL;
    if (!c) {
        q_arena_free(arena);
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    c->arena = arena;
    reader r = { .c = c, .name = name, .dir = dir, .resolvers = resolvers, .err = err, .value = Q_BUF_INIT(Q_CONFIG_MAX_VALUE) };
    r.seen = Q_NEW_ARRAY(arena, bool, q_settings_count);
    q_rc rc = r.seen ? Q_OK : no_memory(&r);
    for (size_t i = 0; rc == Q_OK && i < q_settings_count; i++)
        rc = set_default(&r, &q_settings[i]);
    if (rc == Q_OK)
        rc = parse(&r, text);
    if (rc == Q_OK)
        rc = check(&r);
    if (r.value.ptr)
        explicit_bzero(r.value.ptr, r.value.cap); /* it held passwords */
    q_buf_free(&r.value);
    if (rc == Q_OK)
        *out = c;
    else
        q_config_free(c);
    return rc;
}

q_rc q_config_load(const char *path, const q_config_resolver *resolvers, q_config **out, q_err *err)
{
    char full[PATH_MAX], dir[PATH_MAX];
    if (!realpath(path, full)) {
        q_err_set(err, Q_E_INTERNAL, "%s: %s", path, strerror(errno));
        q_err_hint(err, "-c FILE names the configuration");
        return Q_FAIL;
    }
    memcpy(dir, full, sizeof dir);
    char *slash = strrchr(dir, '/');
    slash[slash == dir ? 1 : 0] = '\0';
    FILE *f = fopen(full, "rb");
    if (!f)
        return q_err_set(err, Q_E_INTERNAL, "%s: %s", path, strerror(errno));
    q_buf text = Q_BUF_INIT(Q_CONFIG_MAX_BYTES);
    q_rc rc = Q_OK;
    for (size_t n = 1; n && rc == Q_OK;) {
        char *at = q_buf_reserve(&text, 4096);
        n = at ? fread(at, 1, 4096, f) : 0;
        text.len += n;
        if (!at)
            rc = q_err_set(err, Q_E_INTERNAL, "%s: it is larger than %d bytes", path, Q_CONFIG_MAX_BYTES);
        else if (ferror(f))
            rc = q_err_set(err, Q_E_INTERNAL, "%s: it can't be read: %s", path, strerror(errno));
    }
    fclose(f);
    if (rc == Q_OK)
        rc = q_config_parse(q_buf_slice(&text), path, dir, resolvers, out, err);
    if (text.ptr)
        explicit_bzero(text.ptr, text.cap);
    q_buf_free(&text);
    if (rc == Q_OK && !((*out)->path = q_arena_copy((*out)->arena, q_slice_cstr(full)).ptr)) {
        q_config_free(*out);
        *out = NULL;
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    }
    return rc;
}

void q_config_free(q_config *c)
{
    if (c)
        q_arena_free(c->arena);
}

bool q_config_embedded(const q_config *c, q_engine_id e)
{
    for (const char *const *name = c->embedded.engines; *name; name++)
        if (!strcmp(*name, q_engine_name(e)))
            return true;
    return false;
}

bool q_config_has_engine(const q_config *c, q_engine_id e) { return c->engines[e].uri || q_config_embedded(c, e); }
