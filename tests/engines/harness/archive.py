"""Faster Java starts: an archive of parsed classes (application class data sharing, JDK 13+), which halves a start's processor time.

It is made once, by a server that is started in a directory of its own and ended. It is only good for one set of jars, at one place,
under one Java; the virtual machine checks that and ignores one that doesn't fit, so without it a start is slower and nothing else.
"""

import hashlib
import os
import shutil
import tempfile

from . import cache
from .errors import EngineError

NAMES = ("kafka", "neo4j")
MAKE_TIMEOUT_S = 180


def path(name, java):
    """Where the archive for this Java is, or would be."""
    program = os.path.realpath(java)
    found = os.stat(program)
    key = hashlib.sha256(f"{program} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:12]
    return os.path.join(cache.place(name), f"classes-{key}.jsa")


def flags(name, java, target=None):
    """For the java command line: to use the archive when it is there, or to write `target` at the end."""
    if target:
        return [f"-XX:ArchiveClassesAtExit={target}"]
    archive = path(name, java)
    return [f"-XX:SharedArchiveFile={archive}"] if os.path.exists(archive) else []


def make(name, java, engine_of):
    """Makes the archive when there is none. `engine_of(name, base)` gives a server to run. True when it was made."""
    final = path(name, java)
    with cache.locked(os.path.join(cache.root(), f".{name}.lock")):
        if os.path.exists(final):
            return False
        base = tempfile.mkdtemp(prefix=f".{name}-archive-", dir=cache.root())
        engine = engine_of(name, base)
        try:
            target = os.path.join(base, "classes.jsa")
            engine.configure({"archive": target})
            engine.start(MAKE_TIMEOUT_S)
            engine.stop(MAKE_TIMEOUT_S)
            if not os.path.exists(target):
                raise EngineError(f"{name}: Java wrote no class archive\n{engine.log_tail()}")
            os.rename(target, final)
        finally:
            engine.stop(now=True)
            shutil.rmtree(base, ignore_errors=True)
    return True
