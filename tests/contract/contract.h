/* contract.h - what every engine must do, as cases over q_engine_ops: the harness of the one suite that all of them pass.
 *
 * A case gets a bucket of its own name and talks to the engine through the verbs below, which fail the case with file, line and what was
 * expected. Every case runs in each of three ways: prepared then committed; redo alone (a lost prepare); and with the session closed and
 * opened again between any two calls. Single thread. */
#ifndef Q_TESTS_CONTRACT_H
#define Q_TESTS_CONTRACT_H

#include <setjmp.h>
#include <stdio.h>

#include "workers/rules.h"

typedef enum way { WAY_PREPARE = 0, WAY_REDO, WAY_REOPEN, WAY_COUNT } way;

typedef struct contract {
    const q_engine_ops *ops;
    q_engine_config config;
    q_engine_id as;            /* the kind of attributes that it serves */
    q_engine *e;
    q_arena *arena;            /* of the case */
    q_buf scratch;
    way way;
    uint64_t epoch;
    uint64_t seq;              /* the last one given out */
    char bucket[Q_MAX_NAME_BYTES + 1];
    uint64_t bucket_incarnation;
    uint64_t record_incarnation; /* of `things` */
    jmp_buf failed;
    uint64_t checks;
} contract;

#define KIND(e) (1u << (e))
enum {
    POSTGRES = KIND(Q_EN_POSTGRES), MONGO = KIND(Q_EN_MONGO), NEO4J = KIND(Q_EN_NEO4J), INFLUX = KIND(Q_EN_INFLUX),
    ALL_KINDS = POSTGRES | MONGO | NEO4J | INFLUX,
    ORDERED = POSTGRES | MONGO | NEO4J, /* a part has one _q_seq; metrics are sets of points */
};

typedef struct contract_case {
    const char *name;
    void (*run)(contract *c);
    unsigned kinds;
    const char *why_not;       /* for the kinds that are left out */
} contract_case;

extern const contract_case life_cases[], part_cases[], value_cases[], read_cases[], name_cases[], metric_cases[], crash_cases[];

/* ---- failing ---- */

