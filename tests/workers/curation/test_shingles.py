"""Words and shingles of many texts at once are those that a regular expression finds one by one."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.curation import shingles as module
from workers.curation.shingles import UNSPACED, blocks, hash_words, shingle_words, shingles

TEXTS = st.lists(
    st.text(st.sampled_from("aAbBzZ09_ .-\n\t\0é’ßДж語の�") | st.characters(exclude_categories=["Cs"]), max_size=90), min_size=1
)


def words_of(text: str) -> list[str]:
    return UNSPACED.sub(r"\1 ", re.sub(r"\W", " ", text).casefold()).split()


@given(TEXTS)
def test_words_are_what_a_regular_expression_finds(texts: list[str]) -> None:
    found = hash_words(pa.array(texts, pa.string()))
    words = [words_of(text) for text in texts]
    assert found.counts.tolist() == [len(each) for each in words]
    by_word = dict(zip([word for each in words for word in each], found.hashes.tolist(), strict=True))
    assert [by_word[word] for each in words for word in each] == found.hashes.tolist()
    assert len(set(by_word.values())) == len(by_word)


@given(TEXTS, st.integers(1, 5))
def test_shingles_are_runs_of_words_within_one_text(texts: list[str], size: int) -> None:
    found = hash_words(pa.array(texts, pa.string()))
    chosen = np.flatnonzero(found.counts >= size)
    hashes, counts = shingles(found, chosen, size)
    runs = [words[start : start + size] for words in (words_of(texts[place]) for place in chosen) for start in range(len(words) - size + 1)]
    assert counts.sum() == len(hashes) == len(runs)
    assert len(set(hashes.tolist())) == len(set(map(tuple, runs)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cancel my ORDER", "cancel, my order!"),
        ("STRASSE in Köln", "straße in KÖLN"),
        ("it’s “fine” — really…", "it s fine really"),
        ("東京へ行く", "東 京 へ 行 く"),
    ],
)
def test_case_and_punctuation_change_no_word(one: str, other: str) -> None:
    first, second = (hash_words(pa.array([text], pa.string())).hashes.tolist() for text in (one, other))
    assert first == second


def test_very_long_words_are_told_apart_by_their_last_letter() -> None:
    words = ["x" * length + last for length in (7, 8, 15, 16, 63, 64, 65, 5_000) for last in "ab"]
    assert len(set(hash_words(pa.array([" ".join(words)], pa.string())).hashes.tolist())) == len(words)


def test_a_slice_of_texts_has_the_words_of_its_own() -> None:
    texts = pa.array(["one two", "three", "four five six", "seven"], pa.string())
    assert hash_words(texts.slice(1, 2)).counts.tolist() == [1, 3]


def test_blocks_are_all_texts_in_order_and_one_that_is_too_long_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 10)
    texts = pa.array(["", "1234", "123456", "x" * 100, "1", "", "123456789", "1"], pa.string())
    found = [block.to_pylist() for block in blocks(texts)]
    assert found == [["", "1234", "123456"], ["x" * 100], ["1", "", "123456789"], ["1"]]
    assert list(blocks(texts.slice(0, 0))) == []


def test_shingles_grow_by_a_word_for_every_ten_words_of_a_text() -> None:
    assert shingle_words(np.array([0, 1, 9, 19, 20, 30, 49, 50, 5_000])).tolist() == [1, 1, 1, 1, 2, 3, 4, 5, 5]
