"""One class a server: what it needs, its files, its command line, and how to tell that it truly answers.

A server lives in DIR/NAME: `data/` is its own, `log` what it printed; everything else there is written anew at each start.
Nothing here starts or ends a server: that is `supervisor`.
"""

import base64
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from . import archive, cache
from .errors import EngineError

HOST = "127.0.0.1"
USER = "quanta"
PASSWORD = "quanta-test"  # where a server wants one; Neo4j wants eight characters or more
ANSWER_TIMEOUT_S = 5


class NotYet(Exception):
    """The server doesn't answer as it should, so far. Says what came instead."""


def run(argv, env=None, stdin=None, timeout_s=ANSWER_TIMEOUT_S):
    """A client's output; NotYet when it fails."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired:
        raise NotYet(f"{argv[0]} got no answer within {timeout_s} s") from None
    if done.returncode != 0:
        raise NotYet((done.stderr or done.stdout).strip() or f"{argv[0]} ended with status {done.returncode}")
    return done.stdout


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy: the servers are on this machine


def without_user(uri):
    """(the URI without user and password, (user, password) or None)"""
    parts = urllib.parse.urlsplit(uri)
    plain = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if parts.username is None:
        return plain, None
    return plain, (urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))


def http(url, body=None, form=None, credentials=None):
    """(status, text). `body` goes as JSON, `form` as a form; both make it a POST. NotYet when nobody answers."""
    headers = {}
    if credentials is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
    data = None
    if body is not None:
        headers["Content-Type"], data = "application/json", json.dumps(body).encode()
    elif form is not None:
        data = urllib.parse.urlencode(form).encode()
    try:
        with _direct.open(urllib.request.Request(url, data=data, headers=headers), timeout=ANSWER_TIMEOUT_S) as reply:
            return reply.status, reply.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode("utf-8", "replace")
    except OSError as e:
        raise NotYet(str(e)) from None


def write(path, text):
    """A file that is rewritten at every start."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def java():
    """The `java` to run: JAVA_HOME's, else Debian's 17, else the one in PATH; None when there is none."""
    home = os.environ.get("JAVA_HOME")
    candidates = [os.path.join(home, "bin", "java")] if home else []
    candidates += [f"/usr/lib/jvm/java-17-openjdk-{arch}/bin/java" for arch in ("amd64", "arm64")]
    return next((c for c in candidates if os.access(c, os.X_OK)), None) or shutil.which("java")


def missing_java():
    install = "apt-get install openjdk-17-jre-headless"
    program = java()
    if not program:
        return [("Java 17", install)]
    said = subprocess.run([program, "-version"], capture_output=True, text=True)
    version = re.search(r'version "(\d+)', said.stderr)
    if not version or int(version[1]) < 17:
        return [(f"Java 17 ({program} is {version[1] if version else 'unusable'})", install)]
    return []


def program(name, *places):
    """A program's path, looked for in `places` and then in PATH (which may lack the sbin directories); None when it isn't there."""
    return next((p for p in places if os.access(p, os.X_OK)), None) or shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin")


def missing_programs(*pairs):
    return [(f"the program `{name}`", f"apt-get install {package}") for name, package in pairs if not program(name)]


