/* The shell's backslash commands. */
#include "cmd/cli/shell.h"

#include <stdlib.h>

enum { MAX_SCRIPT = 256 << 20, MAX_ARGUMENT = 4096 };

static void show(q_shell *s, const char *statement)
{
    q_slice text = q_slice_cstr(statement);
    bool timing = s->run.timing, expanded = s->expanded;
    s->run.timing = s->expanded = false;
    q_shell_run(s, NULL, text, 0, text.len);
    s->run.timing = timing;
    s->expanded = expanded;
}

static bool has_bucket(const q_shell *s)
{
    if (!s->run.bucket[0])
        fputs("no bucket is chosen: \\b lists them, \\u NAME chooses one\n", stderr);
    return s->run.bucket[0];
}

static void describe(q_shell *s, const char *record)
{
    char statement[64 + Q_MAX_NAME_BYTES];
    q_err err = Q_ERR_INIT;
    if (!has_bucket(s))
        return;
    if (!*record) {
        show(s, "SHOW RECORDS;");
    } else if (q_name_check(q_slice_cstr(record), "record", &err) != Q_OK) {
        fprintf(stderr, "%s\n", err.message);
    } else {
        snprintf(statement, sizeof statement, "SHOW RECORD `%s`;", record);
        show(s, statement);
    }
}

static void buckets(q_shell *s, const char *argument)
{
    (void)argument;
    show(s, "SHOW BUCKETS;");
}

static void use(q_shell *s, const char *bucket)
{
    q_err err = Q_ERR_INIT;
    size_t i;
    json_t *row;
    if (!*bucket || q_name_check(q_slice_cstr(bucket), "bucket", &err) != Q_OK) {
        fprintf(stderr, "%s\n", *bucket ? err.message : "\\u takes a bucket's name");
        return;
    }
    q_names_forget(s->names);
    const json_t *rows = q_names_buckets(s->names, s->run.client);
    bool known = !rows; /* not to be asked now: the next statement will tell */
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
        const char *name = q_names_of(row);
        known = known || (name && !strcmp(name, bucket));
    }
    if (known)
        snprintf(s->run.bucket, sizeof s->run.bucket, "%s", bucket);
    else
        fprintf(stderr, "no bucket is called %s: \\b lists them, CREATE BUCKET %s; makes it\n", bucket, bucket);
}

static void toggle_timing(q_shell *s, const char *argument)
{
    (void)argument;
    s->run.timing = !s->run.timing;
    printf("timing is %s\n", s->run.timing ? "on" : "off");
}

static void format(q_shell *s, const char *name)
{
    q_format f;
    if (!q_format_from_name(name, &f)) {
        fputs("\\format takes table, json or csv\n", stderr);
        return;
    }
    s->format = f;
    printf("format is %s\n", name);
}

static void toggle_expanded(q_shell *s, const char *argument)
{
    (void)argument;
    s->expanded = !s->expanded;
    printf("expanded display is %s%s\n", s->expanded ? "on" : "off",
           s->expanded && s->format != Q_FORMAT_TABLE ? " (of the table format)" : "");
}

static void include(q_shell *s, const char *path)
{
    q_buf script = Q_BUF_INIT(MAX_SCRIPT);
    if (!*path)
        fputs("\\i takes a file\n", stderr);
    else if (!strcmp(path, "-"))
        fputs("\\i takes a file, not standard input\n", stderr);
    else if (q_run_read("\\i", path, &script))
        q_shell_run(s, path, q_buf_slice(&script), 0, script.len);
    q_buf_free(&script);
}

static void leave(q_shell *s, const char *argument)
{
    (void)argument;
    s->leave = true;
}

static void help(q_shell *s, const char *argument);

static const struct {
    const char *name;
    void (*run)(q_shell *s, const char *argument);
    const char *argument; /* for the help; [ ]: may be left out; NULL: takes none */
    const char *summary;
} commands[] = {
    { "\\b", buckets, NULL, "list the buckets" },
    { "\\u", use, "BUCKET", "use a bucket for what follows" },
    { "\\d", describe, "[RECORD]", "list the bucket's records, or a record's attributes" },
    { "\\i", include, "FILE", "run a script" },
    { "\\format", format, "table|json|csv", "how results are printed" },
    { "\\x", toggle_expanded, NULL, "expanded display on and off: a line per attribute, nothing cut" },
    { "\\timing", toggle_timing, NULL, "how long each transaction took, on and off" },
    { "\\?", help, NULL, "this list" },
    { "\\q", leave, NULL, "leave (or Ctrl-D)" },
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void help(q_shell *s, const char *argument)
{
    (void)s;
    (void)argument;
    for (size_t i = 0; i < COMMANDS; i++) {
        char left[40];
        snprintf(left, sizeof left, "%s%s%s", commands[i].name, commands[i].argument ? " " : "",
                 commands[i].argument ? commands[i].argument : "");
        printf("  %-24s %s\n", left, commands[i].summary);
    }
    puts("\nA statement ends with ;  and BEGIN … COMMIT; is one transaction, run when it is whole.\n"
         "Tab completes, Ctrl-C clears what is typed or stops waiting, Ctrl-R searches the history.");
}

const char *const *q_shell_commands(void)
{
    static const char *names[COMMANDS + 1];
    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    return names;
}

static q_slice trim(q_slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == ';'))
        s.len--; /* a habit: \d orders; */
    return s;
}

void q_shell_command(q_shell *s, q_slice line)
{
    char argument[MAX_ARGUMENT];
    size_t n = 0;
    while (n < line.len && line.ptr[n] != ' ' && line.ptr[n] != '\t' && line.ptr[n] != ';')
        n++;
    q_slice name = q_slice_of(line.ptr, n), rest = trim(q_slice_of(line.ptr + n, line.len - n));
    if (rest.len >= sizeof argument) {
        fputs("that is too long\n", stderr);
        return;
    }
    memcpy(argument, rest.len ? rest.ptr : "", rest.len);
    argument[rest.len] = '\0';
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!q_slice_eq(name, q_slice_cstr(commands[i].name)))
            continue;
        if (rest.len && !commands[i].argument)
            fprintf(stderr, "%s takes no argument\n", commands[i].name);
        else
            commands[i].run(s, argument);
        return;
    }
    fputs("unknown command ", stderr);
    q_buf text = Q_BUF_INIT(MAX_ARGUMENT);
    q_buf_add_slice(&text, name);
    q_buf_add_byte(&text, 0);
    q_format_text(stderr, text.failed ? "" : text.ptr);
    q_buf_free(&text);
    fputs(": \\? lists them\n", stderr);
}
