"""The lists of words that the samples are written from, and what their words have in common."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

WORDS = Path(__file__).parent / "words"


def read(name: str) -> dict[str, Any]:
    """Return the tables of one file of words."""
    return tomllib.loads((WORDS / f"{name}.toml").read_text(encoding="utf-8"))


def words(text: str) -> list[str]:
    """Return a text's words in small letters, without marks."""
    return re.findall(r"[\w’']+", text.lower())


def runs_of_words(text: str, length: int) -> set[tuple[str, ...]]:
    """Return every run of `length` words in a text."""
    found = words(text)
    return {tuple(found[at : at + length]) for at in range(len(found) - length + 1)}
