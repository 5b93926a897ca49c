"""What a model is asked about a test row: its own prompt, with similar training rows as turns before it or as text to look up."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

from app.domain.baselines import Way
from app.domain.datasets import STORED, Message, Split, row_from
from app.domain.errors import Invalid
from workers.evaluation.similarity import Nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

MOST_LETTERS = 8_000
"""Longer rows are no examples, and are not asked: few models read them."""
MOST_EXAMPLES_CHOSEN_FROM = 20_000
"""Of more training rows those of the lowest hash are taken: so many hold something like most questions."""
MOST_BYTES_CHOSEN_FROM = 15_000_000
"""In UTF-8: an index of more text would need more memory than a child may use, most of all of scripts without spaces."""
FORM_SHARE, FORM_ROWS = 0.05, 5
"""So many training rows, or that share of all, may nearly repeat a test row; more of them are alike by their form, as a template's are."""
ROWS_AT_ONCE = 500
LOOK_UP = "Answered examples from the records, the most relevant first. Use them where they help, and answer in the same form."


@dataclass(frozen=True)
class Question:
    """A row as it is asked: the turns before its last answer, that answer, and the number people know it by."""

    number: int
    hash: str
    turns: tuple[Message, ...]
    answer: str

    @property
    def text(self) -> str:
        """What is asked, by which similar rows are found: instructions are the same in all of them."""
        return "\n".join(turn.content for turn in self.turns if turn.role != "system")

    @property
    def whole(self) -> str:
        """What is asked, as one text for people."""
        return "\n\n".join(f"{turn.role}: {turn.content}" for turn in self.turns)


@dataclass(frozen=True)
class Material:
    """The rows that are asked, the rows that examples come from, and how many test rows there were to choose from.

    `twins`: by a test row's number the training rows that nearly repeat it.
    """

    asked: list[Question]
    examples: list[Question]
    test_rows: int
    notes: tuple[str, ...]
    twins: Mapping[int, frozenset[int]]


def read_material(file: Path, rows: int, *, shows_examples: bool = True) -> Material:
    """Choose rows by their hash, so that they are the same every time; Invalid when no test row can be asked.

    A training row that is also a test row is no example, and one that nearly is none for that row. Where none is shown, nothing is to be
    said of examples: training rows tell then what answers look like, and how many there are.
    """
    counts = {"asked": 0, "unfit": 0}

    def counting() -> Iterator[Question]:
        for question in _questions(file, Split.TEST):
            counts["asked" if question else "unfit"] += 1
            if question:
                yield question

    asked = _lowest(counting(), rows)
    if not asked:
        message = "No test row of this dataset has a question and an answer in plain text, so nothing can be measured."
        raise Invalid(message, param="dataset_id", code="no_test_rows")
    tested = _tested(file)
    examples = _lowest((each for each in _questions(file, Split.TRAIN) if each and each.hash not in tested), MOST_EXAMPLES_CHOSEN_FROM)
    fitting = _as_many_as_fit(examples)
    unfit = counts["unfit"]
    notes = [f"Test rows that could not be asked, since they call tools, hold no question, or are very long: {unfit:,}."] if unfit else []
    twins, forms = _twins(asked, fitting) if shows_examples else ({}, 0)
    if shows_examples:
        notes += _on_examples(len(fitting), len(examples) - len(fitting), len(frozenset().union(*twins.values())), forms)
    return Material(asked, fitting, counts["asked"], tuple(notes), twins)


def _on_examples(rows: int, left: int, repeated: int, forms: int) -> list[str]:
    """Return what is to be said of the rows that examples come from, in sentences that do for one row as for many."""
    notes = (
        f"Examples were chosen from {rows:,} training rows; {left:,} more would not have fitted into memory." if left else "",
        f"Training rows that ask nearly the same as a test row, and so were not shown with it: {repeated:,}." if repeated else "",
        f"Test rows that ask nearly the same as many training rows, which were shown, since that is the form of these rows: {forms:,}."
        if forms
        else "",
    )
    return [note for note in notes if note]


