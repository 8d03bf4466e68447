"""The REST interface of a real quanta dev, and of quanta-gateway beside it, through curl: status, headers and bodies as docs/gateway.md says."""
import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
from system import System, equal, has  # noqa: E402

DEFINITION = {"record": "orders", "attributes": {
    "id": {"type": "scalar", "datatype": "string"}, "customer": {"type": "document"},
    "total_cost": {"type": "scalar", "datatype": "float"}, "price": {"type": "scalar", "datatype": "decimal"},
    "delivery_route": {"type": "relation", "target": "routes"}, "stops": {"type": "relation", "target": "stops", "cardinality": "many"},
    "delivery_time": {"type": "metric", "unit": "duration"}}}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Http:
    def __init__(self, address):
        self.base = "http://" + address

    def __call__(self, method, path, body=None, type="application/json", **headers):
        with tempfile.TemporaryDirectory() as scratch:
            out, head = os.path.join(scratch, "out"), os.path.join(scratch, "head")
            command = ["curl", "-sS", "-m", "20", "-o", out, "-D", head, "-X", method, "--path-as-is"]
            if method == "HEAD":
                command = ["curl", "-sS", "-m", "20", "-o", out, "-D", head, "-I", "--path-as-is"]
            if body is not None:
                data = body if isinstance(body, (str, bytes)) else json.dumps(body)
                source = os.path.join(scratch, "in")
                with open(source, "wb") as f:
                    f.write(data if isinstance(data, bytes) else data.encode())
                command += ["--data-binary", "@" + source, "-H", "Content-Type: " + type]
            for name, value in headers.items():
                command += ["-H", f"{name.replace('_', '-')}: {value}"]
            subprocess.run(command + [self.base + path], check=True)
            with open(head, encoding="latin-1") as f:
                blocks = f.read().replace("\r", "").strip().split("\n\n")
            lines = blocks[-1].split("\n")
            found = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if ": " in line)}
            with open(out, "rb") if os.path.exists(out) else open(os.devnull, "rb") as f:
                return Answer(int(lines[0].split()[1]), found, f.read())

    def query(self, bucket, text, **headers):
        return self("POST", f"/bucket/{bucket}/query", text, type="text/plain", **headers)


def problem(answer, status, code):
    equal((answer.status, answer.json["code"], answer.json["status"]), (status, code, status))
    equal(answer.headers["content-type"], "application/problem+json")
    equal(answer.json["type"], "urn:quanta:problem:" + code)
    return answer.json


def make_bucket(http, name, definition=DEFINITION):
    equal(http("POST", "/bucket/create", {"name": name}).status, 201)
    equal(http("POST", f"/bucket/{name}/record", definition).status, 201)
    return f"/bucket/{name}/record/{definition['record']}/rows"


def test_bucket_and_definition_there_and_back(s, http):
    a = http("POST", "/bucket/create", {"name": "there"})
    equal((a.status, a.headers["location"], a.json["bucket"]), (201, "/bucket/there", "there"))
    problem(http("POST", "/bucket/create", {"name": "there"}), 409, "BUCKET_EXISTS")
    a = http("POST", "/bucket/there/record", DEFINITION)
    equal((a.status, a.headers["location"]), (201, "/bucket/there/record/orders"))
    shown = http("GET", "/bucket/there/record/orders").json
    expected = json.loads(json.dumps(DEFINITION))
    expected["attributes"]["delivery_time"]["datatype"] = "duration"
    equal(shown, expected)
    again = dict(shown, record="copies")
    equal(http("POST", "/bucket/there/record", again).status, 201)  # what is shown is what is taken
    equal([r["record"] for r in http("GET", "/bucket/there").json["records"]], ["copies", "orders"])
    problem(http("DELETE", "/bucket/there"), 409, "BUCKET_NOT_EMPTY")
    equal(http("DELETE", "/bucket/there/record/copies").status, 204)
    problem(http("GET", "/bucket/there/record/copies"), 404, "UNKNOWN_RECORD")
    equal(http("DELETE", "/bucket/there?cascade=true").status, 204)
    problem(http("GET", "/bucket/there"), 404, "UNKNOWN_BUCKET")


