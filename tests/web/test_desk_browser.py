"""The data desk with scripts, in a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect

from app.domain.errors import Unavailable
from app.domain.preflight import Counts, Fault, Piece, Preflight, PreflightFix, SharedPrefix, ShownRow, Spread
from app.services.preflight import Preflights
from tools.sample_project import Sample

pytestmark = pytest.mark.browser
LINE = '{"prompt": "a", "completion": "b"}\n'


def preflight(*faults: Fault) -> Preflight:
    """Return what a look might find."""
    pieces = [
        Piece(1, "<|im_start|>", trained=False, special=True), Piece(2, "user\nhi", trained=False, special=False),
        Piece(3, "ho", trained=True, special=False), Piece(4, "<|im_end|>", trained=True, special=True),
    ]  # fmt: skip
    spread = Spread(bins=[(1, 5, 683)], min=4, median=4, p95=4, max=4, sum=1366)
    nothing = dict.fromkeys(Counts.model_fields, 0)
    return Preflight(
        template="tokenizer", max_length=1024, context=2048, counts=Counts(**nothing | {"rows": 683, "total": 683, "ends_learnt": 683}),
        rows=[ShownRow(number=7, why="longest", tokens=4, trained=2, cut=None, pieces=pieces)], tokens=spread, answers=spread,
        trained_share=0.5, shared_prefix=SharedPrefix(steps=0.2, all=0.3), steps_per_epoch=86, faults=list(faults), seconds=0.1,
    )  # fmt: skip


@pytest.fixture
def desk(sample: Sample) -> str:
    """The address of a dataset with every problem planted."""
    return f"/datasets/{sample.datasets['desk']}"


def test_a_chip_narrows_the_rows_in_place_and_names_itself_in_the_address(page: Page, desk: str) -> None:
    page.goto(desk)
    page.get_by_role("link", name="Near duplicates 1").click()
    expect(page).to_have_url(re.compile(r"\?problem=near_duplicate$"))
    expect(page.locator("table.rows tbody tr")).to_have_count(1)
    page.go_back()
    expect(page.locator("table.rows tbody tr")).to_have_count(16)


def test_a_slash_goes_to_the_search_of_the_rows_and_typing_narrows_them(page: Page, desk: str) -> None:
    page.goto(desk)
    page.keyboard.press("/")
    expect(page.locator("#row-search")).to_be_focused()
    page.keyboard.type("parcel")
    expect(page.locator("table.rows tbody tr")).to_have_count(3)
    expect(page.locator("#row-search")).to_be_focused()
    expect(page.get_by_role("button", name="Show", exact=True)).to_be_hidden()


def test_a_fix_is_previewed_while_one_types_and_ends_in_a_line_of_progress(page: Page, desk: str) -> None:
    page.goto(f"{desk}?problem=placeholder")
    page.get_by_role("link", name="Fill them with texts").click()
    page.locator("#fill-0").fill("Lena")
    expect(page.locator("ins")).to_have_text("Lena")
    page.locator("#apply").click()
    page.wait_for_url(f"**{desk}")
    expect(page.get_by_role("status").filter(has_text="Waiting for a worker to change the rows")).to_be_visible()
    page.locator("#cancel-work").click()
    expect(page.locator("#undo")).to_be_visible()


def test_columns_become_conversations_while_one_chooses(page: Page, sample: Sample) -> None:
    page.goto(f"/datasets/{sample.datasets['unmapped']}")
    page.get_by_label("response").select_option("")
    expect(page.locator("#mapping-preview")).to_contain_text("Say which column is the answer (assistant).")
    page.get_by_label("intent").select_option("assistant")
    expect(page.locator("#mapping-preview")).to_contain_text("contact_human_agent")
    page.get_by_label("System prompt for every row").fill("Name the intent.")
    expect(page.locator("#mapping-preview")).to_contain_text("Name the intent.")


def test_several_files_become_one_dataset_or_one_each(page: Page, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.jsonl", "two.jsonl")]
    for file in files:
        file.write_text(LINE)
    page.goto("/datasets")
    page.locator("#file").set_input_files(files)
    page.get_by_role("button", name="One dataset of all").click()
    page.wait_for_url(re.compile("/datasets/[0-9a-f-]{36}"))
    expect(page.locator("#dataset-now")).to_contain_text("one.jsonl and two.jsonl")
    page.goto("/datasets")
    page.locator("#file").set_input_files(files)
    page.get_by_role("button", name="One dataset each").click()
    expect(page.get_by_role("link", name="two", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="one", exact=True)).to_have_count(2)


def test_what_would_be_learnt_comes_by_itself_and_again_when_another_length_is_chosen(
    page: Page, desk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def look(_self: Preflights, _by: object, _id: str, _base: str, settings: object, **_: object) -> Preflight:
        asked.append(settings.max_length)  # type: ignore[attr-defined]
        return preflight()

    monkeypatch.setattr(Preflights, "look", look)
    page.goto(f"{desk}/preflight")
    expect(page.locator("#preflight-seen")).to_contain_text("The model would learn 1,366 tokens in 683 rows; each ends with <|im_end|>.")
    expect(page.locator(".tokens u")).to_have_count(2)
    page.get_by_label("Longest row, in tokens").fill("64")
    with page.expect_response(re.compile("max_length=64")):
        page.get_by_label("Longest row, in tokens").press("Tab")
    assert asked == [1024, 64]


def test_the_new_run_shows_it_and_a_fault_changes_the_setting(page: Page, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    fix = PreflightFix(id="plain", label="Use Hone's plain template", help="", settings={"chat_template": "plain"})
    fault = Fault(code="never_stops", sentence="It would never stop.", why="Its end is not learnt.", blocking=True, fixes=[fix])
    monkeypatch.setattr(Preflights, "look", lambda *given, **_: preflight() if given[4].chat_template == "plain" else preflight(fault))
    page.goto(f"/runs/new?dataset_id={sample.datasets['ready']}")
    expect(page.locator("#run-preflight")).to_contain_text("It would never stop.")
    page.get_by_label("Tags").fill("kept")
    expect(page.locator("#run-preflight")).to_contain_text("It would never stop.")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#run-card")).to_contain_text("It would never stop.")
    page.locator("#run-card").get_by_role("link", name="Use Hone's plain template").click()
    expect(page.locator("#chat_template")).to_have_value("plain")
    expect(page.get_by_label("Tags")).to_have_value("kept")
    expect(page.locator("#run-preflight")).to_contain_text("The model would learn 1,366 tokens")


def test_a_look_that_cannot_be_had_says_why(page: Page, app: FastAPI, desk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("The part that answers is not there.")

    monkeypatch.setattr(type(app.state.studio.looker), "look", away)
    page.goto(f"{desk}/preflight")
    expect(page.locator("#preflight-seen")).to_contain_text("The part that answers is not there.")
