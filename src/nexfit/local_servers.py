"""The local servers of a data folder, found by every command: started by `nexfit dev`, or for one command."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nexfit.embedded import DataDirInUse, EmbeddedServers, ServerUrls, reset

URLS_FILE = "urls.json"
"""Where the servers of a running `nexfit dev` are; it holds passwords, so only its owner can read it."""

KEYS_FILE = "encryption-keys.json"
"""The keys of this folder's encrypted fields; without it they cannot be read again."""

PERSON_KEYS = "person-keys"
"""The folder of people's own keys."""

SECRET_FILE = "auth-secret"  # noqa: S105 - a file's name

VARIABLES = ("NEXFIT_MONGO_URL", "NEXFIT_POSTGRES_URL", "NEXFIT_REDIS_URL")


class PortInUse(Exception):
    """Something else listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use; choose another one with --port (make run PORT=…)")


@contextmanager
def local_servers(data_dir: Path) -> Iterator[None]:
    """Servers for one command: those the environment names, those of a running `nexfit dev`, or its own meanwhile.

    Raises the errors of `nexfit.embedded`.
    """
    if all(os.environ.get(variable) for variable in VARIABLES):
        yield
        return
    servers = EmbeddedServers(data_dir)
    try:
        urls = variables(servers.start())
    except DataDirInUse:
        running = data_dir / URLS_FILE
        if not running.exists():  # it is starting or stopping: nobody can use its servers now
            raise
        urls = json.loads(running.read_text(encoding="utf-8"))
    os.environ |= urls
    set_encryption_keys(data_dir)
    try:
        yield
    finally:
        servers.stop()


def variables(urls: ServerUrls) -> dict[str, str]:
    """The environment variables that name the servers."""
    return dict(zip(VARIABLES, (urls.mongo, urls.postgres, urls.redis), strict=True))


def delete_data(data_dir: Path) -> None:
    """Delete a data folder with all its data and the secrets kept beside it; nothing happens without one.

    Raises DataDirInUse while servers run on it, NotADataDir when it is not one of ours.
    """
    reset(data_dir)
    for name in (URLS_FILE, KEYS_FILE, SECRET_FILE):
        (data_dir / name).unlink(missing_ok=True)
    shutil.rmtree(data_dir / PERSON_KEYS, ignore_errors=True)
    with contextlib.suppress(OSError):  # somebody keeps notes in it, or it was not there
        data_dir.rmdir()


def set_encryption_keys(data_dir: Path) -> None:
    """Name the folder's own encryption keys in the environment, made on first use, unless it names others."""
    path = data_dir / KEYS_FILE
    if not path.exists():
        made = {"NEXFIT_ENCRYPTION_KEYS": f"local:{_key()}", "NEXFIT_ENCRYPTION_INDEX_KEY": _key()}
        write_private(path, json.dumps(made))
    for variable, keys in json.loads(path.read_text(encoding="utf-8")).items():
        os.environ.setdefault(variable, keys)
    os.environ.setdefault("NEXFIT_ENCRYPTION_PERSON_KEYS", str(data_dir / PERSON_KEYS))


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
