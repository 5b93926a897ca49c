"""Prices that move under one's fingers, in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from app.services.studio import Studio
from tests.web.devices import add_gpu
from tools.sample_project import Sample

pytestmark = pytest.mark.browser


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"#estimate-{name} > summary > b")


def open_form(page: Page, sample: Sample, **fields: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in ({"dataset_id": sample.datasets["ready"]} | fields).items())
    page.goto(f"/runs/new?{query}")


def test_memory_time_and_money_move_with_rank_batch_length_and_precision(page: Page, studio: Studio, sample: Sample) -> None:
    add_gpu(studio, "NVIDIA L4", 24e9)
    open_form(page, sample, base_model="Qwen/Qwen3-0.6B", epochs="100")
    page.locator("#estimate-memory > summary").click()
    moved = dict[str, set[str]]()
    for label, value in (("Rank", "256"), ("Batch size", "2"), ("Max length", "64"), ("Precision", "fp32")):
        before = {name: figure(page, name).inner_text() for name in ("memory", "time", "cost")}
        field = page.get_by_label(label, exact=True)
        field.select_option(value) if label == "Precision" else field.fill(value)
        expect(figure(page, "memory")).not_to_have_text(before["memory"])
        moved[label] = {name for name, text in before.items() if figure(page, name).inner_text() != text}
    assert all("memory" in names for names in moved.values())
    assert moved["Rank"] == moved["Max length"] == {"memory", "time", "cost"}
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
