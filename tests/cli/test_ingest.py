"""quanta ingest: every type, both formats, errors by input line, what is cut off and begun again."""
import json
import os
import signal
import subprocess

from system import QUANTA, System, equal, has, wait_for


def setup(scratch):
    s = System(scratch)
    s.ok("bucket", "create", "lake")
    s.ok("exec", "-b", "lake", "CREATE RECORD rows (id scalar string, n scalar int, f scalar float, ok scalar bool, price scalar decimal, "
         "u scalar uuid, at scalar time, d scalar duration, raw scalar bytes, doc document, peer relation to rows, peers relation to rows many, "
         "level metric, took metric unit duration);")
    return s


ROW = {"id": "x", "n": 7, "f": 1.5, "ok": True, "price": "12.340", "u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "at": "2024-05-01T10:00:00Z",
       "d": "PT1H", "raw": "aGk=", "doc": {"a": [1, None, {"b": "ü"}]}, "peer": "y", "peers": ["y", "z"], "level": 2.5, "took": "PT3S"}


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def ingest(s, *args, status=0, stdin=b""):
    done = s.expect(status, "ingest", "-b", "lake", "-r", "rows", "--format", "json", *args, stdin=stdin)
    return json.loads(done.out), [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]


def count(s, where):
    return s.query("lake", f"SELECT count(*) FROM rows WHERE {where};")[0][0]


def test_every_type_from_json_lines(s):
    summary, _ = ingest(s, stdin=b"\xef\xbb\xbf" + lines([{**ROW, "id": "j1"}, {"id": "j2", "n": None}]) + b"\n   \n")
    equal((summary["rows"], summary["committed"], summary["refused"]), (2, 2, 0))
    row = s.query("lake", 'SELECT id, n, f, ok, price, u, at, d, doc, peer, peers, level, took FROM rows WHERE id = "j1";')[0]
    equal(row[:4], ["j1", 7, 1.5, True])
    equal(row[5:], [ROW["u"], ROW["at"], ROW["d"], ROW["doc"], "y", ["y", "z"], 2.5, "PT3S"])
    equal(s.query("lake", 'SELECT count(*) FROM rows WHERE id = "j1" AND price = decimal("12.34") AND raw = bytes("aGk=");'), [[1]])


def test_every_type_from_csv(s):
    path = s.file("rows.csv", 'id,n,f,ok,price,at,d,doc,peer,peers,level\r\n'
                  'c1,7,1.5,true,12.34,2024-05-01T10:00:00Z,1h,"{""a"":[1,""x,y""]}",y,"[""y"",""z""]",2.5\r\n'
                  '"c,2",-1,1e3,no,,,,"{}",,,\r\n')
    summary, _ = ingest(s, path)
    equal(summary["committed"], 2)
    equal(s.query("lake", 'SELECT id, n, f, ok, d, doc, peer, peers, level FROM rows WHERE id IN ("c1", "c,2") ORDER BY id DESC;'),
          [["c1", 7, 1.5, True, "PT1H", {"a": [1, "x,y"]}, "y", ["y", "z"], 2.5], ["c,2", -1, 1000, False, None, {}, None, None, None]])


def test_an_error_tells_its_input_line_and_nothing_of_its_batch_is_stored(s):
    rows = [{"id": f"e{i}", "n": i} for i in range(10)]
    rows[6]["n"] = "six"
    summary, said = ingest(s, "--batch", "4", "--window", "1", stdin=lines(rows), status=1)
    equal([(e["line"], e["last_line"]) for e in said], [(7, 7)])
    equal(count(s, 'id LIKE "e%"'), 4)
    for bad, line, word in [(b'{"id": "q1"}\n{"id": "q2", "frob": 1}\n', 2, "frob"), (b'{"id": "q1"}\n{"id"\n', 2, "JSON"),
                            (b'{"id": "q1"}\n\n[1]\n', 3, "object"), (b'{"n": 1}\n', 1, "id"), (b'{"id": "q1", "id": "q2"}\n', 1, "JSON"),
                            (b'{"id": "\xff"}\n', 1, "JSON"), (b'{"id": "' + b"x" * 1000000 + b'"}\n', 1, "KiB")]:
        _, said = ingest(s, stdin=bad, status=1)
        equal(said[0]["line"], line)
        has(said[0]["message"], word)
    equal(count(s, 'id LIKE "q%"'), 0)
    for bad, line in [("id,n\nq1,1\nq2\n", 3), ("id,n\nq1,x\n", 2), ('id,n\n"q1\nx",1\nq2,"a"b\n', 4), ('id,n\nq1,"1\n', 2), ("id,n,n\n", 1)]:
        _, said = ingest(s, "--input", "csv", stdin=bad.encode(), status=1)
        equal(said[0]["line"], line)
    equal(count(s, 'id LIKE "q%"'), 0)


