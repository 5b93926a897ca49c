"""What the starter reads: tasks that can be solved from what they say, and nothing of the sample datasets."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tools.starter_model import overlap, word_tasks, wordnet
from tools.starter_model.corpus import documents
from tools.starter_model.edits import EDITS, mistyped
from tools.starter_model.pretraining import Budget
from tools.starter_model.stream import SHARES, batch_at
from tools.starter_model.word_tasks import Lexicon

SAMPLES = ROOT / "samples"
# Lines of WordNet 3.1 in its own format (wndb(5WN)).
NOUNS = """  1 This software and database is being provided to you
00000100 03 n 01 entity 0 000 | that which exists
00000200 21 n 02 payment 0 defrayal 0 001 @ 00000100 n 0000 | a sum of money paid
00000300 21 n 01 refund 0 001 @ 00000200 n 0000 | money returned to a payer
00000400 21 n 01 loss 0 001 ! 00000500 n 0101 | something lost; "the car was a total loss"
00000500 21 n 02 gain 0 profit 1 001 ! 00000400 n 0101 | something won; "the gain was small"
"""


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    """Write a dictionary of five nouns."""
    for part in wordnet.FILES:
        (tmp_path / f"data.{part}").write_text(NOUNS if part == "noun" else "", encoding="utf-8")
    return tmp_path


def chance(seed: int) -> random.Random:
    """Return a source of repeatable chance."""
    return random.Random(seed)  # noqa: S311 - repeatable data, no secret


def lexicon_of(kinds: int = 12) -> Lexicon:
    """Return a lexicon with enough of every sort that each task finds what it needs."""
    found = []
    for kind in range(kinds):
        found.append(wordnet.Sense(f"k{kind}", "noun", "thing", (f"kind{kind}", f"sort{kind}"), f"the sort {kind}", (), (), ()))
        found += (
            wordnet.Sense(f"k{kind}.{at}", "noun", "thing", (f"word{kind}x{at}", f"other{kind}x{at}"), f"number {at} of sort {kind}",
                          (f"here is word{kind}x{at} among others",), (f"k{kind}",), (f"counter{kind}x{at}",))
            for at in range(15)
        )  # fmt: skip
    return Lexicon(found)


def test_a_line_of_the_dictionary_becomes_a_sense(dictionary: Path) -> None:
    senses = {sense.words[0]: sense for sense in wordnet.senses(dictionary)}
    assert senses["refund"].gloss == "money returned to a payer"
    assert senses["refund"].parents == (senses["payment"].id,)
    assert senses["payment"].words == ("payment", "defrayal")
    assert senses["loss"].opposites == ("gain",)
    assert senses["loss"].examples == ("the car was a total loss",)
    assert senses["loss"].topic == "possession"


@pytest.mark.parametrize("make", [word_tasks.task, word_tasks.lesson])
def test_a_conversation_ends_with_an_answer_and_no_turn_is_empty(make: object) -> None:
    lexicon, rng = lexicon_of(), chance(0)
    for _ in range(300):
        turns = make(rng, lexicon)  # type: ignore[operator]
        assert turns[-1]["role"] == "assistant"
        assert all(turn["content"] for turn in turns)


def test_a_choice_can_be_made_from_what_is_said() -> None:
    lexicon, rng = lexicon_of(), chance(1)
    for _ in range(200):
        ask, text, answer = word_tasks.choice(rng, lexicon)
        assert answer in ask
        number = answer.removeprefix("kind")
        assert f"{number}x" in text or f"sort {number}" in text


def test_facts_are_json_with_what_was_asked_for() -> None:
    lexicon, rng = lexicon_of(), chance(2)
    for _ in range(100):
        ask, _, answer = word_tasks.facts(rng, lexicon)
        assert all(key in ask for key in json.loads(answer))


def test_every_change_to_a_sentence_says_what_to_do() -> None:
    sense = lexicon_of().illustrated[0]
    for edit in EDITS:
        ask, text, answer = edit(chance(3), sense)
        assert ask
        assert text
        assert isinstance(answer, str)


def test_slips_of_the_fingers_leave_short_words_alone() -> None:
    rng = chance(4)
    assert all(mistyped(rng, "a bee or an ant") == "a bee or an ant" for _ in range(50))
    assert any(mistyped(rng, "refrigerator") != "refrigerator" for _ in range(50))


def test_eight_words_of_a_sample_are_found_and_seven_are_not() -> None:
    text = next(
        row["messages"][1]["content"] for row in map(json.loads, (SAMPLES / "support-emails" / "train.jsonl").read_text().splitlines())
        if len(overlap.WORD.findall(row["messages"][1]["content"])) > 20
    )  # fmt: skip
    words = overlap.WORD.findall(text)
    assert not overlap.is_apart("Once upon a time: " + " ".join(words[4:12]), SAMPLES)
    assert overlap.is_apart("Once upon a time: " + " ".join(words[4:11]), SAMPLES)


@pytest.mark.material
def test_what_the_starter_reads_shares_nothing_with_the_samples(material: Path) -> None:
    read = documents(material / "text")
    assert len(read) > 500
    assert [gram for text in read for gram in overlap.grams(text) if gram in overlap.held_out_grams(SAMPLES)] == []


def test_no_samples_to_hold_out_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"python -m tools\.samples"):
        overlap.is_apart("anything", tmp_path)


def test_rows_come_from_the_streams_at_their_shares() -> None:
    streams = {name: np.full(5000, at, dtype=np.uint16) for at, name in enumerate(SHARES)}
    rows = np.concatenate([batch_at(streams, step, size=512 * 64, length=512) for step in range(40)])
    assert rows.shape == (40 * 64, 513)
    found = [float((rows[:, 0] == at).mean()) for at in range(len(SHARES))]
    assert found == pytest.approx(list(SHARES.values()), abs=0.05)


def test_the_learning_rate_ends_at_nothing() -> None:
    budget = Budget(tokens=100_000, batch=100, rate=3e-3)
    assert budget.steps == 1000
    assert max(budget.rate_at(step) for step in range(1000)) == pytest.approx(3e-3, rel=0.01)
    assert budget.rate_at(0) < 2e-4
    assert budget.rate_at(999) == 0.0
