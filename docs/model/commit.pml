/* QuantaDB's commit protocol (docs/protocol.md) as a Promela model; README.md says what is left out.
 *
 * Two requests in the topic: T1 puts keys a and b (it reads a first: seq_is), T2 deletes key a, blindly.
 * Each key has a part in PostgreSQL and a part in MongoDB. A stored part is its _q_seq alone: who wrote it follows from
 * the seq. 0 is "absent". Every alternative of a process is one atomic step, so any interleaving of steps is explored.
 *
 * Messages in flight are bits in sets: a set has no order, so reordering and any delay cost nothing. That also is the
 * zombie coordinator: the WAL's exclusive lock (B1) lets no second one run, but what the first one sent arrives whenever it likes.
 */
#ifndef CRASHES            /* of the coordinator */
#define CRASHES   0
#endif
#ifndef TAKEOVERS          /* of the MongoDB worker, the old one keeping its pending apply */
#define TAKEOVERS 0
#endif
#ifndef LOSSES             /* of a message */
#define LOSSES    0
#endif
#ifndef DUPS               /* of a message */
#define DUPS      0
#endif
#ifndef PGLOSES            /* PostgreSQL loses a prepared transaction (restore, failover, a hand) */
#define PGLOSES   0
#endif
#ifndef PAUSES             /* a PostgreSQL backend sleeps between its epoch check and its PREPARE */
#define PAUSES    0
#endif
#ifndef RETRIES            /* 0 or 1: the client sends a request again, same id */
#define RETRIES   0
#endif
#ifndef PURGES             /* 0 or 1: tombstones are removed when nothing older can arrive (B5) */
#define PURGES    0
#endif

#define T1 1
#define T2 2
#define other(t)   (3 - (t))
#define PG 1
#define MG 2
#define NSEQ       (2 * (CRASHES + 1))        /* an attempt of a transaction per incarnation */
#define BIT(n)     (1 << (n))
#define has(set,n) (((set) >> (n)) & 1)

#define NONE   0                              /* outcomes */
#define COMMIT 1
#define ABORT  2

#define NEW       0   /* not consumed in this incarnation */
#define PLANNING  1
#define WAITING   2   /* in the lock queue */
#define PREPARING 3   /* locks and seq held, prepares sent */
#define DECIDED   4   /* in the group that the next sync takes */
#define DURABLE   5   /* synced; nothing has left yet */
#define APPLYING  6   /* commit messages sent */
#define ENDING    7   /* all acknowledged; END rides with the next sync */
#define ENDED     8

/* Durable: the WAL. One sync changes all of it at once (B4). */
byte wal_epoch = 1;          /* B8: reserved before use */
byte wal_next_seq = 1;       /* B8: likewise; a seq is never used twice */
byte wal_out[3], wal_seq[3]; /* decision and redo of each request identity (B7) */
bool wal_end[3];
byte wal_low;                /* B7: every position up to here is complete … */
byte wal_above;              /* … and these above it */

/* The request topic: T1 at position 1, T2 at 2, the client's retry at 3. */
byte retry_of;
#define topic_len (2 + (retry_of != 0))
#define request(p) ((p) == 1 -> T1 : ((p) == 2 -> T2 : retry_of))

/* The coordinator's memory: a crash loses it. */
bool serving = true;
bool listed  = true;         /* recovery has listed the prepared transactions */
byte next_pos = 1;
byte ph[3], cur[3];          /* phase and seq */
byte out[3];                 /* decided, not yet durable */
bool replied[3];
byte acked[3];
byte lock_pg, lock_mg;       /* key a: sets of holders, a share per engine (b is T1's alone and needs no model) */
byte ahead;                  /* FIFO: who enqueued first */
bool stale[3];               /* what it read under its locks wasn't the last committed state */
byte purge_to;               /* tombstones up to this seq may go */

/* PostgreSQL and MongoDB: durable. */
byte pg_epoch = 1, mg_epoch = 1;
byte pg_prepared;            /* gids; each one holds the row lock on a */
byte pg_a, pg_b, mg_a, mg_b; /* stored _q_seq */
byte asleep;                 /* a backend that checked the epoch for this seq, and hasn't prepared yet */

