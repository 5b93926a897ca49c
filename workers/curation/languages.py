"""Which language a row is in, by a small offline classifier; asked only of rows with enough letters, and believed only when it is sure."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from py3langid.langid import LanguageIdentifier

UNKNOWN = ""
LOOKED_AT_CHARACTERS = 200
FEWEST_LETTERS = 20
FEWEST_LETTERS_OF_OTHER_SCRIPTS = 4
"""A script that few languages share says much in a few letters."""
SURE = 0.9
SURE_OF_OTHER_SCRIPTS = 0.4
LETTER = re.compile(r"[^\W\d_]")
OTHER_SCRIPT = re.compile(r"[\u0370-\u1dff\u3040-\u9fff\uac00-\ud7a3]")
"""Letters that are not Latin: Greek up to Khmer and on, kana, Chinese characters, Hangul."""
MARKS = re.compile(r"https?://\S+|\S+@\S+|<[^<>]{1,80}>|```.*?(?:```|\Z)|[\[{][\w ]{1,40}[\]}]", re.DOTALL)
"""Addresses, tags, code and placeholders are in no language."""


def language_of(texts: Sequence[str]) -> str:
    """Return the code of the language that a row's texts are in; UNKNOWN when that is not clear."""
    text = MARKS.sub(" ", "\n".join(text[:LOOKED_AT_CHARACTERS] for text in texts if text))[:LOOKED_AT_CHARACTERS]
    letters = len(LETTER.findall(text))
    others = 0 if text.isascii() else len(OTHER_SCRIPT.findall(text))
    is_other_script = others * 2 > letters
    if letters < (FEWEST_LETTERS_OF_OTHER_SCRIPTS if is_other_script else FEWEST_LETTERS):
        return UNKNOWN
    code, share = _classifier().classify(text)
    return code if share >= (SURE_OF_OTHER_SCRIPTS if is_other_script else SURE) else UNKNOWN


@cache
def _classifier() -> LanguageIdentifier:
    # Half a second and 60 MB, so only where languages are looked at.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
