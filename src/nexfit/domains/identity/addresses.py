"""Where a request comes from: the peer's address, unless the peer is a proxy that the settings trust."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Networks = Sequence[IPv4Network | IPv6Network]

_MOST_HOPS = 20


def networks(texts: Sequence[str]) -> Networks:
    """Addresses and networks such as `10.0.0.0/8`; raises ValueError for anything else."""
    return tuple(ip_network(text, strict=False) for text in texts)


def client_address(peer: str, forwarded_for: bytes | None, trusted: Networks) -> str:
    """The nearest address in `X-Forwarded-For` that is no trusted proxy; the peer itself where it is none.

    What stands before that address was written by the client and is never looked at.
    """
    if forwarded_for is None or not trusted or not _within(peer, trusted):
        return peer
    address = peer
    for hop in reversed(forwarded_for.decode("latin-1").split(",")[-_MOST_HOPS:]):
        text = hop.strip()
        if not _is_address(text):
            break
        address = text
        if not _within(text, trusted):
            break
    return address


@lru_cache(4096)
def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one, which a single client has to itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)


def _within(text: str, trusted: Networks) -> bool:
    if not _is_address(text):
        return False
    address = ip_address(text)
    return any(address in network for network in trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
