"""Rules without I/O: rights, scalars, ids, cursors' arguments, settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import Decimal128, ObjectId
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from nexfit.api import scalars
from nexfit.api.money import money
from nexfit.api.relay import global_id, local_id, parse_global_id
from nexfit.domains.identity.access import GUEST, Actor, may, refusal
from nexfit.domains.identity.documents import Role
from nexfit.domains.identity.people import COACHES
from nexfit.settings import AuthSettings, HttpSettings, MongoSettings, PostgresSettings, RedisSettings, Settings

AS_STORED = datetime(2026, 3, 1, 18, 0, 0, 120000, tzinfo=UTC).replace(tzinfo=None)


# --- rights


def test_a_right_is_the_owners_or_named_by_a_staff_entry() -> None:
    owner, staff, other = ObjectId(), ObjectId(), ObjectId()
    facility = {
        "ownerId": owner,
        "staff": [{"userId": staff, "permissions": ["members_read"]}, {"userId": other}, {"permissions": ["x"]}],
    }
    assert may(Actor(owner), facility, "finance_read")
    assert may(Actor(staff), facility, "members_read")
    assert not may(Actor(staff), facility, "finance_read")
    assert not may(Actor(other), facility, "members_read")
    assert not may(Actor(ObjectId()), facility, "members_read")
    # Deny by default: neither a guest nor a facility without an owner matches by both lacking a value.
    for bare in ({}, {"ownerId": None}, {"staff": None}, {"staff": [{"userId": None, "permissions": ["x"]}]}):
        assert not may(GUEST, bare, "x")
        assert not may(Actor(owner), bare, "x")
    assert not GUEST.is_user(None)
    assert not GUEST.is_user("None")
    assert Actor(owner).is_user(owner)
    assert Actor(owner).is_user(str(owner))
    assert (refusal(GUEST).code, refusal(Actor(owner)).code) == ("UNAUTHENTICATED", "FORBIDDEN")
    assert set(COACHES) == {role for role in Role if "coach" in role}


# --- scalars

READ: dict[Callable[[Any], Any], tuple[dict[Any, Any], list[Any]]] = {
    scalars.read_datetime: (
        {
            "2026-03-01T18:00:00Z": datetime(2026, 3, 1, 18, tzinfo=UTC),
            "2026-03-01T18:00:00.5+03:00": datetime(2026, 3, 1, 15, 0, 0, 500_000, tzinfo=UTC),
            "2026-03-01T18:00:00.123456789Z": datetime(2026, 3, 1, 18, 0, 0, 123_456, tzinfo=UTC),
        },
        [
            "2026-03-01",
            "2026-03-01T18:00:00",
            "2026-03-01 18:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-03-01T24:00:01Z",
            "2026-03-01T18:00:00Z\n",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
        ],
    ),
    scalars.read_date: (
        {"2024-02-29": date(2024, 2, 29)},
        ["2026-02-29", "2026-2-1", "20260201", "2026-W01-1", "2026-02-01T00:00:00Z", "٢٠٢٦-٠٢-٠١", "2026-02-01\n"],
    ),
    scalars.read_decimal: (
        {"12.50": Decimal("12.50"), "-0.01": Decimal("-0.01"), 7: Decimal(7), "1e3": Decimal(1000)},
        ["NaN", "Infinity", "-sNaN", "1e999999", "1e-999999", "1" * 29, 10**30, "12,50", "0x1", " ", "--1"],
    ),
    scalars.read_email: (
        {"a@example.org": "a@example.org", "Ada@EXAMPLE.org": "Ada@example.org"},
        ["a", "@example.org", "a@", "a@b@example.org", "a b@example.org", "a@-.org", "a\0@example.org"],
    ),
    scalars.read_phone: (
        {"+902121234567": "+902121234567", "+90 212 123 45 67": "+902121234567"},
        ["02121234567", "+", "+999999", "phone", "+90212123456789012345", "+90\0"],
    ),
    scalars.read_url: (
        {"https://example.org/a?b=c": "https://example.org/a?b=c", "http://[::1]:8000": "http://[::1]:8000"},
        ["example.org", "//example.org", "javascript:alert(1)", "file:///x", "https://", "http://[x", "x" * 2049],
    ),
}


@pytest.mark.parametrize("read", READ, ids=lambda read: read.__name__)
def test_a_scalar_reads_what_it_says_and_refuses_the_rest(read: Callable[[Any], Any]) -> None:
    good, bad = READ[read]
    for written, value in good.items():
        assert read(written) == value
    anything: list[Any] = ["", "x", "\0", "x" * 10_000, None, True, False, 1.5, [], {}, b"x", object()]
    for wrong in bad + anything:
        with pytest.raises(GraphQLError, match=r"^Expected "):
            read(wrong)


@pytest.mark.parametrize(
    ("write", "value", "written"),
    [
        (scalars.write_datetime, datetime(2026, 3, 1, 18, tzinfo=ZoneInfo("Europe/Istanbul")), "2026-03-01T15:00:00Z"),
        (scalars.write_datetime, datetime(2026, 3, 1, 0, 0, 0, 5, tzinfo=UTC), "2026-03-01T00:00:00.000005Z"),
        (scalars.write_datetime, AS_STORED, "2026-03-01T18:00:00.120000Z"),
        (scalars.write_date, date(2026, 3, 1), "2026-03-01"),
        (scalars.write_date, datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01"),
        (scalars.write_decimal, Decimal("12.50"), "12.50"),
        (scalars.write_decimal, Decimal("1E+3"), "1000"),
        (scalars.write_decimal, Decimal("1E-10"), "0.0000000001"),
        (scalars.write_decimal, 7, "7"),
    ],
)
def test_a_scalar_writes_one_spelling(write: Callable[[Any], str], value: Any, written: str) -> None:
    assert write(value) == written
    for wrong in ("x", None, 1.5, True, []):
        with pytest.raises(TypeError):
            write(wrong)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**15), max_value=10**15))
def test_a_decimal_survives_the_way_there_and_back(value: Decimal) -> None:
    assert scalars.read_decimal(scalars.write_decimal(value)) == value
    assert money(Decimal128(value), "TRY") == money(value, "TRY") == {"amount": value, "currency": "TRY"}


# --- global ids


@given(st.sampled_from(["User", "Transaction", "ClassOccurrence"]), st.from_regex(r"[0-9a-f]{24}", fullmatch=True))
def test_a_global_id_leads_back_to_its_type_and_id(name: str, id_: str) -> None:
    made = global_id(name, id_)
    assert parse_global_id(made) == (name, id_)
    assert local_id(made, name) == id_
    assert local_id(made, "Facility") is None


@given(st.text(max_size=300) | st.binary(max_size=150).map(lambda raw: raw.decode("latin-1")))
def test_any_other_text_is_no_global_id(text: str) -> None:
    found = parse_global_id(text)
    assert found is None or global_id(*found) == text


# --- settings

SECRET = "a-secret-nobody-may-see-0123456789"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("MONGO_URL", "POSTGRES_URL", "REDIS_URL"):
        monkeypatch.delenv(f"NEXFIT_{name}", raising=False)
    return monkeypatch


def test_each_setting_has_the_name_of_its_section_and_field(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("NEXFIT_MONGO_URL", f"mongodb://u:{SECRET}@h/")
    environment.setenv("NEXFIT_MONGO_SERVER_SELECTION_TIMEOUT", "0.5")
    environment.setenv("NEXFIT_POSTGRES_POOL_SIZE", "3")
    environment.setenv("NEXFIT_HTTP_MAX_BODY_BYTES", "5000")
    environment.setenv("NEXFIT_AUTH_SECRET", SECRET)
    environment.setenv("NEXFIT_DEMO", "true")
    settings = Settings()
    assert settings.mongo.url.get_secret_value() == f"mongodb://u:{SECRET}@h/"
    assert settings.mongo.server_selection_timeout == 0.5
    assert settings.postgres.pool_size == 3
    assert settings.http.max_body_bytes == 5000
    assert settings.auth.secret.get_secret_value() == SECRET
    assert settings.demo
    assert Settings(auth=AuthSettings()).auth.secret != Settings(auth=AuthSettings()).auth.secret


@pytest.mark.parametrize("way", [repr, str, lambda settings: settings.model_dump_json(), lambda s: str(s.model_dump())])
def test_settings_never_show_their_secrets(environment: pytest.MonkeyPatch, way: Callable[[Settings], str]) -> None:
    settings = Settings(
        mongo=MongoSettings(url=SecretStr(f"mongodb://u:{SECRET}@h/")),
        postgres=PostgresSettings(url=SecretStr(f"postgresql://u:{SECRET}@h/d")),
        redis=RedisSettings(url=SecretStr(f"redis://:{SECRET}@h/0")),
        auth=AuthSettings(secret=SecretStr(SECRET)),
    )
    assert SECRET not in way(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NEXFIT_MONGO_URI", f"mongodb://u:{SECRET}@h/"),
        ("NEXFIT_POSTGRES_STATEMENT_TIMEOUT", SECRET),
        ("NEXFIT_POSTGRES_STATEMENT_TIMEOUT", "0"),
        ("NEXFIT_HTTP_PORT", "70000"),
        ("NEXFIT_HTTP_WORKERS", "0"),
        ("NEXFIT_MONGO_DATABASE", f"a.b/{SECRET}"),
        ("NEXFIT_AUTH_SECRET", SECRET[:20]),
        ("NEXFIT_AUTH_SECRETS", SECRET),
    ],
)
def test_a_wrong_setting_is_refused_without_showing_it(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert SECRET[:20] not in str(refused.value)
    assert name.split("_")[1].lower() in str(refused.value)


def test_settings_cannot_be_changed_and_a_section_made_by_hand_keeps_its_secret() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.demo = True
    with pytest.raises(ValidationError):
        settings.http.port = 1
    with pytest.raises(ValidationError) as refused:
        AuthSettings(secret=SecretStr(SECRET[:20]))
    assert SECRET[:20] not in str(refused.value)
    with pytest.raises(ValidationError):
        HttpSettings(prot=1)  # type: ignore[call-arg]
    assert timedelta(seconds=settings.postgres.statement_timeout) < timedelta(seconds=3)
