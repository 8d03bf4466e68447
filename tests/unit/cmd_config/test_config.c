/* quanta.yaml: what is accepted, what is refused and how it is told. */
#include "cmd/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static q_rc parse(const char *text, q_config **out, q_err *err)
{
    *err = Q_ERR_INIT;
    *out = NULL;
    return q_config_parse(q_slice_cstr(text), "q.yaml", "/etc/quanta", NULL, out, err);
}

/* Must be refused, with all of `says` in message and hint, at this place. */
static void refused(const char *text, const char *says, const char *hint, unsigned line, unsigned column)
{
    q_config *c;
    q_err err;
    assert_int_equal(parse(text, &c, &err), Q_FAIL);
    if (!strstr(err.message, says) || !strstr(err.hint, hint))
        fail_msg("said \"%s\" (%s), not \"%s\" (%s)", err.message, err.hint, says, hint);
    assert_int_equal(err.line, line);
    assert_int_equal(err.column, column);
}

static void an_empty_file_is_all_defaults(void **state)
{
    (void)state;
    q_config *c;
    q_err err;
    assert_int_equal(parse("", &c, &err), Q_OK);
    assert_string_equal(c->kafka.topic_prefix, "quanta");
    assert_null(c->kafka.bootstrap);
    assert_null(c->kafka.settings[0].name);
    assert_int_equal(c->limits.dedupe_max_bytes, 256 << 20);
    assert_string_equal(c->requests.reply_allow[1], "quanta.reply.*");
    assert_null(c->requests.reply_allow[2]);
    assert_string_equal(c->wal.dir, "/etc/quanta/quanta-wal"); /* relative: from the file's directory */
    assert_false(q_config_has_engine(c, Q_EN_MONGO));
    q_config_free(c);
}

static void values_of_every_kind(void **state)
{
    (void)state;
    q_config *c;
    q_err err;
    setenv("Q_TEST_PASSWORD", "s3cret", 1);
    unsetenv("Q_TEST_NOTHING");
    const char *text = "kafka: { bootstrap: \"a:1,b:2\", settings: { security.protocol: SSL, sasl.password: \"${Q_TEST_PASSWORD}\" } }\n"
                       "wal:\n  dir: /var/wal\n  max_bytes: 3 GiB\n"
                       "requests: { publish_changes: false, reply_allow: [x.*, \"${Q_TEST_NOTHING:-y}\"] }\n"
                       "engines:\n  mongo: { uri: \"mongodb://h/\", password: \"p$$${env:Q_TEST_PASSWORD}-\", workers: \"${Q_TEST_NOTHING:-3}\" }\n"
                       "embedded: { engines: [neo4j] }\n"
                       "redis:\n";
    if (parse(text, &c, &err) != Q_OK)
        fail_msg("%s", err.message);
    assert_string_equal(c->kafka.settings[1].name, "sasl.password");
    assert_string_equal(c->kafka.settings[1].value, "s3cret");
    assert_string_equal(c->wal.dir, "/var/wal");
    assert_true(c->wal.max_bytes == 3ll << 30);
    assert_int_equal(c->requests.publish_changes, 0);
    assert_string_equal(c->requests.reply_allow[1], "y");
    assert_string_equal(c->engines[Q_EN_MONGO].password, "p$s3cret-");
    assert_int_equal(c->engines[Q_EN_MONGO].workers, 3);
    assert_true(q_config_has_engine(c, Q_EN_MONGO) && q_config_has_engine(c, Q_EN_NEO4J) && q_config_embedded(c, Q_EN_NEO4J));
    q_config_free(c);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    refused("kafka:\n  bootstap: x\n", "kafka.bootstap: there is no such setting", "kafka.bootstrap", 2, 3);
    refused("kafak: {}\n", "kafak: there is no such setting", "kafka.", 1, 1);
    refused("wal: { bootstrap: x }\n", "wal.bootstrap: there is no such setting", "kafka.bootstrap", 1, 8);
    refused("limits:\n  max_in_flight: many\n", "limits.max_in_flight: a whole number", "10000", 2, 18);
    refused("limits: { max_in_flight: 0 }\n", "0 is outside of 1 to 1000000 transactions", "10000", 1, 26);
    refused("limits: { max_in_flight: 1000001 }\n", "outside", "", 1, 26);
    refused("wal: { max_bytes: 9223372036854775807GiB }\n", "wal.max_bytes: a whole number", "", 1, 19);
    refused("log: { level: loud }\n", "log.level: it is one of: debug info warn error", "", 1, 15);
    refused("log: { level: debug info }\n", "log.level: it is one of", "", 1, 15);
    refused("requests: { publish_changes: yes }\n", "true or false", "", 1, 30);
    refused("kafka: [a]\n", "kafka: this is a section", "", 1, 8);
    refused("kafka: { bootstrap: [a] }\n", "kafka.bootstrap: a single value", "", 1, 21);
    refused("wal: { dir: a }\nwal: { dir: b }\n", "wal.dir: it was given before", "", 2, 8);
    refused("wal: { dir: a\n", "this isn't YAML", "", 2, 1);
    refused("wal: { dir: a }\n---\nwal: { dir: b }\n", "more than one document", "", 0, 0);
    refused("embedded: { engines: [oracle] }\n", "'oracle' is none of", "", 0, 0);
    refused("embedded: { engines: [mongo] }\nengines: { mongo: { uri: \"mongodb://x\" } }\n", "engines.mongo.uri is given too", "", 0, 0);
}

