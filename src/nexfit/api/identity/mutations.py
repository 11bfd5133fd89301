"""Everything about accounts that can be changed. This module only lists it."""

from __future__ import annotations

import strawberry

from nexfit.api.identity.end_sessions import EndSessionMutations
from nexfit.api.identity.login import LoginMutation
from nexfit.api.identity.passwords import PasswordMutations
from nexfit.api.identity.phone import PhoneMutations
from nexfit.api.identity.refresh_token import RefreshTokenMutation
from nexfit.api.identity.register import RegisterMutations


@strawberry.type
class IdentityMutations(
    LoginMutation, RefreshTokenMutation, EndSessionMutations, RegisterMutations, PasswordMutations, PhoneMutations
):
    """Root fields of this area."""
