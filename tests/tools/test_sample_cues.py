"""The test e-mails can be learned from the training ones: other sentences, but each with a word that training ties to its concern."""

from __future__ import annotations

from collections import Counter

import pytest

from app.domain.grammar import CHOICE, SLOT, Pools, lists
from tools.samples.grammar import read, runs_of_words, words
from tools.samples.support_emails import INTENTS

TRAIN, TEST = read("support_train"), read("support_test")
AROUND = ("greeting", "opening", "aside", "closing", "wish")
MARKED = ("low", "high")
FEWEST, OFTENER = 3, 5
"""A cue stands in so many sentences of its own pool at least, and so many times as often there as in all the others together."""

ALIKE = 0.5
"""Share of two sentences' words that they may have in common; above it one would be a copy of the other."""


def said(template: str) -> set[str]:
    """Give the words of a template, with those of every choice and none of the slots."""
    return set(words(SLOT.sub(" ", template)))


def expanded(template: str) -> list[str]:
    """Give what a template becomes with each choice."""
    found = CHOICE.search(template)
    if not found:
        return [template]
    return [each for one in found[1].split("|") for each in expanded(template[: found.start()] + one + template[found.end() :])]


def cues(pools: Pools) -> dict[str, set[str]]:
    """Give each pool's cue words: often in it, hardly anywhere else, never in what stands around."""
    counts = {name: Counter(word for line in lines for word in said(line)) for name, lines in pools.items()}
    total = sum(counts.values(), Counter[str]())
    around = set[str]().union(*(said(line) for name in AROUND for line in lists(TRAIN)[name]))
    return {
        name: {word for word, n in own.items() if n >= FEWEST and OFTENER * (total[word] - n) <= n and word not in around}
        for name, own in counts.items()
    }


def cores(half: dict[str, dict[str, str]]) -> Pools:
    """Give each intent's core sentences."""
    return {intent: lists(half[intent])["core"] for intent in INTENTS}


def moods() -> Pools:
    """Give the sentences that mark an urgency, and all that mark none."""
    rest = [line for intent in INTENTS for lines in lists(TRAIN[intent]).values() for line in lines]
    return {**{urgency: lists(TRAIN)[urgency] for urgency in MARKED}, "rest": rest}


def without_cue(lines: list[str], known: set[str]) -> list[str]:
    """Give the sentences that have none of the cue words."""
    return [each for line in lines for each in expanded(line) if not said(each) & known]


@pytest.mark.parametrize("intent", INTENTS)
def test_each_core_of_the_test_has_a_cue_that_training_teaches(intent: str) -> None:
    assert without_cue(cores(TEST)[intent], cues(cores(TRAIN))[intent]) == []


@pytest.mark.parametrize("urgency", MARKED)
def test_each_urgency_of_the_test_has_a_cue_that_training_teaches(urgency: str) -> None:
    assert without_cue(lists(TEST)[urgency], cues(moods())[urgency]) == []


def test_a_sentence_without_a_cue_is_found() -> None:
    planted = ["The {product} is [broken|not what it was]."]
    assert without_cue(planted, cues(cores(TRAIN))["damaged"]) == ["The {product} is not what it was."]
    assert without_cue(["Please {day} if you can."], cues(moods())["high"]) != []


@pytest.mark.parametrize("half", [TRAIN, TEST], ids=["train", "test"])
def test_what_stands_around_says_nothing_of_urgency(half: dict[str, dict[str, str]]) -> None:
    marks = set[str]().union(*(cues(moods())[urgency] for urgency in MARKED))
    pools = [lists(half), *(lists(half[intent]) for intent in INTENTS)]
    lines = [line for pool in pools for name, found in pool.items() if name not in MARKED for line in found]
    assert [line for line in lines if said(line) & marks] == []


@pytest.mark.parametrize("intent", INTENTS)
def test_no_core_of_the_test_is_a_copy_of_one_in_training(intent: str) -> None:
    trained = [said(each) for line in cores(TRAIN)[intent] for each in expanded(line)]
    tested = [(each, said(each)) for line in cores(TEST)[intent] for each in expanded(line)]
    assert [each for each, own in tested if any(len(own & other) > ALIKE * len(own | other) for other in trained)] == []


def test_no_five_words_in_a_row_stand_in_sentences_of_both_halves() -> None:
    def runs(half: dict[str, dict[str, str]]) -> set[str]:
        pools = [lists(half), *(lists(half[intent]) for intent in INTENTS)]
        lines = [each for pool in pools for found in pool.values() for line in found for each in expanded(line)]
        return {" ".join(run) for line in lines for run in runs_of_words(SLOT.sub(r"a_\1", line), 5)}

    assert runs(TRAIN) & runs(TEST) == set()


@pytest.mark.parametrize(("part", "least"), [("core", 45), ("detail", 22)])
def test_training_says_each_concern_in_many_ways(part: str, least: int) -> None:
    assert {intent: len(set(lists(TRAIN[intent])[part])) for intent in INTENTS if len(set(lists(TRAIN[intent])[part])) < least} == {}
