"""Who can sign in to the demo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from nexfit.domains.identity import passwords
from nexfit.operations.demo.businesses import LOGIN_EMAILS, Row
from nexfit.operations.demo.people import CLIENT_EMAIL

PASSWORD = "nexfit-demo"  # noqa: S105 - it is printed for everybody to see


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """An account to try the API with; the label says who it is."""

    label: str
    email: str
    password: str


def demo_logins() -> list[DemoLogin]:
    """The accounts every demo has, whatever its seed and size."""
    return [
        DemoLogin("owner", LOGIN_EMAILS["chain"], PASSWORD),
        DemoLogin("studio owner", LOGIN_EMAILS["studio"], PASSWORD),
        DemoLogin("coach", LOGIN_EMAILS["coach"], PASSWORD),
        DemoLogin("receptionist", LOGIN_EMAILS["desk"], PASSWORD),
        DemoLogin("member", CLIENT_EMAIL, PASSWORD),
    ]


def credentials(people: Iterable[ObjectId], seed: int, at: datetime) -> list[Row]:
    """`credentials` documents with the demo's password, hashed once with a salt from the seed."""
    hashed = passwords.hasher.hash(PASSWORD, salt=f"nexfit-demo-{seed}".encode().ljust(16, b"-"))
    return [{"_id": person, "passwordHash": hashed, "updatedAt": at} for person in people]