/* MongoDB's worker, and the one it replaced: an apply that was received and not yet carried out. */
#define WORKER 0
#define ZOMBIE 1
byte at_seq[2], at_epoch[2]; bool wrote_a[2];

/* Messages in flight. */
byte prep_pg, prep_mg;       /* by seq */
byte yes_pg, yes_mg;
byte ack_pg, ack_mg;
byte do_pg[NSEQ + 1], do_mg[NSEQ + 1];   /* commit with redo: by seq, the set of the epochs it was sent in */

/* What belongs to a seq for ever. */
byte of_t2;                  /* seqs given to T2 */
byte epoch_of[NSEQ + 1], read_pg[NSEQ + 1], read_mg[NSEQ + 1];
#define owner(s) (1 + has(of_t2, s))

/* What the world has seen: no process reads it but to assert. */
byte told[3];
byte crashes, takeovers, losses, dups, pgloses, pauses;

#define live(s)      (ph[owner(s)] == PREPARING && cur[owner(s)] == (s))
#define committed(s) (wal_out[owner(s)] == COMMIT && wal_seq[owner(s)] == (s))
#define seq_if_committed(t) (wal_out[t] == COMMIT -> wal_seq[t] : 0)
#define last_a       (seq_if_committed(1) > seq_if_committed(2) -> seq_if_committed(1) : seq_if_committed(2))
#define shows(x)     (((x) != 0 && owner(x) == T2) -> 0 : (x))       /* a tombstone shows nothing */

#ifdef S_EPOCH_UNCHECKED
#define epoch_ok(e, engine) true
#else
#define epoch_ok(e, engine) ((e) >= (engine))                        /* B8: a worker refuses a lower epoch */
#endif
#ifdef R_EPOCH_AT_RECEIPT
#define epoch_ok_at_write(e, engine) true
#else
#define epoch_ok_at_write(e, engine) epoch_ok(e, engine)
#endif

/* Sentences left out that are one condition each; the others stand where they would be. */
#ifdef S_FORGET_LOCK
#define lock_free(t) true
#else
#define lock_free(t) (lock_pg == 0 && lock_mg == 0 && (ph[other(t)] != WAITING || ahead == t))   /* B1 */
#endif
#ifdef S_MISSING_VOTE
#define voted(t) has(yes_pg, cur[t])
#else
#define voted(t) (has(yes_pg, cur[t]) && has(yes_mg, cur[t]))                                    /* B3 */
#endif

/* ------------------------------------------------------------------------------------------------ the coordinator */

inline tell(t, o) {                    /* P3, and P2's "an aborted one stays so" */
    assert(told[t] == NONE || told[t] == o);
    told[t] = o
}

inline complete(p) {                   /* B7: the low water never passes a request that isn't complete */
#ifdef S_LOW_WATER_SKIPS
    if :: wal_low < p -> wal_low = p :: else fi
#else
    if :: p > wal_low -> wal_above = wal_above | BIT(p) :: else fi;
    do :: has(wal_above, wal_low + 1) -> wal_low++; wal_above = wal_above & ~BIT(wal_low)
       :: else -> break
    od
#endif
}

inline give_seq(t) {
    cur[t] = wal_next_seq; wal_next_seq++;
    epoch_of[cur[t]] = wal_epoch;
    if :: t == T2 -> of_t2 = of_t2 | BIT(cur[t]) :: else fi
}

inline unlock(t, engines) {
    if :: engines & PG -> lock_pg = lock_pg & ~BIT(t) :: else fi;
    if :: engines & MG -> lock_mg = lock_mg & ~BIT(t) :: else fi
}

inline decide(t, o) {                  /* B4: into the group; nothing leaves before the sync */
    out[t] = o; ph[t] = DECIDED;
    yes_pg = yes_pg & ~BIT(cur[t]); yes_mg = yes_mg & ~BIT(cur[t]);
#ifdef S_REPLY_BEFORE_SYNC
    tell(t, o);
#endif
#ifdef S_ABORT_NOT_DURABLE
    if :: o == ABORT -> tell(t, o) :: else fi;
#endif
#ifdef S_UNLOCK_BEFORE_ABORT_DURABLE
    if :: o == ABORT -> unlock(t, PG + MG) :: else fi;
#endif
    skip
}

