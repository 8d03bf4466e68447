#include "schemas/timetext.h"

static const int64_t SECOND_US = 1000000;
static const int64_t DAY_US = INT64_C(86400000000);

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static size_t put_number(char *out, uint64_t n, unsigned width)
{
    char tmp[24];
    size_t len = 0;
    do {
        tmp[len++] = (char)('0' + (int)(n % 10));
        n /= 10;
    } while (n);
    while (len < width)
        tmp[len++] = '0';
    for (size_t i = 0; i < len; i++)
        out[i] = tmp[len - 1 - i];
    return len;
}

/* ".5" for 500000; nothing for 0. */
static size_t put_fraction(char *out, uint64_t micros)
{
    if (micros == 0)
        return 0;
    out[0] = '.';
    size_t n = 1 + put_number(out + 1, micros, 6);
    while (out[n - 1] == '0')
        n--;
    return n;
}

/* ---- times ----------------------------------------------------------------------------------------------------------- */

static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (int64_t)(m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t z, int64_t *year, unsigned *month, unsigned *day)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    *month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29u : days[month - 1];
}

/* Exactly `width` digits at *at. */
static bool take_digits(q_slice t, size_t *at, unsigned width, unsigned *out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < width; i++, (*at)++) {
        if (*at >= t.len || !is_digit(t.ptr[*at]))
            return false;
        n = n * 10 + (unsigned)(t.ptr[*at] - '0');
    }
    *out = n;
    return true;
}

static bool take_char(q_slice t, size_t *at, const char *any_of)
{
    if (*at >= t.len || t.ptr[*at] == '\0' || !strchr(any_of, t.ptr[*at]))
        return false;
    (*at)++;
    return true;
}

static q_rc time_fail(q_slice text, const char *why, q_err *err)
{
    q_err_set(err, Q_E_QQL_VALUE, "\"%.*s\" is not a time: %s.", (int)(text.len < 60 ? text.len : 60), text.ptr ? text.ptr : "", why);
    q_err_hint(err, "RFC 3339, such as 2024-05-01T12:30:00Z or 2024-05-01T14:30:00.25+02:00.");
    return Q_FAIL;
}

q_rc q_time_parse(q_slice t, int64_t *us, q_err *err)
{
    unsigned year, month, day, hour, minute, second, micros = 0, off_hour = 0, off_minute = 0;
    size_t at = 0;
    if (!take_digits(t, &at, 4, &year) || !take_char(t, &at, "-") || !take_digits(t, &at, 2, &month) || !take_char(t, &at, "-")
        || !take_digits(t, &at, 2, &day))
        return time_fail(t, "a date YYYY-MM-DD is expected", err);
    if (!take_char(t, &at, "Tt ") || !take_digits(t, &at, 2, &hour) || !take_char(t, &at, ":") || !take_digits(t, &at, 2, &minute)
        || !take_char(t, &at, ":") || !take_digits(t, &at, 2, &second))
        return time_fail(t, "a time of day HH:MM:SS is expected after the date", err);
    if (take_char(t, &at, ".")) {
        size_t from = at;
        unsigned unit = 100000;
        for (; at < t.len && is_digit(t.ptr[at]); at++, unit /= 10) {
            if (unit == 0 && t.ptr[at] != '0')
                return time_fail(t, "it is finer than a microsecond", err);
            micros += unit * (unsigned)(t.ptr[at] - '0');
        }
        if (at == from)
            return time_fail(t, "digits are expected after the point", err);
    }
    int offset_sign = 0;
    if (!take_char(t, &at, "Zz")) {
        offset_sign = at < t.len && t.ptr[at] == '-' ? -1 : 1;
        if (!take_char(t, &at, "+-") || !take_digits(t, &at, 2, &off_hour) || !take_char(t, &at, ":")
            || !take_digits(t, &at, 2, &off_minute))
            return time_fail(t, "Z or an offset such as +02:00 is expected at its end", err);
    }
    if (at != t.len)
        return time_fail(t, "something follows its end", err);
    if (second == 60)
        return time_fail(t, "leap seconds are not kept", err);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59
        || off_hour > 23 || off_minute > 59)
        return time_fail(t, "a part is out of its range", err);
    int64_t seconds = days_from_civil(year, month, day) * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60 + (int64_t)second;
    seconds -= offset_sign * ((int64_t)off_hour * 3600 + (int64_t)off_minute * 60);
    int64_t total = seconds * SECOND_US + (int64_t)micros;
    if (total < Q_TIME_MIN_US || total > Q_TIME_MAX_US)
        return time_fail(t, "in UTC its year is not within 0001 to 9999", err);
    *us = total;
    return Q_OK;
}

