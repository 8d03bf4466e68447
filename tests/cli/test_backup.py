"""quanta wal backup, restore, compact, export, beside a running system and without one."""
import json
import os
import shutil

from system import System, equal, has


def setup(scratch):
    s = System(scratch)
    s.ok("bucket", "create", "one")
    s.ok("exec", "-b", "one", "CREATE RECORD things (id scalar string, n scalar int, doc document);")
    for i in range(30):
        s.ok("exec", "-b", "one", f'INSERT INTO things {{ id: "t{i}", n: {i}, doc: {{ i: {i} }} }};')
    s.wal = os.path.join(s.dir, "wal")
    return s


def exported(s, *args):
    return [json.loads(line) for line in s.ok("wal", "export", *args).splitlines()]


def test_export_has_everything(s):
    records = exported(s)
    lsns = [r["lsn"] for r in records]
    equal(lsns, list(range(1, lsns[-1] + 1)))
    assert any("redo" in r for r in records)
    done = s.expect(0, "wal", "export", "--format", "msgpack")
    assert done.stdout[:1] in (b"\x84", b"\x85", b"\x86", b"\x87", b"\x8a"), done.stdout[:20]
    equal([r["lsn"] for r in exported(s, "--from", "3", "--to", "5")], [3, 4, 5])


def test_backup_beside_the_running_system_and_restore(s):
    to = os.path.join(s.scratch, "backup")
    has(s.ok("wal", "backup", to), "backed up")
    manifest = json.load(open(os.path.join(to, "manifest.json")))
    assert manifest["last_lsn"] >= 31 and manifest["files"], manifest
    has(s.refused("wal", "backup", to), "isn't empty")
    back = os.path.join(s.scratch, "restored")
    has(s.ok("wal", "restore", to, "--dir", back), "restored")
    original = exported(s)
    equal(exported(s, "--dir", back), original[:manifest["last_lsn"]])
    has(s.refused("wal", "restore", to, "--dir", back), "isn't empty")


def test_a_damaged_backup_is_refused(s):
    to = os.path.join(s.scratch, "damaged")
    s.ok("wal", "backup", to)
    with open(os.path.join(to, "data.mdb"), "r+b") as f:
        f.seek(5000)
        f.write(b"x")
    target = os.path.join(s.scratch, "nothing")
    has(s.refused("wal", "restore", to, "--dir", target), "data.mdb")
    equal(os.listdir(target), [])
    os.remove(os.path.join(to, "manifest.json"))
    has(s.refused("wal", "restore", to, "--dir", target), "manifest")


def test_compact_needs_the_coordinator_stopped(s):
    has(s.refused("wal", "compact"), "in use by process")
    before = exported(s)
    s.stop()
    has(s.ok("wal", "compact"), "compacted")
    has(s.ok("wal", "verify"), "good")
    equal(exported(s)[:len(before)], before)
    s.start()
    equal(len(s.query("one", "SELECT id FROM things;")), 30)
    s.ok("exec", "-b", "one", 'INSERT INTO things { id: "after" };')


def test_an_old_copy_serves_only_when_it_is_adopted(s):
    old = os.path.join(s.scratch, "old")
    s.ok("wal", "backup", old)
    s.ok("exec", "-b", "one", 'UPDATE things SET n = 1000 WHERE id = "t1";')
    s.stop()
    shutil.rmtree(s.wal)
    s.ok("wal", "restore", old, "--dir", s.wal)
    dev = s.spawn_dev()
    assert dev.wait(60) != 0, "a log older than the engines was served"
    dev.stdout.close()
    shutil.rmtree(s.wal)
    s.ok("wal", "restore", old, "--dir", s.wal, "--adopt")
    s.start()
    equal(s.query("one", 'SELECT n FROM things WHERE id = "t1";'), [[1000]])
    s.ok("exec", "-b", "one", 'UPDATE things SET n = 1001 WHERE id = "t1";')
    equal(s.query("one", 'SELECT n FROM things WHERE id = "t1";'), [[1001]])
    has(s.ok("wal", "ls", "--type", "operator"), "restored by")


def test_accept_older_meta_leaves_a_sound_log_alone(s):
    s.stop()
    has(s.ok("wal", "verify", "--accept-older-meta"), "sound")
    s.start()