_Noreturn void fail_case(contract *c, const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define FAIL(c, ...) fail_case((c), __FILE__, __LINE__, __VA_ARGS__)
#define EXPECT(c, what) ((c)->checks++, (what) ? (void)0 : FAIL((c), "expected: %s", #what))
#define EXPECT_U64(c, is, want) \
    do { \
        uint64_t is_ = (is), want_ = (want); \
        (c)->checks++; \
        if (is_ != want_) \
            FAIL((c), "%s is %llu, expected %s = %llu", #is, (unsigned long long)is_, #want, (unsigned long long)want_); \
    } while (0)
#define EXPECT_RC(c, call, want) \
    do { \
        q_rc rc_ = (call); \
        (c)->checks++; \
        if (rc_ != (want)) \
            FAIL((c), "%s answered %s, expected %s", #call, rc_name(rc_), #want); \
    } while (0)
const char *rc_name(q_rc rc);
const char *no_name(q_no no);

/* ---- session ---- */

void reopen(contract *c);
/* In the third way: the same as reopen; otherwise nothing. */
void between(contract *c);
uint64_t next_seq(contract *c);
q_engine_state state_of(contract *c);

/* ---- making things; all in c->arena ---- */

q_value str(const char *s);
q_value num(int64_t i);
q_value doc(contract *c, const char *json);
q_value rel(contract *c, uint32_t n, ...); /* n of const char * */
q_value flt(double f);
/* The n-th value of attribute `a` of `things`: a string, a document, a relation, a float with time n s after 2020. */
q_value val(contract *c, int64_t n);
int64_t sample_time(int64_t n);
q_field field(const char *attr, q_value v);

/* Items on `things` unless said otherwise. Fields: `n` of q_field. */
q_item put(contract *c, const char *id, uint32_t n, ...);     /* full: INSERT */
q_item set(contract *c, const char *id, uint32_t n, ...);     /* the other fields stay; birth as in UPDATE: unknown */
q_item del(contract *c, const char *id);
q_item chk(contract *c, const char *id, uint32_t pre);
q_item with_pre(q_item i, uint32_t pre, uint64_t seq_is);
q_item with_birth(q_item i, uint64_t birth);
q_item of_record(q_item i, const char *record, uint64_t incarnation);
q_item with_id(q_item i, q_value id);

/* Encoded writes of one transaction. */
q_txn_work work(contract *c, uint64_t seq, uint32_t n, const q_item *items);
q_txn_work work_in(contract *c, uint64_t bucket_incarnation, uint64_t seq, uint32_t n, const q_item *items);

/* ---- doing ---- */

/* Prepares (expecting YES) and commits, or commits alone, or with reopening; see the three ways. */
void commit(contract *c, uint64_t seq, q_item item);
void commit_items(contract *c, uint64_t seq, uint32_t n, const q_item *items);
void commit_works(contract *c, uint32_t n, const q_txn_work *works);
/* Commits without prepare in every way: duplicates, late redo. */
void redo(contract *c, uint64_t seq, q_item item);
void redo_works(contract *c, uint32_t n, const q_txn_work *works);
/* One vote; a YES is rolled back. */
q_vote vote_on(contract *c, uint64_t seq, uint32_t n, const q_item *items);
#define EXPECT_VOTE(c, seq, item, want) \
    do { \
        q_item item_ = (item); \
        q_vote vote_ = vote_on((c), (seq), 1, &item_); \
        (c)->checks++; \
        if (vote_.no != (want)) \
            FAIL((c), "voted %s (%.*s), expected %s", no_name(vote_.no), Q_SLICE_FMT(vote_.text), #want); \
    } while (0)
#define EXPECT_VOTE_ITEMS(c, seq, n, items, want) \
    do { \
        q_vote vote_ = vote_on((c), (seq), (n), (items)); \
        (c)->checks++; \
        if (vote_.no != (want)) \
            FAIL((c), "voted %s (%.*s), expected %s", no_name(vote_.no), Q_SLICE_FMT(vote_.text), #want); \
    } while (0)

/* DDL, each a transaction of its own; answers its seq. `things` has a (of the engine's kind), b (the same), and what `more` adds. */
uint64_t create_bucket(contract *c);
uint64_t drop_bucket(contract *c);
uint64_t create_record(contract *c, const char *record, uint32_t n, const q_attr *attrs);
uint64_t alter_record(contract *c, const char *record, uint64_t incarnation, uint32_t n, const q_attr *attrs);
uint64_t drop_record(contract *c, const char *record, uint64_t incarnation);
q_item ddl_item(contract *c, q_ddl_kind kind, const char *record, uint64_t incarnation, uint32_t n, const q_attr *attrs);
q_attr attr(contract *c, const char *name);                        /* of the engine's kind, of val()'s type */
q_attr attr_of(contract *c, const char *name, q_type datatype);    /* of the engine's kind */

/* ---- looking ---- */

q_rows read_rows(contract *c, const q_read *read);
q_read scan_of(contract *c, const char *record, uint64_t incarnation, uint32_t limit);
/* The live part of `things`, with attributes a and b; NULL when there is none. */
const q_row *look(contract *c, const char *id);
const q_row *look_at(contract *c, const char *record, uint64_t incarnation, q_value id, uint32_t n, const q_slice *attrs);
void expect_value(contract *c, const char *file, int line, const q_row *row, uint32_t i, q_value want);
#define EXPECT_VALUE(c, row, i, want) expect_value((c), __FILE__, __LINE__, (row), (i), (want))
#define EXPECT_ABSENT(c, id) ((c)->checks++, look((c), (id)) == NULL ? (void)0 : FAIL((c), "%s is there", (id)))
const q_row *must_see(contract *c, const char *file, int line, const char *id);
#define EXPECT_THERE(c, id) must_see((c), __FILE__, __LINE__, (id))

/* For crash_cases: commits one thing after the other in a process of its own until it is killed. */
int crash_child(const q_engine_ops *ops, const q_engine_config *config, const char *bucket, const char *bucket_incarnation,
                const char *record_incarnation,
                const char *epoch, const char *seq);
extern const char *program_path; /* of this suite */
extern const char *engine_name_given;

#endif
