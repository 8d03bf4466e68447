"""Each command: help, wrong usage, nobody there, formats."""
import json
import os
import subprocess
import time

from system import QUANTA, System, equal, has

COMMANDS = ["dev", "exec", "shell", "ingest", "bucket", "schema", "wal", "txn", "status"]


def setup(scratch):
    s = System(scratch)
    s.ok("bucket", "create", "shop")
    s.ok("exec", "-b", "shop", "CREATE RECORD things (id scalar string, name scalar string, n scalar int, doc document, other relation to things);")
    s.ok("exec", "-b", "shop", 'INSERT INTO things { id: "a", name: "Ann, \\"A\\"", n: 1, doc: { x: [1, 2] } }, { id: "b", name: "日本", n: 2, other: relation("a") };')
    return s


def test_every_command_has_help_on_stdout(s):
    for command in COMMANDS:
        done = s.expect(0, command, "--help")
        has(done.out, f"Usage: quanta {command}")
        equal(done.err, "")
    for word in ("--help", "-h", "help"):
        has(s.ok(word), *COMMANDS)


def test_version(s):
    for word in ("version", "--version"):
        assert s.ok(word).startswith("quanta ")


def test_a_wrong_option_is_named(s):
    for command in COMMANDS:
        err = s.usage(command, "--frobnicate")
        has(err, f"quanta {command}:", "--frobnicate", "--help")
    has(s.usage("frobnicate"), "frobnicate", "exec")
    has(s.usage(), "Usage:")


def test_a_wrong_value_is_named_with_what_is_right(s):
    for command in ("exec", "bucket", "schema", "shell"):
        has(s.usage(command, "--format", "xml"), "--format is table, json or csv", "xml")
    for command in ("status", "txn", "wal", "ingest"):
        has(s.usage(command, "--format", "csv"), "--format is table or json", "csv")
    has(s.usage("exec", "--timeout", "soon", "SHOW BUCKETS;"), "--timeout", "soon")
    has(s.usage("exec", "--timeout", "0", "SHOW BUCKETS;"), "--timeout")
    has(s.usage("exec", "--param", "x", "SHOW BUCKETS;"), "--param", "NAME=VALUE")
    has(s.usage("exec"), "QUERY", "-f")
    has(s.usage("exec", "SHOW", "BUCKETS;"), "quotes")
    has(s.usage("exec", "-f", "/does/not/exist"), "/does/not/exist", "No such file")
    has(s.usage("exec", "-f", s.scratch), s.scratch)
    has(s.usage("exec", "-b", "x" * 41, "SHOW BUCKETS;"), "40")
    has(s.usage("dev", "--http-port", "99999"), "--http-port")
    has(s.usage("bucket"), "create, drop or list")
    has(s.usage("bucket", "make", "x"), "make", "create, drop or list")
    has(s.usage("bucket", "create"), "NAME")
    has(s.usage("bucket", "create", "a", "b"), "'b'")
    has(s.usage("schema", "list"), "-b")
    has(s.usage("schema", "-b", "shop", "show"), "RECORD")
    has(s.usage("schema", "-b", "shop", "apply", "/does/not/exist"), "/does/not/exist")
    has(s.usage("txn"), "list")
    has(s.usage("txn", "kill"), "kill", "list")
    has(s.usage("wal", "frob"), "frob", "verify")
    has(s.usage("wal", "ls", "--seq", "9..3"), "--seq", "9..3")
    has(s.usage("wal", "ls", "--type", "frob"), "--type", "frob")
    has(s.usage("wal", "show", "x"), "LSN")
    has(s.usage("ingest", "-b", "shop"), "-r RECORD")
    has(s.usage("ingest", "-b", "shop", "-r", "things", "/does/not/exist"), "/does/not/exist")


