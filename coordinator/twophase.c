#include "coordinator/twophase.h"

#include <assert.h>

static const q_tp_row table[Q_TPS_COUNT][Q_TPE_COUNT] = {
#define Q_TP_ROW(state, event, actions, next) [Q_TPS_##state][Q_TPE_##event] = { Q_TP_MOVES, Q_TPS_##next, (actions) },
#define Q_TP_IGNORE(state, event, why)        [Q_TPS_##state][Q_TPE_##event] = { Q_TP_IGNORED, Q_TPS_##state, 0 },
#include "coordinator/twophase.def"
};

static const char *const state_names[Q_TPS_COUNT] = {
#define Q_TP_STATE(name, text) #name,
#include "coordinator/twophase.def"
};

static const char *const state_texts[Q_TPS_COUNT] = {
#define Q_TP_STATE(name, text) text,
#include "coordinator/twophase.def"
};

static const char *const event_names[Q_TPE_COUNT] = {
#define Q_TP_EVENT(name, text) #name,
#include "coordinator/twophase.def"
};

static const char *const event_texts[Q_TPE_COUNT] = {
#define Q_TP_EVENT(name, text) text,
#include "coordinator/twophase.def"
};

static const char *const action_texts[Q_TPA_COUNT] = {
#define Q_TP_ACTION(name, text) text,
#include "coordinator/twophase.def"
};

const q_tp_row *q_tp_look(q_tp_state state, q_tp_event event)
{
    assert(state < Q_TPS_COUNT && event < Q_TPE_COUNT);
    return &table[state][event];
}

uint32_t q_tp_move(q_tp_state *state, q_tp_event event)
{
    const q_tp_row *row = q_tp_look(*state, event);
    assert(row->verdict != Q_TP_BUG);
    *state = row->next;
    return row->actions;
}

const char *q_tp_state_name(q_tp_state s) { return s < Q_TPS_COUNT ? state_names[s] : "?"; }
const char *q_tp_event_name(q_tp_event e) { return e < Q_TPE_COUNT ? event_names[e] : "?"; }

static void print_row(q_buf *out, q_tp_state state, q_tp_event event, const q_tp_row *row)
{
    q_buf_printf(out, "| %s | %s | ", state_names[state], event_names[event]);
    bool first = true;
    for (unsigned a = 0; a < Q_TPA_COUNT; a++)
        if (row->actions >> a & 1) {
            q_buf_printf(out, "%s%s", first ? "" : "; ", action_texts[a]);
            first = false;
        }
    q_buf_printf(out, " | %s |\n", state_names[row->next]);
}

void q_tp_print(q_buf *out)
{
    q_buf_add_cstr(out, "| state | means |\n|---|---|\n");
    for (unsigned s = 0; s < Q_TPS_COUNT; s++)
        q_buf_printf(out, "| %s | %s |\n", state_names[s], state_texts[s]);
    q_buf_add_cstr(out, "\n| event | means |\n|---|---|\n");
    for (unsigned e = 0; e < Q_TPE_COUNT; e++)
        q_buf_printf(out, "| %s | %s |\n", event_names[e], event_texts[e]);
    q_buf_add_cstr(out, "\n| state | event | effects | next |\n|---|---|---|---|\n");
    for (unsigned s = 0; s < Q_TPS_COUNT; s++)
        for (unsigned e = 0; e < Q_TPE_COUNT; e++)
            if (table[s][e].verdict == Q_TP_MOVES)
                print_row(out, (q_tp_state)s, (q_tp_event)e, &table[s][e]);
    q_buf_add_cstr(out, "\n| state | event | ignored because |\n|---|---|---|\n");
#define Q_TP_IGNORE(state, event, why) q_buf_add_cstr(out, "| " #state " | " #event " | " why " |\n");
#include "coordinator/twophase.def"
}
