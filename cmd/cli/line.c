#include "cmd/cli/line.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_ENTRIES = 2000, HISTORY_MAX_BYTES = 4 << 20, MAX_ENTRY = 64 << 10, MAX_SHOWN = 120 };

struct q_line {
    EditLine *el;
    History *history;
    char *history_path;
    char prompt[128];
    const volatile sig_atomic_t *interrupts;
    sig_atomic_t before; /* their number when the reading of this line began */
    q_line_completer completer;
    void *ctx;
    q_candidates found;
};

static q_line *self(EditLine *el)
{
    void *l = NULL;
    el_get(el, EL_CLIENTDATA, &l);
    return l;
}

static char *prompt(EditLine *el) { return self(el)->prompt; }

/* ---- Tab ---- */

static size_t terminal_columns(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

static void show_candidates(const q_candidates *c)
{
    size_t widest = 0, shown = c->count < MAX_SHOWN ? c->count : MAX_SHOWN;
    for (size_t i = 0; i < shown; i++)
        if (strlen(c->items[i].text) > widest)
            widest = strlen(c->items[i].text);
    size_t per_row = terminal_columns() / (widest + 2), rows;
    if (per_row == 0)
        per_row = 1;
    rows = (shown + per_row - 1) / per_row;
    fputc('\n', stdout);
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = r; i < shown; i += rows)
            printf("%-*s", i + rows < shown ? (int)widest + 2 : 0, c->items[i].text);
        fputc('\n', stdout);
    }
    if (shown < c->count)
        printf("… and %zu more\n", c->count - shown);
    fflush(stdout);
}

