"""Tokens and keys at a running system: what is refused, what rotates, what ends at once, what survives a crash."""
import json
import signal
import sys
import tempfile
import time

from world import Suite, api_key, b64, code_of, jwks, token

QUERY = "SELECT id FROM things"


def setup(suite):
    suite.call("POST", "/bucket/create", suite.admin, '{"name": "shop"}', type="application/json")
    suite.admin_does("shop", "CREATE RECORD things (owner scalar string, n scalar int)", "CREATE ROLE reader", "GRANT SELECT ON things TO reader",
                     'INSERT INTO things { id: "a", owner: "alice", n: 1 }')


def passes(suite, who, query=QUERY):
    """The code, the same over HTTP and Kafka; None: it ran."""
    codes = {code_of(suite.rest("shop", query, who)), code_of(suite.kafka("shop", query, who))}
    assert len(codes) == 1, codes
    return codes.pop()


def attacks(suite):
    """Each one thing away from a token that is taken."""
    now = int(time.time())
    good = token("alice", ["reader"])
    assert passes(suite, good) is None
    head, body, signature = good.removeprefix("Bearer ").split(".")
    none = b64(json.dumps({"alg": "none", "kid": "suite"}).encode())
    refused = {
        "alg none": f"Bearer {none}.{body}.", "alg none, signed": f"Bearer {none}.{body}.{signature}", "no signature": f"Bearer {head}.{body}.",
        "another signature": f"Bearer {head}.{body}.{b64(b'x' * 32)}", "two parts": f"Bearer {head}.{body}", "four parts": f"Bearer {head}.{body}.{signature}.x",
        "padding": f"Bearer {head}.{body}.{signature}=", "nothing": "Bearer .", "another scheme": "Basic " + b64(b"alice:x"),
        "RS256 of a secret": token("alice", ["reader"], header={"alg": "RS256", "kid": "suite"}),
        "HS512": token("alice", ["reader"], header={"alg": "HS512", "kid": "suite"}), "wrong kid": token("alice", ["reader"], header={"alg": "HS256", "kid": "other"}),
        "kid a path": token("alice", ["reader"], header={"alg": "HS256", "kid": "../../dev/null"}),
        "kid a number": token("alice", ["reader"], header={"alg": "HS256", "kid": 1}),
        "crit": token("alice", ["reader"], header={"alg": "HS256", "kid": "suite", "crit": ["exp"]}),
        "its own key": token("alice", ["reader"], secret=b"y" * 40, header={"alg": "HS256", "kid": "suite", "jwk": {"kty": "oct", "k": b64(b"y" * 40)}}),
        "another secret": token("alice", ["reader"], secret=b"z" * 40), "expired": token("alice", ["reader"], exp=now - 1), "no exp": token("alice", ["reader"], exp=None),
        "exp a text": token("alice", ["reader"], exp="never"), "future": token("alice", ["reader"], nbf=now + 300), "issued later": token("alice", ["reader"], iat=now + 300),
        "wrong audience": token("alice", ["reader"], aud="somebody"), "no audience": token("alice", ["reader"], aud=None),
        "wrong issuer": token("alice", ["reader"], iss="https://evil.test"), "no sub": token(None, ["reader"]), "empty sub": token("", ["reader"]),
        "huge": token("alice", ["reader"], filler="x" * 9000), "nested": "Bearer " + b64(json.dumps({"alg": "HS256", "cty": "JWT"}).encode()) + "." + b64(good.encode()) + ".x",
        "deep": token("alice", ["reader"], deep=json.loads("[" * 40 + "]" * 40)), "not JSON": f"Bearer {head}.{b64(b'no json')}.{signature}",
    }
    for name, who in refused.items():
        assert passes(suite, who) == "UNAUTHENTICATED", name
    return len(refused)