def test_nobody_there_is_3_at_once_and_tells_what_to_do(s):
    alone = os.path.join(s.scratch, "alone")
    os.makedirs(alone)
    calls = [("exec", "SHOW BUCKETS;"), ("bucket", "list"), ("schema", "list", "-b", "x"), ("status",), ("txn", "list"), ("wal", "info"),
             ("ingest", "-b", "shop", "-r", "things")]
    for call in calls:
        began = time.monotonic()
        err = s.expect(3, *call, env={"HOME": alone}).err
        has(err, "quanta dev")
        assert time.monotonic() - began < 3, f"{call} took {time.monotonic() - began:.1f} s"
    for call in calls[:3]:
        has(s.expect(3, *call, "--bootstrap", "127.0.0.1:1").err, "127.0.0.1:1")
        has(s.expect(3, *call, env={"QUANTA_BOOTSTRAP": "127.0.0.1:1"}).err, "127.0.0.1:1")
    has(s.expect(3, "status", "--http", "127.0.0.1:1").err, "127.0.0.1:1")
    # A port where somebody else listens: an HTTP server is no Kafka.
    has(s.expect(3, "exec", "SHOW BUCKETS;", "--bootstrap", s.http).err, s.http)


def test_the_option_wins_over_the_environment_and_that_over_dev(s):
    s.ok("bucket", "list", env={"QUANTA_BOOTSTRAP": s.bootstrap, "HOME": "/nonexistent"})
    s.ok("bucket", "list", "--bootstrap", s.bootstrap, env={"QUANTA_BOOTSTRAP": "127.0.0.1:1", "HOME": "/nonexistent"})


def test_bucket_create_list_drop(s):
    has(s.ok("bucket", "create", "tmp1"), "tmp1 created")
    has(s.refused("bucket", "create", "tmp1"), "BUCKET_EXISTS")
    s.ok("bucket", "create", "tmp1", "--if-not-exists")
    has(s.ok("bucket", "list"), "tmp1", "shop")
    listed = json.loads(s.ok("bucket", "list", "--format", "json"))
    assert "tmp1" in [row[0] for row in listed["results"][0]["rows"]]
    has(s.ok("bucket", "list", "--format", "csv"), "tmp1,0\r\n")
    s.ok("exec", "-b", "tmp1", "CREATE RECORD r (id scalar int);")
    has(s.refused("bucket", "drop", "tmp1"), "BUCKET_NOT_EMPTY")
    s.ok("bucket", "drop", "tmp1", "--cascade")
    has(s.refused("bucket", "drop", "tmp1"), "UNKNOWN_BUCKET")
    has(s.expect(2, "bucket", "create", "Bad-Name").err, "Bad-Name")


def test_schema_apply_list_show_drop(s):
    s.ok("bucket", "create", "tmp2")
    definition = {"record": "orders", "attributes": {"id": {"type": "scalar", "datatype": "string"}, "customer": {"type": "document"},
                                                     "total_cost": {"type": "scalar", "datatype": "float"}}}
    good = s.file("orders.json", json.dumps(definition, indent=2))
    has(s.ok("schema", "apply", "-b", "tmp2", good), "orders.json applied")
    has(s.refused("schema", "apply", "-b", "tmp2", good), "RECORD_EXISTS")
    s.ok("schema", "apply", "-b", "tmp2", "--if-not-exists", good)
    has(s.ok("schema", "list", "-b", "tmp2"), "orders")
    shown = json.loads(s.ok("schema", "show", "-b", "tmp2", "orders", "--format", "json"))
    equal([row[0] for row in shown["results"][0]["rows"]], ["id", "customer", "total_cost"])
    bad = s.file("bad.json", '{\n  "record": "bad",\n  "attributes": { "x": oops }\n}')
    has(s.refused("schema", "apply", "-b", "tmp2", bad), "bad.json", "line 3", "oops")
    has(s.usage("schema", "apply", "-b", "tmp2", s.file("large.json", b"x" * (2 << 20))), "large.json")
    s.ok("schema", "drop", "-b", "tmp2", "orders")
    has(s.refused("schema", "show", "-b", "tmp2", "orders"), "UNKNOWN_RECORD")
    has(s.usage("schema", "show", "-b", "tmp2", "no such; DROP BUCKET tmp2"), "no such")


