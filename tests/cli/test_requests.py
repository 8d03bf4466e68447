"""Requests as any Kafka client may send them: right ones, wrong ones, hostile ones. After each wrong one the next is served."""
import json
import os
import random

from system import System, equal, has


def setup(scratch):
    s = System(scratch)
    s.ok("bucket", "create", "shop")
    s.ok("exec", "-b", "shop", "CREATE RECORD things (id scalar string, n scalar int, doc document);")
    s.count = 0
    return s


def rejected(s, content, code, key="shop", headers=()):
    """It is rejected with this code (or one of these), and the next request is served."""
    s.count += 1
    result = s.send(f"bad-{s.count}", content, key, headers)
    equal(result["status"], "rejected")
    codes = code if isinstance(code, tuple) else (code,)
    assert result["error"]["code"] in codes, result
    assert result["error"]["message"] and result["error"]["retryable"] is False, result
    served(s)
    return result["error"]


def served(s):
    s.count += 1
    equal(s.send(f"good-{s.count}", "SELECT count(*) FROM things;", "shop")["status"], "committed")


def test_kcat_produces_and_consumes(s):
    result = s.send("r1", 'INSERT INTO things { id: "k1", n: 7 };', "shop")
    equal((result["status"], result["bucket"], result["results"][0]["count"]), ("committed", "shop", 1))
    assert result["seq"] > 0 and result["txid"] and result["timings_ms"]["total"] >= 0
    result = s.send("r2", 'SELECT id, n FROM things WHERE id = "k1";', None, ["bucket=shop"])
    equal(result["results"][0]["rows"], [["k1", 7]])
    result = s.send("r3", 'USE shop; SELECT id FROM things WHERE n = 7;')
    equal(result["results"][0]["rows"], [["k1"]])


def test_json_envelope_with_parameters(s):
    body = {"bucket": "shop", "query": "INSERT INTO things { id: $id, n: $n, doc: $doc };", "params": {"id": "j1", "n": 1, "doc": {"a": [1, None]}}}
    equal(s.send("j1", json.dumps(body), None, ["content-type=application/json"])["status"], "committed")
    equal(s.query("shop", 'SELECT doc.a FROM things WHERE id = "j1";'), [[[1, None]]])


def test_a_reply_topic_of_ones_own(s):
    s.publish("SELECT count(*) FROM things;", "shop", ["request-id=own-1", "reply-to=quanta.reply.test"])
    from system import wait_for
    wait_for("the reply", lambda: s.results("quanta.reply.test").get("own-1"))


def test_an_answered_request_is_answered_again_with_its_first_outcome(s):
    first = s.send("once", 'INSERT INTO things { id: "once" };', "shop")
    s.ok("exec", "-b", "shop", 'INSERT INTO things { id: "once" };', "--request-id", "once")
    equal(s.query("shop", 'SELECT count(*) FROM things WHERE id = "once";'), [[1]])
    again = json.loads(s.ok("exec", "-b", "shop", 'INSERT INTO things { id: "once" };', "--request-id", "once", "--format", "json"))
    equal((again["txid"], again["seq"]), (first["txid"], first["seq"]))
    has(s.refused("exec", "-b", "shop", 'INSERT INTO things { id: "other" };', "--request-id", "once"), "REQUEST_ID_REUSED")


def test_unknown_bucket(s):
    rejected(s, "SELECT id FROM things;", "UNKNOWN_BUCKET", key="nowhere")
    rejected(s, "SELECT id FROM things;", "NO_BUCKET", key=None)
    has(s.refused("exec", "-b", "shp", "SELECT id FROM things;"), "UNKNOWN_BUCKET", "shop")


def test_syntax_error_has_line_and_column(s):
    error = rejected(s, "SELECT id\nFROM things\nWHRE n = 1;", "QQL_SYNTAX")
    equal((error["line"], error["column"]), (3, 1))
    error = rejected(s, 'SELECT "日本", id FORM things;', "QQL_SYNTAX")
    equal((error["line"], error["column"]), (1, 17))


