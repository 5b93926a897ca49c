"""Chat templates come with models, so they are foreign code: rendered in a sandbox, in bounded time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.errors import Invalid
from tests.workers.training.tiny import chat, make_tokenizer
from workers.training.templates import MAX_TEMPLATE_BYTES, ChatTemplate, TemplateRefused, chat_template, of_our_own

HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ (messages | attr('__class__')).__base__ }}",
    "{% for i in range(10 ** 9) %}x{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ raise_exception('No.') }}",
    "{% include 'other' %}",
    "{{ 1 / 0 }}",
    "{{ undefined_thing.attribute }}",
    "{% if %}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_or_broken_template_is_refused(text: str) -> None:
    with pytest.raises(TemplateRefused):
        ChatTemplate(text, {}, "tokenizer").render(chat("a", "b"))


def test_a_template_that_never_ends_is_stopped() -> None:
    loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateRefused, match="seconds"):
        ChatTemplate(loops, {}, "tokenizer").render(chat("a", "b"))


def test_where_nothing_could_interrupt_it_only_a_template_of_our_own_is_rendered() -> None:
    def render() -> str:
        return ChatTemplate("{{ messages[0].content }}", {}, "tokenizer").render(chat("a", "b"))

    def render_ours() -> str:
        with of_our_own():
            return render()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(render_ours).result() == "a"
        with pytest.raises(TemplateRefused):
            thread.submit(render).result()


def test_the_date_of_today_does_not_reach_the_tokens() -> None:
    dated = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ date_string }}"
    assert ChatTemplate(dated, {}, "tokenizer").render(chat("a", "b")) == "26 Jul 2024"


def test_only_a_chat_is_told_the_day_it_is() -> None:
    dated = "{{ strftime_now('%d %B %Y') }}{% for m in messages %}{% set year = strftime_now('%Y') %}{{ year + m.content }}{% endfor %}"
    rows, asked = ChatTemplate(dated, {}, "tokenizer"), ChatTemplate(dated, {}, "tokenizer", is_dated_today=True)
    for said in ("a", "b", "c"):  # seen first, watched, known
        assert rows.render(chat(said)) == f"26 July 20242024{said}"
        assert "26 July 2024" not in asked.render(chat(said))


def test_a_base_with_neither_template_nor_end_token_is_refused() -> None:
    with pytest.raises(Invalid, match="could never end"):
        chat_template(make_tokenizer(["<x>"], eos=None, template=None))


def test_a_giant_template_is_refused() -> None:
    with pytest.raises(Invalid, match="64 KiB"):
        chat_template(make_tokenizer(template="x" * (MAX_TEMPLATE_BYTES + 1)))
