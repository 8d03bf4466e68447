"""quanta dev itself: its life, what survives it, what others see of it."""
import os
import shutil
import socket
import subprocess

from system import QUANTA, Skip, System, equal, has, wait_for


def setup(scratch):
    s = System(scratch)
    s.ok("bucket", "create", "bank")
    s.ok("exec", "-b", "bank", "CREATE RECORD accounts (id scalar int, balance scalar int, notes document, friend relation to accounts, level metric);")
    return s


def insert(s, first, count):
    rows = ", ".join(f"{{ id: {i}, balance: {i}, notes: {{ i: {i} }}, friend: relation({first}), level: {i} }}" for i in range(first, first + count))
    s.ok("exec", "-b", "bank", f"INSERT INTO accounts {rows};")


def totals(s):
    return s.query("bank", "SELECT count(*), sum(balance), count(notes.i), count(friend), count(level) FROM accounts;")[0]


def test_the_ready_file_holds_the_line_that_was_printed(s):
    with open(os.path.join(s.dir, "ready")) as f:
        equal(f.read(), f"ready bootstrap={s.bootstrap} http={s.http}\n")


def test_http(s):
    for path in ("/health", "/metrics", "/livez", "/readyz"):
        equal(s.get(path)[0], 200)
    equal(s.get("/nothing")[0], 404)
    has(s.get("/metrics")[1].decode(), "# TYPE", "quanta_")


def test_metrics_are_what_prometheus_reads(s):
    if not shutil.which("promtool"):
        raise Skip("promtool is missing: apt-get install prometheus")
    done = subprocess.run(["promtool", "check", "metrics"], input=s.get("/metrics")[1], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


def test_what_was_committed_survives_sigkill(s):
    insert(s, 0, 100)
    s.kill()
    s.start()
    equal(totals(s), [100, sum(range(100)), 100, 100, 100])


def test_what_was_committed_survives_a_clean_stop_which_ends_with_0(s):
    insert(s, 1000, 10)
    equal(s.stop(), 0)
    s.start()
    equal(totals(s)[0], 110)


def test_sigint_is_a_clean_stop_too(s):
    import signal
    equal(s.end(signal.SIGINT), 0)
    s.start()


def test_sigkill_under_load_again_and_again(s):
    before = totals(s)[0]
    acknowledged = 0
    for life in range(5):
        load = [subprocess.Popen([QUANTA, "exec", "-b", "bank", "--request-id", f"load-{life}-{i}", "--timeout", "20000",
                                  f"INSERT INTO accounts {{ id: {10000 + life * 100 + i}, balance: 0, notes: {{ i: 1 }}, friend: relation(0), level: 1 }};"],
                                 env=s.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(8)]
        wait_for("the first of eight to be acknowledged", lambda: any(p.poll() == 0 for p in load))  # and others are on their way
        s.kill()
        s.start()
        acknowledged += sum(p.wait(30) == 0 for p in load)
    count, _, notes, friends, levels = totals(s)
    assert count == notes == friends == levels, (count, notes, friends, levels)
    assert count >= before + acknowledged, (count, before, acknowledged)
    assert acknowledged >= 5, f"only {acknowledged} of 40 were acknowledged: clients don't follow a restart"


def test_two_on_one_directory(s):
    second = s.spawn_dev()
    status = second.wait(30)
    assert status not in (0, None), status
    second.stdout.close()
    last = "\n".join(s.log_tail())
    has(last, str(s.dev.pid), s.dir)
    insert(s, 2000, 1)  # the first goes on


def test_a_port_that_is_taken_is_named(s):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = s.expect(3, "dev", "--dir", os.path.join(s.scratch, "other"), "--http-port", str(port))
        has(done.err, str(port))
        equal(done.out, "")


def test_a_directory_that_can_not_be_made_is_named(s):
    path = s.file("plain-file", "x")
    has(s.run("dev", "--dir", os.path.join(path, "below")).err, path)


def test_a_chosen_port_is_used(s):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    s.stop()
    s.start("--http-port", str(port))
    equal(s.http, f"127.0.0.1:{port}")
    equal(s.get("/health")[0], 200)


def test_a_client_that_waits_follows_a_restart(s):
    """The request has no answer when the system dies; the client sends it again to the next life under the same id."""
    import signal
    s.dev.send_signal(signal.SIGSTOP)
    client = subprocess.Popen([QUANTA, "exec", "-b", "bank", 'INSERT INTO accounts { id: 777777, balance: 1 };'], env=s.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for("the client to have started", lambda: os.path.exists(f"/proc/{client.pid}/task") and len(os.listdir(f"/proc/{client.pid}/task")) > 2)
    s.dev.send_signal(signal.SIGKILL)
    s.dev.wait(30)
    s.dev.stdout.close()
    # It may have been connecting still: then it says so at once, which is right, too.
    s.start()
    out, err = client.communicate(timeout=30)
    assert client.returncode in (0, 3), err
    if client.returncode == 0:
        equal(s.query("bank", "SELECT count(*) FROM accounts WHERE id = 777777;"), [[1]])


def test_a_full_disk_is_told_and_loses_nothing(s):
    """On a file system of its own, 24 MB small; needs root to make it."""
    place = os.path.join(s.scratch, "small")
    os.makedirs(place)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "quanta-test", place], check=False).returncode != 0:
        raise Skip("a small file system can't be mounted here")
    small = System(os.path.join(s.scratch, "beside"), start=False)
    small.dir = os.path.join(place, "data")
    try:
        small.start()
        small.ok("bucket", "create", "fill")
        small.ok("exec", "-b", "fill", "CREATE RECORD rows (id scalar int, text scalar string);")
        committed = 0
        for batch in range(200):
            rows = ", ".join(f'{{ id: {batch * 100 + i}, text: "{"x" * 2000}" }}' for i in range(100))
            done = small.run("exec", "-b", "fill", "--timeout", "2000", "-f", "-", stdin=f"INSERT INTO rows {rows};".encode(), seconds=60)
            if done.returncode != 0:
                break
            committed += 100
        assert 0 < committed < 20000, committed
        with open(small.log, errors="replace") as f:
            said = f.read()
        assert "No space left on device" in said or "the disk is full" in said, said
        if small.dev.poll() is None:
            small.stop()
        subprocess.run(["mount", "-o", "remount,size=200m", place], check=True)
        small.start()
        found = small.query("fill", "SELECT count(*), count(text) FROM rows;")[0]
        assert found[0] == found[1] and found[0] % 100 == 0 and committed <= found[0] <= committed + 100, (found, committed)
    finally:
        small.close()
        subprocess.run(["umount", "-l", place], check=False)
