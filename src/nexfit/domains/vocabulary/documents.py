"""The words that things are found by, in MongoDB: a small collection that search looks into first."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from nexfit.stores.documents import Id, StoredDocument, Word


class Kind(StrEnum):
    """What is found by the word."""

    EXERCISES = "exercises"
    FOODS = "foods"
    COACHES = "coaches"


class VocabularyWord(StoredDocument):
    """A word, with its trigrams. Without an owner it is one of what everybody sees, else one of that person's own.

    Words are never taken away: one that nothing has any more finds nothing.
    """

    id: Annotated[str, Field(min_length=1, max_length=120)]  # type: ignore[assignment]  # kind, owner and word
    kind: Kind
    owner: Id | None = None
    word: Word
    grams: Annotated[list[Word], Field(max_length=60)]

    class Settings(StoredDocument.Settings):
        name = "vocabulary"
