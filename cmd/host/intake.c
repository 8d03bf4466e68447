#include "cmd/host/intake.h"

#include "base/say.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_PARTITIONS = 64, MAX_SPOOLED = 32 << 20 };

typedef struct owned { /* a request on its way to the host: either a message or bytes read back from the file */
    q_message *message;
    char *bytes;
    q_header headers[Q_INTAKE_MAX_HEADERS];
} owned;

struct q_intake {
    q_host *host;
    void (*failed)(void *ctx, const char *reason);
    void *ctx;
    FILE *file;
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t thread;
    long read_at, write_at; /* under lock: the spooled bytes are between them */
    bool paused, stopping;  /* under lock */
    int64_t next_offset[MAX_PARTITIONS]; /* the source thread's own; -1: none seen */
};

void q_intake_request(const q_message *m, q_header *headers, size_t max, q_request *out)
{
    size_t n = q_message_header_count(m);
    if (n > max)
        n = max;
    for (size_t i = 0; i < n; i++)
        q_message_header(m, i, &headers[i].name, &headers[i].value);
    *out = (q_request){
        .partition = q_message_partition(m),
        .offset = q_message_offset(m),
        .key = q_message_key(m),
        .value = q_message_value(m),
        .header_count = (uint32_t)n,
        .headers = headers,
    };
}

static void release(void *owner)
{
    owned *o = owner;
    q_message_free(o->message);
    free(o->bytes);
    free(o);
}

/* ---- the file: for each request its lengths, then its bytes ---- */

static void put_slice(q_buf *b, q_slice s)
{
    uint32_t len = (uint32_t)s.len;
    q_buf_add(b, &len, sizeof len);
    q_buf_add_slice(b, s);
}

static void encode(const q_request *r, q_buf *b)
{
    q_buf_add(b, &r->partition, sizeof r->partition);
    q_buf_add(b, &r->offset, sizeof r->offset);
    q_buf_add(b, &r->header_count, sizeof r->header_count);
    put_slice(b, r->key);
    put_slice(b, r->value);
    for (uint32_t i = 0; i < r->header_count; i++) {
        put_slice(b, r->headers[i].name);
        put_slice(b, r->headers[i].value);
    }
}

static bool take_bytes(q_slice *in, void *out, size_t n)
{
    if (in->len < n)
        return false;
    memcpy(out, in->ptr, n);
    in->ptr += n;
    in->len -= n;
    return true;
}

static bool take_slice(q_slice *in, q_slice *out)
{
    uint32_t len;
    if (!take_bytes(in, &len, sizeof len) || in->len < len)
        return false;
    *out = q_slice_of(len ? in->ptr : NULL, len);
    in->ptr += len;
    in->len -= len;
    return true;
}

static bool decode(q_slice in, owned *o, q_request *r)
{
    if (!take_bytes(&in, &r->partition, sizeof r->partition) || !take_bytes(&in, &r->offset, sizeof r->offset) ||
        !take_bytes(&in, &r->header_count, sizeof r->header_count) || r->header_count > Q_INTAKE_MAX_HEADERS ||
        !take_slice(&in, &r->key) || !take_slice(&in, &r->value))
        return false;
    for (uint32_t i = 0; i < r->header_count; i++)
        if (!take_slice(&in, &o->headers[i].name) || !take_slice(&in, &o->headers[i].value))
            return false;
    r->headers = o->headers;
    return in.len == 0;
}

static bool spool_locked(q_intake *in, const q_request *r)
{
    q_buf b = Q_BUF_INIT(MAX_SPOOLED);
    uint32_t len = 0;
    q_buf_add(&b, &len, sizeof len);
    encode(r, &b);
    bool ok = !b.failed;
    if (ok) {
        len = (uint32_t)(b.len - sizeof len);
        memcpy(b.ptr, &len, sizeof len);
        ok = fseek(in->file, in->write_at, SEEK_SET) == 0 && fwrite(b.ptr, 1, b.len, in->file) == b.len && fflush(in->file) == 0;
    }
    if (ok) {
        in->write_at += (long)b.len;
        pthread_cond_signal(&in->more);
    }
    q_buf_free(&b);
    return ok;
}

