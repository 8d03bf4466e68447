/* Roles, grants and keys: what statements make of a bucket's, and that the log's form brings back the same, or is refused. */
#include "cmocka_setup.h"

#include "schemas/catalog.h"

#define S(text) Q_SLICE_LIT(text)

static q_catalog *after(q_catalog *c, q_ddl ddl)
{
    q_err err = Q_ERR_INIT;
    q_catalog *next = NULL;
    ddl.bucket = S("shop");
    if (q_catalog_apply(c, &ddl, 7, &next, &err) != Q_OK)
        fail_msg("%s", err.message);
    q_catalog_unref(c);
    return next;
}

static q_code refused(const q_catalog *c, q_ddl ddl)
{
    q_err err = Q_ERR_INIT;
    ddl.bucket = S("shop");
    return q_catalog_check(c, &ddl, &err) == Q_FAIL ? err.code : Q_E_NONE;
}

static q_catalog *shop(void)
{
    static const q_attr attrs[] = { { .name = S("a"), .kind = Q_K_SCALAR, .datatype = Q_T_INT }, { .name = S("b"), .kind = Q_K_SCALAR, .datatype = Q_T_INT } };
    q_catalog *c = after(q_catalog_new(), (q_ddl){ .kind = Q_DDL_CREATE_BUCKET });
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_RECORD, .record = S("orders"), .count = 2, .attrs = attrs });
    return after(c, (q_ddl){ .kind = Q_DDL_CREATE_ROLE, .access = &(q_access_ddl){ .role = S("r") } });
}

static const q_acl *acl(const q_catalog *c) { return q_catalog_bucket(c, S("shop"))->access; }

static q_catalog *grant(q_catalog *c, q_ddl_kind kind, unsigned privs, const char *f1, const char *f2, const char *where)
{
    q_slice fields[] = { q_slice_cstr(f1), q_slice_cstr(f2) };
    q_privilege p = { .privs = privs, .field_count = f2 ? 2 : f1 ? 1 : 0, .fields = fields };
    q_access_ddl d = { .role = S("r"), .count = 1, .privileges = &p, .where = q_slice_cstr(where) };
    return after(c, (q_ddl){ .kind = kind, .record = S("orders"), .access = &d });
}

static void grants_of_one_condition_join_and_others_stay_apart(void **state)
{
    (void)state;
    q_catalog *c = grant(shop(), Q_DDL_GRANT, Q_PRIV_SELECT, "b", NULL, NULL);
    c = grant(c, Q_DDL_GRANT, Q_PRIV_SELECT, "a", "b", NULL);
    assert_int_equal(acl(c)->grant_count, 1);
    assert_int_equal(acl(c)->grants[0].field_count, 2);
    assert_true(q_slice_eq(acl(c)->grants[0].fields[0], S("a")));
    c = grant(c, Q_DDL_GRANT, Q_PRIV_SELECT, "a", NULL, "a = 1");
    assert_int_equal(acl(c)->grant_count, 2);
    c = grant(c, Q_DDL_GRANT, Q_PRIV_SELECT, NULL, NULL, NULL);
    assert_int_equal(acl(c)->grant_count, 2);
    unsigned of_all = 0;
    for (uint32_t i = 0; i < 2; i++)
        of_all += acl(c)->grants[i].field_count == 0;
    assert_int_equal(of_all, 1);
    q_slice a = S("a");
    q_privilege p = { .privs = Q_PRIV_SELECT, .field_count = 1, .fields = &a };
    assert_int_equal(refused(c, (q_ddl){ .kind = Q_DDL_REVOKE, .record = S("orders"), .access = &(q_access_ddl){ .role = S("r"), .count = 1, .privileges = &p } }),
                     Q_E_QQL_UNSUPPORTED);
    c = grant(c, Q_DDL_REVOKE, Q_PRIV_SELECT, NULL, NULL, NULL);
    assert_int_equal(acl(c)->grant_count, 0);
    c = grant(c, Q_DDL_GRANT, Q_PRIV_UPDATE, "a", "b", NULL);
    c = grant(c, Q_DDL_REVOKE, Q_PRIV_UPDATE, "a", NULL, NULL);
    assert_int_equal(acl(c)->grants[0].field_count, 1);
    c = grant(c, Q_DDL_REVOKE, Q_PRIV_UPDATE, "b", NULL, NULL); /* the last one: nothing is left, not everything */
    assert_int_equal(acl(c)->grant_count, 0);
    q_catalog_unref(c);
}

