/* quanta shell - statements from a person: typed over several lines, run when a transaction is whole. */
#include "cmd/cli/shell.h"

#include "cmd/cli/cli.h"
#include "cmd/cli/options.h"

#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MAX_TYPED = 8 << 20 };

static const char *const command = "quanta shell";

typedef struct options { const char *bootstrap, *bucket; q_format format; } options;

static void usage(FILE *to)
{
    fputs("Usage: quanta shell [-b BUCKET] [OPTION...]\n\n"
          "An interactive shell: statements over several lines, history (~/.quanta/history), completion with Tab, \\? for its\n"
          "commands. When standard input isn't a terminal: the same as `quanta exec -f -`.\n\n"
          "  -b, --bucket BUCKET        the bucket to begin with\n"
          "      --format table|json|csv\n"
          "      --bootstrap HOST:PORT  where Kafka is; else QUANTA_BOOTSTRAP, else the running `quanta dev`\n",
          to);
}

static bool parse(int argc, char **argv, options *o, int *status)
{
    static const struct option longs[] = {
        { "bucket", required_argument, NULL, 'b' }, { "format", required_argument, NULL, 'F' },
        { "bootstrap", required_argument, NULL, 'B' }, { "help", no_argument, NULL, 'h' }, { 0 }
    };
    int c;
    *status = Q_EXIT_USAGE;
    while ((c = getopt_long(argc, argv, "b:h", longs, NULL)) != -1) {
        switch (c) {
        case 'b': o->bucket = optarg; break;
        case 'B': o->bootstrap = optarg; break;
        case 'F':
            if (!q_option_format(command, optarg, Q_FORMATS_ALL, &o->format))
                return false;
            break;
        case 'h':
            usage(stdout);
            *status = Q_EXIT_COMMITTED;
            return false;
        default:
            q_usage_more(command);
            return false;
        }
    }
    if (optind < argc)
        q_usage_error(command, "unexpected '%s'", argv[optind]);
    else if (o->bucket && strlen(o->bucket) > Q_MAX_NAME_BYTES)
        q_usage_error(command, "--bucket: a name has at most %d characters", Q_MAX_NAME_BYTES);
    else
        return true;
    return false;
}

static int as_exec(const options *o)
{
    static const char *const formats[] = { "table", "json", "csv" };
    const char *argv[10] = { command, "-f", "-", "--format", formats[o->format] };
    int argc = 5;
    if (o->bucket) {
        argv[argc++] = "-b";
        argv[argc++] = o->bucket;
    }
    if (o->bootstrap) {
        argv[argc++] = "--bootstrap";
        argv[argc++] = o->bootstrap;
    }
    optind = 0; /* getopt begins anew */
    return q_cmd_exec(argc, (char **)(uintptr_t)argv);
}

/* ---- Ctrl-C: what is typed goes, or the waiting for a statement ends; the shell stays ---- */

static q_client *volatile client; /* of the shell: whatever it waits for is interrupted, and what was typed and is about to be sent */
static volatile sig_atomic_t interrupts;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupts = interrupts < 1000000 ? interrupts + 1 : 0;
    if (client)
        q_client_interrupt(client);
}

static void catch_interrupts(q_client *c)
{
    client = c;
    struct sigaction a = { .sa_handler = on_interrupt };
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
}

/* ---- what is said at the beginning ---- */

