"""The data folder of the local servers: marker, lock, credentials and ports, and recovery from a crash.

nexfit-servers.json   marker: this folder is ours; holds the generated passwords (mode 0600)
lock                  held (flock) by the supervisor and by every server; names the process that started them
ports.json            the port of each server, kept so that URLs stay the same from start to start
mongo/ postgres/ redis/ logs/
"""

import contextlib
import fcntl
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from nexfit.embedded.errors import DataDirInUse, EmbeddedError, NotADataDir
from nexfit.embedded.supervisor import GRACE_SECONDS

_MARKER = "nexfit-servers.json"
_LOCK = "lock"
_TRASH = ".deleting-"
# Below Linux' range for outgoing connections, so that nobody's client socket takes the port of a stopped server.
_PORTS = range(20_000, 32_000)
# What a server gets to end on its own after its supervisor was killed.
_ORPHAN_SECONDS = 5.0
_LOG_BYTES = 8 * 1024 * 1024


class DataFolder:
    """A locked data folder of ours. `lock_fd` is to be inherited by the supervisor, then closed here."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self.lock_fd = lock_fd
        self._files = threading.RLock()

    def record_owner(self, supervisor_pid: int) -> None:
        """Note in the lock file who holds it, for the message to whoever comes second."""
        _record(self.lock_fd, supervisor_pid)

    def release(self) -> None:
        """Close this process's copy of the lock; it stays held while the supervisor or a server lives."""
        os.close(self.lock_fd)

    def secret(self, name: str) -> str:
        """The password made for "mongo", "mongo_key", "postgres" or "redis" when the folder was made."""
        return str(self._read(_MARKER)["passwords"][name])

    def port(self, name: str, *, fresh: bool = False) -> int:
        """The server's port on 127.0.0.1: the same as last time where it is free and `fresh` is not asked for."""
        with self._files:
            ports = self._read("ports.json")
            kept = ports.get(name)
            if kept is None or fresh or not port_is_free(kept):
                taken = set(ports.values())
                candidates = random.SystemRandom().sample(_PORTS, 200)
                kept = next((port for port in candidates if port not in taken and port_is_free(port)), None)
                if kept is None:
                    raise EmbeddedError("no free port found on 127.0.0.1")
                ports[name] = kept
                self._write("ports.json", ports)
            return int(kept)

    def log(self, name: str) -> Path:
        """Where a program's output goes; it is appended to, and moved aside here once it has grown to some MB."""
        path = self.path / "logs" / f"{name}.log"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.old"))
        return path

    def _read(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}
        return content

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_private(self.path / name, json.dumps(content, indent=1))


def write_private(path: Path, content: str) -> None:
    """Replace a file at once (never half written), readable by its owner only."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True


def lock(path: Path) -> DataFolder:
    """Make or open the data folder and lock it; servers left behind by a crash are stopped first.

    Raises NotADataDir when the folder holds foreign things, DataDirInUse when a live process uses it, EmbeddedError
    when this user may not use it.
    """
    path = path.absolute()
    if path.exists() and not path.is_dir():
        raise NotADataDir(f"{path} is not a folder")
    try:
        if not is_ours(path):
            if path.is_dir() and any(entry.name != _LOCK for entry in path.iterdir()):
                raise NotADataDir(f"{path} is not empty and was not made by these servers; choose another data folder")
            # As root, PostgreSQL's user must pass through to its own part; listing stays the owner's.
            path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        folder = DataFolder(path, _acquire(path))
    except PermissionError as error:
        raise EmbeddedError(f"{path} cannot be used: {error}. Choose another data folder.") from error
    if not is_ours(path):
        passwords = {name: secrets.token_urlsafe(32) for name in ("mongo", "mongo_key", "postgres", "redis")}
        write_private(path / _MARKER, json.dumps({"format": 1, "passwords": passwords}))
    _empty_trash(path)
    return folder


def is_ours(path: Path) -> bool:
    return (path / _MARKER).is_file()


def delete(path: Path) -> None:
    """Delete a data folder; nothing happens when it is missing.

    Raises NotADataDir when it is not one of ours, DataDirInUse when a live process uses it.
    """
    path = path.absolute()
    if not path.exists():
        return
    if path.is_symlink() or not is_ours(path):
        raise NotADataDir(f"{path} was not made by these servers and is not deleted")
    folder = lock(path)
    try:
        # Moved aside first: a deletion cut short must not leave half a store that looks whole.
        for store in ("mongo", "postgres", "redis", "logs"):
            with contextlib.suppress(FileNotFoundError):
                (path / store).rename(path / f"{_TRASH}{store}")
        _empty_trash(path)
        for name in ("ports.json", _MARKER, _LOCK):
            (path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody keeps notes in it: then the folder stays
            path.rmdir()
    finally:
        folder.release()


def _empty_trash(path: Path) -> None:
    for trash in path.glob(f"{_TRASH}*"):
        shutil.rmtree(trash)


def _acquire(path: Path) -> int:
    """The lock file, locked and marked as ours; waits for servers that are shutting down and ends those left behind."""
    started = monotonic()
    while True:
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        with contextlib.ExitStack() as unless_ours:
            unless_ours.callback(os.close, fd)
            if not _flock(fd):
                _judge(path, fd, waited=monotonic() - started)
            elif _same_file(fd, path / _LOCK):  # else a reset has deleted it meanwhile
                _record(fd, None)
                unless_ours.pop_all()
                return fd
        sleep(0.05)


def _judge(path: Path, fd: int, *, waited: float) -> None:
    """What a held lock means: refuse when its owner lives, wait for servers that shut down, kill what a crash left."""
    owner = json.loads(os.pread(fd, 4096, 0) or b"{}")
    pid, supervisor_pid = owner.get("pid"), owner.get("supervisor")
    if pid is not None and _started(pid) == owner["started"] and (supervisor_pid is None or _alive(supervisor_pid)):
        raise DataDirInUse(path, pid)
    if waited > GRACE_SECONDS + 10:
        raise DataDirInUse(path, supervisor_pid)
    # Without a supervisor the servers have had their stop signal (Linux); what still lives after this will not end.
    if waited > _ORPHAN_SECONDS and supervisor_pid is not None and not _alive(supervisor_pid):
        for orphan in _lock_holders(path / _LOCK):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(orphan, signal.SIGKILL)


def _record(fd: int, supervisor_pid: int | None) -> None:
    owner = {"pid": os.getpid(), "started": _started(os.getpid()), "supervisor": supervisor_pid}
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps(owner).encode(), 0)


def _flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _lock_holders(lock_file: Path) -> Iterator[int]:
    """The processes that hold the lock, not those that merely look at it (Linux tells them apart in fdinfo)."""
    target = lock_file.stat()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    held = os.path.samestat(descriptor.stat(), target)
                    if held and "FLOCK" in (process / "fdinfo" / descriptor.name).read_text():
                        yield int(process.name)
                        break


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if sys.platform == "linux":  # a zombie holds nothing
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    return True


def _started(pid: int) -> str | None:
    """What tells a process from a later one with the same id: its start time on Linux, else only that it is alive."""
    if not _alive(pid):
        return None
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return "alive"
