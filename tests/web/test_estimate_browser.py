"""Prices that move under one's fingers, in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from app.services.preflight import Preflights
from app.services.studio import Studio
from tests.web.devices import add_gpu
from tests.web.test_desk_browser import preflight
from tools.sample_project import Sample

pytestmark = pytest.mark.browser


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"#estimate-{name} > summary > b")


def open_form(page: Page, sample: Sample, **fields: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in ({"dataset_id": sample.datasets["ready"]} | fields).items())
    page.goto(f"/runs/new?{query}")


CHANGES = (
    # Setting, what it becomes, which figures move.
    ("Rank", "256", {"memory", "time", "cost"}),
    # As many rows of a thousand tokens are computed as before, only fewer at once: what that takes is memory alone.
    ("Batch size", "4", {"memory"}),
    ("Precision", "fp32", {"memory", "time", "cost"}),
    ("Max length", "64", {"memory", "time", "cost"}),
    # One row of 64 tokens is computed faster than a GPU begins the operations of a layer, so smaller steps take longer now.
    ("Batch size", "1", {"memory", "time", "cost"}),
)


def test_memory_time_and_money_move_with_rank_batch_length_and_precision(page: Page, studio: Studio, sample: Sample) -> None:
    add_gpu(studio, "NVIDIA L4", 24e9)
    open_form(page, sample, base_model="Qwen/Qwen3-0.6B", epochs="100")
    page.locator("#estimate-memory > summary").click()
    for label, value, moves in CHANGES:
        before = {name: figure(page, name).inner_text() for name in ("memory", "time", "cost")}
        field = page.get_by_label(label, exact=True)
        field.select_option(value) if label == "Precision" else field.fill(value)
        expect(figure(page, "memory")).not_to_have_text(before["memory"])
        moved = {name for name, text in before.items() if figure(page, name).inner_text() != text}
        assert moved == moves, f"{label} {value}"
    # What was unfolded stays so, and what was typed.
    expect(page.locator("#estimate-memory .parts")).to_be_visible()
    expect(page.get_by_label("Rank", exact=True)).to_have_value("256")


def test_what_does_not_fit_offers_a_change_after_which_it_fits(page: Page, studio: Studio, sample: Sample) -> None:
    add_gpu(studio, "NVIDIA GeForce RTX 3070", 8e9)
    open_form(page, sample, base_model="Qwen/Qwen3-4B", batch_size="1", max_length="256")
    expect(page.locator("#run-memory")).to_contain_text("has not enough memory")
    expect(page.locator("#run-estimate .where")).to_contain_text("Does not fit")
    page.locator("#run-memory .mends a").first.click()
    expect(page.locator("#run-estimate .where")).to_contain_text("Fits")
    expect(page.get_by_label("Tuning", exact=True)).to_have_value("qlora")
    page.locator("#start").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Waiting to start")


def test_counted_tokens_reprice_the_run_before_any_field_is_touched(
    page: Page, studio: Studio, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_gpu(studio, "NVIDIA L4", 24e9)
    monkeypatch.setattr(Preflights, "look", lambda *_, **__: preflight())
    open_form(page, sample, base_model="Qwen/Qwen3-0.6B", epochs="100")
    # 609 rows, 100 times, of 2 tokens as looked at, and not of the thousand that are assumed before.
    expect(figure(page, "tokens")).to_have_text("60,900 of 122,000")
    expect(page.locator("#run-preflight")).to_contain_text("The model would learn 1,366 tokens")
    expect(page.locator("#run-card")).to_contain_text("Lengths of rows as this base's own tokenizer")
