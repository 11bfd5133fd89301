"""One HTTP request at a time, for everything that is not measured."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

from bench.stores.errors import CannotMeasure

HOST = "127.0.0.1"


def headers(token: str | None) -> dict[str, str]:
    """The headers of a request; both targets get the same."""
    signed = {"authorization": f"Bearer {token}"} if token else {}
    return {"content-type": "application/json", "accept": "application/json", **signed}


def post(port: int, path: str, body: bytes, token: str | None = None) -> bytes:
    """The body of a 200 answer without errors; raises CannotMeasure for any other."""
    connection = HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("POST", path, body, headers(token))
        response = connection.getresponse()
        answer = response.read()
    except (OSError, HTTPException) as error:
        raise CannotMeasure(f"no answer from port {port}{path}: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200 or b'"errors":' in answer:
        raise CannotMeasure(f"port {port}{path} answered {response.status}: {answer[:1000].decode(errors='replace')}")
    return answer


def is_ready(port: int) -> bool:
    """Whether `/readyz` answers 200."""
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
