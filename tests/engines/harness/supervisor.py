"""The life of one server in its directory: start, stop, kill, pause, resume, wipe.

DIR/NAME holds, beside the server's own files:
    ports.json  the ports it keeps for life     options.json  what `up` was told that lasts
    pid         its leader (see `procs`); there from just after the start until it was ended on purpose
    external    the URI of a server that isn't ours; then there is nothing else
    lock        held by whoever starts or ends it

What a restart or a crash of this program leaves behind is found again by where it runs, never by memory of having started it.
"""

import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

from . import cache, procs, servers
from .errors import EngineError, MissingError, UsageError

LOG_TAIL_LINES = 30
# Below the range the kernel takes clients' ports from: a server that is down for a while finds its port free again.
PORT_FIRST, PORT_LAST = 18000, 31999
PORT_TRIES = 200
CAP_DAC_READ_SEARCH = 2  # capabilities(7)
POLL_S = 0.05


class Cancelled(Exception):
    """Another server failed, or the user gave up: this start is to end too."""


def _free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is only in TIME_WAIT doesn't count
        try:
            s.bind((servers.HOST, port))
        except OSError:
            return False
    return True


class Engine:
    """One server in `base`/NAME."""

    def __init__(self, name, base):
        self.cls = servers.class_of(name)
        self.name, self.base = name, os.path.realpath(base)
        self.directory = os.path.join(self.base, name)

    # What is on the disk

    def _file(self, name):
        return os.path.join(self.directory, name)

    def _read(self, name):
        try:
            with open(self._file(name), encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return None

    @property
    def log_path(self):
        return self._file("log")

    @property
    def external(self):
        return self._read("external")

    @property
    def configured(self):
        """Whether `up` was ever told of it here."""
        return self.external is not None or self._read("ports.json") is not None

    def server(self):
        ports = self._read("ports.json")
        return self.cls(self.directory, json.loads(ports) if ports else None, json.loads(self._read("options.json") or "{}"))

    @property
    def uri(self):
        return self.external or self.server().uri

    def settings(self):
        return self.server().settings(self.uri)

    def log_tail(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                lines = f.readlines()[-LOG_TAIL_LINES:]
        except FileNotFoundError:
            lines = []
        return f"--- the last of {self.log_path}\n" + "".join(lines) + "---"

    # What runs

    def leader(self):
        return procs.read_pid_file(self._file("pid"))

    def members(self):
        return procs.members(self.directory, self.cls.executables)

    def lock(self):
        os.makedirs(self.directory, mode=0o755, exist_ok=True)
        return cache.locked(self._file("lock"))

    def ours(self):
        if self.external is not None:
            raise UsageError(f"{self.name} was given by URI ({self.external}): it isn't ours to touch")

    def known(self):
        self.ours()
        if not self.configured:
            raise UsageError(f"{self.name} was never started in {self.base}: run `up {self.name}` first")

    def status(self, ask=True):
        """state: up (answers), silent (runs, no answer), paused, dead (ended by itself, or parts of it are left), down, external, unreachable."""
        if not self.configured:
            return {"name": self.name, "state": "absent"}
        if self.external is not None:
            found = {"name": self.name, "state": "external", "uri": self.external}
            return found if not ask or self._answers() else {**found, "state": "unreachable"}
        server, leader, members = self.server(), self.leader(), self.members()
        found = {"name": self.name, "state": "down", "uri": server.uri, "host": servers.HOST, "port": server.port, "pid": leader,
                 "processes": len(members), "memory_mib": procs.rss_mib(members), "directory": self.directory}
        if leader is None:
            # A start under way has members before its leader is written down; it holds the lock, so the word is only for a moment.
            found["state"] = "dead" if members or self._read("pid") is not None else "down"
        elif procs.state(leader) in ("T", "t"):
            found["state"] = "paused"
        else:
            found["state"] = "up" if not ask or self._answers() else "silent"
        return found

    def _answers(self):
        try:
            self.server().answers(self.uri)
            return True
        except servers.NotYet:
            return False

    # What `up` is told

    def adopt(self, uri):
        """Takes a running server by URI."""
        with self.lock():
            if self._read("ports.json") is not None:
                raise UsageError(f"{self.base} already has a {self.name} of its own: use another directory, or unset "
                                 f"QUANTA_TEST_{self.cls.env_name}")
            servers.write(self._file("external"), uri)
            try:
                self.server().answers(uri)
            except servers.NotYet as e:
                os.unlink(self._file("external"))
                raise EngineError(f"{self.name} at {uri} (QUANTA_TEST_{self.cls.env_name}) doesn't answer: {e}") from None

    def is_own(self, uri):
        return self._read("ports.json") is not None and uri == self.server().uri

    def configure(self, options):
        if options is not None:
            os.makedirs(self.directory, mode=0o755, exist_ok=True)
            servers.write(self._file("options.json"), json.dumps(options))

    # Start

    def start(self, timeout_s, cancelled=lambda: False):
        """Returns once the server answers; True when it had to be started. EngineError carries the end of its log; nothing of it runs then."""
        with self.lock():
            if self.external is not None:
                if procs.members(self.directory, self.cls.executables) or not self._answers():
                    raise EngineError(f"{self.name} at {self.external} doesn't answer")
                return False
            if self.leader() is not None:
                return self._start_running()
            missing = self.server().missing()
            if missing:
                raise MissingError(missing)
            if not procs.kill_all(self.directory, self.cls.executables):  # what a dead leader left would hold the port or the data
                raise EngineError(f"{self.name}: a process of an earlier start can't be ended: {self.members()}")
            self.server().clear_leftovers()
            try:
                self._launch(timeout_s, cancelled)
            except BaseException:
                procs.kill_all(self.directory, self.cls.executables)
                self._forget()
                raise
            return True

    def _start_running(self):
        if procs.state(self.leader()) in ("T", "t"):
            raise EngineError(f"{self.name} is paused: `cont {self.name}` resumes it")
        try:
            self.server().answers(self.uri)
        except servers.NotYet as e:
            raise EngineError(f"{self.name} runs but doesn't answer: {e}\n{self.log_tail()}") from None
        return False

    def _ports(self):
        """The server's ports: chosen once, kept for life, so that a restart is one for its clients."""
        kept = self._read("ports.json")
        if kept is None or not os.path.isdir(self._file("data")):  # without data nobody relies on them yet
            ports = json.loads(kept) if kept else {}
            if not ports or not all(_free(p) for p in ports.values()):
                ports = self._choose_ports()
                servers.write(self._file("ports.json"), json.dumps(ports))
            return ports
        taken = [p for p in json.loads(kept).values() if not _free(p)]
        if taken:
            raise EngineError(f"{self.name}: port {taken[0]} is now used by another process")
        return json.loads(kept)

    def _choose_ports(self):
        ports = {}
        for _ in range(PORT_TRIES):
            port = random.randint(PORT_FIRST, PORT_LAST)
            if port not in ports.values() and _free(port):
                ports[next(n for n in self.cls.port_names if n not in ports)] = port
                if len(ports) == len(self.cls.port_names):
                    return ports
        raise EngineError(f"{self.name}: no free port between {PORT_FIRST} and {PORT_LAST}")

    def _hand_over(self, user):
        """Gives the directory to the user that the server runs as."""
        os.chmod(self.base, os.stat(self.base).st_mode | 0o711)
        account = pwd.getpwnam(user)
        for entry in (self.directory, *(e.path for e in os.scandir(self.directory) if e.is_file())):
            os.chown(entry, account.pw_uid, account.pw_gid)

    def _wall(self):
        """The first directory above that other users may not pass through (a private temporary one, say), or None."""
        above = os.path.dirname(self.base)
        while above != "/":
            if not os.stat(above).st_mode & 0o001:
                return above
            above = os.path.dirname(above)
        return None

    def _as_user(self, user, argv):
        """(argv, Popen's arguments) to run `argv` as `user`. Behind a wall it also gets the one capability that lets it through."""
        account, wall = pwd.getpwnam(user), self._wall()
        if wall is None:
            return argv, {"user": user, "group": account.pw_gid, "extra_groups": []}
        with open("/proc/self/status", encoding="ascii") as f:
            bounding = next(int(line.split()[1], 16) for line in f if line.startswith("CapBnd:"))
        if not bounding >> CAP_DAC_READ_SEARCH & 1 or not shutil.which("setpriv"):
            raise EngineError(f"{self.name} runs as the user {user}, who may not pass through {wall}: "
                              f"choose another --dir, or `chmod o+x {wall}`")
        capability = "+dac_read_search"
        return ["setpriv", "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups",
                "--inh-caps", capability, "--ambient-caps", capability, "--", *argv], {}

    def _popen(self, argv, extra_env, log, user):
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}  # PGDATA, PGPORT … would change what we set
        identity = {}
        if user:
            env.update(HOME=pwd.getpwnam(user).pw_dir, USER=user, LOGNAME=user)
            argv, identity = self._as_user(user, argv)
        env.update(extra_env)
        return subprocess.Popen(argv, cwd=self.directory, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                start_new_session=True, **identity)  # its own session: a Ctrl-C meant for the test isn't for it

    def _launch(self, timeout_s, cancelled):
        deadline = time.monotonic() + timeout_s
        servers.write(self._file("ports.json"), json.dumps(self._ports()))
        server = self.server()
        with open(self.log_path, "ab") as log:
            log.write(f"=== start, {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
            log.flush()
            if server.run_as:
                self._hand_over(server.run_as)

            def step(argv):
                child = self._popen(argv, {}, log, server.run_as)
                self._wait_for(lambda: child.poll() is not None, deadline, cancelled, lambda: f"{argv[0]} has not ended")
                if child.returncode != 0:
                    raise EngineError(f"{self.name}: {argv[0]} failed (status {child.returncode})\n{self.log_tail()}")

            server.prepare(step)
            if server.run_as:
                self._hand_over(server.run_as)  # the files just written
            argv, extra_env = server.command()
            child = self._popen(argv, extra_env, log, server.run_as)
            procs.write_pid_file(self._file("pid"), child.pid)
        self._wait_until_answering(server, child, deadline, cancelled)

    def _wait_until_answering(self, server, child, deadline, cancelled):
        said = "it doesn't listen on its port"

        def ready():
            nonlocal said
            if child.poll() is not None:
                how = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
                raise EngineError(f"{self.name} ended while starting ({how})\n{self.log_tail()}")
            if not procs.listens(self.members(), server.port):
                return False
            try:
                server.settle()
                server.answers(server.uri)
                return True
            except servers.NotYet as e:
                said = str(e)
                return False
        self._wait_for(ready, deadline, cancelled, lambda: said)

    def _wait_for(self, done, deadline, cancelled, why):
        while not done():
            if cancelled():
                raise Cancelled(self.name)
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name} was not ready in time: {why()}\n{self.log_tail()}")
            time.sleep(POLL_S)

    # End

    def _forget(self):
        try:
            os.unlink(self._file("pid"))
        except FileNotFoundError:
            pass

    def stop(self, timeout_s=10, now=False):
        """Ends it with everything that belongs to it: asked first and given `timeout_s`, or killed at once. True when something ran."""
        if not os.path.isdir(self.directory) and not self.members():
            return False
        with self.lock():
            ran = bool(self.members())
            if not now and ran:
                leader = self.leader()
                # Without a leader we know of there is nobody to ask: an interrupted start, or what a crash left.
                if leader is not None:
                    procs.send(leader, self.directory, self.cls.executables, getattr(signal, self.cls.stop_signal))
                    procs.resume_all(self.directory, self.cls.executables)  # a paused one couldn't hear it
                    procs.wait_gone(self.directory, self.cls.executables, timeout_s)
            if not procs.kill_all(self.directory, self.cls.executables):
                raise EngineError(f"{self.name}: these processes don't end: {self.members()}")
            self.server().clear_leftovers()
            self._forget()
            return ran

    def kill(self):
        """SIGKILL to all of it, as the machine's power cut would look to its clients; returns when nothing of it is left."""
        self.known()
        if not self.stop(now=True):
            raise EngineError(f"{self.name} isn't running")

    def pause(self):
        self.known()
        with self.lock():
            if not self.members():
                raise EngineError(f"{self.name} isn't running")
            if not procs.pause_all(self.directory, self.cls.executables):
                raise EngineError(f"{self.name}: not every process stands still")

    def resume(self):
        self.known()
        with self.lock():
            if not self.members():
                raise EngineError(f"{self.name} isn't running")
            procs.resume_all(self.directory, self.cls.executables)

    def wipe(self):
        self.known()
        with self.lock():
            if self.members():
                raise EngineError(f"{self.name} runs: stop or kill it before its data is deleted")
            self.server().clear_leftovers()
            for name in ("data", "data.new"):
                if os.path.isdir(self._file(name)):
                    shutil.rmtree(self._file(name))


def write_settings(base, engines):
    """Writes DIR/quanta.yaml and DIR/env for all that is configured; returns the former's text."""
    sections, exports = {"/kafka": None, "engines": {}, "/redis": None}, [("QUANTA_ENGINES_DIR", base)]
    for engine in engines:
        section, mapping = engine.settings()
        if section is not None and section.startswith("/"):
            sections[section] = mapping
        elif section is not None:
            sections["engines"][section] = mapping
        variable = f"QUANTA_TEST_{engine.cls.env_name}"
        address = urllib.parse.urlsplit(engine.uri if "://" in engine.uri else f"//{engine.uri}").netloc.rpartition("@")[2].split(",")[0]
        host, _, port = address.partition(":")
        exports += [(variable, engine.uri), (f"{variable}_HOST", host), (f"{variable}_PORT", port)]

    def flow(mapping):  # a JSON string is a YAML string too
        return "{" + ", ".join(f"{key}: {json.dumps(value)}" for key, value in mapping.items()) + "}"
    lines = []
    for section, mapping in sections.items():
        if section == "engines" and mapping:
            lines += ["engines:", *(f"  {name}: {flow(inner)}" for name, inner in mapping.items())]
        elif section != "engines" and mapping:
            lines.append(f"{section[1:]}: {flow(mapping)}")
    text = "\n".join(lines) + "\n"

    def quoted(value):
        return "'" + value.replace("'", "'\\''") + "'"
    for name, content in (("quanta.yaml", text), ("env", "".join(f"export {n}={quoted(v)}\n" for n, v in exports))):
        temporary = os.path.join(base, f".{name}.new")
        servers.write(temporary, content)
        os.replace(temporary, os.path.join(base, name))
    return text
