"""The official client against a real server."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3Config, Gemma3ForConditionalGeneration

from tests.workers.conftest import make_adapter, make_base
from tests.workers.inference.conftest import Running

ASKED = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is my order?"}]


def place(base: Path, adapter: Path | None = None) -> dict[str, Any]:
    return {"hone": {"base_dir": str(base), "adapter_dir": str(adapter) if adapter else None}}


def ask(server: Running, base: Path, adapter: Path | None = None, **fields: Any) -> Any:
    given = {"model": "tiny", "messages": ASKED, "temperature": 0, "max_tokens": 24, **fields}
    return server.client.chat.completions.create(**given, extra_body=place(base, adapter))


def said(server: Running, base: Path, adapter: Path | None = None, **fields: Any) -> str:
    text = ask(server, base, adapter, **fields).choices[0].message.content
    assert isinstance(text, str)
    return text


def expected(base: Path, adapter: Path | None = None, tokens: int = 24) -> tuple[str, int]:
    """What transformers' own generate says, and the prompt's length."""
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    prompt = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**prompt, do_sample=False, max_new_tokens=tokens)
    length = prompt["input_ids"].shape[1]
    return tokenizer.decode(out[0, length:], skip_special_tokens=True), length


def test_a_greedy_answer_is_what_transformers_generates(server: Running, tiny_base: Path) -> None:
    text, prompt_tokens = expected(tiny_base)
    answer = ask(server, tiny_base)
    assert answer.choices[0].message.content == text
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        prompt_tokens,
        24,
        prompt_tokens + 24,
    )
    assert answer.model == "tiny"


def test_an_adapter_answers_as_in_peft_and_the_base_is_itself_again(server: Running, tiny_base: Path, tiny_adapter: Path) -> None:
    base, tuned = expected(tiny_base)[0], expected(tiny_base, tiny_adapter)[0]
    assert base != tuned
    assert [said(server, tiny_base, a) for a in (None, tiny_adapter, None, tiny_adapter)] == [base, tuned, base, tuned]
    # Once, however often it was asked; other tests may have left adapters of theirs there.
    assert server.status()["adapters"].count(str(tiny_adapter)) == 1


def test_two_columns_asked_at_once_do_not_mix(server: Running, tiny_base: Path, tiny_adapter: Path) -> None:
    wanted = {None: expected(tiny_base, None, 60)[0], tiny_adapter: expected(tiny_base, tiny_adapter, 60)[0]}
    got: list[tuple[Path | None, str]] = []
    threads = [
        threading.Thread(target=lambda a=adapter: got.append((a, said(server, tiny_base, a, max_tokens=60))))
        for adapter in [*wanted, *wanted]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    assert all(text == wanted[adapter] for adapter, text in got)


def test_an_adapter_trained_anew_in_its_folder_is_loaded_anew(server: Running, tiny_base: Path, tmp_path: Path) -> None:
    folder = make_adapter(tiny_base, tmp_path / "adapter", seed=1)
    before = said(server, tiny_base, folder)
    make_adapter(tiny_base, folder, seed=2)
    assert said(server, tiny_base, folder) == expected(tiny_base, folder)[0] != before


def test_another_base_takes_the_place_of_the_first(server: Running, tiny_base: Path, tmp_path: Path) -> None:
    other = make_base(tmp_path / "other", seed=7)
    assert said(server, other) == expected(other)[0]
    assert server.status()["loaded"] == str(other)
    assert said(server, tiny_base) == expected(tiny_base)[0]
    assert server.status()["loaded"] == str(tiny_base)


def test_a_base_without_a_template_speaks_in_the_plain_one(server: Running, tmp_path: Path) -> None:
    assert ask(server, make_base(tmp_path / "plain", template=None)).usage.prompt_tokens > 0


def test_a_stream_says_the_same_in_pieces_and_counts_in_the_end(server: Running, tiny_base: Path) -> None:
    chunks = list(ask(server, tiny_base, stream=True, stream_options={"include_usage": True}))
    *middle, last = chunks
    assert len({chunk.id for chunk in chunks}) == 1
    assert middle[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in middle) == expected(tiny_base)[0]
    assert [chunk.choices[0].finish_reason for chunk in middle][-2:] == [None, "length"]
    assert all(chunk.usage is None for chunk in middle)
    assert last.choices == []
    assert last.usage.completion_tokens == 24


def test_a_stream_that_was_not_asked_to_count_does_not(server: Running, tiny_base: Path) -> None:
    assert all(chunk.usage is None and chunk.choices for chunk in ask(server, tiny_base, stream=True))


def test_a_stop_string_ends_the_answer_before_it(server: Running, tiny_base: Path) -> None:
    whole = expected(tiny_base)[0]
    stop = whole[9:13]
    answer = ask(server, tiny_base, stop=stop)
    assert answer.choices[0].message.content == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens < 24


@pytest.mark.parametrize("where", ["generation_config.json", "the template"])
def test_an_answer_ends_at_the_end_of_its_turn(server: Running, tiny_base: Path, tmp_path: Path, where: str) -> None:
    """The fourth token of the greedy answer is declared to be the end."""
    base = make_base(tmp_path / "ends")
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    prompt = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    produced = model.generate(**prompt, do_sample=False, max_new_tokens=24)[0, prompt["input_ids"].shape[1] :].tolist()
    if where == "generation_config.json":
        model.generation_config.eos_token_id = [tokenizer.eos_token_id, produced[3]]
        model.save_pretrained(base)
    else:  # the two tokens change places, so the model says <|end|> where it said the other
        end = tokenizer.convert_tokens_to_ids("<|end|>")
        head = model.lm_head.weight.data
        head[[end, produced[3]]] = head[[produced[3], end]]
        model.save_pretrained(base)
    answer = ask(server, base)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == produced.index(produced[3]) + 1


def make_nested_base(folder: Path) -> Path:
    """A base that keeps its language model's configuration inside its own, as models for pictures and text do."""
    size = len(AutoTokenizer.from_pretrained(make_base(folder)))
    sizes: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
    text = {**sizes, "vocab_size": size + 3, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 512, "eos_token_id": 0}
    vision = {**sizes, "image_size": 28, "patch_size": 14}
    pictures: dict[str, Any] = {"vision_config": vision, "mm_tokens_per_image": 4}
    marks: dict[str, Any] = {"boi_token_index": size, "eoi_token_index": size + 1, "image_token_index": size + 2}
    Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, **pictures, **marks)).save_pretrained(folder)
    return folder


