"""Everything about accounts that can be changed. This module only lists it."""

from __future__ import annotations

import strawberry

from nexfit.api.identity.deactivate_account import DeactivateAccountMutation
from nexfit.api.identity.end_sessions import EndSessionMutations
from nexfit.api.identity.guests import GuestMutations
from nexfit.api.identity.login import LoginMutation
from nexfit.api.identity.passwords import PasswordMutations
from nexfit.api.identity.phone import PhoneMutations
from nexfit.api.identity.refresh_token import RefreshTokenMutation
from nexfit.api.identity.register import RegisterMutations
from nexfit.api.identity.second_factor import SecondFactorMutations
from nexfit.api.identity.update_profile import UpdateProfileMutation


@strawberry.type
class IdentityMutations(
    LoginMutation,
    RefreshTokenMutation,
    EndSessionMutations,
    RegisterMutations,
    PasswordMutations,
    PhoneMutations,
    SecondFactorMutations,
    DeactivateAccountMutation,
    UpdateProfileMutation,
    GuestMutations,
):
    """Root fields of this area."""
