#include "tests/sim/txn.h"

#include <stdlib.h>

const sim_type_info sim_types[SIM_TYPES] = {
    [T_ACCT] = { .name = "acct", .num = "balance", .doc = "note", .friend = "friend", .level = "level" },
    [T_ITEM] = { .name = "item", .num = "qty", .doc = "info", .tag = "tag" },
    [T_TEMP] = { .name = "temp", .num = "n", .level = "level", .droppable = true },
    [T_CHILD] = { .name = "child", .friend = "parent", .friend_required = true },
};

const char *const sim_bucket_names[SIM_BUCKETS] = { "bank", "shop" };

const char *sim_id_name(int id)
{
    static const char names[32][4] = { "a00", "a01", "a02", "a03", "a04", "a05", "a06", "a07", "a08", "a09", "a10", "a11", "a12", "a13", "a14", "a15",
                                       "a16", "a17", "a18", "a19", "a20", "a21", "a22", "a23", "a24", "a25", "a26", "a27", "a28", "a29", "a30", "a31" };
    return names[id & 31];
}

int sim_id_number(const char *name, size_t len)
{
    if (len != 3 || name[0] != 'a' || name[1] < '0' || name[1] > '9' || name[2] < '0' || name[2] > '9')
        return SIM_NONE;
    int n = (name[1] - '0') * 10 + name[2] - '0';
    return n < SIM_IDS ? n : SIM_NONE;
}

bool sim_op_writes(sim_op_kind k) { return (k >= OP_INSERT && k <= OP_DELETE_WHERE) || sim_op_is_ddl(k); }
bool sim_op_is_ddl(sim_op_kind k) { return k == OP_DROP || k == OP_CREATE || k == OP_CREATE_BUCKET; }

bool sim_txn_writes(const sim_txn *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (sim_op_writes(t->ops[i].kind))
            return true;
    return false;
}

bool sim_txn_is_ddl(const sim_txn *t) { return t->count == 1 && sim_op_is_ddl(t->ops[0].kind); }

/* ---- chance ---- */

void sim_mix_random(sim_prng *rng, sim_mix *m)
{
    *m = (sim_mix){
        .transfer = 40 + (uint32_t)sim_below(rng, 50),
        .single = 20 + (uint32_t)sim_below(rng, 20),
        .several = 10 + (uint32_t)sim_below(rng, 30),
        .predicate = (uint32_t)sim_below(rng, 14),
        .reads = (uint32_t)sim_below(rng, 12),
        .ddl = sim_chance(rng, 1, 2) ? 1 + (uint32_t)sim_below(rng, 6) : 0,
        .nonsense = (uint32_t)sim_below(rng, 3),
        .rollback = (uint32_t)sim_below(rng, 5),
        .child = sim_chance(rng, 1, 2) ? 2 + (uint32_t)sim_below(rng, 8) : 0,
        .hot = 30 + (uint32_t)sim_below(rng, 60),
    };
}

static int random_id(sim_prng *rng, const sim_mix *m)
{
    return (int)(sim_chance(rng, m->hot, 100) ? sim_below(rng, SIM_HOT_IDS) : sim_below(rng, SIM_IDS));
}

static sim_op random_insert(sim_prng *rng, const sim_mix *m, sim_type type)
{
    const sim_type_info *t = &sim_types[type];
    sim_op op = { .kind = OP_INSERT, .type = type, .id = random_id(rng, m), .num = INT64_MIN, .level = INT64_MIN,
                  .v = SIM_NONE, .tag = SIM_NONE, .friend = SIM_NONE, .at = SIM_NONE };
    if (t->num && sim_chance(rng, 9, 10))
        op.num = (int64_t)sim_below(rng, 100);
    if (t->doc)
        op.v = (int)sim_below(rng, 100);
    if (t->tag && sim_chance(rng, 2, 3))
        op.tag = (int)sim_below(rng, 12);
    if (t->friend && (t->friend_required || sim_chance(rng, 2, 3)))
        op.friend = random_id(rng, m);
    if (t->level && sim_chance(rng, 2, 3)) {
        op.level = (int64_t)sim_below(rng, 1000);
        if (sim_chance(rng, 1, 3))
            op.at = (int)sim_below(rng, 60);
    }
    return op;
}

