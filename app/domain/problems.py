"""What can be wrong with rows: one list, with a sentence on why each matters. `app/domain/fixes.py` has what mends them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

Weight = Literal["bad", "wait"]
"""How much it matters: bad spoils what is learnt, wait is worth a look."""


class Trouble(StrEnum):
    """A kind of problem. Rows that were set aside at reading have one of the first three; the others are in rows that are used."""

    BROKEN = "broken"
    EMPTY_ANSWER = "empty_answer"
    NO_ANSWER = "no_answer"
    PLACEHOLDER = "placeholder"
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    OTHER_ANSWER = "other_answer"
    LEAK = "leak"
    NEAR_LEAK = "near_leak"
    PII = "pii"
    SECRET = "secret"  # noqa: S105 - a name of a problem
    TOO_LONG = "too_long"
    LENGTH_OUTLIER = "length_outlier"
    OTHER_LANGUAGE = "other_language"
    RARE_LABEL = "rare_label"
    MOJIBAKE = "mojibake"
    CONTROL_TOKENS = "control_tokens"

    @property
    def is_aside(self) -> bool:
        """Whether such rows were set aside: they are in no version, and can be mended and taken in."""
        return self in ASIDE


class Explained(NamedTuple):
    """A problem in words: what a chip says, why it matters in one sentence, and how much."""

    title: str
    why: str
    weight: Weight


LEAKS = frozenset({Trouble.LEAK, Trouble.NEAR_LEAK})
ASIDE = frozenset({Trouble.BROKEN, Trouble.EMPTY_ANSWER, Trouble.NO_ANSWER})
EXPLAINED: dict[Trouble, Explained] = {
    Trouble.BROKEN: Explained("Broken rows", "These rows could not be read, so the model would never see them.", "bad"),
    Trouble.EMPTY_ANSWER: Explained("Empty answers", "There is nothing to learn from an empty answer but to say nothing.", "bad"),
    Trouble.NO_ANSWER: Explained("No answer at the end", "The last turn is not the assistant's, so nothing says what to answer.", "bad"),
    Trouble.OTHER_ANSWER: Explained(
        "Same question, other answer", "Two answers to one question teach the model to guess, and make a score below 100 % certain.", "bad"
    ),
    Trouble.PLACEHOLDER: Explained("Unfilled placeholders", "The model would learn to write the placeholder itself to your users.", "bad"),
    Trouble.LEAK: Explained(
        "Test rows seen in training", "A test row that stands in training makes the score look better than it is.", "bad"
    ),
    Trouble.NEAR_LEAK: Explained(
        "Test rows nearly seen in training", "A test row whose twin stands in training measures memory, not skill.", "wait"
    ),
    Trouble.EXACT_DUPLICATE: Explained(
        "Exact duplicates", "The model learns a copied row once more with every copy, at the cost of the others.", "wait"
    ),
    Trouble.NEAR_DUPLICATE: Explained(
        "Near duplicates", "Rows that differ in a word or two count several times, and teach little more than one of them.", "wait"
    ),
    Trouble.PII: Explained("Personal data", "What is learnt may be said again to anybody: names and numbers of people too.", "wait"),
    Trouble.SECRET: Explained("Secrets", "A key or a password that is learnt may be said to anybody who asks well.", "bad"),
    Trouble.TOO_LONG: Explained("Longer than the context", "What lies behind the context's end is cut away, often the answer.", "wait"),
    Trouble.LENGTH_OUTLIER: Explained(
        "Unusual length", "A row many times longer or shorter than the others is often two rows, or half of one.", "wait"
    ),
    Trouble.OTHER_LANGUAGE: Explained("Other language", "A few rows in another language teach neither language well.", "wait"),
    Trouble.RARE_LABEL: Explained("Rare labels", "A label with a handful of examples beside hundreds of another is seldom learnt.", "wait"),
    Trouble.MOJIBAKE: Explained("Garbled characters", "Text that was decoded wrongly (Ã¼ for ü) is learnt and written that way.", "bad"),
    Trouble.CONTROL_TOKENS: Explained(
        "Control tokens in the text", "Marks of a chat template inside a text make the model read one turn as two.", "bad"
    ),
}
"""In the order in which a page shows them."""
BITS = {trouble: 1 << place for place, trouble in enumerate(Trouble)}
"""A row's troubles in one number, as a findings file keeps them; only ever add at the enumeration's end."""
PLACEHOLDER_MARK, CONTROL_MARK, SECRET_MARK = "PLACEHOLDER", "CONTROL", "SECRET"
"""What is marked in a text besides personal data, whose kinds are those of `masking.KINDS`."""
ALONE = -1
"""In place of a group or of another row, where there is none."""


class Mark(NamedTuple):
    """A part of a row's text that a problem is about: `start` and `end` count characters.

    `turn` counts `Row.texts`, and behind them what the row's calls pass to tools, one value after the other.
    """

    turn: int
    start: int
    end: int
    kind: str


class Finding(NamedTuple):
    """What was found in one row.

    `exact`, `near` and `other_answer` name the group of rows it is in by the group's first row, and `keep` says whether it is the one to
    keep of them; `leak_of` is the training row that a test row repeats.
    """

    row: int
    troubles: tuple[Trouble, ...] = ()
    tokens: int = 0
    answer_tokens: int = 0
    marks: tuple[Mark, ...] = ()
    exact: int = ALONE
    near: int = ALONE
    other_answer: int = ALONE
    keep: bool = True
    leak_of: int = ALONE
    label: str | None = None
    language: str | None = None


def troubles_of(flags: int) -> tuple[Trouble, ...]:
    """Return the troubles that a number of `BITS` stands for, in the order of a page."""
    return tuple(trouble for trouble in EXPLAINED if flags & BITS[trouble])
