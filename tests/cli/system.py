"""A `quanta dev` of the test's own, the commands around it, and kcat as the client that nobody here wrote. Waits are for conditions."""
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUANTA = os.environ.get("QUANTA_BIN", os.path.join(ROOT, "bin", "quanta"))
DEADLINE_S = 30


class Skip(Exception):
    pass


def wait_for(what, condition, seconds=DEADLINE_S):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


def has(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in:\n{text}"


class System:
    """A home directory, and the dev that is running in it."""

    def __init__(self, scratch, start=True):
        self.home = os.path.join(scratch, "home")
        self.dir = os.path.join(scratch, "data")
        os.makedirs(self.home)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("QUANTA_")}
        self.env.update(HOME=self.home, LC_ALL="C.UTF-8", TERM="xterm")
        self.scratch = scratch
        self.dev = None
        self.bootstrap = self.http = None
        if start:
            self.start()

    # ---- the process ----

    def spawn_dev(self, *options):
        self.log = os.path.join(self.scratch, "dev.log")
        with open(self.log, "ab") as log:
            return subprocess.Popen([QUANTA, "dev", "--dir", self.dir, *options], stdout=subprocess.PIPE, stderr=log, env=self.env)

    def start(self, *options):
        self.dev = self.spawn_dev(*options)
        line = self.dev.stdout.readline().decode()
        match = re.fullmatch(r"ready bootstrap=(\S+) http=(\S+)\n", line)
        assert match, f"quanta dev said {line!r}; its log: {self.log_tail()}"
        self.bootstrap, self.http = match.groups()
        return line

    def end(self, sig):
        self.dev.send_signal(sig)
        status = self.dev.wait(DEADLINE_S)
        self.dev.stdout.close()
        self.dev = None
        return status

    def kill(self):
        return self.end(signal.SIGKILL)

    def stop(self):
        return self.end(signal.SIGTERM)

    def close(self):
        if self.dev:
            self.kill()

    def log_tail(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read().splitlines()[-5:]
        except (AttributeError, OSError):
            return []

    # ---- commands ----

    def run(self, *args, stdin=b"", seconds=DEADLINE_S, env=None):
        done = subprocess.run([QUANTA, *args], input=stdin, capture_output=True, env={**self.env, **(env or {})}, timeout=seconds)
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return done

    def expect(self, status, *args, **more):
        done = self.run(*args, **more)
        assert done.returncode == status, f"{args} ended with {done.returncode}, not {status}\nstdout: {done.out}\nstderr: {done.err}"
        return done

    def ok(self, *args, **more):
        return self.expect(0, *args, **more).out

    def refused(self, *args, **more):
        return self.expect(1, *args, **more).err

    def usage(self, *args, **more):
        return self.expect(2, *args, **more).err

    def query(self, bucket, text, *more):
        """The first result's rows, or its count."""
        result = json.loads(self.ok("exec", "-b", bucket, "--format", "json", *more, text))
        entry = result["results"][0]
        return entry["rows"] if "rows" in entry else entry["count"]

    # ---- as a plain Kafka client, and over HTTP ----

    def file(self, name, content):
        path = os.path.join(self.scratch, name)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def publish(self, content, key=None, headers=()):
        args = ["kcat", "-P", "-b", self.bootstrap, "-t", "quanta.requests", "-X", "message.max.bytes=8000000"]
        if key:
            args += ["-k", key]
        for header in headers:
            args += ["-H", header]
        path = self.file("message", content)
        subprocess.run(args + [path], check=True, capture_output=True, timeout=DEADLINE_S)

    def results(self, topic="quanta.results"):
        """Everything on the results topic, by request id."""
        out = subprocess.run(["kcat", "-C", "-b", self.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k\t%s\n",
                              "-X", "fetch.wait.max.ms=5"], check=True, capture_output=True, timeout=DEADLINE_S).stdout
        found = {}
        for line in out.splitlines():
            key, value = line.split(b"\t", 1)
            found[key.decode()] = json.loads(value) if value.startswith(b"{") else value
        return found

    def send(self, request_id, content, key=None, headers=()):
        """Publishes under a request id; the result."""
        self.publish(content, key, (f"request-id={request_id}", *headers))
        return wait_for(f"a result for {request_id}", lambda: self.results().get(request_id))

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=DEADLINE_S) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