static void what_goes_takes_what_was_its_own(void **state)
{
    (void)state;
    q_catalog *c = grant(shop(), Q_DDL_GRANT, Q_PRIV_DATA, NULL, NULL, "a = 1");
    q_access_ddl k = { .role = S("r"), .key = S("k"), .has_hash = true };
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_KEY, .access = &k });
    assert_int_equal(acl(c)->grant_count, 4);
    q_catalog *before = q_catalog_ref(c);
    c = after(c, (q_ddl){ .kind = Q_DDL_DROP_RECORD, .record = S("orders") });
    assert_int_equal(acl(c)->grant_count, 0);
    assert_int_equal(acl(before)->grant_count, 4); /* a snapshot never changes */
    c = after(c, (q_ddl){ .kind = Q_DDL_DROP_ROLE, .access = &(q_access_ddl){ .role = S("r") } });
    assert_int_equal(acl(c)->key_count, 0);
    assert_null(q_access_key(acl(c), S("k")));
    assert_int_equal(refused(c, (q_ddl){ .kind = Q_DDL_CREATE_KEY, .access = &k }), Q_E_UNKNOWN_ROLE);
    assert_int_equal(refused(c, (q_ddl){ .kind = Q_DDL_DROP_KEY, .access = &k }), Q_E_UNKNOWN_KEY);
    assert_int_equal(refused(before, (q_ddl){ .kind = Q_DDL_CREATE_KEY, .access = &k }), Q_E_KEY_EXISTS);
    assert_int_equal(refused(before, (q_ddl){ .kind = Q_DDL_CREATE_ROLE, .access = &(q_access_ddl){ .role = S("r") } }), Q_E_ROLE_EXISTS);
    q_catalog_unref(c);
    q_catalog_unref(before);
}

static void what_is_encoded_loads_and_what_is_damaged_never_does_harm(void **state)
{
    (void)state;
    q_err err = Q_ERR_INIT;
    q_buf bytes = Q_BUF_INIT(1 << 16), again = Q_BUF_INIT(1 << 16);
    q_catalog *c = grant(grant(shop(), Q_DDL_GRANT, Q_PRIV_DATA, NULL, NULL, "a = $jwt.sub"), Q_DDL_GRANT, Q_PRIV_UPDATE, "a", "b", NULL);
    q_access_ddl k = { .role = S("r"), .key = S("k"), .has_hash = true, .hash = { 1, 2, 3 }, .has_expires = true, .expires_us = 5 };
    c = after(c, (q_ddl){ .kind = Q_DDL_CREATE_KEY, .access = &k });
    const q_bucket *b = q_catalog_bucket(c, S("shop"));
    q_access_encode(b->access, b->name, b->incarnation, &bytes);
    q_catalog *loaded = q_catalog_new();
    q_bucket_encode(b, &again);
    assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&bytes), &err), Q_FAIL); /* before its bucket */
    assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&again), &err), Q_OK);
    assert_int_equal(q_catalog_load(&loaded, q_buf_slice(&bytes), &err), Q_OK);
    q_buf_clear(&again);
    q_access_encode(acl(loaded), b->name, b->incarnation, &again);
    assert_true(q_slice_eq(q_buf_slice(&bytes), q_buf_slice(&again)));
    for (size_t i = 0; i < bytes.len; i++) /* every cut, and every byte another */
        for (int bit = -1; bit < 8; bit++) {
            char copy[4096];
            memcpy(copy, bytes.ptr, bytes.len);
            if (bit >= 0)
                copy[i] = (char)(copy[i] ^ (1 << bit));
            q_rc rc = q_catalog_load(&loaded, q_slice_of(copy, bit < 0 ? i : bytes.len), &err);
            assert_true(bit >= 0 || rc == Q_FAIL);
        }
    q_catalog_unref(loaded);
    q_catalog_unref(c);
    q_buf_free(&bytes);
    q_buf_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(grants_of_one_condition_join_and_others_stay_apart), cmocka_unit_test(what_goes_takes_what_was_its_own),
                                        cmocka_unit_test(what_is_encoded_loads_and_what_is_damaged_never_does_harm) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
