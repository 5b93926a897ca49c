"""The engine's contract: whatever the layout, a step has the loss and the gradient of the textbook's, in every family of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import pytest
from peft import PeftModel

from tests.workers.training.engine_side import FEW_TOKENS, engine_model, engine_step
from tests.workers.training.families import FAMILIES
from tests.workers.training.reference import Step, faults, plain_model, reference_step
from tests.workers.training.row_kinds import STEPS
from workers.training import attention, loss
from workers.training.batches import Layout, lay_out
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
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """Make each family, and its reference, once."""

    @lru_cache
    def pair(name: str) -> Pair:
        family = next(one for one in FAMILIES if one.name == name)
        folder = family.write(tmp_path_factory.mktemp("families") / name)
        engine = engine_model(folder)
        plain = plain_model(folder, engine.peft)
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
    small = {"LONG": 6, "SCORES_AT_ONCE": 40, "LEAST_QUERIES": 3, "KEPT_KEYS": 5}
    for constant, value in small.items():
        monkeypatch.setattr(attention, constant, value)
    monkeypatch.setattr(loss, "CHUNK_LOGITS", 1)
    monkeypatch.setattr(loss, "LEAST_CHUNK", 3)
    pair = pairs(name)
    for kind, rows in STEPS.items():
        assert not faults(engine_step(pair.engine, rows, Layout.SHARED_PREFIX, tokens=10_000), pair.expected[kind]), kind


def test_a_step_that_shares_only_where_it_pays_is_the_same(pairs: Pairs) -> None:
    pair = pairs("llama")
    for kind, rows in STEPS.items():
        assert not faults(engine_step(pair.engine, rows, Layout.SHARED_PREFIX, tokens=10_000), pair.expected[kind]), kind
