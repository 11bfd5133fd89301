"""What is asked of both targets: the operations, as HTTP bodies, and the data they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from bench.stores import http
from bench.stores.errors import CannotMeasure
from nexfit.api.relay import parse_global_id
from nexfit.domains.finance.overview import money_tag, plan_tag
from nexfit.operations.demo import demo_logins

OWNER_OVERVIEW = """
query OwnerOverview($facility: ID!, $from: Date!, $to: Date!) {
  facility(id: $facility) {
    name type timezone address { city latitude longitude } openNow
    classes(first: 20) { nodes { name category instructor { firstName lastName }
      occurrences(first: 3) { startsAt capacity seatsTaken waitlisted } } }
    memberships { name price { amount currency } activeSubscribers }
    revenue(from: $from, to: $to, by: MONTH) { period total { amount currency } transactions refunds }
    outstanding { invoices total { amount currency } }
    members(first: 20, filter: { overdue: true }, orderBy: { field: LAST_PAYMENT, direction: DESC }) {
      nodes { user { firstName lastName } status plan { name } balance { amount currency } lastPaymentAt lastVisitAt } }
  }
}
"""

FACILITY = "query Facility($facility: ID!) { facility(id: $facility) { name type timezone } }"

INVOICE = """
query Invoice($invoice: ID!) {
  node(id: $invoice) { ... on Invoice { number status total { amount currency } issuedOn dueDate } }
}
"""

_LOGIN = "mutation ($i: LoginInput!) { login(input: $i) { accessToken userErrors { code } } }"

_SUBJECT = """
{ viewer { facilities(first: 20) { nodes {
  id name memberships { id } members(first: 1) { totalCount } invoices(first: 1) { nodes { id } } } } } }
"""


@dataclass(frozen=True, slots=True)
class Work:
    """An operation as it is sent. `route` is the floor's path; the API gets the same bytes at /graphql."""

    name: str
    route: str
    body: bytes
    cold: bool = False
    """Whether the joined views are made unreadable before each request, through the product's own invalidation."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks, about what: the owner's largest facility, one of its invoices, and the tags its views depend on."""

    token: str
    facility: str
    facility_name: str
    invoice: str
    tags: Sequence[str]


def find_subject(port: int) -> Subject:
    """Sign in at the API as the demo's owner and look for the largest facility; raises CannotMeasure."""
    owner = demo_logins()[0]
    given = {"email": owner.email, "password": owner.password}
    token = _data(http.post(port, "/graphql", _body(_LOGIN, i=given)))["login"]["accessToken"]
    found = _data(http.post(port, "/graphql", _body(_SUBJECT), token))["viewer"]["facilities"]["nodes"]
    if not found:
        raise CannotMeasure("the demo's owner has no facility")
    largest = max(found, key=lambda facility: facility["members"]["totalCount"])
    tags = [money_tag(_local(largest["id"])), *(plan_tag(_local(plan["id"])) for plan in largest["memberships"])]
    return Subject(token, largest["id"], largest["name"], largest["invoices"]["nodes"][0]["id"], tags)


def works(subject: Subject, today: date) -> list[Work]:
    """The works of a run; the overview asks for the last twelve months, the present one included."""
    first = date(today.year - 1, today.month + 1, 1) if today.month < 12 else date(today.year, 1, 1)
    window = {"from": first.isoformat(), "to": today.isoformat()}
    overview = _body(OWNER_OVERVIEW, facility=subject.facility, **window)
    return [
        Work("overview, warm cache", "/overview", overview),
        Work("overview, cold cache", "/overview", overview, cold=True),
        Work("facility", "/facility", _body(FACILITY, facility=subject.facility)),
        Work("node: invoice", "/invoice", _body(INVOICE, invoice=subject.invoice)),
    ]


def _body(query: str, **variables: object) -> bytes:
    return orjson.dumps({"query": query, "variables": variables})


def _data(answer: bytes) -> Any:
    return orjson.loads(answer)["data"]


def _local(global_id: str) -> str:
    parsed = parse_global_id(global_id)
    if parsed is None:
        raise CannotMeasure(f"{global_id} is not a global id")
    return parsed[1]
