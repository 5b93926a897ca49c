"""Rows that repeat others: copies, near twins, the same question with another answer, and test rows that stand in training.

Rows come in batches, as a dataset's file holds them, and only numbers are kept of each: a million rows take a few hundred megabytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa

from app.domain.datasets import Split
from app.domain.problems import ALONE
from workers.curation.near import NearTwins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Numbers = NDArray[np.int64]

COLUMNS = ("messages", "rejected", "label", "tools", "split", "hash")
"""What is read of a row."""
ANSWERING = frozenset({"assistant", "tool"})
LABEL_WORDS, LABEL_LETTERS = 4, 40
"""Answers of no more are near twins only if they are the same, so there is nothing to search for."""
QUESTION_WORDS = 3
"""Shorter questions, as greetings are, may well have many answers; unless all answers are labels."""
ROWS_A_LABEL = 5
"""Answers are labels when each stands in so many rows, on average."""
HASH_NUMBERS = 4
"""How many numbers of 64 bits a row's hash has."""
NOT_JUDGED, COMPARED, LIKED, DISLIKED = range(4)
JUDGEMENTS = 4
SHARED = 0.05
"""A system prompt that so many rows have says nothing of any of them, and does not make them alike."""


class Twins(NamedTuple):
    """What each row repeats; groups go by their first row, and ALONE stands for none.

    `exact`: rows with the same conversation. `near`: rows that ask nearly the same and answer nearly the same, with their copies; copies
    alone make no such group. `keep`: the row to keep of both, and every row that is alone: one that is not spoiled, then one to learn from,
    then the longest answer, then the first. `other_answer`: rows with the same question but not all with the same answer. `leak_exact`:
    test rows whose question stands in training; `leak_near`: those whose question nearly does; `leak_of`: the training row.
    """

    exact: Numbers
    near: Numbers
    keep: Flags
    other_answer: Numbers
    leak_exact: Flags
    leak_near: Flags
    leak_of: Numbers

    @property
    def is_copy(self) -> Flags:
        """Whether a row's conversation has been there before: the first of each group is none, so this counts what is too much."""
        return np.asarray((self.exact != ALONE) & (self.exact != np.arange(len(self.exact))), np.bool_)


class TwinFinder:
    """Takes a dataset's rows batch by batch and finds those that repeat others; a context manager, for the file it works with."""

    def __init__(self, *, folder: Path | None = None) -> None:
        self._asked, self._said = NearTwins(folder=folder), NearTwins(folder=folder)
        self._kept: list[_Rows] = []
        self._shared_systems: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self._asked.__exit__(*ended)
        self._said.__exit__(*ended)

    def add(self, batch: pa.RecordBatch, spoiled: Flags | None = None) -> None:
        """Take more rows; of twins, those that are `spoiled` are not kept if there is another."""
        examples = list(_examples(batch))
        systems = Counter(each.system for each in examples)
        self._shared_systems |= {_number(system) for system, many in systems.items() if many > max(1, SHARED * len(examples))}
        has_own = {system: _number(system) not in self._shared_systems for system in systems}
        asked = [f"{each.system if has_own[each.system] else ''}\n{each.asked}" for each in examples]
        self._asked.add(pa.array(asked, pa.string()))
        self._said.add(pa.array([each.said_at_length for each in examples], pa.string()))
        self._kept.append(
            _Rows(
                exact=_first_bits(batch.column("hash")),
                question=_numbers(each.question for each in examples),
                answer=_numbers(each.answer for each in examples),
                judgement=np.array([each.judgement for each in examples], np.int8),
                question_words=np.array([len(each.asked.split()) for each in examples], np.int32),
                answer_length=np.array([len(each.said) for each in examples], np.int32),
                is_test=np.array([split == Split.TEST for split in batch.column("split").to_pylist()], np.bool_),
                is_spoiled=np.zeros(len(examples), np.bool_) if spoiled is None else spoiled,
            )
        )

    def finish(self, tell: Callable[[float], None] = lambda _: None) -> Twins:
        """Return what each row repeats; `tell` hears which share of the comparing is done."""
        if not self._kept:
            nothing, nobody = np.empty(0, np.int64), np.empty(0, np.bool_)
            return Twins(nothing, nothing, nobody, nothing, nobody, nobody, nothing)
        rows = _Rows(*(np.concatenate(column) for column in zip(*self._kept, strict=True)))
        first = _firsts(rows.exact)
        asks = _labels(self._asked.groups(lambda share: tell(share / 2)), rows.question)
        says = _labels(self._said.groups(lambda share: tell(0.5 + share / 2)), rows.answer)
        family = _firsts(((asks * len(asks) + says) * JUDGEMENTS + rows.judgement)[first])
        is_copy = first != np.arange(len(first))
        has_twins = np.bincount(family[~is_copy], minlength=len(family))[family] > 1
        leak_of, leak_exact, leak_near = _leaks(rows, asks)
        return Twins(
            exact=np.where(np.bincount(first, minlength=len(first))[first] > 1, first, ALONE),
            near=np.where(has_twins, family, ALONE),
            keep=_best(family, is_copy, rows),
            other_answer=_other_answers(rows),
            leak_exact=leak_exact,
            leak_near=leak_near,
            leak_of=leak_of,
        )


class _Rows(NamedTuple):
    """What is kept of rows: numbers that are equal where texts are, and what decides between twins."""

    exact: Numbers
    question: Numbers
    answer: Numbers
    judgement: NDArray[np.int8]
    question_words: NDArray[np.int32]
    answer_length: NDArray[np.int32]
    is_test: Flags
    is_spoiled: Flags


