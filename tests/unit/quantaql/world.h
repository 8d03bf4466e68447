/* world.h - a catalog to check against: the specification's records, and one with an attribute of every kind. */
#ifndef Q_TESTS_QUANTAQL_WORLD_H
#define Q_TESTS_QUANTAQL_WORLD_H

#include "quantaql/quantaql.h"

/* The definition of the specification, byte for byte. */
static const char ORDERS_JSON[] =
    "{\"record\": \"orders\", \"attributes\": {\n"
    "  \"id\": {\"type\": \"scalar\", \"datatype\": \"string\"}, \"customer\": {\"type\": \"document\"},\n"
    "  \"total_cost\": {\"type\": \"scalar\", \"datatype\": \"float\"},\n"
    "  \"delivery_route\": {\"type\": \"relation\", \"target\": \"routes\"}, \"delivered_by\": {\"type\": \"relation\", \"target\": "
      "\"drivers\"},\n"
    "  \"delivery_time\": {\"type\": \"metric\", \"unit\": \"duration\"}}}\n";

/* Beside it: what the specification's relations lead to, and a record with an attribute of every kind. */
static const char *const WORLD[] = {
    "CREATE BUCKET shop",
    "CREATE RECORD drivers (name scalar string, boss relation to drivers, rating scalar float)",
    "CREATE RECORD routes (name scalar string, stops relation to stops many)",
    "CREATE RECORD stops (name scalar string, zones relation to zones many, position scalar int)",
    "CREATE RECORD zones (id scalar int, name scalar string)",
    "CREATE RECORD devices (id scalar uuid, owner relation to things)",
    "CREATE RECORD things (id scalar string, s scalar string, i scalar int, f scalar float, b scalar bool, u scalar uuid unique, "
    "d scalar decimal, t scalar time, du scalar duration, by scalar bytes, doc document, list document, one relation to zones, "
    "dev relation to devices, lots relation to stops many, self relation to things, nowhere relation to undefined_yet, "
    "nowheres relation to undefined_yet many, m metric, mi metric int unit \"km\", md metric unit duration, `order` scalar int, "
    "count scalar int, `select` scalar int, unit scalar string, to scalar int, many scalar bool, at scalar time)",
};

/* The catalog after `ddl`; `c` is unreferenced. NULL when it is refused. */
static inline q_catalog *world_apply(q_catalog *c, q_ddl ddl, uint64_t seq)
{
    q_err err = Q_ERR_INIT;
    q_catalog *next = NULL;
    ddl.bucket = Q_SLICE_LIT("shop");
    if (!c || q_catalog_apply(c, &ddl, seq, &next, &err) != Q_OK)
        next = NULL;
    q_catalog_unref(c);
    return next;
}

/* NULL when anything fails. The caller unrefs. */
static inline q_catalog *world_build(void)
{
    q_arena *arena = q_arena_new(0);
    q_catalog *c = q_catalog_new();
    q_err err = Q_ERR_INIT;
    q_script *s;
    q_ddl ddl;
    for (size_t i = 0; c && i < sizeof WORLD / sizeof WORLD[0]; i++)
        if (q_ql_parse(arena, q_slice_cstr(WORLD[i]), &s, &err) == Q_OK)
            c = world_apply(c, s->stmts[0].ddl, i + 1);
    if (q_ddl_from_json(arena, Q_SLICE_LIT("shop"), q_slice_cstr(ORDERS_JSON), &ddl, &err) == Q_OK)
        c = world_apply(c, ddl, 100);
    q_arena_free(arena);
    return c;
}

#endif
