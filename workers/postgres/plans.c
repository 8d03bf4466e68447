/* Statements that a connection's server has parsed and planned already. A transaction sends the same few texts again and again with other
 * parameters: by a name (https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY) they cost half as much. The life
 * (an incarnation) belongs to the key: a parameter's type is fixed at the first parse, and a table made anew may have other ones. */
#include "workers/postgres/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { SLOTS = 2 * PG_PLANS }; /* never more than half full */

struct pg_plans {
    uint32_t count;
    struct { char *sql; uint64_t life; bool gone; } at[SLOTS];
};

void pg_plans_free(pg_plans *p)
{
    for (uint32_t i = 0; p && i < SLOTS; i++)
        free(p->at[i].sql);
    free(p);
}

void pg_plan_name(uint32_t plan, char name[16]) { snprintf(name, 16, "q%u", plan); }

uint32_t pg_plan_find(pg_conn *c, const pg_stmt *stmt, bool *fresh)
{
    *fresh = false;
    if (!stmt->life || (!c->plans && !(c->plans = calloc(1, sizeof *c->plans))))
        return PG_NO_PLAN;
    pg_plans *p = c->plans;
    uint32_t i = (uint32_t)XXH3_64bits_withSeed(stmt->sql, strlen(stmt->sql), stmt->life) % SLOTS;
    for (; p->at[i].sql; i = (i + 1) % SLOTS)
        if (p->at[i].life == stmt->life && !strcmp(p->at[i].sql, stmt->sql)) {
            *fresh = p->at[i].gone;
            p->at[i].gone = false;
            return i;
        }
    if (p->count == PG_PLANS || !(p->at[i].sql = strdup(stmt->sql)))
        return PG_NO_PLAN;
    p->at[i].life = stmt->life;
    p->count++;
    *fresh = true;
    return i;
}

void pg_plan_forget(pg_conn *c, const pg_stmt *stmt)
{
    bool fresh;
    uint32_t i = pg_plan_find(c, stmt, &fresh);
    if (i != PG_NO_PLAN)
        c->plans->at[i].gone = true;
}

bool pg_plans_full(const pg_conn *c) { return c->plans && c->plans->count == PG_PLANS; }

void pg_plans_clear(pg_conn *c)
{
    pg_plans_free(c->plans);
    c->plans = NULL;
}