inline make_durable(t) {
    if :: ph[t] == DECIDED ->
            assert(wal_out[t] == NONE);                      /* P3: one decision per identity */
            if :: out[t] == COMMIT ->
                    assert(!stale[t]);                       /* P4: it had read the last committed state */
                    assert(cur[t] > last_a);                 /* P4: seq order is conflict order */
                    wal_seq[t] = cur[t]
               :: else -> unlock(t, PG + MG)                 /* B1: an abort's locks go once it is durable */
            fi;
            wal_out[t] = out[t]; out[t] = NONE; stale[t] = false; ph[t] = DURABLE;
#ifdef S_UNLOCK_BEFORE_APPLY
            unlock(t, PG + MG);
#endif
            if :: 1 < next_pos && request(1) == t -> complete(1) :: else fi;
            if :: 2 < next_pos && request(2) == t -> complete(2) :: else fi;
            if :: 3 < next_pos && request(3) == t -> complete(3) :: else fi
       :: ph[t] == ENDING -> wal_end[t] = true; ph[t] = ENDED
       :: else
    fi
}

inline acknowledged(t, e) {            /* B1: each share is freed when its engine has applied */
    acked[t] = acked[t] | e;
    unlock(t, e);
    if :: acked[t] == PG + MG -> ph[t] = ENDING :: else fi
}

inline retake(t) {                     /* B8 */
    if :: wal_out[t] == NONE -> skip
       :: wal_out[t] == ABORT -> ph[t] = DURABLE
       :: else ->
            cur[t] = wal_seq[t];
            if :: wal_end[t] -> ph[t] = ENDED
               :: else ->
#ifdef S_FORGET_REDO
                    ph[t] = ENDED
#else
                    ph[t] = DURABLE;
#ifndef S_FORGET_RELOCK
                    lock_pg = lock_pg | BIT(t); lock_mg = lock_mg | BIT(t)
#endif
#endif
            fi
    fi
}

inline forget(t) { ph[t] = NEW; cur[t] = 0; out[t] = NONE; replied[t] = false; acked[t] = 0; stale[t] = false }

/* One per transaction: what the coordinator does about it. */
proctype Transaction(byte t) {
end: do
    :: d_step { serving && ph[t] == PLANNING ->              /* B1: planning takes as long as it takes; then one step enqueues all */
           ph[t] = WAITING;
           if :: ph[other(t)] != WAITING -> ahead = t :: else fi }
    :: d_step { ph[t] == WAITING && lock_free(t) &&
                mg_epoch == wal_epoch ->                  /* B8: an engine not yet told the epoch gets no work */
           lock_pg = BIT(t); lock_mg = BIT(t); ahead = 0;
#ifndef S_SEQ_BEFORE_LOCKS
           give_seq(t);                                      /* B1: when the last lock is granted */
#endif
           if :: t == T1 -> read_pg[cur[t]] = pg_a; read_mg[cur[t]] = mg_a :: else fi;
           stale[t] = (shows(pg_a) != shows(last_a) || shows(mg_a) != shows(last_a));
           prep_pg = prep_pg | BIT(cur[t]); prep_mg = prep_mg | BIT(cur[t]);
           ph[t] = PREPARING }
    :: d_step { ph[t] == WAITING && (lock_pg | lock_mg) ->   /* B1: waited past its time limit */
           if :: ahead == t -> ahead = 0 :: else fi;
           decide(t, ABORT) }
    :: d_step { ph[t] == PREPARING && voted(t) -> decide(t, COMMIT) }
    :: d_step { ph[t] == PREPARING -> decide(t, ABORT) }     /* a NO, or the time limit: the effect is one */
    :: d_step { ph[t] >= DURABLE && !replied[t] ->           /* B4: after the sync, not waiting for the apply */
           replied[t] = true; tell(t, wal_out[t]) }
    :: d_step { ph[t] == DURABLE && wal_out[t] == COMMIT && mg_epoch == wal_epoch ->
           do_pg[cur[t]] = do_pg[cur[t]] | BIT(wal_epoch); do_mg[cur[t]] = do_mg[cur[t]] | BIT(wal_epoch);
           ph[t] = APPLYING }
    :: d_step { ph[t] == APPLYING && has(ack_pg, cur[t]) -> ack_pg = ack_pg & ~BIT(cur[t]); acknowledged(t, PG) }
    :: d_step { ph[t] == APPLYING && has(ack_mg, cur[t]) -> ack_mg = ack_mg & ~BIT(cur[t]); acknowledged(t, MG) }
    /* B5: retried for ever. Sending again what is still on its way would be a duplicate; those are counted apart. */
    :: d_step { ph[t] == APPLYING && !(acked[t] & PG) && !has(do_pg[cur[t]], wal_epoch) && !has(ack_pg, cur[t]) ->
           do_pg[cur[t]] = do_pg[cur[t]] | BIT(wal_epoch) }
    :: d_step { ph[t] == APPLYING && !(acked[t] & MG) && !has(do_mg[cur[t]], wal_epoch) && !has(ack_mg, cur[t]) &&
                !(at_seq[WORKER] == cur[t] && at_epoch[WORKER] == wal_epoch) ->
           do_mg[cur[t]] = do_mg[cur[t]] | BIT(wal_epoch) }
    od
}

