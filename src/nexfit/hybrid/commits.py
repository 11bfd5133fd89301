"""How each kind of unit of work begins and ends at the stores. A commit returns only when the change is decided."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from nexfit.hybrid import two_phase
from nexfit.hybrid.documents import Verdict
from nexfit.hybrid.fault_points import reach
from nexfit.hybrid.ids import uuid7
from nexfit.hybrid.outbox import Proof, Told, was_committed, write_mongo, write_postgres
from nexfit.stores.connections import Stores
from nexfit.stores.errors import CommitUnknown, ConnectionLost, StoreError, StoreUnavailable, WriteConflict
from nexfit.stores.mongo_transactions import MongoTransaction
from nexfit.stores.postgres import Postgres
from nexfit.stores.postgres_transactions import Isolation, PostgresTransaction


class OutcomeUnknown(StoreUnavailable):
    """Whether it was committed cannot be found out now. The same idempotency key does nothing twice."""


class PostgresCommit:
    """One transaction in PostgreSQL."""

    def __init__(self, stores: Stores, tx: PostgresTransaction) -> None:
        self._stores = stores
        self.tx = tx

    @classmethod
    async def begin(cls, stores: Stores, isolation: Isolation) -> PostgresCommit:
        """Raises StoreError."""
        return cls(stores, await PostgresTransaction.begin(stores.postgres, isolation))

    async def commit(self, told: Told) -> bool:
        """True: everybody sees it. Raises StoreError when nothing was done, OutcomeUnknown."""
        await commit_postgres(self._stores.postgres, self.tx, told)
        return True

    async def end(self) -> None:
        """Undo what was not committed and give back what was taken."""
        await self.tx.rollback()
        await self.tx.close()


class MongoCommit:
    """One transaction in MongoDB."""

    def __init__(self, stores: Stores) -> None:
        self.tx = MongoTransaction(stores.mongo)

    async def commit(self, told: Told) -> bool:
        """True: everybody sees it. Raises StoreError when nothing was done, OutcomeUnknown."""
        if self.tx.failure is not None:
            raise self.tx.failure
        await write_mongo(self.tx, told)
        reach("written")
        try:
            await self.tx.commit(two_phase.PATIENCE)
        except CommitUnknown as error:
            raise OutcomeUnknown("mongo", str(error)) from error
        return True

    async def end(self) -> None:
        """Undo what was not committed and give back what was taken."""
        await self.tx.rollback()
        await self.tx.close()


class BothCommit:
    """One change in both stores. Without any use of MongoDB it is committed in PostgreSQL alone."""

    def __init__(self, stores: Stores, postgres: PostgresTransaction) -> None:
        self._stores = stores
        self.xid = uuid7().hex
        self.postgres = postgres
        self.mongo = MongoTransaction(stores.mongo, opening=two_phase.commit_record(self.xid))

    @classmethod
    async def begin(cls, stores: Stores, isolation: Isolation) -> BothCommit:
        """Raises StoreError."""
        return cls(stores, await PostgresTransaction.begin(stores.postgres, isolation))

    async def commit(self, told: Told) -> bool:
        """True: everybody sees it; False: it is decided and MongoDB shows it, PostgreSQL will when it is back.

        Raises StoreError when nothing was done in either store, OutcomeUnknown.
        """
        for failure in (self.postgres.failure, self.mongo.failure):
            if failure is not None:
                raise failure
        documents = [event for event in told.events if event.home == "mongo"]
        rows = replace(told, events=[event for event in told.events if event.home == "postgres"])
        if not self.mongo.begun and not documents:
            await commit_postgres(self._stores.postgres, self.postgres, rows)
            return True
        # Together, and both to their end: nothing may be sent in a transaction that is being rolled back.
        written = await asyncio.gather(
            write_mongo(self.mongo, Told(told.unit, events=documents), self.xid),
            write_postgres(self.postgres, rows, prove=False),
            return_exceptions=True,
        )
        for refused in written:
            if isinstance(refused, BaseException):
                raise refused
        reach("written")
        await self._prepare()
        reach("prepared")
        await self._decide()
        reach("decided")
        return await self._follow()

    async def end(self) -> None:
        """Undo what was not committed and give back what was taken."""
        await asyncio.gather(self.mongo.rollback(), self.postgres.rollback())
        await asyncio.gather(self.mongo.close(), self.postgres.close())

    async def _prepare(self) -> None:
        try:
            await self.postgres.prepare(two_phase.gid_of(self.xid))
        except CommitUnknown as error:
            # Prepared or not: MongoDB has not committed, and never will.
            await self.mongo.rollback()
            await self.postgres.close()
            await two_phase.finish(self._stores, self.xid, Verdict.ABORT)
            raise ConnectionLost("postgres", str(error)) from error

    async def _decide(self) -> None:
        try:
            await self.mongo.commit(two_phase.PATIENCE)
        except StoreError as error:
            reach("unanswered")
            await self.mongo.rollback()
            # What the driver makes of a lost answer is not trusted with money: the decision document says it.
            verdict = await two_phase.settle(self._stores, self.xid)
            if verdict is None:
                raise OutcomeUnknown("mongo", str(error)) from error
            if verdict is Verdict.ABORT:
                await self.postgres.close()
                await two_phase.finish(self._stores, self.xid, Verdict.ABORT)
                retryable = isinstance(error, CommitUnknown | WriteConflict)
                raise (WriteConflict("mongo", str(error)) if retryable else error) from error

    async def _follow(self) -> bool:
        try:
            await self.postgres.commit_prepared(two_phase.gid_of(self.xid))
        except StoreError:
            await self.postgres.close()
            return await two_phase.finish(self._stores, self.xid, Verdict.COMMIT)
        finally:
            reach("finished")
        return True


async def commit_postgres(postgres: Postgres, tx: PostgresTransaction, told: Told) -> None:
    """Write what is told and commit. Raises StoreError when nothing was done, OutcomeUnknown."""
    if tx.failure is not None:
        raise tx.failure
    proof = await write_postgres(tx, told, prove=True)
    reach("written")
    try:
        await tx.commit()
    except CommitUnknown as error:
        await tx.close()
        if proof is None or await _resolve(postgres, proof) is False:
            raise ConnectionLost("postgres", str(error)) from error


async def _resolve(postgres: Postgres, proof: Proof) -> bool:
    """Find out what became of a commit whose answer was lost. Raises OutcomeUnknown after some seconds."""
    deadline = asyncio.get_running_loop().time() + two_phase.PATIENCE
    pause = 0.02
    while True:
        detail = "the server process of the commit is still at it"
        try:
            if (committed := await was_committed(postgres, proof)) is not None:
                return committed
        except StoreError as error:
            detail = str(error)
        if asyncio.get_running_loop().time() + pause > deadline:
            raise OutcomeUnknown("postgres", detail)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.5)
