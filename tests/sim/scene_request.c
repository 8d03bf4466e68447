/* What a request may not do. */
#include "tests/sim/scene.h"

static void id_reused(scene *sc)
{
    sim_identity *t = scene_do(sc, txn_1(op_add(T_ACCT, 0, 1)));
    t->variants[1] = txn_1(op_add(T_ACCT, 0, 100));
    t->variant_count = 2;
    history_produce(&sc->w->h, t, 1, 0, true);
    node_requests(sc->w->node, 0);
    scene_quiet(sc);
    scene_for(sc, 100000);
    bool refused = false;
    for (const sim_reply *r = t->replies; r; r = r->next)
        refused |= r->status == ST_REJECTED && q_slice_eq(r->code, Q_SLICE_LIT("REQUEST_ID_REUSED"));
    scene_must(sc, refused, "another body under the same id is rejected");
    scene_crash(sc, CRASH_NOW);
    history_produce(&sc->w->h, t, 1, 1, true);
    history_produce(&sc->w->h, t, 0, 2, true);
    scene_alive(sc);
    scene_end(sc); /* one outcome, the same bytes: the checkers' */
}

static void id_of_another_principal(scene *sc)
{
    world *w = sc->w;
    sim_identity *t = scene_do(sc, txn_1(op_add(T_ACCT, 0, 1)));
    scene_quiet(sc);
    w->h.tolerant = true;
    uint32_t before = w->h.decisions.count;
    t->variants[1] = txn_1(op_add(T_ACCT, 0, 100));
    t->variant_count = 2;
    history_produce(&w->h, t, 1, 0, true)->principal = Q_SLICE_LIT("somebody else");
    node_requests(w->node, 0);
    scene_quiet(sc);
    scene_for(sc, 100000);
    scene_must(sc, w->h.decisions.count == before + 1 && t->decision->committed && t->decision->message->variant == 1,
               "an id belongs to its principal: the other one's request runs");
    scene_must(sc, q_slice_eq(t->decision->principal, Q_SLICE_LIT("somebody else")), "under its own name");
    history_produce(&w->h, t, 0, 1, true); /* and the first one's is still answered with its own outcome */
    node_requests(w->node, 1);
    scene_quiet(sc);
    scene_for(sc, 100000);
    scene_must(sc, w->h.decisions.count == before + 1, "neither runs again");
    uint32_t distinct = 0;
    for (const sim_reply *r = t->replies; r; r = r->next)
        distinct++;
    scene_must(sc, distinct == 2, "two principals, two outcomes");
}

static void forbidden_reply_topic(scene *sc)
{
    static const char *const topics[] = { "quanta.work.postgres", "quanta.requests", "quanta.votes", "quanta.wal", "elsewhere" };
    world *w = sc->w;
    uint32_t before = w->h.decisions.count;
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        sim_identity *id = history_new_identity(&w->h, 0);
        id->variants[0] = txn_1((sim_op){ .kind = OP_NONSENSE }); /* for the checkers: a rejection is right */
        id->variant_count = 1;
        sim_message *m = history_produce(&w->h, id, 0, 0, true);
        m->value = Q_SLICE_LIT("UPDATE acct SET balance = 1000 WHERE id = \"a00\"");
        m->reply_to = q_slice_cstr(topics[i]);
        node_requests(w->node, 0);
        scene_told(sc, id);
        scene_must(sc, scene_status(id) == ST_REJECTED && scene_code(id, "REPLY_TO_FORBIDDEN"), "it is rejected, on the default topic");
    }
    scene_must(sc, w->h.decisions.count == before, "none of them ran");
    scene_end(sc);
}

const scenario request_scenarios[] = {
    { "request-id-of-another-principal", "a request id used by another principal", id_of_another_principal },
    { "forbidden-reply-topic", "reply-to names one of the system's own topics", forbidden_reply_topic },
    { "request-id-reused", "a request id used again with another body", id_reused },
    { 0 },
};
