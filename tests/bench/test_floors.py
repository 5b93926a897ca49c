"""A benchmark that stays below its floor fails, so that nobody has to read the figures to see it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bench import data_preparation, qlora_vs_lora, start_latency
from tests.bench.test_training_bench import side


@pytest.fixture(autouse=True)
def nothing_is_made_or_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench"])
    for module in (start_latency, data_preparation, qlora_vs_lora):
        monkeypatch.setattr(module, "made", lambda *_: (Path("6m"), Path("plain.jsonl")))
        monkeypatch.setattr(module, "keep", lambda *_: None)


def ended_with(main: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(("ratio", "code"), [(5.0, 0), (4.9, 1)])
def test_a_start_that_is_not_sooner_enough(ratio: float, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_latency, "in_turns", lambda *_: {"ratio": ratio})
    assert ended_with(start_latency.main) == code


@pytest.mark.parametrize(("plain", "packing", "code"), [(9.0, 2.5, 0), (9.0, 2.4, 1), (2.4, 9.0, 1)])
def test_a_preparation_that_is_not_faster_enough(plain: float, packing: float, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"ratio": plain, "packing": {"ratio": packing}, "cached": {"ratio": 1.0}}
    monkeypatch.setattr(data_preparation, "compare", lambda *_: figures)
    assert ended_with(data_preparation.main) == code


@pytest.mark.parametrize(("speed", "code"), [(3.9, 0), (3.6, 1)])
def test_four_bits_that_are_too_much_slower(speed: float, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qlora_vs_lora, "in_turns", lambda *_: ([side([8.0], [1.0], speed)], [side([8.0], [1.0], 4.0)]))
    assert ended_with(qlora_vs_lora.main) == code
