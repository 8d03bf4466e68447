/* quanta key - API keys. The secret is made here and printed once; only its hash is sent. */
#include "auth/apikey.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/client.h"
#include "cmd/cli/options.h"
#include "cmd/cli/run.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

static void help(FILE *to)
{
    fputs("Usage: quanta key create -b BUCKET NAME --role ROLE [--expires TIME]   make a key; it is printed once\n"
          "       quanta key rotate -b BUCKET NAME [--expires TIME]               another key of the same name; the old one ends at once\n"
          "       quanta key drop -b BUCKET NAME                                  revoke it\n"
          "       quanta key list -b BUCKET\n"
          "       quanta key new --admin | BUCKET NAME                            print a key and its hash, and ask nobody\n\n"
          "      --expires TIME          RFC 3339: 2027-01-01T00:00:00Z\n"
          "      --bootstrap HOST:PORT\n\n"
          "QUANTA_AUTHORIZATION is who asks: `ApiKey …` or `Bearer …`, here and in every other command.\n",
          to);
}

typedef struct call {
    const char *bootstrap, *bucket, *role, *expires;
    bool admin;
} call;

static int send(const call *c, const char *statement)
{
    q_run run = { .format = Q_FORMAT_TABLE };
    q_err err = Q_ERR_INIT;
    snprintf(run.bucket, sizeof run.bucket, "%s", c->bucket);
    if (q_client_connect(c->bootstrap, &run.client, &err) != Q_OK)
        return q_cli_print_failure(&err);
    int status = q_run_script(&run, q_slice_cstr(statement));
    q_client_close(run.client);
    return status;
}

static bool plain(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n <= 40 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static int print_new(const char *bucket, const char *name)
{
    char key[Q_APIKEY_MAX_BYTES + 1], hex[2 * Q_APIKEY_HASH_BYTES + 1];
    uint8_t hash[Q_APIKEY_HASH_BYTES];
    q_apikey_make(q_slice_cstr(bucket), q_slice_cstr(name), key);
    q_apikey_hash(q_slice_cstr(key), hash);
    q_apikey_hex(hash, hex);
    printf("key  %s\nhash %s\n", key, hex);
    if (*bucket)
        printf("CREATE KEY %s FOR ROLE … HASH \"%s\";\n", name, hex);
    sodium_memzero(key, sizeof key);
    return Q_EXIT_COMMITTED;
}

static int make(const call *c, const char *name, bool rotate)
{
    char key[Q_APIKEY_MAX_BYTES + 1], hex[2 * Q_APIKEY_HASH_BYTES + 1], statement[400];
    uint8_t hash[Q_APIKEY_HASH_BYTES];
    q_apikey_make(q_slice_cstr(c->bucket), q_slice_cstr(name), key);
    q_apikey_hash(q_slice_cstr(key), hash);
    q_apikey_hex(hash, hex);
    char expires[100] = "";
    if (c->expires)
        snprintf(expires, sizeof expires, " EXPIRES time(\"%s\")", c->expires);
    if (rotate)
        snprintf(statement, sizeof statement, "ALTER KEY `%s` HASH \"%s\"%s;", name, hex, expires);
    else
        snprintf(statement, sizeof statement, "CREATE KEY `%s` FOR ROLE `%s` HASH \"%s\"%s;", name, c->role, hex, expires);
    int status = send(c, statement);
    if (status == Q_EXIT_COMMITTED)
        printf("%s\n", key);
    sodium_memzero(key, sizeof key);
    return status;
}

int q_cmd_key(int argc, char **argv)
{
    static const struct option options[] = {
        { "bucket", required_argument, NULL, 'b' }, { "role", required_argument, NULL, 'r' }, { "expires", required_argument, NULL, 'e' },
        { "bootstrap", required_argument, NULL, 's' }, { "admin", no_argument, NULL, 'a' }, { "help", no_argument, NULL, 'h' }, { 0 }
    };
    static const char *const command = "quanta key";
    call c = { 0 };
    int o;
    while ((o = getopt_long(argc, argv, "b:h", options, NULL)) != -1) {
        switch (o) {
        case 'b': c.bucket = optarg; break;
        case 'r': c.role = optarg; break;
        case 'e': c.expires = optarg; break;
        case 's': c.bootstrap = optarg; break;
        case 'a': c.admin = true; break;
        case 'h':
            help(stdout);
            return Q_EXIT_COMMITTED;
        default:
            return q_usage_more(command);
        }
    }
    const char *verb = optind < argc ? argv[optind] : "";
    int count = argc - optind - 1;
    char **names = argv + optind + 1;
    for (int i = 0; i < count; i++)
        if (!plain(names[i]))
            return q_usage_error(command, "'%s' isn't a name", names[i]);
    if ((c.bucket && !plain(c.bucket)) || (c.role && !plain(c.role)))
        return q_usage_error(command, "a bucket or a role isn't a name");
    if (c.expires && (strlen(c.expires) > 40 || strspn(c.expires, "0123456789-+:.TZ") != strlen(c.expires)))
        return q_usage_error(command, "--expires is a time like 2027-01-01T00:00:00Z");
    if (!strcmp(verb, "new"))
        return c.admin && !count ? print_new("", "") : count == 2 ? print_new(names[0], names[1]) : q_usage_error(command, "new takes --admin, or BUCKET NAME");
    if (!c.bucket)
        return *verb ? q_usage_error(command, "-b BUCKET is needed") : q_usage_error(command, "create, rotate, drop, list or new?");
    if (!strcmp(verb, "list") && !count)
        return send(&c, "SHOW KEYS;");
    if (count != 1)
        return q_usage_error(command, "%s takes the key's NAME", *verb ? verb : "it");
    if (!strcmp(verb, "create"))
        return c.role ? make(&c, names[0], false) : q_usage_error(command, "create needs --role ROLE");
    if (!strcmp(verb, "rotate"))
        return make(&c, names[0], true);
    if (strcmp(verb, "drop"))
        return q_usage_error(command, "unknown verb '%s': it is create, rotate, drop, list or new", verb);
    char statement[100];
    snprintf(statement, sizeof statement, "DROP KEY `%s`;", names[0]);
    return send(&c, statement);
}
