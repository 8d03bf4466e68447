#include "base/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <yajl/yajl_gen.h>

static const char *program_name = "quanta";
static q_level lowest = Q_SAY_INFO;
static const char *const level_names[] = { "debug", "info", "warn", "error" };

void q_say_init(const char *program, q_level level)
{
    program_name = program;
    lowest = level;
}

static void put(yajl_gen g, const char *s, size_t n)
{
    /* Text that isn't UTF-8 (a foreign message) must not swallow the line. */
    if (yajl_gen_string(g, (const unsigned char *)s, n) != yajl_gen_status_ok)
        yajl_gen_string(g, (const unsigned char *)"(not UTF-8)", 11);
}

static void put_pair(yajl_gen g, const char *name, const char *s, size_t n)
{
    put(g, name, strlen(name));
    put(g, s, n);
}

static void line(q_level level, const q_say_field *fields, size_t count, const char *fmt, va_list args)
{
    if (level < lowest)
        return;
    char text[2048], when[40];
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t w = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(when + w, sizeof when - w, ".%06ldZ", now.tv_nsec / 1000);

    yajl_gen g = yajl_gen_alloc(NULL);
    if (!g)
        return;
    yajl_gen_config(g, yajl_gen_validate_utf8, 1);
    yajl_gen_map_open(g);
    put_pair(g, "ts", when, strlen(when));
    put_pair(g, "level", level_names[level], strlen(level_names[level]));
    put_pair(g, "program", program_name, strlen(program_name));
    put_pair(g, "msg", text, len);
    for (size_t i = 0; i < count; i++)
        put_pair(g, fields[i].name, fields[i].value.ptr ? fields[i].value.ptr : "", fields[i].value.len);
    yajl_gen_map_close(g);
    const unsigned char *out;
    size_t out_len;
    if (yajl_gen_get_buf(g, &out, &out_len) == yajl_gen_status_ok) {
        flockfile(stderr); /* one line at a time */
        fwrite(out, 1, out_len, stderr);
        fputc('\n', stderr);
        funlockfile(stderr);
    }
    yajl_gen_free(g);
}

void q_say(q_level level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line(level, NULL, 0, fmt, args);
    va_end(args);
}

void q_say_with(q_level level, const q_say_field *fields, size_t count, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line(level, fields, count, fmt, args);
    va_end(args);
}
