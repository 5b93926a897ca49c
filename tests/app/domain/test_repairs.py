"""What a fix makes of one row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.datasets import Row, row_from
from app.domain.fixes import Balance, Drop, Fill, Mask, Repair
from app.domain.problems import Finding, Mark, Trouble
from app.domain.repairs import changed, changed_with_map, control_tokens, is_garbled, unscrambled, without_control_tokens


def row(*texts: str, **more: Any) -> Row:
    roles = ["system", "user", "assistant"][-len(texts) :]
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
    return row_from({"row": 0, "split": "train", "messages": messages} | more)


def marks(*given: tuple[int, int, int, str]) -> Finding:
    return Finding(0, marks=tuple(Mark(*mark) for mark in given))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<|im_start|>user\nHi<|im_end|>", "Hi"),
        ("Hi<|im_end|>\n<|im_start|>assistant\nHello", "Hi\nHello"),
        ("<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "Hi"),
        ("<start_of_turn>model\nYes.<end_of_turn>", "Yes."),
        ("<s>[INST] Hi [/INST] Hello </s>", "Hi  Hello"),
        ("The end.<|endoftext|>", "The end."),
        ("<|im_<|im_end|>start|>Hi", "Hi"),
        ("<|im_<|im_<|im_end|>end|>start|>user\nHi", "Hi"),
    ],
)
def test_control_tokens_are_taken_out_with_the_role_they_name(text: str, plain: str) -> None:
    assert control_tokens(text)
    assert without_control_tokens(text) == plain


@pytest.mark.parametrize("text", ["a < b || c > d", "<b>bold</b> and <s>struck</s> out", "[1] and [UPDATE]", " spaces stay "])
def test_ordinary_text_holds_no_control_tokens(text: str) -> None:
    assert control_tokens(text) == []
    assert without_control_tokens(text) == text


@pytest.mark.parametrize(("text", "meant"), [("MÃ¼nchen ist schÃ¶n", "München ist schön"), ("It doesnâ€™t", "It doesn’t")])
def test_text_that_was_decoded_wrongly_is_decoded_again(text: str, meant: str) -> None:
    assert is_garbled(text)
    assert unscrambled(text) == meant


@pytest.mark.parametrize("text", ["plain", "München, naïve, “quoted”", "Привет", "日本語", "CORAÇÃO", "only 4txt/Ì¼1.20"])
def test_text_that_is_right_stays(text: str) -> None:
    assert not is_garbled(text)
    assert unscrambled(text) == text


@pytest.mark.parametrize("piece", ["<|im_start|>user ", "</s>", "<|a ", "[/", "<|start_header_id|>a", "Ã¼", "ÃƒÂ", "\x80"])
def test_a_long_hostile_text_takes_time_by_its_length_alone(piece: str) -> None:
    text = piece * 100_001
    assert len(without_control_tokens(text)) <= len(text)
    assert unscrambled(text) == text


def test_lost_characters_are_told_and_stay() -> None:
    assert is_garbled("M\ufffdnchen")
    assert unscrambled("M\ufffdnchen") == "M\ufffdnchen"


def test_masks_stand_in_every_turn_and_in_the_worse_answer() -> None:
    given = row("I am John.", "Hello John.", rejected=[{"role": "assistant", "content": "John who?"}])
    finding = marks((0, 5, 9, "NAME"), (1, 6, 10, "NAME"), (2, 0, 4, "NAME"))
    after, meaning = changed_with_map(Mask(problem=Trouble.PII), given, finding)
    assert after is not None
    assert after.texts == ["I am [NAME].", "Hello [NAME].", "[NAME] who?"]
    assert meaning == {"[NAME]": "John"}


def test_masks_stand_in_the_arguments_of_tools_too() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "John", "arguments": '{"who": "John", "of": "Johnson"}'}}
    given = row("Mail John.", "Done.", tools=None)
    given = given.model_copy(update={"messages": [given.messages[0], given.messages[1].model_copy(update={"tool_calls": [call]})]})
    after = changed(Mask(problem=Trouble.PII), given, marks((0, 5, 9, "NAME")))
    assert after is not None
    assert after.messages[1].tool_calls is not None
    function = after.messages[1].tool_calls[0]["function"]
    assert json.loads(function["arguments"]) == {"who": "[NAME]", "of": "Johnson"}
    assert function["name"] == "John"


def called_with(given: Row, arguments: str, finding: Finding) -> str:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    messages = [*given.messages[:-1], given.messages[-1].model_copy(update={"tool_calls": [call]})]
    after = changed(Mask(problem=Trouble.PII), given.model_copy(update={"messages": messages}), finding)
    assert after is not None
    assert after.messages[-1].tool_calls is not None
    return str(after.messages[-1].tool_calls[0]["function"]["arguments"])


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        (r'{"who": "Ren\u00e9e Roux", "in": ["for Ren\u00e9e."]}', '{"who": "[NAME]", "in": ["for [NAME]."]}'),
        ('{"who":"RENÉE ROUX","Renée":1,"n":1.10}', '{"who":"[NAME]","Renée":1,"n":1.10}'),
        ('{"pin": 4711, "port": 47110, "say": "pin \\"4711\\""}', '{"pin": "[ID]", "port": 47110, "say": "pin \\"[ID]\\""}'),
        (r'{"who": "\ud83d Ren\u00e9e"}', r'{"who": "\ud83d [NAME]"}'),
        ('{"who": "Renée', '{"who": "[NAME]'),
        ('{"as": "said \\"Renée Roux\\" twice", "ok": true}', '{"as": "said \\"[NAME]\\" twice", "ok": true}'),
    ],
)
def test_arguments_of_tools_are_masked_in_each_spelling_and_however_they_are_escaped(arguments: str, masked: str) -> None:
    given = row("I am Renée Roux, RENÉE ROUX, id 4711.", "Hello Renée.")
    finding = marks((0, 5, 15, "NAME"), (0, 17, 27, "NAME"), (0, 32, 36, "ID"), (1, 6, 11, "NAME"))
    assert called_with(given, arguments, finding) == masked


def test_what_was_found_in_arguments_alone_is_masked_there_and_told_in_the_map() -> None:
    calls = [
        {
            "id": "1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"to": "ada@x.org", "born": "1990-04-12", "pin": 4711}'},
        },
        {"id": "2", "type": "function", "function": {"name": "look", "arguments": '{"again": ["ada@x.org", "b@y.org"]}'}},
    ]
    given = row("Write to her.", "Done.")
    given = given.model_copy(update={"messages": [given.messages[0], given.messages[1].model_copy(update={"tool_calls": calls})]})
    finding = marks((2, 0, 9, "EMAIL"), (4, 0, 4, "ID"), (5, 0, 9, "EMAIL"), (6, 0, 7, "EMAIL"))
    after, meaning = changed_with_map(Mask(problem=Trouble.PII), given, finding)
    assert after is not None
    assert after.texts == given.texts
    assert [call["function"]["arguments"] for call in after.messages[1].tool_calls or ()] == [
        '{"to": "[EMAIL_1]", "born": "1990-04-12", "pin": "[ID]"}', '{"again": ["[EMAIL_1]", "[EMAIL_2]"]}'
    ]  # fmt: skip
    assert meaning == {"[EMAIL_1]": "ada@x.org", "[EMAIL_2]": "b@y.org", "[ID]": "4711"}
    assert changed(Mask(problem=Trouble.PII, kinds=["NAME"]), given, finding) is given


def test_long_broken_arguments_take_time_by_their_length_alone() -> None:
    given, broken = row("I am John.", "Hello."), r'"' + r"\"" * 300_000
    assert called_with(given, broken, marks((0, 5, 9, "NAME"))) == broken


def test_only_the_kinds_that_were_asked_for_are_masked() -> None:
    given, finding = row("I am John, j@x.org, key abc.", "Yes."), marks((0, 5, 9, "NAME"), (0, 11, 18, "EMAIL"), (0, 24, 27, "SECRET"))
    masked = {
        fix.model_dump_json(exclude_defaults=True): changed(fix, given, finding)
        for fix in (Mask(problem=Trouble.PII), Mask(problem=Trouble.PII, kinds=["EMAIL", "SECRET"]), Mask(problem=Trouble.SECRET))
    }
    assert [after.texts[0] for after in masked.values() if after] == [
        "I am [NAME], [EMAIL], key abc.", "I am John, [EMAIL], key abc.", "I am John, j@x.org, key [SECRET]."
    ]  # fmt: skip


def test_placeholders_are_filled_where_they_were_found_and_a_text_is_given() -> None:
    finding = marks((0, 0, 8, "PLACEHOLDER"), (0, 13, 20, "PLACEHOLDER"), (1, 2, 10, "PLACEHOLDER"))
    after = changed(Fill(values={"{{name}}": "Ada\\1", "{{org}}": ""}), row("{{name}} and {{org}}", "I {{name}} am"), finding)
    assert after is not None
    assert after.texts == ["Ada\\1 and {{org}}", "I Ada\\1 am"]


def test_a_row_of_which_nothing_is_left_goes() -> None:
    assert changed(Repair(problem=Trouble.CONTROL_TOKENS), row("Hi", "<|im_end|>"), marks((1, 0, 10, "CONTROL"))) is None


@pytest.mark.parametrize("fix", [Drop(problem=Trouble.PII), Balance(most=1), Mask(problem=Trouble.PII), Fill(values={"{{x}}": "y"})])
def test_what_a_fix_is_not_about_stays_the_same(fix: Any) -> None:
    given = row("Be kind.", "Who?", "Me.")
    assert changed(fix, given, marks()) is given
