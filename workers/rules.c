#include "workers/rules.h"
#include "base/sabotage.h"

bool q_rule_stale_incarnation(const q_named *named, uint64_t incarnation)
{
    return incarnation < named->created || incarnation < named->dropped;
}

bool q_rule_visible(const q_stored *stored, uint64_t incarnation)
{
    return stored->present && !stored->dead && stored->seq >= incarnation;
}

q_no q_rule_vote(const q_stored *stored, const q_item *item, uint64_t seq, uint32_t sabotage)
{
    if (stored->present && stored->seq >= seq && !Q_SABOTAGED(sabotage, Q_SAB_PREPARE_UNCHECKED))
        return Q_NO_STALE;
    bool visible = q_rule_visible(stored, item->incarnation);
    if ((item->pre & Q_PRE_EXISTS) && !visible)
        return Q_NO_MISSING;
    if ((item->pre & Q_PRE_NOT_EXISTS) && visible)
        return Q_NO_EXISTS;
    if ((item->pre & Q_PRE_SEQ_IS) && (visible ? stored->seq : 0) != item->seq_is)
        return Q_NO_CHANGED;
    return Q_NO_NONE;
}

q_no q_rule_vote_ddl(const q_named *named, uint64_t seq) { return named->ddl >= seq ? Q_NO_STALE : Q_NO_NONE; }

/* The life that a put belongs to. A partial put without a birth didn't read it (a blind update): it belongs to the life that it finds. */
static uint64_t birth_of(const q_stored *stored, const q_item *item, uint64_t seq)
{
    if (item->birth)
        return item->birth;
    if (!item->full && stored->present && !stored->dead)
        return stored->birth;
    return seq;
}

static q_apply apply_points(const q_stored *stored, const q_item *item, uint64_t seq)
{
    if (item->op == Q_I_DELETE) {
        if (!stored->present)
            return Q_AP_BURY;
        return (stored->dead ? stored->seq : stored->birth) < seq ? Q_AP_BURY : Q_AP_SKIP;
    }
    if (!stored->present)
        return Q_AP_REPLACE;
    uint64_t birth = birth_of(stored, item, seq);
    if (stored->dead)
        return birth >= stored->seq ? Q_AP_REPLACE : Q_AP_SKIP; /* the same: one transaction deleted it and inserted it again */
    if (birth != stored->birth)
        return birth > stored->birth ? Q_AP_REPLACE : Q_AP_SKIP;
    return seq > stored->seq ? Q_AP_MERGE : Q_AP_APPEND;
}

q_apply q_rule_apply(const q_stored *stored, const q_item *item, uint64_t seq, bool metrics, uint32_t sabotage)
{
    if (item->op != Q_I_PUT && item->op != Q_I_DELETE)
        return Q_AP_SKIP;
    if (metrics)
        return apply_points(stored, item, seq);
    if (stored->present && stored->seq >= seq && !Q_SABOTAGED(sabotage, Q_SAB_APPLY_WITHOUT_SEQ))
        return Q_AP_SKIP;
    if (item->op == Q_I_DELETE)
        return Q_SABOTAGED(sabotage, Q_SAB_NO_TOMBSTONE) ? Q_AP_ERASE : Q_AP_BURY;
    bool other_life = !stored->present || stored->dead || stored->seq < item->incarnation || birth_of(stored, item, seq) > stored->birth;
    return item->full || other_life ? Q_AP_REPLACE : Q_AP_MERGE;
}

q_stored q_rule_after(const q_stored *stored, const q_item *item, uint64_t seq, q_apply how)
{
    switch (how) {
    case Q_AP_MERGE: return (q_stored){ .present = true, .seq = seq, .birth = stored->birth };
    case Q_AP_REPLACE: return (q_stored){ .present = true, .seq = seq, .birth = birth_of(stored, item, seq) };
    case Q_AP_BURY: return (q_stored){ .present = true, .dead = true, .seq = seq };
    case Q_AP_ERASE: return (q_stored){ 0 };
    case Q_AP_SKIP:
    case Q_AP_APPEND: break;
    }
    return *stored;
}

bool q_rule_apply_ddl(const q_named *named, uint64_t seq) { return named->ddl < seq; }

q_named q_rule_named_after(const q_named *named, q_ddl_kind kind, uint64_t incarnation, uint64_t seq)
{
    q_named after = *named;
    after.ddl = seq;
    switch (kind) {
    case Q_DDL_CREATE_BUCKET:
    case Q_DDL_CREATE_RECORD: after.created = seq; break;
    case Q_DDL_DROP_BUCKET:
    case Q_DDL_DROP_RECORD: after.dropped = seq; break;
    default: break; /* of roles, grants and keys: no engine hears of them */
    case Q_DDL_ALTER_RECORD:
        /* The first attribute for this engine: its CREATE was never sent here. */
        if (after.created < incarnation)
            after.created = incarnation;
        break;
    }
    return after;
}

bool q_rule_newer_sample(int64_t at_us, uint64_t seq, int64_t latest_at_us, uint64_t latest_seq)
{
    return at_us != latest_at_us ? at_us > latest_at_us : seq >= latest_seq;
}

bool q_rule_type_fits(q_engine_id engine, q_type type)
{
    if (type == Q_T_NULL)
        return true;
    switch (engine) {
    case Q_EN_POSTGRES: return type != Q_T_DOC && type != Q_T_RELATION && type < Q_T_COUNT;
    case Q_EN_MONGO: return type == Q_T_DOC;
    case Q_EN_NEO4J: return type == Q_T_RELATION;
    case Q_EN_INFLUX: return type == Q_T_INT || type == Q_T_FLOAT || type == Q_T_DURATION;
    case Q_EN_COUNT: break;
    }
    return false;
}

size_t q_value_size(const q_value *v)
{
    size_t n = 24;
    if (v->type == Q_T_STRING || v->type == Q_T_BYTES || v->type == Q_T_DOC)
        return n + v->s.len;
    if (v->type == Q_T_RELATION)
        for (uint32_t i = 0; i < v->rel.count; i++)
            n += q_value_size(&v->rel.items[i]);
    return n;
}