static void references_that_lead_nowhere(void **state)
{
    (void)state;
    unsetenv("Q_TEST_NOTHING");
    refused("redis: { uri: \"${Q_TEST_NOTHING}\" }\n", "redis.uri: the environment has no variable Q_TEST_NOTHING", "${Q_TEST_NOTHING:-", 1, 15);
    refused("redis: { uri: \"${Q_TEST_NOTHING\" }\n", "no closing brace", "", 1, 15);
    refused("redis: { uri: \"${vault:a#b}\" }\n", "can't look up ${vault:", "", 1, 15);
    refused("redis: { uri: \"${a b}\" }\n", "a reference is written", "", 1, 15);
}

/* A scheme that a program brings along. */
static q_rc look_up(void *ctx, q_slice reference, q_buf *out, q_err *err)
{
    if (!q_slice_eq(reference, Q_SLICE_LIT("db/creds#password")))
        return q_err_set(err, Q_E_INTERNAL, "vault has no such path");
    q_buf_add_cstr(out, ctx);
    return Q_OK;
}

static void a_resolver_can_be_plugged_in(void **state)
{
    (void)state;
    q_config *c = NULL;
    q_err err = Q_ERR_INIT;
    q_config_resolver resolvers[] = { { "vault", look_up, (void *)(uintptr_t)"from the vault" }, { 0 } };
    assert_int_equal(q_config_parse(Q_SLICE_LIT("engines: { mongo: { password: \"${vault:db/creds#password}\" } }"), "q", "/", resolvers, &c, &err), Q_OK);
    assert_string_equal(c->engines[Q_EN_MONGO].password, "from the vault");
    q_config_free(c);
    assert_int_equal(q_config_parse(Q_SLICE_LIT("redis: { uri: \"${vault:x}\" }"), "q", "/", resolvers, &c, &err), Q_FAIL);
    assert_non_null(strstr(err.message, "redis.uri: vault has no such path"));
}

