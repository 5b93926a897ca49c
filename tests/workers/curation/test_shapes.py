from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.datasets import DatasetFormat, Turn
from app.domain.examples import SetAside, with_system
from workers.curation.shapes import UnknownShape, to_example

USER, ANSWER = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}
HI = [("user", "Hi?"), ("assistant", "Hello.")]
WORSE = {"role": "assistant", "content": "What?"}
CALL = {"name": "look", "arguments": {"at": "é"}}
AS_STORED = '[{"id":"call00001","type":"function","function":{"name":"look","arguments":"{\\"at\\":\\"é\\"}"}}]'
TOOL = {"name": "look", "parameters": {}}
TOOLS_AS_STORED = '[{"type":"function","function":{"name":"look","parameters":{}}}]'


def spoken(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in to_example(row)[1].turns]


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
        ({"messages": '[{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]'}, "chat", HI),
        ({"system": "S", "messages": [USER, ANSWER]}, "chat", [("system", "S"), *HI]),
        ({"messages": [{"role": "User", "content": "Hi?"}, {"role": "Chatbot", "content": "Hello."}]}, "chat", HI),
        ({"conversations": ["Hi?", "Hello."], "source": "x"}, "sharegpt", HI),
        ({"prompt": "Hi?", "completion": "Hello.", "label": "spam"}, "prompt_completion", HI),
        ({"text": "Once."}, "text", [("text", "Once.")]),
        ({"text": "Once.", "title": "A tale", "meta": {"n": 1}}, "text", [("text", "Once.")]),
    ],
)  # fmt: skip - a row a line
def test_known_shapes_become_conversations(row: dict[str, Any], shape: str, turns: list[tuple[str, str]]) -> None:
    assert (to_example(row)[0], spoken(row)) == (DatasetFormat(shape), turns)


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
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER]}, "only text"),
        ({"instruction": "x", "output": ["a"]}, "'output' is no text"),
        ({"instruction": "x", "output": None}, "answer is empty"),
        ({"instruction": "x", "output": "y", "history": ["a"]}, "history"),
        ({"instruction": "x", "output": "y", "history": 5}, "'history' is no list"),
        ({"instruction": "x", "output": "y", "history": "[['a', 'b']]"}, "'history' is no list"),
        ({"instruction": "x", "output": "y", "history": '"ab"'}, "'history' is no list"),
        ({"instruction": "x", "output": "y", "history": r'[["\ud800", "b"]]'}, "'history' is no list of question and answer pairs: half"),
        ({"prompt": 1, "completion": "x"}, "'prompt' is no text"),
        ({"text": 1}, "'text' is no text"),
        ({"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{}]}]}, "turn 2 calls a tool, but not as JSON"),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [{"function": CALL | {"arguments": "{"}}]}]},
            "arguments that are no JSON",
        ),
        ({"messages": [USER, ANSWER, {"role": "tool", "content": "x"}]}, "the last turn is what a tool said"),
        ({"conversations": [{"from": "human", "value": "x"}, {"from": "function_call", "value": "now"}]}, "turn 2 calls a tool"),
        ({"messages": [USER, ANSWER], "tools": "look"}, "'tools' is no list of tools"),
        ({"messages": [USER, ANSWER], "tools": [1]}, "'tools' is no list of tools"),
        ({"prompt": "x", "chosen": "a", "rejected": ""}, "the worse answer is empty"),
        ({"prompt": "x", "chosen": "a", "rejected": "a"}, "the same"),
        ({"chosen": [USER, ANSWER, USER, ANSWER], "rejected": [USER, WORSE, USER, WORSE]}, "differ before their last answers"),
        ({"input": {}, "preferred_output": [ANSWER], "non_preferred_output": [WORSE]}, "'input.messages' is no list"),
    ],
)
def test_rows_that_cannot_be_learnt_from_say_why(row: dict[str, Any], why: str) -> None:
    with pytest.raises(SetAside, match=why):
        to_example(row)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"messages": [USER]}, "no_answer"),
        ({"messages": []}, "no_answer"),
        ({"messages": [USER, {"role": "assistant", "content": " "}]}, "empty_answer"),
        ({"text": ""}, "empty_answer"),
        ({"prompt": "x", "chosen": "a", "rejected": " "}, "empty_answer"),
        ({"messages": [ANSWER]}, "broken"),
    ],
)
def test_rows_that_are_set_aside_say_which_kind_of_trouble_it_is(row: dict[str, Any], code: str) -> None:
    with pytest.raises(SetAside) as found:
        to_example(row)
    assert found.value.code == code


@pytest.mark.parametrize(
    "row",
    [
        {"text": "a", "label": "b"},
        {"messages": "hello"},
        {"question": "a", "answer": "b"},
        {"instruction": "a"},
        {"chosen": "a", "rejected": "b"},
    ],
)
def test_other_keys_are_of_no_known_shape(row: dict[str, Any]) -> None:
    with pytest.raises(UnknownShape):
        to_example(row)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALL}]}]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"function": CALL | {"arguments": '{"at":"é"}'}}]}]},
        {"messages": [USER, {"role": "assistant", "content": None, "function_call": CALL}]},
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "function_call", "value": json.dumps(CALL)}]},
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "tool_call", "value": json.dumps([CALL])}]},
        {"messages": [USER, {"role": "assistant", "content": "", "tool_calls": AS_STORED}]},
    ],
)
def test_calls_of_tools_are_kept_in_openais_shape_however_they_were_written(row: dict[str, Any]) -> None:
    assert to_example(row)[1].turns[1] == Turn("assistant", "", AS_STORED)