def test_exec_prints_tables_json_and_csv(s):
    query = "SELECT id, name, n, doc.x, other FROM things ORDER BY id;"
    lines = s.ok("exec", "-b", "shop", query).splitlines()
    equal(lines[0].split(), ["id", "|", "name", "|", "n", "|", "doc.x", "|", "other"])
    equal(lines[2], ' a  | Ann, "A" | 1 | [1,2] | NULL  ')
    equal(lines[3], " b  | 日本     | 2 | NULL  | a     ")
    equal(lines[4], "(2 rows)")
    equal(s.ok("exec", "-b", "shop", "--format", "csv", query), 'id,name,n,doc.x,other\r\na,"Ann, ""A""",1,"[1,2]",\r\nb,日本,2,,a\r\n')
    result = json.loads(s.ok("exec", "-b", "shop", "--format", "json", query))
    equal(result["status"], "committed")
    equal(result["results"][0]["rows"], [["a", 'Ann, "A"', 1, [1, 2], None], ["b", "日本", 2, None, "a"]])
    has(s.ok("exec", "-b", "shop", "--timing", query), "Time: ", "total")


def test_control_characters_do_not_reach_the_terminal(s):
    s.ok("exec", "-b", "shop", 'INSERT INTO things { id: "esc", name: "\\u001b[31mred\\u009b1m\\nx" };')
    out = s.ok("exec", "-b", "shop", 'SELECT name FROM things WHERE id = "esc";')
    has(out, "\\x1b[31mred\\x9b1m\\nx")
    assert "\x1b" not in out and "\u009b" not in out
    err = s.refused("exec", "-b", "shop", "SELECT \x1b[31m FROM things;")
    assert "\x1b" not in err, err
    equal(s.query("shop", 'DELETE FROM things WHERE id = "esc";'), 1)


def test_exec_parameters(s):
    equal(s.query("shop", "SELECT id FROM things WHERE n = $n AND name = $name;", "-p", "n=2", "-p", "name=日本"), [["b"]])
    equal(s.query("shop", "SELECT id FROM things WHERE id IN $ids ORDER BY id;", "-p", 'ids=["a","b","c"]'), [["a"], ["b"]])
    has(s.refused("exec", "-b", "shop", "SELECT id FROM things WHERE n = $n;"), "QQL_PARAMETER", "$n")
    has(s.refused("exec", "-b", "shop", "SELECT id FROM things;", "-p", "n=1"), "QQL_PARAMETER", "n")
    script = s.file("p.quantaql", "SELECT id FROM things WHERE n = $n; SELECT id FROM things WHERE name = $nn;")
    s.ok("exec", "-b", "shop", "-f", script, "-p", "n=1", "-p", "nn=x")


def test_exec_scripts_run_transaction_by_transaction(s):
    script = s.file("script.quantaql", """-- two buckets, one script
USE shop;
INSERT INTO things { id: "s1", n: 1 };
BEGIN; INSERT INTO things { id: "s2", n: 2 };
       UPDATE things SET n = n + 10 WHERE id = "s1";
COMMIT;
BEGIN; DELETE FROM things WHERE id = "s1"; ROLLBACK;
SELECT id, n FROM things WHERE id IN ("s1", "s2") ORDER BY id;
""")
    out = s.ok("exec", "-f", script, "--format", "csv")
    has(out, "s1,11\r\ns2,2\r\n")
    equal(s.ok("exec", "-f", "-", stdin=b'USE shop;\nSELECT id FROM things WHERE id = "s1";').splitlines()[2].strip(), "s1")
    equal(s.query("shop", 'DELETE FROM things WHERE id IN ("s1", "s2");'), 2)