def key_lifecycle(suite):
    key, key_hash = api_key("shop", "k")
    assert passes(suite, "ApiKey " + key) == "UNAUTHENTICATED"
    suite.admin_does("shop", f'CREATE KEY k FOR ROLE reader HASH "{key_hash}"')
    assert passes(suite, "ApiKey " + key) is None and passes(suite, "apikey " + key) is None
    assert passes(suite, "ApiKey " + key, "DELETE FROM things") == "FORBIDDEN"
    assert passes(suite, "ApiKey " + key[:-2] + ("AA" if key[-2:] != "AA" else "BA")) == "UNAUTHENTICATED"
    another, another_hash = api_key("shop", "k")
    suite.admin_does("shop", f'ALTER KEY k HASH "{another_hash}"')
    assert passes(suite, "ApiKey " + key) == "UNAUTHENTICATED" and passes(suite, "ApiKey " + another) is None
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    suite.admin_does("shop", f'ALTER KEY k EXPIRES time("{soon}")')
    until = time.monotonic() + 20
    while code_of(suite.rest("shop", QUERY, "ApiKey " + another)) is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert passes(suite, "ApiKey " + another) == "UNAUTHENTICATED"
    suite.admin_does("shop", "ALTER KEY k EXPIRES NULL")
    assert passes(suite, "ApiKey " + another) is None
    # A key's bucket is the only one there is for it.
    suite.call("POST", "/bucket/create", suite.admin, '{"name": "other"}', type="application/json")
    suite.admin_does("other", "CREATE RECORD things (n scalar int)", "CREATE ROLE reader", "GRANT SELECT ON things TO reader")
    assert code_of(suite.rest("other", QUERY, "ApiKey " + another)) == "UNKNOWN_BUCKET"
    seen = suite.rest("shop", "SHOW BUCKETS", "ApiKey " + another)["results"][0]["rows"]
    assert seen == [["shop", 1]], seen
    suite.system.end(signal.SIGKILL)
    suite.system.start("-c", suite.settings)
    suite.connect()
    assert passes(suite, "ApiKey " + another) is None, "a key survives a crash"
    suite.admin_does("shop", "DROP KEY k")
    assert passes(suite, "ApiKey " + another) == "UNAUTHENTICATED", "revoked at once"
    for line in suite.log():
        assert key not in line["msg"] and another not in line["msg"]


def grants_end_at_once(suite):
    who = token("alice", ["reader"])
    assert passes(suite, who) is None
    suite.admin_does("shop", "REVOKE SELECT ON things FROM reader")
    assert passes(suite, who) == "UNKNOWN_BUCKET", "with nothing in it, the bucket isn't there"
    suite.admin_does("shop", "GRANT SELECT (id) ON things TO reader WHERE owner = $jwt.sub")
    assert suite.rest("shop", QUERY, who)["results"][0]["rows"] == [["a"]]
    assert suite.rest("shop", QUERY, token("bob", ["reader"]))["results"][0]["rows"] == []
    suite.admin_does("shop", "DROP ROLE reader", "CREATE ROLE reader")
    assert passes(suite, who) == "UNKNOWN_BUCKET", "a role of the same name is another one"
    suite.admin_does("shop", "GRANT SELECT ON things TO reader")


def definitions_need_admin(suite):
    who = token("alice", ["reader"])
    for text in ("CREATE RECORD x (a scalar int)", "DROP RECORD things", "DROP RECORD nothing", "CREATE ROLE r", "GRANT ALL ON BUCKET shop TO reader", "SHOW KEYS", "SHOW ROLES",
                 "DROP BUCKET shop CASCADE", "DROP BUCKET nothing", "CREATE BUCKET mine"):
        assert passes(suite, who, text) == "FORBIDDEN", text
    suite.admin_does("shop", "CREATE ROLE boss", "GRANT ALL ON BUCKET shop TO boss")
    boss = token("bea", ["boss"])
    for text in ("CREATE RECORD x (a scalar int)", "CREATE ROLE r2", "GRANT SELECT ON x TO r2", "DROP RECORD x", 'DELETE FROM things WHERE id = "nobody"'):
        assert suite.rest("shop", text, boss)["status"] == "committed", text
    assert passes(suite, boss, "CREATE BUCKET mine") == "FORBIDDEN"
    assert suite.rest("shop", "CREATE BUCKET mine", token("root", ["quanta_admin"]))["status"] == "committed"


def key_sets_rotate(suite):
    """The set is read again: a new key is taken, one that left isn't."""
    old, new = token("alice", ["reader"]), token("alice", ["reader"], header={"alg": "HS256", "kid": "next"})
    assert passes(suite, old) is None and passes(suite, new) == "UNAUTHENTICATED"
    with open(suite.keyset, "w") as f:
        f.write(jwks("next"))
    until = time.monotonic() + 20
    while code_of(suite.rest("shop", QUERY, new)) is not None:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert passes(suite, old) == "UNAUTHENTICATED", "also from the cache"
    with open(suite.keyset, "w") as f:
        f.write("{ broken")
    while not any("key set can't be had" in line["msg"] for line in suite.log()):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert passes(suite, new) is None, "a broken set leaves the last one in force"


def main():
    with tempfile.TemporaryDirectory() as scratch:
        suite = Suite(scratch)
        try:
            setup(suite)
            count = attacks(suite)
            for test in (key_lifecycle, grants_end_at_once, definitions_need_admin, key_sets_rotate):
                test(suite)
                print(f"{test.__name__}: holds", flush=True)
        finally:
            suite.close()
    print(f"{count} attacks on tokens refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
