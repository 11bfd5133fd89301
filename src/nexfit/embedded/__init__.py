"""Local MongoDB, PostgreSQL and Valkey servers for `nexfit dev`, the tests and the benchmarks.

One data folder holds one set of servers. They listen on 127.0.0.1 only, each on a port of its own behind generated
credentials (PostgreSQL: scram; Valkey: requirepass; MongoDB: key file and user), and die with the process that started
them. A URL in the environment (`NEXFIT_MONGO_URL`, `NEXFIT_POSTGRES_URL`, `NEXFIT_REDIS_URL`) replaces a server.
Production never imports this package.
"""

from nexfit.embedded.errors import (
    DataDirInUse,
    EmbeddedError,
    NotADataDir,
    ServerBinaryMissing,
    ServerFailed,
    ServerReplaced,
)
from nexfit.embedded.servers import EmbeddedServers, Server, ServerName, ServerUrls, reset

__all__ = [
    "DataDirInUse",
    "EmbeddedError",
    "EmbeddedServers",
    "NotADataDir",
    "Server",
    "ServerBinaryMissing",
    "ServerFailed",
    "ServerName",
    "ServerReplaced",
    "ServerUrls",
    "reset",
]