def test_rows_by_id(s, http):
    rows = make_bucket(http, "byid")
    row = {"id": "a/b ü", "customer": {"name": "Al", "n": 0.1, "list": [1, None]}, "total_cost": 0.1, "price": "12345678901234567890.12",
           "delivery_route": "r", "stops": ["x", "y"], "delivery_time": "P1DT3H"}
    a = http("POST", rows, row)
    at = rows + "/" + urllib.parse.quote(row["id"], safe="")
    equal((a.status, a.headers["location"], a.json["count"]), (201, at, 1))
    got = http("GET", at)
    equal((got.json, got.headers["etag"]), (row, a.headers["etag"]))
    has(got.body.decode(), '"total_cost":0.1,')  # no digit more than is stored
    problem(http("POST", rows, row), 409, "DUPLICATE_ID")
    equal(http("PATCH", at, {"customer.name": "Bo", "total_cost": None}).status, 200)
    equal(http("GET", at).json["customer"], {"name": "Bo", "n": 0.1, "list": [1, None]})
    equal(http("PUT", at, {"total_cost": 2}).status, 200)
    replaced = http("GET", at).json
    equal((replaced["customer"], replaced["total_cost"], replaced["stops"], replaced["delivery_time"]), (None, 2.0, None, "P1DT3H"))
    equal(http("PUT", at, replaced).status, 200)  # what was read may be put back
    equal(http("PUT", rows + "/new", {"total_cost": 3}).status, 201)
    problem(http("PUT", rows + "/new", {"id": "other"}), 400, "REQUEST_MALFORMED")
    equal(http("DELETE", rows + "/new").status, 204)
    problem(http("DELETE", rows + "/new"), 404, "ROW_NOT_FOUND")
    problem(http("PATCH", rows + "/new", {"total_cost": 3}), 404, "ROW_NOT_FOUND")


def test_ids_that_are_numbers(s, http):
    rows = make_bucket(http, "numbers", {"record": "n", "attributes": {"id": {"type": "scalar", "datatype": "int"}, "x": {"type": "scalar", "datatype": "int"}}})
    equal(http("POST", rows, [{"id": i, "x": i} for i in range(-1, 12)]).json["count"], 13)
    for _ in range(2):  # the second time it is known
        equal(http("GET", rows + "/-1").json, {"id": -1, "x": -1})
        equal(http("PATCH", rows + "/5", {"x": 50}).status, 200)
    equal(problem(http("PATCH", rows + "/5", {"x": "text"}), 400, "QQL_TYPE")["detail"].lower().count("string"), 1)
    problem(http("GET", rows + "/007"), 400, "QQL_TYPE")
    equal(http("PUT", rows + "/77", {"x": 1}).status, 201)
    page = http("GET", rows + "?limit=10").json
    equal([r["id"] for r in page["rows"]], list(range(-1, 9)))
    rest = http("GET", rows + "?limit=10&select=x&after=" + page["next"]).json
    equal(rest, {"rows": [{"id": 9, "x": 9}, {"id": 10, "x": 10}, {"id": 11, "x": 11}, {"id": 77, "x": 1}], "next": None})


def test_ids_of_both_kinds_of_text(s, http):
    rows = make_bucket(http, "texts")
    equal(http("PUT", rows + "/5", {"total_cost": 1}).status, 201)  # a text that looks like a number
    equal(http("GET", rows + "/5").json["id"], "5")
    equal(problem(http("PATCH", rows + "/5", {"total_cost": "x"}), 400, "QQL_TYPE")["column"] < 40, True)  # the value's fault, not the id's


