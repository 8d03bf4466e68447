/* quanta bucket and quanta schema - buckets and record definitions, through QuantaQL like everything else. */
#include "base/buf.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/client.h"
#include "cmd/cli/options.h"
#include "schemas/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MAX_DEFINITION = 1 << 20 };

typedef struct call {
    const char *command;  /* for messages: "quanta bucket" */
    const char *bootstrap, *bucket;
    q_format format;
    bool if_not_exists, cascade;
    q_client *client;
} call;

static void bucket_help(FILE *to)
{
    fputs("Usage: quanta bucket create NAME [--if-not-exists] | drop NAME [--cascade] | list\n\n"
          "      --format table|json|csv\n      --bootstrap HOST:PORT\n",
          to);
}

static void schema_help(FILE *to)
{
    fputs("Usage: quanta schema apply -b BUCKET FILE|DIRECTORY...   define the records in JSON files, in order of their names\n"
          "       quanta schema list -b BUCKET                     its records\n"
          "       quanta schema show -b BUCKET RECORD              one record's attributes\n"
          "       quanta schema drop -b BUCKET RECORD\n\n"
          "      --if-not-exists         apply: leave what is defined already\n"
          "      --format table|json|csv\n      --bootstrap HOST:PORT\n",
          to);
}

/* Options may stand anywhere; what is left are the words. */
static bool parse(int argc, char **argv, call *c, void (*help)(FILE *to), int *status)
{
    static const struct option longs[] = {
        { "bucket", required_argument, NULL, 'b' }, { "format", required_argument, NULL, 'F' },
        { "bootstrap", required_argument, NULL, 'B' }, { "if-not-exists", no_argument, NULL, 'n' },
        { "cascade", no_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 }
    };
    int o;
    *status = Q_EXIT_USAGE;
    while ((o = getopt_long(argc, argv, "b:h", longs, NULL)) != -1) {
        switch (o) {
        case 'b': c->bucket = optarg; break;
        case 'B': c->bootstrap = optarg; break;
        case 'n': c->if_not_exists = true; break;
        case 'c': c->cascade = true; break;
        case 'F':
            if (!q_option_format(c->command, optarg, Q_FORMATS_ALL, &c->format))
                return false;
            break;
        case 'h':
            help(stdout);
            *status = Q_EXIT_COMMITTED;
            return false;
        default:
            q_usage_more(c->command);
            return false;
        }
    }
    return true;
}

/* `done` is said when it is; NULL: the result is printed. `file`: where the query's text from its second line on comes from, or NULL. */
static int run(call *c, q_slice query, const char *done, const char *file)
{
    q_err err = Q_ERR_INIT;
    if (!c->client && q_client_connect(c->bootstrap, &c->client, &err) != Q_OK)
        return q_cli_print_failure(&err);
    json_t *result = NULL;
    q_client_request request = { .bucket = c->bucket, .query = query };
    if (q_client_run(c->client, &request, &result, &err) != Q_OK)
        return q_cli_print_failure(&err);
    const char *status = json_string_value(json_object_get(result, "status"));
    bool good = status && !strcmp(status, "committed");
    if (good && done && c->format == Q_FORMAT_TABLE)
        printf("%s\n", done);
    else if (good || c->format == Q_FORMAT_JSON)
        q_format_result(stdout, c->format, result);
    if (!good) {
        json_t *error = json_object_get(result, "error");
        json_int_t line = json_integer_value(json_object_get(error, "line"));
        const char *text = file ? memchr(query.ptr, '\n', query.len) : NULL;
        if (text && line > 1) { /* the file's own lines */
            json_object_set_new(error, "line", json_integer(line - 1));
            query = q_slice_of(text + 1, (size_t)(query.ptr + query.len - text) - 1);
        } else if (text) {
            json_object_del(error, "line");
        }
        if (file && line <= 1)
            fprintf(stderr, "%s: ", file);
        q_format_error_in(stderr, error, file, query, 0);
    }
    json_decref(result);
    return good ? Q_EXIT_COMMITTED : Q_EXIT_REFUSED;
}

/* Names go into a statement here: only after q_name_check. */
static bool good_name(const call *c, const char *name, const char *what)
{
    q_err err = Q_ERR_INIT;
    if (q_name_check(q_slice_cstr(name), what, &err) == Q_OK)
        return true;
    fprintf(stderr, "%s: %s\n", c->command, err.message);
    return false;
}

/* A statement of a few words; `name` was checked by good_name. */
static int run_words(call *c, const char *what, const char *before, const char *name, const char *after)
{
    char query[200];
    snprintf(query, sizeof query, "%s %s%s;", before, name, after);
    return run(c, q_slice_cstr(query), what, NULL);
}