size_t q_time_text(int64_t us, char out[Q_TIME_TEXT_BYTES])
{
    int64_t days = us / DAY_US, rest = us % DAY_US;
    if (rest < 0) {
        rest += DAY_US;
        days--;
    }
    int64_t year;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    uint64_t seconds = (uint64_t)(rest / SECOND_US);
    size_t n = put_number(out, (uint64_t)year, 4);
    out[n++] = '-';
    n += put_number(out + n, month, 2);
    out[n++] = '-';
    n += put_number(out + n, day, 2);
    out[n++] = 'T';
    n += put_number(out + n, seconds / 3600, 2);
    out[n++] = ':';
    n += put_number(out + n, seconds / 60 % 60, 2);
    out[n++] = ':';
    n += put_number(out + n, seconds % 60, 2);
    n += put_fraction(out + n, (uint64_t)(rest % SECOND_US));
    out[n++] = 'Z';
    out[n] = '\0';
    return n;
}

/* ---- durations ------------------------------------------------------------------------------------------------------- */

typedef struct unit {
    const char *name;
    int64_t us;
} unit;

static const unit SHORT_UNITS[] = { /* the largest first */
    { "w", INT64_C(604800000000) }, { "d", INT64_C(86400000000) }, { "h", INT64_C(3600000000) }, { "m", 60000000 }, { "s", 1000000 },
    { "ms", 1000 }, { "us", 1 } };
static const unit ISO_DATE_UNITS[] = { { "W", INT64_C(604800000000) }, { "D", INT64_C(86400000000) } };
static const unit ISO_TIME_UNITS[] = { { "H", INT64_C(3600000000) }, { "M", 60000000 }, { "S", 1000000 } };
#define COUNT(a) (sizeof(a) / sizeof *(a))

static q_rc duration_fail(q_slice text, const char *why, q_err *err)
{
    q_err_set(err, Q_E_QQL_VALUE, "\"%.*s\" is not a duration: %s.", (int)(text.len < 60 ? text.len : 60), text.ptr ? text.ptr : "", why);
    q_err_hint(err, "\"1d 3h\" or ISO 8601 such as P1DT3H; units are w d h m s ms us.");
    return Q_FAIL;
}

typedef struct reader {
    q_slice text;
    size_t at;
    bool negative;
    bool fraction; /* one was read: nothing may follow */
    unsigned parts;
    __int128 us;   /* its size without the sign */
} reader;

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* One number with its unit, which must come after `*next` in `units`. */
static q_rc take_part(reader *r, const unit *units, size_t count, size_t *next, q_err *err)
{
    if (r->fraction)
        return duration_fail(r->text, "only its last part may have a fraction", err);
    enum { MAX_DIGITS = 19 };
    __int128 number = 0, divisor = 1;
    size_t digits = 0;
    bool point = false;
    for (; r->at < r->text.len; r->at++) {
        char c = r->text.ptr[r->at];
        if (!point && digits && (c == '.' || c == ',')) {
            point = r->fraction = true;
            continue;
        }
        if (!is_digit(c))
            break;
        if (++digits > MAX_DIGITS)
            return duration_fail(r->text, "a number has too many digits", err);
        number = number * 10 + (c - '0');
        divisor *= point ? 10 : 1;
    }
    if (digits == 0 || (point && divisor == 1))
        return duration_fail(r->text, "a number is expected", err);
    size_t from = r->at;
    while (r->at < r->text.len && letter(r->text.ptr[r->at]) && (units == SHORT_UNITS || r->at == from))
        r->at++;
    q_slice name = q_slice_of(r->text.ptr + from, r->at - from);
    size_t u = 0;
    while (u < count && !q_slice_eq(name, q_slice_cstr(units[u].name)))
        u++;
    if (u == count && units == ISO_DATE_UNITS && name.len == 1 && (name.ptr[0] == 'Y' || name.ptr[0] == 'M'))
        return duration_fail(r->text, "years and months have no fixed length; say it in weeks or days", err);
    if (u == count)
        return duration_fail(r->text, name.len ? "a unit is unknown" : "a number has no unit", err);
    if (u < *next)
        return duration_fail(r->text, "each unit may come once, the largest first", err);
    *next = u + 1;
    r->parts++;
    __int128 scaled = number * units[u].us;
    if (scaled % divisor)
        return duration_fail(r->text, "it is finer than a microsecond", err);
    r->us += scaled / divisor;
    return Q_OK;
}