/* One statement on one id. */
static sim_op random_point(sim_prng *rng, const sim_mix *m, sim_type type)
{
    const sim_type_info *t = &sim_types[type];
    sim_op op = { .type = type, .id = random_id(rng, m), .k = (int64_t)sim_below(rng, 50), .friend = SIM_NONE, .at = SIM_NONE, .tag = SIM_NONE };
    switch (sim_below(rng, 13)) {
    case 0: case 1: case 2: case 11: return random_insert(rng, m, type);
    case 3: op.kind = OP_DELETE; break;
    case 4: op.kind = t->num ? OP_SET : OP_DELETE; break;
    case 5: op.kind = t->num ? OP_ADD : OP_SELECT; break;
    case 6: case 7: op.kind = t->doc ? OP_APPEND : t->num ? OP_ADD : OP_SELECT; break;
    case 8: op.kind = t->doc ? OP_SET_DOC : OP_SELECT; break;
    case 9:
        op.kind = t->level ? OP_LEVEL : OP_SELECT;
        if (sim_chance(rng, 1, 3))
            op.at = (int)sim_below(rng, 60);
        break;
    case 10:
        op.kind = t->tag ? OP_TAG : t->friend ? OP_FRIEND : OP_SELECT;
        op.tag = (int)sim_below(rng, 12);
        if (t->friend_required || sim_chance(rng, 3, 4))
            op.friend = random_id(rng, m);
        break;
    default: op.kind = OP_SELECT; break;
    }
    return op;
}

static sim_op random_predicate(sim_prng *rng, const sim_mix *m)
{
    static const sim_type types[] = { T_ACCT, T_ITEM, T_TEMP };
    sim_op op = { .type = types[sim_below(rng, 3)], .id = random_id(rng, m), .k = sim_between(rng, -5, 5), .limit = (int64_t)sim_below(rng, 60) };
    static const sim_op_kind kinds[] = { OP_ADD_WHERE, OP_ADD_WHERE, OP_SELECT_WHERE, OP_SUM, OP_SELECT_ALL, OP_DELETE_WHERE };
    op.kind = kinds[sim_below(rng, 6)];
    if (op.kind == OP_DELETE_WHERE)
        op.limit = (int64_t)sim_below(rng, 10);
    return op;
}

static sim_op random_read(sim_prng *rng, const sim_mix *m)
{
    static const sim_op_kind kinds[] = { OP_SELECT, OP_SELECT, OP_SELECT_WHERE, OP_SUM, OP_SELECT_ALL, OP_FOLLOW, OP_FOLLOW_WHERE };
    sim_op op = { .type = sim_chance(rng, 2, 3) ? T_ACCT : T_ITEM, .id = random_id(rng, m), .limit = (int64_t)sim_below(rng, 100) };
    op.kind = kinds[sim_below(rng, 7)];
    if (op.kind == OP_FOLLOW || op.kind == OP_FOLLOW_WHERE)
        op.type = T_ACCT;
    return op;
}

static void add(sim_txn *t, sim_op op)
{
    if (t->count < SIM_MAX_OPS)
        t->ops[t->count++] = op;
}

static void transfer(sim_prng *rng, const sim_mix *m, sim_txn *t)
{
    int from = random_id(rng, m), to = random_id(rng, m);
    int64_t amount = 1 + (int64_t)sim_below(rng, 9);
    if (to == from)
        to = (from + 1) % SIM_IDS;
    if (sim_chance(rng, 1, 3))
        add(t, (sim_op){ .kind = OP_ASSERT, .type = T_ACCT, .id = from, .limit = amount - 10 });
    add(t, (sim_op){ .kind = OP_ADD, .type = T_ACCT, .id = from, .k = -amount });
    add(t, (sim_op){ .kind = OP_ADD, .type = T_ACCT, .id = to, .k = amount });
    if (sim_chance(rng, 1, 4))
        add(t, (sim_op){ .kind = OP_APPEND, .type = T_ACCT, .id = to, .k = amount });
    if (sim_chance(rng, 1, 4))
        add(t, (sim_op){ .kind = OP_SELECT, .type = T_ACCT, .id = sim_chance(rng, 1, 2) ? to : from });
}

static sim_type random_type(sim_prng *rng) { return sim_chance(rng, 3, 5) ? T_ACCT : sim_chance(rng, 2, 3) ? T_ITEM : T_TEMP; }

/* Two things are left to nobody to define: two samples of one moment in one transaction, and a child whose parent goes in it. */
static bool fits(const sim_txn *t, const sim_op *op)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const sim_op *o = &t->ops[i];
        bool level = op->kind == OP_LEVEL || op->kind == OP_INSERT, other = o->kind == OP_LEVEL || o->kind == OP_INSERT;
        if (level && other && o->type == op->type && o->id == op->id)
            return false;
        bool gone = op->kind == OP_DELETE || op->kind == OP_DELETE_WHERE, o_gone = o->kind == OP_DELETE || o->kind == OP_DELETE_WHERE;
        if ((gone && op->type == T_ACCT && o->type == T_CHILD) || (o_gone && o->type == T_ACCT && op->type == T_CHILD))
            return false;
    }
    return true;
}

