"""Writes the Python function that builds all response objects of one selection set from its rows.

One generated expression per leaf checks the type inline and keeps the value; whatever it does not accept at a glance
becomes `ODD` and is completed precisely afterwards. The expressions only read (columns, pure `read` functions, scalar
serialisers), so a row that makes the generated code raise can be read again.

Only names made here and `repr` of constants enter the generated text: nothing a client or a schema wrote is ever code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from typing import Any, cast

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLString,
    Undefined,
    is_list_type,
    is_non_null_type,
)

from nexfit.engine.fields import Column
from nexfit.engine.plan import Build, FieldPlan, Kind, ObjectPlan


class Odd:
    """Marks a value that needs the precise path."""

    def __repr__(self) -> str:
        return "ODD"


ODD = Odd()
MAX_INLINE_NESTING = 8
"""Embedded records and lists in each other one function reads; deeper ones get their own, as Python limits nesting."""

_EXACT = {
    # a value of exactly this Python type, and within these bounds, is its own result
    GraphQLString.name: ("str", ""),
    GraphQLID.name: ("str", ""),
    GraphQLBoolean.name: ("bool", ""),
    # Python compares integers of up to 30 bits fastest; the few beyond take the longer way
    GraphQLInt.name: ("int", " and -1073741823 <= {v} <= 1073741823"),
    GraphQLFloat.name: ("float", " and -1.7976931348623157e308 <= {v} <= 1.7976931348623157e308"),
}


def generate(plan: ObjectPlan) -> Build:
    """The build function of one selection set; see `Build`."""
    return _Generator().build(plan)


class _Generator:
    def __init__(self) -> None:
        self._globals: dict[str, Any] = {"ODD": ODD, "Undefined": Undefined}
        self._numbers = count()
        self._lines: list[str] = []
        self._indent = 0

    def build(self, plan: ObjectPlan) -> Build:
        columns = {field: f"c{index}" for index, field in enumerate(plan.columns)}
        values = {field: f"x{index}" for index, field in enumerate(plan.columns)}
        with self._block(f"def build({', '.join(['sources', 'odd', *columns.values()])}):"):
            self._write("built = []")
            with self._block(
                f"for {', '.join(['o', *values.values()])} in zip({', '.join(['sources', *columns.values()])}):"
                if columns
                else "for o in sources:"
            ):
                self._write(f"built.append({self._object(plan, 'o', values)})")
            self._write("return built")
        code = compile("\n".join(self._lines), f"<plan of {plan.type.name}>", "exec")
        exec(code, self._globals)  # noqa: S102 - the text above holds nothing but generated names and constants
        return cast("Build", self._globals["build"])

    # Each method below answers an expression; what does not fit one is written before it.

    def _object(self, plan: ObjectPlan, source: str, values: Mapping[FieldPlan, str]) -> str:
        entries = [f"{field.key!r}: {self._entry(field, source, values)}" for field in plan.fields]
        return "{" + ", ".join(entries) + "}"

    def _entry(self, field: FieldPlan, source: str, values: Mapping[FieldPlan, str]) -> str:
        if field.kind is Kind.TYPENAME:
            return repr(field.parent_type.name)
        if field in values:
            value = values[field]
            return self._complete(value, field.type, field, plain=False) if field.raw else value
        column = cast("Column", field.spec)
        if column.read is None and is_non_null_type(field.type):
            return self._complete(f"{source}[{column.key!r}]", field.type, field, plain=True)
        value = f"{source}.get({column.key!r})"
        if column.read is not None:
            stored, read = self._name("v"), self._constant(column.read)
            value = f"(None if ({stored} := {value}) is None else {read}({stored}))"
        return self._complete(value, field.type, field, plain=True)

    def _complete(self, value: str, type_: GraphQLOutputType, field: FieldPlan, *, plain: bool) -> str:
        """The completed `value`. `plain`: it is never an exception instance."""
        nullable = not is_non_null_type(type_)
        inner = type_.of_type if is_non_null_type(type_) else type_
        if is_list_type(inner):
            return self._list(value, inner.of_type, field, nullable=nullable, plain=plain)
        if field.is_leaf:
            return self._leaf(value, cast("GraphQLLeafType", inner), nullable=nullable, plain=plain)
        plan = field.objects[field.named_type.name]
        if all(below.kind is Kind.TYPENAME for below in plan.fields):
            held, assigned = self._hold(value)
            built = self._object(plan, held, {})
            if not plain:  # nothing below reads the value and so would notice an exception instance
                built = f"{self._odd()} if isinstance({held}, Exception) else {built}"
            return self._unless_null(assigned, built, nullable=nullable)
        if not nullable:
            return self._object(plan, self._assign(value), {})  # reading from null raises
        if not _has_lists(plan):
            held, assigned = self._hold(value)
            return self._unless_null(assigned, self._object(plan, held, {}), nullable=True)
        held, result = self._assign(value), self._name("r")
        with self._block(f"if {held} is None:"):
            self._write(f"{result} = None")
        with self._block("else:"):
            self._write(f"{result} = {self._object(plan, held, {})}")
        return result

    def _list(self, value: str, type_: GraphQLOutputType, field: FieldPlan, *, nullable: bool, plain: bool) -> str:
        held, items, item = self._assign(value), self._name("r"), self._name("i")
        with self._block(f"if type({held}) is list or type({held}) is tuple:"):
            self._write(f"{items} = []")
            with self._block(f"for {item} in {held}:"):
                self._write(f"{items}.append({self._complete(item, type_, field, plain=plain)})")
        with self._block("else:"):
            self._write(f"{items} = {f'None if {held} is None else {self._odd()}' if nullable else self._odd()}")
        return items

    def _leaf(self, value: str, type_: GraphQLLeafType, *, nullable: bool, plain: bool) -> str:
        held, assigned = self._hold(value)
        if isinstance(type_, GraphQLScalarType) and type_ in _SLOW:
            python_type, bounds = _EXACT[type_.name]
            exact = f"type({assigned}) is {python_type}{bounds.format(v=held)}"
            if nullable:
                exact = f"({exact}) or {held} is None" if bounds else f"{exact} or {held} is None"
            return f"({held} if {exact} else {self._constant(_SLOW[type_])}({held}, odd))"
        if isinstance(type_, GraphQLEnumType):
            return self._unless_null(assigned, f"{self._constant(enum_names(type_))}[{held}]", nullable=nullable)
        coerce = type_.coerce_output_value
        if coerce is GraphQLScalarType.serialize:
            completed = f"{held} if {held} is not Undefined else {self._odd()}"
        else:
            result, function = self._name("v"), self._constant(coerce)
            completed = (
                f"{result} if ({result} := {function}({held})) is not None and {result} is not Undefined"
                f" else {self._odd()}"
            )
        if not plain:
            completed = f"{self._odd()} if isinstance({held}, Exception) else ({completed})"
        return self._unless_null(assigned, completed, nullable=nullable)

    def _unless_null(self, assigned: str, completed: str, *, nullable: bool) -> str:
        null = "None" if nullable else self._odd()
        return f"({null} if ({assigned}) is None else ({completed}))"

    def _hold(self, value: str) -> tuple[str, str]:
        """A name for a value, and the expression that gives it the name the first time."""
        if value.isidentifier():
            return value, value
        held = self._name("v")
        return held, f"{held} := {value}"

    def _assign(self, value: str) -> str:
        held, assigned = self._hold(value)
        if assigned != held:
            self._write(f"{held} = {value}")
        return held

    def _write(self, line: str) -> None:
        self._lines.append("    " * self._indent + line)

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self._write(head)
        self._indent += 1
        yield
        self._indent -= 1

    def _odd(self) -> str:
        return "(odd.append(ODD) or ODD)"

    def _name(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    def _constant(self, value: Any) -> str:
        name = self._name("k")
        self._globals[name] = value
        return name


def _has_lists(plan: ObjectPlan) -> bool:
    return any(field.depth or any(map(_has_lists, field.objects.values())) for field in plan.fields)


def _slow(type_: GraphQLScalarType) -> Callable[[Any, list[Odd]], Any]:
    """Completes values of a specified scalar that are not of its very type, such as numbers asked for as strings."""
    coerce = type_.coerce_output_value

    def slow(value: Any, odd: list[Odd]) -> Any:
        if value is not None and not isinstance(value, Exception):
            with suppress(Exception):  # the precise path repeats the call and reports the error
                return coerce(value)
        odd.append(ODD)
        return ODD

    return slow


_SLOW = {type_: _slow(type_) for type_ in (GraphQLString, GraphQLID, GraphQLBoolean, GraphQLInt, GraphQLFloat)}


class EnumNames(dict[Any, str]):
    """Name of each enum value, filled in as values are met; a value without a name raises the type's own error."""

    _MOST = 1000

    def __init__(self, type_: GraphQLEnumType) -> None:
        super().__init__()
        self._coerce = type_.coerce_output_value

    def __missing__(self, value: Any) -> str:
        name = self._coerce(value)
        if len(self) < self._MOST:
            self[value] = name
        return name


@lru_cache(maxsize=1024)
def enum_names(type_: GraphQLEnumType) -> EnumNames:
    return EnumNames(type_)