proctype Coordinator() {
    byte t;
end: do
    :: d_step { serving && next_pos <= topic_len ->          /* consume; B7: a request id seen before changes nothing */
           if :: next_pos <= wal_low || has(wal_above, next_pos) -> skip
              :: else ->
                   t = request(next_pos);
                   if :: wal_out[t] != NONE -> tell(t, wal_out[t]); complete(next_pos)
                      :: wal_out[t] == NONE && ph[t] == NEW ->
                           ph[t] = PLANNING;
#ifdef S_SEQ_BEFORE_LOCKS
                           give_seq(t);
#endif
                      :: else -> skip                        /* in flight: it waits for the same reply */
                   fi
           fi;
           next_pos++; t = 0 }
    :: d_step { (ph[1] == DECIDED || ph[2] == DECIDED || ph[1] == ENDING || ph[2] == ENDING) ->   /* B4: the sync */
           make_durable(1); make_durable(2) }
    :: d_step { crashes < CRASHES ->                         /* kill -9, and a new incarnation with a new epoch */
           crashes++; wal_epoch++; serving = false; listed = false;
           forget(1); forget(2);
           lock_pg = 0; lock_mg = 0; ahead = 0; next_pos = wal_low + 1;
           yes_pg = 0; yes_mg = 0;                   /* votes for old attempts are ignored: they needn't arrive */
#if PURGES
           /* B5, "until nothing older can arrive": a tombstone may go only in an epoch that began after every
            * transaction up to its seq had ended. So no message of this epoch is older, and lower epochs are refused
            * (once all engines are fenced: see purge). */
           if :: (wal_out[1] != COMMIT || wal_end[1]) && (wal_out[2] != COMMIT || wal_end[2]) -> purge_to = last_a
              :: else fi
#endif
       }
    /* B8, recovery: tell the epoch, list, re-take the locks of what is decided, serve. */
    :: d_step { !serving && pg_epoch < wal_epoch -> pg_epoch = wal_epoch }
    :: d_step { mg_epoch < wal_epoch -> mg_epoch = wal_epoch }
    :: d_step { !serving && pg_epoch == wal_epoch && !listed ->
           listed = true;
#ifndef S_BACKENDS_NOT_ENDED
           asleep = 0;                                       /* fenced backends are ended before the list is made */
#endif
#ifndef S_ORPHANS_KEPT
           t = 1;
           do :: t <= NSEQ ->
                   if :: has(pg_prepared, t) && !committed(t) -> pg_prepared = pg_prepared & ~BIT(t) :: else fi;
                   t++
              :: else -> break
           od;
#endif
           t = 0 }
    :: d_step { !serving && listed -> retake(1); retake(2); serving = true }
    od
}

/* ------------------------------------------------------------------------------------------------------ the engines */

