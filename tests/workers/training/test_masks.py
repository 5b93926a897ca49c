"""What is trained: answers and their end-of-turn tokens, whatever the template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.domain.datasets import Message, Split, row_hash
from tests.workers.training.tiny import TEMPLATE, chat, make_tokenizer
from workers.training.masks import Masker
from workers.training.prepare import prepare
from workers.training.rows import Row
from workers.training.templates import chat_template
from workers.training.turns import NotTrainable

Words = tuple[list[str], str, str | None, str]
"""A tokenizer's special tokens, its end of sequence, its beginning, and what ends a turn."""
WORDS: dict[str, Words] = {
    "google-gemma-2-2b-it": (["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], "<eos>", "<bos>", "<end_of_turn>"),
    "HuggingFaceTB-SmolLM3-3B": (["<|im_start|>", "<|im_end|>", "<think>", "</think>"], "<|im_end|>", None, "<|im_end|>"),
    "meta-llama-Llama-3.2-3B-Instruct": (
        ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
        "<|eot_id|>",
        "<|begin_of_text|>",
        "<|eot_id|>",
    ),
    "mistralai-Ministral-3-14B-Reasoning-2512": (
        ["<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"],
        "</s>",
        "<s>",
        "</s>",
    ),
    "Qwen-Qwen3-0.6B": (["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"], "<|im_end|>", None, "<|im_end|>"),
    "microsoft-Phi-3.5-mini-instruct": (
        ["<s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
        "<|endoftext|>",
        "<s>",
        "<|end|>",
    ),
}


def real_masker(name: str, material: Path) -> tuple[Masker, str]:
    special, eos, bos, end_of_turn = WORDS[name]
    template = (material / "chat_templates" / f"{name}.jinja").read_text()
    return masker(template, special, eos=eos, bos=bos), end_of_turn


def masker(template: str | None, special: Sequence[str], *, eos: str | None, bos: str | None = None) -> Masker:
    tokenizer = make_tokenizer(special, eos=eos, bos=bos, template=template)
    return Masker(tokenizer, chat_template(tokenizer))


def trained_text(masker: Masker, messages: Sequence[Message]) -> list[str]:
    """Return the runs of trained tokens, as text."""
    masked = masker.mask(messages)
    runs: list[list[int]] = []
    open_run = False
    for token, trained in zip(masked.ids.tolist(), masked.trained.tolist(), strict=True):
        if trained and not open_run:
            runs.append([])
        if trained:
            runs[-1].append(token)
        open_run = trained
    return [str(masker.tokenizer.decode(run)) for run in runs]


def begins_with_its_prompt(masker: Masker, messages: Sequence[Message]) -> bool:
    masked = masker.mask(messages)
    prompt = masker.prompt_ids(messages[:-1])
    return masked.ids[: len(prompt)].tolist() == prompt and bool(masked.trained[len(prompt)]) and not masked.trained[len(prompt) - 1]


@pytest.mark.material
@pytest.mark.parametrize("name", WORDS)
def test_a_real_template_trains_the_answer_and_its_end(name: str, material: Path) -> None:
    masker, end = real_masker(name, material)
    (run,) = trained_text(masker, chat("Which colour?", "blue"))
    assert run.removeprefix("<think>\n\n</think>\n\n") == f"blue{end}"
    assert begins_with_its_prompt(masker, chat("Which colour?", "blue"))


@pytest.mark.material
@pytest.mark.parametrize("name", WORDS)
def test_a_real_template_trains_every_turn_of_the_assistant(name: str, material: Path) -> None:
    masker, end = real_masker(name, material)
    runs = trained_text(masker, chat("user: think?", "think", "And\n now?", " assistant \n\nthen "))
    cleaned = [run.removeprefix("<think>\n\n</think>\n\n") for run in runs]
    assert [run.removesuffix(end).strip() for run in cleaned] == ["think", "assistant \n\nthen"]
    assert all(run.endswith(end) for run in runs)


@pytest.mark.material
def test_a_template_that_refuses_system_prompts_says_so(material: Path) -> None:
    masker, _ = real_masker("google-gemma-2-2b-it", material)
    with pytest.raises(NotTrainable, match="System role not supported"):
        masker.mask(chat("Which colour?", "blue", system="Be brief."))


@pytest.mark.material
@pytest.mark.parametrize("name", ["meta-llama-Llama-3.2-3B-Instruct", "mistralai-Ministral-3-14B-Reasoning-2512"])
def test_the_first_token_of_a_text_is_not_doubled(name: str, material: Path) -> None:
    masker, _ = real_masker(name, material)
    bos = WORDS[name][2]
    assert masker.tokenizer.decode(masker.mask(chat("Hi", "Hello")).ids.tolist()).count(str(bos)) == 1


def test_marks_of_the_template_are_followed_for_all_turns() -> None:
    masked = masker(TEMPLATE, ["<|end|>", "<|user|>", "<|assistant|>"], eos="<|end|>")
    assert trained_text(masked, chat("a", "b", "c", "d")) == ["b<|end|>", "d<|end|>"]


def test_an_end_of_turn_token_outside_the_marks_is_trained_too() -> None:
    outside = TEMPLATE.replace("<|end|>{% endgeneration %}", "{% endgeneration %}<|end|>")
    assert outside != TEMPLATE
    masked = masker(outside, ["<|end|>", "<|user|>", "<|assistant|>"], eos="<|end|>")
    assert trained_text(masked, chat("a", "b")) == ["b<|end|>"]


def test_the_template_of_another_model_is_refused() -> None:
    with pytest.raises(NotTrainable, match="no token that the tokenizer knows"):
        masker(TEMPLATE, ["</s>"], eos="</s>").mask(chat("a", "b"))


def test_a_template_that_rewrites_the_prompt_is_refused() -> None:
    rewriting = "{{ messages | length }}{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    with pytest.raises(NotTrainable, match="differently"):
        masker(rewriting, ["</s>"], eos="</s>").mask(chat("a", "b"))


def test_a_template_that_changes_answers_is_refused() -> None:
    shouting = "{% for m in messages %}{{ m.content[:3] }}</s>{% endfor %}"
    with pytest.raises(NotTrainable, match="changes the text of an answer"):
        masker(shouting, ["</s>"], eos="</s>").mask(chat("a", "a long answer"))


def test_the_default_template_ends_answers_with_the_end_of_sequence_token() -> None:
    masked = masker(None, ["<s>", "</s>"], eos="</s>", bos="<s>")
    assert trained_text(masked, chat("a", "b", "c", "\n d")) == ["b</s>", "\n d</s>"]
    assert str(masked.tokenizer.decode(masked.mask(chat("a", "b")).ids.tolist())).startswith("<s>User:\na\n\nAssistant:\nb</s>")


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SAID = "{{ m.content }}<|im_end|>"
MARKED = CHATML.replace(
    SAID, f"{{% if m.role == 'assistant' %}}{{% generation %}}{SAID}{{% endgeneration %}}{{% else %}}{SAID}{{% endif %}}"
)
NEWLINE_INSIDE = MARKED.replace("<|im_end|>{% endgeneration %}", "<|im_end|>\n{% endgeneration %}")
END_OUTSIDE = MARKED.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
FORMS = {"unmarked": CHATML, "marked": MARKED, "newline inside": NEWLINE_INSIDE, "end outside": END_OUTSIDE}


@pytest.mark.parametrize("template", FORMS.values(), ids=FORMS)
def test_an_answer_that_ends_in_a_token_is_still_ended(template: str) -> None:
    masked = masker(template, ["<|im_start|>", "<|im_end|>", "</tool_call>"], eos="<|im_end|>")
    runs = trained_text(masked, chat("a", "x</tool_call>", "b", "y<|im_end|>", "c", "z"))
    assert runs == ["x</tool_call><|im_end|>", "y<|im_end|><|im_end|>", "z<|im_end|>"]


def newline_masker() -> Masker:
    """Return a masker whose tokenizer joins newlines."""
    tokenizer = make_tokenizer(["</s>"], eos="</s>", template=None, texts=["\n\n\n \n\n\n"] * 9)
    return Masker(tokenizer, chat_template(tokenizer))


@pytest.mark.parametrize("turns", [("a", "\n\n  indented"), ("a", "b", "c", "\n\n  indented")])
def test_where_a_token_would_straddle_a_border_prompt_and_answer_are_tokenised_apart(turns: tuple[str, ...]) -> None:
    masked = newline_masker()
    messages = chat(*turns)
    assert begins_with_its_prompt(masked, messages)
    assert trained_text(masked, messages) == [f"{answer}</s>" for answer in turns[1::2]]
    assert not masked.mask(messages).borders_differ


def test_borders_that_cannot_all_be_put_right_are_noted() -> None:
    masked = newline_masker()
    assert not masked.mask(chat("a", "b", "c", "d")).borders_differ
    # The first answer wants to stand apart from its prompt; the second one's prompt, tokenised in one go, joins them.
    awkward = chat("a", "\n\nb", "c", "d")
    assert masked.mask(awkward).borders_differ
    row = Row(awkward, row_hash(awkward), Split.TRAIN, 1)
    assert prepare([row, row], masked, 99, check=lambda: None).borders_differ == 2