def test_etag(s, http):
    rows = make_bucket(http, "etag")
    first = http("POST", rows, {"id": "a", "total_cost": 1}).headers["etag"]
    at = rows + "/a"
    equal(http("GET", at, If_None_Match=first).status, 304)
    equal(http("GET", at, If_None_Match='"0", W/' + first).status, 304)
    second = http("PATCH", at, {"customer": {"a": 1}}, If_Match=first).headers["etag"]
    equal(http("GET", at).headers["etag"], second)
    problem(http("PATCH", at, {"total_cost": 9}, If_Match=first), 412, "PRECONDITION_FAILED")
    problem(http("PUT", at, {"total_cost": 9}, If_Match="W/" + second), 412, "PRECONDITION_FAILED")
    problem(http("DELETE", at, If_Match='"x"'), 412, "PRECONDITION_FAILED")
    equal(http("GET", at).json["total_cost"], 1.0)
    third = http("PATCH", at, {"customer": None}, If_Match=f'"1", {second}').headers["etag"]
    equal(len({first, second, third}), 3)  # emptying a document is a change, too
    problem(http("PUT", at, {}, If_None_Match="*"), 412, "PRECONDITION_FAILED")
    problem(http("PUT", rows + "/none", {"total_cost": 1}, If_Match="*"), 412, "PRECONDITION_FAILED")
    equal(http("PUT", rows + "/none", {"total_cost": 1}, If_None_Match="*").status, 201)
    problem(http("DELETE", at, If_Match="nonsense"), 400, "REQUEST_MALFORMED")
    equal(http("DELETE", at, If_Match=third).status, 204)


