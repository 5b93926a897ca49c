"""A template that was watched writes what it would write: the same text, the same marks, the same refusals."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from app.domain.datasets import Message
from tests.workers.training.test_masks import CHATML, FORMS, WORDS
from tests.workers.training.tiny import TEMPLATE, chat
from workers.training.templates import PLAIN_TEMPLATE, ChatTemplate, Limits, TemplateRefused
from workers.training.watched import MOST_SHAPES, MOST_WAYS, Rendered

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
PIECES = [
    "a",
    "b",
    " ",
    "\n",
    "</think>",
    "<think>",
    "/no_think",
    "<tool_response>",
    "</tool_response>",
    "12",
    "A",
    '"',
    "é",
    "{{ x }}",
    "%s",
]
EACH = "{% for m in messages %}[%]{% endfor %}"
LOOKS = {
    "length": "{{ m.content | length }}",
    "empty": "{% if m.content | length == 0 %}none{% endif %}{{ m.content }}",
    "letter": "{{ m.content[0] }}",
    "letters": "{{ m.content[:2] }}",
    "each letter": "{% for c in m.content %}{{ c }},{% endfor %}",
    "upper": "{{ m.content | upper }}",
    "title": "{{ m.content.title() }}",
    "is lower": "{{ m.content is lower }}",
    "json": "{{ m.content | tojson }}",
    "whole as json": "{{ m | tojson }}",
    "escaped": "{{ m.content | e }}",
    "as number": "{{ m.content | int }}",
    "within": "{{ m.content in 'ab 12' }}",
    "one of": "{{ m.content in ['a', 'b', '12'] }}",
    "as key": "{{ {'a': 1, 'b': 2}[m.content] }}",
    "formatted": "{{ '%5s' % m.content }}",
    "format": "{{ '{:>5}'.format(m.content) }}",
    "format filter": "{{ '%.1s' | format(m.content) }}",
    "joined": "{% set x = m.content ~ '!' %}{% if 'a' in x %}yes{% endif %}{{ x }}",
    "joined and cut": "{{ (m.role + m.content)[:6] }}",
    "caught": "{% set x %}{{ m.content }}{% endset %}{% if x == 'a' %}yes{% endif %}{{ x }}",
    "macro": "{% macro f(x) %}<{{ x }}>{% endmacro %}{% set y = f(m.content) %}{% if 'b' in y %}{{ y }}{% else %}no{% endif %}",
    "macro plain": "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(m.content) }}",
    "marked in macro": "{% macro f(x) %}<{% generation %}{{ x }}{% endgeneration %}>{% endmacro %}{{ f(m.content) }}",
    "replaced": "{{ m.content | replace('a', 'x') }}",
    "replace": "{{ m.content.replace('a', m.role) }}",
    "in place": "{{ 'xay'.replace('a', m.content) }}",
    "asked": "{% if m.content.startswith('a') or m.content.endswith(' ') %}yes{% else %}{{ m.content }}{% endif %}",
    "equal": "{% if m.content == 'a' %}yes{% endif %}{{ m.content }}",
    "unequal": "{% if m.content != 'a' %}{{ m.content }}{% endif %}",
    "like escaped": "{% if m.content == 'a' | e or 'b' | e == m.content %}yes{% endif %}{{ m.content }}",
    "like another": "{% if m.content == messages[0].content %}same{% endif %}",
    "none": "{{ m.content is none }}{{ m.content == none }}",
    "there": "{% if m.content %}yes{% endif %}{{ not m.content }}",
    "default": "{{ m.content | default('x', true) }}",
    "split": "{{ m.content.split('</think>')[-1].lstrip('\\n') }}|{{ m.content.split('</think>')[0] }}",
    "words": "{{ m.content.split() }}",
    "trimmed": "{{ m.content | trim }}{% if m.content | trim == 'a' %}!{% endif %}",
    "sorted": "{{ [m.content, 'b'] | sort }}",
    "string": "{% if m.content is string %}{{ m.content }}{% endif %}{{ m.content is mapping }}{{ m.content is iterable }}",
    "kinds": "{{ m.content is sequence }}{{ m.content is number }}{{ m.content is callable }}{{ m.content is defined }}",
    "same": "{{ m.content is sameas 'a' }}",
    "chosen": "{{ ['x', 'y'] | random | length }}",
    "all": "{{ messages | map(attribute='content') | join(',') }}",
    "twice": "{{ m.content * 2 }}",
    "refused": "{% if 'b' in m.content %}{{ raise_exception('no b') }}{% endif %}{{ m.content }}",
    "unknown": "{{ m.content.text }}{{ m.content._text }}",
    "marked": "{% generation %}{{ m.content | trim }}{% endgeneration %}<{% generation %}{{ m.role }}{% endgeneration %}>",
    "counted": "{% set ns = namespace(n=0) %}{% if m.content %}{% set ns.n = ns.n + 1 %}{% endif %}{{ ns.n }}",
    "letters in": "{{ m.content.count('a') }}",
}
"""Ways in which templates look at what is said; each must give what it gives unwatched."""


def written(template: ChatTemplate, messages: list[Message], *, prompt: bool) -> Rendered | str:
    try:
        return template.render_marked(messages, prompt=prompt, mark=template.marks_answers)
    except TemplateRefused as error:
        return str(error)


def compare(text: str, *, seed: int = 0, rounds: int = 150) -> ChatTemplate:
    """See that both write the same of conversations drawn by lot; return the watched one."""
    draw = random.Random(seed)  # noqa: S311 - a repeatable choice
    watched, plain = ChatTemplate(text, TOKENS, "tokenizer"), ChatTemplate(text + "{# random #}", TOKENS, "tokenizer")
    for _ in range(rounds):
        said = ["".join(draw.choice(PIECES) for _ in range(draw.choice([0, 1, 1, 2, 4]))) for _ in range(draw.randint(1, 4))]
        messages = [*chat(*said, system=draw.choice([None, None, "Be brief.", "/no_think"]))]
        prompt = draw.random() < 0.3
        assert written(watched, messages, prompt=prompt) == written(plain, messages, prompt=prompt), repr(messages)
    return watched


def ways(template: ChatTemplate) -> int:
    """Return how many ways through a template are known."""
    return sum(map(len, template._ways._known.values()))


@pytest.mark.parametrize("look", LOOKS)
def test_however_a_template_looks_at_what_is_said(look: str) -> None:
    compare(EACH.replace("[%]", "{{ m.role }}:" + LOOKS[look] + "\n"))


OURS = {"tiny": TEMPLATE, "plain": PLAIN_TEMPLATE, "chatml": CHATML, **FORMS}


@pytest.mark.parametrize("name", OURS)
def test_templates_that_put_texts_in_their_places_are_watched(name: str) -> None:
    assert ways(compare(OURS[name], rounds=60)) >= 4


@pytest.mark.material
@pytest.mark.parametrize("name", WORDS)
def test_real_templates_write_the_same_watched(name: str, material: Path) -> None:
    template = compare((material / "chat_templates" / f"{name}.jinja").read_text())
    assert (ways(template) > 0) == ("Ministral" not in name)


def test_a_known_way_costs_no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    template = ChatTemplate(CHATML, TOKENS, "tokenizer")
    for said in ("a", "b"):
        template.render(chat(said, "x"))
    monkeypatch.setattr(ChatTemplate, "_rendered", None)
    assert template.render(chat("c", "y")) == "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\ny<|im_end|>\n"


def test_what_is_said_is_still_bounded() -> None:
    template = ChatTemplate(
        "{% for m in messages %}{{ m.content }}{{ m.content }}{{ m.content }}{% endfor %}", {}, "tokenizer", Limits(2.0, 10)
    )
    for said in ("a", "b", "c"):
        assert template.render(chat(said)) == said * 3
    with pytest.raises(TemplateRefused, match="more than 10 characters"):
        template.render(chat("d" * 11))


def test_tools_and_names_are_rendered_each_time() -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.name }}{{ m.content }}{{ tools }}{% endfor %}", {}, "tokenizer")
    for number in range(4):
        named = Message(role="user", content="x", name=f"n{number}")
        assert template.render([named]) == f"n{number}xNone"
        assert template.render([Message(role="user", content="x")], tools=[{"n": number}]) == f"x[{{'n': {number}}}]"


def test_what_is_remembered_of_a_template_is_bounded() -> None:
    many = EACH.replace("[%]", "".join(f"{{% if '{letter}' in m.content %}}{letter}{{% endif %}}" for letter in "abcdefgh"))
    template = ChatTemplate(many, {}, "tokenizer")
    for number in range(64):
        said = "".join(letter for place, letter in enumerate("abcdefgh") if number >> place & 1)
        assert template.render(chat(said)) == said
    assert ways(template) == MOST_WAYS
    for length in range(2 * MOST_SHAPES):
        template.render([Message(role="user", content="a")] * length)
    assert len(template._ways._known) <= MOST_SHAPES
