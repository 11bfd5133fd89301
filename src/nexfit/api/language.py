"""Languages of messages: which one a request asks for, and what a message is in it.

A message is known by its English text, as it is raised. `messages/tr.yaml` and `messages/pl.yaml` hold the others;
a message without a translation is said in English, and the response's `content-language` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from nexfit.domains.errors import Refusal

ENGLISH = "en"
TRANSLATIONS = ("tr", "pl")
MESSAGES = Path(__file__).parent / "messages"

_MOST_RANGES = 20


class Speech:
    """What is said to one client: in its language where there is a translation, else in English."""

    __slots__ = ("language", "spoken")

    def __init__(self, language: str = ENGLISH) -> None:
        self.language = language
        self.spoken: set[str] = set()
        """Languages something was said in so far."""

    def say(self, text: str, values: Mapping[str, object] | None = None) -> str:
        """The message with its values."""
        said, language = text, ENGLISH
        if self.language != ENGLISH:
            translated = catalogue(self.language).get(text)
            if translated is not None:
                said, language = translated, self.language
        self.spoken.add(language)
        return said.format_map(values) if values else said

    def refusal(self, refusal: Refusal) -> str:
        """A refusal's message."""
        return self.say(refusal.text, refusal.values)


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """A language's messages by their English text."""
    found: dict[str, Any] = yaml.safe_load((MESSAGES / f"{language}.yaml").read_text(encoding="utf-8"))
    return found


def negotiated(accept_language: str) -> str:
    """The language an `Accept-Language` header likes best among ours; English when it likes none."""
    best, liked = ENGLISH, 0.0
    for item in accept_language.split(",")[:_MOST_RANGES]:
        tag, _, parameter = item.partition(";")
        language = tag.strip().lower().partition("-")[0]
        if language not in (ENGLISH, *TRANSLATIONS):
            continue
        quality = _quality(parameter)
        if quality > liked:
            best, liked = language, quality
    return best


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
