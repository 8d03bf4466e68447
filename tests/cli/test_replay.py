"""quanta wal replay: engines whose data is gone are rebuilt from the log; what serves stays as it is."""
import json
import os
import shutil

from system import System, equal, has, wait_for

ENGINES = ("postgres", "mongo", "neo4j", "influx")


def setup(scratch):
    s = System(scratch)
    s.ok("bucket", "create", "shop")
    s.ok("exec", "-b", "shop", "CREATE RECORD drivers (id scalar string, name scalar string unique);")
    s.ok("exec", "-b", "shop", "CREATE RECORD orders (id scalar string, total scalar int, customer document, driver relation to drivers, temp metric);")
    for i in range(4):
        s.ok("exec", "-b", "shop", f'INSERT INTO drivers {{ id: "d{i}", name: "n{i}" }};')
    for i in range(12):
        s.ok("exec", "-b", "shop", f'INSERT INTO orders {{ id: "o{i}", total: {i}, customer: {{ n: {i} }}, driver: relation("d{i % 4}"), temp: {i}.5 }};')
    s.ok("exec", "-b", "shop", 'UPDATE orders SET customer.n = 100, total = total + 1 WHERE id = "o1";')
    s.ok("exec", "-b", "shop", 'UPDATE orders SET customer.more = [1, 2] WHERE id = "o1";')
    s.ok("exec", "-b", "shop", 'UPDATE orders SET temp = 99.5 WHERE id = "o2";')
    s.ok("exec", "-b", "shop", 'DELETE FROM orders WHERE id = "o3";')
    s.ok("exec", "-b", "shop", 'DELETE FROM orders WHERE id = "o4";')
    s.ok("exec", "-b", "shop", 'INSERT INTO orders { id: "o4", total: 44 };')
    s.ok("exec", "-b", "shop", "CREATE RECORD gone (id scalar string, doc document);")
    s.ok("exec", "-b", "shop", 'INSERT INTO gone { id: "g", doc: { x: 1 } };')
    s.ok("exec", "-b", "shop", "DROP RECORD gone;")
    s.ok("exec", "-b", "shop", 'UPDATE drivers SET name = "free" WHERE id = "d0";')
    s.ok("exec", "-b", "shop", 'UPDATE drivers SET name = "n0" WHERE id = "d1";')
    return s


def everything(s):
    return (s.query("shop", "SELECT * FROM orders ORDER BY id;"), s.query("shop", "SELECT * FROM drivers ORDER BY id;"))


def states(s):
    return json.loads(s.ok("status", "--format", "json"))["engines"]


def lose(s, engine):
    s.stop()
    path = os.path.join(s.dir, "engines", engine)
    if not os.path.isdir(path):
        path = next(os.path.join(d, engine) for d, names, _ in os.walk(s.dir) if engine in names)
    shutil.rmtree(path)
    s.start()


def test_each_lost_engine_is_rebuilt(s):
    before = everything(s)
    for engine in ENGINES:
        lose(s, engine)
        wait_for("it is seen", lambda: states(s)[engine] == "needs replay")
        equal([states(s)[e] for e in ENGINES if e != engine], ["ready"] * 3)
        out = json.loads(s.ok("wal", "replay", "--engine", engine, "--from", "0", "--format", "json"))
        equal((out["engine"], out["state"]), (engine, "ready"))
        assert out["items"] > 4, out
        equal(everything(s), before)
    s.ok("exec", "-b", "shop", 'INSERT INTO drivers { id: "dx", name: "nx" };')
    has(s.refused("exec", "-b", "shop", 'INSERT INTO drivers { id: "dy", name: "nx" };'), "DUPLICATE")


def test_a_replay_of_what_serves_changes_nothing(s):
    before = everything(s)
    text = s.ok("wal", "replay", "--bucket", "shop", "--record", "orders")
    has(text, "ready", *ENGINES)
    equal(everything(s), before)


def test_dry_run_needs_no_system(s):
    live = json.loads(s.ok("wal", "replay", "--engine", "mongo", "--dry-run", "--format", "json"))
    assert live["items"] and live["keys"], live
    some = json.loads(s.ok("wal", "replay", "--engine", "mongo", "--dry-run", "--from", "20", "--format", "json"))
    assert some["items"] < live["items"], (some, live)
    s.stop()
    has(s.ok("wal", "replay", "--dry-run"), *ENGINES)
    s.start()


def test_what_makes_no_sense_is_refused(s):
    has(s.usage("wal", "replay", "--engine", "oracle"), "--engine")
    has(s.usage("wal", "replay", "--from", "9", "--to", "3"), "--from")
    has(s.usage("wal", "replay", "--to", "3", "--until", "2026-01-01T00:00:00Z"), "exclude")
    has(s.refused("wal", "replay", "--engine", "mongo", "--bucket", "nowhere"), "nowhere")
    has(s.ok("wal", "replay", "--help"), "--dry-run")


def test_a_damaged_record_stops_it_with_its_place(s):
    s.stop()
    broken = os.path.join(s.scratch, "broken")
    shutil.copytree(os.path.join(s.dir, "wal"), broken)
    path = os.path.join(broken, "data.mdb")
    with open(path, "r+b") as f:
        data = f.read()
        f.seek(data.rindex(b"INSERT INTO orders"))
        f.write(b"UPSERT")
    has(s.refused("wal", "replay", "--dry-run", "--dir", broken), "record")
    s.start()
