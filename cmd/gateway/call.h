/* call.h - one HTTP request under way: what server.c and call.c share. */
#ifndef Q_CMD_CALL_H
#define Q_CMD_CALL_H

#include "base/metrics.h"
#include "cmd/gateway/rate.h"
#include "cmd/gateway/server.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

typedef enum q_call_state {
    Q_CALL_NEW = 0,    /* headers are coming */
    Q_CALL_READING,    /* the body */
    Q_CALL_WAITING,    /* suspended: the exchange or the operators' thread has it */
    Q_CALL_ARRIVED,    /* resumed with a result, or with what there is instead */
    Q_CALL_ANSWERED
} q_call_state;

/* Lives from the first byte of a request to the last of its answer. While it waits only the one who will resume it touches it. */
typedef struct q_call {
    struct q_call *next;      /* of the operators' queue */
    q_server *server;
    struct MHD_Connection *connection;
    q_call_state state;
    q_arena *arena;
    int64_t start_us;
    q_slice uri;              /* as it came */
    q_http_request request;
    q_match match;
    q_buf body;
    bool too_large, counted, admin;
    uint32_t timeout_ms;
    q_gate_op *op;
    q_ask ask;
    q_slice request_id;       /* of the question under way */
    /* what arrived */
    q_rc rc;
    q_err error;
    q_part parts[Q_EXCHANGE_MAX_PARTS];
    uint32_t part_count;
    q_http_response response;
    q_admin_reply admin_reply;
    q_buf packed;             /* gzip */
} q_call;

struct q_server {
    q_server_config config;
    q_exchange *exchange;
    struct MHD_Daemon *daemon;
    uint16_t port;
    q_id_hints *hints;
    q_rate *rate;             /* NULL: no limit */
    char *pem[3];             /* certificate, key, client CA; NUL-terminated */
    char instance[20];        /* random: makes ids of requests that have none */
    _Atomic uint64_t next_id;
    atomic_bool draining;
    atomic_size_t under_way;  /* requests begun and not wholly answered */
    /* operators' questions */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    q_call *first, *last;
    /* metrics: one more than routes for what is none */
    _Atomic uint64_t answers[Q_RT_COUNT + 1][5]; /* by hundreds */
    q_histogram seconds[Q_RT_COUNT + 1];
};

int64_t q_call_now_us(void);
void q_call_free(q_call *c);
/* The whole request is there: asks or answers. In a thread of libmicrohttpd, like all of these. */
enum MHD_Result q_call_begin(q_call *c);
/* Resumed. */
enum MHD_Result q_call_continue(q_call *c);
enum MHD_Result q_call_problem(q_call *c, q_code code, const char *text);
enum MHD_Result q_call_send(q_call *c);

#endif
