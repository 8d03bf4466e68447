#include "coordinator/order.h"

#include <stdlib.h>

enum { SPARE = 512 /* rows beyond LIMIT that may wait before the worst are dropped */ };

typedef struct waiting {
    q_value *keys;       /* of ORDER BY; the payload behind them */
    uint64_t met;        /* number, for ties */
} waiting;

struct q_order_run {
    q_exec *x;
    const q_stmt *stmt;
    uint64_t most;       /* rows that can be in the result */
    bool limited, skips;  /* LIMIT; OFFSET */
    waiting *rows;
    uint32_t count, cap, next;
    uint64_t met;
    uint64_t bytes;      /* of what waits */
    q_pagemem mem[2];    /* when too many wait, the best move to the other */
    unsigned now;
    const q_value *worst;/* keys of the last that can be in the result, as of the last drop; NULL: not yet */
    q_value *probe;      /* keys just made */
};

q_order_run *q_order_new(q_exec *x, const q_stmt *stmt, uint64_t offset, uint64_t limit)
{
    q_order_run *o = Q_NEW(x->arena, q_order_run);
    if (!o)
        return NULL;
    o->x = x;
    o->stmt = stmt;
    o->skips = offset > 0;
    o->limited = limit <= Q_EXEC_MAX_ROWS && offset <= Q_EXEC_MAX_ROWS;
    o->most = o->limited ? limit + offset : UINT64_MAX;
    o->probe = Q_NEW_ARRAY(x->arena, q_value, stmt->order_count);
    q_pagemem_init(&o->mem[0], x->arena, false);
    q_pagemem_init(&o->mem[1], x->arena, false);
    return o->probe ? o : NULL;
}

int q_order_cmp(const q_value *a, const q_value *b)
{
    if (q_value_comparable(a->type, b->type))
        return q_value_cmp(a, b);
    if (a->type != b->type)
        return (int)a->type - (int)b->type;
    return a->type == Q_T_DOC ? q_slice_cmp(a->s, b->s) : 0;
}

static int cmp_keys(const q_stmt *s, const q_value *a, const q_value *b)
{
    for (uint32_t i = 0; i < s->order_count; i++) {
        bool a_null = a[i].type == Q_T_NULL, b_null = b[i].type == Q_T_NULL;
        if (a_null && b_null)
            continue;
        if (a_null || b_null)
            return a_null == s->orders[i].nulls_first ? -1 : 1;
        int c = q_order_cmp(&a[i], &b[i]);
        if (c)
            return s->orders[i].desc ? -c : c;
    }
    return 0;
}

static int cmp_waiting(const void *a, const void *b, void *ctx)
{
    const waiting *x = a, *y = b;
    const q_order_run *o = ctx;
    int c = cmp_keys(o->stmt, x->keys, y->keys);
    return c ? c : (x->met > y->met) - (x->met < y->met);
}

void q_order_sort(q_order_run *o)
{
    if (o->count)
        qsort_r(o->rows, o->count, sizeof *o->rows, cmp_waiting, o);
}

static uint64_t most_bytes(const q_exec *x) { return (uint64_t)x->max_parts * Q_EXEC_MAX_RESULT_BYTES; }

q_rc q_order_too_large(const q_exec *x, q_err *err)
{
    q_err_set(err, Q_E_RESULT_TOO_LARGE, "The result is larger than %llu bytes.", (unsigned long long)most_bytes(x));
    q_err_hint(err, "Use LIMIT, fewer columns, or several statements by ranges of id.");
    return Q_FAIL;
}

q_rc q_order_key(q_order_run *o, q_ctx *ctx, q_err *err)
{
    o->met++;
    for (uint32_t i = 0; i < o->stmt->order_count; i++) {
        q_rc rc = q_eval(&ctx->env, o->stmt->orders[i].expr, &o->probe[i], err);
        if (rc != Q_OK)
            return rc;
    }
    /* As good as the worst isn't good enough: that one was met before. */
    return o->most == 0 || (o->worst && cmp_keys(o->stmt, o->probe, o->worst) >= 0) ? Q_END : Q_OK;
}

static q_value *copy_keys(q_order_run *o, const q_value *keys, const q_value *payload)
{
    q_pagemem *mem = &o->mem[o->now];
    q_value *copy = q_pagemem_alloc(mem, (o->stmt->order_count + 1) * sizeof *copy);
    for (uint32_t i = 0; copy && i < o->stmt->order_count; i++)
        if (!q_pagemem_copy(mem, &keys[i], &copy[i]))
            return NULL;
    return copy && q_pagemem_copy(mem, payload, &copy[o->stmt->order_count]) ? copy : NULL;
}

static uint64_t payload_bytes(const q_value *payload) { return payload->type == Q_T_STRING ? payload->s.len : 0; }

static q_rc drop_worst(q_order_run *o, q_err *err)
{
    q_order_sort(o);
    o->count = (uint32_t)o->most;
    o->bytes = 0;
    o->now = !o->now;
    q_pagemem_reset(&o->mem[o->now]);
    for (uint32_t i = 0; i < o->count; i++) {
        q_value *old = o->rows[i].keys;
        o->rows[i].keys = copy_keys(o, old, &old[o->stmt->order_count]);
        if (!o->rows[i].keys)
            return q_exec_no_memory(err);
        o->bytes += payload_bytes(&old[o->stmt->order_count]);
    }
    o->worst = o->rows[o->count - 1].keys;
    return Q_OK;
}

q_rc q_order_add(q_order_run *o, const q_value *payload, q_err *err)
{
    waiting *w = Q_PUSH(o->x->arena, o->rows, o->count, o->cap);
    if (!w || !(w->keys = copy_keys(o, o->probe, payload)))
        return q_exec_no_memory(err);
    w->met = o->met;
    o->bytes += payload_bytes(payload);
    if (o->limited && o->count >= o->most + SPARE)
        return drop_worst(o, err);
    if (!o->limited && (o->count > Q_EXEC_MAX_ROWS || (!o->skips && o->bytes > most_bytes(o->x))))
        return q_order_too_large(o->x, err);
    return Q_OK;
}

const q_value *q_order_next(q_order_run *o) { return o->next < o->count ? &o->rows[o->next++].keys[o->stmt->order_count] : NULL; }