inline arrived(set, n, copy) {         /* a duplicate stays in flight when the first copy arrives */
    if :: copy -> dups++ :: else -> set = set & ~BIT(n) fi
}
#define may(copy) (!(copy) || dups < DUPS)

inline put(part, s, checked) {         /* B5: only where the stored _q_seq is lower */
    assert(committed(s));              /* P1, P2: nothing of an undecided or aborted transaction is ever written */
    assert(told[owner(s)] != ABORT);
#ifndef S_NO_SEQ_CHECK
    if :: checked && part >= s -> skip
       :: else ->
#endif
#ifdef S_NO_TOMBSTONE
            part = (owner(s) == T2 -> 0 : s)
#else
            part = s
#endif
#ifndef S_NO_SEQ_CHECK
    fi
#endif
}

/* B3's preconditions. Asserted beside them: a transaction that holds its locks never meets a newer write (P4). */
#define seq_is(s, part, read) (owner(s) == T2 || (part) == (read))
#ifdef R_PREPARE_UNCHECKED
#define older(s, x, y) true
#else
#define older(s, x, y) ((x) < (s) && (owner(s) == T2 || (y) < (s)))
#endif

inline prepare_transaction(s) {        /* B3 */
    if :: live(s) -> assert(pg_a < s) :: else fi;
    if :: has(pg_prepared, s) -> if :: live(s) -> yes_pg = yes_pg | BIT(s) :: else fi
       :: !has(pg_prepared, s) && pg_prepared == 0 && seq_is(s, pg_a, read_pg[s]) && older(s, pg_a, pg_b) ->
            pg_prepared = BIT(s); if :: live(s) -> yes_pg = yes_pg | BIT(s) :: else fi
       :: else -> skip                                       /* NO: also when lock_timeout ends the wait for a row lock */
    fi
}

inline pg_prepare(s, copy) {
    d_step { has(prep_pg, s) && may(copy) ->
        arrived(prep_pg, s, copy);
        if :: epoch_ok(epoch_of[s], pg_epoch) -> prepare_transaction(s) :: else fi }
}

inline pg_pause(s) {
    d_step { has(prep_pg, s) && asleep == 0 && pauses < PAUSES && epoch_ok(epoch_of[s], pg_epoch) ->
        prep_pg = prep_pg & ~BIT(s); asleep = s; pauses++ }
}

inline pg_commit(s, e, copy) {
    d_step { has(do_pg[s], e) && may(copy) && (!epoch_ok(e, pg_epoch) || (pg_prepared & ~BIT(s)) == 0) ->
        /* Another gid's row lock makes a redo wait: then this step isn't possible. */
        arrived(do_pg[s], e, copy);
        if :: !epoch_ok(e, pg_epoch) -> skip
           :: else ->
                if :: has(pg_prepared, s) ->                 /* COMMIT PREPARED: its rows were checked and locked at the prepare */
                        pg_prepared = pg_prepared & ~BIT(s);
                        put(pg_a, s, false); if :: owner(s) == T1 -> put(pg_b, s, false) :: else fi
                   :: else ->                                /* B5: a missing gid isn't success */
#ifndef S_MISSING_GID_OK
                        put(pg_a, s, true); if :: owner(s) == T1 -> put(pg_b, s, true) :: else fi;
#endif
                        skip
                fi;
                if :: !(acked[owner(s)] & PG) && !wal_end[owner(s)] -> ack_pg = ack_pg | BIT(s) :: else fi
        fi }
}

#ifdef S_ORPHANS_KEPT
#define sweeps(s) (epoch_of[s] == wal_epoch)
#else
#define sweeps(s) true
#endif
inline pg_sweep(s) {                   /* B8: undecided ones of lower epochs; of this epoch when the coordinator answers "aborted" */
    d_step { serving && has(pg_prepared, s) && sweeps(s) &&
             !committed(s) && (epoch_of[s] < wal_epoch || wal_out[owner(s)] == ABORT) ->
        pg_prepared = pg_prepared & ~BIT(s) }
}

