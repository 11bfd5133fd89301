"""How large a document may be: refused by its shape alone, before validation or execution look at it.

One walk measures everything, each fragment once, so it takes time linear in the document whatever its fragments spread.
Counts stop at `CEILING`: fragments that spread one another multiply them beyond any number worth having.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)

from nexfit.domains.errors import TooMuch
from nexfit.settings import LimitSettings

CEILING = 1_000_000
MOST_LEVELS = 100
"""Selection sets within one another, fragments included: what reads the document after us recurses that deep."""

MOST_PAIRS = 10_000
"""Pairs of fields with one response name that validation has to compare with each other."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a selection set holds, with everything its fragments bring in."""

    levels: int = 0
    depth: int = 0
    """Fields within one another; what is below `__schema` and `__type` does not count."""
    width: int = 0
    """Fields of the selection set itself."""
    fields: int = 0
    aliases: int = 0
    directives: int = 0

    def beside(self, other: Shape) -> Shape:
        """Both in one selection set."""
        return Shape(
            max(self.levels, other.levels),
            max(self.depth, other.depth),
            min(CEILING, self.width + other.width),
            min(CEILING, self.fields + other.fields),
            min(CEILING, self.aliases + other.aliases),
            min(CEILING, self.directives + other.directives),
        )


class Limits:
    """Reads documents, refusing those that are too large."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._too_many_tokens = f"more than {settings.tokens} tokens"  # as graphql-core words it

    def parse(self, source: str) -> DocumentNode:
        """The document. Raises GraphQLError, with the TooMuch behind it for one that is too large."""
        settings = self._settings
        if len(source) > settings.characters:
            raise _error(
                TooMuch("The document is longer than {most} characters.", limit="characters", most=settings.characters)
            )
        try:
            document = parse(source, max_tokens=settings.tokens)
        except GraphQLSyntaxError as error:
            if self._too_many_tokens in error.message:
                raise _error(
                    TooMuch("The document has more than {most} tokens.", limit="tokens", most=settings.tokens)
                ) from None
            raise
        self._check(document)
        return document

    def _check(self, document: DocumentNode) -> None:
        settings = self._settings
        walk = _Walk(document)
        for definition in document.definitions:
            if not isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
                continue
            shape = walk.shape(definition.selection_set, 0)
            directives = shape.directives + len(definition.directives or ())
            if shape.levels > MOST_LEVELS or shape.depth > settings.depth:
                raise _error(
                    TooMuch("The operation is nested more than {most} fields deep.", limit="depth", most=settings.depth)
                )
            if isinstance(definition, OperationDefinitionNode) and shape.width > settings.root_fields:
                raise _error(
                    TooMuch(
                        "The operation has more than {most} root fields.", limit="rootFields", most=settings.root_fields
                    )
                )
            if shape.aliases > settings.aliases:
                raise _error(
                    TooMuch("The operation has more than {most} aliases.", limit="aliases", most=settings.aliases)
                )
            if directives > settings.directives:
                raise _error(
                    TooMuch(
                        "The operation has more than {most} directives.", limit="directives", most=settings.directives
                    )
                )
            if shape.fields > settings.fields:
                raise _error(
                    TooMuch("The operation has more than {most} fields.", limit="fields", most=settings.fields)
                )
            if walk.pairs([definition.selection_set]) > MOST_PAIRS:
                raise _error(
                    TooMuch("The operation asks for the same fields too often.", limit="pairs", most=MOST_PAIRS)
                )


def _error(refusal: TooMuch) -> GraphQLError:
    return GraphQLError(refusal.message, original_error=refusal)


class _Walk:
    """One document's shapes, those of fragments kept."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments: Mapping[str, FragmentDefinitionNode] = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._known: dict[str, Shape] = {}
        self._open: set[str] = set()

    def shape(self, selection_set: SelectionSetNode, level: int) -> Shape:
        """The shape of a selection set that lies `level` of them deep."""
        if level > MOST_LEVELS:
            return Shape(levels=level)
        total = Shape()
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                one = self._field(node, level)
            elif isinstance(node, InlineFragmentNode):
                one = self.shape(node.selection_set, level + 1)
            elif isinstance(node, FragmentSpreadNode):
                one = self._fragment(node.name.value, level)
            else:
                continue
            total = total.beside(one).beside(Shape(directives=len(node.directives or ())))
        return Shape(total.levels + 1, total.depth, total.width, total.fields, total.aliases, total.directives)

    def _field(self, node: FieldNode, level: int) -> Shape:
        below = self.shape(node.selection_set, level + 1) if node.selection_set else Shape()
        return Shape(
            below.levels,
            below.depth + 1 if not node.name.value.startswith("__") else 1,
            1,
            below.fields + 1,
            below.aliases + (node.alias is not None),
            below.directives,
        )

    def _fragment(self, name: str, level: int) -> Shape:
        """Unknown fragments and those within themselves count for nothing: validation says what is wrong with them."""
        known = self._known.get(name)
        if known is not None:
            return known
        fragment = self._fragments.get(name)
        if fragment is None or name in self._open:
            return Shape()
        self._open.add(name)
        shape = self._known[name] = self.shape(fragment.selection_set, level + 1)
        self._open.discard(name)
        return shape

    def pairs(self, selection_sets: Iterable[SelectionSetNode]) -> int:
        """Pairs of fields that are merged into one response name, in and below selection sets that are merged.

        Only for shapes within the limits: what fragments bring in is walked wherever they are spread.
        """
        named: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        waiting = list(selection_sets)
        while waiting:
            for node in waiting.pop().selections:
                if isinstance(node, FieldNode):
                    named.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
                elif isinstance(node, InlineFragmentNode):
                    waiting.append(node.selection_set)
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                    seen.add(node.name.value)
                    if fragment := self._fragments.get(node.name.value):
                        waiting.append(fragment.selection_set)
        pairs = 0
        for nodes in named.values():
            pairs += len(nodes) * (len(nodes) - 1) // 2
            if pairs > MOST_PAIRS:
                break
            if below := [node.selection_set for node in nodes if node.selection_set]:
                pairs += self.pairs(below)
        return pairs
