"""The engine's contract: whatever the layout, a step has the loss and the gradient of the textbook's, in every family of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch.nn.attention import flex_attention

from tests.workers.training.engine_side import FEW_TOKENS, engine_model, engine_step, learner
from tests.workers.training.families import FAMILIES, written_once
from tests.workers.training.reference import Step, faults, plain_base, plain_model, reference_step
from tests.workers.training.row_kinds import STEPS
from workers.training import attention, loss, plan
from workers.training.batches import Layout, lay_out
from workers.training.fast import attach, modules
from workers.training.flex import attend_in_blocks
from workers.training.layouts import Chosen, choose_layout
from workers.training.model import LoadedModel

NAMES = [family.name for family in FAMILIES]
PADDED = {family.name for family in FAMILIES if not family.reads_packs}
SHARING = (
    "one_level",
    "three_levels",
    "trained_inside",
    "several_next",
    "identical",
    "one_within_another",
    "beyond_the_window",
    "one_token",
)
"""Steps whose rows begin alike."""


@dataclass(frozen=True)
class Pair:
    """A base as the engine trains it, and as transformers and peft have it."""

    engine: LoadedModel
    chosen: Chosen
    plain: PeftModel
    expected: dict[str, Step]


Pairs = Callable[[str], Pair]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write each family once."""

    return written_once(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="module")
def pairs(folders: Callable[[str], Path]) -> Pairs:
    """Load each family, and make its reference, once."""

    @lru_cache
    def pair(name: str) -> Pair:
        folder = folders(name)
        engine = engine_model(folder)
        plain = plain_model(folder, learner(engine))
        return Pair(engine, choose_layout(engine.loss), plain, {kind: reference_step(plain, rows) for kind, rows in STEPS.items()})

    return pair


def allowed(chosen: Layout) -> list[Layout]:
    """Return the layouts that a model may be trained in: the chosen one, and what is simpler."""
    return list(Layout)[list(Layout).index(chosen) :]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_the_textbook_s_in_every_layout(name: str, pairs: Pairs, shares_all: None) -> None:
    pair = pairs(name)
    wrong = {
        f"{layout}, {kind}": found
        for layout in allowed(pair.chosen.layout)
        for kind, rows in STEPS.items()
        for tokens in (FEW_TOKENS, *([] if layout is Layout.PADDED else [10_000]))
        if (found := faults(engine_step(pair.engine, rows, layout, tokens=tokens), pair.expected[kind]))
    }
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_rows_share_what_they_begin_with_where_the_model_allows_it(name: str, pairs: Pairs) -> None:
    chosen = pairs(name).chosen
    assert chosen.layout is (Layout.PADDED if name in PADDED else Layout.SHARED_PREFIX), chosen.reason
    assert chosen.reason


def test_these_rows_do_share_what_they_begin_with(shares_all: None) -> None:
    for kind, rows in STEPS.items():
        batches = {layout: lay_out(rows, layout, token_budget=10_000) for layout in Layout}
        shared, packed, padded = (sum(batch.computed for batch in batches[layout]) for layout in Layout)
        assert (shared < packed) is (kind in {*SHARING, "without_any"}), kind
        assert packed <= padded


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt-oss"])
def test_a_step_computed_in_small_pieces_is_the_same(name: str, pairs: Pairs, shares_all: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long rows are cut into blocks, their probabilities computed twice, many logits chunk by chunk: here all that with short ones."""
    for constant, value in {"LONG": 6, "SCORES_AT_ONCE": 40, "LEAST_QUERIES": 3}.items():
        monkeypatch.setattr(plan, constant, value)
    monkeypatch.setattr(attention, "KEPT_KEYS", 5)
    monkeypatch.setattr(loss, "CHUNK_LOGITS", 1)
    monkeypatch.setattr(loss, "LEAST_CHUNK", 3)
    pair = pairs(name)
    for kind, rows in STEPS.items():
        assert not faults(engine_step(pair.engine, rows, Layout.SHARED_PREFIX, tokens=10_000), pair.expected[kind]), kind


def test_a_step_that_shares_only_where_it_pays_is_the_same(pairs: Pairs) -> None:
    pair = pairs("llama")
    for kind, rows in STEPS.items():
        assert not faults(engine_step(pair.engine, rows, Layout.SHARED_PREFIX, tokens=10_000), pair.expected[kind]), kind


@pytest.mark.parametrize("name", NAMES)
def test_full_tuning_has_the_textbook_s_step_too(name: str, folders: Callable[[str], Path], shares_all: None) -> None:
    engine, plain = engine_model(folders(name), tuning="full"), plain_base(folders(name), dtype=torch.float32)
    chosen = choose_layout(engine.loss)
    for kind in ("plain", "three_levels", "trained_inside"):
        expected = reference_step(plain, STEPS[kind])
        for layout in allowed(chosen.layout):
            assert not faults(engine_step(engine, STEPS[kind], layout), expected), (layout, kind)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt-oss"])
def test_the_attention_of_a_gpu_has_the_textbook_s_step_on_a_cpu(
    name: str, folders: Callable[[str], Path], shares_all: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its masks and sinks, uncompiled: what a compiler makes of them only a GPU can show."""
    monkeypatch.setattr(
        flex_attention, "_validate_device", lambda *_: None
    )  # it would refuse gradients on a CPU, which it only computes slowly
    for module in (attach, modules):
        monkeypatch.setattr(module, "attend", attend_in_blocks)
    engine = engine_model(folders(name), tuning="full")
    plain = plain_base(folders(name), dtype=torch.float32)
    assert choose_layout(engine.loss).layout is Layout.SHARED_PREFIX
    for kind in ("plain", "three_levels", "trained_inside", "beyond_the_window"):
        assert not faults(engine_step(engine, STEPS[kind], Layout.SHARED_PREFIX), reference_step(plain, STEPS[kind])), kind
