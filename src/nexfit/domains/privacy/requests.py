"""Asking for a copy of one's data or for its erasure, and going back on the latter.

`waiting → running → done`; an erasure that cannot be yet is `blocked` and looked at again; while nothing of it is done
it may be `cancelled`. The work itself is `nexfit.operations.people`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from bson import ObjectId

from nexfit.domains.errors import BadInput, ErrorCode, Forbidden, InvalidCode, NotFound, Refusal
from nexfit.domains.identity import second_factor
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.messages import Channel, Message
from nexfit.domains.identity.password_change import require_password
from nexfit.domains.identity.sessions import Device
from nexfit.domains.privacy.blockers import BLOCKERS, blockers_of, sql
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, PostgresWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import Row

SHOWN = 20
"""Requests of a person that are shown, the newest."""

LONGEST_REASON = 1000
ERASURE_STEPS = 13
"""How many steps an erasure has (`nexfit.operations.people.erasing`)."""


class RequestKind(StrEnum):
    """What is asked for."""

    EXPORT = "export"
    ERASURE = "erasure"


class RequestStatus(StrEnum):
    """How far it is."""

    WAITING = "waiting"
    RUNNING = "running"
    BLOCKED = "blocked"
    DONE = "done"
    CANCELLED = "cancelled"


class NothingToCancel(Refusal):
    """No erasure waits, or it has begun."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("No erasure waits that could be cancelled.")


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, for whom, and by what they prove to be it; `operators` are ids of those who may ask for others."""

    actor: Actor
    person: ObjectId | None
    reason: str | None
    password: str | None
    code: str | None
    device: Device
    operators: Collection[str]

    def whose(self) -> ObjectId:
        """The person it is for. Raises Unauthenticated, Forbidden, BadInput."""
        asker = self.actor.require()
        if self.person is None or self.person == asker:
            return asker
        if str(asker) not in self.operators:
            raise Forbidden("Only an operator asks for somebody else.", path=("user",))
        if not self.reason or not self.reason.strip():
            raise BadInput("Say why you ask for somebody else.", path=("reason",))
        return self.person


async def export(accounts: Accounts, asking: Asking, *, now: datetime) -> UUID:
    """Ask for a copy of all of a person's data; the request's id, or that of the one that is under way.

    Raises Unauthenticated, Forbidden, BadInput, NotFound, and as `_prove` does; then nothing was written.
    """
    user_id = asking.whose()
    await _prove(accounts, asking, now)
    await _require_person(accounts.stores, user_id)
    made = await _add(accounts.units, asking, user_id, RequestKind.EXPORT, now, now, 1)
    return UUID(str(made["request_id"]))


async def erase(accounts: Accounts, asking: Asking, *, grace: timedelta, now: datetime) -> UUID:
    """Ask for a person's erasure after the time of grace; the request's id, or that of the one that is there already.

    Raises what `export` does, and the Refusal of what stands in the way (BLOCKERS).
    """
    user_id = asking.whose()
    await _prove(accounts, asking, now)
    email = await _require_person(accounts.stores, user_id)
    for code in await blockers_of(accounts.stores, user_id, now):
        raise BLOCKERS[code]()  # type: ignore[call-arg]
    made = await _add(accounts.units, asking, user_id, RequestKind.ERASURE, now, now + grace, ERASURE_STEPS)
    text = (
        f"Your NexFit account and everything in it will be erased on {made['due_at']:%Y-%m-%d}. Until then you can "
        "cancel that in the app. What tax law asks for stays, without your name."
    )
    accounts.post.send(Message(Channel.EMAIL, email, "erasure_requested", text))
    return UUID(str(made["request_id"]))


async def cancel_erasure(units: UnitsOfWork, actor: Actor, user_id: ObjectId, *, now: datetime) -> UUID:
    """Go back on somebody's erasure before it begins. Raises Unauthenticated, NothingToCancel."""
    by = actor.require()

    async def body(work: PostgresWork) -> UUID:
        row = await work.postgres.fetch_one(sql.cancel, str(user_id), now)
        if row is None:
            raise NothingToCancel
        work.audit(_audit("data.erasure_cancelled", user_id, by, row["request_id"]))
        return UUID(str(row["request_id"]))

    return await units.postgres("cancel_erasure").run(body)