int q_cmd_bucket(int argc, char **argv)
{
    call c = { .command = "quanta bucket" };
    int status = Q_EXIT_USAGE;
    if (!parse(argc, argv, &c, bucket_help, &status))
        return status;
    const char *verb = optind < argc ? argv[optind] : "", *name = optind + 1 < argc ? argv[optind + 1] : NULL;
    bool list = !strcmp(verb, "list") && !name, create = !strcmp(verb, "create"), drop = !strcmp(verb, "drop");
    char what[100];
    if (!*verb)
        return q_usage_error(c.command, "create, drop or list?");
    if (!create && !drop && strcmp(verb, "list"))
        return q_usage_error(c.command, "unknown verb '%s': it is create, drop or list", verb);
    if ((create || drop) && !name)
        return q_usage_error(c.command, "%s takes the bucket's NAME", verb);
    if (optind + (name ? 2 : 1) < argc || (name && !create && !drop))
        return q_usage_error(c.command, "unexpected '%s'", argv[optind + (create || drop ? 2 : 1)]);
    if (list) {
        status = run(&c, Q_SLICE_LIT("SHOW BUCKETS;"), NULL, NULL);
    } else if (good_name(&c, name, "bucket")) {
        c.bucket = name;
        snprintf(what, sizeof what, "bucket %s %s", name, create ? "created" : "dropped");
        if (create)
            status = run_words(&c, what, c.if_not_exists ? "CREATE BUCKET IF NOT EXISTS" : "CREATE BUCKET", name, "");
        else
            status = run_words(&c, what, "DROP BUCKET", name, c.cascade ? " CASCADE" : "");
    }
    q_client_close(c.client);
    return status;
}

/* ---- schema apply ---- */

static int apply_file(call *c, const char *path)
{
    q_buf query = Q_BUF_INIT(MAX_DEFINITION);
    char *at, done[PATH_MAX + 16];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: %s: %s\n", c->command, path, strerror(errno));
        return Q_EXIT_USAGE;
    }
    q_buf_add_cstr(&query, c->if_not_exists ? "CREATE RECORD IF NOT EXISTS\n" : "CREATE RECORD\n");
    while ((at = q_buf_reserve(&query, 4096)) && (n = fread(at, 1, 4096, f)) > 0)
        query.len += n;
    bool ok = !ferror(f) && !query.failed;
    fclose(f);
    q_buf_add_cstr(&query, ";");
    const char *base = strrchr(path, '/');
    snprintf(done, sizeof done, "%s applied", base ? base + 1 : path);
    int status = Q_EXIT_USAGE;
    if (ok)
        status = run(c, q_buf_slice(&query), done, path);
    else
        fprintf(stderr, "%s: %s can't be read, or is larger than 1 MB\n", c->command, path);
    q_buf_free(&query);
    return status;
}

static int is_json(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 5 && d->d_name[0] != '.' && !strcmp(d->d_name + n - 5, ".json");
}

static int apply_dir(call *c, const char *dir)
{
    struct dirent **files = NULL;
    int n = scandir(dir, &files, is_json, alphasort), status = Q_EXIT_COMMITTED;
    if (n <= 0) {
        fprintf(stderr, "%s: %s has no .json file\n", c->command, dir);
        free(files);
        return Q_EXIT_USAGE;
    }
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        if (status == Q_EXIT_COMMITTED) {
            if (snprintf(path, sizeof path, "%s/%s", dir, files[i]->d_name) < (int)sizeof path)
                status = apply_file(c, path);
            else
                status = Q_EXIT_USAGE;
        }
        free(files[i]);
    }
    free(files);
    return status;
}

int q_cmd_schema(int argc, char **argv)
{
    call c = { .command = "quanta schema" };
    int status = Q_EXIT_USAGE;
    if (!parse(argc, argv, &c, schema_help, &status))
        return status;
    const char *verb = optind < argc ? argv[optind++] : "";
    int words = argc - optind;
    bool apply = !strcmp(verb, "apply"), list = !strcmp(verb, "list"), show = !strcmp(verb, "show"), drop = !strcmp(verb, "drop");
    if (!*verb)
        return q_usage_error(c.command, "apply, list, show or drop?");
    if (!apply && !list && !show && !drop)
        return q_usage_error(c.command, "unknown verb '%s': it is apply, list, show or drop", verb);
    if (!c.bucket)
        return q_usage_error(c.command, "-b BUCKET says whose records");
    if (words == 0 && !list)
        return q_usage_error(c.command, "%s takes %s", verb, apply ? "files or directories" : "a RECORD");
    if (!apply && words > (list ? 0 : 1))
        return q_usage_error(c.command, "unexpected '%s'", argv[optind + (list ? 0 : 1)]);
    if (!good_name(&c, c.bucket, "bucket"))
        return Q_EXIT_USAGE;
    if (apply) {
        status = Q_EXIT_COMMITTED;
        for (; optind < argc && status == Q_EXIT_COMMITTED; optind++) {
            struct stat st;
            bool dir = stat(argv[optind], &st) == 0 && S_ISDIR(st.st_mode);
            status = dir ? apply_dir(&c, argv[optind]) : apply_file(&c, argv[optind]);
        }
    } else if (list) {
        status = run(&c, Q_SLICE_LIT("SHOW RECORDS;"), NULL, NULL);
    } else if (good_name(&c, argv[optind], "record")) {
        status = run_words(&c, NULL, show ? "SHOW RECORD" : "DROP RECORD", argv[optind], "");
    }
    q_client_close(c.client);
    return status;
}