class _Example(NamedTuple):
    """A row in words: what the model is given, what it is to answer, and what else is said."""

    system: str
    asked: str
    said: str
    rejected: str
    tools: str
    label: bool | None

    @property
    def question(self) -> str:
        return _plain(f"{self.system}\n{self.asked}\n{self.tools}")

    @property
    def answer(self) -> str:
        return _plain(f"{self.said}\n{self.rejected}")

    @property
    def said_at_length(self) -> str:
        """Return the answers unless they are labels."""
        answers = f"{self.said}\n{self.rejected}"
        return "" if len(answers) <= LABEL_LETTERS and len(answers.split()) <= LABEL_WORDS else answers

    @property
    def judgement(self) -> int:
        """Return how answers are judged; where they are, one question has several by design."""
        if self.label is None:
            return COMPARED if self.rejected else NOT_JUDGED
        return LIKED if self.label else DISLIKED


def _examples(batch: pa.RecordBatch) -> Iterator[_Example]:
    rows = len(batch)
    messages = _turns(batch.column("messages"))
    rejected = _turns(batch.column("rejected")) if "rejected" in batch.schema.names else [[]] * rows
    labels, tools = (batch.column(name).to_pylist() if name in batch.schema.names else [None] * rows for name in ("label", "tools"))
    for turns, worse, label, tool in zip(messages, rejected, labels, tools, strict=True):
        start = len(turns)
        while start and turns[start - 1][0] in ANSWERING:
            start -= 1
        asked, said = ("\n".join(said for role, said in part if role != "system") for part in (turns[:start], turns[start:]))
        system = "\n".join(said for role, said in turns if role == "system")
        yield _Example(system, asked, said, "\n".join(said for _, said in worse), tool or "", label)


def _turns(column: pa.ListArray) -> list[list[tuple[str, str]]]:
    """Return each row's turns: who speaks, and what is said or called."""
    flat = column.flatten()
    contents = [content or "" for content in flat.field("content").to_pylist()]
    if "tool_calls" in [field.name for field in flat.type]:
        calls = flat.field("tool_calls").to_pylist()
        contents = [f"{content}\n{_called(call)}" if call else content for content, call in zip(contents, calls, strict=True)]
    turns = list(zip(flat.field("role").to_pylist(), contents, strict=True))
    ends = np.cumsum(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)).tolist()
    return [turns[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _called(calls: str) -> str:
    """Return the names and arguments of calls, without what all calls say."""
    try:
        return "\n".join(f"{call['function']['name']} {call['function']['arguments']}" for call in json.loads(calls))
    except (ValueError, KeyError, TypeError):
        return calls


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _numbers(texts: Iterable[str]) -> Numbers:
    return np.array([_number(text) for text in texts], np.int64)


def _number(text: str) -> int:
    """Return a number that is equal for equal texts, and always the same."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def _first_bits(hashes: pa.StringArray) -> Numbers:
    """Return the first 64 bits of hashes, which are enough to tell rows apart."""
    whole = np.frombuffer(bytes.fromhex("".join(hashes.to_pylist())), np.int64)
    return whole.reshape(-1, HASH_NUMBERS)[:, 0].copy()


def _labels(groups: Numbers, texts: Numbers) -> Numbers:
    """Return for each text the first of its near twins, or of the same texts where it has none."""
    return np.where(groups == ALONE, _firsts(texts), groups)


def _firsts(values: NDArray[Any]) -> Numbers:
    """Return for each place the first one with an equal value."""
    _, firsts, which = np.unique(values, return_index=True, return_inverse=True)
    return firsts[which]


def _best(family: Numbers, is_copy: Flags, rows: _Rows) -> Flags:
    """Return which row is to be kept of each family; never a copy, since leaving out copies must not leave out all."""
    order = np.lexsort((np.arange(len(family)), -rows.answer_length, rows.is_test, rows.is_spoiled, is_copy, family))
    _, firsts = np.unique(family[order], return_index=True)
    best = np.zeros(len(family), np.bool_)
    best[order[firsts]] = True
    return best


def _other_answers(rows: _Rows) -> Numbers:
    """Return groups of rows that answer one question differently; answers are the same in any case and with any spaces."""
    asked = np.flatnonzero(rows.judgement == NOT_JUDGED)
    has_labels = len(np.unique(rows.answer[asked])) * ROWS_A_LABEL <= len(asked)
    asked = asked[rows.question_words[asked] >= (1 if has_labels else QUESTION_WORDS)]
    first = asked[_firsts(rows.question[asked])]
    differs = rows.answer[asked] != rows.answer[first]
    is_disputed = np.isin(first, first[differs])
    groups = np.full(len(rows.answer), ALONE)
    groups[asked[is_disputed]] = first[is_disputed]
    return groups


def _leaks(rows: _Rows, asks: Numbers) -> tuple[Numbers, Flags, Flags]:
    """Return the training row that each test row repeats, and whether it does so with the same question, or as a near twin."""
    by_question = _first_in_training(rows.question, rows.is_test)
    is_exact = rows.is_test & (by_question != ALONE) & (rows.question_words > 0)
    by_likeness = _first_in_training(asks, rows.is_test)
    is_near = rows.is_test & (by_likeness != ALONE) & ~is_exact & (rows.question_words > 0)
    return np.where(is_exact, by_question, np.where(is_near, by_likeness, ALONE)), is_exact, is_near


def _first_in_training(values: Numbers, is_test: Flags) -> Numbers:
    """Return for each place the first one in training with an equal value."""
    _, which = np.unique(values, return_inverse=True)
    first = np.full(len(values), len(values))
    training = np.flatnonzero(~is_test)
    np.minimum.at(first, which[training], training)
    return np.where(first[which] < len(values), first[which], ALONE)