/* How far all of them agree, in bytes; never into the middle of a code point. */
static size_t common_prefix(const q_candidates *c)
{
    const char *first = c->items[0].text;
    size_t n = strlen(first);
    for (size_t i = 1; i < c->count; i++) {
        size_t k = 0;
        while (k < n && first[k] == c->items[i].text[k])
            k++;
        n = k;
    }
    while (n > 0 && ((unsigned char)first[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* Text is being pasted: its tabs are spaces, not questions. */
static bool is_paste(void)
{
    int pending = 0;
    return ioctl(STDIN_FILENO, FIONREAD, &pending) == 0 && pending > 0;
}

static unsigned char complete(EditLine *el, int key)
{
    q_line *l = self(el);
    (void)key;
    if (is_paste())
        return el_insertstr(el, "    ") == 0 ? CC_REFRESH : CC_ERROR;
    const LineInfo *info = el_line(el);
    l->completer(l->ctx, q_slice_of(info->buffer, (size_t)(info->cursor - info->buffer)),
                 q_slice_of(info->cursor, (size_t)(info->lastchar - info->cursor)), &l->found);
    const q_candidates *c = &l->found;
    if (*l->interrupts != l->before)
        return CC_EOF; /* Ctrl-C while names were asked for: no read was there to be ended by it. q_line_read tells them apart */
    if (c->count == 0)
        return CC_ERROR;
    info = el_line(el);
    size_t n = common_prefix(c);
    char word[Q_COMPLETE_BYTES + 8];
    memcpy(word, c->items[0].text, n);
    word[n] = '\0';
    /* Written anew when it only differs in case, too: a keyword takes the case of the others. */
    bool changed = n >= c->prefix && memcmp(word, info->cursor - c->prefix, c->prefix) != 0;
    if (c->count > 1 && n <= c->prefix && !changed) {
        show_candidates(c);
        return CC_REDISPLAY;
    }
    const char *suffix = c->count == 1 ? c->items[0].suffix : "";
    size_t s = strlen(suffix);
    if (s && info->cursor < info->lastchar && *info->cursor == suffix[s - 1])
        suffix = "";
    memcpy(word + n, suffix, strlen(suffix) + 1);
    if (c->prefix)
        el_deletestr(el, (int)c->prefix);
    return el_insertstr(el, word) == 0 ? CC_REFRESH : CC_ERROR;
}

/* ---- history: libedit's own format, so that its H_LOAD reads it; entries are appended one by one ---- */

static const char *const cookie = "_HiStOrY_V2_\n";

static bool make_parent(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n == 0 || n >= sizeof dir)
        return n == 0;
    memcpy(dir, path, n);
    dir[n] = '\0';
    return mkdir(dir, 0700) == 0 || errno == EEXIST;
}

/* A file that has grown long is written anew with what was kept of it. */
static void shorten(q_line *l)
{
    char fresh[PATH_MAX];
    struct stat st;
    HistEvent ev;
    if (stat(l->history_path, &st) != 0 || st.st_size < HISTORY_MAX_BYTES ||
        snprintf(fresh, sizeof fresh, "%s.new", l->history_path) >= (int)sizeof fresh)
        return;
    int fd = open(fresh, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    bool ok = f && history(l->history, &ev, H_SAVE_FP, f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok || rename(fresh, l->history_path) != 0)
        unlink(fresh);
}

static void open_history(q_line *l, const char *path)
{
    HistEvent ev;
    l->history = history_init();
    if (!l->history)
        return;
    history(l->history, &ev, H_SETSIZE, HISTORY_ENTRIES);
    history(l->history, &ev, H_SETUNIQUE, 1);
    el_set(l->el, EL_HIST, history, l->history);
    if (!path || !make_parent(path) || !(l->history_path = strdup(path)))
        return;
    chmod(path, 0600); /* what was typed may hold a secret; an older file may be wider */
    history(l->history, &ev, H_LOAD, path);
    shorten(l);
}

/* vis(3)'s octal form, which libedit's H_LOAD undoes. */
static void encode(q_buf *out, q_slice entry)
{
    for (size_t i = 0; i < entry.len; i++) {
        unsigned char c = (unsigned char)entry.ptr[i];
        if (c <= ' ' || c == 0x7f || c == '\\')
            q_buf_printf(out, "\\%03o", c);
        else
            q_buf_add_byte(out, c);
    }
    q_buf_add_byte(out, '\n');
}

void q_line_remember(q_line *l, q_slice entry)
{
    HistEvent ev;
    while (entry.len && (entry.ptr[entry.len - 1] == '\n' || entry.ptr[entry.len - 1] == ' '))
        entry.len--;
    char *text = entry.len && entry.len <= MAX_ENTRY && l->history ? strndup(entry.ptr, entry.len) : NULL;
    if (!text)
        return;
    history(l->history, &ev, H_ENTER, text);
    free(text);
    int fd = l->history_path ? open(l->history_path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    struct stat st;
    q_buf line = Q_BUF_INIT(MAX_ENTRY * 4 + 64);
    if (fstat(fd, &st) == 0 && st.st_size == 0)
        q_buf_add_cstr(&line, cookie);
    encode(&line, entry);
    ssize_t n = line.failed ? 0 : write(fd, line.ptr, line.len); /* one write: shells side by side don't mix */
    (void)n;                                                   /* a lost line of history is no error */
    q_buf_free(&line);
    close(fd);
}

/* ---- life ---- */

q_line *q_line_open(const char *history_path, const volatile sig_atomic_t *interrupts, q_line_completer completer, void *ctx)
{
    q_line *l = calloc(1, sizeof *l);
    if (!l || !(l->el = el_init("quanta", stdin, stdout, stderr))) {
        free(l);
        return NULL;
    }
    l->completer = completer;
    l->ctx = ctx;
    l->interrupts = interrupts;
    el_set(l->el, EL_CLIENTDATA, l);
    el_set(l->el, EL_PROMPT, prompt);
    el_set(l->el, EL_EDITOR, "emacs");
    el_set(l->el, EL_SIGNAL, 1); /* the window's size, stop and continue; others restore the terminal and go on to our handlers */
    el_set(l->el, EL_ADDFN, "quanta-complete", "complete the word", complete);
    el_set(l->el, EL_SETTY, "-x", "-icanon", NULL); /* what is typed while a statement runs reaches the editor as it is, a Ctrl-D too */
    el_set(l->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    open_history(l, history_path);
    el_source(l->el, NULL); /* ~/.editrc */
    el_set(l->el, EL_BIND, "^I", "quanta-complete", NULL);
    return l;
}

void q_line_close(q_line *l)
{
    if (!l)
        return;
    el_end(l->el);
    if (l->history)
        history_end(l->history);
    free(l->history_path);
    free(l);
}

q_line_got q_line_read(q_line *l, const char *prompt_text, q_slice *line)
{
    int count = 0;
    snprintf(l->prompt, sizeof l->prompt, "%s", prompt_text);
    l->before = *l->interrupts;
    const char *text = el_gets(l->el, &count);
    if (!text && *l->interrupts != l->before) {
        el_reset(l->el);
        return Q_LINE_CLEARED;
    }
    if (!text || count <= 0)
        return Q_LINE_END;
    size_t n = strlen(text);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    *line = q_slice_of(text, n);
    return Q_LINE_TEXT;
}
