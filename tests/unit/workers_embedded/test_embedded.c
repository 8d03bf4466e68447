/* What only the embedded engine has: one environment shared by sessions, a map that grows and has a bound, a directory that belongs to
 * someone, and the removal of what was dropped. What every engine must do is in tests/contract. */
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/schemas/cmocka_setup.h"
#include "workers/embedded/env.h"
#include "workers/embedded/part.h"

typedef struct place {
    char dir[64];
    q_arena *arena;
    q_engine_config config;
} place;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static int make_place(void **state)
{
    place *p = calloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/q_embedded_XXXXXX");
    if (!p || !mkdtemp(p->dir))
        return -1;
    p->arena = q_arena_new(0);
    p->config = (q_engine_config){ .id = Q_EN_POSTGRES, .uri = p->dir, .cluster = 7, .worker = "test" };
    *state = p;
    return 0;
}

static int drop_place(void **state)
{
    place *p = *state;
    nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    q_arena_free(p->arena);
    free(p);
    return 0;
}

static const q_engine_ops *const ops = &q_engine_embedded;

static q_engine *open_at(place *p)
{
    q_engine *e;
    q_err err = Q_ERR_INIT;
    if (ops->open(&p->config, &e, &err) != Q_OK)
        fail_msg("%s", err.message);
    return e;
}

static q_txn_work work(place *p, uint64_t seq, q_item item)
{
    q_writes w = { .bucket_incarnation = 1, .bucket = Q_SLICE_LIT("shop"), .count = 1, .items = &item };
    q_buf b = Q_BUF_INIT(Q_WIRE_MAX_BYTES);
    q_writes_encode(&w, &b);
    q_txn_work t = { .seq = seq, .writes = q_arena_copy(p->arena, q_buf_slice(&b)) };
    q_buf_free(&b);
    return t;
}

static q_item put(place *p, const char *id, size_t bytes, char fill)
{
    char *text = q_arena_alloc(p->arena, bytes + 1);
    q_field *f = Q_NEW(p->arena, q_field);
    memset(text, fill, bytes);
    *f = (q_field){ Q_SLICE_LIT("a"), { .type = Q_T_STRING, .s = q_slice_of(text, bytes) } };
    return (q_item){ .op = Q_I_PUT, .record = Q_SLICE_LIT("things"), .incarnation = 2, .id = { .type = Q_T_STRING, .s = q_slice_cstr(id) },
                     .full = true,
                     .count = 1, .fields = f };
}

static q_rc commit(place *p, q_engine *e, uint64_t seq, q_item item, q_err *err)
{
    q_txn_work t = work(p, seq, item);
    return ops->commit(e, p->arena, 1, 0, &t, 1, err);
}

static uint32_t count_rows(place *p, q_engine *e)
{
    q_read r = { .read_id = 1, .kind = Q_R_SCAN, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("things"), .incarnation = 2,
                 .limit = 1000000 };
    q_rows rows;
    q_err err = Q_ERR_INIT;
    if (ops->read(e, p->arena, &r, &rows, &err) != Q_OK)
        fail_msg("%s", err.message);
    return rows.count;
}

/* ---- the directory ---- */

static void sessions_share_one_environment(void **state)
{
    place *p = *state;
    q_err err = Q_ERR_INIT;
    q_engine *a = open_at(p), *b = open_at(p);
    /* Another name of the same directory is the same environment, or LMDB's locks would break. */
    char other[80];
    snprintf(other, sizeof other, "%s/../%s", p->dir, p->dir + 5);
    p->config.uri = other;
    q_engine *c = open_at(p);
    assert_int_equal(commit(p, a, 5, put(p, "x", 3, 'a'), &err), Q_OK);
    ops->close(a);
    assert_int_equal(count_rows(p, b), 1);
    ops->close(b);
    assert_int_equal(commit(p, c, 6, put(p, "y", 3, 'a'), &err), Q_OK);
    ops->close(c);
    c = open_at(p);
    assert_int_equal(count_rows(p, c), 2);
    ops->close(c);
}

