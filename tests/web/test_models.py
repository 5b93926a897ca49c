"""The catalogue of base models as pages: four questions, filters, one model, one folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.db import Download, Run, WorkerRow
from app.db.session import unit_of_work
from app.domain.devices import Device, as_facts
from app.domain.runs import RunStatus
from app.services.studio import Studio
from tests.web.walk import part
from tools.sample_project import Sample

ALL = 37
FORM = {"HX-Source": "form#models-filters"}


def listed(page: str) -> list[str]:
    """Return the slugs that a page lists."""
    table = page.split('id="models-table"')[1]
    return re.findall(r'<td class="nowrap"><a href="/models/([a-z0-9.-]+)"', table)


def chosen(page: str) -> list[str]:
    """Return the slugs of the pick and of the next best."""
    return re.findall(r'<h3><a href="/models/([a-z0-9.-]+)"', page)


@pytest.fixture
def card(studio: Studio) -> None:
    """A card of 24 GB, which the sample's worker reports."""
    device = Device(name="NVIDIA L4", kind="gpu", total_bytes=24 * 10**9, used_bytes=0, uuid=None, utilisation=None, ours_bytes=None)
    with unit_of_work(studio.engine) as session:
        session.execute(update(WorkerRow).where(WorkerRow.queue == "gpu").values(facts=as_facts([device])))


def test_every_family_is_listed_without_a_network(browser: TestClient) -> None:
    page = browser.get("/models").text
    assert len(listed(page)) == ALL
    assert {"hone-starter", "qwen3-4b", "ternary-bonsai-8b", "gpt-oss-20b"} <= set(listed(page))
    assert "37 models" in page


def test_models_stand_under_their_family(browser: TestClient) -> None:
    page = browser.get("/models?q=qwen3").text
    families = re.findall(r'scope="rowgroup">(.*?) <span class="small dim">(.*?)</span>', page)
    assert families == [
        ("Qwen 3.5", "Alibaba: The smallest that still reasons, calls tools and looks at pictures."),
        ("Qwen 3", "Alibaba: Thinks a problem through or answers at once, as you ask, in more than a hundred languages."),
    ]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("size=tiny&licence=gemma", ["gemma-3-1b-it"]),
        ("task=pictures&licence=apache-2.0", ["ministral-3-3b-instruct", "qwen3.5-0.8b"]),
        ("language=Ukrainian&licence=mit&size=&task=&q=", ["phi-4-mini-instruct"]),
        ("q=GRANITE+tiny", ["granite-4.0-h-tiny"]),
        ("q=nothing+like+it", []),
    ],
)  # fmt: skip
def test_filters_stand_in_the_address(browser: TestClient, query: str, shown: list[str]) -> None:
    whole = browser.get(f"/models?{query}").text
    fragment = browser.get(f"/models?{query}", headers=part("models_table")).text
    assert "<!doctype" not in fragment
    assert "No base model is like that" in whole if not shown else listed(whole) == listed(fragment) == shown


def test_what_fits_here_is_told_with_its_reason(browser: TestClient, card: None) -> None:
    page = browser.get("/models").text
    assert "Here is NVIDIA L4." in page
    assert re.search(r'title="QLoRA: Takes about [0-9.]+ GB; NVIDIA L4 has 24.0 GB."><span class="badge ok">.*?Fits', page)
    assert "Would take about" in browser.get("/models/gemma-3-27b-it").text
    fitting = listed(browser.get("/models?fits=1").text)
    assert "qwen3-0.6b" in fitting
    assert "ternary-bonsai-8b" not in fitting


def test_without_a_worker_nobody_says_that_something_fits(empty: TestClient) -> None:
    assert "No worker has reported a device, so nobody knows whether it fits." in empty.get("/models/qwen3-0.6b").text
    assert "No worker has reported a device yet" in empty.get("/models").text
    assert listed(empty.get("/models").text)
    assert "No base model is like that" in empty.get("/models?fits=true").text


@pytest.mark.parametrize(
    ("query", "pick", "next_best"),
    [
        ("reasoning=1", "phi-4-mini-instruct", "qwen3-4b"),
        ("multilingual=1&prefer=", "gemma-3-4b-it", "qwen3-4b"),
        ("tools=1&chosen=1", "llama-3.2-3b-instruct", "qwen3-4b"),
        ("prefer=smallest", "qwen3.5-0.8b", "qwen3-0.6b"),
        ("prefer=newest", "ternary-bonsai-1.7b", "qwen3.5-0.8b"),
        ("chosen=1&prefer=", "qwen3-1.7b", "smollm3-3b"),
    ],
)  # fmt: skip
def test_the_questions_lead_to_a_model_and_the_next_best(browser: TestClient, query: str, pick: str, next_best: str) -> None:
    fragment = browser.get(f"/models?{query}", headers=part("models_choice")).text
    assert chosen(fragment) == chosen(browser.get(f"/models?{query}").text) == [pick, next_best]
    assert '<ul class="reasons"><li>' in fragment


def test_who_has_answered_nothing_is_recommended_nothing(browser: TestClient) -> None:
    assert chosen(browser.get("/models?size=tiny").text) == []


