"""The rights matrix of what mutations of accounts answer with (`nexfit.api.rights` has the others)."""

from __future__ import annotations

from collections.abc import Mapping

from nexfit.api.right_entries import Entry, part

IDENTITY_PAYLOADS: Mapping[str, Entry] = {
    "LoginPayload": part("accessToken expiresAt refreshToken refreshTokenExpiresAt viewer guestClaim userErrors"),
    "RefreshTokenPayload": part("accessToken expiresAt refreshToken refreshTokenExpiresAt userErrors"),
    "LogoutPayload": part("loggedOut userErrors"),
    "LogoutEverywherePayload": part("ended userErrors"),
    "RevokeSessionPayload": part("revokedId userErrors"),
    "RegisterPayload": part("accepted userErrors"),
    "VerifyEmailPayload": part("accessToken expiresAt refreshToken refreshTokenExpiresAt viewer guestClaim userErrors"),
    "CreateGuestSessionPayload": part("guestToken expiresAt userErrors"),
    "EndGuestSessionPayload": part("ended userErrors"),
    "GuestSession": part("deviceInfo createdAt lastActivity expiresAt"),
    "ResendVerificationPayload": part("accepted userErrors"),
    "RequestPasswordResetPayload": part("accepted userErrors"),
    "ResetPasswordPayload": part("accepted userErrors"),
    "ChangePasswordPayload": part("accepted userErrors"),
    "RequestPhoneVerificationPayload": part("accepted userErrors"),
    "VerifyPhonePayload": part("viewer userErrors"),
    "RecordVisitPayload": part("visit visitsLeft userErrors"),
    "StartSecondFactorPayload": part("secret address userErrors"),
    "ConfirmSecondFactorPayload": part("recoveryCodes userErrors"),
    "RemoveSecondFactorPayload": part("accepted userErrors"),
    "DeactivateAccountPayload": part("accepted userErrors"),
    "UpdateProfilePayload": part("viewer userErrors"),
}
