"""The parent's side of the supervisor: start it, ask it to run and signal programs, learn when they end."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nexfit.embedded import supervisor
from nexfit.embedded.errors import EmbeddedError

_ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Account:
    """A system user to run a program as, by numeric ids."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Program:
    """A program to run under the supervisor.

    `stop_signal` asks it to end cleanly. With `folder` set, that folder is handed over as an open descriptor and
    "{folder}" in `argv` stands for it.
    """

    name: str
    argv: Sequence[str]
    log: Path
    stop_signal: int
    account: Account | None = None
    folder: Path | None = None


@dataclass
class Running:
    """A started program; `ended` is set once it has been reaped, then `code` is its exit code (negative: a signal)."""

    pid: int
    ended: threading.Event = field(default_factory=threading.Event)
    code: int | None = None


class Supervisor:
    """One supervisor process, which ends with this process and takes its servers along."""

    def __init__(self, data_dir: Path, lock_fd: int, log_file: Path) -> None:
        """Start it; it and its servers inherit `lock_fd`, which holds the lock on the data folder."""
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # A session of its own: Ctrl-C in the terminal reaches the parent only, which then stops the servers.
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", supervisor.__file__, str(data_dir), str(lock_fd)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[lock_fd],
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(log)
        self._ids = itertools.count(1)
        self._lock = threading.Condition()
        self._answers: dict[int, Running | str | None] = {}
        self._running: dict[int, Running] = {}
        self._gone = False
        threading.Thread(target=self._listen, name="nexfit-servers", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def spawn(self, program: Program) -> Running:
        """Start a program. Raises EmbeddedError when it cannot be executed or the supervisor is gone."""
        request: dict[str, Any] = {
            "do": "spawn",
            "name": program.name,
            "argv": list(program.argv),
            "log": str(program.log),
            "stop_signal": program.stop_signal,
            "env": _environment(os.environ),
        }
        if program.account is not None:
            request |= {"user": program.account.uid, "group": program.account.gid}
        if program.folder is not None:
            request["folder"] = str(program.folder)
        running = self._ask(request)
        assert isinstance(running, Running)  # noqa: S101 - what `spawn` is answered with
        return running

    def signal(self, name: str, number: int) -> None:
        """Signal the program of this name, if it still runs. Raises EmbeddedError when the supervisor is gone."""
        self._ask({"do": "signal", "name": name, "signal": number})

    def close(self) -> None:
        """Stop everything and wait until it has stopped."""
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe above
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.terminate()  # a forked child of ours may keep the pipe open
        try:
            self._process.wait(supervisor.GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, request: dict[str, Any]) -> Running | None:
        request["id"] = number = next(self._ids)
        assert self._process.stdin is not None  # noqa: S101
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError) as error:
                raise EmbeddedError("the process that runs the local servers is gone; stop and start again") from error
            self._lock.wait_for(lambda: self._gone or number in self._answers, _ANSWER_SECONDS)
            if number not in self._answers:
                raise EmbeddedError("the process that runs the local servers does not answer; stop and start again")
            answer = self._answers.pop(number)
        if isinstance(answer, str):
            raise EmbeddedError(f"{request['name']}: {answer}")
        return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        with self._process.stdout as lines:
            for line in lines:
                message = json.loads(line)
                with self._lock:
                    if "exited" in message:
                        running = self._running.pop(message["exited"])
                        running.code = message["code"]
                        running.ended.set()
                    elif "pid" in message:
                        running = Running(message["pid"])
                        self._running[running.pid] = self._answers[message["id"]] = running
                    else:
                        self._answers[message["id"]] = message.get("error")
                    self._lock.notify_all()
        with self._lock:
            self._gone = True
            for running in self._running.values():
                running.ended.set()
            self._lock.notify_all()


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a server needs of the environment; the rest may hold secrets and would be readable by its user."""
    kept = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: environment[name] for name in kept if name in environment} | {"TZ": "UTC", "LC_ALL": "C"}


def kill_tree(pid: int) -> None:
    """SIGKILL a process and its children (PostgreSQL's sessions live in process groups of their own)."""
    for victim in (pid, *_children(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    if sys.platform == "linux":  # small images have no `ps`
        children = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                    children.append(int(status.parent.name))
        return children
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout  # noqa: S607
    pairs = [line.split() for line in shown.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]
