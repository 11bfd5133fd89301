"""Pages and places without a store: cutting, reading places back, ranges of an index, projections, named SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from nexfit.hybrid import paging
from nexfit.hybrid.paging import BadCursor, Key, PageRequest, cut, parsed
from nexfit.hybrid.rows_paging import Conditions, RowList, _ranges
from nexfit.stores.mongo import projection
from nexfit.stores.sql import UnknownStatement, load_sql

KEYS = (Key("name", paging.text), Key("id", paging.text))


@given(st.integers(0, 8), st.integers(1, 6), st.booleans(), st.booleans(), st.booleans())
def test_a_page_is_cut_from_what_was_read(rows: int, size: int, backwards: bool, after: bool, before: bool) -> None:
    request = PageRequest(size, backwards, ("", "x") if after else None, ("", "y") if before else None)
    read = [{"name": "n", "id": str(place)} for place in range(rows)][: request.limit]
    page = cut(request, read, KEYS, total=rows)
    kept = [row["id"] for row in read[:size]]
    assert [row["id"] for row in page.rows] == (kept[::-1] if backwards else kept)
    assert [page.place(row) for row in page.rows] == [("n", row["id"]) for row in page.rows]
    assert page.has_next == (before if backwards else rows > size)
    assert page.has_previous == (rows > size if backwards else after)
    assert page.total == rows


def test_places_are_written_as_json_and_read_back_typed() -> None:
    instant, day = datetime(2026, 6, 15, 10, 0, 0, 1, tzinfo=UTC), date(2026, 6, 15)
    id_, uuid = ObjectId(), UUID(int=5)
    row = {"schedule": {"at": instant}, "day": day, "_id": id_, "uuid": uuid, "amount": Decimal("1.50"), "none": None}
    columns = ("schedule.at", "day", "_id", "uuid", "amount", "none")
    place = cut(PageRequest(1), [row], [Key(column, paging.text) for column in columns]).place(row)
    assert place == (instant.isoformat(), "2026-06-15", str(id_), str(uuid), "1.50", None)
    keys = [Key("at", paging.instant), Key("_id", paging.object_id), Key("uuid", paging.uuid)]
    assert parsed((place[0], place[2], place[3]), keys) == (instant, id_, uuid)


@pytest.mark.parametrize(
    ("parse", "wrong"),
    [
        (paging.text, [1, None, True, [], "a\0b"]),
        (paging.instant, ["", "x", "2026-06-15T10:00:00", "0001-01-01T00:00:00+14:00", 5, None]),
        (paging.object_id, ["", "x", "0" * 23, "g" * 24, 5, None, "\0" * 12]),
        (paging.uuid, ["", "x", 5, None]),
    ],
)
def test_a_part_of_a_place_that_is_not_of_its_kind_is_refused(parse: Any, wrong: list[Any]) -> None:
    for part in wrong:
        with pytest.raises(BadCursor):
            parsed((part,), [Key("x", parse)])
    with pytest.raises(BadCursor):
        parsed((), [Key("x", parse)])
    assert parsed((None,), [Key("x", parse, nullable=True)]) == (None,)


# --- ranges against a list that is sorted and cut here

Place = tuple[str | None, str]


def keys(*, descending: bool, nullable: bool) -> tuple[Key, Key]:
    return Key("a", paging.text, descending, nullable), Key("b", paging.text, descending)


def matches(row: Place, range_: list[str], parameters: list[object]) -> bool:
    """Whether a row meets the conditions of a range, as PostgreSQL would read them."""
    for condition in range_:
        if condition == "t.a IS NULL":
            met = row[0] is None
        elif condition == "t.a IS NOT NULL":
            met = row[0] is not None
        else:
            values = [parameters[int(part.strip("$(), ")) - 1] for part in condition.split() if "$" in part]
            mine: tuple[Any, ...] = row if len(values) == 2 else row[1:]
            met = None not in mine and (mine < tuple(values) if " < " in condition else mine > tuple(values))
        if not met:
            return False
    return True


places = st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from("123"))


@given(st.sets(places), st.none() | places, st.none() | places, st.booleans(), st.booleans())
def test_ranges_hold_what_lies_between_two_places_in_the_lists_order(
    rows: set[Place], after: Place | None, before: Place | None, descending: bool, backwards: bool
) -> None:
    def order(row: Place) -> tuple[bool, str, str]:
        return row[0] is not None, row[0] or "", row[1]

    conditions = Conditions()
    list_ = RowList("t", "p", keys(descending=descending, nullable=True))
    ranges = _ranges(list_, PageRequest(5, backwards, after, before), conditions)
    in_list = sorted(rows, key=order, reverse=descending)

    def beyond(row: Place, place: Place | None, *, forwards: bool) -> bool:
        return place is None or (order(row) > order(place) if forwards != descending else order(row) < order(place))

    expected = [row for row in in_list if beyond(row, after, forwards=True) and beyond(row, before, forwards=False)]
    if backwards:
        expected.reverse()
    reading = in_list[::-1] if backwards else in_list
    found = [row for range_ in ranges for row in reading if matches(row, range_, conditions.parameters)]
    assert found == expected
    # A parameter that no condition names would be refused by the server.
    used = {
        part.strip("(), ") for range_ in ranges for condition in range_ for part in condition.split() if "$" in part
    }
    if ranges:
        assert used == {f"${place + 1}" for place in range(len(conditions.parameters))}


def test_a_place_without_a_value_is_refused_where_every_row_has_one() -> None:
    list_ = RowList("t", "p", keys(descending=False, nullable=False))
    with pytest.raises(BadCursor):
        _ranges(list_, PageRequest(1, after=(None, "1")), Conditions())


# --- columns and statements


def test_a_projection_names_no_path_within_another() -> None:
    assert projection(()) == {"_id": 1}
    assert projection(("a", "a.b", "ab", "c.d.e", "c.d", "c.f", "_id")) == {
        "_id": 1,
        "a": 1,
        "ab": 1,
        "c.d": 1,
        "c.f": 1,
    }


@given(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)))
def test_a_projection_covers_every_column_once(columns: set[str]) -> None:
    kept = projection(columns)
    for path in {*columns, "_id"}:
        covering = [outer for outer in kept if path == outer or path.startswith(f"{outer}.")]
        assert len(covering) == 1
    assert kept.keys() <= {*columns, "_id"}


def test_statements_are_read_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "statements_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {
        "good.sql": "-- A comment.\n\n-- name: one\nSELECT 1\n\n-- name: two\n-- for: a test\nSELECT 2;\n",
        "twice.sql": "-- name: one\nSELECT 1\n-- name: one\nSELECT 2\n",
        "before.sql": "SELECT 0\n-- name: one\nSELECT 1\n",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    good = load_sql("statements_of_a_test", "good.sql")
    assert good.names() == ["one", "two"]
    assert (good.one, good.two) == ("SELECT 1", "-- for: a test\nSELECT 2;")
    with pytest.raises(UnknownStatement, match="no statement named three"):
        _ = good.three
    for name, reason in (("twice.sql", "used twice"), ("before.sql", "before the first")):
        with pytest.raises(ValueError, match=reason):
            load_sql("statements_of_a_test", name)