inline mg_prepare(s, copy) {           /* B3: checks, writes nothing */
    d_step { has(prep_mg, s) && may(copy) ->
        arrived(prep_mg, s, copy);
        if :: epoch_ok(epoch_of[s], mg_epoch) && live(s) ->
                assert(mg_a < s);
                if :: seq_is(s, mg_a, read_mg[s]) && older(s, mg_a, mg_b) -> yes_mg = yes_mg | BIT(s) :: else fi
           :: else
        fi }
}

inline mg_receive(s, e, copy) {
    d_step { has(do_mg[s], e) && at_seq[WORKER] == 0 && may(copy) ->
        arrived(do_mg[s], e, copy);
        if :: epoch_ok(e, mg_epoch) ->
                at_seq[WORKER] = s; at_epoch[WORKER] = e;
#ifdef S_ACK_BEFORE_APPLY
                if :: !(acked[owner(s)] & MG) && !wal_end[owner(s)] -> ack_mg = ack_mg | BIT(s) :: else fi
#endif
           :: else
        fi }
}

inline drop(k) { at_seq[k] = 0; at_epoch[k] = 0; wrote_a[k] = false }

inline mg_write(k) {                  /* one part at a time: a bulkWrite isn't atomic. The epoch is checked with the write. */
    d_step { at_seq[k] != 0 ->
        if :: !epoch_ok_at_write(at_epoch[k], mg_epoch) -> drop(k)
           :: else ->
                if :: !wrote_a[k] -> put(mg_a, at_seq[k], true); wrote_a[k] = true
                   :: else -> put(mg_b, at_seq[k], true); wrote_a[k] = false
                fi;
                if :: owner(at_seq[k]) == T2 || !wrote_a[k] ->
                        if :: !(acked[owner(at_seq[k])] & MG) && !wal_end[owner(at_seq[k])] -> ack_mg = ack_mg | BIT(at_seq[k]) :: else fi;
                        drop(k)
                   :: else
                fi
        fi }
}

#ifdef R_PURGE_WHEN_ENDED
#define may_go(part) ((wal_out[1] != COMMIT || wal_end[1]) && (wal_out[2] != COMMIT || wal_end[2]))
#else
#define may_go(part) ((part) <= purge_to)
#endif
#ifdef R_PURGE_BEFORE_FENCED
#define fenced (pg_epoch == wal_epoch)
#else
#define fenced serving                 /* the epoch told, the old backends ended, the prepared listed */
#endif
inline purge(part) {
    d_step { part != 0 && owner(part) == T2 && may_go(part) && fenced && mg_epoch == wal_epoch -> part = 0 }
}

inline lose(set, n) { d_step { has(set, n) && losses < LOSSES -> set = set & ~BIT(n); losses++ } }

/* Every step that belongs to a seq, once for each seq. */
#if CRASHES == 0
#define EACH_SEQ(X)   X(1) X(2)
#define EACH_SENT(X)  X(1,1) X(2,1)
#elif CRASHES == 1
#define EACH_SEQ(X)   X(1) X(2) X(3) X(4)
#define EACH_SENT(X)  X(1,1) X(2,1) X(1,2) X(2,2) X(3,2) X(4,2)
#else
#define EACH_SEQ(X)   X(1) X(2) X(3) X(4) X(5) X(6)
#define EACH_SENT(X)  X(1,1) X(2,1) X(1,2) X(2,2) X(3,2) X(4,2) X(1,3) X(2,3) X(3,3) X(4,3) X(5,3) X(6,3)
#endif
#if DUPS
#define TWICE(f, s)      :: f(s, false) :: f(s, true)
#define TWICE2(f, s, e)  :: f(s, e, false) :: f(s, e, true)
#else
#define TWICE(f, s)      :: f(s, false)
#define TWICE2(f, s, e)  :: f(s, e, false)
#endif

#define PG_SEQ(s)     TWICE(pg_prepare, s) :: pg_sweep(s)
#define PG_SENT(s,e)  TWICE2(pg_commit, s, e)
#define PG_PAUSE(s)   :: pg_pause(s)
#define PG_LOSE(s)    :: d_step { has(pg_prepared, s) && pgloses < PGLOSES -> pg_prepared = pg_prepared & ~BIT(s); pgloses++ }
#define MG_SEQ(s)     TWICE(mg_prepare, s)
#define MG_SENT(s,e)  TWICE2(mg_receive, s, e)
#define LOSE_SEQ(s)   :: lose(prep_pg, s) :: lose(prep_mg, s) :: lose(ack_pg, s) :: lose(ack_mg, s)
#define LOSE_SENT(s,e) :: lose(do_pg[s], e) :: lose(do_mg[s], e)

