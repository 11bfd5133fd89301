"""Start, stop, start again: data and URLs stay, nobody else gets in, nothing is left behind."""

import os
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic

import asyncpg
import pytest
from embedded_probes import NAMES, alive, query, read, seconds_until_gone, write
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from nexfit.embedded import (
    DataDirInUse,
    EmbeddedError,
    EmbeddedServers,
    NotADataDir,
    ServerFailed,
    ServerName,
    ServerReplaced,
    reset,
)

ELSEWHERE = "redis://elsewhere.example:6379/0"


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nexfit-lifecycle-") as folder:
        yield Path(folder) / "data"


@pytest.fixture(scope="module")
def durable(data_dir: Path) -> Iterator[EmbeddedServers]:
    """Durable servers for this module; a test that stops them starts them again."""
    with pytest.MonkeyPatch.context() as environment:
        for name in NAMES:
            environment.delenv(f"NEXFIT_{name.upper()}_URL", raising=False)
        servers = EmbeddedServers(data_dir, durable=True)
        started = monotonic()
        servers.start()
        print(f"\nfirst start: {monotonic() - started:.2f} s")
    try:
        yield servers
    finally:
        servers.stop()


def pids(servers: EmbeddedServers) -> list[int]:
    running = [servers.server(name).pid for name in NAMES]
    assert None not in running
    return [pid for pid in running if pid is not None]


def test_second_start_keeps_data_and_urls_and_takes_seconds(durable: EmbeddedServers) -> None:
    before, old = durable.urls, pids(durable)
    for name in NAMES:
        write(name, durable.urls, "first run")

    durable.stop()
    assert not any(alive(pid) for pid in old)
    with pytest.raises(EmbeddedError, match="not started"):
        _ = durable.urls
    started = monotonic()
    durable.start()
    seconds = monotonic() - started

    print(f"second start: {seconds:.2f} s")
    assert seconds < 60
    assert durable.urls == before
    for name in NAMES:
        assert "first run" in read(name, durable.urls)


def test_folder_in_use_is_refused_naming_the_holder(durable: EmbeddedServers, data_dir: Path) -> None:
    started = monotonic()
    with pytest.raises(DataDirInUse, match=f"process {os.getpid()}") as refused:
        EmbeddedServers(data_dir).start()
    assert refused.value.pid == os.getpid()
    with pytest.raises(DataDirInUse):
        reset(data_dir)
    assert monotonic() - started < 20
    assert query(durable.urls.postgres, "SELECT 1")


@pytest.mark.parametrize("name", NAMES)
def test_acknowledged_data_outlives_a_killed_server(durable: EmbeddedServers, name: ServerName) -> None:
    server = durable.server(name)
    write(name, durable.urls, "before the kill")
    old, port = server.pid, server.port
    assert old is not None

    server.kill()
    assert server.pid is None
    assert not alive(old)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    server.start()

    assert server.pid not in {None, old}
    assert server.port == port
    assert "before the kill" in read(name, durable.urls)


def test_stopped_server_starts_again_on_its_port(durable: EmbeddedServers) -> None:
    server = durable.server("postgres")
    server.stop()
    server.stop()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        query(durable.urls.postgres, "SELECT 1")
    server.start()
    server.start()
    assert query(durable.urls.postgres, "SELECT 1")


def test_postgres_is_set_up_for_the_two_phase_commit_and_change_feeds(durable: EmbeddedServers) -> None:
    shown = query(
        durable.urls.postgres,
        """SELECT current_setting('max_prepared_transactions')::int AS prepared, current_setting('wal_level') AS wal,
                  current_setting('fsync') AS fsync, current_setting('shared_preload_libraries') AS libraries,
                  current_database() AS database, current_setting('server_encoding') AS encoding,
                  current_setting('password_encryption') AS passwords, current_setting('timezone') AS timezone""",
    )[0]
    assert dict(shown) == {
        "prepared": 64,
        "wal": "logical",
        "fsync": "on",
        "libraries": "pg_stat_statements",
        "database": "nexfit",
        "encoding": "UTF8",
        "passwords": "scram-sha-256",
        "timezone": "UTC",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net")
def test_listens_on_127_0_0_1_only(durable: EmbeddedServers) -> None:
    listening: dict[str, str] = {}  # socket inode -> local address
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                listening[fields[9]] = fields[1]
    for name in NAMES:
        server = durable.server(name)
        sockets = [os.readlink(fd) for fd in Path(f"/proc/{server.pid}/fd").iterdir() if fd.is_socket()]
        inodes = {target.removeprefix("socket:[").removesuffix("]") for target in sockets}
        addresses = [address for inode, address in listening.items() if inode in inodes]
        assert addresses == [f"0100007F:{server.port:04X}"]


def test_strangers_are_refused(durable: EmbeddedServers) -> None:
    port = durable.server("postgres").port
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(f"postgresql://nexfit:wrong@127.0.0.1:{port}/nexfit", "SELECT 1")
    once = Retry(NoBackoff(), 0)
    with Redis(port=durable.server("redis").port, retry=once) as redis, pytest.raises(AuthenticationError):
        redis.ping()
    with MongoClient[dict[str, object]]("127.0.0.1", durable.server("mongo").port, directConnection=True) as client:
        with pytest.raises(OperationFailure, match="requires authentication"):
            client.admin.command("listDatabases")
        with pytest.raises(OperationFailure, match="requires authentication"):
            client.admin.command("createUser", "second", pwd="x", roles=["root"])


def test_passwords_show_up_nowhere(durable: EmbeddedServers, data_dir: Path) -> None:
    urls = durable.urls
    secrets = [url.partition("@")[0].rpartition(":")[2] for url in (urls.mongo, urls.postgres, urls.redis)]
    assert all(len(secret) > 30 for secret in secrets)
    assert len(set(secrets)) == 3
    shown = [repr(urls), str(urls), f"{urls}"]
    shown += [Path(f"/proc/{pid}/{part}").read_text() for pid in pids(durable) for part in ("cmdline", "environ")]
    shown += [log.read_text(errors="replace") for log in (data_dir / "logs").iterdir()]
    for text in shown:
        assert not any(secret in text for secret in secrets)
    assert "127.0.0.1" in repr(urls)
    for file in ("nexfit-servers.json", "redis/valkey.conf", "mongo/replica-set.key"):
        assert stat.S_IMODE((data_dir / file).stat().st_mode) == 0o600
    assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
    assert not data_dir.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH)