static void several(sim_prng *rng, const sim_mix *m, sim_txn *t)
{
    uint32_t n = 2 + (uint32_t)sim_below(rng, 4);
    for (uint32_t i = 0; i < n; i++) {
        sim_op op = m->child && sim_chance(rng, 1, 12)       ? random_point(rng, m, T_CHILD)
                    : m->predicate && sim_chance(rng, 1, 15) ? random_predicate(rng, m)
                    : sim_chance(rng, 1, 10)                 ? random_read(rng, m)
                                                             : random_point(rng, m, random_type(rng));
        if (fits(t, &op))
            add(t, op);
    }
}

void sim_txn_random(sim_prng *rng, const sim_mix *m, sim_txn *t)
{
    *t = (sim_txn){ .bucket = sim_chance(rng, 1, 5) };
    uint32_t total = m->transfer + m->single + m->several + m->predicate + m->reads + m->ddl + m->nonsense + m->child;
    uint32_t at = (uint32_t)sim_below(rng, total);
    if (at < m->transfer) {
        transfer(rng, m, t);
    } else if ((at -= m->transfer) < m->single) {
        add(t, random_point(rng, m, random_type(rng)));
    } else if ((at -= m->single) < m->several) {
        several(rng, m, t);
    } else if ((at -= m->several) < m->predicate) {
        add(t, random_predicate(rng, m));
    } else if ((at -= m->predicate) < m->reads) {
        add(t, random_read(rng, m));
        if (sim_chance(rng, 1, 3))
            add(t, random_read(rng, m));
    } else if ((at -= m->reads) < m->ddl) {
        bool create = sim_chance(rng, 1, 2);
        add(t, (sim_op){ .kind = create ? OP_CREATE : OP_DROP, .type = T_TEMP, .if_exists = sim_chance(rng, 1, 2) });
    } else if ((at -= m->ddl) < m->nonsense) {
        add(t, (sim_op){ .kind = OP_NONSENSE, .k = (int64_t)sim_below(rng, 4) });
    } else {
        add(t, random_point(rng, m, T_CHILD));
    }
    if (t->count == 0)
        add(t, random_read(rng, m));
    t->bare = t->count == 1 && sim_chance(rng, 1, 2);
    if (sim_txn_is_ddl(t))
        t->bare = true;
    t->rollback = !t->bare && sim_chance(rng, m->rollback, 100);
    if (sim_chance(rng, 1, 20))
        t->timeout_ms = 5 + (uint32_t)sim_below(rng, 60);
}

/* ---- text ---- */

void sim_create_text(sim_type type, bool if_not_exists, q_buf *out)
{
    const sim_type_info *t = &sim_types[type];
    q_buf_printf(out, "CREATE RECORD %s%s (id scalar string", if_not_exists ? "IF NOT EXISTS " : "", t->name);
    if (t->num)
        q_buf_printf(out, ", %s scalar int", t->num);
    if (t->tag)
        q_buf_printf(out, ", %s scalar string unique", t->tag);
    if (t->doc)
        q_buf_printf(out, ", %s document", t->doc);
    if (t->friend)
        q_buf_printf(out, ", %s relation to acct%s", t->friend, t->friend_required ? " required" : "");
    if (t->level)
        q_buf_printf(out, ", %s metric int", t->level);
    q_buf_printf(out, ")");
}

static void sample(q_buf *out, int64_t value, int at)
{
    q_buf_printf(out, "%lld", (long long)value);
    if (at != SIM_NONE)
        q_buf_printf(out, " at time(\"2001-01-01T00:00:%02dZ\")", at);
}

static void insert_text(const sim_op *op, q_buf *out)
{
    const sim_type_info *t = &sim_types[op->type];
    q_buf_printf(out, "INSERT INTO %s { id: \"%s\"", t->name, sim_id_name(op->id));
    if (op->num != INT64_MIN)
        q_buf_printf(out, ", %s: %lld", t->num, (long long)op->num);
    if (op->v != SIM_NONE)
        q_buf_printf(out, ", %s: { v: %d, log: [] }", t->doc, op->v);
    if (op->tag != SIM_NONE)
        q_buf_printf(out, ", %s: \"t%d\"", t->tag, op->tag);
    if (op->friend != SIM_NONE)
        q_buf_printf(out, ", %s: relation(\"%s\")", t->friend, sim_id_name(op->friend));
    if (op->level != INT64_MIN) {
        q_buf_printf(out, ", %s: ", t->level);
        sample(out, op->level, op->at);
    }
    q_buf_printf(out, " }");
}

static void columns_text(const sim_type_info *t, q_buf *out)
{
    q_buf_printf(out, "SELECT id");
    if (t->num)
        q_buf_printf(out, ", %s", t->num);
    if (t->tag)
        q_buf_printf(out, ", %s", t->tag);
    if (t->doc)
        q_buf_printf(out, ", %s.v, %s.log", t->doc, t->doc);
    if (t->friend)
        q_buf_printf(out, ", %s", t->friend);
    if (t->level)
        q_buf_printf(out, ", %s", t->level);
    q_buf_printf(out, " FROM %s", t->name);
}

