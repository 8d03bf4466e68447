#include "tests/sim/mutants.h"

#include "base/sabotage.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/scenarios.h"

static const struct { const char *name, *who, *sentence; uint32_t mask, own; } mutants[] = {
#define X(name, who, sentence) { #name, who, sentence, (uint32_t)Q_SAB_##name, 0 },
    Q_SABOTAGES(X)
#undef X
#define X(name, who, sentence) { #name, who, sentence, 0, (uint32_t)MEM_SAB_##name },
    MEM_SABOTAGES(X)
#undef X
};

bool mutants_find(const char *name, uint32_t *mask, uint32_t *own)
{
    for (size_t i = 0; i < sizeof mutants / sizeof *mutants; i++)
        if (strcmp(name, mutants[i].name) == 0) {
            *mask = mutants[i].mask;
            *own = mutants[i].own;
            return true;
        }
    return false;
}

#ifdef Q_MUTANTS
/* What no seed happens upon, a script may bring about. In a process of its own: it may well die of it. */
static bool scenarios_notice(uint32_t mask, uint32_t own)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(3);
        alarm(120);
        _exit(scenarios_run("all", NULL, mask, own));
    }
    return waitpid(pid, &status, 0) == pid && (!WIFEXITED(status) || WEXITSTATUS(status) == 1);
}
#endif

int mutants_run(const batch_options *base, uint32_t limit)
{
#ifndef Q_MUTANTS
    (void)base;
    (void)limit;
    fprintf(stderr, "this build has no mutants in it: make sim-mutants\n");
    return 2;
#else
    static batch_result r;
    uint32_t survivors = 0;
    printf("%-19s %-12s %8s  %-12s %s\n", "left out", "of", "seeds", "caught by", "the sentence");
    for (size_t i = 0; i < sizeof mutants / sizeof *mutants; i++) {
        batch_options o = *base;
        o.sim.sabotage = mutants[i].mask;
        o.sim.own_sabotage = mutants[i].own;
        o.from = 1;
        o.to = limit;
        o.stop_at_failure = true;
        batch_run(&o, &r);
        if (r.failure_count)
            printf("%-19s %-12s %8llu  %-12s %s\n", mutants[i].name, mutants[i].who, (unsigned long long)r.seeds, r.failures[0].checker, mutants[i].sentence);
        bool scripted = !r.failure_count && scenarios_notice(mutants[i].mask, mutants[i].own);
        if (!r.failure_count)
            printf("%-19s %-12s %8s  %-12s %s\n", mutants[i].name, mutants[i].who, "-", scripted ? "scenarios" : "NOBODY", mutants[i].sentence);
        survivors += !r.failure_count && !scripted;
        fflush(stdout);
    }
    printf("%u of %zu were caught, by %u seeds or the scenarios\n", (uint32_t)(sizeof mutants / sizeof *mutants) - survivors, sizeof mutants / sizeof *mutants, limit);
    return survivors != 0;
#endif
}
