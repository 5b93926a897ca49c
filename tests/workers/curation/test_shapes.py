from __future__ import annotations

from typing import Any

import pytest

from app.domain.datasets import DatasetFormat
from workers.curation.shapes import SetAside, UnknownShape, fits_as_table, has_unused_answers, to_turns, with_system

USER, ANSWER = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}
HI = [("user", "Hi?"), ("assistant", "Hello.")]


@pytest.mark.parametrize(
    ("row", "shape", "turns"),
    [
        ({"messages": [USER, ANSWER], "tools": [], "parallel_tool_calls": True}, "chat", HI),
        ({"messages": [USER | {"name": "Ann"}, ANSWER | {"weight": 1}]}, "chat", HI),
        ({"messages": [{"role": "developer", "content": "Be kind."}, USER, ANSWER]}, "chat", [("system", "Be kind."), *HI]),
        ({"messages": [{"role": "system", "content": t} for t in ("A", " ", "B")] + [USER, ANSWER]}, "chat", [("system", "A\n\nB"), *HI]),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "value": "?"}]}, ANSWER]},
            "chat",
            [("user", "Hi\n?"), HI[1]],
        ),
        ({"prompt": "Hi?", "completion": "Hello."}, "prompt_completion", HI),
        ({"prompt": "Hi?", "response": "Hello.", "system": "S"}, "prompt_completion", [("system", "S"), *HI]),
        ({"prompt": [USER], "completion": [ANSWER]}, "prompt_completion", HI),
        ({"instruction": "Hi?", "input": "", "output": "Hello."}, "alpaca", HI),
        ({"instruction": "Hi", "input": "?", "output": "Hello."}, "alpaca", [("user", "Hi\n\n?"), HI[1]]),
        (
            {"instruction": "Hi?", "output": "Hello.", "system": "S", "history": [["a", "b"]]},
            "alpaca",
            [("system", "S"), ("user", "a"), ("assistant", "b"), *HI],
        ),
        ({"instruction": "Hi?", "output": "Hello.", "history": "[]"}, "alpaca", HI),
        ({"instruction": "Hi?", "output": "Hello.", "history": " "}, "alpaca", HI),
        ({"instruction": "Hi?", "output": "Hello.", "history": '[["a", "b"]]'}, "alpaca", [("user", "a"), ("assistant", "b"), *HI]),
        ({"instruction": "Hi?", "context": "", "response": "Hello.", "category": "qa"}, "alpaca", HI),
        ({"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello."}]}, "sharegpt", HI),
        ({"conversations": [USER, ANSWER], "system": "S"}, "sharegpt", [("system", "S"), *HI]),
        ({"messages": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello."}]}, "sharegpt", HI),
    ],
)  # fmt: skip - a row a line
def test_known_shapes_become_conversations(row: dict[str, Any], shape: str, turns: list[tuple[str, str]]) -> None:
    assert to_turns(row) == (DatasetFormat(shape), turns)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": []}, "'messages' is empty"),
        ({"messages": None}, "'messages' is no list"),
        ({"messages": ["hi"]}, "turn 1 is no object"),
        ({"messages": [USER]}, "the last turn is the user's"),
        ({"messages": [ANSWER]}, "there is no user's turn"),
        ({"messages": [{"role": "system", "content": "x"}]}, "no turns"),
        ({"messages": [USER, {"role": "assistant", "content": " \n"}]}, "the assistant's answer is empty"),
        ({"messages": [{"role": "user", "content": ""}, ANSWER]}, "the user's turn is empty"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "turn 2 has no content"),
        ({"messages": [USER, {"role": "assistant", "content": 5}]}, "the content of turn 2 is no text"),
        ({"messages": [USER, {"role": "wizard", "content": "x"}]}, "unknown role 'wizard'"),
        ({"messages": [{"content": "x"}, ANSWER]}, "turn 1 has no role"),
        ({"messages": [{"role": 7, "content": "x"}, ANSWER]}, "unknown role '7'"),
        ({"messages": [{"role": ["user"], "content": "x"}, ANSWER]}, "unknown role"),
        ({"messages": [USER, {"role": "system", "content": "x"}, ANSWER]}, "in the middle"),
        ({"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{}]}]}, "tool call"),
        ({"messages": [USER, ANSWER, {"role": "tool", "content": "x"}]}, "tool call"),
        ({"messages": [USER, ANSWER], "label": False}, "bad one"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER]}, "only text"),
        ({"conversations": [{"from": "human", "value": "x"}, {"from": "function_call", "value": "{}"}]}, "tool call"),
        ({"conversations": [{"from": "human", "value": "x"}], "chosen": {}, "rejected": {}}, "preference"),
        ({"prompt": "x", "chosen": "a", "rejected": "b"}, "preference"),
        ({"instruction": "x", "output": ["a"]}, "'output' is no text"),
        ({"instruction": "x", "output": None}, "answer is empty"),
        ({"instruction": "x", "output": "y", "history": ["a"]}, "history"),
        ({"instruction": "x", "output": "y", "history": 5}, "'history' is no list"),
        ({"instruction": "x", "output": "y", "history": "[['a', 'b']]"}, "'history' is no list"),
        ({"instruction": "x", "output": "y", "history": '"ab"'}, "'history' is no list"),
        ({"instruction": "x", "output": "y", "history": r'[["\ud800", "b"]]'}, "'history' cannot be used: half"),
        ({"prompt": 1, "completion": "x"}, "'prompt' is no text"),
    ],
)
def test_rows_that_cannot_be_learnt_from_say_why(row: dict[str, Any], why: str) -> None:
    with pytest.raises(SetAside, match=why):
        to_turns(row)


@pytest.mark.parametrize(
    "row", [{"text": "a", "label": "b"}, {"messages": "hello"}, {"question": "a", "answer": "b"}, {"instruction": "a"}]
)
def test_other_keys_are_of_no_known_shape(row: dict[str, Any]) -> None:
    with pytest.raises(UnknownShape):
        to_turns(row)


def test_a_header_may_show_the_shape() -> None:
    assert fits_as_table(["Instruction", "Input", "Output"])
    assert fits_as_table(["id", "prompt", "completion"])
    assert not fits_as_table(["question", "answer"])
    assert not fits_as_table(["messages", "label"])


def test_a_system_text_goes_before_rows_without_one() -> None:
    _, plain = to_turns({"messages": [USER, ANSWER]})
    _, own = to_turns({"messages": [{"role": "system", "content": "Own"}, USER, ANSWER]})
    assert with_system(plain, "S")[0] == ("system", "S")
    assert with_system(own, "S")[0] == ("system", "Own")
    assert with_system(plain, None) == plain


def test_answers_with_weight_zero_are_noticed() -> None:
    assert has_unused_answers({"messages": [USER, ANSWER | {"weight": 0}]})
    assert not has_unused_answers({"messages": [USER | {"loss_weight": 0.0}, ANSWER | {"loss_weight": 1.0}]})
    assert not has_unused_answers({"prompt": "x", "completion": "y"})