def test_a_base_that_can_see_answers_too(server: Running, tmp_path: Path) -> None:
    assert ask(server, make_nested_base(tmp_path / "seeing"), max_tokens=4).choices[0].finish_reason in {"length", "stop"}


def test_the_same_seed_gives_the_same_answers_and_another_gives_others(server: Running, tiny_base: Path) -> None:
    def answers(seed: int) -> list[str]:
        return [c.message.content for c in ask(server, tiny_base, temperature=1.5, top_p=0.95, seed=seed, n=3).choices]

    first = answers(5)
    assert first == answers(5) != answers(6)
    assert len(set(first)) == 3


def test_text_parts_and_developers_are_read_as_text_and_system(server: Running, tiny_base: Path) -> None:
    parts = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Where is my order?"}]}]
    assert said(server, tiny_base, messages=parts) == expected(tiny_base)[0]


def test_an_answer_ends_where_the_context_does(server: Running, tmp_path: Path) -> None:
    answer = ask(server, make_base(tmp_path / "short", context=64), max_tokens=5000)
    assert answer.usage.total_tokens == 64
    assert answer.choices[0].finish_reason == "length"


def test_a_prompt_beyond_the_context_is_refused(server: Running, tiny_base: Path) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(server, tiny_base, messages=[{"role": "user", "content": "order " * 600}])
    assert refused.value.code == "context_length_exceeded"


def test_a_client_that_leaves_stops_its_generation(server: Running, tmp_path: Path) -> None:
    """The next base can only be loaded when nothing is under way on this one."""
    long = make_base(tmp_path / "long", context=200_000)
    stream = ask(server, long, max_tokens=190_000, stream=True)
    next(iter(stream))
    stream.close()
    ask(server, make_base(tmp_path / "next"), max_tokens=2)  # which would have to wait for hours, had it gone on
    assert server.status()["loaded"] == str(tmp_path / "next")


def test_an_adapter_is_asked_with_the_template_it_was_trained_with(
    server: Running, tiny_base: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(tiny_adapter, tmp_path / "own"))
    (own / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}\n{% endfor %}{{ 'A longer opening: ' * 9 }}")

    def prompt_tokens(adapter: Path) -> int:
        return int(ask(server, tiny_base, adapter, max_tokens=1).usage.prompt_tokens)

    before = prompt_tokens(tiny_adapter)
    assert prompt_tokens(own) > before + 50
    assert prompt_tokens(tiny_adapter) == before
