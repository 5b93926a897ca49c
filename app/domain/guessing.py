"""A guess at which column is what, with how sure it is and why, for the headers of a table that nobody has mapped yet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from app.domain.datasets import Mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTIONS = (
    "user",
    "question",
    "utterance",
    "prompt",
    "instruction",
    "query",
    "request",
    "text",
    "message",
    "input",
    "sentence",
    "email",
    "body",
    "content",
    "review",
    "comment",
    "title",
)  # fmt: skip - a list of words
ANSWERS = (
    "assistant",
    "answer",
    "response",
    "completion",
    "output",
    "reply",
    "intent",
    "label",
    "target",
    "sentiment",
    "category",
    "class",
    "summary",
    "translation",
    "solution",
)  # fmt: skip - a list of words
SYSTEMS = ("system", "system_prompt")
REJECTED = ("rejected", "rejected_response", "worse")
TEXTS = ("text", "content", "body", "document", "passage", "story")
KNOWN_NAMES = frozenset({*QUESTIONS, *ANSWERS, *SYSTEMS, *REJECTED, *TEXTS, "chosen"})
NUMBERS = frozenset({"id", "uuid", "guid", "index", "idx", "no", "nr", "#", "row", "number"})
"""What columns are called that only tell rows apart."""
BY_NAME, BY_SHAPE, LEAST = 0.95, 0.6, 0.3
FEW_CHARACTERS = 40
FEW_SHARE = 0.5


class Guess(NamedTuple):
    """A column's part in a mapping, how sure that is from 0 to 1, and why in a few words."""

    role: str
    confidence: float
    why: str


def suggest(columns: Sequence[str], sample: Sequence[dict[str, str]]) -> tuple[Mapping | None, dict[str, float]]:
    """Guess the roles, and say of each column that has one how sure that is; no mapping where no two columns could talk."""
    guessed = guesses(columns, sample)
    roles = {guess.role: name for name, guess in guessed.items()}
    mapping = Mapping(**roles) if "text" in roles or {"user", "assistant"} <= roles.keys() else None
    return mapping, {name: guess.confidence for name, guess in guessed.items()}


def guesses(columns: Sequence[str], sample: Sequence[dict[str, str]]) -> dict[str, Guess]:
    """Return a guess for each column that seems to have a part: well-known names first, else the longest asks and the shortest answers."""
    answer = _named(columns, ANSWERS)
    question = _named([name for name in columns if name != answer], QUESTIONS)
    found = {
        name: Guess(role, BY_NAME, f"named like {what}")
        for name, role, what in (
            (question, "user", "a question"),
            (answer, "assistant", "an answer"),
            (_named(columns, SYSTEMS), "system", "a system text"),
            (_named(columns, REJECTED), "rejected", "a worse answer"),
        )
        if name is not None
    }  # fmt: skip - a row a line
    speaking = [name for name in columns if name not in found and could_say(name, sample)]
    if question is None and speaking:
        question = max(speaking, key=lambda name: _mean_length(name, sample))
        found[question] = Guess("user", BY_SHAPE, "the longest texts")
        speaking.remove(question)
    if answer is None and speaking:
        answer = min(speaking, key=lambda name: _mean_length(name, sample))
        found[answer] = _by_values(answer, sample)
    if question is not None and answer is None:
        alone = _named(columns, TEXTS) or question
        return {alone: Guess("text", BY_SHAPE, "no answer beside it")} if len(sample) > 1 and _is_text(alone, sample) else {}
    return found if question is not None and answer is not None else {}


def could_say(name: str, sample: Sequence[dict[str, str]]) -> bool:
    """Return whether a column holds something in every row, and more than the row's number."""
    values = [row.get(name, "").strip() for row in sample]
    counted = [str(number) for start in (0, 1) for number in range(start, start + len(values))]
    numbers_rows = len(values) > 1 and values in (counted[: len(values)], counted[len(values) :])
    last_word = re.split(r"[\s._-]", name.casefold())[-1]
    return all(values) and not numbers_rows and last_word not in NUMBERS


def _named(columns: Sequence[str], words: tuple[str, ...]) -> str | None:
    names = list(reversed(columns))
    by_word = {name.casefold().rpartition(".")[2]: name for name in names} | {name.casefold(): name for name in names}
    return next((by_word[word] for word in words if word in by_word), None)


def _by_values(name: str, sample: Sequence[dict[str, str]]) -> Guess:
    values = [row.get(name, "") for row in sample]
    few = len(values) > 1 and len(set(values)) <= max(1, FEW_SHARE * len(values)) and max(map(len, values)) <= FEW_CHARACTERS
    return Guess("assistant", BY_SHAPE, "few distinct short values") if few else Guess("assistant", LEAST, "the shortest texts")


def _is_text(name: str, sample: Sequence[dict[str, str]]) -> bool:
    return could_say(name, sample) and name.casefold().rpartition(".")[2] in TEXTS


def _mean_length(name: str, sample: Sequence[dict[str, str]]) -> float:
    return sum(len(row.get(name, "")) for row in sample) / max(1, len(sample))
