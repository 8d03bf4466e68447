"""Processes, told apart safely: a number alone is never trusted, because the kernel gives it out again.

Two ways to know a process as ours. The leader is remembered with its start time and the boot it ran in. Everything else that
belongs to a server is found by what it is: its executable is the server's and it runs inside the server's own directory. That
also finds PostgreSQL's backends (each in a session of its own, so a process group would miss them), children whose parent has
died, and a server whose starter was killed before it could write the pid file.
"""

import os
import signal
import time

POLL_S = 0.01


def _stat(pid):
    """The fields of /proc/PID/stat after the command's name, or None. The name may hold spaces and brackets: split after the last."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rpartition(b")")[2].split()
    except OSError:
        return None


def state(pid):
    """The kernel's letter (R, S, D, T, …); None when the process is gone or only waits to be reaped."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else fields[0].decode()


def start_ticks(pid):
    """When the process started, in clock ticks since boot; None when it is gone."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[19])


def boot_id():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        return f.read().strip()


def write_pid_file(path, pid):
    """One line: pid, start time in ticks, boot. Replaced in one step, so a reader never sees half of it."""
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="ascii") as f:
        f.write(f"{pid} {start_ticks(pid)} {boot_id()}\n")
    os.replace(temporary, path)


def read_pid_file(path):
    """The pid when that very process still lives, else None: the file is missing, damaged or stale."""
    try:
        with open(path, encoding="ascii") as f:
            pid, ticks, boot = f.read().split()
        return int(pid) if boot == boot_id() and start_ticks(int(pid)) == int(ticks) else None
    except (OSError, ValueError):
        return None


def _belongs(pid, root, executables):
    try:
        executable = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        directory = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    except OSError:
        return False
    return os.path.basename(executable) in executables and (directory == root or directory.startswith(root + "/"))


def members(root, executables):
    """Pids of the processes that run one of `executables` (base names) in or below the directory `root` (absolute, resolved)."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _belongs(entry, root, executables)]


def send(pid, root, executables, number):
    """Signals a member. The handle is taken first and the check made after, so the signal can't reach a successor of the same pid."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if _belongs(pid, root, executables):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _repeat_until(done, act, timeout_s):
    deadline = time.monotonic() + timeout_s
    while True:
        act()
        if done():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)


def kill_all(root, executables, timeout_s=10):
    """SIGKILL to every member, again until none is left (one may fork meanwhile). False when some survive the time limit."""
    def act():
        for pid in members(root, executables):
            send(pid, root, executables, signal.SIGKILL)
    return _repeat_until(lambda: not members(root, executables), act, timeout_s)


def pause_all(root, executables, timeout_s=5):
    """SIGSTOP to every member until all stand still. A process in a disk wait stops when that ends."""
    def moving():
        return [pid for pid in members(root, executables) if state(pid) not in ("T", "t", None)]

    def act():
        for pid in moving():
            send(pid, root, executables, signal.SIGSTOP)
    return _repeat_until(lambda: not moving(), act, timeout_s)


def resume_all(root, executables):
    for pid in members(root, executables):
        send(pid, root, executables, signal.SIGCONT)


def wait_gone(root, executables, timeout_s):
    return _repeat_until(lambda: not members(root, executables), lambda: None, timeout_s)


def rss_mib(pids):
    """Memory held by these processes, MiB; what they share counts once (proportional set size), where the kernel tells it."""
    total_kib = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total_kib += next((int(line.split()[1]) for line in f if line.startswith("Pss:")), 0)
        except OSError:
            pass
    return round(total_kib / 1024)


def _listening_inodes(port):
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as f:
                rows = [line.split() for line in f.readlines()[1:]]
        except OSError:
            continue
        inodes.update(row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port)
    return inodes


def listens(pids, port):
    """Whether one of `pids` itself holds a listening socket on `port`: an answer from a stranger on that port proves nothing."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for pid in pids if wanted else ():
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                try:
                    if os.readlink(f"/proc/{pid}/fd/{fd}") in wanted:
                        return True
                except OSError:
                    continue
        except OSError:
            continue
    return False
