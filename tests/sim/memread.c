#include "tests/sim/memengine.h"

static void fill(const mem_server *e, q_arena *arena, const q_read *read, const mem_slot *slot, q_row *row)
{
    const mem_part *p = slot->part;
    *row = (q_row){ .id = slot->id, .seq = p->stored.seq, .birth = p->stored.birth };
    q_value *values = Q_NEW_ARRAY(arena, q_value, read->attr_count + 1);
    for (uint32_t i = 0; values && i < read->attr_count; i++) {
        const mem_sample *sample = e->store.metrics ? mem_latest(p, read->attrs[i]) : NULL;
        const q_value *v = e->store.metrics ? (sample ? &sample->value : NULL) : mem_value(p, read->attrs[i]);
        values[i] = v ? *v : Q_NULL;
    }
    row->values = values;
}

static bool refers(const mem_part *p, const q_read *read)
{
    const q_value *v = read->attr_count ? mem_value(p, read->attrs[0]) : NULL;
    if (!v || v->type != Q_T_RELATION)
        return false;
    for (uint32_t i = 0; i < v->rel.count; i++)
        for (uint32_t k = 0; k < read->id_count; k++)
            if (q_value_same(&v->rel.items[i], &read->ids[k]))
                return true;
    return false;
}

static bool visible(const mem_slot *slot, const q_read *read) { return slot && slot->part && q_rule_visible(&slot->part->stored, read->incarnation); }

q_rc mem_read_rows(mem_server *e, q_arena *arena, const q_read *read, q_rows *out, q_err *err)
{
    mem_table *t = mem_table_of(&e->store, read->bucket, read->record);
    uint32_t most = read->kind == Q_R_IDS ? read->id_count : t->count, limit = read->limit ? read->limit : UINT32_MAX;
    if (read->kind == Q_R_SCAN && e->s->task && sim_chance(&e->s->rng, 1, 8)) /* as if the page were full by bytes */
        limit = 1 + (uint32_t)sim_below(&e->s->rng, limit < 4 ? limit : 4);
    size_t bytes = 0;
    q_row *rows = Q_NEW_ARRAY(arena, q_row, most + 1);
    if (!rows)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    *out = (q_rows){ .read_id = read->read_id, .rc = Q_OK, .attr_count = read->attr_count, .rows = rows };
    q_slice after = read->kind != Q_R_IDS && read->has_after ? mem_key(arena, &read->after) : Q_SLICE_NONE;
    for (uint32_t i = 0; i < most; i++) {
        const mem_slot *slot = read->kind == Q_R_IDS ? mem_slot_find(t, mem_key(arena, &read->ids[i])) : t->slots[i];
        if (!visible(slot, read) || (read->kind == Q_R_REFERRERS && !refers(slot->part, read)))
            continue;
        if (after.len && q_slice_cmp(slot->key, after) <= 0)
            continue;
        if (out->count >= limit) {
            out->more = true;
            break;
        }
        fill(e, arena, read, slot, &rows[out->count]);
        for (uint32_t k = 0; k < read->attr_count; k++)
            bytes += q_value_size(&rows[out->count].values[k]);
        if (bytes > Q_READ_MAX_BYTES && read->kind == Q_R_IDS)
            return q_err_set(err, Q_E_RESULT_TOO_LARGE, "more than one message holds");
        if (bytes > Q_READ_MAX_BYTES && out->count) {
            out->more = true;
            break;
        }
        out->count++;
    }
    return Q_OK;
}
