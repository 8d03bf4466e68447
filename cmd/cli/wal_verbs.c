#include "cmd/cli/wal_verbs.h"

#include "cmd/cli/format.h"
#include "wal/copy.h"

#include <string.h>

bool q_wal_verb(int argc, char **argv, int *status)
{
    static const struct { const char *name; int (*run)(int argc, char **argv); } verbs[] = {
        { "replay", q_wal_replay }, { "export", q_wal_export }, { "backup", q_wal_backup }, { "restore", q_wal_restore }, { "compact", q_wal_compact },
    };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(argv[0], verbs[i].name)) {
            *status = verbs[i].run(argc, argv);
            return true;
        }
    return false;
}

q_rc q_wal_open_whole(const char *dir, q_log **out, q_err *err)
{
    q_log_options options = { .read_only = true };
    q_log *log = NULL;
    q_archive *archive = NULL;
    q_rc rc = q_log_open_lmdb(dir, &options, &log, err);
    if (rc == Q_OK)
        rc = q_segments_open(dir, &archive, err);
    if (rc == Q_OK)
        rc = q_log_with_archive(log, archive, out, err);
    if (rc != Q_OK && archive)
        archive->close(archive);
    if (rc != Q_OK && log)
        log->ops->close(log);
    return rc;
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
