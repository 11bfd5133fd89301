"""Input held to its model: every field that does not fit is named at once, in words with the limit in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from nexfit.domains.errors import BadInput, Refusal
from nexfit.domains.identity.contact import email_address, phone_number
from nexfit.domains.text import fold

M = TypeVar("M", bound="Input")

MIN_PASSWORD, MAX_PASSWORD = 8, 256
MAX_NAME = 80
MAX_LINE = 300

_WORDS = (
    "12345678 123456789 1234567890 0123456789 87654321 987654321 11223344 12341234 password password1 password12 "
    "password123 passw0rd p@ssword p@ssw0rd qwertyui qwertyuiop qwerty123 qwerty1234 1q2w3e4r 1q2w3e4r5t 1qaz2wsx "
    "zaq12wsx asdfghjk asdfghjkl asdf1234 abcd1234 abc12345 a1b2c3d4 iloveyou sunshine princess football baseball "
    "superman welcome1 welcome123 letmein1 trustno1 dragon123 monkey123 admin123 administrator changeme besiktas "
    "besiktas1903 fenerbahce galatasaray istanbul istanbul34 sifre123 sifre1234 parola123 polska123 haslo123"
)
_COMMON = frozenset(_WORDS.split())
"""The first that anybody tries, folded."""


class InvalidInput(Exception):
    """Fields that do not fit; `refusals` has one for each."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("; ".join(map(str, self.refusals)))


class Input(BaseModel):
    """What a use case takes, checked when it is made by `checked`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def _email(text: str) -> str:
    try:
        return email_address(text)
    except ValueError:
        raise PydanticCustomError("email", "not an e-mail address") from None


def _phone(text: str) -> str:
    try:
        return phone_number(text)
    except ValueError:
        raise PydanticCustomError("phone", "not a phone number") from None


def _uncommon(password: str) -> str:
    if fold(password) in _COMMON or len(set(password)) < 3:
        raise PydanticCustomError("common", "too easy to guess")
    return password


_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"

EmailText = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_email)]
PhoneText = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_phone)]
NameText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME, pattern=_PRINTABLE)
]
LineText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_LINE, pattern=_PRINTABLE)
]
TaxIdText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=5, max_length=20, pattern=r"^[0-9A-Za-z ./-]+$")
]
NewPassword = Annotated[
    str, StringConstraints(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD), AfterValidator(_uncommon)
]
"""Every character counts, to the last: nothing is cut."""


def checked(model: type[M], **values: Any) -> M:
    """The input as its model; raises InvalidInput."""
    try:
        return model(**values)
    except ValidationError as error:
        raise InvalidInput(_refusal(details) for details in error.errors(include_input=False)) from None


def _refusal(details: Any) -> Refusal:
    path = tuple(to_camel(str(part)) for part in details["loc"]) or ("input",)
    limits, name = details.get("ctx", {}), next(part for part in reversed(path) if not part.isdigit())
    match details["type"]:
        case "string_too_short":
            least = limits["min_length"]
            return BadInput("{name} must have at least {least} characters.", path=path, name=name, least=least)
        case "string_too_long":
            most = limits["max_length"]
            return BadInput("{name} must have at most {most} characters.", path=path, name=name, most=most)
        case "too_long":
            most = limits["max_length"]
            return BadInput("{name} may have at most {most} entries.", path=path, name=name, most=most)
        case "greater_than_equal":
            least = f"{limits['ge']:g}"
            return BadInput("{name} must be at least {least}.", path=path, name=name, least=least)
        case "less_than_equal":
            most = f"{limits['le']:g}"
            return BadInput("{name} must be at most {most}.", path=path, name=name, most=most)
        case "web_address":
            return BadInput("{name} must be an http or https address.", path=path, name=name)
        case "email":
            return BadInput("{name} must be an e-mail address.", path=path, name=name)
        case "phone":
            return BadInput("{name} must be a phone number in E.164, such as +902121234567.", path=path, name=name)
        case "common":
            return BadInput("This password is among the first that anybody tries.", path=path)
        case "time_zone":
            return BadInput("{name} must be an IANA time zone, such as Europe/Istanbul.", path=path, name=name)
        case "half_place":
            return BadInput("latitude and longitude are given together.", path=path)
        case "two_ends":
            return BadInput("A repetition ends on a day or after a number of dates, not both.", path=path)
        case "weekdays":
            return BadInput("Only a weekly class has weekdays.", path=path)
        case "repeated":
            name = limits["name"]
            return BadInput("{name} must not name anything twice.", path=(name,), name=name)
        case "missing_company":
            return BadInput("A corporate account needs {name}.", path=path, name=name)
        case _:
            return BadInput("{name} has a value that is not possible.", path=path, name=name)