async def of_person(stores: Stores, user_id: ObjectId) -> Sequence[Row]:
    """A person's newest requests. Raises StoreError."""
    return await stores.postgres.fetch(sql.newest, str(user_id), SHOWN)


async def request_on_command(
    units: UnitsOfWork, stores: Stores, user_id: ObjectId, kind: RequestKind, reason: str, *, now: datetime
) -> UUID:
    """A request of whoever may run commands on the server, due at once. Raises NotFound, and what blocks an erasure."""
    await _require_person(stores, user_id)
    if kind is RequestKind.ERASURE:
        for code in await blockers_of(stores, user_id, now):
            raise BLOCKERS[code]()  # type: ignore[call-arg]
    asking = Asking(Actor(), None, reason, None, None, Device(), ())
    made = await _add(units, asking, user_id, kind, now, now, ERASURE_STEPS if kind is RequestKind.ERASURE else 1)
    return UUID(str(made["request_id"]))


async def _prove(accounts: Accounts, asking: Asking, now: datetime) -> None:
    """That it is really the account's owner who asks, by password or a code of the authenticator app.

    Raises BadInput where neither is given, InvalidCredentials, InvalidCode, TooOften.
    """
    asker = asking.actor.require()
    if asking.password is None and asking.code is None:
        raise BadInput("Give your password, or a code of your authenticator app.", path=("password",))
    if asking.password is not None:
        await require_password(accounts, asker, asking.password, device=asking.device, field="password")
        return
    await accounts.attempts.check("second_factor", account=str(asker), address=asking.device.address or "")
    confirmed = {"_id": asker, "confirmedAt": {"$exists": True}}
    if not await accounts.stores.mongo.find(second_factor.FACTORS, confirmed, (), limit=1):
        raise InvalidCode("The code is not right, was used, or is too old.", path=("code",))

    async def body(work: MongoWork) -> None:
        await second_factor.require(work, accounts, asker, asking.code, now)

    await accounts.units.mongo("prove_by_code").run(body)


async def _require_person(stores: Stores, user_id: ObjectId) -> str:
    """The person's address. Raises NotFound for nobody, and for who is erased."""
    found = await stores.mongo.find("users", {"_id": user_id, "erasedAt": {"$exists": False}}, ("email",), limit=1)
    if not found:
        raise NotFound("There is no such {name}.", path=("user",), name="user")
    return str(found[0]["email"])


async def _add(
    units: UnitsOfWork, asking: Asking, user_id: ObjectId, kind: RequestKind, now: datetime, due: datetime, steps: int
) -> Row:
    by = asking.actor.user_id

    async def body(work: PostgresWork) -> Row:
        asked = (str(user_id), str(kind), None if by is None else str(by))
        reason = asking.reason.strip()[:LONGEST_REASON] if asking.reason and by != user_id else None
        row = await work.postgres.fetch_one(sql.add, *asked, reason, now, due, steps)
        if row is None:
            row = await work.postgres.fetch_one(sql.live, str(user_id), str(kind))
        else:
            work.audit(_audit(f"data.{kind}_requested", user_id, by, row["request_id"], asking.device.address))
        assert row is not None  # noqa: S101  # one of the two is there: a unique index says so
        return row

    return await units.postgres("request_data").run(body)


def _audit(action: str, user_id: ObjectId, by: ObjectId | None, request: UUID, address: str | None = None) -> Audit:
    return Audit(
        action=action,
        entity_type="user",
        entity_id=str(user_id),
        user_id=None if by is None else str(by),
        after={"request": str(request)},
        ip_address=address,
    )
