"""The process that owns the local servers: it runs them, and stops them when the process that wanted them is gone.

Run as a script with the standard library only, so that it is up in milliseconds and depends on no environment. It has
one thread, because Linux ties a parent-death signal to the thread that forked. It reads one JSON request per line:

    {"id": 1, "do": "spawn", "name": "redis", "argv": [...], "log": "...", "env": {...}, "stop_signal": 15}
    {"id": 2, "do": "signal", "name": "redis", "signal": 9}

answers each with `{"id": 1, "pid": 4711}`, `{"id": 2}` or `{"id": 1, "error": "..."}`, and reports
`{"exited": 4711, "code": -9}` whenever a program ends. End of input (or a changed parent) means that the parent is
gone: every server gets its stop signal, after `GRACE_SECONDS` SIGKILL. Should this process itself be killed, Linux
sends each server its stop signal. The lock on the data folder is an open file that all servers inherit, so it is free
exactly when the last has ended.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

GRACE_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent(stop_signal: int) -> Callable[[], None]:
    """A `preexec_fn` (it must run after the change of user, which clears the setting)."""
    supervisor = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def arm() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(1)

    return arm


class _Supervisor:
    def __init__(self, lock_fd: int) -> None:
        self._lock_fd = lock_fd
        self._parent = os.getppid()
        self._running: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        self._input = b""
        self._wake, wake_write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._stopping = False
        # Python handlers (not SIG_IGN) so that the servers do not inherit an ignored signal.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGHUP, lambda *_: None)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_terminate)

    def _on_terminate(self, *_: object) -> None:
        self._stopping = True

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            # The parent id is looked at as well: a forked child of the parent may keep the pipe open.
            while not self._stopping and os.getppid() == self._parent:
                for key, _ in selector.select(timeout=1.0):
                    if key.fd == self._wake:
                        self._drain_wake()
                    elif not self._read_requests():
                        self._stopping = True
                self._reap()
        self._stop_all()

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)

    def _read_requests(self) -> bool:
        chunk = os.read(sys.stdin.fileno(), 65536)
        self._input += chunk
        *lines, self._input = self._input.split(b"\n")
        for line in lines:
            self._answer(json.loads(line))
        return bool(chunk)

    def _answer(self, request: dict[str, Any]) -> None:
        try:
            if request["do"] == "spawn":
                answer: dict[str, Any] = {"pid": self._spawn(request)}
            else:
                if request["name"] in self._running:  # else it has ended meanwhile, which was reported
                    self._running[request["name"]][0].send_signal(request["signal"])
                answer = {}
        except (OSError, subprocess.SubprocessError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        self._report({"id": request["id"], **answer})

    def _spawn(self, request: dict[str, Any]) -> int:
        """Start a program; "{folder}" in its arguments becomes the opened folder.

        The descriptor lets another user enter a folder whose parents it may not pass.
        """
        if request["name"] in self._running:
            raise OSError(f"{request['name']} is running already")
        argv, fds = request["argv"], [self._lock_fd]
        if folder := request.get("folder"):
            fds.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
            argv = [argument.replace("{folder}", f"/proc/self/fd/{fds[-1]}") for argument in argv]
        account: dict[str, Any] = {}
        if "user" in request:
            account = {"user": request["user"], "group": request["group"], "extra_groups": []}
        try:
            with open(request["log"], "ab") as log:
                process = subprocess.Popen(  # noqa: S603 - the arguments are our own
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=request["env"],
                    pass_fds=fds,
                    preexec_fn=_die_with_parent(request["stop_signal"]),  # noqa: PLW1509 - one thread
                    **account,
                )
        finally:
            for fd in fds[1:]:
                os.close(fd)
        self._running[request["name"]] = (process, request["stop_signal"])
        return process.pid

    def _reap(self) -> None:
        for name, (process, _) in list(self._running.items()):
            if process.poll() is not None:
                del self._running[name]
                self._report({"exited": process.pid, "code": process.returncode})

    def _report(self, message: dict[str, Any]) -> None:
        try:
            os.write(sys.stdout.fileno(), json.dumps(message).encode() + b"\n")
        except OSError:
            self._stopping = True

    def _stop_all(self) -> None:
        deadline = monotonic() + GRACE_SECONDS
        for process, stop_signal in self._running.values():
            process.send_signal(stop_signal)
        for process, _ in self._running.values():
            try:
                process.wait(max(0.0, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    _Supervisor(lock_fd=int(sys.argv[2])).run()