static q_rc duration_end(const reader *r, int64_t *us, q_err *err)
{
    if (r->parts == 0)
        return duration_fail(r->text, "it is empty", err);
    __int128 total = r->negative ? -r->us : r->us;
    if (total > INT64_MAX || total < INT64_MIN)
        return duration_fail(r->text, "it is longer than 292,000 years", err);
    *us = (int64_t)total;
    return Q_OK;
}

static q_rc parse_iso(reader *r, int64_t *us, q_err *err)
{
    size_t next = 0;
    while (r->at < r->text.len && r->text.ptr[r->at] != 'T') {
        q_rc rc = take_part(r, ISO_DATE_UNITS, COUNT(ISO_DATE_UNITS), &next, err);
        if (rc != Q_OK)
            return rc;
    }
    if (r->at < r->text.len) {
        r->at++;
        if (r->at == r->text.len)
            return duration_fail(r->text, "nothing follows the T", err);
        next = 0;
        while (r->at < r->text.len) {
            q_rc rc = take_part(r, ISO_TIME_UNITS, COUNT(ISO_TIME_UNITS), &next, err);
            if (rc != Q_OK)
                return rc;
        }
    }
    return duration_end(r, us, err);
}

static void skip_spaces(reader *r)
{
    while (r->at < r->text.len && r->text.ptr[r->at] == ' ')
        r->at++;
}

q_rc q_duration_parse(q_slice text, int64_t *us, q_err *err)
{
    enum { MAX_TEXT = 200 };
    if (text.len > MAX_TEXT)
        return duration_fail(text, "it is too long a text", err);
    reader r = { .text = text };
    skip_spaces(&r);
    if (r.at < text.len && (text.ptr[r.at] == '-' || text.ptr[r.at] == '+'))
        r.negative = text.ptr[r.at++] == '-';
    if (r.at < text.len && text.ptr[r.at] == 'P') {
        r.at++;
        return parse_iso(&r, us, err);
    }
    size_t next = 0;
    for (skip_spaces(&r); r.at < text.len; skip_spaces(&r)) {
        q_rc rc = take_part(&r, SHORT_UNITS, COUNT(SHORT_UNITS), &next, err);
        if (rc != Q_OK)
            return rc;
    }
    return duration_end(&r, us, err);
}

size_t q_duration_text(int64_t us, char out[Q_DURATION_TEXT_BYTES])
{
    size_t n = 0;
    uint64_t u = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    if (us < 0)
        out[n++] = '-';
    out[n++] = 'P';
    if (u >= (uint64_t)DAY_US) {
        n += put_number(out + n, u / (uint64_t)DAY_US, 1);
        out[n++] = 'D';
        u %= (uint64_t)DAY_US;
    }
    uint64_t seconds = u / 1000000, micros = u % 1000000;
    if (u || out[n - 1] == 'P')
        out[n++] = 'T';
    if (seconds >= 3600) {
        n += put_number(out + n, seconds / 3600, 1);
        out[n++] = 'H';
    }
    if (seconds / 60 % 60) {
        n += put_number(out + n, seconds / 60 % 60, 1);
        out[n++] = 'M';
    }
    if (seconds % 60 || micros || us == 0) {
        n += put_number(out + n, seconds % 60, 1);
        n += put_fraction(out + n, micros);
        out[n++] = 'S';
    }
    out[n] = '\0';
    return n;
}