def test_each_form_carries_along_what_the_other_says(browser: TestClient) -> None:
    page = browser.get("/models?tools=1&prefer=smallest&size=tiny&q=qwen").text
    questions, filters = page.split('id="models-filters"')
    for name, value in (("size", "tiny"), ("q", "qwen")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in questions
    for name, value in (("tools", "1"), ("prefer", "smallest")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in filters


def test_a_form_shortens_the_address(browser: TestClient) -> None:
    answer = browser.get("/models?q=&size=tiny&licence=&fits=1", headers=part("models_table") | FORM)
    assert answer.headers["HX-Replace-Url"] == "/models?size=tiny&fits=1"
    assert "HX-Replace-Url" not in browser.get("/models?size=tiny").headers


def test_a_model_is_shown_with_its_measures_and_its_licence(browser: TestClient) -> None:
    page = browser.get("/models/llama-3.2-3b-instruct").text
    assert "3,212,749,824" in page
    assert "Llama 3.2 Community License" in page
    assert "700 million users a month" in page
    assert "No legal advice" in page
    assert 'href="/runs/new?base_model=meta-llama%2FLlama-3.2-3B-Instruct"' in page
    assert '<input type="hidden" name="repo" value="meta-llama/Llama-3.2-3B-Instruct">' in page
    assert "agree to the licence first" in page


def test_the_parts_of_a_count_add_up_on_the_page(browser: TestClient) -> None:
    page = browser.get("/models/gpt-oss-20b").text
    counted = page.split('id="counted-title"')[1].split("</table>")[0]
    parts = [int(each.replace(",", "")) for each in re.findall(r'<td class="num">([\d,]+)</td>', counted)]
    together = int(re.findall(r"<b>([\d,]+)</b>", counted)[0].replace(",", ""))
    assert sum(parts) == together == 20_914_757_184
    assert "4 of 32 experts a token" in page
    assert "3.61 billion a token" in page


def test_memory_at_each_precision_is_told(browser: TestClient) -> None:
    page = browser.get("/models/qwen3-8b").text
    assert 'title="16,381,470,720 bytes">16.4 GB' in page
    assert 'href="/precision?model=qwen3-8b"' in page


def test_of_a_model_that_nobody_has_seen_no_measures_are_made_up(browser: TestClient) -> None:
    page = browser.get("/models/ternary-bonsai-8b").text
    assert "none are made up" in page
    assert "8 billion, by its name" in page
    assert "about 16.0 GB" in page
    assert 'href="/precision?params=8000000000"' in page
    assert "Layers" not in page


def test_what_is_here_needs_no_download(browser: TestClient) -> None:
    page = browser.get("/models/hone-starter").text
    assert "It is here, with Hone." in page
    assert "/models/hub/download" not in page
    assert "7,212,288" in page


def test_a_folder_of_this_machine_is_listed_and_shown(make_app: Callable[..., FastAPI], tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "bases" / "mine"
    shutil.copytree(root / "models" / "hone-starter", folder)
    with TestClient(make_app(model_dirs=str(folder.parent)), base_url="http://127.0.0.1") as client:
        page = client.get("/models").text
        assert f'href="/models/folder?path={str(folder).replace("/", "%2F")}">mine</a>' in page
        shown = client.get("/models/folder", params={"path": str(folder)}).text
        assert "A model folder of this machine." in shown
        assert "7,212,288" in shown
        (folder / "config.json").write_text(json.dumps({"model_type": "brand_new"}))
        assert "none are made up" in client.get("/models/folder", params={"path": str(folder)}).text


def test_what_is_on_its_way_here_is_shown_and_rings(browser: TestClient, studio: Studio, sample: Sample) -> None:
    assert "On their way here" not in browser.get("/models").text
    with unit_of_work(studio.engine) as session:
        by = session.get_one(Run, sample.runs["done"])
        facts = {"total_bytes": 1_200_000_000, "done_bytes": 300_000_000, "revision": "abcdef0123"}
        owned = {"project_id": by.project_id, "created_by": by.created_by}
        session.add(Download(repo="Qwen/Qwen3-0.6B", queue="cpu", status=RunStatus.RUNNING, **owned, **facts))
    page = browser.get("/models?size=tiny").text
    assert "On their way here" in page
    assert "300 MB of 1.2 GB" in page
    assert 'hx-get="/models?size=tiny" hx-target="#models-table" hx-swap="outerMorph" hx-trigger="click, downloads-changed' in page
    rung = browser.get("/models", headers=part("models_table") | {"HX-Source": "a#refetch-models-table"}).text
    assert '<div id="downloads" hx-swap-oob="outerMorph">' in rung


@pytest.mark.parametrize("address", ["/models/nothing", "/models/folder?path=/no/such/folder", "/models/folder?path=nobody/nothing"])
def test_what_there_is_not_is_not_found(browser: TestClient, address: str) -> None:
    assert browser.get(address).status_code == 404


@pytest.mark.parametrize("address", ["/models", "/models/qwen3-4b"])
def test_a_stranger_has_to_sign_in(stranger: TestClient, address: str) -> None:
    assert stranger.get(address).status_code in {303, 401}
