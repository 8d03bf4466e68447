"""What isn't a Debian package: Kafka's and Neo4j's jars, and the MongoDB server, built from the module in ferretdb/.

Each lands in CACHE/NAME-KEY, KEY being a hash of the files that pin it: an edited pin is another directory, and servers that run
from the old one are not disturbed. A directory is filled under a temporary name and renamed, so one that exists is complete.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

from .errors import EngineError, MissingError

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROJECT = os.path.dirname(os.path.dirname(HERE))

PINS = {
    "kafka": ["maven/kafka.xml"],
    "neo4j": ["maven/neo4j.xml"],
    "mongo": ["ferretdb/main.go", "ferretdb/go.mod", "ferretdb/go.sum"],
}
MONGO_PROGRAM = "quanta-mongo"
GO_NEEDED = (1, 24)      # FerretDB v1.24.2's own go.mod asks for it
GO_FETCHES_NEWER = (1, 21)  # from here on, go downloads the toolchain that a go.mod asks for, unless told not to

INSTALL_MAVEN = "apt-get install maven"
INSTALL_GO = (
    "Debian 12's golang is 1.19, too old. With bookworm-backports among the apt sources: "
    "apt-get install -t bookworm-backports golang-1.24 && export PATH=/usr/lib/go-1.24/bin:$PATH. "
    "Or unpack Go 1.24 or later from https://go.dev/dl/ into /usr/local and export PATH=/usr/local/go/bin:$PATH. "
    "(Go 1.22 will do too where GOTOOLCHAIN isn't `local`: it downloads the newer one by itself.)"
)


def root():
    return os.path.realpath(os.environ.get("QUANTA_ENGINES_CACHE") or os.path.join(PROJECT, "build", "engines-cache"))


def place(name):
    """The directory that `name` is fetched to, there or not."""
    digest = hashlib.sha256()
    for pin in PINS[name]:
        with open(os.path.join(HERE, pin), "rb") as f:
            digest.update(f.read() + b"\0")
    return os.path.join(root(), f"{name}-{digest.hexdigest()[:12]}")


def mongo_program():
    return os.path.join(place("mongo"), MONGO_PROGRAM)


def missing(name):
    """What must be fetched before `name` can start, as (what, command) pairs."""
    if name not in PINS or os.path.isdir(place(name)):
        return []
    return [(f"{name} is not fetched yet", f"{os.path.join(HERE, 'engines')} fetch {name}")]


def _go_version(go):
    # Outside any module: inside one, go may first download the version that its go.mod asks for.
    version = subprocess.run([go, "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, text=True, cwd="/").stdout.split()
    found = re.match(r"go(\d+)\.(\d+)", version[0]) if version else None
    return (int(found[1]), int(found[2])) if found else (0, 0), version[1] if len(version) > 1 else ""


def missing_tools(name):
    """Tools that fetching `name` takes, as (what, command) pairs."""
    if name != "mongo":
        return [] if shutil.which("mvn") else [(f"Maven (fetches {name})", INSTALL_MAVEN)]
    go = shutil.which("go")
    if not go:
        return [("Go 1.24 or later (builds the MongoDB server)", INSTALL_GO)]
    version, toolchain = _go_version(go)
    if version >= GO_NEEDED or (version >= GO_FETCHES_NEWER and not toolchain.startswith("local")):
        return []
    return [(f"Go 1.24 or later (builds the MongoDB server); {go} is {version[0]}.{version[1]}", INSTALL_GO)]


def _run(what, argv, log_path, cwd=None, env=None):
    """Runs to the end with its output in a file; when it fails, shows the end of that."""
    with open(log_path, "wb") as log:
        status = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
    if status != 0:
        with open(log_path, encoding="utf-8", errors="replace") as log:
            tail = "".join(log.readlines()[-25:])
        raise EngineError(f"{what} failed (status {status}): {' '.join(argv)}\n{tail}")


def _fill_from_maven(name, directory, log_path):
    # -C: a jar whose checksum doesn't match what its repository says is an error, not a warning.
    _run(f"fetching {name}", ["mvn", "-B", "-C", "-f", os.path.join(HERE, "maven", f"{name}.xml"), "dependency:copy-dependencies",
                              "-DincludeScope=runtime", f"-DoutputDirectory={directory}"], log_path)


def _fill_from_go(name, directory, log_path):
    env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    _run(f"building {name}", ["go", "build", "-trimpath", "-o", os.path.join(directory, MONGO_PROGRAM), "."], log_path,
         cwd=os.path.join(HERE, "ferretdb"), env=env)


@contextlib.contextmanager
def locked(path):
    """An exclusive lock on the file `path`, waited for. It ends with the process, whatever ends that."""
    with open(path, "w", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def fetch(name):
    """Makes `name` ready to start. True when there was something to do; MissingError names a tool that isn't there."""
    os.makedirs(root(), exist_ok=True)
    target = place(name)
    with locked(os.path.join(root(), f".{name}.lock")):
        if os.path.isdir(target):
            return False
        needs = missing_tools(name)
        if needs:
            raise MissingError(needs)
        temporary = tempfile.mkdtemp(prefix=f".{name}-", dir=root())
        try:
            os.chmod(temporary, 0o755)
            fill = _fill_from_go if name == "mongo" else _fill_from_maven
            print(f"{name}: fetching into {target}", file=sys.stderr, flush=True)
            fill(name, temporary, os.path.join(root(), f"{name}.log"))
            os.rename(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return True
