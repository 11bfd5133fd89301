"""Words as search compares them: folded, cut into trigrams, and how many slips of the hand lie between two. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nexfit.domains.text import fold

LONGEST = 40
"""Characters of a word that are looked at."""

MOST_WORDS = 8
"""Words of a search that are looked at."""

MOST_KEPT = 100
"""Words a document is found by, at most."""

_WORD = re.compile(r"[^\W_]+")


def split(text: str) -> list[str]:
    """The words of a text, folded, in their order."""
    return [word[:LONGEST] for word in _WORD.findall(fold(text))]


def found_by(texts: Iterable[str]) -> list[str]:
    """The words of all the texts, each once, in alphabetical order."""
    return sorted({word for text in texts for word in split(text)})[:MOST_KEPT]


def grams(word: str) -> list[str]:
    """Trigrams of a word with two blanks before it and one behind, so that its beginning counts most."""
    padded = f"  {word} "
    return sorted({padded[start : start + 3] for start in range(len(padded) - 2)})


def forgiven(word: str) -> int:
    """How many slips a word of this length may hold: none up to 3 letters, one up to 7, else two."""
    return 0 if len(word) <= 3 else 1 if len(word) <= 7 else 2


def least_common(word: str) -> int:
    """Trigrams that a word within the forgiven slips shares with this one at least."""
    return max(1, len(grams(word)) - 4 * forgiven(word))


def slips(one: str, other: str, most: int) -> int | None:
    """Letters to add, drop, change or swap with a neighbour between two words; None for more than `most`."""
    if abs(len(one) - len(other)) > most:
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        earlier, before, row = before, row, [place]
        for at, against in enumerate(other, 1):
            least = min(before[at] + 1, row[at - 1] + 1, before[at - 1] + (letter != against))
            if place > 1 and at > 1 and letter == other[at - 2] and one[place - 2] == against:
                least = min(least, earlier[at - 2] + 1)
            row.append(least)
        if min(row) > most:
            return None
    return row[-1] if row[-1] <= most else None


def near(word: str, candidates: Iterable[str]) -> dict[str, int]:
    """Those of the candidates within the forgiven slips, and how many each has."""
    most = forgiven(word)
    return {candidate: found for candidate in candidates if (found := slips(word, candidate, most)) is not None}


def nearest(word: str, candidates: Iterable[str]) -> list[str]:
    """Those of the candidates with the fewest slips, if that is not too many."""
    counted = near(word, candidates)
    fewest = min(counted.values(), default=0)
    return sorted(candidate for candidate, found in counted.items() if found == fewest)
