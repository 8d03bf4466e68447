/* model.h - the checkers' own idea of the database: what a transaction does to it and what it answers, told from sim_txn alone.
 *
 * It shares no code with the system under test and sees neither its text nor its writes. One transaction at a time, in the order in which
 * the checker gives them: the definition of serial. Single owner. */
#ifndef Q_SIM_MODEL_H
#define Q_SIM_MODEL_H

#include "base/buf.h"
#include "tests/sim/txn.h"

typedef struct model_sample { const struct model_sample *next; int64_t value; int at; uint64_t seq; } model_sample;

typedef struct model_row {  /* a version; immutable */
    bool has_num, has_doc, has_level;
    int64_t num, v;
    uint32_t log_count;
    const int64_t *log;
    int tag, friend;        /* or SIM_NONE */
    int64_t level;          /* the latest */
    const model_sample *samples; /* of this life */
    uint64_t seq;           /* of the last writer */
} model_row;

typedef struct model_type { bool exists; const model_row *rows[SIM_IDS]; } model_type;

typedef struct model_undo { const model_row **where; const model_row *was; bool *exists; bool existed; } model_undo;

typedef struct model {
    q_arena *arena;
    model_type types[SIM_BUCKETS][SIM_TYPES];
    uint32_t undo_count;
    model_undo undo[SIM_IDS * SIM_MAX_OPS * 2 + 8];
} model;

/* Why a transaction can't commit: a set, because it isn't said which of several reasons is found first. */
enum {
    MODEL_DUPLICATE_ID = 1, MODEL_DUPLICATE_VALUE = 2, MODEL_REQUIRED_MISSING = 4, MODEL_REQUIRED_BY_OTHERS = 8, MODEL_ASSERT_FAILED = 16,
    MODEL_UNKNOWN_RECORD = 32, MODEL_RECORD_EXISTS = 64, MODEL_NONSENSE = 128
};

typedef struct model_change { int type, id; bool existed, deleted, inserted; } model_change; /* before; at the end; a new life began */

typedef struct model_result {
    bool must_fail;       /* it can't have committed */
    uint32_t reasons;     /* that may be given for an abort or rejection */
    bool changed;         /* something was written */
    uint32_t change_count;
    model_change changes[SIM_IDS * SIM_MAX_OPS];  /* each (type, id) once */
    q_buf *answers;       /* the results in canonical form: see model.c */
} model_result;

void model_init(model *m, q_arena *arena);
/* Carries it out whether or not it must fail; `answers` is cleared first. */
void model_run(model *m, const sim_txn *t, uint64_t seq, model_result *out);
/* Takes the last model_run back. */
void model_back(model *m);

#endif