def test_one_of_many_updates_under_one_etag_wins(s, http):
    rows = make_bucket(http, "race")
    tag = http("POST", rows, {"id": "a", "total_cost": 0}).headers["etag"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        status = list(pool.map(lambda i: http("PATCH", rows + "/a", {"total_cost": i}, If_Match=tag).status, range(16)))
    equal(sorted(status), [200] + [412] * 15)


def test_idempotency_key(s, http):
    rows = make_bucket(http, "idem")
    bodies = [http("POST", rows, {"id": "a"}, Idempotency_Key="k1") for _ in range(3)]
    equal([(b.status, b.json) for b in bodies], [(201, bodies[0].json)] * 3)
    equal(bodies[0].json["request_id"], "k1")
    problem(http("POST", rows, {"id": "b"}, Idempotency_Key="k1"), 409, "REQUEST_ID_REUSED")
    puts = [http("PUT", rows + "/p", {"total_cost": 1}, Idempotency_Key="k2") for _ in range(2)]
    equal([(p.status, p.json["seq"]) for p in puts], [(201, puts[0].json["seq"])] * 2)
    problem(http("POST", rows, {"id": "c"}, Idempotency_Key="k" * 121), 400, "REQUEST_ID_INVALID")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:  # at once: one insert, everybody is told of it
        both = list(pool.map(lambda _: http("POST", rows, {"id": "d"}, Idempotency_Key="k3"), range(8)))
    equal({(b.status, b.json["seq"]) for b in both}, {(201, both[0].json["seq"])})


def test_query(s, http):
    rows = make_bucket(http, "query")
    http("POST", rows, [{"id": f"o{i:03}", "total_cost": i} for i in range(300)])
    a = http.query("query", 'SELECT id FROM orders WHERE id = "o007";')
    equal((a.status, a.json["status"], a.json["results"][0]["rows"]), (200, "committed", [["o007"]]))
    a = http("POST", "/bucket/query/query", {"query": "SELECT total_cost FROM orders WHERE id = $x;", "params": {"x": "o007"}})
    equal(a.json["results"][0]["rows"], [[7.0]])
    injected = http("POST", "/bucket/query/query", {"query": "SELECT id FROM orders WHERE id = $x;", "params": {"x": '" OR TRUE OR id = "'}})
    equal(injected.json["results"][0]["rows"], [])
    lines = http.query("query", "SELECT id FROM orders;", Accept="application/x-ndjson").body.decode().splitlines()
    equal((len(lines), json.loads(lines[1]), json.loads(lines[-1])["status"]), (302, ["o000"], "committed"))
    p = problem(http.query("query", "SELECT nothing FROM orders;"), 404, "UNKNOWN_ATTRIBUTE")
    equal((p["line"], p["column"], p["outcome"]), (1, 8, "rejected"))
    rolled = http.query("query", 'BEGIN; DELETE FROM orders; ROLLBACK;')
    equal((rolled.status, rolled.json["status"]), (200, "rolled_back"))
    p = problem(http.query("query", "BEGIN; DELETE FROM orders; ASSERT FALSE; COMMIT;"), 409, "ASSERT_FAILED")
    equal(p["outcome"], "aborted")
    equal(http("GET", rows + "?limit=1").json["rows"][0]["id"], "o000")
    problem(http.query("nobucket", "SELECT id FROM orders;"), 404, "UNKNOWN_BUCKET")


def test_nothing_of_the_envelope_comes_in_with_a_body(s, http):
    for extra in ({"bucket": "idem"}, {"reply_to": "quanta.results"}, {"request_id": "x"}, {"authorization": "Bearer x"}):
        problem(http("POST", "/bucket/query/query", {"query": "SHOW RECORDS;", **extra}), 400, "REQUEST_MALFORMED")


def test_bodies_that_are_wrong(s, http):
    rows = make_bucket(http, "wrong")
    for body in ("", "{", "[", "null", "7", '{"id":"a","id":"b"}', "[]", "[1]", '{"id":1e400}', '{"id":"\\ud800"}', b"\xff{}"):
        equal(http("POST", rows, body).status, 400)
    problem(http("POST", rows, {"nope": 1, "id": "a"}), 404, "UNKNOWN_ATTRIBUTE")
    problem(http("POST", rows, {"id": "a", "no such`; DROP RECORD orders; `": 1}), 404, "UNKNOWN_ATTRIBUTE")
    problem(http("PATCH", rows + "/a", {"customer.a`b": 1}), 400, "REQUEST_MALFORMED")
    problem(http("POST", rows, "x", type="text/csv"), 415, "MEDIA_TYPE_UNKNOWN")
    problem(http("POST", rows, {"id": "a" * 1100000}), 413, "REQUEST_TOO_LARGE")
    problem(http("POST", rows, [{"id": str(i)} for i in range(10001)]), 413, "QQL_LIMIT")
    problem(http("POST", "/bucket/create", {"name": "Bad Name"}), 400, "SCHEMA_INVALID")
    problem(http("POST", "/bucket/create", {"name": "x", "more": 1}), 400, "REQUEST_MALFORMED")
    problem(http("POST", "/bucket/wrong/record", {"record": "r", "attributes": {"a": {"type": "nope"}}}), 400, "SCHEMA_INVALID")
    equal(http("GET", rows).json["rows"], [])
    equal(http("POST", rows, '{"id":"a"}\n\n{"id":"b"}\n', type="application/x-ndjson").json["count"], 2)


def test_paths_and_methods(s, http):
    problem(http("GET", "/nope"), 404, "ROUTE_UNKNOWN")
    problem(http("GET", "/bucket/Bad"), 404, "UNKNOWN_BUCKET")
    problem(http("GET", "/bucket/x/record/y/rows/%zz"), 400, "REQUEST_MALFORMED")
    problem(http("GET", "/bucket/x/record/y/rows/%00"), 400, "REQUEST_MALFORMED")
    equal(http("PUT", "/bucket").headers["allow"], "GET, HEAD")
    equal(http("TRACE", "/bucket").status, 405)
    problem(http("GET", "/bucket/wrong/record/orders/rows?limit=0"), 400, "REQUEST_MALFORMED")
    problem(http("GET", "/bucket/wrong/record/orders/rows?after=!"), 400, "REQUEST_MALFORMED")
    problem(http("GET", "/bucket/wrong/record/orders/rows", Accept="image/png"), 406, "NOT_ACCEPTABLE")
    problem(http("GET", "/bucket", timeout_ms="soon"), 400, "REQUEST_MALFORMED")
    head = http("HEAD", "/bucket")
    equal((head.status, head.body.startswith(b"{")), (200, False))
    for path in ("/health", "/livez", "/readyz", "/metrics", "/openapi.json"):
        equal(http("GET", path).status, 200)
    has(http("GET", "/metrics").body.decode(), 'quanta_http_requests_total{route="/bucket/{bucket}/query",status="2xx"}', "quanta_http_in_flight 1")


def test_gzip(s, http):
    plain = http("GET", "/bucket/query/record/orders/rows?limit=300")
    packed = http("GET", "/bucket/query/record/orders/rows?limit=300", Accept_Encoding="gzip")
    import gzip
    equal((packed.headers["content-encoding"], gzip.decompress(packed.body)), ("gzip", plain.body))
    equal("content-encoding" in plain.headers, False)


def test_large_results_come_in_one_answer(s, http):
    rows = make_bucket(http, "large", {"record": "r", "attributes": {"id": {"type": "scalar", "datatype": "int"}, "t": {"type": "scalar", "datatype": "string"}}})
    for n in range(4):  # below what the in-process broker keeps of a partition (5 MB)
        equal(http("POST", rows, [{"id": n * 100 + i, "t": "x" * 9000} for i in range(100)]).status, 201)
    a = http.query("large", "SELECT * FROM r;")
    equal((a.status, [r[0] for r in a.json["results"][0]["rows"]], "part" in a.json), (200, list(range(400)), False))


def test_sigterm_answers_what_was_accepted(s, http):
    """A gateway of its own: requests are under way when it is told to stop; each is answered, and the process ends with 0."""
    gateway = subprocess.Popen([os.path.join(ROOT, "bin", "quanta-gateway"), "--bootstrap", s.bootstrap, "--listen", "127.0.0.1:0"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=s.env)
    address = gateway.stdout.readline().decode().strip().split("http=")[1]
    rows = make_bucket(Http(address), "term")
    host, port = address.split(":")
    open_ones = []
    for i in range(20):
        c = socket.create_connection((host, int(port)), 10)
        body = json.dumps({"id": str(i)})
        c.sendall(f"POST {rows} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        open_ones.append(c)
    def in_flight():
        text = Http(address)("GET", "/metrics").body.decode()
        return 'route="/bucket/{bucket}/record/{record}/rows",status="2xx"} 2' in text or "quanta_http_in_flight" in text
    equal(in_flight(), True)
    gateway.send_signal(signal.SIGTERM)
    told = [c.recv(4096).decode() for c in open_ones]
    equal(gateway.wait(20), 0)
    done = [i for i, t in enumerate(told) if t.startswith("HTTP/1.1 201 ")]
    equal([t for t in told if not t.startswith(("HTTP/1.1 201 ", "HTTP/1.1 503 "))], [])
    there = {r["id"] for r in http("GET", rows).json["rows"]}
    equal(there, {str(i) for i in done})  # what was told to be there is, what was refused isn't


def test_gateway_refuses_the_open_world_without_credentials(s, http):
    bad = subprocess.run([os.path.join(ROOT, "bin", "quanta-gateway"), "--bootstrap", s.bootstrap, "--listen", "0.0.0.0:0"],
                         capture_output=True, text=True, env=s.env, timeout=30)
    equal(bad.returncode, 3)
    has(bad.stderr, "loopback")


def main():
    words = sys.argv[1:]
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        s = System(scratch)
        http = Http(s.http)
        try:
            for name, test in list(globals().items()):
                if not name.startswith("test_") or (words and not any(w in name for w in words)):
                    continue
                started = time.monotonic()
                try:
                    test(s, http)
                    print(f"ok    {name} ({time.monotonic() - started:.1f} s)", flush=True)
                except AssertionError as e:
                    failed += 1
                    print(f"FAIL  {name}: {e} (line {e.__traceback__.tb_next.tb_lineno})", flush=True)
        finally:
            s.stop()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
