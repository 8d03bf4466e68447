#include "cmd/cli/run.h"

#include "base/buf.h"
#include "cmd/cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* What the client waited, and where the system says it went. */
static void put_timing(const json_t *result, double took_ms)
{
    const char *name;
    json_t *value;
    bool first = true;
    printf("Time: %.1f ms", took_ms);
    json_object_foreach(json_object_get(result, "timings_ms"), name, value) {
        if (!json_is_number(value) || (json_number_value(value) <= 0 && strcmp(name, "total")))
            continue;
        printf("%s%s %.2f", first ? " (" : ", ", name, json_number_value(value));
        first = false;
    }
    puts(first ? "" : ")");
}

/* The parameters that the text mentions: one that stands nowhere is an error, and a script's transactions need not all use all. */
static json_t *params_of(const json_t *all, q_slice text)
{
    json_t *used = NULL, *value;
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)all, name, value) {
        size_t n = strlen(name);
        const char *at = text.ptr, *end = text.ptr + text.len;
        while ((at = memchr(at, '$', (size_t)(end - at)))) {
            at++;
            bool same = (size_t)(end - at) >= n && memcmp(at, name, n) == 0;
            if (same && (at + n == end || (at[n] != '_' && !isalnum((unsigned char)at[n])))) {
                used = used ? used : json_object();
                json_object_set(used, name, value);
                break;
            }
        }
    }
    return used;
}

int q_run_transaction(q_run *r, q_slice script, size_t from, size_t to)
{
    q_slice text = q_slice_of(script.ptr + from, to - from);
    bool only_use;
    (void)q_script_use(text, r->bucket, &only_use);
    json_t *params = r->script_params ? params_of(r->params, text) : json_incref((json_t *)(uintptr_t)r->params);
    q_client_request request = { .bucket = r->bucket[0] ? r->bucket : NULL, .query = text, .params = params,
                                 .request_id = r->request_id, .timeout_ms = r->timeout_ms };
    json_t *result = NULL;
    q_err err = Q_ERR_INIT;
    double began = now_ms();
    q_rc rc = q_client_run(r->client, &request, &result, &err);
    json_decref(params);
    if (rc != Q_OK)
        return q_cli_print_failure(&err);
    double took = now_ms() - began;
    const char *status = json_string_value(json_object_get(result, "status"));
    bool good = status && (!strcmp(status, "committed") || !strcmp(status, "rolled_back"));
    if (good || r->format == Q_FORMAT_JSON)
        q_format_result(stdout, r->format, result);
    if (!good) {
        fflush(stdout);
        q_format_error_in(stderr, json_object_get(result, "error"), r->name, script, from);
    }
    if (r->timing)
        put_timing(result, took);
    json_decref(result);
    r->defined = r->defined || (good && q_script_defines(text));
    return good ? Q_EXIT_COMMITTED : Q_EXIT_REFUSED;
}

int q_run_script(q_run *r, q_slice script)
{
    q_cut cut = { .text = script };
    size_t from, to, ran = 0;
    q_rc rc;
    while ((rc = q_cut_next(&cut, &from, &to)) != Q_END) {
        bool only_use = false;
        if (rc == Q_WAIT && q_script_use(q_slice_of(script.ptr + from, to - from), r->bucket, &only_use) && only_use)
            break; /* a script may end with it */
        /* Else unfinished or unreadable: the coordinator tells what is wrong, with its place. */
        if (r->request_id && ran) {
            fprintf(stderr, "quanta exec: --request-id names one transaction; the script has more\n");
            return Q_EXIT_USAGE;
        }
        int status = q_run_transaction(r, script, from, to);
        if (status != Q_EXIT_COMMITTED)
            return status;
        ran++;
    }
    return Q_EXIT_COMMITTED;
}

bool q_run_read(const char *command, const char *path, q_buf *out)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    if (!f) {
        fprintf(stderr, "%s: %s: %s\n", command, path, strerror(errno));
        return false;
    }
    char *at;
    size_t n;
    errno = 0;
    while ((at = q_buf_reserve(out, 65536)) && (n = fread(at, 1, 65536, f)) > 0)
        out->len += n;
    bool ok = !ferror(f) && !out->failed;
    if (!ok && out->failed)
        fprintf(stderr, "%s: %s is larger than %zu MB\n", command, path, out->max >> 20);
    else if (!ok)
        fprintf(stderr, "%s: %s can't be read: %s\n", command, path, strerror(errno));
    if (f != stdin)
        fclose(f);
    return ok;
}