static void a_directory_belongs_to_one_kind_and_one_cluster(void **state)
{
    place *p = *state;
    q_err err = Q_ERR_INIT;
    q_engine_state s;
    q_engine *e = open_at(p), *other = NULL;
    assert_int_equal(ops->fence(e, 1, &s, &err), Q_OK);
    assert_int_equal(s.cluster, 0); /* before */
    ops->close(e);
    p->config.id = Q_EN_MONGO;
    assert_int_equal(ops->open(&p->config, &other, &err), Q_FAIL);
    assert_null(other);
    assert_non_null(strstr(err.message, "uri"));
    p->config.id = Q_EN_POSTGRES;
    p->config.cluster = 8;
    assert_int_equal(ops->open(&p->config, &other, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "cluster"));
    p->config.cluster = 7;
    e = open_at(p);
    ops->close(e);
}

static void a_directory_that_cannot_be_is_named(void **state)
{
    place *p = *state;
    q_engine *e = NULL;
    q_err err = Q_ERR_INIT;
    p->config.uri = "/dev/null/engine";
    assert_int_equal(ops->open(&p->config, &e, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "/dev/null/engine"));
    p->config.uri = NULL;
    assert_int_equal(ops->open(&p->config, &e, &err), Q_FAIL);
}

/* ---- the map ---- */

static void the_map_grows_with_the_data(void **state)
{
    place *p = *state;
    q_err err = Q_ERR_INIT;
    q_engine *e = open_at(p), *reader = open_at(p);
    char id[16];
    assert_int_equal(count_rows(p, reader), 0); /* its handle is kept over the growth */
    for (uint64_t i = 1; i <= 60; i++) { /* 60 MB; it begins with 16 */
        snprintf(id, sizeof id, "id%llu", (unsigned long long)i);
        q_arena_reset(p->arena);
        if (commit(p, e, 10 + i, put(p, id, 1000000, (char)('a' + i % 26)), &err) != Q_OK)
            fail_msg("%s", err.message);
    }
    q_value want = { .type = Q_T_STRING, .s = Q_SLICE_LIT("id60") };
    static const q_slice a[1] = { { "a", 1 } };
    q_read r = { .kind = Q_R_IDS, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("things"), .incarnation = 2, .attr_count = 1,
                 .attrs = a, .id_count = 1,
                 .ids = &want, .limit = 1 };
    q_rows rows;
    assert_int_equal(ops->read(reader, p->arena, &r, &rows, &err), Q_OK);
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.rows[0].values[0].s.len, 1000000);
    ops->close(e);
    ops->close(reader);
}

static void a_full_engine_says_so_and_serves_on(void **state)
{
    place *p = *state;
    q_err err = Q_ERR_INIT;
    p->config.max_bytes = 4 << 20;
    q_engine *e = open_at(p);
    char id[16];
    uint64_t i = 0;
    q_rc rc = Q_OK;
    for (; rc == Q_OK && i < 100; i++) {
        snprintf(id, sizeof id, "id%llu", (unsigned long long)i);
        q_arena_reset(p->arena);
        rc = commit(p, e, 10 + i, put(p, id, 100000, 'x'), &err);
    }
    assert_int_equal(rc, Q_RETRY);
    assert_true(i > 20);
    assert_non_null(strstr(err.message, "full"));
    assert_non_null(strstr(err.message, "max_bytes"));
    assert_int_equal(count_rows(p, e), i - 1); /* the refused one left nothing */
    q_item gone = put(p, "id0", 0, 'x');
    gone.op = Q_I_DELETE;
    gone.count = 0;
    for (uint64_t k = 0; k < 5; k++) { /* a few large parts less, and it goes on */
        snprintf(id, sizeof id, "id%llu", (unsigned long long)k);
        gone.id.s = q_slice_cstr(id);
        if (commit(p, e, 1000 + k, gone, &err) != Q_OK)
            fail_msg("%s", err.message);
    }
    assert_int_equal(commit(p, e, 2000, put(p, "again", 100000, 'x'), &err), Q_OK);
    ops->close(e);
}

typedef struct busy {
    place *p;
    uint64_t first;
    atomic_bool *stop;
    uint32_t most;
} busy;

