"""A measurement against the real inference server: what it is asked, and what it says where a prompt is too long."""

from __future__ import annotations

import json
from pathlib import Path

from app.domain.baselines import AskedModel, Plan, Results, Way
from app.domain.datasets import Split
from tests.workers.evaluation.rows import row, write_rows
from tests.workers.inference.conftest import KEY, Running
from workers.evaluation.measuring import Address, BaselineSpec, Measuring


def test_the_server_is_measured_in_every_way_with_as_many_examples_as_fit(server: Running, tiny_base: Path, tmp_path: Path) -> None:
    place: dict[str, str | None] = {"base_dir": str(tiny_base), "adapter_dir": None}
    rows = [row(f"Order {n}: {'tea ' * 25}?", "tea") for n in range(12)] + [row(f"Order 9{n}, tea?", "tea", Split.TEST) for n in range(2)]
    plan = Plan(dataset="orders", models=(AskedModel(name="tiny", place=place),), methods=tuple(Way), k=8, rows=2, max_tokens=4)
    spec = BaselineSpec(
        rows=write_rows(tmp_path / "rows", rows), plan=plan, addresses=[Address(url=f"{server.url}/v1", model="tiny", place=place)],
        answers=tmp_path / "answers", results=tmp_path / "results",
    )  # fmt: skip
    measuring = Measuring(spec, spec.askers([KEY]))
    measuring.ask_all(lambda *_: None, lambda _: None)
    measuring.write_results()
    zero, few, looked_up = Results.model_validate(json.loads(spec.results.read_bytes())["results"]).measured
    # Its context is 512 tokens, which eight of these examples do not fit.
    assert (zero.shortened, few.shortened, looked_up.shortened) == (0, 2, 2)
    assert 0 < few.examples < 8
    assert not zero.refused + few.refused + looked_up.refused
    assert (few.prompt_tokens or 0) > (zero.prompt_tokens or 0) > 0
    assert zero.answer_tokens
    assert measuring.contacted == []
