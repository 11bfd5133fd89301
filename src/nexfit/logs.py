"""How a process logs: JSON lines on stderr, or coloured ones on a terminal.

Tracebacks never show the values of variables: a password or a token may be among them.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar

import orjson
import structlog

current_request: ContextVar[str | None] = ContextVar("nexfit_request", default=None)
"""The id of the request that is being answered."""


def _with_request(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    id_ = current_request.get()
    if id_ is not None:
        event.setdefault("request_id", id_)
    return event


def configure_logs(level: int = logging.INFO) -> None:
    """Set up structlog for this process, from the level upwards; the last call decides."""
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        _with_request,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr.isatty():
        processors.append(structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback))
    else:
        processors += [structlog.processors.format_exc_info, _line]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # The stderr of the moment a line is written: one that stood in for it meanwhile may have been closed.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )


def _line(_: object, __: str, event: structlog.typing.EventDict) -> str:
    """One JSON object; what JSON does not know is written as text."""
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # an integer of more than 64 bits, a key that is no text
        return json.dumps(event, default=str, skipkeys=True)
