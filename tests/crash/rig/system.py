"""Real servers (tests/engines), a coordinator and workers as processes of their own, with failpoints that are set while they run."""
import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "tests", "engines"))
from harness.errors import EngineError  # noqa: E402
from harness.supervisor import Engine  # noqa: E402

ENGINES = ("postgres", "mongo", "neo4j", "influx")
SERVERS = ENGINES + ("kafka",)
START_S = 90
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for(what, condition, seconds):
    """The condition's value, and the seconds that it took."""
    began = time.monotonic()
    while True:
        value = condition()
        took = time.monotonic() - began
        if value:
            return value, took
        if took > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def get(port, path, timeout_s=1.0):
    """(status, text) or (0, why)."""
    try:
        with _direct.open(f"http://127.0.0.1:{port}{path}", timeout=timeout_s) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except OSError as e:
        return 0, str(e)


class Process:
    """One of ours: killed, stopped, started again with the same arguments."""

    def __init__(self, name, argv, directory, port):
        self.name, self.argv, self.directory, self.port = name, argv, directory, port
        self.log = os.path.join(directory, name + ".log")
        self.orders = os.path.join(directory, name + ".failpoint")
        self.child = None
        self.stopped = False

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("QUANTA_")}
        env["QUANTA_FAILPOINT_FILE"] = self.orders
        self.stopped = False
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=self.directory)

    def set_failpoint(self, spec):
        """NAME=ACTION[@N]: from the next failpoint that the process passes on."""
        with open(self.orders + ".new", "w", encoding="ascii") as f:
            f.write(spec + "\n")
        os.rename(self.orders + ".new", self.orders)

    def clear_failpoint(self):
        if os.path.exists(self.orders):
            os.unlink(self.orders)

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def state(self):
        """The kernel's letter for it: R, S, T (stopped), Z or "" (gone)."""
        try:
            with open(f"/proc/{self.child.pid}/stat", encoding="ascii") as f:
                return f.read().rpartition(")")[2].split()[0]
        except (OSError, AttributeError):
            return ""

    def ready(self, path="/readyz"):
        """/livez: it runs and answers; /readyz: it serves (the coordinator: every engine knows the epoch)."""
        return self.alive() and not self.stopped and get(self.port, path)[0] == 200

    def revive(self):
        """What a supervisor does: status 3 says that something it needs isn't there yet."""
        if not self.alive() and self.child.returncode == 3:
            self.start()
        elif not self.alive():
            raise AssertionError(f"{self.name} ended with status {self.child.returncode}:\n{self.tail()}")

    def wait_ready(self, path="/readyz", seconds=START_S):
        def check():
            self.revive()
            return self.ready(path)
        return wait_for(f"{self.name} is ready", check, seconds)[1]

    def kill(self):
        if self.alive():
            self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        self.stopped = False

    def pause(self):
        self.child.send_signal(signal.SIGSTOP)
        self.stopped = True

    def resume(self):
        self.child.send_signal(signal.SIGCONT)
        self.stopped = False

    def end(self, seconds=20):
        if not self.alive():
            return
        self.resume()
        self.child.terminate()
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} didn't end within {seconds} s of SIGTERM:\n{self.tail()}") from None

    def tail(self, lines=15):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except FileNotFoundError:
            return ""


class System:
    def __init__(self, directory, variant="failpoints", workers=1, settings=None, engines=ENGINES):
        self.directory = os.path.abspath(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.bin = os.path.join(ROOT, "build", variant, "bin")
        self.engines = engines
        self.servers = {name: Engine(name, os.path.join(self.directory, "servers")) for name in (*engines, "kafka")}
        self.settings = settings or {}
        self.workers = workers
        self.processes = {}
        self.config = os.path.join(self.directory, "quanta.yaml")

    # ---- servers ----

    def start_servers(self):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda e: e.start(START_S), self.servers.values()))

    def start_server(self, name):
        """Again, after a kill. While its clients haven't closed their ends yet, its port counts as taken for a moment."""
        until = time.monotonic() + 20
        while True:
            try:
                return self.servers[name].start(START_S)
            except EngineError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def stop_servers(self):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda e: e.stop(now=True), self.servers.values()))

    def uri(self, name):
        return self.servers[name].uri

    # ---- ours ----

    def write_config(self):
        names = ["coordinator"] + [f"{e}{i}" for e in self.engines for i in range(self.workers)]
        ports = dict(zip(names, free_ports(len(names))))
        config = {
            "kafka": {"bootstrap": self.uri("kafka")},
            "topics": {"requests_partitions": 3, "results_partitions": 1, "work_partitions": 2, "votes_partitions": 1, "changes_partitions": 1},
            "http": {"coordinator_port": ports["coordinator"]},
            "wal": {"dir": os.path.join(self.directory, "wal"), "max_bytes": "4GiB"},
            "up": {"dir": os.path.join(self.directory, "run")},
            "timeouts": {"request_ms": 20000},
            "engines": {},
        }
        for name in self.engines:
            section = dict(self.servers[name].settings()[1])
            section["http_port"] = ports[f"{name}0"]
            config["engines"][name] = section
        for path, value in self.settings.items():
            at = config
            *sections, last = path.split(".")
            for section in sections:
                at = at.setdefault(section, {})
            at[last] = value
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump(config, f, indent=1)  # JSON is YAML
        self.add("coordinator", ["quanta-coordinator", "-c", self.config], ports["coordinator"])
        for e in self.engines:
            for i in range(self.workers):
                self.add(f"{e}{i}", ["quanta-worker", "--engine", e, "--name", f"{e}{i}", "-c", self.config] + self.worker_options(ports[f"{e}{i}"], i), ports[f"{e}{i}"])

    @staticmethod
    def worker_options(port, index):
        return ["--http-port", str(port)] if index else []

    def add(self, name, argv, port):
        self.processes[name] = Process(name, [os.path.join(self.bin, argv[0]), *argv[1:]], self.directory, port)

    def start(self):
        for p in self.processes.values():
            p.start()
        self.wait_ready()

    def wait_ready(self, seconds=START_S):
        def check():
            for p in self.processes.values():
                p.revive()
            return all(p.ready() for p in self.processes.values())
        return wait_for("all processes serve", check, seconds)[1]

    def stop(self):
        for p in self.processes.values():
            if p.child is not None and p.alive():
                p.kill()

    @property
    def coordinator(self):
        return self.processes["coordinator"]

    def metric(self, name):
        """A metric of the coordinator's without labels; None when it doesn't answer."""
        status, text = get(self.coordinator.port, "/metrics")
        if status != 200:
            return None
        for line in text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return None

    def transactions(self):
        """What the coordinator has open, a line each."""
        return get(self.coordinator.port, "/admin/txns")[1].splitlines()

    def in_doubt(self):
        return self.metric("quanta_in_doubt")

    def in_flight(self):
        return self.metric("quanta_in_flight")