def test_skip_leaves_refused_rows_out(s):
    rows = [{"id": f"s{i}", "n": i} for i in range(50)]
    rows[20]["id"] = "s5"      # there already
    rows[30]["at"] = "no time"  # refused by the system
    rows[40]["n"] = "forty"
    rows[45]["frob"] = 1
    summary, said = ingest(s, "--on-error", "skip", "--batch", "10", stdin=lines(rows), status=1)
    equal((summary["rows"], summary["committed"], summary["refused"]), (50, 46, 4))
    equal(sorted(e["line"] for e in said), [21, 31, 41, 46])
    equal(count(s, 'id LIKE "s%"'), 46)


def test_an_unknown_record_or_bucket(s):
    has(s.refused("ingest", "-b", "lake", "-r", "nothing", stdin=b""), "UNKNOWN_RECORD")
    has(s.refused("ingest", "-b", "nowhere", "-r", "rows", stdin=b""), "UNKNOWN_BUCKET")


def test_nothing_to_do_is_good(s):
    summary, _ = ingest(s, stdin=b"")
    equal((summary["rows"], summary["messages"]), (0, 0))
    has(s.ok("ingest", "-b", "lake", "-r", "rows", stdin=lines([{"id": "one"}])), "1 of 1 rows committed")


def test_the_same_prefix_again_changes_nothing(s):
    path = s.file("again.jsonl", lines([{"id": f"a{i}", "n": i} for i in range(1000)]))
    first, _ = ingest(s, path, "--batch", "100", "--request-prefix", "again")
    equal((first["committed"], first["messages"]), (1000, 10))
    s.ok("exec", "-b", "lake", 'DELETE FROM rows WHERE id = "a5";')
    second, _ = ingest(s, path, "--batch", "100", "--request-prefix", "again")
    equal(second["committed"], 1000)
    equal(count(s, 'id LIKE "a%"'), 999)
    third, said = ingest(s, path, "--batch", "100", "--request-prefix", "other", status=1)
    has(said[0]["message"], "exists")


def test_a_fixed_line_is_gone_on_with_under_the_same_prefix(s):
    rows = [{"id": f"f{i}", "n": i} for i in range(100)]
    rows[57]["n"] = "x"
    ingest(s, "--batch", "10", "--window", "1", "--request-prefix", "fix", stdin=lines(rows), status=1)
    equal(count(s, 'id LIKE "f%"'), 50)
    rows[57]["n"] = 57
    summary, _ = ingest(s, "--batch", "10", "--request-prefix", "fix", stdin=lines(rows))
    equal(summary["committed"], 100)
    equal(count(s, 'id LIKE "f%"'), 100)


def test_rows_larger_than_a_batch_may_be_split_it(s):
    rows = [{"id": f"w{i}", "doc": {"text": "x" * 200000}} for i in range(20)]
    summary, _ = ingest(s, stdin=lines(rows))
    equal(summary["committed"], 20)
    assert summary["messages"] >= 5, summary


def test_sigkill_in_the_middle_loses_and_doubles_nothing(s):
    path = s.file("many.jsonl", lines([{"id": f"k{i}", "n": i, "doc": {"i": i}, "peer": "x", "level": i} for i in range(20000)]))
    client = subprocess.Popen([QUANTA, "ingest", "-b", "lake", "-r", "rows", "--batch", "100", "--format", "json", path], env=s.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    before = json.loads(s.get("/admin/status")[1])["committed"]
    wait_for("half of the rows", lambda: json.loads(s.get("/admin/status")[1])["committed"] > before + 60)
    assert client.poll() is None, "it was over before it could be hit"
    s.kill()
    s.start()
    out, err = client.communicate(timeout=60)
    equal((client.returncode, err), (0, b""))
    equal(json.loads(out)["committed"], 20000)
    equal(s.query("lake", 'SELECT count(*), sum(n), count(doc.i), count(peer), count(level) FROM rows WHERE id LIKE "k%";'),
          [[20000, sum(range(20000)), 20000, 20000, 20000]])


def test_ctrl_c_ends_it_and_tells_how_to_go_on(s):
    reader, writer = os.pipe()
    client = subprocess.Popen([QUANTA, "ingest", "-b", "lake", "-r", "rows", "--batch", "1"], env=s.env, stdin=reader,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(writer, lines([{"id": f"i{i}"} for i in range(100)]))
    wait_for("the rows", lambda: count(s, 'id LIKE "i%"') >= 80)
    client.send_signal(signal.SIGINT)
    os.close(writer)
    out, err = client.communicate(timeout=30)
    equal(client.returncode, 1)
    has(err.decode(), "--request-prefix ingest-")
