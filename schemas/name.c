/* name.c - which names may be, and which were meant. */
#include "schemas/name.h"

enum { BUCKET = 1, RECORD = 2, ATTRIBUTE = 4, ANY = BUCKET | RECORD | ATTRIBUTE };

/* What engines keep for themselves, where our names become theirs (A1: schema, database, label, measurement; table, collection; column,
 * field). Names are always quoted, so keywords of SQL, Cypher and InfluxQL are free; what stands here clashes even so.
 * `_q_…` can't occur: a name begins with a letter. */
static const struct {
    const char *name;
    unsigned where;
    bool prefix;
    const char *by;
} RESERVED[] = {
    { "pg_", ANY, true, "PostgreSQL" },                      /* schemas pg_*: refused by the server; the rest by custom */
    { "information_schema", BUCKET, false, "PostgreSQL" },
    { "public", BUCKET, false, "PostgreSQL" },               /* every database has it, with rights of its own */
    { "tableoid", ATTRIBUTE, false, "PostgreSQL" },          /* system columns: no column may have their names */
    { "xmin", ATTRIBUTE, false, "PostgreSQL" },
    { "cmin", ATTRIBUTE, false, "PostgreSQL" },
    { "xmax", ATTRIBUTE, false, "PostgreSQL" },
    { "cmax", ATTRIBUTE, false, "PostgreSQL" },
    { "ctid", ATTRIBUTE, false, "PostgreSQL" },
    { "admin", BUCKET, false, "MongoDB" },
    { "local", BUCKET, false, "MongoDB" },
    { "config", BUCKET, false, "MongoDB" },
    { "system", BUCKET | RECORD, false, "MongoDB and Neo4j" },
    { "neo4j", BUCKET, false, "Neo4j" },
    { "time", ATTRIBUTE, false, "InfluxDB" },                /* a field or tag of this name is dropped or refused */
};

static unsigned place_of(const char *what)
{
    q_slice w = q_slice_cstr(what);
    return q_slice_eq(w, Q_SLICE_LIT("bucket"))      ? BUCKET
           : q_slice_eq(w, Q_SLICE_LIT("record"))    ? RECORD
           : q_slice_eq(w, Q_SLICE_LIT("attribute")) ? ATTRIBUTE
                                                     : ANY;
}

static q_rc bad_name(q_slice name, const char *what, const char *why, q_err *err)
{
    q_err_set(err, Q_E_SCHEMA_INVALID, "\"%.*s\" can't be the name of a%s %s: %s.", (int)(name.len < 60 ? name.len : 60),
              name.ptr ? name.ptr : "", strchr("aeiou", what[0]) ? "n" : "", what, why);
    return Q_FAIL;
}

q_rc q_name_check(q_slice name, const char *what, q_err *err)
{
    if (name.len == 0)
        return bad_name(name, what, "it is empty", err);
    if (name.len > Q_MAX_NAME_BYTES)
        return bad_name(name, what, "it is longer than 40 characters", err);
    if (name.ptr[0] < 'a' || name.ptr[0] > 'z')
        return bad_name(name, what, "it must begin with a letter from a to z", err);
    for (size_t i = 1; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return bad_name(name, what, "it may hold a-z, 0-9 and _ only", err);
        if (c == '_' && name.ptr[i - 1] == '_')
            return bad_name(name, what, "two underscores stand together", err);
    }
    unsigned where = place_of(what);
    for (size_t i = 0; i < sizeof RESERVED / sizeof *RESERVED; i++) {
        q_slice r = q_slice_cstr(RESERVED[i].name);
        bool same = RESERVED[i].prefix ? name.len >= r.len && memcmp(name.ptr, r.ptr, r.len) == 0 : q_slice_eq(name, r);
        if (same && (RESERVED[i].where & where)) {
            bad_name(name, what, "it is reserved", err);
            q_err_hint(err, "%s keeps it for itself.", RESERVED[i].by);
            return Q_FAIL;
        }
    }
    return Q_OK;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static unsigned min3(unsigned a, unsigned b, unsigned c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }

unsigned q_name_distance(q_slice a, q_slice b)
{
    enum { MAX = 64, FAR = 99 };
    if (a.len > MAX || b.len > MAX || a.len > b.len + 2 || b.len > a.len + 2)
        return FAR;
    unsigned rows[3][MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = lower(a.ptr[i - 1]) == lower(b.ptr[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + !same);
            bool swapped = i > 1 && j > 1 && lower(a.ptr[i - 1]) == lower(b.ptr[j - 2]) && lower(a.ptr[i - 2]) == lower(b.ptr[j - 1]);
            if (swapped && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        unsigned *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[b.len];
}

void q_suggest_consider(q_suggestion *s, q_slice wanted, q_slice candidate)
{
    unsigned d = q_name_distance(wanted, candidate);
    if (d <= 2 && d < wanted.len && (!s->name.ptr || d < s->distance))
        *s = (q_suggestion){ candidate, d };
}