static void update_text(const sim_op *op, q_buf *out)
{
    const sim_type_info *t = &sim_types[op->type];
    q_buf_printf(out, "UPDATE %s SET ", t->name);
    switch (op->kind) {
    case OP_ADD: case OP_ADD_WHERE:
        q_buf_printf(out, "%s = %s %c %lld", t->num, t->num, op->k < 0 ? '-' : '+', (long long)(op->k < 0 ? -op->k : op->k));
        break;
    case OP_SET: q_buf_printf(out, "%s = %lld", t->num, (long long)op->k); break;
    case OP_SET_DOC: q_buf_printf(out, "%s.v = %lld", t->doc, (long long)op->k); break;
    case OP_APPEND: q_buf_printf(out, "%s.log += [%lld]", t->doc, (long long)op->k); break;
    case OP_TAG: q_buf_printf(out, "%s = \"t%d\"", t->tag, op->tag); break;
    case OP_FRIEND:
        if (op->friend == SIM_NONE)
            q_buf_printf(out, "%s = NULL", t->friend);
        else
            q_buf_printf(out, "%s = relation(\"%s\")", t->friend, sim_id_name(op->friend));
        break;
    default:
        q_buf_printf(out, "%s = ", t->level);
        sample(out, op->k, op->at);
        break;
    }
    if (op->kind == OP_ADD_WHERE)
        q_buf_printf(out, " WHERE %s < %lld", t->num, (long long)op->limit);
    else
        q_buf_printf(out, " WHERE id = \"%s\"", sim_id_name(op->id));
}

static void op_text(const sim_op *op, int bucket, q_buf *out)
{
    static const char *const nonsense[] = { "SELECT", "INSERT INTO acct { id: }", "SELECT nothing FROM acct", "UPDATE acct SET balance = \"x\" WHERE id = \"a00\"" };
    const sim_type_info *t = &sim_types[op->type];
    switch (op->kind) {
    case OP_INSERT: insert_text(op, out); break;
    case OP_DELETE: q_buf_printf(out, "DELETE FROM %s WHERE id = \"%s\"", t->name, sim_id_name(op->id)); break;
    case OP_DELETE_WHERE: q_buf_printf(out, "DELETE FROM %s WHERE %s < %lld", t->name, t->num, (long long)op->limit); break;
    case OP_SELECT:
        columns_text(t, out);
        q_buf_printf(out, " WHERE id = \"%s\"", sim_id_name(op->id));
        break;
    case OP_SELECT_ALL:
        columns_text(t, out);
        q_buf_printf(out, " ORDER BY id");
        break;
    case OP_SELECT_WHERE: q_buf_printf(out, "SELECT id, %s FROM %s WHERE %s >= %lld ORDER BY id", t->num, t->name, t->num, (long long)op->limit); break;
    case OP_SUM: q_buf_printf(out, "SELECT count(*), sum(%s) FROM %s", t->num, t->name); break;
    case OP_FOLLOW: q_buf_printf(out, "SELECT id, %s.balance FROM %s WHERE id = \"%s\"", t->friend, t->name, sim_id_name(op->id)); break;
    case OP_FOLLOW_WHERE: q_buf_printf(out, "SELECT id FROM %s WHERE %s.balance >= %lld ORDER BY id", t->name, t->friend, (long long)op->limit); break;
    case OP_ASSERT: q_buf_printf(out, "ASSERT (SELECT %s FROM %s WHERE id = \"%s\") >= %lld", t->num, t->name, sim_id_name(op->id), (long long)op->limit); break;
    case OP_DROP: q_buf_printf(out, "DROP RECORD %s%s", op->if_exists ? "IF EXISTS " : "", t->name); break;
    case OP_CREATE: sim_create_text(op->type, op->if_exists, out); break;
    case OP_CREATE_BUCKET: q_buf_printf(out, "CREATE BUCKET %s", sim_bucket_names[bucket]); break;
    case OP_NONSENSE: q_buf_printf(out, "%s", nonsense[op->k & 3]); break;
    case OP_ADD: case OP_SET: case OP_SET_DOC: case OP_APPEND: case OP_TAG: case OP_FRIEND: case OP_LEVEL: case OP_ADD_WHERE:
        update_text(op, out);
        break;
    }
}

void sim_txn_text(const sim_txn *t, q_buf *out)
{
    if (!t->bare)
        q_buf_printf(out, "BEGIN TRANSACTION; ");
    for (uint32_t i = 0; i < t->count; i++) {
        op_text(&t->ops[i], t->bucket, out);
        q_buf_printf(out, "; ");
    }
    if (!t->bare)
        q_buf_printf(out, t->rollback ? "ROLLBACK;" : "COMMIT;");
}