proctype Postgres() {
end: do
    EACH_SEQ(PG_SEQ)
    EACH_SENT(PG_SENT)
#if PGLOSES
    EACH_SEQ(PG_LOSE)
#endif
#if PAUSES
    EACH_SEQ(PG_PAUSE)
    :: d_step { asleep != 0 -> prepare_transaction(asleep); asleep = 0 }
#endif
#if PURGES
    :: purge(pg_a)
#endif
    od
}

proctype Mongo() {
end: do
    EACH_SEQ(MG_SEQ)
    EACH_SENT(MG_SENT)
    :: mg_write(WORKER)
#if TAKEOVERS
    :: mg_write(ZOMBIE)
    :: d_step { at_seq[ZOMBIE] != 0 -> drop(ZOMBIE) }            /* it had died */
    :: d_step { at_seq[WORKER] != 0 && at_seq[ZOMBIE] == 0 && takeovers < TAKEOVERS ->
           takeovers++;
           do_mg[at_seq[WORKER]] = do_mg[at_seq[WORKER]] | BIT(at_epoch[WORKER]);       /* not acknowledged: the new worker gets it again */
           at_seq[ZOMBIE] = at_seq[WORKER]; at_epoch[ZOMBIE] = at_epoch[WORKER]; wrote_a[ZOMBIE] = wrote_a[WORKER]; drop(WORKER) }
#endif
#if PURGES
    :: purge(mg_a)
#endif
    od
}

#if LOSSES
proctype Network() {
end: do
    EACH_SEQ(LOSE_SEQ)
    EACH_SENT(LOSE_SENT)
    od
}
#endif

#if RETRIES
proctype Client() {
    if :: d_step { told[1] == NONE -> retry_of = T1 }
       :: d_step { told[2] == NONE -> retry_of = T2 }
       :: skip
    fi
}
#endif

/* ------------------------------------------------------------------------------------------------- at quiescence */

proctype Checker() {
    timeout ->                                               /* no process can take another step */
    d_step {
        assert(serving);
        /* P5: every transaction has ended and was answered, nothing is left. */
        assert(told[1] != NONE && told[2] != NONE);
        assert(wal_out[1] == ABORT || wal_end[1]);
        assert(wal_out[2] == ABORT || wal_end[2]);
        assert(pg_prepared == 0);
        assert(lock_pg == 0 && lock_mg == 0);
        assert(wal_low == topic_len);
        /* P3: what was told is what is logged. */
        assert(told[1] == wal_out[1] && told[2] == wal_out[2]);
        /* P1: all parts or none. */
        assert(pg_b == mg_b);
        assert(shows(pg_a) == shows(mg_a));
        /* P2, P4: the committed ones are there, in seq order; nothing else is. */
        assert(pg_b == seq_if_committed(1));
        assert(shows(pg_a) == shows(last_a));
        /* Not properties: each must be violated, or the model is empty. */
#ifdef W_T1_THEN_T2
        assert(!(told[1] == COMMIT && told[2] == COMMIT && wal_seq[1] < wal_seq[2]));
#endif
#ifdef W_T2_THEN_T1
        assert(!(told[1] == COMMIT && told[2] == COMMIT && wal_seq[2] < wal_seq[1]));
#endif
#ifdef W_BOTH_ABORT
        assert(!(told[1] == ABORT && told[2] == ABORT));
#endif
#ifdef W_PURGED
        assert(!(last_a != 0 && owner(last_a) == T2 && pg_a == 0 && mg_a == 0));
#endif
        skip
    }
}

init {
    atomic {
        run Transaction(T1); run Transaction(T2); run Coordinator(); run Postgres(); run Mongo();
#if LOSSES
        run Network();
#endif
#if RETRIES
        run Client();
#endif
        run Checker()
    }
}
