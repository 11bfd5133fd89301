"""Processes that take part in a measurement: started, kept on their cores, their CPU time read, ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.stores.errors import CannotMeasure

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, which `python -m bench…` needs as its folder."""

STOP_SECONDS = 15.0

Cores = frozenset[int] | None
"""Cores a process may use; None leaves it to the system."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """Who runs where. The server under measurement has a core of its own; on two cores the rest share the other."""

    server: Cores
    load: Cores
    stores: Cores

    def __str__(self) -> str:
        if self.server is None:
            return "not pinned: one core only, or the system does not offer it"
        named = (("server", self.server), ("load generator", self.load), ("stores", self.stores))
        return ", ".join(f"{name} on core {','.join(map(str, sorted(cores or ())))}" for name, cores in named)


def allot() -> Allotment:
    """An allotment of the cores this process may use."""
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    if len(cores) < 2:
        return Allotment(None, None, None)
    stores = cores[:1] if len(cores) == 2 else cores[1:-1]
    return Allotment(frozenset(cores[-1:]), frozenset(cores[:1]), frozenset(stores))


def launched(argv: Sequence[str], cores: Cores) -> list[str]:
    """The command line of a program that keeps to some cores, and ends when we do where Linux offers it."""
    named = ",".join(map(str, sorted(cores))) if cores else "-"
    launcher = Path(__file__).with_name("launch.py")
    return [sys.executable, "-I", "-S", str(launcher), str(os.getpid()), named, *argv]


def spawn(argv: Sequence[str], *, log: Path, environment: Mapping[str, str], cores: Cores) -> subprocess.Popen[bytes]:
    """Start a server that Ctrl-C does not reach: we end it."""
    with log.open("ab") as output:
        return subprocess.Popen(
            launched(argv, cores),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, **environment},
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for who is still there after a while."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def pin(pid: int, cores: Cores) -> None:
    """Keep a running process tree with all its threads on some cores; whoever may not do that leaves it where it is."""
    if cores is None or sys.platform != "linux":
        return
    for member in _trees([pid], _parents()):
        with suppress(OSError):
            for task in os.listdir(f"/proc/{member}/task"):
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task), cores)


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of processes, their children and those of their children that have ended, in seconds.

    The system counts it in ticks of 10 ms or so. Raises CannotMeasure when one is gone.
    """
    if sys.platform == "linux":
        found = {member: _stat(member) for member in _trees(pids, _parents())}
        if gone := [pid for pid in pids if found[pid] is None]:
            raise CannotMeasure(f"process {gone[0]} ended while it was measured")
        ticks = sum(int(ticks) for fields in found.values() if fields for ticks in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")
    command = ["ps", "-o", "time=", "-p", ",".join(map(str, pids))]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if len(lines) != len(pids):
        raise CannotMeasure(f"one of the processes {pids} ended while it was measured")
    return sum(map(_seconds, lines))


def _seconds(text: str) -> float:
    """What `ps` writes as [[days-]hours:]minutes:seconds."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + 86_400 * int(days or 0)


def _parents() -> dict[int, int]:
    """Every process of the machine with its parent."""
    return {
        int(entry): int(fields[1])
        for entry in os.listdir("/proc")
        if entry.isdecimal() and (fields := _stat(int(entry))) is not None
    }


def _trees(pids: Sequence[int], parents: Mapping[int, int]) -> list[int]:
    """Processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found = list(pids)
    for member in found:
        found.extend(children.get(member, ()))
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the program's name, from the state on; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