def test_random_bytes(s):
    rejected(s, random.Random(1).randbytes(1 << 20), ("QQL_ENCODING", "QQL_LIMIT", "REQUEST_TOO_LARGE"))
    for seed in range(2, 12):
        rejected(s, random.Random(seed).randbytes(1000), ("QQL_ENCODING", "QQL_SYNTAX"))


def test_a_statement_of_2_MB(s):
    statement = 'INSERT INTO things { id: "big", doc: { text: "' + "x" * (2 << 20) + '" } };'
    rejected(s, statement, ("REQUEST_TOO_LARGE", "QQL_LIMIT"))
    path = s.file("large.quantaql", statement)
    has(s.refused("exec", "-b", "shop", "-f", path), "TOO_LARGE")


def test_nested_braces(s):
    rejected(s, 'INSERT INTO things { id: "deep", doc: ' + "{ a: " * 10000 + "1" + " }" * 10000 + " };", "QQL_LIMIT")
    rejected(s, 'INSERT INTO things { id: "deep", doc: ' + "{" * 10000, ("QQL_LIMIT", "QQL_SYNTAX"))
    rejected(s, "SELECT id FROM things WHERE " + "(" * 10000 + "1" + ")" * 10000 + " = 1;", "QQL_LIMIT")
    path = s.file("deep.quantaql", 'INSERT INTO things { id: "deep", doc: ' + "[" * 10000 + "]" * 10000 + " };")
    has(s.refused("exec", "-b", "shop", "-f", path), "QQL_LIMIT")


def test_invalid_utf8_and_nul(s):
    error = rejected(s, b'SELECT id FROM things WHERE id = "\xff";', "QQL_ENCODING")
    equal((error["line"], error["column"]), (1, 35))
    rejected(s, b"SELECT id\0 FROM things;", "QQL_ENCODING")
    rejected(s, 'SELECT id FROM things WHERE id = "\\u0000";', ("QQL_ENCODING", "QQL_VALUE", "QQL_SYNTAX"))
    has(s.expect(1, "exec", "-b", "shop", "-f", "-", stdin=b'SELECT id FROM things WHERE id = "\xff";').err, "QQL_ENCODING")
    has(s.expect(1, "exec", "-b", "shop", "-f", "-", stdin=b"SELECT id\0 FROM things;").err, "QQL_ENCODING")


def test_envelopes_that_can_not_be_read(s):
    json_type = ["content-type=application/json"]
    for body in ('{"query": ', '[]', '{"query": 5}', '{}', '{"query": "SELECT 1", "params": []}', '{"query": "x", "bucket": 7}'):
        rejected(s, body, "REQUEST_MALFORMED", headers=json_type)
    rejected(s, "[" * 100000, ("REQUEST_MALFORMED", "QQL_LIMIT"), headers=json_type)
    reply = s.send("bad-msgpack", b"\xc1\xc1\xc1", "shop", ["content-type=application/msgpack"])  # answered in msgpack, as it asked
    assert b"rejected" in reply and b"REQUEST_MALFORMED" in reply, reply
    served(s)
    rejected(s, " ", ("QQL_SYNTAX", "REQUEST_MALFORMED"))
    rejected(s, "-- only a comment", ("QQL_SYNTAX", "REQUEST_MALFORMED"))


def test_two_transactions_in_a_message(s):
    rejected(s, 'INSERT INTO things { id: "x1" }; INSERT INTO things { id: "x2" };', "QQL_ONE_TRANSACTION")
    equal(s.query("shop", 'SELECT count(*) FROM things WHERE id IN ("x1", "x2");'), [[0]])


def test_a_reply_topic_of_the_systems_own_is_refused(s):
    for topic in ("quanta.requests", "quanta.votes", "quanta.work.postgres", "quanta.wal"):
        rejected(s, "SELECT count(*) FROM things;", "REPLY_TO_FORBIDDEN", headers=[f"reply-to={topic}"])


