/* The coordinator dies at the moments that Part B names. */
#include "tests/sim/scene.h"

static void later_commits_first(scene *sc)
{
    scene_hold(sc, Q_EN_POSTGRES, false, Q_M_VOTE, NET_HOLD, 1);
    sim_identity *t0 = scene_ask(sc, txn_1(op_add(T_ACCT, 0, 1)), 0);
    scene_held(sc, 1);
    sim_identity *t1 = scene_ask(sc, txn_2(op_add(T_ACCT, 0, 2), op_add(T_ACCT, 2, 2)), 0); /* waits for t0's lock */
    sim_identity *t2 = scene_ask(sc, txn_1(op_add(T_ACCT, 1, 4)), 0);
    scene_told(sc, t2);
    scene_must(sc, scene_status(t2) == ST_COMMITTED, "the later one commits");
    scene_must(sc, !scene_is_told(t0) && !scene_is_told(t1), "the earlier ones are still open");
    scene_crash(sc, CRASH_NOW); /* t2's position is complete above those of t0 and t1 */
    scene_alive(sc);
    scene_told(sc, t0);
    scene_told(sc, t1);
    scene_must(sc, scene_status(t0) == ST_COMMITTED && scene_status(t1) == ST_COMMITTED, "the earlier ones run again and commit");
    scene_must(sc, t0->decision->seq > t2->decision->seq, "under a new seq");
    scene_must(sc, t2->replies->next == NULL, "the later one is not run again");
    scene_end(sc);
}

static void abort_told_crash_reconsume(scene *sc)
{
    scene_hold(sc, Q_EN_POSTGRES, false, Q_M_VOTE, NET_HOLD, 1);
    sim_identity *open = scene_ask(sc, txn_1(op_add(T_ACCT, 0, 1)), 0); /* keeps the low water before the next */
    scene_held(sc, 1);
    sim_identity *t = scene_ask(sc, txn_2(op_add(T_ACCT, 1, 1), op_insert(T_ACCT, 2, 5)), 0); /* a02 is there: DUPLICATE_ID */
    scene_told(sc, t);
    scene_must(sc, scene_status(t) == ST_ABORTED && scene_code(t, "DUPLICATE_ID"), "the abort is told");
    scene_crash(sc, CRASH_NOW);
    scene_do(sc, txn_1(op_delete(T_ACCT, 2))); /* now it could commit */
    scene_must(sc, q_core_position(node_core(sc->w->node), 0) >= 0, "positions are known");
    clients_ask_again(sc->w->clients, t, 1);
    scene_told(sc, open);
    scene_quiet(sc);
    scene_must(sc, t->replies->next == NULL && t->replies->count >= 2, "the same answer again, and no other");
    scene_end(sc);
}

static void positions_out_of_order(scene *sc)
{
    scene_hold(sc, Q_EN_MONGO, false, Q_M_VOTE, NET_HOLD, 1);
    sim_identity *first = scene_ask(sc, txn_1(op_append(T_ACCT, 0, 1)), 0);
    scene_held(sc, 1);
    sim_identity *done[6];
    for (int i = 0; i < 6; i++)
        done[i] = scene_ask(sc, txn_1(op_add(T_ACCT, 4 + i, 1)), 0);
    for (int i = 0; i < 6; i++)
        scene_told(sc, done[i]);
    scene_must(sc, !scene_is_told(first), "the first is still open");
    for (int round = 0; round < 3; round++) {
        scene_crash(sc, CRASH_NOW);
        scene_alive(sc);
        scene_must(sc, q_core_position(node_core(sc->w->node), 0) == (int64_t)sc->w->h.partitions[0].count - 7 || scene_is_told(first),
                   "the low water stands before the first");
    }
    scene_told(sc, first);
    for (int i = 0; i < 6; i++)
        scene_must(sc, done[i]->decision && done[i]->replies->next == NULL, "what was complete above the low water has one outcome");
    scene_end(sc);
}

static void between_sync_and_reply(scene *sc)
{
    node_crash(sc->w->node, CRASH_AFTER_SYNC);
    uint64_t life = node_life(sc->w->node);
    sim_identity *t = scene_ask(sc, txn_2(op_add(T_ACCT, 0, -5), op_add(T_ACCT, 1, 5)), 0);
    scene_told(sc, t);
    scene_must(sc, sc->w->s.stats.unseen_groups == 1 && node_life(sc->w->node) > life, "the group was synced and nobody told");
    scene_must(sc, scene_status(t) == ST_COMMITTED && t->decision->epoch < node_life(sc->w->node), "the decision of the life before is told by the next");
    scene_end(sc);
}

