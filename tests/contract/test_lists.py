"""Every list of the schema has a recipe, by which `tests/api/test_paging.py` pages it while others write."""

from __future__ import annotations

from tests.api.lists import LISTS, connections, node_type, orders_of
from tests.api.walk import object_type

MISSING = """{name} returns a connection and has no recipe in LISTS of tests/api/lists.py. Write one: who views the
list, and its rows, as `Documents` (of a MongoDB collection) or `Rows` (of a PostgreSQL table) with
  - the type of its nodes, the collection or table (and its unique column), and what makes a row one of this list,
  - `orders`: the column of each value of `orderBy`, "" for the order without one, "-" in front of one that descends,
  - `fresh`: new values for what must not repeat in a copy of a row, besides the id (unique indexes);
and `filters`: for every other argument a text of it with the condition that it stands for."""


def test_every_list_has_a_recipe() -> None:
    found = connections()
    assert len(found) > 20
    for name in found:
        assert name in LISTS, MISSING.format(name=name)
        assert "id" in object_type(node_type(name)).fields, f"the nodes of {name} are no Node"
        unknown = {order.column for order in orders_of(name)} - LISTS[name].rows.orders.keys()
        assert not unknown, f"LISTS['{name}'] does not say what {unknown} of orderBy orders by"
    assert set(found) == LISTS.keys(), "a recipe of a list that the schema does not have"