def test_exec_stops_a_script_at_its_first_failure_and_tells_where(s):
    script = s.file("stops.quantaql", 'INSERT INTO things { id: "t1" };\n\nINSERT INTO things { id: "t2" };  SELECT frob FROM things;\nINSERT INTO things { id: "t3" };\n')
    done = s.expect(1, "exec", "-b", "shop", "-f", script)
    has(done.err, "UNKNOWN_ATTRIBUTE", "stops.quantaql, line 3, column 42", "frob")
    lines = done.err.splitlines()
    shown = next(i for i, line in enumerate(lines) if "SELECT frob" in line)
    equal(lines[shown + 1].index("^"), lines[shown].index("frob"))
    equal(s.query("shop", 'SELECT id FROM things WHERE id IN ("t1", "t2", "t3") ORDER BY id;'), [["t1"], ["t2"]])
    s.ok("exec", "-b", "shop", 'DELETE FROM things WHERE id IN ("t1", "t2");')


def test_the_caret_stands_under_the_place(s):
    for text, word in [("SELECT id FROM things WHRE n = 1;", "WHRE"), ('SELECT "日本", id FROM things WHRE n = 1;', "WHRE"),
                       ("SELECT id,\n  n,\n\tfrob\nFROM things;", "frob"), ("SELECT id FROM thngs;", "thngs"),
                       ("SELECT " + "id, " * 80 + "frob FROM things;", "frob")]:
        lines = s.refused("exec", "-b", "shop", text).splitlines()
        caret = next(i for i, line in enumerate(lines) if line.strip(" |") == "^")
        wide = sum(1 for c in lines[caret - 1][:lines[caret - 1].index(word)] if ord(c) > 0x2e80)
        equal(lines[caret].index("^"), lines[caret - 1].index(word) + wide)
    has(s.refused("exec", "-b", "shop", "SELECT id FROM thngs;"), "things")  # did you mean


def test_status_and_txn(s):
    has(s.ok("status"), "epoch", "committed", "engines postgres", "ready")
    status = json.loads(s.ok("status", "--format", "json"))
    assert status["committed"] > 0 and set(status["engines"]) == {"postgres", "mongo", "neo4j", "influx"}
    has(s.ok("txn", "list"), "request id", "waits for")
    s.ok("txn", "list", "--stuck")
    for line in s.ok("txn", "list", "--format", "json").splitlines():
        assert "state" in json.loads(line)
    has(s.expect(3, "status", "--http", s.bootstrap).err, "quanta")


def test_a_full_disk_is_not_success(s):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([QUANTA, "exec", "-b", "shop", "SELECT id FROM things;"], stdout=full, stderr=subprocess.PIPE, env=s.env, timeout=30)
    equal(done.returncode, 3)
    has(done.stderr.decode(), "can't be written")


def test_a_reader_that_leaves_is_no_error(s):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([QUANTA, "exec", "-b", "shop", "SELECT id FROM things;"], stdout=writer, stderr=subprocess.PIPE, env=s.env, timeout=30)
    os.close(writer)
    equal((done.returncode, done.stderr), (0, b""))


def test_a_large_result_comes_whole(s):
    s.ok("exec", "-b", "shop", "CREATE RECORD many (id scalar int, text scalar string);")
    for first in range(0, 20000, 5000):
        rows = ", ".join(f'{{ id: {i}, text: "{"x" * 100}" }}' for i in range(first, first + 5000))
        s.ok("exec", "-b", "shop", "-f", s.file("many.quantaql", f"INSERT INTO many {rows};"))
    lines = s.ok("exec", "-b", "shop", "--format", "csv", "SELECT id, text FROM many ORDER BY id;").split("\r\n")
    equal(lines[1:-1], [f"{i}," + "x" * 100 for i in range(20000)])  # more than one message may hold: several parts
