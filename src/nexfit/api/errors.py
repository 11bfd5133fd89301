"""Errors as clients see them: a stable code, a message meant for them, and nothing of a driver or a traceback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import strawberry
import structlog
from graphql import GraphQLError

from nexfit.api.bounds import require_bounds
from nexfit.api.context import Context
from nexfit.api.fields import column, derived
from nexfit.api.language import ENGLISH, Speech
from nexfit.domains.errors import ErrorCode, Forbidden, Refusal, Unauthenticated
from nexfit.domains.identity.validation import InvalidInput
from nexfit.engine.fields import BatchLoad, Record
from nexfit.hybrid.paging import BadCursor
from nexfit.stores.errors import StoreUnavailable

UNAVAILABLE = "A store does not answer. Try again in a moment."
INTERNAL = "Something went wrong here."

A = TypeVar("A")

log = structlog.get_logger(__name__)

strawberry.enum(ErrorCode, description="Why something was refused. Codes are stable; messages are for people.")


@strawberry.type(description="An expected failure of a mutation. Nothing was written.")
class UserError:
    """Kept by payloads as `userErrors`."""

    code: ErrorCode = column(description="Stable code.")
    message: str = derived(
        lambda record, _, context: context.speech.refusal(record["refusal"]),
        needs=("refusal",),
        description="For people, in the language `Accept-Language` asks for: en, tr or pl.",
    )
    path: list[str] = column(description="Where in the input.")


def user_error(refusal: Refusal) -> dict[str, object]:
    """A refusal as a `UserError` record."""
    return {"code": refusal.code, "refusal": refusal, "path": list(refusal.path)}


def answering(
    run: Callable[[A, Context], Awaitable[Mapping[str, Any]]], refused: Mapping[str, Any] | None = None
) -> BatchLoad:
    """The load of every mutation: `book_class: BookingPayload = batch(answering(_book), args=BookClassArgs, …)`.

    `run(args, context)` makes the change, reads back what `args.selection` asks for, and answers with the payload
    without `userErrors`. A Refusal or InvalidInput it raises becomes `userErrors`, beside `refused`: the values of
    fields that are not null then. It raises them before anything is written. Unauthenticated and Forbidden stay errors
    of the operation, whichever mutation it is; who has to be signed in says the matrix of rights, before `run`. Texts
    and lists longer than any may be (`nexfit.api.bounds`) are refused before it, too.
    """

    async def load(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
        try:
            require_bounds(getattr(args, "input", None))
            payload = {**await run(args, context), "userErrors": []}
        except (Unauthenticated, Forbidden):
            raise
        except Refusal as refusal:
            payload = {**(refused or {}), "userErrors": [user_error(refusal)]}
        except InvalidInput as invalid:
            payload = {**(refused or {}), "userErrors": [user_error(refusal) for refusal in invalid.refusals]}
        context.plans.clear()  # what an earlier mutation of the operation has shown may have changed
        return [payload] * len(parents)

    return load


def accepted(run: Callable[[A, Context], Awaitable[None]]) -> BatchLoad:
    """The same for a mutation that has nothing to show: its payload says `accepted`."""

    async def made(args: A, context: Context) -> Mapping[str, Any]:
        await run(args, context)
        return {"accepted": True}

    return answering(made, {"accepted": False})


def presented(errors: Sequence[GraphQLError] | None, speech: Speech | None = None) -> list[GraphQLError] | None:
    """The errors as the client may see them; what nobody expected is masked and logged under the same `errorId`.

    A failure that several fields share has one id and is logged once.
    """
    if not errors:
        return None
    speech = speech or Speech()
    logged: dict[int, str] = {}
    return [_present(error, speech, logged) for error in errors]


def _present(error: GraphQLError, speech: Speech, logged: dict[int, str]) -> GraphQLError:
    inner, cause = error, error.original_error
    while isinstance(cause, GraphQLError):
        inner, cause = cause, cause.original_error
    if cause is None and (error.path is None or inner.nodes):
        # Raised by GraphQL itself: syntax, validation, coercion. What it raises at a field without naming a part of the
        # document is a stored value that does not fit the schema: our own fault.
        # Its words are for developers and exist in English only.
        speech.spoken.add(ENGLISH)
        return _with(error, error.message, (error.extensions or {}).get("code", ErrorCode.BAD_USER_INPUT))
    if isinstance(cause, Refusal):
        return _with(error, speech.refusal(cause), cause.code, argument=list(cause.path), **cause.details())
    if isinstance(cause, BadCursor):
        return _with(error, speech.say(str(cause)), ErrorCode.BAD_USER_INPUT)
    error_id = _logged(error, cause or inner, logged)
    if isinstance(cause, StoreUnavailable):
        return _with(error, speech.say(UNAVAILABLE), ErrorCode.UNAVAILABLE, errorId=error_id)
    return _with(error, speech.say(INTERNAL), ErrorCode.INTERNAL, errorId=error_id)


def _logged(error: GraphQLError, cause: Exception, logged: dict[int, str]) -> str:
    error_id = logged.get(id(cause))
    if error_id is None:
        error_id = logged[id(cause)] = uuid4().hex
        if isinstance(cause, StoreUnavailable):  # nothing to look for in our code, and an outage has many of them
            log.warning("store unavailable", error_id=error_id, path=error.path, detail=str(cause))
        else:
            log.error("request failed", error_id=error_id, path=error.path, exc_info=cause)
    return error_id


def _with(error: GraphQLError, message: str, code: ErrorCode, **more: object) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": str(code), **{key: value for key, value in more.items() if value}},
    )
