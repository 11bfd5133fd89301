"""A subscription that may start: its one field, its arguments, and the plan by which each of its events is executed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import orjson
from graphql import FragmentSpreadNode, GraphQLField, Node, VariableNode
from graphql.execution.values import VariableValues

from nexfit.engine.plan import OperationPlan
from nexfit.engine.result import Result
from nexfit.engine.run import Run


class Subscription:
    """Belongs to a plan and the variables of one request; events of any origin can be executed with it."""

    __slots__ = ("_field", "_plan", "_variables")

    def __init__(self, plan: OperationPlan, variables: VariableValues) -> None:
        self._plan = plan
        self._variables = variables
        [self._field] = plan.roots[0].fields  # validation lets only one through, and none be skipped

    @property
    def name(self) -> str:
        """The field's name in the schema; an event is a record that carries the field's value under it."""
        return self._field.name

    @property
    def definition(self) -> GraphQLField:
        """The field in the schema."""
        return self._field.definition

    def arguments(self) -> Any:
        """What the field's specification makes of its arguments; raises GraphQLError."""
        made = self._field.arguments.make(self._variables, hide_suggestions=self._plan.hide_suggestions)
        maker = getattr(self._field.spec, "arguments", None)
        return made if maker is None else maker(made, self._field.selection)

    def key(self) -> Hashable:
        """Equal for subscriptions that give the same result for the same event and context.

        The field's own arguments choose events and do not change what is made of one, so they are no part of it.
        """
        names = self._plan.variables_below_root
        if names is None:
            names = self._plan.variables_below_root = frozenset(_variables_below(self._plan))
        sources = self._variables.sources
        given = {name: sources[name].value for name in sorted(names) if name in sources}
        return self._plan, orjson.dumps(given, default=str)

    async def execute(self, event: Any, context: Any) -> Result:
        """The result for an event; field errors are in it, nothing is raised for them."""
        return await Run(self._plan, self._variables, context, event).execute()


def _variables_below(plan: OperationPlan) -> Iterator[str]:
    """Names of the variables that anything but the arguments of the root field uses, fragments looked at once."""
    [root] = plan.roots[0].fields
    waiting: list[Node] = [node.selection_set for node in root.nodes if node.selection_set]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, VariableNode):
            yield node.name.value
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            waiting.append(plan.fragments[node.name.value].selection_set)
        for key in node.keys:
            value = getattr(node, key, None)
            if isinstance(value, Node):
                waiting.append(value)
            elif isinstance(value, list | tuple):
                waiting.extend(value)