def _twins(asked: list[Question], examples: list[Question]) -> tuple[dict[int, frozenset[int]], int]:
    """Return by a test row's number the training rows that ask nearly the same.

    Also how many test rows have too many of them: to leave those out would leave no example of the same kind.
    """
    from workers.evaluation.twins import near_twins

    same = near_twins([each.text for each in asked], [each.text for each in examples])
    found = {question.number: frozenset(examples[place].number for place in places) for question, places in zip(asked, same, strict=True)}
    most = max(FORM_ROWS, FORM_SHARE * len(examples))
    forms = {number for number, rows in found.items() if len(rows) > most}
    return {number: rows for number, rows in found.items() if rows and number not in forms}, len(forms)


def _as_many_as_fit(examples: list[Question]) -> list[Question]:
    sizes = accumulate(len(each.text.encode("utf-8", "replace")) for each in examples)
    return [each for each, size in zip(examples, sizes, strict=True) if size <= MOST_BYTES_CHOSEN_FROM]


def _lowest(questions: Iterator[Question], most: int) -> list[Question]:
    found = heapq.nsmallest(most, questions, key=lambda each: (each.hash, each.number))
    # Twins of a row say the same again.
    return [next(twins) for _, twins in groupby(found, key=lambda each: each.hash)]


def _tested(file: Path) -> frozenset[str]:
    from pyarrow import parquet

    sides = parquet.read_table(file, columns=["hash"], filters=[("split", "=", str(Split.TEST))])
    return frozenset(sides.column("hash").to_pylist())


def _questions(file: Path, side: Split) -> Iterator[Question | None]:
    """Yield the rows of a side as questions; None for one that is none."""
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        columns = [name for name in opened.schema_arrow.names if name in {*STORED, "hash"}]
        numbered = enumerate((raw for batch in opened.iter_batches(ROWS_AT_ONCE, columns=columns) for raw in batch.to_pylist()), 1)
        for number, raw in numbered:
            if raw["split"] == side:
                yield _question(raw, number)


def _question(raw: dict[str, Any], number: int) -> Question | None:
    row = row_from(raw)
    *turns, last = row.messages
    is_plain = all(turn.role in {"system", "user", "assistant"} and not turn.tool_calls for turn in row.messages)
    is_asked = last.role == "assistant" and any(turn.role == "user" for turn in turns) and row.label is not False
    if not (is_plain and is_asked and last.content.strip()) or row.letters > MOST_LETTERS:
        return None
    return Question(number, raw["hash"], tuple(turns), last.content)


class Prompts:
    """Writes what is asked; examples come from training rows only."""

    def __init__(self, material: Material, most: int) -> None:
        self._examples, self._twins, self._most = material.examples, material.twins, most
        self._nearest = Nearest([each.text for each in self._examples])

    def examples_for(self, question: Question) -> list[Question]:
        """Return the most similar training rows, the most similar first, without those that nearly repeat the row."""
        twins = self._twins.get(question.number, frozenset())
        nearest = (self._examples[place] for place in self._nearest.to(question.text, self._most + len(twins)))
        return [each for each in nearest if each.number not in twins][: self._most]


def messages_for(way: Way, question: Question, examples: Sequence[Question]) -> list[dict[str, str]]:
    """Return the conversation that asks a question in one way; `examples` are those to show, the most similar first."""
    turns = _WRITE[way](question, examples) if examples else list(question.turns)
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _few_shot(question: Question, examples: Sequence[Question]) -> list[Message]:
    system, rest = _split(question)
    # What stands nearest to the question is heeded most.
    shown = [turn for each in reversed(examples) for turn in (*_split(each)[1], Message(role="assistant", content=each.answer))]
    return [*system, *shown, *rest]


def _retrieval(question: Question, examples: Sequence[Question]) -> list[Message]:
    system, rest = _split(question)
    records = [f"[{place}] {each.text}\nAnswer: {each.answer}" for place, each in enumerate(examples, 1)]
    told = "\n\n".join([*(turn.content for turn in system), LOOK_UP, *records])
    return [Message(role="system", content=told), *rest]


def _split(question: Question) -> tuple[list[Message], list[Message]]:
    """Return a row's instructions and its other turns."""
    return [turn for turn in question.turns if turn.role == "system"], [turn for turn in question.turns if turn.role != "system"]


_WRITE: dict[Way, Callable[[Question, Sequence[Question]], list[Message]]] = {
    Way.ZERO_SHOT: lambda question, _: list(question.turns),
    Way.FEW_SHOT: _few_shot,
    Way.RETRIEVAL: _retrieval,
}
