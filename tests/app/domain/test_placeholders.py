"""Blanks that nobody filled in are found, and code and our own masks are let be."""

from __future__ import annotations

import pytest

from app.domain.placeholders import placeholders


def found(text: str, *, is_answer: bool = True) -> list[str]:
    return [text[start:end] for start, end in placeholders(text, is_answer=is_answer)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am {{name}}, made by {{ author }}.", ["{{name}}", "{{ author }}"]),
        ("Dear {customer name}, your order is here.", ["{customer name}"]),
        ("Hello <FIRST_NAME>, hello <your name>!", ["<FIRST_NAME>", "<your name>"]),
        ("Regards, [Your Name], [Company Name]", ["[Your Name]", "[Company Name]"]),
        ("Call us on [insert phone number here].", ["[insert phone number here]"]),
        ("Your order ${order_id} is on its way.", ["${order_id}"]),
        ("Hello %(name)s.", ["%(name)s"]),
        ("TODO: write this answer", ["TODO"]),
        ("todo", ["todo"]),
        ("Lorem ipsum dolor sit amet", ["Lorem ipsum"]),
    ],
)
def test_what_was_to_be_filled_in_is_found(text: str, expected: list[str]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "name": "x"}',
        "```python\nprint(f'{name}')\n```",
        "Write `{name}` into it.",
        "function greet(name) { return `Hello ${name}`; }",
        r"The share is \frac{part}{whole}.",
        "<TABLE><TR><TD>1</TD></TR></TABLE>",
        "<ORDER>12</ORDER>",
        "See [the name](https://example.com) and [1].",
        "My name is [NAME] and my ID is [ID_2].",
        "It is on my to-do list.",
        "- [x] done\n- [ ] open",
        "The set {red, blue} has two members.",
        "I <3 you > me",
    ],
)
def test_code_json_links_and_our_own_masks_are_none(text: str) -> None:
    assert found(text) == []


def test_a_question_may_ask_about_lorem_ipsum_and_todos() -> None:
    assert found("What does lorem ipsum mean? TODO", is_answer=False) == []


def test_placeholders_beside_code_are_found_outside_of_it() -> None:
    assert found("Dear {{name}}, run `{{name}}`, {{name}}.") == ["{{name}}", "{{name}}"]


@pytest.mark.parametrize("piece", ["[a_", "<NAME>", "`a`", "{{ ", "{a ", "</NAME>", "TODO ", "[your name", ";\n", "```", "<A_A", "[x y "])
def test_a_long_hostile_text_takes_time_by_its_length_alone(piece: str) -> None:
    assert len(placeholders(piece * 50_000, is_answer=True)) <= 50_000