class Server:
    """`directory` is this server's own; `ports` the port numbers it may use, by the names in `port_names`."""

    name = ""
    env_name = ""              # QUANTA_TEST_<this> names a running one instead
    executables = ()           # base names of what may run in the directory on the server's behalf
    port_names = ("main",)
    run_as = None              # a user's name, when root may not run it
    stop_signal = "SIGTERM"
    options = {}               # settings that `up` was given and that last

    def __init__(self, directory, ports=None, options=None):
        self.directory, self.ports, self.options = directory, ports or {}, options or {}

    @property
    def data(self):
        return os.path.join(self.directory, "data")

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    @property
    def port(self):
        return self.ports["main"]

    def missing(self):
        """(what, install command) pairs for whatever starting it needs and isn't there."""
        raise NotImplementedError

    def prepare(self, step):
        """Writes configuration; makes the data directory when there is none, complete or not at all. `step(argv)` runs a tool of the
        server's as the server's user."""
        os.makedirs(self.data, exist_ok=True)

    def command(self):
        """(argv, what to add to the environment). It runs in `directory`."""
        raise NotImplementedError

    def settle(self):
        """First thing once it listens: what a new server needs before it can be used. Safe to repeat."""

    def answers(self, uri):
        """Asks the server at `uri` a real question; NotYet when the answer is wrong or missing."""
        raise NotImplementedError

    def clear_leftovers(self):
        """Removes what a killed server leaves outside its data, or in the way of a start. Nothing of it runs."""

    @property
    def uri(self):
        """What its clients, and QUANTA_TEST_<env_name>, take."""
        raise NotImplementedError

    def settings(self, uri):
        """Its part of quanta.yaml: (section, mapping); the section is a key of `engines` unless it begins with /."""
        return self.name, {"uri": uri}


class Postgres(Server):
    name, env_name = "postgres", "PG"
    executables = ("postgres", "initdb", "setpriv")  # the last for the moment before it becomes one of the others
    stop_signal = "SIGINT"  # "fast": ends sessions; SIGTERM would wait for them to leave

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.run_as = "postgres" if os.geteuid() == 0 else None

    @staticmethod
    def tool(name):
        """From the newest version installed: Debian keeps the server's programs out of PATH."""
        base = "/usr/lib/postgresql"
        versions = sorted((v for v in (os.listdir(base) if os.path.isdir(base) else []) if v.isdigit()), key=int, reverse=True)
        return program(name, *(f"{base}/{v}/bin/{name}" for v in versions))

    def missing(self):
        needs = [("PostgreSQL's server", "apt-get install postgresql")] if not (self.tool("postgres") and self.tool("initdb")) else []
        needs += missing_programs(("psql", "postgresql-client"))
        if not needs and self.run_as:
            try:
                pwd.getpwnam(self.run_as)
            except KeyError:
                needs.append(("the user `postgres` (the server refuses to run as root)", "apt-get install postgresql"))
        return needs

    def prepare(self, step):
        if not os.path.isdir(self.data):
            fresh = self.path("data.new")
            shutil.rmtree(fresh, ignore_errors=True)
            secret = self.path("password")
            write(secret, PASSWORD + "\n")
            step([self.tool("initdb"), "-D", fresh, "-U", USER, "--pwfile", secret, "--auth=scram-sha-256", "--encoding=UTF8",
                  "--locale=C.UTF-8", "--no-sync", "--no-instructions"])
            os.rename(fresh, self.data)
        write(self.path("postgresql.conf"), f"""\
listen_addresses = '{HOST}'
port = {self.port}
unix_socket_directories = ''
max_connections = 300
max_prepared_transactions = 4000
max_locks_per_transaction = 256
shared_buffers = 128MB
max_wal_size = 1GB
# As in production: what was acknowledged is on the disk.
fsync = on
synchronous_commit = on
full_page_writes = on
# In the data directory, so that a killed server leaves nothing in /dev/shm.
dynamic_shared_memory_type = mmap
log_line_prefix = '%m [%p] %a '
timezone = 'UTC'
""")

    def command(self):
        return [self.tool("postgres"), "-D", self.data, "-c", f"config_file={self.path('postgresql.conf')}",
                "-c", f"hba_file={self.data}/pg_hba.conf", "-c", f"ident_file={self.data}/pg_ident.conf"], {}

    @property
    def uri(self):
        return self._uri(USER)

    def _uri(self, database):
        return f"postgresql://{USER}:{PASSWORD}@{HOST}:{self.port}/{database}"

    @staticmethod
    def ask(uri, sql):
        return run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", uri, "-c", sql], env={"PGCONNECT_TIMEOUT": "3"}).strip()

    def settle(self):
        if self.ask(self._uri("postgres"), f"SELECT 1 FROM pg_database WHERE datname = '{USER}'") != "1":
            self.ask(self._uri("postgres"), f"CREATE DATABASE {USER}")

    def answers(self, uri):
        if self.ask(uri, "SELECT 1") != "1":
            raise NotYet("SELECT 1 gave no 1")

    def clear_leftovers(self):
        """After a SIGKILL the pid file stays, and a System V shared memory segment of a few bytes. The next start would refuse while any
        process has that pid, be it one that its parent was slow to reap; and after a wipe there is no next start to free the segment
        (the kernel has room for 4,096). The caller knows that nothing runs here."""
        lock = os.path.join(self.data, "postmaster.pid")
        try:
            with open(lock, encoding="ascii") as f:
                key, segment = f.read().split("\n")[6].split()
            with open("/proc/sysvipc/shm", encoding="ascii") as f:
                rows = [line.split() for line in f.readlines()[1:]]
            if any(row[0] == key and row[1] == segment and row[6] == "0" for row in rows):  # its key, its id, nobody attached
                subprocess.run(["ipcrm", "-m", segment], capture_output=True)
        except (OSError, IndexError, ValueError):
            pass  # no file, or one from before the segment was made
        if os.path.exists(lock):
            os.unlink(lock)