static void group_lost(scene *sc)
{
    node_crash(sc->w->node, CRASH_BEFORE_SYNC);
    sim_identity *t = scene_ask(sc, txn_2(op_add(T_ACCT, 0, -5), op_add(T_ACCT, 1, 5)), 0);
    scene_told(sc, t);
    scene_must(sc, sc->w->s.stats.lost_groups == 1, "a group was lost");
    scene_must(sc, scene_status(t) == ST_COMMITTED, "it runs again and commits");
    scene_end(sc);
}

static void sync_fails(scene *sc)
{
    sim_identity *t[2];
    for (int there = 0; there < 2; there++) {
        node_crash(sc->w->node, there ? CRASH_SYNC_FAILS_THERE : CRASH_SYNC_FAILS);
        t[there] = scene_ask(sc, txn_2(op_add(T_ACCT, 0, -5), op_add(T_ACCT, 1, 5)), 0);
        scene_told(sc, t[there]);
        scene_quiet(sc);
    }
    scene_must(sc, sc->w->s.stats.failed_syncs == 2, "two syncs failed");
    scene_must(sc, scene_status(t[0]) == ST_COMMITTED && scene_status(t[1]) == ST_COMMITTED, "both commit once, in a later life");
    scene_end(sc);
}

static void crash_while_recovering(scene *sc)
{
    sim_identity *t[4];
    scene_hold(sc, Q_EN_NEO4J, true, Q_M_COMMIT, NET_DROP, 1000);
    for (int i = 0; i < 4; i++)
        t[i] = scene_ask(sc, txn_1((sim_op){ .kind = OP_FRIEND, .type = T_ACCT, .id = i, .friend = 9 }), i % SIM_PARTITIONS);
    for (int i = 0; i < 4; i++)
        scene_told(sc, t[i]);
    static const node_crash_kind kinds[] = { CRASH_AMONG_EFFECTS, CRASH_BEFORE_SYNC, CRASH_AFTER_SYNC, CRASH_SYNC_FAILS, CRASH_NOW };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        scene_crash(sc, CRASH_NOW);
        scene_alive(sc);
        scene_crash(sc, kinds[i]); /* in its first group, or among its first messages */
        scene_alive(sc);
    }
    scene_must(sc, !t[0]->decision->ended, "not applied everywhere yet");
    scene_end(sc);
    scene_must(sc, t[0]->decision->ended, "and yet applied at last");
}

static void many_lives_in_a_row(scene *sc)
{
    sim_identity *t = scene_ask(sc, txn_2(op_add(T_ACCT, 0, -5), op_add(T_ACCT, 1, 5)), 0);
    for (int i = 0; i < 20 && !sc->w->s.failed; i++) {
        scene_alive(sc);
        scene_for(sc, 50 * i);
        scene_crash(sc, CRASH_NOW);
    }
    scene_told(sc, t);
    scene_end(sc);
}

static bool is_drained(scene *sc, const void *p)
{
    (void)p;
    return node_drained(sc->w->node);
}

static void graceful_stop(scene *sc)
{
    sim_identity *t[8];
    for (int i = 0; i < 8; i++)
        t[i] = scene_ask(sc, txn_2(op_add(T_ACCT, i % 2, -1), op_append(T_ACCT, i % 3, 1)), i % SIM_PARTITIONS);
    scene_for(sc, 1500);
    scene_until(sc, "nothing is in flight any more", is_drained, NULL);
    uint32_t told = 0;
    for (int i = 0; i < 8; i++)
        told += scene_is_told(t[i]);
    sim_identity *later = scene_ask(sc, txn_1(op_add(T_ACCT, 0, 1)), 0); /* stays in the topic */
    scene_for(sc, 300000);
    scene_must(sc, told > 0 && !scene_is_told(later), "what was in flight is answered, what comes later waits in the topic");
    scene_crash(sc, CRASH_NOW);
    scene_told(sc, later);
    scene_end(sc);
}

const scenario crash_scenarios[] = {
    { "later-commits-first", "a later transaction commits before an earlier one that waits for another key; crash", later_commits_first },
    { "abort-told-crash-reconsume", "an abort is told, crash, the request comes again when it could commit", abort_told_crash_reconsume },
    { "positions-out-of-order", "requests finish out of order, crash", positions_out_of_order },
    { "between-sync-and-reply", "crash after the sync, before anybody knows", between_sync_and_reply },
    { "group-lost", "crash before the sync", group_lost },
    { "sync-fails", "a sync that fails, what it wrote being gone or there", sync_fails },
    { "crash-while-recovering", "crashes in the midst of recovery, with redo to send", crash_while_recovering },
    { "many-lives", "twenty crashes before a transaction gets through", many_lives_in_a_row },
    { "graceful-stop", "SIGTERM in the midst of work, then a new life", graceful_stop },
    { 0 },
};