static bool in_memory(const char *dir)
{
    struct statfs fs;
    return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static void banner(const q_shell *s)
{
    const q_place *at = q_client_place(s->run.client);
    if (at->dev)
        printf("Connected to the `quanta dev` at %s.\n%s %s%s\n", at->address, "What is committed is kept in", at->dir,
               in_memory(at->dir) ? ",\nwhich is in memory: it survives this process, not the machine." : ", also through a crash.");
    else
        printf("Connected to Kafka at %s.\nWhat is committed is kept by that system's engines and log.\n", at->address);
    puts("\\? lists the commands, Tab completes, Ctrl-D leaves.");
    if (!s->run.bucket[0])
        puts("No bucket is chosen yet: \\b lists them, \\u NAME chooses one.");
}

/* ---- typing ---- */

static void complete(void *ctx, q_slice before, q_slice after, q_candidates *out)
{
    q_shell *s = ctx;
    q_complete_ask ask = { .names = s->names, .client = s->run.client, .bucket = s->run.bucket, .text = q_buf_slice(&s->text),
                           .before = before, .after = after, .commands = q_shell_commands() };
    q_complete(&ask, out);
}

/* bank> and, further on, bank-> within a statement, bank*> within a transaction. */
static void make_prompt(const q_shell *s, char *out, size_t size)
{
    size_t n = s->text.len;
    while (n > 0 && strchr(" \t\n", s->text.ptr[n - 1]))
        n--;
    snprintf(out, size, "%s%s> ", s->run.bucket[0] ? s->run.bucket : "quanta", n == 0 ? "" : s->text.ptr[n - 1] == ';' ? "*" : "-");
}

bool q_shell_run(q_shell *s, const char *name, q_slice text, size_t from, size_t to)
{
    s->run.name = name;
    s->run.format = s->expanded && s->format == Q_FORMAT_TABLE ? Q_FORMAT_EXPANDED : s->format;
    s->run.defined = false;
    int status = name ? q_run_script(&s->run, text) : q_run_transaction(&s->run, text, from, to);
    if (s->run.defined)
        q_names_forget(s->names);
    fflush(stdout);
    return status == Q_EXIT_COMMITTED;
}

/* Runs what is whole; what isn't stays. */
static void run_typed(q_shell *s)
{
    q_cut cut = { .text = q_buf_slice(&s->text) };
    size_t from, to, keep = 0;
    bool remembered = false, only_use = false;
    char bucket[Q_MAX_NAME_BYTES + 1];
    for (;;) {
        q_rc rc = q_cut_next(&cut, &from, &to);
        q_slice piece = q_slice_of(s->text.ptr + from, to - from);
        bool use = rc == Q_WAIT && memchr(piece.ptr, ';', piece.len) && q_script_use(piece, bucket, &only_use) && only_use;
        if (rc == Q_WAIT && !use) {
            keep = to - from;
            break;
        }
        if (rc == Q_END)
            break;
        if (!remembered)
            q_line_remember(s->line, q_buf_slice(&s->text));
        remembered = true;
        if (use) {
            char argument[Q_MAX_NAME_BYTES + 4];
            snprintf(argument, sizeof argument, "\\u %s", bucket);
            q_shell_command(s, q_slice_cstr(argument));
        } else if (!q_shell_run(s, NULL, cut.text, from, to)) {
            break; /* what stood behind it was meant for another state */
        }
    }
    if (keep && from)
        memmove(s->text.ptr, s->text.ptr + from, keep);
    s->text.len = keep;
}

static bool is_word(q_slice line, const char *word)
{
    while (line.len && strchr(" ;", line.ptr[line.len - 1]))
        line.len--;
    return line.len == strlen(word) && strncasecmp(line.ptr, word, line.len) == 0;
}

static void take_line(q_shell *s, q_slice line)
{
    q_slice word = line;
    while (word.len && word.ptr[0] == ' ') {
        word.ptr++;
        word.len--;
    }
    if (word.len && word.ptr[0] == '\\') {
        q_line_remember(s->line, word);
        q_shell_command(s, word);
        return;
    }
    if (s->text.len == 0 && (is_word(word, "exit") || is_word(word, "quit"))) {
        s->leave = true;
        return;
    }
    if (s->text.len == 0 && is_word(word, "help")) {
        q_shell_command(s, Q_SLICE_LIT("\\?"));
        return;
    }
    q_buf_add_slice(&s->text, line);
    q_buf_add_byte(&s->text, '\n');
    if (s->text.failed) {
        fprintf(stderr, "more than %d MB were typed without an end: cleared\n", MAX_TYPED >> 20);
        q_buf_clear(&s->text);
        return;
    }
    run_typed(s);
}

static void talk(q_shell *s)
{
    while (!s->leave) {
        char prompt[Q_MAX_NAME_BYTES + 8];
        q_slice line;
        make_prompt(s, prompt, sizeof prompt);
        q_client_go_on(s->run.client); /* here, not when a statement is sent: a Ctrl-C right behind Enter is meant for it */
        switch (q_line_read(s->line, prompt, &line)) {
        case Q_LINE_TEXT: take_line(s, line); break;
        case Q_LINE_CLEARED: fputs("^C\n", stdout); q_buf_clear(&s->text); break;
        case Q_LINE_END: fputc('\n', stdout); s->leave = true; break;
        }
    }
}

int q_cmd_shell(int argc, char **argv)
{
    options o = { .format = Q_FORMAT_TABLE };
    int status;
    q_err err = Q_ERR_INIT;
    q_shell s = { .text = Q_BUF_INIT(MAX_TYPED) };
    if (!parse(argc, argv, &o, &status))
        return status;
    if (!isatty(STDIN_FILENO))
        return as_exec(&o);
    if (q_client_connect(o.bootstrap, &s.run.client, &err) != Q_OK)
        return q_cli_print_failure(&err);
    const char *home = getenv("HOME");
    char history[4096];
    bool has_home = home && *home && snprintf(history, sizeof history, "%s/.quanta/history", home) < (int)sizeof history;
    s.format = o.format;
    snprintf(s.run.bucket, sizeof s.run.bucket, "%s", o.bucket ? o.bucket : "");
    s.names = q_names_new();
    s.line = s.names ? q_line_open(has_home ? history : NULL, &interrupts, complete, &s) : NULL;
    if (s.line) {
        catch_interrupts(s.run.client);
        banner(&s);
        talk(&s);
        status = Q_EXIT_COMMITTED;
    } else {
        fputs("quanta shell: this terminal can't be used\n", stderr);
        status = Q_EXIT_USAGE;
    }
    q_line_close(s.line);
    q_names_free(s.names);
    q_buf_free(&s.text);
    client = NULL;
    q_client_close(s.run.client);
    return status;
}