static void *write_many(void *arg)
{
    busy *b = arg;
    place own = *b->p;
    q_engine *e = open_at(&own);
    char id[24];
    own.arena = q_arena_new(0);
    for (uint64_t i = 0; i < 60; i++) {
        q_err err = Q_ERR_INIT;
        q_arena_reset(own.arena);
        snprintf(id, sizeof id, "id%llu", (unsigned long long)(b->first + i));
        if (commit(&own, e, b->first + i, put(&own, id, 400000, 'w'), &err) != Q_OK)
            abort();
    }
    q_arena_free(own.arena);
    ops->close(e);
    return NULL;
}

static void *read_many(void *arg)
{
    busy *b = arg;
    place own = *b->p;
    q_engine *e = open_at(&own);
    own.arena = q_arena_new(0);
    while (!atomic_load(b->stop)) {
        q_arena_reset(own.arena);
        uint32_t n = count_rows(&own, e);
        if (n < b->most)
            abort(); /* what was seen is gone */
        b->most = n;
    }
    q_arena_free(own.arena);
    ops->close(e);
    return NULL;
}

static void readers_and_writers_go_on_while_the_map_grows(void **state)
{
    place *p = *state;
    atomic_bool stop = false;
    busy writers[2] = { { p, 1000, &stop, 0 }, { p, 2000, &stop, 0 } }, readers[2] = { { p, 0, &stop, 0 }, { p, 0, &stop, 0 } };
    pthread_t w[2], r[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&w[i], NULL, write_many, &writers[i]), 0);
        assert_int_equal(pthread_create(&r[i], NULL, read_many, &readers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(w[i], NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(r[i], NULL);
    q_engine *e = open_at(p);
    assert_int_equal(count_rows(p, e), 120);
    ops->close(e);
}

/* ---- what was dropped is removed ---- */

static size_t stored_keys(place *p)
{
    q_env *env;
    q_err err = Q_ERR_INIT;
    MDB_txn *txn = NULL;
    assert_int_equal(q_env_open(&p->config, &env, &err), Q_OK);
    assert_int_equal(q_env_read(env, &txn, &err), Q_OK);
    const MDB_dbi tables[] = { env->parts, env->points, env->uniques, env->referrers, env->reaps };
    size_t n = 0;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        MDB_stat st;
        assert_int_equal(mdb_stat(txn, tables[i], &st), 0);
        n += st.ms_entries;
    }
    q_env_abort(env, txn);
    q_env_close(env);
    return n;
}

static void fill_and_drop(place *p, q_field field, bool unique)
{
    enum { N = 3000 };
    q_engine *e = open_at(p);
    q_err err = Q_ERR_INIT;
    q_txn_work works[N];
    q_attr attr = { .name = field.attr, .kind = (q_kind)p->config.id, .datatype = field.value.type, .unique = unique,
                    .many = field.value.type == Q_T_RELATION };
    if (attr.kind == Q_K_RELATION)
        attr.target = Q_SLICE_LIT("things");
    q_attr attrs[2] = { { .name = Q_SLICE_LIT("id"), .kind = Q_K_SCALAR, .datatype = Q_T_STRING }, attr };
    q_item ddl = { .op = Q_I_DDL, .record = Q_SLICE_LIT("things"), .incarnation = 2,
                   .ddl = { .kind = Q_DDL_CREATE_RECORD, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("things"), .count = 2,
                            .attrs = attrs } };
    assert_int_equal(commit(p, e, 2, ddl, &err), Q_OK);
    size_t before = stored_keys(p);
    for (uint64_t i = 0; i < N; i++) {
        q_field *f = Q_NEW(p->arena, q_field);
        *f = field;
        if (unique)
            f->value.s = q_arena_printf(p->arena, "v%llu", (unsigned long long)i);
        q_item item = put(p, q_arena_printf(p->arena, "id%llu", (unsigned long long)i).ptr, 1, 'x');
        item.fields = f;
        works[i] = work(p, 10 + i, item);
    }
    if (ops->commit(e, p->arena, 1, 0, works, N, &err) != Q_OK)
        fail_msg("%s", err.message);
    assert_true(stored_keys(p) >= before + N);
    ddl.ddl.kind = Q_DDL_DROP_RECORD;
    ddl.ddl.count = 0;
    assert_int_equal(commit(p, e, 10000, ddl, &err), Q_OK);
    size_t left = stored_keys(p);
    assert_true(left > before); /* one batch doesn't remove all: it would hold up everybody */
    for (int i = 0; i < 1000 && stored_keys(p) > before; i++) {
        q_item other = put(p, "x", 1, 'x');
        other.record = Q_SLICE_LIT("others");
        other.op = Q_I_DELETE;
        other.count = 0;
        assert_int_equal(commit(p, e, 20000 + (uint64_t)i, other, &err), Q_OK);
        before += i == 0; /* that tombstone */
    }
    assert_int_equal(stored_keys(p), before);
    ops->close(e);
}

static void dropped_scalars_and_their_unique_values_are_removed(void **state)
{
    fill_and_drop(*state, (q_field){ Q_SLICE_LIT("a"), { .type = Q_T_STRING, .s = Q_SLICE_LIT("v") } }, true);
}

static void dropped_relations_and_their_targets_are_removed(void **state)
{
    place *p = *state;
    q_value ids[2] = { { .type = Q_T_STRING, .s = Q_SLICE_LIT("t1") }, { .type = Q_T_STRING, .s = Q_SLICE_LIT("t2") } };
    p->config.id = Q_EN_NEO4J;
    fill_and_drop(p, (q_field){ Q_SLICE_LIT("a"), { .type = Q_T_RELATION, .rel = { ids, 2 } } }, false);
}

static void dropped_points_are_removed(void **state)
{
    place *p = *state;
    p->config.id = Q_EN_INFLUX;
    fill_and_drop(p, (q_field){ Q_SLICE_LIT("a"), { .type = Q_T_FLOAT, .f = 1.5, .at_us = 1000 } }, false);
}

static void points_of_an_ended_life_are_removed(void **state)
{
    place *p = *state;
    q_err err = Q_ERR_INIT;
    p->config.id = Q_EN_INFLUX;
    q_engine *e = open_at(p);
    for (uint64_t life = 0; life < 3; life++) {
        q_item item = put(p, "x", 1, 'x');
        q_field f = { Q_SLICE_LIT("a"), { .type = Q_T_FLOAT, .f = 1.5 } };
        item.fields = &f;
        for (uint64_t n = 0; n < 5; n++) {
            item.birth = 10 + life * 10;
            item.full = n == 0;
            f.value.at_us = (int64_t)(1000 + n);
            assert_int_equal(commit(p, e, 10 + life * 10 + n, item, &err), Q_OK);
        }
        assert_int_equal(stored_keys(p), 6); /* the part, and this life's five points */
        if (life == 1) { /* the last one begins without a DELETE seen here */
            item.op = Q_I_DELETE;
            item.count = 0;
            assert_int_equal(commit(p, e, 29, item, &err), Q_OK);
            assert_int_equal(stored_keys(p), 1);
        }
    }
    ops->close(e);
}

static void purged_tombstones_leave_nothing(void **state)
{
    place *p = *state;
    q_engine *e = open_at(p);
    q_err err = Q_ERR_INIT;
    for (uint64_t i = 0; i < 20; i++) {
        q_item gone = put(p, q_arena_printf(p->arena, "id%llu", (unsigned long long)i).ptr, 0, 'x');
        gone.op = Q_I_DELETE;
        gone.count = 0;
        assert_int_equal(commit(p, e, 10 + i, gone, &err), Q_OK);
    }
    assert_int_equal(stored_keys(p), 20);
    assert_int_equal(ops->purge(e, 1, 19, &err), Q_OK);
    assert_int_equal(stored_keys(p), 10);
    assert_int_equal(ops->purge(e, 1, 100, &err), Q_OK);
    assert_int_equal(stored_keys(p), 0);
    ops->close(e);
}

/* ---- damage ---- */

static void a_damaged_part_is_no_answer(void **state)
{
    place *p = *state;
    q_err err = Q_ERR_INIT;
    q_engine *e = open_at(p);
    q_env *env;
    MDB_txn *txn;
    MDB_cursor *c;
    char wreck[] = "wreck";
    MDB_val key, value, broken = { 5, wreck };
    assert_int_equal(commit(p, e, 5, put(p, "x", 3, 'a'), &err), Q_OK);
    assert_int_equal(q_env_open(&p->config, &env, &err), Q_OK);
    assert_int_equal(q_env_write(env, &txn, &err), Q_OK);
    assert_int_equal(mdb_cursor_open(txn, env->parts, &c), 0);
    assert_int_equal(mdb_cursor_get(c, &key, &value, MDB_FIRST), 0);
    assert_int_equal(mdb_cursor_put(c, &key, &broken, MDB_CURRENT), 0);
    mdb_cursor_close(c);
    assert_int_equal(q_env_commit(env, txn, &err), Q_OK);
    q_env_close(env);
    q_read r = { .kind = Q_R_SCAN, .bucket = Q_SLICE_LIT("shop"), .record = Q_SLICE_LIT("things"), .incarnation = 2, .limit = 10 };
    q_rows rows;
    assert_int_equal(ops->read(e, p->arena, &r, &rows, &err), Q_FATAL);
    assert_non_null(strstr(err.message, "damaged"));
    assert_int_equal(commit(p, e, 6, put(p, "y", 3, 'a'), &err), Q_FATAL); /* and nothing is written over it */
    ops->close(e);
}

static void stored_bytes_cut_anywhere_are_no_part(void **state)
{
    place *p = *state;
    q_buf b = Q_BUF_INIT(4096), v = Q_BUF_INIT(4096);
    q_stored stored = { .present = true, .seq = 5, .birth = 4 };
    q_value ids[2] = { { .type = Q_T_STRING, .s = Q_SLICE_LIT("t1") }, { .type = Q_T_INT, .i = -3 } };
    const q_value values[] = {
        { .type = Q_T_BOOL, .b = true }, { .type = Q_T_INT, .i = -5 }, { .type = Q_T_FLOAT, .f = 2.5 },
            { .type = Q_T_DECIMAL, .scale = 2, .coefficient = -7 },
        { .type = Q_T_UUID }, { .type = Q_T_TIME, .i = 3 }, { .type = Q_T_DURATION, .i = 4 }, { .type = Q_T_RELATION, .rel = { ids, 2 } },
    };
    q_part_begin(&b, &stored);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        q_value back;
        q_buf_clear(&v);
        q_stored_value(&values[i], &v);
        assert_true(q_stored_value_read(p->arena, q_buf_slice(&v), &back));
        assert_true(q_value_same(&back, &values[i]));
        for (size_t n = 0; n < v.len; n++) /* a shorter relation may still be one: its ids are counted by the bytes */
            if (q_stored_value_read(p->arena, q_slice_of(v.ptr, n), &back))
                assert_true(values[i].type == Q_T_RELATION && back.rel.count < 2);
        q_part_add(&b, q_slice_of("abcdefgh" + i, 1), q_buf_slice(&v));
    }
    q_part_end(&b, 0, sizeof values / sizeof values[0]);
    for (size_t n = 1; n <= b.len; n++) {
        q_part part;
        q_part_field f;
        uint32_t fields = 0;
        bool read = q_part_read(q_slice_of(b.ptr, n), &part);
        assert_int_equal(read, n >= Q_PART_HEADER_BYTES);
        for (q_slice rest = part.fields; read && q_part_next(&rest, &f);)
            fields++;
        assert_true(fields < part.count || n == b.len || !read);
    }
    q_buf_free(&b);
    q_buf_free(&v);
}

#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, make_place, drop_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(sessions_share_one_environment),
        PLACE_TEST(a_directory_belongs_to_one_kind_and_one_cluster),
        PLACE_TEST(a_directory_that_cannot_be_is_named),
        PLACE_TEST(the_map_grows_with_the_data),
        PLACE_TEST(a_full_engine_says_so_and_serves_on),
        PLACE_TEST(readers_and_writers_go_on_while_the_map_grows),
        PLACE_TEST(dropped_scalars_and_their_unique_values_are_removed),
        PLACE_TEST(dropped_relations_and_their_targets_are_removed),
        PLACE_TEST(dropped_points_are_removed),
        PLACE_TEST(points_of_an_ended_life_are_removed),
        PLACE_TEST(purged_tombstones_leave_nothing),
        PLACE_TEST(a_damaged_part_is_no_answer),
        PLACE_TEST(stored_bytes_cut_anywhere_are_no_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
