"""The first step does not wait for the check of the base, which finds what it would have found before it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from app.domain.events import AnyEvent, Metric
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last
from workers.training import loop
from workers.training.beginning import FirstWeights
from workers.training.control import Leave
from workers.training.evaluate import HeldOut


def order_of(events: list[AnyEvent]) -> list[tuple[str, int]]:
    return [(event.name, event.step) for event in events if isinstance(event, Metric) and event.name in {"train/loss", "eval/loss"}]


@pytest.mark.parametrize("adapter", ["lora", "dora"])
def test_the_base_is_found_as_it_was_and_the_curve_is_the_same(train_here: Train, monkeypatch: pytest.MonkeyPatch, adapter: str) -> None:
    settings: dict[str, Any] = {"max_steps": 2, "learning_rate": 0.01, "adapter": adapter}
    _, after = train_here(**settings, out="after")
    monkeypatch.setattr(loop, "FirstWeights", lambda _trained: None)
    _, before = train_here(**settings, out="before")
    assert order_of(after)[:2] == [("train/loss", 1), ("eval/loss", 0)]
    assert order_of(before)[:2] == [("eval/loss", 0), ("train/loss", 1)]
    for name in ("train/loss", "eval/loss", "eval/exact_match"):
        assert curve(after, name) == curve(before, name)
    monkeypatch.setattr(loop, "FirstWeights", FirstWeights)
    monkeypatch.setattr(FirstWeights, "in_place", lambda _: nullcontext())
    _, careless = train_here(**settings, out="careless")
    assert curve(careless, "eval/loss")[0] != curve(before, "eval/loss")[0]


def test_a_check_of_the_base_that_was_cut_off_is_made_up_for(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"max_steps": 3, "learning_rate": 0.01}
    _, whole = train_here(**settings, out="whole")
    with monkeypatch.context() as asked_to_leave:

        def leave(*_: object, **__: object) -> None:
            raise Leave("pause")

        asked_to_leave.setattr(HeldOut, "check", leave)
        _, cut_off = train_here(**settings)
    assert (last(cut_off).status, order_of(cut_off)) == ("interrupted", [("train/loss", 1)])
    _, again = train_here(**settings)
    assert order_of(again)[:2] == [("train/loss", 1), ("eval/loss", 0)]
    for name in ("train/loss", "eval/loss"):
        assert curve(again, name) == curve(whole, name)


def test_first_weights_are_put_back_whatever_happens() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    first = FirstWeights([weight])
    with torch.no_grad():
        weight.fill_(1)
    with pytest.raises(ZeroDivisionError), first.in_place():
        1 / float(weight.detach().sum())
    assert weight.sum() == 3
