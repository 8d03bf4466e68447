#include "base/failpoint.h"

#include <stdio.h>

static const struct { const char *name, *program, *text; } points[] = {
#define F(id, name, program, text) { name, program, text },
#include "base/failpoints.def"
#undef F
};

#ifdef Q_FAILPOINTS

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/say.h"

enum { SPEC_BYTES = 4096 };

typedef enum action { NOTHING, KILL, STOP, SLEEP, ERROR } action;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { action what; unsigned long left, ms; } due[Q_FP_COUNT];
static bool read_environment;

_Noreturn static void wrong(const char *spec)
{
    fprintf(stderr, "QUANTA_FAILPOINT: not NAME=kill|stop|sleep:MS|error[@N]: %s\n", spec);
    _exit(2);
}

static q_failpoint find(const char *name, size_t n)
{
    for (int i = 0; i < Q_FP_COUNT; i++)
        if (strlen(points[i].name) == n && !memcmp(points[i].name, name, n))
            return (q_failpoint)i;
    return Q_FP_COUNT;
}

static unsigned long number(char **at, const char *spec)
{
    char *end = NULL;
    unsigned long n = strtoul(*at, &end, 10);
    if (end == *at)
        wrong(spec);
    *at = end;
    return n;
}

/* NAME=ACTION[@N] */
static void take_one(char *spec)
{
    static const struct { const char *word; action what; } actions[] = { { "kill", KILL }, { "stop", STOP }, { "sleep:", SLEEP }, { "error", ERROR } };
    char *at = strchr(spec, '=');
    q_failpoint p = at ? find(spec, (size_t)(at - spec)) : Q_FP_COUNT;
    if (p == Q_FP_COUNT)
        wrong(spec);
    at++;
    due[p].what = NOTHING;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (!strncmp(at, actions[i].word, strlen(actions[i].word))) {
            due[p].what = actions[i].what;
            at += strlen(actions[i].word);
            break;
        }
    if (due[p].what == NOTHING)
        wrong(spec);
    due[p].ms = due[p].what == SLEEP ? number(&at, spec) : 0;
    due[p].left = 1;
    if (*at == '@') {
        at++;
        due[p].left = number(&at, spec);
    }
    if (*at)
        wrong(spec);
}

static void take(char *text)
{
    for (char *at = text; *at && *at != '\n';) {
        size_t n = strcspn(at, ",\n");
        bool more = at[n] == ',';
        at[n] = 0;
        take_one(at);
        at += n + more;
    }
}

static void look_for_orders(void)
{
    char text[SPEC_BYTES];
    const char *from = read_environment ? NULL : getenv("QUANTA_FAILPOINT"), *path = getenv("QUANTA_FAILPOINT_FILE");
    read_environment = true;
    if (from && *from) {
        snprintf(text, sizeof text, "%s", from);
        take(text);
    }
    FILE *f = path && *path ? fopen(path, "re") : NULL;
    if (!f)
        return;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    unlink(path);
    take(text);
}

bool q_failpoint_passed(q_failpoint p)
{
    pthread_mutex_lock(&lock);
    look_for_orders();
    bool now = due[p].what != NOTHING && --due[p].left == 0;
    action what = now ? due[p].what : NOTHING;
    unsigned long ms = due[p].ms;
    if (now) {
        due[p].what = NOTHING;
        q_say(Q_SAY_WARN, "failpoint %s", points[p].name);
    }
    pthread_mutex_unlock(&lock);
    struct timespec pause = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
    switch (what) {
    case KILL: raise(SIGKILL); break;
    case STOP: raise(SIGSTOP); break; /* goes on at SIGCONT */
    case SLEEP: nanosleep(&pause, NULL); break;
    case ERROR: return true;
    case NOTHING: break;
    }
    return false;
}

#endif

void q_failpoint_help(const char *program)
{
#ifndef Q_FAILPOINTS
    printf("This build has no failpoints (make VARIANT=failpoints has). It would have:\n");
#endif
    for (int i = 0; i < Q_FP_COUNT; i++)
        if (!program || program[0] == points[i].program[0])
            printf("%-23s %-11s %s\n", points[i].name, points[i].program, points[i].text);
}
