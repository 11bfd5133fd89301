"""MongoDB for local use: a replica set of one member, which transactions and change streams need, with a user.

The member's own address is part of the replica set's configuration, so a changed port is written there after the start.
"""

import contextlib
import re
import signal
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from nexfit.embedded import binaries
from nexfit.embedded.folder import DataFolder, write_private
from nexfit.embedded.processes import Program

USER = "nexfit"
_SET = "rs0"


def program(folder: DataFolder, port: int, *, durable: bool) -> Program:
    """How to run mongod on the data folder."""
    home = folder.path / "mongo"
    for part in (home, home / "data"):
        part.mkdir(mode=0o700, exist_ok=True)
    key_file = home / "replica-set.key"
    write_private(key_file, re.sub(r"[^A-Za-z0-9]", "", folder.secret("mongo_key")))
    argv = [
        str(binaries.mongod()),
        *("--dbpath", str(home / "data"), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--replSet", _SET, "--keyFile", str(key_file), "--networkMessageCompressors", "disabled", "--quiet"),
        *("--wiredTigerCacheSizeGB", "0.5" if durable else "0.25", "--oplogSize", "512" if durable else "128"),
        # Three journal files of 100 MB would be laid out otherwise.
        *("--wiredTigerEngineConfigString", "log=(file_max=32MB)"),
        # The password is random, so the least number of rounds is enough; every new connection pays for them.
        *("--setParameter", "scramSHA256IterationCount=5000"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        # Half of the default: what a killed process had open keeps documents locked no longer than that.
        *("--setParameter", "transactionLifetimeLimitSeconds=30"),
        # A lone member has nobody to hand over to, so it need not wait before it ends.
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
    ]
    return Program("mongo", argv, folder.log("mongo"), signal.SIGTERM)


def url(folder: DataFolder, port: int) -> str:
    password = quote(folder.secret("mongo"))
    options = f"replicaSet={_SET}&directConnection=true&authSource=admin"
    return f"mongodb://{USER}:{password}@127.0.0.1:{port}/?{options}"


def make_ready(folder: DataFolder, port: int, wait: Callable[[], None]) -> None:
    """Initiate the replica set and make the user where that is still to do; returns when the member is primary.

    `wait` sleeps between attempts and raises when the server has ended or time is over.
    """
    from pymongo import MongoClient
    from pymongo.errors import ConnectionFailure, OperationFailure

    password = folder.secret("mongo")
    # Not by `url`: a member outside its set does not name the set, and the driver would refuse it.
    direct: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": 1000, "connectTimeoutMS": 1000}
    stranger: MongoClient[dict[str, Any]]
    owner: MongoClient[dict[str, Any]]
    with (
        MongoClient("127.0.0.1", port, **direct) as stranger,
        MongoClient("127.0.0.1", port, username=USER, password=password, **direct) as owner,
    ):
        while True:
            with contextlib.suppress(ConnectionFailure):
                hello = stranger.admin.command("hello")
                if hello.get("isWritablePrimary"):
                    break
                if hello.get("info") == "Does not have a valid replica set config":
                    _configure(stranger, owner, port)
            wait()
        try:
            # Allowed without a login from localhost as long as there is no user at all.
            stranger.admin.command("createUser", USER, pwd=password, roles=["root"], mechanisms=["SCRAM-SHA-256"])
        except OperationFailure as refused:
            if refused.code != _UNAUTHORIZED:
                raise
    with MongoClient[dict[str, Any]](url(folder, port), serverSelectionTimeoutMS=5000) as client:
        client.admin.command("ping")


def _configure(stranger: Any, owner: Any, port: int) -> None:
    """Initiate a new replica set, or tell an old one that its only member has moved to another port.

    To be repeated until the member is primary. After a move it first looks for itself at its old address, which takes
    half a minute when a stranger listens there and never answers.
    """
    from pymongo.errors import OperationFailure

    address = {"_id": 0, "host": f"127.0.0.1:{port}"}
    try:
        stranger.admin.command("replSetInitiate", {"_id": _SET, "members": [address]})
    except OperationFailure as refused:
        if refused.code not in {_UNAUTHORIZED, _ALREADY_INITIALIZED}:
            raise
    else:
        return
    config = owner.local.system.replset.find_one()
    if config is None:
        return
    config |= {"version": config["version"] + 1, "members": [config["members"][0] | address]}
    try:
        owner.admin.command("replSetReconfig", config, force=True)
    except OperationFailure as refused:
        if refused.code != _NOT_YET_INITIALIZED:
            raise


_UNAUTHORIZED = 13  # a user exists, so strangers may no longer do this
_ALREADY_INITIALIZED = 23
_NOT_YET_INITIALIZED = 94
