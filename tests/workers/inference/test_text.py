from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from workers.inference.text import AnswerText, StopStrings

SENTENCE = "Grüße, 你好 👩\u200d🚀! déjà vu"


def pieces_of(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    stopper = StopStrings(stops)
    said = "".join(stopper.push(piece) for piece in pieces if not stopper.hit)
    return said + ("" if stopper.hit else stopper.rest()), stopper.hit


def test_characters_come_whole_and_add_up_to_the_text(tiny_base: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_base)
    text = AnswerText(tokenizer, [])
    pieces = [text.push(token) for token in tokenizer(SENTENCE, add_special_tokens=False)["input_ids"]]
    assert len([piece for piece in pieces if piece]) > 5
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + text.rest() == SENTENCE


def test_a_torn_character_at_the_end_is_shown_as_such(tiny_base: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_base)
    ids = tokenizer("ok 🜁", add_special_tokens=False)["input_ids"]
    text = AnswerText(tokenizer, [])
    assert "".join(text.push(token) for token in ids[:-1]) + text.rest() == "ok \ufffd"


@pytest.mark.parametrize("pieces", [["one END two"], ["one E", "N", "D two"], list("one END two")])
def test_a_stop_string_ends_the_text_wherever_the_borders_fall(pieces: list[str]) -> None:
    assert pieces_of(["END"], pieces) == ("one ", True)


def test_the_first_of_several_stop_strings_wins() -> None:
    assert pieces_of(["two", "one"], ["zero one two"]) == ("zero ", True)


def test_what_only_looked_like_a_stop_string_is_said_in_the_end() -> None:
    assert pieces_of(["ENDING", "\n\n"], ["the EN", "D", "\n"]) == ("the END\n", False)
