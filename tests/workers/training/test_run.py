"""Whole runs on a tiny model: what is reported, what is written, what is refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM

from app.domain.datasets import Message
from app.domain.events import Checkpoint, Metric, Sample, Started
from app.domain.tracking import configuration_of
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import CONTEXT, TEMPLATE, curve, last, make_model, make_tokenizer, notices, write_rows
from workers.training import loop
from workers.training.evaluate import HeldOut
from workers.training.templates import chat_template
from workers.training.tokenizer import load_tokenizer


def write_long_rows(path: Path) -> Path:
    """Write rows whose prompts alone are longer than 200 tokens."""
    turns = [(f"{number}" + "x" * 200, "y") for number in range(12)]
    lines = [{"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]} for ask, answer in turns]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_a_run_learns_and_reports_every_step(train_here: Train) -> None:
    code, events = train_here(max_steps=60, eval_every_steps=20, learning_rate=0.01)
    assert (code, last(events).status) == (0, "succeeded")
    losses = curve(events)
    assert sorted(losses) == list(range(1, 61))
    assert losses[60] < losses[1] / 2
    assert sorted(curve(events, "eval/loss")) == sorted(curve(events, "eval/exact_match")) == [0, 20, 40, 60]
    assert curve(events, "eval/exact_match")[60] > curve(events, "eval/exact_match")[0]
    for name in ("train/learning_rate", "train/grad_norm", "train/tokens_per_second"):
        assert sorted(curve(events, name)) == list(range(1, 61))
    assert max(curve(events, "memory/peak_bytes").values()) > 10**7
    held = curve(events, "memory/bytes")
    assert min(held) == 1
    assert max(held) == 60
    total = next(event for event in events if isinstance(event, Started)).data["memory_total_bytes"]
    assert all(10**7 < taken < total for taken in held.values())


def test_the_started_event_says_what_was_chosen_and_why(train_here: Train) -> None:
    _, events = train_here(max_steps=1)
    started = next(event for event in events if isinstance(event, Started))
    expected = {"device": "cpu", "precision": "fp32", "precision_reason": "the spec says so", "template": "tokenizer", "total_steps": 1}
    assert started.data.items() >= expected.items()
    assert started.data["rows"] + started.data["held_out_rows"] == 60
    assert 0 < started.data["trainable_parameters"] < started.data["total_parameters"]
    assert started.data["settings"]["alpha"] == 8


def test_the_adapter_loads_with_plain_peft_and_changes_what_the_base_says(train_here: Train, base: Path, tmp_path: Path) -> None:
    train_here()
    folder = tmp_path / "out" / "adapter"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base.name
    assert config["revision"].startswith("sha256:")
    assert str(base.parent) not in (folder / "README.md").read_text() + (folder / "adapter_config.json").read_text()
    plain = AutoModelForCausalLM.from_pretrained(base)
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert not torch.equal(plain(ids).logits, tuned(ids).logits)


def test_the_adapter_s_card_names_its_lineage(train_here: Train, tmp_path: Path) -> None:
    train_here()
    card = (tmp_path / "out" / "adapter" / "README.md").read_text()
    for word in ("library_name: peft", '"base_model:adapter:tiny-base"', "rows.jsonl", "PeftModel.from_pretrained", "held-out"):
        assert word in card


def test_ones_own_prompts_are_asked_and_not_told_to_others(train_here: Train, tmp_path: Path) -> None:
    _, events = train_here(max_steps=1, sample_prompts=["Who is Ada Lovelace?"])
    assert [event.prompt[-1].content for event in events if isinstance(event, Sample) and event.origin == "own"] == [
        "Who is Ada Lovelace?"
    ] * 2
    assert "Lovelace" not in (tmp_path / "out" / "adapter" / "README.md").read_text()
    started = next(event for event in events if isinstance(event, Started))
    assert "max_steps" in (configuration := configuration_of(started))
    assert "sample_prompts" not in configuration


def test_two_checkpoints_are_kept_and_reported_once_they_are_whole(train_here: Train, tmp_path: Path) -> None:
    _, events = train_here(max_steps=7, checkpoint_every_steps=2)
    assert [event.path for event in events if isinstance(event, Checkpoint)] == [f"checkpoints/{step}-t0" for step in (2, 4, 6, 7)]
    kept = {folder.name for folder in (tmp_path / "out" / "checkpoints").iterdir() if folder.name != ".staging"}
    assert kept == {"6-t0", "7-t0"}
    suffixes = {file.suffix for file in (tmp_path / "out" / "checkpoints" / "7-t0").iterdir()}
    assert suffixes == {".safetensors", ".json", ".md"}


def test_time_makes_a_checkpoint_due(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MOST_CHECKPOINT_SECONDS", 0.0)
    _, events = train_here(max_steps=3)
    assert [event.step for event in events if isinstance(event, Checkpoint)] == [1, 2, 3]


@pytest.mark.parametrize(("saving", "between"), [(0.1, 120.0), (10.0, 200.0), (60.0, 300.0)])
def test_where_saving_takes_long_checkpoints_come_less_often_but_every_five_minutes(saving: float, between: float) -> None:
    assert loop.checkpoint_seconds(saving) == between


def test_the_number_of_steps_follows_from_rows_and_epochs(train_here: Train) -> None:
    _, events = train_here(max_steps=None, epochs=0.5, batch_size=7)
    started = next(event for event in events if isinstance(event, Started))
    assert max(curve(events)) == started.total_steps == math.ceil(started.data["rows"] * 0.5 / 7)


def test_a_run_goes_on_from_the_newest_checkpoint_that_verifies(train_here: Train, tmp_path: Path) -> None:
    _, whole = train_here(max_steps=8, checkpoint_every_steps=3, out="whole")
    checkpoints = tmp_path / "whole" / "checkpoints"
    weights = checkpoints / "8-t0" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (checkpoints / "9-t0").mkdir()
    _, again = train_here(max_steps=8, checkpoint_every_steps=3, out="whole")
    fresh = again[len(whole) :]
    assert next(event for event in fresh if isinstance(event, Started)).step == 6
    assert curve(fresh) == {step: loss for step, loss in curve(whole).items() if step > 6}


def test_a_finished_run_started_again_only_writes_its_adapter(train_here: Train, tmp_path: Path) -> None:
    _, first = train_here()
    shutil.rmtree(tmp_path / "out" / "adapter")
    code, both = train_here()
    assert code == 0
    assert not curve(both[len(first) :])
    assert (tmp_path / "out" / "adapter" / "README.md").is_file()


def test_a_run_goes_on_with_the_settings_that_its_first_attempt_decided(train_here: Train) -> None:
    _, first = train_here(learning_rate="auto", max_steps=2)
    started = next(event for event in first if isinstance(event, Started))
    assert started.data["settings"]["learning_rate"] == 2e-3
    code, both = train_here(**started.data["settings"])
    assert code == 0, last(both).reason
    assert not curve(both[len(first) :])


def test_a_run_keeps_the_precision_it_began_with(train_here: Train) -> None:
    _, first = train_here(max_steps=2, precision="fp32")
    code, both = train_here(max_steps=2, precision="bf16")
    started = next(event for event in both[len(first) :] if isinstance(event, Started))
    assert (code, started.data["precision"]) == (0, "fp32")


def test_checkpoints_of_another_spec_are_not_taken_up(train_here: Train) -> None:
    train_here()
    code, events = train_here(learning_rate=1e-3)
    assert (code, last(events).code) == (1, "checkpoint_of_another_run")


def test_answers_beyond_max_length_are_a_failure_that_names_the_setting(train_here: Train, tmp_path: Path) -> None:
    code, events = train_here(rows=write_long_rows(tmp_path / "long.jsonl"), max_length=16)
    assert (code, last(events).code) == (1, "answers_cut")
    assert "max_length" in last(events).reason


def test_rows_without_a_trained_token_keep_their_place_and_leave_the_weights_alone(train_here: Train, tmp_path: Path) -> None:
    lines = write_rows(tmp_path / "some.jsonl", 24).read_text().splitlines()
    long = write_long_rows(tmp_path / "long.jsonl").read_text().splitlines()
    (tmp_path / "mixed.jsonl").write_text("\n".join(lines + long))
    code, events = train_here(rows=tmp_path / "mixed.jsonl", max_steps=None, epochs=1, batch_size=1, max_length=64)
    started = next(event for event in events if isinstance(event, Started))
    assert code == 0
    assert started.data["untrained_rows"] >= 8
    assert len(curve(events, "train/learning_rate")) == started.data["rows"] == started.total_steps
    # A step without a loss has none, rather than a perfect one.
    assert len(curve(events)) == started.total_steps - started.data["untrained_rows"]
    assert min(curve(events).values()) > 0
    assert "longer than max_length" in notices(events)


def test_an_empty_dataset_is_a_clear_failure(train_here: Train, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    code, events = train_here(rows=tmp_path / "empty.jsonl")
    assert code == 1
    assert "empty" in last(events).reason


def test_max_length_is_clamped_to_what_the_base_reads(train_here: Train) -> None:
    _, events = train_here(max_length=1024)
    assert f"reads {CONTEXT} tokens at most" in notices(events)


def test_one_distinct_row_trains_without_a_check(train_here: Train, tmp_path: Path) -> None:
    code, events = train_here(rows=write_rows(tmp_path / "one.jsonl", 1), max_steps=2)
    assert code == 0
    assert not curve(events, "eval/loss")
    assert "no held-out rows" in notices(events)


def test_a_checkpoint_comes_before_a_check_that_may_take_long(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    true_check = HeldOut.check

    def killed(self: HeldOut, *given: Any, **named: Any) -> dict[str, float]:
        if killed.calls:  # type: ignore[attr-defined]
            raise OSError("cut short")
        killed.calls += 1  # type: ignore[attr-defined]
        return true_check(self, *given, **named)

    killed.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(HeldOut, "check", killed)
    code, cut = train_here(max_steps=6, eval_every_steps=3, checkpoint_every_steps=3)
    assert code == 1
    monkeypatch.setattr(HeldOut, "check", true_check)
    _, both = train_here(max_steps=6, eval_every_steps=3, checkpoint_every_steps=3)
    again = both[len(cut) :]
    assert sorted(curve(again)) == [4, 5, 6]
    assert sorted(curve(again, "eval/loss")) == [3, 6]


def test_a_base_without_a_cache_is_refused_in_a_sentence(train_here: Train, tmp_path: Path) -> None:
    folder = tmp_path / "mamba"
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    config = MambaConfig(vocab_size=len(tokenizer), hidden_size=32, state_size=4, num_hidden_layers=1)
    MambaForCausalLM(config).save_pretrained(folder)
    code, events = train_here(base=folder)
    assert (code, last(events).code) == (1, "unknown_architecture"), last(events).reason
    assert "cache" in last(events).reason


def test_rows_are_cut_where_a_base_of_another_family_ends(train_here: Train, tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=64, bos_token_id=None, eos_token_id=None)
    GPT2LMHeadModel(config).save_pretrained(folder)
    assert '"n_positions": 64' in (folder / "config.json").read_text()
    code, events = train_here(base=folder, max_steps=1)
    assert code == 0, last(events).reason
    assert "reads 64 tokens at most" in notices(events)


def test_a_pickled_base_is_refused_before_it_is_touched(train_here: Train, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    code, events = train_here(base=folder)
    assert (code, last(events).code) == (1, "unsafe_format")


@pytest.mark.material
def test_a_real_foreign_base_without_a_template_trains(train_here: Train, material: Path) -> None:
    code, events = train_here(base=material / "models" / "stories260k", max_steps=10, precision="auto", eval_every_steps=5)
    assert code == 0, last(events).reason
    assert "no chat template" in notices(events)
    losses = curve(events, "eval/loss")
    assert losses[10] < losses[0]


@pytest.mark.parametrize("hidden", [64, 96])
def test_qlora_follows_lora(hidden: int, train_here: Train, tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", hidden=hidden, spread=0.05)  # near enough to a trained model's weights
    _, plain = train_here(base=base, out="lora", max_steps=12, eval_every_steps=4)
    code, four_bit = train_here(base=base, out="qlora", max_steps=12, eval_every_steps=4, tuning="qlora", precision="bf16")
    assert code == 0, last(four_bit).reason
    started = next(event for event in four_bit if isinstance(event, Started))
    assert started.data["nf4_share"] >= 0.8
    expected, found = curve(plain, "eval/loss"), curve(four_bit, "eval/loss")
    assert expected[12] < 0.9 * expected[0]
    for step, loss in expected.items():
        assert abs(found[step] - loss) <= max(0.05 * loss, 0.03)


def test_a_run_with_the_plain_template_leaves_it_with_its_adapter(train_here: Train, base: Path, tmp_path: Path) -> None:
    code, events = train_here(max_steps=2, chat_template="plain")
    adapter = tmp_path / "out" / "adapter"
    assert code == 0, last(events).reason
    assert next(event for event in events if isinstance(event, Started)).data["template"] == "plain"
    tokenizer = load_tokenizer(base)
    assert "chat_template.jinja" in (adapter / "README.md").read_text()
    written = (adapter / "chat_template.jinja").read_text()
    asked = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "blue"}]
    ours = chat_template(tokenizer, "plain").render([Message.model_validate(turn) for turn in asked])
    assert "generation %" not in written
    assert tokenizer.apply_chat_template(asked, chat_template=written, tokenize=False) == ours


def test_a_run_with_the_base_s_own_template_leaves_none(train_here: Train, tmp_path: Path) -> None:
    train_here(max_steps=1)
    assert not (tmp_path / "out" / "adapter" / "chat_template.jinja").exists()
    assert "chat_template.jinja" not in (tmp_path / "out" / "adapter" / "README.md").read_text()


def test_marks_around_prompts_stop_a_run_before_its_first_step_with_the_fix_that_mends_it(train_here: Train, tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", template=TEMPLATE.replace("{% if m['role'] == 'assistant' %}", "{% if true %}"))
    code, events = train_here(base=base)
    assert (code, last(events).code, curve(events)) == (1, "trained_prompt", {})
    [fault] = last(events).data["faults"]
    [fix] = fault["fixes"]
    code, events = train_here(base=base, out="again", **fix["settings"])
    assert code == 0, last(events).reason


def test_a_run_learns_whole_texts(train_here: Train, tmp_path: Path) -> None:
    lines = (json.dumps({"text": f"{n}: the colour of the sky is blue."}) for n in range(20))
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    code, events = train_here(rows=tmp_path / "texts.jsonl", max_steps=4)
    assert code == 0, last(events).reason
    losses = curve(events)
    assert losses[4] < losses[1]
    assert any(isinstance(event, Metric) and event.name == "eval/loss" for event in events)
