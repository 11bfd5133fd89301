"""How people are reached: e-mail addresses and phone numbers in their one written form."""

from __future__ import annotations

import phonenumbers
from email_validator import EmailNotValidError, validate_email

MAX_EMAIL = 255
MAX_PHONE = 32


def email_address(text: str) -> str:
    """A syntactically valid address as its owner spells it; raises ValueError. Whether it exists is proven by mail."""
    if len(text) <= MAX_EMAIL:
        try:
            return validate_email(text, check_deliverability=False).normalized
        except EmailNotValidError:
            pass
    raise ValueError("not an e-mail address")


def phone_number(text: str, country: str | None = None) -> str:
    """A possible number in E.164, of this country where it says none; raises ValueError."""
    if len(text) <= MAX_PHONE:
        try:
            number = phonenumbers.parse(text, country)
        except phonenumbers.NumberParseException:
            pass
        else:
            if phonenumbers.is_possible_number(number):
                return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    raise ValueError("not a phone number")
