from __future__ import annotations

import json

import pytest

from app.domain.unanswered import answered

TURNS = [
    {"role": "user", "content": "Where is it?"}, {"role": "Assistant", "content": "On its way."}, {"role": "user", "content": "And now?"},
    {"role": "assistant", "tool_calls": [{"id": "c1"}]},
]  # fmt: skip


@pytest.mark.parametrize("text", ["no JSON", "[1, 2]", '{"messages": "text"}', '{"messages": [{"role": "user", "content": "Hi"}]}', "7"])
def test_without_an_answer_there_is_nothing_to_end_with(text: str) -> None:
    assert answered(text) is None


def test_what_stands_behind_the_last_answer_goes_and_all_else_stays() -> None:
    found = answered(json.dumps({"id": 7, "messages": TURNS}))
    assert found is not None
    assert json.loads(found.text) == {"id": 7, "messages": TURNS[:2]}
    assert (found.kept, found.turns[1:3]) == (2, [("assistant", "On its way."), ("user", "And now?")])


def test_turns_are_read_in_the_words_of_their_file() -> None:
    found = answered(json.dumps({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}, {"from": 5}, "what"]}))
    assert found is not None
    assert found.turns == [("user", "Hi"), ("assistant", "Ho"), ("turn", ""), ("turn", "what")]