class Kafka(Server):
    name, env_name = "kafka", "KAFKA"
    executables = ("java",)
    port_names = ("main", "controller")

    def missing(self):
        return missing_java() + cache.missing("kafka") + missing_programs(("kcat", "kcat"))

    def _java(self, flags, main, *args):
        return [java(), *flags, f"-Dlog4j.configuration=file:{self.path('log4j.properties')}",
                "-cp", os.path.join(cache.place("kafka"), "*"), main, *args]

    def _properties(self, log_dir):
        return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{self.ports['controller']}
listeners=PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.ports['controller']}
advertised.listeners=PLAINTEXT://{HOST}:{self.port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dir}
# One node: nothing can be replicated.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
# A killed broker may register again only when its last session has run out.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# The cleaner's buffer comes out of the heap: 128 MiB unless told.
log.cleaner.dedupe.buffer.size=16777216
"""

    def prepare(self, step):
        write(self.path("log4j.properties"), """\
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1} %m%n
""")
        if not os.path.isdir(self.data):
            fresh = self.path("data.new")
            shutil.rmtree(fresh, ignore_errors=True)
            write(self.path("format.properties"), self._properties(fresh))
            cluster = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-", "q")  # an id may not begin with -
            quick = ["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *archive.flags("kafka", java())]
            step(self._java(quick, "kafka.tools.StorageTool",
                            "format", "-t", cluster, "-c", self.path("format.properties")))
            os.rename(fresh, self.data)
        write(self.path("server.properties"), self._properties(self.data))

    def command(self):
        flags = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", *archive.flags("kafka", java(), self.options.get("archive"))]
        return self._java(flags, "kafka.Kafka", self.path("server.properties")), {}

    @property
    def uri(self):
        return f"{HOST}:{self.port}"

    def answers(self, uri):
        said = run(["kcat", "-b", uri, "-L", "-m", "3"])
        if not re.search(r"[1-9]\d* brokers:", said):
            raise NotYet(f"no broker in the cluster's metadata: {said}")

    def settings(self, uri):
        return "/kafka", {"bootstrap": uri}


class Neo4j(Server):
    name, env_name = "neo4j", "NEO4J"
    executables = ("java",)

    def missing(self):
        return missing_java() + cache.missing("neo4j")

    def prepare(self, step):
        os.makedirs(self.data, exist_ok=True)
        write(self.path("conf", "neo4j.conf"), f"""\
