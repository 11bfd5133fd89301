"""`kill -9` of whoever wanted or ran the servers: no orphans, and the next start finds the data."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from embedded_probes import HOLDER, NAMES, alive, python, read, seconds_until_gone, write

from nexfit.embedded import DataDirInUse, EmbeddedServers, ServerName, ServerUrls


class Holder:
    """Another process that has started servers on a data folder."""

    def __init__(self, data_dir: Path, *names: ServerName) -> None:
        elsewhere = {f"NEXFIT_{name.upper()}_URL": f"{name}://elsewhere.example" for name in NAMES if name not in names}
        self.process: subprocess.Popen[str] = python(HOLDER, data_dir, *names, env=os.environ | elsewhere)
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.urls = ServerUrls(**told["urls"])
        self.pids: dict[str, int] = told["pids"]
        self.supervisor: int = told["supervisor"]
        assert all(alive(pid) for pid in (*self.pids.values(), self.supervisor))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def clean_up(self) -> None:
        """Leave nothing behind when a test has failed."""
        for pid in (self.process.pid, self.supervisor, *self.pids.values()):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


Hold = Callable[..., Holder]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Start servers in another process: `hold(data_dir, "postgres", "redis")`."""
    holders: list[Holder] = []

    def start(data_dir: Path, *names: ServerName) -> Holder:
        holders.append(Holder(data_dir, *names))
        return holders[-1]

    yield start
    for holder in holders:
        holder.clean_up()


def test_killed_parent_leaves_no_process_and_all_data(scratch: Path, hold: Hold) -> None:
    data_dir = scratch / "data"
    holder = hold(data_dir, *NAMES)
    sessions = {os.getsid(pid) for pid in holder.pids.values()}
    assert os.getsid(holder.process.pid) not in sessions  # Ctrl-C in the parent's terminal does not reach them
    for name in NAMES:
        write(name, holder.urls, "before the crash")
    with pytest.raises(DataDirInUse) as refused:
        EmbeddedServers(data_dir).start()
    assert refused.value.pid == holder.process.pid

    holder.kill()

    seconds = seconds_until_gone([*holder.pids.values(), holder.supervisor], within=15)
    print(f"\nall servers gone {seconds:.2f} s after kill -9 of their parent")
    with EmbeddedServers(data_dir) as servers:
        assert servers.urls == holder.urls
        for name in NAMES:
            assert read(name, servers.urls) == {"before the crash"}


def test_start_right_after_a_killed_parent_waits_for_its_servers(scratch: Path, hold: Hold) -> None:
    holder = hold(scratch / "data", "postgres", "redis")
    write("postgres", holder.urls, "kept")
    holder.kill()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NEXFIT_MONGO_URL", holder.urls.mongo)
        with EmbeddedServers(scratch / "data") as servers:
            assert not any(alive(pid) for pid in holder.pids.values())
            assert read("postgres", servers.urls) == {"kept"}


def test_servers_die_with_a_killed_supervisor_and_a_hung_one_is_ended(scratch: Path, hold: Hold) -> None:
    holder = hold(scratch / "data", "postgres", "redis")
    write("redis", holder.urls, "kept")
    write("postgres", holder.urls, "kept")
    os.kill(holder.pids["redis"], signal.SIGSTOP)  # it cannot follow the signal to end
    os.kill(holder.supervisor, signal.SIGKILL)
    seconds_until_gone([holder.pids["postgres"]], within=15)
    assert alive(holder.pids["redis"])
    holder.kill()

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NEXFIT_MONGO_URL", holder.urls.mongo)
        with EmbeddedServers(scratch / "data") as servers:
            assert not alive(holder.pids["redis"])
            assert read("redis", servers.urls) == {"kept"}
            assert read("postgres", servers.urls) == {"kept"}


def test_first_start_killed_half_way_is_begun_again(scratch: Path) -> None:
    source = """
        import os, signal, sys, time
        from pathlib import Path
        from nexfit.embedded import EmbeddedServers

        def die(name, state):
            if state == "initialising":
                time.sleep(0.3)  # initdb is at work by now
                os.kill(os.getpid(), signal.SIGKILL)

        EmbeddedServers(Path(sys.argv[1]), on_progress=die).start()
    """
    elsewhere = {"NEXFIT_MONGO_URL": "mongodb://elsewhere.example"}
    killed = python(source, scratch / "data", env=os.environ | elsewhere)
    assert killed.wait(30) == -signal.SIGKILL
    assert not (scratch / "data/postgres/data").exists()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NEXFIT_MONGO_URL", "mongodb://elsewhere.example")
        with EmbeddedServers(scratch / "data") as servers:
            write("postgres", servers.urls, "works")


def test_ctrl_c_during_the_start_stops_what_was_started(scratch: Path) -> None:
    source = """
        import json, os, signal, sys
        from pathlib import Path
        from nexfit.embedded import EmbeddedServers

        def interrupt(name, state):
            if state == "ready":
                owner = json.loads((Path(sys.argv[1]) / "lock").read_text())
                print(servers.server(name).pid, owner["supervisor"], flush=True)
                os.killpg(os.getpgrp(), signal.SIGINT)

        servers = EmbeddedServers(Path(sys.argv[1]), on_progress=interrupt)
        try:
            servers.start()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            os._exit(7)
    """
    elsewhere = {"NEXFIT_MONGO_URL": "mongodb://elsewhere.example"}
    interrupted = python(source, scratch / "data", env=os.environ | elsewhere, start_new_session=True)
    said = interrupted.communicate(timeout=60)[0].split()
    assert said[-1] == "interrupted"
    assert interrupted.returncode == 7
    assert not any(alive(int(pid)) for pid in said[:-1])  # gone before start() raised


def test_two_first_starts_at_once_give_one_winner(scratch: Path) -> None:
    source = """
        import sys
        from pathlib import Path
        from nexfit.embedded import DataDirInUse, EmbeddedServers

        servers = EmbeddedServers(Path(sys.argv[1]))
        try:
            servers.start()
        except DataDirInUse as refused:
            print("refused", refused.pid, flush=True)
        else:
            print("started", flush=True)
            sys.stdin.read()
            servers.stop()
    """
    elsewhere = {f"NEXFIT_{name.upper()}_URL": f"{name}://elsewhere.example" for name in ("mongo", "postgres")}
    options: dict[str, Any] = {"env": os.environ | elsewhere, "stdin": subprocess.PIPE}
    started = monotonic()
    both = [python(source, scratch / "data", **options) for _ in range(2)]
    said = [process.stdout.readline().split() if process.stdout else [] for process in both]
    for process in both:
        process.communicate(timeout=30)
    winner = next(process for process, words in zip(both, said, strict=True) if words == ["started"])
    assert sorted(said) == [["refused", str(winner.pid)], ["started"]]
    assert monotonic() - started < 30
