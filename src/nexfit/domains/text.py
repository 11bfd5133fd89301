"""Folding of text for search, sorting and uniqueness, the same for Turkish, Polish, Nordic and plain Latin writing."""

import re
import unicodedata
from functools import cache

# casefold() turns "İ" into "i" plus a combining dot and leaves "ı" alone, so a name typed on a Turkish keyboard and on
# an English one would differ; the four letters are one letter here.
_DOTTED_I = str.maketrans({"İ": "i", "I": "i", "ı": "i"})
# Letters whose stroke or ligature is no combining mark and so survives decomposition.
_STROKES = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})


def _without_marks(text: str) -> str:
    return "".join(
        letter
        # The one mark that is a letter once it is written large.
        for letter in unicodedata.normalize("NFKD", text).replace("\u0345", "ι")
        if not unicodedata.combining(letter) and unicodedata.category(letter) != "Cf"
    )


def fold(text: str) -> str:
    """Text as search compares it: no case, no diacritics, one dotless-or-dotted i, single spaces. Idempotent."""
    if text.isascii():
        return " ".join(text.lower().split())
    folded = _without_marks(text).translate(_DOTTED_I).casefold().translate(_STROKES)
    return " ".join(_without_marks(folded).split())


def normalize_email(email: str) -> str:
    """The form in which an address is unique: no case and one letter i, but every other letter kept apart."""
    composed = unicodedata.normalize("NFKC", email.strip()).translate(_DOTTED_I).casefold()
    return unicodedata.normalize("NFC", composed.replace("i\u0307", "i"))


@cache
def _spellings() -> dict[str, str]:
    """By a folded letter, every letter of Latin writing that folds to it."""
    found: dict[str, str] = {}
    for code in (*range(0x21, 0x250), *range(0x1E00, 0x1F00)):
        letter = chr(code)
        folded = fold(letter)
        if len(folded) == 1:
            found[folded] = found.get(folded, "") + letter
    return found


def pattern_of(text: str) -> str:
    """A pattern of everything that folds to what the text folds to, as MongoDB searches stored text by it."""
    spellings = _spellings()
    letters = (spellings.get(letter, letter) for letter in fold(text))
    return "".join(f"[{re.escape(one)}]" if len(one) > 1 else re.escape(one) for one in letters)
