/* twophase.h - two-phase commit as a table: coordinator/twophase.def. Pure; nothing but data and a look-up.
 *
 * State changes in one place only: q_tp_move. The core (core.c) carries out the actions of the row that it found. */
#ifndef Q_COORDINATOR_TWOPHASE_H
#define Q_COORDINATOR_TWOPHASE_H

#include "base/buf.h"

typedef enum q_tp_state {
#define Q_TP_STATE(name, text) Q_TPS_##name,
#include "coordinator/twophase.def"
    Q_TPS_COUNT
} q_tp_state;

typedef enum q_tp_event {
#define Q_TP_EVENT(name, text) Q_TPE_##name,
#include "coordinator/twophase.def"
    Q_TPE_COUNT
} q_tp_event;

enum {
#define Q_TP_ACTION(name, text) Q_TPA_BIT_##name,
#include "coordinator/twophase.def"
    Q_TPA_COUNT
};

enum {
#define Q_TP_ACTION(name, text) Q_TPA_##name = 1 << Q_TPA_BIT_##name,
#include "coordinator/twophase.def"
};

typedef enum q_tp_verdict { Q_TP_BUG = 0, Q_TP_IGNORED, Q_TP_MOVES } q_tp_verdict;

typedef struct q_tp_row { q_tp_verdict verdict; q_tp_state next; uint32_t actions; } q_tp_row;

/* What the table says; a BUG row for a pair that it lacks. Static. */
const q_tp_row *q_tp_look(q_tp_state state, q_tp_event event);
/* Moves *state. Returns the actions to carry out; 0 when the event is ignored (then *state stays). Asserts that the table has the pair. */
uint32_t q_tp_move(q_tp_state *state, q_tp_event event);

const char *q_tp_state_name(q_tp_state s);
const char *q_tp_event_name(q_tp_event e);
/* The tables as markdown, as docs/protocol.md shows them. */
void q_tp_print(q_buf *out);

#endif