def test_aborted_and_rolled_back(s):
    equal(s.send("ab1", 'INSERT INTO things { id: "dup" };', "shop")["status"], "committed")
    result = s.send("ab2", 'INSERT INTO things { id: "dup" };', "shop")
    equal((result["status"], result["error"]["code"], result["error"]["retryable"]), ("aborted", "DUPLICATE_ID", False))
    has(s.refused("exec", "-b", "shop", 'INSERT INTO things { id: "dup" };'), "DUPLICATE_ID", "dup")
    has(s.refused("exec", "-b", "shop", "BEGIN; ASSERT 1 = 2; COMMIT;"), "ASSERT_FAILED")
    has(s.ok("exec", "-b", "shop", 'BEGIN; INSERT INTO things { id: "never" }; ROLLBACK;'), "ROLLED BACK")
    equal(s.query("shop", 'SELECT count(*) FROM things WHERE id = "never";'), [[0]])


def test_the_specifications_statements_through_exec(s):
    from system import ROOT
    s.ok("bucket", "create", "ecommerce_service")
    s.ok("schema", "apply", "-b", "ecommerce_service", os.path.join(ROOT, "schemas", "examples"))
    s.ok("exec", "-b", "ecommerce_service", "-f", os.path.join(ROOT, "demo", "people.quantaql"))
    out = s.ok("exec", "-b", "ecommerce_service", "-f", os.path.join(ROOT, "demo", "specification.quantaql"), "--format", "csv")
    equal(out, "id,customer.name,total_cost,delivery_time\r\norder_123,Alice,89.5,P1DT3H\r\nid,delivery_route\r\norder_123,route_789\r\n")


def test_a_python_client_sends_the_four_statements_and_reads_their_results(s):
    import subprocess
    from system import ROOT
    s.ok("bucket", "create", "four")
    s.ok("schema", "apply", "-b", "four", os.path.join(ROOT, "schemas", "examples"))
    s.ok("exec", "-b", "four", "-f", os.path.join(ROOT, "demo", "people.quantaql"))
    done = subprocess.run([os.path.join(ROOT, "tests", "cli", "client.py"), s.bootstrap, "four", os.path.join(ROOT, "demo", "specification.quantaql")],
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    insert, found, update, by_path = [json.loads(line) for line in done.stdout.splitlines()]
    equal([r["status"] for r in (insert, found, update, by_path)], ["committed"] * 4)
    equal([insert["results"][0]["count"], update["results"][0]["count"]], [1, 1])
    equal(found["results"][0]["rows"], [["order_123", "Alice", 89.5, "P1DT3H"]])
    equal([c["name"] for c in found["results"][0]["columns"]], ["id", "customer.name", "total_cost", "delivery_time"])
    equal(by_path["results"][0]["rows"], [["order_123", "route_789"]])


def test_a_read_of_50000_rows_comes_in_parts_with_one_txid(s):
    """A3: part 1..n, the same txid; `last` and the status come with the last one; a statement's rows go on across parts."""
    import subprocess
    from system import wait_for
    s.ok("exec", "-b", "shop", "CREATE RECORD many (id scalar int, text scalar string);")
    rows = "".join(json.dumps({"id": i, "text": f"a text that makes row {i} longer than its number"}) + "\n" for i in range(50000))
    s.ok("ingest", "-b", "shop", "-r", "many", s.file("many.jsonl", rows))
    s.publish("SELECT id, text FROM many ORDER BY id;", "shop", ["request-id=large", "reply-to=quanta.reply.large"])

    def parts():
        out = subprocess.run(["kcat", "-C", "-b", s.bootstrap, "-t", "quanta.reply.large", "-o", "beginning", "-e", "-q", "-X", "fetch.wait.max.ms=5"],
                             check=True, capture_output=True, timeout=30).stdout
        found = [json.loads(line) for line in out.splitlines()]
        return found if found and "last" in found[-1] else None

    found = wait_for("the last part", parts)
    assert len(found) > 2, len(found)
    equal([p["part"] for p in found], list(range(1, len(found) + 1)))
    equal(len({p["txid"] for p in found}), 1)
    equal([p.get("status") for p in found], [None] * (len(found) - 1) + ["committed"])
    equal([p["results"][0]["statement"] for p in found], [1] * len(found))
    equal([row[0] for p in found for row in p["results"][0]["rows"]], list(range(50000)))
    s.ok("exec", "-b", "shop", "DROP RECORD many;")