/* The next spooled request, or NULL when it can't be read. */
static owned *unspool_locked(q_intake *in, q_request *r)
{
    uint32_t len;
    owned *o = calloc(1, sizeof *o);
    if (!o || fseek(in->file, in->read_at, SEEK_SET) != 0 || fread(&len, sizeof len, 1, in->file) != 1 || len > MAX_SPOOLED ||
        !(o->bytes = malloc(len ? len : 1)) || fread(o->bytes, 1, len, in->file) != len || !decode(q_slice_of(o->bytes, len), o, r)) {
        if (o)
            release(o);
        return NULL;
    }
    in->read_at += (long)(sizeof len + len);
    if (in->read_at == in->write_at) {
        in->read_at = in->write_at = 0;
        if (ftruncate(fileno(in->file), 0) != 0)
            q_say(Q_SAY_WARN, "the request spool can't be shortened");
    }
    return o;
}

static void *drain(void *arg)
{
    q_intake *in = arg;
    pthread_mutex_lock(&in->lock);
    while (!in->stopping) {
        if (in->paused || in->read_at == in->write_at) {
            pthread_cond_wait(&in->more, &in->lock);
            continue;
        }
        q_request r = { 0 };
        owned *o = unspool_locked(in, &r);
        if (!o) {
            in->failed(in->ctx, "the request spool can't be read back");
            break;
        }
        q_host_request(in->host, &r, release, o); /* under the lock: a direct one may not overtake it */
    }
    pthread_mutex_unlock(&in->lock);
    return NULL;
}

q_rc q_intake_start(const char *spool_path, q_host *host, void (*failed)(void *ctx, const char *reason), void *ctx, q_intake **out,
                    q_err *err)
{
    q_intake *in = calloc(1, sizeof *in);
    if (!in)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    in->host = host;
    in->failed = failed;
    in->ctx = ctx;
    for (size_t i = 0; i < MAX_PARTITIONS; i++)
        in->next_offset[i] = -1;
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->more, NULL);
    in->file = fopen(spool_path, "w+b");
    if (!in->file)
        q_err_set(err, Q_E_INTERNAL, "%s can't be written", spool_path);
    else if (pthread_create(&in->thread, NULL, drain, in) != 0)
        q_err_set(err, Q_E_INTERNAL, "no thread for the request spool");
    else {
        *out = in;
        return Q_OK;
    }
    if (in->file)
        fclose(in->file);
    free(in);
    return Q_FAIL;
}

/* The in-process broker answers an empty topic's beginning with 0 and counts on without gaps. */
static bool follows(q_intake *in, const q_message *m)
{
    int32_t p = q_message_partition(m);
    if (p < 0 || p >= MAX_PARTITIONS)
        return false;
    int64_t expected = in->next_offset[p], offset = q_message_offset(m);
    in->next_offset[p] = offset + 1;
    return expected < 0 ? offset == 0 : offset == expected;
}

void q_intake_message(q_intake *in, q_message *m)
{
    if (!follows(in, m))
        in->failed(in->ctx, "the in-process broker dropped requests: more came than were read; send those without an answer again");
    owned *o = calloc(1, sizeof *o);
    if (!o) {
        in->failed(in->ctx, "out of memory");
        q_message_free(m);
        return;
    }
    q_request r;
    o->message = m;
    q_intake_request(m, o->headers, Q_INTAKE_MAX_HEADERS, &r);
    pthread_mutex_lock(&in->lock);
    bool direct = !in->paused && in->read_at == in->write_at;
    if (direct)
        q_host_request(in->host, &r, release, o);
    bool ok = direct || spool_locked(in, &r);
    pthread_mutex_unlock(&in->lock);
    if (!direct)
        release(o);
    if (!ok)
        in->failed(in->ctx, "the request spool can't be written: is the disk full?");
}

void q_intake_pause(q_intake *in, bool paused)
{
    pthread_mutex_lock(&in->lock);
    in->paused = paused;
    pthread_cond_signal(&in->more);
    pthread_mutex_unlock(&in->lock);
}

void q_intake_stop(q_intake *in)
{
    if (!in)
        return;
    pthread_mutex_lock(&in->lock);
    in->stopping = true;
    pthread_cond_signal(&in->more);
    pthread_mutex_unlock(&in->lock);
    pthread_join(in->thread, NULL);
    fclose(in->file);
    pthread_mutex_destroy(&in->lock);
    pthread_cond_destroy(&in->more);
    free(in);
}
