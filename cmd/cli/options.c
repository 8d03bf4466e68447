#include "cmd/cli/options.h"

#include "cmd/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

int q_usage_more(const char *command)
{
    fprintf(stderr, "Try `%s --help`.\n", command);
    return Q_EXIT_USAGE;
}

int q_usage_error(const char *command, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s: ", command);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    return q_usage_more(command);
}

bool q_option_number(const char *command, const char *option, const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *rest = NULL;
    errno = 0;
    long long n = strtoll(text, &rest, 10);
    if (rest == text || *rest || errno || n < min || n > max) {
        q_usage_error(command, "%s takes a number from %lld to %lld, not '%s'", option, (long long)min, (long long)max, text);
        return false;
    }
    *out = n;
    return true;
}

bool q_option_format(const char *command, const char *text, unsigned allowed, q_format *out)
{
    if (q_format_from_name(text, out) && allowed >> *out & 1)
        return true;
    q_usage_error(command, "--format is table%s, not '%s'", allowed >> Q_FORMAT_CSV & 1 ? ", json or csv" : " or json", text);
    return false;
}
