/* The specification's statements, byte for byte, against its definition of orders. */
#include "ql.h"

static const char INSERT[] =
    "    BEGIN TRANSACTION;\n"
    "    INSERT INTO orders { id: \"order_123\", customer: { id: \"cust_001\", name: \"Alice\", address: \"123 Market St\" },\n"
    "      total_cost: 89.50, delivery_time: duration(\"1d 3h\"),\n"
    "      delivered_by: relation(\"driver_004\"), delivery_route: relation(\"route_789\") };\n"
    "    COMMIT;\n";
static const char SELECT_PATH[] = "    SELECT id, customer.name, total_cost, delivery_time FROM orders\n"
                                  "    WHERE delivery_time > duration(\"1d\") AND delivered_by.name = \"Bob\";\n";
static const char UPDATE[] = "    BEGIN TRANSACTION;\n"
                             "    UPDATE orders SET delivery_time = duration(\"2d 5h\") WHERE id = \"order_123\";\n"
                             "    COMMIT;\n";
static const char SELECT_HOPS[] =
    "    SELECT id, delivery_route FROM orders WHERE path(delivery_route -> stops -> zones).name = \"Zone A\";\n";
static const char DEFINITIONS[] =
    "    CREATE BUCKET ecommerce_service;\n"
    "    CREATE RECORD orders (id scalar string, customer document, total_cost scalar float, delivery_route relation to routes,\n"
    "                          stops relation to stops many, delivered_by relation to drivers required, delivery_time metric unit "
      "duration);\n";

static q_arena *arena;
static q_catalog *world;

static int set_up(void **state)
{
    (void)state;
    arena = q_arena_new(0);
    world = make_world();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    q_catalog_unref(world);
    q_arena_free(arena);
    return 0;
}

static void the_insert_is_one_transaction_with_typed_values(void **state)
{
    (void)state;
    q_script *s = check_ok(arena, world, q_slice_cstr(INSERT));
    assert_int_equal(s->count, 3);
    assert_true(s->transaction);
    assert_false(s->rollback || s->read_only || s->ddl);
    assert_slice(s->bucket, "shop");
    const q_stmt *i = &s->stmts[1];
    assert_int_equal(i->kind, Q_S_INSERT);
    assert_int_equal(i->number, 1);
    assert_int_equal(s->stmts[0].number, 0);
    assert_int_equal(s->stmts[2].number, 0);
    assert_slice(i->record->name, "orders");
    assert_int_equal(i->row_count, 1);
    assert_int_equal(i->rows[0].count, 6);
    const q_assign *a = i->rows[0].assigns;
    assert_ptr_equal(a[0].attr, &i->record->attrs[0]);
    assert_slice(a[0].expr->value.s, "order_123");
    assert_int_equal(a[1].expr->kind, Q_X_LITERAL);
    assert_int_equal(a[1].expr->value.type, Q_T_DOC);
    q_slice json;
    assert_int_equal(q_doc_from_json(arena, Q_SLICE_LIT("{\"address\":\"123 Market St\",\"name\":\"Alice\",\"id\":\"cust_001\"}"), &json,
                                     &(q_err){ 0 }), Q_OK);
    assert_true(q_doc_equal(a[1].expr->value.s, json));
    assert_true(a[2].expr->value.type == Q_T_FLOAT && a[2].expr->value.f == 89.5);
    assert_int_equal(a[3].expr->value.type, Q_T_DURATION);
    assert_int_equal(a[3].expr->value.i, INT64_C(27) * 3600 * 1000000);
    assert_int_equal(a[4].expr->value.type, Q_T_RELATION);
    assert_int_equal(a[4].expr->value.rel.count, 1);
    assert_slice(a[4].expr->value.rel.items[0].s, "driver_004");
    assert_slice(a[5].attr->name, "delivery_route");
}

