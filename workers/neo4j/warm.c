/* A Neo4j that was just started takes seconds for its first statement of a kind: it loads and compiles its planner then. A session that was
 * told an epoch lets it plan what reads, votes and applies look like, before anybody waits for one. Nothing is written: the applied rows
 * are none, and no bucket can have the name. What fails here doesn't matter: it is seen again where it does. */
#include "workers/neo4j/internal.h"

static void warm_reads(q_engine *e, q_arena *arena)
{
    static const q_slice attrs[] = { { "warm", 4 } };
    static const q_value ids[] = { { .type = Q_T_STRING, .s = { "warm", 4 } } };
    q_read read = { .kind = Q_R_IDS, .bucket = Q_SLICE_LIT("_quanta"), .record = Q_SLICE_LIT("warm"), .attr_count = 1, .attrs = attrs,
                    .id_count = 1, .ids = ids, .limit = 1 };
    q_rows rows;
    q_err err = Q_ERR_INIT;
    (void)!nj_read(e, arena, &read, &rows, &err);
    read.kind = Q_R_SCAN;
    read.id_count = 0;
    (void)!nj_read(e, arena, &read, &rows, &err);
}

static void warm_vote(q_engine *e, q_arena *arena, uint64_t epoch)
{
    const q_item item = { .op = Q_I_DELETE, .record = Q_SLICE_LIT("warm"), .incarnation = 1, .id = { .type = Q_T_STRING, .s = Q_SLICE_LIT("warm") } };
    const q_writes writes = { .bucket_incarnation = 1, .bucket = Q_SLICE_LIT("_quanta"), .count = 1, .items = &item };
    q_buf bytes = Q_BUF_INIT(1024);
    q_err err = Q_ERR_INIT;
    q_vote vote;
    q_writes_encode(&writes, &bytes);
    const q_txn_work txn = { .seq = 1, .writes = q_buf_slice(&bytes) };
    if (!bytes.failed)
        (void)!nj_prepare(e, arena, epoch, &txn, 1, &vote, &err);
    q_buf_free(&bytes);
}

static void warm_apply(q_engine *e, uint64_t epoch)
{
    static const nj_definition one = { .count = 1, .relations = { { "warm", "warm" } } };
    nj_request r;
    q_buf text = Q_BUF_INIT(1 << 20);
    q_err err = Q_ERR_INIT;
    if (!nj_request_init(&r))
        return;
    nj_apply_statement(&text, "_quanta__warm", Q_SLICE_LIT("_quanta"), &one);
    nj_put_guard(&r, epoch, 0, 0);
    nj_statement(&r, q_buf_slice(&text));
    nj_put_text(&r, "bucket", Q_SLICE_LIT("_quanta/"));
    nj_put_text(&r, "record", Q_SLICE_LIT("_quanta/warm"));
    nj_key(&r, "rows");
    yajl_gen_array_open(r.gen);
    yajl_gen_array_close(r.gen);
    nj_statement_end(&r);
    if (!text.failed)
        (void)!nj_do(e, &r, &err);
    nj_request_free(&r);
    q_buf_free(&text);
}

void nj_warm_up(q_engine *e, uint64_t epoch)
{
    q_arena *arena = e->warm ? NULL : q_arena_new(0);
    if (!arena)
        return;
    e->warm = true;
    warm_reads(e, arena);
    warm_vote(e, arena, epoch);
    warm_apply(e, epoch);
    q_arena_free(arena);
}
