"""Estimates as the new-run page shows them: words, the bar, where a run would go, what would make it fit."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from app.domain.accelerators import Accelerator, accelerator_named
from app.domain.architectures import Architecture
from app.domain.estimates import Target, here_of, rented, side_by_side
from app.domain.memory_estimate import MemoryEstimate, Part, summed
from app.domain.packs import Work
from app.domain.preflight import Preflight, SharedPrefix, Spread, template_fault
from app.domain.prices import PriceTable
from app.domain.specs import TrainingSettings
from app.services.estimates import as_seen
from app.web import estimate_view
from app.web.estimate_view import Planned, bar_of, largest, mends_of, shown

PRICES = PriceTable()
WORK = Work(rows=500, steps=375, mean_tokens=200.0, longest_tokens=256)


def planned(parameters: float = 4e9, **settings: object) -> Planned:
    return Planned(Architecture.of_size(parameters), TrainingSettings.model_validate({"batch_size": 1, "max_length": 256} | settings), WORK)


def own(name: str, gigabytes: float) -> Target:
    known = accelerator_named(name)
    accelerator = known or Accelerator("cpu", name, "cpu", 0, 1e11, 5e10, 65.0)
    accelerator = accelerator._replace(memory_bytes=int(gigabytes * 1e9))
    return Target(f"own:{name}", name, accelerator, 1, None, None, is_own=True)


def memory(*parts: tuple[str, int], capacity: int | None = None) -> MemoryEstimate:
    return summed(tuple(Part(key, key.capitalize(), size, size, 2 * size, "so") for key, size in parts), capacity, 1, 0)


def test_a_bar_is_as_long_as_the_device_and_its_parts_follow_each_other() -> None:
    bar = bar_of(memory(("weights", 2_000_000_000), ("logits", 1_000_000_000), capacity=10_000_000_000))
    assert [(part.x, part.width) for part in bar.segments] == [(0.0, 20.0), (20.0, 10.0)]
    assert (bar.low, bar.high, bar.room) == (30.0, 60.0, 100.0)
    assert bar.in_words == "3.0 GB of 10.0 GB: weights 2.0 GB, logits 1.0 GB"


def test_what_is_more_than_the_device_has_goes_beyond_the_line_where_its_memory_ends() -> None:
    bar = bar_of(memory(("weights", 8_000_000_000), capacity=4_000_000_000))
    assert (bar.segments[0].width, bar.high, bar.room) == (50.0, 100.0, 25.0)


def test_the_largest_parts_are_named_and_the_rest_is_summed_up() -> None:
    parts = [(key, size) for size, key in enumerate(("context", "logits", "weights", "adapter", "margin"), start=1)]
    assert largest(memory(*parts)) == "margin 5 B · adapter 4 B · weights 3 B · rest 3 B"


@pytest.mark.parametrize(("device", "name"), [("auto", "NVIDIA L4"), ("gpu", "NVIDIA L4"), ("cpu", "CPU"), ("auto", "CPU")])
def test_a_run_goes_to_the_gpu_unless_it_asks_for_another_device_or_there_is_none(device: str, name: str) -> None:
    targets = [own("CPU", 64), own("NVIDIA L4", 24)] if (device, name) != ("auto", "CPU") else [own("CPU", 64)]
    run = planned(device=device)
    here = here_of(side_by_side(*run, targets, PRICES), run.settings.device)
    assert here is not None
    assert here.target.label == name


def test_without_a_worker_the_smallest_card_to_rent_stands_for_one() -> None:
    found = shown(planned(), rented(PRICES), PRICES, {})
    assert found.here is not None
    assert (found.here.target.label, found.here.paid_as) == ("24 GB card at Vast.ai", "$0.29/h")
    nothing = shown(planned(), [], PRICES, {})
    assert (nothing.here, nothing.fits) == (None, False)
    assert "No worker" in nothing.why_not


def test_ones_own_devices_stand_before_the_cheapest_of_each_class_to_rent() -> None:
    found = shown(planned(), [*rented(PRICES), own("NVIDIA L4", 24)], PRICES, {})
    classes = [offer.target.accelerator.key for offer in found.offers]
    assert classes[0] == "l4"
    assert sorted(classes[1:]) == ["a100_80", "h100", "rtx_3090"]
    assert [offer.is_cheapest for offer in found.offers] == [False, True, False, False]
    cheapest = {offer.target.accelerator.key: offer.found.money.amount or 0.0 for offer in found.offers}
    assert len(found.dearer) == 6
    assert all((offer.found.money.amount or 0.0) > cheapest[offer.target.accelerator.key] for offer in found.dearer)


def test_only_what_makes_a_run_fit_is_offered_where_it_does_not() -> None:
    run, card = planned(), own("NVIDIA GeForce RTX 3080", 8)
    here = here_of(side_by_side(*run, [card], PRICES), "auto")
    assert here is not None
    assert here.memory.fits == "no"
    mends = mends_of(run, here, PRICES, {"base_model": "a/b", "tuning": "lora"})
    assert mends
    assert all(mend.fix.then.fits != "no" for mend in mends)
    fields = dict(parse_qsl(urlsplit(mends[0].href).query))
    assert fields == {"base_model": "a/b"} | {name: str(value) for name, value in ({"tuning": "lora"} | mends[0].fix.settings).items()}


def test_lengths_that_were_looked_at_are_cut_where_the_run_cuts_them() -> None:
    nothing = Preflight.of_no_row(template_fault("no"), total=10, max_length=100)
    spread = Spread(bins=[(10, 11, 6), (300, 301, 4)], min=10, median=10, p95=300, max=300, sum=1260)
    seen = nothing.model_copy(
        update={"tokens": spread, "counts": nothing.counts.model_copy(update={"rows": 10}), "trained_share": 0.2,
                "shared_prefix": SharedPrefix(steps=0.25, all=0.5)}
    )  # fmt: skip
    work = as_seen(WORK, seen)
    assert (work.mean_tokens, work.longest_tokens, work.trained_share, work.computed_share) == (46.0, 100, 0.2, 0.75)
    assert as_seen(WORK, nothing) == WORK


def test_learnt_tokens_are_counted_over_all_steps() -> None:
    told, arithmetic = estimate_view.tokens_of(planned(batch_size=8))
    assert told == "300,000 of 600,000"
    assert arithmetic == "3,000 rows in 375 steps × 200 tokens = 600,000 read; 50 % of them are answers = 300,000 learnt"


def test_a_short_last_step_has_no_tokens_of_rows_that_are_not_there() -> None:
    short = planned(batch_size=8, epochs=1.0)._replace(work=WORK.model_copy(update={"rows": 65, "steps": 9}))
    _, arithmetic = estimate_view.tokens_of(short)
    assert arithmetic.startswith("65 rows in 9 steps × 200 tokens = 13,000 read; ")
