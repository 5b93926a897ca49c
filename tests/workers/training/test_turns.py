"""Conversations with tools, answers of weight 0 and whole texts: what of them is trained."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from app.domain.datasets import Message
from tests.workers.training.test_masks import WORDS, begins_with_its_prompt, masker, trained_text
from tests.workers.training.tiny import SPECIAL, TEMPLATE, chat, make_tokenizer
from workers.training.masks import Masker
from workers.training.templates import PLAIN_TEMPLATE, chat_template
from workers.training.turns import NotTrainable

TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
]
CALLS = ("Qwen-Qwen3-0.6B", "meta-llama-Llama-3.2-3B-Instruct", "mistralai-Ministral-3-14B-Reasoning-2512")
"""The real templates that write calls of tools."""
EXTRA = {
    "Qwen-Qwen3-0.6B": ["<tool_call>", "</tool_call>"],
    "mistralai-Ministral-3-14B-Reasoning-2512": ["[TOOL_CALLS]", "[ARGS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[AVAILABLE_TOOLS]"],
}


def call(arguments: str, *, content: str = "") -> Message:
    return Message(
        role="assistant",
        content=content,
        tool_calls=[{"id": "1", "type": "function", "function": {"name": "weather", "arguments": arguments}}],
    )


def conversation(arguments: str = '{"city": "Bern"}') -> list[Message]:
    asked, *_ = chat("Rain in Bern?")
    result = Message(role="tool", content='{"rain": true}', tool_call_id="1", name="weather")
    return [asked, call(arguments), result, Message(role="assistant", content="Yes, it rains.")]


def real(name: str, material: Path) -> tuple[Masker, str]:
    special, eos, bos, end = WORDS[name]
    template = (material / "chat_templates" / f"{name}.jinja").read_text()
    return masker(template, [*special, *EXTRA.get(name, [])], eos=eos, bos=bos), end


def runs(masker: Masker, messages: list[Message]) -> list[str]:
    masked = masker.mask(messages, TOOLS)
    ids, trained = masked.ids, masked.trained
    borders = [0, *(place for place in range(1, len(ids)) if trained[place] != trained[place - 1]), len(ids)]
    return [str(masker.tokenizer.decode(ids[a:b].tolist())) for a, b in pairwise(borders) if trained[a]]


@pytest.mark.material
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_trained_with_its_end_and_what_the_tool_says_is_not(name: str, material: Path) -> None:
    masked, end = real(name, material)
    first, second = runs(masked, conversation())
    assert "weather" in first
    assert '{"city": "Bern"}' in first
    assert first.endswith(end)
    assert first.count(end) == 1
    assert second.endswith(f"Yes, it rains.{end}")


@pytest.mark.material
@pytest.mark.parametrize("name", CALLS)
def test_the_tools_are_in_the_prompt(name: str, material: Path) -> None:
    masked, _ = real(name, material)
    prompt = masked.tokenizer.decode(masked.prompt_ids(conversation()[:1], TOOLS))
    assert '"properties"' in prompt
    assert masked.mask(conversation(), TOOLS).ids.tolist()[: len(masked.prompt_ids(conversation()[:1], TOOLS))] == masked.prompt_ids(
        conversation()[:1], TOOLS
    )


@pytest.mark.material
@pytest.mark.parametrize("name", ["HuggingFaceTB-SmolLM3-3B", "microsoft-Phi-3.5-mini-instruct"])
def test_a_template_that_leaves_calls_out_is_refused(name: str, material: Path) -> None:
    masked, _ = real(name, material)
    with pytest.raises(NotTrainable, match="leaves out the calls of tools"):
        masked.mask(conversation(), TOOLS)


def test_a_template_that_leaves_a_tool_s_answer_out_is_refused() -> None:
    silent = TEMPLATE.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'tool' %}")
    asked, _, result, answer = conversation()
    with pytest.raises(NotTrainable, match="leaves out what a tool has answered"):
        masker(silent, SPECIAL, eos="<|end|>").mask([asked, Message(role="assistant", content="I look."), result, answer])


@pytest.mark.parametrize("arguments", ['{"city": "Bern"}', "{}", "", '{"a": {"b": [1, "<|end|>"]}}', "no object"])
def test_hone_s_plain_template_writes_calls_and_tools(arguments: str) -> None:
    masked = masker(PLAIN_TEMPLATE, ["<s>", "</s>"], eos="</s>", bos="<s>")
    first, second = runs(masked, conversation(arguments))
    assert first.startswith('{"tool_call": {"name": "weather", "arguments": ')
    assert first.endswith("}}</s>" if arguments != "no object" else '"}}</s>')
    assert second == "Yes, it rains.</s>"
    assert "Tools:\n{" in masked.mask(conversation(), TOOLS).text


UNMARKED_CALLS = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>"
    "{% endfor %}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.mark.parametrize("arguments", ['{"city": "Bern"}', "{}", '{"a": "<|end|>"}', '{"a": {"b": [1, 2]}}', "no object"])
def test_the_end_of_a_call_is_found_behind_all_it_says(arguments: str) -> None:
    masked = masker(UNMARKED_CALLS, [*SPECIAL, "<call>", "</call>"], eos="<|end|>")
    first, second = runs(masked, conversation(arguments))
    assert first.startswith("<call>")
    assert first.endswith("}</call><|end|>")
    assert second == "Yes, it rains.<|end|>"


def test_a_call_without_an_end_of_its_own_is_refused() -> None:
    endless = UNMARKED_CALLS.replace("{% endfor %}<|end|>", "{% endfor %}{{ '' if m.tool_calls else '<|end|>' }}")
    with pytest.raises(NotTrainable, match="never learn to stop") as refused:
        masker(endless, SPECIAL, eos="<|end|>").mask(conversation())
    assert refused.value.code == "never_stops"


@pytest.mark.parametrize("template", [TEMPLATE, UNMARKED_CALLS], ids=["marked", "unmarked"])
def test_answers_of_weight_0_are_read_and_not_learnt(template: str) -> None:
    masked = masker(template, SPECIAL, eos="<|end|>")
    first, second, third, fourth = chat("a", "b", "c", "d")
    messages = [first, second.model_copy(update={"weight": 0}), third, fourth.model_copy(update={"weight": 1})]
    assert trained_text(masked, messages) == ["d<|end|>"]
    assert begins_with_its_prompt(masked, messages)


def test_a_text_is_learnt_whole_with_an_end() -> None:
    masked = masker(TEMPLATE, SPECIAL, eos="<|endoftext|>").mask([Message(role="text", content="Once upon a time")])
    assert masked.trained.all()
    assert masked.text == "Once upon a time"
    assert masked.ids[-1] == make_tokenizer().convert_tokens_to_ids("<|endoftext|>")


def test_a_text_needs_a_token_to_end_with() -> None:
    tokenizer = make_tokenizer(["<|end|>"], eos=None)
    with pytest.raises(NotTrainable, match="where a text ends"):
        Masker(tokenizer, chat_template(tokenizer)).mask([Message(role="text", content="a")])


BEGINS_THE_NEXT = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
FAULTY = {
    "nothing behind an answer": (BEGINS_THE_NEXT, "never_stops"),
    "another model's mark": (BEGINS_THE_NEXT.replace("{{ m.content }}", "{{ m.content }}<|im_end|>"), "other_template"),
    "marks around everybody": (TEMPLATE.replace("{% if m['role'] == 'assistant' %}", "{% if true %}"), "trained_prompt"),
    "marks around nothing": (TEMPLATE.replace("{{ m['content'] }}<|end|>{% endg", "{% endg", 1), "no_trained_tokens"),
}


@pytest.mark.parametrize(("template", "code"), FAULTY.values(), ids=FAULTY)
@pytest.mark.parametrize("turns", [("a", "b"), ("a", "b", "c", "d")], ids=["one answer", "two answers"])
def test_a_template_that_would_train_something_else_is_refused_by_name(template: str, code: str, turns: tuple[str, ...]) -> None:
    with pytest.raises(NotTrainable) as refused:
        masker(template, SPECIAL, eos="<|end|>").mask(chat(*turns))
    assert refused.value.code == code