def test_port_taken_by_a_stranger_moves_the_server_and_keeps_its_data(durable: EmbeddedServers) -> None:
    before = durable.urls
    ports = {name: durable.server(name).port for name in NAMES}
    moved: tuple[ServerName, ...] = ("mongo", "postgres")
    write("mongo", durable.urls, "before the move")
    durable.stop()
    strangers = [ThreadingHTTPServer(("127.0.0.1", ports[name]), BaseHTTPRequestHandler) for name in moved]
    for stranger in strangers:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
    try:
        durable.start()
    finally:
        for stranger in strangers:
            stranger.shutdown()
            stranger.server_close()
    assert all(durable.server(name).port != ports[name] for name in moved)
    assert durable.urls.redis == before.redis
    assert "before the move" in read("mongo", durable.urls)
    assert query(durable.urls.postgres, "SELECT 1")


def test_failed_start_says_why_and_leaves_nothing_running(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXFIT_MONGO_URL", "mongodb://elsewhere.example")
    data_dir, states = scratch / "data", []
    servers = EmbeddedServers(data_dir, durable=False, on_progress=lambda name, state: states.append((name, state)))
    servers.start()
    old = [servers.server(name).pid or 0 for name in ("postgres", "redis")]
    assert [state for name, state in states if name == "postgres"] == ["initialising", "starting", "ready"]
    assert [state for name, state in states if name == "redis"] == ["starting", "ready"]
    assert [state for name, state in states if name == "mongo"] == ["external"]
    servers.stop()
    seconds_until_gone(old, within=1)
    good = (data_dir / "postgres/data/PG_VERSION").read_text()
    (data_dir / "postgres/data/PG_VERSION").write_text("9.6\n")

    with pytest.raises(ServerFailed, match=r"(?s)postgres: ended with code 1.*9\.6") as failed:
        servers.start()
    assert failed.value.server == "postgres"
    with pytest.raises(EmbeddedError):
        servers.server("redis")

    (data_dir / "postgres/data/PG_VERSION").write_text(good)
    with servers:
        assert query(servers.urls.postgres, "SELECT 1")


def test_url_in_the_environment_replaces_its_server(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = {"mongo": "mongodb://u:secret@elsewhere.example", "postgres": "postgresql://elsewhere.example/x"}
    for name, url in (urls | {"redis": ELSEWHERE}).items():
        monkeypatch.setenv(f"NEXFIT_{name.upper()}_URL", url)
    with EmbeddedServers(scratch / "all") as servers:
        assert (servers.urls.mongo, servers.urls.postgres) == (urls["mongo"], urls["postgres"])
        assert "secret" not in repr(servers.urls)
        assert not (scratch / "all").exists()
        with pytest.raises(ServerReplaced, match="NEXFIT_REDIS_URL"):
            servers.server("redis")

    monkeypatch.delenv("NEXFIT_REDIS_URL")
    with EmbeddedServers(scratch / "one", durable=False) as servers:
        assert servers.urls.postgres == urls["postgres"]
        write("redis", servers.urls, "local")
        assert not (scratch / "one/postgres").exists()


def test_foreign_folder_is_neither_used_nor_deleted(scratch: Path) -> None:
    (scratch / "holiday.txt").write_text("photos")
    with pytest.raises(NotADataDir):
        EmbeddedServers(scratch).start()
    with pytest.raises(NotADataDir):
        reset(scratch)
    with pytest.raises(NotADataDir):
        EmbeddedServers(scratch / "holiday.txt").start()
    assert [entry.name for entry in scratch.iterdir()] == ["holiday.txt"]


def test_reset_deletes_the_folder_and_a_new_start_is_empty(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXFIT_MONGO_URL", "mongodb://elsewhere.example")
    monkeypatch.setenv("NEXFIT_POSTGRES_URL", "postgresql://elsewhere.example/x")
    data_dir = scratch / "data"
    reset(data_dir)
    with EmbeddedServers(data_dir) as servers:
        old = servers.urls.redis
        write("redis", servers.urls, "old")
    reset(data_dir)
    assert not data_dir.exists()
    with EmbeddedServers(data_dir) as servers:
        assert servers.urls.redis != old
        assert read("redis", servers.urls) == set()
