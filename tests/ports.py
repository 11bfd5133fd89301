"""Ports for servers of tests."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from contextlib import suppress

BELOW_THE_SYSTEMS = range(20_000, 30_000)


def free_port(among: Sequence[int] = BELOW_THE_SYSTEMS) -> int:
    """A port that no connection is given by chance until a server listens on it: below those the system gives."""
    for port in random.SystemRandom().sample(among, 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