static void secrets_are_never_printed(void **state)
{
    (void)state;
    q_config *c;
    q_err err;
    q_buf out = Q_BUF_INIT(1 << 20);
    assert_int_equal(parse("kafka: { settings: { sasl.password: s3cret-a } }\n"
                           "engines:\n"
                           "  postgres: { uri: \"postgresql://u:s3cret-b@h/db?password=s3cret-c\", password: s3cret-d }\n"
                           "  mongo: { uri: \"mongodb://u:s3@cret-b@h/\" }\n"
                           "  neo4j: { uri: \"host=h password=s3cret-f\" }\n"
                           "  influx: { token: s3cret-e }\n", &c, &err), Q_OK);
    q_config_print(c, &out);
    q_buf_add_byte(&out, 0);
    assert_false(out.failed);
    assert_null(strstr(out.ptr, "cret-"));
    assert_non_null(strstr(out.ptr, "postgresql://u:***@h/db"));
    q_config_free(c);
    q_buf_free(&out);
    refused("limits: { max_in_flight: s3cret }\n", "a whole number", "", 1, 26);
    assert_int_equal(parse("limits: { max_in_flight: s3cret }\n", &c, &err), Q_FAIL);
    assert_null(strstr(err.message, "s3cret"));
}

/* What is printed can be read again, and says the same. */
static void what_is_printed_is_a_configuration(void **state)
{
    (void)state;
    q_config *c, *again;
    q_err err;
    q_buf first = Q_BUF_INIT(1 << 20), second = Q_BUF_INIT(1 << 20);
    assert_int_equal(parse("wal: { dir: \"/a \\\"b\\\" \\\\c\", max_bytes: 2GiB }\nengines: { mongo: { uri: \"mongodb://h/\" } }", &c, &err), Q_OK);
    q_config_print(c, &first);
    q_buf_add_byte(&first, 0);
    if (parse(first.ptr, &again, &err) != Q_OK)
        fail_msg("%s", err.message);
    q_config_print(again, &second);
    q_buf_add_byte(&second, 0);
    assert_string_equal(first.ptr, second.ptr);
    q_config_free(c);
    q_config_free(again);
    q_buf_free(&first);
    q_buf_free(&second);
}

static void hostile_files_end_in_a_message(void **state)
{
    (void)state;
    q_config *c;
    q_err err;
    const char *const texts[] = { "&a [*a]", "&a { wal: *a }", "wal: &w { dir: *w }", "[]", "3", "? [a]\n: b\n", "{ \"\": 1 }", "wal: { dir: \"a\\0b\" }",
                                  "kafka: { settings: { a: [1] } }", "kafka: { topic_prefix: \"a b\" }", "a: \xc3(", "wal: !!binary x\n  y", "%" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (parse(texts[i], &c, &err) == Q_OK)
            fail_msg("accepted: %s", texts[i]);
        assert_true(err.message[0]);
    }
    char long_key[500];
    memset(long_key, 'k', sizeof long_key);
    memcpy(long_key + 490, ": 1", 4);
    assert_int_equal(parse(long_key, &c, &err), Q_FAIL);
}

static void the_documentation_is_the_table(void **state)
{
    (void)state;
    q_buf wanted = Q_BUF_INIT(1 << 20), file = Q_BUF_INIT(1 << 20);
    q_config_markdown(&wanted);
    FILE *f = fopen("docs/configuration.md", "rb");
    assert_non_null(f);
    for (size_t n = 1; n;) {
        char *at = q_buf_reserve(&file, 4096);
        assert_non_null(at);
        n = fread(at, 1, 4096, f);
        file.len += n;
    }
    fclose(f);
    if (!q_slice_eq(q_buf_slice(&wanted), q_buf_slice(&file)))
        fail_msg("docs/configuration.md isn't what cmd/config/settings.c says: make docs");
    q_buf_free(&wanted);
    q_buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_is_all_defaults),
        cmocka_unit_test(values_of_every_kind),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place),
        cmocka_unit_test(references_that_lead_nowhere),
        cmocka_unit_test(a_resolver_can_be_plugged_in),
        cmocka_unit_test(secrets_are_never_printed),
        cmocka_unit_test(what_is_printed_is_a_configuration),
        cmocka_unit_test(hostile_files_end_in_a_message),
        cmocka_unit_test(the_documentation_is_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
