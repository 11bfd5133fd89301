"""Guests: one rule for every mutation, whoever adds the next one."""

from __future__ import annotations

import httpx
import pytest
from graphql import GraphQLInputObjectType, get_named_type

from nexfit.api.rights import right_of
from nexfit.domains.identity.access import ANYONE, SIGNED_IN

from .conftest import Client, login
from .walk import schema, some

assert schema.mutation_type is not None
MUTATIONS = {
    name: input_type
    for name, field in schema.mutation_type.fields.items()
    if isinstance(input_type := get_named_type(field.args["input"].type), GraphQLInputObjectType)
}
FOR_GUESTS = {
    *("createGuestSession", "endGuestSession"),
    *("login", "refreshToken", "logout", "register", "verifyEmail", "resendVerification"),
    *("requestPasswordReset", "resetPassword"),
}
"""What somebody may do who is nobody yet."""


def test_every_mutation_takes_one_input_and_is_for_guests_or_for_accounts() -> None:
    assert MUTATIONS.keys() == schema.mutation_type.fields.keys()  # type: ignore[union-attr]
    rights = {name: right_of("Mutation", name) for name in MUTATIONS}
    assert {name for name, right in rights.items() if right == ANYONE} == FOR_GUESTS
    assert {name for name, right in rights.items() if right == SIGNED_IN} == MUTATIONS.keys() - FOR_GUESTS


@pytest.mark.parametrize("name", sorted(MUTATIONS))
async def test_a_guest_who_has_to_sign_in_is_told_so_by_an_error_of_the_operation(
    small_http: httpx.AsyncClient, name: str
) -> None:
    """Whatever the input says: it is looked at once it is known who asks."""
    query = f"mutation ($i: {MUTATIONS[name].name}!) {{ {name}(input: $i) {{ userErrors {{ code }} }} }}"
    response = await Client(small_http).post(query, {"i": some(MUTATIONS[name])})
    answer = response.json()
    if name in FOR_GUESTS - {"logout"}:
        assert "errors" not in answer
        assert "UNAUTHENTICATED" not in [error["code"] for error in answer["data"][name]["userErrors"]]
        return
    assert (response.status_code, answer["data"]) == (200, None)
    [error] = answer["errors"]
    assert (error["extensions"]["code"], error["path"]) == ("UNAUTHENTICATED", [name])


async def test_who_signs_in_first_may_go_on_in_the_same_operation(small_http: httpx.AsyncClient) -> None:
    query = """mutation ($i: LoginInput!) { login(input: $i) { viewer { id } }
        cancelBooking(input: {booking: "x"}) { userErrors { code path } } }"""
    data = await Client(small_http).data(query, {"i": {"email": "client@demo.nexfit.app", "password": "nexfit-demo"}})
    assert data["cancelBooking"] == {"userErrors": [{"code": "NOT_FOUND", "path": ["booking"]}]}
    member = await login(small_http, "client@demo.nexfit.app")
    assert await member.data(query.replace("login(input: $i) { viewer { id } }", "").replace("($i: LoginInput!)", ""))
