"""Members get a notice of what became of their bookings and memberships: a consumer of the stream of events."""

from __future__ import annotations

from nexfit.domains.classes import notices
from nexfit.hybrid.consuming import Consumer
from nexfit.stores.connections import Stores

NOTICES = "notices"
"""Name of the consumer."""


async def keep_noticed(stores: Stores) -> None:
    """Write notices until cancelled."""
    await Consumer(stores, NOTICES, (*notices.KINDS, *notices.MEMBERSHIP_EVENTS), notices.write).run()
