#include "cmd/cli/wal_verbs.h"

#include "cmd/cli/format.h"

#include <string.h>

bool q_wal_verb(int argc, char **argv, int *status)
{
    static const struct { const char *name; int (*run)(int argc, char **argv); } verbs[] = {
        { "replay", q_wal_replay },
    };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(argv[0], verbs[i].name)) {
            *status = verbs[i].run(argc, argv);
            return true;
        }
    return false;
}

int q_wal_failure(const char *command, const q_err *err)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", command);
    q_format_text(stderr, err->message);
    fputc('\n', stderr);
    if (err->hint[0])
        fprintf(stderr, "  hint: %s\n", err->hint);
    return Q_EXIT_REFUSED;
}
