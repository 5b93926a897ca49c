"""Full tuning: every weight learns, nothing is lost between two bf16 numbers, and a model of its own comes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
)

from app.domain.cards import CHAT_TEMPLATE, Lineage
from app.domain.events import Started
from app.domain.results import LINEAGE, result_files
from tests.workers.training import families
from tests.workers.training.conftest import Train
from tests.workers.training.test_loss import VOCABULARY, reference, some_rows
from tests.workers.training.tiny import TEMPLATE, curve, last, make_model
from workers.training import loss as loss_module
from workers.training.batches import Layout, lay_out
from workers.training.checkpoints import Checkpoints
from workers.training.layouts import choose_layout
from workers.training.loss import TrainedTokenLoss
from workers.training.state import RANDOM
from workers.training.templates import ChatTemplate
from workers.training.whole_model import MASTERS, MasterWeights, open_up, write_model

WEIGHTS = "model.safetensors"
FULL: dict[str, Any] = {"tuning": "full", "max_steps": 6, "checkpoint_every_steps": 3, "learning_rate": 0.003}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_and_goes_on_exactly_where_it_stood(train_here: Train, tmp_path: Path, precision: str) -> None:
    code, events = train_here(precision=precision, **FULL)
    assert code == 0, last(events).reason
    losses = curve(events)
    assert losses[6] < losses[1] - 0.5
    out = tmp_path / "out"
    whole = (out / "adapter" / WEIGHTS).read_bytes()
    assert (out / "checkpoints" / "6-t0" / MASTERS).is_file() == (precision == "bf16")
    shutil.rmtree(out / "checkpoints" / "6-t0")
    shutil.rmtree(out / "adapter")
    _, both = train_here(precision=precision, **FULL)
    again = both[len(events) :]
    assert next(event for event in again if isinstance(event, Started)).step == 3
    assert curve(again) == {step: loss for step, loss in losses.items() if step > 3}
    assert (out / "adapter" / WEIGHTS).read_bytes() == whole


def test_the_model_loads_by_itself_and_says_where_it_comes_from(train_here: Train, base: Path, tmp_path: Path) -> None:
    _, events = train_here(**FULL)
    folder = tmp_path / "out" / "adapter"
    assert sorted(result_files([path.name for path in folder.iterdir()])) == [
        CHAT_TEMPLATE, "config.json", "generation_config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    tuned, plain = (AutoModelForCausalLM.from_pretrained(place) for place in (folder, base))
    assert AutoTokenizer.from_pretrained(folder).chat_template == TEMPLATE
    moved = [name for name, weight in tuned.named_parameters() if not torch.equal(weight, plain.get_parameter(name))]
    assert len(moved) == len(list(plain.parameters()))
    told = (folder / "README.md").read_text() + (folder / LINEAGE).read_text() + (folder / "config.json").read_text()
    assert str(base.parent) not in told
    assert json.loads((folder / LINEAGE).read_text())["base_model"] == base.name
    started = next(event for event in events if isinstance(event, Started))
    assert started.data["trainable_parameters"] == started.data["total_parameters"]
    assert "with full tuning" in started.message


def test_the_model_says_what_the_trainer_measured_last(train_here: Train, rows: Path, tmp_path: Path) -> None:
    _, events = train_here(**FULL)
    checked = curve(events, "eval/loss")[6]
    shutil.copytree(tmp_path / "out" / "adapter", tmp_path / "tuned")
    _, after = train_here(base=tmp_path / "tuned", out="again", max_steps=1, tuning="lora")
    assert curve(after, "eval/loss")[0] == pytest.approx(checked, rel=1e-6)


def test_a_base_without_a_template_gets_the_plain_one_that_it_was_trained_with(train_here: Train, tmp_path: Path) -> None:
    bare = make_model(tmp_path / "bare", template=None)
    code, events = train_here(base=bare, **FULL | {"max_steps": 1})
    assert code == 0, last(events).reason
    told = AutoTokenizer.from_pretrained(tmp_path / "out" / "adapter").chat_template
    assert told == (tmp_path / "out" / "adapter" / CHAT_TEMPLATE).read_text()
    assert "assistant" in told


def halved() -> tuple[LlamaForCausalLM, MasterWeights]:
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    model = LlamaForCausalLM(config)
    model.bfloat16()
    masters = open_up(model)
    assert masters is not None
    return model, masters


def test_steps_smaller_than_the_distance_of_two_bf16_numbers_are_not_lost() -> None:
    model, masters = halved()
    optimiser = torch.optim.SGD(masters.weights, lr=1e-6)
    masters.lead(optimiser)
    weight = model.model.norm.weight  # all ones, so one step is far below the next bf16 number
    before = weight.detach().clone()
    for _ in range(3000):
        for master in masters.weights:
            master.grad = torch.ones_like(master)
        optimiser.step()
        if not torch.equal(weight, before):
            break
    assert torch.equal(weight, torch.full_like(weight, 1 - 2**-8))


def test_gradients_of_several_packs_add_up_in_float32() -> None:
    model, masters = halved()
    for _ in range(300):
        (model.model.norm.weight.sum() + model.lm_head.weight.sum()).backward()
    norm = masters.weights[[name for name, _ in model.named_parameters()].index("model.norm.weight")]
    assert norm.grad is not None
    assert torch.equal(norm.grad, torch.full((16,), 300.0))  # bf16 would stop at 256
    assert all(weight.grad is None for weight in model.parameters())


def test_a_gradient_that_found_no_room_is_not_counted_when_the_step_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, masters = halved()

    def no_room(_tensor: torch.Tensor) -> torch.Tensor:
        message = "CUDA out of memory. Tried to allocate 2.00 GiB."
        raise torch.OutOfMemoryError(message)

    with monkeypatch.context() as short:
        short.setattr(torch.Tensor, "float", no_room)
        with pytest.raises(torch.OutOfMemoryError):
            model.model.norm.weight.sum().backward()
    model.model.norm.weight.sum().backward()
    norm = masters.weights[[name for name, _ in model.named_parameters()].index("model.norm.weight")]
    assert norm.grad is not None
    assert torch.equal(norm.grad, torch.ones(16))


SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "pad_token_id": None, "bos_token_id": None, "eos_token_id": 1,
}  # fmt: skip
FAMILIES: dict[str, tuple[Any, Any]] = {
    "tied head": (LlamaForCausalLM, LlamaConfig(**SMALL, num_key_value_heads=2, tie_word_embeddings=True)),
    "scaled logits": (GraniteForCausalLM, GraniteConfig(**SMALL, num_key_value_heads=2, logits_scaling=3.0)),
    "head with a bias": (PhiForCausalLM, PhiConfig(**SMALL, num_key_value_heads=4)),
    "logits bent by a tanh": (
        Gemma2ForCausalLM,
        Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=16, final_logit_softcapping=5.0, attn_logit_softcapping=None),
    ),
}


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_weight_gets_the_textbook_s_gradient_and_the_head_too(
    family: tuple[Any, Any], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", 1)
    monkeypatch.setattr(loss_module, "LEAST_CHUNK", 3)
    torch.manual_seed(0)
    model = family[0](family[1]).eval()
    rows = some_rows(5)
    reference(model, rows).backward()
    expected = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    open_up(model)
    measured = TrainedTokenLoss(model)
    choose_layout(measured)
    batches = lay_out(rows, layout, token_budget=80, size=None)
    for batch in batches:
        (measured.summed(batch) / sum(len(each.targets) for each in batches)).backward()
    for name, wanted in expected.items():
        found = model.get_parameter(name).grad
        assert float((found - wanted).norm() / wanted.norm().clamp(min=1e-4)) < 1e-5, name


@pytest.mark.parametrize(
    "settings", [{"precision": "fp32"}, {"precision": "bf16"}, {"tuning": "lora", "rank": 64}, {"optimiser": "adamw_8bit"}], ids=str
)
def test_the_room_that_is_looked_for_is_what_a_checkpoint_takes(
    train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    wanted = []
    save = Checkpoints.save

    def noted(self: Checkpoints, *given: Any, expected: int = 0) -> Path:
        wanted.append(expected)
        return save(self, *given, expected=expected)

    monkeypatch.setattr(Checkpoints, "save", noted)
    train_here(**FULL | {"max_steps": 1} | settings)
    held = [path.stat().st_size for path in (tmp_path / "out" / "checkpoints" / "1-t0").glob("*.safetensors") if path.name != RANDOM]
    assert wanted[0] == pytest.approx(sum(held), rel=0.1)


@pytest.mark.parametrize("name", ["gpt-oss", "qwen3-moe", "gemma3", "gpt2"])
def test_experts_and_other_shapes_come_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    base = next(family for family in families.FAMILIES if family.name == name).write(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).eval()
    open_up(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    (tmp_path / "tuned").mkdir()
    write_model(tmp_path / "tuned", model, Lineage("b", "r", "d", 1, 1, "full", 1, {}), ChatTemplate("", {}, "tokenizer"), base)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned").eval()
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)
