"""Valkey for local use: append-only file, so that its data outlives a restart, and a password."""

import signal
from collections.abc import Callable

from nexfit.embedded import binaries
from nexfit.embedded.folder import DataFolder, write_private
from nexfit.embedded.processes import Program


def program(folder: DataFolder, port: int, *, durable: bool) -> Program:
    """How to run Valkey on the data folder. A file holds the settings: arguments are readable by every user."""
    home = folder.path / "redis"
    for part in (home, home / "data"):
        part.mkdir(mode=0o700, exist_ok=True)
    settings = [
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {folder.secret('redis')}",
        f'dir "{home / "data"}"',
        "appendonly yes",
        # `no` still hands every write to the system before it is acknowledged: it outlives a kill, not a power cut.
        f"appendfsync {'everysec' if durable else 'no'}",
        'save ""',
        "databases 64",
        "daemonize no",
    ]
    write_private(home / "valkey.conf", "\n".join(settings) + "\n")
    argv = [str(binaries.valkey_server()), str(home / "valkey.conf")]
    return Program("redis", argv, folder.log("redis"), signal.SIGTERM)


def url(folder: DataFolder, port: int) -> str:
    return f"redis://:{folder.secret('redis')}@127.0.0.1:{port}/0"


def make_ready(folder: DataFolder, port: int, wait: Callable[[], None]) -> None:
    """Return when the server answers and has loaded its data; `wait` sleeps and raises when that is hopeless."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)
    while True:
        with Redis.from_url(url(folder, port), socket_connect_timeout=1, socket_timeout=1, retry=once) as client:
            try:
                client.ping()
            except AuthenticationError:  # somebody else's server: waiting does not help
                raise
            except (ConnectionError, TimeoutError):  # not listening yet, or loading its data
                wait()
            else:
                return