server.directories.data={self.data}
server.directories.logs={self.path('logs')}
server.http.enabled=true
server.http.listen_address={HOST}:{self.port}
server.https.enabled=false
server.bolt.enabled=false
server.memory.pagecache.size=64m
server.http_enabled_modules=TRANSACTIONAL_ENDPOINTS,QUERY_API_ENDPOINTS
dbms.usage_report.enabled=false
db.tx_log.preallocate=false
dbms.security.auth_enabled=true
dbms.security.auth_lock_time=0s
""")

    def command(self):
        opens = [a for p in ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent") for a in ("--add-opens", f"java.base/{p}=ALL-UNNAMED")]
        flags = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", *archive.flags("neo4j", java(), self.options.get("archive"))]
        return [java(), *flags, *opens, "-Dfile.encoding=UTF-8",
                "-cp", os.path.join(cache.place("neo4j"), "*"), "org.neo4j.server.CommunityEntryPoint",
                f"--home-dir={self.directory}", f"--config-dir={self.path('conf')}"], {}

    @property
    def uri(self):
        return f"http://neo4j:{PASSWORD}@{HOST}:{self.port}"

    @staticmethod
    def ask(uri, database, statement):
        plain, credentials = without_user(uri)
        status, text = http(f"{plain.rstrip('/')}/db/{database}/tx/commit", body={"statements": [{"statement": statement}]}, credentials=credentials)
        if status >= 400:
            return status, text
        errors = json.loads(text)["errors"]
        return (status, text) if not errors else (400, json.dumps(errors))

    def settle(self):
        """A new server's password is `neo4j`, and can do nothing but be changed."""
        status, text = self.ask(self.uri, "neo4j", "RETURN 1")
        if status == 401:
            status, text = self.ask(f"http://neo4j:neo4j@{HOST}:{self.port}", "system",
                                    f"ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO '{PASSWORD}'")
        if status >= 400:
            raise NotYet(text)

    def answers(self, uri):
        status, text = self.ask(uri, "neo4j", "RETURN 1")
        if status >= 400:
            raise NotYet(text)

    def settings(self, uri):
        plain, credentials = without_user(uri)
        return self.name, {"uri": plain, **(dict(zip(("user", "password"), credentials)) if credentials else {})}


class Mongo(Server):
    name, env_name = "mongo", "MONGO"
    executables = (cache.MONGO_PROGRAM,)

    def missing(self):
        return cache.missing("mongo")

    def command(self):
        return [cache.mongo_program(), "serve", f"{HOST}:{self.port}", self.data], {}

    @property
    def uri(self):
        return f"mongodb://{HOST}:{self.port}/"

    def answers(self, uri):
        if os.path.exists(cache.mongo_program()):
            run([cache.mongo_program(), "probe", uri, "ping"], timeout_s=15)
            return
        # A server given by URI needs nothing fetched; whether its port answers must do then.
        address = urllib.parse.urlsplit(uri).netloc.rpartition("@")[2].split(",")[0]
        host, _, port = address.partition(":")
        try:
            socket.create_connection((host, int(port or 27017)), timeout=ANSWER_TIMEOUT_S).close()
        except OSError as e:
            raise NotYet(str(e)) from None


