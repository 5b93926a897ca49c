from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.web.pages import wanted_block
from tests.web.walk import MOST_BYTES, PAGES, all_pages, part, weight_of
from tools.sample_project import Sample

LAYOUT_BLOCKS = {"title", "crumbs", "head", "scripts", "main", "live", "page_class", "notice"}


def test_every_page_stands_whole(browser: TestClient, sample: Sample) -> None:
    for address in all_pages(sample):
        answer = browser.get(address)
        assert answer.status_code == 200, address
        assert answer.text.startswith("<!doctype html>"), address
        assert answer.text.count("<h1") == 1, address


def test_every_block_of_every_page_stands_alone(browser: TestClient, app: FastAPI, sample: Sample) -> None:
    for address, template in all_pages(sample).items():
        blocks = app.state.web.pages.environment.get_template(template).blocks
        for block in blocks.keys() - LAYOUT_BLOCKS:
            answer = browser.get(address, headers=part(block))
            assert answer.status_code == 200, (address, block)
            assert "<!doctype" not in answer.text, (address, block)
            assert f'id="{block.replace("_", "-")}"' in answer.text, (address, block)


def test_every_page_of_an_empty_studio_says_what_belongs_there(empty: TestClient) -> None:
    for address in PAGES:
        answer = empty.get(address)
        assert answer.status_code == 200, address
    assert "Upload a dataset" in empty.get("/").text
    assert "No data yet" in empty.get("/datasets").text
    assert "No runs yet" in empty.get("/runs").text


def test_every_htmx_target_is_a_block_of_its_own_file(root: Path) -> None:
    targets = re.compile(r'hx-target="#([a-z-]+)"|refetch\([^,]+, "([a-z-]+)"')
    for template in (root / "templates").rglob("*.html"):
        text = template.read_text(encoding="utf-8")
        for found in targets.findall(text):
            target = found[0] or found[1]
            assert f"{{% block {target.replace('-', '_')} %}}" in text, (template.name, target)


def test_htmx_stands_only_on_links_and_forms(root: Path) -> None:
    for template in (root / "templates").rglob("*.html"):
        for tag, attributes in re.findall(
            r"<(\w+)((?:[^<>]|\{\{[^}]*\}\})*hx-(?:get|post|put|patch|delete)=[^<>]*)>", template.read_text(encoding="utf-8")
        ):
            assert (tag == "a" and "href=" in attributes) or (tag == "form" and "action=" in attributes), (template.name, tag)


def test_no_page_carries_inline_script_or_style(browser: TestClient, sample: Sample) -> None:
    for address in [*all_pages(sample), "/signin", "/docs"]:
        text = browser.get(address).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), address
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", text), address


def test_every_static_file_a_page_names_is_there(browser: TestClient, sample: Sample, root: Path) -> None:
    named = {name for address in [*all_pages(sample), "/docs"] for name in re.findall(r'/static/([^"?#]+)', browser.get(address).text)}
    ours = {name for name in named if not name.startswith("vendor/")}
    assert ours
    assert [name for name in ours if not (root / "static" / name).is_file()] == []


def test_every_icon_a_page_names_is_in_the_sprite(browser: TestClient, sample: Sample, root: Path) -> None:
    sprite = set(re.findall(r'<symbol id="([\w-]+)"', (root / "static/icons.svg").read_text(encoding="utf-8")))
    for address in all_pages(sample):
        assert set(re.findall(r"icons\.svg#([\w-]*)", browser.get(address).text)) <= sprite, address


def test_pages_weigh_little(browser: TestClient, sample: Sample, root: Path) -> None:
    for address in [*all_pages(sample), "/signin", "/nowhere"]:
        weight = weight_of(browser.get(address).text, root)
        assert weight <= MOST_BYTES, (address, weight)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"HX-Request": "true", "HX-Target": "div#nowhere"},
        {"HX-Request": "true", "HX-Target": "body"},
        part("runs_table") | {"HX-Request-Type": "full"},
        part("runs_table") | {"HX-Boosted": "true"},
        part("runs_table") | {"HX-History-Restore-Request": "true"},
    ],
)
def test_whoever_asks_for_no_known_block_gets_the_page(browser: TestClient, headers: dict[str, str]) -> None:
    assert browser.get("/runs", headers=headers).text.startswith("<!doctype html>")


def test_caches_are_told_what_an_answer_depends_on(browser: TestClient) -> None:
    assert {"HX-Request", "HX-Request-Type", "HX-Target"} <= set(browser.get("/runs").headers["Vary"].split(", "))


def test_a_target_may_be_spelt_with_its_tag() -> None:
    assert wanted_block({"hx-request": "true", "hx-target": "section#runs-table"}, {"runs_table"}) == "runs_table"


def test_blocks_beside_the_target_are_swapped_out_of_band(browser: TestClient, sample: Sample) -> None:
    alone = browser.get(f"/runs/{sample.runs['running']}", headers=part("run_now")).text
    assert '<div id="run-chart" hx-swap-oob="outerMorph">' in alone
    assert "hx-swap-oob" not in browser.get(f"/runs/{sample.runs['running']}").text


@pytest.mark.parametrize("source", ["a#refetch-runs-table", "form#run-filters"])
def test_what_is_fetched_brings_the_counts_of_the_rail(browser: TestClient, source: str) -> None:
    """A filter calls off what a doorbell asked for, so its answer must tell what rang too."""
    asked = part("runs_table")
    assert 'id="rail"' not in browser.get("/runs", headers=asked).text  # as the palette asks, which has its own place for what it gets
    fetched = browser.get("/runs", headers=asked | {"HX-Source": source}).text
    assert '<nav id="rail" aria-label="Studio" hx-swap-oob="outerMorph">' in fetched
    assert "1 running" in fetched


def test_the_palette_is_a_small_script(root: Path) -> None:
    assert (root / "static/js/palette.js").stat().st_size <= 9 * 1024
