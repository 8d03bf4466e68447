"""quanta wal: beside a running system, and on the log of a dead one."""
import json
import os
import shutil
import subprocess

from system import QUANTA, System, equal, has


def setup(scratch):
    s = System(scratch)
    for bucket in ("one", "two"):
        s.ok("bucket", "create", bucket)
        s.ok("exec", "-b", bucket, "CREATE RECORD things (id scalar string, secret scalar string, doc document);")
    for i in range(20):
        s.ok("exec", "-b", "one", "--request-id", f"w{i}", f'INSERT INTO things {{ id: "t{i}", secret: $s, doc: {{ i: {i} }} }};', "-p", "s=hush")
    s.ok("exec", "-b", "two", 'INSERT INTO things { id: "only" };')
    s.run("exec", "-b", "one", "--request-id", "dup", 'INSERT INTO things { id: "t1" };')
    s.wal = os.path.join(s.dir, "wal")
    return s


def listed(s, *args):
    return [json.loads(line) for line in s.ok("wal", "ls", "--format", "json", *args).splitlines()]


def test_ls_lists_everything_in_order(s):
    records = listed(s)
    lsns = [r["lsn"] for r in records]
    equal(lsns, list(range(lsns[0], lsns[0] + len(lsns))))
    assert {"epoch", "decision", "tail"} <= {r["type"] for r in records}
    table = s.ok("wal", "ls")
    has(table, "request id", "w7", f"({len(records)} record")
    assert "hush" not in table + json.dumps(records), "a parameter's value is in the listing"


def test_ls_filters(s):
    equal([r["request_id"] for r in listed(s, "--request-id", "w3")], ["w3"])
    equal({r["bucket"] for r in listed(s, "--bucket", "two")}, {"two"})
    decisions = listed(s, "--type", "decision")
    equal({r["type"] for r in decisions}, {"decision"})
    seqs = sorted(r["seq"] for r in decisions)
    equal(sorted(r["seq"] for r in listed(s, "--type", "decision", "--seq", f"{seqs[3]}..{seqs[6]}")), seqs[3:7])
    equal(sorted(r["seq"] for r in listed(s, "--type", "decision", "--seq", f"{seqs[-2]}..")), seqs[-2:])
    equal(len(listed(s, "--limit", "5")), 5)
    lsn = decisions[2]["lsn"]
    equal([r["lsn"] for r in listed(s, "--lsn", f"{lsn}..{lsn}")], [lsn])
    equal([r["outcome"] for r in listed(s, "--request-id", "dup")], ["aborted"])
    equal(listed(s, "--bucket", "nowhere"), [])
    equal({r["type"] for r in listed(s, "--type", "epoch", "--type", "tail")}, {"epoch", "tail"})


def test_show_prints_a_whole_record(s):
    lsn = listed(s, "--request-id", "w5")[0]["lsn"]
    record = json.loads(s.ok("wal", "show", str(lsn)))
    has(json.dumps(record["redo"]), "t5")
    equal(json.loads(record["reply"])["status"], "committed")
    equal(len(s.ok("wal", "show", str(lsn), "--format", "json").splitlines()), 1)
    has(s.refused("wal", "show", "999999"), "999999")
    for table in ("meta", "position", "catalog"):
        has(s.ok("wal", "show", table), f'"{table}"')


def test_info_and_tail(s):
    info = json.loads(s.ok("wal", "info", "--format", "json"))
    equal(info["records"], len(listed(s)))
    has(s.ok("wal", "info"), s.wal)
    last = [json.loads(line)["lsn"] for line in s.ok("wal", "tail", "-n", "3", "--format", "json").splitlines()]
    equal(last, [info["last_lsn"] - 2, info["last_lsn"] - 1, info["last_lsn"]])


def test_tail_follows_what_comes(s):
    tail = subprocess.Popen([QUANTA, "wal", "tail", "-f", "-n", "1", "--request-id", "followed", "--format", "json"], env=s.env, stdout=subprocess.PIPE)
    s.ok("exec", "-b", "one", "--request-id", "followed", 'INSERT INTO things { id: "followed" };')
    equal(json.loads(tail.stdout.readline())["request_id"], "followed")
    tail.terminate()
    equal(tail.wait(30), 0)
    tail.stdout.close()


def test_verify_beside_the_running_system(s):
    has(s.ok("wal", "verify"), "good:", "decisions")
    report = json.loads(s.ok("wal", "verify", "--format", "json"))
    assert report["good"] and report["decisions"] >= 24, report
    s.ok("exec", "-b", "one", 'INSERT INTO things { id: "after" };')


def test_a_dead_systems_log_can_be_read(s):
    before = len(listed(s))
    s.kill()
    assert len(listed(s)) >= before
    has(s.ok("wal", "verify"), "good:")
    s.start()
    s.ok("exec", "-b", "one", 'INSERT INTO things { id: "again" };')


def test_the_directory_may_be_named(s):
    lsns = [r["lsn"] for r in listed(s)]
    for directory in (s.dir, s.wal):
        equal([r["lsn"] for r in listed(s, "--dir", directory)][:len(lsns)], lsns)
    has(s.expect(3, "wal", "ls", "--dir", s.scratch).err, s.scratch)


def test_a_damaged_log_is_refused_with_the_place(s):
    s.stop()
    broken = os.path.join(s.scratch, "broken")
    shutil.copytree(s.wal, broken)
    path = os.path.join(broken, "data.mdb")
    with open(path, "r+b") as f:
        data = f.read()
        at = data.rindex(b'"w9"')  # in a stored reply
        f.seek(at + 1)
        f.write(b"W")
    for verb in ("verify", "ls"):
        done = s.expect(1, "wal", verb, "--dir", broken)
        has(done.err, "record")
    report = json.loads(s.expect(1, "wal", "verify", "--dir", broken, "--format", "json").out)
    equal(report["good"], False)
    with open(path, "r+b") as f:
        f.truncate(4096)
    s.expect(1, "wal", "verify", "--dir", broken)
    with open(path, "wb") as f:
        f.write(b"not a log at all" * 1000)
    s.expect(1, "wal", "verify", "--dir", broken)
    s.start()