class Influx(Server):
    name, env_name = "influx", "INFLUX"
    executables = ("influxd",)
    port_names = ("main", "backup")

    def missing(self):
        return missing_programs(("influxd", "influxdb"))

    def prepare(self, step):
        os.makedirs(self.data, exist_ok=True)
        write(self.path("influxdb.conf"), f"""\
reporting-disabled = true
bind-address = "{HOST}:{self.ports['backup']}"
[meta]
  dir = {json.dumps(os.path.join(self.data, "meta"))}
  logging-enabled = false
[data]
  dir = {json.dumps(os.path.join(self.data, "data"))}
  wal-dir = {json.dumps(os.path.join(self.data, "wal"))}
  # A write is answered once it is on the disk.
  wal-fsync-delay = "0s"
  query-log-enabled = false
  # Every record's id is a tag value: no limit on those.
  max-values-per-tag = 0
  max-series-per-database = 0
[http]
  bind-address = "{HOST}:{self.port}"
  log-enabled = false
  auth-enabled = {'true' if self.options.get("auth") else 'false'}
[monitor]
  store-enabled = false
[continuous_queries]
  enabled = false
""")

    def command(self):
        return [program("influxd"), "-config", self.path("influxdb.conf")], {}

    @property
    def uri(self):
        return f"http://{USER}:{PASSWORD}@{HOST}:{self.port}" if self.options.get("auth") else f"http://{HOST}:{self.port}"

    def settle(self):
        """With authentication on, a server without users allows one thing to anyone: the creation of an administrator."""
        if self.options.get("auth"):
            query = f"CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES"
            http(f"http://{HOST}:{self.port}/query", form={"q": query})

    @staticmethod
    def _split(uri):
        """The base address, and what else a URI may say: user and password, and in its query version, token, org."""
        plain, credentials = without_user(uri)
        parts = urllib.parse.urlsplit(plain)
        said = {key: value for key, value in urllib.parse.parse_qsl(parts.query) if key in ("version", "token", "org")}
        said["version"] = int(said.get("version", 1))
        if credentials:
            said["user"], said["password"] = credentials
        return urllib.parse.urlunsplit(parts._replace(query="")).rstrip("/"), said

    def answers(self, uri):
        plain, said = self._split(uri)
        if said["version"] != 1:
            status, text = http(f"{plain}/health")
        else:
            status, text = http(f"{plain}/query", form={"q": "SHOW DATABASES"}, credentials=(said["user"], said["password"]) if "user" in said else None)
        if status != 200:
            raise NotYet(f"status {status}: {text}")

    def settings(self, uri):
        plain, said = self._split(uri)
        return self.name, {"uri": plain, **said}


class Redis(Server):
    name, env_name = "redis", "REDIS"
    executables = ("redis-server", "redis-check-rdb", "redis-check-aof")  # one program under three names

    def missing(self):
        return missing_programs(("redis-server", "redis-server"), ("redis-cli", "redis-tools"))

    def prepare(self, step):
        os.makedirs(self.data, exist_ok=True)
        write(self.path("redis.conf"), f"""\
bind {HOST}
port {self.port}
dir {json.dumps(self.data)}
daemonize no
# Every write reaches the file before its answer, so SIGKILL loses nothing.
appendonly yes
appendfsync everysec
save ""
""")

    def command(self):
        return [program("redis-server"), self.path("redis.conf")], {}

    @property
    def uri(self):
        return f"redis://{HOST}:{self.port}"

    def answers(self, uri):
        if (said := run(["redis-cli", "-u", uri, "PING"]).strip()) != "PONG":
            raise NotYet(said)

    def settings(self, uri):
        return "/redis", {"uri": uri}


class Prometheus(Server):
    name, env_name = "prometheus", "PROMETHEUS"
    executables = ("prometheus",)

    def missing(self):
        return missing_programs(("prometheus", "prometheus"), ("promtool", "prometheus"))

    def prepare(self, step):
        os.makedirs(self.data, exist_ok=True)
        os.makedirs(self.path("targets"), exist_ok=True)
        write(self.path("prometheus.yml"), f"""\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: ["{HOST}:{self.port}"]
  # A test that wants something scraped writes targets/ANY.json: [{{"targets": ["127.0.0.1:PORT"]}}]
  - job_name: quanta
    file_sd_configs:
      - files: [{json.dumps(self.path("targets", "*.json"))}]
        refresh_interval: 1s
""")

    def command(self):
        return [program("prometheus"), f"--config.file={self.path('prometheus.yml')}", f"--storage.tsdb.path={self.data}",
                f"--web.listen-address={HOST}:{self.port}", "--log.level=warn"], {}

    @property
    def uri(self):
        return f"http://{HOST}:{self.port}"

    def answers(self, uri):
        status, text = http(f"{uri.rstrip('/')}/-/ready")
        if status != 200:
            raise NotYet(text)

    def settings(self, uri):
        return None, {}  # it watches the system; the system knows nothing of it


ALL = {cls.name: cls for cls in (Postgres, Mongo, Neo4j, Influx, Kafka, Redis, Prometheus)}


def class_of(name):
    if name not in ALL:
        raise EngineError(f"no engine is called {name!r}; there are: {', '.join(ALL)}")
    return ALL[name]