@pytest.mark.parametrize(
    "more", [{"tools": [TOOL]}, {"tools": json.dumps([TOOL])}, {"functions": [TOOL]}, {"tools": [{"type": "function", "function": TOOL}]}]
)
def test_tools_are_kept_in_openais_shape_however_they_were_written(more: dict[str, Any]) -> None:
    assert to_example({"messages": [USER, ANSWER]} | more)[1].tools == TOOLS_AS_STORED


@pytest.mark.parametrize("more", [{}, {"tools": []}, {"tools": ""}, {"tools": "[]"}, {"tools": None}])
def test_no_tools_are_no_tools(more: dict[str, Any]) -> None:
    assert to_example({"messages": [USER, ANSWER]} | more)[1].tools is None


def test_what_tools_said_belongs_to_their_calls() -> None:
    asked = {"role": "assistant", "tool_calls": [{"id": "x", "function": CALL}, {"function": CALL}]}
    answers = [{"role": "tool", "content": "1"}, {"role": "observation", "content": {"b": 2}}]
    turns = to_example({"messages": [USER, asked, *answers, ANSWER]})[1].turns
    assert [(turn.content, turn.tool_call_id) for turn in turns[2:4]] == [("1", "x"), ('{"b":2}', "call00002")]
    given = to_example({"messages": [USER, asked, {"role": "function", "name": "look", "content": "1", "tool_call_id": "x"}, ANSWER]})
    assert given[1].turns[2] == Turn("tool", "1", None, "x", "look")


@pytest.mark.parametrize("key", ["weight", "loss_weight"])
def test_answers_not_to_be_learnt_from_are_marked_and_others_are_not(key: str) -> None:
    turns = to_example({"messages": [USER | {key: 0.0}, ANSWER | {key: 0}, USER, ANSWER | {key: 1.0}]})[1].turns
    assert [turn.weight for turn in turns] == [None, 0, None, None]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi?", "chosen": "Hello.", "rejected": "What?"},
        {"question": "Hi?", "chosen": "Hello.", "rejected": "What?"},
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [WORSE]},
        {"prompt": "Hi?", "chosen": [USER, ANSWER], "rejected": [USER, WORSE]},
        {"chosen": [USER, ANSWER], "rejected": [USER, WORSE]},
        {"chosen": "\n\nHuman: Hi?\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi?\n\nAssistant: What?"},
        {"instruction": "Hi?", "input": "", "output": "x", "chosen": "Hello.", "rejected": "What?"},
        {"instruction": "Hi?", "chosen": "Hello.", "rejected": "What?"},
        {
            "conversations": [{"from": "human", "value": "Hi?"}],
            "chosen": {"from": "gpt", "value": "Hello."},
            "rejected": {"from": "gpt", "value": "What?"},
        },
        {"input": {"messages": [USER]}, "preferred_output": [ANSWER], "non_preferred_output": [WORSE]},
        {"messages": [USER], "chosen": ANSWER, "rejected": WORSE},
    ],
)
def test_a_comparison_ends_with_the_better_answer_and_keeps_the_worse_one_beside_it(row: dict[str, Any]) -> None:
    shape, example = to_example(row)
    assert (shape, spoken(row), example.rejected) == ("preference", HI, [Turn("assistant", "What?")])


def test_a_comparison_keeps_the_turns_and_the_system_text_before_it() -> None:
    system, before = {"role": "system", "content": "S"}, [USER, WORSE, USER]
    row = {"chosen": [system, *before, ANSWER], "rejected": [system, *before, WORSE]}
    assert spoken(row) == [("system", "S"), HI[0], ("assistant", "What?"), *HI]
    assert spoken({"system": "S", "prompt": "Hi?", "chosen": "Hello.", "rejected": "What?"}) == [("system", "S"), *HI]


def test_openais_comparison_keeps_its_tools() -> None:
    row = {"input": {"messages": [USER], "tools": [TOOL]}, "preferred_output": [ANSWER], "non_preferred_output": [WORSE]}
    assert to_example(row)[1].tools == TOOLS_AS_STORED


@pytest.mark.parametrize(("label", "liked"), [(True, True), (False, False), ("true", True), (0, False), ("👎", False)])
@pytest.mark.parametrize("row", [{"messages": [USER, ANSWER]}, {"prompt": "Hi?", "completion": "Hello."}])
def test_a_judged_answer_keeps_its_judgement(row: dict[str, Any], label: object, liked: bool) -> None:  # noqa: FBT001 - what is expected
    shape, example = to_example(row | {"label": label})
    assert (shape, example.label) == ("kto", liked)


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello."}]},
        {"instruction": "Hi?", "input": "", "output": "Hello."},
    ],
)
def test_other_shapes_are_judged_by_true_or_false_alone(row: dict[str, Any]) -> None:
    assert to_example(row | {"kto_tag": False})[1] == to_example(row)[1]._replace(label=False)
    assert to_example(row | {"label": 1}) == to_example(row)


def test_a_system_text_goes_before_rows_without_one_but_not_before_texts() -> None:
    plain = to_example({"messages": [USER, ANSWER]})[1].turns
    own = to_example({"messages": [{"role": "system", "content": "Own"}, USER, ANSWER]})[1].turns
    assert with_system(plain, "S")[0] == Turn("system", "S")
    assert with_system(own, "S")[0] == Turn("system", "Own")
    assert with_system(plain, None) == plain
    assert with_system([Turn("text", "x")], "S") == [Turn("text", "x")]