static void the_select_reads_a_document_and_follows_a_relation(void **state)
{
    (void)state;
    q_script *s = check_ok(arena, world, q_slice_cstr(SELECT_PATH));
    const q_stmt *q = &s->stmts[0];
    assert_true(s->read_only);
    assert_false(s->transaction);
    assert_int_equal(q->column_count, 4);
    const q_path *name = &q->columns[1].expr->path;
    assert_slice(q->columns[1].name, "customer.name");
    assert_slice(name->attr->name, "customer");
    assert_int_equal(name->hop_count, 0);
    assert_int_equal(name->step_count, 1);
    assert_slice(name->steps[0].key, "name");
    assert_int_equal(q->columns[1].expr->type, Q_T_NULL);
    assert_int_equal(q->columns[2].expr->type, Q_T_FLOAT);
    assert_int_equal(q->columns[3].expr->type, Q_T_DURATION);
    assert_int_equal(q->where->op, Q_OP_AND);
    const q_expr *bob = q->where->b;
    assert_int_equal(bob->a->path.hop_count, 1);
    assert_slice(bob->a->path.hops[0]->name, "delivered_by");
    assert_slice(bob->a->path.hop_types[0]->name, "drivers");
    assert_slice(bob->a->path.attr->name, "name");
    assert_false(bob->a->path.any);
    assert_false(q->aggregated);
}

static void the_update_sets_a_metric(void **state)
{
    (void)state;
    q_script *s = check_ok(arena, world, q_slice_cstr(UPDATE));
    const q_stmt *u = &s->stmts[1];
    assert_int_equal(u->kind, Q_S_UPDATE);
    assert_int_equal(u->rows[0].assigns[0].expr->value.i, INT64_C(53) * 3600 * 1000000);
    assert_slice(u->rows[0].assigns[0].attr->name, "delivery_time");
    assert_slice(u->where->b->value.s, "order_123");
}

static void the_path_follows_three_relations(void **state)
{
    (void)state;
    q_script *s = check_ok(arena, world, q_slice_cstr(SELECT_HOPS));
    const q_path *p = &s->stmts[0].where->a->path;
    assert_int_equal(p->hop_count, 3);
    assert_slice(p->hops[1]->name, "stops");
    assert_slice(p->hop_types[2]->name, "zones");
    assert_slice(p->attr->name, "name");
    assert_true(p->any);
    assert_int_equal(s->stmts[0].columns[1].expr->type, Q_T_RELATION);
}

static void the_definitions_say_what_the_json_says(void **state)
{
    (void)state;
    q_script *s = parse_ok(arena, q_slice_cstr(DEFINITIONS));
    assert_int_equal(s->count, 2);
    assert_int_equal(s->stmts[0].ddl.kind, Q_DDL_CREATE_BUCKET);
    assert_slice(s->stmts[0].ddl.bucket, "ecommerce_service");
    const q_ddl *d = &s->stmts[1].ddl;
    assert_int_equal(d->count, 7);
    assert_true(d->attrs[4].many && d->attrs[5].required && !d->attrs[3].many);
    assert_slice(d->attrs[4].target, "stops");
    assert_int_equal(d->attrs[6].datatype, Q_T_DURATION);
    assert_slice(d->attrs[6].unit, "duration");

    char json[sizeof ORDERS_JSON + 20];
    snprintf(json, sizeof json, "CREATE RECORD %s;", ORDERS_JSON);
    const q_ddl *j = &parse_ok(arena, q_slice_cstr(json))->stmts[0].ddl;
    assert_slice(j->record, "orders");
    assert_int_equal(j->count, 6);
    assert_int_equal(j->attrs[1].kind, Q_K_DOCUMENT);
    assert_slice(j->attrs[4].target, "drivers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_insert_is_one_transaction_with_typed_values),
        cmocka_unit_test(the_select_reads_a_document_and_follows_a_relation),
        cmocka_unit_test(the_update_sets_a_metric),
        cmocka_unit_test(the_path_follows_three_relations),
        cmocka_unit_test(the_definitions_say_what_the_json_says),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
